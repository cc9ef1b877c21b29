/* SPDX-License-Identifier: Apache-2.0 */
#include "io/timer.h"

#include "base/check.h"

enum {
    DIGIT_MASK = TIMER_SLOT_COUNT - 1,
    SLOT_EXPIRED = TIMER_LEVEL_COUNT * TIMER_SLOT_COUNT,
};

void timer_init(struct timer *timer, void (*on_expire)(struct timer *timer))
{
    *timer = (struct timer){.on_expire = on_expire};
    list_init(&timer->node);
}

void timer_wheel_init(struct timer_wheel *wheel, int64_t now_ns)
{
    wheel->tick = (uint64_t)now_ns >> TIMER_TICK_SHIFT;
    wheel->next_ns = INT64_MAX;
    list_init(&wheel->expired);
    wheel->used_levels = 0;
    for (unsigned level = 0; level < TIMER_LEVEL_COUNT; level++) {
        wheel->used[level] = 0;
        for (unsigned digit = 0; digit < TIMER_SLOT_COUNT; digit++) {
            list_init(&wheel->slots[level][digit]);
        }
    }
}

/* The beginning of the lowest slot of the lowest used level (T1). */
static int64_t first_ns(const struct timer_wheel *wheel)
{
    if (!list_is_empty(&wheel->expired)) {
        return 0;
    }
    if (wheel->used_levels != 0) {
        const unsigned level = (unsigned)__builtin_ctz(wheel->used_levels);
        const unsigned shift = level * TIMER_LEVEL_SHIFT;
        const uint64_t digit = (uint64_t)__builtin_ctzll(wheel->used[level]);
        const uint64_t base = (wheel->tick >> shift) & ~(uint64_t)DIGIT_MASK;
        const uint64_t tick = (base | digit) << shift;
        return tick > (uint64_t)(INT64_MAX >> TIMER_TICK_SHIFT)
                   ? INT64_MAX
                   : (int64_t)(tick << TIMER_TICK_SHIFT);
    }
    return INT64_MAX;
}

static uint64_t deadline_tick(int64_t deadline_ns)
{
    if (deadline_ns <= 0) {
        return 0;
    }
    return (((uint64_t)deadline_ns - 1) >> TIMER_TICK_SHIFT) + 1; /* T2 */
}

static unsigned digit_of(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * TIMER_LEVEL_SHIFT)) & DIGIT_MASK;
}

static void clear_used(struct timer_wheel *wheel, unsigned level, uint64_t digits)
{
    wheel->used[level] &= ~digits;
    if (wheel->used[level] == 0) {
        wheel->used_levels &= ~(1U << level);
    }
}

/* T1 */
static void wheel_insert(struct timer_wheel *wheel, struct timer *timer)
{
    const uint64_t tick = deadline_tick(timer->deadline_ns);
    unsigned level;
    unsigned digit;
    if (tick <= wheel->tick) {
        timer->slot = SLOT_EXPIRED;
        list_push_back(&wheel->expired, &timer->node);
        return;
    }
    level = (63U - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / TIMER_LEVEL_SHIFT;
    check(level < TIMER_LEVEL_COUNT);
    digit = digit_of(tick, level);
    timer->slot = level * TIMER_SLOT_COUNT + digit;
    wheel->used[level] |= 1ULL << digit;
    wheel->used_levels |= 1U << level;
    list_push_back(&wheel->slots[level][digit], &timer->node);
}

void timer_wheel_start(struct timer_wheel *wheel, struct timer *timer, int64_t deadline_ns)
{
    check(!timer->is_armed);
    timer->deadline_ns = deadline_ns;
    timer->is_armed = true;
    wheel_insert(wheel, timer);
    wheel->next_ns = first_ns(wheel);
}

void timer_wheel_stop(struct timer_wheel *wheel, struct timer *timer)
{
    const unsigned level = timer->slot / TIMER_SLOT_COUNT;
    const unsigned digit = timer->slot & DIGIT_MASK;
    if (!timer->is_armed) {
        return;
    }
    timer->is_armed = false;
    list_remove(&timer->node);
    if (timer->slot != SLOT_EXPIRED && list_is_empty(&wheel->slots[level][digit])) {
        clear_used(wheel, level, 1ULL << digit);
    }
    wheel->next_ns = first_ns(wheel);
}

/* Moves the slots of a level whose digit is in `digits` to the end of `passed`. */
static void take_slots(struct timer_wheel *wheel, unsigned level, uint64_t digits,
                       struct list *passed)
{
    uint64_t used = wheel->used[level] & digits;
    clear_used(wheel, level, digits);
    while (used != 0) {
        list_splice_back(passed, &wheel->slots[level][__builtin_ctzll(used)]);
        used &= used - 1;
    }
}

/* Turns the wheel to `tick`; passed timers go to the expired ones or to a lower level. */
static void wheel_turn_to(struct timer_wheel *wheel, uint64_t tick)
{
    struct list passed;
    struct list *node;
    list_init(&passed);
    for (unsigned level = 0; level < TIMER_LEVEL_COUNT; level++) {
        const unsigned above = (level + 1) * TIMER_LEVEL_SHIFT;
        if ((tick >> above) == (wheel->tick >> above)) {
            take_slots(wheel, level, UINT64_MAX >> (DIGIT_MASK - digit_of(tick, level)), &passed);
            break;
        }
        take_slots(wheel, level, UINT64_MAX, &passed);
    }
    wheel->tick = tick;
    while ((node = list_pop_front(&passed)) != NULL) {
        wheel_insert(wheel, container_of(node, struct timer, node));
    }
}

static void wheel_expire(struct timer_wheel *wheel, int64_t now_ns)
{
    const uint64_t tick = (uint64_t)now_ns >> TIMER_TICK_SHIFT;
    struct list due;
    struct list *node;
    if (tick > wheel->tick) {
        wheel_turn_to(wheel, tick);
    }
    list_init(&due);
    list_splice_back(&due, &wheel->expired);
    wheel->next_ns = first_ns(wheel);
    while ((node = list_pop_front(&due)) != NULL) {
        struct timer *timer = container_of(node, struct timer, node);
        timer->is_armed = false;
        timer->on_expire(timer);
    }
}

void timer_wheel_expire(struct timer_wheel *wheel, int64_t now_ns)
{
    if (now_ns >= wheel->next_ns) { /* until then no slot opens, and the wheel may stay behind */
        wheel_expire(wheel, now_ns);
    }
}
