/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "protocol/codec.h"
#include "protocol/codec_private.h"

/*
 * Invariants: D1 next <= end, and nothing at or after end is read.
 *             D2 nothing is allocated by a count that exceeds (end - next) / shortest element.
 * Calls nest as deep as the schema's structs do (at most 5), never by what the bytes say.
 */
struct decoder {
    const uint8_t *next;
    const uint8_t *end; /* of the message, or of the tagged field that is being read */
    struct arena *arena;
    uint32_t element_count_left;
};

static enum error decode_struct(struct decoder *d, const struct layout *layout, uint8_t *message);

static inline size_t left(const struct decoder *d)
{
    return (size_t)(d->end - d->next);
}

static inline enum error read_uvarint(struct decoder *d, uint32_t *ret_value)
{
    if (LIKELY(d->next < d->end && (*d->next & 0x80U) == 0)) {
        *ret_value = *d->next++;
        return E_OK;
    }
    const uint8_t *after = uvarint32_read(d->next, d->end, ret_value);
    if (after == NULL) {
        return left(d) < UVARINT32_SIZE_MAX ? E_LOCAL_TRUNCATED : E_LOCAL_MALFORMED;
    }
    d->next = after;
    return E_OK;
}

/* Compact sizes and counts are stored plus one; 0 is null, here -1. */
static inline enum error read_compact_size(struct decoder *d, int64_t *ret_size)
{
    uint32_t raw;
    const enum error error = read_uvarint(d, &raw);
    if (error == E_OK) {
        *ret_size = (int64_t)raw - 1;
    }
    return error;
}

static inline enum error read_size16(struct decoder *d, int64_t *ret_size)
{
    if (left(d) < 2) {
        return E_LOCAL_TRUNCATED;
    }
    *ret_size = (int16_t)be16_load(d->next);
    d->next += 2;
    return E_OK;
}

static inline enum error read_size32(struct decoder *d, int64_t *ret_size)
{
    if (left(d) < 4) {
        return E_LOCAL_TRUNCATED;
    }
    *ret_size = (int32_t)be32_load(d->next);
    d->next += 4;
    return E_OK;
}

/* The bytes of a string, bytes or records field, whose size has been read. Any negative size is
 * null, as in Kafka. */
static inline enum error read_slice(struct decoder *d, int64_t size, bool nullable,
                                    struct slice *ret_slice)
{
    if (size < 0) {
        *ret_slice = SLICE_NULL;
        return nullable ? E_OK : E_LOCAL_MALFORMED;
    }
    if ((uint64_t)size > left(d)) {
        return E_LOCAL_TRUNCATED;
    }
    *ret_slice = slice_of(d->next, (size_t)size);
    d->next += size;
    return E_OK;
}

static inline enum error read_string(struct decoder *d, int64_t size, bool nullable,
                                     struct slice *ret_slice)
{
    if (size > INT16_MAX) {
        return E_LOCAL_MALFORMED; /* only a compact size can claim it; Kafka refuses it too */
    }
    return read_slice(d, size, nullable, ret_slice);
}

