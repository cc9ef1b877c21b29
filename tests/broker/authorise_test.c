/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every check of every handler: with one operation denied the request gets the code that Kafka
 * gives, and with everything allowed it does not. A served API without a row fails the test.
 */

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "broker/harness.h"
#include "protocol/codec.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_records.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/describe_log_dirs.h"
#include "protocol/messages/describe_producers.h"
#include "protocol/messages/describe_topic_partitions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/init_producer_id.h"
#include "protocol/messages/list_config_resources.h"
#include "protocol/messages/list_offsets.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/offset_for_leader_epoch.h"
#include "protocol/messages/produce.h"
#include "protocol/messages/update_features.h"

enum {
    TEXT_SIZE_MAX = 64 * 1024,
    NOTHING = 0,
    ANY_TYPE = -1,
    /* Kafka's codes. */
    TOPIC_FAILED = 29,
    CLUSTER_FAILED = 31,
    TRANSACTIONAL_ID_FAILED = 53,
};

/* Denies the operations whose bits are set, on resources of one type or of all. */
struct denier {
    struct authoriser authoriser;
    atomic_uint operations;
    atomic_int type;
};

static bool allows(struct authoriser *authoriser, const struct principal *principal,
                   enum acl_operation operation, enum acl_resource_type type, struct slice name)
{
    struct denier *denier = container_of(authoriser, struct denier, authoriser);
    assert_true(slice_equal_string(principal->name, "ANONYMOUS"));
    assert_false(slice_is_null(name));
    const int denied_type = atomic_load(&denier->type);
    return (denied_type != ANY_TYPE && denied_type != (int)type) ||
           (atomic_load(&denier->operations) & 1U << operation) == 0;
}

static struct denier denier = {.authoriser = {.allows = allows}};
static struct node node;
static struct client client;
static struct uuid topic_id;

static int set_up(void **state)
{
    (void)state;
    node_start(&node, &denier.authoriser, (char *)NULL);
    client_connect(&client, &node);
    topic_id = client_make_topic(&client, "t");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_close(&client);
    node_stop(&node);
    return 0;
}

/* One struct of an array field, and the array that holds it. */
#define ONE(field, type)                                                                           \
    ((field).count = 1, (field).items = CLIENT_NEW(&client, type), (field).items)
#define REQUEST(type) CLIENT_NEW(&client, type)

/* --- requests, each about topic "t" --- */

static const void *produce_with(uint16_t attributes, const char *transactional_id)
{
    struct produce_request *request = REQUEST(produce_request);
    struct produce_request_topic_produce_data *topic =
        ONE(request->topic_data, produce_request_topic_produce_data);
    const struct batch_spec spec = {.attributes = attributes};
    request->acks = 1;
    request->timeout_ms = 1000;
    request->transactional_id = slice_from_string(transactional_id);
    topic->name = SLICE("t");
    ONE(topic->partition_data, produce_request_partition_produce_data)->records.bytes =
        client_make_batch(&client, &spec);
    return request;
}

static const void *make_produce(void)
{
    return produce_with(0, NULL);
}

static const void *make_produce_transactional(void)
{
    return produce_with(0x10, "id");
}

static struct fetch_request *fetch_with(void)
{
    struct fetch_request *request = REQUEST(fetch_request);
    struct fetch_request_fetch_topic *topic = ONE(request->topics, fetch_request_fetch_topic);
    topic->topic = SLICE("t");
    topic->topic_id = topic_id;
    (void)ONE(topic->partitions, fetch_request_fetch_partition);
    return request;
}

static const void *make_fetch(void)
{
    struct fetch_request *request = fetch_with();
    request->topics.items[0].topic_id = UUID_ZERO;
    return request;
}

static const void *make_fetch_by_id(void)
{
    struct fetch_request *request = fetch_with();
    request->topics.items[0].topic = SLICE("");
    return request;
}

static const void *make_fetch_of_replica(void)
{
    struct fetch_request *request = fetch_with();
    request->topics.items[0].topic_id = UUID_ZERO;
    request->replica_id = 7;
    return request;
}

static const void *make_list_offsets(void)
{
    struct list_offsets_request *request = REQUEST(list_offsets_request);
    struct list_offsets_request_list_offsets_topic *topic =
        ONE(request->topics, list_offsets_request_list_offsets_topic);
    topic->name = SLICE("t");
    ONE(topic->partitions, list_offsets_request_list_offsets_partition)->timestamp = -1;
    return request;
}

