/* SPDX-License-Identifier: Apache-2.0 */

/* Proves that message sets of magic 0 and 1, plain and wrapped, are read with the right offsets
 * and become one batch of magic 2 with the same records; that another codec changes nothing but
 * the codec; and that damaged ones are refused. */

#include "record/convert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "record/iterate.h"
#include "record/validate.h"

#include <cmocka.h>

#define NOW INT64_C(1700000000000)

struct fixture {
    struct batch_builder builder;
    struct inflate_scratch scratch;
    struct deflate_scratch deflate;
    struct convert_options options;
    struct byte_vector set; /* the message set under test */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->options = (struct convert_options){
        .size_max = 1048588, .keep_codec = true, .level = CODEC_LEVEL_DEFAULT};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    batch_builder_done(&f->builder);
    inflate_scratch_done(&f->scratch);
    deflate_scratch_done(&f->deflate);
    byte_vector_done(&f->set);
    free(f);
    return 0;
}

static void append_message(struct byte_vector *set, const struct old_message *message)
{
    const size_t size = message_encoded_size(message);
    assert_int_equal(byte_vector_reserve(set, size), E_OK);
    assert_ptr_equal(message_encode(message, set->data + set->size), set->data + set->size + size);
    set->size += size;
}

/* Message i of a set: key "k", value "v", and a timestamp that rises. */
static struct old_message plain_message(int8_t magic, int64_t offset, int64_t i)
{
    return (struct old_message){
        .offset = offset,
        .timestamp = NOW + i,
        .key = i % 3 == 0 ? SLICE_NULL : SLICE("k"),
        .value = i % 5 == 4 ? SLICE_NULL : SLICE("value value value"),
        .magic = magic,
    };
}

struct wrapping {
    int8_t magic;
    enum codec codec;
    int64_t offset;       /* of the wrapper */
    int64_t inner_offset; /* of the first inner message */
    int64_t count;
};

static void append_wrapper(struct fixture *f, const struct wrapping *w)
{
    struct byte_vector inner = {0};
    struct byte_vector block = {0};
    for (int64_t i = 0; i < w->count; i++) {
        const struct old_message message = plain_message(w->magic, w->inner_offset + i, i);
        append_message(&inner, &message);
    }
    const struct deflate_options options = {
        .codec = w->codec, .level = CODEC_LEVEL_DEFAULT, .magic = w->magic};
    assert_int_equal(
        deflate_append(&f->deflate, &options, slice_of(inner.data, inner.size), &block), E_OK);
    const struct old_message wrapper = {
        .offset = w->offset,
        .timestamp = NOW + w->count - 1,
        .value = slice_of(block.data, block.size),
        .codec = w->codec,
        .magic = w->magic,
    };
    append_message(&f->set, &wrapper);
    byte_vector_done(&inner);
    byte_vector_done(&block);
}

static enum error convert(struct fixture *f, struct slice *ret_batch)
{
    return message_set_convert(&f->builder, &f->scratch, slice_of(f->set.data, f->set.size),
                               &f->options, ret_batch);
}

static void assert_records(struct fixture *f, struct slice batch, int8_t magic, int64_t count)
{
    struct record_iterator it;
    struct record record;
    const struct record_source source = {.batch = batch, .check_crc = true};
    assert_int_equal(record_iterator_open(&it, &f->scratch, &source), E_OK);
    int64_t i = 0;
    for (; record_iterator_next(&it, &record); i++) {
        const struct old_message message = plain_message(magic, 0, i);
        assert_int_equal(record.offset, i);
        assert_int_equal(record.timestamp, magic == 0 ? NO_TIMESTAMP : message.timestamp);
        assert_true(slice_equal(record.key, message.key));
        assert_int_equal(slice_is_null(record.key), slice_is_null(message.key));
        assert_true(slice_equal(record.value, message.value));
        assert_int_equal(slice_is_null(record.value), slice_is_null(message.value));
        assert_int_equal(record.header_count, 0);
    }
    assert_int_equal(record_iterator_close(&it), E_OK);
    assert_int_equal(i, count);
}

