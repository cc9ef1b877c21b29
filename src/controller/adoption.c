/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/adoption.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GAP_TEXT_SIZE = 200,
};

static int compare_found(const void *a, const void *b)
{
    const struct found_partition *left = a;
    const struct found_partition *right = b;
    const int order = slice_compare(left->topic, right->topic);
    if (order != 0) {
        return order;
    }
    return left->partition < right->partition ? -1 : left->partition > right->partition;
}

void found_sort(struct found_partition *found, size_t count)
{
    if (count > 1) {
        qsort(found, count, sizeof(*found), compare_found);
    }
}

enum error found_next_topic(struct arena *arena, struct found_partition *found, size_t count,
                            struct found_topic *ret_topic, const char **ret_text)
{
    struct found_topic topic = {.name = found[0].topic, .partitions = found};
    for (; topic.partition_count < count; topic.partition_count++) {
        const struct found_partition *it = &found[topic.partition_count];
        if (!slice_equal(it->topic, topic.name)) {
            break;
        }
        if (uuid_is_zero(&it->topic_id)) {
            continue;
        }
        if (uuid_is_zero(&topic.id)) {
            topic.id = it->topic_id;
        } else if (!uuid_equal(&it->topic_id, &topic.id)) {
            *ret_text = arena_printf(arena,
                                     "partitions of topic %.*s on disk have different topic ids "
                                     "(partition.metadata): move those of the deleted topic away",
                                     SLICE_ARGS(topic.name));
            return E_LOCAL_BAD_CONFIG;
        }
    }
    *ret_topic = topic;
    return E_OK;
}

/* "2, 5, 6, ..." of the numbers below count that were not found. */
static void list_gaps(const struct image_partition *parts, uint32_t count, char *text)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].replicas != NULL) {
            continue;
        }
        if (at + 20 > GAP_TEXT_SIZE) {
            (void)snprintf(text + at, GAP_TEXT_SIZE - at, ", ...");
            return;
        }
        at += (size_t)snprintf(text + at, GAP_TEXT_SIZE - at, "%s%" PRIu32, at == 0 ? "" : ", ", i);
    }
}

static bool has_gap(const struct image_partition *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].replicas == NULL) {
            return true;
        }
    }
    return false;
}

static void place_found(const struct controller *controller, const struct found_partition *found,
                        struct image_partition *part)
{
    if (part->directory != UINT32_MAX) {
        return; /* in two directories: the log manager decides; the first was taken */
    }
    part->directory = found->directory;
    if (found->latest_epoch >= part->leader_epoch && found->latest_epoch < INT32_MAX) {
        part->leader_epoch = found->latest_epoch + 1;
    }
    if (part->replicas == NULL) {
        part->replicas = &controller->broker_id;
        part->replica_count = 1;
    }
}

static enum error merge_partitions(struct controller *controller, struct arena *arena,
                                   const struct found_topic *found, struct image_topic *spec,
                                   const char **ret_text)
{
    const struct found_partition *last = &found->partitions[found->partition_count - 1];
    const uint32_t found_count = (uint32_t)last->partition + 1;
    const uint32_t count =
        found_count > spec->partition_count ? found_count : spec->partition_count;
    struct image_partition *parts = ARENA_NEW_ARRAY(arena, struct image_partition, count);
    if (parts == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i < spec->partition_count) {
            parts[i] = spec->partitions[i];
        }
        parts[i].directory = UINT32_MAX;
    }
    for (size_t i = 0; i < found->partition_count; i++) {
        place_found(controller, &found->partitions[i], &parts[found->partitions[i].partition]);
    }
    if (has_gap(parts, count)) {
        char gaps[GAP_TEXT_SIZE];
        list_gaps(parts, count, gaps);
        *ret_text = arena_printf(arena,
                                 "topic %.*s has partitions on disk up to %" PRIu32
                                 " but not %s: bring their log directory, or move the topic's "
                                 "directories away",
                                 SLICE_ARGS(found->name), count - 1, gaps);
        return E_LOCAL_BAD_CONFIG;
    }
    spec->partitions = parts;
    spec->partition_count = count;
    return E_OK;
}

enum error found_merge(struct controller *controller, struct arena *arena,
                       const struct found_topic *found, struct image_topic *spec,
                       const char **ret_text)
{
    const bool is_known = spec->partition_count > 0;
    if (is_known && !uuid_is_zero(&found->id) && !uuid_equal(&found->id, &spec->id)) {
        char on_disk[UUID_TEXT_SIZE + 1];
        char stored[UUID_TEXT_SIZE + 1];
        uuid_format(&found->id, on_disk);
        uuid_format(&spec->id, stored);
        *ret_text = arena_printf(arena,
                                 "topic %.*s has the id %s on disk (partition.metadata) but %s in "
                                 "the metadata store: move the directories of the topic that is "
                                 "not wanted away",
                                 SLICE_ARGS(found->name), on_disk, stored);
        return E_LOCAL_BAD_CONFIG;
    }
    if (!is_known) {
        spec->id = uuid_is_zero(&found->id) ? uuid_random(controller->rng) : found->id;
    }
    return merge_partitions(controller, arena, found, spec, ret_text);
}
