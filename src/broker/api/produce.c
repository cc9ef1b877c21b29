/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Produce (KIP-98; KIP-467 record errors; KIP-516 topic ids).
 *
 *   check → divide by owner loop → (wait until the logs are loaded) → append each partition
 *         → all done → answer
 *
 * acks=0 has no answer; an error closes the connection instead, so that the client notices.
 */

#include "protocol/messages/produce.h"

#include "base/check.h"
#include "broker/api/api_handlers.h"
#include "record/batch.h"

enum {
    GROUP_ARENA_SIZE_MAX = 256 * 1024 * 1024, /* converted batches; as that of a request */
};

struct produce_call;
struct produce_group;

struct produce_item {
    struct partition_append op;
    struct produce_group *group;
    struct produce_item *next; /* of the group */
    struct partition *part;    /* a reference; NULL: refused already */
    struct slice records;
    struct produce_response_partition_produce_response *answer;
    struct load_waiter load_waiter;
};

/*
 * The partitions of one owner loop. It goes there as one message, and comes back as one when all of
 * its appends are done; in between only the owner touches it, its items, and their bytes. That of
 * the connection's own loop takes the same way without messages.
 */
struct produce_group {
    struct message message;
    struct produce_call *produce;
    struct broker_loop *owner;
    struct produce_item *first; /* NULL: nothing for this loop */
    struct produce_item **last;
    uint32_t pending_count;
    bool may_wait; /* an ack promises more than the page cache of this broker */
    struct load_barrier barrier;
    struct delayed_operation deadline; /* in use only if may_wait */
    struct arena *arena;
    struct arena own_arena; /* of a group that is away: the request's is not to be shared */
};

struct produce_call {
    struct call *call;
    struct produce_response *response;
    struct produce_item *items;
    uint32_t item_count;
    struct produce_group *groups; /* by loop */
    uint32_t pending_count;       /* groups */
    int16_t acks;
    enum error error; /* of the whole request: every partition is answered with it */
};

static void refuse_item(struct produce_item *item, enum error error, struct slice text)
{
    item->answer->error_code = error_to_wire(error);
    item->answer->base_offset = -1;
    item->answer->error_message = text;
}

static bool is_away(const struct produce_group *group)
{
    return group->owner != group->produce->call->here;
}

/* --- answer --- */

static void release(struct produce_call *produce)
{
    for (uint32_t i = 0; i < produce->item_count; i++) {
        produce->items[i].part = partition_unref(produce->items[i].part);
    }
}

static bool has_error(const struct produce_call *produce)
{
    for (uint32_t i = 0; i < produce->item_count; i++) {
        if (produce->items[i].answer->error_code != 0) {
            return true;
        }
    }
    return false;
}

static void respond(struct produce_call *produce)
{
    struct call *call = produce->call;
    release(produce);
    if (produce->acks != 0) {
        call_respond(call, produce->response);
    } else if (has_error(produce)) {
        call_close(call, "a Produce with acks=0 failed; only closing can tell the client");
    } else {
        call_respond_nothing(call);
    }
}

/* Texts of a group that was away lie in its own arena, which goes. */
static struct slice keep_text(const struct produce_group *group, const char *text)
{
    return is_away(group) ? arena_copy(call_arena(group->produce->call), slice_from_string(text))
                          : slice_from_string(text);
}

static void fill_record_error(struct produce_item *item)
{
    const struct append *append = &item->op.append;
    struct produce_response_batch_index_and_error_message *record = MESSAGE_NEW(
        call_arena(item->group->produce->call), produce_response_batch_index_and_error_message);
    if (record == NULL) {
        return; /* the code alone must do */
    }
    record->batch_index = append->record_error_index;
    record->batch_index_error_message = keep_text(item->group, append->record_error_text);
    item->answer->record_errors.items = record;
    item->answer->record_errors.count = 1;
}

static void fill_answer(struct produce_item *item)
{
    const struct append *append = &item->op.append;
    if (append->error == E_OK || append->error == E_REQUEST_TIMED_OUT) {
        item->answer->base_offset = append->base_offset;
        item->answer->log_append_time_ms = append->log_append_time_ms;
        item->answer->log_start_offset = append->log_start_offset;
        item->answer->error_code = error_to_wire(append->error);
        return;
    }
    refuse_item(item, append->error, keep_text(item->group, append->error_text));
    if (append->record_error_index >= 0) {
        fill_record_error(item);
    }
}

/* On the connection's loop again. */
static void join_group(struct produce_group *group)
{
    struct produce_call *produce = group->produce;
    for (struct produce_item *item = group->first; item != NULL; item = item->next) {
        fill_answer(item);
    }
    arena_done(&group->own_arena);
    check(produce->pending_count > 0);
    if (--produce->pending_count == 0) {
        respond(produce);
    }
}

static void on_group_back(struct message *message)
{
    join_group(container_of(message, struct produce_group, message));
}

/* --- append, on the owner --- */

static void end_part(struct produce_group *group)
{
    check(group->pending_count > 0);
    if (--group->pending_count > 0) {
        return;
    }
    delayed_operation_cancel(&group->deadline);
    if (is_away(group)) {
        group->message.on_receive = on_group_back;
        loop_post(group->produce->call->here->loop, &group->message);
    } else {
        join_group(group);
    }
}

static void on_item_done(struct partition_append *op)
{
    end_part(container_of(op, struct produce_item, op)->group);
}

