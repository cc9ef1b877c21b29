/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/api/alter_resources.h"

#include "broker/failure.h"

struct alter_resources *alter_resources_new(struct call *call, size_t count,
                                            void (*respond)(struct alter_resources *alter))
{
    struct arena *arena = call_arena(call);
    struct alter_resources *alter = ARENA_NEW(arena, struct alter_resources);
    if (alter == NULL) {
        return NULL;
    }
    alter->call = call;
    alter->respond = respond;
    alter->asked_count = count;
    alter->asked = ARENA_NEW_ARRAY(arena, struct controller_altered_resource, count);
    alter->submitted = ARENA_NEW_ARRAY(arena, struct controller_altered_resource *, count);
    alter->alteration.resources = ARENA_NEW_ARRAY(arena, struct controller_altered_resource, count);
    const bool is_complete =
        alter->asked != NULL && alter->submitted != NULL && alter->alteration.resources != NULL;
    return is_complete ? alter : NULL;
}

static enum error check_allowed(struct call *call,
                                const struct controller_altered_resource *resource)
{
    if (resource->type == CONFIG_RESOURCE_TOPIC) {
        return call_allows(call, ACL_ALTER_CONFIGS, ACL_TOPIC, resource->name)
                   ? E_OK
                   : E_TOPIC_AUTHORIZATION_FAILED;
    }
    if (resource->type == CONFIG_RESOURCE_GROUP) {
        return call_allows(call, ACL_ALTER_CONFIGS, ACL_GROUP, resource->name)
                   ? E_OK
                   : E_GROUP_AUTHORIZATION_FAILED;
    }
    return call_allows(call, ACL_ALTER_CONFIGS, ACL_CLUSTER, ACL_CLUSTER_NAME)
               ? E_OK
               : E_CLUSTER_AUTHORIZATION_FAILED;
}

static void on_altered(struct controller_request *request)
{
    struct alter_resources *alter =
        container_of(container_of(request, struct controller_alter_configs, request),
                     struct alter_resources, alteration);
    for (size_t i = 0; i < alter->asked_count; i++) {
        if (alter->submitted[i] != NULL) {
            alter->asked[i].failure = failure_of(request->error, &alter->submitted[i]->failure);
        }
    }
    alter->respond(alter);
}

void alter_resources_submit(struct alter_resources *alter, bool is_incremental, bool validate_only)
{
    struct controller_alter_configs *alteration = &alter->alteration;
    for (size_t i = 0; i < alter->asked_count; i++) {
        struct controller_altered_resource *resource = &alter->asked[i];
        resource->failure.code = check_allowed(alter->call, resource);
        if (resource->failure.code == E_OK) {
            alter->submitted[i] = &alteration->resources[alteration->resource_count++];
            *alter->submitted[i] = *resource;
        }
    }
    alteration->is_incremental = is_incremental;
    alteration->validate_only = validate_only;
    alteration->request = (struct controller_request){
        .kind = CONTROLLER_ALTER_CONFIGS,
        .arena = call_arena(alter->call),
        .loop = alter->call->broker->loop,
        .on_done = on_altered,
    };
    controller_submit(alter->call->broker->channel, &alteration->request);
}
