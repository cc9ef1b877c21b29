/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The JSON of the store's nodes, in Kafka 3.9's shapes: the same paths, keys and order, without
 * spaces. Readers accept any order and unknown keys.
 *
 * Encoders return bytes in the arena, the null slice without memory. Decoders return what borrows
 * from nothing but the arena.
 * Errors: E_LOCAL_CORRUPT not JSON or not of the shape; E_LOCAL_NO_MEMORY.
 */

#include "metadata/image.h"

/* /brokers/topics/T: partitions (replicas), topic id. */
struct slice node_encode_topic(struct arena *arena, const struct image_topic *topic);
/* Fills id (zero: version 1 or 2), partition_count, partitions[].replicas and replica_count.
 * Partition numbers must be 0 ... n-1. */
NODISCARD enum error node_decode_topic(struct arena *arena, struct slice bytes,
                                       struct image_topic *ret_topic);

/* /config/...: names and string values. */
struct slice node_encode_configs(struct arena *arena, const struct config_entry *entries,
                                 size_t count);
/* Null data is an empty set. */
NODISCARD enum error node_decode_configs(struct arena *arena, struct slice bytes,
                                         struct config_entry **ret_entries, size_t *ret_count);

/* /brokers/ids/N. */
struct slice node_encode_broker(struct arena *arena, const struct image_broker *broker,
                                int64_t now_ms);

/* /controller. */
struct slice node_encode_controller(struct arena *arena, int32_t broker_id, int64_t now_ms);

/* /cluster/id. */
struct slice node_encode_cluster_id(struct arena *arena, struct slice cluster_id);
NODISCARD enum error node_decode_cluster_id(struct arena *arena, struct slice bytes,
                                            struct slice *ret_cluster_id);

/* /latest_producer_id_block; null data: none was given out, block_end is -1. */
struct slice node_encode_producer_ids(struct arena *arena, int32_t broker_id, int64_t block_start,
                                      int64_t block_end);
NODISCARD enum error node_decode_producer_ids(struct slice bytes, int64_t *ret_block_end);

/* /feature. */
struct slice node_encode_features(struct arena *arena, const struct image_feature *features,
                                  size_t count);
NODISCARD enum error node_decode_features(struct arena *arena, struct slice bytes,
                                          struct image_feature **ret_features, size_t *ret_count);
