/* SPDX-License-Identifier: Apache-2.0 */
#include "record/inflate.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "record/lz4_quirk_private.h"

enum {
    WINDOW_KEPT_MAX = 1024 * 1024,
    ZSTD_WINDOW_LOG_MAX = 23, /* 8 MiB */
    /* A snappy copy makes at most 64 bytes from 3 (format description, element types). */
    SNAPPY_RATIO_MAX = 22,
    SNAPPY_STREAM_HEADER_SIZE = 16,
};

static const uint8_t snappy_stream_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

void inflate_scratch_done(struct inflate_scratch *scratch)
{
    check(!scratch->is_busy);
    if (scratch->gzip != NULL) {
        (void)inflateEnd(scratch->gzip); /* fails only for a damaged state, which it leaves */
        free(scratch->gzip);
    }
    (void)LZ4F_freeDecompressionContext(scratch->lz4); /* NULL is fine; its result is a hint */
    (void)ZSTD_freeDCtx(scratch->zstd);                /* never fails */
    free(scratch->data);
    *scratch = (struct inflate_scratch){0};
}

/* ---- The window ---- */

static size_t window_room(const struct inflate_stream *stream)
{
    return (size_t)(stream->scratch->data + stream->scratch->capacity - stream->end);
}

/* Moves what is left to the front. */
static void window_rewind(struct inflate_stream *stream)
{
    const size_t left = inflate_available(stream);
    if (left > 0 && stream->next != stream->scratch->data) {
        memmove(stream->scratch->data, stream->next, left);
    }
    stream->next = stream->scratch->data;
    stream->end = stream->scratch->data + left;
}

