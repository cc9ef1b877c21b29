/* SPDX-License-Identifier: Apache-2.0 */
#include "record/build.h"

enum {
    RECORD_OVERHEAD_MAX = 1 + UVARINT64_SIZE_MAX + 5 * UVARINT32_SIZE_MAX, /* all but the bytes */
};

void batch_builder_start(struct batch_builder *builder, const struct batch_header *header,
                         int level)
{
    builder->header = *header;
    builder->header.count = 0;
    builder->level = level;
    builder->records.size = 0;
    builder->block.size = 0;
    builder->is_base_timestamp_set = (header->attributes & BATCH_ATTRIBUTE_DELETE_HORIZON) != 0;
}

void batch_builder_start_encoded(struct batch_builder *builder, const struct batch_header *header,
                                 int level)
{
    batch_builder_start(builder, header, level);
    builder->header.count = header->count;
    builder->is_base_timestamp_set = true;
}

void batch_builder_set_codec(struct batch_builder *builder, enum codec codec)
{
    const unsigned others = builder->header.attributes & (0xFFFFU ^ BATCH_ATTRIBUTE_CODEC);
    builder->header.attributes = (uint16_t)(others | (unsigned)codec);
}

void batch_builder_done(struct batch_builder *builder)
{
    byte_vector_done(&builder->records);
    byte_vector_done(&builder->block);
    deflate_scratch_done(&builder->deflate);
}

size_t batch_builder_size(const struct batch_builder *builder)
{
    return builder->records.size == 0 ? RECORD_BATCH_HEADER_SIZE : builder->records.size;
}

int32_t batch_builder_count(const struct batch_builder *builder)
{
    return builder->header.count;
}

/* The header's room comes first, so that an uncompressed batch needs no copy. */
static enum error reserve(struct byte_vector *vector, size_t size)
{
    const size_t header_size = vector->size == 0 ? RECORD_BATCH_HEADER_SIZE : 0;
    size_t total;
    if (!size_add(vector->size + header_size, size, &total) || total > INT32_MAX) {
        return E_MESSAGE_TOO_LARGE;
    }
    const enum error error = byte_vector_reserve(vector, header_size + size);
    if (error == E_OK) {
        vector->size += header_size;
    }
    return error;
}

static size_t nullable_size(struct slice bytes)
{
    return slice_is_null(bytes) ? 1
                                : uvarint32_size(zigzag32_encode((int32_t)bytes.size)) + bytes.size;
}

static uint8_t *nullable_write(uint8_t *p, struct slice bytes)
{
    const int32_t size = slice_is_null(bytes) ? -1 : (int32_t)bytes.size;
    p = uvarint32_write(p, zigzag32_encode(size));
    if (size > 0) {
        memcpy(p, bytes.data, bytes.size);
        p += size;
    }
    return p;
}

size_t record_header_size(const struct record_header *header)
{
    return nullable_size(header->key) + nullable_size(header->value);
}

uint8_t *record_header_write(uint8_t *p, const struct record_header *header)
{
    check(!slice_is_null(header->key));
    p = nullable_write(p, header->key);
    return nullable_write(p, header->value);
}

static void append_count(struct batch_header *header, const struct record *record)
{
    const int32_t offset_delta = (int32_t)(record->offset - header->base_offset);
    if (offset_delta > header->last_offset_delta) {
        header->last_offset_delta = offset_delta;
    }
    if ((header->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) == 0 &&
        (header->count == 0 || record->timestamp > header->max_timestamp)) {
        header->max_timestamp = record->timestamp;
    }
    header->count++;
}

enum error batch_builder_append(struct batch_builder *builder, const struct record *record)
{
    struct batch_header *header = &builder->header;
    check_cmp(record->offset, >=, header->base_offset + header->count);
    check_cmp(record->offset - header->base_offset, <=, INT32_MAX);
    const size_t bytes_size = record->key.size + record->value.size + record->headers.size;
    if (record->key.size > INT32_MAX || record->value.size > INT32_MAX || bytes_size > INT32_MAX) {
        return E_MESSAGE_TOO_LARGE;
    }
    const enum error error = reserve(&builder->records, bytes_size + RECORD_OVERHEAD_MAX);
    if (error != E_OK) {
        return error;
    }
    if (!builder->is_base_timestamp_set) {
        header->base_timestamp = record->timestamp;
        builder->is_base_timestamp_set = true;
    }
    const uint64_t timestamp_delta =
        zigzag64_encode((int64_t)((uint64_t)record->timestamp - (uint64_t)header->base_timestamp));
    const uint32_t offset_delta = zigzag32_encode((int32_t)(record->offset - header->base_offset));
    const uint32_t header_count = zigzag32_encode(record->header_count);
    const size_t body_size = 1 + uvarint64_size(timestamp_delta) + uvarint32_size(offset_delta) +
                             nullable_size(record->key) + nullable_size(record->value) +
                             uvarint32_size(header_count) + record->headers.size;

    uint8_t *p = builder->records.data + builder->records.size;
    p = uvarint32_write(p, zigzag32_encode((int32_t)body_size));
    const uint8_t *body = p;
    *p++ = 0; /* attributes */
    p = uvarint64_write(p, timestamp_delta);
    p = uvarint32_write(p, offset_delta);
    p = nullable_write(p, record->key);
    p = nullable_write(p, record->value);
    p = uvarint32_write(p, header_count);
    if (record->headers.size > 0) {
        memcpy(p, record->headers.data, record->headers.size);
        p += record->headers.size;
    }
    check_cmp(p - body, ==, body_size);
    builder->records.size = (size_t)(p - builder->records.data);
    append_count(header, record);
    return E_OK;
}

enum error batch_builder_append_encoded(struct batch_builder *builder, struct slice bytes)
{
    const enum error error = reserve(&builder->records, bytes.size);
    if (error == E_OK && bytes.size > 0) {
        memcpy(builder->records.data + builder->records.size, bytes.data, bytes.size);
        builder->records.size += bytes.size;
    }
    return error;
}

static enum error finish_block(struct batch_builder *builder, struct byte_vector **ret_vector)
{
    enum error error = reserve(&builder->records, 0);
    const enum codec codec = batch_header_codec(&builder->header);
    if (error != E_OK || codec == CODEC_NONE || builder->header.count == 0) {
        *ret_vector = &builder->records;
        return error;
    }
    error = reserve(&builder->block, 0);
    if (error != E_OK) {
        return error;
    }
    const struct slice records = slice_of(builder->records.data + RECORD_BATCH_HEADER_SIZE,
                                          builder->records.size - RECORD_BATCH_HEADER_SIZE);
    const struct deflate_options options = {.codec = codec, .level = builder->level, .magic = 2};
    *ret_vector = &builder->block;
    return deflate_append(&builder->deflate, &options, records, &builder->block);
}

enum error batch_builder_finish(struct batch_builder *builder, struct slice *ret_batch)
{
    struct byte_vector *vector;
    const enum error error = finish_block(builder, &vector);
    if (error != E_OK) {
        return error;
    }
    if (vector->size > INT32_MAX) {
        return E_MESSAGE_TOO_LARGE;
    }
    builder->header.size = vector->size;
    batch_header_encode(&builder->header, vector->data);
    batch_set_crc(vector->data);
    builder->header.crc = batch_crc(vector->data);
    *ret_batch = slice_of(vector->data, vector->size);
    return E_OK;
}
