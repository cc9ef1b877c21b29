/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/placement.h"

enum error place_partitions(struct arena *arena, struct rng *rng, const struct image *image,
                            struct placement placement, struct image_partition *parts)
{
    const uint32_t broker_count = image->broker_count;
    const uint32_t factor = placement.replication_factor;
    check(factor > 0 && factor <= broker_count);
    const uint32_t start = (uint32_t)rng_below(rng, broker_count);
    const uint32_t first_shift = (uint32_t)rng_below(rng, broker_count);
    const size_t count = placement.partition_count - placement.first;
    int32_t *ids = ARENA_NEW_ARRAY(arena, int32_t, count * factor);
    if (ids == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t leader = (start + i) % broker_count;
        const uint32_t shift = first_shift + i / broker_count;
        int32_t *replicas = &ids[(size_t)i * factor];
        replicas[0] = image->brokers[leader].id;
        for (uint32_t k = 1; k < factor; k++) {
            const uint32_t distance = 1 + (shift + k - 1) % (broker_count - 1);
            replicas[k] = image->brokers[(leader + distance) % broker_count].id;
        }
        parts[placement.first + i].replicas = replicas;
        parts[placement.first + i].replica_count = factor;
    }
    return E_OK;
}
