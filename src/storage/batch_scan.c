/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/batch_scan.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/crc32c.h"

enum {
    MESSAGE_SIZE_MIN = 26,   /* magic 0: prefix 12, crc 4, magic 1, attributes 1, key 4, value 4 */
    MESSAGE_ATTRIBUTES = 17, /* magic 0 and 1 */
    MESSAGE_TIMESTAMP = 18,  /* magic 1 */
    MESSAGE_TIMESTAMP_SIZE = 8, /* magic 1 */
    MESSAGE_CRC = 12,
    MESSAGE_CRC_START = 16,
    PAGE_SIZE_BYTES = 4096,
};

void batch_scan_init(struct batch_scan *scan, struct file *file, int64_t position, int64_t end,
                     enum scan_depth depth)
{
    *scan = (struct batch_scan){
        .file = file, .position = position, .end = end, .buffer_position = -1, .depth = depth};
}

void batch_scan_use_buffer(struct batch_scan *scan, uint8_t *buffer, size_t capacity)
{
    check_cmp(capacity, >=, SCAN_LOOKUP_BUFFER_SIZE);
    scan->buffer = buffer;
    scan->capacity = capacity;
}

uint8_t *scan_buffer_new(size_t size)
{
    return aligned_alloc(PAGE_SIZE_BYTES, size);
}

/* Makes [position, position + size) visible; size <= capacity, within the end. */
static enum error scan_fill(struct batch_scan *scan, int64_t position, size_t size,
                            const uint8_t **ret_bytes)
{
    if (scan->buffer_position >= 0 && position >= scan->buffer_position &&
        position + (int64_t)size <= scan->buffer_position + (int64_t)scan->buffer_size) {
        *ret_bytes = scan->buffer + (position - scan->buffer_position);
        return E_OK;
    }
    const int64_t left = scan->end - position;
    const size_t wanted = left < (int64_t)scan->capacity ? (size_t)left : scan->capacity;
    size_t got = 0;
    scan->buffer_position = -1;
    const enum error error =
        scan->file->vfs->read(scan->file, position, scan->buffer, wanted, &got);
    if (error != E_OK) {
        return error;
    }
    scan->buffer_position = position;
    scan->buffer_size = got;
    *ret_bytes = scan->buffer;
    return got >= size ? E_OK : E_LOCAL_TRUNCATED;
}

static enum error decode_message(const uint8_t *bytes, size_t available,
                                 struct scanned_batch *batch)
{
    const int8_t magic = batch_magic(bytes);
    const bool has_timestamp = magic == 1;
    if (batch->size < MESSAGE_SIZE_MIN + (has_timestamp ? MESSAGE_TIMESTAMP_SIZE : 0)) {
        return E_LOCAL_CORRUPT;
    }
    check(available >= MESSAGE_SIZE_MIN);
    batch->base_offset = batch_base_offset(bytes);
    batch->last_offset = batch->base_offset;
    batch->max_timestamp =
        has_timestamp ? (int64_t)be64_load(bytes + MESSAGE_TIMESTAMP) : NO_TIMESTAMP;
    return batch->base_offset < 0 ? E_LOCAL_CORRUPT : E_OK;
}

static enum error decode_batch(const uint8_t *bytes, size_t available, struct scanned_batch *batch)
{
    batch->magic = batch_magic(bytes);
    batch->header = (struct batch_header){0};
    if (batch->magic == 0 || batch->magic == 1) {
        return decode_message(bytes, available, batch);
    }
    if (available < RECORD_BATCH_HEADER_SIZE ||
        batch_header_decode_prefix(slice_of(bytes, available), &batch->header) != E_OK) {
        return E_LOCAL_CORRUPT;
    }
    batch->base_offset = batch->header.base_offset;
    batch->last_offset = batch_header_last_offset(&batch->header);
    batch->max_timestamp = batch->header.max_timestamp;
    return E_OK;
}

/* The checksum of a batch of any size, in pieces as large as the buffer. */
static enum error check_crc(struct batch_scan *scan, const struct scanned_batch *batch,
                            uint32_t expected)
{
    const bool is_old = batch->magic < 2;
    const int64_t end = batch->position + batch->size;
    int64_t at = batch->position + (is_old ? MESSAGE_CRC_START : BATCH_ATTRIBUTES);
    uint32_t crc = 0;
    while (at < end) {
        const size_t size =
            end - at < (int64_t)scan->capacity ? (size_t)(end - at) : scan->capacity;
        const uint8_t *bytes;
        const enum error error = scan_fill(scan, at, size, &bytes);
        if (error != E_OK) {
            return error;
        }
        crc = is_old ? (uint32_t)crc32_z(crc, bytes, size) : crc32c(crc, bytes, size);
        at += (int64_t)size;
    }
    return crc == expected ? E_OK : E_LOCAL_CORRUPT;
}

