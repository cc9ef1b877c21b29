/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The inside of the log manager, for log_manager*.c only. What it promises: log_manager.h.
 *
 * An entry:    found or added ──load──▶ loading ──▶ loaded ──delete──▶ gone
 *                    ▲                     │           │
 *                    └──── load failed ────┘           │
 *                    └──── directory went offline ─────┘
 *
 * A directory: online ──log_manager_fail_directory──▶ offline ──probe: space is back──▶ online
 *
 * Invariants
 *  M1 Nothing is appended in a directory before its marker is gone and that is on disk (rule 46).
 *  M2 A directory gets a marker only when unrecovered_count == 0 and every log closed clean.
 *  M3 A file with suffix .deleted is unlinked only after a log start checkpoint whose text was
 *     made behind its rename is on disk (rule 54).
 *  M4 No log is opened while a deleted namesake still has its directory (renames).
 *  M5 Checkpoint writes of a directory run one at a time and in order, in its lane.
 *  M6 No log is made while a checkpoint of its directory may still hold the line of a deleted
 *     namesake: its recovery point would be trusted after a crash (ghosts).
 *
 * Thread: everything on the home loop except the functions named …_run, which see only what
 * belongs to their job and what does not change (paths, names, env), and those named …_at_owner.
 */

#include <assert.h>

#include "base/hash.h"
#include "storage/checkpoint_file.h"
#include "storage/clean_marker.h"
#include "storage/log_directory.h"
#include "storage/log_manager.h"

enum checkpoint_kind {
    KIND_RECOVERY_POINT,
    KIND_HIGH_WATERMARK,
    KIND_LOG_START,
    KIND_COUNT,
};

struct rename_task;

/* What is known of a log that is not loaded, for retention without opening it. */
struct cold_state {
    int64_t oldest_ms; /* wall clock: last change of its oldest segment that has data */
    int64_t size;      /* bytes of all segments; -1: not looked at yet */
};

struct managed_entry {
    struct log_entry entry; /* first: the public face */
    struct log_manager *manager;
    struct hash_node hash;
    struct list node;        /* manager->entries */
    struct list loaded_node; /* manager->loaded, or alone */
    struct cold_state cold;
    int64_t file_delete_delay_ms;
    struct rename_task *rename; /* deleted: the deletion; NULL: not deleted */
    bool has_directory;         /* on disk, or perhaps */
    bool is_unrecovered;        /* counted in its directory's unrecovered_count */
    bool is_deleted;            /* out of the table; freed when the load that runs has ended */
    uint32_t drop_count;        /* of its logs that are not freed yet, with several loops */
    char topic[];
};

struct log_directory {
    char *path;
    struct file *lock;         /* NULL: offline since the start */
    enum error error;          /* E_OK: online */
    const char *offline_doing; /* at the start: what failed then */
    struct job_lane lane;
    struct boot_id boot_id; /* what .ottla_boot says */
    bool machine_restarted;
    bool was_clean;
    bool is_probing;
    uint32_t entry_count;
    uint32_t unrecovered_count;
    bool is_stale[KIND_COUNT];        /* the checkpoint differs from what is known */
    bool is_writing[KIND_COUNT];      /* a write is queued or runs */
    bool is_boot_id_due;              /* when the write of high watermarks that runs has ended */
    enum error high_watermark_error;  /* of its last write; belongs to the lane */
    uint64_t ghost_count;             /* raised when a line becomes a ghost */
    uint64_t ghosts_gone[KIND_COUNT]; /* ghost_count when the text of the last write was made */
    struct list ghost_loads;          /* log_load.node: wait until the ghosts are gone */
    struct list deleted_files;        /* deleted_file: wait for a log start checkpoint (M3) */
    int64_t file_delete_delay_ms;     /* of the last that came */
    int64_t free_bytes;
    int64_t total_bytes;
};

/* Blocking work with a completion at home; embedded first in its kind, freed by `done`. */
struct task {
    struct job job;
    struct log_manager *manager;
    void (*run)(struct task *task);  /* worker */
    void (*done)(struct task *task); /* home */
};

/* Calls `tick` again and again. */
struct periodic {
    struct timer timer;
    struct log_manager *manager;
    int64_t interval_ms; /* <= 0: never */
    void (*tick)(struct log_manager *manager);
};

/* A walk over the loaded logs in small steps, so that it is spread over time and never holds up
 * the loop. Entries may come and go meanwhile. */
struct pass {
    struct timer timer;
    struct log_manager *manager;
    struct list *next; /* NULL: no walk under way */
    uint32_t step_count;
    int64_t pause_ms;
    void (*visit)(struct log_manager *manager, struct managed_entry *managed);
    void (*on_end)(struct log_manager *manager); /* may be NULL */
};

enum pass_kind {
    PASS_FLUSH,
    PASS_RETENTION,
    PASS_PRODUCERS,
    PASS_COUNT,
};

enum periodic_kind {
    PERIODIC_FLUSH,
    PERIODIC_RETENTION,
    PERIODIC_PRODUCERS,
    PERIODIC_RECOVERY_POINT,
    PERIODIC_HIGH_WATERMARK,
    PERIODIC_LOG_START,
    PERIODIC_PROBE,
    PERIODIC_COUNT,
};

struct log_manager {
    struct log_env env;           /* of home; with files and writer of its own */
    const struct loop_set *loops; /* NULL: env.loop alone, or none */
    struct log_env *owner_envs;   /* by loop, the first one unused; NULL: one loop */
    struct diag *diag;
    struct log_manager_options options; /* directories and cluster_id: not kept */
    struct log_directory *directories;
    uint32_t directory_count;
    int32_t broker_id;
    char *cluster_id;
    struct rng rng;
    struct boot_id boot_id; /* of this machine, now */

