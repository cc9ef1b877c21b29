/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A byte string in pieces, each either memory or a range of an open file: what an encoder
 * appends to and what net/ sends with writev and sendfile. A fetched batch is never copied.
 *
 * Piece structs live in the chain's arena (of the request); the bytes live in whatever `owner`
 * keeps alive (a buf, a file), or in the same arena when owner is NULL.
 */

#include "base/arena.h"
#include "base/shared.h"
#include "base/slice.h"

enum piece_kind {
    PIECE_MEMORY,
    PIECE_FILE,
};

struct piece {
    struct piece *next;
    struct shared *owner; /* a reference, dropped by chain_clear or chain_consume; may be NULL */
    const uint8_t *data;  /* PIECE_MEMORY */
    int64_t position;     /* PIECE_FILE: bytes from the start of the file */
    size_t size;          /* bytes, never 0 */
    int fd;               /* PIECE_FILE: descriptor that owner keeps open */
    enum piece_kind kind;
};

struct chain {
    struct arena *arena;
    struct piece *head;
    struct piece *tail;
    size_t size; /* bytes in all pieces */
};

void chain_init(struct chain *chain, struct arena *arena);
/* Drops all pieces and their references. */
void chain_clear(struct chain *chain);

/* Both take a new reference to owner on success and do nothing for size 0.
 * Errors: false: no memory in the arena; the chain is unchanged. */
NODISCARD bool chain_append_memory(struct chain *chain, struct slice bytes, struct shared *owner);
NODISCARD bool chain_append_file(struct chain *chain, int fd, int64_t position, size_t size,
                                 struct shared *owner);
/* Moves all pieces of `from` (same or longer-lived arena) to the end of `to`. */
void chain_append_chain(struct chain *to, struct chain *from);
/* Drops size bytes from the front: they have been sent. size <= chain->size. */
void chain_consume(struct chain *chain, size_t size);
