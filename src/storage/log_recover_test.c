/* SPDX-License-Identifier: Apache-2.0 */
/* After an unclean stop a torn tail is cut, damage of what was promised is refused with the files
 * untouched, and everything derived equals what it was before (I7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/control.h"
#include "record/message_set.h"
#include "storage/log_fixture.h"

#include <cmocka.h>

static int set_up(void **state)
{
    struct log_fixture *fixture = malloc(sizeof(*fixture));
    fixture_init(fixture, NULL);
    fixture->config.segment_size_bytes_max = 1000;
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

static void path_of(struct log_fixture *fixture, const char *name, char *path)
{
    (void)snprintf(path, 512, "%s/%s", fixture->path, name);
}

static void put_file(struct log_fixture *fixture, const char *name, const void *bytes, size_t size)
{
    char path[512];
    path_of(fixture, name, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    (void)fclose(file);
}

/* XORs one byte; position < 0 counts from the end. */
static void damage(struct log_fixture *fixture, const char *name, long position)
{
    char path[512];
    path_of(fixture, name, path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    const int whence = position < 0 ? SEEK_END : SEEK_SET;
    assert_int_equal(fseek(file, position, whence), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, position, whence), 0);
    (void)fputc(byte ^ 0x40, file);
    (void)fclose(file);
}

static void append_file(struct log_fixture *fixture, const char *name, const void *bytes,
                        size_t size)
{
    char path[512];
    path_of(fixture, name, path);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    (void)fclose(file);
}

static void shorten(struct log_fixture *fixture, const char *name, off_t by)
{
    char path[512];
    struct stat status;
    path_of(fixture, name, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size - by), 0);
}

/* Ten batches of 100-byte values: six a segment; then a crash with nothing flushed. */
static void crash_with_ten(struct log_fixture *fixture)
{
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 10, 1, 100);
    assert_int_equal(log_segment_count(fixture->log), 2);
    fixture_crash(fixture);
}

static const char *const second_log = "00000000000000000005.log";

static void check_log(struct log_fixture *fixture, int64_t end)
{
    assert_int_equal(fixture_offsets(fixture).end, end);
    for (int64_t offset = 0; offset < end; offset++) {
        assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset);
    }
    assert_int_equal(fixture_append(fixture, &(struct batch_spec){0}).base_offset, end);
    assert_int_equal(fixture_first_base(fixture, end, READ_TO_END), end);
}

static void test_nothing_lost(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    assert_true(fixture_has_file(fixture, second_log));
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_offsets(fixture).flushed, 0); /* rule 44 */
    check_log(fixture, 10);
}

static void test_torn_tail_is_cut(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    shorten(fixture, second_log, 1);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 9);
}

static void test_garbage_and_zeros_are_cut(void **state)
{
    struct log_fixture *fixture = *state;
    static const uint8_t zeros[5000];
    uint8_t garbage[3000];
    for (size_t i = 0; i < sizeof(garbage); i++) {
        garbage[i] = (uint8_t)(i * i * 31 + 2);
    }
    crash_with_ten(fixture);
    append_file(fixture, second_log, garbage, sizeof(garbage));
    append_file(fixture, second_log, zeros, sizeof(zeros));
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 10);
}

static void test_wrong_checksum_at_the_end_is_cut(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    damage(fixture, second_log, -3);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 9);
}

/* A damaged batch with good ones behind it is no torn tail. */
static void test_damage_before_valid_is_refused(void **state)
{
    struct log_fixture *fixture = *state;
    size_t before;
    size_t after;
    crash_with_ten(fixture);
    damage(fixture, second_log, 100);
    uint8_t *expected = fixture_file(fixture, second_log, &before);
    assert_int_equal(fixture_open(fixture), E_LOCAL_CORRUPT);
    uint8_t *bytes = fixture_file(fixture, second_log, &after);
    assert_int_equal(before, after);
    assert_memory_equal(bytes, expected, before);
    free(bytes);
    free(expected);
    /* After a power cut it is what unordered write-back leaves. */
    fixture->hints.machine_restarted = true;
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 5);
}

