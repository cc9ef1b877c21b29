/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Decoding a value of each kind, for the walker (codec_decode.c) and for the straight-line code
 * that the generator makes for the messages of the hot path: the same steps with everything about
 * them known to the compiler.
 */

#include "base/bytes.h"
#include "protocol/codec_private.h"

/*
 * Each function reads a value at p, which stays in a register on the hot path, and returns the
 * position after it, or NULL with the reason in d->error.
 *
 * Invariants: D1 p <= end, and nothing at or after end is read.
 *             D2 nothing is allocated by a count that exceeds (end - p) / shortest element.
 * Calls nest as deep as the schema's structs do (at most 5), never by what the bytes say.
 */
struct decoder {
    const uint8_t *end; /* of the message, or of the tagged field that is being read */
    struct arena *arena;
    uint32_t element_count_left;
    enum error error;
};

/* Slow and rare parts, in codec_decode.c. */
const uint8_t *decode_refuse(struct decoder *d, enum error error);
const uint8_t *decode_struct_pointer(struct decoder *d, const uint8_t *p,
                                     const struct layout *layout, void **ret_pointer);
const uint8_t *decode_elements(struct decoder *d, const uint8_t *p, const struct step *step,
                               uint8_t *items, size_t item_size, uint32_t count);
const uint8_t *decode_array(struct decoder *d, const uint8_t *p, const struct step *step,
                            struct array_view *ret_array);
const uint8_t *decode_tagged_fields(struct decoder *d, const uint8_t *p, uint32_t count,
                                    const struct layout *layout, uint8_t *message);
/* The walker. */
const uint8_t *decode_struct_by_steps(struct decoder *d, const uint8_t *p,
                                      const struct layout *layout, uint8_t *message);

static inline const uint8_t *decode_struct(struct decoder *d, const uint8_t *p,
                                           const struct layout *layout, uint8_t *message)
{
    return layout->decode != NULL ? layout->decode(d, p, message)
                                  : decode_struct_by_steps(d, p, layout, message);
}

static inline size_t left(const struct decoder *d, const uint8_t *p)
{
    return (size_t)(d->end - p);
}

/* Sizes */

struct uvarint {
    const uint8_t *next; /* after it; NULL: refused */
    uint32_t value;
};

struct uvarint decode_long_uvarint(struct decoder *d, const uint8_t *p);

static inline struct uvarint read_uvarint(struct decoder *d, const uint8_t *p)
{
    if (LIKELY(p < d->end && (*p & 0x80U) == 0)) {
        return (struct uvarint){.next = p + 1, .value = *p};
    }
    if (LIKELY(left(d, p) >= 2 && (p[1] & 0x80U) == 0)) { /* records, mostly */
        return (struct uvarint){.next = p + 2, .value = (p[0] & 0x7fU) | (uint32_t)p[1] << 7};
    }
    return decode_long_uvarint(d, p);
}

/* A size or count, -1 and below: null. Any negative is null, as in Kafka; compact ones are stored
 * plus one. */
struct extent {
    const uint8_t *next; /* after it; NULL: refused */
    int64_t size;
};

static inline struct extent read_compact_extent(struct decoder *d, const uint8_t *p)
{
    const struct uvarint raw = read_uvarint(d, p);
    return (struct extent){.next = raw.next, .size = (int64_t)raw.value - 1};
}

static inline struct extent read_extent16(struct decoder *d, const uint8_t *p)
{
    if (UNLIKELY(left(d, p) < 2)) {
        return (struct extent){.next = decode_refuse(d, E_LOCAL_TRUNCATED)};
    }
    return (struct extent){.next = p + 2, .size = (int16_t)be16_load(p)};
}

static inline struct extent read_extent32(struct decoder *d, const uint8_t *p)
{
    if (UNLIKELY(left(d, p) < 4)) {
        return (struct extent){.next = decode_refuse(d, E_LOCAL_TRUNCATED)};
    }
    return (struct extent){.next = p + 4, .size = (int32_t)be32_load(p)};
}

