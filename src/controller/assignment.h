/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replicas as a request gives them: Kafka's rules, and Kafka's words when they are broken. */

#include "controller/controller_private.h"

/* What all partitions of one topic must have in common; 0: not known yet. */
struct assignment_rules {
    const struct image *image;
    uint32_t replication_factor;
};

/* E_OK, or E_INVALID_REPLICA_ASSIGNMENT with the failure filled. The first assignment sets the
 * replication factor of the rules. */
NODISCARD enum error assignment_check(struct controller_request *request,
                                      struct assignment_rules *rules,
                                      const struct controller_assignment *assignment,
                                      struct failure *failure);
