/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Metadata (KIP-4; KIP-430 authorised operations; KIP-516 topic ids), with auto-creation.
 *
 * A topic that is made on the way is answered when it is there. Kafka answers
 * UNKNOWN_TOPIC_OR_PARTITION first and lets the client come again: no client can tell the
 * difference, except that its first record is not held up.
 */

#include "protocol/messages/metadata.h"

#include "broker/api/api_handlers.h"
#include "broker/endpoint.h"
#include "controller/topic_name.h"

struct metadata_call {
    struct call *call;
    const struct metadata_request *request;
    struct controller_create_topics creation;
    struct controller_new_topic *new_topics; /* one per topic asked for; name null: not made */
    bool creates;                            /* allow_auto_topic_creation and the setting */
};

/* --- answer --- */

static bool fill_brokers(struct call *call, struct metadata_response *response)
{
    const struct image *image = call_image(call);
    struct metadata_response_metadata_response_broker *brokers = MESSAGE_NEW_ARRAY(
        call_arena(call), metadata_response_metadata_response_broker, image->broker_count);
    if (brokers == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < image->broker_count; i++) {
        const struct endpoint endpoint = endpoint_for(&image->brokers[i], call->req->conn);
        brokers[i].node_id = image->brokers[i].id;
        brokers[i].host = endpoint.host;
        brokers[i].port = endpoint.port;
        brokers[i].rack = image->brokers[i].rack;
    }
    response->brokers.items = brokers;
    response->brokers.count = image->broker_count;
    return true;
}

static void fill_partition(struct call *call, const struct hosted_topic *hosted, uint32_t index,
                           const struct image_partition *source,
                           struct metadata_response_metadata_response_partition *data)
{
    const struct partition *part =
        hosted == NULL ? NULL : replica_manager_partition(hosted, (int32_t)index);
    data->partition_index = (int32_t)index;
    data->leader_id = source->leader;
    data->leader_epoch = part != NULL ? part->leader_epoch : source->leader_epoch;
    /* The codec only reads them. */
    data->replica_nodes.items = (int32_t *)(uintptr_t)source->replicas;
    data->replica_nodes.count = source->replica_count;
    data->isr_nodes.items = (int32_t *)(uintptr_t)source->isr;
    data->isr_nodes.count = source->isr_count;
    if (part != NULL && part->state == PARTITION_OFFLINE) {
        data->error_code = error_to_wire(E_LEADER_NOT_AVAILABLE);
        data->leader_id = -1;
        data->isr_nodes.count = 0;
        data->offline_replicas.items = &call->broker->broker_id;
        data->offline_replicas.count = 1;
    }
}

static bool fill_topic(struct call *call, const struct image_topic *topic,
                       struct metadata_response_metadata_response_topic *data)
{
    const struct metadata_request *request = call->body;
    const struct hosted_topic *hosted =
        replica_manager_find_topic(call->broker->replicas, topic->name);
    data->partitions.items = MESSAGE_NEW_ARRAY(
        call_arena(call), metadata_response_metadata_response_partition, topic->partition_count);
    if (data->partitions.items == NULL) {
        return false;
    }
    data->partitions.count = topic->partition_count;
    data->name = topic->name;
    data->topic_id = topic->id;
    data->is_internal = topic->is_internal;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        fill_partition(call, hosted, i, &topic->partitions[i], &data->partitions.items[i]);
    }
    if (request->include_topic_authorized_operations) {
        data->topic_authorized_operations = authorised_operations(
            call->broker->authoriser, &call->principal, ACL_TOPIC, topic->name);
    }
    return true;
}

static bool fill_all_topics(struct call *call, struct metadata_response *response)
{
    const struct image *image = call_image(call);
    struct metadata_response_metadata_response_topic *data = MESSAGE_NEW_ARRAY(
        call_arena(call), metadata_response_metadata_response_topic, image->topic_count);
    if (data == NULL) {
        return false;
    }
    response->topics.items = data;
    for (const struct image_topic *topic = image_next_topic(image, NULL); topic != NULL;
         topic = image_next_topic(image, topic)) {
        if (!call_allows(call, ACL_DESCRIBE, ACL_TOPIC, topic->name)) {
            continue;
        }
        if (!fill_topic(call, topic, &data[response->topics.count++])) {
            return false;
        }
    }
    return true;
}

static const struct image_topic *
find_topic(struct call *call, const struct metadata_request_metadata_request_topic *asked)
{
    const struct image *image = call_image(call);
    return slice_is_null(asked->name) ? image_find_topic_by_id(image, &asked->topic_id)
                                      : image_find_topic(image, asked->name);
}

static bool may_create_name(struct call *call, struct slice name)
{
    return call_allows(call, ACL_CREATE, ACL_CLUSTER, ACL_CLUSTER_NAME) ||
           call_allows(call, ACL_CREATE, ACL_TOPIC, name);
}

