/* SPDX-License-Identifier: Apache-2.0 */

/* Fetch sessions (KIP-227) on the wire: what a broker answers over the life of a session. */

#include "broker/harness.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_session), cmocka_unit_test(session_life),
        cmocka_unit_test(closing),         cmocka_unit_test(clean_partition_gets_data),
        cmocka_unit_test(taken_over),      cmocka_unit_test(client_goes_away),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
