/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Partitions found on disk against the topics of the store (design §1.2): where each lies, and
 * what to do with those that the store does not know: written by Kafka, or before the store was
 * lost. Their topics are made from directory names and topic ids, and held until their configs
 * are known; internal ones are compacted.
 *
 * Not here yet: configs from a __cluster_metadata-0 log. It would fill the configs of a topic
 * in adopt_topic and not hold it.
 */

#include "controller/controller_private.h"

/* Sorts by topic and partition. */
void found_sort(struct found_partition *found, size_t count);

/* The run of partitions of the first topic; the caller moves on by its count. */
struct found_topic {
    struct slice name;
    struct uuid id; /* zero: unknown */
    struct found_partition *partitions;
    size_t partition_count; /* entries; one number may come twice */
};
/* Errors: E_LOCAL_BAD_CONFIG two ids in one topic; text in the arena. */
NODISCARD enum error found_next_topic(struct arena *arena, struct found_partition *found,
                                      size_t count, struct found_topic *ret_topic,
                                      const char **ret_text);

/*
 * The topic as it will be: spec (of the store; partition_count 0: unknown there) with the
 * directories and epochs of what was found, and partitions that the store lacks, on this broker.
 *
 * Errors: E_LOCAL_BAD_CONFIG numbers missing between 0 and the highest; another topic id than the
 *         store's; text in the arena. E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error found_merge(struct controller *controller, struct arena *arena,
                                 const struct found_topic *found, struct image_topic *spec,
                                 const char **ret_text);
