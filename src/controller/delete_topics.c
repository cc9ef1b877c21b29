/* SPDX-License-Identifier: Apache-2.0 */

/*
 * DeleteTopics. The topic goes from store and image at once; /admin/delete_topics/<topic id> stays
 * until the broker says that the logs are gone, so that directories that a crash left behind
 * are not taken for partitions of an unknown topic at the next start. (Kafka's node there is the
 * topic's name, which may by then be that of a new topic.)
 */

#include "controller/controller_private.h"
#include "controller/duplicates.h"

static struct controller_delete_topics *delete_of(struct controller_request *request)
{
    return container_of(request, struct controller_delete_topics, request);
}

/* As the request has it: before any answer is filled in. */
static void check_item(struct controller_delete_topics *delete,
                       struct controller_deleted_topic *topic, bool is_duplicate)
{
    const bool has_name = !slice_is_null(topic->name);
    const bool has_id = !uuid_is_zero(&topic->topic_id);
    if (has_name == has_id) {
        controller_fail(&delete->request, &topic->failure, E_INVALID_REQUEST, "%s",
                        has_name ? "You may not specify both topic name and topic id."
                                 : "Neither topic name nor id were specified.");
    } else if (is_duplicate) {
        controller_fail(&delete->request, &topic->failure, E_INVALID_REQUEST, "Duplicate topic %s.",
                        has_name ? "name" : "id");
    }
}

static enum error check_items(struct controller *controller,
                              struct controller_delete_topics *delete)
{
    struct arena *arena = &controller->plan.arena;
    struct slice *keys = ARENA_NEW_ARRAY(arena, struct slice, delete->topic_count);
    bool *is_duplicate;
    if (keys == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < delete->topic_count; i++) {
        const struct controller_deleted_topic *topic = &delete->topics[i];
        keys[i] = slice_is_null(topic->name)
                      ? slice_of(topic->topic_id.bytes, sizeof(topic->topic_id.bytes))
                      : topic->name;
    }
    const enum error error = find_duplicates(arena, keys, delete->topic_count, &is_duplicate);
    for (size_t i = 0; i < delete->topic_count && error == E_OK; i++) {
        check_item(delete, &delete->topics[i], is_duplicate[i]);
    }
    return error;
}

static const struct image_topic *find(struct controller *controller,
                                      struct controller_delete_topics *delete,
                                      struct controller_deleted_topic *topic)
{
    const struct plan *plan = &controller->plan;
    const bool has_name = !slice_is_null(topic->name);
    const struct image_topic *found = has_name
                                          ? image_find_topic(plan->image, topic->name)
                                          : image_find_topic_by_id(plan->image, &topic->topic_id);
    if (found == NULL) {
        controller_fail(&delete->request, &topic->failure,
                        has_name ? E_UNKNOWN_TOPIC_OR_PARTITION : E_UNKNOWN_TOPIC_ID, "%s",
                        has_name ? "This server does not host this topic-partition."
                                 : "This server does not host this topic ID.");
    } else if (image_builder_find_topic(plan->builder, found->name) == NULL) {
        /* Once by name and once by id. */
        controller_fail(&delete->request, &topic->failure, E_INVALID_REQUEST,
                        "The provided topic name maps to an ID that was already supplied.");
        found = NULL;
    }
    return found;
}

static enum error delete_topic(struct controller *controller,
                               struct controller_delete_topics *delete,
                               struct controller_deleted_topic *topic)
{
    struct plan *plan = &controller->plan;
    const struct image_topic *found = find(controller, delete, topic);
    if (found == NULL) {
        return E_OK;
    }
    topic->topic_id = found->id;
    topic->name = arena_copy(delete->request.arena, found->name);
    char id[UUID_TEXT_SIZE + 1];
    uuid_format(&found->id, id);
    enum error error = slice_is_null(topic->name) ? E_LOCAL_NO_MEMORY : E_OK;
    if (error == E_OK) {
        error = plan_create(plan, 0, found->name, "/admin/delete_topics/%s", id);
    }
    if (error == E_OK) {
        error = plan_delete(plan, "/brokers/topics/%.*s", SLICE_ARGS(found->name));
    }
    if (error == E_OK) {
        error = plan_delete(plan, "/config/topics/%.*s", SLICE_ARGS(found->name));
    }
    if (error == E_OK && found->is_held) {
        error = plan_delete(plan, "/ottla/held/%.*s", SLICE_ARGS(found->name));
    }
    return error == E_OK ? image_builder_remove_topic(plan->builder, found->name) : error;
}

static enum error delete_topics_prepare(struct controller *controller,
                                        struct controller_request *request)
{
    struct controller_delete_topics *delete = delete_of(request);
    const bool is_enabled =
        settings_boolean(controller->plan.image->settings, SETTING_DELETE_TOPIC_ENABLE);
    if (!is_enabled) {
        for (size_t i = 0; i < delete->topic_count; i++) {
            delete->topics[i].failure = (struct failure){.code = E_TOPIC_DELETION_DISABLED,
                                                         .text = "Topic deletion is disabled."};
        }
        return E_OK;
    }
    enum error error = check_items(controller, delete);
    for (size_t i = 0; i < delete->topic_count && error == E_OK; i++) {
        if (delete->topics[i].failure.code == E_OK) {
            error = delete_topic(controller, delete, &delete->topics[i]);
        }
    }
    return error;
}

static struct failure *delete_topics_failure_at(struct controller_request *request, size_t index)
{
    struct controller_delete_topics *delete = delete_of(request);
    return index < delete->topic_count ? &delete->topics[index].failure : NULL;
}

static bool delete_topics_answers_early(struct controller_request *request)
{
    return container_of(request, struct controller_delete_topics, request)->timeout_ms <= 0;
}

const struct controller_operation delete_topics_operation = {
    .prepare = delete_topics_prepare,
    .failure_at = delete_topics_failure_at,
    .answers_early = delete_topics_answers_early,
};

/* --- the broker's word that the logs are gone --- */

static enum error logs_deleted_prepare(struct controller *controller,
                                       struct controller_request *request)
{
    struct controller_topic_logs_deleted *done =
        container_of(request, struct controller_topic_logs_deleted, request);
    char id[UUID_TEXT_SIZE + 1];
    uuid_format(&done->topic_id, id);
    return plan_delete(&controller->plan, "/admin/delete_topics/%s", id);
}

static struct failure *logs_deleted_failure_at(struct controller_request *request, size_t index)
{
    struct controller_topic_logs_deleted *done =
        container_of(request, struct controller_topic_logs_deleted, request);
    return index == 0 ? &done->failure : NULL;
}

const struct controller_operation topic_logs_deleted_operation = {
    .prepare = logs_deleted_prepare,
    .failure_at = logs_deleted_failure_at,
};
