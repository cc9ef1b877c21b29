/* SPDX-License-Identifier: Apache-2.0 */
#include "replication/replica_manager.h"

#include <pthread.h>
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
    pthread_rwlock_t lock; /* of the two tables; not taken when there is one loop */
    struct hash_table by_name;
    struct hash_table by_id;
    /* The topic found last: most requests of a connection, and of many, are for one topic, and
     * comparing its name costs a tenth of the hash. NULL: none, or several loops. */
    struct hosted_topic *last_found;
    struct log_entry *load_cursor; /* background load: the entry looked at last */
    uint32_t background_load_count;
    bool loads_all;
    struct replica_owner owners[]; /* by loop */
};

/* --- what partitions need --- */

struct log_manager *replica_manager_logs(struct replica_manager *manager)
{
    return manager->options.logs;
}

const struct loop_set *replica_manager_loops(const struct replica_manager *manager)
{
    return manager->options.loops;
}

struct diag *replica_manager_diag(struct replica_manager *manager)
{
    return manager->options.diag;
}

static void run_failures(struct deferred *deferred)
{
    struct replica_owner *owner = container_of(deferred, struct replica_owner, deferred_failures);
    struct list *node;
    while ((node = list_pop_front(&owner->failures)) != NULL) {
        struct partition_append *op = container_of(node, struct partition_append, node);
        op->on_done(op);
    }
}

void replica_manager_defer_failure(struct partition_append *op)
{
    struct replica_owner *owner = op->part->owner;
    list_push_back(&owner->failures, &op->node);
    loop_defer(owner->loop, &owner->deferred_failures, PHASE_WRITE);
}

/* --- what home tells an owner --- */

enum partition_command_kind {
    COMMAND_UPDATE,
    COMMAND_GO_OFFLINE,
    COMMAND_GO_COLD,
    COMMAND_DELETE,
};

struct partition_command {
    struct message message;
    struct partition *part; /* a reference */
    enum partition_command_kind kind;
    struct partition_settings settings; /* of an update */
};

static void carry_out(const struct partition_command *command)
{
    struct partition *part = command->part;
    switch (command->kind) {
    case COMMAND_UPDATE:
        partition_update(part, &command->settings);
        return;
    case COMMAND_GO_OFFLINE:
        partition_go_offline(part, E_KAFKA_STORAGE_ERROR);
        return;
    case COMMAND_GO_COLD:
        partition_go_cold(part);
        return;
    case COMMAND_DELETE:
        /* Appends that are queued for its log in this turn are finished first. */
        log_writer_flush(
            log_manager_owner_env(replica_manager_logs(part->manager), part->owner->index)->writer);
        partition_delete(part);
        return;
    }
    check_failed("the command is known", __FILE__, __LINE__, __func__);
}

static void on_command(struct message *message)
{
    struct partition_command *command = container_of(message, struct partition_command, message);
    carry_out(command);
    (void)partition_unref(command->part);
    free(command);
}

/* Now when home owns it, otherwise as a message; they keep their order. */
static void tell_owner(const struct partition_command *command)
{
    if (command->part->owner->index == 0) {
        carry_out(command);
        return;
    }
    struct partition_command *copy = malloc(sizeof(*copy));
    check(copy != NULL); /* owner and home must not come to differ */
    *copy = *command;
    copy->message.on_receive = on_command;
    (void)partition_ref(copy->part);
    loop_post(copy->part->owner->loop, &copy->message);
}

/* --- life --- */

