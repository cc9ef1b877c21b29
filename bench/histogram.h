/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Counts of durations in nanoseconds, log-linear: each bucket is within 1/64 of its value. */

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 64,  /* per power of two */
    HISTOGRAM_POWERS = 40, /* up to 2^40 ns, 18 minutes */
};

struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_STEPS * HISTOGRAM_POWERS];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, int64_t ns);
/* The duration that the given share (0..1) does not exceed; 0 when nothing was added. */
uint64_t histogram_quantile(const struct histogram *h, double share);
