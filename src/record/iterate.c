/* SPDX-License-Identifier: Apache-2.0 */
#include "record/iterate.h"

#include "record/walk_private.h"

enum {
    SIZE_MIN = MESSAGE_OVERHEAD_MAGIC_0, /* the smallest of any magic */
};

enum error batch_next(struct slice *bytes, struct slice *ret_batch)
{
    if (bytes->size == 0) {
        return E_LOCAL_NOT_FOUND;
    }
    if (bytes->size < BATCH_PREFIX_AND_MAGIC_SIZE) {
        return E_LOCAL_TRUNCATED;
    }
    const int64_t size = batch_size(bytes->data);
    const int8_t magic = batch_magic(bytes->data);
    if (size < SIZE_MIN || size > INT32_MAX || magic < 0 || magic > 2) {
        return E_CORRUPT_MESSAGE;
    }
    if ((uint64_t)size > bytes->size) {
        return E_LOCAL_TRUNCATED;
    }
    *ret_batch = slice_of(bytes->data, (size_t)size);
    bytes->data += size;
    bytes->size -= (size_t)size;
    return E_OK;
}

enum error batch_offsets(struct slice batch, struct offset_range *ret_range)
{
    if (batch.size < SIZE_MIN) {
        return E_CORRUPT_MESSAGE;
    }
    if (batch_magic(batch.data) < 2) {
        const int64_t offset = batch_base_offset(batch.data);
        *ret_range = (struct offset_range){.base_offset = offset, .last_offset = offset};
        return E_OK;
    }
    struct batch_header header;
    if (batch_header_decode(batch, &header) != E_OK) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_range = (struct offset_range){
        .base_offset = header.base_offset,
        .last_offset = batch_header_last_offset(&header),
    };
    return E_OK;
}

/* ---- Inner messages of magic 0 and 1 ---- */

/* The next message in the window, whole. E_LOCAL_NOT_FOUND: the end. */
static enum error inner_next(struct record_iterator *it, struct old_message *ret_message)
{
    enum error error = inflate_fill(&it->stream, BATCH_PREFIX_AND_MAGIC_SIZE);
    if (error != E_OK) {
        return error;
    }
    if (inflate_available(&it->stream) == 0) {
        return E_LOCAL_NOT_FOUND;
    }
    if (inflate_available(&it->stream) < BATCH_PREFIX_AND_MAGIC_SIZE) {
        return E_CORRUPT_MESSAGE;
    }
    const int64_t size = batch_size(it->stream.next);
    if (size < SIZE_MIN) {
        return E_CORRUPT_MESSAGE;
    }
    error = inflate_fill(&it->stream, (size_t)size);
    if (error != E_OK) {
        return error;
    }
    const struct slice bytes = slice_of(it->stream.next, inflate_available(&it->stream));
    struct old_message message;
    error = message_decode(bytes, &message);
    if (error != E_OK || message.magic != it->magic || message.codec != CODEC_NONE) {
        return E_CORRUPT_MESSAGE; /* cut off, of another magic, or a wrapper in a wrapper */
    }
    if (it->check_crc && !message_crc_matches(bytes, &message)) {
        return E_CORRUPT_MESSAGE;
    }
    it->stream.next += message.size;
    *ret_message = message;
    return E_OK;
}

static enum error open_wrapper_stream(struct record_iterator *it, struct inflate_scratch *scratch,
                                      size_t size_max)
{
    const struct inflate_source source = {
        .codec = it->wrapper.codec,
        .magic = it->magic,
        .bytes = it->wrapper.value,
        .size_max = size_max,
    };
    return inflate_open(&it->stream, scratch, &source);
}

/* Magic 1: inner offsets are relative to what makes the last one the wrapper's, so they have to be
 * read once before. */
