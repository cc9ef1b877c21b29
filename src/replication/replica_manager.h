/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All partitions that this broker hosts, found by topic name or id. Follows the cluster image: new
 * topics and partitions appear here, deleted ones go.
 *
 * Thread: the home loop.
 */

#include "base/hash.h"
#include "base/uuid.h"
#include "metadata/image.h"
#include "replication/partition.h"

struct hosted_topic {
    struct hash_node by_name;
    struct hash_node by_id;
    struct slice name;
    struct uuid id;
    bool is_internal;
    uint32_t partition_count;
    struct partition **partitions; /* NULL where another broker hosts it */
    struct log_config log_config;
};

struct replica_manager_options {
    struct log_manager *logs;
    struct loop *loop;
    struct diag *diag;
    int32_t broker_id;
    bool ack_after_fsync;
    /* Makes the plain values of a log from a topic of an image (broker/ knows the settings). */
    enum error (*make_log_config)(void *context, const struct image *image,
                                  const struct image_topic *topic, struct log_config *ret_config,
                                  int32_t *ret_min_in_sync_replicas);
    /* All partitions of a deleted topic are gone from here. */
    void (*on_topic_deleted)(void *context, const struct uuid *topic_id);
    void *context;
    uint64_t seed;
};

NODISCARD enum error replica_manager_new(const struct replica_manager_options *options,
                                         struct replica_manager **ret_manager);
void replica_manager_free(struct replica_manager *manager);

/* Puts one topic of an image into effect: make, grow, change config. NULL after: delete. */
void replica_manager_apply(struct replica_manager *manager, const struct image *image,
                           const struct image_topic *before, const struct image_topic *after);

struct hosted_topic *replica_manager_find_topic(struct replica_manager *manager, struct slice name);
struct hosted_topic *replica_manager_find_topic_by_id(struct replica_manager *manager,
                                                      const struct uuid *id);
/* NULL: no such partition here. */
struct partition *replica_manager_partition(const struct hosted_topic *topic, int32_t index);

/* log_manager's questions about logs that are not loaded (retention). */
bool replica_manager_cold_config(const struct log_entry *entry, struct log_config *ret_config);
void replica_manager_load_cold(struct log_entry *entry);
/* log_manager's directory events. */
void replica_manager_on_directory_change(struct replica_manager *manager, uint32_t directory,
                                         enum error error);
/* Loads every cold partition in the background, a few at a time (after an unclean stop). */
void replica_manager_load_all(struct replica_manager *manager);
/* The broker stops: those that are not loaded yet stay cold. */
void replica_manager_stop_loading(struct replica_manager *manager);