static struct metadata_request *metadata_with(struct slice name)
{
    struct metadata_request *request = REQUEST(metadata_request);
    ONE(request->topics, metadata_request_metadata_request_topic)->name = name;
    request->allow_auto_topic_creation = false;
    return request;
}

static const void *make_metadata(void)
{
    return metadata_with(SLICE("t"));
}

static const void *make_metadata_by_id(void)
{
    struct metadata_request *request = metadata_with(SLICE_NULL);
    request->topics.items[0].topic_id = topic_id;
    return request;
}

static const void *make_metadata_of_new(void)
{
    struct metadata_request *request = metadata_with(SLICE("made-by-metadata"));
    request->allow_auto_topic_creation = true;
    return request;
}

static const void *make_metadata_of_all(void)
{
    struct metadata_request *request = REQUEST(metadata_request);
    request->topics.items = NULL;
    return request;
}

static const void *make_create_topics(void)
{
    struct create_topics_request *request = REQUEST(create_topics_request);
    struct create_topics_request_creatable_topic *topic =
        ONE(request->topics, create_topics_request_creatable_topic);
    topic->name = SLICE("created");
    topic->num_partitions = 1;
    topic->replication_factor = 1;
    request->timeout_ms = 5000;
    request->validate_only = true;
    return request;
}

static struct delete_topics_request *delete_topics_with(struct slice name)
{
    struct delete_topics_request *request = REQUEST(delete_topics_request);
    ONE(request->topics, delete_topics_request_delete_topic_state)->name = name;
    request->timeout_ms = 5000;
    return request;
}

static const void *make_delete_topics(void)
{
    (void)client_make_topic(&client, "victim");
    return delete_topics_with(SLICE("victim"));
}

static const void *make_delete_topics_by_id(void)
{
    struct delete_topics_request *request = delete_topics_with(SLICE_NULL);
    request->topics.items[0].topic_id = client_make_topic(&client, "victim2");
    return request;
}

static const void *make_delete_records(void)
{
    struct delete_records_request *request = REQUEST(delete_records_request);
    struct delete_records_request_delete_records_topic *topic =
        ONE(request->topics, delete_records_request_delete_records_topic);
    topic->name = SLICE("t");
    (void)ONE(topic->partitions, delete_records_request_delete_records_partition);
    return request;
}

static const void *make_init_producer_id(void)
{
    struct init_producer_id_request *request = REQUEST(init_producer_id_request);
    request->transactional_id = SLICE_NULL;
    return request;
}

static const void *make_init_producer_id_transactional(void)
{
    struct init_producer_id_request *request = REQUEST(init_producer_id_request);
    request->transactional_id = SLICE("id");
    return request;
}

static const void *make_offset_for_leader_epoch(void)
{
    struct offset_for_leader_epoch_request *request = REQUEST(offset_for_leader_epoch_request);
    struct offset_for_leader_epoch_request_offset_for_leader_topic *topic =
        ONE(request->topics, offset_for_leader_epoch_request_offset_for_leader_topic);
    topic->topic = SLICE("t");
    (void)ONE(topic->partitions, offset_for_leader_epoch_request_offset_for_leader_partition);
    return request;
}

static const void *describe_configs_of(int8_t type, struct slice name)
{
    struct describe_configs_request *request = REQUEST(describe_configs_request);
    struct describe_configs_request_describe_configs_resource *resource =
        ONE(request->resources, describe_configs_request_describe_configs_resource);
    resource->resource_type = type;
    resource->resource_name = name;
    return request;
}

static const void *make_describe_configs_of_topic(void)
{
    return describe_configs_of(2, SLICE("t"));
}

static const void *make_describe_configs_of_broker(void)
{
    return describe_configs_of(4, SLICE("1"));
}

static const void *alter_configs_of(int8_t type, struct slice name)
{
    struct alter_configs_request *request = REQUEST(alter_configs_request);
    struct alter_configs_request_alter_configs_resource *resource =
        ONE(request->resources, alter_configs_request_alter_configs_resource);
    resource->resource_type = type;
    resource->resource_name = name;
    request->validate_only = true;
    return request;
}

static const void *make_alter_configs_of_topic(void)
{
    return alter_configs_of(2, SLICE("t"));
}

