/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a log knows of its idempotent and transactional producers: epoch, the last five batches for
 * the duplicate check, the open transaction.
 *
 * An append passes three stages, because batches that wait for the same write must already count
 * (reliability rule 26), yet a failed write must leave no trace:
 *
 *   producer_state_check   may it be appended; is it a duplicate?       changes nothing
 *   producer_state_apply   it counts from now on, for later checks      undone by _rollback
 *   producer_state_commit  it is in the log: transactions open and close, in append order
 *
 * and the whole turn ends with producer_state_seal (all written) or producer_state_rollback.
 *
 * Invariants
 *  P1 `ongoing` holds exactly the producers with an open committed transaction, by first offset.
 *  P2 A producer has an undo copy if and only if it was applied and neither sealed nor rolled back.
 *  P3 `unreplicated` is sorted by last offset: completed transactions whose marker the high
 *     watermark has not passed.
 *
 * Thread: the owner of the log. Source: KIP-98, KIP-360; Kafka 3.9's answers.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "record/batch.h"
#include "storage/log.h"

enum { PRODUCER_BATCH_COUNT_MAX = 5 };

struct producer_batch {
    int64_t last_offset;
    int64_t timestamp; /* its max timestamp */
    int32_t last_sequence;
    int32_t offset_delta; /* last offset - first offset */
};

/* The part that can be rolled back. */
struct producer_values {
    struct producer_batch batches[PRODUCER_BATCH_COUNT_MAX]; /* oldest first */
    int64_t last_timestamp;                                  /* of the last batch or marker */
    int64_t current_txn_first_offset;                        /* -1: none */
    int64_t last_write_ms;     /* wall clock of ours, for expiration; not in snapshots */
    int32_t coordinator_epoch; /* -1: no marker yet */
    int16_t producer_epoch;    /* -1: none */
    uint8_t batch_count;
};

struct producer_undo;

struct producer {
    struct hash_node node;
    int64_t producer_id;
    struct producer_values values;
    struct producer_undo *undo;   /* NULL: not touched since the last seal */
    struct list ongoing_node;     /* in producer_state.ongoing */
    int64_t ongoing_first_offset; /* of the committed open transaction; -1: none */
};

/* A completed transaction; last_offset is its marker's. */
struct completed_transaction {
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset;
    bool is_aborted;
};

struct producer_state {
    struct hash_table producers;
    struct list ongoing;
    struct completed_transaction *unreplicated;
    uint32_t unreplicated_count;
    uint32_t unreplicated_capacity;
    uint32_t marker_count; /* applied, not yet committed: need room in unreplicated */
    struct list undos;     /* producer_undo, newest last */
    struct list free_undos;
    uint32_t free_undo_count;
};

/* The control record that ends a transaction. */
struct transaction_marker {
    bool is_commit;
    int32_t coordinator_epoch;
};

/* What is asked about one batch. */
struct producer_append {
    const struct batch_header *header;       /* with final offsets from apply on */
    const struct transaction_marker *marker; /* NULL: a data batch */
    enum append_origin origin;
    int64_t now_ms; /* wall clock */
};

void producer_state_init(struct producer_state *state, uint64_t seed);
void producer_state_done(struct producer_state *state);
/* Forgets everything. */
void producer_state_clear(struct producer_state *state);

/* NULL: unknown. */
struct producer *producer_state_find(const struct producer_state *state, int64_t producer_id);

/*
 * *ret_duplicate is the stored batch when this is an exact retry of one of the last five, NULL
 * otherwise. Replicas are never refused (rule 29).
 * Errors: E_OUT_OF_ORDER_SEQUENCE_NUMBER, E_INVALID_PRODUCER_EPOCH, E_INVALID_TXN_STATE,
 *         E_TRANSACTION_COORDINATOR_FENCED.
 */
NODISCARD enum error producer_state_check(const struct producer_state *state,
                                          const struct producer_append *append,
                                          const struct producer_batch **ret_duplicate);
/* After a good check. Errors: E_LOCAL_NO_MEMORY, then nothing has changed. */
NODISCARD enum error producer_state_apply(struct producer_state *state,
                                          const struct producer_append *append);
/* After the write, in order. true: a transaction was completed by this marker. */
bool producer_state_commit(struct producer_state *state, const struct producer_append *append,
                           struct completed_transaction *ret_completed);
void producer_state_seal(struct producer_state *state);
void producer_state_rollback(struct producer_state *state);

/* Apply, commit and seal a batch that is in the log already. */
NODISCARD enum error producer_state_replay(struct producer_state *state,
                                           const struct producer_append *append,
                                           bool *ret_is_completed,
                                           struct completed_transaction *ret_completed);

/* First offset of the oldest transaction that readers of committed data must not pass; -1: none. */
int64_t producer_state_first_unstable(const struct producer_state *state);
/* First offset of the oldest open transaction; -1: none. */
int64_t producer_state_first_ongoing(const struct producer_state *state);
void producer_state_set_high_watermark(struct producer_state *state, int64_t high_watermark);
/* Forgets idle producers without an open transaction. Does nothing while appends are applied. */
void producer_state_expire(struct producer_state *state, int64_t now_ms, int64_t expiration_ms);

/* Reads the marker out of a control batch; body holds its first body_size bytes.
 * false: not a marker that ends a transaction. */
bool transaction_marker_parse(const uint8_t *body, size_t body_size,
                              struct transaction_marker *ret_marker);

/* --- <offset>.snapshot --- */

NODISCARD enum error producer_snapshot_write(const struct producer_state *state, struct vfs *vfs,
                                             const char *path);
/* Into an empty state. Errors: E_LOCAL_CORRUPT (the state is empty then), of the vfs. */
NODISCARD enum error producer_snapshot_read(struct producer_state *state, struct vfs *vfs,
                                            const char *path, int64_t now_ms);
/* A producer found in a snapshot. Errors: E_LOCAL_NO_MEMORY, E_LOCAL_CORRUPT (twice the same). */
NODISCARD enum error producer_state_restore(struct producer_state *state, int64_t producer_id,
                                            const struct producer_values *values);
