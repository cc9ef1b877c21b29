/* SPDX-License-Identifier: Apache-2.0 */

/* AllocateProducerIds: blocks of 1,000, each given out once, as Kafka's. */

#include "controller/controller_private.h"
#include "controller/node_json.h"

enum {
    PRODUCER_ID_BLOCK_SIZE = 1000,
};

static struct controller_allocate_producer_ids *allocate_of(struct controller_request *request)
{
    return container_of(request, struct controller_allocate_producer_ids, request);
}

static enum error allocate_prepare(struct controller *controller,
                                   struct controller_request *request)
{
    struct controller_allocate_producer_ids *allocate = allocate_of(request);
    struct plan *plan = &controller->plan;
    const int64_t first = controller->next_producer_id;
    if (first > INT64_MAX - PRODUCER_ID_BLOCK_SIZE) {
        controller_fail(request, &allocate->failure, E_UNKNOWN_SERVER_ERROR,
                        "All producer ids have been given out.");
        return E_OK;
    }
    const struct slice node = node_encode_producer_ids(&plan->arena, controller->broker_id, first,
                                                       first + PRODUCER_ID_BLOCK_SIZE - 1);
    if (slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    /* Taken even if the write fails: a block is never given out twice. */
    controller->next_producer_id = first + PRODUCER_ID_BLOCK_SIZE;
    allocate->first_producer_id = first;
    allocate->producer_id_count = PRODUCER_ID_BLOCK_SIZE;
    return plan_set(plan, STORE_VERSION_ANY, node, "/latest_producer_id_block");
}

static struct failure *allocate_failure_at(struct controller_request *request, size_t index)
{
    return index == 0 ? &allocate_of(request)->failure : NULL;
}

const struct controller_operation allocate_producer_ids_operation = {
    .prepare = allocate_prepare,
    .failure_at = allocate_failure_at,
};
