/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line built without stdio, which may not be used in a signal handler. Too long: cut. */
struct line {
    size_t size;
    char text[1024];
};

static void line_add(struct line *line, const char *text)
{
    const size_t room = sizeof(line->text) - line->size;
    const size_t length = strnlen(text, room);
    memcpy(line->text + line->size, text, length);
    line->size += length;
}

static void line_add_number(struct line *line, int64_t number)
{
    char digits[24];
    char *at = digits + sizeof(digits) - 1;
    uint64_t rest = number < 0 ? 0U - (uint64_t)number : (uint64_t)number;
    *at = '\0';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (number < 0) {
        *--at = '-';
    }
    line_add(line, at);
}

static void line_add_place(struct line *line, const char *file, int line_number,
                           const char *function)
{
    line_add(line, file);
    line_add(line, ":");
    line_add_number(line, line_number);
    line_add(line, ": ");
    line_add(line, function);
    line_add(line, ": check failed: ");
}

NORETURN static void line_die(struct line *line)
{
    line_add(line, "\n");
    if (line->size == sizeof(line->text)) {
        line->text[sizeof(line->text) - 1] = '\n';
    }
    if (write(STDERR_FILENO, line->text, line->size) < 0) {
        /* Nobody to tell; abort all the same. */
    }
    abort();
}

void check_failed(const char *condition, const char *file, int line, const char *function)
{
    struct line out;
    out.size = 0;
    line_add_place(&out, file, line, function);
    line_add(&out, condition);
    line_die(&out);
}

void check_failed_values(const char *condition, int64_t left, int64_t right, const char *file,
                         int line, const char *function)
{
    struct line out;
    out.size = 0;
    line_add_place(&out, file, line, function);
    line_add(&out, condition);
    line_add(&out, " (");
    line_add_number(&out, left);
    line_add(&out, ", ");
    line_add_number(&out, right);
    line_add(&out, ")");
    line_die(&out);
}
