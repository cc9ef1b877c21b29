/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/codec.h"
#include "protocol/codec_encode_private.h"

enum {
    BLOCK_SIZE_FIRST = 512,     /* most responses without records */
    BLOCK_SIZE_CUT = 64 * 1024, /* a block of this size is cut off instead of copied */
};

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

__attribute__((noinline, cold)) uint8_t *encode_refuse(struct writer *w, enum error error)
{
    w->error = error;
    return NULL;
}

__attribute__((noinline)) uint8_t *encode_make_room(struct writer *w, uint8_t *p, size_t size)
{
    w->next = p;
    return writer_grow(w, size) ? w->next : encode_refuse(w, E_LOCAL_NO_MEMORY);
}

/* Values */

/* Records that are pieces already, or too large to copy: what is written so far becomes a piece,
 * then they do. */
uint8_t *encode_attach_records(struct writer *w, uint8_t *p, const struct records *records)
{
    if (w->chain == NULL) {
        return encode_refuse(w, E_LOCAL_UNSUPPORTED); /* pieces cannot become contiguous here */
    }
    w->next = p;
    if (!writer_flush(w)) {
        return encode_refuse(w, E_LOCAL_NO_MEMORY);
    }
    if (records->chain != NULL) {
        chain_append_chain(w->chain, records->chain);
    } else if (!chain_append_memory(w->chain, records->bytes, NULL)) {
        return encode_refuse(w, E_LOCAL_NO_MEMORY);
    }
    return w->next;
}

uint8_t *encode_struct_pointer(struct writer *w, uint8_t *p, const struct layout *layout,
                               const void *child)
{
    p = room(w, p, FIXED_SIZE_MAX);
    if (UNLIKELY(p == NULL)) {
        return NULL;
    }
    *p = child == NULL ? 0xff : 1;
    return child == NULL ? p + 1 : encode_struct(w, p + 1, layout, child);
}

uint8_t *encode_elements(struct writer *w, uint8_t *p, const struct step *step,
                         const uint8_t *items, size_t item_size, uint32_t count)
{
    for (; count > 0 && p != NULL; count--) {
        p = encode_value(w, p, step->element, false, step->child, items);
        items += item_size;
    }
    return p;
}

uint8_t *encode_array(struct writer *w, uint8_t *p, const struct step *step,
                      struct array_view array)
{
    return encode_array_inline(w, p, step, array);
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
        return encode_refuse(w, E_LOCAL_LIMIT);
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

uint8_t *encode_tagged_fields(struct writer *w, uint8_t *p, const struct layout *layout,
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
bool encode_absent_are_default(const struct layout *layout, const uint8_t *message)
{
    for (uint16_t i = 0; i < layout->absent_count; i++) {
        const struct field *field = &layout->type->fields[layout->absent[i]];
        if (!field_is_default(layout->type, field, message, true)) {
            return false;
        }
    }
    return true;
}

uint8_t *encode_struct_by_steps(struct writer *w, uint8_t *p, const struct layout *layout,
                                const uint8_t *message)
{
    if (layout->absent_count > 0 && !encode_absent_are_default(layout, message)) {
        return encode_refuse(w, E_LOCAL_UNSUPPORTED);
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
    return encode_struct_end(w, p);
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
