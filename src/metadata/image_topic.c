/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/list.h"
#include "config/topic_config.h"
#include "metadata/image_private.h"

/*
 * One block per topic:
 *
 *   image_topic | partitions[] | configs[] | broker ids … | bytes of name and configs …
 *
 * Equal lists of brokers are stored once where they follow each other: a topic of one broker has
 * one list of one id for all its partitions, replicas and ISR.
 */

static bool same_brokers(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count)
{
    return a_count == b_count && memcmp(a, b, a_count * sizeof(*a)) == 0;
}

static bool same_replicas_as_previous(const struct image_topic *spec, uint32_t index)
{
    if (index == 0) {
        return false;
    }
    const struct image_partition *part = &spec->partitions[index];
    const struct image_partition *previous = part - 1;
    return same_brokers(part->replicas, part->replica_count, previous->replicas,
                        previous->replica_count);
}

static bool isr_is_all_replicas(const struct image_partition *part)
{
    return same_brokers(part->replicas, part->replica_count, part->isr, part->isr_count);
}

static size_t topic_broker_id_count(const struct image_topic *spec)
{
    size_t count = 0;
    for (uint32_t i = 0; i < spec->partition_count; i++) {
        const struct image_partition *part = &spec->partitions[i];
        if (!same_replicas_as_previous(spec, i)) {
            count += part->replica_count;
        }
        if (!isr_is_all_replicas(part)) {
            count += part->isr_count;
        }
    }
    return count;
}

static size_t topic_byte_count(const struct image_topic *spec)
{
    size_t size = spec->name.size;
    for (uint32_t i = 0; i < spec->config_count; i++) {
        size += spec->configs[i].name.size + spec->configs[i].value.size;
    }
    return size;
}

static struct slice put_bytes(uint8_t **at, struct slice bytes)
{
    if (slice_is_null(bytes)) {
        return SLICE_NULL;
    }
    if (bytes.size > 0) {
        memcpy(*at, bytes.data, bytes.size);
    }
    const struct slice copy = slice_of(*at, bytes.size);
    *at += bytes.size;
    return copy;
}

static const int32_t *put_broker_ids(int32_t **at, const int32_t *ids, uint32_t count)
{
    int32_t *copy = *at;
    if (count > 0) {
        memcpy(copy, ids, count * sizeof(*ids));
    }
    *at += count;
    return copy;
}

static void put_partitions(const struct image_topic *spec, struct image_partition *parts,
                           int32_t *ids)
{
    for (uint32_t i = 0; i < spec->partition_count; i++) {
        const struct image_partition *from = &spec->partitions[i];
        parts[i] = *from;
        parts[i].replicas = same_replicas_as_previous(spec, i)
                                ? parts[i - 1].replicas
                                : put_broker_ids(&ids, from->replicas, from->replica_count);
        parts[i].isr = isr_is_all_replicas(from) ? parts[i].replicas
                                                 : put_broker_ids(&ids, from->isr, from->isr_count);
    }
}

static int compare_configs(const void *a, const void *b)
{
    return slice_compare(((const struct config_entry *)a)->name,
                         ((const struct config_entry *)b)->name);
}

static void image_topic_destroy(struct shared *shared)
{
    free(container_of(shared, struct image_topic, shared));
}

struct image_topic *image_topic_copy(const struct image_topic *spec)
{
    const size_t part_size = spec->partition_count * sizeof(struct image_partition);
    const size_t config_size = spec->config_count * sizeof(struct config_entry);
    const size_t id_size = topic_broker_id_count(spec) * sizeof(int32_t);
    const size_t byte_count = topic_byte_count(spec);
    struct image_topic *topic =
        malloc(sizeof(*topic) + part_size + config_size + id_size + byte_count);
    if (topic == NULL) {
        return NULL;
    }
    uint8_t *at = (uint8_t *)(topic + 1);
    struct image_partition *parts = (struct image_partition *)(void *)at;
    struct config_entry *configs = (struct config_entry *)(void *)(at + part_size);
    int32_t *ids = (int32_t *)(void *)(at + part_size + config_size);
    uint8_t *bytes = at + part_size + config_size + id_size;

    *topic = *spec;
    shared_init(&topic->shared, image_topic_destroy);
    topic->name = put_bytes(&bytes, spec->name);
    topic->partitions = parts;
    topic->configs = configs;
    put_partitions(spec, parts, ids);
    for (uint32_t i = 0; i < spec->config_count; i++) {
        configs[i].name = put_bytes(&bytes, spec->configs[i].name);
        configs[i].value = put_bytes(&bytes, spec->configs[i].value);
    }
    if (spec->config_count > 1) {
        qsort(configs, spec->config_count, sizeof(*configs), compare_configs);
    }
    return topic;
}

enum error image_topic_settings(const struct image *image, const struct image_topic *topic,
                                struct arena *arena, struct topic_settings *ret_settings)
{
    return topic_settings_resolve(image->settings, topic->configs, topic->config_count, arena,
                                  ret_settings);
}
