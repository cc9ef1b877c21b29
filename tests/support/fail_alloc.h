/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Makes the n-th allocation fail, so that a test can try n = 1, 2, ... until none is hit:
 *
 *     size_t n = 0;
 *     do {
 *         fail_alloc_at(++n);
 *         run what is tested: it must report E_LOCAL_NO_MEMORY, leak nothing, leave things intact
 *     } while (fail_alloc_stop());
 *
 * Works in executables that are linked with fail_alloc_dep, for calls of malloc, calloc, realloc
 * and aligned_alloc that the linker sees: ours, not those inside shared libraries.
 * Thread: counts the allocations of the calling thread only.
 */

#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now on (n >= 1) fails, once. */
void fail_alloc_at(size_t n);
/* No more failures. True: one was injected since fail_alloc_at. */
bool fail_alloc_stop(void);
