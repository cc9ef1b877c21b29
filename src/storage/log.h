/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The log of one partition: a directory of segments in Apache Kafka's format.
 *
 *   log start            high watermark      end (next offset)
 *       v                      v                 v
 *   [seg 0 ........][seg 120 .......][seg 300 (active) ....]
 *
 * Invariants
 *  I1 log_start <= last_stable <= high_watermark <= end.
 *  I2 What a reader can see (below `end` as published) is completely in the page cache: the end is
 * published only after the write succeeded. I3 Offsets are dense within an append and never reused,
 * except above the high watermark after truncation. I4 Data first, then indexes, then state in
 * memory. After a failed write the file is cut back to its old end before anything else is
 * appended; if that fails the log is failed (on_failed). I5 recovery_point <= end; all below it is
 * flushed; it moves only after fdatasync of data, then indexes and snapshot. I6 One failed
 * fdatasync fails the log for good; nothing is retried on that descriptor. I7 Producer state,
 * epochs and indexes after close and open, or crash and recovery, equal those before (dedupe window
 * may shrink).
 *
 * Thread: log_open, log_recover and log_close may block and run on any one thread while nobody else
 * uses the log. Everything else: the owner loop (log_env.loop), unless said otherwise.
 *
 * Readers on other loops: what they look at is atomic (the offsets) or taken under the log's lock
 * together with a reference to the segment; the file that they get has a reference of its own. They
 * hold no reference to the log: who frees a log that they may have found first makes it unfindable
 * and then waits for a round of the loops (io/loop_set.h), which no reader outlasts.
 */

#include "base/arena.h"
#include "base/error.h"
#include "base/list.h"
#include "base/uuid.h"
#include "io/vfs.h"
#include "io/worker.h"
#include "storage/log_config.h"

struct log;
struct log_writer;
struct file_cache;
struct inflate_scratch; /* record/ */

/* What all logs of one loop share. Borrowed; outlives the logs. */
struct log_env {
    struct vfs *vfs;
    struct clock *clock;
    struct loop *loop;           /* owner loop; NULL in tests that drive the writer by hand */
    struct worker_pool *workers; /* NULL: blocking work runs in line (tests, tools) */
    struct log_writer *writer;   /* gathers the appends of one turn */
    struct file_cache *files;    /* open descriptors, LRU, capped */
};

struct topic_partition {
    struct slice topic;
    int32_t partition;
};

/* What is known about a log from the checkpoints of its directory. */
struct log_hints {
    int64_t recovery_point;   /* everything below is flushed; 0: unknown */
    int64_t log_start_offset; /* -1: not in the checkpoint */
    int64_t high_watermark;   /* 0: unknown */
    bool was_clean;           /* the directory had a clean-shutdown marker: no scan */
    bool machine_restarted;   /* boot id changed since: the page cache was lost */
};

/* Calls upward; all on the owner loop. NULL members are skipped. */
struct log_events {
    void *context;
    void (*on_flushed)(void *context, struct log *log); /* log_flushed_offset moved */
    void (*on_failed)(void *context, struct log *log,
                      enum error error); /* its directory is to be taken offline */
};

/*
 * Opens or makes the log in directory `path` ("<log dir>/<topic>-<partition>"), recovering it as
 * reliability.md §2.5 says when hints->was_clean is false.
 * topic_id     Zero: taken from partition.metadata, or none.
 * Errors: E_LOCAL_CORRUPT  damage below the high watermark, or a valid batch behind an invalid one:
 * files are kept as they are. E_LOCAL_IO, E_LOCAL_NO_SPACE …: of the vfs.  E_INCONSISTENT_TOPIC_ID
 * partition.metadata names another topic.
 */
NODISCARD enum error log_open(const struct log_env *env, const char *path,
                              struct topic_partition topic_partition, const struct uuid *topic_id,
                              const struct log_config *config, const struct log_hints *hints,
                              const struct log_events *events, struct log **ret_log);
/* Clean: flushes, writes the producer snapshot, trims the indexes, makes the recovery point the
 * end. */
NODISCARD enum error log_close_clean(struct log *log);
/* No calls upward any more: who listens may go before the log does. Thread: the owner loop. */
void log_drop_events(struct log *log);
/* Frees without touching the disk (after failure, after deletion, after log_close_clean). NULL is
 * fine. */