static void assert_valid(struct fixture *f, struct slice batch)
{
    struct record_report report;
    const struct record_rules rules = {.now_ms = NOW,
                                       .timestamp_before_max_ms = INT64_MAX,
                                       .timestamp_after_max_ms = INT64_MAX,
                                       .size_max = 1048588,
                                       .inflate = true,
                                       .allow_zstd = true};
    assert_int_equal(record_validate(batch, &rules, &f->scratch, &report), E_OK);
    assert_int_equal(report.max_timestamp, batch_max_timestamp(batch.data));
}

static void test_plain_set_becomes_one_batch(void **state)
{
    struct fixture *f = *state;
    for (int8_t magic = 0; magic < 2; magic++) {
        struct slice batch;
        f->set.size = 0;
        for (int64_t i = 0; i < 9; i++) {
            const struct old_message message = plain_message(magic, i, i);
            append_message(&f->set, &message);
        }
        assert_int_equal(convert(f, &batch), E_OK);
        assert_valid(f, batch);
        assert_records(f, batch, magic, 9);
        assert_int_equal(batch_codec(batch.data), CODEC_NONE);
        assert_int_equal(batch_producer_id(batch.data), NO_PRODUCER_ID);
        assert_int_equal(batch_base_sequence(batch.data), NO_SEQUENCE);
    }
}

static void test_wrappers_become_one_batch_of_their_codec(void **state)
{
    struct fixture *f = *state;
    for (int8_t magic = 0; magic < 2; magic++) {
        for (int codec = CODEC_GZIP; codec <= CODEC_LZ4; codec++) {
            struct slice batch;
            f->set.size = 0;
            /* As producers send it: the wrapper's offset says nothing. */
            append_wrapper(
                f, &(struct wrapping){.magic = magic, .codec = (enum codec)codec, .count = 500});
            assert_int_equal(convert(f, &batch), E_OK);
            assert_valid(f, batch);
            assert_int_equal(batch_codec(batch.data), codec);
            assert_records(f, batch, magic, 500);
        }
    }
}

static void test_codec_of_the_topic_wins(void **state)
{
    struct fixture *f = *state;
    struct slice batch;
    append_wrapper(f, &(struct wrapping){.magic = 1, .codec = CODEC_GZIP, .count = 20});
    f->options.keep_codec = false;
    f->options.codec = CODEC_ZSTD;
    assert_int_equal(convert(f, &batch), E_OK);
    assert_int_equal(batch_codec(batch.data), CODEC_ZSTD);
    assert_records(f, batch, 1, 20);
}

/* Of a producer of message format 1, recorded before a broker of 3.9.1. */
static void test_recorded_message(void **state)
{
    static const uint8_t recorded[] = {
        0, 0, 0, 0,    0,    0,    0,    0,    0, 0, 0, 0x18, 0x46, 0x67, 0x62, 0x11, 1, 0,
        0, 0, 1, 0xa2, 0x04, 0x2d, 0xba, 0xac, 0, 0, 0, 1,    'k',  0,    0,    0,    1, 'v',
    };
    struct fixture *f = *state;
    struct slice batch;
    assert_int_equal(message_set_convert(&f->builder, &f->scratch,
                                         slice_of(recorded, sizeof(recorded)), &f->options, &batch),
                     E_OK);
    assert_int_equal(batch_max_timestamp(batch.data), 0x1a2042dbaac);
    assert_int_equal(batch_count(batch.data), 1);
}

static void assert_stored_offsets(struct fixture *f, int64_t first, int64_t count)
{
    struct record_iterator it;
    struct record record;
    const struct record_source source = {.batch = slice_of(f->set.data, f->set.size),
                                         .check_crc = true};
    assert_int_equal(record_iterator_open(&it, &f->scratch, &source), E_OK);
    int64_t i = 0;
    for (; record_iterator_next(&it, &record); i++) {
        assert_int_equal(record.offset, first + i);
    }
    assert_int_equal(record_iterator_close(&it), E_OK);
    assert_int_equal(i, count);
}

