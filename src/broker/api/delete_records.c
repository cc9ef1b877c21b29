/* SPDX-License-Identifier: Apache-2.0 */

/* DeleteRecords (KIP-107): the log start moves up to an offset, at most to the high watermark. */

#include "protocol/messages/delete_records.h"

#include "broker/api/api_handlers.h"
#include "broker/asked_partitions.h"

enum {
    TO_HIGH_WATERMARK = -1,
};

struct delete_records_call {
    struct asked_partitions asked;
    struct delete_records_response *response;
};

/* One partition; the owner of its log does it. */
struct deletion {
    struct partition *part;
    int64_t offset;
    enum error error;
    int64_t low_watermark;
};

static enum error raise_start(struct deletion *deletion)
{
    struct partition *part = deletion->part;
    struct log_offsets offsets;
    const enum error leader_error = partition_check_leader(part, -1);
    if (leader_error != E_OK) {
        return leader_error;
    }
    if (!log_get_config(part->log)->is_deleted) {
        return E_POLICY_VIOLATION; /* cleanup.policy has no "delete" */
    }
    log_get_offsets(part->log, &offsets);
    const enum error error =
        log_raise_start(part->log, deletion->offset == TO_HIGH_WATERMARK ? offsets.high_watermark
                                                                         : deletion->offset);
    if (error != E_OK) {
        return error;
    }
    log_get_offsets(part->log, &offsets);
    deletion->low_watermark = offsets.log_start; /* of all replicas: there is one */
    partition_tell_watchers(part);
    return E_OK;
}

static void run_on_owner(void *context)
{
    struct deletion *deletion = context;
    deletion->error = raise_start(deletion);
}

static enum error delete_records(const struct asked_partition *item, int64_t offset,
                                 int64_t *ret_low_watermark)
{
    if (item->error != E_OK) {
        return item->error;
    }
    if (item->part->topic == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION; /* deleted while its log was loading */
    }
    if (partition_check_leader(item->part, -1) == E_OK && item->part->topic->is_internal) {
        return E_INVALID_TOPIC_EXCEPTION;
    }
    struct deletion deletion = {.part = item->part, .offset = offset};
    partition_run_on_owner(item->part, run_on_owner, &deletion);
    if (deletion.error == E_OK) {
        *ret_low_watermark = deletion.low_watermark;
    }
    return deletion.error;
}

static void on_ready(struct asked_partitions *asked)
{
    struct delete_records_call *deletion = container_of(asked, struct delete_records_call, asked);
    const struct delete_records_request *request = asked->call->body;
    const struct asked_partition *item = asked->items;
    bool has_deleted = false;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        for (uint32_t j = 0; j < request->topics.items[i].partitions.count; j++) {
            const struct delete_records_request_delete_records_partition *source =
                &request->topics.items[i].partitions.items[j];
            struct delete_records_response_delete_records_partition_result *result =
                &deletion->response->topics.items[i].partitions.items[j];
            result->partition_index = source->partition_index;
            result->low_watermark = -1;
            result->error_code =
                error_to_wire(delete_records(item++, source->offset, &result->low_watermark));
            has_deleted |= result->error_code == 0;
        }
    }
    if (has_deleted) {
        log_manager_checkpoint_start_offsets(asked->call->broker->logs);
    }
    asked_partitions_release(asked);
    call_respond(asked->call, deletion->response);
}

static bool prepare(struct delete_records_call *deletion,
                    const struct delete_records_request *request)
{
    struct arena *arena = call_arena(deletion->asked.call);
    struct delete_records_response_delete_records_topic_result *topics = MESSAGE_NEW_ARRAY(
        arena, delete_records_response_delete_records_topic_result, request->topics.count);
    if (topics == NULL) {
        return false;
    }
    deletion->response->topics.items = topics;
    deletion->response->topics.count = request->topics.count;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct delete_records_request_delete_records_topic *topic = &request->topics.items[i];
        topics[i].name = topic->name;
        topics[i].partitions.items =
            MESSAGE_NEW_ARRAY(arena, delete_records_response_delete_records_partition_result,
                              topic->partitions.count);
        topics[i].partitions.count = topic->partitions.count;
        if (topics[i].partitions.items == NULL) {
            return false;
        }
        for (uint32_t j = 0; j < topic->partitions.count; j++) {
            (void)asked_partitions_add(&deletion->asked, ACL_DELETE, topic->name,
                                       topic->partitions.items[j].partition_index);
        }
    }
    return true;
}

void api_delete_records(struct call *call)
{
    const struct delete_records_request *request = call->body;
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partitions.count;
    }
    struct delete_records_call *deletion = ARENA_NEW(call_arena(call), struct delete_records_call);
    if (deletion == NULL || !asked_partitions_init(&deletion->asked, call, count, on_ready)) {
        call_no_memory(call);
        return;
    }
    deletion->response = MESSAGE_NEW(call_arena(call), delete_records_response);
    if (deletion->response == NULL || !prepare(deletion, request)) {
        asked_partitions_release(&deletion->asked);
        call_no_memory(call);
        return;
    }
    asked_partitions_await(&deletion->asked);
}
