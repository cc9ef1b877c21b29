/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the offset index and the time index of a segment have in common: sorted entries of one
 * size, the older ones in a file, the newer ones in memory until the segment is rolled or closed.
 * No mapping: a lookup in the file is a few small reads, and a full disk is an error, not a signal.
 *
 * An index is a hint (reliability rule 49): a reader checks what it finds where the entry points.
 *
 * Thread: the owner of the log changes it, under the log's lock; other threads search the tail
 * under the lock and the file in a copy of the struct without it.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/vfs.h"

enum { SPARSE_ENTRY_SIZE_MAX = 12 };

struct sparse_index {
    uint8_t *tail; /* entries behind those of the file, as they will be there */
    uint32_t tail_count;
    uint32_t tail_capacity;
    uint32_t disk_count; /* entries in the file */
    uint32_t entry_size; /* bytes */
};

void sparse_index_init(struct sparse_index *index, uint32_t entry_size);
void sparse_index_done(struct sparse_index *index);
static inline uint32_t sparse_index_count(const struct sparse_index *index)
{
    return index->disk_count + index->tail_count;
}
/* Without memory the entry is left out: then lookups walk further. */
void sparse_index_append(struct sparse_index *index, const uint8_t *entry);
/* Forgets all entries, also those of the file (which sparse_index_write then cuts). */
void sparse_index_clear(struct sparse_index *index);
/* Forgets the entries from this index on. Only what is in memory changes. */
void sparse_index_keep(struct sparse_index *index, uint32_t count);
/* Copies the entry with this index (< count), from memory or from path. */
NODISCARD enum error sparse_index_get(const struct sparse_index *index, struct vfs *vfs,
                                      const char *path, uint32_t at, uint8_t *ret_entry);
/* Writes the tail behind the entries of the file and cuts the file there; makes the file. Then,
 * under the lock, frees the tail. */
NODISCARD enum error sparse_index_write(struct sparse_index *index, struct vfs *vfs,
                                        const char *path, pthread_mutex_t *lock);
/*
 * Search: the number of entries whose big-endian signed key of key_size (4 or 8) bytes at the
 * entry's start is <= key. *ret_entry holds the last of them when the number is not 0.
 */
struct sparse_key {
    uint32_t size; /* bytes: 4 or 8 */
    int64_t value;
};
/* The part of the search that needs no I/O. false: the answer is in the file, or there is none. */
bool sparse_index_search_tail(const struct sparse_index *index, struct sparse_key key,
                              uint32_t *ret_count, uint8_t *ret_entry);
NODISCARD enum error sparse_index_search(const struct sparse_index *index, struct vfs *vfs,
                                         const char *path, struct sparse_key key,
                                         uint32_t *ret_count, uint8_t *ret_entry);
