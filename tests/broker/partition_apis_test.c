/* SPDX-License-Identifier: Apache-2.0 */

/* The APIs that ask or tell something about single partitions, besides Produce and Fetch: the rows
 * of Kafka's observed answers, and what they do when asked for what is not there. */

#include "broker/harness.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "protocol/messages/produce.h"

static struct node node;
static struct client client;

static int set_up(void **state)
{
    (void)state;
    node_start(&node, NULL, "num.partitions=3", (char *)NULL);
    client_connect(&client, &node);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_close(&client);
    node_stop(&node);
    return 0;
}

/* --- OffsetForLeaderEpoch --- */

static const struct offset_for_leader_epoch_response_epoch_end_offset *
ask_epoch(int16_t version, const char *topic, int32_t partition, int32_t current, int32_t epoch)
{
    struct offset_for_leader_epoch_request *request =
        CLIENT_NEW(&client, offset_for_leader_epoch_request);
    struct offset_for_leader_epoch_request_offset_for_leader_topic *asked =
        CLIENT_NEW(&client, offset_for_leader_epoch_request_offset_for_leader_topic);
    request->topics.items = asked;
    request->topics.count = 1;
    asked->topic = slice_from_string(topic);
    asked->partitions.items =
        CLIENT_NEW(&client, offset_for_leader_epoch_request_offset_for_leader_partition);
    asked->partitions.count = 1;
    asked->partitions.items[0].partition = partition;
    asked->partitions.items[0].current_leader_epoch = current;
    asked->partitions.items[0].leader_epoch = epoch;
    const struct offset_for_leader_epoch_response *response =
        client_call(&client, API_OFFSET_FOR_LEADER_EPOCH, version, request);
    assert_int_equal(response->topics.count, 1);
    assert_int_equal(response->topics.items[0].partitions.count, 1);
    assert_int_equal(response->topics.items[0].partitions.items[0].partition, partition);
    return &response->topics.items[0].partitions.items[0];
}

static void offset_for_leader_epoch(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "epochs");
    client_fill(&client, "epochs", 0, 15);
    const struct {
        int32_t partition;
        int32_t current;
        int32_t epoch;
        int16_t error;
        int32_t answered_epoch;
        int64_t end_offset;
    } rows[] = {
        {0, -1, 0, 0, 0, 15},  /* "OffsetForLeaderEpoch epoch 0" */
        {0, -1, 5, 0, -1, -1}, /* "OffsetForLeaderEpoch epoch 5" */
        {0, 0, 0, 0, 0, 15},   {0, 9, 0, 75, -1, -1}, {9, -1, 0, 3, -1, -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct offset_for_leader_epoch_response_epoch_end_offset *answer =
            ask_epoch(3, "epochs", rows[i].partition, rows[i].current, rows[i].epoch);
        assert_int_equal(answer->error_code, rows[i].error);
        assert_int_equal(answer->leader_epoch, rows[i].answered_epoch);
        assert_int_equal(answer->end_offset, rows[i].end_offset);
    }
    for (int16_t version = 0; version <= 4; version++) {
        assert_int_equal(ask_epoch(version, "epochs", 0, -1, 0)->end_offset, 15);
        assert_int_equal(ask_epoch(version, "unknown", 0, -1, 0)->error_code, 3);
    }
}

/* --- DeleteRecords --- */

static const struct delete_records_response_delete_records_partition_result *
delete_records(int16_t version, const char *topic, int32_t partition, int64_t offset)
{
    struct delete_records_request *request = CLIENT_NEW(&client, delete_records_request);
    struct delete_records_request_delete_records_topic *asked =
        CLIENT_NEW(&client, delete_records_request_delete_records_topic);
    request->timeout_ms = 5000;
    request->topics.items = asked;
    request->topics.count = 1;
    asked->name = slice_from_string(topic);
    asked->partitions.items = CLIENT_NEW(&client, delete_records_request_delete_records_partition);
    asked->partitions.count = 1;
    asked->partitions.items[0].partition_index = partition;
    asked->partitions.items[0].offset = offset;
    const struct delete_records_response *response =
        client_call(&client, API_DELETE_RECORDS, version, request);
    assert_int_equal(response->topics.count, 1);
    return &response->topics.items[0].partitions.items[0];
}

static void delete_records_rows(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "deleted");
    client_fill(&client, "deleted", 0, 15);
    const struct {
        int32_t partition;
        int64_t offset;
        int16_t error;
        int64_t low_watermark;
    } rows[] = {
        {0, 99, 1, -1},               /* "DeleteRecords beyond end / -1": (1, -1) */
        {0, 7, 0, 7},   {0, 3, 0, 7}, /* never back */
        {0, -2, 1, -1}, {9, 0, 3, -1}, {0, -1, 0, 15}, /* (0, 15) */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct delete_records_response_delete_records_partition_result *result =
            delete_records((int16_t)(i % 3), "deleted", rows[i].partition, rows[i].offset);
        assert_int_equal(result->partition_index, rows[i].partition);
        assert_int_equal(result->error_code, rows[i].error);
        assert_int_equal(result->low_watermark, rows[i].low_watermark);
    }
    assert_int_equal(delete_records(2, "unknown", 0, 0)->error_code, 3);
}

