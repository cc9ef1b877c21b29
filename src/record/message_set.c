/* SPDX-License-Identifier: Apache-2.0 */
#include "record/message_set.h"

#include <zlib.h>

#include "record/batch.h"

enum {
    LOG_APPEND_TIME_BIT = 0x08,
    CODEC_MASK = 0x07,
};

/* A nullable int32-sized field; NULL: it does not fit. */
static const uint8_t *field_read(const uint8_t *p, const uint8_t *end, struct slice *ret_bytes)
{
    if (end - p < 4) {
        return NULL;
    }
    const int32_t size = (int32_t)be32_load(p);
    p += 4;
    if (size < 0) {
        *ret_bytes = SLICE_NULL;
        return size == -1 ? p : NULL;
    }
    if (size > end - p) {
        return NULL;
    }
    *ret_bytes = slice_of(p, (size_t)size);
    return p + size;
}

enum error message_decode(struct slice bytes, struct old_message *ret_message)
{
    if (bytes.size < BATCH_PREFIX_AND_MAGIC_SIZE) {
        return E_LOCAL_TRUNCATED;
    }
    const int64_t size = batch_size(bytes.data);
    const int8_t magic = batch_magic(bytes.data);
    const int64_t size_min = magic == 0 ? MESSAGE_OVERHEAD_MAGIC_0 : MESSAGE_OVERHEAD_MAGIC_1;
    if ((magic != 0 && magic != 1) || size < size_min) {
        return E_CORRUPT_MESSAGE;
    }
    if ((uint64_t)size > bytes.size) {
        return E_LOCAL_TRUNCATED;
    }
    const uint8_t attributes = bytes.data[MESSAGE_ATTRIBUTES];
    if ((attributes & CODEC_MASK) > CODEC_LZ4) { /* zstd came with magic 2 (KIP-110) */
        return E_CORRUPT_MESSAGE;
    }
    struct old_message message = {
        .offset = batch_base_offset(bytes.data),
        .timestamp = NO_TIMESTAMP,
        .size = (size_t)size,
        .codec = (enum codec)(attributes & CODEC_MASK),
        .magic = magic,
        .crc = be32_load(bytes.data + MESSAGE_CRC),
    };
    const uint8_t *p = bytes.data + MESSAGE_ATTRIBUTES + 1;
    const uint8_t *end = bytes.data + size;
    if (magic == 1) {
        message.timestamp = (int64_t)be64_load(p);
        message.is_log_append_time = (attributes & LOG_APPEND_TIME_BIT) != 0;
        p += sizeof(uint64_t);
    }
    p = field_read(p, end, &message.key);
    if (p == NULL || field_read(p, end, &message.value) != end) {
        return E_CORRUPT_MESSAGE;
    }
    if (message.codec != CODEC_NONE && slice_is_null(message.value)) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_message = message;
    return E_OK;
}

static uint32_t crc32_ieee(const uint8_t *p, size_t size)
{
    return (uint32_t)crc32(0, p, (uInt)size);
}

bool message_crc_matches(struct slice bytes, const struct old_message *message)
{
    return crc32_ieee(bytes.data + MESSAGE_MAGIC, message->size - MESSAGE_MAGIC) == message->crc;
}

size_t message_encoded_size(const struct old_message *message)
{
    return (message->magic == 0 ? MESSAGE_OVERHEAD_MAGIC_0 : MESSAGE_OVERHEAD_MAGIC_1) +
           message->key.size + message->value.size;
}

static uint8_t *field_write(uint8_t *p, struct slice bytes)
{
    be32_store(p, slice_is_null(bytes) ? UINT32_MAX : (uint32_t)bytes.size);
    p += 4;
    if (bytes.size > 0) {
        memcpy(p, bytes.data, bytes.size);
    }
    return p + bytes.size;
}

uint8_t *message_encode(const struct old_message *message, uint8_t *p)
{
    const size_t size = message_encoded_size(message);
    uint8_t *start = p;
    check(message->magic == 0 || message->magic == 1);
    check_cmp(size, <=, INT32_MAX);
    be64_store(p, (uint64_t)message->offset);
    be32_store(p + BATCH_LENGTH, (uint32_t)(size - BATCH_PREFIX_SIZE));
    p[MESSAGE_MAGIC] = (uint8_t)message->magic;
    p[MESSAGE_ATTRIBUTES] = (uint8_t)((unsigned)message->codec |
                                      (message->is_log_append_time ? LOG_APPEND_TIME_BIT : 0U));
    p += MESSAGE_ATTRIBUTES + 1;
    if (message->magic == 1) {
        be64_store(p, (uint64_t)message->timestamp);
        p += sizeof(uint64_t);
    }
    p = field_write(p, message->key);
    p = field_write(p, message->value);
    check_cmp(p - start, ==, size);
    be32_store(start + MESSAGE_CRC, crc32_ieee(start + MESSAGE_MAGIC, size - MESSAGE_MAGIC));
    return p;
}
