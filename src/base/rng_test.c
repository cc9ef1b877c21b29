/* SPDX-License-Identifier: Apache-2.0 */
/* The generator repeats itself from a seed, stays below its bound and reaches every value. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_repeats_from_the_seed(void **state)
{
    struct rng a;
    struct rng b;
    struct rng c;
    (void)state;
    rng_init(&a, 1);
    rng_init(&b, 1);
    rng_init(&c, 2);
    int different = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t value = rng_next(&a);
        assert_true(value == rng_next(&b));
        different += value != rng_next(&c);
    }
    assert_int_equal(different, 100);
}

/* The first outputs for the state 1, 2, 3, 4, computed by hand from the definition. */
static void test_known_outputs(void **state)
{
    struct rng rng = {{1, 2, 3, 4}};
    (void)state;
    assert_true(rng_next(&rng) == 11520);
    assert_true(rng_next(&rng) == 0);
    assert_true(rng_next(&rng) == 1509978240);
}

static void test_below_is_even(void **state)
{
    enum { DRAWS = 60000 };
    uint32_t counts[6] = {0};
    struct rng rng;
    (void)state;
    rng_init(&rng, 0);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t value = rng_below(&rng, 6);
        assert_true(value < 6);
        counts[value]++;
    }
    for (int i = 0; i < 6; i++) {
        assert_in_range(counts[i], DRAWS / 6 - 500, DRAWS / 6 + 500);
    }
    assert_int_equal(rng_below(&rng, 1), 0);
    const uint64_t huge = (UINT64_C(1) << 63) + 1; /* half of all draws are rejected */
    for (int i = 0; i < 100; i++) {
        assert_true(rng_below(&rng, huge) < huge);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats_from_the_seed),
        cmocka_unit_test(test_known_outputs),
        cmocka_unit_test(test_below_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