static enum error missing_error(const struct metadata_call *metadata, uint32_t index)
{
    const struct metadata_request_metadata_request_topic *asked =
        &metadata->request->topics.items[index];
    if (slice_is_null(asked->name)) {
        return E_UNKNOWN_TOPIC_ID;
    }
    if (metadata->creates && !may_create_name(metadata->call, asked->name)) {
        return E_TOPIC_AUTHORIZATION_FAILED;
    }
    if (topic_name_problem(asked->name, call_arena(metadata->call)) != NULL) {
        return E_INVALID_TOPIC_EXCEPTION;
    }
    if (metadata->new_topics != NULL && metadata->new_topics[index].name.data != NULL &&
        metadata->new_topics[index].failure.code != E_OK) {
        return metadata->new_topics[index].failure.code;
    }
    return E_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool fill_asked_topics(struct metadata_call *metadata, struct metadata_response *response)
{
    struct call *call = metadata->call;
    const uint32_t count = metadata->request->topics.count;
    struct metadata_response_metadata_response_topic *data =
        MESSAGE_NEW_ARRAY(call_arena(call), metadata_response_metadata_response_topic, count);
    if (data == NULL) {
        return false;
    }
    response->topics.items = data;
    response->topics.count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct metadata_request_metadata_request_topic *asked =
            &metadata->request->topics.items[i];
        const struct image_topic *topic = find_topic(call, asked);
        const bool is_unknown_id = topic == NULL && slice_is_null(asked->name);
        const struct slice name = topic != NULL ? topic->name : asked->name;
        data[i].name = asked->name;
        /* An id is no secret, a name is: who asks by name learns no id when denied. */
        data[i].topic_id = slice_is_null(asked->name) ? asked->topic_id : UUID_ZERO;
        if (!is_unknown_id && !call_allows(call, ACL_DESCRIBE, ACL_TOPIC, name)) {
            data[i].error_code = error_to_wire(E_TOPIC_AUTHORIZATION_FAILED);
        } else if (topic == NULL) {
            data[i].error_code = error_to_wire(missing_error(metadata, i));
        } else if (!fill_topic(call, topic, &data[i])) {
            return false;
        }
    }
    return true;
}

/* v0 cannot say null: there an empty list asks for all topics. */
static bool asks_for_all(const struct metadata_call *metadata)
{
    return ARRAY_IS_NULL(metadata->request->topics) ||
           (metadata->call->req->api_version == 0 && metadata->request->topics.count == 0);
}

static void respond(struct metadata_call *metadata)
{
    struct call *call = metadata->call;
    struct metadata_response *response = MESSAGE_NEW(call_arena(call), metadata_response);
    if (response == NULL || !fill_brokers(call, response) ||
        !(asks_for_all(metadata) ? fill_all_topics(call, response)
                                 : fill_asked_topics(metadata, response))) {
        call_no_memory(call);
        return;
    }
    response->cluster_id = call_image(call)->cluster_id;
    response->controller_id = call_image(call)->controller_id;
    if (metadata->request->include_cluster_authorized_operations) {
        response->cluster_authorized_operations = authorised_operations(
            call->broker->authoriser, &call->principal, ACL_CLUSTER, ACL_CLUSTER_NAME);
    }
    call_respond(call, response);
}

/* --- auto-creation --- */

static bool may_create(struct call *call,
                       const struct metadata_request_metadata_request_topic *asked)
{
    return !slice_is_null(asked->name) &&
           topic_name_problem(asked->name, call_arena(call)) == NULL &&
           find_topic(call, asked) == NULL &&
           call_allows(call, ACL_DESCRIBE, ACL_TOPIC, asked->name) &&
           may_create_name(call, asked->name);
}

static void on_created(struct controller_request *request)
{
    struct metadata_call *metadata =
        container_of(container_of(request, struct controller_create_topics, request),
                     struct metadata_call, creation);
    uint32_t made = 0;
    for (uint32_t i = 0; i < metadata->request->topics.count; i++) {
        if (metadata->new_topics[i].name.data != NULL) {
            metadata->new_topics[i].failure = metadata->creation.topics[made++].failure;
        }
    }
    metadata->call->image = image_unref(metadata->call->image); /* read the one that has them */
    respond(metadata);
}

/* Submits the topics that are missing. false: there are none, or no memory for them. */
static bool create_missing(struct metadata_call *metadata)
{
    struct call *call = metadata->call;
    struct arena *arena = call_arena(call);
    const uint32_t count = metadata->request->topics.count;
    struct controller_new_topic *asked = ARENA_NEW_ARRAY(arena, struct controller_new_topic, count);
    struct controller_new_topic *made = ARENA_NEW_ARRAY(arena, struct controller_new_topic, count);
    size_t made_count = 0;
    if (asked == NULL || made == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (may_create(call, &metadata->request->topics.items[i])) {
            asked[i].name = metadata->request->topics.items[i].name;
            made[made_count].name = asked[i].name;
            made[made_count].partition_count = -1;
            made[made_count].replication_factor = -1;
            made_count++;
        }
    }
    if (made_count == 0) {
        return false;
    }
    metadata->new_topics = asked;
    metadata->creation = (struct controller_create_topics){
        .request = {.kind = CONTROLLER_CREATE_TOPICS,
                    .arena = arena,
                    .loop = call->broker->loop,
                    .on_done = on_created},
        .topics = made,
        .topic_count = made_count,
        .timeout_ms = 30000, /* as Kafka's request.timeout.ms */
    };
    controller_submit(call->broker->channel, &metadata->creation.request);
    return true;
}

void api_metadata(struct call *call)
{
    struct metadata_call *metadata = ARENA_NEW(call_arena(call), struct metadata_call);
    if (metadata == NULL) {
        call_no_memory(call);
        return;
    }
    metadata->call = call;
    metadata->request = call->body;
    metadata->creates =
        metadata->request->allow_auto_topic_creation && !asks_for_all(metadata) &&
        settings_boolean(call_image(call)->settings, SETTING_AUTO_CREATE_TOPICS_ENABLE);
    if (!metadata->creates || !create_missing(metadata)) {
        respond(metadata);
    }
}
