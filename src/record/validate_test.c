/* SPDX-License-Identifier: Apache-2.0 */

/* Proves that the leader accepts what producers rightly send, and refuses each kind of damage and
 * each broken rule with Kafka's error code, for plain and for compressed batches. */

#include "record/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "record/build.h"
#include "record/iterate.h"

#include <cmocka.h>

#define NOW INT64_C(1700000000000)

struct fixture {
    struct batch_builder builder;
    struct inflate_scratch scratch;
    struct record_rules rules;
    struct record_report report;
    struct batch_header header;
    uint8_t *copy; /* the batch under test, writable */
    size_t size;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->rules = (struct record_rules){
        .now_ms = NOW,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = INT64_MAX,
        .size_max = 1048588,
        .inflate = true,
        .allow_zstd = true,
    };
    f->header = BATCH_HEADER_NONE;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    batch_builder_done(&f->builder);
    inflate_scratch_done(&f->scratch);
    free(f->copy);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    batch_builder_start(&f->builder, &f->header, CODEC_LEVEL_DEFAULT);
}

static void append(struct fixture *f, int64_t timestamp, struct slice key, struct slice value)
{
    const struct record record = {
        .offset = f->builder.header.count, .timestamp = timestamp, .key = key, .value = value};
    assert_int_equal(batch_builder_append(&f->builder, &record), E_OK);
}

static void finish(struct fixture *f)
{
    struct slice batch;
    assert_int_equal(batch_builder_finish(&f->builder, &batch), E_OK);
    free(f->copy);
    f->copy = malloc(batch.size);
    memcpy(f->copy, batch.data, batch.size);
    f->size = batch.size;
}

static void build_plain(struct fixture *f, int32_t count)
{
    start(f);
    for (int32_t i = 0; i < count; i++) {
        append(f, NOW + i % 7, SLICE("key"), SLICE("a value of some bytes"));
    }
    finish(f);
}

static enum error validate(struct fixture *f)
{
    return record_validate(slice_of(f->copy, f->size), &f->rules, &f->scratch, &f->report);
}

/* After a change inside the CRC, as a producer that means it would send it. */
static enum error validate_resealed(struct fixture *f)
{
    batch_set_crc(f->copy);
    return validate(f);
}

static void assert_refused(struct fixture *f, enum error error)
{
    assert_int_equal(validate(f), error);
    assert_true(f->report.error_count > 0 || f->report.text != NULL);
}

static void test_good_batch_of_each_codec(void **state)
{
    struct fixture *f = *state;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        build_plain(f, 1);
        assert_int_equal(validate(f), E_OK);
        build_plain(f, 5000); /* larger than the window */
        assert_int_equal(validate(f), E_OK);
        assert_int_equal(f->report.max_timestamp, NOW + 6);
        assert_int_equal(f->report.max_timestamp_delta, 6);
        assert_int_equal(f->report.header.count, 5000);
        assert_null(f->report.text);
    }
}

static void test_record_larger_than_window(void **state)
{
    struct fixture *f = *state;
    uint8_t *value = calloc(1, 900000);
    for (size_t i = 0; i < 900000; i++) {
        value[i] = (uint8_t)(i * i >> 3);
    }
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        start(f);
        append(f, NOW, SLICE_NULL, slice_of(value, 900000));
        append(f, NOW, SLICE_NULL, SLICE("small"));
        finish(f);
        assert_int_equal(validate(f), E_OK);
    }
    free(value);
}

static void test_nulls_empty_and_headers(void **state)
{
    struct fixture *f = *state;
    uint8_t headers[64];
    uint8_t *p = headers;
    p = record_header_write(p, &(struct record_header){SLICE("h"), SLICE("v")});
    p = record_header_write(p, &(struct record_header){SLICE(""), SLICE_NULL});
    start(f);
    append(f, NOW, SLICE_NULL, SLICE_NULL);
    append(f, NOW - 100000, SLICE(""), SLICE(""));
    const struct record record = {.offset = 2,
                                  .timestamp = NOW + 1,
                                  .headers = slice_of(headers, (size_t)(p - headers)),
                                  .header_count = 2};
    assert_int_equal(batch_builder_append(&f->builder, &record), E_OK);
    finish(f);
    assert_int_equal(validate(f), E_OK);
    assert_int_equal(f->report.max_timestamp_delta, 2);
}

