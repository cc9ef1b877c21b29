/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where time comes from: the system in production, the test in tests. */

#include <stdint.h>

struct clock {
    /* Never goes back; for every timeout, lag, quota and back-off. */
    int64_t (*monotonic_ns)(struct clock *clock);
    /* Milliseconds since the epoch; may jump. For record timestamps only. */
    int64_t (*wall_ms)(struct clock *clock);
};

/* The system's. Static storage, never freed, any thread. */
struct clock *clock_system(void);

/* A clock that stands still until it is told to move. */
struct manual_clock {
    struct clock clock;
    int64_t now_ns;
    int64_t now_ms;
};
void manual_clock_init(struct manual_clock *manual, int64_t wall_ms);
/* Moves both clocks. */
void manual_clock_advance(struct manual_clock *manual, int64_t duration_ms);
