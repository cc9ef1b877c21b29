/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Walks the batches of a segment file, by header only or with their checksums, through a buffer of
 * the caller: lookups, replay, recovery. Batches of magic 2 and messages of magic 0 and 1.
 *
 * Thread: any; a scan belongs to one thread.
 */

#include <stdbool.h>

#include "base/error.h"
#include "io/vfs.h"
#include "record/batch.h"

enum {
    SCAN_LOOKUP_BUFFER_SIZE = 4 * 1024,     /* one index interval; fits the stack */
    SCAN_HEADERS_BUFFER_SIZE = 64 * 1024,   /* replay of headers */
    SCAN_CHECKSUM_BUFFER_SIZE = 512 * 1024, /* recovery: few system calls, stays in L2 */
    SCAN_BODY_SIZE_MIN = 256,               /* bytes of a batch that are always there */
};

enum scan_depth {
    SCAN_HEADERS,
    SCAN_CHECKSUMS,
};

struct scanned_batch {
    int64_t position;    /* of its first byte in the file */
    int64_t size;        /* bytes */
    int64_t base_offset; /* of a compressed wrapper of magic 0 or 1: its last offset */
    int64_t last_offset;
    int64_t max_timestamp;      /* -1: none (magic 0) */
    struct batch_header header; /* all zero except for magic 2 */
    const uint8_t *body; /* min(size, SCAN_BODY_SIZE_MIN) bytes or more; void at the next call; NULL
                            when the batch was larger than the buffer */
    int8_t magic;
};

struct batch_scan {
    struct file *file;
    int64_t position; /* of the next batch */
    int64_t end;      /* nothing is read behind it */
    uint8_t *buffer;
    size_t capacity;
    int64_t buffer_position; /* in the file */
    size_t buffer_size;
    enum scan_depth depth;
};

/* buffer: at least SCAN_LOOKUP_BUFFER_SIZE bytes; page-aligned when it is large. */
void batch_scan_init(struct batch_scan *scan, struct file *file, int64_t position, int64_t end,
                     enum scan_depth depth);
void batch_scan_use_buffer(struct batch_scan *scan, uint8_t *buffer, size_t capacity);

/*
 * Errors: E_LOCAL_NOT_FOUND  the end, exactly behind a batch.
 *         E_LOCAL_TRUNCATED  fewer bytes than a header, or than the batch says, are left.
 *         E_LOCAL_CORRUPT    no batch at scan->position, or its checksum is wrong.
 *         others             of vfs.read.
 */
NODISCARD enum error batch_scan_next(struct batch_scan *scan, struct scanned_batch *ret_batch);

/* Memory for the buffers above, page-aligned; NULL without memory. free() gives it back. */
NODISCARD uint8_t *scan_buffer_new(size_t size);

/* True when the bytes at [position, end) hold a whole batch with a right checksum anywhere, whose
 * offsets begin at or above offset_min. Errors: of vfs.read. */
NODISCARD enum error batch_scan_find_valid(struct file *file, int64_t position, int64_t end,
                                           int64_t offset_min, bool *ret_found);
