/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit: one flush of a log runs at a time; what is asked for meanwhile is one more behind
 * it. The order is that of I5: data, indexes and snapshots of rolled segments, leader epochs, the
 * directory for new files; only then does the recovery point move. A failure is final (I6).
 */
#include "storage/log_flush.h"

#include <stdlib.h>

#include "storage/log_private.h"

enum { EPOCHS_TEXT_SIZE_MAX = 8 * 1024 * 1024 };

struct flush_file {
    struct segment *seg; /* a reference */
    struct file *file;   /* a reference; NULL: nothing was written to it */
    int64_t size;        /* bytes when the flush began */
    bool is_rolled;
};

struct flush_job {
    struct job job;
    struct log *log;
    struct arena arena;
    struct slice epochs_text; /* null: not changed */
    int64_t target;           /* everything below is on disk when this succeeds */
    bool sync_directory;
    enum error error;
    uint32_t file_count;
    struct flush_file files[];
};

/* --- on the worker --- */

/* A side file that may be absent. */
static enum error sync_side_file(struct log *log, struct segment_name name)
{
    char path[LOG_PATH_SIZE_MAX];
    struct file *file;
    segment_path(path, log->home.path, name);
    enum error error = log->env->vfs->open(log->env->vfs, path, FILE_WRITE, &file);
    if (error == E_LOCAL_NOT_FOUND) {
        return E_OK;
    }
    if (error == E_OK) {
        error = log->env->vfs->sync(file);
        file_unref(file);
    }
    return error;
}

static enum error sync_side_files(struct log *log, const struct flush_file *item)
{
    struct segment_name name = {.base_offset = item->seg->base_offset,
                                .kind = SEGMENT_FILE_SNAPSHOT};
    enum error error = sync_side_file(log, name);
    name.kind = SEGMENT_FILE_TRANSACTION_INDEX;
    if (error == E_OK) {
        error = sync_side_file(log, name);
    }
    if (!item->is_rolled) {
        return error;
    }
    name.kind = SEGMENT_FILE_OFFSET_INDEX;
    if (error == E_OK) {
        error = sync_side_file(log, name);
    }
    name.kind = SEGMENT_FILE_TIME_INDEX;
    return error == E_OK ? sync_side_file(log, name) : error;
}

static enum error flush_all(struct flush_job *flush)
{
    struct log *log = flush->log;
    enum error error = E_OK;
    for (uint32_t i = 0; error == E_OK && i < flush->file_count; i++) {
        error = log->env->vfs->sync(flush->files[i].file);
    }
    for (uint32_t i = 0; error == E_OK && i < flush->file_count; i++) {
        error = sync_side_files(log, &flush->files[i]);
    }
    if (error == E_OK && !slice_is_null(flush->epochs_text)) {
        char path[LOG_PATH_SIZE_MAX];
        log_epochs_path(log, path);
        error = vfs_replace_file(log->env->vfs, path, flush->epochs_text);
    }
    if (error == E_OK && flush->sync_directory) {
        error = log->env->vfs->sync_directory(log->env->vfs, log->home.path);
    }
    return error;
}

static void run_flush(struct job *job)
{
    struct flush_job *flush = container_of(job, struct flush_job, job);
    flush->error = flush_all(flush);
}

/* --- on the loop --- */

static void free_flush(struct flush_job *flush)
{
    for (uint32_t i = 0; i < flush->file_count; i++) {
        file_unref(flush->files[i].file);
        segment_unref(flush->files[i].seg);
    }
    arena_done(&flush->arena);
    free(flush);
}

/* What nobody has written to since is clean now: its descriptor may be closed. */
static void mark_clean(struct flush_job *flush)
{
    struct log *log = flush->log;
    for (uint32_t i = 0; i < flush->file_count; i++) {
        struct segment *seg = flush->files[i].seg;
        const uint32_t at = log_find_segment(log, seg->base_offset);
        if (log->segments[at] == seg && seg->size == flush->files[i].size) {
            segment_set_dirty(&log->home, seg, false);
        }
    }
}