static enum error find_wrapper_base(struct record_iterator *it, struct inflate_scratch *scratch,
                                    size_t size_max)
{
    struct old_message message = {0};
    enum error error = open_wrapper_stream(it, scratch, size_max);
    if (error != E_OK) {
        return error;
    }
    int64_t last_relative_offset = -1;
    while ((error = inner_next(it, &message)) == E_OK) {
        last_relative_offset = message.offset;
    }
    inflate_close(&it->stream);
    if (error != E_LOCAL_NOT_FOUND) {
        return error;
    }
    if (last_relative_offset < 0 || last_relative_offset > it->wrapper.offset) {
        return E_CORRUPT_MESSAGE;
    }
    it->base.offset = it->wrapper.offset - last_relative_offset;
    return E_OK;
}

static enum error open_message(struct record_iterator *it, struct inflate_scratch *scratch,
                               const struct record_source *source)
{
    struct old_message *wrapper = &it->wrapper;
    enum error error = message_decode(source->batch, wrapper);
    if (error != E_OK) {
        return error;
    }
    if ((wrapper->offset < 0 && !it->ignore_offsets) ||
        (it->check_crc && !message_crc_matches(source->batch, wrapper))) {
        return E_CORRUPT_MESSAGE;
    }
    it->last_offset = wrapper->offset;
    it->is_log_append_time = wrapper->is_log_append_time;
    it->log_append_timestamp = wrapper->timestamp;
    it->is_single = wrapper->codec == CODEC_NONE;
    if (it->is_single) {
        it->left = 1;
        return E_OK;
    }
    if (it->magic == 1 && !it->ignore_offsets) {
        error = find_wrapper_base(it, scratch, source->size_max);
        if (error != E_OK) {
            return error;
        }
    }
    return open_wrapper_stream(it, scratch, source->size_max);
}

static void record_from_message(const struct old_message *message, struct record *record)
{
    *record = (struct record){
        .offset = message->offset,
        .timestamp = message->timestamp,
        .key = message->key,
        .value = message->value,
        .headers = slice_of("", 0),
    };
}

static enum error next_message(struct record_iterator *it, struct record *record)
{
    struct old_message message;
    if (it->is_single) {
        if (it->left == 0) {
            return E_LOCAL_NOT_FOUND;
        }
        it->left--;
        record_from_message(&it->wrapper, record);
        return E_OK;
    }
    const enum error error = inner_next(it, &message);
    if (error != E_OK) {
        return error;
    }
    record_from_message(&message, record);
    if (it->ignore_offsets || it->magic == 0) {
        return E_OK;
    }
    if (message.offset < 0 || message.offset > it->last_offset) {
        return E_CORRUPT_MESSAGE;
    }
    record->offset += it->base.offset;
    return E_OK;
}

/* ---- Records of magic 2 ---- */