/* The same where the next valid batch is in the next segment. */
static void test_damage_in_earlier_segment(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    damage(fixture, "00000000000000000000.log", -3);
    assert_int_equal(fixture_open(fixture), E_LOCAL_CORRUPT);
    fixture->hints.machine_restarted = true;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(log_segment_count(fixture->log), 1);
    assert_false(fixture_has_file(fixture, second_log));
    check_log(fixture, 4);
}

static void test_damage_below_promises_is_refused(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    damage(fixture, second_log, -3);
    fixture->hints.high_watermark = 10;
    assert_int_equal(fixture_open(fixture), E_LOCAL_CORRUPT);
    /* The page cache went with the machine: only what was flushed is promised. */
    fixture->hints.machine_restarted = true;
    fixture->hints.recovery_point = 10;
    assert_int_equal(fixture_open(fixture), E_LOCAL_CORRUPT);
    fixture->hints.recovery_point = 9;
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 9);
}

/* What was there and now is missing altogether was promised as well. */
static void test_missing_below_high_watermark_is_refused(void **state)
{
    struct log_fixture *fixture = *state;
    char path[512];
    crash_with_ten(fixture);
    path_of(fixture, second_log, path);
    assert_int_equal(unlink(path), 0);
    fixture->hints.high_watermark = 6;
    assert_int_equal(fixture_open(fixture), E_LOCAL_CORRUPT);
    fixture->hints.machine_restarted = true;
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 5);
}

/* Segments below the recovery point are not read; their indexes are made again when they look
 * wrong. */
static void test_indexes_are_hints(void **state)
{
    struct log_fixture *fixture = *state;
    static const char index[] = "00000000000000000000.index";
    static const char time_index[] = "00000000000000000000.timeindex";
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 10, 1, 100);
    fixture_close(fixture);
    size_t size;
    uint8_t *expected = fixture_file(fixture, index, &size);
    assert_true(size > 0);
    put_file(fixture, index, "\x7f\xff\xff\xff\x7f\xff\xff\xff", 8);
    put_file(fixture, time_index, "", 0);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 10);
    size_t again;
    uint8_t *bytes = fixture_file(fixture, index, &again);
    assert_int_equal(size, again);
    assert_memory_equal(bytes, expected, size);
    free(bytes);
    free(expected);
    /* Entries that lead into the middle of a batch: found out by the reader. */
    fixture_close(fixture);
    put_file(fixture, index, "\0\0\0\1\0\0\0\7", 8);
    assert_int_equal(fixture_open(fixture), E_OK);
    for (int64_t offset = 0; offset < 10; offset++) {
        assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset);
    }
}

static struct batch_spec transactional(int64_t producer_id, int32_t sequence)
{
    return (struct batch_spec){.producer_id = producer_id,
                               .base_sequence = sequence,
                               .is_idempotent = true,
                               .is_transactional = true};
}

static void check_aborted(struct log_fixture *fixture, int64_t from, int64_t to, size_t count,
                          int64_t first)
{
    struct arena arena;
    struct aborted_transaction *items = NULL;
    size_t found = 0;
    arena_init(&arena, 1 << 20);
    assert_int_equal(log_aborted_transactions(fixture->log, from, to, &arena, &items, &found),
                     E_OK);
    assert_int_equal(found, count);
    if (count > 0) {
        assert_int_equal(items[0].first_offset, first);
    }
    arena_done(&arena);
}

/* 0,1: aborted by 2. 3: committed by 4. 5: open. */
static void append_transactions(struct log_fixture *fixture)
{
    const struct batch_spec first = transactional(1, 0);
    const struct batch_spec second = transactional(1, 1);
    const struct batch_spec other = transactional(2, 0);
    const struct batch_spec open = transactional(1, 2);
    assert_int_equal(fixture_append(fixture, &first).error, E_OK);
    assert_int_equal(fixture_append(fixture, &second).error, E_OK);
    assert_int_equal(fixture_append_marker(fixture, 1, 0, false).error, E_OK);
    assert_int_equal(fixture_append(fixture, &other).error, E_OK);
    assert_int_equal(fixture_append_marker(fixture, 2, 0, true).error, E_OK);
    assert_int_equal(fixture_append(fixture, &open).error, E_OK);
}

