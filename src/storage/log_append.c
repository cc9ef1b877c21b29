/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first half of an append: is it allowed, which offsets does it get. Nothing touches the disk
 * here except a roll of the segment.
 */
#include <inttypes.h>

#include "record/validate.h"
#include "storage/log_private.h"
#include "storage/log_writer.h"

static enum error refuse(struct append *append, enum error error, const char *text)
{
    append->error_text = text;
    return error;
}

/* Kafka's words; its sums wrap, and so do ours. NULL: no memory. */
static const char *timestamp_error_text(const struct append *append, const struct record_error *one,
                                        const struct record_rules *rules)
{
    const uint64_t now_ms = (uint64_t)rules->now_ms;
    return arena_printf(append->arena,
                        "Timestamp %" PRId64 " of message with offset %" PRId32
                        " is out of range. The timestamp should be within [%" PRId64 ", %" PRId64
                        "]",
                        one->timestamp_ms, one->batch_index,
                        (int64_t)(now_ms - (uint64_t)rules->timestamp_before_max_ms),
                        (int64_t)(now_ms + (uint64_t)rules->timestamp_after_max_ms));
}

static const char *record_error_text(const struct log *log, const struct append *append,
                                     const struct record_error *one,
                                     const struct record_rules *rules)
{
    if (one->kind == RECORD_ERROR_TIMESTAMP) {
        return timestamp_error_text(append, one, rules);
    }
    const struct topic_partition name = log_topic_partition(log);
    return arena_printf(append->arena,
                        "Compacted topic cannot accept message without key in topic partition "
                        "%.*s-%" PRId32,
                        (int)name.topic.size, (const char *)name.topic.data, name.partition);
}

/* For the response's ErrorMessage: the count, and the first three. */
static const char *record_errors_text(const struct log *log, const struct append *append,
                                      const struct record_report *report,
                                      const struct record_rules *rules)
{
    if (report->errors[0].kind == RECORD_ERROR_TIMESTAMP) {
        return "One or more records have been rejected due to invalid timestamp";
    }
    const char *list = "";
    for (int32_t i = 0; i < report->error_count && i < RECORD_ERROR_COUNT_MAX; i++) {
        const struct record_error *one = &report->errors[i];
        const char *text = record_error_text(log, append, one, rules);
        if (text == NULL || list == NULL) {
            return NULL;
        }
        list = arena_printf(append->arena, "%s%sRecordError(batchIndex=%" PRId32 ", message='%s')",
                            list, i == 0 ? "" : ", ", one->batch_index, text);
    }
    if (list == NULL) {
        return NULL;
    }
    return arena_printf(append->arena,
                        "One or more records have been rejected due to %" PRId32
                        " record errors in total, and only showing the first three errors at "
                        "most: [%s]",
                        report->error_count, list);
}

static void tell_record_errors(const struct log *log, struct append *append,
                               const struct record_report *report, const struct record_rules *rules)
{
    append->error_text = report->text;
    if (report->error_count == 0) {
        return;
    }
    append->record_error_index = report->errors[0].batch_index;
    append->record_error_text = "One or more records have been rejected";
    append->error_text = append->record_error_text;
    if (append->arena != NULL) {
        append->record_error_text = record_error_text(log, append, &report->errors[0], rules);
        append->error_text = record_errors_text(log, append, report, rules);
    }
}

/* --- roll --- */

static bool is_index_full(const struct log *log, const struct segment *seg)
{
    const int64_t size_max = log->config.index_size_bytes_max;
    return sparse_index_count(&seg->offset_index) >= size_max / OFFSET_INDEX_ENTRY_SIZE ||
           sparse_index_count(&seg->time_index) >= size_max / TIME_INDEX_ENTRY_SIZE - 1;
}

struct coming_batch {
    int64_t size;
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
};