    struct hash_table table; /* managed_entry.hash */
    struct list entries;     /* managed_entry.node, all in the table */
    struct list loaded;      /* managed_entry.loaded_node */
    uint32_t loaded_count;
    uint32_t task_count; /* tasks and loads under way */

    struct list renames; /* rename_task.node: deleted, directory not renamed yet */
    struct list trash;   /* trash.node, by deadline */
    struct timer trash_timer;
    bool is_emptying_trash;
    struct list dropped; /* dropped_log.node: freed when their appends have been answered */
    struct deferred drop_deferred;

    struct periodic periodics[PERIODIC_COUNT];
    struct pass passes[PASS_COUNT];
    struct log_manager_cold_events cold_events;
    bool is_stopping;

    void (*on_change)(void *context, uint32_t directory, enum error error);
    void *on_change_context;
    void (*on_deleted)(void *context, const struct uuid *topic_id);
    void *on_deleted_context;
};

static_assert(offsetof(struct managed_entry, entry) == 0, "log_manager_next counts on it");

static inline struct managed_entry *managed_of(struct log_entry *entry)
{
    return container_of(entry, struct managed_entry, entry);
}

static inline struct log_directory *directory_of(const struct managed_entry *managed)
{
    return &managed->manager->directories[managed->entry.directory];
}

/* Start-up, log_manager_start.c */
NODISCARD enum error log_manager_start_directories(struct log_manager *manager,
                                                   const struct log_manager_options *options,
                                                   struct start_failure *ret_failure);

/* log_manager.c */
NODISCARD enum error manager_add_entry(struct log_manager *manager,
                                       struct topic_partition topic_partition, uint32_t directory,
                                       struct managed_entry **ret_managed);
/* In the lane of a directory, or in none (NULL). */
void manager_submit(struct log_manager *manager, struct job_lane *lane, struct task *task);
/* Turns the loops until nothing of the manager and no flush of a loaded log is under way. */
void manager_drain(struct log_manager *manager);
void manager_forget(struct managed_entry *managed);
void manager_free_entry(struct managed_entry *managed);
void manager_set_unrecovered(struct managed_entry *managed, bool is_unrecovered);
void manager_write_boot_id(struct log_manager *manager, struct log_directory *dir);
/* The entry has no log any more; it is freed when its appends of this turn are settled. */
void manager_drop_log(struct managed_entry *managed);
/* The disk itself refuses, so that no other file of the directory can be trusted to work. */
bool manager_is_disk_failure(enum error error);

/* log_manager_owner.c */
/* Runs on the owner of the log, now or as a message; a failure of the disk comes back. */
void manager_visit_log(struct managed_entry *managed, enum error (*run)(struct log *log));
static inline bool manager_has_many_loops(const struct log_manager *manager)
{
    return manager->owner_envs != NULL;
}
NODISCARD enum error manager_make_owner_envs(struct log_manager *manager);
void manager_free_owner_envs(struct log_manager *manager);
/* The last step of manager_drop_log when there are several loops: to the owner, around, and back.
 */
void manager_send_drop(struct managed_entry *managed, struct log *log);
void manager_flush_writers(struct log_manager *manager);
/* On the home thread, which runs all loops now. */
void manager_turn_loops(struct log_manager *manager, int timeout_ms);

/* log_manager_delete.c */
/* A deleted namesake whose directory is still there; NULL: none. */
struct rename_task *manager_find_rename(struct log_manager *manager,
                                        const struct managed_entry *managed);
void manager_await_rename(struct rename_task *rename, struct log_load *load);
/* The entry is deleted: out of the table, without a log, not loading. It is freed when the rename
 * is done, perhaps within the call. */
void manager_begin_rename(struct managed_entry *managed);
/* Unlinks path after delay_ms. No memory: it stays until the next start. */
void manager_add_trash(struct log_manager *manager, const char *path, bool is_directory,
                       int64_t delay_ms);
void manager_free_trash(struct log_manager *manager);

/* log_manager_load.c */
void manager_start_load(struct log_load *load);
/* Behind a write of a checkpoint: loads that waited for it go on, or fail with its error. */
void manager_resume_ghost_loads(struct log_manager *manager, struct log_directory *dir,
                                enum error error);

/* log_manager_checkpoint.c */
const char *checkpoint_name(enum checkpoint_kind kind);
/* Takes over what the loaded logs say; the directories where it differs become stale. */
void manager_refresh_hints(struct log_manager *manager);
void manager_write_checkpoints(struct log_manager *manager, enum checkpoint_kind kind);
bool manager_has_ghosts(const struct log_directory *dir);
/* Writes the checkpoints that may hold ghosts. */
void manager_drop_ghosts(struct log_manager *manager, struct log_directory *dir);
void manager_take_deleted_files(struct managed_entry *managed);
NODISCARD enum error manager_write_checkpoint_now(struct log_manager *manager, uint32_t directory,
                                                  enum checkpoint_kind kind);

/* log_manager_background.c */
void manager_start_background(struct log_manager *manager);
void manager_stop_background(struct log_manager *manager);
/* Before an entry leaves the list of the loaded ones. */
void manager_passes_skip(struct log_manager *manager, struct managed_entry *managed);
void manager_begin_pass(struct log_manager *manager, enum pass_kind kind, uint32_t step_count,
                        int64_t pause_ms);

/* log_manager_flush.c, log_manager_retention.c, log_manager_offline.c */
void manager_tick_flush(struct log_manager *manager);
void manager_visit_flush(struct log_manager *manager, struct managed_entry *managed);
void manager_tick_retention(struct log_manager *manager);
void manager_visit_retention(struct log_manager *manager, struct managed_entry *managed);
void manager_end_retention(struct log_manager *manager);
void manager_tick_probe(struct log_manager *manager);
