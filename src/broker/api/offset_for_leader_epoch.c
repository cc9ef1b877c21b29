/* SPDX-License-Identifier: Apache-2.0 */

/* OffsetForLeaderEpoch (KIP-101, KIP-279; KIP-320 opened it to consumers). */

#include "protocol/messages/offset_for_leader_epoch.h"

#include "broker/api/api_handlers.h"
#include "broker/asked_partitions.h"

struct epoch_call {
    struct asked_partitions asked;
    struct offset_for_leader_epoch_response *response;
};

/* The epochs of a log are its owner's. */
struct epoch_lookup {
    struct partition *part;
    int32_t epoch;
    struct epoch_end end;
    enum error error;
};

static void run_on_owner(void *context)
{
    struct epoch_lookup *lookup = context;
    lookup->error = partition_check_leader(lookup->part, -1);
    if (lookup->error == E_OK) {
        lookup->end = log_epoch_end(lookup->part->log, lookup->epoch);
    }
}

static enum error find_end(struct partition *part, int32_t epoch, struct epoch_end *ret_end)
{
    struct epoch_lookup lookup = {.part = part, .epoch = epoch};
    partition_run_on_owner(part, run_on_owner, &lookup);
    *ret_end = lookup.end;
    return lookup.error;
}

static void
answer_partition(const struct asked_partition *item,
                 const struct offset_for_leader_epoch_request_offset_for_leader_partition *asked,
                 struct offset_for_leader_epoch_response_epoch_end_offset *answer)
{
    enum error error = item->error;
    struct epoch_end end;
    answer->partition = asked->partition;
    if (error == E_OK) {
        error = partition_check_leader(item->part, asked->current_leader_epoch);
    }
    if (error == E_OK) {
        error = find_end(item->part, asked->leader_epoch, &end);
    }
    answer->error_code = error_to_wire(error);
    if (error == E_OK) {
        answer->leader_epoch = end.epoch;
        answer->end_offset = end.end_offset;
    }
}

static void on_ready(struct asked_partitions *asked)
{
    struct epoch_call *epochs = container_of(asked, struct epoch_call, asked);
    const struct offset_for_leader_epoch_request *request = asked->call->body;
    const struct asked_partition *item = asked->items;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        for (uint32_t j = 0; j < request->topics.items[i].partitions.count; j++) {
            answer_partition(item++, &request->topics.items[i].partitions.items[j],
                             &epochs->response->topics.items[i].partitions.items[j]);
        }
    }
    asked_partitions_release(asked);
    call_respond(asked->call, epochs->response);
}

/* A broker that may act for the cluster needs no right to each topic. */
static void look_up(struct asked_partitions *asked, struct slice topic, int32_t index,
                    bool is_broker)
{
    if (!is_broker) {
        (void)asked_partitions_add(asked, ACL_DESCRIBE, topic, index);
        return;
    }
    const struct hosted_topic *hosted =
        replica_manager_find_topic(asked->call->broker->replicas, topic);
    struct partition *part = hosted == NULL ? NULL : replica_manager_partition(hosted, index);
    (void)asked_partitions_add_found(asked, part,
                                     part == NULL ? E_UNKNOWN_TOPIC_OR_PARTITION : E_OK);
}

static bool prepare(struct epoch_call *epochs,
                    const struct offset_for_leader_epoch_request *request)
{
    struct call *call = epochs->asked.call;
    struct arena *arena = call_arena(call);
    const bool is_broker = call_allows(call, ACL_CLUSTER_ACTION, ACL_CLUSTER, ACL_CLUSTER_NAME);
    struct offset_for_leader_epoch_response_offset_for_leader_topic_result *topics =
        MESSAGE_NEW_ARRAY(arena, offset_for_leader_epoch_response_offset_for_leader_topic_result,
                          request->topics.count);
    if (topics == NULL) {
        return false;
    }
    epochs->response->topics.items = topics;
    epochs->response->topics.count = request->topics.count;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct offset_for_leader_epoch_request_offset_for_leader_topic *topic =
            &request->topics.items[i];
        topics[i].topic = topic->topic;
        topics[i].partitions.items = MESSAGE_NEW_ARRAY(
            arena, offset_for_leader_epoch_response_epoch_end_offset, topic->partitions.count);
        topics[i].partitions.count = topic->partitions.count;
        if (topics[i].partitions.items == NULL) {
            return false;
        }
        for (uint32_t j = 0; j < topic->partitions.count; j++) {
            look_up(&epochs->asked, topic->topic, topic->partitions.items[j].partition, is_broker);
        }
    }
    return true;
}

void api_offset_for_leader_epoch(struct call *call)
{
    const struct offset_for_leader_epoch_request *request = call->body;
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partitions.count;
    }
    struct epoch_call *epochs = ARENA_NEW(call_arena(call), struct epoch_call);
    if (epochs == NULL || !asked_partitions_init(&epochs->asked, call, count, on_ready)) {
        call_no_memory(call);
        return;
    }
    epochs->response = MESSAGE_NEW(call_arena(call), offset_for_leader_epoch_response);
    if (epochs->response == NULL || !prepare(epochs, request)) {
        asked_partitions_release(&epochs->asked);
        call_no_memory(call);
        return;
    }
    asked_partitions_await(&epochs->asked);
}
