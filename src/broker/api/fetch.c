/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fetch (KIP-74 size limits; KIP-227 sessions; KIP-320 epochs; KIP-516 topic ids).
 *
 *   look up → (wait until the logs are loaded) → read ──enough, an error, no wait──> answer
 *                                                 └──> park: woken by appends or the deadline ──>
 * read
 *
 * Batches are never copied: the answer holds ranges of the segment files.
 */

#include "protocol/messages/fetch.h"

#include "base/check.h"
#include "broker/api/api_handlers.h"
#include "broker/fetch_session.h"

struct fetch_item {
    struct fetch_target target;
    struct partition *part; /* a reference; NULL: error */
    enum error error;
    struct log_offsets offsets;
    struct log_read read;
    struct fetch_waiter waiter;
    struct load_waiter load_waiter;
    bool is_parked;
};

struct fetch_call {
    struct call *call;
    const struct fetch_request *request;
    struct fetch_plan plan; /* what to fetch, by the session if there is one */
    struct fetch_item *items;
    uint32_t item_count;
    enum read_limit limit;
    struct load_barrier barrier;
    struct delayed_operation parked;
    int64_t bytes_missing;
    int64_t size; /* bytes read so far */
    bool has_error;
};

/* --- read --- */

static void drop_reads(struct fetch_call *fetch)
{
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        fetch->items[i].read.file = file_unref(fetch->items[i].read.file);
    }
}

static enum error read_log(struct fetch_call *fetch, struct fetch_item *item, size_t size_max)
{
    enum error error = partition_check_leader(item->part, item->target.current_leader_epoch);
    if (error != E_OK) {
        return error;
    }
    item->read = (struct log_read){
        .offset = item->target.fetch_offset,
        .size_max = size_max,
        .at_least_one_batch = fetch->size == 0,
        .limit = fetch->limit,
    };
    error = log_read(item->part->log, &item->read);
    if (error == E_OK) {
        log_get_offsets(item->part->log, &item->offsets);
    }
    return error;
}

static size_t min_size(int64_t a, int64_t b)
{
    const int64_t smaller = a < b ? a : b;
    return smaller < 0 ? 0 : (size_t)smaller;
}

static int64_t response_size_max(const struct fetch_call *fetch)
{
    const struct image *image = call_image(fetch->call);
    const int64_t broker_max = settings_integer(image->settings, SETTING_FETCH_MAX_BYTES);
    return fetch->request->max_bytes < broker_max ? fetch->request->max_bytes : broker_max;
}

/* Reads all partitions anew, up to the limits (KIP-74: the first batch is given whole). */
static void read_all(struct fetch_call *fetch)
{
    const int64_t size_max = response_size_max(fetch);
    drop_reads(fetch);
    fetch->size = 0;
    fetch->has_error = false;
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        struct fetch_item *item = &fetch->items[i];
        if (item->part != NULL) {
            item->error =
                read_log(fetch, item, min_size(item->target.max_bytes, size_max - fetch->size));
        }
        if (item->error != E_OK) {
            fetch->has_error = true;
        } else {
            fetch->size += (int64_t)item->read.size;
        }
    }
}

/* --- answer --- */

static bool fill_records(struct fetch_call *fetch, struct fetch_item *item,
                         struct fetch_response_partition_data *data)
{
    struct arena *arena = call_arena(fetch->call);
    data->records.bytes = SLICE("");
    if (item->read.size == 0) {
        return true;
    }
    struct chain *chain = ARENA_NEW(arena, struct chain);
    if (chain == NULL) {
        return false;
    }
    chain_init(chain, arena);
    data->records.chain = chain;
    return chain_append_file(chain, item->read.file->fd, item->read.position, item->read.size,
                             &item->read.file->shared);
}

static bool fill_aborted(struct fetch_call *fetch, struct fetch_item *item,
                         struct fetch_response_partition_data *data)
{
    struct aborted_transaction *aborted;
    size_t count;
    data->aborted_transactions.items = NULL;
    if (fetch->limit != READ_TO_LAST_STABLE) {
        return true;
    }
    /* The range is a little larger than what is sent: superfluous entries do no harm. */
    if (log_aborted_transactions(item->part->log, item->target.fetch_offset,
                                 item->offsets.last_stable, call_arena(fetch->call), &aborted,
                                 &count) != E_OK) {
        return false;
    }
    struct fetch_response_aborted_transaction *items =
        MESSAGE_NEW_ARRAY(call_arena(fetch->call), fetch_response_aborted_transaction, count);
    if (items == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].producer_id = aborted[i].producer_id;
        items[i].first_offset = aborted[i].first_offset;
    }
    data->aborted_transactions.items = items;
    data->aborted_transactions.count = (uint32_t)count;
    return true;
}

