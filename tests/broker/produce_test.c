/* SPDX-License-Identifier: Apache-2.0 */

/* Produce on the wire: the rows of what Apache Kafka 4.1 was seen to answer. */

#include "protocol/messages/produce.h"

#include <string.h>
#include <time.h>

#include "broker/harness.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/init_producer_id.h"
#include "record/batch.h"

static struct node node;
static struct client client;

static int set_up(void **state)
{
    (void)state;
    node_start(&node, NULL, (char *)NULL);
    client_connect(&client, &node);
    (void)client_make_topic(&client, "t");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_close(&client);
    node_stop(&node);
    return 0;
}

static struct produce_request *make_request(const char *topic, int32_t partition, int16_t acks,
                                            struct slice records)
{
    struct produce_request *request = CLIENT_NEW(&client, produce_request);
    struct produce_request_topic_produce_data *data =
        CLIENT_NEW(&client, produce_request_topic_produce_data);
    request->acks = acks;
    request->timeout_ms = 5000;
    request->topic_data.items = data;
    request->topic_data.count = 1;
    data->name = slice_from_string(topic);
    data->partition_data.items = CLIENT_NEW(&client, produce_request_partition_produce_data);
    data->partition_data.count = 1;
    data->partition_data.items[0].index = partition;
    data->partition_data.items[0].records.bytes = records;
    return request;
}

static const struct produce_response_partition_produce_response *
produce_version(int16_t version, const struct produce_request *request)
{
    const struct produce_response *response = client_call(&client, API_PRODUCE, version, request);
    assert_int_equal(response->responses.count, 1);
    assert_int_equal(response->responses.items[0].partition_responses.count, 1);
    return &response->responses.items[0].partition_responses.items[0];
}

static struct slice one_record(void)
{
    const struct batch_spec spec = {.count = 1};
    return client_make_batch(&client, &spec);
}

static void expect(const struct produce_response_partition_produce_response *answer, int16_t error,
                   int64_t base_offset)
{
    assert_int_equal(answer->error_code, error);
    assert_int_equal(answer->base_offset, base_offset);
}

/* "Produce acks=0": no answer; the next response is that of the next request. */
static void acks_0(void **state)
{
    (void)state;
    (void)client_send(&client, API_PRODUCE, 9, make_request("t", 0, 0, one_record()));
    struct api_versions_request *request = CLIENT_NEW(&client, api_versions_request);
    const struct api_versions_response *response =
        client_call(&client, API_API_VERSIONS, 0, request);
    assert_int_equal(response->error_code, 0);
}

/* "Produce acks=0 with error (unknown topic)": connection closed. */
static void acks_0_with_an_error(void **state)
{
    struct client other;
    (void)state;
    client_connect(&other, &node);
    (void)client_send(&other, API_PRODUCE, 9, make_request("unknown", 0, 0, one_record()));
    assert_true(client_is_closed(&other));
    client_close(&other);
}

static void simple_rows(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "rows");
    /* "Produce acks=2" */
    expect(client_produce(&client, "rows", 0, 2, one_record()), 21, -1);
    /* "Produce acks=1 ok", acks=-1 */
    expect(client_produce(&client, "rows", 0, 1, one_record()), 0, 0);
    expect(client_produce(&client, "rows", 0, -1, one_record()), 0, 1);
    /* "Produce unknown topic v9", "Produce unknown partition" */
    expect(client_produce(&client, "unknown", 0, 1, one_record()), 3, -1);
    expect(client_produce(&client, "rows", 7, 1, one_record()), 3, -1);
    expect(client_produce(&client, "rows", -1, 1, one_record()), 3, -1);
    /* "Produce v13 unknown topic id" */
    struct produce_request *request = make_request("", 0, 1, one_record());
    request->topic_data.items[0].topic_id = (struct uuid){{9}};
    expect(produce_version(13, request), 100, -1);
    /* "Produce v3", and each later version */
    for (int16_t version = 3; version <= 12; version++) {
        expect(produce_version(version, make_request("rows", 0, 1, one_record())), 0, version - 1);
    }
    /* Log append time is not told for CreateTime; the log start is. */
    const struct produce_response_partition_produce_response *answer =
        client_produce(&client, "rows", 0, 1, one_record());
    assert_int_equal(answer->log_append_time_ms, -1);
    assert_int_equal(answer->log_start_offset, 0);
}

