/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A bump allocator whose memory is freed all at once: one per request, per segment scan, per
 * config load. No single frees. Blocks are malloc'ed and grow by doubling up to 64 KiB; larger
 * requests get a block of their own.
 */

#include <stdarg.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/slice.h"

struct arena_block;

/* What several arenas, of several threads, may take from malloc together. */
struct arena_budget {
    atomic_size_t used; /* bytes */
    size_t size_max;    /* an allocation beyond it fails */
};

void arena_budget_init(struct arena_budget *budget, size_t size_max);

struct arena {
    uint8_t *next;               /* free bytes begin here */
    uint8_t *end;                /* and end here */
    struct arena_block *block;   /* newest first */
    size_t size;                 /* bytes taken from malloc */
    size_t size_max;             /* a request beyond it fails */
    struct arena_budget *budget; /* borrowed; NULL: only size_max counts */
};

/* No memory is taken before the first allocation. size_max bytes is the cap of the arena. */
void arena_init(struct arena *arena, size_t size_max);
/* The same, within a budget that it shares with others. */
void arena_init_in_budget(struct arena *arena, size_t size_max, struct arena_budget *budget);
/* Frees all blocks. Accepts an arena that is all zero. */
void arena_done(struct arena *arena);
/* Everything allocated is gone; keeps the largest block of at most 16 KiB for reuse. */
void arena_clear(struct arena *arena);

/* Slow path of arena_alloc. */
void *arena_alloc_block(struct arena *arena, size_t size, size_t alignment);

/* Uninitialised memory, or NULL: the cap is reached or the process has no memory. size may be 0. */
NODISCARD static inline void *arena_alloc(struct arena *arena, size_t size, size_t alignment)
{
    const size_t padding = -(uintptr_t)arena->next & (alignment - 1);
    const size_t room = (size_t)(arena->end - arena->next); /* 0 before the first block */
    if (LIKELY(padding <= room && size <= room - padding && arena->next != NULL)) {
        uint8_t *at = arena->next + padding;
        arena->next = at + size;
        return at;
    }
    return arena_alloc_block(arena, size, alignment);
}

/* Zeroed array of count elements; NULL on overflow of count * size too. */
NODISCARD void *arena_calloc(struct arena *arena, size_t count, size_t size, size_t alignment);

/* One element, of a size that the compiler knows. */
NODISCARD static inline void *arena_alloc_zeroed(struct arena *arena, size_t size, size_t alignment)
{
    void *memory = arena_alloc(arena, size, alignment);
    return memory == NULL ? NULL : memset(memory, 0, size);
}

#define ARENA_NEW(arena, type) ((type *)arena_alloc_zeroed((arena), sizeof(type), _Alignof(type)))
#define ARENA_NEW_ARRAY(arena, type, count)                                                        \
    ((type *)arena_calloc((arena), (count), sizeof(type), _Alignof(type)))

/* A copy, NUL-terminated (the NUL is not counted). The null slice gives the null slice; out of
 * memory gives the null slice too: compare with slice_is_null when the source is not null. */
NODISCARD struct slice arena_copy(struct arena *arena, struct slice bytes);
/* printf into the arena; NULL when there is no memory. */
NODISCARD char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
NODISCARD char *arena_vprintf(struct arena *arena, const char *format, va_list args)
    PRINTF_LIKE(2, 0);
