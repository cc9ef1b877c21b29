/* SPDX-License-Identifier: Apache-2.0 */

/* Proves that a header is decoded only when its numbers agree, and that the setters keep the CRC
 * right. */

#include "record/batch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void make_batch(uint8_t batch[RECORD_BATCH_HEADER_SIZE])
{
    const struct batch_header header = {
        .base_offset = 40,
        .base_timestamp = 1000,
        .max_timestamp = 2000,
        .producer_id = 5,
        .size = RECORD_BATCH_HEADER_SIZE,
        .partition_leader_epoch = 3,
        .last_offset_delta = 9,
        .base_sequence = INT32_MAX - 4,
        .count = 0,
        .producer_epoch = 2,
        .attributes = CODEC_ZSTD | BATCH_ATTRIBUTE_TRANSACTIONAL,
    };
    batch_header_encode(&header, batch);
    batch_set_crc(batch);
}

static void test_decode(void **state)
{
    uint8_t batch[RECORD_BATCH_HEADER_SIZE];
    struct batch_header header;
    (void)state;
    make_batch(batch);
    assert_int_equal(batch_header_decode(slice_of(batch, sizeof(batch)), &header), E_OK);
    assert_int_equal(batch_header_last_offset(&header), 49);
    assert_int_equal(batch_last_offset(batch), 49);
    assert_int_equal(batch_header_last_sequence(&header), 4); /* wrapped */
    assert_int_equal(batch_header_codec(&header), CODEC_ZSTD);
    assert_true(batch_is_transactional(batch));
    assert_false(batch_is_control(batch));
    for (size_t size = 0; size < sizeof(batch); size++) {
        assert_int_equal(batch_header_decode(slice_of(batch, size), &header), E_LOCAL_TRUNCATED);
    }
}

static void test_prefix_needs_no_records(void **state)
{
    uint8_t batch[RECORD_BATCH_HEADER_SIZE];
    struct batch_header header;
    (void)state;
    make_batch(batch);
    be32_store(batch + BATCH_LENGTH, 1000);
    const struct slice bytes = slice_of(batch, sizeof(batch));
    assert_int_equal(batch_header_decode(bytes, &header), E_LOCAL_TRUNCATED);
    assert_int_equal(batch_header_decode_prefix(bytes, &header), E_OK);
    assert_int_equal(header.size, 1012);
}

static void test_nonsense(void **state)
{
    static const struct {
        size_t at;
        uint8_t byte;
        enum error error;
    } cases[] = {
        {BATCH_MAGIC, 0, E_UNSUPPORTED_FOR_MESSAGE_FORMAT},
        {BATCH_MAGIC, 1, E_UNSUPPORTED_FOR_MESSAGE_FORMAT},
        {BATCH_MAGIC, 3, E_CORRUPT_MESSAGE},
        {BATCH_MAGIC, 0xFF, E_CORRUPT_MESSAGE},
        {BATCH_LENGTH, 0x80, E_CORRUPT_MESSAGE},
        {BATCH_LENGTH + 3, 48, E_CORRUPT_MESSAGE},
        {BATCH_BASE_OFFSET, 0x80, E_CORRUPT_MESSAGE},
        {BATCH_LAST_OFFSET_DELTA, 0x80, E_CORRUPT_MESSAGE},
        {BATCH_COUNT, 0x80, E_CORRUPT_MESSAGE},
        {BATCH_COUNT + 3, 11, E_CORRUPT_MESSAGE},
        {BATCH_ATTRIBUTES + 1, 5, E_CORRUPT_MESSAGE},
    };
    uint8_t batch[RECORD_BATCH_HEADER_SIZE];
    struct batch_header header;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_batch(batch);
        batch[cases[i].at] = cases[i].byte;
        assert_int_equal(batch_header_decode(slice_of(batch, sizeof(batch)), &header),
                         cases[i].error);
    }
    make_batch(batch);
    batch_set_base_offset(batch, INT64_MAX - 8); /* the last offset would overflow */
    assert_int_equal(batch_header_decode(slice_of(batch, sizeof(batch)), &header),
                     E_CORRUPT_MESSAGE);
}

static void test_setters_keep_the_crc_right(void **state)
{
    uint8_t batch[RECORD_BATCH_HEADER_SIZE];
    (void)state;
    make_batch(batch);
    batch_set_last_offset(batch, 1009);
    batch_set_partition_leader_epoch(batch, 77);
    assert_int_equal(batch_base_offset(batch), 1000);
    assert_int_equal(batch_partition_leader_epoch(batch), 77);
    assert_true(batch_crc_matches(batch));

    batch_set_max_timestamp(batch, true, 9999);
    assert_true(batch_is_log_append_time(batch));
    assert_int_equal(batch_max_timestamp(batch), 9999);
    assert_int_equal(batch_codec(batch), CODEC_ZSTD);
    assert_true(batch_crc_matches(batch));
    batch_set_max_timestamp(batch, false, 9999);
    assert_false(batch_is_log_append_time(batch));
    assert_true(batch_crc_matches(batch));
}

static void test_codec_names(void **state)
{
    enum codec codec;
    (void)state;
    for (int i = 0; i < CODEC_COUNT; i++) {
        const char *name = codec_name((enum codec)i);
        assert_true(codec_parse(slice_from_string(name), &codec));
        assert_int_equal(codec, i);
    }
    assert_true(codec_parse(SLICE("uncompressed"), &codec));
    assert_int_equal(codec, CODEC_NONE);
    assert_false(codec_parse(SLICE("brotli"), &codec));
    assert_false(codec_parse(SLICE("producer"), &codec));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),      cmocka_unit_test(test_prefix_needs_no_records),
        cmocka_unit_test(test_nonsense),    cmocka_unit_test(test_setters_keep_the_crc_right),
        cmocka_unit_test(test_codec_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
