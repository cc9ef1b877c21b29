/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "base/check.h"

/* splitmix64: spreads one seed over the state, which must not be all zero. */
static uint64_t seed_next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void rng_init(struct rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->state[i] = seed_next(&seed);
    }
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* xoshiro256** by Blackman and Vigna (2018). */
uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    check(bound > 0);
    /* 2^64 mod bound: numbers below it would make small results likelier, so draw again. */
    const uint64_t skip = (0U - bound) % bound;
    uint64_t value;
    do {
        value = rng_next(rng);
    } while (value < skip);
    return value % bound;
}
