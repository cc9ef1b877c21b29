/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The few Kafka requests that the benchmarks send and the floor server answers, by hand: the
 * benchmarks must not depend on the broker's own codec, or they would share its mistakes.
 * Versions: ApiVersions v0, Produce v9, Fetch v12, Metadata v9, CreateTopics v5,
 * DeleteTopics v4. Apache Kafka 2.8
 * to 4.3 serve them all. Produce to CreateTopics are flexible: compact lengths and tagged fields.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

enum {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_METADATA = 3,
    API_VERSIONS = 18,
    API_CREATE_TOPICS = 19,
    API_DELETE_TOPICS = 20,

    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    METADATA_VERSION = 9,
    API_VERSIONS_VERSION = 0,
    CREATE_TOPICS_VERSION = 5,
    DELETE_TOPICS_VERSION = 4,

    ERROR_NONE = 0,
    ERROR_OFFSET_OUT_OF_RANGE = 1,
    ERROR_CORRUPT_MESSAGE = 2,
    ERROR_UNKNOWN_TOPIC_OR_PARTITION = 3,
    ERROR_TOPIC_ALREADY_EXISTS = 36,

    BATCH_HEADER_SIZE = 61, /* record batch v2, from base offset to record count */
    BATCH_CRC_START = 21,   /* the CRC covers everything from the attributes on */
};

/* ---- encoding: into a buffer of fixed capacity; overflow is our own mistake ---- */

struct out {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

static inline uint8_t *out_room(struct out *o, size_t size)
{
    check(o->size + size <= o->capacity);
    uint8_t *p = o->data + o->size;
    o->size += size;
    return p;
}

static inline void out_u8(struct out *o, uint8_t v)
{
    *out_room(o, 1) = v;
}

static inline void out_i16(struct out *o, int16_t v)
{
    be16_store(out_room(o, 2), (uint16_t)v);
}

static inline void out_i32(struct out *o, int32_t v)
{
    be32_store(out_room(o, 4), (uint32_t)v);
}

static inline void out_i64(struct out *o, int64_t v)
{
    be64_store(out_room(o, 8), (uint64_t)v);
}

static inline void out_bytes(struct out *o, const void *data, size_t size)
{
    memcpy(out_room(o, size), data, size);
}

static inline void out_uvarint(struct out *o, uint64_t v)
{
    while (v >= 0x80) {
        out_u8(o, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    out_u8(o, (uint8_t)v);
}

static inline void out_varint(struct out *o, int64_t v)
{
    out_uvarint(o, zigzag64_encode(v));
}

/* Lengths of compact strings, arrays and records are one more than the count; 0 means null. */
static inline void out_compact_length(struct out *o, size_t count)
{
    out_uvarint(o, (uint64_t)count + 1);
}

static inline void out_compact_null(struct out *o)
{
    out_u8(o, 0);
}

static inline void out_compact_string(struct out *o, const char *text, size_t size)
{
    out_compact_length(o, size);
    out_bytes(o, text, size);
}

static inline void out_no_tags(struct out *o)
{
    out_u8(o, 0);
}

/* ---- decoding: a cursor that turns bad, and then reads zeros, when the bytes end ---- */

struct in {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

static inline size_t in_left(const struct in *i)
{
    return (size_t)(i->end - i->p);
}

static inline const uint8_t *in_take(struct in *i, size_t size)
{
    if (in_left(i) < size) {
        i->bad = true;
        i->p = i->end;
        return NULL;
    }
    const uint8_t *p = i->p;
    i->p += size;
    return p;
}

static inline int16_t in_i16(struct in *i)
{
    const uint8_t *p = in_take(i, 2);
    return p == NULL ? 0 : (int16_t)be16_load(p);
}

static inline int32_t in_i32(struct in *i)
{
    const uint8_t *p = in_take(i, 4);
    return p == NULL ? 0 : (int32_t)be32_load(p);
}

static inline int64_t in_i64(struct in *i)
{
    const uint8_t *p = in_take(i, 8);
    return p == NULL ? 0 : (int64_t)be64_load(p);
}

static inline uint8_t in_u8(struct in *i)
{
    const uint8_t *p = in_take(i, 1);
    return p == NULL ? 0 : *p;
}

static inline uint32_t in_uvarint(struct in *i)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte = in_u8(i);
        value |= (uint32_t)(byte & 0x7fU) << shift;
        if ((byte & 0x80U) == 0) {
            return value;
        }
    }
    i->bad = true;
    return 0;
}

/* Count of a compact array or size of a compact string; null counts as empty. */
static inline uint32_t in_compact_length(struct in *i)
{
    uint32_t raw = in_uvarint(i);
    return raw == 0 ? 0 : raw - 1;
}

static inline const uint8_t *in_compact_string(struct in *i, uint32_t *ret_size)
{
    *ret_size = in_compact_length(i);
    return in_take(i, *ret_size);
}

static inline void in_skip_compact_string(struct in *i)
{
    uint32_t size;
    (void)in_compact_string(i, &size);
}

static inline void in_skip_tags(struct in *i)
{
    for (uint32_t count = in_uvarint(i); count > 0 && !i->bad; count--) {
        (void)in_uvarint(i);
        (void)in_take(i, in_uvarint(i));
    }
}
