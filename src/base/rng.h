/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one source of randomness: xoshiro256**, seeded from the system in production and by the
 * test in tests, so that a run can be repeated. Not for secrets. Not thread-safe: one per loop. */

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* Uniform in [0, bound); bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
