/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/producer_ids.h"

#include "base/check.h"

enum {
    ARENA_SIZE_MAX = 64 * 1024, /* of one controller request: a struct and perhaps a text */
};

static void serve_waiters(struct producer_ids *ids, enum error error);

static void on_allocated(struct controller_request *request)
{
    struct producer_ids *ids =
        container_of(container_of(request, struct controller_allocate_producer_ids, request),
                     struct producer_ids, request);
    enum error error = request->error;
    if (error == E_OK) {
        error = ids->request.failure.code;
    }
    if (error == E_OK) {
        ids->next = ids->request.first_producer_id;
        ids->end = ids->next + ids->request.producer_id_count;
    }
    ids->is_asking = false;
    arena_clear(&ids->arena);
    serve_waiters(ids, error);
}

static void ask(struct producer_ids *ids)
{
    if (ids->is_asking) {
        return;
    }
    ids->is_asking = true;
    ids->request = (struct controller_allocate_producer_ids){
        .request = {.kind = CONTROLLER_ALLOCATE_PRODUCER_IDS,
                    .arena = &ids->arena,
                    .loop = ids->loop,
                    .on_done = on_allocated},
    };
    controller_submit(ids->channel, &ids->request.request);
}

/* With an error all who wait are told; otherwise those for whom the block is enough. */
static void serve_waiters(struct producer_ids *ids, enum error error)
{
    while (!list_is_empty(&ids->waiters)) {
        if (error == E_OK && ids->next == ids->end) {
            ask(ids);
            return;
        }
        struct producer_id_waiter *waiter =
            container_of(list_pop_front(&ids->waiters), struct producer_id_waiter, node);
        waiter->error = error;
        waiter->producer_id = error == E_OK ? ids->next++ : -1;
        waiter->on_done(waiter);
    }
}

void producer_ids_init(struct producer_ids *ids, struct controller_channel *channel,
                       struct loop *loop)
{
    *ids = (struct producer_ids){.channel = channel, .loop = loop};
    list_init(&ids->waiters);
    arena_init(&ids->arena, ARENA_SIZE_MAX);
}

void producer_ids_done(struct producer_ids *ids)
{
    arena_done(&ids->arena);
}

void producer_ids_take(struct producer_ids *ids, struct producer_id_waiter *waiter)
{
    list_push_back(&ids->waiters, &waiter->node);
    if (ids->next != ids->end) {
        serve_waiters(ids, E_OK);
    } else {
        ask(ids);
    }
}
