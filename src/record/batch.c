/* SPDX-License-Identifier: Apache-2.0 */
#include "record/batch.h"

#include "base/crc32c.h"

static bool header_is_sane(const struct batch_header *header)
{
    const int64_t count_max = (int64_t)header->last_offset_delta + 1;
    return header->base_offset >= 0 && header->last_offset_delta >= 0 && header->count >= 0 &&
           header->count <= count_max &&
           header->base_offset <= INT64_MAX - header->last_offset_delta &&
           (header->attributes & BATCH_ATTRIBUTE_CODEC) <= CODEC_ZSTD;
}

static enum error decode_size(struct slice bytes, size_t *ret_size)
{
    if (bytes.size < BATCH_PREFIX_AND_MAGIC_SIZE) {
        return E_LOCAL_TRUNCATED;
    }
    const int8_t magic = batch_magic(bytes.data);
    if (magic == 0 || magic == 1) {
        return E_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    }
    const int64_t size = batch_size(bytes.data);
    if (magic != 2 || size < RECORD_BATCH_HEADER_SIZE || size > INT32_MAX) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_size = (size_t)size;
    return E_OK;
}

/* At least RECORD_BATCH_HEADER_SIZE bytes of a batch of magic 2. */
static inline enum error decode_fields(const uint8_t *batch, size_t size,
                                       struct batch_header *ret_header)
{
    const struct batch_header header = {
        .base_offset = batch_base_offset(batch),
        .size = size,
        .partition_leader_epoch = batch_partition_leader_epoch(batch),
        .crc = batch_crc(batch),
        .attributes = batch_attributes(batch),
        .last_offset_delta = batch_last_offset_delta(batch),
        .base_timestamp = batch_base_timestamp(batch),
        .max_timestamp = batch_max_timestamp(batch),
        .producer_id = batch_producer_id(batch),
        .producer_epoch = batch_producer_epoch(batch),
        .base_sequence = batch_base_sequence(batch),
        .count = batch_count(batch),
    };
    if (UNLIKELY(!header_is_sane(&header))) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_header = header;
    return E_OK;
}

enum error batch_header_decode_prefix(struct slice bytes, struct batch_header *ret_header)
{
    size_t size;
    const enum error error = decode_size(bytes, &size);
    if (UNLIKELY(error != E_OK)) {
        return error;
    }
    if (bytes.size < RECORD_BATCH_HEADER_SIZE) {
        return E_LOCAL_TRUNCATED;
    }
    return decode_fields(bytes.data, size, ret_header);
}

enum error batch_header_decode(struct slice bytes, struct batch_header *ret_header)
{
    size_t size;
    const enum error error = decode_size(bytes, &size);
    if (UNLIKELY(error != E_OK)) {
        return error;
    }
    if (bytes.size < size) {
        return E_LOCAL_TRUNCATED;
    }
    return decode_fields(bytes.data, size, ret_header);
}

uint32_t batch_crc_compute(const uint8_t *batch)
{
    const int64_t size = batch_size(batch);
    check_cmp(size, >=, RECORD_BATCH_HEADER_SIZE);
    return crc32c(0, batch + BATCH_ATTRIBUTES, (size_t)size - BATCH_ATTRIBUTES);
}

bool batch_crc_matches(const uint8_t *batch)
{
    return batch_crc_compute(batch) == batch_crc(batch);
}

void batch_header_encode(const struct batch_header *header, uint8_t *batch)
{
    check_cmp(header->size, >=, RECORD_BATCH_HEADER_SIZE);
    check_cmp(header->size, <=, INT32_MAX);
    be64_store(batch + BATCH_BASE_OFFSET, (uint64_t)header->base_offset);
    be32_store(batch + BATCH_LENGTH, (uint32_t)(header->size - BATCH_PREFIX_SIZE));
    be32_store(batch + BATCH_PARTITION_LEADER_EPOCH, (uint32_t)header->partition_leader_epoch);
    batch[BATCH_MAGIC] = 2;
    be32_store(batch + BATCH_CRC, header->crc);
    be16_store(batch + BATCH_ATTRIBUTES, header->attributes);
    be32_store(batch + BATCH_LAST_OFFSET_DELTA, (uint32_t)header->last_offset_delta);
    be64_store(batch + BATCH_BASE_TIMESTAMP, (uint64_t)header->base_timestamp);
    be64_store(batch + BATCH_MAX_TIMESTAMP, (uint64_t)header->max_timestamp);
    be64_store(batch + BATCH_PRODUCER_ID, (uint64_t)header->producer_id);
    be16_store(batch + BATCH_PRODUCER_EPOCH, (uint16_t)header->producer_epoch);
    be32_store(batch + BATCH_BASE_SEQUENCE, (uint32_t)header->base_sequence);
    be32_store(batch + BATCH_COUNT, (uint32_t)header->count);
}

void batch_set_crc(uint8_t *batch)
{
    be32_store(batch + BATCH_CRC, batch_crc_compute(batch));
}

void batch_set_max_timestamp(uint8_t *batch, bool log_append_time, int64_t max_timestamp_ms)
{
    if (batch_is_log_append_time(batch) == log_append_time &&
        batch_max_timestamp(batch) == max_timestamp_ms) {
        return;
    }
    const uint16_t others =
        (uint16_t)(batch_attributes(batch) & (0xFFFFU ^ BATCH_ATTRIBUTE_LOG_APPEND_TIME));
    const uint16_t bit = log_append_time ? BATCH_ATTRIBUTE_LOG_APPEND_TIME : 0;
    be16_store(batch + BATCH_ATTRIBUTES, others | bit);
    be64_store(batch + BATCH_MAX_TIMESTAMP, (uint64_t)max_timestamp_ms);
    batch_set_crc(batch);
}
