/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/segment_path.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum { OFFSET_DIGITS = 20 };

static const char *const kind_suffixes[SEGMENT_FILE_KIND_COUNT] = {
    [SEGMENT_FILE_LOG] = ".log",
    [SEGMENT_FILE_OFFSET_INDEX] = ".index",
    [SEGMENT_FILE_TIME_INDEX] = ".timeindex",
    [SEGMENT_FILE_TRANSACTION_INDEX] = ".txnindex",
    [SEGMENT_FILE_SNAPSHOT] = ".snapshot",
};

static const char *const state_suffixes[SEGMENT_FILE_STATE_COUNT] = {
    [SEGMENT_FILE_LIVE] = "",
    [SEGMENT_FILE_DELETED] = ".deleted",
    [SEGMENT_FILE_CLEANED] = ".cleaned",
    [SEGMENT_FILE_SWAP] = ".swap",
};

void segment_path(char *path, const char *directory, struct segment_name name)
{
    check(name.base_offset >= 0);
    const int size =
        snprintf(path, LOG_PATH_SIZE_MAX, "%s/%020" PRId64 "%s%s", directory, name.base_offset,
                 kind_suffixes[name.kind], state_suffixes[name.state]);
    check(size > 0 && size < LOG_PATH_SIZE_MAX);
}

void partition_path(char *path, const char *directory, const char *name)
{
    const int size = snprintf(path, LOG_PATH_SIZE_MAX, "%s/%s", directory, name);
    check(size > 0 && size < LOG_PATH_SIZE_MAX);
}

static bool parse_offset(const char *text, int64_t *ret_offset)
{
    int64_t offset = 0;
    for (int i = 0; i < OFFSET_DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(offset, 10, &offset) ||
            __builtin_add_overflow(offset, text[i] - '0', &offset)) {
            return false;
        }
    }
    *ret_offset = offset;
    return true;
}

bool segment_name_parse(const char *text, struct segment_name *ret_name)
{
    struct segment_name name;
    if (!parse_offset(text, &name.base_offset)) {
        return false;
    }
    text += OFFSET_DIGITS;
    for (int kind = 0; kind < SEGMENT_FILE_KIND_COUNT; kind++) {
        const size_t size = strlen(kind_suffixes[kind]);
        if (strncmp(text, kind_suffixes[kind], size) != 0) {
            continue;
        }
        for (int state = 0; state < SEGMENT_FILE_STATE_COUNT; state++) {
            if (strcmp(text + size, state_suffixes[state]) == 0) {
                name.kind = (enum segment_file_kind)kind;
                name.state = (enum segment_file_state)state;
                *ret_name = name;
                return true;
            }
        }
    }
    return false;
}
