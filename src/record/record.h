/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One record inside a batch of magic 2:
 *
 *   varint   length       of what follows
 *   int8     attributes   unused, 0
 *   varlong  timestamp delta
 *   varint   offset delta
 *   varint   key length (-1 null), key
 *   varint   value length (-1 null), value
 *   varint   header count, then per header: varint key length, key,
 *                                           varint value length (-1 null), value
 *
 * Source: KIP-98, KIP-82 (headers).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct record {
    int64_t offset;
    int64_t timestamp;    /* ms; -1 none */
    struct slice key;     /* null slice: null */
    struct slice value;   /* null slice: null (a tombstone in a compacted topic) */
    struct slice headers; /* the encoded headers without their count: record_header_next() */
    int32_t header_count;
};

struct record_header {
    struct slice key;
    struct slice value; /* null slice: null */
};

/* What a record's deltas are relative to. */
struct record_base {
    int64_t offset;
    int64_t timestamp;
};

/*
 * Decodes the record whose bytes after the length are body, headers included: all of body must
 * be used. The slices of the result point into body.
 *
 * Errors: E_INVALID_RECORD.
 */
NODISCARD enum error record_decode(struct slice body, const struct record_base *base,
                                   struct record *ret_record);

/* Takes the next header off *headers, a copy of record->headers. false at the end. */
bool record_header_next(struct slice *headers, struct record_header *ret_header);