/* Kafka's rule: by size, by time since the first batch's timestamp, index full, offset too far. */
static bool must_roll(const struct log *log, const struct coming_batch *coming)
{
    const struct segment *seg = log_active(log);
    const int64_t size = seg->size + log->pending_size;
    if (coming->last_offset - seg->base_offset > INT32_MAX || size + coming->size > INT32_MAX) {
        return true;
    }
    if (size == 0) {
        return false;
    }
    if (size > log->config.segment_size_bytes_max - coming->size || is_index_full(log, seg)) {
        return true;
    }
    const int64_t age_max = log->config.segment_age_ms_max - log->roll_jitter_ms;
    const int64_t age = seg->first_timestamp >= 0 ? coming->max_timestamp - seg->first_timestamp
                                                  : log_now_ms(log) - seg->created_ms;
    return age > age_max;
}

static enum error roll_for(struct log *log, const struct coming_batch *coming)
{
    const enum error error = segment_load_times(&log->home, log_active(log));
    if (error != E_OK || !must_roll(log, coming)) {
        return error;
    }
    log_write_queued(log);
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    return log_roll_at(log, coming->base_offset < log->next_offset ? log->next_offset
                                                                   : coming->base_offset);
}

/* --- from a client or a coordinator --- */

/* The epoch of a batch that will be in the log: room for it in the cache is kept. */
static enum error expect_epoch(struct log *log, int32_t epoch)
{
    if (epoch <= log->next_epoch) {
        return E_OK;
    }
    const enum error error = leader_epochs_reserve(&log->epochs, log->pending_epoch_count + 1);
    if (error == E_OK) {
        log->pending_epoch_count++;
        log->next_epoch = epoch;
    }
    return error;
}

static enum error validate(struct log *log, struct append *append, struct record_report *report)
{
    const struct log_config *config = &log->config;
    const struct record_rules rules = {
        .now_ms = log_now_ms(log),
        .timestamp_before_max_ms = config->timestamp_before_max_ms,
        .timestamp_after_max_ms = config->timestamp_after_max_ms,
        .size_max = config->message_size_bytes_max,
        .require_keys = config->is_compacted,
        .log_append_time = config->timestamp_policy == TIMESTAMP_LOG_APPEND_TIME,
        .inflate = config->validate_compressed,
        .allow_control = append->origin == APPEND_FROM_COORDINATOR,
        .allow_zstd = append->zstd_allowed,
    };
    const enum error error =
        record_validate(slice_of(append->data, append->size), &rules, append->scratch, report);
    if (error != E_OK) {
        tell_record_errors(log, append, report, &rules);
    }
    return error;
}

/* Kafka keeps the time of the log or of the records in the header, as the topic says. */
static void stamp(struct log *log, struct append *append, struct record_report *report)
{
    const bool is_append_time = log->config.timestamp_policy == TIMESTAMP_LOG_APPEND_TIME &&
                                append->origin == APPEND_FROM_CLIENT;
    const int64_t max_timestamp = is_append_time ? log_now_ms(log) : report->max_timestamp;
    batch_set_max_timestamp(append->data, is_append_time, max_timestamp);
    report->header.max_timestamp = max_timestamp;
    append->log_append_time_ms = is_append_time ? max_timestamp : NO_TIMESTAMP;
}

static void answer_duplicate(struct append *append, const struct producer_batch *stored)
{
    append->is_duplicate = true;
    append->size = 0; /* nothing to write */
    append->base_offset = stored->last_offset - stored->offset_delta;
    append->last_offset = stored->last_offset;
    append->log_append_time_ms = stored->timestamp; /* as Kafka, whatever the timestamp type */
}

static const char *producer_error_text(enum error error)
{
    switch ((int)error) {
    case E_OUT_OF_ORDER_SEQUENCE_NUMBER:
        return "The sequence number is not the one that follows the producer's last batch";
    case E_INVALID_PRODUCER_EPOCH:
        return "The producer's epoch is older than the one last seen";
    case E_INVALID_TXN_STATE:
        return "The producer has an open transaction and the batch is not transactional";
    default:
        return NULL;
    }
}

