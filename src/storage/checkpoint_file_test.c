/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/checkpoint_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARENA_SIZE_MAX = 1 << 20 };

static enum error parse(struct arena *arena, const char *text, size_t *ret_count)
{
    struct checkpoint_entry *entries;
    return checkpoint_parse(slice_from_string(text), arena, &entries, ret_count);
}

/* What is written is Kafka's text, and reads back; nothing of a torn one is used. */
static void test_round_trip(void **state)
{
    char directory[] = "/tmp/ottla-checkpoint-XXXXXX";
    char path[64];
    struct checkpoint_text text;
    struct checkpoint_entry *entries;
    struct arena arena;
    struct slice bytes;
    size_t count;
    (void)state;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/c", directory);
    arena_init(&arena, ARENA_SIZE_MAX);
    checkpoint_text_init(&text);
    checkpoint_text_add(&text, &(struct checkpoint_entry){SLICE("trimmed"), 0, 25});
    checkpoint_text_add(&text, &(struct checkpoint_entry){SLICE("a.b_c-d"), INT32_MAX, INT64_MAX});
    assert_int_equal(checkpoint_text_write(&text, vfs_system(), path), E_OK);
    checkpoint_text_done(&text);
    assert_int_equal(vfs_read_file(vfs_system(), path, ARENA_SIZE_MAX, &arena, &bytes), E_OK);
    assert_string_equal((const char *)bytes.data,
                        "0\n2\ntrimmed 0 25\na.b_c-d 2147483647 9223372036854775807\n");
    assert_int_equal(checkpoint_read(vfs_system(), path, &arena, &entries, &count), E_OK);
    assert_int_equal(count, 2);
    assert_true(slice_equal_string(entries[1].topic, "a.b_c-d"));
    assert_int_equal(entries[1].partition, INT32_MAX);
    assert_true(entries[1].offset == INT64_MAX);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(checkpoint_parse(slice_of(bytes.data, size), &arena, &entries, &count),
                         E_LOCAL_CORRUPT);
    }
    arena_done(&arena);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void test_refuses_damage(void **state)
{
    static const char *const damaged[] = {
        "1\n0\n",
        "0\n1\n",
        "0\n-1\n",
        "0\n9999999999\n",
        "0\n1\nt 0\n",
        "0\n1\nt 0 -5\n",
        "0\n1\nt x 5\n",
        "0\n1\n 0 5\n",
        "0\n0\nt 0 5\n",
        "0\n1\nt 0 5\nu 0 5\n",
        "0\n1\nt 0 9223372036854775808\n",
    };
    struct arena arena;
    size_t count = 7;
    (void)state;
    arena_init(&arena, ARENA_SIZE_MAX);
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        assert_int_equal(parse(&arena, damaged[i], &count), E_LOCAL_CORRUPT);
    }
    assert_int_equal(count, 7); /* untouched on failure */
    assert_int_equal(parse(&arena, "0\n0\n", &count), E_OK);
    assert_int_equal(count, 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refuses_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
