/* SPDX-License-Identifier: Apache-2.0 */
#include "base/chain.h"

void chain_init(struct chain *chain, struct arena *arena)
{
    *chain = (struct chain){.arena = arena};
}

static struct piece *drop_head(struct chain *chain)
{
    struct piece *piece = chain->head;
    chain->head = piece->next;
    if (chain->head == NULL) {
        chain->tail = NULL;
    }
    chain->size -= piece->size;
    (void)shared_unref(piece->owner);
    return chain->head;
}

void chain_clear(struct chain *chain)
{
    while (chain->head != NULL) {
        (void)drop_head(chain);
    }
    check(chain->size == 0);
}

static bool append(struct chain *chain, struct piece piece)
{
    struct piece *copy = ARENA_NEW(chain->arena, struct piece);
    if (copy == NULL) {
        return false;
    }
    *copy = piece;
    (void)shared_ref(copy->owner);
    if (chain->tail == NULL) {
        chain->head = copy;
    } else {
        chain->tail->next = copy;
    }
    chain->tail = copy;
    chain->size += copy->size;
    return true;
}

bool chain_append_memory(struct chain *chain, struct slice bytes, struct shared *owner)
{
    if (bytes.size == 0) {
        return true;
    }
    return append(chain, (struct piece){.owner = owner,
                                        .data = bytes.data,
                                        .size = bytes.size,
                                        .fd = -1,
                                        .kind = PIECE_MEMORY});
}

bool chain_append_file(struct chain *chain, int fd, int64_t position, size_t size,
                       struct shared *owner)
{
    check(fd >= 0);
    check(position >= 0);
    if (size == 0) {
        return true;
    }
    return append(
        chain,
        (struct piece){
            .owner = owner, .position = position, .size = size, .fd = fd, .kind = PIECE_FILE});
}

void chain_append_chain(struct chain *to, struct chain *from)
{
    check(to != from);
    if (from->head == NULL) {
        return;
    }
    if (to->tail == NULL) {
        to->head = from->head;
    } else {
        to->tail->next = from->head;
    }
    to->tail = from->tail;
    to->size += from->size;
    chain_init(from, from->arena);
}

void chain_consume(struct chain *chain, size_t size)
{
    check(size <= chain->size);
    struct piece *piece = chain->head;
    while (size > 0 && size >= piece->size) {
        size -= piece->size;
        piece = drop_head(chain);
    }
    if (size == 0) {
        return;
    }
    if (piece->kind == PIECE_MEMORY) {
        piece->data += size;
    } else {
        piece->position += (int64_t)size;
    }
    piece->size -= size;
    chain->size -= size;
}
