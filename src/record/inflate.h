/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Streamed decompression of a batch's records: the caller sees a window of the inflated bytes,
 * which moves on as it consumes them. Only the window is in memory, so that a check of a batch
 * stays in the L2 cache and a bomb costs no more than its limit.
 *
 * Frames that are accepted:
 *   gzip    RFC 1952, one or more members.
 *   snappy  the block stream of the Java clients (82 "SNAPPY" 00, two int32, {int32 length, raw
 *           block}...) and a single raw block, as librdkafka sends it.
 *   lz4     the standard frame; in magic 0 also with the wrong header checksum of old clients
 *           (KAFKA-3160).
 *   zstd    one or more frames, window up to 8 MiB.
 *
 * Memory: a window of 64 KiB, which grows (by doubling, only with bytes that were really
 * inflated) when one record or one snappy block is larger, up to the limit; plus the library's
 * context. A claimed size never allocates by itself: a snappy block may claim at most what its
 * format can produce from its compressed bytes.
 */

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"
#include "record/codec.h"

enum {
    INFLATE_WINDOW_SIZE = 64 * 1024, /* fits L2 together with the compressed bytes */
    /* Never more than this many inflated bytes of one batch, whatever max.message.bytes says. */
    INFLATE_SIZE_MAX = 64 * 1024 * 1024,
    /* A batch may inflate to this many times max.message.bytes. */
    INFLATE_RATIO_MAX = 16,
};

/*
 * What is reused from batch to batch: the libraries' contexts and the window. One per loop or
 * worker, owned by it; all zero is a valid empty one. One stream at a time.
 */
struct inflate_scratch {
    void *gzip; /* z_stream */
    void *lz4;  /* LZ4F_dctx */
    void *zstd; /* ZSTD_DCtx */
    uint8_t *data;
    size_t capacity;
    bool is_busy; /* a stream is open */
};

void inflate_scratch_done(struct inflate_scratch *scratch);

/* The limit for one batch under max.message.bytes. */
static inline size_t inflate_size_max(size_t message_size_max)
{
    return message_size_max > INFLATE_SIZE_MAX / INFLATE_RATIO_MAX
               ? INFLATE_SIZE_MAX
               : message_size_max * INFLATE_RATIO_MAX;
}

struct inflate_stream {
    /* The window: inflated bytes that were not consumed yet. The caller moves next. */
    const uint8_t *next;
    const uint8_t *end;

    /* Private. */
    struct inflate_scratch *scratch;
    struct slice source; /* compressed bytes that are left */
    enum codec codec;
    bool is_block_stream; /* snappy: framed */
    bool is_finished;     /* nothing comes after the window */
    size_t size;          /* inflated so far */
    size_t size_max;
};

struct inflate_source {
    enum codec codec;
    int8_t magic;       /* of the batch: decides about quirks */
    struct slice bytes; /* compressed; borrowed until inflate_close() */
    size_t size_max;    /* inflated bytes; more is an error */
};

/*
 * Opens stream on scratch. codec may be CODEC_NONE: then the window is all of bytes, nothing is
 * copied and scratch may be NULL.
 *
 * Errors: E_LOCAL_NO_MEMORY, E_UNSUPPORTED_COMPRESSION_TYPE (no such codec), E_CORRUPT_MESSAGE.
 */
NODISCARD enum error inflate_open(struct inflate_stream *stream, struct inflate_scratch *scratch,
                                  const struct inflate_source *source);

static inline size_t inflate_available(const struct inflate_stream *stream)
{
    return (size_t)(stream->end - stream->next);
}

/* The rest of inflate_fill(), when the window is not enough and may not be all. */
NODISCARD enum error inflate_fill_window(struct inflate_stream *stream, size_t size);

/*
 * Makes at least size bytes visible in [next, end), fewer only at the end of the data. Moves the
 * window: pointers into it are void afterwards.
 *
 * Errors: E_CORRUPT_MESSAGE  the compressed bytes break the format, or end early.
 *         E_MESSAGE_TOO_LARGE  more than size_max inflated bytes.
 *         E_LOCAL_NO_MEMORY.
 */
NODISCARD static inline enum error inflate_fill(struct inflate_stream *stream, size_t size)
{
    if (stream->is_finished || inflate_available(stream) >= size) {
        return E_OK;
    }
    return inflate_fill_window(stream, size);
}

/* Ends the use of scratch, and gives a window that grew beyond 1 MiB back. */
void inflate_close(struct inflate_stream *stream);