/* --- InitProducerId, DescribeProducers --- */

static const struct init_producer_id_response *init_producer(int16_t version, const char *id)
{
    struct init_producer_id_request *request = CLIENT_NEW(&client, init_producer_id_request);
    request->transactional_id = slice_from_string(id);
    request->transaction_timeout_ms = 60000;
    return client_call(&client, API_INIT_PRODUCER_ID, version, request);
}

/* "InitProducerId idempotent": a new id each time, epoch 0. "empty txn id": 42. */
static void init_producer_id(void **state)
{
    (void)state;
    int64_t previous = -1;
    for (int16_t version = 0; version <= 5; version++) {
        const struct init_producer_id_response *response = init_producer(version, NULL);
        assert_int_equal(response->error_code, 0);
        assert_int_equal(response->producer_epoch, 0);
        assert_true(response->producer_id > previous);
        previous = response->producer_id;
    }
    assert_int_equal(init_producer(4, "")->error_code, 42);
}

static const struct describe_producers_response_partition_response *
describe_producers(const char *topic, int32_t partition)
{
    struct describe_producers_request *request = CLIENT_NEW(&client, describe_producers_request);
    struct describe_producers_request_topic_request *asked =
        CLIENT_NEW(&client, describe_producers_request_topic_request);
    request->topics.items = asked;
    request->topics.count = 1;
    asked->name = slice_from_string(topic);
    asked->partition_indexes.items = client_alloc(&client, 1 * 4);
    asked->partition_indexes.items[0] = partition;
    asked->partition_indexes.count = 1;
    const struct describe_producers_response *response =
        client_call(&client, API_DESCRIBE_PRODUCERS, 0, request);
    return &response->topics.items[0].partitions.items[0];
}

static void describe_producers_knows_the_last_batch(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "producers");
    const int64_t id = init_producer(4, NULL)->producer_id;
    const struct batch_spec spec = {
        .count = 4, .has_producer = true, .producer_id = id, .timestamp_ms = 1795366435500};
    assert_int_equal(
        client_produce(&client, "producers", 1, 1, client_make_batch(&client, &spec))->error_code,
        0);
    const struct describe_producers_response_partition_response *answer =
        describe_producers("producers", 1);
    assert_int_equal(answer->error_code, 0);
    assert_true(slice_is_null(answer->error_message));
    assert_int_equal(answer->active_producers.count, 1);
    assert_int_equal(answer->active_producers.items[0].producer_id, id);
    assert_int_equal(answer->active_producers.items[0].producer_epoch, 0);
    assert_int_equal(answer->active_producers.items[0].last_sequence, 3);
    assert_int_equal(answer->active_producers.items[0].last_timestamp, 1795366435500);
    assert_int_equal(answer->active_producers.items[0].current_txn_start_offset, -1);
    assert_int_equal(describe_producers("producers", 0)->active_producers.count, 0);
    assert_int_equal(describe_producers("producers", 7)->error_code, 3);
    answer = describe_producers("unknown", 0);
    assert_int_equal(answer->error_code, 3);
    assert_false(slice_is_null(answer->error_message));
}

/* --- DescribeLogDirs --- */

static const struct describe_log_dirs_response_describe_log_dirs_topic *
find_log_topic(const struct describe_log_dirs_response_describe_log_dirs_result *result,
               const char *name)
{
    for (uint32_t i = 0; i < result->topics.count; i++) {
        if (slice_equal_string(result->topics.items[i].name, name)) {
            return &result->topics.items[i];
        }
    }
    fail_msg("no topic %s", name);
    return result->topics.items;
}

static void describe_log_dirs(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "sizes");
    client_fill(&client, "sizes", 2, 10);
    for (int16_t version = 1; version <= 5; version++) {
        struct describe_log_dirs_request *request = CLIENT_NEW(&client, describe_log_dirs_request);
        request->topics.items = NULL; /* all */
        const struct describe_log_dirs_response *response =
            client_call(&client, API_DESCRIBE_LOG_DIRS, version, request);
        assert_int_equal(response->error_code, 0);
        assert_int_equal(response->results.count, 1);
        const struct describe_log_dirs_response_describe_log_dirs_result *result =
            &response->results.items[0];
        assert_int_equal(result->error_code, 0);
        assert_true(slice_equal_string(result->log_dir, node.directory));
        if (version >= 4) {
            assert_true(result->total_bytes > 0 && result->usable_bytes <= result->total_bytes);
        }
        const struct describe_log_dirs_response_describe_log_dirs_topic *topic =
            find_log_topic(result, "sizes");
        assert_int_equal(topic->partitions.count, 3);
        assert_int_equal(topic->partitions.items[0].partition_size, 0);
        assert_true(topic->partitions.items[2].partition_size > 61);
        assert_int_equal(topic->partitions.items[2].offset_lag, 0);
        assert_false(topic->partitions.items[2].is_future_key);
    }
    /* Named ones: only what is there. */
    struct describe_log_dirs_request *request = CLIENT_NEW(&client, describe_log_dirs_request);
    request->topics.items =
        CLIENT_NEW_ARRAY(&client, describe_log_dirs_request_describable_log_dir_topic, 2);
    request->topics.count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        request->topics.items[i].topic = i == 0 ? SLICE("unknown") : SLICE("sizes");
        request->topics.items[i].partitions.items = client_alloc(&client, 2 * 4);
        request->topics.items[i].partitions.items[0] = 2;
        request->topics.items[i].partitions.items[1] = 77;
        request->topics.items[i].partitions.count = 2;
    }
    const struct describe_log_dirs_response *response =
        client_call(&client, API_DESCRIBE_LOG_DIRS, 4, request);
    assert_int_equal(response->results.items[0].topics.count, 1);
    assert_int_equal(response->results.items[0].topics.items[0].partitions.count, 1);
}