enum error replica_manager_new(const struct replica_manager_options *options,
                               struct replica_manager **ret_manager)
{
    const unsigned loop_count = options->loops->count;
    struct replica_manager *manager =
        calloc(1, sizeof(*manager) + loop_count * sizeof(manager->owners[0]));
    if (manager == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    manager->options = *options;
    check(pthread_rwlock_init(&manager->lock, NULL) == 0);
    hash_table_init(&manager->by_name, options->seed);
    hash_table_init(&manager->by_id, options->seed + 1);
    for (unsigned i = 0; i < loop_count; i++) {
        struct replica_owner *owner = &manager->owners[i];
        owner->manager = manager;
        owner->loop = options->loops->loops[i];
        owner->index = i;
        list_init(&owner->failures);
        deferred_init(&owner->deferred_failures, run_failures);
    }
    *ret_manager = manager;
    return E_OK;
}

/* Nobody can find it any more. */
static void free_topic(struct hosted_topic *topic)
{
    struct hosted_partitions *partitions = topic->partitions;
    for (uint32_t i = 0; i < partitions->count; i++) {
        (void)partition_unref(partitions->items[i]);
    }
    free(partitions);
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
        const struct hosted_partitions *partitions = topic->partitions;
        hash_table_remove(&manager->by_name, &topic->by_name);
        hash_table_remove(&manager->by_id, &topic->by_id);
        for (uint32_t i = 0; i < partitions->count; i++) {
            if (partitions->items[i] != NULL) {
                partitions->items[i]->log = NULL; /* closed and gone, as the loops have ended */
                partition_delete(partitions->items[i]);
            }
        }
        free_topic(topic);
    }
    hash_table_done(&manager->by_name);
    hash_table_done(&manager->by_id);
    (void)pthread_rwlock_destroy(&manager->lock);
    free(manager);
}

/* --- look-up --- */

static bool has_many_loops(const struct replica_manager *manager)
{
    return manager->options.loops->count > 1;
}

static void lock_to_read(struct replica_manager *manager)
{
    if (has_many_loops(manager)) {
        (void)pthread_rwlock_rdlock(&manager->lock);
    }
}

static void lock_to_write(struct replica_manager *manager)
{
    if (has_many_loops(manager)) {
        (void)pthread_rwlock_wrlock(&manager->lock);
    }
}

/* Home. */
static void remember(struct replica_manager *manager, struct hosted_topic *topic)
{
    if (!has_many_loops(manager)) {
        manager->last_found = topic;
    }
}

static void unlock(struct replica_manager *manager)
{
    if (has_many_loops(manager)) {
        (void)pthread_rwlock_unlock(&manager->lock);
    }
}

static struct hosted_topic *find_by_name(const struct replica_manager *manager, uint64_t hash,
                                         struct slice name)
{
    for (struct hash_node *node = hash_table_find(&manager->by_name, hash); node != NULL;
         node = hash_node_next(node)) {
        struct hosted_topic *topic = container_of(node, struct hosted_topic, by_name);
        if (slice_equal(topic->name, name)) {
            return topic;
        }
    }
    return NULL;
}

struct hosted_topic *replica_manager_find_topic(struct replica_manager *manager, struct slice name)
{
    if (!has_many_loops(manager) && manager->last_found != NULL &&
        slice_equal(manager->last_found->name, name)) {
        return manager->last_found;
    }
    const uint64_t hash = hash_bytes(name, manager->by_name.seed);
    lock_to_read(manager);
    struct hosted_topic *topic = find_by_name(manager, hash, name);
    unlock(manager);
    remember(manager, topic);
    return topic;
}

static struct hosted_topic *find_by_id(const struct replica_manager *manager, uint64_t hash,
                                       const struct uuid *id)
{
    for (struct hash_node *node = hash_table_find(&manager->by_id, hash); node != NULL;
         node = hash_node_next(node)) {
        struct hosted_topic *topic = container_of(node, struct hosted_topic, by_id);
        if (uuid_equal(&topic->id, id)) {
            return topic;
        }
    }
    return NULL;
}

struct hosted_topic *replica_manager_find_topic_by_id(struct replica_manager *manager,
                                                      const struct uuid *id)
{
    if (!has_many_loops(manager) && manager->last_found != NULL &&
        uuid_equal(&manager->last_found->id, id)) {
        return manager->last_found;
    }
    const uint64_t hash = hash_bytes(slice_of(id->bytes, sizeof(id->bytes)), manager->by_id.seed);
    lock_to_read(manager);
    struct hosted_topic *topic = find_by_id(manager, hash, id);
    unlock(manager);
    remember(manager, topic);
    return topic;
}

