/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Encoding a value of each kind, for the walker (codec_encode.c) and for the straight-line code
 * that the generator makes for the messages of the hot path.
 */

#include "base/bytes.h"
#include "protocol/codec_private.h"

enum {
    RECORDS_COPY_MAX = 512,           /* a piece of its own costs more than copying so much */
    FIXED_SIZE_MAX = 16,              /* the longest value of fixed size, or size before a value */
    SIZE_MAX_ENCODED = INT32_MAX - 1, /* so that plus one it still fits an int32 */
};

/*
 * Each function writes at p, which stays in a register on the hot path, and returns the
 * position after what it wrote, or NULL with the reason in w->error. w->next lags behind p until
 * it returns to writer_put_message; the block may move whenever room is made.
 */

/* Slow and rare parts, in codec_encode.c. */
uint8_t *encode_refuse(struct writer *w, enum error error);
uint8_t *encode_make_room(struct writer *w, uint8_t *p, size_t size);
uint8_t *encode_attach_records(struct writer *w, uint8_t *p, const struct records *records);
uint8_t *encode_struct_pointer(struct writer *w, uint8_t *p, const struct layout *layout,
                               const void *child);
uint8_t *encode_elements(struct writer *w, uint8_t *p, const struct step *step,
                         const uint8_t *items, size_t item_size, uint32_t count);
uint8_t *encode_array(struct writer *w, uint8_t *p, const struct step *step,
                      struct array_view array);
uint8_t *encode_tagged_fields(struct writer *w, uint8_t *p, const struct layout *layout,
                              const uint8_t *message);
bool encode_absent_are_default(const struct layout *layout, const uint8_t *message);
/* The walker. */
uint8_t *encode_struct_by_steps(struct writer *w, uint8_t *p, const struct layout *layout,
                                const uint8_t *message);

static inline uint8_t *encode_struct(struct writer *w, uint8_t *p, const struct layout *layout,
                                     const uint8_t *message)
{
    return layout->encode != NULL ? layout->encode(w, p, message)
                                  : encode_struct_by_steps(w, p, layout, message);
}

static inline uint8_t *room(struct writer *w, uint8_t *p, size_t size)
{
    return LIKELY((size_t)(w->end - p) >= size) ? p : encode_make_room(w, p, size);
}

static inline uint8_t *put_compact_size(uint8_t *p, bool is_null, size_t size)
{
    const uint32_t raw = is_null ? 0 : (uint32_t)size + 1;
    if (LIKELY(raw < 0x80)) {
        *p = (uint8_t)raw;
        return p + 1;
    }
    return uvarint32_write(p, raw);
}

static inline uint8_t *put_size32(uint8_t *p, bool is_null, size_t size)
{
    be32_store(p, is_null ? UINT32_MAX : (uint32_t)size);
    return p + 4;
}

static inline uint8_t *put_bytes(uint8_t *p, struct slice bytes)
{
    if (bytes.size > 0) {
        memcpy(p, bytes.data, bytes.size);
    }
    return p + bytes.size;
}

/* Values */

static inline uint8_t *encode_string(struct writer *w, uint8_t *p, bool compact, bool nullable,
                                     struct slice bytes)
{
    const bool is_null = nullable && slice_is_null(bytes);
    if (UNLIKELY(bytes.size > INT16_MAX)) {
        return encode_refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX + bytes.size);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    if (compact) {
        return put_bytes(put_compact_size(p, is_null, bytes.size), bytes);
    }
    be16_store(p, is_null ? UINT16_MAX : (uint16_t)bytes.size);
    return put_bytes(p + 2, bytes);
}

static inline uint8_t *encode_bytes(struct writer *w, uint8_t *p, bool compact, bool nullable,
                                    struct slice bytes)
{
    const bool is_null = nullable && slice_is_null(bytes);
    if (UNLIKELY(bytes.size > SIZE_MAX_ENCODED)) {
        return encode_refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX + bytes.size);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = compact ? put_compact_size(p, is_null, bytes.size) : put_size32(p, is_null, bytes.size);
    return put_bytes(p, bytes);
}

