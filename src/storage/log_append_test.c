/* SPDX-License-Identifier: Apache-2.0 */
/* Appends get dense offsets, are seen by readers once written, roll segments by Kafka's rules, and
 * are refused as a whole; duplicates and sequence errors are told as Kafka tells them. */
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
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static void test_append_and_read(void **state)
{
    struct log_fixture *fixture = *state;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_first_base(fixture, 0, READ_TO_END), -1);
    const struct append first = fixture_append(fixture, &(struct batch_spec){.count = 3});
    assert_int_equal(first.error, E_OK);
    assert_int_equal(first.base_offset, 0);
    assert_int_equal(first.last_offset, 2);
    assert_int_equal(first.log_append_time_ms, -1);
    const struct append second = fixture_append(fixture, &(struct batch_spec){.count = 2});
    assert_int_equal(second.base_offset, 3);
    assert_int_equal(fixture_offsets(fixture).end, 5);
    assert_int_equal(fixture_first_base(fixture, 0, READ_TO_END), 0);
    assert_int_equal(fixture_first_base(fixture, 2, READ_TO_END), 0);
    assert_int_equal(fixture_first_base(fixture, 3, READ_TO_END), 3);
    assert_int_equal(fixture_first_base(fixture, 5, READ_TO_END), -1);
    assert_int_equal(fixture_first_base(fixture, 6, READ_TO_END), -1000 - E_OFFSET_OUT_OF_RANGE);
    assert_int_equal(fixture_first_base(fixture, -1, READ_TO_END), -1000 - E_OFFSET_OUT_OF_RANGE);
}

/* Below the high watermark only, when so asked; and to its middle of the log. */
static void test_read_limits(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_size_bytes_max = 1000;
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 20, 1, 100);
    assert_true(log_segment_count(fixture->log) > 2);
    assert_int_equal(fixture_first_base(fixture, 0, READ_TO_HIGH_WATERMARK), -1);
    for (int64_t mark = 1; mark <= 20; mark++) {
        log_set_high_watermark(fixture->log, mark);
        int64_t offset = 0;
        while (offset < mark) {
            struct log_read read = {
                .offset = offset, .size_max = 1 << 20, .limit = READ_TO_HIGH_WATERMARK};
            assert_int_equal(log_read(fixture->log, &read), E_OK);
            assert_true(read.size > 0);
            uint8_t *bytes = fixture_read_bytes(&read);
            for (size_t at = 0; at < read.size; at += (size_t)batch_size(bytes + at)) {
                assert_int_equal(batch_base_offset(bytes + at), offset);
                offset++;
            }
            free(bytes);
            file_unref(read.file);
        }
        assert_int_equal(offset, mark);
        assert_int_equal(fixture_first_base(fixture, mark, READ_TO_HIGH_WATERMARK), -1);
    }
}

/* The size cuts batches as Kafka does; the first one is whole when it is asked for. */
static void test_read_size(void **state)
{
    struct log_fixture *fixture = *state;
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 10, 1, 200);
    struct log_read read = {.offset = 0, .size_max = 1 << 20};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    const size_t all = read.size;
    file_unref(read.file);
    assert_int_equal(all % 10, 0);
    const size_t one = all / 10;
    read = (struct log_read){.offset = 2, .size_max = one + one / 2};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    assert_int_equal(read.size, one + one / 2);
    assert_int_equal(read.position, 2 * one);
    file_unref(read.file);
    read = (struct log_read){.offset = 2, .size_max = 10};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    assert_int_equal(read.size, 10);
    file_unref(read.file);
    read = (struct log_read){.offset = 2, .size_max = 10, .at_least_one_batch = true};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    assert_int_equal(read.size, one);
    file_unref(read.file);
    read = (struct log_read){.offset = 2, .size_max = 0};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    assert_int_equal(read.size, 0);
    assert_null(read.file);
}

/* A cursor leads to the same bytes as a search, also over appends and rolls. */
static void test_cursor(void **state)
{
    struct log_fixture *fixture = *state;
    struct log_cursor cursor = {.offset = -1};
    fixture->config.segment_size_bytes_max = 2000;
    assert_int_equal(fixture_open(fixture), E_OK);
    for (int64_t offset = 0; offset < 60; offset++) {
        fixture_fill(fixture, 1, 1, 100);
        struct log_read read = {.offset = offset, .size_max = 1 << 20, .cursor = &cursor};
        assert_int_equal(log_read(fixture->log, &read), E_OK);
        uint8_t *bytes = fixture_read_bytes(&read);
        assert_int_equal(batch_base_offset(bytes), offset);
        assert_int_equal(batch_size(bytes), read.size);
        assert_int_equal(cursor.offset, offset + 1);
        free(bytes);
        file_unref(read.file);
    }
}

