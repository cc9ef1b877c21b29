/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention of all logs by one timer. Loaded logs decide for themselves. The others are judged by
 * the names, sizes and times of their segment files, which do not change while nobody has the log
 * open: looked at once, on a worker, then compared with the clock.
 */
#include <stdlib.h>

#include "storage/log_manager_private.h"
#include "storage/log_private.h" /* its clock */

enum {
    RETENTION_STEP_COUNT = 64, /* logs per turn: some may rename files */
    RETENTION_PAUSE_MS = 5,
    COLD_BATCH_COUNT = 128, /* directories that one job lists */
    COLD_LISTING_SIZE_MAX = 64 * 1024 * 1024,
    SEGMENT_NAME_SIZE = 24, /* "00000000000000000000.log" */
};

/* --- logs that are loaded --- */

static enum error retain(struct log *log)
{
    uint32_t count = 0;
    if (log_get_config(log)->is_held || log_is_failed(log)) {
        return E_OK;
    }
    return log_retain(log, log_now_ms(log), &count);
}

/* What an owner on another loop deletes later is taken with the next checkpoint. */
void manager_visit_retention(struct log_manager *manager, struct managed_entry *managed)
{
    (void)manager;
    manager_visit_log(managed, retain);
    if (managed->entry.log != NULL) {
        manager_take_deleted_files(managed);
    }
}

/* --- logs that are not: looking at their files --- */

struct cold_item {
    struct topic_partition topic_partition; /* topic: copied behind the task's items */
    uint32_t directory;
    struct cold_state found;
};

struct cold_task {
    struct task task;
    struct arena arena; /* items and topics */
    struct cold_item *items;
    uint32_t count;
};

static bool is_segment_name(const char *name)
{
    return strlen(name) == SEGMENT_NAME_SIZE && strcmp(name + SEGMENT_NAME_SIZE - 4, ".log") == 0;
}

/* The oldest is the one with the lowest base offset: names sort like offsets. */
static void look_at_files(struct vfs *vfs, const char *directory, struct cold_state *found)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    char oldest[SEGMENT_NAME_SIZE + 1] = "";
    struct directory_entry *entries = NULL;
    struct file_status status;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, COLD_LISTING_SIZE_MAX);
    *found = (struct cold_state){.oldest_ms = INT64_MAX};
    if (vfs->list(vfs, directory, &arena, &entries, &count) != E_OK) {
        count = 0; /* not there (yet), or trouble that a load will tell */
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i].name;
        if (!is_segment_name(name) || !log_directory_path(path, directory, name) ||
            vfs->path_status(vfs, path, &status) != E_OK || status.size == 0) {
            continue;
        }
        found->size += status.size;
        if (oldest[0] == '\0' || strcmp(name, oldest) < 0) {
            memcpy(oldest, name, sizeof(oldest));
            found->oldest_ms = status.modified_ms;
        }
    }
    arena_done(&arena);
}

static void cold_run(struct task *task)
{
    struct cold_task *cold = container_of(task, struct cold_task, task);
    char path[LOG_DIRECTORY_PATH_ROOM];
    for (uint32_t i = 0; i < cold->count; i++) {
        struct cold_item *item = &cold->items[i];
        const char *directory = task->manager->directories[item->directory].path;
        if (log_directory_partition_path(path, directory, item->topic_partition)) {
            look_at_files(task->manager->env.vfs, path, &item->found);
        }
    }
}

static bool is_unknown(const struct managed_entry *managed)
{
    return managed->entry.log == NULL && !managed->entry.is_loading && managed->cold.size < 0 &&
           directory_of(managed)->error == E_OK;
}

static void look_at_cold(struct log_manager *manager);

