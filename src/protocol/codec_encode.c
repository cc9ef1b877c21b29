/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "protocol/codec.h"
#include "protocol/codec_private.h"

enum {
    BLOCK_SIZE_FIRST = 512,     /* most responses without records */
    BLOCK_SIZE_CUT = 64 * 1024, /* a block of this size is cut off instead of copied */
    RECORDS_COPY_MAX = 512,     /* a piece of its own costs more than copying so much */
    FIXED_SIZE_MAX = 16,        /* the longest value of fixed size, or size before a value */
};

static enum error encode_struct(struct writer *w, const struct layout *layout,
                                const uint8_t *message);

/* Writer */

void writer_init(struct writer *w, struct arena *arena, struct chain *chain)
{
    *w = (struct writer){.arena = arena, .chain = chain};
}

bool writer_flush(struct writer *w)
{
    const size_t size = (size_t)(w->next - w->begin);
    check_cmp(w->pinned, ==, 0);
    if (!chain_append_memory(w->chain, slice_of(w->begin, size), NULL)) {
        return false;
    }
    w->begin = w->next;
    return true;
}

bool writer_grow(struct writer *w, size_t size)
{
    size_t used = (size_t)(w->next - w->begin);
    if (w->chain != NULL && w->pinned == 0 && used >= BLOCK_SIZE_CUT) {
        if (!writer_flush(w)) {
            return false;
        }
        used = 0;
    }
    size_t needed;
    if (!size_add(used, size, &needed)) {
        return false;
    }
    size_t capacity = used == 0 ? BLOCK_SIZE_FIRST : used * 2;
    capacity = capacity < needed ? needed : capacity;
    uint8_t *block = arena_alloc(w->arena, capacity, 1);
    if (block == NULL) {
        return false;
    }
    if (used > 0) {
        memcpy(block, w->begin, used);
    }
    if (w->start == w->begin) {
        w->start = block;
    }
    w->begin = block;
    w->next = block + used;
    w->end = block + capacity;
    return true;
}

static enum error put_bytes(struct writer *w, struct slice bytes)
{
    if (!writer_room(w, bytes.size)) {
        return E_LOCAL_NO_MEMORY;
    }
    if (bytes.size > 0) {
        memcpy(w->next, bytes.data, bytes.size);
        w->next += bytes.size;
    }
    return E_OK;
}

/* Room for it has been made. */
static inline void put_compact_size(struct writer *w, bool is_null, size_t size)
{
    const uint32_t raw = is_null ? 0 : (uint32_t)size + 1;
    if (LIKELY(raw < 0x80)) {
        *w->next++ = (uint8_t)raw;
    } else {
        w->next = uvarint32_write(w->next, raw);
    }
}

static inline void put_size32(struct writer *w, bool is_null, size_t size)
{
    be32_store(w->next, is_null ? UINT32_MAX : (uint32_t)size);
    w->next += 4;
}

/* Values */

static inline enum error encode_slice(struct writer *w, enum step_kind kind, bool nullable,
                                      struct slice bytes)
{
    const bool is_null = nullable && slice_is_null(bytes);
    const bool is_string = kind == STEP_STRING || kind == STEP_COMPACT_STRING;
    if (bytes.size > (is_string ? (size_t)INT16_MAX : (size_t)INT32_MAX - 1)) {
        return E_LOCAL_LIMIT;
    }
    if (!writer_room(w, FIXED_SIZE_MAX + bytes.size)) {
        return E_LOCAL_NO_MEMORY;
    }
    if (kind == STEP_STRING) {
        be16_store(w->next, is_null ? UINT16_MAX : (uint16_t)bytes.size);
        w->next += 2;
    } else if (kind == STEP_BYTES) {
        put_size32(w, is_null, bytes.size);
    } else {
        put_compact_size(w, is_null, bytes.size);
    }
    if (bytes.size > 0) {
        memcpy(w->next, bytes.data, bytes.size);
        w->next += bytes.size;
    }
    return E_OK;
}

