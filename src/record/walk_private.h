/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading the varints of records. Lengths are left in their zig-zag form ("raw") where that saves
 * the decoding: 1 is -1 (null), every other odd number is a negative length and an error. */

#include <stdbool.h>

#include "base/bytes.h"
#include "base/slice.h"

enum { RAW_NULL = 1 };

/* One and two bytes, the usual cases, inline. NULL: truncated or too long. */
static inline const uint8_t *raw_read(const uint8_t *p, const uint8_t *end, uint32_t *ret_raw)
{
    if (LIKELY(end - p >= 2)) {
        const uint32_t low = p[0];
        if (LIKELY(low < 0x80)) {
            *ret_raw = low;
            return p + 1;
        }
        const uint32_t high = p[1];
        if (LIKELY(high < 0x80)) {
            *ret_raw = (low & 0x7F) | high << 7;
            return p + 2;
        }
    }
    return uvarint32_read(p, end, ret_raw);
}

static inline const uint8_t *raw64_read(const uint8_t *p, const uint8_t *end, uint64_t *ret_raw)
{
    if (LIKELY(end - p >= 2)) {
        const uint32_t low = p[0];
        if (LIKELY(low < 0x80)) {
            *ret_raw = low;
            return p + 1;
        }
        const uint32_t high = p[1];
        if (LIKELY(high < 0x80)) {
            *ret_raw = (low & 0x7F) | high << 7;
            return p + 2;
        }
    }
    return uvarint64_read(p, end, ret_raw);
}

/* Skips a length and its bytes. Null is fine when *is_null is wanted: is_null may not be NULL. */
static inline const uint8_t *nullable_skip(const uint8_t *p, const uint8_t *end, bool *ret_is_null)
{
    uint32_t raw;
    p = raw_read(p, end, &raw);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    *ret_is_null = raw == RAW_NULL;
    if (UNLIKELY((raw & 1) != 0)) {
        return raw == RAW_NULL ? p : NULL;
    }
    const size_t size = raw >> 1;
    return size <= (size_t)(end - p) ? p + size : NULL;
}

/* The same with the bytes. */
static inline const uint8_t *nullable_read(const uint8_t *p, const uint8_t *end,
                                           struct slice *ret_bytes)
{
    uint32_t raw;
    p = raw_read(p, end, &raw);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    if ((raw & 1) != 0) {
        *ret_bytes = SLICE_NULL;
        return raw == RAW_NULL ? p : NULL;
    }
    const size_t size = raw >> 1;
    if (UNLIKELY(size > (size_t)(end - p))) {
        return NULL;
    }
    *ret_bytes = slice_of(p, size);
    return p + size;
}

/* count headers; each takes at least two bytes, so that the loop ends with the bytes. Their keys
 * may not be null. */
const uint8_t *headers_skip(const uint8_t *p, const uint8_t *end, uint32_t raw_count);
