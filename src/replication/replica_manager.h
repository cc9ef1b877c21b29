/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All partitions that this broker hosts, found by topic name or id. Follows the cluster image: new
 * topics and partitions appear here, deleted ones go.
 *
 * Any loop may find a topic and its partitions. What was found is there until the callback returns;
 * beyond that a partition needs a reference, and a topic must be found again: what is taken away is
 * freed only after a round of the loops (io/loop_set.h).
 *
 * Locks: one, around the two tables, when there are several loops; a leaf, nothing happens under
 * it. Thread: the home loop, unless said otherwise.
 */

#include "base/hash.h"
#include "base/uuid.h"
#include "metadata/image.h"
#include "replication/partition.h"

/* Replaced by a longer one when the topic grows. */
struct hosted_partitions {
    struct loop_round round; /* after which it is freed */
    uint32_t count;
    struct partition *items[]; /* NULL where another broker hosts it */
};

struct hosted_topic {
    struct hash_node by_name; /* the manager's, as the next one */
    struct hash_node by_id;
    struct slice name; /* immutable, as the next two */
    struct uuid id;
    bool is_internal;
    _Atomic(struct hosted_partitions *) partitions; /* never NULL; changed by home */
    struct log_config log_config;                   /* home's */
    struct loop_round round;                        /* after which it is freed */
};

struct replica_manager_options {
    struct log_manager *logs;
    const struct loop_set *loops; /* borrowed, also the log manager's; the first one is home */
    struct diag *diag;
    int32_t broker_id;
    bool ack_after_fsync;
    /* Makes the plain values of a log from a topic of an image (broker/ knows the settings). */
    enum error (*make_log_config)(void *context, const struct image *image,
                                  const struct image_topic *topic, struct log_config *ret_config,
                                  int32_t *ret_min_in_sync_replicas);
    void *context;
    uint64_t seed;
};

NODISCARD enum error replica_manager_new(const struct replica_manager_options *options,
                                         struct replica_manager **ret_manager);
void replica_manager_free(struct replica_manager *manager);

/* Puts one topic of an image into effect: make, grow, change config. NULL after: delete. */
void replica_manager_apply(struct replica_manager *manager, const struct image *image,
                           const struct image_topic *before, const struct image_topic *after);

/* Any loop, as the next three. */
struct hosted_topic *replica_manager_find_topic(struct replica_manager *manager, struct slice name);
struct hosted_topic *replica_manager_find_topic_by_id(struct replica_manager *manager,
                                                      const struct uuid *id);
uint32_t replica_manager_partition_count(const struct hosted_topic *topic);
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
