/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

enum {
    BLOCK_SIZE_FIRST = 2 * 1024, /* a small request with its strings fits in one block */
    BLOCK_SIZE_MAX = 64 * 1024,
    BLOCK_KEEP_SIZE_MAX = 16 * 1024, /* arena_clear: an idle connection holds no more */
};

/* Header of each block; the bytes follow. 16 bytes, so that they are aligned as malloc aligns. */
struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes, with this header */
};

static_assert(sizeof(struct arena_block) % _Alignof(max_align_t) == 0, "payload must be aligned");

static uint8_t *block_begin(struct arena_block *block)
{
    return (uint8_t *)(block + 1);
}

static uint8_t *block_end(struct arena_block *block)
{
    return (uint8_t *)block + block->size;
}

void arena_budget_init(struct arena_budget *budget, size_t size_max)
{
    atomic_init(&budget->used, 0);
    budget->size_max = size_max;
}

static bool budget_take(struct arena_budget *budget, size_t size)
{
    if (budget == NULL) {
        return true;
    }
    const size_t before = atomic_fetch_add_explicit(&budget->used, size, memory_order_relaxed);
    if (before <= budget->size_max && size <= budget->size_max - before) {
        return true;
    }
    (void)atomic_fetch_sub_explicit(&budget->used, size, memory_order_relaxed);
    return false;
}

static void budget_give(struct arena_budget *budget, size_t size)
{
    if (budget != NULL && size > 0) {
        (void)atomic_fetch_sub_explicit(&budget->used, size, memory_order_relaxed);
    }
}

void arena_init(struct arena *arena, size_t size_max)
{
    arena_init_in_budget(arena, size_max, NULL);
}

void arena_init_in_budget(struct arena *arena, size_t size_max, struct arena_budget *budget)
{
    *arena = (struct arena){.size_max = size_max, .budget = budget};
}

/* Returns how many bytes they were. */
static size_t free_blocks(struct arena_block *block)
{
    size_t size = 0;
    while (block != NULL) {
        struct arena_block *next = block->next;
        size += block->size;
        free(block);
        block = next;
    }
    return size;
}

void arena_done(struct arena *arena)
{
    budget_give(arena->budget, free_blocks(arena->block));
    arena_init_in_budget(arena, arena->size_max, arena->budget);
}

/* Unlinks and returns the largest block that is worth keeping, or NULL. */
static struct arena_block *take_block_to_keep(struct arena *arena)
{
    struct arena_block **best = NULL;
    for (struct arena_block **at = &arena->block; *at != NULL; at = &(*at)->next) {
        const bool fits = (*at)->size <= BLOCK_KEEP_SIZE_MAX;
        if (fits && (best == NULL || (*at)->size > (*best)->size)) {
            best = at;
        }
    }
    if (best == NULL) {
        return NULL;
    }
    struct arena_block *block = *best;
    *best = block->next;
    block->next = NULL;
    return block;
}

void arena_clear(struct arena *arena)
{
    struct arena_block *only = arena->block;
    if (only != NULL && only->next == NULL && only->size <= BLOCK_KEEP_SIZE_MAX) {
        arena->next = block_begin(only); /* nearly every request */
        arena->end = block_end(only);
        return;
    }
    struct arena_block *keep = take_block_to_keep(arena);
    arena_done(arena);
    if (keep != NULL) {
        arena->block = keep;
        arena->size = keep->size;
        arena->next = block_begin(keep);
        arena->end = block_end(keep);
    }
}

/* Takes a block of size bytes, header included; not linked yet. */
static struct arena_block *block_new(struct arena *arena, size_t size)
{
    if (size > arena->size_max - arena->size || !budget_take(arena->budget, size)) {
        return NULL;
    }
    struct arena_block *block = malloc(size);
    if (block == NULL) {
        budget_give(arena->budget, size);
        return NULL;
    }
    block->size = size;
    arena->size += size;
    return block;
}

/* How large the next block for small pieces would be: twice the one in use, or what the cap leaves.
 */
static size_t block_size_wanted(const struct arena *arena)
{
    const size_t room = arena->size_max - arena->size;
    size_t size = BLOCK_SIZE_FIRST;
    if (arena->next != NULL) {
        size = 2 * arena->block->size;
    }
    size = size < BLOCK_SIZE_MAX ? size : BLOCK_SIZE_MAX;
    return size < room ? size : room;
}

/* A large piece gets a block of its own, behind the block in use, which stays in use. */
static void link_own_block(struct arena *arena, struct arena_block *block)
{
    if (arena->next == NULL) {
        block->next = arena->block;
        arena->block = block;
    } else {
        block->next = arena->block->next;
        arena->block->next = block;
    }
}

void *arena_alloc_block(struct arena *arena, size_t size, size_t alignment)
{
    check(alignment != 0 && (alignment & (alignment - 1)) == 0);
    const size_t padding = alignment > _Alignof(max_align_t) ? alignment - 1 : 0;
    size_t needed;
    if (!size_add(size, sizeof(struct arena_block) + padding, &needed)) {
        return NULL;
    }
    const size_t wanted = block_size_wanted(arena);
    const bool own = needed > wanted;
    struct arena_block *block = block_new(arena, own ? needed : wanted);
    if (block == NULL) {
        return NULL;
    }
    const uintptr_t begin = (uintptr_t)block_begin(block);
    uint8_t *at = block_begin(block) + (-begin & (alignment - 1));
    if (own) {
        link_own_block(arena, block);
    } else {
        block->next = arena->block;
        arena->block = block;
        arena->next = at + size;
        arena->end = block_end(block);
    }
    check(at + size <= block_end(block));
    return at;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size, size_t alignment)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    void *memory = arena_alloc(arena, total, alignment);
    return memory == NULL ? NULL : memset(memory, 0, total);
}

struct slice arena_copy(struct arena *arena, struct slice bytes)
{
    size_t size;
    if (slice_is_null(bytes) || !size_add(bytes.size, 1, &size)) {
        return SLICE_NULL;
    }
    uint8_t *copy = arena_alloc(arena, size, 1);
    if (copy == NULL) {
        return SLICE_NULL;
    }
    memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = '\0';
    return slice_of(copy, bytes.size);
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
    va_list measure;
    va_copy(measure, args);
    const int length = vsnprintf(NULL, 0, format, measure);
    va_end(measure);
    if (length < 0) {
        return NULL;
    }
    const size_t size = (size_t)length + 1;
    char *text = arena_alloc(arena, size, 1);
    if (text != NULL) {
        const int written = vsnprintf(text, size, format, args);
        check(written == length);
    }
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}
