/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The inside of a log, for the files log_*.c only. What a log promises: log.h.
 *
 *   log_append ──prepare──▶ queued ──log_write_queued──▶ written ──log_writer_flush──▶ on_done
 *                │                     │
 *                │ speculative: next_offset, producer state (undoable)
 *                                      │ committed: size, end, indexes, epochs, transactions
 *
 * A refused append takes the same way without bytes, so that on_done keeps the order of calls.
 *
 * Lock: home.lock guards what readers on other threads look at: the segment array, sizes and
 * indexes of segments, limits. It is a leaf: no I/O, no callback and no other lock under it. The
 * offsets are atomic. Everything else belongs to the owner loop.
 */

#include <stdatomic.h>

#include "storage/leader_epochs.h"
#include "storage/log.h"
#include "storage/producer_state.h"
#include "storage/segment.h"
#include "storage/transaction_index.h"

/* Where the last resolved limit of readers lies, so that the next read need not look for it. */
struct log_limit_place {
    int64_t offset; /* -1: nothing resolved yet */
    int64_t segment_base_offset;
    int64_t position;
};

enum { LOG_RECENT_WRITE_COUNT = 8 };

struct flush_job;

struct log {
    const struct log_env *env;
    struct segment_home home;
    struct topic_partition topic_partition; /* the topic's bytes are behind the struct's path */
    struct uuid topic_id;
    struct log_config config; /* changed by the owner under home.lock, which others take to look */
    struct log_events events;
    int64_t roll_jitter_ms; /* of this log: below segment.jitter.ms */

    /* Changed by the owner under home.lock; readers take the lock. */
    struct segment **segments; /* by base offset; never empty; the last one is active */
    uint32_t segment_count;
    uint32_t segment_capacity;
    struct log_limit_place limits[READ_TO_LAST_STABLE + 1];
    /* Where the last writes began, in a ring. Readers that keep up ask for just these offsets and
     * need neither the index nor a look into the file. */
    struct log_limit_place recent_writes[LOG_RECENT_WRITE_COUNT];
    uint32_t recent_write_next;
    int64_t generation; /* of truncations and swaps: cursors of others are void */

    /* Written by the owner, read by anyone. */
    _Atomic int64_t log_start;
    _Atomic int64_t last_stable;
    _Atomic int64_t high_watermark;
    _Atomic int64_t end;
    _Atomic int64_t flushed;

    /* Speculative, with what is queued. */
    struct list queued;  /* append.node */
    struct list written; /* append.node: outcome known, on_done to be called */
    struct list writer_node;
    int64_t next_offset;
    int64_t pending_size; /* bytes queued for the active segment */
    int32_t next_epoch;   /* latest leader epoch with what is queued */
    uint32_t pending_epoch_count;

    struct producer_state producers;
    struct leader_epochs epochs;
    bool has_new_files;    /* since the directory was last synced */
    atomic_bool is_failed; /* written by the owner, read by anyone */
    bool is_freed;         /* log_free was called while a flush runs */
    bool is_flush_wanted;
    struct flush_job *flush; /* running; NULL: none */
    int64_t flush_limit;     /* a running flush may not report more: truncation came between */
    struct list deleted;     /* deleted_file; under home.lock */
};

static inline struct segment *log_active(const struct log *log)
{
    return log->segments[log->segment_count - 1];
}

static inline int64_t offset_load(const _Atomic int64_t *offset)
{
    return atomic_load_explicit(offset, memory_order_acquire);
}

static inline void offset_store(_Atomic int64_t *offset, int64_t value)
{
    atomic_store_explicit(offset, value, memory_order_release);
}

/* Wall clock, read once per turn of the loop. */
int64_t log_now_ms(const struct log *log);
/* Recomputes the last stable offset after the high watermark, log start or a transaction moved. */
void log_update_last_stable(struct log *log);
/* The log is of no use any more; tells once. */
void log_fail(struct log *log, enum error error);
/* true: the batch ends a transaction. body: at least min(size, 256) bytes of it. */
bool log_batch_marker(const struct batch_header *header, const uint8_t *body, size_t size,
                      struct transaction_marker *ret_marker);

/* --- segments (log_segments.c) --- */

/* Under no lock. Takes over the reference. Errors: E_LOCAL_NO_MEMORY. */
NODISCARD enum error log_add_segment(struct log *log, struct segment *seg);
/* Index of the segment that holds or would hold offset: the last one with base <= offset; 0 when
 * all begin above. Lock: held, or owner. */
uint32_t log_find_segment(const struct log *log, int64_t offset);
/* Makes a new active segment at base_offset; log_write_queued must have emptied the queue of bytes.
 */
NODISCARD enum error log_roll_at(struct log *log, int64_t base_offset);
/* Takes count segments out at first and renames their files to .deleted. */
NODISCARD enum error log_delete_segments(struct log *log, uint32_t first, uint32_t count);
/* Adds the path of a file that is to be unlinked later; unlinks now when there is no memory. */
void log_add_deleted(struct log *log, const char *path);

/* --- bytes that are not stored as they came (log_convert.c) --- */

/* Messages of magic 0 or 1 become one batch of magic 2, in the append's arena. */
NODISCARD enum error log_convert_old(struct log *log, struct append *append);
/* The batch, which was validated, gets the topic's codec; *header is that of the new one.
 * Errors: E_MESSAGE_TOO_LARGE, E_INVALID_RECORD, E_LOCAL_NO_MEMORY. */
NODISCARD enum error log_recompress(struct log *log, struct append *append,
                                    struct batch_header *header);

/* --- reading (log_read.c) --- */

/* Forgets places in the file: it is new, or was truncated. Lock: held, or not shared yet. */
void log_forget_places(struct log *log);

/* --- writing (log_write.c) --- */

/* Writes all that is queued and settles its appends: they move to `written`. */
void log_write_queued(struct log *log);
/* What the transaction index says about a transaction that was aborted just now. */
struct aborted_entry log_aborted_entry(const struct log *log,
                                       const struct completed_transaction *completed);
/* Into the index of the segment that holds the marker. Errors: of the vfs. */
NODISCARD enum error log_write_aborted(struct log *log, struct segment *seg,
                                       const struct aborted_entry *entry);

/* --- recovery (log_recover.c) --- */

NODISCARD enum error log_recover(struct log *log, const struct log_hints *hints);
/*
 * Producer state before offset `end`: newest good snapshot and replay. The snapshot is one at or
 * below the high watermark, so that transactions are found whose marker is not below it yet
 * (rule 31). An unknown one costs a walk over the headers of all batches, once.
 */
NODISCARD enum error log_load_producers(struct log *log, int64_t end, int64_t high_watermark);
/* Leader epochs from the batches themselves: the checkpoint is missing or damaged. */
NODISCARD enum error log_rebuild_epochs(struct log *log);
/* The indexes of one segment from its batches. */
NODISCARD enum error log_rebuild_indexes(struct log *log, struct segment *seg);

/* The end of the log from its active segment, without checksums. */
NODISCARD enum error log_find_end(struct log *log, int64_t *ret_end);
/* Unlinks snapshots above offset. */
void log_drop_snapshots_above(struct log *log, int64_t offset);
NODISCARD enum error log_write_snapshot(struct log *log, int64_t offset);

/* --- files left by an interrupted compaction or deletion (log_leftovers.c), rule 52 --- */

NODISCARD enum error log_clear_leftovers(struct log *log);

/* "<path>/leader-epoch-checkpoint" */
void log_epochs_path(const struct log *log, char *path);