static enum error open_batch(struct record_iterator *it, struct inflate_scratch *scratch,
                             const struct record_source *source)
{
    struct batch_header header;
    const enum error error = batch_header_decode(source->batch, &header);
    if (error != E_OK) {
        return error;
    }
    if (header.size != source->batch.size ||
        (it->check_crc && !batch_crc_matches(source->batch.data))) {
        return E_CORRUPT_MESSAGE;
    }
    it->base =
        (struct record_base){.offset = header.base_offset, .timestamp = header.base_timestamp};
    it->last_offset = batch_header_last_offset(&header);
    it->left = header.count;
    it->is_log_append_time = (header.attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
    it->log_append_timestamp = header.max_timestamp;
    const struct inflate_source records = {
        .codec = batch_header_codec(&header),
        .magic = 2,
        .bytes = slice_of(source->batch.data + RECORD_BATCH_HEADER_SIZE,
                          header.size - RECORD_BATCH_HEADER_SIZE),
        .size_max = source->size_max,
    };
    return inflate_open(&it->stream, scratch, &records);
}

/* The body of the next record, whole in the window. */
static enum error next_body(struct record_iterator *it, struct slice *ret_body)
{
    uint32_t raw_size;
    enum error error = inflate_fill(&it->stream, UVARINT32_SIZE_MAX);
    if (error != E_OK) {
        return error;
    }
    const uint8_t *body = raw_read(it->stream.next, it->stream.end, &raw_size);
    if (body == NULL || (raw_size & 1) != 0) {
        return E_CORRUPT_MESSAGE;
    }
    it->stream.next = body;
    const size_t size = raw_size >> 1;
    error = inflate_fill(&it->stream, size);
    if (error != E_OK) {
        return error;
    }
    if (inflate_available(&it->stream) < size) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_body = slice_of(it->stream.next, size);
    it->stream.next += size;
    return E_OK;
}

static enum error next_record(struct record_iterator *it, struct record *record)
{
    struct slice body;
    if (it->left == 0) {
        const enum error error = inflate_fill(&it->stream, 1);
        if (error != E_OK) {
            return error;
        }
        return inflate_available(&it->stream) == 0 ? E_LOCAL_NOT_FOUND : E_CORRUPT_MESSAGE;
    }
    const enum error error = next_body(it, &body);
    if (error != E_OK) {
        return error;
    }
    it->left--;
    return record_decode(body, &it->base, record) == E_OK ? E_OK : E_CORRUPT_MESSAGE;
}

/* ---- Every magic ---- */

enum error record_iterator_open(struct record_iterator *it, struct inflate_scratch *scratch,
                                const struct record_source *source)
{
    if (source->batch.size < SIZE_MIN) {
        return E_LOCAL_TRUNCATED;
    }
    struct record_source bounded = *source;
    if (bounded.size_max == 0) {
        bounded.size_max = INFLATE_SIZE_MAX;
    }
    *it = (struct record_iterator){
        .magic = batch_magic(source->batch.data),
        .check_crc = source->check_crc,
        .ignore_offsets = source->ignore_offsets,
    };
    check(!(it->magic == 2 && it->ignore_offsets));
    return it->magic == 2 ? open_batch(it, scratch, &bounded) : open_message(it, scratch, &bounded);
}

bool record_iterator_next(struct record_iterator *it, struct record *ret_record)
{
    struct record record;
    if (it->error != E_OK) {
        return false;
    }
    it->error = it->magic == 2 ? next_record(it, &record) : next_message(it, &record);
    if (it->error != E_OK) {
        return false;
    }
    if (it->ignore_offsets) {
        record.offset = it->next_offset_min;
    } else if (record.offset < it->base.offset || record.offset < it->next_offset_min ||
               record.offset > it->last_offset || record.offset == INT64_MAX) {
        it->error = E_CORRUPT_MESSAGE;
        return false;
    }
    it->next_offset_min = record.offset + 1;
    if (it->is_log_append_time) {
        record.timestamp = it->log_append_timestamp;
    }
    *ret_record = record;
    return true;
}

enum error record_iterator_close(struct record_iterator *it)
{
    inflate_close(&it->stream);
    return it->error == E_LOCAL_NOT_FOUND ? E_OK : it->error;
}

enum error batch_find_timestamp(struct inflate_scratch *scratch, const struct record_source *source,
                                const struct record_time *query, struct record_time *ret_found)
{
    struct record_iterator it;
    struct record record;
    struct record_time found = {.timestamp = NO_TIMESTAMP, .offset = -1};
    enum error error = record_iterator_open(&it, scratch, source);
    if (error != E_OK) {
        return error;
    }
    while (record_iterator_next(&it, &record)) {
        if (record.offset >= query->offset && record.timestamp >= query->timestamp) {
            found.timestamp = record.timestamp;
            found.offset = record.offset;
            break;
        }
    }
    error = record_iterator_close(&it);
    if (error == E_OK) {
        *ret_found = found;
    }
    return error;
}

enum error batch_find_max_timestamp(struct inflate_scratch *scratch,
                                    const struct record_source *source,
                                    struct record_time *ret_found)
{
    struct record_iterator it;
    struct record record;
    struct record_time found = {.timestamp = NO_TIMESTAMP, .offset = -1};
    enum error error = record_iterator_open(&it, scratch, source);
    if (error != E_OK) {
        return error;
    }
    while (record_iterator_next(&it, &record)) {
        if (found.offset < 0 || record.timestamp > found.timestamp) {
            found.timestamp = record.timestamp;
            found.offset = record.offset;
        }
    }
    error = record_iterator_close(&it);
    if (error == E_OK) {
        *ret_found = found;
    }
    return error;
}
