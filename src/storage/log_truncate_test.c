/* SPDX-License-Identifier: Apache-2.0 */
/* Truncation rolls everything back to what it was at that offset; retention and DeleteRecords move
 * the start by whole segments, never above the high watermark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/log_fixture.h"

#include <cmocka.h>

static int set_up(void **state)
{
    struct log_fixture *fixture = malloc(sizeof(*fixture));
    fixture_init(fixture, NULL);
    fixture->config.segment_size_bytes_max = 1000; /* five batches of 100-byte values */
    fixture->config.index_interval_bytes = 200;
    *state = fixture;
    assert_int_equal(fixture_open(fixture), E_OK);
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static void fill_until(struct log_fixture *fixture, int64_t end)
{
    while (fixture_offsets(fixture).end < end) {
        fixture_fill(fixture, 1, 1, 100);
    }
}

static void check_range(struct log_fixture *fixture, int64_t start, int64_t end)
{
    assert_int_equal(fixture_offsets(fixture).log_start, start);
    assert_int_equal(fixture_offsets(fixture).end, end);
    for (int64_t offset = start; offset < end; offset++) {
        assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset);
    }
    assert_int_equal(fixture_first_base(fixture, start - 1, READ_TO_END),
                     -1000 - E_OFFSET_OUT_OF_RANGE);
    assert_int_equal(fixture_first_base(fixture, end + 1, READ_TO_END),
                     -1000 - E_OFFSET_OUT_OF_RANGE);
}

static void test_truncate(void **state)
{
    struct log_fixture *fixture = *state;
    fill_until(fixture, 23);
    log_set_high_watermark(fixture->log, 20);
    log_flush(fixture->log);
    assert_int_equal(fixture_offsets(fixture).flushed, 23);
    struct log_cursor cursor = {.offset = -1};
    struct log_read read = {.offset = 22, .size_max = 1000, .cursor = &cursor};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    file_unref(read.file);
    assert_int_equal(cursor.offset, 23);
    assert_int_equal(log_truncate(fixture->log, 23), E_OK); /* nothing to do */
    static const int64_t ends[] = {22, 20, 13, 5, 4, 0};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        assert_int_equal(log_truncate(fixture->log, ends[i]), E_OK);
        const struct log_offsets offsets = fixture_offsets(fixture);
        check_range(fixture, 0, ends[i]);
        assert_true(offsets.high_watermark <= ends[i]);
        assert_true(offsets.last_stable <= offsets.high_watermark);
        assert_int_equal(offsets.flushed, ends[i]);
    }
    fill_until(fixture, 23);
    read = (struct log_read){.offset = 23 - 1, .size_max = 1000, .cursor = &cursor};
    assert_int_equal(log_read(fixture->log, &read), E_OK); /* the cursor is of another time */
    uint8_t *bytes = fixture_read_bytes(&read);
    assert_int_equal(batch_base_offset(bytes), 22);
    free(bytes);
    file_unref(read.file);
}

/* A batch goes as a whole: offsets stay dense. */
static void test_truncate_inside_batch(void **state)
{
    struct log_fixture *fixture = *state;
    fixture_fill(fixture, 3, 4, 10);
    assert_int_equal(log_truncate(fixture->log, 6), E_OK);
    assert_int_equal(fixture_offsets(fixture).end, 4);
    fixture_fill(fixture, 1, 1, 10);
    assert_int_equal(fixture_first_base(fixture, 4, READ_TO_END), 4);
}

static struct append send(struct log_fixture *fixture, int32_t sequence, bool is_transactional)
{
    return fixture_append(fixture, &(struct batch_spec){.value_size = 100,
                                                        .producer_id = 5,
                                                        .base_sequence = sequence,
                                                        .is_idempotent = true,
                                                        .is_transactional = is_transactional});
}

