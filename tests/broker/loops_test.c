/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Several event loops: what idempotent producers on several connections write to several partitions
 * is what consumers on others read, each batch once, in the order of its producer and with the
 * bytes that were sent, while topics come and go. Retries are answered with the first offset.
 */

#include <stdlib.h>

#include "base/crc32c.h"
#include "broker/harness.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/produce.h"
#include "record/batch.h"

enum {
    PRODUCER_COUNT = 4,
    CONSUMER_COUNT = 3,
    PARTITION_COUNT = 6,
    REQUEST_COUNT = 60, /* of each producer, each with a batch for every partition */
    RETRY_EVERY = 7,
    FETCH_SIZE = 64 * 1024,
};

struct test;

struct producer {
    struct test *test;
    int64_t producer_id;
    uint32_t crcs[REQUEST_COUNT][PARTITION_COUNT];
};

struct test {
    struct node node;
    struct producer producers[PRODUCER_COUNT];
    atomic_int ready_count;
    atomic_bool is_over;
};

/* cmocka's assertions are for the thread of the test; this one ends the process. */
static void require(bool is_true, const char *what, int line)
{
    if (!is_true) {
        (void)fprintf(stderr, "loops_test.c:%d: %s\n", line, what);
        abort();
    }
}
#define REQUIRE(condition) require((condition), #condition, __LINE__)

/* --- producing --- */

static const struct produce_response *send_request(struct client *client,
                                                   const struct produce_request *request)
{
    const struct produce_response *response = client_call(client, API_PRODUCE, 9, request);
    REQUIRE(response->responses.count == 1);
    REQUIRE(response->responses.items[0].partition_responses.count == PARTITION_COUNT);
    return response;
}

/* A batch for every partition, in another order each time. */
static struct produce_request *make_request(struct client *client, struct producer *producer,
                                            int32_t round)
{
    struct produce_request *request = MESSAGE_NEW(&client->arena, produce_request);
    struct produce_request_topic_produce_data *data =
        MESSAGE_NEW(&client->arena, produce_request_topic_produce_data);
    request->acks = round % 3 == 0 ? -1 : 1;
    request->timeout_ms = 10000;
    request->topic_data.items = data;
    request->topic_data.count = 1;
    data->name = SLICE("data");
    data->partition_data.items =
        MESSAGE_NEW_ARRAY(&client->arena, produce_request_partition_produce_data, PARTITION_COUNT);
    data->partition_data.count = PARTITION_COUNT;
    for (int32_t i = 0; i < PARTITION_COUNT; i++) {
        const struct batch_spec spec = {
            .count = 2,
            .has_producer = true,
            .producer_id = producer->producer_id,
            .base_sequence = 2 * round,
            .value_size = 1 + (size_t)((round * 31 + i * 7) % 900),
        };
        const int32_t partition = (i + round) % PARTITION_COUNT;
        data->partition_data.items[i].index = partition;
        data->partition_data.items[i].records.bytes = client_make_batch(client, &spec);
        producer->crcs[round][partition] =
            batch_crc(data->partition_data.items[i].records.bytes.data);
    }
    return request;
}

static void check_retry(struct client *client, const struct produce_request *request,
                        const struct produce_response *first)
{
    const struct produce_response *second = send_request(client, request);
    for (int i = 0; i < PARTITION_COUNT; i++) {
        const struct produce_response_partition_produce_response *a =
            &first->responses.items[0].partition_responses.items[i];
        const struct produce_response_partition_produce_response *b =
            &second->responses.items[0].partition_responses.items[i];
        REQUIRE(b->error_code == 0);
        REQUIRE(a->index == b->index);
        REQUIRE(a->base_offset == b->base_offset);
    }
}

