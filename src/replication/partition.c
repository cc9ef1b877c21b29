/* SPDX-License-Identifier: Apache-2.0 */
#include "replication/partition.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "replication/partition_private.h"
#include "replication/replica_manager.h"

struct partition *partition_new(struct replica_manager *manager, const struct hosted_topic *topic,
                                int32_t index, struct log_entry *entry)
{
    struct partition *part = calloc(1, sizeof(*part));
    if (part == NULL) {
        return NULL;
    }
    part->ref_count = 1;
    part->manager = manager;
    part->topic = topic;
    part->index = index;
    part->entry = entry;
    part->min_in_sync_replicas = 1;
    part->in_sync_count = 1;
    list_init(&part->load_waiters);
    list_init(&part->produce_waiters);
    list_init(&part->watchers);
    entry->user = part;
    return part;
}

struct partition *partition_unref(struct partition *part)
{
    if (part == NULL) {
        return NULL;
    }
    check(part->ref_count > 0);
    if (--part->ref_count == 0) {
        check(part->is_deleted);
        check(list_is_empty(&part->load_waiters) && list_is_empty(&part->produce_waiters) &&
              list_is_empty(&part->watchers));
        free(part);
    }
    return NULL;
}

enum error partition_check_leader(const struct partition *part, int32_t current_leader_epoch)
{
    if (part->state != PARTITION_ONLINE) {
        /* Its directory may have come back since the caller waited for it: load again first. */
        return part->state == PARTITION_OFFLINE ? part->offline_error : E_KAFKA_STORAGE_ERROR;
    }
    if (current_leader_epoch >= 0 && current_leader_epoch < part->leader_epoch) {
        return E_FENCED_LEADER_EPOCH;
    }
    if (current_leader_epoch > part->leader_epoch) {
        return E_UNKNOWN_LEADER_EPOCH;
    }
    return E_OK;
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

void partition_watch(struct partition *part, struct partition_watcher *watcher)
{
    list_push_back(&part->watchers, &watcher->node);
}

void partition_unwatch(struct partition_watcher *watcher)
{
    list_remove(&watcher->node);
}

void partition_tell_watchers(struct partition *part)
{
    LIST_FOREACH_SAFE (node, next, &part->watchers) {
        struct partition_watcher *watcher = container_of(node, struct partition_watcher, node);
        watcher->on_change(watcher);
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
    part->visible_bytes = part->appended_bytes;
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

static void on_failed(void *context, struct log *log, enum error error)
{
    struct partition *part = context;
    if (part->log == log) {
        log_manager_fail_directory(replica_manager_logs(part->manager), part->entry->directory,
                                   error);
    }
}

/* --- load --- */

struct partition_load {
    struct log_load load;
    struct partition *part;
};

static void release_load_waiters(struct partition *part)
{
    struct list *node;
    while ((node = list_pop_front(&part->load_waiters)) != NULL) {
        struct load_barrier *barrier = container_of(node, struct load_waiter, node)->barrier;
        check(barrier->pending_count > 0);
        if (--barrier->pending_count == 0) {
            barrier->on_ready(barrier);
        }
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

/* In `pagecache` mode a machine that stops may take acknowledged records with it: never silently.
 */
static void report_loss(const struct partition *part)
{
    struct log_offsets offsets;
    log_get_offsets(part->log, &offsets);
    if (part->entry->hints.high_watermark > offsets.end) {
        diag_error(
            replica_manager_diag(part->manager),
            "partition %.*s-%d lost its records from offset %" PRId64 " to %" PRId64
            ": the machine stopped before they were on disk; ack.durability=fsync prevents it",
            (int)part->entry->topic_partition.topic.size,
            (const char *)part->entry->topic_partition.topic.data, part->index, offsets.end,
            part->entry->hints.high_watermark - 1);
    }
}

static void on_loaded(struct log_load *load)
{
    struct partition_load *own = container_of(load, struct partition_load, load);
    struct partition *part = own->part;
    enum error error = load->error;
    check(part->state == PARTITION_LOADING);
    if (error == E_OK && !part->is_deleted) {
        error = lead_from_log(part, part->entry->log);
    }
    if (part->is_deleted) {
        part->state = PARTITION_OFFLINE; /* the entry is gone, or goes as soon as this returns */
    } else if (error == E_OK) {
        part->log = part->entry->log;
        part->state = PARTITION_ONLINE;
        report_loss(part);
        /* What a former process acked before it ended is in the log of the only replica. */
        advance_high_watermark(part);
    } else {
        part->state = PARTITION_OFFLINE;
        part->offline_error = E_KAFKA_STORAGE_ERROR;
        diag_error(replica_manager_diag(part->manager),
                   "partition %.*s-%d is offline: its log could not be opened: %s",
                   (int)part->entry->topic_partition.topic.size,
                   (const char *)part->entry->topic_partition.topic.data, part->index,
                   error_text(error));
    }
    free(own);
    replica_manager_on_load(part->manager, part);
    release_load_waiters(part);
    (void)partition_unref(part);
}

void partition_start_load(struct partition *part)
{
    check(part->state == PARTITION_COLD);
    struct partition_load *own = calloc(1, sizeof(*own));
    if (own == NULL) {
        part->state = PARTITION_OFFLINE;
        part->offline_error = E_LOCAL_NO_MEMORY;
        return;
    }
    part->state = PARTITION_LOADING;
    own->part = partition_ref(part);
    own->load.entry = part->entry;
    own->load.config = part->topic->log_config;
    own->load.events =
        (struct log_events){.context = part, .on_flushed = on_flushed, .on_failed = on_failed};
    own->load.on_done = on_loaded;
    log_manager_load(replica_manager_logs(part->manager), &own->load);
}

void partition_await_load(struct partition *part, struct load_waiter *waiter,
                          struct load_barrier *barrier)
{
    check(!partition_is_settled(part));
    if (part->state == PARTITION_COLD) {
        partition_start_load(part);
    }
    if (part->state == PARTITION_LOADING) {
        barrier->pending_count++;
        waiter->barrier = barrier;
        list_push_back(&part->load_waiters, &waiter->node);
    }
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
        replica_manager_defer_failure(part->manager, op);
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

void partition_go_offline(struct partition *part, enum error error)
{
    part->offline_error = error;
    part->log = NULL;
    if (part->state != PARTITION_LOADING) {
        part->state = PARTITION_OFFLINE;
    }
    fail_all_waiters(part, error);
}

void partition_go_cold(struct partition *part)
{
    if (part->state == PARTITION_OFFLINE && !part->is_deleted) {
        part->state = PARTITION_COLD;
    }
}