static void test_field_is_not_one_batch(void **state)
{
    struct fixture *f = *state;
    build_plain(f, 3);
    const size_t size = f->size;
    f->size = 0;
    assert_refused(f, E_INVALID_RECORD);
    f->size = size - 1;
    assert_refused(f, E_INVALID_RECORD);
    f->copy = realloc(f->copy, 2 * size);
    memcpy(f->copy + size, f->copy, size);
    f->size = 2 * size;
    assert_refused(f, E_INVALID_RECORD);
}

static void test_magic(void **state)
{
    struct fixture *f = *state;
    build_plain(f, 1);
    f->copy[BATCH_MAGIC] = 1;
    assert_refused(f, E_INVALID_RECORD);
    f->copy[BATCH_MAGIC] = 3;
    assert_refused(f, E_CORRUPT_MESSAGE);
}

static void test_length_below_header(void **state)
{
    struct fixture *f = *state;
    build_plain(f, 1);
    be32_store(f->copy + BATCH_LENGTH, 48);
    assert_refused(f, E_CORRUPT_MESSAGE);
    be32_store(f->copy + BATCH_LENGTH, UINT32_MAX);
    assert_refused(f, E_CORRUPT_MESSAGE);
}

static void test_crc(void **state)
{
    struct fixture *f = *state;
    build_plain(f, 1);
    f->copy[f->size - 2] ^= 1;
    assert_refused(f, E_CORRUPT_MESSAGE);
}

static void test_size_max(void **state)
{
    struct fixture *f = *state;
    build_plain(f, 3);
    f->rules.size_max = (int32_t)f->size;
    assert_int_equal(validate(f), E_OK);
    f->rules.size_max--;
    assert_refused(f, E_MESSAGE_TOO_LARGE);
}

static void test_base_offset(void **state)
{
    struct fixture *f = *state;
    build_plain(f, 1);
    batch_set_base_offset(f->copy, 57);
    assert_refused(f, E_INVALID_RECORD);
    batch_set_base_offset(f->copy, -1);
    assert_refused(f, E_INVALID_RECORD);
}

static void test_counts_contradict(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t count;
        uint32_t last_offset_delta;
    } bad[] = {{0, 0}, {0, UINT32_MAX}, {4, 2},
               {3, 3}, {UINT32_MAX, 2}, {3, UINT32_MAX},
               {4, 3}, {2, 1},          {INT32_MAX, INT32_MAX - 1}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        build_plain(f, 3);
        be32_store(f->copy + BATCH_COUNT, bad[i].count);
        be32_store(f->copy + BATCH_LAST_OFFSET_DELTA, bad[i].last_offset_delta);
        batch_set_crc(f->copy);
        assert_refused(f, E_INVALID_RECORD);
    }
}

static void test_attributes(void **state)
{
    struct fixture *f = *state;
    f->header.attributes = BATCH_ATTRIBUTE_CONTROL;
    build_plain(f, 1);
    assert_refused(f, E_INVALID_RECORD);
    f->rules.allow_control = true;
    assert_int_equal(validate(f), E_OK);
    f->header.attributes = BATCH_ATTRIBUTE_LOG_APPEND_TIME;
    build_plain(f, 1);
    assert_refused(f, E_INVALID_TIMESTAMP);
    f->header.attributes = BATCH_ATTRIBUTE_DELETE_HORIZON;
    build_plain(f, 1);
    assert_refused(f, E_INVALID_RECORD);
    f->header.attributes = BATCH_ATTRIBUTE_TRANSACTIONAL;
    build_plain(f, 1);
    assert_refused(f, E_INVALID_RECORD);
    f->header.attributes = 0;
    f->header.producer_id = 5;
    build_plain(f, 1);
    assert_refused(f, E_INVALID_RECORD);
    f->header.producer_epoch = 0;
    f->header.base_sequence = 0;
    build_plain(f, 1);
    assert_int_equal(validate(f), E_OK);
}

