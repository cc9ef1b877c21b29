/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Diagnostics: what the broker tells its operator, one line each, to one sink. (The commit log is
 * the "log"; these lines are not.) base ... replication write at debug level only and return
 * errors; broker, controller and main report, once, with topic-partition, offset, path and cause.
 * Thread: any; the sink serialises (one write(2) per line).
 */

#include <stdarg.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

enum diag_level {
    DIAG_DEBUG,
    DIAG_INFO,
    DIAG_WARN,
    DIAG_ERROR,
};

struct diag {
    enum diag_level level_min;
    int fd;                                                               /* 2 in production */
    void (*sink)(void *context, enum diag_level level, const char *line); /* instead of fd; tests */
    void *sink_context;
};

/* NULL diag: nothing is written. Control characters become blanks; a line over 2 KiB is cut.
 * Keeps errno. */
void diag_write(struct diag *diag, enum diag_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);
#define diag_debug(diag, ...) diag_write((diag), DIAG_DEBUG, __VA_ARGS__)
#define diag_info(diag, ...)  diag_write((diag), DIAG_INFO, __VA_ARGS__)
#define diag_warn(diag, ...)  diag_write((diag), DIAG_WARN, __VA_ARGS__)
#define diag_error(diag, ...) diag_write((diag), DIAG_ERROR, __VA_ARGS__)

/* Lets through `burst` lines per second of one kind; owned by one thread. */
struct diag_limit {
    int64_t window_start_ns; /* monotonic */
    uint32_t count;          /* lines in this window */
    uint32_t suppressed;     /* since the last line that was let through */
};

/* True: write the line, and say that *ret_suppressed were left out before it. */
bool diag_limit_allow(struct diag_limit *limit, uint32_t burst, int64_t now_ns,
                      uint32_t *ret_suppressed);

/* Peer text made fit for a line: control and non-ASCII bytes escaped, cut to 256 bytes; into out
 * (room for size_max), NUL-terminated. Returns out. */
const char *diag_escape(struct slice text, char *out, size_t size_max);
