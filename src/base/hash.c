/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <stdlib.h>

enum {
    BUCKET_COUNT_FIRST = 16,
};

/*
 * SipHash-1-3 (Aumasson and Bernstein), keyed with the table's seed: whoever does not know the
 * seed cannot find names that collide. Result differs between seeds and between machines of
 * different byte order: never stored, never sent.
 */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash_bytes(struct slice bytes, uint64_t seed)
{
    /* The key is 128 bits; the second half is made from the seed. */
    const uint64_t key0 = seed;
    const uint64_t key1 = (seed ^ (seed >> 29)) * 0x9e3779b97f4a7c15U;
    struct sip s = {
        .v0 = key0 ^ 0x736f6d6570736575U,
        .v1 = key1 ^ 0x646f72616e646f6dU,
        .v2 = key0 ^ 0x6c7967656e657261U,
        .v3 = key1 ^ 0x7465646279746573U,
    };
    const uint8_t *p = bytes.data;
    size_t left = bytes.size;
    uint64_t word;
    for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        sip_word(&s, word);
    }
    word = 0;
    if (left > 0) {
        memcpy(&word, p, left);
    }
    sip_word(&s, word | (uint64_t)bytes.size << 56);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_u64(uint64_t value, uint64_t seed)
{
    return hash_bytes(slice_of(&value, sizeof(value)), seed);
}

void hash_table_init(struct hash_table *table, uint64_t seed)
{
    *table = (struct hash_table){.seed = seed};
}

void hash_table_done(struct hash_table *table)
{
    free(table->buckets);
    hash_table_init(table, table->seed);
}

static struct hash_node **bucket_of(const struct hash_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->bucket_count - 1)];
}

/* Moves all nodes into twice as many buckets. false: no memory, the table is as before. */
static bool grow(struct hash_table *table)
{
    const size_t count = table->bucket_count == 0 ? BUCKET_COUNT_FIRST : 2 * table->bucket_count;
    struct hash_table larger = *table;
    larger.bucket_count = count;
    larger.buckets = calloc(count, sizeof(struct hash_node *));
    if (larger.buckets == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct hash_node *next;
        for (struct hash_node *node = table->buckets[i]; node != NULL; node = next) {
            struct hash_node **bucket = bucket_of(&larger, node->hash);
            next = node->next;
            node->next = *bucket;
            *bucket = node;
        }
    }
    free(table->buckets);
    *table = larger;
    return true;
}

bool hash_table_insert(struct hash_table *table, struct hash_node *node)
{
    /* A full table that cannot grow only becomes slower; one without buckets cannot hold a node. */
    if (table->count >= table->bucket_count && !grow(table) && table->bucket_count == 0) {
        return false;
    }
    struct hash_node **bucket = bucket_of(table, node->hash);
    node->next = *bucket;
    *bucket = node;
    table->count++;
    return true;
}

void hash_table_remove(struct hash_table *table, struct hash_node *node)
{
    check(table->count > 0);
    struct hash_node **at = bucket_of(table, node->hash);
    while (*at != node) {
        check(*at != NULL); /* the node is in this table */
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    table->count--;
}

static struct hash_node *skip_other_hashes(struct hash_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct hash_node *hash_table_find(const struct hash_table *table, uint64_t hash)
{
    return table->bucket_count == 0 ? NULL : skip_other_hashes(*bucket_of(table, hash), hash);
}

struct hash_node *hash_node_next(const struct hash_node *node)
{
    return skip_other_hashes(node->next, node->hash);
}

struct hash_node *hash_table_next(const struct hash_table *table, const struct hash_node *after)
{
    size_t i = 0;
    if (after != NULL) {
        if (after->next != NULL) {
            return after->next;
        }
        i = (after->hash & (table->bucket_count - 1)) + 1;
    }
    for (; i < table->bucket_count; i++) {
        if (table->buckets[i] != NULL) {
            return table->buckets[i];
        }
    }
    return NULL;
}
