/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second half of an append: all queued batches of a log go to its active segment in one write,
 * then count for readers, indexes, epochs and transactions; or, when the disk refuses, none of
 * them ever was (I4).
 */
#include "storage/log_flush.h"
#include "storage/log_private.h"
#include "storage/log_writer.h"
#include "storage/transaction_index.h"

enum {
    ALLOCATE_FROM_BYTES = 16 * 1024 * 1024, /* a segment that grew this large will grow on */
    ALLOCATE_STEP_BYTES = 16 * 1024 * 1024,
};

/* --- success --- */

struct aborted_entry log_aborted_entry(const struct log *log,
                                       const struct completed_transaction *completed)
{
    const int64_t first_ongoing = producer_state_first_ongoing(&log->producers);
    return (struct aborted_entry){
        .producer_id = completed->producer_id,
        .first_offset = completed->first_offset,
        .last_offset = completed->last_offset,
        .last_stable_offset = first_ongoing >= 0 ? first_ongoing : completed->last_offset + 1,
    };
}

enum error log_write_aborted(struct log *log, struct segment *seg,
                             const struct aborted_entry *entry)
{
    char path[LOG_PATH_SIZE_MAX];
    segment_file_path(&log->home, seg, SEGMENT_FILE_TRANSACTION_INDEX, path);
    const enum error error =
        transaction_index_append(log->env->vfs, path, seg->transaction_index_size, entry);
    if (error == E_OK) {
        log->has_new_files = log->has_new_files || seg->transaction_index_size == 0;
        pthread_mutex_lock(&log->home.lock);
        seg->transaction_index_size += TRANSACTION_INDEX_ENTRY_SIZE;
        pthread_mutex_unlock(&log->home.lock);
    }
    return error;
}

static enum error commit_producer(struct log *log, const struct append *append,
                                  const struct batch_header *header, const uint8_t *data)
{
    struct transaction_marker marker;
    const bool is_marker = log_batch_marker(header, data, header->size, &marker);
    if (header->producer_id < 0 ||
        ((header->attributes & BATCH_ATTRIBUTE_CONTROL) != 0 && !is_marker)) {
        return E_OK;
    }
    const struct producer_append change = {
        .header = header, .marker = is_marker ? &marker : NULL, .origin = append->origin};
    struct completed_transaction completed;
    if (!producer_state_commit(&log->producers, &change, &completed) || !completed.is_aborted) {
        return E_OK;
    }
    const struct aborted_entry entry = log_aborted_entry(log, &completed);
    return log_write_aborted(log, log_active(log), &entry);
}

static struct batch_header header_at(const struct append *append, size_t at)
{
    struct batch_header header;
    const enum error error =
        batch_header_decode(slice_of(append->data + at, append->size - at), &header);
    check(error == E_OK); /* it was accepted by log_append */
    return header;
}

static void commit_epoch(struct log *log, int32_t epoch, int64_t base_offset)
{
    if (epoch > leader_epochs_latest(&log->epochs)) {
        leader_epochs_assign(&log->epochs, epoch, base_offset);
    }
}

/* Epochs and producers. */
static void commit_append(struct log *log, struct append *append)
{
    size_t at = 0;
    if (append->origin != APPEND_FROM_LEADER && !append->has_producer) {
        if (append->size > 0) { /* all that matters of its one batch is known */
            commit_epoch(log, append->leader_epoch, append->base_offset);
        }
        return;
    }
    while (at < append->size) {
        const struct batch_header header = header_at(append, at);
        commit_epoch(log, header.partition_leader_epoch, header.base_offset);
        const enum error error = commit_producer(log, append, &header, append->data + at);
        if (error != E_OK) {
            /* The records are in the log, but not the abort that readers need to know: nothing
             * more may be served from it. Recovery writes the index again. */
            append->error = E_KAFKA_STORAGE_ERROR;
            log_fail(log, error);
        }
        at += header.size;
    }
}

/* Lock: held. */
static void index_append(struct log *log, const struct append *append, int64_t position)
{
    size_t at = 0;
    while (at < append->size) {
        struct index_batch batch = {
            .position = position + (int64_t)at,
            .size = (int64_t)append->size,
            .last_offset = append->last_offset,
            .max_timestamp = append->max_timestamp,
        };
        if (append->origin == APPEND_FROM_LEADER) { /* several batches */
            const struct batch_header header = header_at(append, at);
            batch.size = (int64_t)header.size;
            batch.last_offset = batch_header_last_offset(&header);
            batch.max_timestamp = header.max_timestamp;
        }
        segment_index_batch(log_active(log), &batch, log->config.index_interval_bytes);
        at += (size_t)batch.size;
    }
}

