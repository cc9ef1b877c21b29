/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stddef.h>

struct error_row {
    enum error code;
    int16_t wire;
    bool is_retriable;
    const char *name;
    const char *text;
};

/* By rising code. */
static const struct error_row rows[] = {
#include "base/error_table.inc"
};

enum {
    ROW_COUNT = sizeof(rows) / sizeof(rows[0]),
    WIRE_CODE_MIN = -1, /* below are codes of ours, which never travel */
};

/* NULL: not in the table. */
static const struct error_row *find(int code)
{
    size_t low = 0;
    size_t high = ROW_COUNT;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((int)rows[middle].code < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < ROW_COUNT && (int)rows[low].code == code ? &rows[low] : NULL;
}

int16_t error_find_wire(enum error error)
{
    const struct error_row *row = find((int)error);
    return row == NULL ? (int16_t)E_UNKNOWN_SERVER_ERROR : row->wire;
}

const char *error_name(enum error error)
{
    const struct error_row *row = find((int)error);
    return row == NULL ? "UNKNOWN" : row->name;
}

const char *error_text(enum error error)
{
    const struct error_row *row = find((int)error);
    return row == NULL ? "unknown error" : row->text;
}

bool error_is_retriable(enum error error)
{
    const struct error_row *row = find((int)error);
    return row != NULL && row->is_retriable;
}

enum error error_from_wire(int16_t code)
{
    const struct error_row *row = code < WIRE_CODE_MIN ? NULL : find(code);
    return row == NULL ? E_UNKNOWN_SERVER_ERROR : row->code;
}
