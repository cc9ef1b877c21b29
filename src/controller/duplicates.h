/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names that stand more than once in a request: n log n, since a peer chooses n. */

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

/* ret_is_duplicate[i], in the arena: another key equals key i. Errors: E_LOCAL_NO_MEMORY. */
NODISCARD enum error find_duplicates(struct arena *arena, const struct slice *keys, size_t count,
                                     bool **ret_is_duplicate);