/* Batches that are not what they should be: refused, and nothing is appended. */
static void refused_batches(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "refused");
    const struct batch_spec offset_57 = {.base_offset = 57};
    const struct batch_spec control = {.attributes = BATCH_ATTRIBUTE_CONTROL};
    const struct batch_spec large = {.value_size = 1100000};
    struct slice bad_crc = one_record();
    ((uint8_t *)(uintptr_t)bad_crc.data)[bad_crc.size - 1] ^= 1;
    const struct slice one = one_record();
    uint8_t *two = client_alloc(&client, one.size * 2);
    memcpy(two, one.data, one.size);
    memcpy(two + one.size, one.data, one.size);
    const struct {
        struct slice records;
        int16_t error;
    } rows[] = {
        {bad_crc, 2},                                 /* "Produce bad CRC" */
        {slice_of(two, one.size * 2), 87},            /* "Produce two batches in one partition" */
        {SLICE(""), 87},                              /* "Produce empty records (0 bytes)" */
        {SLICE_NULL, 87},                             /* "Produce null records": do better */
        {client_make_batch(&client, &offset_57), 87}, /* "Produce baseOffset nonzero (57)" */
        {client_make_batch(&client, &control), 87},   /* "Produce control batch from client" */
        {client_make_batch(&client, &large), 10},     /* "Produce 1.1 MB record" */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect(client_produce(&client, "refused", 0, 1, rows[i].records), rows[i].error, -1);
    }
    expect(client_produce(&client, "refused", 0, 1, one_record()), 0, 0);
}

static void expect_text(struct slice text, const char *expected)
{
    if (!slice_equal_string(text, expected)) {
        fail_msg("\"%.*s\" instead of \"%s\"", (int)text.size, (const char *)text.data, expected);
    }
}

/* "Produce null key to compacted topic": the record is named, in Kafka's words. */
static void compacted(void **state)
{
    (void)state;
    client_make_topic_with(&client, "compacted", "cleanup.policy", "compact");
    const struct batch_spec spec = {.count = 2, .first_has_key = true};
    const struct produce_response_partition_produce_response *answer =
        client_produce(&client, "compacted", 0, 1, client_make_batch(&client, &spec));
    expect(answer, 87, -1);
    assert_int_equal(answer->record_errors.count, 1);
    assert_int_equal(answer->record_errors.items[0].batch_index, 1);
    expect_text(answer->record_errors.items[0].batch_index_error_message,
                "Compacted topic cannot accept message without key in topic partition "
                "compacted-0");
    expect_text(answer->error_message,
                "One or more records have been rejected due to 1 record errors in total, and only "
                "showing the first three errors at most: [RecordError(batchIndex=1, "
                "message='Compacted topic cannot accept message without key in topic partition "
                "compacted-0')]");
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void expect_bad_timestamp(const char *topic, int64_t timestamp_ms)
{
    const struct batch_spec spec = {.timestamp_ms = timestamp_ms};
    const struct produce_response_partition_produce_response *answer =
        client_produce(&client, topic, 0, 1, client_make_batch(&client, &spec));
    char expected[128];
    expect(answer, 32, -1);
    assert_int_equal(answer->record_errors.count, 1);
    assert_int_equal(answer->record_errors.items[0].batch_index, 0);
    const int size = snprintf(expected, sizeof(expected),
                              "Timestamp %lld of message with offset 0 is out of range. The "
                              "timestamp should be within [",
                              (long long)timestamp_ms);
    const struct slice text = answer->record_errors.items[0].batch_index_error_message;
    assert_true(text.size > (size_t)size);
    assert_memory_equal(text.data, expected, (size_t)size);
    expect_text(answer->error_message,
                "One or more records have been rejected due to invalid timestamp");
}

/* "Produce timestamp too old", "too new", "2 h in the future, default topic" (as 4.1), and
 * "Produce LogAppendTime topic". */
static void timestamps(void **state)
{
    (void)state;
    client_make_topic_with(&client, "before", "message.timestamp.before.max.ms", "1000");
    expect_bad_timestamp("before", now_ms() - 3600000);
    client_make_topic_with(&client, "after", "message.timestamp.after.max.ms", "1000");
    expect_bad_timestamp("after", now_ms() + 3600000);
    expect_bad_timestamp("t", now_ms() + 2 * 3600000);
    client_make_topic_with(&client, "append-time", "message.timestamp.type", "LogAppendTime");
    const int64_t before = now_ms();
    const struct produce_response_partition_produce_response *answer =
        client_produce(&client, "append-time", 0, 1, one_record());
    expect(answer, 0, 0);
    assert_true(answer->log_append_time_ms >= before - 1 && answer->log_append_time_ms <= now_ms());
}

/* "Produce acks=-1, ISR 1 < min.insync 2", "acks=1, …": one replica is enough where there is one.
 */
static void min_in_sync_replicas(void **state)
{
    (void)state;
    client_make_topic_with(&client, "min2", "min.insync.replicas", "2");
    expect(client_produce(&client, "min2", 0, -1, one_record()), 0, 0);
    expect(client_produce(&client, "min2", 0, 1, one_record()), 0, 1);
}

/* "Produce zstd batch with v6": 76; v7 takes it. */
static void zstd(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "zstd");
    const struct batch_spec spec = {.codec = CODEC_ZSTD};
    expect(produce_version(6, make_request("zstd", 0, 1, client_make_batch(&client, &spec))), 76,
           -1);
    expect(produce_version(7, make_request("zstd", 0, 1, client_make_batch(&client, &spec))), 0, 0);
}

