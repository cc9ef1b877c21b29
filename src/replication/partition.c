/* SPDX-License-Identifier: Apache-2.0 */
#include "replication/partition.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/check.h"
#include "replication/partition_private.h"
#include "replication/replica_manager.h"

static bool has_remotes(const struct partition *part)
{
    return replica_manager_loops(part->manager)->count > 1;
}

static struct loop *home_loop(const struct partition *part)
{
    return replica_manager_loops(part->manager)->loops[0];
}

static bool is_at_home(const struct partition *part)
{
    return part->owner->index == 0;
}

struct loop *partition_loop(const struct partition *part)
{
    return part->owner->loop;
}

static void on_told(struct message *message);
static void on_ask(struct message *message);

struct partition *partition_new(struct replica_owner *owner, const struct hosted_topic *topic,
                                int32_t index, struct log_entry *entry)
{
    const unsigned loop_count = replica_manager_loops(owner->manager)->count;
    const unsigned remote_count = loop_count > 1 ? loop_count : 0;
    struct partition *part = calloc(1, sizeof(*part) + remote_count * sizeof(part->remotes[0]));
    if (part == NULL) {
        return NULL;
    }
    atomic_init(&part->ref_count, 1);
    part->manager = owner->manager;
    part->owner = owner;
    part->directory = entry->directory;
    part->topic = topic;
    part->index = index;
    part->entry = entry;
    part->min_in_sync_replicas = 1;
    part->in_sync_count = 1;
    part->ask.on_receive = on_ask;
    list_init(&part->load_waiters);
    list_init(&part->produce_waiters);
    list_init(&part->watchers);
    for (unsigned i = 0; i < remote_count; i++) {
        list_init(&part->remotes[i].watchers);
        part->remotes[i].message.on_receive = on_told;
        part->remotes[i].part = part;
    }
    entry->user = part;
    return part;
}

struct partition *partition_unref(struct partition *part)
{
    if (part == NULL) {
        return NULL;
    }
    const unsigned before = atomic_fetch_sub_explicit(&part->ref_count, 1, memory_order_acq_rel);
    check(before > 0);
    if (before == 1) {
        check(part->is_deleted);
        check(list_is_empty(&part->load_waiters) && list_is_empty(&part->produce_waiters) &&
              list_is_empty(&part->watchers));
        free(part);
    }
    return NULL;
}

enum error partition_check_leader(const struct partition *part, int32_t current_leader_epoch)
{
    const enum partition_state state = part->state;
    if (state != PARTITION_ONLINE || part->log == NULL) {
        /* Its directory may have come back since the caller waited for it: load again first. */
        return state == PARTITION_OFFLINE ? part->offline_error : E_KAFKA_STORAGE_ERROR;
    }
    const int32_t leader_epoch = part->leader_epoch;
    if (current_leader_epoch >= 0 && current_leader_epoch < leader_epoch) {
        return E_FENCED_LEADER_EPOCH;
    }
    return current_leader_epoch > leader_epoch ? E_UNKNOWN_LEADER_EPOCH : E_OK;
}

/* --- waiters --- */

static void finish_append(struct partition_append *op, enum error error)
{
    op->append.error = error;
    op->on_done(op);
}

static void complete_produce_waiters(struct partition *part, int64_t high_watermark)
{
    while (!list_is_empty(&part->produce_waiters)) {
        struct partition_append *op =
            container_of(part->produce_waiters.next, struct partition_append, node);
        if (op->required_offset > high_watermark) {
            return;
        }
        list_remove(&op->node);
        op->is_waiting = false;
        finish_append(op, E_OK);
    }
}

/*
 * Between a loop that watches and the owner nothing is missed: the one says that it watches and
 * then looks, the other changes what is to be seen and then asks whether anybody watches, all of it
 * sequentially consistent. The look after the first watch is the message that the loop sends
 * itself.
 */

/* NULL: the calling loop is the owner. */
static struct partition_remote *find_remote(struct partition *part)
{
    if (!has_remotes(part) || loop_is_current(part->owner->loop)) {
        return NULL;
    }
    return &part->remotes[loop_index(loop_set_current(replica_manager_loops(part->manager)))];
}