/* --- DescribeTopicPartitions --- */

static struct describe_topic_partitions_request *describe_request(const char *const *names,
                                                                  uint32_t count, int32_t limit)
{
    struct describe_topic_partitions_request *request =
        CLIENT_NEW(&client, describe_topic_partitions_request);
    request->topics.items =
        CLIENT_NEW_ARRAY(&client, describe_topic_partitions_request_topic_request, count);
    request->topics.count = count;
    for (uint32_t i = 0; i < count; i++) {
        request->topics.items[i].name = slice_from_string(names[i]);
    }
    request->response_partition_limit = limit;
    return request;
}

static const struct describe_topic_partitions_response *
describe(const struct describe_topic_partitions_request *request)
{
    return client_call(&client, API_DESCRIBE_TOPIC_PARTITIONS, 0, request);
}

static void set_cursor(struct describe_topic_partitions_request *request, struct slice topic,
                       int32_t partition)
{
    request->cursor = CLIENT_NEW(&client, describe_topic_partitions_request_cursor);
    request->cursor->topic_name = topic;
    request->cursor->partition_index = partition;
}

/* Two topics of three partitions, four at a time: 3 + 1, then the cursor gives the other 2. */
static void describe_topic_partitions_pages(void **state)
{
    (void)state;
    const char *const names[] = {"page.b", "page.a", "page.b"};
    (void)client_make_topic(&client, "page.a");
    (void)client_make_topic(&client, "page.b");
    const struct describe_topic_partitions_response *response =
        describe(describe_request(names, 3, 4));
    assert_int_equal(response->topics.count, 2);
    assert_true(slice_equal_string(response->topics.items[0].name, "page.a"));
    assert_int_equal(response->topics.items[0].partitions.count, 3);
    assert_int_equal(response->topics.items[0].partitions.items[1].replica_nodes.count, 1);
    assert_int_equal(response->topics.items[0].partitions.items[1].isr_nodes.count, 1);
    assert_non_null(response->topics.items[0].partitions.items[1].last_known_elr.items);
    assert_int_equal(response->topics.items[1].partitions.count, 1);
    assert_non_null(response->next_cursor);
    assert_true(slice_equal_string(response->next_cursor->topic_name, "page.b"));
    assert_int_equal(response->next_cursor->partition_index, 1);

    struct describe_topic_partitions_request *request = describe_request(names, 3, 4);
    set_cursor(request, response->next_cursor->topic_name, 1);
    response = describe(request);
    assert_int_equal(response->topics.count, 1);
    assert_int_equal(response->topics.items[0].partitions.count, 2);
    assert_int_equal(response->topics.items[0].partitions.items[0].partition_index, 1);
    assert_null(response->next_cursor);

    /* A page that ends with its topic points at the next one. */
    response = describe(describe_request(names, 3, 3));
    assert_int_equal(response->topics.count, 1);
    assert_true(slice_equal_string(response->next_cursor->topic_name, "page.b"));
    assert_int_equal(response->next_cursor->partition_index, 0);
    /* All topics. */
    assert_true(describe(describe_request(NULL, 0, 2000))->topics.count >= 2);
}

static void describe_topic_partitions_refuses(void **state)
{
    (void)state;
    const char *const names[] = {"a b", "nowhere"};
    const struct describe_topic_partitions_response *response =
        describe(describe_request(names, 2, 10));
    assert_int_equal(response->topics.items[0].error_code, 17);
    assert_int_equal(response->topics.items[1].error_code, 3);
    struct describe_topic_partitions_request *request = describe_request(names, 2, 10);
    set_cursor(request, SLICE("elsewhere"), 0);
    assert_int_equal(describe(request)->topics.items[0].error_code, 42);
    request = describe_request(names, 2, 10);
    set_cursor(request, SLICE("nowhere"), -1);
    assert_int_equal(describe(request)->topics.items[1].error_code, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offset_for_leader_epoch),
        cmocka_unit_test(delete_records_rows),
        cmocka_unit_test(init_producer_id),
        cmocka_unit_test(describe_producers_knows_the_last_batch),
        cmocka_unit_test(describe_log_dirs),
        cmocka_unit_test(describe_topic_partitions_pages),
        cmocka_unit_test(describe_topic_partitions_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