enum error batch_scan_next(struct batch_scan *scan, struct scanned_batch *ret_batch)
{
    const int64_t left = scan->end - scan->position;
    if (left <= 0) {
        return E_LOCAL_NOT_FOUND;
    }
    if (left < MESSAGE_SIZE_MIN) {
        return E_LOCAL_TRUNCATED;
    }
    const size_t head = left < RECORD_BATCH_HEADER_SIZE ? (size_t)left : RECORD_BATCH_HEADER_SIZE;
    const uint8_t *bytes;
    enum error error = scan_fill(scan, scan->position, head, &bytes);
    if (error != E_OK) {
        return error;
    }
    struct scanned_batch batch = {.position = scan->position, .size = batch_size(bytes)};
    error = decode_batch(bytes, head, &batch);
    if (error != E_OK) {
        return error;
    }
    if (batch.size > left) {
        return E_LOCAL_TRUNCATED;
    }
    const bool is_whole_needed =
        scan->depth == SCAN_CHECKSUMS && batch.size <= (int64_t)scan->capacity;
    const int64_t needed =
        is_whole_needed || batch.size < SCAN_BODY_SIZE_MIN ? batch.size : SCAN_BODY_SIZE_MIN;
    error = scan_fill(scan, batch.position, (size_t)needed, &bytes);
    if (error != E_OK) {
        return error;
    }
    if (scan->depth == SCAN_CHECKSUMS) {
        const uint32_t expected =
            batch.magic < 2 ? be32_load(bytes + MESSAGE_CRC) : batch.header.crc;
        error = check_crc(scan, &batch, expected);
        if (error != E_OK) {
            return error;
        }
    }
    batch.body = scan->depth == SCAN_CHECKSUMS && !is_whole_needed ? NULL : bytes;
    scan->position += batch.size;
    *ret_batch = batch;
    return E_OK;
}

/* Cheap look at a place in garbage: could a batch of magic 2 begin here? */
static bool may_be_batch(const uint8_t *bytes, int64_t left, int64_t offset_min)
{
    struct batch_header header;
    return bytes[BATCH_MAGIC] == 2 &&
           batch_header_decode_prefix(slice_of(bytes, RECORD_BATCH_HEADER_SIZE), &header) == E_OK &&
           (int64_t)header.size <= left && header.base_offset >= offset_min;
}

enum error batch_scan_find_valid(struct file *file, int64_t position, int64_t end,
                                 int64_t offset_min, bool *ret_found)
{
    uint8_t *window = scan_buffer_new(SCAN_CHECKSUM_BUFFER_SIZE);
    uint8_t *buffer = scan_buffer_new(SCAN_CHECKSUM_BUFFER_SIZE);
    enum error error = window == NULL || buffer == NULL ? E_LOCAL_NO_MEMORY : E_OK;
    bool is_found = false;
    while (error == E_OK && !is_found && end - position >= RECORD_BATCH_HEADER_SIZE) {
        size_t got = 0;
        const int64_t left = end - position;
        error = file->vfs->read(
            file, position, window,
            left < SCAN_CHECKSUM_BUFFER_SIZE ? (size_t)left : SCAN_CHECKSUM_BUFFER_SIZE, &got);
        if (error != E_OK || got < RECORD_BATCH_HEADER_SIZE) {
            break;
        }
        const size_t stop = got - RECORD_BATCH_HEADER_SIZE + 1;
        for (size_t i = 0; i < stop && !is_found && error == E_OK; i++) {
            if (may_be_batch(window + i, left - (int64_t)i, offset_min)) {
                struct batch_scan scan;
                struct scanned_batch batch;
                batch_scan_init(&scan, file, position + (int64_t)i, end, SCAN_CHECKSUMS);
                batch_scan_use_buffer(&scan, buffer, SCAN_CHECKSUM_BUFFER_SIZE);
                error = batch_scan_next(&scan, &batch);
                is_found = error == E_OK;
                error = error == E_LOCAL_CORRUPT || error == E_LOCAL_TRUNCATED ? E_OK : error;
            }
        }
        position += (int64_t)stop;
    }
    free(window);
    free(buffer);
    if (error == E_OK) {
        *ret_found = is_found;
    }
    return error;
}
