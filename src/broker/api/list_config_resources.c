/* SPDX-License-Identifier: Apache-2.0 */

/* ListConfigResources (KIP-1142; v0 was ListClientMetricsResources, KIP-714). Client metrics and
 * groups have no configs here yet, so none are listed. */

#include "protocol/messages/list_config_resources.h"

#include "broker/api/api_handlers.h"

static bool is_supported(int8_t type)
{
    return type == CONFIG_RESOURCE_TOPIC || type == CONFIG_RESOURCE_BROKER ||
           type == CONFIG_RESOURCE_BROKER_LOGGER || type == CONFIG_RESOURCE_CLIENT_METRICS ||
           type == CONFIG_RESOURCE_GROUP;
}

/* v1 without types asks for all. */
static bool is_wanted(const struct call *call, int8_t type)
{
    const struct list_config_resources_request *request = call->body;
    if (call->req->api_version == 0) {
        return type == CONFIG_RESOURCE_CLIENT_METRICS;
    }
    for (uint32_t i = 0; i < request->resource_types.count; i++) {
        if (request->resource_types.items[i] == type) {
            return true;
        }
    }
    return request->resource_types.count == 0;
}

static enum error check_request(struct call *call)
{
    const struct list_config_resources_request *request = call->body;
    if (!call_allows(call, ACL_DESCRIBE_CONFIGS, ACL_CLUSTER, ACL_CLUSTER_NAME)) {
        return E_CLUSTER_AUTHORIZATION_FAILED;
    }
    for (uint32_t i = 0; i < request->resource_types.count; i++) {
        if (!is_supported(request->resource_types.items[i])) {
            return E_UNSUPPORTED_VERSION;
        }
    }
    return E_OK;
}

static bool add_brokers(struct call *call, int8_t type,
                        struct list_config_resources_response *response)
{
    const struct image *image = call_image(call);
    for (uint32_t i = 0; i < image->broker_count; i++) {
        const char *id = arena_printf(call_arena(call), "%d", image->brokers[i].id);
        if (id == NULL) {
            return false;
        }
        struct list_config_resources_response_config_resource *resource =
            &response->config_resources.items[response->config_resources.count++];
        resource->resource_name = slice_from_string(id);
        resource->resource_type = type;
    }
    return true;
}

static void add_topics(struct call *call, struct list_config_resources_response *response)
{
    const struct image *image = call_image(call);
    for (const struct image_topic *topic = image_next_topic(image, NULL); topic != NULL;
         topic = image_next_topic(image, topic)) {
        struct list_config_resources_response_config_resource *resource =
            &response->config_resources.items[response->config_resources.count++];
        resource->resource_name = topic->name;
        resource->resource_type = CONFIG_RESOURCE_TOPIC;
    }
}

static bool fill(struct call *call, struct list_config_resources_response *response)
{
    const struct image *image = call_image(call);
    response->config_resources.items =
        MESSAGE_NEW_ARRAY(call_arena(call), list_config_resources_response_config_resource,
                          image->topic_count + 2 * (size_t)image->broker_count);
    if (response->config_resources.items == NULL) {
        return false;
    }
    if (is_wanted(call, CONFIG_RESOURCE_TOPIC)) {
        add_topics(call, response);
    }
    return (!is_wanted(call, CONFIG_RESOURCE_BROKER) ||
            add_brokers(call, CONFIG_RESOURCE_BROKER, response)) &&
           (!is_wanted(call, CONFIG_RESOURCE_BROKER_LOGGER) ||
            add_brokers(call, CONFIG_RESOURCE_BROKER_LOGGER, response));
}

void api_list_config_resources(struct call *call)
{
    struct list_config_resources_response *response =
        MESSAGE_NEW(call_arena(call), list_config_resources_response);
    if (response == NULL) {
        call_no_memory(call);
        return;
    }
    const enum error error = check_request(call);
    response->error_code = error_to_wire(error);
    if (error == E_OK && !fill(call, response)) {
        call_no_memory(call);
        return;
    }
    call_respond(call, response);
}
