/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The settings of one log, as plain values: filled from the cluster image by broker/. */

#include <stdbool.h>
#include <stdint.h>

enum timestamp_policy {
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
};

enum compression_policy {
    COMPRESSION_UNCOMPRESSED = 0, /* 0-4: the codec's number in the batch attributes */
    COMPRESSION_GZIP = 1,
    COMPRESSION_SNAPPY = 2,
    COMPRESSION_LZ4 = 3,
    COMPRESSION_ZSTD = 4,
    COMPRESSION_PRODUCER = 5, /* keep what the producer chose */
};

struct log_config {
    int64_t segment_size_bytes_max; /* segment.bytes */
    int64_t segment_age_ms_max;     /* segment.ms */
    int64_t segment_jitter_ms;      /* segment.jitter.ms */
    int64_t index_size_bytes_max;   /* segment.index.bytes */
    int64_t index_interval_bytes;   /* index.interval.bytes */
    int64_t retention_ms;           /* -1: for ever */
    int64_t retention_bytes;        /* -1: any size */
    int64_t file_delete_delay_ms;
    int64_t flush_messages;          /* INT64_MAX: never because of a count */
    int64_t flush_ms;                /* INT64_MAX: never because of time */
    int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms */
    int64_t timestamp_after_max_ms;
    int64_t producer_id_expiration_ms;
    int32_t message_size_bytes_max; /* max.message.bytes */
    int32_t compression_level;      /* of the codec that `compression` names */
    enum timestamp_policy timestamp_policy;
    enum compression_policy compression;
    bool is_compacted; /* cleanup.policy has compact: keys are required */
    bool is_deleted;   /* cleanup.policy has delete: retention runs */
    bool is_held;      /* configs unknown: neither retention nor compaction (design §1.2) */
    bool preallocate;
    bool validate_compressed; /* produce.validate.compressed */
};