static void tell_remote(struct partition_remote *remote)
{
    struct partition *part = remote->part;
    if (!atomic_exchange(&remote->is_told, true)) {
        (void)partition_ref(part);
        loop_post(replica_manager_loops(part->manager)->loops[remote - part->remotes],
                  &remote->message);
    }
}

static void tell_list(struct list *watchers)
{
    LIST_FOREACH_SAFE (node, next, watchers) {
        struct partition_watcher *watcher = container_of(node, struct partition_watcher, node);
        watcher->on_change(watcher);
    }
}

static void on_told(struct message *message)
{
    struct partition_remote *remote = container_of(message, struct partition_remote, message);
    (void)atomic_exchange(&remote->is_told, false);
    if (list_is_empty(&remote->watchers)) {
        atomic_store(&remote->is_watched, false);
    } else {
        tell_list(&remote->watchers);
    }
    (void)partition_unref(remote->part);
}

void partition_watch(struct partition *part, struct partition_watcher *watcher)
{
    struct partition_remote *remote = find_remote(part);
    if (remote == NULL) {
        list_push_back(&part->watchers, &watcher->node);
        return;
    }
    list_push_back(&remote->watchers, &watcher->node);
    if (!atomic_exchange(&remote->is_watched, true)) {
        tell_remote(remote);
    }
}

void partition_unwatch(struct partition_watcher *watcher)
{
    list_remove(&watcher->node);
}

void partition_tell_watchers(struct partition *part)
{
    tell_list(&part->watchers);
    if (has_remotes(part)) {
        const unsigned count = replica_manager_loops(part->manager)->count;
        for (unsigned i = 0; i < count; i++) {
            if (atomic_load(&part->remotes[i].is_watched)) {
                tell_remote(&part->remotes[i]);
            }
        }
    }
}

static void set_visible_bytes(struct partition *part)
{
    if (has_remotes(part)) {
        atomic_store(&part->visible_bytes, part->appended_bytes); /* before is_watched is read */
    } else {
        atomic_store_explicit(&part->visible_bytes, part->appended_bytes, memory_order_relaxed);
    }
}

/* P3: the only in-sync replica is this one; later the maximal ISR decides (reliability rule 1). */
static void advance_high_watermark(struct partition *part)
{
    struct log_offsets offsets;
    log_get_offsets(part->log, &offsets);
    const int64_t target = part->waits_for_flush ? offsets.flushed : offsets.end;
    if (target <= offsets.high_watermark) {
        return;
    }
    log_set_high_watermark(part->log, target);
    set_visible_bytes(part);
    complete_produce_waiters(part, target);
    partition_tell_watchers(part);
}

/* --- log events --- */

static void on_flushed(void *context, struct log *log)
{
    struct partition *part = context;
    if (part->log == log) {
        advance_high_watermark(part);
    }
}

static void on_failure_at_home(struct message *message)
{
    struct partition *part = container_of(message, struct partition, failure);
    const enum error error = part->failure_error;
    atomic_store(&part->is_failing, false);
    log_manager_fail_directory(replica_manager_logs(part->manager), part->directory, error);
    (void)partition_unref(part);
}

static void on_failed(void *context, struct log *log, enum error error)
{
    struct partition *part = context;
    if (part->log != log) {
        return;
    }
    if (is_at_home(part)) {
        log_manager_fail_directory(replica_manager_logs(part->manager), part->directory, error);
    } else if (!atomic_exchange(&part->is_failing, true)) {
        part->failure_error = error;
        part->failure.on_receive = on_failure_at_home;
        loop_post(home_loop(part), &partition_ref(part)->failure);
    }
}

/* --- load --- */

struct partition_load {
    struct log_load load;
    struct partition *part;
    struct message message; /* home's answer to the owner */
};

static void finish_wait(struct load_barrier *barrier)
{
    check(barrier->pending_count > 0);
    if (--barrier->pending_count == 0) {
        barrier->on_ready(barrier);
    }
}

