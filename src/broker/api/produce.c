/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Produce (KIP-98; KIP-467 record errors; KIP-516 topic ids).
 *
 *   check → (wait until the logs are loaded) → append each partition → all done → answer
 *
 * acks=0 has no answer; an error closes the connection instead, so that the client notices.
 */

#include "protocol/messages/produce.h"

#include "base/check.h"
#include "broker/api/api_handlers.h"
#include "record/batch.h"

struct produce_call;

struct produce_item {
    struct partition_append op;
    struct produce_call *produce;
    struct partition *part; /* a reference; NULL: refused already */
    struct slice records;
    struct produce_response_partition_produce_response *answer;
    struct load_waiter load_waiter;
};

struct produce_call {
    struct call *call;
    struct produce_response *response;
    struct produce_item *items;
    uint32_t item_count;
    uint32_t pending_count;
    int16_t acks;
    enum error error; /* of the whole request: every partition is answered with it */
    bool has_error;
    bool may_wait; /* an ack promises more than the page cache of this broker */
    struct load_barrier barrier;
    struct delayed_operation deadline; /* in use only if may_wait */
};

static void refuse_item(struct produce_item *item, enum error error, const char *text)
{
    item->answer->error_code = error_to_wire(error);
    item->answer->base_offset = -1;
    item->answer->error_message = slice_from_string(text);
    item->produce->has_error = true;
}

/* --- answer --- */

static void release(struct produce_call *produce)
{
    delayed_operation_cancel(&produce->deadline);
    for (uint32_t i = 0; i < produce->item_count; i++) {
        produce->items[i].part = partition_unref(produce->items[i].part);
    }
}

static void respond(struct produce_call *produce)
{
    struct call *call = produce->call;
    release(produce);
    if (produce->acks != 0) {
        call_respond(call, produce->response);
    } else if (produce->has_error) {
        call_close(call, "a Produce with acks=0 failed; only closing can tell the client");
    } else {
        call_respond_nothing(call);
    }
}

static void fill_record_error(struct produce_item *item)
{
    const struct append *append = &item->op.append;
    struct produce_response_batch_index_and_error_message *record = MESSAGE_NEW(
        call_arena(item->produce->call), produce_response_batch_index_and_error_message);
    if (record == NULL) {
        return; /* the code alone must do */
    }
    record->batch_index = append->record_error_index;
    record->batch_index_error_message = slice_from_string(append->record_error_text);
    item->answer->record_errors.items = record;
    item->answer->record_errors.count = 1;
}

static void on_item_done(struct partition_append *op)
{
    struct produce_item *item = container_of(op, struct produce_item, op);
    struct produce_call *produce = item->produce;
    const struct append *append = &op->append;
    if (append->error == E_OK || append->error == E_REQUEST_TIMED_OUT) {
        item->answer->base_offset = append->base_offset;
        item->answer->log_append_time_ms = append->log_append_time_ms;
        item->answer->log_start_offset = append->log_start_offset;
        item->answer->error_code = error_to_wire(append->error);
    } else {
        refuse_item(item, append->error, append->error_text);
        if (append->record_error_index >= 0) {
            fill_record_error(item);
        }
    }
    check(produce->pending_count > 0);
    if (--produce->pending_count == 0) {
        respond(produce);
    }
}

static void on_deadline(struct delayed_operation *operation)
{
    struct produce_call *produce = container_of(operation, struct produce_call, deadline);
    produce->pending_count++; /* keeps the call until all have been told */
    for (uint32_t i = 0; i < produce->item_count; i++) {
        partition_append_time_out(&produce->items[i].op);
    }
    if (--produce->pending_count == 0) {
        respond(produce);
    }
}

static bool never_complete(struct delayed_operation *operation)
{
    (void)operation;
    return false; /* the appends complete the call, not a condition */
}

/* --- append --- */

