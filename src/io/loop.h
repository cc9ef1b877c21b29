/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The event loop: one thread, one epoll, timers, a mailbox, and hooks at the end of each turn.
 *
 * One turn: 1. epoll_wait (as long as the next timer allows; not at all while there is work) and
 *              read the time once; 2. descriptor events; 3. the mailbox; 4. expired timers; 5. turn
 * hooks by phase: PHASE_WRITE (write the logs: one pwritev per partition), PHASE_COMPLETE
 * (operations that now are complete fill their responses), PHASE_SEND (one send per connection).
 * Hooks are one-shot: armed by loop_defer, so an idle turn costs nothing; a hook armed from an
 * earlier or the same phase still runs in this turn, one for an earlier phase makes the next turn
 * start without waiting. Messages posted and timers started by a turn's own steps 3 and 4 wait for
 * the next turn, which does not wait either when they are due.
 *
 * Thread: everything except loop_post and loop_stop on the loop's own thread, checked.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "io/clock.h"
#include "io/mailbox.h"
#include "io/timer.h"

struct loop;

/* clock is borrowed. The loop belongs to the calling thread until another one runs it.
 * Errors: E_LOCAL_NO_MEMORY, E_LOCAL_TOO_MANY_FILES. */
NODISCARD enum error loop_new(struct clock *clock, unsigned index, struct loop **ret_loop);
/* NULL is fine. What is still registered is forgotten, not called. */
void loop_free(struct loop *loop);
/* Runs on the calling thread, which becomes the loop's, until loop_stop. */
void loop_run(struct loop *loop);
/* One turn on the calling thread, which becomes the loop's, waiting at most timeout_ms (-1: for
 * ever) for something to happen (tests, start-up). */
void loop_turn(struct loop *loop, int timeout_ms);
/* Any thread, and a signal handler: loop_run returns after the turn it is in. */
void loop_stop(struct loop *loop);
bool loop_is_current(const struct loop *loop);
/* 0 … loops − 1. */
unsigned loop_index(const struct loop *loop);
/* The time of this turn: monotonic nanoseconds, wall-clock milliseconds (read lazily once per
 * turn). */
int64_t loop_now_ns(const struct loop *loop);
int64_t loop_now_ms(struct loop *loop);

/* --- descriptors --- */

enum watch_events { /* epoll's own bits */
                    WATCH_READ = 0x01,
                    WATCH_WRITE = 0x04,
                    WATCH_HANGUP = 0x10, /* reported always */
};

struct watch {
    int fd;
    unsigned events; /* wanted */
    void (*on_event)(struct watch *watch, unsigned events);
};

/* Level-triggered. The watch stays where it is until watch_remove. */
NODISCARD enum error watch_add(struct loop *loop, struct watch *watch);
NODISCARD enum error watch_change(struct loop *loop, struct watch *watch, unsigned events);
/* No on_event after it, even for events already gathered in this turn. */
void watch_remove(struct loop *loop, struct watch *watch);

/* --- timers (io/timer.h): O(1), no memory --- */

/* Re-arms an armed one. Fires once, never early, late by little more than 1 ms plus the turn;
 * timers that are due in the same turn fire in no particular order. */
void timer_start(struct loop *loop, struct timer *timer, int64_t deadline_ns);
/* Fine when not armed. */
void timer_stop(struct loop *loop, struct timer *timer);

/* --- end-of-turn hooks --- */

enum loop_phase {
    PHASE_WRITE,
    PHASE_COMPLETE,
    PHASE_SEND,
    PHASE_COUNT,
};

struct deferred {
    struct list node; /* the loop's; list_init'ed by deferred_init */
    void (*run)(struct deferred *deferred);
};

void deferred_init(struct deferred *deferred, void (*run)(struct deferred *deferred));
/* Runs once at the end of this turn; nothing when it is already armed. */
void loop_defer(struct loop *loop, struct deferred *deferred, enum loop_phase phase);
void deferred_cancel(struct deferred *deferred);

/* --- messages from other threads --- */

/* Any thread. Lock-free multi-producer queue; wakes the loop with one eventfd write only if it
 * sleeps. In order per sender. */
void loop_post(struct loop *loop, struct message *message);
/* Messages wait to be received. Any thread; certain only when nobody else posts. */
bool loop_has_messages(struct loop *loop);
