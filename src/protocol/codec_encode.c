/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "protocol/codec.h"
#include "protocol/codec_private.h"

enum {
    BLOCK_SIZE_FIRST = 512,           /* most responses without records */
    BLOCK_SIZE_CUT = 64 * 1024,       /* a block of this size is cut off instead of copied */
    RECORDS_COPY_MAX = 512,           /* a piece of its own costs more than copying so much */
    FIXED_SIZE_MAX = 16,              /* the longest value of fixed size, or size before a value */
    SIZE_MAX_ENCODED = INT32_MAX - 1, /* so that plus one it still fits an int32 */
};

static uint8_t *encode_struct(struct writer *w, uint8_t *p, const struct layout *layout,
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

/*
 * Below, each function writes at p, which stays in a register on the hot path, and returns the
 * position after what it wrote, or NULL with the reason in w->error. w->next lags behind p until
 * it returns to writer_put_message; the block may move whenever room is made.
 */

__attribute__((noinline, cold)) static uint8_t *refuse(struct writer *w, enum error error)
{
    w->error = error;
    return NULL;
}

__attribute__((noinline)) static uint8_t *make_room(struct writer *w, uint8_t *p, size_t size)
{
    w->next = p;
    return writer_grow(w, size) ? w->next : refuse(w, E_LOCAL_NO_MEMORY);
}

static inline uint8_t *room(struct writer *w, uint8_t *p, size_t size)
{
    return LIKELY((size_t)(w->end - p) >= size) ? p : make_room(w, p, size);
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

static uint8_t *encode_string(struct writer *w, uint8_t *p, bool compact, bool nullable,
                              struct slice bytes)
{
    const bool is_null = nullable && slice_is_null(bytes);
    if (UNLIKELY(bytes.size > INT16_MAX)) {
        return refuse(w, E_LOCAL_LIMIT);
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

static uint8_t *encode_bytes(struct writer *w, uint8_t *p, bool compact, bool nullable,
                             struct slice bytes)
{
    const bool is_null = nullable && slice_is_null(bytes);
    if (UNLIKELY(bytes.size > SIZE_MAX_ENCODED)) {
        return refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX + bytes.size);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = compact ? put_compact_size(p, is_null, bytes.size) : put_size32(p, is_null, bytes.size);
    return put_bytes(p, bytes);
}

/* Records that are pieces already, or too large to copy: what is written so far becomes a piece,
 * then they do. */
static uint8_t *attach_records(struct writer *w, uint8_t *p, const struct records *records)
{
    if (w->chain == NULL) {
        return refuse(w, E_LOCAL_UNSUPPORTED); /* pieces cannot become contiguous here */
    }
    w->next = p;
    if (!writer_flush(w)) {
        return refuse(w, E_LOCAL_NO_MEMORY);
    }
    if (records->chain != NULL) {
        chain_append_chain(w->chain, records->chain);
    } else if (!chain_append_memory(w->chain, records->bytes, NULL)) {
        return refuse(w, E_LOCAL_NO_MEMORY);
    }
    return w->next;
}

static uint8_t *encode_records(struct writer *w, uint8_t *p, bool compact, bool nullable,
                               const struct records *records)
{
    const size_t size = records->chain != NULL ? records->chain->size : records->bytes.size;
    const bool is_null = nullable && records->chain == NULL && slice_is_null(records->bytes);
    const bool copied = records->chain == NULL && (w->chain == NULL || size <= RECORDS_COPY_MAX);
    if (UNLIKELY(size > SIZE_MAX_ENCODED)) {
        return refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX + (copied ? size : 0));
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = compact ? put_compact_size(p, is_null, size) : put_size32(p, is_null, size);
    return copied ? put_bytes(p, records->bytes) : attach_records(w, p, records);
}

static uint8_t *encode_struct_pointer(struct writer *w, uint8_t *p, const struct layout *layout,
                                      const void *child)
{
    p = room(w, p, FIXED_SIZE_MAX);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    *p = child == NULL ? 0xff : 1;
    return child == NULL ? p + 1 : encode_struct(w, p + 1, layout, child);
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

static uint8_t *encode_elements(struct writer *w, uint8_t *p, const struct step *step,
                                const uint8_t *items, size_t item_size, uint32_t count)
{
    for (; count > 0 && p != NULL; count--) {
        p = encode_value(w, p, step->element, false, step->child, items);
        items += item_size;
    }
    return p;
}

static uint8_t *encode_array(struct writer *w, uint8_t *p, const struct step *step,
                             struct array_view array)
{
    const bool is_null = step->nullable && array.items == NULL;
    if (array.count > SIZE_MAX_ENCODED) {
        return refuse(w, E_LOCAL_LIMIT);
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

static bool step_is_default(const struct layout *layout, const struct step *step,
                            const uint8_t *message)
{
    const struct field *field = &layout->type->fields[step->field];
    return field_is_default(layout->type, field, message, !step->nullable);
}

/* The size of a tagged value goes before it: one byte was left for it, and a value of 128 bytes or
 * more moves up. */
static uint8_t *patch_size(struct writer *w, uint8_t *p, size_t value_at)
{
    const size_t size = (size_t)(p - w->begin) - value_at;
    if (size > SIZE_MAX_ENCODED) {
        return refuse(w, E_LOCAL_LIMIT);
    }
    p = room(w, p, FIXED_SIZE_MAX);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    uint8_t *value = w->begin + value_at;
    const size_t extra = uvarint32_size((uint32_t)size) - 1;
    memmove(value + extra, value, size);
    (void)uvarint32_write(value - 1, (uint32_t)size); /* its end is where the value is now */
    return p + extra;
}

static uint8_t *encode_tagged_field(struct writer *w, uint8_t *p, const struct step *step,
                                    const uint8_t *message)
{
    p = room(w, p, FIXED_SIZE_MAX);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = uvarint32_write(p, step->tag);
    p++;
    const size_t value_at = (size_t)(p - w->begin);
    w->pinned++;
    p = encode_step(w, p, step, message);
    if (p != NULL) {
        p = patch_size(w, p, value_at);
    }
    w->pinned--;
    return p;
}

static uint8_t *encode_tagged_fields(struct writer *w, uint8_t *p, const struct layout *layout,
                                     const uint8_t *message)
{
    const struct step *const first = layout->steps + layout->step_count;
    const struct step *const end = first + layout->tagged_count;
    uint32_t count = 0;
    for (const struct step *step = first; step < end; step++) {
        count += !step_is_default(layout, step, message);
    }
    p = room(w, p, FIXED_SIZE_MAX);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    p = uvarint32_write(p, count);
    for (const struct step *step = first; count > 0 && step < end && p != NULL; step++) {
        if (!step_is_default(layout, step, message)) {
            p = encode_tagged_field(w, p, step, message);
        }
    }
    return p;
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

static uint8_t *encode_struct(struct writer *w, uint8_t *p, const struct layout *layout,
                              const uint8_t *message)
{
    if (layout->absent_count > 0 && !absent_fields_are_default(layout, message)) {
        return refuse(w, E_LOCAL_UNSUPPORTED);
    }
    const struct step *const end = layout->steps + layout->step_count;
    for (const struct step *step = layout->steps; step < end; step++) {
        p = encode_step(w, p, step, message);
        if (UNLIKELY(p == NULL)) {
            return NULL;
        }
    }
    if (!layout->flexible) {
        return p;
    }
    if (layout->tagged_count > 0) {
        return encode_tagged_fields(w, p, layout, message);
    }
    p = room(w, p, FIXED_SIZE_MAX);
    if (LIKELY(p != NULL)) {
        *p++ = 0;
    }
    return p;
}

enum error writer_put_message(struct writer *w, const struct message_schema *schema,
                              int16_t version, const void *message)
{
    if (!message_has_version(schema, version)) {
        return E_UNSUPPORTED_VERSION;
    }
    if (!writer_room(w, FIXED_SIZE_MAX)) {
        return E_LOCAL_NO_MEMORY;
    }
    uint8_t *p = encode_struct(w, w->next, schema->layouts[version - schema->version_min], message);
    if (p == NULL) {
        return w->error;
    }
    w->next = p;
    return E_OK;
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
    if (!writer_grow(&w, prefix.size)) {
        return E_LOCAL_NO_MEMORY;
    }
    w.next = put_bytes(w.next, prefix);
    const enum error error = writer_put_message(&w, schema, version, message);
    if (error) {
        return error;
    }
    *ret_bytes = slice_of(w.begin, (size_t)(w.next - w.begin));
    return E_OK;
}
