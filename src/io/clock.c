/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"

#include <time.h>

#include "base/check.h"
#include "base/list.h"

enum {
    NS_PER_MS = 1000000,
    MS_PER_S = 1000,
};

static int64_t system_monotonic_ns(struct clock *clock)
{
    struct timespec now;
    (void)clock;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * MS_PER_S * NS_PER_MS + now.tv_nsec;
}

static int64_t system_wall_ms(struct clock *clock)
{
    struct timespec now;
    (void)clock;
    check(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

struct clock *clock_system(void)
{
    /* Never written; not const because a clock of another kind has state. */
    static struct clock system = {
        .monotonic_ns = system_monotonic_ns,
        .wall_ms = system_wall_ms,
    };
    return &system;
}

static int64_t manual_monotonic_ns(struct clock *clock)
{
    return container_of(clock, struct manual_clock, clock)->now_ns;
}

static int64_t manual_wall_ms(struct clock *clock)
{
    return container_of(clock, struct manual_clock, clock)->now_ms;
}

void manual_clock_init(struct manual_clock *manual, int64_t wall_ms)
{
    *manual = (struct manual_clock){
        .clock = {.monotonic_ns = manual_monotonic_ns, .wall_ms = manual_wall_ms},
        .now_ns = 0,
        .now_ms = wall_ms,
    };
}

void manual_clock_advance(struct manual_clock *manual, int64_t duration_ms)
{
    check(duration_ms >= 0);
    manual->now_ns += duration_ms * NS_PER_MS;
    manual->now_ms += duration_ms;
}
