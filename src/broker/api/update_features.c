/* SPDX-License-Identifier: Apache-2.0 */

/* UpdateFeatures (KIP-584; KIP-1022: from v2 one error for all). */

#include "protocol/messages/update_features.h"

#include "broker/api/api_handlers.h"
#include "broker/failure.h"

enum {
    UPGRADE_TYPE_SAFE_DOWNGRADE = 2,
    UPGRADE_TYPE_UNSAFE_DOWNGRADE = 3,
};

struct update_features_call {
    struct call *call;
    struct controller_update_features update;
};

static bool allows_downgrade(const struct call *call,
                             const struct update_features_request_feature_update_key *source)
{
    return call->req->api_version == 0 ? source->allow_downgrade
                                       : source->upgrade_type == UPGRADE_TYPE_SAFE_DOWNGRADE ||
                                             source->upgrade_type == UPGRADE_TYPE_UNSAFE_DOWNGRADE;
}

/* Before v2 each feature has an error of its own; the good ones of a request that failed share that
 * of the whole. */
static void respond(struct update_features_call *update, const struct failure *failure)
{
    struct call *call = update->call;
    const size_t count = update->update.feature_count;
    struct update_features_response *response =
        MESSAGE_NEW(call_arena(call), update_features_response);
    struct update_features_response_updatable_feature_result *results = MESSAGE_NEW_ARRAY(
        call_arena(call), update_features_response_updatable_feature_result, count);
    if (response == NULL || results == NULL) {
        call_no_memory(call);
        return;
    }
    response->error_code = error_to_wire(failure->code);
    response->error_message = failure_message(failure);
    if (call->req->api_version < 2) {
        for (size_t i = 0; i < count; i++) {
            const struct controller_feature_update *item = &update->update.features[i];
            const struct failure *of = item->failure.code != E_OK ? &item->failure : failure;
            results[i].feature = item->name;
            results[i].error_code = error_to_wire(of->code);
            results[i].error_message = failure_message(of);
        }
        response->results.items = results;
        response->results.count = (uint32_t)count;
    }
    call_respond(call, response);
}

static void on_updated(struct controller_request *request)
{
    struct update_features_call *update =
        container_of(container_of(request, struct controller_update_features, request),
                     struct update_features_call, update);
    const struct failure failure = failure_of(request->error, &update->update.failure);
    respond(update, &failure);
}

static bool fill_update(struct update_features_call *update,
                        const struct update_features_request *request)
{
    const uint32_t count = request->feature_updates.count;
    struct controller_feature_update *features =
        ARENA_NEW_ARRAY(call_arena(update->call), struct controller_feature_update, count);
    if (features == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct update_features_request_feature_update_key *source =
            &request->feature_updates.items[i];
        features[i].name = source->feature;
        features[i].level_max = source->max_version_level;
        features[i].allow_downgrade = allows_downgrade(update->call, source);
    }
    update->update.features = features;
    update->update.feature_count = count;
    update->update.validate_only = request->validate_only;
    return true;
}

void api_update_features(struct call *call)
{
    static const struct failure refused = {.code = E_CLUSTER_AUTHORIZATION_FAILED};
    struct update_features_call *update = ARENA_NEW(call_arena(call), struct update_features_call);
    if (update == NULL) {
        call_no_memory(call);
        return;
    }
    update->call = call;
    if (!call_allows(call, ACL_ALTER, ACL_CLUSTER, ACL_CLUSTER_NAME)) {
        respond(update, &refused);
        return;
    }
    if (!fill_update(update, call->body)) {
        call_no_memory(call);
        return;
    }
    update->update.request = (struct controller_request){
        .kind = CONTROLLER_UPDATE_FEATURES,
        .arena = call_arena(call),
        .loop = call->broker->loop,
        .on_done = on_updated,
    };
    controller_submit(call->broker->channel, &update->update.request);
}
