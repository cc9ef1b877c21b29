/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch and ListOffsets on the wire: the rows of what Apache Kafka 4.1 was seen to answer about a
 * partition of five batches with three records each. */

#include "protocol/messages/fetch.h"

#include <time.h>

#include "base/bytes.h"
#include "broker/harness.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/produce.h"
#include "record/batch.h"

enum {
    BATCH_COUNT_ALL = 5,
    RECORD_COUNT = 3,
    END = BATCH_COUNT_ALL * RECORD_COUNT,
    BYTES = 1 << 20,
};

static struct node node;
static struct client client;
static int64_t first_timestamp;
static int32_t one_batch_size;

static int set_up(void **state)
{
    struct timespec now;
    (void)state;
    node_start(&node, NULL, (char *)NULL);
    client_connect(&client, &node);
    (void)client_make_topic(&client, "t");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    first_timestamp = (int64_t)now.tv_sec * 1000;
    for (int i = 0; i < BATCH_COUNT_ALL; i++) {
        const struct batch_spec spec = {.count = RECORD_COUNT, .timestamp_ms = first_timestamp + i};
        const struct slice batch = client_make_batch(&client, &spec);
        one_batch_size = (int32_t)batch.size;
        assert_int_equal(client_produce(&client, "t", 0, 1, batch)->error_code, 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_close(&client);
    node_stop(&node);
    return 0;
}

struct fetch_spec {
    int64_t offset;
    int32_t partition_max_bytes;
    int32_t max_bytes;
    int32_t max_wait_ms;
    int32_t min_bytes;
    int32_t leader_epoch;
    int32_t partition;
    const char *topic; /* NULL: "t" */
    int16_t version;   /* 0: 12 */
};

static const struct fetch_spec WHOLE = {
    .partition_max_bytes = BYTES, .max_bytes = BYTES, .min_bytes = 1, .leader_epoch = -1};

static struct fetch_request *make_request(const struct fetch_spec *spec)
{
    struct fetch_request *request = CLIENT_NEW(&client, fetch_request);
    struct fetch_request_fetch_topic *topic = CLIENT_NEW(&client, fetch_request_fetch_topic);
    struct fetch_request_fetch_partition *part = CLIENT_NEW(&client, fetch_request_fetch_partition);
    request->max_wait_ms = spec->max_wait_ms;
    request->min_bytes = spec->min_bytes;
    request->max_bytes = spec->max_bytes;
    request->topics.items = topic;
    request->topics.count = 1;
    topic->topic = spec->topic == NULL ? SLICE("t") : slice_from_string(spec->topic);
    topic->partitions.items = part;
    topic->partitions.count = 1;
    part->partition = spec->partition;
    part->fetch_offset = spec->offset;
    part->current_leader_epoch = spec->leader_epoch;
    part->partition_max_bytes = spec->partition_max_bytes;
    return request;
}

static const struct fetch_response_partition_data *fetch(const struct fetch_spec *spec)
{
    const struct fetch_response *response = client_call(
        &client, API_FETCH, spec->version == 0 ? 12 : spec->version, make_request(spec));
    assert_int_equal(response->error_code, 0);
    assert_int_equal(response->responses.count, 1);
    assert_int_equal(response->responses.items[0].partitions.count, 1);
    return &response->responses.items[0].partitions.items[0];
}

/* Whole batches; *ret_partial: bytes of another one follow. */
static int count_batches(struct slice records, int64_t *ret_first, bool *ret_partial)
{
    int count = 0;
    size_t at = 0;
    *ret_first = -1;
    while (records.size - at >= RECORD_BATCH_HEADER_SIZE &&
           batch_size(records.data + at) <= (int64_t)(records.size - at)) {
        if (count++ == 0) {
            *ret_first = batch_base_offset(records.data);
        }
        at += (size_t)batch_size(records.data + at);
    }
    *ret_partial = at < records.size;
    return count;
}

static void data_rows(void **state)
{
    (void)state;
    const struct {
        int64_t offset;
        int32_t partition_max_bytes;
        int32_t max_bytes;
        int64_t first;
        int batch_count;
        bool is_partial;
    } rows[] = {
        {1, BYTES, BYTES, 0, 5, false}, /* "Fetch from offset inside a batch (1 of 0-2)" */
        {0, 1, BYTES, 0, 1, false},     /* "Fetch partition max bytes 1" */
        {0, BYTES, 1, 0, 1, false},     /* "Fetch max bytes 1" */
        /* "Fetch partition max bytes = 1.5 batches" */
        {0, one_batch_size * 3 / 2, BYTES, 0, 1, true},
        {0, 0, BYTES, 0, 1, false}, /* "Fetch v12 partition max bytes 0" */
        {3, BYTES, BYTES, 3, 4, false},
        {14, BYTES, BYTES, 12, 1, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fetch_spec spec = WHOLE;
        spec.offset = rows[i].offset;
        spec.partition_max_bytes = rows[i].partition_max_bytes;
        spec.max_bytes = rows[i].max_bytes;
        const struct fetch_response_partition_data *data = fetch(&spec);
        int64_t first;
        bool is_partial;
        assert_int_equal(data->error_code, 0);
        assert_int_equal(data->high_watermark, END);
        assert_int_equal(data->last_stable_offset, END);
        assert_int_equal(data->log_start_offset, 0);
        assert_true(ARRAY_IS_NULL(data->aborted_transactions));
        assert_int_equal(count_batches(data->records.bytes, &first, &is_partial),
                         rows[i].batch_count);
        assert_int_equal(first, rows[i].first);
        assert_int_equal(is_partial, rows[i].is_partial);
    }
}

static void error_rows(void **state)
{
    (void)state;
    struct fetch_spec specs[] = {WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE};
    specs[0].offset = 99; /* "Fetch offset 99" */
    specs[1].offset = -5; /* "Fetch offset -5" */
    specs[2].offset = 99; /* "Fetch with one error partition and wait 3000" */
    specs[2].max_wait_ms = 60000;
    specs[3].topic = "unknown"; /* "Fetch unknown topic v12" */
    specs[4].partition = 7;     /* "Fetch unknown partition" */
    specs[5].leader_epoch = 9;  /* "Fetch leader epoch 9 (newer)" */
    specs[6].topic = "";        /* "Fetch v13 unknown topic id" */
    specs[6].version = 13;
    const int16_t errors[] = {1, 1, 1, 3, 3, 75, 100};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        const struct fetch_response_partition_data *data = fetch(&specs[i]);
        const bool is_unknown = errors[i] == 3 || errors[i] == 100;
        assert_int_equal(data->error_code, errors[i]);
        assert_int_equal(data->high_watermark, -1);
        assert_int_equal(data->last_stable_offset, -1);
        assert_int_equal(data->log_start_offset, -1);
        assert_int_equal(data->records.bytes.size, 0);
        assert_int_equal(ARRAY_IS_NULL(data->aborted_transactions), !is_unknown);
    }
    struct fetch_spec current = WHOLE; /* "Fetch leader epoch 0 given (current)" */
    current.leader_epoch = 0;
    assert_int_equal(fetch(&current)->error_code, 0);
}

static int64_t elapsed_ms(const struct timespec *from)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000;
}

/* "Fetch at end, offset 15, wait 700": empty after the wait. "Fetch min bytes 1e6, wait 700, data
 * there": all five batches after the wait. Shorter here. */
static void waits(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fetch_spec spec = WHOLE;
        struct timespec start;
        int64_t first;
        bool is_partial;
        spec.offset = i == 0 ? END : 0;
        spec.max_wait_ms = 150;
        spec.min_bytes = i == 0 ? 1 : 1000000;
        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        const struct fetch_response_partition_data *data = fetch(&spec);
        assert_true(elapsed_ms(&start) >= 149);
        assert_int_equal(data->error_code, 0);
        assert_int_equal(data->high_watermark, END);
        assert_int_equal(count_batches(data->records.bytes, &first, &is_partial),
                         i == 0 ? 0 : BATCH_COUNT_ALL);
    }
}

