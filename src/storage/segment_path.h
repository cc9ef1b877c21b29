/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The names of the files in a partition's directory: the base offset in 20 decimal digits and a
 * suffix, as Apache Kafka writes them ("00000000000000000120.timeindex").
 */

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_PATH_SIZE_MAX = 1024, /* bytes with NUL: log directory + topic (249) + file name */
    SEGMENT_NAME_SIZE_MAX = 48,
};

enum segment_file_kind {
    SEGMENT_FILE_LOG,
    SEGMENT_FILE_OFFSET_INDEX,
    SEGMENT_FILE_TIME_INDEX,
    SEGMENT_FILE_TRANSACTION_INDEX,
    SEGMENT_FILE_SNAPSHOT,
    SEGMENT_FILE_KIND_COUNT,
};

/* What stands behind the kind's own suffix while files are made, swapped or removed. */
enum segment_file_state {
    SEGMENT_FILE_LIVE,
    SEGMENT_FILE_DELETED, /* .deleted */
    SEGMENT_FILE_CLEANED, /* .cleaned */
    SEGMENT_FILE_SWAP,    /* .swap */
    SEGMENT_FILE_STATE_COUNT,
};

struct segment_name {
    int64_t base_offset;
    enum segment_file_kind kind;
    enum segment_file_state state;
};

/* Writes "<directory>/<name>" into path (room for LOG_PATH_SIZE_MAX). log_open has checked that it
 * fits. */
void segment_path(char *path, const char *directory, struct segment_name name);
/* false: not the name of such a file. */
bool segment_name_parse(const char *text, struct segment_name *ret_name);
/* Any other file of the directory: "<directory>/<name>". */
void partition_path(char *path, const char *directory, const char *name);
