/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeConfigs (KIP-133; KIP-226 synonyms and sources; KIP-569 types and documentation). */

#include "protocol/messages/describe_configs.h"

#include <stdio.h>

#include "broker/api/api_handlers.h"
#include "broker/failure.h"
#include "config/topic_config.h"

/* Where one resource's entries come from. */
struct described {
    enum setting_scope scope;
    const struct settings *broker;
    const struct topic_settings *topic; /* scope topic */
    bool is_default;                    /* the dynamic layer of all brokers, and nothing else */
};

static const struct setting_value *value_of(const struct described *described, enum setting_id id)
{
    if (described->scope == SETTING_SCOPE_TOPIC) {
        return topic_settings_value(described->topic, id);
    }
    if (described->is_default) {
        return settings_layer_value(described->broker, CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER, id);
    }
    return settings_value(described->broker, id);
}

static size_t synonyms_of(const struct described *described, enum setting_id id,
                          struct config_synonym *synonyms)
{
    return described->scope == SETTING_SCOPE_TOPIC
               ? topic_settings_synonyms(described->topic, described->broker, id, synonyms)
               : settings_synonyms(described->broker, id, synonyms);
}

static bool is_asked(const struct describe_configs_request_describe_configs_resource *resource,
                     const char *name)
{
    if (ARRAY_IS_NULL(resource->configuration_keys) || resource->configuration_keys.count == 0) {
        return true;
    }
    for (uint32_t i = 0; i < resource->configuration_keys.count; i++) {
        if (slice_equal_string(resource->configuration_keys.items[i], name)) {
            return true;
        }
    }
    return false;
}

static bool fill_synonyms(struct call *call, const struct config_synonym *synonyms, size_t count,
                          struct describe_configs_response_describe_configs_resource_result *result)
{
    struct describe_configs_response_describe_configs_synonym *items = MESSAGE_NEW_ARRAY(
        call_arena(call), describe_configs_response_describe_configs_synonym, count);
    if (items == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].name = slice_from_string(synonyms[i].name);
        items[i].value = slice_from_string(synonyms[i].value);
        items[i].source = (int8_t)synonyms[i].source;
    }
    result->synonyms.items = items;
    result->synonyms.count = (uint32_t)count;
    return true;
}

static bool fill_config(struct call *call, const struct described *described,
                        const struct setting *setting, const struct setting_value *value,
                        struct describe_configs_response_describe_configs_resource_result *result)
{
    const struct describe_configs_request *request = call->body;
    struct config_synonym synonyms[CONFIG_SYNONYM_COUNT_MAX];
    const size_t count = synonyms_of(described, setting->id, synonyms);
    const enum config_source source = count > 0 ? synonyms[0].source : CONFIG_SOURCE_DEFAULT;
    result->name = slice_from_string(setting->name);
    result->value = slice_from_string(setting->is_sensitive ? NULL : value->text);
    result->read_only =
        described->scope == SETTING_SCOPE_BROKER && setting->update == SETTING_UPDATE_READ_ONLY;
    if (call->req->api_version == 0) { /* v1 says it by the source */
        result->is_default = source == CONFIG_SOURCE_DEFAULT;
    }
    result->config_source =
        (int8_t)(described->is_default ? CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER : source);
    result->is_sensitive = setting->is_sensitive;
    result->config_type = (int8_t)setting->type;
    result->documentation = SLICE_NULL;
    if (request->include_documentation) {
        result->documentation = slice_from_string(setting->documentation);
    }
    return !request->include_synonyms || fill_synonyms(call, synonyms, count, result);
}

/* Internal settings and those that this release of Kafka does not know are not shown. */
static bool is_shown(const struct setting *setting)
{
    return !setting->is_internal && setting->release != SETTING_RELEASE_3;
}

static bool fill_configs(struct call *call, const struct described *described,
                         const struct describe_configs_request_describe_configs_resource *resource,
                         struct describe_configs_response_describe_configs_result *result)
{
    const bool is_topic = described->scope == SETTING_SCOPE_TOPIC;
    const unsigned first = is_topic ? (unsigned)SETTING_TOPIC_FIRST : 0;
    const unsigned count = is_topic ? (unsigned)SETTING_TOPIC_COUNT : SETTING_BROKER_COUNT;
    struct describe_configs_response_describe_configs_resource_result *configs = MESSAGE_NEW_ARRAY(
        call_arena(call), describe_configs_response_describe_configs_resource_result, count);
    if (configs == NULL) {
        return false;
    }
    result->configs.items = configs;
    for (unsigned i = 0; i < count; i++) {
        const struct setting *setting = setting_get((enum setting_id)(first + i));
        const struct setting_value *value = value_of(described, setting->id);
        if (value == NULL || !is_shown(setting) || !is_asked(resource, setting->name)) {
            continue;
        }
        if (!fill_config(call, described, setting, value, &configs[result->configs.count++])) {
            return false;
        }
    }
    return true;
}

