/* SPDX-License-Identifier: Apache-2.0 */
/* Deletion of partitions, and the trash: what has been renamed and is unlinked some time later. */
#include <stdlib.h>

#include "storage/log_manager_private.h"

enum { NS_PER_MS = 1000000 };

/* --- the trash --- */

struct trash {
    struct list node; /* manager->trash, or of the task that empties it */
    int64_t deadline_ns;
    bool is_directory;
    char path[];
};

struct empty_task {
    struct task task;
    struct list trash; /* trash.node: due */
};

static void free_trash(struct list *trash)
{
    struct list *node;
    while ((node = list_pop_front(trash)) != NULL) {
        free(container_of(node, struct trash, node));
    }
}

/* What cannot be unlinked now is found again at the next start. */
static void remove_now(struct log_manager *manager, const char *path, bool is_directory)
{
    struct vfs *vfs = manager->env.vfs;
    const enum error error =
        is_directory ? log_directory_remove(vfs, path) : vfs->unlink(vfs, path);
    if (error != E_OK) {
        diag_debug(manager->diag, "%s: not removed: %s", path, error_text(error));
    }
}

static void empty_run(struct task *task)
{
    struct empty_task *empty = container_of(task, struct empty_task, task);
    LIST_FOREACH (node, &empty->trash) {
        const struct trash *item = container_of(node, struct trash, node);
        remove_now(task->manager, item->path, item->is_directory);
    }
}

static void arm_trash_timer(struct log_manager *manager)
{
    if (manager->env.loop == NULL || manager->is_stopping || manager->is_emptying_trash ||
        list_is_empty(&manager->trash)) {
        return;
    }
    const struct trash *first = container_of(manager->trash.next, struct trash, node);
    timer_start(manager->env.loop, &manager->trash_timer, first->deadline_ns);
}

static void empty_done(struct task *task)
{
    struct empty_task *empty = container_of(task, struct empty_task, task);
    struct log_manager *manager = task->manager;
    free_trash(&empty->trash);
    free(empty);
    manager->is_emptying_trash = false;
    arm_trash_timer(manager);
}

static void empty_trash(struct log_manager *manager)
{
    const int64_t now_ns = loop_now_ns(manager->env.loop);
    struct empty_task *empty = calloc(1, sizeof(*empty));
    if (empty == NULL) {
        return; /* with the next item that comes */
    }
    list_init(&empty->trash);
    LIST_FOREACH_SAFE (node, next, &manager->trash) {
        if (container_of(node, struct trash, node)->deadline_ns > now_ns) {
            break;
        }
        list_remove(node);
        list_push_back(&empty->trash, node);
    }
    empty->task.run = empty_run;
    empty->task.done = empty_done;
    manager->is_emptying_trash = true;
    manager_submit(manager, NULL, &empty->task);
}

static void on_trash_timer(struct timer *timer)
{
    empty_trash(container_of(timer, struct log_manager, trash_timer));
}

void manager_add_trash(struct log_manager *manager, const char *path, bool is_directory,
                       int64_t delay_ms)
{
    if (manager->env.loop == NULL) {
        remove_now(manager, path, is_directory); /* no clock to wait by */
        return;
    }
    const size_t path_size = strlen(path) + 1;
    struct trash *item = malloc(sizeof(*item) + path_size);
    if (item == NULL) {
        return;
    }
    const int64_t now_ns = manager->env.clock->monotonic_ns(manager->env.clock);
    delay_ms = delay_ms < 0 ? 0 : delay_ms;
    item->deadline_ns =
        delay_ms < (INT64_MAX - now_ns) / NS_PER_MS ? now_ns + delay_ms * NS_PER_MS : INT64_MAX;
    item->is_directory = is_directory;
    memcpy(item->path, path, path_size);
    struct list *at = &manager->trash; /* delays are mostly equal: the place is near the end */
    while (at->prev != &manager->trash &&
           container_of(at->prev, struct trash, node)->deadline_ns > item->deadline_ns) {
        at = at->prev;
    }
    list_insert_before(at, &item->node);
    if (manager->trash_timer.on_expire == NULL) {
        timer_init(&manager->trash_timer, on_trash_timer);
    }
    arm_trash_timer(manager);
}

void manager_free_trash(struct log_manager *manager)
{
    free_trash(&manager->trash);
}

/* --- deletion --- */

struct rename_task {
    struct task task;
    struct list node;  /* manager->renames */
    struct list loads; /* log_load.node: of namesakes, wait for the rename */
    uint64_t hash;
    struct topic_partition topic_partition; /* of managed */
    struct managed_entry *managed;
    enum error error;
    char to[LOG_DIRECTORY_NAME_MAX + 1]; /* name, not path */
};

