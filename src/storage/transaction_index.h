/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The aborted transactions of a segment: its .txnindex file, made with the first one.
 *
 *   at  0  int16  version 0
 *       2  int64  producer id
 *      10  int64  first offset of the transaction (may lie in an earlier segment)
 *      18  int64  last offset: that of the abort marker
 *      26  int64  last stable offset when it was written
 *
 * Source: KIP-98; kafka-facts, on-disk format.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "io/vfs.h"

enum { TRANSACTION_INDEX_ENTRY_SIZE = 34 };

struct aborted_entry {
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset;
    int64_t last_stable_offset;
};

/* Adds at position (a multiple of the entry size), making the file. Errors: of the vfs. */
NODISCARD enum error transaction_index_append(struct vfs *vfs, const char *path, int64_t position,
                                              const struct aborted_entry *entry);
/* All entries, in the arena; up to the first that breaks the format. No file: none. */
NODISCARD enum error transaction_index_read(struct vfs *vfs, const char *path, struct arena *arena,
                                            struct aborted_entry **ret_entries, size_t *ret_count);
/* Cuts entries whose last offset is at or above offset. No file: nothing to do. */
NODISCARD enum error transaction_index_truncate(struct vfs *vfs, const char *path, int64_t offset,
                                                int64_t *ret_size);