static const void *make_alter_configs_of_broker(void)
{
    return alter_configs_of(4, SLICE(""));
}

static const void *incremental_alter_configs_of(int8_t type, struct slice name)
{
    struct incremental_alter_configs_request *request = REQUEST(incremental_alter_configs_request);
    struct incremental_alter_configs_request_alter_configs_resource *resource =
        ONE(request->resources, incremental_alter_configs_request_alter_configs_resource);
    resource->resource_type = type;
    resource->resource_name = name;
    request->validate_only = true;
    return request;
}

static const void *make_incremental_alter_configs_of_topic(void)
{
    return incremental_alter_configs_of(2, SLICE("t"));
}

static const void *make_incremental_alter_configs_of_broker(void)
{
    return incremental_alter_configs_of(4, SLICE(""));
}

static const void *make_describe_log_dirs(void)
{
    struct describe_log_dirs_request *request = REQUEST(describe_log_dirs_request);
    request->topics.items = NULL;
    return request;
}

static const void *make_create_partitions(void)
{
    struct create_partitions_request *request = REQUEST(create_partitions_request);
    struct create_partitions_request_create_partitions_topic *topic =
        ONE(request->topics, create_partitions_request_create_partitions_topic);
    topic->name = SLICE("t");
    topic->count = 9;
    topic->assignments.items = NULL;
    request->timeout_ms = 5000;
    request->validate_only = true;
    return request;
}

static const void *make_update_features(void)
{
    struct update_features_request *request = REQUEST(update_features_request);
    request->timeout_ms = 5000;
    request->validate_only = true;
    return request;
}

static const void *make_describe_cluster(void)
{
    struct describe_cluster_request *request = REQUEST(describe_cluster_request);
    request->include_cluster_authorized_operations = true;
    return request;
}

static const void *make_describe_producers(void)
{
    struct describe_producers_request *request = REQUEST(describe_producers_request);
    struct describe_producers_request_topic_request *topic =
        ONE(request->topics, describe_producers_request_topic_request);
    topic->name = SLICE("t");
    topic->partition_indexes.items = client_alloc(&client, 1 * 4);
    topic->partition_indexes.count = 1;
    return request;
}

static const void *make_list_config_resources(void)
{
    return REQUEST(list_config_resources_request);
}

static const void *make_describe_topic_partitions(void)
{
    struct describe_topic_partitions_request *request = REQUEST(describe_topic_partitions_request);
    ONE(request->topics, describe_topic_partitions_request_topic_request)->name = SLICE("t");
    request->response_partition_limit = 10;
    return request;
}

/* --- the table --- */

#define OPERATION(name) (1U << ACL_##name)

struct row {
    int16_t api_key;
    int16_t version;
    const void *(*make)(void);
    unsigned denied;
    int type;
    int16_t error; /* somewhere in the answer; NOTHING: topic "t" is left out of it */
};