static void fill_error(struct fetch_item *item, struct fetch_response_partition_data *data)
{
    data->error_code = error_to_wire(item->error);
    data->high_watermark = -1;
    data->records.bytes = SLICE("");
    if (item->error == E_OFFSET_OUT_OF_RANGE) {
        data->aborted_transactions.items = NULL;
    }
}

static bool fill_partition(struct fetch_call *fetch, struct fetch_item *item,
                           struct fetch_response_partition_data *data)
{
    data->partition_index = item->target.partition;
    if (item->error != E_OK) {
        fill_error(item, data);
        return true;
    }
    data->high_watermark = item->offsets.high_watermark;
    data->last_stable_offset = item->offsets.last_stable;
    data->log_start_offset = item->offsets.log_start;
    return fill_records(fetch, item, data) && fill_aborted(fetch, item, data);
}

static void note_sent(struct fetch_item *item)
{
    item->target.answer = (struct fetch_answer){
        .has_error = item->error != E_OK,
        .has_data = item->error == E_OK && item->read.size > 0,
        .high_watermark = item->error == E_OK ? item->offsets.high_watermark : -1,
        .log_start_offset = item->error == E_OK ? item->offsets.log_start : -1,
    };
}

/* Partitions of one topic stand side by side in the plan. */
static bool same_topic(const struct fetch_item *a, const struct fetch_item *b)
{
    return uuid_equal(&a->target.topic_id, &b->target.topic_id) &&
           slice_equal(a->target.topic, b->target.topic);
}

static struct fetch_response *make_response(struct fetch_call *fetch)
{
    struct arena *arena = call_arena(fetch->call);
    struct fetch_response *response = MESSAGE_NEW(arena, fetch_response);
    struct fetch_response_fetchable_topic_response *topics =
        MESSAGE_NEW_ARRAY(arena, fetch_response_fetchable_topic_response, fetch->item_count);
    struct fetch_response_partition_data *data =
        MESSAGE_NEW_ARRAY(arena, fetch_response_partition_data, fetch->item_count);
    if (response == NULL || topics == NULL || data == NULL) {
        return NULL;
    }
    response->error_code = error_to_wire(fetch->plan.error);
    response->session_id = fetch->plan.session_id;
    response->responses.items = topics;
    const struct fetch_item *previous = NULL;
    struct fetch_response_fetchable_topic_response *topic = NULL;
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        struct fetch_item *item = &fetch->items[i];
        note_sent(item);
        if (!fetch_plan_includes(&fetch->plan, &item->target)) {
            continue;
        }
        if (previous == NULL || !same_topic(previous, item)) {
            topic = &topics[response->responses.count++];
            topic->topic = item->target.topic;
            topic->topic_id = item->target.topic_id;
            topic->partitions.items = data;
        }
        if (!fill_partition(fetch, item, data)) {
            return NULL;
        }
        topic->partitions.count++;
        data++;
        previous = item;
    }
    return response;
}

static void release(struct fetch_call *fetch)
{
    drop_reads(fetch);
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        fetch->items[i].part = partition_unref(fetch->items[i].part);
    }
}

static void respond(struct fetch_call *fetch)
{
    struct call *call = fetch->call;
    struct fetch_response *response = make_response(fetch);
    if (response == NULL) {
        release(fetch);
        call_no_memory(call);
        return;
    }
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        fetch_plan_sent(&fetch->plan, &fetch->items[i].target);
    }
    release(fetch); /* the chain has references of its own */
    call_respond(call, response);
}

/* --- wait --- */

static bool is_enough(const struct fetch_call *fetch)
{
    return fetch->has_error || fetch->size >= fetch->request->min_bytes || fetch->item_count == 0 ||
           !connection_is_open(fetch->call->req->conn);
}

static void park(struct fetch_call *fetch)
{
    fetch->bytes_missing = fetch->request->min_bytes - fetch->size;
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        struct fetch_item *item = &fetch->items[i];
        item->waiter = (struct fetch_waiter){
            .operation = &fetch->parked,
            .offset = item->target.fetch_offset,
            .limit = fetch->limit,
            .bytes_missing = &fetch->bytes_missing,
        };
        partition_wait_for_data(item->part, &item->waiter);
    }
    drop_reads(fetch);
}

