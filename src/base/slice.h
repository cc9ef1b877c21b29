/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Borrowed bytes: a pointer and a size. The owner of the bytes is elsewhere and outlives the slice.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* NULL: a null string, array or records field; then size is 0. */
    size_t size;         /* bytes */
};

#define SLICE_NULL ((struct slice){.data = NULL, .size = 0})
/* From a string literal, without its final NUL. */
#define SLICE(literal)                                                                             \
    ((struct slice){.data = (const uint8_t *)"" literal, .size = sizeof(literal) - 1})

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){.data = (const uint8_t *)data, .size = size};
}

/* The bytes of a C string; NULL gives the null slice. */
static inline struct slice slice_from_string(const char *string)
{
    return string == NULL ? SLICE_NULL : slice_of(string, strlen(string));
}

static inline bool slice_is_null(struct slice s)
{
    return s.data == NULL;
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_equal_string(struct slice a, const char *string)
{
    return slice_equal(a, slice_from_string(string));
}

/* Bytewise order, shorter first where one is a prefix of the other: <0, 0, >0. */
static inline int slice_compare(struct slice a, struct slice b)
{
    const size_t common = a.size < b.size ? a.size : b.size;
    const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}