static void on_wait_over(struct message *message)
{
    struct load_waiter *waiter = container_of(message, struct load_waiter, message);
    waiter->part = partition_unref(waiter->part);
    finish_wait(waiter->barrier);
}

static void release_load_waiter(struct load_waiter *waiter)
{
    if (waiter->loop == NULL) {
        finish_wait(waiter->barrier);
    } else {
        waiter->message.on_receive = on_wait_over;
        loop_post(waiter->loop, &waiter->message);
    }
}

static void release_load_waiters(struct partition *part)
{
    struct list *node;
    while ((node = list_pop_front(&part->load_waiters)) != NULL) {
        release_load_waiter(container_of(node, struct load_waiter, node));
    }
}

/* Design §2: the epoch of a led partition is above all that its log has seen. */
static enum error lead_from_log(struct partition *part, struct log *log)
{
    const int32_t latest = log_latest_epoch(log);
    if (latest >= part->leader_epoch) {
        part->leader_epoch = latest + 1;
    }
    return log_start_epoch(log, part->leader_epoch);
}

static void report_not_opened(const struct partition *part, struct topic_partition name,
                              enum error error)
{
    diag_error(replica_manager_diag(part->manager),
               "partition %.*s-%d is offline: its log could not be opened: %s",
               (int)name.topic.size, (const char *)name.topic.data, name.partition,
               error_text(error));
}

static void finish_load(struct partition_load *own)
{
    struct partition *part = own->part;
    struct log *log = own->load.log;
    enum error error = own->load.error;
    if (error == E_OK && !part->is_deleted) {
        error = lead_from_log(part, log);
        if (error != E_OK) {
            report_not_opened(part, log_topic_partition(log), error);
            log_drop_events(log);
        }
    }
    if (part->is_deleted) {
        part->state = PARTITION_OFFLINE; /* the entry is gone, or goes as soon as this returns */
    } else if (error == E_OK) {
        part->log = log;
        part->state = PARTITION_ONLINE;
        /* What a former process acked before it ended is in the log of the only replica. */
        advance_high_watermark(part);
    } else {
        part->state = PARTITION_OFFLINE;
        part->offline_error = E_KAFKA_STORAGE_ERROR;
    }
    free(own);
    release_load_waiters(part);
    (void)partition_unref(part);
}

static void finish_load_at_owner(struct message *message)
{
    finish_load(container_of(message, struct partition_load, message));
}

/* Home. */
static void on_loaded(struct log_load *load)
{
    struct partition_load *own = container_of(load, struct partition_load, load);
    struct partition *part = own->part;
    struct replica_manager *manager = part->manager;
    if (load->error != E_OK && part->entry != NULL) {
        report_not_opened(part, part->entry->topic_partition, load->error);
    }
    if (is_at_home(part)) {
        finish_load(own);
    } else {
        own->message.on_receive = finish_load_at_owner;
        loop_post(part->owner->loop, &own->message);
    }
    replica_manager_on_load(manager);
}

/* Home. false: no memory. */
static bool start_load(struct partition *part)
{
    struct partition_load *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        return false;
    }
    own->part = partition_ref(part);
    own->load.entry = part->entry;
    own->load.owner = part->owner->index;
    own->load.config = part->topic->log_config;
    own->load.events =
        (struct log_events){.context = part, .on_flushed = on_flushed, .on_failed = on_failed};
    own->load.on_done = on_loaded;
    log_manager_load(replica_manager_logs(part->manager), &own->load);
    return true;
}

/* --- asking for it --- */

static void on_ask_failed(struct message *message)
{
    struct partition *part = container_of(message, struct partition, ask);
    part->ask.on_receive = on_ask;
    atomic_store(&part->is_asking, false);
    if (!partition_is_settled(part)) {
        if (!part->is_deleted) {
            part->offline_error = part->ask_error;
        }
        part->state = PARTITION_OFFLINE;
        release_load_waiters(part);
    }
    (void)partition_unref(part);
}

static void fail_ask(struct partition *part, enum error error)
{
    part->ask_error = error;
    part->ask.on_receive = on_ask_failed;
    loop_post(part->owner->loop, &part->ask);
}

