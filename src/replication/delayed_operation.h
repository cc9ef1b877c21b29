/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one way of waiting: acks=all, long-poll fetch, join-group. An operation waits for a condition
 * and a deadline. Whoever changes what it may be waiting for wakes it; it is tried once at the end
 * of that turn, however often it was woken, and completes then or goes on waiting.
 *
 *   wait ──wake──> tried at PHASE_COMPLETE ──true──> finished
 *     │                    └──false──> wait
 *     └──deadline──> on_deadline, finished
 *
 * Thread: the loop given to delayed_operation_init.
 */

#include "io/loop.h"

struct delayed_operation {
    struct timer timer;
    struct deferred deferred;
    struct loop *loop;
    /*
     * If the condition holds: delayed_operation_cancel, complete, return true (its memory may be
     * gone then). Otherwise false: it goes on waiting.
     */
    bool (*try_complete)(struct delayed_operation *operation);
    /* Complete with what there is; finished as well. */
    void (*on_deadline)(struct delayed_operation *operation);
    bool is_waiting;
};

void delayed_operation_init(struct delayed_operation *operation, struct loop *loop,
                            bool (*try_complete)(struct delayed_operation *operation),
                            void (*on_deadline)(struct delayed_operation *operation));
/* Starts to wait. deadline_ns: monotonic; INT64_MAX: none. */
void delayed_operation_wait(struct delayed_operation *operation, int64_t deadline_ns);
/* Nothing when it does not wait. */
void delayed_operation_wake(struct delayed_operation *operation);
/* Ends the waiting without calling back. Fine when it does not wait. */
void delayed_operation_cancel(struct delayed_operation *operation);
