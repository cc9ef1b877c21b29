/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeTopicPartitions (KIP-966): topics by rising name, some thousand partitions at a time. */

#include "protocol/messages/describe_topic_partitions.h"

#include <stdlib.h>

#include "broker/api/api_handlers.h"
#include "controller/topic_name.h"

struct describe_call {
    struct call *call;
    const struct describe_topic_partitions_request *request;
    struct describe_topic_partitions_response *response;
    struct slice *names; /* what is left to describe, rising, each once */
    uint32_t name_count;
    struct slice *denied;
    uint32_t denied_count;
    int32_t left; /* partitions that still fit */
};

/* --- which topics --- */

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static struct slice cursor_topic(const struct describe_topic_partitions_request *request)
{
    return request->cursor == NULL ? SLICE("") : request->cursor->topic_name;
}

static bool list_all(struct describe_call *describe)
{
    struct call *call = describe->call;
    const struct image *image = call_image(call);
    const struct slice from = cursor_topic(describe->request);
    describe->names = ARENA_NEW_ARRAY(call_arena(call), struct slice, image->topic_count);
    if (describe->names == NULL) {
        return false;
    }
    for (const struct image_topic *topic = image_next_topic(image, NULL); topic != NULL;
         topic = image_next_topic(image, topic)) {
        if (slice_compare(topic->name, from) >= 0 &&
            call_allows(call, ACL_DESCRIBE, ACL_TOPIC, topic->name)) {
            describe->names[describe->name_count++] = topic->name;
        }
    }
    return true;
}

static bool list_asked(struct describe_call *describe)
{
    struct call *call = describe->call;
    const uint32_t count = describe->request->topics.count;
    const struct slice from = cursor_topic(describe->request);
    struct slice *sorted = ARENA_NEW_ARRAY(call_arena(call), struct slice, count);
    describe->names = ARENA_NEW_ARRAY(call_arena(call), struct slice, count);
    describe->denied = ARENA_NEW_ARRAY(call_arena(call), struct slice, count);
    if (sorted == NULL || describe->names == NULL || describe->denied == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = describe->request->topics.items[i].name;
    }
    qsort(sorted, count, sizeof(*sorted), compare_names);
    for (uint32_t i = 0; i < count; i++) {
        const bool is_repeated = i > 0 && slice_equal(sorted[i - 1], sorted[i]);
        if (is_repeated || slice_compare(sorted[i], from) < 0) {
            continue;
        }
        if (call_allows(call, ACL_DESCRIBE, ACL_TOPIC, sorted[i])) {
            describe->names[describe->name_count++] = sorted[i];
        } else {
            describe->denied[describe->denied_count++] = sorted[i];
        }
    }
    return true;
}

/* --- describe --- */

static void fill_partition(
    struct call *call, const struct image_topic *topic, const struct hosted_topic *hosted,
    uint32_t index,
    struct describe_topic_partitions_response_describe_topic_partitions_response_partition *answer)
{
    const struct image_partition *source = &topic->partitions[index];
    const struct partition *part =
        hosted == NULL ? NULL : replica_manager_partition(hosted, (int32_t)index);
    answer->partition_index = (int32_t)index;
    answer->leader_id = source->leader;
    answer->leader_epoch = part != NULL ? part->leader_epoch : source->leader_epoch;
    /* The codec only reads them. */
    answer->replica_nodes.items = (int32_t *)(uintptr_t)source->replicas;
    answer->replica_nodes.count = source->replica_count;
    answer->isr_nodes.items = (int32_t *)(uintptr_t)source->isr;
    answer->isr_nodes.count = source->isr_count;
    answer->eligible_leader_replicas.items = ARRAY_EMPTY;
    answer->last_known_elr.items = ARRAY_EMPTY;
    if (part != NULL && part->state == PARTITION_OFFLINE) {
        answer->error_code = error_to_wire(E_LEADER_NOT_AVAILABLE);
        answer->leader_id = -1;
        answer->isr_nodes.count = 0;
        answer->offline_replicas.items = &call->broker->broker_id;
        answer->offline_replicas.count = 1;
    }
}

static bool set_next(struct describe_call *describe, struct slice topic, uint32_t partition)
{
    struct describe_topic_partitions_response_cursor *cursor =
        MESSAGE_NEW(call_arena(describe->call), describe_topic_partitions_response_cursor);
    if (cursor == NULL) {
        return false;
    }
    cursor->topic_name = topic;
    cursor->partition_index = (int32_t)partition;
    describe->response->next_cursor = cursor;
    return true;
}

static uint32_t first_partition(const struct describe_call *describe, struct slice name)
{
    const struct describe_topic_partitions_request_cursor *cursor = describe->request->cursor;
    return cursor != NULL && slice_equal(cursor->topic_name, name)
               ? (uint32_t)cursor->partition_index
               : 0;
}

