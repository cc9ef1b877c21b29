/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Kafka's rules for names of topics. */

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "metadata/image.h"

enum {
    TOPIC_NAME_SIZE_MAX = 249, /* "name-partition.32hex-delete" fits the 255 bytes of a file name */
};

/* NULL: a valid name; else why not, in the arena (or static). */
const char *topic_name_problem(struct slice name, struct arena *arena);
/* "a.b" and "a_b" would be one metric: true when only dots and underscores differ. */
bool topic_names_collide(struct slice a, struct slice b);
/* An order in which names that collide are equal. */
int topic_name_compare_colliding(struct slice a, struct slice b);
bool topic_name_is_internal(struct slice name);