static void init_producer(struct client *client, struct producer *producer)
{
    struct init_producer_id_request *request =
        MESSAGE_NEW(&client->arena, init_producer_id_request);
    request->transactional_id = SLICE_NULL;
    const struct init_producer_id_response *response =
        client_call(client, API_INIT_PRODUCER_ID, 4, request);
    REQUIRE(response->error_code == 0);
    producer->producer_id = response->producer_id;
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct client client;
    client_connect(&client, &producer->test->node);
    init_producer(&client, producer);
    (void)atomic_fetch_add(&producer->test->ready_count, 1);
    for (int32_t round = 0; round < REQUEST_COUNT; round++) {
        const struct produce_request *request = make_request(&client, producer, round);
        const struct produce_response *response = send_request(&client, request);
        for (int i = 0; i < PARTITION_COUNT; i++) {
            REQUIRE(response->responses.items[0].partition_responses.items[i].error_code == 0);
        }
        if (round % RETRY_EVERY == 0) {
            check_retry(&client, request, response);
        }
        arena_clear(&client.arena);
    }
    client_close(&client);
    return NULL;
}

/* --- consuming --- */

struct reader {
    struct test *test;
    int64_t offsets[PARTITION_COUNT];
    int32_t next_round[PARTITION_COUNT][PRODUCER_COUNT];
    int32_t batch_count;
    /* What was read is compared when the producers have ended: then what they sent is known. */
    uint32_t crcs[PARTITION_COUNT][PRODUCER_COUNT][REQUEST_COUNT];
};

static int find_producer(const struct test *test, int64_t producer_id)
{
    for (int i = 0; i < PRODUCER_COUNT; i++) {
        if (test->producers[i].producer_id == producer_id) {
            return i;
        }
    }
    require(false, "a batch of a known producer", __LINE__);
    return -1;
}

static void read_batch(struct reader *reader, int32_t partition, const uint8_t *batch, int64_t size)
{
    const int producer = find_producer(reader->test, (int64_t)be64_load(batch + BATCH_PRODUCER_ID));
    int32_t *round = &reader->next_round[partition][producer];
    REQUIRE(batch_base_offset(batch) == reader->offsets[partition]);
    REQUIRE((int32_t)be32_load(batch + BATCH_BASE_SEQUENCE) == 2 * *round);
    REQUIRE(*round < REQUEST_COUNT);
    REQUIRE(crc32c(0, batch + BATCH_ATTRIBUTES, (size_t)size - BATCH_ATTRIBUTES) ==
            batch_crc(batch));
    reader->crcs[partition][producer][*round] = batch_crc(batch);
    reader->offsets[partition] = batch_last_offset(batch) + 1;
    reader->batch_count++;
    (*round)++;
}

static void read_records(struct reader *reader, int32_t partition, struct slice records)
{
    while (records.size >= RECORD_BATCH_HEADER_SIZE &&
           batch_size(records.data) <= (int64_t)records.size) {
        const int64_t size = batch_size(records.data);
        read_batch(reader, partition, records.data, size);
        records = slice_of(records.data + size, records.size - (size_t)size);
    }
}

static struct fetch_request *make_fetch(struct client *client, const struct reader *reader)
{
    struct fetch_request *request = MESSAGE_NEW(&client->arena, fetch_request);
    struct fetch_request_fetch_topic *topic =
        MESSAGE_NEW(&client->arena, fetch_request_fetch_topic);
    request->max_wait_ms = 200;
    request->min_bytes = 1 + reader->batch_count % 3 * 2000;
    request->max_bytes = 1 << 20;
    request->session_epoch = -1;
    request->topics.items = topic;
    request->topics.count = 1;
    topic->topic = SLICE("data");
    topic->partitions.items =
        MESSAGE_NEW_ARRAY(&client->arena, fetch_request_fetch_partition, PARTITION_COUNT);
    topic->partitions.count = PARTITION_COUNT;
    for (int32_t i = 0; i < PARTITION_COUNT; i++) {
        topic->partitions.items[i].partition = i;
        topic->partitions.items[i].fetch_offset = reader->offsets[i];
        topic->partitions.items[i].partition_max_bytes = FETCH_SIZE;
    }
    return request;
}

static void *consume(void *argument)
{
    struct reader *reader = argument;
    struct client client;
    client_connect(&client, &reader->test->node);
    while (reader->batch_count < PRODUCER_COUNT * PARTITION_COUNT * REQUEST_COUNT) {
        const struct fetch_response *response =
            client_call(&client, API_FETCH, 12, make_fetch(&client, reader));
        REQUIRE(response->error_code == 0);
        for (uint32_t i = 0; i < response->responses.count; i++) {
            const struct fetch_response_fetchable_topic_response *topic =
                &response->responses.items[i];
            for (uint32_t j = 0; j < topic->partitions.count; j++) {
                REQUIRE(topic->partitions.items[j].error_code == 0);
                read_records(reader, topic->partitions.items[j].partition_index,
                             topic->partitions.items[j].records.bytes);
            }
        }
        arena_clear(&client.arena);
    }
    client_close(&client);
    return NULL;
}

