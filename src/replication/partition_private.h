/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the replica manager does with its partitions. Thread: the owner loop. */

#include "replication/partition.h"

/* One reference, the manager's. State COLD. NULL: no memory. */
struct partition *partition_new(struct replica_manager *manager, const struct hosted_topic *topic,
                                int32_t index, struct log_entry *entry);
/* Answers all waiters with the error and drops the log pointer: deleted, or its directory failed.
 */
void partition_go_offline(struct partition *part, enum error error);
/* The directory is back: load again on the next use. */
void partition_go_cold(struct partition *part);
void partition_start_load(struct partition *part);

/* What partitions need of their manager. */
struct log_manager *replica_manager_logs(struct replica_manager *manager);
/* Calls op->on_done at the end of this turn (PHASE_WRITE). */
void replica_manager_defer_failure(struct replica_manager *manager, struct partition_append *op);
void replica_manager_on_load(struct replica_manager *manager, struct partition *part);
bool replica_manager_acks_after_fsync(const struct replica_manager *manager);
struct diag *replica_manager_diag(struct replica_manager *manager);
