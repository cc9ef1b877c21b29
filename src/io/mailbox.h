/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A lock-free queue with many senders and one receiver. The senders push onto a stack with one
 * compare-and-swap; the receiver takes the whole stack at once and turns it over.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Embedded in whatever is sent; one message is in one mailbox at a time. */
struct message {
    struct message *next; /* the mailbox's */
    void (*on_receive)(struct message *message);
};

struct mailbox {
    _Atomic(struct message *) newest;
};

static inline void mailbox_init(struct mailbox *mailbox)
{
    atomic_init(&mailbox->newest, NULL);
}

/* Any thread. Sequentially consistent, so that a sender which then reads "does it sleep?" and a
 * receiver which announces its sleep and then looks here cannot miss each other. */
void mailbox_push(struct mailbox *mailbox, struct message *message);

static inline bool mailbox_is_empty(struct mailbox *mailbox)
{
    return atomic_load(&mailbox->newest) == NULL;
}

/* The receiver only. All messages, linked by next, in order per sender; NULL when there are none.
 */
struct message *mailbox_take_all(struct mailbox *mailbox);
