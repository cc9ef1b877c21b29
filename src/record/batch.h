/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The header of a record batch, in place: on the wire, in memory and on disk it is the same bytes.
 *
 *   at  size
 *    0   8   base offset             set by the leader, not in the CRC
 *    8   4   length                  bytes after this field: the batch's size - 12
 *   12   4   partition leader epoch  set by the leader, not in the CRC
 *   16   1   magic                   2
 *   17   4   CRC-32C                 of everything from byte 21 on
 *   21   2   attributes              bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control,
 *                                    6 delete horizon set
 *   23   4   last offset delta       kept by compaction, so it may pass the last record's
 *   27   8   base timestamp          ms; the delete horizon when bit 6 is set
 *   35   8   max timestamp           ms
 *   43   8   producer id             -1 none
 *   51   2   producer epoch          -1 none
 *   53   4   base sequence           -1 none
 *   57   4   record count
 *   61       records; one compressed block when a codec is set
 *
 * The first 17 bytes have the same places in magic 0 and 1 (there the offset is the message's, or
 * the last one's of a compressed wrapper, and byte 12 holds a CRC-32 IEEE).
 *
 * The accessors trust the bytes: call them on bytes that batch_header_decode() has accepted, or
 * after checking that the field is there. Thread: any; the setters are for the owner of the bytes.
 * Source: KIP-98, KIP-534 (delete horizon).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/slice.h"
#include "record/codec.h"

enum {
    BATCH_BASE_OFFSET = 0,
    BATCH_LENGTH = 8,
    BATCH_PARTITION_LEADER_EPOCH = 12,
    BATCH_MAGIC = 16,
    BATCH_CRC = 17,
    BATCH_ATTRIBUTES = 21, /* the CRC covers everything from here on */
    BATCH_LAST_OFFSET_DELTA = 23,
    BATCH_BASE_TIMESTAMP = 27,
    BATCH_MAX_TIMESTAMP = 35,
    BATCH_PRODUCER_ID = 43,
    BATCH_PRODUCER_EPOCH = 51,
    BATCH_BASE_SEQUENCE = 53,
    BATCH_COUNT = 57,
    RECORD_BATCH_HEADER_SIZE = 61,

    BATCH_PREFIX_SIZE = 12,          /* offset and length, which length does not count */
    BATCH_PREFIX_AND_MAGIC_SIZE = 17 /* enough bytes to know the size and the magic */
};

enum {
    BATCH_ATTRIBUTE_CODEC = 0x07,
    BATCH_ATTRIBUTE_LOG_APPEND_TIME = 0x08,
    BATCH_ATTRIBUTE_TRANSACTIONAL = 0x10,
    BATCH_ATTRIBUTE_CONTROL = 0x20,
    BATCH_ATTRIBUTE_DELETE_HORIZON = 0x40,
};

/* Values that say "none". */
#define NO_TIMESTAMP      INT64_C(-1)
#define NO_PRODUCER_ID    INT64_C(-1)
#define NO_PRODUCER_EPOCH (-1)
#define NO_SEQUENCE       (-1)
#define NO_LEADER_EPOCH   (-1)

static inline int64_t batch_base_offset(const uint8_t *batch)
{
    return (int64_t)be64_load(batch + BATCH_BASE_OFFSET);
}

/* Bytes of the whole batch, header included. Any magic. Negative lengths give sizes under 12. */
static inline int64_t batch_size(const uint8_t *batch)
{
    return (int64_t)BATCH_PREFIX_SIZE + (int32_t)be32_load(batch + BATCH_LENGTH);
}

static inline int32_t batch_partition_leader_epoch(const uint8_t *batch)
{
    return (int32_t)be32_load(batch + BATCH_PARTITION_LEADER_EPOCH);
}

static inline int8_t batch_magic(const uint8_t *batch)
{
    return (int8_t)batch[BATCH_MAGIC];
}

static inline uint32_t batch_crc(const uint8_t *batch)
{
    return be32_load(batch + BATCH_CRC);
}

static inline uint16_t batch_attributes(const uint8_t *batch)
{
    return be16_load(batch + BATCH_ATTRIBUTES);
}

/* Of attributes. 5 to 7 are no codecs: batch_header_decode() refuses them. */
static inline enum codec attributes_codec(uint16_t attributes)
{
    return (enum codec)(attributes & BATCH_ATTRIBUTE_CODEC);
}

static inline enum codec batch_codec(const uint8_t *batch)
{
    return attributes_codec(batch_attributes(batch));
}

static inline bool batch_is_log_append_time(const uint8_t *batch)
{
    return (batch_attributes(batch) & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
}

static inline bool batch_is_transactional(const uint8_t *batch)
{
    return (batch_attributes(batch) & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
}

static inline bool batch_is_control(const uint8_t *batch)
{
    return (batch_attributes(batch) & BATCH_ATTRIBUTE_CONTROL) != 0;
}

static inline bool batch_has_delete_horizon(const uint8_t *batch)
{
    return (batch_attributes(batch) & BATCH_ATTRIBUTE_DELETE_HORIZON) != 0;
}

static inline int32_t batch_last_offset_delta(const uint8_t *batch)
{
    return (int32_t)be32_load(batch + BATCH_LAST_OFFSET_DELTA);
}

static inline int64_t batch_last_offset(const uint8_t *batch)
{
    return (int64_t)(be64_load(batch + BATCH_BASE_OFFSET) +
                     (uint64_t)(int64_t)batch_last_offset_delta(batch));
}

/* The delete horizon when batch_has_delete_horizon(); record timestamps are relative to it. */
static inline int64_t batch_base_timestamp(const uint8_t *batch)
{
    return (int64_t)be64_load(batch + BATCH_BASE_TIMESTAMP);
}

static inline int64_t batch_max_timestamp(const uint8_t *batch)
{
    return (int64_t)be64_load(batch + BATCH_MAX_TIMESTAMP);
}

static inline int64_t batch_producer_id(const uint8_t *batch)
{
    return (int64_t)be64_load(batch + BATCH_PRODUCER_ID);
}

static inline int16_t batch_producer_epoch(const uint8_t *batch)
{
    return (int16_t)be16_load(batch + BATCH_PRODUCER_EPOCH);
}

static inline int32_t batch_base_sequence(const uint8_t *batch)
{
    return (int32_t)be32_load(batch + BATCH_BASE_SEQUENCE);
}

static inline int32_t batch_count(const uint8_t *batch)
{
    return (int32_t)be32_load(batch + BATCH_COUNT);
}

/* Sequence after steps more records: wraps from 2^31-1 to 0 (KIP-98). steps >= 0. */
static inline int32_t sequence_add(int32_t sequence, int32_t steps)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)steps) & 0x7FFFFFFFU);
}

