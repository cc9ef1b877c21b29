/* SPDX-License-Identifier: Apache-2.0 */
#include "base/diag.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_SIZE_MAX = 2048, /* three names of 249 bytes, a path and the sentence; longer is cut */
    ESCAPE_SIZE_MAX = 256,
    WINDOW_NS = 1000 * 1000 * 1000,
};

static const char *level_name(enum diag_level level)
{
    switch (level) {
    case DIAG_DEBUG:
        return "DEBUG";
    case DIAG_INFO:
        return "INFO";
    case DIAG_WARN:
        return "WARN";
    case DIAG_ERROR:
        return "ERROR";
    }
    return "?";
}

/* A control character in the text could forge a second line or drive a terminal. */
static void blank_control_characters(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = ' ';
        }
    }
}

/* One write(2) per line: lines of several threads do not mix. A sink that fails is ignored: there
 * is nobody left to tell. */
static void write_line(int fd, const char *line, size_t size)
{
    ssize_t written;
    do {
        written = write(fd, line, size);
    } while (written < 0 && errno == EINTR);
}

void diag_write(struct diag *diag, enum diag_level level, const char *format, ...)
{
    char line[LINE_SIZE_MAX + 1]; /* and the newline */
    va_list args;
    if (diag == NULL || level < diag->level_min) {
        return;
    }
    const int errno_before = errno; /* the caller may still want it */
    const int prefix = snprintf(line, sizeof(line), "%-5s ", level_name(level));
    check(prefix > 0);
    const size_t room = LINE_SIZE_MAX - (size_t)prefix;
    va_start(args, format);
    const int length = vsnprintf(line + prefix, room, format, args);
    va_end(args);
    if (length < 0) {
        line[prefix] = '\0';
    } else if ((size_t)length >= room) {
        memcpy(line + LINE_SIZE_MAX - 4, "...", 4);
    }
    blank_control_characters(line + prefix);
    if (diag->sink != NULL) {
        diag->sink(diag->sink_context, level, line);
    } else {
        const size_t size = strlen(line);
        line[size] = '\n';
        write_line(diag->fd, line, size + 1);
    }
    errno = errno_before;
}

bool diag_limit_allow(struct diag_limit *limit, uint32_t burst, int64_t now_ns,
                      uint32_t *ret_suppressed)
{
    if (now_ns - limit->window_start_ns >= WINDOW_NS) {
        limit->window_start_ns = now_ns;
        limit->count = 0;
    }
    if (limit->count >= burst) {
        limit->suppressed += limit->suppressed < UINT32_MAX;
        return false;
    }
    limit->count++;
    *ret_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}

/* Writes c, or its escape, at out (room for 4); returns how many characters. */
static size_t escape_byte(uint8_t c, char *out)
{
    static const char digits[] = "0123456789abcdef";
    if (c == '\\') {
        out[0] = '\\';
        out[1] = '\\';
        return 2;
    }
    if (c >= ' ' && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[c >> 4];
    out[3] = digits[c & 15];
    return 4;
}

const char *diag_escape(struct slice text, char *out, size_t size_max)
{
    check(size_max > 0);
    const size_t room = size_max - 1 < ESCAPE_SIZE_MAX ? size_max - 1 : ESCAPE_SIZE_MAX;
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        char escaped[4];
        const size_t size = escape_byte(text.data[i], escaped);
        if (size > room - used) {
            break;
        }
        memcpy(out + used, escaped, size);
        used += size;
    }
    out[used] = '\0';
    return out;
}
