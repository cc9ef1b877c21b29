/* SPDX-License-Identifier: Apache-2.0 */
/* The table finds what was inserted and nothing else, through growth, removal and equal hashes. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/rng.h"
#include "support/fail_alloc.h"

#include <cmocka.h>

struct entry {
    struct hash_node node;
    uint64_t key;
    bool is_in;
    bool is_seen;
};

static struct entry *find(const struct hash_table *table, uint64_t key)
{
    struct hash_node *node = hash_table_find(table, hash_u64(key, table->seed));
    for (; node != NULL; node = hash_node_next(node)) {
        struct entry *entry = container_of(node, struct entry, node);
        if (entry->key == key) {
            return entry;
        }
    }
    return NULL;
}

/* Random inserts and removals against an array of flags. */
static void test_against_a_model(void **state)
{
    enum { KEYS = 1000 };
    struct entry *entries = calloc(KEYS, sizeof(*entries));
    struct hash_table table;
    struct rng rng;
    size_t count = 0;
    (void)state;
    rng_init(&rng, 11);
    hash_table_init(&table, 5);
    assert_null(find(&table, 1));
    assert_null(hash_table_next(&table, NULL));
    for (int step = 0; step < 20000; step++) {
        struct entry *entry = &entries[rng_below(&rng, KEYS)];
        entry->key = (uint64_t)(entry - entries);
        assert_ptr_equal(find(&table, entry->key), entry->is_in ? entry : NULL);
        if (entry->is_in) {
            hash_table_remove(&table, &entry->node);
            count--;
        } else {
            entry->node.hash = hash_u64(entry->key, table.seed);
            assert_true(hash_table_insert(&table, &entry->node));
            count++;
        }
        entry->is_in = !entry->is_in;
        assert_int_equal(table.count, count);
    }
    for (struct hash_node *node = hash_table_next(&table, NULL); node != NULL;
         node = hash_table_next(&table, node)) {
        struct entry *entry = container_of(node, struct entry, node);
        assert_true(entry->is_in && !entry->is_seen);
        entry->is_seen = true;
        count--;
    }
    assert_int_equal(count, 0);
    hash_table_done(&table);
    free(entries);
}

static void test_equal_hashes(void **state)
{
    struct entry entries[50] = {0};
    struct hash_table table;
    (void)state;
    hash_table_init(&table, 0);
    for (size_t i = 0; i < 50; i++) {
        entries[i].node.hash = i % 2;
        assert_true(hash_table_insert(&table, &entries[i].node));
    }
    int found = 0;
    for (struct hash_node *node = hash_table_find(&table, 1); node != NULL;
         node = hash_node_next(node)) {
        assert_int_equal(node->hash, 1);
        found++;
    }
    assert_int_equal(found, 25);
    assert_null(hash_table_find(&table, 2));
    hash_table_done(&table);
}

/* Without memory for buckets nothing is inserted; a table that cannot grow goes on, only slower. */
static void test_no_memory(void **state)
{
    struct entry entries[100] = {0};
    struct hash_table table;
    (void)state;
    hash_table_init(&table, 0);
    fail_alloc_at(1);
    assert_false(hash_table_insert(&table, &entries[0].node));
    assert_true(fail_alloc_stop());
    assert_int_equal(table.count, 0);
    for (size_t i = 0; i < 100; i++) {
        entries[i].key = i;
        entries[i].node.hash = hash_u64(i, table.seed);
        if (i > 0) {
            fail_alloc_at(1);
        }
        assert_true(hash_table_insert(&table, &entries[i].node));
        (void)fail_alloc_stop();
    }
    assert_int_equal(table.bucket_count, 16);
    for (size_t i = 0; i < 100; i++) {
        assert_ptr_equal(find(&table, i), &entries[i]);
    }
    hash_table_done(&table);
}

/* Lengths, contents and seeds all matter, and low bits spread (they choose the bucket). */
static void test_hashes_differ(void **state)
{
    static const uint8_t zeros[64] = {0};
    uint64_t seen[128];
    size_t count = 0;
    uint32_t buckets[16] = {0};
    (void)state;
    for (size_t size = 0; size < 64; size++) {
        for (uint64_t seed = 0; seed < 2; seed++) {
            const uint64_t hash = hash_bytes(slice_of(zeros, size), seed);
            for (size_t i = 0; i < count; i++) {
                assert_true(seen[i] != hash);
            }
            seen[count++] = hash;
        }
    }
    for (uint64_t i = 0; i < 16000; i++) {
        buckets[hash_u64(i, 7) % 16]++;
    }
    for (int i = 0; i < 16; i++) {
        assert_in_range(buckets[i], 850, 1150);
    }
    assert_true(hash_bytes(SLICE_NULL, 3) == hash_bytes(SLICE(""), 3));
    assert_true(hash_bytes(SLICE("topic"), 3) == hash_bytes(SLICE("topic"), 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_equal_hashes),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_hashes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
