/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fetch (KIP-74 size limits; KIP-227 sessions; KIP-320 epochs; KIP-516 topic ids).
 *
 *   look up → (wait until the logs are loaded) → read ──enough, an error, no wait──> answer
 *                                                 └──> park: woken by changes or the deadline,
 *                                                      read again
 *
 * Only active partitions are looked at (fetch_session.h); a partition that changes while the
 * request waits becomes active and is looked up then.
 * Batches are never copied: the answer holds ranges of the segment files.
 */

#include "protocol/messages/fetch.h"

#include "base/check.h"
#include "broker/api/api_handlers.h"
#include "broker/fetch_session.h"

struct fetch_call;

/* What one request knows of one partition that it looks at. */
struct fetch_item {
    struct fetch_item *next; /* all of the request */
    enum error error;
    bool is_refused; /* not found, not allowed: there is nothing to read */
    struct log_offsets offsets;
    struct log_read read;
    struct chain *records; /* of the answer, until it is encoded; NULL: none */
    struct load_waiter load_waiter;
};

struct fetch_call {
    struct call *call;
    const struct fetch_request *request;
    struct fetch_plan plan; /* what to fetch, by the session if there is one */
    struct fetch_item *items;
    enum read_limit limit;
    struct load_barrier barrier;
    struct delayed_operation parked;
    int64_t bytes_missing;
    int64_t size; /* bytes read so far */
    bool has_error;
    bool has_no_memory;
};

/* --- look up --- */

static bool is_from_replica(const struct fetch_request *request)
{
    return request->replica_id >= 0 || request->replica_state.replica_id >= 0;
}

