/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a Fetch request asks for, and fetch sessions (KIP-227), which remember it between requests.
 *
 *   epoch 0 ──> a session is made ──> epoch 1, 2, … 2^31-1, 1, … ──> epoch -1, all forgotten, or
 *   epoch -1 ─> no session              only what changed is said       evicted: gone
 *
 * A set holds the partitions of one session, or of one request without a session. Each partition
 * of a set is active or clean; a request looks at the active ones only, so an idle consumer of a
 * thousand partitions costs nothing per partition.
 *
 * Invariants
 *  F1 A clean partition was answered with its current high watermark and log start, without error,
 *     had nothing to read at its offset, and nothing has changed since: its watcher is linked, and
 *     the first change makes it active.
 *  F2 Active partitions are read in the order of the list; one that gave data goes to the end, so
 *     that none can starve the others under max_bytes.
 *  F3 An active partition is watched only while a request waits: a session that nobody uses any
 *     more costs an append one call, once.
 *  F4 A session has at most one request under way. The next one takes it over; the one before is
 *     told so (on_lost) and touches the set no more.
 *
 * Thread: the loop of the connection.
 */

#include "base/hash.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "protocol/messages/fetch.h"
#include "replication/partition.h"

struct fetch_sessions;
struct fetch_session;
struct fetch_plan;
struct fetch_item; /* api/fetch.c: what one request knows of one partition */

struct fetch_set {
    struct list active; /* struct fetch_partition.node */
    struct list clean;
    uint32_t count;
    struct fetch_session *session; /* NULL: of one request */
    struct fetch_plan *plan;       /* the request under way; NULL: none */
};

enum fetch_outcome {
    FETCH_UNREAD,   /* an error, or there is more than this request could take */
    FETCH_HAD_DATA, /* F2 */
    FETCH_AT_END,   /* clean from now on */
};

struct fetch_partition {
    struct hash_node by_key; /* the session's */
    struct list node;
    struct fetch_set *set;
    /* As asked for last. */
    struct slice topic; /* empty when asked by id */
    struct uuid topic_id;
    int64_t fetch_offset;
    int32_t partition;
    int32_t current_leader_epoch; /* -1: not given */
    int32_t max_bytes;
    bool is_active;
    enum fetch_outcome outcome;
    /* As answered last; -1: not yet, or an error. */
    int64_t told_high_watermark;
    int64_t told_log_start;
    /* The handler's, except that the set drops `part` in the end. */
    struct partition *part; /* a reference; NULL: not found yet */
    struct partition_watcher watcher;
    int64_t counted_bytes; /* part->visible_bytes when looked at last */
    struct fetch_item *item;
};

/* One request. */
struct fetch_plan {
    struct fetch_sessions *sessions;
    enum error error;      /* of the whole request; then set is NULL */
    int32_t session_id;    /* for the response; 0: none */
    bool is_incremental;   /* the answer lists only what has data, an error, or changed */
    bool is_new;           /* the client does not know the session yet */
    struct fetch_set *set; /* NULL: an error */
    struct fetch_set own;  /* without a session */
    /* Set by the handler before it waits. A watched partition of the set changed and is active. */
    void (*on_change)(struct fetch_plan *plan, struct fetch_partition *part);
    /* F4, or the session was closed: error is set and set is NULL. */
    void (*on_lost)(struct fetch_plan *plan);
};

struct fetch_session_limits {
    uint32_t session_count_max; /* max.incremental.fetch.session.cache.slots */
    size_t memory_max;          /* bytes of all sessions */
};

/* rng is borrowed. NULL: no memory. */
struct fetch_sessions *fetch_sessions_new(const struct fetch_session_limits *limits,
                                          struct rng *rng);
/* No request is under way. Before the replica manager, whose partitions sessions hold. */
void fetch_sessions_free(struct fetch_sessions *sessions);
/* 1, 2, …, 2^31 - 1, 1: 0 is a full request's. */
int32_t fetch_session_epoch_after(int32_t epoch);
uint32_t fetch_sessions_count(const struct fetch_sessions *sessions);
size_t fetch_sessions_memory(const struct fetch_sessions *sessions);

/*
 * arena   Of the request: a set without a session lives there.
 * now_ms  Monotonic.
 *
 * A full cache, or no memory for a session, is no error: the answer then names no session.
 * Errors: E_LOCAL_NO_MEMORY. In plan->error: E_FETCH_SESSION_ID_NOT_FOUND,
 * E_INVALID_FETCH_SESSION_EPOCH, E_FETCH_SESSION_TOPIC_ID_ERROR.
 */
NODISCARD enum error fetch_plan_open(struct fetch_plan *plan, struct fetch_sessions *sessions,
                                     const struct fetch_request *request, int16_t version,
                                     struct arena *arena, int64_t now_ms);
/* Watches the active partitions too: the request is going to wait. */
void fetch_plan_watch(struct fetch_plan *plan);
/* The answer is complete: F1 and F2 are put into effect by each outcome. */
void fetch_plan_answered(struct fetch_plan *plan);
/* There will be no answer. */
void fetch_plan_abandon(struct fetch_plan *plan);

/* What a partition is going to be answered with. */
struct fetch_answer {
    bool has_error;
    bool has_data;
    bool is_at_end; /* nothing more to read at its offset */
    int64_t high_watermark;
    int64_t log_start_offset;
};

/* Notes the answer of an active partition; false: an incremental response leaves it out. */
bool fetch_partition_answer(struct fetch_partition *part, const struct fetch_answer *answer);
/* Another isolation level reads to another end: look at all. */
void fetch_set_activate_all(struct fetch_set *set);
