/* SPDX-License-Identifier: Apache-2.0 */

/* ListOffsets (KIP-79 by time; KIP-207; KIP-734 largest timestamp; KIP-405, KIP-1005 tiers). */

#include "protocol/messages/list_offsets.h"

#include "base/check.h"
#include "broker/api/api_handlers.h"

enum special_timestamp {
    TIMESTAMP_LATEST = -1,
    TIMESTAMP_EARLIEST = -2,
    TIMESTAMP_LARGEST = -3,          /* v7+ */
    TIMESTAMP_EARLIEST_LOCAL = -4,   /* v8+ */
    TIMESTAMP_LATEST_TIERED = -5,    /* v9+ */
    TIMESTAMP_EARLIEST_PENDING = -6, /* v11+: the next offset to be tiered (KIP-1023) */
};

struct list_item {
    struct partition *part; /* a reference; NULL: refused */
    const struct list_offsets_request_list_offsets_partition *asked;
    struct list_offsets_response_list_offsets_partition_response *answer;
    struct timestamp_offset found;
    struct load_waiter load_waiter;
};

struct list_call {
    struct call *call;
    struct list_offsets_response *response;
    struct list_item *items;
    uint32_t item_count;
    enum read_limit limit;
    struct load_barrier barrier;
};

static bool timestamp_is_served(int64_t timestamp, int16_t version)
{
    switch (timestamp) {
    case TIMESTAMP_LATEST:
    case TIMESTAMP_EARLIEST:
        return true;
    case TIMESTAMP_LARGEST:
        return version >= 7;
    case TIMESTAMP_EARLIEST_LOCAL:
        return version >= 8;
    case TIMESTAMP_LATEST_TIERED:
        return version >= 9;
    case TIMESTAMP_EARLIEST_PENDING:
        return version >= 11;
    default:
        return timestamp >= 0;
    }
}

static enum error find_offset(const struct list_call *list, struct partition *part,
                              int64_t timestamp, struct timestamp_offset *ret_found)
{
    struct log_offsets offsets;
    struct log *log = part->log; /* there until this callback returns */
    if (log == NULL) {
        return E_KAFKA_STORAGE_ERROR;
    }
    log_get_offsets(log, &offsets);
    *ret_found = (struct timestamp_offset){
        .timestamp = -1, .offset = -1, .leader_epoch = part->leader_epoch};
    switch (timestamp) {
    case TIMESTAMP_LATEST:
        ret_found->offset =
            list->limit == READ_TO_LAST_STABLE ? offsets.last_stable : offsets.high_watermark;
        return E_OK;
    case TIMESTAMP_EARLIEST:
    case TIMESTAMP_EARLIEST_LOCAL:
        ret_found->offset = offsets.log_start;
        return E_OK;
    case TIMESTAMP_LARGEST:
        return log_find_max_timestamp(log, ret_found);
    case TIMESTAMP_LATEST_TIERED:
    case TIMESTAMP_EARLIEST_PENDING:
        ret_found->leader_epoch = -1; /* nothing is tiered */
        return E_OK;
    default:
        return log_find_timestamp(log, timestamp, list->limit, ret_found);
    }
}

/* v0 has a list of offsets, v1 one offset and its time, v4 the epoch too (KIP-320). */
static void fill_found(struct list_offsets_response_list_offsets_partition_response *answer,
                       int16_t version, int32_t old_style_count_max, struct timestamp_offset *found)
{
    if (version == 0) {
        const bool has_offset = found->offset >= 0 && old_style_count_max > 0;
        answer->old_style_offsets.items = has_offset ? &found->offset : ARRAY_EMPTY;
        answer->old_style_offsets.count = has_offset ? 1 : 0;
        return;
    }
    answer->timestamp = found->timestamp;
    answer->offset = found->offset;
    if (version >= 4) {
        answer->leader_epoch = found->leader_epoch;
    }
}

static enum error answer_item(const struct list_call *list, struct list_item *item)
{
    const enum error error = partition_check_leader(item->part, item->asked->current_leader_epoch);
    if (error != E_OK) {
        return error;
    }
    const enum error find_error =
        find_offset(list, item->part, item->asked->timestamp, &item->found);
    if (find_error != E_OK) {
        return find_error;
    }
    fill_found(item->answer, list->call->req->api_version, item->asked->max_num_offsets,
               &item->found);
    return E_OK;
}

