/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes to numbers and back. The only place where wire and disk bytes become integers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

static inline uint16_t be16_load(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t be32_load(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t be64_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void be16_store(uint8_t *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void be32_store(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void be64_store(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

enum {
    UVARINT32_SIZE_MAX = 5,
    UVARINT64_SIZE_MAX = 10,
};

/*
 * Base-128 little-endian varints. Each reads from [p, end) and returns the position after the
 * number, or NULL when it is truncated or longer than its type (over-long encodings with
 * superfluous zero groups within the maximum size are accepted, as Kafka does).
 */
const uint8_t *uvarint32_read(const uint8_t *p, const uint8_t *end, uint32_t *ret_value);
const uint8_t *uvarint64_read(const uint8_t *p, const uint8_t *end, uint64_t *ret_value);

static inline uint32_t zigzag32_encode(int32_t v)
{
    return ((uint32_t)v << 1) ^ (uint32_t)(v >> 31);
}

static inline int32_t zigzag32_decode(uint32_t v)
{
    return (int32_t)((v >> 1) ^ (0U - (v & 1U)));
}

static inline uint64_t zigzag64_encode(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t zigzag64_decode(uint64_t v)
{
    return (int64_t)((v >> 1) ^ (0ULL - (v & 1ULL)));
}

/* Zig-zag varints, as in record bodies ("varint", "varlong"). */
static inline const uint8_t *varint_read(const uint8_t *p, const uint8_t *end, int32_t *ret_value)
{
    uint32_t raw;
    if (p < end && (*p & 0x80U) == 0) {
        *ret_value = zigzag32_decode(*p);
        return p + 1;
    }
    p = uvarint32_read(p, end, &raw);
    if (p != NULL) {
        *ret_value = zigzag32_decode(raw);
    }
    return p;
}

static inline const uint8_t *varlong_read(const uint8_t *p, const uint8_t *end, int64_t *ret_value)
{
    uint64_t raw;
    p = uvarint64_read(p, end, &raw);
    if (p != NULL) {
        *ret_value = zigzag64_decode(raw);
    }
    return p;
}

/* Each writes at p (room for the maximum size) and returns the position after it. */
uint8_t *uvarint32_write(uint8_t *p, uint32_t value);
uint8_t *uvarint64_write(uint8_t *p, uint64_t value);
size_t uvarint32_size(uint32_t value);
size_t uvarint64_size(uint64_t value);

/* false on overflow, then *ret_sum is untouched. */
NODISCARD static inline bool size_add(size_t a, size_t b, size_t *ret_sum)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret_sum = sum;
    return true;
}