/* Values */

/* The bytes of a string, bytes or records field whose extent has been read. */
static inline const uint8_t *take_slice(struct decoder *d, struct extent extent, bool nullable,
                                        struct slice *ret_slice)
{
    if (UNLIKELY(extent.next == NULL)) {
        return NULL;
    }
    if (extent.size < 0) {
        *ret_slice = SLICE_NULL;
        return nullable ? extent.next : decode_refuse(d, E_LOCAL_MALFORMED);
    }
    if (UNLIKELY((size_t)extent.size > left(d, extent.next))) {
        return decode_refuse(d, E_LOCAL_TRUNCATED);
    }
    *ret_slice = slice_of(extent.next, (size_t)extent.size);
    return extent.next + extent.size;
}

static inline const uint8_t *take_string(struct decoder *d, struct extent extent, bool nullable,
                                         struct slice *ret_slice)
{
    if (UNLIKELY(extent.next != NULL && extent.size > INT16_MAX)) {
        return decode_refuse(d, E_LOCAL_MALFORMED); /* only a compact size can claim it */
    }
    return take_slice(d, extent, nullable, ret_slice);
}

static inline struct slice *as_slice(uint8_t *member)
{
    return (struct slice *)(void *)member;
}

/* Everything but arrays. Inlined into the loop over a struct's fields, which is the hot one. */
__attribute__((always_inline)) static inline const uint8_t *
decode_value(struct decoder *d, const uint8_t *p, enum step_kind kind, bool nullable,
             const struct layout *child, uint8_t *member)
{
    switch (kind) {
    case STEP_BOOL:
    case STEP_INT8:
        if (UNLIKELY(left(d, p) < 1)) {
            break;
        }
        *member = kind == STEP_BOOL ? *p != 0 : *p;
        return p + 1;
    case STEP_INT16: {
        if (UNLIKELY(left(d, p) < 2)) {
            break;
        }
        const uint16_t value = be16_load(p);
        memcpy(member, &value, sizeof(value));
        return p + sizeof(value);
    }
    case STEP_INT32: {
        if (UNLIKELY(left(d, p) < 4)) {
            break;
        }
        const uint32_t value = be32_load(p);
        memcpy(member, &value, sizeof(value));
        return p + sizeof(value);
    }
    case STEP_INT64: {
        if (UNLIKELY(left(d, p) < 8)) {
            break;
        }
        const uint64_t value = be64_load(p);
        memcpy(member, &value, sizeof(value));
        return p + sizeof(value);
    }
    case STEP_UUID:
        if (UNLIKELY(left(d, p) < sizeof(struct uuid))) {
            break;
        }
        memcpy(member, p, sizeof(struct uuid));
        return p + sizeof(struct uuid);
    case STEP_STRING:
        return take_string(d, read_extent16(d, p), nullable, as_slice(member));
    case STEP_COMPACT_STRING:
        return take_string(d, read_compact_extent(d, p), nullable, as_slice(member));
    case STEP_BYTES:
        return take_slice(d, read_extent32(d, p), nullable, as_slice(member));
    case STEP_COMPACT_BYTES:
        return take_slice(d, read_compact_extent(d, p), nullable, as_slice(member));
    case STEP_RECORDS:
    case STEP_COMPACT_RECORDS: {
        struct records *records = (struct records *)(void *)member;
        records->chain = NULL;
        return take_slice(d, kind == STEP_RECORDS ? read_extent32(d, p) : read_compact_extent(d, p),
                          nullable, &records->bytes);
    }
    case STEP_STRUCT:
        return decode_struct(d, p, child, member);
    case STEP_STRUCT_POINTER:
        return decode_struct_pointer(d, p, child, (void **)(void *)member);
    case STEP_ARRAY:
    case STEP_COMPACT_ARRAY:
        check(kind < STEP_ARRAY); /* no arrays of arrays */
    }
    return decode_refuse(d, E_LOCAL_TRUNCATED);
}

