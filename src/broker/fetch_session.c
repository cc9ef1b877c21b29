/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/fetch_session.h"

#include "base/check.h"

static uint32_t count_targets(const struct fetch_request *request)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partitions.count;
    }
    return count;
}

static void list_targets(const struct fetch_request *request, struct fetch_target *targets)
{
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct fetch_request_fetch_topic *topic = &request->topics.items[i];
        for (uint32_t j = 0; j < topic->partitions.count; j++) {
            const struct fetch_request_fetch_partition *source = &topic->partitions.items[j];
            *targets++ = (struct fetch_target){
                .topic = topic->topic,
                .topic_id = topic->topic_id,
                .partition = source->partition,
                .current_leader_epoch = source->current_leader_epoch,
                .fetch_offset = source->fetch_offset,
                .max_bytes = source->partition_max_bytes,
            };
        }
    }
}

enum error fetch_plan_make(struct fetch_plan *plan, struct fetch_sessions *sessions,
                           const struct fetch_request *request, int16_t version,
                           struct arena *arena, struct fetch_target **ret_targets,
                           uint32_t *ret_count)
{
    (void)version;
    *plan = (struct fetch_plan){.sessions = sessions, .error = E_OK};
    /* As a broker whose session cache is full: every request is a whole one, epoch 0 or -1. */
    if (request->session_epoch > 0) {
        plan->error = E_FETCH_SESSION_ID_NOT_FOUND;
        *ret_targets = NULL;
        *ret_count = 0;
        return E_OK;
    }
    const uint32_t count = count_targets(request);
    struct fetch_target *targets = ARENA_NEW_ARRAY(arena, struct fetch_target, count);
    if (targets == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    list_targets(request, targets);
    *ret_targets = targets;
    *ret_count = count;
    return E_OK;
}

bool fetch_plan_includes(const struct fetch_plan *plan, const struct fetch_target *target)
{
    (void)plan;
    (void)target;
    return true;
}

void fetch_plan_sent(struct fetch_plan *plan, const struct fetch_target *target)
{
    (void)plan;
    (void)target;
}
