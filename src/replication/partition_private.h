/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the replica manager does with its partitions, and what home and owner tell each other.
 * Thread: the owner loop, unless said otherwise.
 */

#include "replication/partition.h"
#include "replication/replica_manager.h"

/* What partitions of one loop share. */
struct replica_owner {
    struct replica_manager *manager;
    struct loop *loop;
    unsigned index;
    struct list failures; /* struct partition_append.node */
    struct deferred deferred_failures;
};

/* What the image says of a partition. */
struct partition_settings {
    int32_t min_in_sync_replicas;
    int32_t in_sync_count;
    int32_t leader_epoch;
    bool waits_for_flush;
    struct log_config log_config;
};

/* Home, nobody else knows it yet. One reference, the manager's. State COLD. NULL: no memory. */
struct partition *partition_new(struct replica_owner *owner, const struct hosted_topic *topic,
                                int32_t index, struct log_entry *entry);
void partition_update(struct partition *part, const struct partition_settings *settings);
/* Answers all waiters with the error and drops the log pointer: its directory failed. */
void partition_go_offline(struct partition *part, enum error error);
/* The directory is back: load again on the next use. */
void partition_go_cold(struct partition *part);
/* Offline for good. The manager's reference is not touched. */
void partition_delete(struct partition *part);
/* Thread: home. A cold one that nobody has asked for; false: no memory. */
bool partition_load_in_background(struct partition *part);

/* What partitions need of their manager. Any thread. */
struct log_manager *replica_manager_logs(struct replica_manager *manager);
const struct loop_set *replica_manager_loops(const struct replica_manager *manager);
struct diag *replica_manager_diag(struct replica_manager *manager);
/* Calls op->on_done at the end of this turn (PHASE_WRITE). Thread: the owner of op->part. */
void replica_manager_defer_failure(struct partition_append *op);
/* Home: a load has ended. */
void replica_manager_on_load(struct replica_manager *manager);
