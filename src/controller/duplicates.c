/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/duplicates.h"

#include <stdlib.h>

struct indexed_key {
    struct slice key;
    size_t index;
};

static int compare_keys(const void *a, const void *b)
{
    return slice_compare(((const struct indexed_key *)a)->key,
                         ((const struct indexed_key *)b)->key);
}

enum error find_duplicates(struct arena *arena, const struct slice *keys, size_t count,
                           bool **ret_is_duplicate)
{
    bool *is_duplicate = ARENA_NEW_ARRAY(arena, bool, count);
    struct indexed_key *sorted = ARENA_NEW_ARRAY(arena, struct indexed_key, count);
    if (is_duplicate == NULL || sorted == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct indexed_key){keys[i], i};
    }
    if (count > 1) {
        qsort(sorted, count, sizeof(*sorted), compare_keys);
    }
    for (size_t i = 1; i < count; i++) {
        if (slice_equal(sorted[i].key, sorted[i - 1].key)) {
            is_duplicate[sorted[i].index] = true;
            is_duplicate[sorted[i - 1].index] = true;
        }
    }
    *ret_is_duplicate = is_duplicate;
    return E_OK;
}
