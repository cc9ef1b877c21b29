/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the codec's own files share. */

#include "protocol/codec.h"

/* How the codec sees every array member. */
struct array_view {
    void *items;
    uint32_t count;
};

static inline struct array_view array_at(const void *member)
{
    struct array_view array;
    memcpy(&array, member, sizeof(array));
    return array;
}

static inline struct slice slice_at(const void *member)
{
    struct slice slice;
    memcpy(&slice, member, sizeof(slice));
    return slice;
}

/* Bytes in memory of an element of an array. */
static inline size_t element_size(const struct step *step)
{
    static const uint8_t sizes[] = {
        [STEP_BOOL] = sizeof(bool),
        [STEP_INT8] = 1,
        [STEP_INT16] = 2,
        [STEP_INT32] = 4,
        [STEP_INT64] = 8,
        [STEP_UUID] = sizeof(struct uuid),
        [STEP_STRING] = sizeof(struct slice),
        [STEP_COMPACT_STRING] = sizeof(struct slice),
        [STEP_BYTES] = sizeof(struct slice),
        [STEP_COMPACT_BYTES] = sizeof(struct slice),
    };
    if (step->element == STEP_STRUCT) {
        return step->child->type->size;
    }
    check(step->element <= STEP_COMPACT_BYTES);
    return sizes[step->element];
}

/* Is the member as in a struct after message_reset? null_is_empty: for strings, bytes and arrays,
 * null and empty are the same. */
bool field_is_default(const struct struct_schema *type, const struct field *field,
                      const uint8_t *message, bool null_is_empty);

/*
 * Where encoded bytes go: a block of the arena that grows by copying while it is small and is cut
 * into pieces of the chain when it is large or when records follow.
 *
 *     [ ...pieces in the chain... ][ begin  written  next  free  end ]
 *
 * Invariants: begin <= next <= end. While pinned > 0 (the size of a tagged field is to be patched)
 * the block is not cut.
 */
struct writer {
    uint8_t *begin;
    uint8_t *next;
    uint8_t *end;
    uint8_t *start; /* the first byte of all, for patching the frame's size */
    struct arena *arena;
    struct chain *chain; /* NULL: all bytes stay in one block */
    unsigned pinned;
    enum error error; /* why nothing more is written */
};

void writer_init(struct writer *writer, struct arena *arena, struct chain *chain);
/* Makes room for size bytes. false: no memory. */
NODISCARD bool writer_grow(struct writer *writer, size_t size);
/* Moves what is written into the chain. false: no memory. */
NODISCARD bool writer_flush(struct writer *writer);

NODISCARD static inline bool writer_room(struct writer *writer, size_t size)
{
    return LIKELY((size_t)(writer->end - writer->next) >= size) || writer_grow(writer, size);
}

NODISCARD enum error writer_put_message(struct writer *writer, const struct message_schema *schema,
                                        int16_t version, const void *message);