static enum error decode_struct_pointer(struct decoder *d, const struct layout *layout,
                                        void **ret_pointer)
{
    if (left(d) < 1) {
        return E_LOCAL_TRUNCATED;
    }
    *ret_pointer = NULL;
    if ((int8_t)*d->next++ < 0) {
        return E_OK;
    }
    uint8_t *child = arena_alloc(d->arena, layout->type->size, _Alignof(max_align_t));
    if (child == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    *ret_pointer = child;
    return decode_struct(d, layout, child);
}

/* Bytes of the shortest encoding of an element. */
static size_t element_wire_size(const struct step *step)
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

static inline enum error decode_value(struct decoder *d, enum step_kind kind, bool nullable,
                                      const struct layout *child, uint8_t *member)
{
    int64_t size;
    enum error error;
    switch (kind) {
    case STEP_BOOL:
        if (left(d) < 1) {
            return E_LOCAL_TRUNCATED;
        }
        *(bool *)member = *d->next++ != 0;
        return E_OK;
    case STEP_INT8:
        if (left(d) < 1) {
            return E_LOCAL_TRUNCATED;
        }
        *member = *d->next++;
        return E_OK;
    case STEP_INT16: {
        if (left(d) < 2) {
            return E_LOCAL_TRUNCATED;
        }
        const uint16_t value = be16_load(d->next);
        memcpy(member, &value, sizeof(value));
        d->next += sizeof(value);
        return E_OK;
    }
    case STEP_INT32: {
        if (left(d) < 4) {
            return E_LOCAL_TRUNCATED;
        }
        const uint32_t value = be32_load(d->next);
        memcpy(member, &value, sizeof(value));
        d->next += sizeof(value);
        return E_OK;
    }
    case STEP_INT64: {
        if (left(d) < 8) {
            return E_LOCAL_TRUNCATED;
        }
        const uint64_t value = be64_load(d->next);
        memcpy(member, &value, sizeof(value));
        d->next += sizeof(value);
        return E_OK;
    }
    case STEP_UUID:
        if (left(d) < sizeof(struct uuid)) {
            return E_LOCAL_TRUNCATED;
        }
        memcpy(member, d->next, sizeof(struct uuid));
        d->next += sizeof(struct uuid);
        return E_OK;
    case STEP_STRING:
        error = read_size16(d, &size);
        return error ? error : read_string(d, size, nullable, (struct slice *)(void *)member);
    case STEP_COMPACT_STRING:
        error = read_compact_size(d, &size);
        return error ? error : read_string(d, size, nullable, (struct slice *)(void *)member);
    case STEP_BYTES:
        error = read_size32(d, &size);
        return error ? error : read_slice(d, size, nullable, (struct slice *)(void *)member);
    case STEP_COMPACT_BYTES:
        error = read_compact_size(d, &size);
        return error ? error : read_slice(d, size, nullable, (struct slice *)(void *)member);
    case STEP_RECORDS:
    case STEP_COMPACT_RECORDS: {
        struct records *records = (struct records *)(void *)member;
        records->chain = NULL;
        error = kind == STEP_RECORDS ? read_size32(d, &size) : read_compact_size(d, &size);
        return error ? error : read_slice(d, size, nullable, &records->bytes);
    }
    case STEP_STRUCT:
        return decode_struct(d, child, member);
    case STEP_STRUCT_POINTER:
        return decode_struct_pointer(d, child, (void **)(void *)member);
    case STEP_ARRAY:
    case STEP_COMPACT_ARRAY:
        break;
    }
    check(!"a step that is no value");
    return E_LOCAL_MALFORMED;
}

static enum error decode_array(struct decoder *d, const struct step *step, int64_t count,
                               struct array_view *ret_array)
{
    if (count < 0) {
        *ret_array = (struct array_view){.items = NULL, .count = 0};
        return step->nullable ? E_OK : E_LOCAL_MALFORMED;
    }
    if (count == 0) {
        *ret_array = (struct array_view){.items = ARRAY_EMPTY, .count = 0};
        return E_OK;
    }
    /* count < 2^32, sizes < 2^16: no overflow. */
    if ((uint64_t)count * element_wire_size(step) > left(d)) { /* D2 */
        return E_LOCAL_TRUNCATED;
    }
    if ((uint64_t)count > d->element_count_left) {
        return E_LOCAL_LIMIT;
    }
    d->element_count_left -= (uint32_t)count;
    const size_t memory_size = element_size(step);
    uint8_t *items = arena_alloc(d->arena, (size_t)count * memory_size, _Alignof(max_align_t));
    if (items == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    *ret_array = (struct array_view){.items = items, .count = (uint32_t)count};
    for (uint8_t *const end = items + (size_t)count * memory_size; items < end;
         items += memory_size) {
        const enum error error = decode_value(d, step->element, false, step->child, items);
        if (error) {
            return error;
        }
    }
    return E_OK;
}

static inline enum error decode_step(struct decoder *d, const struct step *step, uint8_t *message)
{
    uint8_t *member = message + step->offset;
    if (step->kind == STEP_ARRAY || step->kind == STEP_COMPACT_ARRAY) {
        int64_t count;
        const enum error error =
            step->kind == STEP_ARRAY ? read_size32(d, &count) : read_compact_size(d, &count);
        return error ? error : decode_array(d, step, count, (struct array_view *)(void *)member);
    }
    return decode_value(d, step->kind, step->nullable, step->child, member);
}

static enum error decode_tagged_field(struct decoder *d, const struct step *step, size_t size,
                                      uint8_t *message)
{
    const uint8_t *const end = d->end;
    d->end = d->next + size;
    const enum error error = decode_step(d, step, message);
    const bool whole = d->next == d->end;
    d->end = end;
    if (error) {
        return error;
    }
    return whole ? E_OK : E_LOCAL_MALFORMED;
}

static enum error decode_tagged_fields(struct decoder *d, const struct layout *layout,
                                       uint32_t count, uint8_t *message)
{
    const struct step *step = layout->steps + layout->step_count;
    const struct step *const end = step + layout->tagged_count;
    uint32_t tag_min = 0;
    for (; count > 0; count--) {
        uint32_t tag;
        uint32_t size;
        enum error error = read_uvarint(d, &tag);
        if (!error) {
            error = read_uvarint(d, &size);
        }
        if (error) {
            return error;
        }
        if (tag < tag_min || tag > INT32_MAX) {
            return E_LOCAL_MALFORMED; /* twice, or not rising */
        }
        tag_min = tag + 1;
        if (size > left(d)) {
            return E_LOCAL_TRUNCATED;
        }
        while (step < end && step->tag < tag) {
            step++;
        }
        if (step < end && step->tag == tag) {
            error = decode_tagged_field(d, step, size, message);
            if (error) {
                return error;
            }
        } else {
            d->next += size; /* from a newer peer: not ours to know (KIP-482) */
        }
    }
    return E_OK;
}

static enum error decode_struct(struct decoder *d, const struct layout *layout, uint8_t *message)
{
    if (!layout->complete) {
        memcpy(message, layout->type->defaults, layout->type->size);
    }
    const struct step *const end = layout->steps + layout->step_count;
    for (const struct step *step = layout->steps; step < end; step++) {
        const enum error error = decode_step(d, step, message);
        if (UNLIKELY(error)) {
            return error;
        }
    }
    if (!layout->flexible) {
        return E_OK;
    }
    uint32_t tagged_count;
    const enum error error = read_uvarint(d, &tagged_count);
    if (error || tagged_count == 0) {
        return error;
    }
    return decode_tagged_fields(d, layout, tagged_count, message);
}

enum error codec_decode(const struct message_schema *schema, int16_t version, struct slice bytes,
                        struct arena *arena, const struct decode_limits *limits, void *ret_message,
                        size_t *ret_consumed)
{
    if (!message_has_version(schema, version)) {
        return E_UNSUPPORTED_VERSION;
    }
    if (bytes.data == NULL) {
        bytes = SLICE("");
    }
    const struct decode_limits bounds = limits != NULL ? *limits : DECODE_LIMITS_DEFAULT;
    struct decoder d = {
        .next = bytes.data,
        .end = bytes.data + bytes.size,
        .arena = arena,
        .element_count_left = bounds.element_count_max,
    };
    const enum error error =
        decode_struct(&d, schema->layouts[version - schema->version_min], ret_message);
    if (error) {
        return error;
    }
    check_slow(d.next <= d.end); /* D1 */
    *ret_consumed = (size_t)(d.next - bytes.data);
    return E_OK;
}
