/* SPDX-License-Identifier: Apache-2.0 */
#include "replication/replica_manager.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replication/partition_private.h"

enum {
    /* Workers are few; more at once would only wait in their queue. */
    BACKGROUND_LOAD_COUNT_MAX = 4,
};

struct replica_manager {
    struct replica_manager_options options;
    struct hash_table by_name;
    struct hash_table by_id;
    /* The topic found last: most requests of a connection, and of many, are for one topic, and
     * comparing its name costs a tenth of the hash. NULL: none. */
    struct hosted_topic *last_found;
    struct list failures; /* struct partition_append.node */
    struct deferred deferred_failures;
    struct log_entry *load_cursor; /* background load: the entry looked at last */
    uint32_t background_load_count;
    bool loads_all;
};

/* --- what partitions need --- */

struct log_manager *replica_manager_logs(struct replica_manager *manager)
{
    return manager->options.logs;
}

struct diag *replica_manager_diag(struct replica_manager *manager)
{
    return manager->options.diag;
}

bool replica_manager_acks_after_fsync(const struct replica_manager *manager)
{
    return manager->options.ack_after_fsync;
}

static void run_failures(struct deferred *deferred)
{
    struct replica_manager *manager =
        container_of(deferred, struct replica_manager, deferred_failures);
    struct list *node;
    while ((node = list_pop_front(&manager->failures)) != NULL) {
        struct partition_append *op = container_of(node, struct partition_append, node);
        op->on_done(op);
    }
}

void replica_manager_defer_failure(struct replica_manager *manager, struct partition_append *op)
{
    list_push_back(&manager->failures, &op->node);
    loop_defer(manager->options.loop, &manager->deferred_failures, PHASE_WRITE);
}

/* --- life --- */

enum error replica_manager_new(const struct replica_manager_options *options,
                               struct replica_manager **ret_manager)
{
    struct replica_manager *manager = calloc(1, sizeof(*manager));
    if (manager == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    manager->options = *options;
    hash_table_init(&manager->by_name, options->seed);
    hash_table_init(&manager->by_id, options->seed + 1);
    list_init(&manager->failures);
    deferred_init(&manager->deferred_failures, run_failures);
    *ret_manager = manager;
    return E_OK;
}

static void drop_partition(struct partition *part)
{
    part->is_deleted = true;
    part->topic = NULL;
    partition_go_offline(part, E_UNKNOWN_TOPIC_OR_PARTITION);
    (void)partition_unref(part);
}

static void free_topic(struct hosted_topic *topic)
{
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        if (topic->partitions[i] != NULL) {
            drop_partition(topic->partitions[i]);
        }
    }
    free(topic->partitions);
    free(topic);
}

void replica_manager_free(struct replica_manager *manager)
{
    if (manager == NULL) {
        return;
    }
    struct hash_node *node;
    while ((node = hash_table_next(&manager->by_name, NULL)) != NULL) {
        struct hosted_topic *topic = container_of(node, struct hosted_topic, by_name);
        hash_table_remove(&manager->by_name, &topic->by_name);
        hash_table_remove(&manager->by_id, &topic->by_id);
        free_topic(topic);
    }
    hash_table_done(&manager->by_name);
    hash_table_done(&manager->by_id);
    free(manager);
}

/* --- look-up --- */

struct hosted_topic *replica_manager_find_topic(struct replica_manager *manager, struct slice name)
{
    if (manager->last_found != NULL && slice_equal(manager->last_found->name, name)) {
        return manager->last_found;
    }
    const uint64_t hash = hash_bytes(name, manager->by_name.seed);
    for (struct hash_node *node = hash_table_find(&manager->by_name, hash); node != NULL;
         node = hash_node_next(node)) {
        struct hosted_topic *topic = container_of(node, struct hosted_topic, by_name);
        if (slice_equal(topic->name, name)) {
            manager->last_found = topic;
            return topic;
        }
    }
    return NULL;
}

