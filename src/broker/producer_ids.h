/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Producer ids, handed out one by one from blocks that the controller allocates (KIP-730). Who asks
 * while a block is under way waits for it.
 *
 * Thread: the owner loop.
 */

#include "base/arena.h"
#include "replication/controller_channel.h"

struct producer_id_waiter {
    struct list node;
    int64_t producer_id; /* -1 on error */
    enum error error;
    void (*on_done)(struct producer_id_waiter *waiter);
};

struct producer_ids {
    struct controller_channel *channel;
    struct loop *loop;
    int64_t next;
    int64_t end; /* next == end: the block is used up */
    struct list waiters;
    struct arena arena; /* of the request under way */
    struct controller_allocate_producer_ids request;
    bool is_asking;
};

void producer_ids_init(struct producer_ids *ids, struct controller_channel *channel,
                       struct loop *loop);
void producer_ids_done(struct producer_ids *ids);
/* on_done at once or later, on the loop. */
void producer_ids_take(struct producer_ids *ids, struct producer_id_waiter *waiter);
