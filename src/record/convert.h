/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rewriting what a producer sent before it is stored: messages of magic 0 and 1 become one batch
 * of magic 2, and a batch gets the codec of its topic. The only two ways in which the broker
 * re-encodes records. Never on a follower.
 * Source: KIP-98; Kafka 3.9's answers to Produce below v3. "compression.type".
 */

#include "base/error.h"
#include "base/slice.h"
#include "record/build.h"
#include "record/inflate.h"

struct convert_options {
    int32_t size_max; /* max.message.bytes: of each message that comes; bounds inflating too */
    bool keep_codec;  /* compression.type=producer: the codec that the messages came in */
    enum codec codec; /* otherwise this one */
    int level;        /* CODEC_LEVEL_DEFAULT, or compression.*.level of codec */
};

/*
 * Converts a message set of magic 0 or 1 to one batch of magic 2 with offsets from 0. Timestamps
 * are taken over; those of magic 0 are -1. The batch has not been validated: record_validate()
 * follows, for keys, timestamps and its size.
 *
 * ret_batch  Borrowed from builder until its next start.
 * Errors: E_INVALID_RECORD   no message, another magic, or more than inflate_size_max() in all.
 *         E_CORRUPT_MESSAGE  a CRC does not match, or a message breaks its format.
 *         E_MESSAGE_TOO_LARGE  a message above size_max.
 *         E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error message_set_convert(struct batch_builder *builder,
                                         struct inflate_scratch *scratch, struct slice records,
                                         const struct convert_options *options,
                                         struct slice *ret_batch);

/*
 * The same batch with options->codec: same offsets, timestamps, producer, sequence and count. The
 * batch has been validated.
 *
 * ret_batch  Borrowed from builder until its next start.
 * Errors: E_INVALID_RECORD (does not inflate within the limit), E_CORRUPT_MESSAGE (no batch),
 *         E_MESSAGE_TOO_LARGE (beyond 2 GiB), E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error batch_recompress(struct batch_builder *builder,
                                      struct inflate_scratch *scratch, struct slice batch,
                                      const struct convert_options *options,
                                      struct slice *ret_batch);