static void test_offsets_of_stored_wrappers(void **state)
{
    struct fixture *f = *state;
    append_wrapper(
        f, &(struct wrapping){.magic = 1, .codec = CODEC_SNAPPY, .offset = 1009, .count = 10});
    assert_stored_offsets(f, 1000, 10);
    f->set.size = 0;
    append_wrapper(
        f, &(struct wrapping){
               .magic = 0, .codec = CODEC_LZ4, .offset = 1009, .inner_offset = 1000, .count = 10});
    assert_stored_offsets(f, 1000, 10);
}

static void test_log_append_time_of_a_wrapper(void **state)
{
    struct fixture *f = *state;
    struct record_iterator it;
    struct record record;
    append_wrapper(f, &(struct wrapping){.magic = 1, .codec = CODEC_GZIP, .offset = 1, .count = 2});
    struct old_message wrapper;
    assert_int_equal(message_decode(slice_of(f->set.data, f->set.size), &wrapper), E_OK);
    uint8_t bytes[400];
    wrapper.is_log_append_time = true;
    wrapper.timestamp = 5;
    const uint8_t *end = message_encode(&wrapper, bytes);
    const struct record_source source = {.batch = slice_of(bytes, (size_t)(end - bytes)),
                                         .check_crc = true};
    assert_int_equal(record_iterator_open(&it, &f->scratch, &source), E_OK);
    assert_true(record_iterator_next(&it, &record));
    assert_int_equal(record.timestamp, 5);
    assert_int_equal(record_iterator_close(&it), E_OK); /* early */
}

static void test_refused_sets(void **state)
{
    struct fixture *f = *state;
    struct slice batch;
    assert_int_equal(convert(f, &batch), E_INVALID_RECORD); /* nothing */

    const struct old_message message = plain_message(1, 0, 1);
    append_message(&f->set, &message);
    f->set.size--;
    assert_int_equal(convert(f, &batch), E_CORRUPT_MESSAGE); /* cut off */
    f->set.size++;
    f->options.size_max = (int32_t)f->set.size - 1;
    assert_int_equal(convert(f, &batch), E_MESSAGE_TOO_LARGE);
    f->options.size_max++;
    assert_int_equal(convert(f, &batch), E_OK);
    f->set.data[f->set.size - 1] ^= 1;
    assert_int_equal(convert(f, &batch), E_CORRUPT_MESSAGE); /* CRC */
    f->set.data[BATCH_MAGIC] = 2;
    assert_int_equal(convert(f, &batch), E_INVALID_RECORD);
    f->set.data[BATCH_MAGIC] = 0; /* then the timestamp is taken for the sizes */
    assert_int_equal(convert(f, &batch), E_CORRUPT_MESSAGE);
}

/* A wrapper around inner, whatever that is. */
static enum error convert_wrapped(struct fixture *f, struct slice inner)
{
    struct byte_vector block = {0};
    struct slice batch;
    const struct deflate_options options = {
        .codec = CODEC_GZIP, .level = CODEC_LEVEL_DEFAULT, .magic = 1};
    assert_int_equal(deflate_append(&f->deflate, &options, inner, &block), E_OK);
    const struct old_message wrapper = {
        .value = slice_of(block.data, block.size), .codec = CODEC_GZIP, .magic = 1};
    f->set.size = 0;
    append_message(&f->set, &wrapper);
    byte_vector_done(&block);
    return convert(f, &batch);
}

