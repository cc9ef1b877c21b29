/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Hashing of bytes and an intrusive hash table with chained buckets that doubles as it fills. */

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

/* Seeded so that a peer cannot choose colliding names: give each table a random seed. */
uint64_t hash_bytes(struct slice bytes, uint64_t seed);
uint64_t hash_u64(uint64_t value, uint64_t seed);

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash_table {
    struct hash_node **buckets;
    size_t bucket_count; /* a power of two, or 0 before the first insert */
    size_t count;        /* nodes */
    uint64_t seed;
};

void hash_table_init(struct hash_table *table, uint64_t seed);
/* Frees the buckets, not the nodes. */
void hash_table_done(struct hash_table *table);
/* false: no memory, nothing inserted. node->hash must be set. Does not look for equal keys. */
NODISCARD bool hash_table_insert(struct hash_table *table, struct hash_node *node);
void hash_table_remove(struct hash_table *table, struct hash_node *node);
/* First node with this hash, or NULL; go on with hash_node_next. The caller compares keys. */
struct hash_node *hash_table_find(const struct hash_table *table, uint64_t hash);
struct hash_node *hash_node_next(const struct hash_node *node);
/* Iteration in no order: pass NULL first. The table must not change, but the node just returned may
 * be removed after its successor was fetched. */
struct hash_node *hash_table_next(const struct hash_table *table, const struct hash_node *after);