static void test_codec(void **state)
{
    struct fixture *f = *state;
    f->header.attributes = CODEC_ZSTD;
    build_plain(f, 1);
    f->rules.allow_zstd = false;
    assert_refused(f, E_UNSUPPORTED_COMPRESSION_TYPE);
    f->rules.allow_zstd = true;
    be16_store(f->copy + BATCH_ATTRIBUTES, 5);
    assert_int_equal(validate_resealed(f), E_UNSUPPORTED_COMPRESSION_TYPE);
    be16_store(f->copy + BATCH_ATTRIBUTES, CODEC_GZIP); /* but the bytes are zstd */
    assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
}

static void test_keys_required(void **state)
{
    struct fixture *f = *state;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        start(f);
        append(f, NOW, SLICE("k"), SLICE("v"));
        for (int i = 1; i < 6; i++) {
            append(f, NOW, SLICE_NULL, SLICE("v"));
        }
        finish(f);
        f->rules.require_keys = false;
        assert_int_equal(validate(f), E_OK);
        f->rules.require_keys = true;
        f->rules.inflate = false; /* keys are looked at nevertheless */
        assert_refused(f, E_INVALID_RECORD);
        assert_int_equal(f->report.error_count, 5);
        assert_int_equal(f->report.errors[0].batch_index, 1);
        assert_int_equal(f->report.errors[2].batch_index, 3);
        assert_int_equal(f->report.errors[0].kind, RECORD_ERROR_NULL_KEY);
    }
}

static void test_timestamp_range(void **state)
{
    struct fixture *f = *state;
    f->rules.timestamp_before_max_ms = 1000;
    f->rules.timestamp_after_max_ms = 500;
    static const struct {
        int64_t timestamp;
        enum error error;
    } cases[] = {
        {NOW - 1000, E_OK},   {NOW - 1001, E_INVALID_TIMESTAMP},
        {NOW + 500, E_OK},    {NOW + 501, E_INVALID_TIMESTAMP},
        {NO_TIMESTAMP, E_OK}, {INT64_MAX, E_INVALID_TIMESTAMP},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(f);
        append(f, NOW, SLICE("k"), SLICE("v"));
        append(f, cases[i].timestamp, SLICE("k"), SLICE("v"));
        finish(f);
        f->rules.log_append_time = false;
        assert_int_equal(validate(f), cases[i].error);
        if (cases[i].error != E_OK) {
            assert_int_equal(f->report.error_count, 1);
            assert_int_equal(f->report.errors[0].batch_index, 1);
            assert_int_equal(f->report.errors[0].kind, RECORD_ERROR_TIMESTAMP);
            assert_int_equal(f->report.errors[0].timestamp_ms, cases[i].timestamp);
        }
        f->rules.log_append_time = true; /* the broker's clock counts, not the records' */
        assert_int_equal(validate(f), E_OK);
    }
}

static void test_unseen_timestamps(void **state)
{
    struct fixture *f = *state;
    f->rules.timestamp_after_max_ms = 500;
    f->rules.inflate = false;
    f->header.attributes = CODEC_LZ4;
    build_plain(f, 3);
    assert_int_equal(validate(f), E_OK);
    assert_int_equal(f->report.max_timestamp_delta, 2);
    be64_store(f->copy + BATCH_MAX_TIMESTAMP, (uint64_t)NOW + 501);
    assert_int_equal(validate_resealed(f), E_INVALID_TIMESTAMP);
}