/* Home. When it is loading, or loaded, the answer will come or is under way. */
static void on_ask(struct message *message)
{
    struct partition *part = container_of(message, struct partition, ask);
    if (part->entry == NULL) {
        fail_ask(part, E_UNKNOWN_TOPIC_OR_PARTITION);
        return;
    }
    if (!part->entry->is_loading && part->entry->log == NULL && !start_load(part)) {
        fail_ask(part, E_LOCAL_NO_MEMORY);
        return;
    }
    atomic_store(&part->is_asking, false);
    (void)partition_unref(part);
}

static void ask_for_load(struct partition *part)
{
    part->state = PARTITION_LOADING;
    if (!is_at_home(part)) {
        if (!atomic_exchange(&part->is_asking, true)) {
            loop_post(home_loop(part), &partition_ref(part)->ask);
        }
    } else if (!start_load(part)) {
        part->state = PARTITION_OFFLINE;
        part->offline_error = E_LOCAL_NO_MEMORY;
    }
}

bool partition_load_in_background(struct partition *part)
{
    if (is_at_home(part)) {
        ask_for_load(part);
        return part->state == PARTITION_LOADING;
    }
    return start_load(part); /* the owner knows when it is done */
}

/* false: it is settled, there is nothing to wait for. */
static bool join_load(struct partition *part, struct load_waiter *waiter)
{
    if (part->state == PARTITION_COLD) {
        ask_for_load(part);
    }
    if (part->state != PARTITION_LOADING) {
        return false;
    }
    list_push_back(&part->load_waiters, &waiter->node);
    return true;
}

static void join_load_at_owner(struct message *message)
{
    struct load_waiter *waiter = container_of(message, struct load_waiter, message);
    if (!join_load(waiter->part, waiter)) {
        release_load_waiter(waiter);
    }
}

void partition_await_load(struct partition *part, struct load_waiter *waiter,
                          struct load_barrier *barrier)
{
    waiter->barrier = barrier;
    if (find_remote(part) == NULL) {
        waiter->loop = NULL;
        barrier->pending_count += join_load(part, waiter) ? 1 : 0;
        return;
    }
    barrier->pending_count++;
    waiter->loop = loop_set_current(replica_manager_loops(part->manager));
    waiter->part = partition_ref(part);
    waiter->message.on_receive = join_load_at_owner;
    loop_post(part->owner->loop, &waiter->message);
}

/* --- on the owner --- */

struct owner_call {
    struct message message;
    void (*run)(void *context);
    void *context;
    sem_t is_done;
};

static void run_call(struct message *message)
{
    struct owner_call *call = container_of(message, struct owner_call, message);
    call->run(call->context);
    check(sem_post(&call->is_done) == 0);
}

void partition_run_on_owner(struct partition *part, void (*run)(void *context), void *context)
{
    if (loop_is_current(part->owner->loop)) {
        run(context);
        return;
    }
    check(loop_is_current(home_loop(part)));
    struct owner_call call = {.message = {.on_receive = run_call}, .run = run, .context = context};
    check(sem_init(&call.is_done, 0, 0) == 0);
    loop_post(part->owner->loop, &call.message);
    while (sem_wait(&call.is_done) != 0) {
        /* a signal */
    }
    check(sem_destroy(&call.is_done) == 0);
}

/* --- append --- */

static void wait_for_required_offset(struct partition *part, struct partition_append *op)
{
    /* P2. A duplicate may need less than those that wait already, so look from the tail. */
    struct list *at = part->produce_waiters.prev;
    while (at != &part->produce_waiters &&
           container_of(at, struct partition_append, node)->required_offset > op->required_offset) {
        at = at->prev;
    }
    list_push_front(at, &op->node);
    op->is_waiting = true;
}

static bool needs_flush(const struct partition *part, const struct log_offsets *offsets)
{
    return part->waits_for_flush ||
           offsets->end - offsets->flushed >= log_get_config(part->log)->flush_messages;
}