/* After window_rewind(): room for size more bytes. */
static enum error window_reserve(struct inflate_stream *stream, size_t size)
{
    struct inflate_scratch *scratch = stream->scratch;
    const size_t left = inflate_available(stream);
    if (size <= scratch->capacity - left) {
        return E_OK;
    }
    size_t capacity = scratch->capacity == 0 ? INFLATE_WINDOW_SIZE : scratch->capacity;
    while (capacity - left < size) {
        capacity *= 2; /* cannot overflow: left and size are at most INFLATE_SIZE_MAX + 1 */
    }
    uint8_t *data = realloc(scratch->data, capacity);
    if (data == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    scratch->data = data;
    scratch->capacity = capacity;
    stream->next = data;
    stream->end = data + left;
    return E_OK;
}

/* What one step of a codec may write: the room, and one byte past the limit to notice a bomb. */
static size_t step_size_max(const struct inflate_stream *stream)
{
    const size_t room = window_room(stream);
    const size_t allowed = stream->size_max - stream->size + 1;
    return room < allowed ? room : allowed;
}

static enum error step_done(struct inflate_stream *stream, size_t consumed, size_t produced)
{
    stream->source.data += consumed;
    stream->source.size -= consumed;
    stream->end += produced;
    stream->size += produced;
    if (stream->size > stream->size_max) {
        return E_MESSAGE_TOO_LARGE;
    }
    /* Neither in nor out: it waits for bytes that do not come. */
    if (consumed == 0 && produced == 0 && !stream->is_finished) {
        return E_CORRUPT_MESSAGE;
    }
    return E_OK;
}

/* ---- One step of each codec: some bytes from source to the window ---- */

static enum error step_gzip(struct inflate_stream *stream)
{
    z_stream *gzip = stream->scratch->gzip;
    const size_t room = step_size_max(stream);
    const size_t source_size = stream->source.size;
    gzip->next_in = stream->source.data;
    gzip->avail_in = (uInt)source_size;
    gzip->next_out = stream->scratch->data + (stream->end - stream->scratch->data);
    gzip->avail_out = (uInt)room;
    const int result = inflate(gzip, Z_NO_FLUSH);
    const size_t consumed = source_size - gzip->avail_in;
    if (result == Z_STREAM_END) {
        stream->is_finished = consumed == source_size;
        if (!stream->is_finished && inflateReset(gzip) != Z_OK) {
            return E_CORRUPT_MESSAGE;
        }
    } else if (result == Z_MEM_ERROR) {
        return E_LOCAL_NO_MEMORY;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return E_CORRUPT_MESSAGE;
    }
    return step_done(stream, consumed, room - gzip->avail_out);
}

static enum error step_lz4(struct inflate_stream *stream)
{
    size_t produced = step_size_max(stream);
    size_t consumed = stream->source.size;
    uint8_t *out = stream->scratch->data + (stream->end - stream->scratch->data);
    const size_t hint =
        LZ4F_decompress(stream->scratch->lz4, out, &produced, stream->source.data, &consumed, NULL);
    if (LZ4F_isError(hint)) {
        return E_CORRUPT_MESSAGE;
    }
    if (hint == 0) {
        /* Kafka's reader stops after one frame, so records behind it would be lost. */
        if (consumed != stream->source.size) {
            return E_CORRUPT_MESSAGE;
        }
        stream->is_finished = true;
    }
    return step_done(stream, consumed, produced);
}

static enum error step_zstd(struct inflate_stream *stream)
{
    uint8_t *data = stream->scratch->data + (stream->end - stream->scratch->data);
    ZSTD_outBuffer out = {.dst = data, .size = step_size_max(stream)};
    ZSTD_inBuffer in = {.src = stream->source.data, .size = stream->source.size};
    const size_t hint = ZSTD_decompressStream(stream->scratch->zstd, &out, &in);
    if (ZSTD_isError(hint)) {
        return E_CORRUPT_MESSAGE;
    }
    stream->is_finished = hint == 0 && in.pos == in.size;
    return step_done(stream, in.pos, out.pos);
}

static enum error snappy_block(struct inflate_stream *stream, struct slice block)
{
    size_t size;
    const char *source = (const char *)block.data;
    if (snappy_uncompressed_length(source, block.size, &size) != SNAPPY_OK ||
        size > block.size * SNAPPY_RATIO_MAX) {
        return E_CORRUPT_MESSAGE;
    }
    if (size > stream->size_max - stream->size) {
        return E_MESSAGE_TOO_LARGE;
    }
    const enum error error = window_reserve(stream, size);
    if (error != E_OK) {
        return error;
    }
    uint8_t *out = stream->scratch->data + (stream->end - stream->scratch->data);
    if (snappy_uncompress(source, block.size, (char *)out, &size) != SNAPPY_OK) {
        return E_CORRUPT_MESSAGE;
    }
    stream->end += size;
    stream->size += size;
    return E_OK;
}

static enum error step_snappy(struct inflate_stream *stream)
{
    struct slice block = stream->source;
    size_t consumed = block.size;
    if (stream->is_block_stream) {
        if (block.size < sizeof(uint32_t)) {
            return E_CORRUPT_MESSAGE;
        }
        const uint32_t size = be32_load(block.data);
        if (size > block.size - sizeof(uint32_t)) {
            return E_CORRUPT_MESSAGE;
        }
        consumed = sizeof(uint32_t) + size;
        block = slice_of(block.data + sizeof(uint32_t), size);
    }
    const enum error error = snappy_block(stream, block);
    stream->source.data += consumed;
    stream->source.size -= consumed;
    stream->is_finished = stream->source.size == 0;
    return error;
}

static enum error inflate_step(struct inflate_stream *stream)
{
    switch (stream->codec) {
    case CODEC_GZIP:
        return step_gzip(stream);
    case CODEC_SNAPPY:
        return step_snappy(stream);
    case CODEC_LZ4:
        return step_lz4(stream);
    case CODEC_ZSTD:
        return step_zstd(stream);
    case CODEC_NONE:
        break;
    }
    return E_UNSUPPORTED_COMPRESSION_TYPE;
}

/* ---- Opening ---- */

static enum error open_gzip(struct inflate_stream *stream)
{
    struct inflate_scratch *scratch = stream->scratch;
    if (scratch->gzip != NULL) {
        return inflateReset(scratch->gzip) == Z_OK ? E_OK : E_LOCAL_NO_MEMORY;
    }
    z_stream *gzip = calloc(1, sizeof(*gzip));
    if (gzip == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    if (inflateInit2(gzip, 16 + MAX_WBITS) != Z_OK) { /* 16: gzip framing and nothing else */
        free(gzip);
        return E_LOCAL_NO_MEMORY;
    }
    scratch->gzip = gzip;
    return E_OK;
}

static enum error open_lz4(struct inflate_stream *stream, int8_t magic)
{
    LZ4F_dctx *lz4 = stream->scratch->lz4;
    if (lz4 == NULL) {
        if (LZ4F_isError(LZ4F_createDecompressionContext(&lz4, LZ4F_VERSION))) {
            return E_LOCAL_NO_MEMORY;
        }
        stream->scratch->lz4 = lz4;
    }
    LZ4F_resetDecompressionContext(lz4);
    if (magic != 0) {
        return E_OK;
    }
    /* The frame header is fed with the checksum that it should have; the rest follows as is. */
    uint8_t header[LZ4_FRAME_HEADER_SIZE_MAX];
    const size_t header_size = lz4_frame_header_repair(stream->source, header);
    size_t consumed = header_size;
    size_t produced = 0;
    if (header_size == 0 ||
        LZ4F_isError(LZ4F_decompress(lz4, NULL, &produced, header, &consumed, NULL)) ||
        consumed != header_size) {
        return E_CORRUPT_MESSAGE;
    }
    stream->source.data += header_size;
    stream->source.size -= header_size;
    return E_OK;
}

static enum error open_zstd(struct inflate_stream *stream)
{
    ZSTD_DCtx *zstd = stream->scratch->zstd;
    if (zstd == NULL) {
        zstd = ZSTD_createDCtx();
        if (zstd == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        stream->scratch->zstd = zstd;
        const size_t result =
            ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        check(!ZSTD_isError(result));
    }
    const size_t result = ZSTD_DCtx_reset(zstd, ZSTD_reset_session_only);
    check(!ZSTD_isError(result));
    return E_OK;
}

static enum error open_snappy(struct inflate_stream *stream)
{
    struct slice *source = &stream->source;
    stream->is_block_stream =
        source->size >= SNAPPY_STREAM_HEADER_SIZE &&
        memcmp(source->data, snappy_stream_magic, sizeof(snappy_stream_magic)) == 0;
    if (stream->is_block_stream) {
        source->data += SNAPPY_STREAM_HEADER_SIZE;
        source->size -= SNAPPY_STREAM_HEADER_SIZE;
        stream->is_finished = source->size == 0;
    }
    return E_OK;
}

static enum error open_codec(struct inflate_stream *stream, int8_t magic)
{
    switch (stream->codec) {
    case CODEC_GZIP:
        return open_gzip(stream);
    case CODEC_SNAPPY:
        return open_snappy(stream);
    case CODEC_LZ4:
        return open_lz4(stream, magic);
    case CODEC_ZSTD:
        return open_zstd(stream);
    case CODEC_NONE:
        break;
    }
    return E_UNSUPPORTED_COMPRESSION_TYPE;
}

enum error inflate_open(struct inflate_stream *stream, struct inflate_scratch *scratch,
                        const struct inflate_source *source)
{
    if (source->codec == CODEC_NONE) {
        /* All that is looked at of a finished stream; most batches are such. */
        stream->next = source->bytes.data;
        stream->end = source->bytes.data + source->bytes.size;
        stream->is_finished = true;
        stream->scratch = NULL;
        return E_OK;
    }
    *stream = (struct inflate_stream){
        .codec = source->codec,
        .source = source->bytes,
        .size_max = source->size_max < INFLATE_SIZE_MAX ? source->size_max : INFLATE_SIZE_MAX,
    };
    check(!scratch->is_busy);
    stream->scratch = scratch;
    /* Compaction leaves empty batches, which keep their codec. */
    stream->is_finished = source->bytes.size == 0;
    enum error error = stream->is_finished ? E_OK : open_codec(stream, source->magic);
    if (error == E_OK) {
        error = window_reserve(stream, INFLATE_WINDOW_SIZE);
    }
    if (error != E_OK) {
        stream->scratch = NULL;
        return error;
    }
    stream->next = scratch->data;
    stream->end = scratch->data;
    scratch->is_busy = true;
    return E_OK;
}

enum error inflate_fill_window(struct inflate_stream *stream, size_t size)
{
    /* Everything that is inflated so far and the bytes asked for may not pass the limit. */
    if (size > stream->size_max + 1) {
        return E_MESSAGE_TOO_LARGE;
    }
    window_rewind(stream);
    while (inflate_available(stream) < size && !stream->is_finished) {
        enum error error = E_OK;
        if (window_room(stream) == 0) {
            error = window_reserve(stream, 1);
        }
        if (error == E_OK) {
            error = inflate_step(stream);
        }
        if (error != E_OK) {
            return error;
        }
    }
    return E_OK;
}

void inflate_close(struct inflate_stream *stream)
{
    struct inflate_scratch *scratch = stream->scratch;
    if (scratch == NULL) {
        return;
    }
    check(scratch->is_busy);
    scratch->is_busy = false;
    if (scratch->capacity > WINDOW_KEPT_MAX) {
        free(scratch->data);
        scratch->data = NULL;
        scratch->capacity = 0;
    }
    *stream = (struct inflate_stream){0};
}