/* Every version that is served answers the same records. v13+ by id is in the session test. */
static void versions(void **state)
{
    (void)state;
    for (int16_t version = 4; version <= 12; version++) {
        struct fetch_spec spec = WHOLE;
        int64_t first;
        bool is_partial;
        spec.version = version;
        assert_int_equal(count_batches(fetch(&spec)->records.bytes, &first, &is_partial),
                         BATCH_COUNT_ALL);
    }
}

/* "Fetch v3", "Fetch v0": connection closed, as 4.1. */
static void old_versions(void **state)
{
    (void)state;
    for (int16_t version = 0; version <= 3; version++) {
        struct client other;
        client_connect(&other, &node);
        (void)client_send(&other, API_FETCH, version, make_request(&WHOLE));
        assert_true(client_is_closed(&other));
        client_close(&other);
    }
}

/* "Fetch v9 of a zstd topic": given as it is, as 4.1. */
static void zstd_for_old_clients(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "zstd");
    const struct batch_spec batch = {.codec = CODEC_ZSTD};
    assert_int_equal(
        client_produce(&client, "zstd", 0, 1, client_make_batch(&client, &batch))->error_code, 0);
    struct fetch_spec spec = WHOLE;
    spec.topic = "zstd";
    spec.version = 9;
    const struct fetch_response_partition_data *data = fetch(&spec);
    assert_int_equal(data->error_code, 0);
    assert_int_equal(batch_codec(data->records.bytes.data), CODEC_ZSTD);
}