static void cold_done(struct task *task)
{
    struct cold_task *cold = container_of(task, struct cold_task, task);
    struct log_manager *manager = task->manager;
    for (uint32_t i = 0; i < cold->count; i++) {
        struct log_entry *entry = log_manager_find(manager, cold->items[i].topic_partition);
        if (entry != NULL && is_unknown(managed_of(entry))) {
            managed_of(entry)->cold = cold->items[i].found;
        }
    }
    arena_done(&cold->arena);
    free(cold);
    if (!manager->is_stopping) {
        look_at_cold(manager);
    }
}

/* false: no memory. */
static bool add_cold(struct cold_task *cold, const struct managed_entry *managed)
{
    struct cold_item *item = &cold->items[cold->count];
    const struct slice topic = arena_copy(&cold->arena, managed->entry.topic_partition.topic);
    if (slice_is_null(topic)) {
        return false;
    }
    item->topic_partition = (struct topic_partition){
        .topic = topic, .partition = managed->entry.topic_partition.partition};
    item->directory = managed->entry.directory;
    cold->count++;
    return true;
}

static struct cold_task *gather_cold(struct log_manager *manager)
{
    struct cold_task *cold = calloc(1, sizeof(*cold));
    if (cold == NULL) {
        return NULL;
    }
    arena_init(&cold->arena, COLD_LISTING_SIZE_MAX);
    cold->items = ARENA_NEW_ARRAY(&cold->arena, struct cold_item, COLD_BATCH_COUNT);
    LIST_FOREACH (node, &manager->entries) {
        const struct managed_entry *managed = container_of(node, struct managed_entry, node);
        if (cold->items == NULL || cold->count == COLD_BATCH_COUNT ||
            (is_unknown(managed) && !add_cold(cold, managed))) {
            break;
        }
    }
    if (cold->count == 0) {
        arena_done(&cold->arena);
        free(cold);
        return NULL;
    }
    return cold;
}

/* One batch after the other until every log has been looked at. */
static void look_at_cold(struct log_manager *manager)
{
    struct cold_task *cold = gather_cold(manager);
    if (cold == NULL) {
        return;
    }
    cold->task.run = cold_run;
    cold->task.done = cold_done;
    manager_submit(manager, NULL, &cold->task);
}

/* --- … and deciding --- */

static bool has_something_to_go(const struct managed_entry *managed,
                                const struct log_config *config, int64_t now_ms)
{
    const struct cold_state *cold = &managed->cold;
    if (config->is_held || !config->is_deleted || cold->size <= 0) {
        return false;
    }
    const bool is_old = config->retention_ms >= 0 && cold->oldest_ms < now_ms &&
                        now_ms - cold->oldest_ms > config->retention_ms;
    /* A whole segment must be too much before one goes. */
    const bool is_large = config->retention_bytes >= 0 &&
                          cold->size - config->retention_bytes > config->segment_size_bytes_max;
    return is_old || is_large;
}

static void judge_cold(struct log_manager *manager)
{
    const struct log_manager_cold_events *events = &manager->cold_events;
    const int64_t now_ms = loop_now_ms(manager->env.loop);
    struct list *next;
    for (struct list *node = manager->entries.next; node != &manager->entries; node = next) {
        struct managed_entry *managed = container_of(node, struct managed_entry, node);
        struct log_config config;
        next = node->next;
        if (managed->entry.log == NULL && !managed->entry.is_loading && managed->cold.size > 0 &&
            directory_of(managed)->error == E_OK &&
            events->get_config(events->context, &managed->entry, &config) &&
            has_something_to_go(managed, &config, now_ms)) {
            managed->cold.size = -1; /* look again, should it ever be cold again */
            events->load(events->context, &managed->entry);
        }
    }
}

void manager_tick_retention(struct log_manager *manager)
{
    manager_begin_pass(manager, PASS_RETENTION, RETENTION_STEP_COUNT, RETENTION_PAUSE_MS);
    if (manager->cold_events.get_config != NULL && manager->cold_events.load != NULL) {
        judge_cold(manager);
        look_at_cold(manager);
    }
}

void manager_end_retention(struct log_manager *manager)
{
    log_manager_checkpoint_start_offsets(manager);
}
