/* SPDX-License-Identifier: Apache-2.0 */
/* Making a log shorter: at its end (truncation) and at its start (retention, DeleteRecords). */
#include <stdlib.h>

#include "storage/log_private.h"
#include "storage/transaction_index.h"

/* --- at the end --- */

/* No reader may come with what it knew of the log before. */
static void begin_generation(struct log *log)
{
    pthread_mutex_lock(&log->home.lock);
    log->generation++;
    log_forget_places(log);
    pthread_mutex_unlock(&log->home.lock);
}

static void lower(_Atomic int64_t *offset, int64_t to)
{
    if (offset_load(offset) > to) {
        offset_store(offset, to);
    }
}

/* The offsets go down before the files do, so that no reader is sent behind the end. */
static void lower_offsets(struct log *log, int64_t end)
{
    lower(&log->flushed, end);
    lower(&log->last_stable, end);
    lower(&log->high_watermark, end);
    lower(&log->end, end);
    if (log->flush != NULL && end < log->flush_limit) {
        log->flush_limit = end;
    }
    log->next_offset = end;
}

static enum error truncate_transactions(struct log *log, struct segment *seg, int64_t offset)
{
    if (seg->transaction_index_size == 0) {
        return E_OK;
    }
    char path[LOG_PATH_SIZE_MAX];
    int64_t size = 0;
    segment_file_path(&log->home, seg, SEGMENT_FILE_TRANSACTION_INDEX, path);
    const enum error error = transaction_index_truncate(log->env->vfs, path, offset, &size);
    if (error == E_OK) {
        pthread_mutex_lock(&log->home.lock);
        seg->transaction_index_size = size;
        pthread_mutex_unlock(&log->home.lock);
    }
    return error;
}

static enum error sync_segment(struct log *log, struct segment *seg)
{
    struct file *file;
    enum error error = segment_get_file(&log->home, seg, &file);
    if (error == E_OK) {
        error = log->env->vfs->sync(file);
        file_unref(file);
    }
    return error;
}

/* Cuts the segment that holds offset; *ret_end is where the log ends then. */
static enum error truncate_segment(struct log *log, struct segment *seg, int64_t offset,
                                   int64_t *ret_end)
{
    struct file *file;
    struct segment_place place;
    enum error error = segment_get_file(&log->home, seg, &file);
    if (error != E_OK) {
        return error;
    }
    error = segment_locate(&log->home, seg, file, offset, seg->size, &place);
    file_unref(file);
    if (error != E_OK) {
        return error;
    }
    /* A batch goes as a whole: then the log ends where it began, and offsets stay dense. */
    const int64_t end = place.size > 0 && place.base_offset < offset ? place.base_offset : offset;
    lower_offsets(log, end);
    error = segment_truncate(&log->home, seg, place.position, end);
    if (error == E_OK) {
        /* As after a recovery's cut: what was truncated must not come back below a new segment. */
        error = sync_segment(log, seg);
    }
    if (error == E_OK) {
        error = truncate_transactions(log, seg, end);
    }
    if (error == E_OK) {
        *ret_end = end;
    }
    return error;
}

static enum error truncate_inside(struct log *log, int64_t offset)
{
    const uint32_t index = log_find_segment(log, offset);
    int64_t end = offset;
    begin_generation(log);
    lower_offsets(log, offset);
    enum error error = log_delete_segments(log, index + 1, log->segment_count - index - 1);
    if (error == E_OK) {
        error = truncate_segment(log, log_active(log), offset, &end);
    }
    begin_generation(log);
    if (error != E_OK) {
        return error;
    }
    /* I1. The end is the base of the batch that holds offset, which may lie below the start. */
    if (end < offset_load(&log->log_start)) {
        offset_store(&log->log_start, end);
    }
    leader_epochs_truncate(&log->epochs, end);
    log->next_epoch = leader_epochs_latest(&log->epochs);
    log_drop_snapshots_above(log, end);
    error = log_load_producers(log, end, offset_load(&log->high_watermark));
    producer_state_set_high_watermark(&log->producers, offset_load(&log->high_watermark));
    log_update_last_stable(log);
    return error;
}

enum error log_truncate(struct log *log, int64_t offset)
{
    log_write_queued(log);
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    if (offset >= offset_load(&log->end)) {
        return E_OK;
    }
    if (offset < log->segments[0]->base_offset) {
        return log_restart_at(log, offset);
    }
    const enum error error = truncate_inside(log, offset);
    if (error != E_OK) {
        log_fail(log, error);
    }
    return error;
}