/* Outside the CRC. */
static inline void batch_set_base_offset(uint8_t *batch, int64_t base_offset)
{
    be64_store(batch + BATCH_BASE_OFFSET, (uint64_t)base_offset);
}

/* Sets the base offset such that the last one is this. */
static inline void batch_set_last_offset(uint8_t *batch, int64_t last_offset)
{
    batch_set_base_offset(batch, last_offset - batch_last_offset_delta(batch));
}

static inline void batch_set_partition_leader_epoch(uint8_t *batch, int32_t leader_epoch)
{
    be32_store(batch + BATCH_PARTITION_LEADER_EPOCH, (uint32_t)leader_epoch);
}

/* Everything of a header of magic 2, decoded once. */
struct batch_header {
    int64_t base_offset;
    int64_t base_timestamp; /* ms; the delete horizon when that attribute is set */
    int64_t max_timestamp;  /* ms */
    int64_t producer_id;    /* -1 none */
    size_t size;            /* bytes of the whole batch */
    uint32_t crc;
    int32_t partition_leader_epoch;
    int32_t last_offset_delta; /* >= 0 */
    int32_t base_sequence;     /* -1 none */
    int32_t count;             /* records; 0 .. last_offset_delta + 1 */
    int16_t producer_epoch;    /* -1 none */
    uint16_t attributes;
};

static inline int64_t batch_header_last_offset(const struct batch_header *header)
{
    return header->base_offset + header->last_offset_delta;
}

static inline enum codec batch_header_codec(const struct batch_header *header)
{
    return attributes_codec(header->attributes);
}

/* Sequence of the last record; -1 when the batch has none. Gaps of compaction count. */
static inline int32_t batch_header_last_sequence(const struct batch_header *header)
{
    return header->base_sequence < 0
               ? NO_SEQUENCE
               : sequence_add(header->base_sequence, header->last_offset_delta);
}

/*
 * Decodes the header of the batch at the start of bytes, which may go on behind the batch.
 * Neither the CRC nor the records are looked at.
 *
 * Errors: E_LOCAL_TRUNCATED  fewer bytes than the batch says it needs.
 *         E_UNSUPPORTED_FOR_MESSAGE_FORMAT  magic 0 or 1: see record/iterate.h, record/convert.h.
 *         E_CORRUPT_MESSAGE  no batch: length below 49, unknown magic or codec, negative or
 *                            contradicting offset, delta or count.
 */
NODISCARD enum error batch_header_decode(struct slice bytes, struct batch_header *ret_header);

/*
 * The same from the header alone: bytes needs only 61 bytes, not the whole batch. For readers
 * that scan a file header by header.
 */
NODISCARD enum error batch_header_decode_prefix(struct slice bytes,
                                                struct batch_header *ret_header);

/* batch is whole. CRC-32C over bytes 21 .. size. */
uint32_t batch_crc_compute(const uint8_t *batch);
bool batch_crc_matches(const uint8_t *batch);

/* Writes a whole header: all fields, the length from header->size, and the CRC as header->crc
 * says. */
void batch_header_encode(const struct batch_header *header, uint8_t *batch);

/* Recomputes the CRC field. batch is whole. */
void batch_set_crc(uint8_t *batch);

/*
 * What the leader does to the timestamps of a batch when it appends: LogAppendTime sets that
 * attribute and now as max timestamp; CreateTime clears the attribute and sets the largest
 * timestamp of the records. Redoes the CRC, unless nothing changes. batch is whole.
 */
void batch_set_max_timestamp(uint8_t *batch, bool log_append_time, int64_t max_timestamp_ms);
