/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address_counts.h"

#include <stdlib.h>

#include "base/list.h"

struct address_count {
    struct hash_node node;
    uint8_t ip[16];
    uint32_t count; /* > 0 */
};

void address_counts_init(struct address_counts *counts, uint64_t seed)
{
    check(pthread_mutex_init(&counts->lock, NULL) == 0);
    hash_table_init(&counts->table, seed);
}

void address_counts_done(struct address_counts *counts)
{
    struct hash_node *node;
    while ((node = hash_table_next(&counts->table, NULL)) != NULL) {
        hash_table_remove(&counts->table, node);
        free(container_of(node, struct address_count, node));
    }
    hash_table_done(&counts->table);
    (void)pthread_mutex_destroy(&counts->lock);
}

/* Locks: held, for a table that grows writes its seed again. */
static uint64_t hash_of(const struct address_counts *counts, const struct socket_address *address)
{
    return hash_bytes(slice_of(address->ip, sizeof(address->ip)), counts->table.seed);
}

/* Locks: held. NULL: none yet. */
static struct address_count *find(const struct address_counts *counts, uint64_t hash,
                                  const struct socket_address *address)
{
    for (struct hash_node *node = hash_table_find(&counts->table, hash); node != NULL;
         node = hash_node_next(node)) {
        struct address_count *found = container_of(node, struct address_count, node);
        if (memcmp(found->ip, address->ip, sizeof(found->ip)) == 0) {
            return found;
        }
    }
    return NULL;
}

/* Locks: held. */
static enum error add_first(struct address_counts *counts, uint64_t hash,
                            const struct socket_address *address)
{
    struct address_count *added = calloc(1, sizeof(*added));
    if (added == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    added->node.hash = hash;
    added->count = 1;
    memcpy(added->ip, address->ip, sizeof(added->ip));
    if (!hash_table_insert(&counts->table, &added->node)) {
        free(added);
        return E_LOCAL_NO_MEMORY;
    }
    return E_OK;
}

enum error address_counts_add(struct address_counts *counts, const struct socket_address *address,
                              uint32_t count_max)
{
    struct address_count *found;
    enum error error = E_OK;
    uint64_t hash;
    if (count_max == 0) {
        return E_LOCAL_LIMIT;
    }
    (void)pthread_mutex_lock(&counts->lock);
    hash = hash_of(counts, address);
    found = find(counts, hash, address);
    if (found == NULL) {
        error = add_first(counts, hash, address);
    } else if (found->count < count_max) {
        found->count++;
    } else {
        error = E_LOCAL_LIMIT;
    }
    (void)pthread_mutex_unlock(&counts->lock);
    return error;
}

void address_counts_remove(struct address_counts *counts, const struct socket_address *address)
{
    struct address_count *found;
    (void)pthread_mutex_lock(&counts->lock);
    found = find(counts, hash_of(counts, address), address);
    check(found != NULL);
    if (--found->count == 0) {
        hash_table_remove(&counts->table, &found->node);
        free(found);
    }
    (void)pthread_mutex_unlock(&counts->lock);
}
