/* SPDX-License-Identifier: Apache-2.0 */

/* Framing, ApiVersions and Metadata on the wire: the rows of what Apache Kafka 4.1 was seen to do,
 * with bytes that no client should send. */

#include "broker/harness.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"

static struct node node;
static struct client client;

static int set_up(void **state)
{
    (void)state;
    node_start(&node, NULL, "num.partitions=2", (char *)NULL);
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

static const struct api_versions_response *api_versions(struct client *asking, int16_t version,
                                                        const char *software)
{
    struct api_versions_request *request = CLIENT_NEW(asking, api_versions_request);
    request->client_software_name = slice_from_string(software);
    request->client_software_version = SLICE("1.0");
    return client_call(asking, API_API_VERSIONS, version, request);
}

/* Closed without a byte, and the broker goes on serving others. */
static void closes(void **state)
{
    const struct slice rows[] = {
        /* "unknown api key 999" */
        SLICE("\0\0\0\x0a\x03\xe7\0\0\0\0\0\x01\xff\xff"),
        /* "Metadata v99" */
        SLICE("\0\0\0\x0b\0\x03\0\x63\0\0\0\x01\xff\xff\0"),
        /* "request of declared size 200 MB" */
        SLICE("\x0c\x80\0\0"),
        /* "negative request size" */
        SLICE("\xff\xff\xff\xff"),
        /* "truncated request body (Metadata v1 cut)": one topic, but no name */
        SLICE("\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\x01"),
        /* a header that ends in the middle, and none at all */
        SLICE("\0\0\0\x05\0\x03\0\x01\0"),
        SLICE("\0\0\0\0"),
        /* an array that claims two billion elements */
        SLICE("\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff"),
        /* an API of brokers among themselves (LeaderAndIsr) */
        SLICE("\0\0\0\x0a\0\x04\0\0\0\0\0\x01\xff\xff"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client other;
        client_connect(&other, &node);
        client_send_raw(&other, rows[i]);
        assert_true(client_is_closed(&other));
        client_close(&other);
    }
    assert_int_equal(api_versions(&client, 3, "test")->error_code, 0);
}

/* "ApiVersions v99": a v0 body with error 35 and its own range, then v3 works on the connection. */
static void api_versions_of_the_future(void **state)
{
    (void)state;
    client_send_raw(&client, SLICE("\0\0\0\x0b\0\x12\0\x63\0\0\0\x07\xff\xff\0"));
    const struct slice answer = client_receive_raw(&client);
    const struct slice expected = SLICE("\0\0\0\x07\0\x23\0\0\0\x01\0\x12\0\0\0\x04");
    assert_int_equal(answer.size, expected.size);
    assert_memory_equal(answer.data, expected.data, expected.size);
    assert_int_equal(api_versions(&client, 3, "test")->error_code, 0);
}

/* "ApiVersions v3 empty software name": 42. */
static void api_versions_software(void **state)
{
    (void)state;
    const char *const refused[] = {"", "a b", "-a", "a-", "a/b"};
    const char *const taken[] = {"a", "a-b", "librdkafka", "1.2"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(api_versions(&client, 3, refused[i])->error_code, 42);
    }
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        assert_int_equal(api_versions(&client, 3, taken[i])->error_code, 0);
    }
    for (int16_t version = 0; version <= 4; version++) {
        const struct api_versions_response *response = api_versions(&client, version, "test");
        assert_int_equal(response->error_code, 0);
        assert_true(response->api_keys.count > 5);
        for (uint32_t i = 0; i < response->api_keys.count; i++) {
            const struct api *api = api_find(response->api_keys.items[i].api_key);
            assert_true(api->served && !api->inter_broker_only);
        }
    }
}

/* "Pipelining order": a fetch that waits holds back the answer to the next request. */
static void order(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "order");
    struct fetch_request *request = CLIENT_NEW(&client, fetch_request);
    struct fetch_request_fetch_topic *topic = CLIENT_NEW(&client, fetch_request_fetch_topic);
    request->max_wait_ms = 200;
    request->min_bytes = 1;
    request->max_bytes = 1000;
    request->topics.items = topic;
    request->topics.count = 1;
    topic->topic = SLICE("order");
    topic->partitions.items = CLIENT_NEW(&client, fetch_request_fetch_partition);
    topic->partitions.count = 1;
    const int32_t first = client_send(&client, API_FETCH, 12, request);
    const int32_t second =
        client_send(&client, API_API_VERSIONS, 0, CLIENT_NEW(&client, api_versions_request));
    (void)client_receive(&client, API_FETCH, 12, first);
    (void)client_receive(&client, API_API_VERSIONS, 0, second);
}

