/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Compression of a batch's records as one block, in the framing that the Java clients write. */

#include "base/error.h"
#include "base/slice.h"
#include "record/codec.h"

/* A growing piece of memory, owned by whoever holds it; all zero is an empty one. */
struct byte_vector {
    uint8_t *data;
    size_t size;     /* bytes used */
    size_t capacity; /* bytes allocated */
};

/* Room for size more bytes behind those used. E_LOCAL_NO_MEMORY: nothing has changed. */
NODISCARD enum error byte_vector_reserve(struct byte_vector *vector, size_t size);
void byte_vector_done(struct byte_vector *vector);

/* The libraries' contexts, reused from batch to batch. One per loop or worker; zero is valid. */
struct deflate_scratch {
    void *gzip; /* z_stream */
    void *lz4;  /* LZ4F_cctx */
    void *zstd; /* ZSTD_CCtx */
    int gzip_level;
};

void deflate_scratch_done(struct deflate_scratch *scratch);

struct deflate_options {
    enum codec codec; /* CODEC_NONE: copied */
    int level;        /* CODEC_LEVEL_DEFAULT, or the codec's own scale */
    int8_t magic;     /* 0: lz4 gets the header checksum of old clients */
};

/*
 * Appends the compressed source to out.
 *
 * Errors: E_LOCAL_NO_MEMORY, E_UNSUPPORTED_COMPRESSION_TYPE. out is as before then.
 */
NODISCARD enum error deflate_append(struct deflate_scratch *scratch,
                                    const struct deflate_options *options, struct slice source,
                                    struct byte_vector *out);
