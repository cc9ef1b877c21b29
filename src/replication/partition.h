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
 * A partition is owned by one loop, for ever. Its log is opened by the log manager at home, so
 * that with several loops LOADING means: asked for at home; what home says (loaded, offline, cold,
 * deleted) is put into effect in the order in which home says it.
 *
 * Others may find a partition (replica_manager.h), look at its atomic members, read its log within
 * the callback in which they took the pointer, keep a reference, and watch it: watchers belong to
 * the loop that watches, and the owner sends that loop a message when there is something to see.
 *
 * Thread: the owner loop, unless said otherwise.
 */

#include <stdatomic.h>

#include "base/list.h"
#include "replication/delayed_operation.h"
#include "storage/log_manager.h"

struct replica_manager;
struct replica_owner;

enum partition_state {
    PARTITION_COLD,
    PARTITION_LOADING,
    PARTITION_ONLINE,
    PARTITION_OFFLINE,
};

/* The watchers of one other loop. */
struct partition_remote {
    struct list watchers;   /* that loop's */
    atomic_bool is_watched; /* set by that loop before it looks, cleared when nobody watches */
    atomic_bool is_told;    /* message is under way; it holds a reference */
    struct message message;
    struct partition *part;
};

struct partition {
    atomic_uint ref_count; /* operations hold one while they keep a pointer across turns */
    /* Immutable. */
    struct replica_manager *manager;
    struct replica_owner *owner;
    uint32_t directory;
    int32_t index; /* partition number */

    /* Written by the owner, read by anyone. */
    _Atomic(struct log *) log;    /* of use within one callback */
    _Atomic int32_t leader_epoch; /* the live one */
    _Atomic enum partition_state state;
    _Atomic enum error offline_error;
    _Atomic int64_t visible_bytes; /* of those appended since start, when the high watermark moved
                                      last; fetches measure min.bytes with it */

    /* Home's. */
    struct log_entry *entry; /* NULL: deleted */
    const struct hosted_topic *topic;

    /* The owner's. */
    int32_t
        min_in_sync_replicas; /* effective: min(min.insync.replicas, replication factor), KIP-966 */
    int32_t in_sync_count;
    bool waits_for_flush; /* an ack promises the disk: ack.durability=fsync or flush.messages=1 */
    bool is_deleted;
    struct list load_waiters;    /* struct load_waiter */
    struct list produce_waiters; /* struct partition_append, by rising required_offset */
    struct list watchers;        /* struct partition_watcher, of the owner loop */
    int64_t appended_bytes;      /* since start */

    /* Under way to home when its flag is set, with a reference. */
    struct message ask;
    struct message failure;
    atomic_bool is_asking;
    atomic_bool is_failing;
    enum error ask_error;
    enum error failure_error;

    struct partition_remote remotes[]; /* by loop; none when there is one loop */
};

/* Any thread, while it is certain to be there: found in this callback, or referenced. */
static inline struct partition *partition_ref(struct partition *part)
{
    (void)atomic_fetch_add_explicit(&part->ref_count, 1, memory_order_relaxed);
    return part;
}
/* Any thread. */
struct loop *partition_loop(const struct partition *part);
/* Any thread. Frees a deleted partition with the last reference. NULL is fine. Returns NULL. */
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
    struct loop *loop;      /* that waits; NULL: the owner */
    struct partition *part; /* a reference, when another loop waits */
    struct message message;
};

/* Any thread. */
static inline bool partition_is_settled(const struct partition *part)
{
    const enum partition_state state = part->state;
    return state == PARTITION_ONLINE || state == PARTITION_OFFLINE;
}

/* Starts loading if need be and makes the barrier of the calling loop wait for it. Only when
 * !partition_is_settled. The waiter's storage lives until on_ready. Does not wait (and leaves it
 * offline) without memory. Any loop. */
void partition_await_load(struct partition *part, struct load_waiter *waiter,
                          struct load_barrier *barrier);

/* --- on the owner --- */

/*
 * Runs a short function on the owner and waits for it: for requests of administrators that need
 * what only the owner may touch, and come so rarely that home may wait for a turn of another loop.
 * Nothing in run may wait for home. Thread: home, or the owner.
 */
void partition_run_on_owner(struct partition *part, void (*run)(void *context), void *context);

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

/* Any loop: a watcher is told, and unwatched, on the loop that watches. It may be told once without
 * a change.
 *
 * Who reads a partition and wants to know when it may look different: its high watermark or last
 * stable offset moved, it went offline or was deleted, its leader epoch or log start rose. */
struct partition_watcher {
    struct list node; /* list_init'ed by the owner */
    /* May unwatch itself, nobody else; completes nothing in the call. */
    void (*on_change)(struct partition_watcher *watcher);
};

void partition_watch(struct partition *part, struct partition_watcher *watcher);
/* Fine when it does not watch. */
void partition_unwatch(struct partition_watcher *watcher);
/* Tells the watchers of all loops. For changes that the partition does not see itself:
 * DeleteRecords. Thread: the owner. */
void partition_tell_watchers(struct partition *part);

/* --- leader's view --- */

/* Any thread. E_OK, or why not: E_KAFKA_STORAGE_ERROR. For requests that carry current_leader_epoch
 * (KIP-320): E_FENCED_LEADER_EPOCH, E_UNKNOWN_LEADER_EPOCH. current_leader_epoch -1: not given. */
NODISCARD enum error partition_check_leader(const struct partition *part,
                                            int32_t current_leader_epoch);