/* --- Metadata --- */

static const struct metadata_response *metadata_of(int16_t version, struct slice name,
                                                   struct uuid id, bool creates)
{
    struct metadata_request *request = CLIENT_NEW(&client, metadata_request);
    request->topics.items = CLIENT_NEW(&client, metadata_request_metadata_request_topic);
    request->topics.count = 1;
    request->topics.items[0].name = name;
    request->topics.items[0].topic_id = id;
    request->allow_auto_topic_creation = creates;
    return client_call(&client, API_METADATA, version, request);
}

static void metadata_rows(void **state)
{
    (void)state;
    const struct metadata_response *response;
    /* "Metadata auto-create": Kafka answers 3 first and has it a second later; here it is there. */
    response = metadata_of(9, SLICE("auto"), UUID_ZERO, true);
    assert_int_equal(response->topics.items[0].error_code, 0);
    assert_int_equal(response->topics.items[0].partitions.count, 2);
    /* "Metadata unknown, no auto-create" */
    response = metadata_of(9, SLICE("never"), UUID_ZERO, false);
    assert_int_equal(response->topics.items[0].error_code, 3);
    assert_int_equal(response->topics.items[0].partitions.count, 0);
    /* "Metadata invalid name "a b"" */
    response = metadata_of(9, SLICE("a b"), UUID_ZERO, true);
    assert_int_equal(response->topics.items[0].error_code, 17);
    /* "Metadata unknown topic id (v12)" */
    const struct uuid id = {{7}};
    response = metadata_of(12, SLICE_NULL, id, true);
    assert_int_equal(response->topics.items[0].error_code, 100);
    assert_true(uuid_equal(&response->topics.items[0].topic_id, &id));
    /* A known one by id has its name. */
    const struct uuid known = client_make_topic(&client, "by-id");
    response = metadata_of(12, SLICE_NULL, known, false);
    assert_int_equal(response->topics.items[0].error_code, 0);
    assert_true(slice_equal_string(response->topics.items[0].name, "by-id"));
}

/* "Metadata empty topic list (v9)": 0 topics; null: all; v0: empty means all. */
static void metadata_lists(void **state)
{
    (void)state;
    (void)client_make_topic(&client, "listed");
    for (int16_t version = 0; version <= 13; version++) {
        struct metadata_request *request = CLIENT_NEW(&client, metadata_request);
        request->topics.items = ARRAY_EMPTY;
        request->topics.count = 0;
        const struct metadata_response *response =
            client_call(&client, API_METADATA, version, request);
        assert_int_equal(response->brokers.count, 1);
        assert_int_equal(response->brokers.items[0].port, node.port);
        assert_true(slice_equal_string(response->brokers.items[0].host, "127.0.0.1"));
        assert_int_equal(response->topics.count > 0, version == 0);
        if (version >= 1) {
            request->topics.items = NULL;
            response = client_call(&client, API_METADATA, version, request);
            assert_true(response->topics.count > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closes),
        cmocka_unit_test(api_versions_of_the_future),
        cmocka_unit_test(api_versions_software),
        cmocka_unit_test(order),
        cmocka_unit_test(metadata_rows),
        cmocka_unit_test(metadata_lists),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