uint32_t replica_manager_partition_count(const struct hosted_topic *topic)
{
    const struct hosted_partitions *partitions = topic->partitions;
    return partitions->count;
}

struct partition *replica_manager_partition(const struct hosted_topic *topic, int32_t index)
{
    const struct hosted_partitions *partitions = topic->partitions;
    if (index < 0 || (uint32_t)index >= partitions->count) {
        return NULL;
    }
    return partitions->items[index];
}

/* --- following the image --- */

static bool insert_topic(struct replica_manager *manager, struct hosted_topic *topic)
{
    lock_to_write(manager);
    bool is_in = hash_table_insert(&manager->by_name, &topic->by_name);
    if (is_in && !hash_table_insert(&manager->by_id, &topic->by_id)) {
        hash_table_remove(&manager->by_name, &topic->by_name);
        is_in = false;
    }
    unlock(manager);
    return is_in;
}

static struct hosted_topic *add_topic(struct replica_manager *manager,
                                      const struct image_topic *source)
{
    struct hosted_topic *topic = calloc(1, sizeof(*topic) + source->name.size);
    struct hosted_partitions *partitions = calloc(1, sizeof(*partitions));
    if (topic == NULL || partitions == NULL) {
        free(topic);
        free(partitions);
        return NULL;
    }
    uint8_t *name = (uint8_t *)(topic + 1);
    memcpy(name, source->name.data, source->name.size);
    topic->partitions = partitions;
    topic->name = slice_of(name, source->name.size);
    topic->id = source->id;
    topic->is_internal = source->is_internal;
    topic->by_name.hash = hash_bytes(topic->name, manager->by_name.seed);
    topic->by_id.hash =
        hash_bytes(slice_of(topic->id.bytes, sizeof(topic->id.bytes)), manager->by_id.seed);
    if (!insert_topic(manager, topic)) {
        free_topic(topic);
        return NULL;
    }
    return topic;
}

static void on_topic_unseen(struct loop_round *round)
{
    free_topic(container_of(round, struct hosted_topic, round));
}

static void remove_partition(struct replica_manager *manager, struct partition *part)
{
    struct log_entry *entry = part->entry;
    if (manager->load_cursor == entry) {
        manager->load_cursor = NULL;
    }
    entry->user = NULL;
    part->entry = NULL;
    part->topic = NULL;
    /* First the owner lets go of the log, then the log goes: the messages keep this order. */
    tell_owner(&(struct partition_command){.part = part, .kind = COMMAND_DELETE});
    log_manager_delete(manager->options.logs, entry);
}

