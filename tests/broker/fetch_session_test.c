/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch sessions (KIP-227) on the wire: what a broker answers over the life of a session. */

#include "broker/harness.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/fetch.h"

enum {
    VERSION = 12, /* names; ids come with 13 */
};

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

static struct fetch_request *make_request(int32_t session_id, int32_t epoch)
{
    struct fetch_request *request = CLIENT_NEW(&client, fetch_request);
    request->max_wait_ms = 0;
    request->min_bytes = 1;
    request->max_bytes = 1 << 20;
    request->session_id = session_id;
    request->session_epoch = epoch;
    return request;
}

static void ask(struct fetch_request *request, const char *topic, uint32_t count, int64_t offset)
{
    struct fetch_request_fetch_topic *asked = CLIENT_NEW(&client, fetch_request_fetch_topic);
    asked->topic = slice_from_string(topic);
    asked->partitions.items = CLIENT_NEW_ARRAY(&client, fetch_request_fetch_partition, count);
    asked->partitions.count = count;
    for (uint32_t i = 0; i < count; i++) {
        asked->partitions.items[i].partition = (int32_t)i;
        asked->partitions.items[i].fetch_offset = offset;
        asked->partitions.items[i].partition_max_bytes = 1 << 20;
    }
    request->topics.items = asked;
    request->topics.count = 1;
}

static void forget(struct fetch_request *request, const char *topic, int32_t count)
{
    struct fetch_request_forgotten_topic *asked =
        CLIENT_NEW(&client, fetch_request_forgotten_topic);
    asked->topic = slice_from_string(topic);
    asked->partitions.items = client_alloc(&client, (size_t)count * 4);
    asked->partitions.count = (uint32_t)count;
    for (int32_t i = 0; i < count; i++) {
        asked->partitions.items[i] = i;
    }
    request->forgotten_topics_data.items = asked;
    request->forgotten_topics_data.count = 1;
}

static const struct fetch_response *fetch(const struct fetch_request *request)
{
    return client_call(&client, API_FETCH, VERSION, request);
}

static uint32_t count_partitions(const struct fetch_response *response)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < response->responses.count; i++) {
        count += response->responses.items[i].partitions.count;
    }
    return count;
}

/* semantics-observed "Fetch unknown session id": error 70, id 0, no topics. */
static void unknown_session(void **state)
{
    (void)state;
    const struct fetch_response *response = fetch(make_request(4711, 1));
    assert_int_equal(response->error_code, 70);
    assert_int_equal(response->session_id, 0);
    assert_int_equal(response->responses.count, 0);
}

/* semantics-observed "Fetch session life": new id; epoch 1 gives the data again, as the client has
 * not moved on; moved to the end, nothing; epoch 9: 71; all forgotten: id 0; after that: 70. */
static void session_life(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "life");
    client_fill(&client, "life", 0, 5);
    struct fetch_request *request = make_request(0, 0);
    ask(request, "life", 1, 0);
    const struct fetch_response *response = fetch(request);
    const int32_t id = response->session_id;
    assert_int_equal(response->error_code, 0);
    assert_true(id > 0);
    assert_true(response->responses.items[0].partitions.items[0].records.bytes.size > 61);

    response = fetch(make_request(id, 1));
    assert_int_equal(response->session_id, id);
    assert_int_equal(count_partitions(response), 1);
    assert_true(response->responses.items[0].partitions.items[0].records.bytes.size > 61);

    request = make_request(id, 2);
    ask(request, "life", 1, 5);
    response = fetch(request);
    assert_int_equal(response->error_code, 0);
    assert_int_equal(response->responses.count, 0);

    assert_int_equal(fetch(make_request(id, 9))->error_code, 71);

    request = make_request(id, 3);
    forget(request, "life", 1);
    response = fetch(request);
    assert_int_equal(response->error_code, 0);
    assert_int_equal(response->session_id, 0);
    assert_int_equal(response->responses.count, 0);
    assert_int_equal(fetch(make_request(id, 4))->error_code, 70);
}

