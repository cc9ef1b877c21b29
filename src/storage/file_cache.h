/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Open descriptors of segment files, least recently used first out, capped: fifty thousand
 * partitions must not need fifty thousand descriptors (reliability rule 58).
 *
 * A pinned file stays open: its file has writes that were not flushed, and closing could lose the
 * report of a failed write-back (rule 50). So the cap is soft by the number of dirty files, which
 * the background flusher bounds. A reader's reference keeps a descriptor alive beyond eviction.
 *
 * Thread: any; one leaf lock, no I/O under it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "io/vfs.h"

struct file_cache;

/* The place of one file in the cache; embedded in its user, all zero after file_slot_init. */
struct file_slot {
    struct list node;  /* the cache's lock */
    struct file *file; /* the cache's lock; NULL: closed */
    bool is_pinned;    /* the cache's lock */
};

NODISCARD enum error file_cache_new(struct vfs *vfs, uint32_t open_files_max,
                                    struct file_cache **ret_cache);
/* All slots must be closed. NULL is fine. */
void file_cache_free(struct file_cache *cache);

void file_slot_init(struct file_slot *slot);
/* A reference to the open file for the caller; NULL: it is closed. Saves making the path. */
struct file *file_cache_find(struct file_cache *cache, struct file_slot *slot);
/* A reference to the open file for the caller, opening it for reading and writing if it is closed.
 * Errors: of vfs.open. */
NODISCARD enum error file_cache_get(struct file_cache *cache, struct file_slot *slot,
                                    const char *path, struct file **ret_file);
/* Puts a file that the caller opened into an empty slot; takes over the reference. */
void file_cache_put(struct file_cache *cache, struct file_slot *slot, struct file *file);
void file_cache_pin(struct file_cache *cache, struct file_slot *slot, bool is_pinned);
/* Forgets the file, pinned or not; it closes with its last reference. */
void file_cache_close(struct file_cache *cache, struct file_slot *slot);
/* Descriptors held by the cache now. */
uint32_t file_cache_open_count(struct file_cache *cache);
