/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Control records: what brokers write between the records of clients. Key: int16 version, int16
 * type. An end-transaction marker is a batch of its own, one record, attributes transactional and
 * control, base sequence -1; its value: int16 version, int32 coordinator epoch.
 * Source: KIP-98.
 */

#include "base/error.h"
#include "base/slice.h"
#include "record/batch.h"

enum control_type {
    CONTROL_ABORT = 0,
    CONTROL_COMMIT = 1,
    CONTROL_LEADER_CHANGE = 2,
    CONTROL_SNAPSHOT_HEADER = 3,
    CONTROL_SNAPSHOT_FOOTER = 4,
    CONTROL_KRAFT_VERSION = 5,
    CONTROL_KRAFT_VOTERS = 6,
    CONTROL_UNKNOWN = -1, /* of a later release: skipped by readers */
};

/* The type in a control record's key; later versions of the key only add to it.
 * Errors: E_CORRUPT_MESSAGE. */
NODISCARD enum error control_type_parse(struct slice key, enum control_type *ret_type);

/* The coordinator epoch in the value of an abort or commit. Errors: E_CORRUPT_MESSAGE. */
NODISCARD enum error end_transaction_value_parse(struct slice value,
                                                 int32_t *ret_coordinator_epoch);

struct end_transaction_marker {
    int64_t producer_id;
    int64_t timestamp_ms;
    int32_t coordinator_epoch;
    int16_t producer_epoch;
    bool is_commit;
};

enum { END_TRANSACTION_BATCH_SIZE = RECORD_BATCH_HEADER_SIZE + 17 };

/* Writes the whole batch: base offset 0 and leader epoch -1, for the log to set. */
void end_transaction_batch_write(const struct end_transaction_marker *marker,
                                 uint8_t batch[END_TRANSACTION_BATCH_SIZE]);