static void check_transactions(struct log_fixture *fixture)
{
    log_set_high_watermark(fixture->log, 6);
    assert_int_equal(fixture_offsets(fixture).last_stable, 5);
    check_aborted(fixture, 0, 1, 1, 0);
    check_aborted(fixture, 2, 6, 1, 0); /* its marker still counts */
    check_aborted(fixture, 3, 6, 0, 0);
    const struct batch_spec plain = {.producer_id = 1, .base_sequence = 3, .is_idempotent = true};
    assert_int_equal(fixture_append(fixture, &plain).error, E_INVALID_TXN_STATE);
    const struct batch_spec again = transactional(1, 2);
    assert_true(fixture_append(fixture, &again).is_duplicate);
}

static void test_producers_and_transactions_come_back(void **state)
{
    struct log_fixture *fixture = *state;
    fixture->config.segment_size_bytes_max = 150; /* several segments */
    assert_int_equal(fixture_open(fixture), E_OK);
    append_transactions(fixture);
    assert_true(log_segment_count(fixture->log) > 2);
    check_transactions(fixture);
    fixture_crash(fixture);
    fixture->hints.high_watermark = 0;
    assert_int_equal(fixture_open(fixture), E_OK); /* all again from the batches */
    check_transactions(fixture);
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture), E_OK); /* from the snapshot */
    check_transactions(fixture);
    fixture_crash(fixture);
    damage(fixture, "00000000000000000006.snapshot", 20);
    fixture->hints.was_clean = true;
    assert_int_equal(fixture_open(fixture), E_OK); /* from an older one and replay */
    check_transactions(fixture);
    assert_false(fixture_has_file(fixture, "00000000000000000006.snapshot"));
}

/* The last stable offset waits for the marker to be below the high watermark (rule 31). */
static void test_last_stable_offset(void **state)
{
    struct log_fixture *fixture = *state;
    assert_int_equal(fixture_open(fixture), E_OK);
    append_transactions(fixture);
    static const int64_t expected[] = {0, 0, 0, 3, 3, 5, 5};
    for (int64_t mark = 0; mark <= 6; mark++) {
        log_set_high_watermark(fixture->log, mark);
        assert_int_equal(fixture_offsets(fixture).last_stable, expected[mark]);
    }
}

static void test_epochs(void **state)
{
    struct log_fixture *fixture = *state;
    char path[512];
    assert_int_equal(fixture_open(fixture), E_OK);
    struct fixture_append item;
    for (int32_t i = 0; i < 8; i++) {
        size_t size;
        uint8_t *data = fixture_batch(fixture, &(struct batch_spec){0}, &size);
        fixture_queue(fixture, &item, data, size, APPEND_FROM_CLIENT, i / 3 * 2); /* 000222444 */
        log_writer_flush(fixture->env.writer);
        free(data);
    }
    for (int pass = 0; pass < 3; pass++) {
        assert_int_equal(log_latest_epoch(fixture->log), 4);
        assert_int_equal(log_epoch_end(fixture->log, 4).end_offset, 8);
        assert_int_equal(log_epoch_end(fixture->log, 3).epoch, 2);
        assert_int_equal(log_epoch_end(fixture->log, 3).end_offset, 6);
        assert_int_equal(log_epoch_end(fixture->log, 0).end_offset, 3);
        assert_int_equal(log_epoch_end(fixture->log, 5).epoch, -1);
        if (pass == 0) {
            fixture_crash(fixture); /* the checkpoint was never written */
            assert_false(fixture_has_file(fixture, "leader-epoch-checkpoint"));
        } else {
            fixture_close(fixture);
            path_of(fixture, "leader-epoch-checkpoint", path);
            put_file(fixture, "leader-epoch-checkpoint", "0\n3\n0 0\n2 ", 10); /* torn */
        }
        assert_int_equal(fixture_open(fixture), E_OK);
    }
}

