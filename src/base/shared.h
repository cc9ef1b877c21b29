/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A reference count for objects that several owners share: receive buffers, open files, images.
 * The count is atomic: the last reference may be dropped on any thread; destroy runs there.
 * Embed it as a member named `shared`.
 */

#include <stdatomic.h>
#include <stddef.h>

#include "base/check.h"

struct shared {
    atomic_int ref_count;
    void (*destroy)(struct shared *shared);
};

static inline void shared_init(struct shared *shared, void (*destroy)(struct shared *))
{
    atomic_init(&shared->ref_count, 1);
    shared->destroy = destroy;
}

/* NULL is fine. */
static inline struct shared *shared_ref(struct shared *shared)
{
    if (shared != NULL) {
        const int before = atomic_fetch_add_explicit(&shared->ref_count, 1, memory_order_relaxed);
        check(before > 0);
    }
    return shared;
}

/* NULL is fine; destroys with the last reference. Returns NULL: p = shared_unref(p). */
static inline void *shared_unref(struct shared *shared)
{
    if (shared != NULL) {
        const int before = atomic_fetch_sub_explicit(&shared->ref_count, 1, memory_order_acq_rel);
        check(before > 0);
        if (before == 1) {
            shared->destroy(shared);
        }
    }
    return NULL;
}