static void remove_topic(struct replica_manager *manager, struct hosted_topic *topic)
{
    const struct hosted_partitions *partitions = topic->partitions;
    remember(manager, NULL);
    lock_to_write(manager);
    hash_table_remove(&manager->by_name, &topic->by_name);
    hash_table_remove(&manager->by_id, &topic->by_id);
    unlock(manager);
    for (uint32_t i = 0; i < partitions->count; i++) {
        if (partitions->items[i] != NULL) {
            remove_partition(manager, partitions->items[i]);
        }
    }
    loop_round_start(&topic->round, manager->options.loops, on_topic_unseen);
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

/* Fixed for the life of the process. */
static struct replica_owner *choose_owner(struct replica_manager *manager, const struct uuid *id,
                                          int32_t index)
{
    const uint64_t hash = hash_bytes(slice_of(id->bytes, sizeof(id->bytes)), 0);
    return &manager->owners[hash_u64(hash + (uint32_t)index, 0) % manager->options.loops->count];
}

static struct partition_settings settings_of(const struct replica_manager *manager,
                                             const struct hosted_topic *topic,
                                             const struct image_partition *source,
                                             int32_t min_in_sync_replicas)
{
    const int32_t replica_count = (int32_t)source->replica_count;
    return (struct partition_settings){
        .min_in_sync_replicas =
            min_in_sync_replicas < replica_count ? min_in_sync_replicas : replica_count,
        .in_sync_count = (int32_t)source->isr_count,
        .leader_epoch = source->leader_epoch,
        .waits_for_flush =
            manager->options.ack_after_fsync || topic->log_config.flush_messages == 1,
        .log_config = topic->log_config,
    };
}

/* Complete before anybody can find it. */
static enum error add_partition(struct replica_manager *manager, struct hosted_topic *topic,
                                int32_t index, const struct image_partition *source,
                                int32_t min_in_sync_replicas, struct partition **ret_part)
{
    const struct topic_partition name = {.topic = topic->name, .partition = index};
    struct log_entry *entry = log_manager_find(manager->options.logs, name);
    if (entry == NULL) {
        entry = log_manager_add(manager->options.logs, name, &topic->id, source->directory);
    }
    struct partition *part = entry == NULL ? NULL
                                           : partition_new(choose_owner(manager, &topic->id, index),
                                                           topic, index, entry);
    if (part == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const struct partition_settings settings =
        settings_of(manager, topic, source, min_in_sync_replicas);
    partition_update(part, &settings);
    *ret_part = part;
    return E_OK;
}

static void on_partitions_unseen(struct loop_round *round)
{
    free(container_of(round, struct hosted_partitions, round));
}

static enum error grow_topic(struct replica_manager *manager, struct hosted_topic *topic,
                             const struct image_topic *source, int32_t min_in_sync_replicas)
{
    struct hosted_partitions *old = topic->partitions;
    enum error error = E_OK;
    if (source->partition_count <= old->count) {
        return E_OK;
    }
    struct hosted_partitions *grown =
        calloc(1, sizeof(*grown) + source->partition_count * sizeof(grown->items[0]));
    if (grown == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    memcpy(grown->items, old->items, old->count * sizeof(old->items[0]));
    grown->count = old->count;
    while (error == E_OK && grown->count < source->partition_count) {
        const uint32_t i = grown->count++;
        if (is_hosted(manager, &source->partitions[i])) {
            error = add_partition(manager, topic, (int32_t)i, &source->partitions[i],
                                  min_in_sync_replicas, &grown->items[i]);
        }
    }
    topic->partitions = grown;
    loop_round_start(&old->round, manager->options.loops, on_partitions_unseen);
    return error;
}

static void update_topic(struct replica_manager *manager, struct hosted_topic *topic,
                         const struct image_topic *source, int32_t min_in_sync_replicas)
{
    const struct hosted_partitions *partitions = topic->partitions;
    for (uint32_t i = 0; i < partitions->count; i++) {
        if (partitions->items[i] != NULL) {
            tell_owner(&(struct partition_command){
                .part = partitions->items[i],
                .kind = COMMAND_UPDATE,
                .settings =
                    settings_of(manager, topic, &source->partitions[i], min_in_sync_replicas),
            });
        }
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
        error = grow_topic(manager, topic, after, min_in_sync_replicas);
    }
    if (error != E_OK) {
        diag_error(manager->options.diag, "topic %.*s: a change does not take effect: %s",
                   (int)after->name.size, (const char *)after->name.data, error_text(error));
        return;
    }
    update_topic(manager, topic, after, min_in_sync_replicas);
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

/* Home knows of a load before the owner does. */
static bool load_if_cold(struct log_entry *entry)
{
    struct partition *part = entry->user;
    return part != NULL && part->state == PARTITION_COLD && !entry->is_loading &&
           entry->log == NULL && partition_load_in_background(part);
}

void replica_manager_load_cold(struct log_entry *entry)
{
    (void)load_if_cold(entry);
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
        tell_owner(&(struct partition_command){
            .part = part, .kind = error == E_OK ? COMMAND_GO_COLD : COMMAND_GO_OFFLINE});
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
        if (load_if_cold(entry)) {
            manager->background_load_count++;
        }
    }
}

void replica_manager_on_load(struct replica_manager *manager)
{
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