static void unpark(struct fetch_call *fetch)
{
    fetch->call->req->on_disconnect = NULL;
    delayed_operation_cancel(&fetch->parked);
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        partition_stop_waiting(&fetch->items[i].waiter);
    }
}

static bool try_complete(struct delayed_operation *operation)
{
    struct fetch_call *fetch = container_of(operation, struct fetch_call, parked);
    read_all(fetch);
    if (!is_enough(fetch)) {
        fetch->bytes_missing = fetch->request->min_bytes - fetch->size;
        drop_reads(fetch);
        return false;
    }
    unpark(fetch);
    respond(fetch);
    return true;
}

static void on_deadline(struct delayed_operation *operation)
{
    struct fetch_call *fetch = container_of(operation, struct fetch_call, parked);
    unpark(fetch);
    read_all(fetch);
    respond(fetch);
}

static void on_disconnect(struct request *req)
{
    struct fetch_call *fetch = req->context;
    unpark(fetch);
    release(fetch);
    call_respond_nothing(fetch->call);
}

static void read_or_park(struct fetch_call *fetch)
{
    struct loop *loop = fetch->call->broker->loop;
    read_all(fetch);
    if (is_enough(fetch) || fetch->request->max_wait_ms <= 0) {
        respond(fetch);
        return;
    }
    delayed_operation_init(&fetch->parked, loop, try_complete, on_deadline);
    park(fetch);
    fetch->call->req->context = fetch;
    fetch->call->req->on_disconnect = on_disconnect;
    delayed_operation_wait(&fetch->parked,
                           loop_now_ns(loop) + (int64_t)fetch->request->max_wait_ms * 1000000);
}

/* --- look up --- */

static void on_loaded(struct load_barrier *barrier)
{
    read_or_park(container_of(barrier, struct fetch_call, barrier));
}

static enum error find_partition(struct call *call, struct fetch_target *target,
                                 struct partition **ret_part)
{
    struct replica_manager *replicas = call->broker->replicas;
    const bool by_id = call->req->api_version >= 13;
    const struct hosted_topic *topic =
        by_id ? replica_manager_find_topic_by_id(replicas, &target->topic_id)
              : replica_manager_find_topic(replicas, target->topic);
    if (topic == NULL && by_id) {
        return E_UNKNOWN_TOPIC_ID;
    }
    if (!call_allows(call, ACL_READ, ACL_TOPIC, topic != NULL ? topic->name : target->topic)) {
        return E_TOPIC_AUTHORIZATION_FAILED;
    }
    struct partition *part =
        topic == NULL ? NULL : replica_manager_partition(topic, target->partition);
    if (part == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    }
    *ret_part = part;
    return E_OK;
}

static void look_up(struct fetch_call *fetch)
{
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        struct fetch_item *item = &fetch->items[i];
        struct partition *part;
        item->error = find_partition(fetch->call, &item->target, &part);
        if (item->error != E_OK) {
            continue;
        }
        item->part = partition_ref(part);
        if (!partition_is_settled(part)) {
            partition_await_load(part, &item->load_waiter, &fetch->barrier);
        }
    }
}

static bool is_from_replica(const struct fetch_request *request)
{
    return request->replica_id >= 0 || request->replica_state.replica_id >= 0;
}

void api_fetch(struct call *call)
{
    const struct fetch_request *request = call->body;
    struct fetch_call *fetch = ARENA_NEW(call_arena(call), struct fetch_call);
    struct fetch_target *targets;
    if (is_from_replica(request)) {
        call_close(call, "a Fetch of a replica: this broker is the only one of its cluster");
        return;
    }
    if (fetch == NULL ||
        fetch_plan_make(&fetch->plan, call->broker->fetch_sessions, request, call->req->api_version,
                        call_arena(call), &targets, &fetch->item_count) != E_OK) {
        call_no_memory(call);
        return;
    }
    fetch->call = call;
    fetch->request = request;
    fetch->limit = request->isolation_level == 1 ? READ_TO_LAST_STABLE : READ_TO_HIGH_WATERMARK;
    fetch->barrier.on_ready = on_loaded;
    fetch->items = ARENA_NEW_ARRAY(call_arena(call), struct fetch_item, fetch->item_count);
    if (fetch->items == NULL) {
        call_no_memory(call);
        return;
    }
    for (uint32_t i = 0; i < fetch->item_count; i++) {
        fetch->items[i].target = targets[i];
    }
    look_up(fetch);
    if (fetch->barrier.pending_count == 0) {
        read_or_park(fetch);
    }
}
