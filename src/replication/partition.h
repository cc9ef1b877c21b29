/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One partition that this broker hosts: its log, its role and who waits for it.
 *
 *             partition_load                on E_OK
 *   COLD ───────────────────────> LOADING ──────────> ONLINE
 *     ^                              │ error             │ the log failed
 *     └── directory is back ── OFFLINE <─────────────────┘
 *
 * Invariants
 *  P1 log != NULL exactly in ONLINE.
 *  P2 Waiters for an offset are answered in the order of offsets; advancing the high watermark pops
 *     from the head of the list.
 *  P3 The high watermark never passes what every in-sync replica has (its flushed end, when acks
 *     promise the disk): for the only replica, the end or the flushed end of its own log.
 *  P4 leader_epoch >= every epoch in the log; it rises at load if the log knows a higher one.
 *
 * Thread: the owner loop.
 */

#include "base/list.h"
#include "replication/delayed_operation.h"
#include "storage/log_manager.h"

struct replica_manager;

enum partition_state {
    PARTITION_COLD,
    PARTITION_LOADING,
    PARTITION_ONLINE,
    PARTITION_OFFLINE,
};

struct partition {
    uint32_t ref_count; /* operations hold one while they keep a pointer across turns */
    struct replica_manager *manager;
    struct log_entry *entry;
    struct log *log;
    const struct hosted_topic *topic;
    int32_t index;        /* partition number */
    int32_t leader_epoch; /* the live one */
    int32_t
        min_in_sync_replicas; /* effective: min(min.insync.replicas, replication factor), KIP-966 */
    int32_t in_sync_count;
    enum partition_state state;
    enum error offline_error;
    bool waits_for_flush; /* an ack promises the disk: ack.durability=fsync or flush.messages=1 */
    bool is_deleted;
    struct list load_waiters;    /* struct load_waiter */
    struct list produce_waiters; /* struct partition_append, by rising required_offset */
    struct list watchers;        /* struct partition_watcher */
    int64_t appended_bytes;      /* since start */
    int64_t visible_bytes; /* of them, when the high watermark moved last; fetches measure min.bytes
                              with it */
};

static inline struct partition *partition_ref(struct partition *part)
{
    part->ref_count++;
    return part;
}
/* Frees a deleted partition with the last reference. Returns NULL. */
struct partition *partition_unref(struct partition *part);

/* --- loading on first use --- */

/* Counts partitions that are not loaded yet; tells once when all are (online or offline). */
struct load_barrier {
    uint32_t pending_count;
    void (*on_ready)(struct load_barrier *barrier);
};

struct load_waiter {
    struct list node;
    struct load_barrier *barrier;
};

static inline bool partition_is_settled(const struct partition *part)
{
    return part->state == PARTITION_ONLINE || part->state == PARTITION_OFFLINE;
}

/* Starts loading if need be and makes the barrier wait for it. Only when !partition_is_settled. The
 * waiter's storage lives until on_ready. Does not wait (and leaves it offline) without memory. */
void partition_await_load(struct partition *part, struct load_waiter *waiter,
                          struct load_barrier *barrier);

/* --- append as leader --- */

/* One partition's part of a Produce request; storage is the caller's until on_done. */
struct partition_append {
    struct append append;
    struct partition *part;
    struct list node;        /* partition's produce_waiters while it waits */
    int64_t required_offset; /* high watermark that completes it */
    int16_t acks;
    bool is_waiting;
    void (*on_done)(struct partition_append *op); /* op->append.error says how it went */
};

/*
 * Appends and waits as acks says: 0 and 1: in the log (on disk where the ack promises it), -1:
 * below the high watermark. on_done never runs inside this call. Errors, in op->append.error: those
 * of log_append; E_KAFKA_STORAGE_ERROR offline; E_NOT_ENOUGH_REPLICAS.
 */
void partition_append_as_leader(struct partition *part, struct partition_append *op);
/* The request's time is over: on_done with E_REQUEST_TIMED_OUT if it still waits. The record stays.
 */
void partition_append_time_out(struct partition_append *op);

/* --- watching --- */

/* Who reads a partition and wants to know when it may look different: its high watermark or last
 * stable offset moved, it went offline or was deleted, its leader epoch or log start rose. */
struct partition_watcher {
    struct list node; /* list_init'ed by the owner */
    /* May unwatch itself, nobody else; completes nothing in the call. */
    void (*on_change)(struct partition_watcher *watcher);
};

void partition_watch(struct partition *part, struct partition_watcher *watcher);
/* Fine when it does not watch. */
void partition_unwatch(struct partition_watcher *watcher);
/* Tells the watchers. For changes that the partition does not see itself: DeleteRecords. */
void partition_tell_watchers(struct partition *part);

/* --- leader's view --- */

/* E_OK, or why not: E_KAFKA_STORAGE_ERROR. For requests that carry current_leader_epoch (KIP-320):
 * E_FENCED_LEADER_EPOCH, E_UNKNOWN_LEADER_EPOCH. current_leader_epoch -1: not given. */
NODISCARD enum error partition_check_leader(const struct partition *part,
                                            int32_t current_leader_epoch);