/* Gives the batch its offsets, in the header of the report and in the bytes. */
static enum error assign(struct log *log, struct append *append, struct record_report *report)
{
    struct batch_header *header = &report->header;
    header->base_offset = log->next_offset;
    header->partition_leader_epoch = append->leader_epoch;
    append->has_producer = header->producer_id >= 0;
    if (append->has_producer) {
        struct transaction_marker marker;
        const bool is_marker = log_batch_marker(header, append->data, append->size, &marker);
        const struct producer_append change = {
            .header = header,
            .marker = is_marker ? &marker : NULL,
            .origin = append->origin,
            .now_ms = log_now_ms(log),
        };
        const struct producer_batch *duplicate;
        enum error error = producer_state_check(&log->producers, &change, &duplicate);
        if (error != E_OK) {
            return refuse(append, error, producer_error_text(error));
        }
        if (duplicate != NULL) {
            answer_duplicate(append, duplicate);
            return E_OK;
        }
        error = producer_state_apply(&log->producers, &change);
        if (error != E_OK) {
            return error;
        }
    }
    batch_set_base_offset(append->data, header->base_offset);
    batch_set_partition_leader_epoch(append->data, append->leader_epoch);
    append->base_offset = header->base_offset;
    append->last_offset = batch_header_last_offset(header);
    append->max_timestamp = header->max_timestamp;
    return E_OK;
}

static bool is_old_format(const struct append *append)
{
    return append->size >= BATCH_PREFIX_AND_MAGIC_SIZE && batch_magic(append->data) >= 0 &&
           batch_magic(append->data) < 2;
}

static bool has_other_codec(const struct log *log, const struct batch_header *header)
{
    return log->config.compression != COMPRESSION_PRODUCER &&
           (header->attributes & BATCH_ATTRIBUTE_CONTROL) == 0 &&
           (int)batch_header_codec(header) != (int)log->config.compression;
}

/* The batch as it will be stored, but for its offsets. */
static enum error prepare_bytes(struct log *log, struct append *append,
                                struct record_report *ret_report)
{
    enum error error = E_OK;
    if (append->magic_old_allowed && is_old_format(append)) {
        error = log_convert_old(log, append);
    }
    if (error == E_OK) {
        error = validate(log, append, ret_report);
    }
    if (error == E_OK && has_other_codec(log, &ret_report->header)) {
        error = log_recompress(log, append, &ret_report->header);
    }
    if (error == E_OK) {
        stamp(log, append, ret_report);
    }
    return error;
}

static enum error prepare_own(struct log *log, struct append *append)
{
    struct record_report report;
    enum error error = prepare_bytes(log, append, &report);
    if (error != E_OK) {
        return error;
    }
    if ((int64_t)append->size > log->config.segment_size_bytes_max) {
        return refuse(append, E_RECORD_LIST_TOO_LARGE,
                      "The batch is larger than the topic's segment.bytes");
    }
    const int64_t offset = log->next_offset;
    error = roll_for(log, &(struct coming_batch){
                              .size = (int64_t)append->size,
                              .base_offset = offset,
                              .last_offset = offset + report.header.last_offset_delta,
                              .max_timestamp = report.header.max_timestamp,
                          });
    if (error == E_OK) {
        error = expect_epoch(log, append->leader_epoch);
    }
    return error == E_OK ? assign(log, append, &report) : error;
}

/* --- from the leader: bytes and offsets stay --- */

struct replica_batches {
    size_t size; /* of the whole batches */
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
};

/* The next batch of the bytes: whole, sound and behind the one before. E_LOCAL_NOT_FOUND: the end,
 * which may cut a batch. */
static enum error next_replica_batch(struct slice bytes, int64_t offset_min,
                                     struct batch_header *ret_header)
{
    enum error error = batch_header_decode(bytes, ret_header);
    if (bytes.size == 0 || error == E_LOCAL_TRUNCATED) {
        return E_LOCAL_NOT_FOUND;
    }
    if (error == E_OK && !batch_crc_matches(bytes.data)) {
        error = E_CORRUPT_MESSAGE;
    }
    if (error == E_OK && ret_header->base_offset < offset_min) {
        error = E_OFFSET_OUT_OF_RANGE;
    }
    return error;
}