/* --- ListOffsets --- */

static const struct list_offsets_response_list_offsets_partition_response *
list_offsets(int16_t version, const char *topic, int64_t timestamp)
{
    struct list_offsets_request *request = CLIENT_NEW(&client, list_offsets_request);
    struct list_offsets_request_list_offsets_topic *asked =
        CLIENT_NEW(&client, list_offsets_request_list_offsets_topic);
    request->replica_id = -1;
    request->topics.items = asked;
    request->topics.count = 1;
    asked->name = slice_from_string(topic);
    asked->partitions.items = CLIENT_NEW(&client, list_offsets_request_list_offsets_partition);
    asked->partitions.count = 1;
    asked->partitions.items[0].timestamp = timestamp;
    const struct list_offsets_response *response =
        client_call(&client, API_LIST_OFFSETS, version, request);
    return &response->topics.items[0].partitions.items[0];
}

static void list_offsets_rows(void **state)
{
    (void)state;
    const struct {
        int16_t version;
        int64_t timestamp;
        int16_t error;
        int64_t found_timestamp;
        int64_t offset;
        int32_t leader_epoch;
    } rows[] = {
        {7, -1, 0, -1, END, 0},                                 /* "-1 latest" */
        {7, -2, 0, -1, 0, 0},                                   /* "-2 earliest" */
        {7, -3, 0, first_timestamp + 4, 12, 0},                 /* "-3 max timestamp" */
        {8, -4, 0, -1, 0, 0},                                   /* "-4 earliest local v8" */
        {9, -5, 0, -1, -1, -1},                                 /* "-5 latest tiered v9" */
        {7, first_timestamp + 2, 0, first_timestamp + 2, 6, 0}, /* "ts=third batch" */
        {7, first_timestamp + 3600000, 0, -1, -1, -1},          /* "ts after end" */
        {7, 0, 0, first_timestamp, 0, 0},                       /* "ts 0" */
        {6, -3, 35, -1, -1, -1},                                /* "-3 with v6" */
        {9, -6, 35, -1, -1, -1},                                /* "-6 with v9" */
        {9, -9, 35, -1, -1, -1},                                /* "-9" */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct list_offsets_response_list_offsets_partition_response *answer =
            list_offsets(rows[i].version, "t", rows[i].timestamp);
        if (answer->error_code != rows[i].error || answer->offset != rows[i].offset ||
            answer->timestamp != rows[i].found_timestamp ||
            answer->leader_epoch != rows[i].leader_epoch) {
            fail_msg("row %zu: error %d, timestamp %lld, offset %lld, epoch %d", i,
                     answer->error_code, (long long)answer->timestamp, (long long)answer->offset,
                     answer->leader_epoch);
        }
    }
    /* "ListOffsets unknown topic" */
    assert_int_equal(list_offsets(7, "unknown", -1)->error_code, 3);
    assert_int_equal(list_offsets(7, "unknown", -1)->leader_epoch, -1);
    for (int16_t version = 1; version <= 11; version++) {
        assert_int_equal(list_offsets(version, "t", -1)->offset, END);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_rows),
        cmocka_unit_test(error_rows),
        cmocka_unit_test(waits),
        cmocka_unit_test(versions),
        cmocka_unit_test(old_versions),
        cmocka_unit_test(zstd_for_old_clients),
        cmocka_unit_test(list_offsets_rows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