/* Rule 52: files of interrupted deletions and compactions. */
static void test_leftovers(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    size_t size;
    uint8_t *bytes = fixture_file(fixture, second_log, &size);
    put_file(fixture, "00000000000000000003.log.deleted", bytes, size);
    put_file(fixture, "00000000000000000003.index.deleted", bytes, 8);
    put_file(fixture, "00000000000000000077.timeindex", bytes, 12); /* without a log */
    /* Finished: it replaces the segment of the same base. */
    put_file(fixture, "00000000000000000005.log.swap", bytes, size);
    put_file(fixture, "00000000000000000005.index.swap", "", 0);
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 10);
    fixture_crash(fixture);
    assert_false(fixture_has_file(fixture, "00000000000000000003.log.deleted"));
    assert_false(fixture_has_file(fixture, "00000000000000000003.index.deleted"));
    assert_false(fixture_has_file(fixture, "00000000000000000077.timeindex"));
    assert_false(fixture_has_file(fixture, "00000000000000000005.log.swap"));
    /* Not finished: .cleaned at 0 takes all .swap at or above with it. */
    put_file(fixture, "00000000000000000000.log.cleaned", bytes, 10);
    put_file(fixture, "00000000000000000005.log.swap", bytes, 10);
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_offsets(fixture).end, 11);
    assert_false(fixture_has_file(fixture, "00000000000000000000.log.cleaned"));
    assert_false(fixture_has_file(fixture, "00000000000000000005.log.swap"));
    free(bytes);
}

/* Messages of magic 0 and 1 that an old Kafka left are checked, indexed and read as they are. */
static void test_old_messages(void **state)
{
    struct log_fixture *fixture = *state;
    uint8_t bytes[2048];
    uint8_t *p = bytes;
    for (int64_t offset = 0; offset < 10; offset++) {
        const struct old_message message = {.offset = offset,
                                            .timestamp = offset < 5 ? -1 : 1000 + offset,
                                            .value = SLICE("a value of some bytes"),
                                            .magic = offset < 5 ? 0 : 1};
        p = message_encode(&message, p);
    }
    const size_t size = (size_t)(p - bytes);
    assert_int_equal(mkdir(fixture->path, 0755), 0);
    put_file(fixture, "00000000000000000000.log", bytes, size - 1);
    fixture->hints.was_clean = false;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_offsets(fixture).end, 9);
    for (int64_t offset = 0; offset < 9; offset++) {
        assert_int_equal(fixture_first_base(fixture, offset, READ_TO_END), offset);
    }
    struct timestamp_offset found;
    assert_int_equal(log_find_timestamp(fixture->log, 1007, READ_TO_END, &found), E_OK);
    assert_int_equal(found.offset, 7);
    fixture_crash(fixture);
    bytes[size / 10 * 8] ^= 1;
    put_file(fixture, "00000000000000000000.log", bytes, size);
    fixture->hints.machine_restarted = true;
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_true(fixture_offsets(fixture).end < 9);
}

/* Recovery may be cut off itself and be done again. */
static void test_twice(void **state)
{
    struct log_fixture *fixture = *state;
    crash_with_ten(fixture);
    shorten(fixture, second_log, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_open(fixture), E_OK);
        assert_int_equal(fixture_offsets(fixture).end, 9);
        fixture_crash(fixture);
    }
    assert_int_equal(fixture_open(fixture), E_OK);
    check_log(fixture, 9);
}

static void test_topic_id(void **state)
{
    struct log_fixture *fixture = *state;
    const struct topic_partition partition = {.topic = SLICE("topic")};
    const struct uuid id = {{1, 2, 3}};
    const struct uuid other = {{4}};
    struct log *log;
    size_t size;
    assert_int_equal(log_open(&fixture->env, fixture->path, partition, &id, &fixture->config,
                              &fixture->hints, NULL, &log),
                     E_OK);
    log_free(log);
    uint8_t *text = fixture_file(fixture, "partition.metadata", &size);
    assert_int_equal(size, 43);
    assert_memory_equal(text, "version: 0\ntopic_id: ", 21);
    free(text);
    assert_int_equal(log_open(&fixture->env, fixture->path, partition, &other, &fixture->config,
                              &fixture->hints, NULL, &log),
                     E_INCONSISTENT_TOPIC_ID);
    assert_int_equal(log_open(&fixture->env, fixture->path, partition, NULL, &fixture->config,
                              &fixture->hints, NULL, &log),
                     E_OK);
    const struct uuid found = log_topic_id(log);
    assert_true(uuid_equal(&found, &id));
    log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_tail_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_garbage_and_zeros_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_checksum_at_the_end_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_before_valid_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_in_earlier_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_below_promises_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_below_high_watermark_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_indexes_are_hints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_producers_and_transactions_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_last_stable_offset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_epochs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftovers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_topic_id, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