static const struct row rows[] = {
    {API_PRODUCE, 9, make_produce, OPERATION(WRITE), ACL_TOPIC, TOPIC_FAILED},
    {API_PRODUCE, 9, make_produce_transactional, OPERATION(WRITE), ACL_TRANSACTIONAL_ID,
     TRANSACTIONAL_ID_FAILED},
    {API_FETCH, 12, make_fetch, OPERATION(READ), ACL_TOPIC, TOPIC_FAILED},
    {API_FETCH, 13, make_fetch_by_id, OPERATION(READ), ACL_TOPIC, TOPIC_FAILED},
    {API_FETCH, 12, make_fetch_of_replica, OPERATION(CLUSTER_ACTION), ACL_CLUSTER, CLUSTER_FAILED},
    {API_LIST_OFFSETS, 7, make_list_offsets, OPERATION(DESCRIBE), ACL_TOPIC, TOPIC_FAILED},
    {API_METADATA, 12, make_metadata, OPERATION(DESCRIBE), ACL_TOPIC, TOPIC_FAILED},
    {API_METADATA, 12, make_metadata_by_id, OPERATION(DESCRIBE), ACL_TOPIC, TOPIC_FAILED},
    {API_METADATA, 12, make_metadata_of_all, OPERATION(DESCRIBE), ACL_TOPIC, NOTHING},
    {API_METADATA, 12, make_metadata_of_new, OPERATION(DESCRIBE), ACL_TOPIC, TOPIC_FAILED},
    {API_CREATE_TOPICS, 7, make_create_topics, OPERATION(DESCRIBE_CONFIGS), ACL_TOPIC,
     TOPIC_FAILED},
    {API_DELETE_TOPICS, 6, make_delete_topics, OPERATION(DELETE), ACL_TOPIC, TOPIC_FAILED},
    {API_DELETE_TOPICS, 6, make_delete_topics_by_id, OPERATION(DESCRIBE), ACL_TOPIC, TOPIC_FAILED},
    {API_DELETE_RECORDS, 2, make_delete_records, OPERATION(DELETE), ACL_TOPIC, TOPIC_FAILED},
    {API_INIT_PRODUCER_ID, 4, make_init_producer_id, OPERATION(IDEMPOTENT_WRITE), ACL_CLUSTER,
     CLUSTER_FAILED},
    {API_INIT_PRODUCER_ID, 4, make_init_producer_id_transactional, OPERATION(WRITE),
     ACL_TRANSACTIONAL_ID, TRANSACTIONAL_ID_FAILED},
    {API_DESCRIBE_CONFIGS, 4, make_describe_configs_of_topic, OPERATION(DESCRIBE_CONFIGS),
     ACL_TOPIC, TOPIC_FAILED},
    {API_DESCRIBE_CONFIGS, 4, make_describe_configs_of_broker, OPERATION(DESCRIBE_CONFIGS),
     ACL_CLUSTER, CLUSTER_FAILED},
    {API_ALTER_CONFIGS, 2, make_alter_configs_of_topic, OPERATION(ALTER_CONFIGS), ACL_TOPIC,
     TOPIC_FAILED},
    {API_ALTER_CONFIGS, 2, make_alter_configs_of_broker, OPERATION(ALTER_CONFIGS), ACL_CLUSTER,
     CLUSTER_FAILED},
    {API_INCREMENTAL_ALTER_CONFIGS, 1, make_incremental_alter_configs_of_topic,
     OPERATION(ALTER_CONFIGS), ACL_TOPIC, TOPIC_FAILED},
    {API_INCREMENTAL_ALTER_CONFIGS, 1, make_incremental_alter_configs_of_broker,
     OPERATION(ALTER_CONFIGS), ACL_CLUSTER, CLUSTER_FAILED},
    {API_DESCRIBE_LOG_DIRS, 4, make_describe_log_dirs, OPERATION(DESCRIBE), ACL_CLUSTER,
     CLUSTER_FAILED},
    {API_CREATE_PARTITIONS, 3, make_create_partitions, OPERATION(ALTER), ACL_TOPIC, TOPIC_FAILED},
    {API_UPDATE_FEATURES, 1, make_update_features, OPERATION(ALTER), ACL_CLUSTER, CLUSTER_FAILED},
    {API_DESCRIBE_PRODUCERS, 0, make_describe_producers, OPERATION(READ), ACL_TOPIC, TOPIC_FAILED},
    {API_LIST_CONFIG_RESOURCES, 1, make_list_config_resources, OPERATION(DESCRIBE_CONFIGS),
     ACL_CLUSTER, CLUSTER_FAILED},
    {API_DESCRIBE_TOPIC_PARTITIONS, 0, make_describe_topic_partitions, OPERATION(DESCRIBE),
     ACL_TOPIC, TOPIC_FAILED},
};

enum {
    ROW_COUNT = sizeof(rows) / sizeof(rows[0]),
};

static void deny(unsigned operations, int type)
{
    atomic_store(&denier.type, type);
    atomic_store(&denier.operations, operations);
}

static const char *ask(const struct row *row, const void *request)
{
    const void *response = client_call(&client, row->api_key, row->version, request);
    char *text = client_alloc(&client, TEXT_SIZE_MAX);
    assert_non_null(text);
    (void)codec_print(api_find(row->api_key)->response, row->version, response, text,
                      TEXT_SIZE_MAX);
    return text;
}

/* What the answer holds exactly when the request was denied. */
static bool looks_denied(const struct row *row, const char *text)
{
    char code[32];
    char last_code[32];
    if (row->error == NOTHING) {
        return strstr(text, "\"t\"") == NULL;
    }
    (void)snprintf(code, sizeof(code), "error_code:%d,", row->error);
    (void)snprintf(last_code, sizeof(last_code), "error_code:%d}", row->error);
    return strstr(text, code) != NULL || strstr(text, last_code) != NULL;
}

