/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A refcounted byte buffer of fixed capacity, page-aligned: receive buffers and response bodies.
 * Alignment matters: user copies of the kernel to page + 1..31 bytes are 3-20 times slower on
 * Zen 3 (performance notes in docs/performance.md), which is where malloc puts large blocks.
 */

#include "base/shared.h"
#include "base/slice.h"

struct buf_pool;

struct buf {
    struct shared shared;
    uint8_t *data;         /* page-aligned when capacity >= 4096 */
    size_t size;           /* bytes in use, from data */
    size_t capacity;       /* bytes */
    struct buf_pool *pool; /* where it goes back to; NULL: freed */
};

/* NULL without memory. size = 0. */
NODISCARD struct buf *buf_new(size_t capacity);

static inline struct buf *buf_ref(struct buf *buf)
{
    if (buf != NULL) {
        shared_ref(&buf->shared);
    }
    return buf;
}

static inline struct buf *buf_unref(struct buf *buf)
{
    if (buf != NULL) {
        shared_unref(&buf->shared);
    }
    return NULL;
}

/*
 * Recycles buffers of one capacity. Thread: buffers may be returned on any thread (a mutex that
 * is contended only then), taken on any. The pool must outlive its buffers: buf_pool_free waits
 * for none and checks that all are home.
 */
NODISCARD struct buf_pool *buf_pool_new(size_t buf_capacity, size_t idle_count_max);
void buf_pool_free(struct buf_pool *pool);
/* NULL without memory. size = 0. */
NODISCARD struct buf *buf_pool_take(struct buf_pool *pool);
