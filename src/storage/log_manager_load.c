/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the log of an entry on a worker. */
#include "storage/log_manager_private.h"

/* --- on the worker: the entry's name, id, directory and hints stay while it is loading --- */

static enum error open_log(struct log_load *load, const char *path, const struct log_hints *hints)
{
    const struct managed_entry *managed = managed_of(load->entry);
    return log_open(log_manager_owner_env(managed->manager, load->owner), path,
                    load->entry->topic_partition, &load->entry->topic_id, &load->config, hints,
                    &load->events, &load->log);
}

/* A clean stop makes the recovery point the end; else the marker is not of these files. */
static void distrust(struct log_load *load, const char *path, struct log_hints *hints)
{
    struct log_offsets offsets;
    log_get_offsets(load->log, &offsets);
    if (offsets.end != hints->recovery_point) {
        log_free(load->log);
        load->log = NULL;
        hints->was_clean = false;
        load->error = open_log(load, path, hints);
    }
}

/* Records below the log start were given up, so their offsets are never used again, even when a
 * power cut has taken the end of the log from below it. */
static void keep_start(struct log_load *load, const struct log_hints *hints)
{
    struct log_offsets offsets;
    log_get_offsets(load->log, &offsets);
    if (offsets.end < hints->log_start_offset) {
        load->error = log_restart_at(load->log, hints->log_start_offset);
    }
    if (load->error != E_OK) {
        log_free(load->log);
        load->log = NULL;
    }
}

static void load_run(struct job *job)
{
    struct log_load *load = container_of(job, struct log_load, job);
    const struct managed_entry *managed = managed_of(load->entry);
    struct log_hints hints = load->entry->hints;
    char path[LOG_DIRECTORY_PATH_ROOM];
    if (load->error != E_OK) {
        return; /* known before it began */
    }
    if (!log_directory_partition_path(path, directory_of(managed)->path,
                                      load->entry->topic_partition)) {
        load->error = E_LOCAL_LIMIT;
        return;
    }
    load->error = open_log(load, path, &hints);
    if (load->error == E_OK && hints.was_clean) {
        distrust(load, path, &hints);
    }
    if (load->error == E_OK) {
        keep_start(load, &hints);
    }
}

/* --- at home --- */

static void adopt(struct managed_entry *managed, struct log *log)
{
    struct log_manager *manager = managed->manager;
    managed->entry.log = log;
    managed->entry.topic_id = log_topic_id(log);
    managed->entry.latest_epoch_hint = log_latest_epoch(log);
    managed->entry.hints.was_clean = false;
    managed->has_directory = true;
    managed->file_delete_delay_ms = log_get_config(log)->file_delete_delay_ms;
    list_push_back(&manager->loaded, &managed->loaded_node);
    manager->loaded_count++;
    manager_set_unrecovered(managed, false);
}

static void settle(struct managed_entry *managed, struct log_load *load)
{
    if (managed->is_deleted) {
        load->error = E_UNKNOWN_TOPIC_OR_PARTITION;
    } else if (load->error == E_OK && directory_of(managed)->error != E_OK) {
        load->error = E_LOCAL_OFFLINE;
    }
    if (load->error == E_OK) {
        adopt(managed, load->log);
        return;
    }
    log_free(load->log);
    load->log = NULL;
    if (!managed->is_deleted) {
        managed->entry.hints.was_clean = false;
        manager_set_unrecovered(managed, managed->has_directory); /* no marker over damage */
    }
}

static void load_done(struct job *job)
{
    struct log_load *load = container_of(job, struct log_load, job);
    struct managed_entry *managed = managed_of(load->entry);
    struct log_manager *manager = managed->manager;
    const uint32_t directory = managed->entry.directory;
    const enum error open_error = load->error;
    manager->task_count--;
    managed->entry.is_loading = false;
    settle(managed, load);
    const bool is_deleted = managed->is_deleted;
    load->on_done(load); /* load may be gone now */
    if (is_deleted) {
        if (managed->drop_count == 0) {
            manager_begin_rename(managed);
        }
    } else if (manager_is_disk_failure(open_error)) {
        log_manager_fail_directory(manager, directory, open_error);
    }
}

static void submit(struct log_load *load)
{
    struct log_manager *manager = managed_of(load->entry)->manager;
    if (manager->env.workers == NULL) {
        load_run(&load->job);
        load_done(&load->job);
    } else {
        worker_pool_submit(manager->env.workers, &load->job);
    }
}

void manager_start_load(struct log_load *load)
{
    struct managed_entry *managed = managed_of(load->entry);
    struct log_directory *dir = directory_of(managed);
    load->error = managed->is_deleted ? E_UNKNOWN_TOPIC_OR_PARTITION
                  /* While stopping nothing is written that a load could wait for. */
                  : dir->error != E_OK || managed->manager->is_stopping ? E_LOCAL_OFFLINE
                                                                        : E_OK;
    if (load->error == E_OK && !managed->has_directory && manager_has_ghosts(dir)) {
        list_push_back(&dir->ghost_loads, &load->node); /* M6 */
        manager_drop_ghosts(managed->manager, dir);
        return;
    }
    managed->has_directory = managed->has_directory || load->error == E_OK;
    submit(load);
}

void manager_resume_ghost_loads(struct log_manager *manager, struct log_directory *dir,
                                enum error error)
{
    struct list loads;
    struct list *node;
    if (list_is_empty(&dir->ghost_loads)) {
        return;
    }
    if (error == E_OK && dir->error == E_OK && !manager->is_stopping && manager_has_ghosts(dir)) {
        manager_drop_ghosts(manager, dir); /* those that are not being written already */
        return;
    }
    if (error == E_OK && manager->is_stopping) {
        error = E_LOCAL_OFFLINE; /* nothing more is written in the background */
    }
    list_init(&loads);
    list_splice_back(&loads, &dir->ghost_loads);
    while ((node = list_pop_front(&loads)) != NULL) {
        struct log_load *load = container_of(node, struct log_load, node);
        if (error == E_OK) {
            manager_start_load(load);
        } else {
            load->error = error;
            submit(load);
        }
    }
}

void log_manager_load(struct log_manager *manager, struct log_load *load)
{
    struct managed_entry *managed = managed_of(load->entry);
    check(!managed->entry.is_loading);
    check(managed->entry.log == NULL);
    check(!manager->is_stopping);
    managed->entry.is_loading = true;
    manager->task_count++;
    load->log = NULL;
    load->job = (struct job){.run = load_run, .on_done = load_done, .loop = manager->env.loop};
    struct rename_task *rename = manager_find_rename(manager, managed);
    if (rename != NULL) {
        manager_await_rename(rename, load); /* M4 */
    } else {
        manager_start_load(load);
    }
}