/* Arrays */

/* Bytes of the shortest encoding of an element. */
static inline size_t element_wire_size(const struct step *step)
{
    static const uint8_t sizes[] = {
        [STEP_BOOL] = 1,  [STEP_INT8] = 1,          [STEP_INT16] = 2,  [STEP_INT32] = 4,
        [STEP_INT64] = 8, [STEP_UUID] = 16,         [STEP_STRING] = 2, [STEP_COMPACT_STRING] = 1,
        [STEP_BYTES] = 4, [STEP_COMPACT_BYTES] = 1,
    };
    if (step->element == STEP_STRUCT) {
        return step->child->size_min;
    }
    check(step->element <= STEP_COMPACT_BYTES);
    return sizes[step->element];
}

/* E_OK, or why there can be no array of this count. */
static inline enum error check_count(const struct decoder *d, const struct step *step,
                                     struct extent extent)
{
    if (extent.size < 0) {
        return step->nullable ? E_OK : E_LOCAL_MALFORMED;
    }
    /* A count is below 2^32, a size below 2^16: no overflow. */
    if ((uint64_t)extent.size * element_wire_size(step) > left(d, extent.next)) { /* D2 */
        return E_LOCAL_TRUNCATED;
    }
    return (uint64_t)extent.size > d->element_count_left ? E_LOCAL_LIMIT : E_OK;
}

__attribute__((always_inline)) static inline const uint8_t *
decode_array_inline(struct decoder *d, const uint8_t *p, const struct step *step,
                    struct array_view *ret_array)
{
    const struct extent extent =
        step->kind == STEP_ARRAY ? read_extent32(d, p) : read_compact_extent(d, p);
    if (UNLIKELY(extent.next == NULL)) {
        return NULL;
    }
    const enum error error = check_count(d, step, extent);
    if (UNLIKELY(error)) {
        return decode_refuse(d, error);
    }
    if (extent.size <= 0) {
        *ret_array = (struct array_view){.items = extent.size < 0 ? NULL : ARRAY_EMPTY};
        return extent.next;
    }
    const uint32_t count = (uint32_t)extent.size;
    const size_t item_size = element_size(step);
    d->element_count_left -= count;
    uint8_t *items = arena_alloc(d->arena, count * item_size, _Alignof(max_align_t));
    if (UNLIKELY(items == NULL)) {
        return decode_refuse(d, E_LOCAL_NO_MEMORY);
    }
    *ret_array = (struct array_view){.items = items, .count = count};
    if (step->element != STEP_STRUCT) {
        return decode_elements(d, extent.next, step, items, item_size, count);
    }
    p = extent.next;
    for (uint8_t *const end = items + count * item_size; items < end && p != NULL;
         items += item_size) {
        p = decode_struct(d, p, step->child, items);
    }
    return p;
}

__attribute__((always_inline)) static inline const uint8_t *
decode_step(struct decoder *d, const uint8_t *p, const struct step *step, uint8_t *message)
{
    uint8_t *member = message + step->offset;
    if (step->kind >= STEP_ARRAY) {
        return decode_array(d, p, step, (struct array_view *)(void *)member);
    }
    return decode_value(d, p, step->kind, step->nullable, step->child, member);
}

/* Structs */

/* What follows the fields of a struct of a flexible version. */
static inline const uint8_t *decode_struct_end(struct decoder *d, const uint8_t *p,
                                               const struct layout *layout, uint8_t *message)
{
    const struct uvarint tagged_count = read_uvarint(d, p);
    if (LIKELY(tagged_count.next == NULL || tagged_count.value == 0)) {
        return tagged_count.next;
    }
    return decode_tagged_fields(d, tagged_count.next, tagged_count.value, layout, message);
}
