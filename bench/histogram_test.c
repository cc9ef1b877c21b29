/* SPDX-License-Identifier: Apache-2.0 */

/* Proves that quantiles lie within 1/32 of the true ones, over the whole range of durations. */

#include "histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void quantiles_of_one_to_many_are_close(void **state)
{
    (void)state;
    static struct histogram h;
    for (int64_t scale = 1; scale <= 1000000; scale *= 1000) {
        histogram_clear(&h);
        for (int64_t i = 1; i <= 10000; i++) {
            histogram_add(&h, i * scale);
        }
        assert_int_equal(h.count, 10000);
        assert_int_equal(h.max_ns, 10000 * scale);
        for (int percent = 1; percent <= 99; percent++) {
            uint64_t expected = (uint64_t)(percent * 100 * scale);
            uint64_t got = histogram_quantile(&h, percent / 100.0);
            assert_in_range(got, expected - expected / 32, expected + expected / 32 + 1);
        }
    }
}

static void the_tail_is_seen(void **state)
{
    (void)state;
    static struct histogram h;
    for (int i = 0; i < 985; i++) {
        histogram_add(&h, 50);
    }
    for (int i = 0; i < 15; i++) {
        histogram_add(&h, 7000000);
    }
    assert_int_equal(histogram_quantile(&h, 0.5), 50);
    assert_in_range(histogram_quantile(&h, 0.99), 6800000, 7000000);
    assert_int_equal(h.max_ns, 7000000);
}

static void nothing_and_too_much_are_counted(void **state)
{
    (void)state;
    static struct histogram h;
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    histogram_add(&h, -1);
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    histogram_add(&h, INT64_MAX);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.max_ns, INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_of_one_to_many_are_close),
        cmocka_unit_test(the_tail_is_seen),
        cmocka_unit_test(nothing_and_too_much_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
