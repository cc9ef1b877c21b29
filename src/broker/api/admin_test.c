/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The handlers of administration over a real controller and a store in memory: what they authorise,
 * what they pass on, what they answer. This file stands in for call.c and endpoint.c: the response
 * is looked at as a struct, after it has been encoded in the version of the request.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "broker/api/api_handlers.h"
#include "broker/endpoint.h"
#include "metadata/simulated/simulated_store.h"
#include "protocol/messages/alter_configs.h"
#include "protocol/messages/create_partitions.h"
#include "protocol/messages/create_topics.h"
#include "protocol/messages/delete_topics.h"
#include "protocol/messages/describe_cluster.h"
#include "protocol/messages/describe_configs.h"
#include "protocol/messages/incremental_alter_configs.h"
#include "protocol/messages/list_config_resources.h"
#include "protocol/messages/update_features.h"

#include <cmocka.h>

struct fixture {
    struct broker broker;
    struct authoriser authoriser;
    int denied; /* an enum acl_operation; 0: none */
    struct settings *settings;
    struct request req;
    struct call call;
    const void *response;
    bool is_done;
    bool is_started;
};

static struct fixture *fixture; /* of the test that runs */

/* --- instead of call.c and endpoint.c --- */

const struct image *call_image(struct call *call)
{
    if (call->image == NULL) {
        call->image = image_source_take(call->broker->images);
    }
    return call->image;
}

bool call_allows(struct call *call, enum acl_operation operation, enum acl_resource_type type,
                 struct slice name)
{
    return authorise(call->broker->authoriser, &call->principal, operation, type, name);
}

void call_respond(struct call *call, const void *response)
{
    struct chain chain;
    chain_init(&chain, call_arena(call));
    assert_int_equal(codec_encode(call->api->response, call->req->api_version, response, &chain),
                     E_OK);
    chain_clear(&chain);
    fixture->response = response;
    fixture->is_done = true;
}

void call_no_memory(struct call *call)
{
    (void)call;
    fail();
}

struct endpoint endpoint_for(const struct image_broker *broker, const struct connection *conn)
{
    (void)conn;
    return (struct endpoint){.host = broker->endpoints[0].host, .port = 9092};
}

/* --- fixture --- */

static bool allows(struct authoriser *authoriser, const struct principal *principal,
                   enum acl_operation operation, enum acl_resource_type type, struct slice name)
{
    const struct fixture *f = container_of(authoriser, struct fixture, authoriser);
    (void)principal;
    (void)type;
    (void)name;
    return (int)operation != f->denied;
}

static void on_started(void *context, enum error error, const char *text)
{
    (void)context;
    (void)text;
    assert_int_equal(error, E_OK);
    fixture->is_started = true;
}

