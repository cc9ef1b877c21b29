/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Timers in a hierarchical wheel: start and stop are O(1) and take no memory.
 *
 *   tick     2^17 ns (0.13 ms) of monotonic time
 *   level 0  slots of 1 tick     level 1  slots of 64 ticks     level 2  slots of 4096 ticks …
 *
 * Invariants
 *  T1 A timer lies in the level of the highest 6-bit digit in which its tick differs from the
 *     wheel's; its slot is that digit. So every used slot of a level is greater than the wheel's
 * own digit there, and the lowest slot of the lowest used level comes first. T2 A timer's tick is
 * its deadline rounded up, so it never fires early.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum {
    TIMER_TICK_SHIFT = 17,
    TIMER_LEVEL_SHIFT = 6,
    TIMER_SLOT_COUNT = 1 << TIMER_LEVEL_SHIFT,
    TIMER_LEVEL_COUNT = 8, /* 64^8 ticks of 2^17 ns: 2^65 ns, more than an int64_t holds */
};

struct timer {
    struct list node;    /* the wheel's */
    int64_t deadline_ns; /* monotonic */
    uint32_t slot;       /* the wheel's */
    bool is_armed;
    void (*on_expire)(struct timer *timer);
};

struct timer_wheel {
    uint64_t tick;   /* everything up to and including it has been taken out of the slots */
    int64_t next_ns; /* as timer_wheel_next_ns */
    struct list expired;
    uint32_t used_levels;             /* one bit for each level that has a used slot */
    uint64_t used[TIMER_LEVEL_COUNT]; /* one bit for each slot that is not empty */
    struct list slots[TIMER_LEVEL_COUNT][TIMER_SLOT_COUNT];
};

void timer_init(struct timer *timer, void (*on_expire)(struct timer *timer));

void timer_wheel_init(struct timer_wheel *wheel, int64_t now_ns);
/* timer is not armed. */
void timer_wheel_start(struct timer_wheel *wheel, struct timer *timer, int64_t deadline_ns);
void timer_wheel_stop(struct timer_wheel *wheel, struct timer *timer);
/* Calls on_expire of all timers whose deadline has come, in no particular order. What they start
 * fires at the next call at the earliest. */
void timer_wheel_expire(struct timer_wheel *wheel, int64_t now_ns);
/* When timer_wheel_expire has something to do next: monotonic ns, INT64_MAX for never, now or
 * earlier for at once. May be before the first deadline (a slot of a higher level opens), never
 * after. */
static inline int64_t timer_wheel_next_ns(const struct timer_wheel *wheel)
{
    return wheel->next_ns;
}
