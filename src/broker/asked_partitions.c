/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/asked_partitions.h"

static void on_loaded(struct load_barrier *barrier)
{
    struct asked_partitions *asked = container_of(barrier, struct asked_partitions, barrier);
    asked->on_ready(asked);
}

bool asked_partitions_init(struct asked_partitions *asked, struct call *call, uint32_t count_max,
                           void (*on_ready)(struct asked_partitions *asked))
{
    *asked = (struct asked_partitions){
        .call = call,
        .items = ARENA_NEW_ARRAY(call_arena(call), struct asked_partition, count_max),
        .barrier = {.on_ready = on_loaded},
        .on_ready = on_ready,
    };
    return asked->items != NULL;
}

struct asked_partition *asked_partitions_add_found(struct asked_partitions *asked,
                                                   struct partition *part, enum error error)
{
    struct asked_partition *item = &asked->items[asked->count++];
    item->error = error;
    item->part = part == NULL ? NULL : partition_ref(part);
    return item;
}

static enum error find(const struct asked_partitions *asked, enum acl_operation operation,
                       struct slice topic, int32_t index, struct partition **ret_part)
{
    struct call *call = asked->call;
    if (!call_allows(call, operation, ACL_TOPIC, topic)) {
        return E_TOPIC_AUTHORIZATION_FAILED;
    }
    const struct hosted_topic *hosted = replica_manager_find_topic(call->broker->replicas, topic);
    struct partition *part = hosted == NULL ? NULL : replica_manager_partition(hosted, index);
    if (part == NULL) {
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    }
    *ret_part = part;
    return E_OK;
}

struct asked_partition *asked_partitions_add(struct asked_partitions *asked,
                                             enum acl_operation operation, struct slice topic,
                                             int32_t index)
{
    struct partition *part = NULL;
    const enum error error = find(asked, operation, topic, index, &part);
    return asked_partitions_add_found(asked, part, error);
}

void asked_partitions_await(struct asked_partitions *asked)
{
    for (uint32_t i = 0; i < asked->count; i++) {
        struct asked_partition *item = &asked->items[i];
        if (item->part != NULL && !partition_is_settled(item->part)) {
            partition_await_load(item->part, &item->load_waiter, &asked->barrier);
        }
    }
    if (asked->barrier.pending_count == 0) {
        asked->on_ready(asked);
    }
}

void asked_partitions_release(struct asked_partitions *asked)
{
    for (uint32_t i = 0; i < asked->count; i++) {
        asked->items[i].part = partition_unref(asked->items[i].part);
    }
}
