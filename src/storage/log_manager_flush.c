/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background flusher: dirty logs are flushed once per interval, in steps that are spread over
 * it, so that a power cut takes about one interval and writeback never comes in a burst. When very
 * many are dirty, one syncfs does the work and the flushes behind it find nothing to write.
 */
#include <stdlib.h>

#include "storage/log_manager_private.h"

enum {
    FLUSH_STEPS = 8,      /* of a walk, over one interval */
    SYNC_ALL_COUNT = 256, /* dirty logs of one directory from which on one syncfs is cheaper */
};

struct sync_task {
    struct task task;
    const char *path;
};

/* Only to get the pages out: whether it failed, the fdatasync of each log reports itself. */
static void sync_run(struct task *task)
{
    struct sync_task *sync = container_of(task, struct sync_task, task);
    (void)task->manager->env.vfs->sync_all(task->manager->env.vfs, sync->path);
}

static void begin_walk(struct log_manager *manager)
{
    const uint32_t step_count = (manager->loaded_count + FLUSH_STEPS - 1) / FLUSH_STEPS;
    manager_begin_pass(manager, PASS_FLUSH, step_count,
                       manager->options.flush_background_interval_ms / (FLUSH_STEPS + 1));
}

static void sync_done(struct task *task)
{
    struct log_manager *manager = task->manager;
    free(container_of(task, struct sync_task, task));
    if (!manager->is_stopping) {
        begin_walk(manager);
    }
}

static bool begin_sync(struct log_manager *manager, struct log_directory *dir)
{
    struct sync_task *sync = calloc(1, sizeof(*sync));
    if (sync == NULL) {
        return false;
    }
    sync->path = dir->path;
    sync->task.run = sync_run;
    sync->task.done = sync_done;
    manager_submit(manager, NULL, &sync->task);
    return true;
}

static uint32_t count_dirty(struct log_manager *manager, uint32_t *ret_directory)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        uint32_t count = 0;
        LIST_FOREACH (node, &manager->loaded) {
            const struct managed_entry *managed =
                container_of(node, struct managed_entry, loaded_node);
            count += managed->entry.directory == i && log_has_unflushed(managed->entry.log) ? 1 : 0;
        }
        if (count >= SYNC_ALL_COUNT) {
            *ret_directory = i;
        }
        total += count;
    }
    return total;
}

void manager_tick_flush(struct log_manager *manager)
{
    uint32_t crowded = UINT32_MAX;
    if (manager->passes[PASS_FLUSH].next != NULL || count_dirty(manager, &crowded) == 0) {
        return;
    }
    if (crowded == UINT32_MAX || !begin_sync(manager, &manager->directories[crowded])) {
        begin_walk(manager);
    }
}

static enum error flush(struct log *log)
{
    log_flush(log);
    return E_OK; /* what fails later tells by itself */
}

void manager_visit_flush(struct log_manager *manager, struct managed_entry *managed)
{
    (void)manager;
    if (log_has_unflushed(managed->entry.log)) {
        manager_visit_log(managed, flush);
    }
}