static void each_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const void *request = rows[i].make();
        deny(rows[i].denied, rows[i].type);
        const char *text = ask(&rows[i], request);
        if (!looks_denied(&rows[i], text)) {
            fail_msg("row %zu (%s), denied: %s", i, api_find(rows[i].api_key)->name, text);
        }
        deny(0, 0);
        text = ask(&rows[i], request);
        if (looks_denied(&rows[i], text)) {
            fail_msg("row %zu (%s), allowed: %s", i, api_find(rows[i].api_key)->name, text);
        }
    }
}

/* Where one of two rights is enough, each is: CREATE on the cluster or on the topic. */
static void either_right(void **state)
{
    const struct row creates[] = {
        {API_CREATE_TOPICS, 7, make_create_topics, 0, 0, TOPIC_FAILED},
        {API_METADATA, 12, make_metadata_of_new, 0, 0, TOPIC_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        deny(OPERATION(CREATE), ACL_CLUSTER);
        assert_false(looks_denied(&creates[i], ask(&creates[i], creates[i].make())));
        deny(OPERATION(CREATE), ACL_TOPIC);
        assert_false(looks_denied(&creates[i], ask(&creates[i], creates[i].make())));
    }
    deny(OPERATION(DESCRIBE), ACL_TOPIC); /* ClusterAction is enough here */
    const struct row epoch = {
        API_OFFSET_FOR_LEADER_EPOCH, 4, make_offset_for_leader_epoch, 0, 0, TOPIC_FAILED};
    assert_false(looks_denied(&epoch, ask(&epoch, epoch.make())));
    deny(0, 0);
}

/* Where one of two rights is enough, none is not; and nothing of a topic leaks. */
static void no_right_at_all(void **state)
{
    const struct row no_rights[] = {
        {API_CREATE_TOPICS, 7, make_create_topics, 0, 0, TOPIC_FAILED},
        {API_OFFSET_FOR_LEADER_EPOCH, 4, make_offset_for_leader_epoch, 0, 0, TOPIC_FAILED},
        {API_METADATA, 12, make_metadata_of_new, 0, 0, TOPIC_FAILED},
        {API_METADATA, 12, make_metadata_of_all, 0, 0, NOTHING},
    };
    (void)state;
    deny(UINT_MAX, ANY_TYPE);
    for (size_t i = 0; i < sizeof(no_rights) / sizeof(no_rights[0]); i++) {
        const char *text = ask(&no_rights[i], no_rights[i].make());
        if (!looks_denied(&no_rights[i], text)) {
            fail_msg("row %zu: %s", i, text);
        }
    }
    const struct row cluster = {API_DESCRIBE_CLUSTER, 1, make_describe_cluster, 0, 0, 0};
    const char *none = ask(&cluster, cluster.make());
    assert_non_null(strstr(none, "cluster_authorized_operations:0"));
    deny(0, 0);
}

/* Creating needs CREATE even where describing is allowed. */
static void create_denied(void **state)
{
    (void)state;
    struct metadata_request *request = metadata_with(SLICE("never-made"));
    request->allow_auto_topic_creation = true;
    deny(OPERATION(CREATE), ANY_TYPE);
    const struct metadata_response *response = client_call(&client, API_METADATA, 12, request);
    deny(0, 0);
    assert_int_equal(response->topics.items[0].error_code, TOPIC_FAILED);
    response = client_call(&client, API_METADATA, 12, metadata_with(SLICE("never-made")));
    assert_int_equal(response->topics.items[0].error_code, 3);
}

static void every_served_api_has_a_row(void **state)
{
    (void)state;
    for (int16_t key = 0; key < API_KEY_LIMIT; key++) {
        const struct api *api = api_find(key);
        bool is_listed = api == NULL || !api->served || key == API_API_VERSIONS ||
                         key == API_DESCRIBE_CLUSTER || key == API_OFFSET_FOR_LEADER_EPOCH;
        for (size_t i = 0; i < ROW_COUNT; i++) {
            is_listed = is_listed || rows[i].api_key == key;
        }
        if (!is_listed) {
            fail_msg("%s has no row", api->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_served_api_has_a_row),
        cmocka_unit_test(each_check),
        cmocka_unit_test(either_right),
        cmocka_unit_test(no_right_at_all),
        cmocka_unit_test(create_denied),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
