/* SPDX-License-Identifier: Apache-2.0 */

/* Proves that end-transaction markers are written byte for byte as Kafka 3.9.1 wrote one, and that
 * short or unknown control records are told apart. */

#include "record/control.h"

#include <setjmp.h>
#include <stdarg.h>

#include "record/iterate.h"

#include <cmocka.h>

static void test_marker_is_what_kafka_writes(void **state)
{
    /* __consumer_offsets-0, offset 1 of tests/golden/disk: its CRC stands for its bytes. */
    const struct end_transaction_marker marker = {
        .producer_id = 7,
        .timestamp_ms = 1795365509815,
        .coordinator_epoch = 0,
        .producer_epoch = 0,
        .is_commit = true,
    };
    uint8_t batch[END_TRANSACTION_BATCH_SIZE];
    (void)state;
    end_transaction_batch_write(&marker, batch);
    assert_int_equal(batch_size(batch), 78);
    assert_int_equal(batch_attributes(batch), 48);
    assert_int_equal(batch_crc(batch), 0xd3a7b0a5);
    assert_true(batch_crc_matches(batch));
}

static void test_marker_round_trip(void **state)
{
    const struct end_transaction_marker marker = {
        .producer_id = 1 << 20, .coordinator_epoch = 70000, .producer_epoch = 3};
    uint8_t batch[END_TRANSACTION_BATCH_SIZE];
    struct record_iterator it;
    struct record record;
    enum control_type type;
    int32_t coordinator_epoch;
    (void)state;
    end_transaction_batch_write(&marker, batch);
    const struct record_source source = {.batch = slice_of(batch, sizeof(batch)),
                                         .check_crc = true};
    assert_int_equal(record_iterator_open(&it, NULL, &source), E_OK);
    assert_true(record_iterator_next(&it, &record));
    assert_int_equal(control_type_parse(record.key, &type), E_OK);
    assert_int_equal(type, CONTROL_ABORT);
    assert_int_equal(end_transaction_value_parse(record.value, &coordinator_epoch), E_OK);
    assert_int_equal(coordinator_epoch, 70000);
    assert_false(record_iterator_next(&it, &record));
    assert_int_equal(record_iterator_close(&it), E_OK);
    assert_int_equal(batch_producer_id(batch), 1 << 20);
    assert_int_equal(batch_producer_epoch(batch), 3);
}

static void test_keys_and_values_from_outside(void **state)
{
    static const uint8_t later[] = {0, 1, 0, 9, 1, 2};
    static const uint8_t negative[] = {0x80, 0, 0, 1, 0, 0};
    enum control_type type = CONTROL_COMMIT;
    int32_t epoch = 0;
    (void)state;
    assert_int_equal(control_type_parse(slice_of(later, 6), &type), E_OK);
    assert_int_equal(type, CONTROL_UNKNOWN);
    assert_int_equal(control_type_parse(slice_of(later, 3), &type), E_CORRUPT_MESSAGE);
    assert_int_equal(control_type_parse(slice_of(negative, 4), &type), E_CORRUPT_MESSAGE);
    assert_int_equal(control_type_parse(SLICE_NULL, &type), E_CORRUPT_MESSAGE);
    assert_int_equal(end_transaction_value_parse(slice_of(later, 5), &epoch), E_CORRUPT_MESSAGE);
    assert_int_equal(end_transaction_value_parse(slice_of(negative, 6), &epoch), E_CORRUPT_MESSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marker_is_what_kafka_writes),
        cmocka_unit_test(test_marker_round_trip),
        cmocka_unit_test(test_keys_and_values_from_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
