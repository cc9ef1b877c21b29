/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/message.h"

#include "protocol/message_list.h"

void message_reset(const struct struct_schema *schema, void *ret_message)
{
    memcpy(ret_message, schema->defaults, schema->size);
}

void *message_new(struct arena *arena, const struct struct_schema *schema, size_t count)
{
    size_t size;
    if (count == 0) {
        return ARRAY_EMPTY;
    }
    if (__builtin_mul_overflow(count, (size_t)schema->size, &size)) {
        return NULL;
    }
    uint8_t *items = arena_alloc(arena, size, _Alignof(max_align_t));
    for (size_t i = 0; items != NULL && i < count; i++) {
        message_reset(schema, items + i * schema->size);
    }
    return items;
}

const struct message_schema *message_find(const char *name)
{
    for (size_t i = 0; i < message_count; i++) {
        if (strcmp(message_list[i]->name, name) == 0) {
            return message_list[i];
        }
    }
    return NULL;
}
