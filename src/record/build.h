/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Builds batches of magic 2 record by record: for coordinators, for the cleaner, for recompression
 * and up-conversion, for our clients and tests.
 *
 *   struct batch_builder builder = {0};
 *   batch_builder_start(&builder, &header, CODEC_LEVEL_DEFAULT);
 *   error = batch_builder_append(&builder, &record);   ... once per record
 *   error = batch_builder_finish(&builder, &batch);    ... the bytes, until the next start
 *   batch_builder_done(&builder);
 *
 * Invariant: records rise in offset, and none is below header.base_offset.
 * Thread: the owner's. Reused from batch to batch; keeps its memory until done.
 */

#include "base/error.h"
#include "base/slice.h"
#include "record/batch.h"
#include "record/deflate.h"
#include "record/record.h"

struct batch_builder {
    struct batch_header header;
    struct byte_vector records; /* header's room, then uncompressed records */
    struct byte_vector block;   /* header's room, then the compressed block */
    struct deflate_scratch deflate;
    int level;
    bool is_base_timestamp_set;
};

/* A header with none of everything: epoch, producer and sequence -1, no codec, offset 0. */
#define BATCH_HEADER_NONE                                                                          \
    ((struct batch_header){.base_timestamp = NO_TIMESTAMP,                                         \
                           .max_timestamp = NO_TIMESTAMP,                                          \
                           .producer_id = NO_PRODUCER_ID,                                          \
                           .partition_leader_epoch = NO_LEADER_EPOCH,                              \
                           .base_sequence = NO_SEQUENCE,                                           \
                           .producer_epoch = NO_PRODUCER_EPOCH})

/*
 * Begins a batch. Of header are taken: base offset, leader epoch, attributes (with the codec),
 * producer id, epoch and sequence, and
 *   last_offset_delta  as the least: compaction keeps the original's though records are gone;
 *   base_timestamp     with the delete horizon attribute: the horizon; otherwise the first
 *                      record's timestamp is taken;
 *   max_timestamp      with the LogAppendTime attribute, or when no record is appended;
 *                      otherwise the largest of the records is taken.
 * size, crc and count are computed.
 */
void batch_builder_start(struct batch_builder *builder, const struct batch_header *header,
                         int level);

/*
 * Appends a record: offset is absolute, headers are the encoded ones with header_count.
 *
 * Errors: E_LOCAL_NO_MEMORY; E_MESSAGE_TOO_LARGE the batch would pass 2 GiB. Nothing appended.
 */
NODISCARD enum error batch_builder_append(struct batch_builder *builder,
                                          const struct record *record);

/*
 * For records that are encoded already, relative to header's base offset and timestamp: everything
 * of header is taken over but size and crc. Their bytes follow in pieces.
 */
void batch_builder_start_encoded(struct batch_builder *builder, const struct batch_header *header,
                                 int level);
/* Errors: as batch_builder_append(). */
NODISCARD enum error batch_builder_append_encoded(struct batch_builder *builder,
                                                  struct slice bytes);

/* Another codec for the batch of the next finish. */
void batch_builder_set_codec(struct batch_builder *builder, enum codec codec);

/* Bytes of the batch if it were finished now without compression. */
size_t batch_builder_size(const struct batch_builder *builder);
int32_t batch_builder_count(const struct batch_builder *builder);

/*
 * Compresses, writes the header and its CRC.
 *
 * ret_batch  Borrowed from the builder until the next start or done.
 * Errors: E_LOCAL_NO_MEMORY, E_MESSAGE_TOO_LARGE.
 */
NODISCARD enum error batch_builder_finish(struct batch_builder *builder, struct slice *ret_batch);

void batch_builder_done(struct batch_builder *builder);

/* Bytes of one encoded header. */
size_t record_header_size(const struct record_header *header);
/* Writes it at p, which has that room; returns the position behind it. */
uint8_t *record_header_write(uint8_t *p, const struct record_header *header);
