/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading batches out of a range of bytes, and records out of a batch, of every magic: for
 * recovery, time lookup, coordinator loading, compaction and conversion.
 *
 *   while ((error = batch_next(&bytes, &batch)) == E_OK) {
 *       error = record_iterator_open(&it, &scratch, &(struct record_source){.batch = batch, ...});
 *       while (record_iterator_next(&it, &record)) { ... }
 *       error = record_iterator_close(&it);
 *   }
 *
 * Thread: any; an iterator and its scratch belong to one.
 */

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"
#include "record/batch.h"
#include "record/inflate.h"
#include "record/message_set.h"
#include "record/record.h"

/*
 * Takes the next batch, or message of magic 0 or 1, off *bytes by its length. Its CRC and fields
 * are not looked at.
 *
 * Errors: E_LOCAL_NOT_FOUND  the end: no bytes are left.
 *         E_LOCAL_TRUNCATED  a part of a batch is left, as at the end of a fetched range.
 *         E_CORRUPT_MESSAGE  no batch begins here.
 */
NODISCARD enum error batch_next(struct slice *bytes, struct slice *ret_batch);

/* Base and last offset of a whole batch or message of any magic. The base offset of a compressed
 * message of magic 0 or 1 is not known without inflating: its last offset stands for it. */
struct offset_range {
    int64_t base_offset;
    int64_t last_offset;
};
/* Errors: E_CORRUPT_MESSAGE. */
NODISCARD enum error batch_offsets(struct slice batch, struct offset_range *ret_range);

struct record_source {
    struct slice batch; /* one whole batch or message, from batch_next(); borrowed */
    size_t size_max;    /* inflated bytes; 0: INFLATE_SIZE_MAX */
    bool check_crc;     /* of the batch or message, and of inner messages */
    /* A producer's messages of magic 0 or 1, whose offsets mean nothing yet: records are counted
     * from 0 instead. */
    bool ignore_offsets;
};

/* All private. */
struct record_iterator {
    struct inflate_stream stream;
    struct record_base base;
    struct old_message wrapper; /* magic 0 and 1 */
    enum error error;
    int64_t last_offset;
    int64_t next_offset_min; /* offsets rise */
    int64_t log_append_timestamp;
    int32_t left; /* records that have to come; magic 2 */
    int8_t magic;
    bool is_log_append_time;
    bool is_single; /* an uncompressed message: the wrapper is the record */
    bool check_crc;
    bool ignore_offsets;
};

/*
 * Begins with the first record. scratch is in use until close; NULL is fine for uncompressed ones.
 *
 * Errors: E_CORRUPT_MESSAGE (also the CRC, when asked for), E_UNSUPPORTED_COMPRESSION_TYPE,
 *         E_LOCAL_NO_MEMORY, E_LOCAL_TRUNCATED. Nothing is to be closed then.
 */
NODISCARD enum error record_iterator_open(struct record_iterator *it,
                                          struct inflate_scratch *scratch,
                                          const struct record_source *source);

/* false: the end, or an error which close tells. The slices of the record are valid until the
 * next call. */
bool record_iterator_next(struct record_iterator *it, struct record *ret_record);

/*
 * E_OK when every record seen was good (leaving early is fine).
 *
 * Errors: E_CORRUPT_MESSAGE  a record breaks its format or does not inflate, offsets fall or pass
 *                            the last one, fewer or more records than the batch says.
 *         E_MESSAGE_TOO_LARGE  beyond size_max. E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error record_iterator_close(struct record_iterator *it);

/* A record's place in time. */
struct record_time {
    int64_t timestamp; /* ms; -1 none */
    int64_t offset;    /* -1 none */
};

/*
 * The first record of the batch with offset >= query->offset and timestamp >= query->timestamp;
 * {-1, -1} when there is none. Errors: as open and close.
 */
NODISCARD enum error batch_find_timestamp(struct inflate_scratch *scratch,
                                          const struct record_source *source,
                                          const struct record_time *query,
                                          struct record_time *ret_found);

/* The largest timestamp of the batch's records and the first record that has it. */
NODISCARD enum error batch_find_max_timestamp(struct inflate_scratch *scratch,
                                              const struct record_source *source,
                                              struct record_time *ret_found);