struct hosted_topic *replica_manager_find_topic_by_id(struct replica_manager *manager,
                                                      const struct uuid *id)
{
    if (manager->last_found != NULL && uuid_equal(&manager->last_found->id, id)) {
        return manager->last_found;
    }
    const uint64_t hash = hash_bytes(slice_of(id->bytes, sizeof(id->bytes)), manager->by_id.seed);
    for (struct hash_node *node = hash_table_find(&manager->by_id, hash); node != NULL;
         node = hash_node_next(node)) {
        struct hosted_topic *topic = container_of(node, struct hosted_topic, by_id);
        if (uuid_equal(&topic->id, id)) {
            manager->last_found = topic;
            return topic;
        }
    }
    return NULL;
}

struct partition *replica_manager_partition(const struct hosted_topic *topic, int32_t index)
{
    if (index < 0 || (uint32_t)index >= topic->partition_count) {
        return NULL;
    }
    return topic->partitions[index];
}

/* --- following the image --- */

static struct hosted_topic *add_topic(struct replica_manager *manager,
                                      const struct image_topic *source)
{
    struct hosted_topic *topic = calloc(1, sizeof(*topic) + source->name.size);
    if (topic == NULL) {
        return NULL;
    }
    uint8_t *name = (uint8_t *)(topic + 1);
    memcpy(name, source->name.data, source->name.size);
    topic->name = slice_of(name, source->name.size);
    topic->id = source->id;
    topic->is_internal = source->is_internal;
    topic->by_name.hash = hash_bytes(topic->name, manager->by_name.seed);
    topic->by_id.hash =
        hash_bytes(slice_of(topic->id.bytes, sizeof(topic->id.bytes)), manager->by_id.seed);
    if (!hash_table_insert(&manager->by_name, &topic->by_name)) {
        free(topic);
        return NULL;
    }
    if (!hash_table_insert(&manager->by_id, &topic->by_id)) {
        hash_table_remove(&manager->by_name, &topic->by_name);
        free(topic);
        return NULL;
    }
    return topic;
}

static void remove_topic(struct replica_manager *manager, struct hosted_topic *topic)
{
    /* Appends that are queued for these logs in this turn are finished first. */
    log_writer_flush(log_manager_env(manager->options.logs)->writer);
    hash_table_remove(&manager->by_name, &topic->by_name);
    hash_table_remove(&manager->by_id, &topic->by_id);
    manager->last_found = NULL;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        struct partition *part = topic->partitions[i];
        if (part != NULL) {
            struct log_entry *entry = part->entry;
            if (manager->load_cursor == entry) {
                manager->load_cursor = NULL;
            }
            entry->user = NULL;
            part->entry = NULL;
            topic->partitions[i] = NULL;
            drop_partition(part);
            log_manager_delete(manager->options.logs, entry);
        }
    }
    manager->options.on_topic_deleted(manager->options.context, &topic->id);
    free_topic(topic);
}

static bool is_hosted(const struct replica_manager *manager, const struct image_partition *source)
{
    for (uint32_t i = 0; i < source->replica_count; i++) {
        if (source->replicas[i] == manager->options.broker_id) {
            return true;
        }
    }
    return false;
}

