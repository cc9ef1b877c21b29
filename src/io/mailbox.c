/* SPDX-License-Identifier: Apache-2.0 */
#include "io/mailbox.h"

void mailbox_push(struct mailbox *mailbox, struct message *message)
{
    struct message *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do {
        message->next = newest;
    } while (!atomic_compare_exchange_weak(&mailbox->newest, &newest, message));
}

struct message *mailbox_take_all(struct mailbox *mailbox)
{
    struct message *oldest = NULL;
    struct message *newest;
    if (atomic_load_explicit(&mailbox->newest, memory_order_relaxed) == NULL) {
        return NULL;
    }
    newest = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    while (newest != NULL) {
        struct message *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    return oldest;
}
