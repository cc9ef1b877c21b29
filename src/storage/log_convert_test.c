/* SPDX-License-Identifier: Apache-2.0 */
/* Old messages are stored as batches of magic 2, and batches in the codec of their topic; what
 * replicas send is stored byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "record/iterate.h"
#include "storage/log_fixture.h"

#include <cmocka.h>

static int set_up(void **state)
{
    struct log_fixture *fixture = malloc(sizeof(*fixture));
    fixture_init(fixture, NULL);
    fixture->config.compression_level = CODEC_LEVEL_DEFAULT;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

/* Appends through an arena and with old formats allowed or not. */
static struct append append_with(struct log_fixture *fixture, struct slice bytes,
                                 bool magic_old_allowed, struct arena *arena)
{
    struct fixture_append item = {0};
    uint8_t *data = malloc(bytes.size);
    memcpy(data, bytes.data, bytes.size);
    fixture_queue(fixture, &item, data, 0, APPEND_FROM_CLIENT, 0); /* refused: it is empty */
    log_writer_flush(fixture->env.writer);
    assert_int_equal(item.append.error, E_INVALID_RECORD);
    item.append.data = data;
    item.append.size = bytes.size;
    item.append.arena = arena;
    item.append.magic_old_allowed = magic_old_allowed;
    log_append(fixture->log, &item.append);
    log_writer_flush(fixture->env.writer);
    free(data);
    return item.append;
}

/* The records of the log's first batch. */
static void check_records(struct log_fixture *fixture, int32_t count, size_t value_size,
                          enum codec codec)
{
    struct log_read read = {.offset = 0, .size_max = 1, .at_least_one_batch = true};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    uint8_t *bytes = fixture_read_bytes(&read);
    assert_int_equal(batch_magic(bytes), 2);
    assert_int_equal(batch_codec(bytes), codec);
    assert_int_equal(batch_count(bytes), count);
    struct record_iterator it;
    struct record record;
    const struct record_source source = {.batch = slice_of(bytes, read.size), .check_crc = true};
    assert_int_equal(record_iterator_open(&it, fixture->scratch, &source), E_OK);
    int32_t offset = 0;
    while (record_iterator_next(&it, &record)) {
        assert_int_equal(record.offset, offset++);
        assert_int_equal(record.value.size, value_size);
    }
    assert_int_equal(record_iterator_close(&it), E_OK);
    assert_int_equal(offset, count);
    free(bytes);
    file_unref(read.file);
}

static void test_topic_codec(void **state)
{
    struct log_fixture *fixture = *state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    fixture->config.compression = COMPRESSION_LZ4;
    assert_int_equal(fixture_open(fixture), E_OK);
    size_t size;
    uint8_t *data = fixture_batch(
        fixture, &(struct batch_spec){.count = 5, .value_size = 300, .codec = CODEC_GZIP}, &size);
    const struct append append = append_with(fixture, slice_of(data, size), false, &arena);
    assert_int_equal(append.error, E_OK);
    assert_int_equal(append.last_offset, 4);
    check_records(fixture, 5, 300, CODEC_LZ4);
    /* Without room for the new bytes it is refused, and nothing is appended. */
    const struct append refused = append_with(fixture, slice_of(data, size), false, NULL);
    assert_int_equal(refused.error, E_LOCAL_NO_MEMORY);
    assert_int_equal(fixture_offsets(fixture).end, 5);
    free(data);
    arena_done(&arena);
}

static void test_old_messages(void **state)
{
    struct log_fixture *fixture = *state;
    struct arena arena;
    uint8_t bytes[1024];
    uint8_t *p = bytes;
    arena_init(&arena, 1 << 20);
    assert_int_equal(fixture_open(fixture), E_OK);
    for (int i = 0; i < 3; i++) {
        const struct old_message message = {
            .offset = i, .timestamp = 1000 + i, .value = SLICE("12345"), .magic = 1};
        p = message_encode(&message, p);
    }
    const struct slice set = slice_of(bytes, (size_t)(p - bytes));
    assert_int_equal(append_with(fixture, set, false, &arena).error, E_INVALID_RECORD);
    const struct append append = append_with(fixture, set, true, &arena);
    assert_int_equal(append.error, E_OK);
    assert_int_equal(append.base_offset, 0);
    assert_int_equal(append.last_offset, 2);
    check_records(fixture, 3, 5, CODEC_NONE);
    arena_done(&arena);
}

