/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/broker_loops.h"

#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "broker/broker_private.h"

/* --- life --- */

enum error broker_loops_new(struct broker *broker, struct clock *clock, int64_t wanted_count)
{
    const unsigned count = wanted_count > 0 ? (unsigned)wanted_count : loop_set_default_count();
    struct loop **loops = calloc(count, sizeof(struct loop *));
    broker->loops = calloc(count, sizeof(*broker->loops));
    broker->loop_set.loops = loops;
    if (loops == NULL || broker->loops == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (unsigned i = 0; i < count; i++) {
        const enum error error = loop_new(clock, i, &loops[i]);
        if (error != E_OK) {
            return error;
        }
        broker->loops[i].broker = broker;
        broker->loops[i].loop = loops[i];
        broker->loop_set.count = i + 1;
    }
    broker->loop = loops[0];
    return E_OK;
}

void broker_loops_free(struct broker *broker)
{
    for (unsigned i = 0; i < broker->loop_set.count; i++) {
        loop_free(broker->loops[i].loop);
        inflate_scratch_done(&broker->loops[i].scratch);
        free(broker->loops[i].listeners);
    }
    free(broker->loops);
    free((void *)(uintptr_t)broker->loop_set.loops);
}

/* --- threads --- */

static void *thread_main(void *argument)
{
    const struct broker_loop *here = argument;
    loop_run(here->loop);
    return NULL;
}

/* Signals are for the thread that called broker_run. */
static bool start_thread(struct broker_loop *here)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    here->has_thread = pthread_create(&here->thread, NULL, thread_main, here) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (here->has_thread) {
        (void)pthread_setname_np(here->thread, "loop");
    }
    return here->has_thread;
}

static bool start_threads(struct broker *broker)
{
    for (unsigned i = 1; i < broker->loop_set.count; i++) {
        if (!start_thread(&broker->loops[i])) {
            return false;
        }
    }
    return true;
}

static void join_threads(struct broker *broker)
{
    for (unsigned i = 1; i < broker->loop_set.count; i++) {
        if (broker->loops[i].has_thread) {
            loop_stop(broker->loops[i].loop);
        }
    }
    for (unsigned i = 1; i < broker->loop_set.count; i++) {
        if (broker->loops[i].has_thread) {
            (void)pthread_join(broker->loops[i].thread, NULL);
            broker->loops[i].has_thread = false;
        }
    }
}

void broker_loops_run(struct broker *broker)
{
    if (start_threads(broker)) {
        loop_run(broker->loop);
    } else {
        diag_error(broker->diag, "stopped: no threads for the event loops; lower event.loops");
    }
    join_threads(broker);
}

void broker_loops_turn(struct broker *broker, int timeout_ms)
{
    if (broker->loop_set.count == 1) {
        loop_turn(broker->loop, timeout_ms);
    } else {
        loop_set_drain(&broker->loop_set, timeout_ms);
    }
}
