/* SPDX-License-Identifier: Apache-2.0 */

/* DeleteTopics (KIP-4; KIP-516 by id from v6). */

#include "protocol/messages/delete_topics.h"

#include "broker/api/api_handlers.h"
#include "broker/failure.h"

/* One topic of the request, as both forms of it say. */
struct delete_item {
    struct slice name; /* null: by id */
    struct uuid topic_id;
    struct controller_deleted_topic *submitted; /* NULL: refused */
    enum error refusal;
};

struct delete_topics_call {
    struct call *call;
    struct controller_delete_topics deletion;
    struct delete_item *items;
    uint32_t item_count;
};

/* --- authorise and act --- */

static bool read_items(struct delete_topics_call *delete,
                       const struct delete_topics_request *request)
{
    const bool has_states = delete->call->req->api_version >= 6;
    delete->item_count = has_states ? request->topics.count : request->topic_names.count;
    delete->items =
        ARENA_NEW_ARRAY(call_arena(delete->call), struct delete_item, delete->item_count);
    if (delete->items == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < delete->item_count; i++) {
        if (has_states) {
            delete->items[i].name = request->topics.items[i].name;
            delete->items[i].topic_id = request->topics.items[i].topic_id;
        } else {
            delete->items[i].name = request->topic_names.items[i];
        }
    }
    return true;
}

/* Who may not describe a topic does not learn the name from the id: the answer has none. As Kafka,
 * that the id exists is no secret. */
static enum error check_allowed(struct call *call, const struct delete_item *item)
{
    struct slice name = item->name;
    if (slice_is_null(name)) {
        const struct image_topic *topic = image_find_topic_by_id(call_image(call), &item->topic_id);
        if (topic == NULL) {
            return E_OK; /* the controller says what is wrong */
        }
        name = topic->name;
        if (!call_allows(call, ACL_DESCRIBE, ACL_TOPIC, name)) {
            return E_TOPIC_AUTHORIZATION_FAILED;
        }
    }
    return call_allows(call, ACL_DELETE, ACL_TOPIC, name) ? E_OK : E_TOPIC_AUTHORIZATION_FAILED;
}

static bool fill_deletion(struct delete_topics_call *delete)
{
    struct call *call = delete->call;
    struct controller_deleted_topic *topics =
        ARENA_NEW_ARRAY(call_arena(call), struct controller_deleted_topic, delete->item_count);
    if (topics == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < delete->item_count; i++) {
        struct delete_item *item = &delete->items[i];
        item->refusal = check_allowed(call, item);
        if (item->refusal == E_OK) {
            item->submitted = &topics[delete->deletion.topic_count++];
            item->submitted->name = item->name;
            item->submitted->topic_id = item->topic_id;
        }
    }
    delete->deletion.topics = topics;
    return true;
}

/* --- answer --- */

/* Before v3 clients do not know the code (KIP-322). */
static enum error code_for_version(const struct call *call, enum error code)
{
    return code == E_TOPIC_DELETION_DISABLED && call->req->api_version < 3 ? E_INVALID_REQUEST
                                                                           : code;
}

static void fill_result(struct delete_topics_call *delete, const struct delete_item *item,
                        struct delete_topics_response_deletable_topic_result *result)
{
    struct failure failure = {.code = item->refusal};
    result->name = item->name;
    result->topic_id = item->topic_id;
    if (item->submitted != NULL) {
        failure = failure_of(delete->deletion.request.error, &item->submitted->failure);
        result->name = item->submitted->name;
        result->topic_id = item->submitted->topic_id;
    }
    result->error_code = error_to_wire(code_for_version(delete->call, failure.code));
    result->error_message = failure_message(&failure);
}

static void on_deleted(struct controller_request *request)
{
    struct delete_topics_call *delete =
        container_of(container_of(request, struct controller_delete_topics, request),
                     struct delete_topics_call, deletion);
    struct arena *arena = call_arena(delete->call);
    struct delete_topics_response *response = MESSAGE_NEW(arena, delete_topics_response);
    struct delete_topics_response_deletable_topic_result *results =
        MESSAGE_NEW_ARRAY(arena, delete_topics_response_deletable_topic_result, delete->item_count);
    if (response == NULL || results == NULL) {
        call_no_memory(delete->call);
        return;
    }
    for (uint32_t i = 0; i < delete->item_count; i++) {
        fill_result(delete, &delete->items[i], &results[i]);
    }
    response->responses.items = results;
    response->responses.count = delete->item_count;
    call_respond(delete->call, response);
}

void api_delete_topics(struct call *call)
{
    const struct delete_topics_request *request = call->body;
    struct delete_topics_call *delete = ARENA_NEW(call_arena(call), struct delete_topics_call);
    if (delete == NULL) {
        call_no_memory(call);
        return;
    }
    delete->call = call;
    if (!read_items(delete, request) || !fill_deletion(delete)) {
        call_no_memory(call);
        return;
    }
    delete->deletion.timeout_ms = request->timeout_ms;
    delete->deletion.request = (struct controller_request){
        .kind = CONTROLLER_DELETE_TOPICS,
        .arena = call_arena(call),
        .loop = call->broker->loop,
        .on_done = on_deleted,
    };
    controller_submit(call->broker->channel, &delete->deletion.request);
}
