/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fail_alloc.h"

#include <errno.h>

/* Test code only: the linker's --wrap leaves no other place for the count. */
static _Thread_local size_t left; /* allocations until the one that fails; 0: none will */
static _Thread_local bool is_hit;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void fail_alloc_at(size_t n)
{
    left = n;
    is_hit = false;
}

bool fail_alloc_stop(void)
{
    left = 0;
    return is_hit;
}

static bool fails_now(void)
{
    if (left == 0 || --left > 0) {
        return false;
    }
    is_hit = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}