/* --- topics that come and go --- */

static void delete_topic(struct client *client, struct slice name)
{
    struct delete_topics_request *request = MESSAGE_NEW(&client->arena, delete_topics_request);
    request->topic_names.items = &name;
    request->topic_names.count = 1;
    request->timeout_ms = 10000;
    const struct delete_topics_response *response =
        client_call(client, API_DELETE_TOPICS, 5, request);
    REQUIRE(response->responses.items[0].error_code == 0);
}

static void *churn(void *argument)
{
    struct test *test = argument;
    struct client client;
    int count = 0;
    client_connect(&client, &test->node);
    while (!atomic_load(&test->is_over)) {
        char name[16];
        (void)snprintf(name, sizeof(name), "churn-%d", count++ % 3); /* names come again */
        (void)client_make_topic(&client, name);
        for (int32_t i = 0; i < PARTITION_COUNT; i++) {
            client_fill(&client, name, i, 1);
        }
        delete_topic(&client, slice_from_string(name));
        arena_clear(&client.arena);
    }
    client_close(&client);
    REQUIRE(count > 1);
    return NULL;
}

/* --- all at once --- */

static void start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    assert_int_equal(pthread_create(thread, NULL, run, argument), 0);
}

static void join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void compare(const struct test *test, const struct reader *reader)
{
    for (int producer = 0; producer < PRODUCER_COUNT; producer++) {
        for (int partition = 0; partition < PARTITION_COUNT; partition++) {
            for (int round = 0; round < REQUEST_COUNT; round++) {
                assert_int_equal(reader->crcs[partition][producer][round],
                                 test->producers[producer].crcs[round][partition]);
            }
        }
    }
}

static void wait_for_producers(struct test *test)
{
    while (atomic_load(&test->ready_count) < PRODUCER_COUNT) {
        (void)sched_yield();
    }
}

static void run_all(const char *durability)
{
    static struct test test;
    static struct reader readers[CONSUMER_COUNT];
    pthread_t producers[PRODUCER_COUNT];
    pthread_t consumers[CONSUMER_COUNT];
    pthread_t churner;
    struct client client;
    memset(&test, 0, sizeof(test));
    memset(readers, 0, sizeof(readers));
    node_start(&test.node, NULL, "num.partitions=6", "log.segment.bytes=1048576",
               "log.segment.delete.delay.ms=0", "log.retention.check.interval.ms=100",
               "flush.background.interval.ms=50", "log.flush.offset.checkpoint.interval.ms=50",
               durability, (char *)NULL);
    client_connect(&client, &test.node);
    (void)client_make_topic(&client, "data");
    for (int i = 0; i < PRODUCER_COUNT; i++) {
        test.producers[i].test = &test;
        start(&producers[i], produce, &test.producers[i]);
    }
    wait_for_producers(&test);
    start(&churner, churn, &test);
    for (int i = 0; i < CONSUMER_COUNT; i++) {
        readers[i].test = &test;
        start(&consumers[i], consume, &readers[i]);
    }
    for (int i = 0; i < PRODUCER_COUNT; i++) {
        join(producers[i]);
    }
    for (int i = 0; i < CONSUMER_COUNT; i++) {
        join(consumers[i]);
        compare(&test, &readers[i]);
    }
    atomic_store(&test.is_over, true);
    join(churner);
    node_restart(&test.node); /* what they read is on disk too */
    static struct reader again;
    memset(&again, 0, sizeof(again));
    again.test = &test;
    (void)consume(&again);
    compare(&test, &again);
    client_close(&client);
    node_stop(&test.node);
}

static void acks_from_the_page_cache(void **state)
{
    (void)state;
    run_all("ack.durability=pagecache");
}

static void acks_from_the_disk(void **state)
{
    (void)state;
    run_all("ack.durability=fsync");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acks_from_the_page_cache),
        cmocka_unit_test(acks_from_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
