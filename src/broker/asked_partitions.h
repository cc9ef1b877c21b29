/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The partitions that one request names: looked up, allowed, and their logs loaded.
 *
 *   init → add each → await → on_ready, now or later → release
 *
 * Thread: the loop of the connection.
 */

#include "broker/call.h"

struct asked_partition {
    struct partition *part; /* a reference; NULL: error says why */
    enum error error;
    struct load_waiter load_waiter;
};

struct asked_partitions {
    struct call *call;
    struct asked_partition *items; /* in the order of the request */
    uint32_t count;
    struct load_barrier barrier;
    void (*on_ready)(struct asked_partitions *asked);
};

/* Room for count_max partitions, in the arena of the call. false: no memory. */
NODISCARD bool asked_partitions_init(struct asked_partitions *asked, struct call *call,
                                     uint32_t count_max,
                                     void (*on_ready)(struct asked_partitions *asked));
/*
 * The next one, if the principal may do the operation on its topic.
 * Errors, in the item: E_TOPIC_AUTHORIZATION_FAILED, E_UNKNOWN_TOPIC_OR_PARTITION.
 */
struct asked_partition *asked_partitions_add(struct asked_partitions *asked,
                                             enum acl_operation operation, struct slice topic,
                                             int32_t index);
/* The next one, that needs no look-up (part borrowed) or is refused already (part NULL). */
struct asked_partition *asked_partitions_add_found(struct asked_partitions *asked,
                                                   struct partition *part, enum error error);
/* Calls on_ready when no log is loading any more: online or offline each. */
void asked_partitions_await(struct asked_partitions *asked);
/* Drops the references. */
void asked_partitions_release(struct asked_partitions *asked);
