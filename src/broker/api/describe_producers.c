/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeProducers (KIP-664): what each partition knows of its idempotent producers. */

#include "protocol/messages/describe_producers.h"

#include "broker/api/api_handlers.h"
#include "broker/asked_partitions.h"

struct producers_call {
    struct asked_partitions asked;
    struct describe_producers_response *response;
};

/* The producers of a log are its owner's. The arena is lent to it. */
struct listing {
    struct partition *part;
    struct arena *arena;
    struct producer_info *infos;
    size_t count;
    enum error error;
};

static void run_on_owner(void *context)
{
    struct listing *listing = context;
    if (listing->part->log != NULL) { /* else it went offline just now: nothing is known */
        listing->error =
            log_producers(listing->part->log, listing->arena, &listing->infos, &listing->count);
    }
}

/* false: no memory. */
static bool fill_producers(struct arena *arena, struct partition *part,
                           struct describe_producers_response_partition_response *answer)
{
    struct listing listing = {.part = part, .arena = arena};
    partition_run_on_owner(part, run_on_owner, &listing);
    const struct producer_info *infos = listing.infos;
    const size_t count = listing.count;
    if (listing.error != E_OK) {
        return false;
    }
    struct describe_producers_response_producer_state *states =
        MESSAGE_NEW_ARRAY(arena, describe_producers_response_producer_state, count);
    if (states == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        states[i].producer_id = infos[i].producer_id;
        states[i].producer_epoch = infos[i].producer_epoch;
        states[i].last_sequence = infos[i].last_sequence;
        states[i].last_timestamp = infos[i].last_timestamp;
        states[i].coordinator_epoch = infos[i].coordinator_epoch;
        states[i].current_txn_start_offset = infos[i].current_txn_start_offset;
    }
    answer->active_producers.items = states;
    answer->active_producers.count = (uint32_t)count;
    return true;
}

static bool answer_partition(struct arena *arena, const struct asked_partition *item,
                             struct describe_producers_response_partition_response *answer)
{
    const enum error error =
        item->error != E_OK ? item->error : partition_check_leader(item->part, -1);
    if (error != E_OK) {
        answer->error_code = error_to_wire(error);
        answer->error_message = slice_from_string(error_text(error));
        return true;
    }
    return fill_producers(arena, item->part, answer);
}

static void on_ready(struct asked_partitions *asked)
{
    struct producers_call *producers = container_of(asked, struct producers_call, asked);
    const struct describe_producers_request *request = asked->call->body;
    const struct asked_partition *item = asked->items;
    bool has_memory = true;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        for (uint32_t j = 0; j < request->topics.items[i].partition_indexes.count; j++) {
            struct describe_producers_response_partition_response *answer =
                &producers->response->topics.items[i].partitions.items[j];
            answer->partition_index = request->topics.items[i].partition_indexes.items[j];
            has_memory = has_memory && answer_partition(call_arena(asked->call), item++, answer);
        }
    }
    asked_partitions_release(asked);
    if (has_memory) {
        call_respond(asked->call, producers->response);
    } else {
        call_no_memory(asked->call);
    }
}

static bool prepare(struct producers_call *producers,
                    const struct describe_producers_request *request)
{
    struct arena *arena = call_arena(producers->asked.call);
    struct describe_producers_response_topic_response *topics =
        MESSAGE_NEW_ARRAY(arena, describe_producers_response_topic_response, request->topics.count);
    if (topics == NULL) {
        return false;
    }
    producers->response->topics.items = topics;
    producers->response->topics.count = request->topics.count;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct describe_producers_request_topic_request *topic = &request->topics.items[i];
        topics[i].name = topic->name;
        topics[i].partitions.items = MESSAGE_NEW_ARRAY(
            arena, describe_producers_response_partition_response, topic->partition_indexes.count);
        topics[i].partitions.count = topic->partition_indexes.count;
        if (topics[i].partitions.items == NULL) {
            return false;
        }
        for (uint32_t j = 0; j < topic->partition_indexes.count; j++) {
            (void)asked_partitions_add(&producers->asked, ACL_READ, topic->name,
                                       topic->partition_indexes.items[j]);
        }
    }
    return true;
}

void api_describe_producers(struct call *call)
{
    const struct describe_producers_request *request = call->body;
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partition_indexes.count;
    }
    struct producers_call *producers = ARENA_NEW(call_arena(call), struct producers_call);
    if (producers == NULL || !asked_partitions_init(&producers->asked, call, count, on_ready)) {
        call_no_memory(call);
        return;
    }
    producers->response = MESSAGE_NEW(call_arena(call), describe_producers_response);
    if (producers->response == NULL || !prepare(producers, request)) {
        asked_partitions_release(&producers->asked);
        call_no_memory(call);
        return;
    }
    asked_partitions_await(&producers->asked);
}