/* Header of the first record: length, attributes, timestamp, offset, key length "key". */
static void test_record_framing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        size_t at; /* behind the batch header */
        uint8_t byte;
    } bad[] = {
        {0, 0},    /* no body */
        {0, 1},    /* negative length */
        {0, 0x3A}, /* one byte short */
        {0, 0x3E}, /* one byte long */
        {0, 0xFE}, /* far too long */
        {3, 2},    /* offset delta 1 where 0 belongs */
        {3, 1},    /* offset delta -1 */
        {4, 3},    /* key length -2 */
        {4, 0x7E}, /* key passes the record */
        {8, 3},    /* value length -2 */
        {8, 0x28}, /* value one byte short */
        {8, 0x2C}, /* value one byte long */
        {30, 1},   /* header count -1 */
        {30, 2},   /* a header that is not there */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        start(f);
        append(f, NOW, SLICE("key"), SLICE("a value of some bytes"));
        append(f, NOW, SLICE("key"), SLICE("a value of some bytes"));
        finish(f);
        assert_int_equal(f->copy[RECORD_BATCH_HEADER_SIZE], 0x3C);
        assert_int_equal(validate(f), E_OK);
        f->copy[RECORD_BATCH_HEADER_SIZE + bad[i].at] = bad[i].byte;
        assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
        assert_non_null(f->report.text);
    }
}

static void test_bytes_after_the_records(void **state)
{
    struct fixture *f = *state;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        build_plain(f, 4);
        be32_store(f->copy + BATCH_COUNT, 3);
        be32_store(f->copy + BATCH_LAST_OFFSET_DELTA, 2);
        assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
    }
}

static void test_compressed_block_is_cut_or_extended(void **state)
{
    struct fixture *f = *state;
    for (int codec = 1; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        build_plain(f, 4);
        const size_t size = f->size;
        for (size_t cut = 1; cut < size - RECORD_BATCH_HEADER_SIZE; cut++) {
            f->size = size - cut;
            be32_store(f->copy + BATCH_LENGTH, (uint32_t)(f->size - BATCH_PREFIX_SIZE));
            assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
        }
        f->size = size + 3;
        f->copy = realloc(f->copy, f->size);
        memset(f->copy + size, 0x55, 3);
        be32_store(f->copy + BATCH_LENGTH, (uint32_t)(f->size - BATCH_PREFIX_SIZE));
        assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
    }
}

static void test_bombs(void **state)
{
    struct fixture *f = *state;
    const size_t size = 24 * 1024 * 1024;
    uint8_t *value = calloc(1, size);
    for (int codec = 1; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        start(f);
        append(f, NOW, SLICE("k"), slice_of(value, size));
        finish(f);
        f->rules.size_max = 1400000; /* the compressed batch fits, 16 times that does not */
        assert_true(f->size < 1400000);
        assert_int_equal(validate(f), E_INVALID_RECORD);
        assert_true(f->scratch.capacity <= 1024 * 1024); /* nothing large is kept */
    }
    free(value);
}

static void test_snappy_claims_more_than_it_can_hold(void **state)
{
    struct fixture *f = *state;
    f->header.attributes = CODEC_SNAPPY;
    build_plain(f, 1);
    /* One raw block whose preamble claims 4 GiB - 1, and 16 MiB - 1. */
    static const uint8_t claims[][5] = {{0xFF, 0xFF, 0xFF, 0xFF, 0x0F},
                                        {0xFF, 0xFF, 0xFF, 0x07, 0}};
    for (size_t i = 0; i < 2; i++) {
        memcpy(f->copy + RECORD_BATCH_HEADER_SIZE, claims[i], sizeof(claims[i]));
        assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
        assert_int_equal(f->scratch.capacity, INFLATE_WINDOW_SIZE);
    }
}

static void test_lz4_dependent_blocks(void **state)
{
    struct fixture *f = *state;
    f->header.attributes = CODEC_LZ4;
    build_plain(f, 1);
    f->copy[RECORD_BATCH_HEADER_SIZE + 4] &= 0xDF;
    assert_int_equal(validate_resealed(f), E_INVALID_RECORD);
}

