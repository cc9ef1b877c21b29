/* SPDX-License-Identifier: Apache-2.0 */
/* The array of segments: finding, rolling, deleting. */
#include <stdlib.h>
#include <string.h>

#include "storage/log_flush.h"
#include "storage/log_private.h"

enum { SEGMENT_CAPACITY_FIRST = 2 };

enum error log_add_segment(struct log *log, struct segment *seg)
{
    check(log->segment_count == 0 || log_active(log)->base_offset < seg->base_offset);
    struct segment **old = NULL;
    if (log->segment_count == log->segment_capacity) {
        const uint32_t capacity =
            log->segment_capacity == 0 ? SEGMENT_CAPACITY_FIRST : log->segment_capacity * 2;
        struct segment **segments = malloc(capacity * sizeof(struct segment *));
        if (segments == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        pthread_mutex_lock(&log->home.lock);
        if (log->segment_count > 0) {
            memcpy(segments, log->segments, log->segment_count * sizeof(struct segment *));
        }
        old = log->segments;
        log->segments = segments;
        log->segment_capacity = capacity;
        pthread_mutex_unlock(&log->home.lock);
    }
    pthread_mutex_lock(&log->home.lock);
    log->segments[log->segment_count++] = seg;
    pthread_mutex_unlock(&log->home.lock);
    free(old);
    return E_OK;
}

uint32_t log_find_segment(const struct log *log, int64_t offset)
{
    uint32_t low = 0; /* segments before low begin at or below offset */
    uint32_t high = log->segment_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (log->segments[middle]->base_offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? 0 : low - 1;
}

/* The active segment will not be written any more: indexes to disk, reserved blocks given back. */
enum error log_finish_active(struct log *log)
{
    struct segment *seg = log_active(log);
    if (seg->allocated_size > seg->size) {
        struct file *file;
        enum error error = segment_get_file(&log->home, seg, &file);
        if (error != E_OK) {
            return error;
        }
        error = log->env->vfs->truncate(file, seg->size);
        file_unref(file);
        if (error != E_OK) {
            return error;
        }
        seg->allocated_size = 0;
    }
    return segment_write_indexes(&log->home, seg);
}

enum error log_roll_at(struct log *log, int64_t base_offset)
{
    check_cmp(log->pending_size, ==, 0);
    check_cmp(base_offset, >, log_active(log)->base_offset);
    struct segment *seg;
    enum error error = log_finish_active(log);
    if (error == E_OK) {
        error = log_write_snapshot(log, base_offset);
    }
    if (error != E_OK) {
        return error;
    }
    error = segment_new(base_offset, log_now_ms(log), &seg);
    if (error != E_OK) {
        return error;
    }
    segment_clear_indexes(seg);
    error = segment_create_file(&log->home, seg);
    if (error == E_OK) {
        log->has_new_files = true;
        error = log_add_segment(log, seg);
    }
    if (error != E_OK) {
        segment_close_file(&log->home, seg);
        segment_unref(seg);
    }
    return error;
}

void log_add_deleted(struct log *log, const char *path)
{
    const size_t size = strlen(path) + 1;
    struct deleted_file *deleted = malloc(sizeof(*deleted) + size);
    if (deleted == NULL) {
        (void)log->env->vfs->unlink(log->env->vfs, path); /* else it goes at the next start */
        return;
    }
    memcpy(deleted->path, path, size);
    pthread_mutex_lock(&log->home.lock);
    list_push_back(&log->deleted, &deleted->node);
    pthread_mutex_unlock(&log->home.lock);
}

void log_take_deleted_files(struct log *log, struct list *ret_files)
{
    pthread_mutex_lock(&log->home.lock);
    list_splice_back(ret_files, &log->deleted);
    pthread_mutex_unlock(&log->home.lock);
}

/* Renames the files of a segment to .deleted, the log first: without it the others are leftovers.
 */
static enum error remove_files(struct log *log, const struct segment *seg)
{
    char from[LOG_PATH_SIZE_MAX];
    char to[LOG_PATH_SIZE_MAX];
    for (int kind = 0; kind < SEGMENT_FILE_KIND_COUNT; kind++) {
        struct segment_name name = {.base_offset = seg->base_offset,
                                    .kind = (enum segment_file_kind)kind};
        segment_path(from, log->home.path, name);
        name.state = SEGMENT_FILE_DELETED;
        segment_path(to, log->home.path, name);
        const enum error error = log->env->vfs->rename(log->env->vfs, from, to);
        if (error == E_OK) {
            log_add_deleted(log, to);
        } else if (error != E_LOCAL_NOT_FOUND) {
            return error;
        }
    }
    return E_OK;
}

enum error log_delete_segments(struct log *log, uint32_t first, uint32_t count)
{
    check(first + count <= log->segment_count);
    enum error error = E_OK;
    for (uint32_t i = 0; i < count && error == E_OK; i++) {
        /* From the end when the end goes, so that a crash leaves no hole. */
        const bool is_tail = first + count - i == log->segment_count && first > 0;
        const uint32_t at = is_tail ? log->segment_count - 1 : first;
        struct segment *seg = log->segments[at];
        pthread_mutex_lock(&log->home.lock);
        memmove(log->segments + at, log->segments + at + 1,
                (log->segment_count - at - 1) * sizeof(struct segment *));
        log->segment_count--;
        pthread_mutex_unlock(&log->home.lock);
        segment_close_file(&log->home, seg);
        error = remove_files(log, seg);
        segment_unref(seg);
    }
    log->has_new_files = log->has_new_files || count > 0;
    return error;
}

enum error log_roll(struct log *log)
{
    log_write_queued(log);
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    return log_active(log)->size == 0 ? E_OK : log_roll_at(log, log->next_offset);
}