static bool fill_partitions(
    struct describe_call *describe, const struct image_topic *topic,
    struct describe_topic_partitions_response_describe_topic_partitions_response_topic *answer)
{
    struct call *call = describe->call;
    const struct hosted_topic *hosted =
        replica_manager_find_topic(call->broker->replicas, topic->name);
    const uint32_t first = first_partition(describe, topic->name);
    uint32_t count = first < topic->partition_count ? topic->partition_count - first : 0;
    if (count > (uint32_t)describe->left) {
        count = (uint32_t)describe->left;
        if (!set_next(describe, topic->name, first + count)) {
            return false;
        }
    }
    answer->partitions.items = MESSAGE_NEW_ARRAY(
        call_arena(call),
        describe_topic_partitions_response_describe_topic_partitions_response_partition, count);
    if (answer->partitions.items == NULL) {
        return false;
    }
    answer->partitions.count = count;
    describe->left -= (int32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        fill_partition(call, topic, hosted, first + i, &answer->partitions.items[i]);
    }
    return true;
}

static bool fill_topic(
    struct describe_call *describe, struct slice name,
    struct describe_topic_partitions_response_describe_topic_partitions_response_topic *answer)
{
    struct call *call = describe->call;
    const struct image_topic *topic = image_find_topic(call_image(call), name);
    answer->name = name;
    answer->is_internal = topic_name_is_internal(name);
    answer->topic_authorized_operations =
        authorised_operations(call->broker->authoriser, &call->principal, ACL_TOPIC, name);
    if (topic == NULL) {
        answer->error_code = error_to_wire(topic_name_problem(name, call_arena(call)) != NULL
                                               ? E_INVALID_TOPIC_EXCEPTION
                                               : E_UNKNOWN_TOPIC_OR_PARTITION);
        return true;
    }
    answer->topic_id = topic->id;
    return fill_partitions(describe, topic, answer);
}

static bool fill(struct describe_call *describe)
{
    struct describe_topic_partitions_response *response = describe->response;
    struct describe_topic_partitions_response_describe_topic_partitions_response_topic *answers =
        MESSAGE_NEW_ARRAY(
            call_arena(describe->call),
            describe_topic_partitions_response_describe_topic_partitions_response_topic,
            (size_t)describe->name_count + describe->denied_count);
    if (answers == NULL) {
        return false;
    }
    response->topics.items = answers;
    for (uint32_t i = 0; i < describe->name_count && response->next_cursor == NULL; i++) {
        const struct slice name = describe->names[i];
        if (describe->left == 0) {
            if (!set_next(describe, name, 0)) {
                return false;
            }
        } else if (!fill_topic(describe, name, &answers[response->topics.count++])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < describe->denied_count; i++) {
        struct describe_topic_partitions_response_describe_topic_partitions_response_topic *answer =
            &answers[response->topics.count++];
        answer->name = describe->denied[i];
        answer->error_code = error_to_wire(E_TOPIC_AUTHORIZATION_FAILED);
    }
    return true;
}

/* --- refuse --- */

static bool has_topic(const struct describe_topic_partitions_request *request, struct slice name)
{
    for (uint32_t i = 0; i < request->topics.count; i++) {
        if (slice_equal(request->topics.items[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* The cursor must be one that an answer to the same list can have given. */
static bool cursor_is_valid(const struct describe_topic_partitions_request *request)
{
    return request->cursor == NULL ||
           (request->cursor->partition_index >= 0 &&
            (request->topics.count == 0 || has_topic(request, request->cursor->topic_name)));
}

static bool refuse(struct describe_call *describe, enum error error)
{
    const uint32_t count = describe->request->topics.count;
    struct describe_topic_partitions_response_describe_topic_partitions_response_topic *answers =
        MESSAGE_NEW_ARRAY(
            call_arena(describe->call),
            describe_topic_partitions_response_describe_topic_partitions_response_topic, count);
    if (answers == NULL) {
        return false;
    }
    describe->response->topics.items = answers;
    describe->response->topics.count = count;
    for (uint32_t i = 0; i < count; i++) {
        answers[i].name = describe->request->topics.items[i].name;
        answers[i].error_code = error_to_wire(error);
    }
    return true;
}

static int32_t partition_limit(struct call *call,
                               const struct describe_topic_partitions_request *request)
{
    const int64_t limit_max =
        settings_integer(call_image(call)->settings, SETTING_MAX_REQUEST_PARTITION_SIZE_LIMIT);
    const int64_t asked = request->response_partition_limit;
    const int64_t limit = asked < limit_max ? asked : limit_max;
    return limit < 1 ? 1 : (int32_t)limit;
}

void api_describe_topic_partitions(struct call *call)
{
    struct describe_call describe = {
        .call = call,
        .request = call->body,
        .response = MESSAGE_NEW(call_arena(call), describe_topic_partitions_response),
        .left = partition_limit(call, call->body),
    };
    bool has_memory = describe.response != NULL;
    if (has_memory && !cursor_is_valid(describe.request)) {
        has_memory = refuse(&describe, E_INVALID_REQUEST);
    } else if (has_memory) {
        has_memory =
            (describe.request->topics.count == 0 ? list_all(&describe) : list_asked(&describe)) &&
            fill(&describe);
    }
    if (has_memory) {
        call_respond(call, describe.response);
    } else {
        call_no_memory(call);
    }
}