/* Batches of a leader with offsets and epochs, one behind the other. */
static size_t leader_bytes(struct log_fixture *fixture, uint8_t *bytes, const int64_t *offsets,
                           const int32_t *epochs, int count)
{
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        size_t size;
        uint8_t *batch =
            fixture_batch(fixture, &(struct batch_spec){.count = 2, .codec = CODEC_ZSTD}, &size);
        batch_set_base_offset(batch, offsets[i]);
        batch_set_partition_leader_epoch(batch, epochs[i]);
        memcpy(bytes + at, batch, size);
        at += size;
        free(batch);
    }
    return at;
}

static void test_replica(void **state)
{
    struct log_fixture *fixture = *state;
    static const int64_t offsets[] = {10, 12, 20}; /* a gap: the leader's log is compacted */
    static const int32_t epochs[] = {1, 1, 4};
    uint8_t bytes[2048];
    uint8_t original[2048];
    struct fixture_append item;
    fixture->config.compression = COMPRESSION_LZ4; /* does not matter here (rule 14) */
    assert_int_equal(fixture_open(fixture), E_OK);
    const size_t size = leader_bytes(fixture, bytes, offsets, epochs, 3);
    memcpy(original, bytes, size);
    fixture_queue(fixture, &item, bytes, size - 1, APPEND_FROM_LEADER, 4); /* the last is cut */
    log_writer_flush(fixture->env.writer);
    assert_int_equal(item.append.error, E_OK);
    assert_int_equal(item.append.base_offset, 10);
    assert_int_equal(item.append.last_offset, 13);
    assert_int_equal(log_latest_epoch(fixture->log), 1);
    const size_t first_two = size / 3 * 2;
    fixture_queue(fixture, &item, bytes + first_two, size - first_two, APPEND_FROM_LEADER, 4);
    log_writer_flush(fixture->env.writer);
    assert_int_equal(item.append.error, E_OK);
    assert_int_equal(fixture_offsets(fixture).end, 22);
    assert_int_equal(log_epoch_end(fixture->log, 1).end_offset, 20);
    assert_int_equal(log_epoch_end(fixture->log, 4).end_offset, 22);
    struct log_read read = {.offset = 0, .size_max = 1 << 20};
    assert_int_equal(log_read(fixture->log, &read), E_OK);
    assert_int_equal(read.size, size);
    uint8_t *stored = fixture_read_bytes(&read);
    assert_memory_equal(stored, original, size);
    free(stored);
    file_unref(read.file);
    assert_int_equal(fixture_first_base(fixture, 15, READ_TO_END), 20);
    /* What the log has already, and damage, are refused. */
    fixture_queue(fixture, &item, bytes, size, APPEND_FROM_LEADER, 4);
    log_writer_flush(fixture->env.writer);
    assert_int_equal(item.append.error, E_OFFSET_OUT_OF_RANGE);
    batch_set_base_offset(bytes, 30);
    bytes[size / 3 - 1] ^= 1;
    fixture_queue(fixture, &item, bytes, size, APPEND_FROM_LEADER, 4);
    log_writer_flush(fixture->env.writer);
    assert_int_equal(item.append.error, E_CORRUPT_MESSAGE);
    assert_int_equal(fixture_offsets(fixture).end, 22);
}

/* Offsets that no longer fit relative to the segment's base begin a new one. */
static void test_far_offsets(void **state)
{
    struct log_fixture *fixture = *state;
    static const int32_t epoch = 0;
    static const int64_t offsets[] = {0, INT32_MAX - 1, INT32_MAX, INT64_C(1) << 40};
    uint8_t bytes[1024];
    struct fixture_append item;
    assert_int_equal(fixture_open(fixture), E_OK);
    for (int i = 0; i < 4; i += i == 1 ? 2 : 1) {
        const size_t size = leader_bytes(fixture, bytes, &offsets[i], &epoch, 1);
        fixture_queue(fixture, &item, bytes, size, APPEND_FROM_LEADER, 0);
        log_writer_flush(fixture->env.writer);
        assert_int_equal(item.append.error, E_OK);
        assert_int_equal(fixture_first_base(fixture, offsets[i], READ_TO_END), offsets[i]);
    }
    assert_int_equal(log_segment_count(fixture->log), 2);
    fixture_crash(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_first_base(fixture, 5, READ_TO_END), INT32_MAX - 1);
    assert_int_equal(fixture_offsets(fixture).end, (INT64_C(1) << 40) + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_topic_codec, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replica, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_far_offsets, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