static void test_refused_inner_messages(void **state)
{
    struct fixture *f = *state;
    uint8_t inner[256];
    struct old_message message = plain_message(1, 0, 1);
    const size_t size = (size_t)(message_encode(&message, inner) - inner);
    assert_int_equal(convert_wrapped(f, slice_of(inner, size)), E_OK);
    assert_int_equal(convert_wrapped(f, slice_of(inner, size - 1)), E_CORRUPT_MESSAGE);
    assert_int_equal(convert_wrapped(f, slice_of(inner, 3)), E_CORRUPT_MESSAGE);
    inner[size - 1] ^= 1;
    assert_int_equal(convert_wrapped(f, slice_of(inner, size)), E_CORRUPT_MESSAGE); /* CRC */
    message.codec = CODEC_LZ4; /* a wrapper in a wrapper */
    (void)message_encode(&message, inner);
    assert_int_equal(convert_wrapped(f, slice_of(inner, size)), E_CORRUPT_MESSAGE);
    message = plain_message(0, 0, 1); /* another magic */
    const size_t size_0 = (size_t)(message_encode(&message, inner) - inner);
    assert_int_equal(convert_wrapped(f, slice_of(inner, size_0)), E_CORRUPT_MESSAGE);
}

static void test_set_that_inflates_too_far(void **state)
{
    struct fixture *f = *state;
    struct slice batch;
    for (int i = 0; i < 20; i++) {
        append_wrapper(f, &(struct wrapping){.magic = 1, .codec = CODEC_GZIP, .count = 100});
    }
    f->options.size_max = 2000; /* 32,000 bytes: each message is below it, all are not */
    assert_int_equal(convert(f, &batch), E_INVALID_RECORD);
}

static void test_recompress_keeps_everything_else(void **state)
{
    struct fixture *f = *state;
    struct batch_builder other = {0};
    f->options.keep_codec = false;
    for (int from = 0; from < CODEC_COUNT; from++) {
        for (int to = 0; to < CODEC_COUNT; to++) {
            struct batch_header header = BATCH_HEADER_NONE;
            struct slice before;
            struct slice after;
            header.attributes = (uint16_t)from | BATCH_ATTRIBUTE_TRANSACTIONAL;
            header.producer_id = 9;
            header.producer_epoch = 1;
            header.base_sequence = 70;
            batch_builder_start(&other, &header, CODEC_LEVEL_DEFAULT);
            for (int64_t i = 0; i < 300; i++) {
                const struct old_message message = plain_message(1, i, i);
                const struct record record = {.offset = i,
                                              .timestamp = message.timestamp,
                                              .key = message.key,
                                              .value = message.value};
                assert_int_equal(batch_builder_append(&other, &record), E_OK);
            }
            assert_int_equal(batch_builder_finish(&other, &before), E_OK);
            f->options.codec = (enum codec)to;
            assert_int_equal(
                batch_recompress(&f->builder, &f->scratch, before, &f->options, &after), E_OK);
            assert_valid(f, after);
            assert_records(f, after, 1, 300);
            assert_int_equal(batch_attributes(after.data), to | BATCH_ATTRIBUTE_TRANSACTIONAL);
            /* From the last offset delta to the count: timestamps, producer, sequence. */
            assert_memory_equal(before.data + BATCH_LAST_OFFSET_DELTA,
                                after.data + BATCH_LAST_OFFSET_DELTA,
                                RECORD_BATCH_HEADER_SIZE - BATCH_LAST_OFFSET_DELTA);
            f->options.size_max = 100; /* 1,600 bytes */
            assert_int_equal(
                batch_recompress(&f->builder, &f->scratch, before, &f->options, &after),
                from == CODEC_NONE ? E_OK : E_INVALID_RECORD);
            f->options.size_max = 1048588;
        }
    }
    batch_builder_done(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain_set_becomes_one_batch),
        TEST(test_wrappers_become_one_batch_of_their_codec),
        TEST(test_codec_of_the_topic_wins),
        TEST(test_recorded_message),
        TEST(test_offsets_of_stored_wrappers),
        TEST(test_log_append_time_of_a_wrapper),
        TEST(test_refused_sets),
        TEST(test_refused_inner_messages),
        TEST(test_set_that_inflates_too_far),
        TEST(test_recompress_keeps_everything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