/* Where one of the last writes began is found without a look into the file, as readers that keep
 * up ask for it; older and other offsets are searched, and all lead to the same bytes. */
static void test_recent_writes(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_size_bytes_max = 4000;
    assert_int_equal(fixture_open(fixture), E_OK);
    for (int64_t end = 3; end < 90; end += 3) {
        fixture_fill(fixture, 1, 3, 100);
        for (int64_t offset = 0; offset < end; offset++) {
            assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset - offset % 3);
        }
    }
    assert_int_equal(log_truncate(fixture->log, 60), E_OK);
    fixture_fill(fixture, 2, 1, 50);
    assert_int_equal(fixture_first_base(fixture, 60, READ_TO_END), 60);
    assert_int_equal(fixture_first_base(fixture, 61, READ_TO_END), 61);
}

static void test_turn_is_one_order(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_size_bytes_max = 500;
    assert_int_equal(fixture_open(fixture), E_OK);
    enum { COUNT = 12 };
    struct fixture_append items[COUNT];
    uint8_t *batches[COUNT];
    for (int i = 0; i < COUNT; i++) {
        size_t size;
        batches[i] = fixture_batch(fixture, &(struct batch_spec){.value_size = 100}, &size);
        if (i % 4 == 3) {
            batches[i][size - 1] ^= 1; /* refused: its checksum is wrong */
        }
        fixture_queue(fixture, &items[i], batches[i], size, APPEND_FROM_CLIENT, 5);
    }
    log_writer_flush(fixture->env.writer);
    int64_t offset = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_true(items[i].is_done);
        assert_int_equal(items[i].done_order, items[0].done_order + (uint32_t)i);
        if (i % 4 == 3) {
            assert_int_equal(items[i].append.error, E_CORRUPT_MESSAGE);
            assert_int_equal(items[i].append.base_offset, -1);
        } else {
            assert_int_equal(items[i].append.error, E_OK);
            assert_int_equal(items[i].append.base_offset, offset);
            assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset);
            assert_int_equal(batch_partition_leader_epoch(batches[i]), 5);
            offset++;
        }
        free(batches[i]);
    }
    assert_int_equal(fixture_offsets(fixture).end, offset);
    assert_int_equal(log_latest_epoch(fixture->log), 5);
    assert_true(log_segment_count(fixture->log) > 1);
}

static struct append send(struct log_fixture *fixture, int64_t producer_id, int16_t epoch,
                          int32_t sequence, int32_t count)
{
    return fixture_append(fixture, &(struct batch_spec){.count = count,
                                                        .producer_id = producer_id,
                                                        .producer_epoch = epoch,
                                                        .base_sequence = sequence,
                                                        .is_idempotent = true});
}

