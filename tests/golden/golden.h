/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading the golden tables, and the rough treatment that every decoder must stand. */

#include "base/slice.h"
#include "protocol/codec.h"

enum {
    GOLDEN_COLUMNS_MAX = 8,
};

struct golden_row {
    char *columns[GOLDEN_COLUMNS_MAX];
    size_t column_count;
    size_t line; /* from 1 */
};

typedef void (*golden_row_fn)(const struct golden_row *row, void *context);

/* Calls on_row for each line that is not a comment; fails the test if there are none. Returns how
 * many. */
size_t golden_read(const char *path, golden_row_fn on_row, void *context);

/* Heap memory of exactly the size, so that ASan sees a byte read too far; the caller frees data. */
struct slice golden_unhex(const char *hex);
struct slice golden_copy(struct slice bytes);
void golden_free(struct slice bytes);

/* All bytes of a chain of memory pieces, in the chain's arena. */
struct slice golden_flatten(const struct chain *chain);

/* Each truncation of the message is refused (all of them, or about 500 of a long one). */
void golden_refuse_truncations(const struct message_schema *schema, int16_t version,
                               struct slice bytes);
/* Bytes changed at random decode or are refused, and what decodes can be printed and encoded. */
void golden_survive_flips(const struct message_schema *schema, int16_t version, struct slice bytes,
                          struct rng *rng, unsigned times);