static void answer_all(struct list_call *list)
{
    for (uint32_t i = 0; i < list->item_count; i++) {
        struct list_item *item = &list->items[i];
        if (item->part != NULL) {
            item->answer->error_code = error_to_wire(answer_item(list, item));
            item->part = partition_unref(item->part);
        }
    }
    call_respond(list->call, list->response);
}

static void on_loaded(struct load_barrier *barrier)
{
    answer_all(container_of(barrier, struct list_call, barrier));
}

static enum error find_partition(struct call *call, struct slice name,
                                 const struct list_offsets_request_list_offsets_partition *asked,
                                 struct partition **ret_part)
{
    if (!call_allows(call, ACL_DESCRIBE, ACL_TOPIC, name)) {
        return E_TOPIC_AUTHORIZATION_FAILED;
    }
    const struct hosted_topic *topic = replica_manager_find_topic(call->broker->replicas, name);
    struct partition *part =
        topic == NULL ? NULL : replica_manager_partition(topic, asked->partition_index);
    if (part == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (!timestamp_is_served(asked->timestamp, call->req->api_version)) {
        return E_UNSUPPORTED_VERSION;
    }
    *ret_part = part;
    return E_OK;
}

static void look_up(struct list_call *list, struct slice name, struct list_item *item)
{
    struct partition *part;
    const enum error error = find_partition(list->call, name, item->asked, &part);
    item->answer->partition_index = item->asked->partition_index;
    item->answer->error_code = error_to_wire(error);
    if (error != E_OK) {
        return;
    }
    item->part = partition_ref(part);
}

static void await_logs(struct list_call *list)
{
    for (uint32_t i = 0; i < list->item_count; i++) {
        struct list_item *item = &list->items[i];
        if (item->part != NULL && !partition_is_settled(item->part)) {
            partition_await_load(item->part, &item->load_waiter, &list->barrier);
        }
    }
    if (list->barrier.pending_count == 0) {
        answer_all(list);
    }
}

static bool prepare_topic(struct list_call *list,
                          const struct list_offsets_request_list_offsets_topic *asked,
                          struct list_offsets_response_list_offsets_topic_response *answer)
{
    struct list_offsets_response_list_offsets_partition_response *answers = MESSAGE_NEW_ARRAY(
        call_arena(list->call), list_offsets_response_list_offsets_partition_response,
        asked->partitions.count);
    if (answers == NULL) {
        return false;
    }
    answer->name = asked->name;
    answer->partitions.items = answers;
    answer->partitions.count = asked->partitions.count;
    for (uint32_t i = 0; i < asked->partitions.count; i++) {
        struct list_item *item = &list->items[list->item_count++];
        item->asked = &asked->partitions.items[i];
        item->answer = &answers[i];
        look_up(list, asked->name, item);
    }
    return true;
}

static struct list_call *prepare(struct call *call, const struct list_offsets_request *request)
{
    struct arena *arena = call_arena(call);
    struct list_call *list = ARENA_NEW(arena, struct list_call);
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partitions.count;
    }
    struct list_item *items = ARENA_NEW_ARRAY(arena, struct list_item, count);
    struct list_offsets_response *response = MESSAGE_NEW(arena, list_offsets_response);
    struct list_offsets_response_list_offsets_topic_response *topics = MESSAGE_NEW_ARRAY(
        arena, list_offsets_response_list_offsets_topic_response, request->topics.count);
    if (list == NULL || items == NULL || response == NULL || topics == NULL) {
        return NULL;
    }
    *list = (struct list_call){
        .call = call,
        .response = response,
        .items = items,
        .limit = request->isolation_level == 1 ? READ_TO_LAST_STABLE : READ_TO_HIGH_WATERMARK,
        .barrier = {.on_ready = on_loaded},
    };
    response->topics.items = topics;
    response->topics.count = request->topics.count;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        if (!prepare_topic(list, &request->topics.items[i], &topics[i])) {
            return NULL;
        }
    }
    return list;
}

void api_list_offsets(struct call *call)
{
    struct list_call *list = prepare(call, call->body);
    if (list == NULL) {
        call_no_memory(call);
        return;
    }
    await_logs(list);
}
