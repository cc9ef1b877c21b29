/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the checkpoints of the directories: loaded logs with what they say now, the others with
 * the hints of the last checkpoint. Nothing is written while nothing has changed.
 */
#include <stdlib.h>

#include "storage/log_manager_private.h"

const char *checkpoint_name(enum checkpoint_kind kind)
{
    static const char *const names[KIND_COUNT] = {
        [KIND_RECOVERY_POINT] = CHECKPOINT_RECOVERY_POINT,
        [KIND_HIGH_WATERMARK] = CHECKPOINT_HIGH_WATERMARK,
        [KIND_LOG_START] = CHECKPOINT_LOG_START,
    };
    check_cmp(kind, <, KIND_COUNT);
    return names[kind];
}

static void refresh(int64_t *hint, int64_t value, bool *is_stale)
{
    if (*hint != value) {
        *hint = value;
        *is_stale = true;
    }
}

static void refresh_entry(struct managed_entry *managed)
{
    struct log_directory *dir = directory_of(managed);
    struct log_hints *hints = &managed->entry.hints;
    struct log_offsets offsets;
    if (log_is_failed(managed->entry.log)) {
        return; /* its last good values stand */
    }
    log_get_offsets(managed->entry.log, &offsets);
    refresh(&hints->recovery_point, offsets.flushed, &dir->is_stale[KIND_RECOVERY_POINT]);
    refresh(&hints->high_watermark, offsets.high_watermark, &dir->is_stale[KIND_HIGH_WATERMARK]);
    /* Zero needs no line. */
    if (hints->log_start_offset > 0 || offsets.log_start > 0) {
        refresh(&hints->log_start_offset, offsets.log_start, &dir->is_stale[KIND_LOG_START]);
    }
}

void manager_refresh_hints(struct log_manager *manager)
{
    LIST_FOREACH (node, &manager->loaded) {
        refresh_entry(container_of(node, struct managed_entry, loaded_node));
    }
}

static int64_t hint_of(const struct log_hints *hints, enum checkpoint_kind kind)
{
    switch (kind) {
    case KIND_RECOVERY_POINT:
        return hints->recovery_point;
    case KIND_HIGH_WATERMARK:
        return hints->high_watermark;
    case KIND_LOG_START:
        return hints->log_start_offset;
    case KIND_COUNT:
        break;
    }
    return -1;
}

/* Zero is what a missing line means. A log that was never opened has nothing to say. */
static void build_text(struct log_manager *manager, uint32_t directory, enum checkpoint_kind kind,
                       struct checkpoint_text *text)
{
    checkpoint_text_init(text);
    LIST_FOREACH (node, &manager->entries) {
        const struct managed_entry *managed = container_of(node, struct managed_entry, node);
        const int64_t offset = hint_of(&managed->entry.hints, kind);
        if (managed->entry.directory != directory || offset < 0 ||
            (offset == 0 && (kind == KIND_LOG_START || managed->entry.log == NULL))) {
            continue;
        }
        checkpoint_text_add(
            text, &(struct checkpoint_entry){.topic = managed->entry.topic_partition.topic,
                                             .partition = managed->entry.topic_partition.partition,
                                             .offset = offset});
    }
}

/* --- in the background --- */

struct checkpoint_task {
    struct task task;
    uint32_t directory;
    enum checkpoint_kind kind;
    enum error error;
    uint64_t ghost_count; /* when the text was made */
    struct checkpoint_text text;
    struct list deleted_files; /* deleted_file: renamed before the text was made */
};

static void checkpoint_run(struct task *task)
{
    struct checkpoint_task *work = container_of(task, struct checkpoint_task, task);
    char path[LOG_DIRECTORY_PATH_ROOM];
    const char *directory = task->manager->directories[work->directory].path;
    work->error = log_directory_path(path, directory, checkpoint_name(work->kind))
                      ? checkpoint_text_write(&work->text, task->manager->env.vfs, path)
                      : E_LOCAL_LIMIT;
    if (work->kind == KIND_HIGH_WATERMARK) {
        task->manager->directories[work->directory].high_watermark_error = work->error;
    }
}

/* M3: the log start is on disk, the files may go. */
static void release_deleted_files(struct log_manager *manager, struct list *files, int64_t delay_ms)
{
    struct list *node;
    while ((node = list_pop_front(files)) != NULL) {
        struct deleted_file *file = container_of(node, struct deleted_file, node);
        manager_add_trash(manager, file->path, false, delay_ms);
        free(file);
    }
}