struct rename_task *manager_find_rename(struct log_manager *manager,
                                        const struct managed_entry *managed)
{
    const struct topic_partition *wanted = &managed->entry.topic_partition;
    LIST_FOREACH (node, &manager->renames) {
        struct rename_task *rename = container_of(node, struct rename_task, node);
        if (rename->hash == managed->hash.hash && rename->managed != managed &&
            rename->topic_partition.partition == wanted->partition &&
            slice_equal(rename->topic_partition.topic, wanted->topic)) {
            return rename;
        }
    }
    return NULL;
}

void manager_await_rename(struct rename_task *rename, struct log_load *load)
{
    list_push_back(&rename->loads, &load->node);
}

static void rename_run(struct task *task)
{
    struct rename_task *rename = container_of(task, struct rename_task, task);
    struct vfs *vfs = task->manager->env.vfs;
    const char *directory = directory_of(rename->managed)->path;
    char from[LOG_DIRECTORY_PATH_ROOM];
    char to[LOG_DIRECTORY_PATH_ROOM];
    if (!log_directory_partition_path(from, directory, rename->topic_partition) ||
        !log_directory_path(to, directory, rename->to)) {
        rename->error = E_LOCAL_LIMIT;
        return;
    }
    rename->error = vfs->rename(vfs, from, to);
    if (rename->error == E_OK) {
        rename->error = vfs->sync_directory(vfs, directory);
    }
}

void log_manager_on_deleted(struct log_manager *manager,
                            void (*on_deleted)(void *context, const struct uuid *topic_id),
                            void *context)
{
    manager->on_deleted = on_deleted;
    manager->on_deleted_context = context;
}

bool log_manager_is_deleting(const struct log_manager *manager, const struct uuid *topic_id)
{
    LIST_FOREACH (node, &manager->renames) {
        const struct rename_task *rename = container_of(node, struct rename_task, node);
        if (uuid_equal(&rename->managed->entry.topic_id, topic_id)) {
            return true;
        }
    }
    return false;
}

static void finish_rename(struct rename_task *rename)
{
    struct managed_entry *managed = rename->managed;
    const struct uuid topic_id = managed->entry.topic_id;
    struct log_manager *manager = managed->manager;
    const uint32_t directory = managed->entry.directory;
    const enum error error = rename->error;
    char path[LOG_DIRECTORY_PATH_ROOM];
    struct list *node;
    if (error == E_OK &&
        log_directory_path(path, manager->directories[directory].path, rename->to)) {
        manager_add_trash(manager, path, true, managed->file_delete_delay_ms);
    }
    list_remove(&rename->node);
    while ((node = list_pop_front(&rename->loads)) != NULL) {
        struct log_load *load = container_of(node, struct log_load, node);
        struct rename_task *other = manager_find_rename(manager, managed_of(load->entry));
        if (other != NULL) {
            manager_await_rename(other, load);
        } else {
            manager_start_load(load);
        }
    }
    manager_free_entry(managed);
    free(rename);
    if (manager_is_disk_failure(error)) {
        log_manager_fail_directory(manager, directory, error);
    } else if (manager->on_deleted != NULL && manager->directories[directory].error == E_OK) {
        manager->on_deleted(manager->on_deleted_context, &topic_id);
    }
}

static void rename_done(struct task *task)
{
    finish_rename(container_of(task, struct rename_task, task));
}

/* From now on no namesake is opened. */
static void announce_rename(struct managed_entry *managed)
{
    struct log_manager *manager = managed->manager;
    struct rename_task *rename = calloc(1, sizeof(*rename));
    check(rename != NULL); /* a deletion that was promised must not be forgotten */
    const struct uuid id = uuid_random(&manager->rng);
    log_directory_deleted_name(rename->to, managed->entry.topic_partition, &id);
    list_init(&rename->loads);
    rename->hash = managed->hash.hash;
    rename->topic_partition = managed->entry.topic_partition;
    rename->managed = managed;
    rename->task.run = rename_run;
    rename->task.done = rename_done;
    managed->rename = rename;
    list_push_back(&manager->renames, &rename->node);
}

void manager_begin_rename(struct managed_entry *managed)
{
    struct log_directory *dir = directory_of(managed);
    struct rename_task *rename = managed->rename;
    if (managed->has_directory && dir->error == E_OK) {
        manager_submit(managed->manager, &dir->lane, &rename->task);
    } else {
        rename->error = E_LOCAL_NOT_FOUND; /* nothing to rename, or nothing that can be */
        finish_rename(rename);
    }
}

void log_manager_delete(struct log_manager *manager, struct log_entry *entry)
{
    struct managed_entry *managed = managed_of(entry);
    struct log_directory *dir = directory_of(managed);
    check(!managed->is_deleted);
    check(managed->manager == manager);
    managed->is_deleted = true;
    if (entry->log != NULL) {
        manager_drop_log(managed);
    }
    manager_forget(managed);
    dir->ghost_count++;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        dir->is_stale[kind] = true; /* its line goes with the next write */
    }
    announce_rename(managed);
    if (!entry->is_loading && managed->drop_count == 0) {
        manager_begin_rename(managed);
    }
}