/* A fresh empty active segment behind all others, which then go. */
static enum error replace_segments(struct log *log, int64_t offset)
{
    struct segment *seg;
    enum error error = log_delete_segments(log, 0, log->segment_count);
    if (error == E_OK) {
        error = segment_new(offset, log_now_ms(log), &seg);
    }
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

enum error log_restart_at(struct log *log, int64_t offset)
{
    log_write_queued(log);
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    begin_generation(log);
    lower_offsets(log, offset);
    log->flush_limit = log->flush != NULL ? 0 : INT64_MAX; /* it knows nothing of the new log */
    enum error error = replace_segments(log, offset);
    if (error == E_OK) {
        /* The recovery point is the offset at once: the old segments must not come back. */
        error = log->env->vfs->sync_directory(log->env->vfs, log->home.path);
    }
    if (error != E_OK) {
        log_fail(log, error);
        return error;
    }
    log->next_offset = offset;
    offset_store(&log->end, offset);
    offset_store(&log->high_watermark, offset);
    offset_store(&log->log_start, offset);
    offset_store(&log->last_stable, offset);
    offset_store(&log->flushed, offset);
    begin_generation(log);
    producer_state_clear(&log->producers);
    log_drop_snapshots_above(log, -1);
    leader_epochs_clear(&log->epochs);
    log->next_epoch = NO_LEADER_EPOCH;
    return E_OK;
}

/* --- at the start --- */

/* The log begins at offset now; segments that lie wholly below go. Rule 54: the start is known
 * before files go; the log's own files say the same after a restart. */
static enum error raise_start(struct log *log, int64_t offset)
{
    if (offset > offset_load(&log->log_start)) {
        offset_store(&log->log_start, offset);
        leader_epochs_raise_start(&log->epochs, offset);
        log_update_last_stable(log);
    }
    return E_OK;
}

enum error log_raise_start(struct log *log, int64_t offset)
{
    log_write_queued(log);
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    if (offset < 0 || offset > offset_load(&log->high_watermark)) {
        return E_OFFSET_OUT_OF_RANGE;
    }
    return raise_start(log, offset);
}

/* Where the segment behind this one begins, or would. */
static int64_t segment_end(const struct log *log, uint32_t index)
{
    return index + 1 < log->segment_count ? log->segments[index + 1]->base_offset
                                          : offset_load(&log->end);
}

/* Segments at the start that may go at all: non-empty, and below the high watermark (I1). */
static bool is_deletable(const struct log *log, uint32_t index)
{
    const bool is_empty_active = index + 1 == log->segment_count && log->segments[index]->size == 0;
    return !is_empty_active && segment_end(log, index) <= offset_load(&log->high_watermark);
}

static enum error has_expired(struct log *log, struct segment *seg, int64_t now_ms,
                              bool *ret_has_expired)
{
    const enum error error = segment_load_times(&log->home, seg);
    if (error != E_OK) {
        return error;
    }
    const int64_t newest = seg->max_timestamp >= 0 ? seg->max_timestamp : seg->created_ms;
    *ret_has_expired = now_ms - newest > log->config.retention_ms;
    return E_OK;
}

/* How many segments from the start retention takes. */
static enum error count_expired(struct log *log, int64_t now_ms, uint32_t *ret_count)
{
    const struct log_config *config = &log->config;
    const bool is_retained = config->is_deleted && !config->is_held;
    const int64_t start = offset_load(&log->log_start);
    int64_t excess =
        is_retained && config->retention_bytes >= 0 ? log_size(log) - config->retention_bytes : -1;
    uint32_t count = 0;
    for (; count < log->segment_count && is_deletable(log, count); count++) {
        struct segment *seg = log->segments[count];
        bool goes = segment_end(log, count) <= start;
        if (!goes && is_retained && config->retention_ms >= 0) {
            const enum error error = has_expired(log, seg, now_ms, &goes);
            if (error != E_OK) {
                return error;
            }
        }
        if (!goes && excess >= seg->size) {
            goes = true;
        }
        if (!goes) {
            break;
        }
        excess -= seg->size;
    }
    *ret_count = count;
    return E_OK;
}

enum error log_retain(struct log *log, int64_t now_ms, uint32_t *ret_segment_count)
{
    log_write_queued(log);
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    uint32_t count = 0;
    enum error error = count_expired(log, now_ms, &count);
    if (error == E_OK && count == log->segment_count) {
        error = log_roll_at(log, log->next_offset); /* an active segment stays */
    }
    if (error == E_OK && count > 0) {
        error = raise_start(log, log->segments[count]->base_offset);
    }
    if (error == E_OK && count > 0) {
        error = log_delete_segments(log, 0, count);
    }
    if (error == E_OK) {
        *ret_segment_count = count;
    }
    return error;
}