static void append_item(struct produce_item *item)
{
    struct call *call = item->produce->call;
    const int16_t version = call->req->api_version;
    item->op.acks = item->produce->acks;
    item->op.on_done = on_item_done;
    item->op.append = (struct append){
        .data = call_writable(call, item->records),
        .size = item->records.size,
        .arena = call_arena(call),
        .origin = APPEND_FROM_CLIENT,
        .zstd_allowed = version >= 7,
        .magic_old_allowed = version <= 2,
        .scratch = &call->broker->scratch,
        .record_error_index = -1,
    };
    partition_append_as_leader(item->part, &item->op);
}

static void append_all(struct produce_call *produce)
{
    struct loop *loop = produce->call->broker->loop;
    const struct produce_request *request = produce->call->body;
    if (produce->may_wait) {
        delayed_operation_init(&produce->deadline, loop, never_complete, on_deadline);
        const int64_t wait_ms = request->timeout_ms < 0 ? 0 : request->timeout_ms;
        delayed_operation_wait(&produce->deadline, loop_now_ns(loop) + wait_ms * 1000000);
    }
    produce->pending_count = 1; /* nothing completes before all are queued */
    for (uint32_t i = 0; i < produce->item_count; i++) {
        if (produce->items[i].part != NULL) {
            produce->pending_count++;
            append_item(&produce->items[i]);
        }
    }
    if (--produce->pending_count == 0) {
        respond(produce);
    }
}

static void on_loaded(struct load_barrier *barrier)
{
    append_all(container_of(barrier, struct produce_call, barrier));
}

static void await_logs(struct produce_call *produce)
{
    produce->barrier.on_ready = on_loaded;
    for (uint32_t i = 0; i < produce->item_count; i++) {
        struct produce_item *item = &produce->items[i];
        if (item->part != NULL && !partition_is_settled(item->part)) {
            partition_await_load(item->part, &item->load_waiter, &produce->barrier);
        }
    }
    if (produce->barrier.pending_count == 0) {
        append_all(produce);
    }
}

/* --- check --- */

/* A batch of a transaction, told by its attributes alone; the log checks everything else. */
static bool is_transactional(struct slice records)
{
    return records.size >= RECORD_BATCH_HEADER_SIZE && batch_magic(records.data) == 2 &&
           batch_is_transactional(records.data);
}

static bool has_transactional(const struct produce_request *request)
{
    for (uint32_t i = 0; i < request->topic_data.count; i++) {
        const struct produce_request_topic_produce_data *topic = &request->topic_data.items[i];
        for (uint32_t j = 0; j < topic->partition_data.count; j++) {
            if (is_transactional(topic->partition_data.items[j].records.bytes)) {
                return true;
            }
        }
    }
    return false;
}