static int set_up(void **state)
{
    static const struct image_endpoint endpoint = {
        {(const uint8_t *)"PLAINTEXT", 9}, {(const uint8_t *)"127.0.0.1", 9}, 9092};
    static const struct supported_feature feature = {
        {(const uint8_t *)"share.version", 13}, 0, 1, 0};
    struct fixture *f = calloc(1, sizeof(*f));
    struct broker *broker = &f->broker;
    fixture = f;
    f->authoriser.allows = allows;
    arena_init(&f->req.arena, 16 * 1024 * 1024);
    rng_init(&broker->rng, 1);
    broker->authoriser = &f->authoriser;
    broker->broker_id = 1;
    assert_int_equal(settings_new(NULL, 0, &f->settings), E_OK);
    assert_int_equal(loop_new(clock_system(), 0, &broker->loop), E_OK);
    broker->store = simulated_store_new(broker->loop, clock_system());
    broker->images = image_source_new(f->settings);
    assert_int_equal(controller_new(&(struct controller_options){.loop = broker->loop,
                                                                 .store = broker->store,
                                                                 .clock = clock_system(),
                                                                 .rng = &broker->rng,
                                                                 .settings = f->settings,
                                                                 .source = broker->images,
                                                                 .broker_id = 1,
                                                                 .cluster_id = SLICE("c"),
                                                                 .endpoints = &endpoint,
                                                                 .endpoint_count = 1,
                                                                 .features = &feature,
                                                                 .feature_count = 1},
                                    &broker->controller),
                     E_OK);
    broker->channel = controller_get_channel(broker->controller);
    controller_start(broker->controller, on_started, NULL);
    while (!f->is_started) {
        loop_turn(broker->loop, 1000);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    image_unref(f->call.image);
    controller_free(f->broker.controller);
    image_source_free(f->broker.images);
    store_close(f->broker.store);
    loop_free(f->broker.loop);
    settings_unref(f->settings);
    arena_done(&f->req.arena);
    free(f);
    return 0;
}

/* Not api_handler: that would link all others, and call.c with them. */
static api_handler_fn handler_of(int16_t key)
{
    switch (key) {
    case API_CREATE_TOPICS:
        return api_create_topics;
    case API_DELETE_TOPICS:
        return api_delete_topics;
    case API_CREATE_PARTITIONS:
        return api_create_partitions;
    case API_ALTER_CONFIGS:
        return api_alter_configs;
    case API_INCREMENTAL_ALTER_CONFIGS:
        return api_incremental_alter_configs;
    case API_DESCRIBE_CONFIGS:
        return api_describe_configs;
    case API_DESCRIBE_CLUSTER:
        return api_describe_cluster;
    case API_UPDATE_FEATURES:
        return api_update_features;
    default:
        assert_int_equal(key, API_LIST_CONFIG_RESOURCES);
        return api_list_config_resources;
    }
}

static const void *run(struct fixture *f, int16_t key, int16_t version, const void *body)
{
    image_unref(f->call.image);
    f->req.api_version = version;
    f->call =
        (struct call){.broker = &f->broker, .req = &f->req, .api = api_find(key), .body = body};
    f->is_done = false;
    assert_true(f->call.api->served);
    handler_of(key)(&f->call);
    while (!f->is_done) {
        loop_turn(f->broker.loop, 1000);
    }
    return f->response;
}

static const struct create_topics_response *create(struct fixture *f, const char *name,
                                                   int32_t count, int16_t version)
{
    struct create_topics_request_creatable_topic *topic =
        MESSAGE_NEW(&f->req.arena, create_topics_request_creatable_topic);
    struct create_topics_request *request = MESSAGE_NEW(&f->req.arena, create_topics_request);
    topic->name = slice_from_string(name);
    topic->num_partitions = count;
    topic->replication_factor = -1;
    request->topics.items = topic;
    request->topics.count = 1;
    request->timeout_ms = 1000;
    return run(f, API_CREATE_TOPICS, version, request);
}

/* --- tests --- */

/* CreateTopics answers id, counts and all configs of what it made; the refused have a text. */
static void creates(void **state)
{
    struct fixture *f = *state;
    const struct create_topics_response *response = create(f, "a", 3, 7);
    assert_int_equal(response->topics.count, 1);
    const struct create_topics_response_creatable_topic_result *made = &response->topics.items[0];
    assert_int_equal(made->error_code, 0);
    assert_true(slice_is_null(made->error_message));
    assert_false(uuid_is_zero(&made->topic_id));
    assert_int_equal(made->num_partitions, 3);
    assert_int_equal(made->replication_factor, 1);
    assert_true(made->configs.count > 25);
    bool has_retention = false;
    for (uint32_t i = 0; i < made->configs.count; i++) {
        if (slice_equal_string(made->configs.items[i].name, "retention.ms")) {
            has_retention = slice_equal_string(made->configs.items[i].value, "604800000");
        }
    }
    assert_true(has_retention);

    made = &create(f, "a", 3, 7)->topics.items[0];
    assert_int_equal(made->error_code, 36);
    assert_true(slice_equal_string(made->error_message, "Topic 'a' already exists."));
    assert_int_equal(made->num_partitions, -1);

    f->denied = ACL_CREATE;
    assert_int_equal(create(f, "b", 1, 7)->topics.items[0].error_code, 29);
    f->denied = ACL_DESCRIBE_CONFIGS;
    made = &create(f, "b", 1, 7)->topics.items[0];
    assert_int_equal(made->error_code, 0);
    assert_int_equal(made->topic_config_error_code, 29);
    assert_null(made->configs.items);
}

static const struct delete_topics_response_deletable_topic_result *
delete_topic(struct fixture *f, const char *name, struct uuid id, int16_t version)
{
    struct delete_topics_request *request = MESSAGE_NEW(&f->req.arena, delete_topics_request);
    struct slice *names = ARENA_NEW(&f->req.arena, struct slice);
    struct delete_topics_request_delete_topic_state *topic =
        MESSAGE_NEW(&f->req.arena, delete_topics_request_delete_topic_state);
    *names = slice_from_string(name);
    topic->name = slice_from_string(name);
    topic->topic_id = id;
    request->timeout_ms = 1000;
    if (version >= 6) {
        request->topics.items = topic;
        request->topics.count = 1;
    } else {
        request->topic_names.items = names;
        request->topic_names.count = 1;
    }
    const struct delete_topics_response *response = run(f, API_DELETE_TOPICS, version, request);
    assert_int_equal(response->responses.count, 1);
    return &response->responses.items[0];
}

/* DeleteTopics by name and id; an id does not tell the name to who may not know it. */
static void deletes(void **state)
{
    struct fixture *f = *state;
    const struct uuid id = create(f, "a", 1, 7)->topics.items[0].topic_id;
    assert_int_equal(delete_topic(f, "none", UUID_ZERO, 5)->error_code, 3);
    assert_int_equal(delete_topic(f, NULL, (struct uuid){{7}}, 6)->error_code, 100);
    f->denied = ACL_DELETE;
    assert_int_equal(delete_topic(f, "a", UUID_ZERO, 5)->error_code, 29);
    f->denied = ACL_DESCRIBE;
    const struct delete_topics_response_deletable_topic_result *result =
        delete_topic(f, NULL, id, 6);
    assert_int_equal(result->error_code, 29);
    assert_true(slice_is_null(result->name));
    f->denied = 0;
    result = delete_topic(f, NULL, id, 6);
    assert_int_equal(result->error_code, 0);
    assert_true(slice_equal_string(result->name, "a"));
    assert_int_equal(delete_topic(f, "a", UUID_ZERO, 1)->error_code, 3);
}

static int16_t grow(struct fixture *f, const char *name, int32_t count, int16_t version)
{
    struct create_partitions_request *request =
        MESSAGE_NEW(&f->req.arena, create_partitions_request);
    struct create_partitions_request_create_partitions_topic *topic =
        MESSAGE_NEW(&f->req.arena, create_partitions_request_create_partitions_topic);
    topic->name = slice_from_string(name);
    topic->count = count;
    topic->assignments.items = NULL;
    request->topics.items = topic;
    request->topics.count = 1;
    request->timeout_ms = 1000;
    const struct create_partitions_response *response =
        run(f, API_CREATE_PARTITIONS, version, request);
    return response->results.items[0].error_code;
}

static void grows(void **state)
{
    struct fixture *f = *state;
    (void)create(f, "a", 2, 7);
    assert_int_equal(grow(f, "a", 2, 3), 37);
    assert_int_equal(grow(f, "none", 2, 3), 3);
    assert_int_equal(grow(f, "a", 4, 3), 0);
    f->denied = ACL_ALTER;
    assert_int_equal(grow(f, "a", 5, 3), 29);
}

static int16_t set_config(struct fixture *f, int8_t type, const char *resource, const char *name,
                          const char *value)
{
    struct incremental_alter_configs_request *request =
        MESSAGE_NEW(&f->req.arena, incremental_alter_configs_request);
    struct incremental_alter_configs_request_alter_configs_resource *item =
        MESSAGE_NEW(&f->req.arena, incremental_alter_configs_request_alter_configs_resource);
    struct incremental_alter_configs_request_alterable_config *config =
        MESSAGE_NEW(&f->req.arena, incremental_alter_configs_request_alterable_config);
    config->name = slice_from_string(name);
    config->value = slice_from_string(value);
    config->config_operation = ALTER_CONFIG_SET;
    item->resource_type = type;
    item->resource_name = slice_from_string(resource);
    item->configs.items = config;
    item->configs.count = 1;
    request->resources.items = item;
    request->resources.count = 1;
    const struct incremental_alter_configs_response *response =
        run(f, API_INCREMENTAL_ALTER_CONFIGS, 1, request);
    assert_true(slice_equal_string(response->responses.items[0].resource_name, resource));
    return response->responses.items[0].error_code;
}

static const struct describe_configs_response_describe_configs_result *
describe_in(struct fixture *f, int8_t type, const char *resource, const char *key, int16_t version)
{
    struct describe_configs_request *request = MESSAGE_NEW(&f->req.arena, describe_configs_request);
    struct describe_configs_request_describe_configs_resource *item =
        MESSAGE_NEW(&f->req.arena, describe_configs_request_describe_configs_resource);
    struct slice *keys = ARENA_NEW(&f->req.arena, struct slice);
    *keys = slice_from_string(key);
    item->resource_type = type;
    item->resource_name = slice_from_string(resource);
    item->configuration_keys.items = key == NULL ? NULL : keys;
    item->configuration_keys.count = key == NULL ? 0 : 1;
    request->resources.items = item;
    request->resources.count = 1;
    request->include_synonyms = true;
    request->include_documentation = true;
    const struct describe_configs_response *response =
        run(f, API_DESCRIBE_CONFIGS, version, request);
    return &response->results.items[0];
}

static const struct describe_configs_response_describe_configs_result *
describe(struct fixture *f, int8_t type, const char *resource, const char *key)
{
    return describe_in(f, type, resource, key, 4);
}

/* A config that was set is described with its source, above the broker's and the default. */
static void alters_and_describes(void **state)
{
    struct fixture *f = *state;
    (void)create(f, "a", 1, 7);
    assert_int_equal(set_config(f, CONFIG_RESOURCE_BROKER, "", "log.retention.ms", "7000"), 0);
    const struct describe_configs_response_describe_configs_resource_result *config =
        &describe(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms")->configs.items[0];
    assert_true(slice_equal_string(config->value, "7000"));
    assert_int_equal(config->config_source, CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER);

    assert_int_equal(set_config(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms", "5"), 0);
    assert_int_equal(set_config(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms", "x"), 40);
    assert_int_equal(set_config(f, CONFIG_RESOURCE_TOPIC, "none", "retention.ms", "5"), 3);
    assert_int_equal(set_config(f, CONFIG_RESOURCE_BROKER, "1", "broker.id", "5"), 42);
    const struct describe_configs_response_describe_configs_result *result =
        describe(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms");
    config = &result->configs.items[0];
    assert_int_equal(result->configs.count, 1);
    assert_true(slice_equal_string(config->value, "5"));
    assert_int_equal(config->config_source, CONFIG_SOURCE_DYNAMIC_TOPIC);
    assert_int_equal(config->config_type, SETTING_TYPE_LONG);
    assert_false(config->is_default);
    assert_true(config->synonyms.count >= 2);
    assert_int_equal(config->synonyms.items[0].source, CONFIG_SOURCE_DYNAMIC_TOPIC);
    assert_false(slice_is_null(config->documentation));

    assert_int_equal(describe(f, CONFIG_RESOURCE_TOPIC, "none", NULL)->error_code, 3);
    assert_int_equal(describe(f, CONFIG_RESOURCE_BROKER, "9", NULL)->error_code, 42);
    assert_int_equal(describe(f, 77, "a", NULL)->error_code, 42);
    assert_true(describe(f, CONFIG_RESOURCE_BROKER, "1", NULL)->configs.count > 100);
    result = describe(f, CONFIG_RESOURCE_BROKER, "", NULL);
    assert_int_equal(result->configs.count, 1); /* only what is set for all */
    assert_int_equal(result->configs.items[0].config_source, CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER);
    f->denied = ACL_DESCRIBE_CONFIGS;
    assert_int_equal(describe(f, CONFIG_RESOURCE_TOPIC, "a", NULL)->error_code, 29);
    assert_int_equal(describe(f, CONFIG_RESOURCE_BROKER, "1", NULL)->error_code, 31);
    f->denied = ACL_ALTER_CONFIGS;
    assert_int_equal(set_config(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms", "6"), 29);
    assert_int_equal(set_config(f, CONFIG_RESOURCE_BROKER, "1", "log.retention.ms", "6"), 31);
}

/* The old AlterConfigs replaces everything. */
static void replaces_configs(void **state)
{
    struct fixture *f = *state;
    (void)create(f, "a", 1, 7);
    assert_int_equal(set_config(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms", "5"), 0);
    struct alter_configs_request_alter_configs_resource *item =
        MESSAGE_NEW(&f->req.arena, alter_configs_request_alter_configs_resource);
    struct alter_configs_request *request = MESSAGE_NEW(&f->req.arena, alter_configs_request);
    item->resource_type = CONFIG_RESOURCE_TOPIC;
    item->resource_name = SLICE("a");
    request->resources.items = item;
    request->resources.count = 1;
    const struct alter_configs_response *response = run(f, API_ALTER_CONFIGS, 2, request);
    assert_int_equal(response->responses.items[0].error_code, 0);
    assert_int_equal(
        describe(f, CONFIG_RESOURCE_TOPIC, "a", "retention.ms")->configs.items[0].config_source,
        CONFIG_SOURCE_DEFAULT);
}

static void describes_the_cluster(void **state)
{
    struct fixture *f = *state;
    struct describe_cluster_request *request = MESSAGE_NEW(&f->req.arena, describe_cluster_request);
    const struct describe_cluster_response *response = run(f, API_DESCRIBE_CLUSTER, 2, request);
    assert_int_equal(response->error_code, 0);
    assert_true(slice_equal_string(response->cluster_id, "c"));
    assert_int_equal(response->controller_id, 1);
    assert_int_equal(response->brokers.count, 1);
    assert_int_equal(response->brokers.items[0].port, 9092);
    assert_int_equal(response->cluster_authorized_operations, INT32_MIN);
    request->endpoint_type = 2;
    response = run(f, API_DESCRIBE_CLUSTER, 2, request);
    assert_int_equal(response->error_code, 114);
    request->endpoint_type = 9;
    response = run(f, API_DESCRIBE_CLUSTER, 2, request);
    assert_int_equal(response->error_code, 115);
}

/* Topics, brokers and their loggers; v0 knew client metrics only, of which there are none. */
static void lists_config_resources(void **state)
{
    struct fixture *f = *state;
    int8_t type = CONFIG_RESOURCE_TOPIC;
    struct list_config_resources_request *request =
        MESSAGE_NEW(&f->req.arena, list_config_resources_request);
    (void)create(f, "a", 1, 7);
    const struct list_config_resources_response *response =
        run(f, API_LIST_CONFIG_RESOURCES, 1, request);
    assert_int_equal(response->config_resources.count, 3);
    request->resource_types.items = &type;
    request->resource_types.count = 1;
    response = run(f, API_LIST_CONFIG_RESOURCES, 1, request);
    assert_int_equal(response->config_resources.count, 1);
    assert_true(slice_equal_string(response->config_resources.items[0].resource_name, "a"));
    response = run(f, API_LIST_CONFIG_RESOURCES, 0, request);
    assert_int_equal(response->config_resources.count, 0);
    type = 99;
    response = run(f, API_LIST_CONFIG_RESOURCES, 1, request);
    assert_int_equal(response->error_code, 35);
    f->denied = ACL_DESCRIBE_CONFIGS;
    response = run(f, API_LIST_CONFIG_RESOURCES, 1, request);
    assert_int_equal(response->error_code, 31);
}

static const struct update_features_response *update(struct fixture *f, int16_t level, int8_t type,
                                                     int16_t version)
{
    struct update_features_request *request = MESSAGE_NEW(&f->req.arena, update_features_request);
    struct update_features_request_feature_update_key *item =
        MESSAGE_NEW(&f->req.arena, update_features_request_feature_update_key);
    item->feature = SLICE("share.version");
    item->max_version_level = level;
    item->upgrade_type = type;
    request->feature_updates.items = item;
    request->feature_updates.count = 1;
    return run(f, API_UPDATE_FEATURES, version, request);
}

/* v2 has one error for all, v1 one per feature. */
static void updates_features(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(update(f, 9, 1, 2)->error_code, 95);
    assert_int_equal(update(f, 9, 1, 1)->results.items[0].error_code, 95);
    assert_int_equal(update(f, 1, 1, 2)->error_code, 0);
    assert_int_equal(update(f, 0, 1, 2)->error_code, 95);
    assert_int_equal(update(f, 0, 2, 2)->error_code, 0);
    f->denied = ACL_ALTER;
    assert_int_equal(update(f, 1, 1, 2)->error_code, 31);
}

/* Every version of the answers can be encoded, of the good and of the refused. */
static void answers_in_every_version(void **state)
{
    struct fixture *f = *state;
    for (int16_t version = 0; version <= 7; version++) {
        assert_int_equal(create(f, "v", 1, version)->topics.items[0].error_code, 0);
        assert_int_equal(create(f, "v", 1, version)->topics.items[0].error_code, 36);
        assert_int_equal(delete_topic(f, "v", UUID_ZERO, version > 6 ? 6 : version)->error_code, 0);
        assert_int_equal(delete_topic(f, "v", UUID_ZERO, version > 6 ? 6 : version)->error_code, 3);
    }
    (void)create(f, "v", 1, 7);
    for (int16_t version = 0; version <= 3; version++) {
        assert_int_equal(grow(f, "v", 2 + version, version), 0);
        assert_int_equal(grow(f, "v", 1, version), 37);
    }
    for (int16_t version = 0; version <= 4; version++) {
        assert_int_equal(describe_in(f, CONFIG_RESOURCE_TOPIC, "v", NULL, version)->error_code, 0);
        assert_int_equal(describe_in(f, CONFIG_RESOURCE_BROKER, "1", NULL, version)->error_code, 0);
        assert_int_equal(describe_in(f, CONFIG_RESOURCE_TOPIC, "x", NULL, version)->error_code, 3);
    }
    for (int16_t version = 0; version <= 2; version++) {
        const struct describe_cluster_request *request =
            MESSAGE_NEW(&f->req.arena, describe_cluster_request);
        (void)run(f, API_DESCRIBE_CLUSTER, version, request);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(creates),
        TEST(deletes),
        TEST(grows),
        TEST(alters_and_describes),
        TEST(replaces_configs),
        TEST(describes_the_cluster),
        TEST(lists_config_resources),
        TEST(updates_features),
        TEST(answers_in_every_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
