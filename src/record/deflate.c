/* SPDX-License-Identifier: Apache-2.0 */
#include "record/deflate.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "record/lz4_quirk_private.h"

enum {
    VECTOR_CAPACITY_MIN = 1024,
    SNAPPY_BLOCK_SIZE = 32 * 1024, /* as the Java clients cut; readers keep one block in memory */
    SNAPPY_VERSION = 1,
    LZ4_LEVEL_DEFAULT = 9, /* compression.lz4.level */
    ZSTD_LEVEL_DEFAULT = 3,
};

enum error byte_vector_reserve(struct byte_vector *vector, size_t size)
{
    if (size <= vector->capacity - vector->size) {
        return E_OK;
    }
    size_t needed;
    if (!size_add(vector->size, size, &needed) || needed > SIZE_MAX / 2) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t capacity =
        vector->capacity < VECTOR_CAPACITY_MIN ? VECTOR_CAPACITY_MIN : vector->capacity;
    while (capacity < needed) {
        capacity *= 2;
    }
    uint8_t *data = realloc(vector->data, capacity);
    if (data == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    vector->data = data;
    vector->capacity = capacity;
    return E_OK;
}

void byte_vector_done(struct byte_vector *vector)
{
    free(vector->data);
    *vector = (struct byte_vector){0};
}

void deflate_scratch_done(struct deflate_scratch *scratch)
{
    if (scratch->gzip != NULL) {
        (void)deflateEnd(scratch->gzip); /* complains when output was left; there is none */
        free(scratch->gzip);
    }
    (void)LZ4F_freeCompressionContext(scratch->lz4); /* NULL is fine */
    (void)ZSTD_freeCCtx(scratch->zstd);              /* NULL is fine */
    *scratch = (struct deflate_scratch){0};
}

static enum error gzip_start(struct deflate_scratch *scratch, int level)
{
    if (scratch->gzip != NULL && scratch->gzip_level == level) {
        return deflateReset(scratch->gzip) == Z_OK ? E_OK : E_LOCAL_NO_MEMORY;
    }
    if (scratch->gzip != NULL) {
        (void)deflateEnd(scratch->gzip); /* a fresh start follows */
    } else {
        scratch->gzip = calloc(1, sizeof(z_stream));
    }
    if (scratch->gzip == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    z_stream *gzip = scratch->gzip;
    *gzip = (z_stream){0};
    const int result = deflateInit2(gzip, level, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    if (result != Z_OK) {
        free(scratch->gzip);
        scratch->gzip = NULL;
        return result == Z_STREAM_ERROR ? E_INVALID_CONFIG : E_LOCAL_NO_MEMORY;
    }
    scratch->gzip_level = level;
    return E_OK;
}

static enum error append_gzip(struct deflate_scratch *scratch, int level, struct slice source,
                              struct byte_vector *out)
{
    enum error error =
        gzip_start(scratch, level == CODEC_LEVEL_DEFAULT ? Z_DEFAULT_COMPRESSION : level);
    if (error != E_OK) {
        return error;
    }
    z_stream *gzip = scratch->gzip;
    error = byte_vector_reserve(out, deflateBound(gzip, source.size));
    if (error != E_OK) {
        return error;
    }
    gzip->next_in = source.data;
    gzip->avail_in = (uInt)source.size;
    gzip->next_out = out->data + out->size;
    gzip->avail_out = (uInt)(out->capacity - out->size);
    const int result = deflate(gzip, Z_FINISH);
    check_cmp(result, ==, Z_STREAM_END); /* deflateBound() is enough for one call */
    out->size = (size_t)(gzip->next_out - out->data);
    return E_OK;
}

static void put_be32(struct byte_vector *out, uint32_t value)
{
    be32_store(out->data + out->size, value);
    out->size += sizeof(value);
}

static enum error append_snappy(struct slice source, struct byte_vector *out)
{
    static const uint8_t magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
    const size_t block_count = source.size / SNAPPY_BLOCK_SIZE + 1;
    const size_t block_size_max = snappy_max_compressed_length(SNAPPY_BLOCK_SIZE) + 4;
    const enum error error = byte_vector_reserve(out, 16 + block_count * block_size_max);
    if (error != E_OK) {
        return error;
    }
    memcpy(out->data + out->size, magic, sizeof(magic));
    out->size += sizeof(magic);
    put_be32(out, SNAPPY_VERSION);
    put_be32(out, SNAPPY_VERSION); /* oldest reader */
    while (source.size > 0) {
        const size_t size = source.size < SNAPPY_BLOCK_SIZE ? source.size : SNAPPY_BLOCK_SIZE;
        char *block = (char *)out->data + out->size + sizeof(uint32_t);
        size_t compressed_size = block_size_max;
        const snappy_status status =
            snappy_compress((const char *)source.data, size, block, &compressed_size);
        check_cmp(status, ==, SNAPPY_OK);
        put_be32(out, (uint32_t)compressed_size);
        out->size += compressed_size;
        source.data += size;
        source.size -= size;
    }
    return E_OK;
}

static enum error append_lz4(struct deflate_scratch *scratch, const struct deflate_options *options,
                             struct slice source, struct byte_vector *out)
{
    /* As the Java clients: 64 KiB independent blocks, no checksums but the header's. */
    const LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel =
            options->level == CODEC_LEVEL_DEFAULT ? LZ4_LEVEL_DEFAULT : options->level,
    };
    LZ4F_cctx *lz4 = scratch->lz4;
    if (lz4 == NULL && LZ4F_isError(LZ4F_createCompressionContext(&lz4, LZ4F_VERSION))) {
        return E_LOCAL_NO_MEMORY;
    }
    scratch->lz4 = lz4;
    const size_t start = out->size;
    const enum error error = byte_vector_reserve(
        out, LZ4F_HEADER_SIZE_MAX + LZ4F_compressBound(source.size, &preferences));
    if (error != E_OK) {
        return error;
    }
    size_t at = start;
    size_t step = LZ4F_compressBegin(lz4, out->data + at, out->capacity - at, &preferences);
    if (!LZ4F_isError(step)) {
        at += step;
        step = LZ4F_compressUpdate(lz4, out->data + at, out->capacity - at, source.data,
                                   source.size, NULL);
    }
    if (!LZ4F_isError(step)) {
        at += step;
        step = LZ4F_compressEnd(lz4, out->data + at, out->capacity - at, NULL);
    }
    if (LZ4F_isError(step)) {
        return E_LOCAL_NO_MEMORY; /* its only other errors are misuse */
    }
    out->size = at + step;
    if (options->magic == 0) {
        lz4_frame_header_break(out->data + start, out->size - start);
    }
    return E_OK;
}

static enum error append_zstd(struct deflate_scratch *scratch, int level, struct slice source,
                              struct byte_vector *out)
{
    if (scratch->zstd == NULL) {
        scratch->zstd = ZSTD_createCCtx();
    }
    if (scratch->zstd == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const enum error error = byte_vector_reserve(out, ZSTD_compressBound(source.size));
    if (error != E_OK) {
        return error;
    }
    const size_t size = ZSTD_compressCCtx(
        scratch->zstd, out->data + out->size, out->capacity - out->size, source.data, source.size,
        level == CODEC_LEVEL_DEFAULT ? ZSTD_LEVEL_DEFAULT : level);
    if (ZSTD_isError(size)) {
        return E_LOCAL_NO_MEMORY; /* levels are clamped and the room is enough */
    }
    out->size += size;
    return E_OK;
}

static enum error append_copy(struct slice source, struct byte_vector *out)
{
    const enum error error = byte_vector_reserve(out, source.size);
    if (error == E_OK && source.size > 0) {
        memcpy(out->data + out->size, source.data, source.size);
        out->size += source.size;
    }
    return error;
}

enum error deflate_append(struct deflate_scratch *scratch, const struct deflate_options *options,
                          struct slice source, struct byte_vector *out)
{
    check_cmp(source.size, <=, INT32_MAX);
    switch (options->codec) {
    case CODEC_NONE:
        return append_copy(source, out);
    case CODEC_GZIP:
        return append_gzip(scratch, options->level, source, out);
    case CODEC_SNAPPY:
        return append_snappy(source, out);
    case CODEC_LZ4:
        return append_lz4(scratch, options, source, out);
    case CODEC_ZSTD:
        return append_zstd(scratch, options->level, source, out);
    }
    return E_UNSUPPORTED_COMPRESSION_TYPE;
}
