/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which brokers hold the replicas of new partitions. */

#include "metadata/image.h"

/*
 * Round-robin as Kafka's without racks: the first replicas go to one broker after the other, from a
 * random one; the others follow with a shift that grows with each round, so that the partitions
 * of a lost broker spread over all others.
 *
 * parts      Those from `first` to partition_count - 1 get replicas.
 * brokers    At least replication_factor.
 * Errors: E_LOCAL_NO_MEMORY.
 */
struct placement {
    uint32_t first;
    uint32_t partition_count;
    uint32_t replication_factor;
};
NODISCARD enum error place_partitions(struct arena *arena, struct rng *rng,
                                      const struct image *image, struct placement placement,
                                      struct image_partition *parts);