/* "epoch -1 closes": a whole answer without an id, and the session is gone. */
static void closing(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "closing");
    struct fetch_request *request = make_request(0, 0);
    ask(request, "closing", 3, 0);
    const int32_t id = fetch(request)->session_id;
    request = make_request(id, -1);
    ask(request, "closing", 3, 0);
    const struct fetch_response *response = fetch(request);
    assert_int_equal(response->error_code, 0);
    assert_int_equal(response->session_id, 0);
    assert_int_equal(count_partitions(response), 3);
    assert_int_equal(fetch(make_request(id, 1))->error_code, 70);
}

/* A clean partition wakes the waiting request when data arrive, and only it is answered. */
static void clean_partition_gets_data(void **state)
{
    struct client producer;
    (void)state;
    client_connect(&producer, &node);
    (void)client_make_topic(&client, "clean");
    struct fetch_request *request = make_request(0, 0);
    ask(request, "clean", 3, 0);
    const struct fetch_response *response = fetch(request);
    const int32_t id = response->session_id;
    assert_int_equal(count_partitions(response), 3);

    request = make_request(id, 1);
    request->max_wait_ms = 8000;
    int32_t correlation_id = client_send(&client, API_FETCH, VERSION, request);
    client_fill(&producer, "clean", 2, 4);
    response = client_receive(&client, API_FETCH, VERSION, correlation_id);
    assert_int_equal(count_partitions(response), 1);
    const struct fetch_response_partition_data *data =
        &response->responses.items[0].partitions.items[0];
    assert_int_equal(data->partition_index, 2);
    assert_int_equal(data->high_watermark, 4);
    assert_true(data->records.bytes.size > 61);

    /* The data came while nobody waited: the next request finds them at once. */
    client_fill(&producer, "clean", 1, 1);
    request = make_request(id, 2);
    request->max_wait_ms = 8000;
    forget(request, "clean", 1); /* partition 0 */
    response = fetch(request);
    assert_int_equal(count_partitions(response), 2);
    client_close(&producer);
}

/* F4: while one request of a session waits, the next epoch comes on another connection: the first
 * is answered with 71 at once. */
static void taken_over(void **state)
{
    struct client second;
    (void)state;
    client_connect(&second, &node);
    (void)client_make_topic(&client, "taken");
    struct fetch_request *request = make_request(0, 0);
    ask(request, "taken", 1, 0);
    const int32_t id = fetch(request)->session_id;
    request = make_request(id, 1);
    request->max_wait_ms = 60000;
    const int32_t correlation_id = client_send(&client, API_FETCH, VERSION, request);
    const struct fetch_response *response;
    do { /* until the first request has been seen */
        response = client_call(&second, API_FETCH, VERSION, make_request(id, 2));
    } while (response->error_code == 71);
    assert_int_equal(response->error_code, 0);
    response = client_receive(&client, API_FETCH, VERSION, correlation_id);
    assert_int_equal(response->error_code, 71);
    client_close(&second);
}

/* A client that goes away while its request waits, with and without a session. */
static void client_goes_away(void **state)
{
    struct client second;
    (void)state;
    (void)client_make_topic(&client, "away");
    for (int32_t epoch = -1; epoch <= 0; epoch++) {
        client_connect(&second, &node);
        struct fetch_request *request = make_request(0, epoch);
        request->max_wait_ms = 60000;
        ask(request, "away", 3, 0);
        (void)client_send(&second, API_FETCH, VERSION, request);
        client_close(&second);
    }
    client_fill(&client, "away", 1, 1);
}

static const struct fetch_response *fetch_by_id(struct fetch_request *request)
{
    return client_call(&client, API_FETCH, 13, request);
}

static struct fetch_request *ask_by_id(int32_t session_id, int32_t epoch, struct uuid id)
{
    struct fetch_request *request = make_request(session_id, epoch);
    ask(request, "", 1, 0);
    request->topics.items[0].topic_id = id;
    return request;
}

static void delete_topic(struct uuid id)
{
    struct delete_topics_request *request = CLIENT_NEW(&client, delete_topics_request);
    request->topics.items = CLIENT_NEW(&client, delete_topics_request_delete_topic_state);
    request->topics.count = 1;
    request->topics.items[0].name = SLICE_NULL;
    request->topics.items[0].topic_id = id;
    request->timeout_ms = 5000;
    const struct delete_topics_response *response =
        client_call(&client, API_DELETE_TOPICS, 6, request);
    assert_int_equal(response->responses.items[0].error_code, 0);
}