static size_t count_aborted(struct log_fixture *fixture)
{
    struct arena arena;
    struct aborted_transaction *items;
    size_t count;
    arena_init(&arena, 1 << 20);
    assert_int_equal(log_aborted_transactions(fixture->log, 0, 1000, &arena, &items, &count), E_OK);
    arena_done(&arena);
    return count;
}

/* Rule 9: producers, epochs, transactions and snapshots go back too. */
static void test_truncate_rolls_back_state(void **state)
{
    struct log_fixture *fixture = *state;
    for (int32_t i = 0; i < 12; i++) {
        assert_int_equal(send(fixture, i, false).error, E_OK);
    }
    assert_int_equal(log_start_epoch(fixture->log, 3), E_OK);
    assert_int_equal(send(fixture, 12, true).error, E_OK); /* offset 12 */
    assert_int_equal(fixture_append_marker(fixture, 5, 0, false).base_offset, 13);
    assert_int_equal(count_aborted(fixture), 1);
    assert_int_equal(log_truncate(fixture->log, 13), E_OK);
    assert_int_equal(count_aborted(fixture), 0);
    assert_int_equal(log_latest_epoch(fixture->log), 3);
    log_set_high_watermark(fixture->log, 13);
    assert_int_equal(fixture_offsets(fixture).last_stable, 12); /* open again */
    assert_int_equal(send(fixture, 13, false).error, E_INVALID_TXN_STATE);
    assert_int_equal(log_truncate(fixture->log, 12), E_OK);
    assert_int_equal(log_latest_epoch(fixture->log), 0);
    assert_int_equal(fixture_offsets(fixture).last_stable, 12);
    assert_int_equal(log_truncate(fixture->log, 7), E_OK);
    assert_false(fixture_has_file(fixture, "00000000000000000010.snapshot"));
    assert_int_equal(send(fixture, 8, false).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_true(send(fixture, 6, false).is_duplicate);
    assert_int_equal(send(fixture, 7, false).base_offset, 7);
}

/* The indexes after a truncation and more appends are those of a log that never had the rest. */
static void test_truncated_indexes_equal_fresh_ones(void **state)
{
    struct log_fixture *fixture = *state;
    struct log_fixture fresh;
    fixture_init(&fresh, NULL);
    fresh.config = fixture->config;
    assert_int_equal(fixture_open(&fresh), E_OK);
    fill_until(&fresh, 13);
    fill_until(fixture, 4);
    while (fixture_offsets(fixture).end < 21) { /* with times that must be forgotten */
        const struct batch_spec late = {.value_size = 100,
                                        .timestamp = fixture->clock.now_ms + 5000};
        assert_int_equal(fixture_append(fixture, &late).error, E_OK);
    }
    assert_int_equal(log_truncate(fixture->log, 4), E_OK);
    fill_until(fixture, 13);
    fixture_close(fixture);
    fixture_close(&fresh);
    static const char *const names[] = {
        "00000000000000000000.log",       "00000000000000000000.index",
        "00000000000000000000.timeindex", "00000000000000000010.index",
        "00000000000000000010.timeindex", "00000000000000000013.snapshot",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size;
        size_t expected_size;
        uint8_t *bytes = fixture_file(fixture, names[i], &size);
        uint8_t *expected = fixture_file(&fresh, names[i], &expected_size);
        assert_non_null(bytes);
        assert_non_null(expected);
        assert_int_equal(size, expected_size);
        assert_memory_equal(bytes, expected, size);
        free(bytes);
        free(expected);
    }
    fixture_done(&fresh);
}

static void test_restart_at(void **state)
{
    struct log_fixture *fixture = *state;
    fill_until(fixture, 12);
    assert_int_equal(log_restart_at(fixture->log, 500), E_OK);
    check_range(fixture, 500, 500);
    assert_int_equal(log_latest_epoch(fixture->log), -1);
    fill_until(fixture, 507);
    check_range(fixture, 500, 507);
    fixture_crash(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_range(fixture, 500, 507);
    /* Also to where it was, with the same file names. */
    assert_int_equal(log_restart_at(fixture->log, 500), E_OK);
    check_range(fixture, 500, 500);
}

static uint32_t retain(struct log_fixture *fixture)
{
    uint32_t count = 0;
    assert_int_equal(log_retain(fixture->log, fixture->clock.now_ms, &count), E_OK);
    return count;
}

static void test_retain_by_size(void **state)
{
    struct log_fixture *fixture = *state;
    fill_until(fixture, 22);
    fixture->config.retention_bytes = 1500;
    log_set_config(fixture->log, &fixture->config);
    assert_int_equal(retain(fixture), 0); /* nothing is below the high watermark */
    log_set_high_watermark(fixture->log, 9);
    assert_int_equal(retain(fixture), 1);
    check_range(fixture, 5, 22);
    log_set_high_watermark(fixture->log, 22);
    struct log_read read = {.offset = 6, .size_max = 100};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    assert_int_equal(retain(fixture), 1); /* one more would leave less than retention.bytes */
    check_range(fixture, 10, 22);
    free(fixture_read_bytes(&read)); /* rule 54: the reader's file is still there */
    file_unref(read.file);

    struct list deleted;
    struct list *node;
    int count = 0;
    list_init(&deleted);
    log_take_deleted_files(fixture->log, &deleted);
    while ((node = list_pop_front(&deleted)) != NULL) {
        struct deleted_file *file = container_of(node, struct deleted_file, node);
        assert_int_equal(unlink(file->path), 0);
        free(file);
        count++;
    }
    assert_int_equal(count, 7); /* log and two indexes of each, and the second one's snapshot */
    fixture->config.is_held = true;
    fixture->config.retention_bytes = 0;
    log_set_config(fixture->log, &fixture->config);
    assert_int_equal(retain(fixture), 0); /* design §1.2: configs unknown */
    fixture_crash(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_range(fixture, 10, 22);
}

static void test_retain_by_time(void **state)
{
    struct log_fixture *fixture = *state;
    fill_until(fixture, 7);
    log_set_high_watermark(fixture->log, 7);
    fixture->config.retention_ms = 1000;
    log_set_config(fixture->log, &fixture->config);
    manual_clock_advance(&fixture->clock, 1000);
    assert_int_equal(retain(fixture), 0);
    fill_until(fixture, 8);
    manual_clock_advance(&fixture->clock, 1);
    assert_int_equal(retain(fixture), 1);
    check_range(fixture, 5, 8);
    log_set_high_watermark(fixture->log, 8);
    manual_clock_advance(&fixture->clock, 1000);
    assert_int_equal(retain(fixture), 1); /* the active one too: it is rolled first */
    check_range(fixture, 8, 8);
    assert_int_equal(retain(fixture), 0); /* an empty active segment stays */
    fill_until(fixture, 9);
    check_range(fixture, 8, 9);
}

static void test_delete_records(void **state)
{
    struct log_fixture *fixture = *state;
    fill_until(fixture, 12);
    log_set_high_watermark(fixture->log, 9);
    fixture->config.is_deleted = false; /* compacted only: the start still counts */
    log_set_config(fixture->log, &fixture->config);
    assert_int_equal(log_raise_start(fixture->log, 10), E_OFFSET_OUT_OF_RANGE);
    assert_int_equal(log_raise_start(fixture->log, -1), E_OFFSET_OUT_OF_RANGE);
    assert_int_equal(log_raise_start(fixture->log, 7), E_OK);
    check_range(fixture, 7, 12);
    assert_int_equal(log_epoch_end(fixture->log, 0).end_offset, 12);
    assert_int_equal(retain(fixture), 1);
    assert_false(fixture_has_file(fixture, "00000000000000000000.log"));
    assert_int_equal(log_raise_start(fixture->log, 3), E_OK); /* never back */
    check_range(fixture, 7, 12);
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_range(fixture, 7, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_truncate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncate_inside_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncate_rolls_back_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncated_indexes_equal_fresh_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restart_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_retain_by_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_retain_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_delete_records, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