/* --- resources --- */

static void refuse(struct describe_configs_response_describe_configs_result *result,
                   enum error error, const char *text)
{
    const struct failure failure = {.code = error, .text = text};
    result->error_code = error_to_wire(error);
    result->error_message = failure_message(&failure);
}

static bool
describe_topic(struct call *call,
               const struct describe_configs_request_describe_configs_resource *resource,
               struct describe_configs_response_describe_configs_result *result)
{
    if (!call_allows(call, ACL_DESCRIBE_CONFIGS, ACL_TOPIC, resource->resource_name)) {
        refuse(result, E_TOPIC_AUTHORIZATION_FAILED, NULL);
        return true;
    }
    const struct image_topic *topic = image_find_topic(call_image(call), resource->resource_name);
    if (topic == NULL) {
        refuse(result, E_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        return true;
    }
    struct topic_settings *settings = ARENA_NEW(call_arena(call), struct topic_settings);
    const struct described described = {
        .scope = SETTING_SCOPE_TOPIC, .broker = call_image(call)->settings, .topic = settings};
    return settings != NULL &&
           image_topic_settings(call_image(call), topic, call_arena(call), settings) == E_OK &&
           fill_configs(call, &described, resource, result);
}

static bool
describe_broker(struct call *call,
                const struct describe_configs_request_describe_configs_resource *resource,
                struct describe_configs_response_describe_configs_result *result)
{
    char own_id[16];
    (void)snprintf(own_id, sizeof(own_id), "%d", call->broker->broker_id);
    if (!call_allows(call, ACL_DESCRIBE_CONFIGS, ACL_CLUSTER, ACL_CLUSTER_NAME)) {
        refuse(result, E_CLUSTER_AUTHORIZATION_FAILED, NULL);
        return true;
    }
    const struct described described = {.scope = SETTING_SCOPE_BROKER,
                                        .broker = call_image(call)->settings,
                                        .is_default = resource->resource_name.size == 0};
    if (!described.is_default && !slice_equal_string(resource->resource_name, own_id)) {
        const char *text = arena_printf(
            call_arena(call),
            "Unexpected broker id, expected %s or empty string, but received %.*s", own_id,
            (int)resource->resource_name.size, (const char *)resource->resource_name.data);
        refuse(result, E_INVALID_REQUEST, text);
        return true;
    }
    return fill_configs(call, &described, resource, result);
}

static bool describe(struct call *call,
                     const struct describe_configs_request_describe_configs_resource *resource,
                     struct describe_configs_response_describe_configs_result *result)
{
    result->resource_type = resource->resource_type;
    result->resource_name = resource->resource_name;
    result->error_message = SLICE_NULL;
    if (resource->resource_type == CONFIG_RESOURCE_TOPIC) {
        return describe_topic(call, resource, result);
    }
    if (resource->resource_type == CONFIG_RESOURCE_BROKER) {
        return describe_broker(call, resource, result);
    }
    refuse(result, E_INVALID_REQUEST, "Configs of this resource type are not served here");
    return true;
}

void api_describe_configs(struct call *call)
{
    const struct describe_configs_request *request = call->body;
    const uint32_t count = request->resources.count;
    struct describe_configs_response *response =
        MESSAGE_NEW(call_arena(call), describe_configs_response);
    struct describe_configs_response_describe_configs_result *results = MESSAGE_NEW_ARRAY(
        call_arena(call), describe_configs_response_describe_configs_result, count);
    bool is_filled = response != NULL && results != NULL;
    for (uint32_t i = 0; i < count && is_filled; i++) {
        is_filled = describe(call, &request->resources.items[i], &results[i]);
    }
    if (!is_filled) {
        call_no_memory(call);
        return;
    }
    response->results.items = results;
    response->results.count = count;
    call_respond(call, response);
}
