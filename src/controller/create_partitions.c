/* SPDX-License-Identifier: Apache-2.0 */

/* CreatePartitions. Texts are Kafka 4's where Kafka has one. */

#include "controller/assignment.h"
#include "controller/controller_private.h"
#include "controller/duplicates.h"
#include "controller/node_json.h"
#include "controller/placement.h"

enum {
    NEW_PARTITION_COUNT_MAX = 10000, /* of one request, as CreateTopics */
};

static struct controller_create_partitions *grow_of(struct controller_request *request)
{
    return container_of(request, struct controller_create_partitions, request);
}

static enum error check_count(struct controller_request *request, const struct image_topic *found,
                              struct controller_grown_topic *topic)
{
    const int64_t now = found->partition_count;
    const int64_t wanted = topic->partition_count;
    if (wanted == now) {
        controller_fail(request, &topic->failure, E_INVALID_PARTITIONS,
                        "Topic already has %d partition(s).", (int)now);
    } else if (wanted < now) {
        controller_fail(request, &topic->failure, E_INVALID_PARTITIONS,
                        "The topic %.*s currently has %d partition(s); %d would not be an "
                        "increase.",
                        SLICE_ARGS(topic->name), (int)now, (int)wanted);
    } else if (wanted - now > NEW_PARTITION_COUNT_MAX) {
        controller_fail(request, &topic->failure, E_POLICY_VIOLATION,
                        "Excessively large number of partitions per request.");
    } else if (topic->has_assignments && topic->assignment_count != wanted - now) {
        controller_fail(request, &topic->failure, E_INVALID_REPLICA_ASSIGNMENT,
                        "Attempted to add %d additional partition(s), but only %u assignment(s) "
                        "were specified.",
                        (int)(wanted - now), topic->assignment_count);
    }
    return topic->failure.code;
}

static enum error assign(struct controller *controller, struct controller_request *request,
                         const struct image_topic *found, struct controller_grown_topic *topic,
                         struct image_partition *parts)
{
    const struct image *image = controller->plan.image;
    const uint32_t first = found->partition_count;
    const uint32_t factor = first == 0 ? 1 : found->partitions[0].replica_count;
    if (!topic->has_assignments) {
        if (factor > image->broker_count) {
            controller_fail(request, &topic->failure, E_INVALID_REPLICATION_FACTOR,
                            "Unable to replicate the partition %u time(s): The target replication "
                            "factor of %u cannot be reached because only %u broker(s) are "
                            "registered.",
                            factor, factor, image->broker_count);
            return topic->failure.code;
        }
        return place_partitions(
            &controller->plan.arena, controller->rng, image,
            (struct placement){.first = first,
                               .partition_count = (uint32_t)topic->partition_count,
                               .replication_factor = factor},
            parts);
    }
    struct assignment_rules rules = {.image = image, .replication_factor = factor};
    for (uint32_t i = 0; i < topic->assignment_count; i++) {
        const struct controller_assignment *assignment = &topic->assignments[i];
        const enum error error = assignment_check(request, &rules, assignment, &topic->failure);
        if (error != E_OK) {
            return error;
        }
        parts[first + i].replicas = assignment->broker_ids;
        parts[first + i].replica_count = assignment->broker_count;
    }
    return E_OK;
}

static enum error write_topic(struct controller *controller, const struct image_topic *spec)
{
    struct plan *plan = &controller->plan;
    const struct slice node = node_encode_topic(&plan->arena, spec);
    if (slice_is_null(node)) {
        return E_LOCAL_NO_MEMORY;
    }
    const enum error error =
        plan_set(plan, STORE_VERSION_ANY, node, "/brokers/topics/%.*s", SLICE_ARGS(spec->name));
    return error == E_OK ? image_builder_put_topic(plan->builder, spec) : error;
}

static enum error grow_topic(struct controller *controller,
                             struct controller_create_partitions *grow,
                             struct controller_grown_topic *topic)
{
    struct controller_request *request = &grow->request;
    const struct image_topic *found = image_find_topic(controller->plan.image, topic->name);
    if (found == NULL) {
        controller_fail(request, &topic->failure, E_UNKNOWN_TOPIC_OR_PARTITION,
                        "This server does not host this topic-partition.");
        return topic->failure.code;
    }
    enum error error = check_count(request, found, topic);
    if (error != E_OK) {
        return error;
    }
    const uint32_t count = (uint32_t)topic->partition_count;
    struct image_partition *parts =
        ARENA_NEW_ARRAY(&controller->plan.arena, struct image_partition, count);
    if (parts == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    memcpy(parts, found->partitions, found->partition_count * sizeof(*parts));
    error = assign(controller, request, found, topic, parts);
    if (error != E_OK || grow->validate_only) {
        return error;
    }
    for (uint32_t i = found->partition_count; i < count; i++) {
        parts[i].directory = UINT32_MAX;
        controller_lead(controller, &parts[i]);
    }
    struct image_topic spec = *found;
    spec.partitions = parts;
    spec.partition_count = count;
    return write_topic(controller, &spec);
}

static enum error find_duplicate_names(struct controller *controller,
                                       const struct controller_create_partitions *grow,
                                       bool **ret_is_duplicate)
{
    struct arena *arena = &controller->plan.arena;
    struct slice *names = ARENA_NEW_ARRAY(arena, struct slice, grow->topic_count);
    if (names == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < grow->topic_count; i++) {
        names[i] = grow->topics[i].name;
    }
    return find_duplicates(arena, names, grow->topic_count, ret_is_duplicate);
}

static enum error create_partitions_prepare(struct controller *controller,
                                            struct controller_request *request)
{
    struct controller_create_partitions *grow = grow_of(request);
    bool *is_duplicate;
    enum error error = find_duplicate_names(controller, grow, &is_duplicate);
    for (size_t i = 0; i < grow->topic_count && error == E_OK; i++) {
        struct controller_grown_topic *topic = &grow->topics[i];
        if (is_duplicate[i]) {
            controller_fail(request, &topic->failure, E_INVALID_REQUEST, "Duplicate topic name.");
        } else if (grow_topic(controller, grow, topic) == E_LOCAL_NO_MEMORY) {
            error = E_LOCAL_NO_MEMORY;
        }
    }
    return error;
}

static struct failure *create_partitions_failure_at(struct controller_request *request,
                                                    size_t index)
{
    struct controller_create_partitions *grow = grow_of(request);
    return index < grow->topic_count ? &grow->topics[index].failure : NULL;
}

static bool create_partitions_validates_only(struct controller_request *request)
{
    return container_of(request, struct controller_create_partitions, request)->validate_only;
}

static bool create_partitions_answers_early(struct controller_request *request)
{
    return container_of(request, struct controller_create_partitions, request)->timeout_ms <= 0;
}

const struct controller_operation create_partitions_operation = {
    .prepare = create_partitions_prepare,
    .failure_at = create_partitions_failure_at,
    .validates_only = create_partitions_validates_only,
    .answers_early = create_partitions_answers_early,
};