static enum error find_partition(struct call *call, const struct fetch_partition *asked,
                                 struct partition **ret_part)
{
    struct replica_manager *replicas = call->broker->replicas;
    const bool by_id = call->req->api_version >= 13;
    const struct hosted_topic *topic =
        by_id ? replica_manager_find_topic_by_id(replicas, &asked->topic_id)
              : replica_manager_find_topic(replicas, asked->topic);
    if (topic == NULL && by_id) {
        return E_UNKNOWN_TOPIC_ID;
    }
    if (!is_from_replica(call->body) &&
        !call_allows(call, ACL_READ, ACL_TOPIC, topic != NULL ? topic->name : asked->topic)) {
        return E_TOPIC_AUTHORIZATION_FAILED;
    }
    struct partition *part =
        topic == NULL ? NULL : replica_manager_partition(topic, asked->partition);
    if (part == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (is_from_replica(call->body)) {
        return E_NOT_LEADER_OR_FOLLOWER; /* this broker is the only one of its cluster */
    }
    *ret_part = part;
    return E_OK;
}

/* The session may remember a partition that was deleted, and perhaps made again, since. */
static void bind_partition(struct fetch_partition *asked, struct partition *part)
{
    if (asked->part != part) {
        partition_unwatch(&asked->watcher);
        asked->part = partition_unref(asked->part);
        asked->part = part == NULL ? NULL : partition_ref(part);
    }
}

/* Once in each request that looks at the partition. NULL: no memory. */
static struct fetch_item *look_up(struct fetch_call *fetch, struct fetch_partition *asked)
{
    struct fetch_item *item = ARENA_NEW(call_arena(fetch->call), struct fetch_item);
    if (item == NULL) {
        fetch->has_no_memory = true;
        return NULL;
    }
    struct partition *part = NULL;
    item->next = fetch->items;
    fetch->items = item;
    item->error = find_partition(fetch->call, asked, &part);
    item->is_refused = item->error != E_OK;
    bind_partition(asked, part);
    asked->item = item;
    return item;
}

/* --- read --- */

static void drop_reads(struct fetch_call *fetch)
{
    for (struct fetch_item *item = fetch->items; item != NULL; item = item->next) {
        item->read.file = file_unref(item->read.file);
    }
}

static enum error read_log(struct fetch_call *fetch, struct fetch_partition *asked, size_t size_max)
{
    struct fetch_item *item = asked->item;
    enum error error = partition_check_leader(asked->part, asked->current_leader_epoch);
    if (error != E_OK) {
        return error == E_UNKNOWN_TOPIC_OR_PARTITION && fetch->call->req->api_version >= 13
                   ? E_UNKNOWN_TOPIC_ID /* deleted while the request waited */
                   : error;
    }
    asked->counted_bytes = asked->part->visible_bytes;
    item->read = (struct log_read){
        .offset = asked->fetch_offset,
        .size_max = size_max,
        .at_least_one_batch = fetch->size == 0,
        .limit = fetch->limit,
    };
    struct log *log = asked->part->log; /* there until this callback returns */
    error = log == NULL ? E_KAFKA_STORAGE_ERROR : log_read(log, &item->read);
    if (error == E_OK) {
        log_get_offsets(log, &item->offsets);
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

/* Reads the active partitions anew, up to the limits (KIP-74: the first batch is given whole). */
static void read_all(struct fetch_call *fetch)
{
    const int64_t size_max = response_size_max(fetch);
    drop_reads(fetch);
    fetch->size = 0;
    fetch->has_error = false;
    LIST_FOREACH (node, &fetch->plan.set->active) {
        struct fetch_partition *asked = container_of(node, struct fetch_partition, node);
        struct fetch_item *item = asked->item != NULL ? asked->item : look_up(fetch, asked);
        if (item == NULL) {
            return;
        }
        if (!item->is_refused) {
            item->error =
                read_log(fetch, asked, min_size(asked->max_bytes, size_max - fetch->size));
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
    item->records = chain;
    return chain_append_file(chain, item->read.file->fd, item->read.position, item->read.size,
                             &item->read.file->shared);
}

static bool fill_aborted(struct fetch_call *fetch, const struct fetch_partition *asked,
                         struct fetch_response_partition_data *data)
{
    struct aborted_transaction *aborted;
    size_t count;
    data->aborted_transactions.items = NULL;
    struct log *log = asked->part->log;
    if (fetch->limit != READ_TO_LAST_STABLE || log == NULL) {
        return true;
    }
    /* The range is a little larger than what is sent: superfluous entries do no harm. */
    if (log_aborted_transactions(log, asked->fetch_offset, asked->item->offsets.last_stable,
                                 call_arena(fetch->call), &aborted, &count) != E_OK) {
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

static void fill_error(const struct fetch_item *item, struct fetch_response_partition_data *data)
{
    data->error_code = error_to_wire(item->error);
    data->high_watermark = -1;
    data->records.bytes = SLICE("");
    if (!item->is_refused) {
        data->aborted_transactions.items = NULL; /* as Kafka's errors of reading */
    }
}

static bool fill_partition(struct fetch_call *fetch, const struct fetch_partition *asked,
                           struct fetch_response_partition_data *data)
{
    struct fetch_item *item = asked->item;
    data->partition_index = asked->partition;
    if (item->error != E_OK) {
        fill_error(item, data);
        return true;
    }
    data->high_watermark = item->offsets.high_watermark;
    data->last_stable_offset = item->offsets.last_stable;
    data->log_start_offset = item->offsets.log_start;
    return fill_records(fetch, item, data) && fill_aborted(fetch, asked, data);
}

static struct fetch_answer answer_of(const struct fetch_call *fetch,
                                     const struct fetch_partition *asked)
{
    const struct fetch_item *item = asked->item;
    if (item->error != E_OK) {
        return (struct fetch_answer){
            .has_error = true, .high_watermark = -1, .log_start_offset = -1};
    }
    const int64_t end = fetch->limit == READ_TO_LAST_STABLE ? item->offsets.last_stable
                                                            : item->offsets.high_watermark;
    return (struct fetch_answer){
        .has_data = item->read.size > 0,
        .is_at_end = asked->fetch_offset >= end,
        .high_watermark = item->offsets.high_watermark,
        .log_start_offset = item->offsets.log_start,
    };
}

/* The response as it grows. */
struct fetch_answers {
    struct fetch_response *response;
    struct fetch_response_fetchable_topic_response *topics;
    struct fetch_response_partition_data *next;
    const struct fetch_partition *previous;
};

/* As Kafka, partitions of one topic that are not neighbours name their topic again. */
static bool same_topic(const struct fetch_partition *a, const struct fetch_partition *b)
{
    return uuid_equal(&a->topic_id, &b->topic_id) && slice_equal(a->topic, b->topic);
}

static bool list_partition(struct fetch_call *fetch, struct fetch_answers *answers,
                           const struct fetch_partition *asked)
{
    struct fetch_response *response = answers->response;
    if (answers->previous == NULL || !same_topic(answers->previous, asked)) {
        struct fetch_response_fetchable_topic_response *topic =
            &answers->topics[response->responses.count++];
        topic->topic = asked->topic;
        topic->topic_id = asked->topic_id;
        topic->partitions.items = answers->next;
    }
    if (!fill_partition(fetch, asked, answers->next)) {
        return false;
    }
    answers->topics[response->responses.count - 1].partitions.count++;
    answers->next++;
    answers->previous = asked;
    return true;
}

static bool list_partitions(struct fetch_call *fetch, struct fetch_response *response)
{
    struct arena *arena = call_arena(fetch->call);
    uint32_t count = 0;
    LIST_FOREACH (counted, &fetch->plan.set->active) {
        count++;
    }
    struct fetch_answers answers = {
        .response = response,
        .topics = MESSAGE_NEW_ARRAY(arena, fetch_response_fetchable_topic_response, count),
        .next = MESSAGE_NEW_ARRAY(arena, fetch_response_partition_data, count),
    };
    if (answers.topics == NULL || answers.next == NULL) {
        return false;
    }
    response->responses.items = answers.topics;
    LIST_FOREACH (node, &fetch->plan.set->active) {
        struct fetch_partition *asked = container_of(node, struct fetch_partition, node);
        const struct fetch_answer answer = answer_of(fetch, asked);
        if (fetch_partition_answer(asked, &answer) && !list_partition(fetch, &answers, asked)) {
            return false;
        }
    }
    return true;
}

/* Their references to files would stay when the arena goes. */
static void drop_records(struct fetch_call *fetch)
{
    for (struct fetch_item *item = fetch->items; item != NULL; item = item->next) {
        if (item->records != NULL) {
            chain_clear(item->records);
        }
    }
}

static void fail(struct fetch_call *fetch)
{
    drop_reads(fetch);
    drop_records(fetch);
    fetch_plan_abandon(&fetch->plan);
    call_no_memory(fetch->call);
}

static void respond(struct fetch_call *fetch)
{
    struct fetch_response *response = MESSAGE_NEW(call_arena(fetch->call), fetch_response);
    if (response == NULL || fetch->has_no_memory) {
        fail(fetch);
        return;
    }
    response->error_code = error_to_wire(fetch->plan.error);
    response->session_id = fetch->plan.session_id;
    if (fetch->plan.set != NULL && !list_partitions(fetch, response)) {
        fail(fetch);
        return;
    }
    if (!call_encode(fetch->call, response)) {
        fail(fetch);
        return;
    }
    drop_reads(fetch); /* the chain has references of its own */
    fetch_plan_answered(&fetch->plan);
    call_send(fetch->call); /* which may end the request, and so `fetch` */
}

/* --- wait --- */

static bool is_enough(const struct fetch_call *fetch)
{
    return fetch->has_error || fetch->has_no_memory || fetch->size >= fetch->request->min_bytes ||
           fetch->plan.set->count == 0 || !connection_is_open(fetch->call->req->conn);
}

static void unpark(struct fetch_call *fetch)
{
    fetch->call->req->on_disconnect = NULL;
    delayed_operation_cancel(&fetch->parked);
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
    fetch_plan_abandon(&fetch->plan);
    call_respond_nothing(fetch->call);
}

/* Wakes the request when all its partitions together have got what is missing, or one has failed.
 */
static void on_change(struct fetch_plan *plan, struct fetch_partition *asked)
{
    struct fetch_call *fetch = container_of(plan, struct fetch_call, plan);
    const struct partition *part = asked->part;
    struct log *log = part->log;
    struct log_offsets offsets;
    if (log == NULL) {
        fetch->bytes_missing = 0;
    } else {
        log_get_offsets(log, &offsets);
        if (fetch->limit == READ_TO_LAST_STABLE && offsets.last_stable <= asked->fetch_offset) {
            return;
        }
        const int64_t visible_bytes = part->visible_bytes;
        fetch->bytes_missing -= visible_bytes - asked->counted_bytes;
        asked->counted_bytes = visible_bytes;
    }
    if (fetch->bytes_missing <= 0) {
        delayed_operation_wake(&fetch->parked);
    }
}

static void park(struct fetch_call *fetch)
{
    struct loop *loop = fetch->call->here->loop;
    drop_reads(fetch);
    fetch->bytes_missing = fetch->request->min_bytes - fetch->size;
    fetch_plan_watch(&fetch->plan);
    fetch->call->req->context = fetch;
    fetch->call->req->on_disconnect = on_disconnect;
    delayed_operation_wait(&fetch->parked,
                           loop_now_ns(loop) + (int64_t)fetch->request->max_wait_ms * 1000000);
}

/* More partitions than there are: some are named again and again, which costs at each change of
 * one. As in Kafka, where a request names each once, the answer is right; it only comes at once. */
static bool may_park(struct fetch_call *fetch)
{
    return fetch->request->max_wait_ms > 0 &&
           fetch->plan.set->count <= call_image(fetch->call)->partition_count &&
           request_may_wait(fetch->call->req);
}

static void read_or_park(struct fetch_call *fetch)
{
    if (fetch->plan.set == NULL) {
        respond(fetch); /* lost meanwhile, or there is no such session */
        return;
    }
    read_all(fetch);
    if (is_enough(fetch) || !may_park(fetch)) {
        respond(fetch);
        return;
    }
    park(fetch);
}

/* The session belongs to another request now. While logs are loading, their barrier answers. */
static void on_lost(struct fetch_plan *plan)
{
    struct fetch_call *fetch = container_of(plan, struct fetch_call, plan);
    if (fetch->barrier.pending_count == 0) {
        unpark(fetch);
        respond(fetch);
    }
}

static void on_loaded(struct load_barrier *barrier)
{
    read_or_park(container_of(barrier, struct fetch_call, barrier));
}

/* --- start --- */

static void await_logs(struct fetch_call *fetch)
{
    LIST_FOREACH (node, &fetch->plan.set->active) {
        struct fetch_partition *asked = container_of(node, struct fetch_partition, node);
        struct fetch_item *item = look_up(fetch, asked);
        if (item == NULL) {
            break;
        }
        if (asked->part != NULL && !partition_is_settled(asked->part)) {
            partition_await_load(asked->part, &item->load_waiter, &fetch->barrier);
        }
    }
}

/* false: no memory. */
static bool open_plan(struct fetch_call *fetch)
{
    struct call *call = fetch->call;
    if (is_from_replica(fetch->request) &&
        !call_allows(call, ACL_CLUSTER_ACTION, ACL_CLUSTER, ACL_CLUSTER_NAME)) {
        fetch->plan.error = E_CLUSTER_AUTHORIZATION_FAILED;
        return true;
    }
    return fetch_plan_open(&fetch->plan, call->here->fetch_sessions, fetch->request,
                           call->req->api_version, call_arena(call),
                           loop_now_ns(call->here->loop) / 1000000) == E_OK;
}

static struct fetch_call *prepare(struct call *call, const struct fetch_request *request)
{
    struct fetch_call *fetch = ARENA_NEW(call_arena(call), struct fetch_call);
    if (fetch == NULL) {
        return NULL;
    }
    fetch->call = call;
    fetch->request = request;
    if (!open_plan(fetch)) {
        return NULL;
    }
    fetch->plan.on_change = on_change;
    fetch->plan.on_lost = on_lost;
    fetch->limit = request->isolation_level == 1 ? READ_TO_LAST_STABLE : READ_TO_HIGH_WATERMARK;
    fetch->barrier.on_ready = on_loaded;
    delayed_operation_init(&fetch->parked, call->here->loop, try_complete, on_deadline);
    return fetch;
}

void api_fetch(struct call *call)
{
    struct fetch_call *fetch = prepare(call, call->body);
    if (fetch == NULL) {
        call_no_memory(call);
        return;
    }
    if (fetch->plan.set != NULL) {
        await_logs(fetch);
    }
    if (fetch->barrier.pending_count == 0) {
        read_or_park(fetch);
    }
}
