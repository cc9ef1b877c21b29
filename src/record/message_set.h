/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One message of magic 0 or 1, the formats before batches:
 *
 *   at  size
 *    0   8   offset        of a compressed wrapper: of its last inner message
 *    8   4   size          bytes after this field
 *   12   4   CRC-32 (IEEE) of everything from byte 16 on
 *   16   1   magic
 *   17   1   attributes    bits 0-2 codec, 3 timestamp type (magic 1)
 *   18   8   timestamp     ms; magic 1 only
 *        4   key size      -1 null; then the key
 *        4   value size    -1 null; then the value; of a wrapper: the compressed inner messages
 *
 * Inner offsets are absolute in magic 0 and relative in magic 1 (KIP-31): the last inner one
 * corresponds to the wrapper's.
 * Source: KIP-31, KIP-32.
 */

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"
#include "record/codec.h"

enum {
    MESSAGE_CRC = 12,
    MESSAGE_MAGIC = 16,
    MESSAGE_ATTRIBUTES = 17,
    MESSAGE_OVERHEAD_MAGIC_0 = 26, /* with null key and null value */
    MESSAGE_OVERHEAD_MAGIC_1 = 34,
};

struct old_message {
    int64_t offset;
    int64_t timestamp; /* ms; -1 in magic 0 */
    struct slice key;
    struct slice value;
    size_t size; /* bytes of the whole message */
    enum codec codec;
    int8_t magic;
    bool is_log_append_time;
    uint32_t crc;
};

/*
 * Decodes the message at the start of bytes.
 *
 * Errors: E_LOCAL_TRUNCATED  fewer bytes than it says.
 *         E_CORRUPT_MESSAGE  sizes contradict, unknown magic or codec. The CRC is not looked at.
 */
NODISCARD enum error message_decode(struct slice bytes, struct old_message *ret_message);

/* bytes start with the whole message. */
bool message_crc_matches(struct slice bytes, const struct old_message *message);

/* Bytes that message_encode() needs for magic, key and value of message. */
size_t message_encoded_size(const struct old_message *message);
/* Writes the message (size and crc are computed) and returns the position behind it. */
uint8_t *message_encode(const struct old_message *message, uint8_t *p);
