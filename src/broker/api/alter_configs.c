/* SPDX-License-Identifier: Apache-2.0 */

/* AlterConfigs (KIP-133): the changes replace all that was set. */

#include "protocol/messages/alter_configs.h"

#include "broker/api/alter_resources.h"
#include "broker/api/api_handlers.h"
#include "broker/failure.h"

static bool fill_resource(struct arena *arena,
                          const struct alter_configs_request_alter_configs_resource *source,
                          struct controller_altered_resource *resource)
{
    struct controller_config_change *changes =
        ARENA_NEW_ARRAY(arena, struct controller_config_change, source->configs.count);
    if (changes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < source->configs.count; i++) {
        changes[i].name = source->configs.items[i].name;
        changes[i].value = source->configs.items[i].value;
        changes[i].operation = ALTER_CONFIG_SET;
    }
    resource->type = source->resource_type;
    resource->name = source->resource_name;
    resource->changes = changes;
    resource->change_count = source->configs.count;
    return true;
}

static void respond(struct alter_resources *alter)
{
    struct arena *arena = call_arena(alter->call);
    struct alter_configs_response *response = MESSAGE_NEW(arena, alter_configs_response);
    struct alter_configs_response_alter_configs_resource_response *results = MESSAGE_NEW_ARRAY(
        arena, alter_configs_response_alter_configs_resource_response, alter->asked_count);
    if (response == NULL || results == NULL) {
        call_no_memory(alter->call);
        return;
    }
    for (size_t i = 0; i < alter->asked_count; i++) {
        const struct controller_altered_resource *resource = &alter->asked[i];
        results[i].error_code = error_to_wire(resource->failure.code);
        results[i].error_message = failure_message(&resource->failure);
        results[i].resource_type = resource->type;
        results[i].resource_name = resource->name;
    }
    response->responses.items = results;
    response->responses.count = (uint32_t)alter->asked_count;
    call_respond(alter->call, response);
}

void api_alter_configs(struct call *call)
{
    const struct alter_configs_request *request = call->body;
    struct alter_resources *alter = alter_resources_new(call, request->resources.count, respond);
    bool is_filled = alter != NULL;
    for (uint32_t i = 0; i < request->resources.count && is_filled; i++) {
        is_filled = fill_resource(call_arena(call), &request->resources.items[i], &alter->asked[i]);
    }
    if (!is_filled) {
        call_no_memory(call);
        return;
    }
    alter_resources_submit(alter, false, request->validate_only);
}
