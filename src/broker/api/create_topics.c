/* SPDX-License-Identifier: Apache-2.0 */

/* CreateTopics (KIP-4; KIP-464 defaults; KIP-525 configs in the answer). */

#include "protocol/messages/create_topics.h"

#include "broker/api/api_handlers.h"
#include "broker/failure.h"
#include "config/topic_config.h"

struct create_topics_call {
    struct call *call;
    const struct create_topics_request *request;
    struct controller_create_topics creation;
    struct controller_new_topic **submitted; /* per topic of the request; NULL: not allowed to */
};

/* --- look up and act --- */

static bool fill_assignments(struct arena *arena,
                             const struct create_topics_request_creatable_topic *source,
                             struct controller_new_topic *topic)
{
    struct controller_assignment *assignments =
        ARENA_NEW_ARRAY(arena, struct controller_assignment, source->assignments.count);
    if (assignments == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < source->assignments.count; i++) {
        assignments[i].partition = source->assignments.items[i].partition_index;
        assignments[i].broker_ids = source->assignments.items[i].broker_ids.items;
        assignments[i].broker_count = source->assignments.items[i].broker_ids.count;
    }
    topic->assignments = assignments;
    topic->assignment_count = source->assignments.count;
    return true;
}

static bool fill_new_topic(struct arena *arena,
                           const struct create_topics_request_creatable_topic *source,
                           struct controller_new_topic *topic)
{
    struct config_entry *configs =
        ARENA_NEW_ARRAY(arena, struct config_entry, source->configs.count);
    if (configs == NULL || !fill_assignments(arena, source, topic)) {
        return false;
    }
    for (uint32_t i = 0; i < source->configs.count; i++) {
        configs[i].name = source->configs.items[i].name;
        configs[i].value = source->configs.items[i].value;
    }
    topic->name = source->name;
    topic->partition_count = source->num_partitions;
    topic->replication_factor = source->replication_factor;
    topic->configs = configs;
    topic->config_count = source->configs.count;
    return true;
}

/* The topics that the client may create. false: no memory. */
static bool fill_creation(struct create_topics_call *create)
{
    struct call *call = create->call;
    const uint32_t count = create->request->topics.count;
    const bool may_create_all = call_allows(call, ACL_CREATE, ACL_CLUSTER, ACL_CLUSTER_NAME);
    struct controller_new_topic *topics =
        ARENA_NEW_ARRAY(call_arena(call), struct controller_new_topic, count);
    create->submitted = ARENA_NEW_ARRAY(call_arena(call), struct controller_new_topic *, count);
    if (topics == NULL || create->submitted == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct create_topics_request_creatable_topic *source =
            &create->request->topics.items[i];
        if (!may_create_all && !call_allows(call, ACL_CREATE, ACL_TOPIC, source->name)) {
            continue;
        }
        create->submitted[i] = &topics[create->creation.topic_count++];
        if (!fill_new_topic(call_arena(call), source, create->submitted[i])) {
            return false;
        }
    }
    create->creation.topics = topics;
    create->creation.timeout_ms = create->request->timeout_ms;
    create->creation.validate_only = create->request->validate_only;
    return true;
}

/* --- answer --- */

static bool is_described(const struct setting *setting)
{
    return !setting->is_internal && setting->release != SETTING_RELEASE_3;
}

static bool fill_configs(struct call *call, const struct controller_new_topic *topic,
                         struct create_topics_response_creatable_topic_result *result)
{
    struct topic_settings *settings = ARENA_NEW(call_arena(call), struct topic_settings);
    struct create_topics_response_creatable_topic_configs *configs = MESSAGE_NEW_ARRAY(
        call_arena(call), create_topics_response_creatable_topic_configs, SETTING_TOPIC_COUNT);
    if (settings == NULL || configs == NULL ||
        topic_settings_resolve(call_image(call)->settings, topic->configs, topic->config_count,
                               call_arena(call), settings) != E_OK) {
        return false;
    }
    uint32_t count = 0;
    for (unsigned i = 0; i < SETTING_TOPIC_COUNT; i++) {
        const enum setting_id id = (enum setting_id)(SETTING_TOPIC_FIRST + i);
        const struct setting *setting = setting_get(id);
        const struct setting_value *value = topic_settings_value(settings, id);
        if (is_described(setting)) {
            configs[count].name = slice_from_string(setting->name);
            configs[count].value = slice_from_string(setting->is_sensitive ? NULL : value->text);
            configs[count].config_source = (int8_t)value->source;
            configs[count].is_sensitive = setting->is_sensitive;
            count++;
        }
    }
    result->configs.items = configs;
    result->configs.count = count;
    return true;
}

static bool fill_made(struct call *call, const struct controller_new_topic *topic,
                      struct create_topics_response_creatable_topic_result *result)
{
    result->topic_id = topic->topic_id;
    if (call->req->api_version < 5) {
        return true;
    }
    if (!call_allows(call, ACL_DESCRIBE_CONFIGS, ACL_TOPIC, topic->name)) {
        result->topic_config_error_code = error_to_wire(E_TOPIC_AUTHORIZATION_FAILED);
        result->configs.items = NULL;
        return true;
    }
    result->num_partitions = topic->partition_count_made;
    result->replication_factor = topic->replication_factor_made;
    return fill_configs(call, topic, result);
}

static bool fill_result(struct create_topics_call *create, uint32_t index,
                        struct create_topics_response_creatable_topic_result *result)
{
    static const struct failure refused = {.code = E_TOPIC_AUTHORIZATION_FAILED,
                                           .text = "Authorization failed."};
    const struct controller_new_topic *topic = create->submitted[index];
    const struct failure failure =
        topic == NULL ? refused : failure_of(create->creation.request.error, &topic->failure);
    result->name = create->request->topics.items[index].name;
    result->error_code = error_to_wire(failure.code);
    result->error_message = failure_message(&failure);
    result->num_partitions = -1;
    result->replication_factor = -1;
    return failure.code != E_OK || fill_made(create->call, topic, result);
}

static void respond(struct create_topics_call *create)
{
    struct arena *arena = call_arena(create->call);
    const uint32_t count = create->request->topics.count;
    struct create_topics_response *response = MESSAGE_NEW(arena, create_topics_response);
    struct create_topics_response_creatable_topic_result *results =
        MESSAGE_NEW_ARRAY(arena, create_topics_response_creatable_topic_result, count);
    bool is_filled = response != NULL && results != NULL;
    for (uint32_t i = 0; i < count && is_filled; i++) {
        is_filled = fill_result(create, i, &results[i]);
    }
    if (!is_filled) {
        call_no_memory(create->call);
        return;
    }
    response->topics.items = results;
    response->topics.count = count;
    call_respond(create->call, response);
}

static void on_created(struct controller_request *request)
{
    struct create_topics_call *create =
        container_of(container_of(request, struct controller_create_topics, request),
                     struct create_topics_call, creation);
    respond(create);
}

void api_create_topics(struct call *call)
{
    struct create_topics_call *create = ARENA_NEW(call_arena(call), struct create_topics_call);
    if (create == NULL) {
        call_no_memory(call);
        return;
    }
    create->call = call;
    create->request = call->body;
    if (!fill_creation(create)) {
        call_no_memory(call);
        return;
    }
    create->creation.request = (struct controller_request){
        .kind = CONTROLLER_CREATE_TOPICS,
        .arena = call_arena(call),
        .loop = call->broker->loop,
        .on_done = on_created,
    };
    controller_submit(call->broker->channel, &create->creation.request);
}