void log_free(struct log *log);

/* --- append --- */

enum append_origin {
    APPEND_FROM_CLIENT,      /* validated in full, offsets assigned */
    APPEND_FROM_COORDINATOR, /* ours: control batches allowed */
    APPEND_FROM_LEADER,      /* replica: offsets kept, bytes kept; several batches */
};

/* One append; storage is the caller's until on_done has been called. */
struct append {
    /* in */
    struct list node; /* the log's */
    uint8_t *data; /* exactly one v2 batch (client), or a magic 0/1 message set; patched in place */
    size_t size;
    struct shared *owner; /* keeps data alive; the log takes its own reference */
    struct arena *arena;  /* for texts, and for converted or recompressed batches */
    enum append_origin origin;
    int32_t leader_epoch;
    bool zstd_allowed;      /* Produce v7+ */
    bool magic_old_allowed; /* Produce v0-2: magic 0/1 */
    struct inflate_scratch *scratch;
    /* out, valid in on_done */
    enum error error;
    const char *error_text;     /* arena; NULL: none */
    int32_t record_error_index; /* -1: no single record is to blame */
    const char *record_error_text;
    int64_t base_offset; /* -1 on error */
    int64_t last_offset;
    int64_t log_append_time_ms; /* -1 for CreateTime; of the stored batch for a duplicate */
    int64_t log_start_offset;
    bool is_duplicate; /* idempotent retry: nothing was appended, offsets are the original's */
    void (*on_done)(struct append *append);
    /* the log's own: of the one batch, unless it is from the leader */
    int64_t max_timestamp;
    bool has_producer;
};

/*
 * Validates, checks producer state, assigns offsets and queues the write. on_done is called later
 * in the same turn of the loop (from log_writer_flush), never inside this call, for success and
 * failure alike and in the order of calls per log. E_OK means: in the page cache and visible to
 * readers at `end`.
 */
void log_append(struct log *log, struct append *append);

/* One per loop. log_writer arms itself on env.loop's PHASE_WRITE; without a loop call flush by
 * hand. */
NODISCARD enum error log_writer_new(struct loop *loop, struct log_writer **ret_writer);
void log_writer_free(struct log_writer *writer);
/* One pwritev per log with queued appends, then their on_done. */
void log_writer_flush(struct log_writer *writer);

/* --- offsets --- */

struct log_offsets {
    int64_t log_start;
    int64_t last_stable;
    int64_t high_watermark;
    int64_t end;     /* next offset that an append gets, as published */
    int64_t flushed; /* recovery point: everything below is on disk */
};
/* Any thread: each value is consistent by itself, I1 holds when read on the owner loop. */
void log_get_offsets(const struct log *log, struct log_offsets *ret_offsets);
/* Forward only, up to end; moves the last stable offset along. */
void log_set_high_watermark(struct log *log, int64_t offset);

/* --- read --- */

enum read_limit {
    READ_TO_END,            /* replicas */
    READ_TO_HIGH_WATERMARK, /* read_uncommitted */
    READ_TO_LAST_STABLE,    /* read_committed */
};

struct log_read {
    /* in */
    int64_t offset;
    size_t size_max;         /* bytes */
    bool at_least_one_batch; /* the first batch is given whole even when it is larger */
    enum read_limit limit;
    struct log_cursor
        *cursor; /* may be NULL: remembers where the last read ended; skips the index */
    /* out */
    struct file *file; /* a reference for the caller; NULL when size == 0 */
    int64_t position;
    size_t size;  /* whole batches except possibly the last, as Kafka cuts */
    bool is_cold; /* probably not in the page cache: read ahead on a worker first */
};

struct log_cursor {
    int64_t offset; /* the next offset to read; -1: empty */
    int64_t segment_base_offset;
    int64_t position;
    int64_t generation; /* the log's count of truncations and swaps when this was taken */
};

/* Any thread (immutable views). Never blocks on more than an index page.
 * Errors: E_OFFSET_OUT_OF_RANGE below log start or above end. */
NODISCARD enum error log_read(struct log *log, struct log_read *read);