/* Topic ids (v13+): a session follows an id; deleted, it says so at every request, also when the
 * name lives again under another id. Names in a session of ids are refused. */
static void topic_ids(void **state)
{
    (void)state;
    const struct uuid id = client_make_topic(&client, "ids");
    client_fill(&client, "ids", 0, 2);
    const struct fetch_response *response = fetch_by_id(ask_by_id(0, 0, id));
    const int32_t session_id = response->session_id;
    assert_true(session_id > 0);
    assert_true(uuid_equal(&response->responses.items[0].topic_id, &id));
    assert_true(response->responses.items[0].partitions.items[0].records.bytes.size > 61);
    assert_int_equal(fetch(make_request(session_id, 1))->error_code, 106);

    struct fetch_request *request = ask_by_id(session_id, 1, id);
    request->topics.items[0].partitions.items[0].fetch_offset = 2;
    assert_int_equal(count_partitions(fetch_by_id(request)), 0);
    delete_topic(id);
    const struct uuid second_id = client_make_topic(&client, "ids");
    assert_false(uuid_equal(&id, &second_id));
    for (int32_t epoch = 2; epoch <= 3; epoch++) {
        request = make_request(session_id, epoch);
        request->max_wait_ms = 60000; /* an error does not wait */
        response = fetch_by_id(request);
        assert_int_equal(count_partitions(response), 1);
        assert_int_equal(response->responses.items[0].partitions.items[0].error_code, 100);
    }
    request = make_request(session_id, 4);
    forget(request, "", 1);
    request->forgotten_topics_data.items[0].topic_id = id;
    ask(request, "", 1, 0);
    request->topics.items[0].topic_id = second_id;
    response = fetch_by_id(request);
    assert_int_equal(response->session_id, session_id);
    assert_int_equal(count_partitions(response), 1);
    assert_int_equal(response->responses.items[0].partitions.items[0].error_code, 0);
}

/* A deletion wakes the request that waits. */
static void deletion_wakes(void **state)
{
    struct client second;
    (void)state;
    client_connect(&second, &node);
    const struct uuid id = client_make_topic(&client, "woken");
    struct fetch_request *request = ask_by_id(0, 0, id);
    request->max_wait_ms = 60000;
    const int32_t correlation_id = client_send(&second, API_FETCH, 13, request);
    delete_topic(id);
    const struct fetch_response *response = client_receive(&second, API_FETCH, 13, correlation_id);
    assert_int_equal(response->responses.items[0].partitions.items[0].error_code, 100);
    client_close(&second);
}

/* What an idle consumer of many partitions gets: the frame is a few bytes. */
static void idle_is_small(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct create_partitions_request *grow = CLIENT_NEW(&client, create_partitions_request);
    grow->topics.items = CLIENT_NEW(&client, create_partitions_request_create_partitions_topic);
    grow->topics.count = 1;
    grow->topics.items[0].name = SLICE("idle");
    grow->topics.items[0].count = COUNT;
    grow->topics.items[0].assignments.items = NULL;
    grow->timeout_ms = 5000;
    (void)client_make_topic(&client, "idle");
    const struct create_partitions_response *grown =
        client_call(&client, API_CREATE_PARTITIONS, 3, grow);
    assert_int_equal(grown->results.items[0].error_code, 0);
    struct fetch_request *request = make_request(0, 0);
    ask(request, "idle", COUNT, 0);
    const struct fetch_response *response = fetch(request);
    assert_int_equal(count_partitions(response), COUNT);
    const int32_t id = response->session_id;
    for (int32_t epoch = 1; epoch <= 3; epoch++) {
        (void)client_send(&client, API_FETCH, VERSION, make_request(id, epoch));
        assert_in_range(client_receive_raw(&client).size, 8, 24);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_session), cmocka_unit_test(session_life),
        cmocka_unit_test(closing),         cmocka_unit_test(clean_partition_gets_data),
        cmocka_unit_test(taken_over),      cmocka_unit_test(client_goes_away),
        cmocka_unit_test(topic_ids),       cmocka_unit_test(deletion_wakes),
        cmocka_unit_test(idle_is_small),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
