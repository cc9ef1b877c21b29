/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* 128-bit ids: topic ids, directory ids. Text form: 22 characters of base64url without padding. */

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/slice.h"

struct uuid {
    uint8_t bytes[16];
};

enum {
    UUID_TEXT_SIZE = 22, /* without NUL */
};

#define UUID_ZERO ((struct uuid){{0}})

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool uuid_is_zero(const struct uuid *uuid);
/* RFC 4122 version 4; never zero, never one, and its text never starts with '-' (as Kafka). */
struct uuid uuid_random(struct rng *rng);
/* text has room for UUID_TEXT_SIZE + 1; NUL-terminated. */
void uuid_format(const struct uuid *uuid, char *text);
/* false: not 22 characters of base64url. */
NODISCARD bool uuid_parse(struct slice text, struct uuid *ret_uuid);