static enum error encode_records(struct writer *w, enum step_kind kind, bool nullable,
                                 const struct records *records)
{
    const size_t size = records->chain != NULL ? records->chain->size : records->bytes.size;
    const bool is_null = nullable && records->chain == NULL && slice_is_null(records->bytes);
    if (size > (size_t)INT32_MAX - 1) {
        return E_LOCAL_LIMIT;
    }
    if (!writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    if (kind == STEP_RECORDS) {
        put_size32(w, is_null, size);
    } else {
        put_compact_size(w, is_null, size);
    }
    if (records->chain == NULL && (w->chain == NULL || size <= RECORDS_COPY_MAX)) {
        return put_bytes(w, records->bytes);
    }
    if (w->chain == NULL) {
        return E_LOCAL_UNSUPPORTED; /* pieces cannot become contiguous here */
    }
    if (!writer_flush(w)) {
        return E_LOCAL_NO_MEMORY;
    }
    if (records->chain != NULL) {
        chain_append_chain(w->chain, records->chain);
        return E_OK;
    }
    return chain_append_memory(w->chain, records->bytes, NULL) ? E_OK : E_LOCAL_NO_MEMORY;
}

static enum error encode_struct_pointer(struct writer *w, const struct layout *layout,
                                        const void *child)
{
    if (!writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    *w->next++ = child == NULL ? 0xff : 1;
    return child == NULL ? E_OK : encode_struct(w, layout, child);
}

static inline enum error encode_value(struct writer *w, enum step_kind kind, bool nullable,
                                      const struct layout *child, const uint8_t *member)
{
    if (kind <= STEP_UUID && !writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    switch (kind) {
    case STEP_BOOL:
    case STEP_INT8:
        *w->next++ = *member;
        return E_OK;
    case STEP_INT16: {
        uint16_t value;
        memcpy(&value, member, sizeof(value));
        be16_store(w->next, value);
        w->next += sizeof(value);
        return E_OK;
    }
    case STEP_INT32: {
        uint32_t value;
        memcpy(&value, member, sizeof(value));
        be32_store(w->next, value);
        w->next += sizeof(value);
        return E_OK;
    }
    case STEP_INT64: {
        uint64_t value;
        memcpy(&value, member, sizeof(value));
        be64_store(w->next, value);
        w->next += sizeof(value);
        return E_OK;
    }
    case STEP_UUID:
        memcpy(w->next, member, sizeof(struct uuid));
        w->next += sizeof(struct uuid);
        return E_OK;
    case STEP_STRING:
    case STEP_COMPACT_STRING:
    case STEP_BYTES:
    case STEP_COMPACT_BYTES:
        return encode_slice(w, kind, nullable, slice_at(member));
    case STEP_RECORDS:
    case STEP_COMPACT_RECORDS:
        return encode_records(w, kind, nullable, (const struct records *)(const void *)member);
    case STEP_STRUCT:
        return encode_struct(w, child, member);
    case STEP_STRUCT_POINTER:
        return encode_struct_pointer(w, child, *(void *const *)(const void *)member);
    case STEP_ARRAY:
    case STEP_COMPACT_ARRAY:
        break;
    }
    check(!"a step that is no value");
    return E_LOCAL_MALFORMED;
}

static enum error encode_array(struct writer *w, const struct step *step, struct array_view array)
{
    const bool is_null = step->nullable && array.items == NULL;
    if (array.count > INT32_MAX - 1) {
        return E_LOCAL_LIMIT;
    }
    if (!writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    if (step->kind == STEP_ARRAY) {
        put_size32(w, is_null, array.count);
    } else {
        put_compact_size(w, is_null, array.count);
    }
    if (array.count == 0) {
        return E_OK;
    }
    check(array.items != NULL);
    const size_t size = element_size(step);
    const uint8_t *item = array.items;
    for (const uint8_t *const end = item + array.count * size; item < end; item += size) {
        const enum error error = encode_value(w, step->element, false, step->child, item);
        if (error) {
            return error;
        }
    }
    return E_OK;
}

static inline enum error encode_step(struct writer *w, const struct step *step,
                                     const uint8_t *message)
{
    const uint8_t *member = message + step->offset;
    if (step->kind == STEP_ARRAY || step->kind == STEP_COMPACT_ARRAY) {
        return encode_array(w, step, array_at(member));
    }
    return encode_value(w, step->kind, step->nullable, step->child, member);
}

/* Structs */

static bool step_is_default(const struct layout *layout, const struct step *step,
                            const uint8_t *message)
{
    return field_is_default(layout->type, &layout->type->fields[step->field], message,
                            !step->nullable);
}

/* A tag, the size of the value, the value. The size is patched in: one byte is left for it, and
 * a value of 128 bytes or more moves up. */
static enum error encode_tagged_field(struct writer *w, const struct step *step,
                                      const uint8_t *message)
{
    if (!writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    w->next = uvarint32_write(w->next, step->tag);
    w->next++;
    const size_t value_at = (size_t)(w->next - w->begin);
    w->pinned++;
    const enum error error = encode_step(w, step, message);
    w->pinned--;
    if (error) {
        return error;
    }
    const size_t size = (size_t)(w->next - w->begin) - value_at;
    if (size > INT32_MAX) {
        return E_LOCAL_LIMIT;
    }
    w->pinned++;
    const bool has_room = writer_room(w, FIXED_SIZE_MAX);
    w->pinned--;
    if (!has_room) {
        return E_LOCAL_NO_MEMORY;
    }
    uint8_t *value = w->begin + value_at;
    const size_t extra = uvarint32_size((uint32_t)size) - 1;
    memmove(value + extra, value, size);
    (void)uvarint32_write(value - 1, (uint32_t)size); /* its end is where the value is */
    w->next += extra;
    return E_OK;
}

static enum error encode_tagged_fields(struct writer *w, const struct layout *layout,
                                       const uint8_t *message)
{
    const struct step *const first = layout->steps + layout->step_count;
    const struct step *const end = first + layout->tagged_count;
    uint32_t count = 0;
    for (const struct step *step = first; step < end; step++) {
        count += !step_is_default(layout, step, message);
    }
    if (!writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    w->next = uvarint32_write(w->next, count);
    for (const struct step *step = first; count > 0 && step < end; step++) {
        if (step_is_default(layout, step, message)) {
            continue;
        }
        const enum error error = encode_tagged_field(w, step, message);
        if (error) {
            return error;
        }
    }
    return E_OK;
}

/* Kafka's rule: what cannot be written and must not be dropped is an error. Null counts as empty
 * unless null is the default. */
static bool absent_fields_are_default(const struct layout *layout, const uint8_t *message)
{
    for (uint16_t i = 0; i < layout->absent_count; i++) {
        const struct field *field = &layout->type->fields[layout->absent[i]];
        if (!field_is_default(layout->type, field, message, true)) {
            return false;
        }
    }
    return true;
}

static enum error encode_struct(struct writer *w, const struct layout *layout,
                                const uint8_t *message)
{
    if (layout->absent_count > 0 && !absent_fields_are_default(layout, message)) {
        return E_LOCAL_UNSUPPORTED;
    }
    const struct step *const end = layout->steps + layout->step_count;
    for (const struct step *step = layout->steps; step < end; step++) {
        const enum error error = encode_step(w, step, message);
        if (UNLIKELY(error)) {
            return error;
        }
    }
    if (!layout->flexible) {
        return E_OK;
    }
    if (layout->tagged_count > 0) {
        return encode_tagged_fields(w, layout, message);
    }
    if (!writer_room(w, 1)) {
        return E_LOCAL_NO_MEMORY;
    }
    *w->next++ = 0;
    return E_OK;
}

enum error writer_put_message(struct writer *w, const struct message_schema *schema,
                              int16_t version, const void *message)
{
    if (!message_has_version(schema, version)) {
        return E_UNSUPPORTED_VERSION;
    }
    return encode_struct(w, schema->layouts[version - schema->version_min], message);
}

enum error codec_encode(const struct message_schema *schema, int16_t version, const void *message,
                        struct chain *chain)
{
    struct writer w;
    writer_init(&w, chain->arena, chain);
    const enum error error = writer_put_message(&w, schema, version, message);
    if (error) {
        return error;
    }
    return writer_flush(&w) ? E_OK : E_LOCAL_NO_MEMORY;
}

enum error codec_encode_contiguous(const struct message_schema *schema, int16_t version,
                                   const void *message, struct slice prefix, struct arena *arena,
                                   struct slice *ret_bytes)
{
    struct writer w;
    writer_init(&w, arena, NULL);
    enum error error = put_bytes(&w, prefix);
    if (!error) {
        error = writer_put_message(&w, schema, version, message);
    }
    if (error) {
        return error;
    }
    *ret_bytes = slice_of(w.begin, (size_t)(w.next - w.begin));
    return E_OK;
}
