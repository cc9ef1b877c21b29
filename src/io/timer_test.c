/* SPDX-License-Identifier: Apache-2.0 */
/* The wheel fires each timer at its deadline, never early, compared with a plain list as a model.
 */
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "base/rng.h"

#include <cmocka.h>

enum {
    TIMER_COUNT = 200,
    TICK_NS = 1 << TIMER_TICK_SHIFT,
};

struct probe {
    struct timer timer;
    int64_t fired_ns; /* -1: not yet */
    struct timer_wheel *wheel;
    struct timer *to_stop;
};

static int64_t now_ns;

static void on_expire(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    assert_false(timer->is_armed);
    assert_true(timer->deadline_ns <= now_ns);
    probe->fired_ns = now_ns;
    if (probe->to_stop != NULL) {
        timer_wheel_stop(probe->wheel, probe->to_stop);
    }
}

static void probe_init(struct probe *probe, struct timer_wheel *wheel)
{
    *probe = (struct probe){.fired_ns = -1, .wheel = wheel};
    timer_init(&probe->timer, on_expire);
}

/* Random starts, stops and steps from nanoseconds to days: each armed timer fires in the first step
 * that passes its deadline by a tick, and next_ns never lies after a deadline by more than that. */
static void test_against_model(void **state)
{
    static struct probe probes[TIMER_COUNT];
    static struct timer_wheel wheel;
    struct rng rng;
    (void)state;
    rng_init(&rng, 7);
    now_ns = (int64_t)(rng_next(&rng) >> 8);
    timer_wheel_init(&wheel, now_ns);
    for (int i = 0; i < TIMER_COUNT; i++) {
        probe_init(&probes[i], &wheel);
    }
    for (int step = 0; step < 3000; step++) {
        struct probe *probe = &probes[rng_below(&rng, TIMER_COUNT)];
        timer_wheel_stop(&wheel, &probe->timer);
        if (rng_below(&rng, 8) != 0) {
            probe->fired_ns = -1;
            timer_wheel_start(&wheel, &probe->timer,
                              now_ns + (int64_t)(rng_next(&rng) >> (16 + rng_below(&rng, 48))));
        }
        for (int i = 0; i < TIMER_COUNT; i++) {
            if (probes[i].timer.is_armed) {
                assert_true(timer_wheel_next_ns(&wheel) < probes[i].timer.deadline_ns + TICK_NS);
            }
        }
        now_ns += (int64_t)(rng_next(&rng) >> (20 + rng_below(&rng, 44)));
        timer_wheel_expire(&wheel, now_ns);
        for (int i = 0; i < TIMER_COUNT; i++) {
            if (probes[i].timer.is_armed) {
                assert_true(probes[i].timer.deadline_ns > now_ns - TICK_NS);
            }
        }
    }
}

/* Following next_ns alone, as the loop does, reaches a far deadline in a few steps. */
static void test_next_leads_to_the_deadline(void **state)
{
    static struct timer_wheel wheel;
    struct probe probe;
    const int64_t deadline_ns = 600LL * 1000 * 1000 * 1000 + 12345;
    int steps = 0;
    (void)state;
    now_ns = 12345;
    timer_wheel_init(&wheel, now_ns);
    probe_init(&probe, &wheel);
    assert_true(timer_wheel_next_ns(&wheel) == INT64_MAX);
    timer_wheel_start(&wheel, &probe.timer, deadline_ns);
    while (probe.fired_ns < 0) {
        now_ns = timer_wheel_next_ns(&wheel);
        timer_wheel_expire(&wheel, now_ns);
        assert_true(++steps <= TIMER_LEVEL_COUNT);
    }
    assert_true(probe.fired_ns >= deadline_ns && probe.fired_ns < deadline_ns + TICK_NS);
    assert_true(timer_wheel_next_ns(&wheel) == INT64_MAX);
    timer_wheel_start(&wheel, &probe.timer, INT64_MAX);
    assert_true(timer_wheel_next_ns(&wheel) > now_ns);
    timer_wheel_stop(&wheel, &probe.timer);
}

/* A timer that is due may still be stopped by another that fires before it. */
static void test_stop_from_a_callback(void **state)
{
    static struct timer_wheel wheel;
    struct probe first;
    struct probe second;
    (void)state;
    now_ns = 0;
    timer_wheel_init(&wheel, now_ns);
    probe_init(&first, &wheel);
    probe_init(&second, &wheel);
    first.to_stop = &second.timer;
    timer_wheel_start(&wheel, &first.timer, 10);
    timer_wheel_start(&wheel, &second.timer, 10);
    now_ns = TICK_NS;
    timer_wheel_expire(&wheel, now_ns);
    assert_true(first.fired_ns == now_ns);
    assert_true(second.fired_ns == -1);
    assert_false(second.timer.is_armed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_next_leads_to_the_deadline),
        cmocka_unit_test(test_stop_from_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