static void complete_flush(struct flush_job *flush)
{
    struct log *log = flush->log;
    const enum error error = flush->error;
    const int64_t target = flush->target < log->flush_limit ? flush->target : log->flush_limit;
    const bool is_cut = log->flush_limit != INT64_MAX;
    log->flush = NULL;
    log->flush_limit = INT64_MAX;
    if (error == E_OK && !log->is_freed && !is_cut) {
        mark_clean(flush);
    }
    free_flush(flush);
    if (log->is_freed) {
        log->is_freed = false;
        log_free(log);
        return;
    }
    if (error != E_OK) {
        log_fail(log, error); /* I6 */
        return;
    }
    if (target > offset_load(&log->flushed)) {
        offset_store(&log->flushed, target);
        if (log->events.on_flushed != NULL) {
            log->events.on_flushed(log->events.context, log);
        }
    }
    if (log->is_flush_wanted) {
        log->is_flush_wanted = false;
        log_flush(log);
    }
}

static void on_flush_done(struct job *job)
{
    complete_flush(container_of(job, struct flush_job, job));
}

/* Gathers what has to be flushed. NULL: *ret_error. */
static struct flush_job *new_flush(struct log *log, enum error *ret_error)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        count += log->segments[i]->is_dirty ? 1 : 0;
    }
    struct flush_job *flush = calloc(1, sizeof(*flush) + count * sizeof(flush->files[0]));
    if (flush == NULL) {
        *ret_error = E_LOCAL_NO_MEMORY;
        return NULL;
    }
    flush->log = log;
    flush->target = offset_load(&log->end);
    flush->sync_directory = log->has_new_files;
    arena_init(&flush->arena, EPOCHS_TEXT_SIZE_MAX);
    enum error error = E_OK;
    for (uint32_t i = 0; error == E_OK && i < log->segment_count; i++) {
        struct segment *seg = log->segments[i];
        struct file *file = NULL;
        if (!seg->is_dirty) {
            continue;
        }
        error = segment_get_file(&log->home, seg, &file);
        if (error == E_OK) {
            flush->files[flush->file_count++] =
                (struct flush_file){.seg = segment_ref(seg),
                                    .file = file,
                                    .size = seg->size,
                                    .is_rolled = seg != log_active(log)};
        }
    }
    if (error == E_OK && log->epochs.is_changed) {
        error = leader_epochs_format(&log->epochs, &flush->arena, &flush->epochs_text);
    }
    if (error != E_OK) {
        free_flush(flush);
        *ret_error = error;
        return NULL;
    }
    log->epochs.is_changed = false;
    log->has_new_files = false;
    return flush;
}

void log_flush(struct log *log)
{
    if (log->is_failed) {
        return;
    }
    if (log->flush != NULL) {
        log->is_flush_wanted = true;
        return;
    }
    enum error error = E_OK;
    struct flush_job *flush = new_flush(log, &error);
    if (flush == NULL) {
        if (error != E_LOCAL_NO_MEMORY && error != E_LOCAL_TOO_MANY_FILES) {
            log_fail(log, error);
        }
        return; /* the next call tries again */
    }
    log->flush = flush;
    flush->job.run = run_flush;
    flush->job.on_done = on_flush_done;
    flush->job.loop = log->env->loop;
    if (log->env->workers != NULL) {
        worker_pool_submit(log->env->workers, &flush->job);
    } else {
        run_flush(&flush->job);
        complete_flush(flush);
    }
}

enum error log_flush_now(struct log *log)
{
    check(log->flush == NULL);
    enum error error = E_OK;
    struct flush_job *flush = new_flush(log, &error);
    if (flush == NULL) {
        return error;
    }
    log->flush = flush;
    error = flush->error = flush_all(flush);
    complete_flush(flush);
    return error;
}

/* --- write-back --- */

struct write_back_job {
    struct job job;
    struct file *file;
    int64_t position;
    int64_t size;
};

static void run_write_back(struct job *job)
{
    struct write_back_job *work = container_of(job, struct write_back_job, job);
    (void)work->file->vfs->write_back(work->file, work->position, work->size); /* a hint */
    file_unref(work->file);
    free(work);
}

void log_pace_write_back(struct log *log, struct segment *seg, struct file *file)
{
    enum { WRITE_BACK_STEP_BYTES = 8 * 1024 * 1024 };
    if (seg->size - seg->written_back < WRITE_BACK_STEP_BYTES || log->env->workers == NULL) {
        return;
    }
    struct write_back_job *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return;
    }
    work->file = file_ref(file);
    work->position = seg->written_back;
    work->size = seg->size - seg->written_back;
    work->job.run = run_write_back;
    seg->written_back = seg->size;
    worker_pool_submit(log->env->workers, &work->job);
}
