/* SPDX-License-Identifier: Apache-2.0 */

/* DescribeLogDirs (KIP-113; KIP-827 sizes of the file systems). */

#include "protocol/messages/describe_log_dirs.h"

#include "broker/api/api_handlers.h"
#include "broker/asked_partitions.h"

struct log_dirs_call {
    struct asked_partitions asked;
    struct describe_log_dirs_response *response;
};

/* Partitions of one topic stand side by side. */
static bool fill_topics(struct log_dirs_call *dirs, uint32_t directory,
                        struct describe_log_dirs_response_describe_log_dirs_result *result)
{
    const struct asked_partitions *asked = &dirs->asked;
    struct arena *arena = call_arena(asked->call);
    struct describe_log_dirs_response_describe_log_dirs_topic *topics =
        MESSAGE_NEW_ARRAY(arena, describe_log_dirs_response_describe_log_dirs_topic, asked->count);
    struct describe_log_dirs_response_describe_log_dirs_partition *next = MESSAGE_NEW_ARRAY(
        arena, describe_log_dirs_response_describe_log_dirs_partition, asked->count);
    if (topics == NULL || next == NULL) {
        return false;
    }
    const struct hosted_topic *previous = NULL;
    result->topics.items = topics;
    for (uint32_t i = 0; i < asked->count; i++) {
        const struct partition *part = asked->items[i].part;
        struct log *log = part == NULL || part->entry == NULL ? NULL : part->log;
        if (log == NULL || part->directory != directory) {
            continue; /* not here, deleted meanwhile, offline, or in another one */
        }
        if (part->topic != previous) {
            previous = part->topic;
            topics[result->topics.count].name = part->topic->name;
            topics[result->topics.count].partitions.items = next;
            result->topics.count++;
        }
        next->partition_index = part->index;
        next->partition_size = log_size(log);
        next++;
        topics[result->topics.count - 1].partitions.count++;
    }
    return true;
}

static bool fill_directory(struct log_dirs_call *dirs, uint32_t directory,
                           struct describe_log_dirs_response_describe_log_dirs_result *result)
{
    struct log_directory_status status;
    log_manager_directory_status(dirs->asked.call->broker->logs, directory, &status);
    result->log_dir = slice_from_string(status.path);
    if (status.error != E_OK) {
        result->error_code = error_to_wire(E_KAFKA_STORAGE_ERROR);
        return true;
    }
    result->total_bytes = status.total_bytes;
    result->usable_bytes = status.free_bytes;
    return fill_topics(dirs, directory, result);
}

static bool fill(struct log_dirs_call *dirs)
{
    struct call *call = dirs->asked.call;
    const uint32_t count = log_manager_directory_count(call->broker->logs);
    struct describe_log_dirs_response_describe_log_dirs_result *results = MESSAGE_NEW_ARRAY(
        call_arena(call), describe_log_dirs_response_describe_log_dirs_result, count);
    if (results == NULL) {
        return false;
    }
    dirs->response->results.items = results;
    dirs->response->results.count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!fill_directory(dirs, i, &results[i])) {
            return false;
        }
    }
    return true;
}

static void on_ready(struct asked_partitions *asked)
{
    struct log_dirs_call *dirs = container_of(asked, struct log_dirs_call, asked);
    const bool has_memory = fill(dirs);
    asked_partitions_release(asked);
    if (has_memory) {
        call_respond(asked->call, dirs->response);
    } else {
        call_no_memory(asked->call);
    }
}

static void add_topic(struct asked_partitions *asked, const struct hosted_topic *topic)
{
    const uint32_t count = replica_manager_partition_count(topic);
    for (uint32_t i = 0; i < count; i++) {
        (void)asked_partitions_add_found(asked, replica_manager_partition(topic, (int32_t)i), E_OK);
    }
}

static bool add_all(struct log_dirs_call *dirs, struct call *call)
{
    const struct image *image = call_image(call);
    uint32_t count = 0;
    for (const struct image_topic *topic = image_next_topic(image, NULL); topic != NULL;
         topic = image_next_topic(image, topic)) {
        const struct hosted_topic *hosted =
            replica_manager_find_topic(call->broker->replicas, topic->name);
        count += hosted == NULL ? 0 : replica_manager_partition_count(hosted);
    }
    if (!asked_partitions_init(&dirs->asked, call, count, on_ready)) {
        return false;
    }
    for (const struct image_topic *topic = image_next_topic(image, NULL); topic != NULL;
         topic = image_next_topic(image, topic)) {
        const struct hosted_topic *hosted =
            replica_manager_find_topic(call->broker->replicas, topic->name);
        if (hosted != NULL) {
            add_topic(&dirs->asked, hosted);
        }
    }
    return true;
}

/* What is not here is left out, as in Kafka. */
static bool add_asked(struct log_dirs_call *dirs, struct call *call,
                      const struct describe_log_dirs_request *request)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->topics.count; i++) {
        count += request->topics.items[i].partitions.count;
    }
    if (!asked_partitions_init(&dirs->asked, call, count, on_ready)) {
        return false;
    }
    for (uint32_t i = 0; i < request->topics.count; i++) {
        const struct describe_log_dirs_request_describable_log_dir_topic *topic =
            &request->topics.items[i];
        const struct hosted_topic *hosted =
            replica_manager_find_topic(call->broker->replicas, topic->topic);
        for (uint32_t j = 0; hosted != NULL && j < topic->partitions.count; j++) {
            (void)asked_partitions_add_found(
                &dirs->asked, replica_manager_partition(hosted, topic->partitions.items[j]), E_OK);
        }
    }
    return true;
}

void api_describe_log_dirs(struct call *call)
{
    const struct describe_log_dirs_request *request = call->body;
    struct log_dirs_call *dirs = ARENA_NEW(call_arena(call), struct log_dirs_call);
    struct describe_log_dirs_response *response =
        MESSAGE_NEW(call_arena(call), describe_log_dirs_response);
    if (dirs == NULL || response == NULL) {
        call_no_memory(call);
        return;
    }
    if (!call_allows(call, ACL_DESCRIBE, ACL_CLUSTER, ACL_CLUSTER_NAME)) {
        response->error_code = error_to_wire(E_CLUSTER_AUTHORIZATION_FAILED);
        call_respond(call, response);
        return;
    }
    dirs->response = response;
    if (!(ARRAY_IS_NULL(request->topics) ? add_all(dirs, call) : add_asked(dirs, call, request))) {
        call_no_memory(call);
        return;
    }
    asked_partitions_await(&dirs->asked);
}