static void settle_success(struct log *log)
{
    struct segment *seg = log_active(log);
    int64_t position = seg->size;
    LIST_FOREACH (node, &log->queued) {
        commit_append(log, container_of(node, struct append, node));
    }
    producer_state_seal(&log->producers);
    pthread_mutex_lock(&log->home.lock);
    LIST_FOREACH (node, &log->queued) {
        const struct append *append = container_of(node, struct append, node);
        index_append(log, append, position);
        position += (int64_t)append->size;
    }
    check_cmp(position, ==, seg->size + log->pending_size);
    log->recent_writes[log->recent_write_next++ % LOG_RECENT_WRITE_COUNT] =
        (struct log_limit_place){.offset = offset_load(&log->end),
                                 .segment_base_offset = seg->base_offset,
                                 .position = seg->size};
    seg->size = position;
    offset_store(&log->end, log->next_offset); /* I2 */
    pthread_mutex_unlock(&log->home.lock);
}

/* --- failure --- */

static void settle_failure(struct log *log)
{
    LIST_FOREACH (node, &log->queued) {
        struct append *append = container_of(node, struct append, node);
        if (append->error == E_OK) {
            append->error = E_KAFKA_STORAGE_ERROR;
            append->base_offset = -1;
            append->last_offset = -1;
            append->is_duplicate = false;
        }
    }
    producer_state_rollback(&log->producers);
    log->next_offset = offset_load(&log->end);
}

/* --- the write --- */

/* Ahead of what is written, in large steps; a hint that may fail. */
static void allocate_ahead(struct log *log, struct segment *seg, struct file *file)
{
    const int64_t end = seg->size + log->pending_size;
    const int64_t known = seg->allocated_size > seg->size ? seg->allocated_size : seg->size;
    if (seg->size < ALLOCATE_FROM_BYTES || end <= known) {
        return;
    }
    if (log->env->vfs->allocate(file, known, end - known + ALLOCATE_STEP_BYTES) == E_OK) {
        seg->allocated_size = end + ALLOCATE_STEP_BYTES;
    } else {
        seg->allocated_size = INT64_MAX; /* not supported here: do not ask again */
    }
}

static enum error write_pieces(struct log *log, struct file *file)
{
    struct iovec *pieces = log->env->writer->pieces;
    int64_t position = log_active(log)->size;
    struct list *node = log->queued.next;
    while (node != &log->queued) {
        int count = 0;
        int64_t size = 0;
        for (; node != &log->queued && count < WRITER_PIECES_MAX; node = node->next) {
            struct append *append = container_of(node, struct append, node);
            if (append->size > 0) {
                pieces[count++] = (struct iovec){.iov_base = append->data, .iov_len = append->size};
                size += (int64_t)append->size;
            }
        }
        size_t written;
        const enum error error =
            count == 0 ? E_OK : log->env->vfs->write(file, position, pieces, count, &written);
        if (error != E_OK) {
            return error;
        }
        position += size;
    }
    return E_OK;
}

static enum error write_all(struct log *log)
{
    struct segment *seg = log_active(log);
    struct file *file;
    enum error error = segment_get_file(&log->home, seg, &file);
    if (error != E_OK) {
        return error;
    }
    segment_set_dirty(&log->home, seg, true);
    allocate_ahead(log, seg, file);
    error = write_pieces(log, file);
    if (error == E_OK) {
        settle_success(log);
        log_pace_write_back(log, seg, file);
    } else {
        const enum error truncated = log->env->vfs->truncate(file, seg->size);
        if (truncated != E_OK) {
            log_fail(log, truncated); /* I4 */
        }
    }
    file_unref(file);
    return error;
}

void log_write_queued(struct log *log)
{
    if (log->pending_size > 0) {
        if (write_all(log) != E_OK) {
            settle_failure(log);
        }
        log->pending_size = 0;
    }
    log->next_epoch = leader_epochs_latest(&log->epochs);
    log->pending_epoch_count = 0;
    list_splice_back(&log->written, &log->queued);
}