static enum error validate_replica(const struct log *log, const struct append *append,
                                   struct replica_batches *ret_batches)
{
    struct replica_batches batches = {
        .base_offset = -1, .last_offset = log->next_offset - 1, .max_timestamp = NO_TIMESTAMP};
    struct batch_header header;
    enum error error;
    while ((error = next_replica_batch(
                slice_of(append->data + batches.size, append->size - batches.size),
                batches.last_offset + 1, &header)) == E_OK) {
        batches.base_offset = batches.size == 0 ? header.base_offset : batches.base_offset;
        batches.last_offset = batch_header_last_offset(&header);
        if (header.max_timestamp > batches.max_timestamp) {
            batches.max_timestamp = header.max_timestamp;
        }
        batches.size += header.size;
    }
    if (error != E_LOCAL_NOT_FOUND) {
        return error;
    }
    if (batches.size == 0) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_batches = batches;
    return E_OK;
}

/* Producers and epochs of one batch. Errors: E_LOCAL_NO_MEMORY. */
static enum error apply_replica_batch(struct log *log, const uint8_t *data,
                                      const struct batch_header *header)
{
    const enum error error = expect_epoch(log, header->partition_leader_epoch);
    if (error != E_OK || header->producer_id < 0) {
        return error;
    }
    struct transaction_marker marker;
    const bool is_marker = log_batch_marker(header, data, header->size, &marker);
    if ((header->attributes & BATCH_ATTRIBUTE_CONTROL) != 0 && !is_marker) {
        return E_OK;
    }
    const struct producer_append change = {
        .header = header,
        .marker = is_marker ? &marker : NULL,
        .origin = APPEND_FROM_LEADER,
        .now_ms = log_now_ms(log),
    };
    return producer_state_apply(&log->producers, &change);
}

static enum error prepare_replica(struct log *log, struct append *append)
{
    struct replica_batches batches;
    enum error error = validate_replica(log, append, &batches);
    if (error == E_OK) {
        error = roll_for(log, &(struct coming_batch){
                                  .size = (int64_t)batches.size,
                                  .base_offset = batches.base_offset,
                                  .last_offset = batches.last_offset,
                                  .max_timestamp = batches.max_timestamp,
                              });
    }
    size_t at = 0;
    while (error == E_OK && at < batches.size) {
        struct batch_header header;
        error = batch_header_decode(slice_of(append->data + at, batches.size - at), &header);
        check(error == E_OK);
        error = apply_replica_batch(log, append->data + at, &header);
        if (error == E_OK) {
            at += header.size;
            append->last_offset = batch_header_last_offset(&header);
        }
    }
    if (at == 0) {
        return error;
    }
    /* Without memory for all batches the first ones are stored; the follower fetches the others
     * again. */
    append->size = at;
    append->base_offset = batches.base_offset;
    return E_OK;
}

void log_append(struct log *log, struct append *append)
{
    append->error_text = NULL;
    append->record_error_index = -1;
    append->record_error_text = NULL;
    append->base_offset = -1;
    append->last_offset = -1;
    append->log_append_time_ms = NO_TIMESTAMP;
    append->is_duplicate = false;
    append->has_producer = false;
    shared_ref(append->owner);
    log_writer_add(log->env->writer, log);

    enum error error = E_LOCAL_OFFLINE;
    if (!log->is_failed) {
        error = append->origin == APPEND_FROM_LEADER ? prepare_replica(log, append)
                                                     : prepare_own(log, append);
    }
    append->error = error;
    if (error != E_OK) {
        append->size = 0;
        append->base_offset = -1;
        append->last_offset = -1;
    } else if (append->size > 0) {
        log->next_offset = append->last_offset + 1;
        log->pending_size += (int64_t)append->size;
    }
    append->log_start_offset = offset_load(&log->log_start);
    list_push_back(&log->queued, &append->node);
}