struct aborted_transaction {
    int64_t producer_id;
    int64_t first_offset;
};
/* All aborted transactions that overlap [from, to). May read the disk. Array in the arena. */
NODISCARD enum error log_aborted_transactions(struct log *log, int64_t from, int64_t to,
                                              struct arena *arena,
                                              struct aborted_transaction **ret_items,
                                              size_t *ret_count);

struct timestamp_offset {
    int64_t timestamp; /* -1: none */
    int64_t offset;    /* -1: none */
    int32_t leader_epoch;
};
/* First record with timestamp >= at, below the limit. May read the disk: run it on a worker or
 * accept the cost. */
NODISCARD enum error log_find_timestamp(struct log *log, int64_t at, enum read_limit limit,
                                        struct timestamp_offset *ret_found);
/* First record that has the largest timestamp (ListOffsets -3). */
NODISCARD enum error log_find_max_timestamp(struct log *log, struct timestamp_offset *ret_found);

/* --- epochs --- */

struct epoch_end {
    int32_t epoch;      /* -1: undefined */
    int64_t end_offset; /* -1: undefined */
};
/* KIP-101, KIP-279: the largest epoch <= asked and its end; asked = latest: end of the log. */
struct epoch_end log_epoch_end(const struct log *log, int32_t epoch);
/* Latest epoch in the cache, -1: none. */
int32_t log_latest_epoch(const struct log *log);
/* Records (epoch, start = end) when epoch is new; lazily persisted with the first append. */
NODISCARD enum error log_start_epoch(struct log *log, int32_t epoch);

/* --- maintenance; each may touch the disk --- */

/* Drops everything at and above offset (rule 9: rolls back epochs, producers, indexes, HW, recovery
 * point). */
NODISCARD enum error log_truncate(struct log *log, int64_t offset);
/* Drops everything and starts at offset. */
NODISCARD enum error log_restart_at(struct log *log, int64_t offset);
/* DeleteRecords: offset <= high watermark. Persisting the checkpoint is the manager's.
 * E_OFFSET_OUT_OF_RANGE. */
NODISCARD enum error log_raise_start(struct log *log, int64_t offset);
/* Applies retention by time, size and log start; files are renamed .deleted now and unlinked later
 * by the manager. */
NODISCARD enum error log_retain(struct log *log, int64_t now_ms, uint32_t *ret_segment_count);
NODISCARD enum error log_roll(struct log *log);

/* A file that was renamed to .deleted; it may be unlinked after config.file_delete_delay_ms. */
struct deleted_file {
    struct list node;
    char path[]; /* NUL-terminated */
};
/* Any thread. Moves what was deleted since the last call to the end of ret_files. The caller
 * unlinks each later and gives it back with free(). What is not taken is freed by log_free and
 * removed at the next open. */
void log_take_deleted_files(struct log *log, struct list *ret_files);
/* Group commit: starts (or joins the next) fdatasync on a worker; on_flushed follows. Without
 * workers: in line. */
void log_flush(struct log *log);
bool log_has_unflushed(const struct log *log); /* any thread */
void log_set_config(struct log *log, const struct log_config *config);
const struct log_config *log_get_config(const struct log *log);
/* Any thread: file.delete.delay.ms. */
int64_t log_file_delete_delay_ms(struct log *log);
int64_t log_size(struct log *log); /* bytes of all segments; any thread */
uint32_t log_segment_count(const struct log *log);
struct topic_partition log_topic_partition(const struct log *log);
struct uuid log_topic_id(const struct log *log);
const char *log_path(const struct log *log);
bool log_is_failed(const struct log *log); /* any thread */

/* --- producers --- */

struct producer_info {
    int64_t producer_id;
    int64_t last_timestamp;
    int64_t current_txn_start_offset; /* -1: none */
    int32_t last_sequence;            /* -1: none */
    int32_t coordinator_epoch;        /* -1: none */
    int16_t producer_epoch;
};
/* For DescribeProducers. Array in the arena. */
NODISCARD enum error log_producers(struct log *log, struct arena *arena,
                                   struct producer_info **ret_items, size_t *ret_count);
/* Forgets producers that have not written for producer_id_expiration_ms and have no open
 * transaction. */
void log_expire_producers(struct log *log, int64_t now_ms);