/* --- idempotence --- */

static const struct produce_response_partition_produce_response *
produce_idempotent(int64_t producer_id, int16_t epoch, int32_t sequence)
{
    const struct batch_spec spec = {.has_producer = true,
                                    .producer_id = producer_id,
                                    .producer_epoch = epoch,
                                    .base_sequence = sequence,
                                    .timestamp_ms = 1795366435500};
    return client_produce(&client, "idempotent", 0, 1, client_make_batch(&client, &spec));
}

static void idempotent(void **state)
{
    (void)state;
    client_make_topic_with(&client, "idempotent", "message.timestamp.type", "CreateTime");
    struct init_producer_id_request *request = CLIENT_NEW(&client, init_producer_id_request);
    request->transactional_id = SLICE_NULL;
    const struct init_producer_id_response *init =
        client_call(&client, API_INIT_PRODUCER_ID, 4, request);
    assert_int_equal(init->error_code, 0);
    const int64_t id = init->producer_id;
    const struct {
        int64_t producer_id;
        int16_t epoch;
        int32_t sequence;
        int16_t error;
        int64_t base_offset;
        bool is_duplicate;
    } rows[] = {
        {id, 0, 0, 0, 0, false},   /* "Idempotent seq 0" */
        {id, 0, 0, 0, 0, true},    /* "seq 0 again (duplicate)" */
        {id, 0, 1, 0, 1, false},   /* "seq 1" */
        {id, 0, 5, 45, -1, false}, /* "seq 5 (gap)" */
        {id, 0, 0, 0, 0, true},    /* "seq 0 of 2 (old duplicate)" */
        {id, 0, 2, 0, 2, false},        {id, 0, 3, 0, 3, false}, {id, 0, 4, 0, 4, false},
        {id, 0, 5, 0, 5, false},        {id, 0, 6, 0, 6, false}, {id, 0, 7, 0, 7, false},
        {id, 0, 0, 45, -1, false},      /* "duplicate outside the 5-batch window" */
        {id, 1, 3, 45, -1, false},      /* "new epoch 1 with seq 3" */
        {id, 1, 0, 0, 8, false},        /* "new epoch 1 with seq 0" */
        {id, 0, 8, 47, -1, false},      /* "old epoch 0" */
        {id + 1000, 0, 7, 0, 9, false}, /* "unknown producer id first seq 7" */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct produce_response_partition_produce_response *answer =
            produce_idempotent(rows[i].producer_id, rows[i].epoch, rows[i].sequence);
        if (answer->error_code != rows[i].error || answer->base_offset != rows[i].base_offset) {
            fail_msg("row %zu: error %d, base offset %lld", i, answer->error_code,
                     (long long)answer->base_offset);
        }
        /* For a duplicate it is the stored batch's timestamp. */
        assert_int_equal(answer->log_append_time_ms, rows[i].is_duplicate ? 1795366435500 : -1);
    }
}

/* "Transactional batch without AddPartitionsToTxn (v9)": 49. */
static void transactional(void **state)
{
    (void)state;
    const struct batch_spec spec = {
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL, .has_producer = true, .producer_id = 5};
    struct produce_request *request = make_request("t", 0, -1, client_make_batch(&client, &spec));
    request->transactional_id = SLICE("id");
    expect(produce_version(9, request), 49, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acks_0),
        cmocka_unit_test(acks_0_with_an_error),
        cmocka_unit_test(simple_rows),
        cmocka_unit_test(refused_batches),
        cmocka_unit_test(compacted),
        cmocka_unit_test(timestamps),
        cmocka_unit_test(min_in_sync_replicas),
        cmocka_unit_test(zstd),
        cmocka_unit_test(idempotent),
        cmocka_unit_test(transactional),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
