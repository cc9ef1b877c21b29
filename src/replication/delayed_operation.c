/* SPDX-License-Identifier: Apache-2.0 */
#include "replication/delayed_operation.h"

#include "base/check.h"

static void run_try(struct deferred *deferred)
{
    struct delayed_operation *operation =
        container_of(deferred, struct delayed_operation, deferred);
    check(operation->is_waiting);
    /* After true the operation may be gone, so it is not touched again. */
    (void)operation->try_complete(operation);
}

static void on_expire(struct timer *timer)
{
    struct delayed_operation *operation = container_of(timer, struct delayed_operation, timer);
    delayed_operation_cancel(operation);
    operation->on_deadline(operation);
}

void delayed_operation_init(struct delayed_operation *operation, struct loop *loop,
                            bool (*try_complete)(struct delayed_operation *operation),
                            void (*on_deadline)(struct delayed_operation *operation))
{
    operation->loop = loop;
    operation->try_complete = try_complete;
    operation->on_deadline = on_deadline;
    operation->is_waiting = false;
    timer_init(&operation->timer, on_expire);
    deferred_init(&operation->deferred, run_try);
}

void delayed_operation_wait(struct delayed_operation *operation, int64_t deadline_ns)
{
    check(!operation->is_waiting);
    operation->is_waiting = true;
    if (deadline_ns != INT64_MAX) {
        timer_start(operation->loop, &operation->timer, deadline_ns);
    }
}

void delayed_operation_wake(struct delayed_operation *operation)
{
    if (operation->is_waiting) {
        loop_defer(operation->loop, &operation->deferred, PHASE_COMPLETE);
    }
}

void delayed_operation_cancel(struct delayed_operation *operation)
{
    if (operation->is_waiting) {
        operation->is_waiting = false;
        timer_stop(operation->loop, &operation->timer);
        deferred_cancel(&operation->deferred);
    }
}
