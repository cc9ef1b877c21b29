/* SPDX-License-Identifier: Apache-2.0 */

/* CreateTopics. Texts are Kafka 4's where Kafka has one. */

#include "controller/assignment.h"
#include "controller/collisions.h"
#include "controller/controller_private.h"
#include "controller/duplicates.h"
#include "controller/node_json.h"
#include "controller/placement.h"
#include "controller/topic_name.h"

enum {
    PARTITION_COUNT_MAX = 10000, /* of one request, as Kafka: one record batch of its log */
};

struct creation {
    struct controller *controller;
    struct controller_create_topics *create;
    uint32_t partition_count; /* of the request so far */
};

static struct controller_create_topics *create_of(struct controller_request *request)
{
    return container_of(request, struct controller_create_topics, request);
}

static void check_name(struct creation *creation, struct controller_new_topic *topic)
{
    struct controller_request *request = &creation->create->request;
    const struct plan *plan = &creation->controller->plan;
    const char *problem = topic_name_problem(topic->name, request->arena);
    if (problem != NULL) {
        controller_fail(request, &topic->failure, E_INVALID_TOPIC_EXCEPTION, "%s", problem);
    } else if (image_find_topic(plan->image, topic->name) != NULL) {
        controller_fail(request, &topic->failure, E_TOPIC_ALREADY_EXISTS,
                        "Topic '%.*s' already exists.", SLICE_ARGS(topic->name));
    }
}

/* Names, first: all that stand twice, then what each says by itself, then collisions. */
static enum error check_names(struct creation *creation)
{
    struct controller_create_topics *create = creation->create;
    struct arena *arena = &creation->controller->plan.arena;
    struct slice *names = ARENA_NEW_ARRAY(arena, struct slice, create->topic_count);
    bool *is_duplicate;
    if (names == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < create->topic_count; i++) {
        names[i] = create->topics[i].name;
    }
    const enum error error = find_duplicates(arena, names, create->topic_count, &is_duplicate);
    if (error != E_OK) {
        return error;
    }
    for (size_t i = 0; i < create->topic_count; i++) {
        if (is_duplicate[i]) {
            controller_fail(&create->request, &create->topics[i].failure, E_INVALID_REQUEST,
                            "Duplicate topic name.");
        } else {
            check_name(creation, &create->topics[i]);
        }
    }
    return fail_collisions(creation->controller, create);
}

/* --- partitions and replicas --- */

static enum error assign_manually(struct creation *creation, struct controller_new_topic *topic,
                                  struct image_topic *spec, struct image_partition *parts)
{
    struct controller_request *request = &creation->create->request;
    struct assignment_rules rules = {.image = creation->controller->plan.image};
    if (topic->replication_factor != -1) {
        controller_fail(request, &topic->failure, E_INVALID_REQUEST,
                        "A manual partition assignment was specified, but replication factor was "
                        "not set to -1.");
        return topic->failure.code;
    }
    if (topic->partition_count != -1) {
        controller_fail(request, &topic->failure, E_INVALID_REQUEST,
                        "A manual partition assignment was specified, but numPartitions was not "
                        "set to -1.");
        return topic->failure.code;
    }
    for (uint32_t i = 0; i < topic->assignment_count; i++) {
        const struct controller_assignment *assignment = &topic->assignments[i];
        if (assignment->partition < 0 ||
            (uint32_t)assignment->partition >= topic->assignment_count) {
            controller_fail(request, &topic->failure, E_INVALID_REPLICA_ASSIGNMENT,
                            "partitions should be a consecutive 0-based integer sequence");
            return topic->failure.code;
        }
        struct image_partition *part = &parts[assignment->partition];
        if (part->replicas != NULL) {
            controller_fail(request, &topic->failure, E_INVALID_REPLICA_ASSIGNMENT,
                            "Found multiple manual partition assignments for partition %d",
                            assignment->partition);
            return topic->failure.code;
        }
        const enum error error = assignment_check(request, &rules, assignment, &topic->failure);
        if (error != E_OK) {
            return error;
        }
        part->replicas = assignment->broker_ids;
        part->replica_count = assignment->broker_count;
    }
    topic->replication_factor_made = (int16_t)rules.replication_factor;
    spec->partition_count = topic->assignment_count;
    return E_OK;
}

