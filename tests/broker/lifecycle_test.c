/* SPDX-License-Identifier: Apache-2.0 */

/* A broker is made, started, used, stopped and freed several times in one process. */

#include "broker/harness.h"
#include "protocol/messages/list_offsets.h"

static int64_t latest_offset(struct client *client, const char *topic)
{
    struct list_offsets_request *request = CLIENT_NEW(client, list_offsets_request);
    struct list_offsets_request_list_offsets_topic *asked =
        CLIENT_NEW(client, list_offsets_request_list_offsets_topic);
    request->topics.items = asked;
    request->topics.count = 1;
    asked->name = slice_from_string(topic);
    asked->partitions.items = CLIENT_NEW(client, list_offsets_request_list_offsets_partition);
    asked->partitions.count = 1;
    asked->partitions.items[0].timestamp = -1;
    const struct list_offsets_response *response =
        client_call(client, API_LIST_OFFSETS, 7, request);
    assert_int_equal(response->topics.items[0].partitions.items[0].error_code, 0);
    return response->topics.items[0].partitions.items[0].offset;
}

/* Two brokers one after the other, each with its own data. */
static void twice_in_one_process(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct node node;
        struct client client;
        node_start(&node, NULL, (char *)NULL);
        client_connect(&client, &node);
        (void)client_make_topic(&client, "t");
        client_fill(&client, "t", 0, 3);
        assert_int_equal(latest_offset(&client, "t"), 3);
        client_close(&client);
        node_stop(&node);
    }
}

/* What was acked is there after a clean stop; the client was still connected when it stopped. */
static void restarts_over_its_data(void **state)
{
    struct node node;
    struct client client;
    (void)state;
    node_start(&node, NULL, (char *)NULL);
    for (int64_t i = 0; i < 3; i++) {
        client_connect(&client, &node);
        (void)client_make_topic(&client, "t");
        assert_int_equal(latest_offset(&client, "t"), i * 5);
        client_fill(&client, "t", 0, 5);
        node_restart(&node);
        client_close(&client);
    }
    node_stop(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twice_in_one_process),
        cmocka_unit_test(restarts_over_its_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
