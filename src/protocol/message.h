/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the generated message structs (protocol/messages/NAME.h) are made of.
 *
 * One struct holds all versions of a message; a member which the version at hand lacks has its
 * default. Strings, bytes and records are slices into the decoded bytes. An array is a pair
 * `{T *items; uint32_t count;}`.
 *
 * Null and empty differ, as in Kafka: null is a NULL data or items pointer, empty is any other
 * pointer with size or count 0. Where the version has no null for a field, encoding takes null
 * for empty. A struct that can be null is a pointer; where its default is not null, the default may
 * point at a constant: replace such a pointer, do not write through it.
 *
 * Ownership: items and everything else that decoding or MESSAGE_NEW makes live in the arena.
 */

#include "base/arena.h"
#include "base/chain.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "protocol/schema.h"

/*
 * Record batches. Decoded: always `bytes`. To be encoded: `chain` if not NULL (file ranges for
 * example; the encoder moves its pieces out and leaves it empty), else `bytes`, which must live
 * until the encoded chain has been sent (larger ones become a piece, they are not copied).
 */
struct records {
    struct slice bytes;
    struct chain *chain;
};

/* The items pointer of an empty array that is not null. Never dereferenced. */
#define ARRAY_EMPTY          ((void *)(uintptr_t)16)
#define ARRAY_IS_NULL(array) ((array).items == NULL)

/*
 * One struct, or an array of count structs, with every member at its default; `type` is the name
 * of a generated struct without "struct". count 0 gives ARRAY_EMPTY. NULL: no memory.
 *
 *     struct produce_response *res = MESSAGE_NEW(arena, produce_response);
 */
#define MESSAGE_NEW(arena, type)                                                                   \
    ((struct type *)message_new_one((arena), sizeof(struct type), type##_fields.defaults))
#define MESSAGE_NEW_ARRAY(arena, type, count)                                                      \
    ((struct type *)message_new_array((arena), (count), sizeof(struct type),                       \
                                      type##_fields.defaults))

NODISCARD void *message_new(struct arena *arena, const struct struct_schema *schema, size_t count);
/* Of a size that the compiler knows, so that the copy is a few moves. */
NODISCARD static inline void *message_new_one(struct arena *arena, size_t size,
                                              const void *defaults)
{
    void *message = arena_alloc(arena, size, _Alignof(max_align_t));
    return message == NULL ? NULL : memcpy(message, defaults, size);
}
NODISCARD static inline void *message_new_array(struct arena *arena, size_t count, size_t size,
                                                const void *defaults)
{
    size_t total;
    if (count == 0) {
        return ARRAY_EMPTY;
    }
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    uint8_t *items = (uint8_t *)arena_alloc(arena, total, _Alignof(max_align_t));
    for (size_t at = 0; items != NULL && at < total; at += size) {
        memcpy(items + at, defaults, size);
    }
    return items;
}

/* Every member at its default; what it pointed to is forgotten. */
void message_reset(const struct struct_schema *schema, void *ret_message);
