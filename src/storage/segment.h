/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One segment of a log: its .log file, the two sparse indexes and the transaction index.
 *
 * The last segment of a log is the active one; only it is written. Index entries of a segment live
 * in memory until it is rolled or the log is closed; after a crash they are rebuilt.
 *
 * A reader holds a reference while it looks at a segment, and a reference to the open file while a
 * response points into it; deleting a segment does not disturb either.
 *
 * Thread: the owner of the log changes a segment, and does so with what readers look at (size,
 * indexes) under the log's lock. Functions marked "any thread" take the lock themselves.
 */

#include <pthread.h>
#include <stdbool.h>

#include "storage/batch_scan.h"
#include "storage/file_cache.h"
#include "storage/segment_path.h"
#include "storage/sparse_index.h"

enum {
    OFFSET_INDEX_ENTRY_SIZE = 8, /* int32 relative offset, int32 position */
    TIME_INDEX_ENTRY_SIZE = 12,  /* int64 timestamp, int32 relative offset */
};

/* What the segments of one log share. */
struct segment_home {
    struct vfs *vfs;
    struct file_cache *files;
    char *path; /* the partition's directory */
    pthread_mutex_t lock;
};

struct segment {
    struct shared shared;
    struct file_slot slot; /* of the .log file */
    int64_t base_offset;
    int64_t size; /* bytes; changed under the lock */
    struct sparse_index offset_index;
    struct sparse_index time_index;
    int64_t transaction_index_size; /* bytes; 0: no file or an empty one */
    int64_t created_ms;             /* wall clock: made or found */
    int64_t first_timestamp;        /* of the first batch; -1: none, or not read yet */
    /* The largest timestamp so far and the last offset of the batch that has it; -1: none. Valid
     * when is_time_known. */
    int64_t max_timestamp;
    int64_t max_timestamp_offset;
    int64_t time_index_last; /* timestamp of the last entry; -1: none */
    int64_t allocated_size;  /* bytes reserved on disk ahead of the size */
    int64_t written_back;    /* bytes for which write-back was started */
    int64_t bytes_since_index_entry;
    bool is_time_known;
    bool is_dirty; /* has bytes that were not flushed: the file is pinned in the cache */
};

NODISCARD enum error segment_new(int64_t base_offset, int64_t now_ms, struct segment **ret_segment);
/* The file must be out of the cache: segment_close_file. */
struct segment *segment_unref(struct segment *seg);
static inline struct segment *segment_ref(struct segment *seg)
{
    shared_ref(&seg->shared);
    return seg;
}

void segment_file_path(const struct segment_home *home, const struct segment *seg,
                       enum segment_file_kind kind, char *path);
/* Makes the empty .log file. Errors: of vfs.open. */
NODISCARD enum error segment_create_file(struct segment_home *home, struct segment *seg);
/* A reference to the open .log file. Any thread. Errors: of vfs.open. */
NODISCARD enum error segment_get_file(struct segment_home *home, struct segment *seg,
                                      struct file **ret_file);
void segment_close_file(struct segment_home *home, struct segment *seg);
/* Dirty files stay open until they are flushed. */
void segment_set_dirty(struct segment_home *home, struct segment *seg, bool is_dirty);

/* --- indexes --- */

struct index_batch {
    int64_t position;
    int64_t size;
    int64_t last_offset;
    int64_t max_timestamp;
};

/* Counts a batch that is in the file and adds the index entries that are due for it. Needs
 * segment_load_times. Lock: held. */
void segment_index_batch(struct segment *seg, const struct index_batch *batch,
                         int64_t index_interval_bytes);
/* The time index gets its last entry; then both indexes are written. */
NODISCARD enum error segment_write_indexes(struct segment_home *home, struct segment *seg);
/* max_timestamp and time_index_last from the time index, first_timestamp from the first batch, when
 * not known yet. */
NODISCARD enum error segment_load_times(struct segment_home *home, struct segment *seg);
/* Takes the sizes of the index files; true when both look sound (rule 49). */
bool segment_adopt_indexes(struct segment_home *home, struct segment *seg);
void segment_clear_indexes(struct segment *seg);
/* Cuts the segment at position: entries of the indexes that lie behind go. */
NODISCARD enum error segment_truncate(struct segment_home *home, struct segment *seg,
                                      int64_t position, int64_t offset);

/* --- lookup; any thread --- */

struct segment_place {
    int64_t position;    /* of the batch */
    int64_t size;        /* of the batch; 0: no such batch, position is the end */
    int64_t base_offset; /* of the batch */
};

/*
 * The first batch whose last offset is >= offset, among the first end bytes of the segment.
 * Errors: of the vfs; E_LOCAL_CORRUPT.
 */
NODISCARD enum error segment_locate(struct segment_home *home, struct segment *seg,
                                    struct file *file, int64_t offset, int64_t end,
                                    struct segment_place *ret_place);
/* Where to begin to look for an offset: the position of the last index entry <= offset, or 0. */
NODISCARD enum error segment_lookup_offset(struct segment_home *home, struct segment *seg,
                                           int64_t offset, int64_t *ret_position);
/* The largest timestamp of its batches; -1: none. */
NODISCARD enum error segment_max_timestamp(struct segment_home *home, struct segment *seg,
                                           int64_t *ret_timestamp);
/* The offset below which no record has a timestamp >= timestamp, by the time index. */
NODISCARD enum error segment_lookup_time(struct segment_home *home, struct segment *seg,
                                         int64_t timestamp, int64_t *ret_offset);