static void checkpoint_done(struct task *task)
{
    struct checkpoint_task *work = container_of(task, struct checkpoint_task, task);
    struct log_manager *manager = task->manager;
    struct log_directory *dir = &manager->directories[work->directory];
    const uint32_t directory = work->directory;
    const enum error error = work->error;
    const enum checkpoint_kind kind = work->kind;
    dir->is_writing[kind] = false;
    if (error == E_OK) {
        dir->ghosts_gone[kind] = work->ghost_count;
        release_deleted_files(manager, &work->deleted_files, dir->file_delete_delay_ms);
    } else {
        dir->is_stale[kind] = true; /* with the next interval again */
        list_splice_back(&dir->deleted_files, &work->deleted_files);
    }
    checkpoint_text_done(&work->text);
    free(work);
    manager_resume_ghost_loads(manager, dir, error);
    if (kind == KIND_HIGH_WATERMARK && dir->is_boot_id_due && dir->unrecovered_count == 0) {
        manager_write_boot_id(manager, dir);
    }
    if (manager_is_disk_failure(error)) {
        log_manager_fail_directory(manager, directory, error);
    } else if (error == E_OK && kind == KIND_LOG_START && !list_is_empty(&dir->deleted_files)) {
        manager_write_checkpoints(manager, KIND_LOG_START); /* files came meanwhile */
    }
}

static void begin_checkpoint(struct log_manager *manager, uint32_t directory,
                             enum checkpoint_kind kind)
{
    struct log_directory *dir = &manager->directories[directory];
    struct checkpoint_task *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return;
    }
    list_init(&work->deleted_files);
    if (kind == KIND_LOG_START) {
        list_splice_back(&work->deleted_files, &dir->deleted_files);
    }
    work->directory = directory;
    work->kind = kind;
    work->ghost_count = dir->ghost_count;
    build_text(manager, directory, kind, &work->text);
    dir->is_stale[kind] = false;
    dir->is_writing[kind] = true;
    work->task.run = checkpoint_run;
    work->task.done = checkpoint_done;
    manager_submit(manager, &dir->lane, &work->task);
}

void manager_write_checkpoints(struct log_manager *manager, enum checkpoint_kind kind)
{
    manager_refresh_hints(manager);
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        struct log_directory *dir = &manager->directories[i];
        const bool is_wanted =
            dir->is_stale[kind] || (kind == KIND_LOG_START && !list_is_empty(&dir->deleted_files));
        if (is_wanted && dir->error == E_OK && !dir->is_writing[kind] && !manager->is_stopping) {
            begin_checkpoint(manager, i, kind);
        }
    }
}

bool manager_has_ghosts(const struct log_directory *dir)
{
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (dir->ghosts_gone[kind] != dir->ghost_count) {
            return true;
        }
    }
    return false;
}

void manager_drop_ghosts(struct log_manager *manager, struct log_directory *dir)
{
    for (enum checkpoint_kind kind = 0; kind < KIND_COUNT; kind++) {
        if (dir->ghosts_gone[kind] != dir->ghost_count) {
            dir->is_stale[kind] = true;
            manager_write_checkpoints(manager, kind);
        }
    }
}

void manager_take_deleted_files(struct managed_entry *managed)
{
    struct log_directory *dir = directory_of(managed);
    dir->file_delete_delay_ms = log_file_delete_delay_ms(managed->entry.log);
    log_take_deleted_files(managed->entry.log, &dir->deleted_files);
}

void log_manager_checkpoint_start_offsets(struct log_manager *manager)
{
    LIST_FOREACH (node, &manager->loaded) {
        manager_take_deleted_files(container_of(node, struct managed_entry, loaded_node));
    }
    manager_write_checkpoints(manager, KIND_LOG_START);
}

void log_manager_checkpoint_recovery_points(struct log_manager *manager)
{
    manager_write_checkpoints(manager, KIND_RECOVERY_POINT);
    manager_write_checkpoints(manager, KIND_HIGH_WATERMARK);
}

/* --- at the stop, in line --- */

enum error manager_write_checkpoint_now(struct log_manager *manager, uint32_t directory,
                                        enum checkpoint_kind kind)
{
    struct log_directory *dir = &manager->directories[directory];
    struct checkpoint_text text;
    char path[LOG_DIRECTORY_PATH_ROOM];
    if (!dir->is_stale[kind]) {
        return E_OK;
    }
    build_text(manager, directory, kind, &text);
    const enum error error = log_directory_path(path, dir->path, checkpoint_name(kind))
                                 ? checkpoint_text_write(&text, manager->env.vfs, path)
                                 : E_LOCAL_LIMIT;
    checkpoint_text_done(&text);
    dir->is_stale[kind] = error != E_OK;
    return error;
}
