/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a leader checks about a batch from a producer before it may be stored: an acknowledged
 * record must be readable by every consumer. Nothing is changed; what is to be changed is in the
 * report. A refused batch is refused as a whole.
 *
 * Not here: producer sequence and epoch (storage/producer_state), segment size (storage/log).
 * Source: KIP-98, KIP-467 (record errors), KIP-937 (timestamps); Kafka 3.9's answers.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "record/batch.h"
#include "record/inflate.h"

/* The part of a topic's configuration and of the request that decides. */
struct record_rules {
    int64_t now_ms;                  /* wall clock */
    int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms; INT64_MAX: no limit */
    int64_t timestamp_after_max_ms;  /* message.timestamp.after.max.ms; INT64_MAX: no limit */
    int32_t size_max;                /* max.message.bytes: of the whole batch */
    bool require_keys;               /* cleanup.policy has compact */
    bool log_append_time;            /* message.timestamp.type: record timestamps do not matter */
    bool inflate;       /* produce.validate.compressed: look into compressed batches (done
                           anyhow where keys are required) */
    bool allow_control; /* false for clients; true for our own coordinators */
    bool allow_zstd;    /* Produce v7 and later */
};

/* Why a record was refused: the response names it by its index in the batch. */
enum record_error_kind {
    RECORD_ERROR_NULL_KEY,  /* E_INVALID_RECORD "Compacted topic cannot accept message without key"
                             */
    RECORD_ERROR_TIMESTAMP, /* E_INVALID_TIMESTAMP "Timestamp ... is out of range" */
};

struct record_error {
    int32_t batch_index; /* 0 is the first record */
    enum record_error_kind kind;
    int64_t timestamp_ms;
};

/* Kafka shows the first three in its message; the others are only counted. */
enum { RECORD_ERROR_COUNT_MAX = 3 };

struct record_report {
    struct batch_header header;
    /* The largest record timestamp and the offset delta of the first record that has it. When the
     * records were not looked at (compressed, inflate off): the header's, and last_offset_delta.
     * The header may claim another: see batch_set_max_timestamp(). */
    int64_t max_timestamp;
    int32_t max_timestamp_delta;
    /* Refused records, when the error is E_INVALID_RECORD or E_INVALID_TIMESTAMP because of
     * single records; count 0 when the batch as a whole is refused. The first decides the error. */
    int32_t error_count;
    struct record_error errors[RECORD_ERROR_COUNT_MAX];
    /* One sentence about the batch for the response's ErrorMessage, static; NULL when error_count
     * is not 0 or there is no error. */
    const char *text;
};

/*
 * Validates the records field of one partition of a Produce request v3 or later: exactly one
 * batch of magic 2.
 *
 * records  Borrowed, not changed.
 * scratch  For compressed batches.
 * ret_report  Filled on success; on failure error_count, errors and text are valid, the rest is
 * not.
 *
 * Errors: E_INVALID_RECORD      no, several or half a batch, another magic, base offset not 0, a
 * control batch, count and offsets that contradict, records that break their format or do not
 * inflate within the limit, a null key on a compacted topic. E_CORRUPT_MESSAGE     the CRC does not
 * match, no batch at all, magic above 2. E_MESSAGE_TOO_LARGE   above size_max. E_INVALID_TIMESTAMP
 * out of range, or the LogAppendTime attribute set by the producer. E_UNSUPPORTED_COMPRESSION_TYPE
 * zstd where it is not allowed, or no such codec. E_LOCAL_NO_MEMORY     scratch could not grow.
 * Thread: any; scratch is the caller's.
 */
NODISCARD enum error record_validate(struct slice records, const struct record_rules *rules,
                                     struct inflate_scratch *scratch,
                                     struct record_report *ret_report);
