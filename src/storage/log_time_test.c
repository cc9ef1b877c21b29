/* SPDX-License-Identifier: Apache-2.0 */
/* Searches by time find what a look at every record would find, over segments, closed or open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "storage/log_fixture.h"

#include <cmocka.h>

static int set_up(void **state)
{
    struct log_fixture *fixture = malloc(sizeof(*fixture));
    fixture_init(fixture, NULL);
    fixture->config.segment_size_bytes_max = 1500;
    fixture->config.index_interval_bytes = 200;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

enum { COUNT = 60 };

/* Times that go up and down: batches of two records at t and t + 1. */
static int64_t time_of(int64_t offset)
{
    const int64_t batch = offset / 2;
    return 1000 + (batch * 37) % 101 + batch * 5 + offset % 2;
}

static void check_searches(struct log_fixture *fixture, int64_t start, int64_t end)
{
    for (int64_t at = 900; at < 1600; at += 7) {
        int64_t expected = -1;
        for (int64_t offset = start; offset < end && expected < 0; offset++) {
            expected = time_of(offset) >= at ? offset : -1;
        }
        struct timestamp_offset found;
        assert_int_equal(log_find_timestamp(fixture->log, at, READ_TO_HIGH_WATERMARK, &found),
                         E_OK);
        assert_int_equal(found.offset, expected);
        assert_int_equal(found.timestamp, expected < 0 ? -1 : time_of(expected));
        assert_int_equal(found.leader_epoch, expected < 0 ? -1 : 0);
    }
}

static void test_find_timestamp(void **state)
{
    struct log_fixture *fixture = *state;
    struct timestamp_offset found;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(log_find_timestamp(fixture->log, 0, READ_TO_END, &found), E_OK);
    assert_int_equal(found.offset, -1);
    assert_int_equal(log_find_max_timestamp(fixture->log, &found), E_OK);
    assert_int_equal(found.offset, -1);
    for (int64_t offset = 0; offset < COUNT; offset += 2) {
        const enum codec codec = offset % 4 == 0 ? CODEC_NONE : CODEC_LZ4;
        assert_int_equal(fixture_append(fixture, &(struct batch_spec){.count = 2,
                                                                      .value_size = 40,
                                                                      .timestamp = time_of(offset),
                                                                      .codec = codec})
                             .error,
                         E_OK);
    }
    assert_true(log_segment_count(fixture->log) > 2);
    log_set_high_watermark(fixture->log, 31);
    check_searches(fixture, 0, 31);
    log_set_high_watermark(fixture->log, COUNT);
    check_searches(fixture, 0, COUNT);
    assert_int_equal(log_raise_start(fixture->log, 11), E_OK);
    check_searches(fixture, 11, COUNT);
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_searches(fixture, 11, COUNT);

    int64_t best = 0;
    for (int64_t offset = 0; offset < COUNT; offset++) {
        best = time_of(offset) > time_of(best) ? offset : best;
    }
    assert_int_equal(log_find_max_timestamp(fixture->log, &found), E_OK);
    assert_int_equal(found.offset, best);
    assert_int_equal(found.timestamp, time_of(best));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find_timestamp, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