/* Flips every bit: outside the CRC's reach the rules decide; inside it must be noticed. */
static void test_every_bit_flip(void **state)
{
    struct fixture *f = *state;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        f->header.attributes = (uint16_t)codec;
        build_plain(f, 3);
        for (size_t bit = 0; bit < f->size * 8; bit++) {
            const size_t at = bit / 8;
            f->copy[at] ^= (uint8_t)(1U << bit % 8);
            const enum error error = validate(f);
            if (at >= BATCH_PARTITION_LEADER_EPOCH && at < BATCH_MAGIC) {
                assert_int_equal(error, E_OK);
            } else {
                assert_int_not_equal(error, E_OK);
            }
            if (at >= BATCH_ATTRIBUTES) {
                (void)validate_resealed(f); /* any answer, no crash */
            }
            f->copy[at] ^= (uint8_t)(1U << bit % 8);
            batch_set_crc(f->copy);
        }
    }
}

/* What the rules mean, record by record. */
static enum error validate_slowly(struct fixture *f)
{
    struct record_iterator it;
    struct record record;
    int64_t count = 0;
    bool is_good = true;
    const struct record_source source = {.batch = slice_of(f->copy, f->size)};
    if (record_iterator_open(&it, NULL, &source) != E_OK) {
        return E_INVALID_RECORD;
    }
    while (record_iterator_next(&it, &record)) {
        is_good = is_good && record.offset == count++;
    }
    return record_iterator_close(&it) == E_OK && is_good ? E_OK : E_INVALID_RECORD;
}

/* The fast walk skips records like the one before; it must not skip what is wrong in one. */
static void test_fast_walk_sees_what_the_iterator_sees(void **state)
{
    struct fixture *f = *state;
    size_t accepted = 0;
    start(f);
    for (int i = 0; i < 150; i++) { /* two bytes of offset delta from 64 on */
        append(f, NOW + i / 40, i < 100 ? SLICE("k") : SLICE_NULL,
               SLICE("0\0"
                     "123456"));
    }
    finish(f);
    assert_int_equal(validate(f), E_OK);
    for (size_t bit = RECORD_BATCH_HEADER_SIZE * 8; bit < f->size * 8; bit++) {
        f->copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
        batch_set_crc(f->copy);
        const enum error error = validate(f);
        assert_int_equal(error, validate_slowly(f));
        accepted += error == E_OK ? 1 : 0;
        f->copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    /* Keys, values, attributes and timestamps may be anything. */
    assert_true(accepted > 150 * 8 * 8);
}

static void test_max_timestamp_among_alike(void **state)
{
    struct fixture *f = *state;
    for (int latest = 0; latest < 300; latest += 7) {
        start(f);
        for (int i = 0; i < 300; i++) {
            append(f, i == latest ? NOW + 5 : NOW, SLICE("k"), SLICE("v"));
        }
        finish(f);
        assert_int_equal(validate(f), E_OK);
        assert_int_equal(f->report.max_timestamp, NOW + 5);
        assert_int_equal(f->report.max_timestamp_delta, latest);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_batch_of_each_codec),
        TEST(test_record_larger_than_window),
        TEST(test_nulls_empty_and_headers),
        TEST(test_field_is_not_one_batch),
        TEST(test_magic),
        TEST(test_length_below_header),
        TEST(test_crc),
        TEST(test_size_max),
        TEST(test_base_offset),
        TEST(test_counts_contradict),
        TEST(test_attributes),
        TEST(test_codec),
        TEST(test_keys_required),
        TEST(test_timestamp_range),
        TEST(test_unseen_timestamps),
        TEST(test_record_framing),
        TEST(test_bytes_after_the_records),
        TEST(test_compressed_block_is_cut_or_extended),
        TEST(test_bombs),
        TEST(test_snappy_claims_more_than_it_can_hold),
        TEST(test_lz4_dependent_blocks),
        TEST(test_every_bit_flip),
        TEST(test_fast_walk_sees_what_the_iterator_sees),
        TEST(test_max_timestamp_among_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