static inline uint8_t *encode_records(struct writer *w, uint8_t *p, bool compact, bool nullable,
                                      const struct records *records)
{
    const size_t size = records->chain != NULL ? records->chain->size : records->bytes.size;
    const bool is_null = nullable && records->chain == NULL && slice_is_null(records->bytes);
    const bool copied = records->chain == NULL && (w->chain == NULL || size <= RECORDS_COPY_MAX);
    if (UNLIKELY(size > SIZE_MAX_ENCODED)) {
        return encode_refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX + (copied ? size : 0));
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = compact ? put_compact_size(p, is_null, size) : put_size32(p, is_null, size);
    return copied ? put_bytes(p, records->bytes) : encode_attach_records(w, p, records);
}

/* Everything but arrays. Inlined into the loop over a struct's fields, which is the hot one. */
__attribute__((always_inline)) static inline uint8_t *
encode_value(struct writer *w, uint8_t *p, enum step_kind kind, bool nullable,
             const struct layout *child, const uint8_t *member)
{
    if (kind <= STEP_UUID) {
        p = room(w, p, FIXED_SIZE_MAX);
        if (UNLIKELY(p == NULL)) {
            return NULL;
        }
    }
    switch (kind) {
    case STEP_BOOL:
    case STEP_INT8:
        *p = *member;
        return p + 1;
    case STEP_INT16: {
        uint16_t value;
        memcpy(&value, member, sizeof(value));
        be16_store(p, value);
        return p + sizeof(value);
    }
    case STEP_INT32: {
        uint32_t value;
        memcpy(&value, member, sizeof(value));
        be32_store(p, value);
        return p + sizeof(value);
    }
    case STEP_INT64: {
        uint64_t value;
        memcpy(&value, member, sizeof(value));
        be64_store(p, value);
        return p + sizeof(value);
    }
    case STEP_UUID:
        memcpy(p, member, sizeof(struct uuid));
        return p + sizeof(struct uuid);
    case STEP_STRING:
    case STEP_COMPACT_STRING:
        return encode_string(w, p, kind == STEP_COMPACT_STRING, nullable, slice_at(member));
    case STEP_BYTES:
    case STEP_COMPACT_BYTES:
        return encode_bytes(w, p, kind == STEP_COMPACT_BYTES, nullable, slice_at(member));
    case STEP_RECORDS:
    case STEP_COMPACT_RECORDS:
        return encode_records(w, p, kind == STEP_COMPACT_RECORDS, nullable,
                              (const struct records *)(const void *)member);
    case STEP_STRUCT:
        return encode_struct(w, p, child, member);
    case STEP_STRUCT_POINTER:
        return encode_struct_pointer(w, p, child, *(void *const *)(const void *)member);
    case STEP_ARRAY:
    case STEP_COMPACT_ARRAY:
        break;
    }
    check(kind < STEP_ARRAY); /* no arrays of arrays */
    return NULL;
}

__attribute__((always_inline)) static inline uint8_t *
encode_array_inline(struct writer *w, uint8_t *p, const struct step *step, struct array_view array)
{
    const bool is_null = step->nullable && array.items == NULL;
    if (array.count > SIZE_MAX_ENCODED) {
        return encode_refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = step->kind == STEP_ARRAY ? put_size32(p, is_null, array.count)
                                 : put_compact_size(p, is_null, array.count);
    if (array.count == 0) {
        return p;
    }
    check(array.items != NULL);
    const size_t size = element_size(step);
    if (step->element != STEP_STRUCT) {
        return encode_elements(w, p, step, array.items, size, array.count);
    }
    const uint8_t *item = array.items;
    for (const uint8_t *const end = item + array.count * size; item < end && p != NULL;
         item += size) {
        p = encode_struct(w, p, step->child, item);
    }
    return p;
}

__attribute__((always_inline)) static inline uint8_t *
encode_step(struct writer *w, uint8_t *p, const struct step *step, const uint8_t *message)
{
    const uint8_t *member = message + step->offset;
    if (step->kind >= STEP_ARRAY) {
        return encode_array(w, p, step, array_at(member));
    }
    return encode_value(w, p, step->kind, step->nullable, step->child, member);
}

/* Structs */

/* No tagged field: what follows the fields of a struct of a flexible version. */
static inline uint8_t *encode_struct_end(struct writer *w, uint8_t *p)
{
    p = room(w, p, FIXED_SIZE_MAX);
    if (LIKELY(p != NULL)) {
        *p++ = 0;
    }
    return p;
}