static enum error check_counts(struct creation *creation, struct controller_new_topic *topic)
{
    struct controller_request *request = &creation->create->request;
    if (topic->partition_count == 0 || topic->partition_count < -1) {
        controller_fail(request, &topic->failure, E_INVALID_PARTITIONS,
                        "Number of partitions was set to an invalid non-positive value.");
    } else if (topic->replication_factor == 0 || topic->replication_factor < -1) {
        controller_fail(request, &topic->failure, E_INVALID_REPLICATION_FACTOR,
                        "Replication factor was set to an invalid non-positive value.");
    }
    return topic->failure.code;
}

static enum error assign_by_counts(struct creation *creation, struct controller_new_topic *topic,
                                   struct image_topic *spec, struct image_partition *parts)
{
    const struct image *image = creation->controller->plan.image;
    const uint32_t factor = (uint32_t)topic->replication_factor_made;
    if (factor > image->broker_count) {
        controller_fail(&creation->create->request, &topic->failure, E_INVALID_REPLICATION_FACTOR,
                        "Unable to replicate the partition %u time(s): The target replication "
                        "factor of %u cannot be reached because only %u broker(s) are registered.",
                        factor, factor, image->broker_count);
        return topic->failure.code;
    }
    return place_partitions(
        &creation->controller->plan.arena, creation->controller->rng, image,
        (struct placement){.partition_count = spec->partition_count, .replication_factor = factor},
        parts);
}

/* The counts that will be, within the limit of the request. */
static enum error resolve_counts(struct creation *creation, struct controller_new_topic *topic)
{
    const struct settings *settings = creation->controller->plan.image->settings;
    topic->partition_count_made =
        topic->assignment_count > 0 ? (int32_t)topic->assignment_count : topic->partition_count;
    if (topic->partition_count_made == -1) {
        topic->partition_count_made = settings_int32(settings, SETTING_NUM_PARTITIONS);
    }
    topic->replication_factor_made = topic->replication_factor;
    if (topic->replication_factor == -1 && topic->assignment_count == 0) {
        topic->replication_factor_made =
            (int16_t)settings_int32(settings, SETTING_DEFAULT_REPLICATION_FACTOR);
    }
    const uint32_t count = (uint32_t)topic->partition_count_made;
    if (count > PARTITION_COUNT_MAX - creation->partition_count) {
        controller_fail(&creation->create->request, &topic->failure, E_POLICY_VIOLATION,
                        "Excessively large number of partitions per request.");
        return topic->failure.code;
    }
    return E_OK;
}

static enum error assign(struct creation *creation, struct controller_new_topic *topic,
                         struct image_topic *spec)
{
    enum error error = topic->assignment_count > 0 ? E_OK : check_counts(creation, topic);
    if (error == E_OK) {
        error = resolve_counts(creation, topic);
    }
    if (error != E_OK) {
        return error;
    }
    spec->partition_count = (uint32_t)topic->partition_count_made;
    struct image_partition *parts = ARENA_NEW_ARRAY(&creation->controller->plan.arena,
                                                    struct image_partition, spec->partition_count);
    if (parts == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    error = topic->assignment_count > 0 ? assign_manually(creation, topic, spec, parts)
                                        : assign_by_counts(creation, topic, spec, parts);
    for (uint32_t i = 0; i < spec->partition_count && error == E_OK; i++) {
        parts[i].directory = UINT32_MAX;
        controller_lead(creation->controller, &parts[i]);
    }
    spec->partitions = parts;
    return error;
}

/* --- one topic --- */

static bool has_duplicate_configs(const struct controller_new_topic *topic)
{
    for (uint32_t i = 0; i < topic->config_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (slice_equal(topic->configs[k].name, topic->configs[i].name)) {
                return true;
            }
        }
    }
    return false;
}