static void on_deadline(struct delayed_operation *operation)
{
    struct produce_group *group = container_of(operation, struct produce_group, deadline);
    group->pending_count++; /* keeps the group until all have been told */
    for (struct produce_item *item = group->first; item != NULL; item = item->next) {
        partition_append_time_out(&item->op);
    }
    end_part(group);
}

static bool never_complete(struct delayed_operation *operation)
{
    (void)operation;
    return false; /* the appends complete the group, not a condition */
}

static void append_item(struct produce_item *item)
{
    struct produce_group *group = item->group;
    struct call *call = group->produce->call;
    const int16_t version = call->req->api_version;
    item->op.acks = group->produce->acks;
    item->op.on_done = on_item_done;
    item->op.append = (struct append){
        .data = call_writable(call, item->records),
        .size = item->records.size,
        .arena = group->arena,
        .origin = APPEND_FROM_CLIENT,
        .zstd_allowed = version >= 7,
        .magic_old_allowed = version <= 2,
        .scratch = &group->owner->scratch,
        .record_error_index = -1,
    };
    partition_append_as_leader(item->part, &item->op);
}

static void append_all(struct produce_group *group)
{
    struct loop *loop = group->owner->loop;
    const struct produce_request *request = group->produce->call->body;
    for (struct produce_item *item = group->first; item != NULL; item = item->next) {
        group->may_wait |= item->part->waits_for_flush;
    }
    if (group->may_wait) {
        delayed_operation_init(&group->deadline, loop, never_complete, on_deadline);
        const int64_t wait_ms = request->timeout_ms < 0 ? 0 : request->timeout_ms;
        delayed_operation_wait(&group->deadline, loop_now_ns(loop) + wait_ms * 1000000);
    }
    group->pending_count = 1; /* nothing completes before all are queued */
    for (struct produce_item *item = group->first; item != NULL; item = item->next) {
        group->pending_count++;
        append_item(item);
    }
    end_part(group);
}

static void on_loaded(struct load_barrier *barrier)
{
    append_all(container_of(barrier, struct produce_group, barrier));
}

static void start_group(struct produce_group *group)
{
    for (struct produce_item *item = group->first; item != NULL; item = item->next) {
        if (!partition_is_settled(item->part)) {
            partition_await_load(item->part, &item->load_waiter, &group->barrier);
        }
    }
    if (group->barrier.pending_count == 0) {
        append_all(group);
    }
}

static void on_group_arrived(struct message *message)
{
    start_group(container_of(message, struct produce_group, message));
}

/* --- divide --- */

static void init_group(struct produce_group *group, struct produce_call *produce,
                       struct broker_loop *owner)
{
    group->produce = produce;
    group->owner = owner;
    group->last = &group->first;
    group->barrier.on_ready = on_loaded;
    group->arena = call_arena(produce->call);
    if (is_away(group)) {
        arena_init(&group->own_arena, GROUP_ARENA_SIZE_MAX);
        group->arena = &group->own_arena;
    }
}

static void add_to_group(struct produce_call *produce, struct produce_item *item)
{
    const unsigned index = loop_index(partition_loop(item->part));
    struct produce_group *group = &produce->groups[index];
    if (group->produce == NULL) {
        init_group(group, produce, &produce->call->broker->loops[index]);
        produce->pending_count++;
    }
    item->group = group;
    *group->last = item;
    group->last = &item->next;
}

static void start_groups(struct produce_call *produce)
{
    const unsigned loop_count = produce->call->broker->loop_set.count;
    produce->pending_count++; /* nothing is answered before all have started */
    for (unsigned i = 0; i < loop_count; i++) {
        struct produce_group *group = &produce->groups[i];
        if (group->first == NULL) {
            continue;
        }
        if (is_away(group)) {
            group->message.on_receive = on_group_arrived;
            loop_post(group->owner->loop, &group->message);
        } else {
            start_group(group);
        }
    }
    if (--produce->pending_count == 0) {
        respond(produce);
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

static void prepare_item(struct produce_call *produce, struct produce_item *item,
                         const struct hosted_topic *topic, enum error topic_error,
                         const struct produce_request_partition_produce_data *data)
{
    struct partition *part = NULL;
    item->part = NULL;
    item->next = NULL;
    item->records = data->records.bytes;
    item->answer->index = data->index;
    const enum error error = topic_error != E_OK
                                 ? topic_error
                                 : check_item(produce, topic, data->index, item->records, &part);
    if (error != E_OK) {
        refuse_item(item, error, SLICE_NULL);
        return;
    }
    item->part = partition_ref(part);
    add_to_group(produce, item);
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
        item->answer = &answer->partition_responses.items[i];
        prepare_item(produce, item, topic, topic_error, &data->partition_data.items[i]);
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
    produce->groups = ARENA_NEW_ARRAY(arena, struct produce_group, call->broker->loop_set.count);
    /* Not zeroed: prepare_item and append_item set what is used. */
    produce->items = arena_alloc(arena, count_partitions(request) * sizeof(struct produce_item),
                                 _Alignof(struct produce_item));
    struct produce_response_topic_produce_response *topics =
        MESSAGE_NEW_ARRAY(arena, produce_response_topic_produce_response, topic_count);
    if (produce->response == NULL || produce->groups == NULL || produce->items == NULL ||
        topics == NULL) {
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
    start_groups(produce);
}
