/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about a log without looking at the disk. */
#include "storage/log.h"

#include "storage/log_private.h"

int64_t log_now_ms(const struct log *log)
{
    struct loop *loop = log->env->loop;
    /* A log that is being opened is on a worker. */
    return loop != NULL && loop_is_current(loop) ? loop_now_ms(loop)
                                                 : log->env->clock->wall_ms(log->env->clock);
}

bool log_batch_marker(const struct batch_header *header, const uint8_t *body, size_t size,
                      struct transaction_marker *ret_marker)
{
    return (header->attributes & BATCH_ATTRIBUTE_CONTROL) != 0 && body != NULL &&
           transaction_marker_parse(body, size, ret_marker);
}

void log_fail(struct log *log, enum error error)
{
    if (log_is_failed(log)) {
        return;
    }
    atomic_store_explicit(&log->is_failed, true, memory_order_relaxed);
    if (log->events.on_failed != NULL) {
        log->events.on_failed(log->events.context, log, error);
    }
}

void log_drop_events(struct log *log)
{
    log->events = (struct log_events){0};
}

void log_get_offsets(const struct log *log, struct log_offsets *ret_offsets)
{
    /* From the lowest to the highest: each may only have grown until the next one is read. */
    *ret_offsets = (struct log_offsets){.log_start = offset_load(&log->log_start)};
    ret_offsets->last_stable = offset_load(&log->last_stable);
    ret_offsets->high_watermark = offset_load(&log->high_watermark);
    ret_offsets->end = offset_load(&log->end);
    ret_offsets->flushed = offset_load(&log->flushed);
}

void log_update_last_stable(struct log *log)
{
    const int64_t first_unstable = producer_state_first_unstable(&log->producers);
    int64_t stable = offset_load(&log->high_watermark);
    if (first_unstable >= 0 && first_unstable < stable) {
        stable = first_unstable;
    }
    const int64_t start = offset_load(&log->log_start);
    offset_store(&log->last_stable, stable < start ? start : stable); /* I1 */
}

void log_set_high_watermark(struct log *log, int64_t offset)
{
    const int64_t end = offset_load(&log->end);
    offset = offset > end ? end : offset;
    if (offset <= offset_load(&log->high_watermark)) {
        return;
    }
    offset_store(&log->high_watermark, offset);
    producer_state_set_high_watermark(&log->producers, offset);
    log_update_last_stable(log);
}

struct epoch_end log_epoch_end(const struct log *log, int32_t epoch)
{
    return leader_epochs_end(&log->epochs, epoch, offset_load(&log->end));
}

int32_t log_latest_epoch(const struct log *log)
{
    return leader_epochs_latest(&log->epochs);
}

enum error log_start_epoch(struct log *log, int32_t epoch)
{
    log_write_queued(log);
    if (epoch <= leader_epochs_latest(&log->epochs)) {
        return E_OK;
    }
    const enum error error = leader_epochs_reserve(&log->epochs, 1);
    if (error == E_OK) {
        leader_epochs_assign(&log->epochs, epoch, offset_load(&log->end));
        log->next_epoch = epoch;
    }
    return error;
}

void log_epochs_path(const struct log *log, char *path)
{
    partition_path(path, log->home.path, "leader-epoch-checkpoint");
}

void log_set_config(struct log *log, const struct log_config *config)
{
    pthread_mutex_lock(&log->home.lock);
    log->config = *config;
    pthread_mutex_unlock(&log->home.lock);
}

int64_t log_file_delete_delay_ms(struct log *log)
{
    pthread_mutex_lock(&log->home.lock);
    const int64_t delay_ms = log->config.file_delete_delay_ms;
    pthread_mutex_unlock(&log->home.lock);
    return delay_ms;
}

const struct log_config *log_get_config(const struct log *log)
{
    return &log->config;
}

int64_t log_size(struct log *log)
{
    int64_t size = 0;
    pthread_mutex_lock(&log->home.lock);
    for (uint32_t i = 0; i < log->segment_count; i++) {
        size += log->segments[i]->size;
    }
    pthread_mutex_unlock(&log->home.lock);
    return size;
}

uint32_t log_segment_count(const struct log *log)
{
    return log->segment_count;
}

struct topic_partition log_topic_partition(const struct log *log)
{
    return log->topic_partition;
}

struct uuid log_topic_id(const struct log *log)
{
    return log->topic_id;
}

const char *log_path(const struct log *log)
{
    return log->home.path;
}

bool log_is_failed(const struct log *log)
{
    return atomic_load_explicit(&log->is_failed, memory_order_relaxed);
}

bool log_has_unflushed(const struct log *log)
{
    return offset_load(&log->flushed) < offset_load(&log->end);
}

enum error log_producers(struct log *log, struct arena *arena, struct producer_info **ret_items,
                         size_t *ret_count)
{
    struct producer_info *items =
        ARENA_NEW_ARRAY(arena, struct producer_info, log->producers.producers.count);
    if (items == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t count = 0;
    struct hash_node *node = NULL;
    while ((node = hash_table_next(&log->producers.producers, node)) != NULL) {
        const struct producer *producer = container_of(node, struct producer, node);
        const struct producer_values *values = &producer->values;
        items[count++] = (struct producer_info){
            .producer_id = producer->producer_id,
            .last_timestamp = values->last_timestamp,
            .current_txn_start_offset = values->current_txn_first_offset,
            .last_sequence = values->batch_count == 0
                                 ? NO_SEQUENCE
                                 : values->batches[values->batch_count - 1].last_sequence,
            .coordinator_epoch = values->coordinator_epoch,
            .producer_epoch = values->producer_epoch,
        };
    }
    *ret_items = items;
    *ret_count = count;
    return E_OK;
}

void log_expire_producers(struct log *log, int64_t now_ms)
{
    producer_state_expire(&log->producers, now_ms, log->config.producer_id_expiration_ms);
}
