/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All log directories of the broker: locks, meta.properties, clean-shutdown marker, checkpoints,
 * what partitions lie there, loading them when first used, deleting them, flushing, retention, and
 * taking a directory offline and online again.
 *
 *   start: lock → meta.properties → read marker → delete it, fsync dir → read checkpoints → list
 *          partition directories (names and partition.metadata only) → serve; logs load on first
 * use stop:  close all logs clean → checkpoints → marker last (rule 46)
 *
 * With several loops each log belongs to one of them, its owner, for as long as it is open. What
 * concerns a log alone (flush, retention) is done there, as a message from home; a log that is let
 * go is freed there, when no other loop can be reading it any more.
 *
 * Thread: the loop it was made on ("home"); blocking work goes to the workers.
 */

#include "base/diag.h"
#include "io/loop_set.h"
#include "storage/log.h"

struct log_manager;

struct log_directory_status {
    const char *path;
    enum error error; /* E_OK: online */
    int64_t free_bytes;
    int64_t total_bytes;
};

/* A partition directory found at start, or a log in use. */
struct log_entry {
    struct topic_partition topic_partition; /* owned by the manager */
    struct uuid topic_id;                   /* zero: no partition.metadata */
    uint32_t directory;                     /* index */
    struct log *log;                        /* NULL: not loaded */
    struct log_hints hints;
    int32_t
        latest_epoch_hint; /* highest epoch in leader-epoch-checkpoint, -1: none or not read yet */
    bool is_loading;
    void *user; /* the partition in replication/ */
};

struct log_manager_options {
    const char *const *directories;
    uint32_t directory_count;
    int32_t broker_id;       /* -1: take what meta.properties says, or 1 */
    struct slice cluster_id; /* null: take what meta.properties says, or make one */
    int64_t flush_background_interval_ms;
    int64_t retention_check_interval_ms;
    int64_t recovery_point_checkpoint_interval_ms;
    int64_t start_offset_checkpoint_interval_ms;
    int64_t high_watermark_checkpoint_interval_ms;
    uint32_t open_files_max;
    bool ack_after_fsync;      /* ack.durability=fsync */
    bool meta_properties_v0;   /* new directories: Kafka's ZooKeeper form instead of KRaft's */
    int64_t broker_epoch;      /* for the clean marker; -1 without ZooKeeper */
    uint64_t random_seed;      /* 0: from the system */
    int64_t probe_interval_ms; /* of a full directory; 0: every 5 s */
    /* Borrowed; the first one is env.loop. NULL: that one alone. */
    const struct loop_set *loops;
};

/* What went wrong at start, for one line to the operator. */
struct start_failure {
    enum error error;
    char text[512]; /* cause and remedy, with path */
};

NODISCARD enum error log_manager_open(const struct log_env *env, struct diag *diag,
                                      const struct log_manager_options *options,
                                      struct log_manager **ret_manager,
                                      struct start_failure *ret_failure);
int32_t log_manager_broker_id(const struct log_manager *manager);
struct slice log_manager_cluster_id(const struct log_manager *manager);
/* The environment for logs (with file cache and writer of the manager). */
const struct log_env *log_manager_env(const struct log_manager *manager);
/* That of the logs of one loop: 0 is log_manager_env. Any thread. */
const struct log_env *log_manager_owner_env(const struct log_manager *manager, unsigned owner);

/* Everything found or made; iterate with NULL first. */
struct log_entry *log_manager_next(struct log_manager *manager, const struct log_entry *after);
struct log_entry *log_manager_find(struct log_manager *manager,
                                   struct topic_partition topic_partition);

/*
 * Makes an entry (in memory; the directory is made when it is first loaded). directory: index, or
 * UINT32_MAX: the online one with the fewest partitions. NULL: no memory.
 */
struct log_entry *log_manager_add(struct log_manager *manager,
                                  struct topic_partition topic_partition,
                                  const struct uuid *topic_id, uint32_t directory);

struct log_load {
    struct log_entry *entry;
    unsigned owner; /* index of the loop that owns the log from on_done on; 0: home */
    struct log_config config;
    struct log_events events;
    enum error error; /* out */
    void (*on_done)(struct log_load *load);
    struct job job;   /* the manager's */
    struct log *log;  /* the manager's */
    struct list node; /* the manager's */
};
/*
 * Opens (makes, recovers) the log on a worker; on_done on the home loop, entry->log set when E_OK.
 * One at a time per entry, many at once over all. Never calls on_done inside this call, except
 * without workers.
 * Errors: of log_open; E_LOCAL_OFFLINE the directory is or went offline;
 * E_UNKNOWN_TOPIC_OR_PARTITION deleted meanwhile: the entry is gone after on_done.
 */
void log_manager_load(struct log_manager *manager, struct log_load *load);

/*
 * Renames the directory to <name>.<32 hex>-delete now (on a worker), unlinks after the delay; the
 * entry is gone (unless it is loading: when that load's on_done returns). Its log is freed at the
 * end of this turn, when its queued appends have been answered; with several loops, when it has
 * been let go by all of them, and then only the directory is renamed. The same topic-partition may
 * be added and loaded again at once.
 */
void log_manager_delete(struct log_manager *manager, struct log_entry *entry);
/* A deletion is on disk: the directory of one partition of this topic can no longer come back at a
 * start. Home loop; perhaps within log_manager_delete. */
void log_manager_on_deleted(struct log_manager *manager,
                            void (*on_deleted)(void *context, const struct uuid *topic_id),
                            void *context);
/* Is the deletion of a partition of this topic under way? */
bool log_manager_is_deleting(const struct log_manager *manager, const struct uuid *topic_id);
/* DeleteRecords moved the log start: persist the checkpoint before files go (rule 54). */
void log_manager_checkpoint_start_offsets(struct log_manager *manager);
/* After log_truncate and log_restart_at: the checkpoints of recovery point and high watermark must
 * not stay ahead of the log (rule 44). */
void log_manager_checkpoint_recovery_points(struct log_manager *manager);

/* How retention reaches logs that are not loaded: names, sizes and times of their files are looked
 * at; when these say that something is to go, the log is asked for. Home loop. */
struct log_manager_cold_events {
    void *context;
    /* false: not known (yet): held. */
    bool (*get_config)(void *context, const struct log_entry *entry, struct log_config *ret_config);
    /* Loads the entry as if it were used. */
    void (*load)(void *context, struct log_entry *entry);
};
void log_manager_on_cold(struct log_manager *manager, const struct log_manager_cold_events *events);

uint32_t log_manager_directory_count(const struct log_manager *manager);
void log_manager_directory_status(struct log_manager *manager, uint32_t directory,
                                  struct log_directory_status *ret_status);
/* Directory went offline or came back (space again): partitions follow. Set by broker/. */
void log_manager_on_directory_change(struct log_manager *manager,
                                     void (*on_change)(void *context, uint32_t directory,
                                                       enum error error),
                                     void *context);
/*
 * A log of this directory failed (from log_events.on_failed). Calls on_change, then drops the logs
 * of the directory at the end of this turn (later with several loops): entry->log is NULL at once.
 * E_LOCAL_NO_SPACE: comes back by itself when there is space. Anything else stays offline until the
 * broker is started again (rule 50; docs/decisions/log-directory-offline.md).
 */
void log_manager_fail_directory(struct log_manager *manager, uint32_t directory, enum error error);

/* Blocking, on the home thread, after the loops have stopped and before the workers have: closes
 * all clean, writes checkpoints and the marker. Turns the loops while work of the manager is under
 * way. */
void log_manager_close_clean(struct log_manager *manager);
void log_manager_free(struct log_manager *manager);