static enum error check_configs(struct creation *creation, struct controller_new_topic *topic)
{
    struct controller_request *request = &creation->create->request;
    if (topic->config_count > SETTING_TOPIC_COUNT) { /* so that what follows may be quadratic */
        controller_fail(request, &topic->failure, E_INVALID_CONFIG,
                        "There are more configs than names of configs");
        return topic->failure.code;
    }
    for (uint32_t i = 0; i < topic->config_count; i++) {
        const struct config_entry *entry = &topic->configs[i];
        if (slice_is_null(entry->value)) {
            controller_fail(request, &topic->failure, E_INVALID_CONFIG,
                            "Null value not supported for topic configs: %.*s",
                            SLICE_ARGS(entry->name));
            return topic->failure.code;
        }
    }
    if (has_duplicate_configs(topic)) {
        controller_fail(request, &topic->failure, E_INVALID_REQUEST,
                        "Error due to duplicate config keys");
        return topic->failure.code;
    }
    return controller_check_topic_configs(creation->controller, request, topic->configs,
                                          topic->config_count, &topic->failure);
}

static enum error write_topic(struct controller *controller, const struct image_topic *spec)
{
    struct plan *plan = &controller->plan;
    const struct slice node = node_encode_topic(&plan->arena, spec);
    const struct slice configs =
        node_encode_configs(&plan->arena, spec->configs, spec->config_count);
    if (slice_is_null(node) || slice_is_null(configs)) {
        return E_LOCAL_NO_MEMORY;
    }
    enum error error = plan_create(plan, 0, configs, "/config/topics/%.*s", SLICE_ARGS(spec->name));
    if (error == E_OK) {
        error = plan_create(plan, 0, node, "/brokers/topics/%.*s", SLICE_ARGS(spec->name));
    }
    return error == E_OK ? image_builder_put_topic(plan->builder, spec) : error;
}

static enum error create_topic(struct creation *creation, struct controller_new_topic *topic)
{
    struct image_topic spec = {
        .name = topic->name,
        .is_internal = topic_name_is_internal(topic->name),
        .configs = topic->configs,
        .config_count = topic->config_count,
    };
    enum error error = assign(creation, topic, &spec);
    if (error == E_OK) {
        error = check_configs(creation, topic);
    }
    if (error != E_OK) {
        return error;
    }
    creation->partition_count += spec.partition_count;
    if (creation->create->validate_only) {
        return E_OK;
    }
    do {
        spec.id = uuid_random(creation->controller->rng);
    } while (image_find_topic_by_id(creation->controller->plan.image, &spec.id) != NULL);
    topic->topic_id = spec.id;
    return write_topic(creation->controller, &spec);
}

static enum error create_topics_prepare(struct controller *controller,
                                        struct controller_request *request)
{
    struct creation creation = {.controller = controller, .create = create_of(request)};
    enum error error = check_names(&creation);
    for (size_t i = 0; i < creation.create->topic_count && error == E_OK; i++) {
        struct controller_new_topic *topic = &creation.create->topics[i];
        topic->topic_id = UUID_ZERO;
        if (topic->failure.code == E_OK && create_topic(&creation, topic) == E_LOCAL_NO_MEMORY) {
            error = E_LOCAL_NO_MEMORY;
        }
    }
    return error;
}

static struct failure *create_topics_failure_at(struct controller_request *request, size_t index)
{
    struct controller_create_topics *create = create_of(request);
    return index < create->topic_count ? &create->topics[index].failure : NULL;
}

static bool create_topics_validates_only(struct controller_request *request)
{
    return container_of(request, struct controller_create_topics, request)->validate_only;
}

static bool create_topics_answers_early(struct controller_request *request)
{
    return container_of(request, struct controller_create_topics, request)->timeout_ms <= 0;
}

const struct controller_operation create_topics_operation = {
    .prepare = create_topics_prepare,
    .failure_at = create_topics_failure_at,
    .validates_only = create_topics_validates_only,
    .answers_early = create_topics_answers_early,
};