static void test_sequences(void **state)
{
    struct log_fixture *fixture = *state;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(send(fixture, 7, 0, 17, 1).error, E_OK); /* unknown: any sequence */
    assert_int_equal(send(fixture, 8, 0, 0, 2).error, E_OK);
    assert_int_equal(send(fixture, 8, 0, 3, 1).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(send(fixture, 8, 0, 1, 1).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(send(fixture, 8, 0, 2 + i, 1).base_offset, 3 + i);
    }
    const struct append duplicate = send(fixture, 8, 0, 2, 1);
    assert_int_equal(duplicate.error, E_OK);
    assert_true(duplicate.is_duplicate);
    assert_int_equal(duplicate.base_offset, 3);
    assert_int_equal(duplicate.last_offset, 3);
    assert_int_equal(send(fixture, 8, 0, 0, 2).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER); /* sixth */
    assert_int_equal(fixture_offsets(fixture).end, 8);
    assert_int_equal(send(fixture, 8, 1, 1, 1).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(send(fixture, 8, 1, 0, 1).error, E_OK);
    assert_int_equal(send(fixture, 8, 0, 7, 1).error, E_INVALID_PRODUCER_EPOCH);
    assert_int_equal(send(fixture, 9, 0, INT32_MAX - 1, 3).error, E_OK); /* …, 2^31-1, 0 */
    assert_int_equal(send(fixture, 9, 0, 1, 1).error, E_OK);
    assert_true(send(fixture, 9, 0, INT32_MAX - 1, 3).is_duplicate);
}

/* Batches that wait for the same write count for the check of the next one (rule 26). */
static void test_sequences_within_turn(void **state)
{
    struct log_fixture *fixture = *state;
    assert_int_equal(fixture_open(fixture), E_OK);
    static const int32_t sequences[] = {0, 1, 0, 3, 2};
    static const enum error expected[] = {E_OK, E_OK, E_OK, E_OUT_OF_ORDER_SEQUENCE_NUMBER, E_OK};
    struct fixture_append items[5];
    uint8_t *batches[5];
    for (int i = 0; i < 5; i++) {
        size_t size;
        batches[i] = fixture_batch(fixture,
                                   &(struct batch_spec){.producer_id = 1,
                                                        .base_sequence = sequences[i],
                                                        .is_idempotent = true},
                                   &size);
        fixture_queue(fixture, &items[i], batches[i], size, APPEND_FROM_CLIENT, 0);
    }
    log_writer_flush(fixture->env.writer);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(items[i].append.error, expected[i]);
        assert_int_equal(items[i].append.is_duplicate, i == 2);
        free(batches[i]);
    }
    assert_int_equal(items[2].append.base_offset, 0);
    assert_int_equal(items[4].append.base_offset, 2);
}

static void test_refused(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_size_bytes_max = 1000;
    fixture->config.message_size_bytes_max = 2000;
    assert_int_equal(fixture_open(fixture), E_OK);
    struct append append = fixture_append(fixture, &(struct batch_spec){.value_size = 3000});
    assert_int_equal(append.error, E_MESSAGE_TOO_LARGE);
    append = fixture_append(fixture, &(struct batch_spec){.value_size = 1500});
    assert_int_equal(append.error, E_RECORD_LIST_TOO_LARGE);
    assert_non_null(append.error_text);
    fixture->config.is_compacted = true;
    log_set_config(fixture->log, &fixture->config);
    append = fixture_append(fixture, &(struct batch_spec){.count = 2});
    assert_int_equal(append.error, E_INVALID_RECORD);
    assert_int_equal(append.record_error_index, 0);
    assert_non_null(append.record_error_text);
    assert_int_equal(fixture_offsets(fixture).end, 0);
}

static void test_log_append_time(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.timestamp_policy = TIMESTAMP_LOG_APPEND_TIME;
    assert_int_equal(fixture_open(fixture), E_OK);
    const struct append append = fixture_append(
        fixture, &(struct batch_spec){.timestamp = 5, .is_idempotent = true, .producer_id = 3});
    assert_int_equal(append.error, E_OK);
    assert_int_equal(append.log_append_time_ms, fixture->clock.now_ms);
    manual_clock_advance(&fixture->clock, 1000);
    const struct append again = fixture_append(
        fixture, &(struct batch_spec){.timestamp = 5, .is_idempotent = true, .producer_id = 3});
    assert_true(again.is_duplicate);
    assert_int_equal(again.log_append_time_ms, append.log_append_time_ms);
}

/* By the first batch's timestamp against the coming one's, as Kafka does. */
static void test_roll_by_time(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_age_ms_max = 1000;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_append(fixture, &(struct batch_spec){.timestamp = 5000}).error, E_OK);
    assert_int_equal(fixture_append(fixture, &(struct batch_spec){.timestamp = 6000}).error, E_OK);
    assert_int_equal(log_segment_count(fixture->log), 1);
    assert_int_equal(fixture_append(fixture, &(struct batch_spec){.timestamp = 6001}).error, E_OK);
    assert_int_equal(log_segment_count(fixture->log), 2);
    assert_true(fixture_has_file(fixture, "00000000000000000002.log"));
    assert_true(fixture_has_file(fixture, "00000000000000000002.snapshot"));
    assert_true(fixture_has_file(fixture, "00000000000000000000.timeindex"));
}

/* What was appended is there after a clean close, in Kafka's files, and goes on. */
static void test_close_and_open(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_size_bytes_max = 3000;
    fixture->config.index_interval_bytes = 300;
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 50, 2, 100);
    assert_int_equal(send(fixture, 4, 0, 0, 1).error, E_OK);
    const uint32_t segment_count = log_segment_count(fixture->log);
    fixture_close(fixture);
    assert_true(fixture_has_file(fixture, "00000000000000000101.snapshot"));
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(log_segment_count(fixture->log), segment_count);
    assert_int_equal(fixture_offsets(fixture).end, 101);
    assert_int_equal(fixture_offsets(fixture).flushed, 101);
    for (int64_t offset = 0; offset < 100; offset++) {
        assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset / 2 * 2);
    }
    assert_true(send(fixture, 4, 0, 0, 1).is_duplicate);
    assert_int_equal(send(fixture, 4, 0, 1, 1).base_offset, 101);
    assert_int_equal(log_latest_epoch(fixture->log), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cursor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recent_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_turn_is_one_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sequences, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sequences_within_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_append_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_roll_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_and_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
