/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/assignment.h"

static bool is_repeated(const struct controller_assignment *assignment, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (assignment->broker_ids[i] == assignment->broker_ids[index]) {
            return true;
        }
    }
    return false;
}

enum error assignment_check(struct controller_request *request, struct assignment_rules *rules,
                            const struct controller_assignment *assignment, struct failure *failure)
{
    const uint32_t count = assignment->broker_count;
    if (count == 0) {
        controller_fail(request, failure, E_INVALID_REPLICA_ASSIGNMENT,
                        "The manual partition assignment includes an empty replica list.");
        return failure->code;
    }
    for (uint32_t i = 0; i < count; i++) {
        const int32_t id = assignment->broker_ids[i];
        if (is_repeated(assignment, i)) {
            controller_fail(request, failure, E_INVALID_REPLICA_ASSIGNMENT,
                            "The manual partition assignment includes the broker %d more than "
                            "once.",
                            id);
            return failure->code;
        }
        if (image_find_broker(rules->image, id) == NULL) {
            controller_fail(request, failure, E_INVALID_REPLICA_ASSIGNMENT,
                            "The manual partition assignment includes broker %d, but no such "
                            "broker is registered.",
                            id);
            return failure->code;
        }
    }
    if (rules->replication_factor != 0 && count != rules->replication_factor) {
        controller_fail(request, failure, E_INVALID_REPLICA_ASSIGNMENT,
                        "The manual partition assignment includes a partition with %u replica(s), "
                        "but this is not consistent with previous partitions, which have %u "
                        "replica(s).",
                        count, rules->replication_factor);
        return failure->code;
    }
    rules->replication_factor = count;
    return E_OK;
}