/* As Kafka: one batch of a transaction, and the whole request needs the right to its id. */
static enum error check_request(struct call *call, const struct produce_request *request)
{
    const bool is_allowed =
        !has_transactional(request) ||
        (!slice_is_null(request->transactional_id) &&
         call_allows(call, ACL_WRITE, ACL_TRANSACTIONAL_ID, request->transactional_id));
    return is_allowed ? E_OK : E_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

static enum error check_item(const struct produce_call *produce, const struct hosted_topic *topic,
                             int32_t index, struct slice records, struct partition **ret_part)
{
    struct partition *part = replica_manager_partition(topic, index);
    if (part == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (produce->acks < -1 || produce->acks > 1) {
        return E_INVALID_REQUIRED_ACKS;
    }
    if (slice_is_null(records)) {
        return E_INVALID_RECORD; /* Kafka never answers here */
    }
    if (is_transactional(records)) {
        return E_INVALID_PRODUCER_ID_MAPPING; /* no transaction is open: none are served yet */
    }
    *ret_part = part;
    return E_OK;
}

static enum error find_topic(struct call *call,
                             const struct produce_request_topic_produce_data *data,
                             struct hosted_topic **ret_topic)
{
    struct replica_manager *replicas = call->broker->replicas;
    const bool by_id = call->req->api_version >= 13;
    struct hosted_topic *topic = by_id ? replica_manager_find_topic_by_id(replicas, &data->topic_id)
                                       : replica_manager_find_topic(replicas, data->name);
    if (topic == NULL && by_id) {
        return E_UNKNOWN_TOPIC_ID;
    }
    if (!call_allows(call, ACL_WRITE, ACL_TOPIC, topic != NULL ? topic->name : data->name)) {
        return E_TOPIC_AUTHORIZATION_FAILED;
    }
    if (topic == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (topic->is_internal) {
        return E_INVALID_TOPIC_EXCEPTION;
    }
    *ret_topic = topic;
    return E_OK;
}

static void prepare_item(struct produce_item *item, const struct hosted_topic *topic,
                         enum error topic_error,
                         const struct produce_request_partition_produce_data *data)
{
    struct partition *part = NULL;
    item->part = NULL;
    item->op.is_waiting = false;
    item->records = data->records.bytes;
    item->answer->index = data->index;
    const enum error error =
        topic_error != E_OK ? topic_error
                            : check_item(item->produce, topic, data->index, item->records, &part);
    if (error != E_OK) {
        refuse_item(item, error, NULL);
        return;
    }
    item->part = partition_ref(part);
    item->produce->may_wait |= part->waits_for_flush;
}

/* The answer's skeleton and one item per partition. false: no memory. */
static bool prepare_topic(struct produce_call *produce,
                          const struct produce_request_topic_produce_data *data,
                          struct produce_response_topic_produce_response *answer)
{
    struct call *call = produce->call;
    const uint32_t count = data->partition_data.count;
    struct hosted_topic *topic = NULL;
    const enum error topic_error =
        produce->error != E_OK ? produce->error : find_topic(call, data, &topic);
    answer->name = data->name;
    answer->topic_id = data->topic_id;
    answer->partition_responses.items =
        MESSAGE_NEW_ARRAY(call_arena(call), produce_response_partition_produce_response, count);
    if (answer->partition_responses.items == NULL) {
        return false;
    }
    answer->partition_responses.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct produce_item *item = &produce->items[produce->item_count++];
        item->produce = produce;
        item->answer = &answer->partition_responses.items[i];
        prepare_item(item, topic, topic_error, &data->partition_data.items[i]);
    }
    return true;
}

static uint32_t count_partitions(const struct produce_request *request)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topic_data.count; i++) {
        count += request->topic_data.items[i].partition_data.count;
    }
    return count;
}

static struct produce_call *prepare(struct call *call, const struct produce_request *request)
{
    struct arena *arena = call_arena(call);
    const uint32_t topic_count = request->topic_data.count;
    struct produce_call *produce = ARENA_NEW(arena, struct produce_call);
    if (produce == NULL) {
        return NULL;
    }
    produce->call = call;
    produce->acks = request->acks;
    produce->error = check_request(call, request);
    produce->response = MESSAGE_NEW(arena, produce_response);
    /* Not zeroed: prepare_item and append_item set what is used. */
    produce->items = arena_alloc(arena, count_partitions(request) * sizeof(struct produce_item),
                                 _Alignof(struct produce_item));
    struct produce_response_topic_produce_response *topics =
        MESSAGE_NEW_ARRAY(arena, produce_response_topic_produce_response, topic_count);
    if (produce->response == NULL || produce->items == NULL || topics == NULL) {
        return NULL;
    }
    produce->response->responses.items = topics;
    produce->response->responses.count = topic_count;
    for (uint32_t i = 0; i < topic_count; i++) {
        if (!prepare_topic(produce, &request->topic_data.items[i], &topics[i])) {
            release(produce);
            return NULL;
        }
    }
    return produce;
}

void api_produce(struct call *call)
{
    struct produce_call *produce = prepare(call, call->body);
    if (produce == NULL) {
        call_no_memory(call);
        return;
    }
    await_logs(produce);
}
