/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The allocator behind the names that count_allocations.c takes over; glibc exports these. */

#include <stddef.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t members, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
