/* SPDX-License-Identifier: Apache-2.0 */

/* CreatePartitions (KIP-195). */

#include "protocol/messages/create_partitions.h"

#include "broker/api/api_handlers.h"
#include "broker/failure.h"

struct create_partitions_call {
    struct call *call;
    const struct create_partitions_request *request;
    struct controller_create_partitions growth;
    struct controller_grown_topic **submitted; /* per topic of the request; NULL: not allowed to */
};

static bool fill_topic(struct arena *arena,
                       const struct create_partitions_request_create_partitions_topic *source,
                       struct controller_grown_topic *topic)
{
    struct controller_assignment *assignments =
        ARENA_NEW_ARRAY(arena, struct controller_assignment, source->assignments.count);
    if (assignments == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < source->assignments.count; i++) {
        assignments[i].broker_ids = source->assignments.items[i].broker_ids.items;
        assignments[i].broker_count = source->assignments.items[i].broker_ids.count;
    }
    topic->name = source->name;
    topic->partition_count = source->count;
    topic->assignments = assignments;
    topic->assignment_count = source->assignments.count;
    topic->has_assignments = !ARRAY_IS_NULL(source->assignments);
    return true;
}

static bool fill_growth(struct create_partitions_call *grow)
{
    struct arena *arena = call_arena(grow->call);
    const uint32_t count = grow->request->topics.count;
    struct controller_grown_topic *topics =
        ARENA_NEW_ARRAY(arena, struct controller_grown_topic, count);
    grow->submitted = ARENA_NEW_ARRAY(arena, struct controller_grown_topic *, count);
    if (topics == NULL || grow->submitted == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct create_partitions_request_create_partitions_topic *source =
            &grow->request->topics.items[i];
        if (!call_allows(grow->call, ACL_ALTER, ACL_TOPIC, source->name)) {
            continue;
        }
        grow->submitted[i] = &topics[grow->growth.topic_count++];
        if (!fill_topic(arena, source, grow->submitted[i])) {
            return false;
        }
    }
    grow->growth.topics = topics;
    grow->growth.timeout_ms = grow->request->timeout_ms;
    grow->growth.validate_only = grow->request->validate_only;
    return true;
}

static void on_grown(struct controller_request *request)
{
    struct create_partitions_call *grow =
        container_of(container_of(request, struct controller_create_partitions, request),
                     struct create_partitions_call, growth);
    struct arena *arena = call_arena(grow->call);
    const uint32_t count = grow->request->topics.count;
    struct create_partitions_response *response = MESSAGE_NEW(arena, create_partitions_response);
    struct create_partitions_response_create_partitions_topic_result *results =
        MESSAGE_NEW_ARRAY(arena, create_partitions_response_create_partitions_topic_result, count);
    if (response == NULL || results == NULL) {
        call_no_memory(grow->call);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct failure failure =
            grow->submitted[i] == NULL ? (struct failure){.code = E_TOPIC_AUTHORIZATION_FAILED}
                                       : failure_of(request->error, &grow->submitted[i]->failure);
        results[i].name = grow->request->topics.items[i].name;
        results[i].error_code = error_to_wire(failure.code);
        results[i].error_message = failure_message(&failure);
    }
    response->results.items = results;
    response->results.count = count;
    call_respond(grow->call, response);
}

void api_create_partitions(struct call *call)
{
    struct create_partitions_call *grow =
        ARENA_NEW(call_arena(call), struct create_partitions_call);
    if (grow == NULL) {
        call_no_memory(call);
        return;
    }
    grow->call = call;
    grow->request = call->body;
    if (!fill_growth(grow)) {
        call_no_memory(call);
        return;
    }
    grow->growth.request = (struct controller_request){
        .kind = CONTROLLER_CREATE_PARTITIONS,
        .arena = call_arena(call),
        .loop = call->broker->loop,
        .on_done = on_grown,
    };
    controller_submit(call->broker->channel, &grow->growth.request);
}