static void on_appended(struct append *append)
{
    struct partition_append *op = container_of(append, struct partition_append, append);
    struct partition *part = op->part;
    if (append->error != E_OK) {
        op->on_done(op);
        return;
    }
    if (part->log == NULL) { /* written, but then its directory failed in the same turn */
        finish_append(op, E_KAFKA_STORAGE_ERROR);
        return;
    }
    if (!append->is_duplicate) {
        part->appended_bytes += (int64_t)append->size;
    }
    advance_high_watermark(part);
    struct log_offsets offsets;
    log_get_offsets(part->log, &offsets);
    if (needs_flush(part, &offsets)) {
        log_flush(part->log);
        if (part->log == NULL) { /* the flush ran in line and failed */
            finish_append(op, E_KAFKA_STORAGE_ERROR);
            return;
        }
        log_get_offsets(part->log, &offsets);
    }
    op->required_offset = append->last_offset + 1;
    const bool is_satisfied = op->acks == 0 || (op->acks == 1 && !part->waits_for_flush) ||
                              offsets.high_watermark >= op->required_offset;
    if (is_satisfied) {
        op->on_done(op);
    } else {
        wait_for_required_offset(part, op);
    }
}

void partition_append_as_leader(struct partition *part, struct partition_append *op)
{
    op->part = part;
    op->is_waiting = false;
    list_init(&op->node);
    op->append.on_done = on_appended;
    op->append.leader_epoch = part->leader_epoch;
    enum error error = partition_check_leader(part, -1);
    if (error == E_OK && op->acks == -1 && part->min_in_sync_replicas > part->in_sync_count) {
        error = E_NOT_ENOUGH_REPLICAS;
    }
    if (error != E_OK) {
        op->append.error = error;
        op->append.base_offset = -1;
        op->append.log_append_time_ms = -1;
        op->append.log_start_offset = -1;
        op->append.record_error_index = -1;
        replica_manager_defer_failure(op);
        return;
    }
    log_append(part->log, &op->append);
}

void partition_append_time_out(struct partition_append *op)
{
    if (op->is_waiting) {
        list_remove(&op->node);
        op->is_waiting = false;
        finish_append(op, E_REQUEST_TIMED_OUT);
    }
}

/* --- role changes --- */

static void fail_all_waiters(struct partition *part, enum error error)
{
    struct list *node;
    while ((node = list_pop_front(&part->produce_waiters)) != NULL) {
        struct partition_append *op = container_of(node, struct partition_append, node);
        op->is_waiting = false;
        finish_append(op, error);
    }
    partition_tell_watchers(part);
}

/* The log may be there for some time yet, longer than the partition. */
static void let_log_go(struct partition *part)
{
    struct log *log = part->log;
    if (log != NULL) {
        part->log = NULL;
        log_drop_events(log);
    }
}

void partition_go_offline(struct partition *part, enum error error)
{
    part->offline_error = error;
    if (part->state != PARTITION_LOADING) {
        part->state = PARTITION_OFFLINE;
    }
    let_log_go(part);
    fail_all_waiters(part, error);
}

void partition_delete(struct partition *part)
{
    part->is_deleted = true;
    partition_go_offline(part, E_UNKNOWN_TOPIC_OR_PARTITION);
}

void partition_go_cold(struct partition *part)
{
    if (part->state == PARTITION_OFFLINE && !part->is_deleted) {
        part->state = PARTITION_COLD;
    }
}

void partition_update(struct partition *part, const struct partition_settings *settings)
{
    part->min_in_sync_replicas = settings->min_in_sync_replicas;
    part->in_sync_count = settings->in_sync_count;
    part->waits_for_flush = settings->waits_for_flush;
    if (settings->leader_epoch > part->leader_epoch) {
        part->leader_epoch = settings->leader_epoch;
        if (part->log != NULL && log_start_epoch(part->log, part->leader_epoch) != E_OK) {
            partition_go_offline(part, E_KAFKA_STORAGE_ERROR);
        }
        partition_tell_watchers(part);
    }
    if (part->log != NULL) {
        log_set_config(part->log, &settings->log_config);
    }
}