static enum error grow_topic(struct replica_manager *manager, struct hosted_topic *topic,
                             const struct image_topic *source)
{
    if (source->partition_count <= topic->partition_count) {
        return E_OK;
    }
    struct partition **partitions =
        realloc(topic->partitions, source->partition_count * sizeof(*partitions));
    if (partitions == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    topic->partitions = partitions;
    for (uint32_t i = topic->partition_count; i < source->partition_count; i++) {
        partitions[i] = NULL;
        topic->partition_count = i + 1;
        if (!is_hosted(manager, &source->partitions[i])) {
            continue;
        }
        const struct topic_partition name = {.topic = topic->name, .partition = (int32_t)i};
        struct log_entry *entry = log_manager_find(manager->options.logs, name);
        if (entry == NULL) {
            entry = log_manager_add(manager->options.logs, name, &topic->id,
                                    source->partitions[i].directory);
        }
        if (entry == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        partitions[i] = partition_new(manager, topic, (int32_t)i, entry);
        if (partitions[i] == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
    }
    return E_OK;
}

static void update_partition(struct replica_manager *manager, struct partition *part,
                             const struct image_partition *source, int32_t min_in_sync_replicas)
{
    const int32_t replica_count = (int32_t)source->replica_count;
    part->min_in_sync_replicas =
        min_in_sync_replicas < replica_count ? min_in_sync_replicas : replica_count;
    part->in_sync_count = (int32_t)source->isr_count;
    part->waits_for_flush =
        manager->options.ack_after_fsync || part->topic->log_config.flush_messages == 1;
    if (source->leader_epoch > part->leader_epoch) {
        part->leader_epoch = source->leader_epoch;
        if (part->log != NULL && log_start_epoch(part->log, part->leader_epoch) != E_OK) {
            partition_go_offline(part, E_KAFKA_STORAGE_ERROR);
        }
        partition_tell_watchers(part);
    }
    if (part->log != NULL) {
        log_set_config(part->log, &part->topic->log_config);
    }
}

void replica_manager_apply(struct replica_manager *manager, const struct image *image,
                           const struct image_topic *before, const struct image_topic *after)
{
    const struct image_topic *named = after != NULL ? after : before;
    struct hosted_topic *topic = replica_manager_find_topic(manager, named->name);
    if (topic != NULL && (after == NULL || !uuid_equal(&topic->id, &after->id))) {
        remove_topic(manager,
                     topic); /* deleted, or deleted and made again under its name (rule 23) */
        topic = NULL;
    }
    if (after == NULL) {
        return;
    }
    struct log_config config;
    int32_t min_in_sync_replicas;
    enum error error = manager->options.make_log_config(manager->options.context, image, after,
                                                        &config, &min_in_sync_replicas);
    if (error == E_OK && topic == NULL) {
        topic = add_topic(manager, after);
        error = topic == NULL ? E_LOCAL_NO_MEMORY : E_OK;
    }
    if (error == E_OK) {
        topic->log_config = config;
        error = grow_topic(manager, topic, after);
    }
    if (error != E_OK) {
        diag_error(manager->options.diag, "topic %.*s: a change does not take effect: %s",
                   (int)after->name.size, (const char *)after->name.data, error_text(error));
        return;
    }
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        if (topic->partitions[i] != NULL) {
            update_partition(manager, topic->partitions[i], &after->partitions[i],
                             min_in_sync_replicas);
        }
    }
}

/* --- logs that are not loaded --- */

bool replica_manager_cold_config(const struct log_entry *entry, struct log_config *ret_config)
{
    const struct partition *part = entry->user;
    if (part == NULL || part->topic == NULL) {
        return false;
    }
    *ret_config = part->topic->log_config;
    return true;
}

void replica_manager_load_cold(struct log_entry *entry)
{
    struct partition *part = entry->user;
    if (part != NULL && part->state == PARTITION_COLD) {
        partition_start_load(part);
    }
}

/* --- directories --- */

void replica_manager_on_directory_change(struct replica_manager *manager, uint32_t directory,
                                         enum error error)
{
    for (struct log_entry *entry = log_manager_next(manager->options.logs, NULL); entry != NULL;
         entry = log_manager_next(manager->options.logs, entry)) {
        struct partition *part = entry->user;
        if (part == NULL || entry->directory != directory) {
            continue;
        }
        if (error == E_OK) {
            partition_go_cold(part);
        } else {
            partition_go_offline(part, E_KAFKA_STORAGE_ERROR);
        }
    }
}

/* --- background load --- */

static void load_more(struct replica_manager *manager)
{
    while (manager->loads_all && manager->background_load_count < BACKGROUND_LOAD_COUNT_MAX) {
        struct log_entry *entry = log_manager_next(manager->options.logs, manager->load_cursor);
        if (entry == NULL) {
            manager->loads_all = false;
            manager->load_cursor = NULL;
            return;
        }
        manager->load_cursor = entry;
        struct partition *part = entry->user;
        if (part != NULL && part->state == PARTITION_COLD) {
            manager->background_load_count++;
            partition_start_load(part);
        }
    }
}

void replica_manager_on_load(struct replica_manager *manager, struct partition *part)
{
    (void)part;
    if (manager->background_load_count > 0) {
        manager->background_load_count--;
    }
    load_more(manager);
}

void replica_manager_load_all(struct replica_manager *manager)
{
    manager->loads_all = true;
    load_more(manager);
}

void replica_manager_stop_loading(struct replica_manager *manager)
{
    manager->loads_all = false;
}
