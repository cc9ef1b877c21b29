/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory that fails goes offline with its logs, alone. One that was only full is probed and
 * comes back. One whose disk refused stays away until the next start: after a failed write-back
 * the page cache may show what the disk does not have, and nothing in this boot can tell
 * (reliability rule 50).
 */
#include <stdlib.h>

#include "storage/log_manager_private.h"

/* What was flushed is trusted; the rest is scanned when the log is loaded again. */
static void keep_hints(struct managed_entry *managed)
{
    struct log_hints *hints = &managed->entry.hints;
    struct log_offsets offsets;
    log_get_offsets(managed->entry.log, &offsets);
    hints->recovery_point =
        offsets.flushed < hints->recovery_point ? offsets.flushed : hints->recovery_point;
    hints->high_watermark = offsets.high_watermark;
    hints->log_start_offset = offsets.log_start > 0 ? offsets.log_start : hints->log_start_offset;
    hints->was_clean = false;
    hints->machine_restarted = true;
}

static void drop_logs(struct log_manager *manager, uint32_t directory)
{
    LIST_FOREACH_SAFE (node, next, &manager->loaded) {
        struct managed_entry *managed = container_of(node, struct managed_entry, loaded_node);
        if (managed->entry.directory == directory) {
            keep_hints(managed);
            manager_drop_log(managed);
            manager_set_unrecovered(managed, true);
        }
    }
}

static bool is_any_online(const struct log_manager *manager)
{
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        if (manager->directories[i].error == E_OK) {
            return true;
        }
    }
    return false;
}

void log_manager_fail_directory(struct log_manager *manager, uint32_t directory, enum error error)
{
    check(directory < manager->directory_count);
    check(error != E_OK);
    struct log_directory *dir = &manager->directories[directory];
    if (dir->error != E_OK) {
        return; /* all of its logs may tell */
    }
    dir->error = error;
    diag_error(manager->diag, "log directory %s is offline with %u partitions: %s: %s", dir->path,
               dir->entry_count, error_text(error),
               error == E_LOCAL_NO_SPACE ? "it comes back when there is space"
                                         : "check the disk, then start the broker again");
    if (!is_any_online(manager)) {
        diag_error(manager->diag, "no log directory is online: requests are answered with "
                                  "KAFKA_STORAGE_ERROR");
    }
    if (manager->on_change != NULL) {
        manager->on_change(manager->on_change_context, directory, error);
    }
    drop_logs(manager, directory);
    manager_resume_ghost_loads(manager, dir, error);
}

/* --- back again --- */

struct probe_task {
    struct task task;
    uint32_t directory;
    enum error error;
};

static void probe_run(struct task *task)
{
    struct probe_task *probe = container_of(task, struct probe_task, task);
    probe->error = log_directory_probe(task->manager->env.vfs,
                                       task->manager->directories[probe->directory].path);
}

static void probe_done(struct task *task)
{
    struct probe_task *probe = container_of(task, struct probe_task, task);
    struct log_manager *manager = task->manager;
    const uint32_t directory = probe->directory;
    struct log_directory *dir = &manager->directories[directory];
    const enum error error = probe->error;
    free(probe);
    dir->is_probing = false;
    if (error != E_OK || manager->is_stopping) {
        return;
    }
    dir->error = E_OK;
    diag_info(manager->diag, "log directory %s is online again: there is space", dir->path);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        dir->is_stale[kind] = true;
    }
    if (manager->on_change != NULL) {
        manager->on_change(manager->on_change_context, directory, E_OK);
    }
}

void manager_tick_probe(struct log_manager *manager)
{
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        struct log_directory *dir = &manager->directories[i];
        if (dir->error != E_LOCAL_NO_SPACE || dir->lock == NULL || dir->is_probing) {
            continue;
        }
        struct probe_task *probe = calloc(1, sizeof(*probe));
        if (probe == NULL) {
            return;
        }
        probe->directory = i;
        probe->task.run = probe_run;
        probe->task.done = probe_done;
        dir->is_probing = true;
        manager_submit(manager, &dir->lane, &probe->task);
    }
}
