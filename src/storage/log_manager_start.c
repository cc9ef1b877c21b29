/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start: lock → meta.properties → marker away → names and topic ids → checkpoints. No log is
 * opened: five thousand partitions cost names, hints and one small file each.
 *
 * A directory that cannot be read or written is offline from the start, as long as another one
 * works. What would mix up data refuses: a lock that is taken, ids that differ, one partition in
 * two places.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/leader_epochs.h"
#include "storage/log_manager_private.h"
#include "storage/meta_properties.h"

enum {
    START_ARENA_SIZE_MAX = 256 * 1024 * 1024, /* the listing of one directory, one checkpoint */
    META_ARENA_SIZE_MAX = 1024 * 1024,
    DEFAULT_BROKER_ID = 1,
};

/* What the directories say about whose they are. */
struct identity {
    struct arena arena;
    struct meta_properties *meta; /* by directory */
    bool *is_found;               /* by directory */
    const char *cluster_id_from;  /* who said so; NULL: nobody yet */
    const char *broker_id_from;
    struct slice cluster_id;
    int32_t broker_id;
    bool is_v0_found;
};

PRINTF_LIKE(3, 4)
static enum error refuse(struct start_failure *failure, enum error error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(failure->text, sizeof(failure->text), format, args);
    va_end(args);
    failure->error = error;
    return error;
}

static const char *offline_reason(enum error error)
{
    return error == E_LOCAL_EXISTS ? "there is something that is not a directory"
                                   : error_text(error);
}

static void put_offline(struct log_manager *manager, struct log_directory *dir, enum error error,
                        const char *doing)
{
    dir->error = error;
    dir->lock = file_unref(dir->lock);
    dir->offline_doing = doing;
    if (manager->directory_count > 1) { /* else check_online says it */
        diag_error(manager->diag,
                   "log directory %s is offline: %s: %s; other directories are served", dir->path,
                   doing, offline_reason(error));
    }
}

/* --- locks --- */

static enum error lock_directory(struct log_manager *manager, struct log_directory *dir,
                                 struct start_failure *ret_failure)
{
    enum error error = log_directory_make(manager->env.vfs, dir->path);
    if (error == E_OK) {
        error = log_directory_lock(manager->env.vfs, dir->path, &dir->lock);
    }
    if (error == E_LOCAL_BUSY) {
        return refuse(ret_failure, error,
                      "log directory %s is locked by another process, or named twice in log.dirs: "
                      "stop that process or use another directory",
                      dir->path);
    }
    if (error != E_OK) {
        put_offline(manager, dir, error, "making or locking it");
    }
    return E_OK;
}

static enum error init_directories(struct log_manager *manager,
                                   const struct log_manager_options *options)
{
    manager->directories = calloc(options->directory_count, sizeof(*manager->directories));
    if (manager->directories == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (uint32_t i = 0; i < options->directory_count; i++) {
        struct log_directory *dir = &manager->directories[i];
        list_init(&dir->deleted_files);
        list_init(&dir->ghost_loads);
        job_lane_init(&dir->lane);
        manager->directory_count++;
        dir->path = strdup(options->directories[i]);
        if (dir->path == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
    }
    return E_OK;
}

/* --- meta.properties --- */

static enum error agree_cluster_id(struct identity *identity, struct slice id, const char *from,
                                   struct start_failure *ret_failure)
{
    if (id.size == 0) {
        return E_OK;
    }
    if (identity->cluster_id_from == NULL) {
        identity->cluster_id = id;
        identity->cluster_id_from = from;
    } else if (!slice_equal(identity->cluster_id, id)) {
        return refuse(ret_failure, E_INCONSISTENT_CLUSTER_ID,
                      "cluster id is %.*s in %s but %.*s in %s: a directory of another cluster; "
                      "take it out of log.dirs",
                      (int)identity->cluster_id.size, (const char *)identity->cluster_id.data,
                      identity->cluster_id_from, (int)id.size, (const char *)id.data, from);
    }
    return E_OK;
}

static enum error agree_broker_id(struct identity *identity, int32_t id, const char *from,
                                  struct start_failure *ret_failure)
{
    if (id < 0) {
        return E_OK;
    }
    if (identity->broker_id_from == NULL) {
        identity->broker_id = id;
        identity->broker_id_from = from;
    } else if (identity->broker_id != id) {
        return refuse(ret_failure, E_LOCAL_BAD_CONFIG,
                      "broker id is %" PRId32 " in %s but %" PRId32 " in %s: set broker.id or "
                      "node.id to the one of the data, or take that directory out of log.dirs",
                      identity->broker_id, identity->broker_id_from, id, from);
    }
    return E_OK;
}

static enum error read_meta(struct log_manager *manager, uint32_t index, struct identity *identity,
                            struct start_failure *ret_failure)
{
    struct log_directory *dir = &manager->directories[index];
    struct meta_properties *meta = &identity->meta[index];
    const char *text = NULL;
    enum error error =
        meta_properties_read(manager->env.vfs, dir->path, &identity->arena, meta, &text);
    if (error == E_LOCAL_NOT_FOUND) {
        return E_OK;
    }
    if (error == E_LOCAL_MALFORMED || error == E_LOCAL_LIMIT) {
        return refuse(ret_failure, error,
                      "%s/meta.properties: %s; restore it from another log directory or a backup",
                      dir->path, text == NULL ? "it is too large" : text);
    }
    if (error == E_LOCAL_UNSUPPORTED) {
        return refuse(ret_failure, error,
                      "%s/meta.properties: its version is neither 0 nor 1; this directory was "
                      "written by a newer release",
                      dir->path);
    }
    if (error != E_OK) {
        put_offline(manager, dir, error, "reading meta.properties");
        return E_OK;
    }
    identity->is_found[index] = true;
    identity->is_v0_found = identity->is_v0_found || meta->version == 0;
    error = agree_cluster_id(identity, meta->cluster_id, dir->path, ret_failure);
    return error != E_OK ? error
                         : agree_broker_id(identity, meta->broker_id, dir->path, ret_failure);
}

static enum error write_meta(struct log_manager *manager, struct identity *identity)
{
    const bool is_v0 = identity->is_v0_found ||
                       (identity->broker_id_from == NULL && manager->options.meta_properties_v0) ||
                       manager->options.meta_properties_v0;
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        struct log_directory *dir = &manager->directories[i];
        if (dir->error != E_OK || identity->is_found[i]) {
            continue;
        }
        const struct meta_properties meta = {
            .version = is_v0 ? 0 : 1,
            .broker_id = manager->broker_id,
            .cluster_id = identity->cluster_id,
            .directory_id = uuid_random(&manager->rng),
        };
        const enum error error = meta_properties_write(manager->env.vfs, dir->path, &meta);
        if (error != E_OK) {
            put_offline(manager, dir, error, "writing meta.properties");
        }
    }
    return E_OK;
}

static enum error settle_identity(struct log_manager *manager, struct identity *identity)
{
    char made[UUID_TEXT_SIZE + 1];
    manager->broker_id = identity->broker_id_from == NULL ? DEFAULT_BROKER_ID : identity->broker_id;
    if (identity->cluster_id_from == NULL) {
        const struct uuid id = uuid_random(&manager->rng);
        uuid_format(&id, made);
        identity->cluster_id = slice_from_string(made);
    }
    manager->cluster_id =
        strndup((const char *)identity->cluster_id.data, identity->cluster_id.size);
    if (manager->cluster_id == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    identity->cluster_id = slice_from_string(manager->cluster_id);
    return write_meta(manager, identity);
}

static enum error identify(struct log_manager *manager, const struct log_manager_options *options,
                           struct start_failure *ret_failure)
{
    struct identity identity = {.broker_id = -1};
    arena_init(&identity.arena, META_ARENA_SIZE_MAX);
    identity.meta =
        ARENA_NEW_ARRAY(&identity.arena, struct meta_properties, manager->directory_count);
    identity.is_found = ARENA_NEW_ARRAY(&identity.arena, bool, manager->directory_count);
    enum error error =
        identity.meta == NULL || identity.is_found == NULL ? E_LOCAL_NO_MEMORY : E_OK;
    if (error == E_OK) {
        error = agree_broker_id(&identity, options->broker_id, "the settings", ret_failure);
    }
    if (error == E_OK) {
        error = agree_cluster_id(&identity, options->cluster_id, "the settings", ret_failure);
    }
    for (uint32_t i = 0; error == E_OK && i < manager->directory_count; i++) {
        if (manager->directories[i].error == E_OK) {
            error = read_meta(manager, i, &identity, ret_failure);
        }
    }
    if (error == E_OK) {
        error = settle_identity(manager, &identity);
    }
    arena_done(&identity.arena);
    return error;
}

/* --- how it ended --- */

static void read_marker(struct log_manager *manager, struct log_directory *dir)
{
    const enum error error = clean_marker_take(manager->env.vfs, dir->path, &dir->was_clean);
    if (error != E_OK) {
        put_offline(manager, dir, error, "removing .kafka_cleanshutdown");
        return;
    }
    dir->boot_id = boot_id_read(manager->env.vfs, dir->path);
    dir->machine_restarted = !boot_id_is_same(dir->boot_id, manager->boot_id);
}

/* After a clean stop, and in an empty directory, nothing depends on an older boot. Otherwise the
 * old id stays until the last log is recovered (manager_set_unrecovered). */
static void renew_boot_id(struct log_manager *manager, struct log_directory *dir)
{
    if (dir->unrecovered_count > 0 || !dir->machine_restarted || manager->boot_id.text[0] == '\0') {
        return;
    }
    const enum error error = boot_id_write(manager->env.vfs, dir->path, manager->boot_id);
    if (error == E_OK) {
        dir->boot_id = manager->boot_id;
    } else if (manager_is_disk_failure(error)) {
        put_offline(manager, dir, error, "writing .ottla_boot");
    } /* a full disk: the next start recovers more */
}

/* --- what lies there --- */

/* Of a partition that another broker wrote: what it knows must be below what is told to clients
 * before the log is opened. In our own directories the start counter sees to that (design §2). */
static int32_t read_foreign_epoch(struct log_manager *manager, const struct log_directory *dir,
                                  const char *partition_path)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    struct leader_epochs epochs = {0};
    int32_t latest = -1;
    if (dir->boot_id.text[0] == '\0' &&
        log_directory_path(path, partition_path, "leader-epoch-checkpoint") &&
        leader_epochs_read(&epochs, manager->env.vfs, path) == E_OK) {
        latest = leader_epochs_latest(&epochs);
    }
    leader_epochs_done(&epochs);
    return latest;
}

static enum error add_found(struct log_manager *manager, uint32_t index,
                            struct topic_partition topic_partition,
                            struct start_failure *ret_failure)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    struct log_directory *dir = &manager->directories[index];
    struct managed_entry *managed;
    const struct log_entry *other = log_manager_find(manager, topic_partition);
    if (other != NULL) {
        return refuse(ret_failure, E_LOCAL_CORRUPT,
                      "partition %.*s-%" PRId32 " is in %s and in %s: move the one that is older "
                      "or shorter out of its log directory",
                      (int)topic_partition.topic.size, (const char *)topic_partition.topic.data,
                      topic_partition.partition, manager->directories[other->directory].path,
                      dir->path);
    }
    const enum error error = manager_add_entry(manager, topic_partition, index, &managed);
    if (error != E_OK) {
        return error;
    }
    if (log_directory_partition_path(path, dir->path, topic_partition)) {
        managed->entry.topic_id = log_directory_read_topic_id(manager->env.vfs, path);
        managed->entry.latest_epoch_hint = read_foreign_epoch(manager, dir, path);
    }
    managed->has_directory = true;
    managed->entry.hints.was_clean = dir->was_clean;
    managed->entry.hints.machine_restarted = dir->machine_restarted;
    manager_set_unrecovered(managed, !dir->was_clean);
    return E_OK;
}

static enum error add_name(struct log_manager *manager, uint32_t index, const char *name,
                           struct start_failure *ret_failure)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    struct topic_partition topic_partition;
    switch (log_directory_parse_name(name, &topic_partition)) {
    case NAME_PARTITION:
        return add_found(manager, index, topic_partition, ret_failure);
    case NAME_DELETED: /* rule 51: the rest of an earlier deletion */
        if (log_directory_path(path, manager->directories[index].path, name)) {
            manager_add_trash(manager, path, true, 0);
        }
        return E_OK;
    case NAME_OTHER:
        break;
    }
    return E_OK;
}

static enum error scan(struct log_manager *manager, uint32_t index,
                       struct start_failure *ret_failure)
{
    struct log_directory *dir = &manager->directories[index];
    struct directory_entry *entries = NULL;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, START_ARENA_SIZE_MAX);
    enum error error =
        manager->env.vfs->list(manager->env.vfs, dir->path, &arena, &entries, &count);
    if (error != E_OK && error != E_LOCAL_NO_MEMORY) {
        put_offline(manager, dir, error, "listing it");
        error = E_OK;
        count = 0;
    }
    for (size_t i = 0; error == E_OK && i < count; i++) {
        if (entries[i].is_directory) {
            error = add_name(manager, index, entries[i].name, ret_failure);
        }
    }
    arena_done(&arena);
    return error;
}

static void take_hint(struct log_hints *hints, enum checkpoint_kind kind, int64_t offset)
{
    switch (kind) {
    case KIND_RECOVERY_POINT:
        hints->recovery_point = offset;
        break;
    case KIND_HIGH_WATERMARK:
        hints->high_watermark = offset;
        break;
    case KIND_LOG_START:
        hints->log_start_offset = offset;
        break;
    case KIND_COUNT:
        break;
    }
}

/* A checkpoint that is missing or damaged says nothing: more is recovered (rule 45). */
static void read_hints(struct log_manager *manager, uint32_t index, enum checkpoint_kind kind)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    struct checkpoint_entry *lines = NULL;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, START_ARENA_SIZE_MAX);
    if (!log_directory_path(path, manager->directories[index].path, checkpoint_name(kind)) ||
        checkpoint_read(manager->env.vfs, path, &arena, &lines, &count) != E_OK) {
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct log_entry *entry =
            log_manager_find(manager, (struct topic_partition){.topic = lines[i].topic,
                                                               .partition = lines[i].partition});
        if (entry != NULL && entry->directory == index) {
            take_hint(&entry->hints, kind, lines[i].offset);
        } else {
            manager->directories[index].ghost_count = 1; /* of a partition that is gone */
        }
    }
    arena_done(&arena);
}

static enum error read_directory(struct log_manager *manager, uint32_t index,
                                 struct start_failure *ret_failure)
{
    struct log_directory *dir = &manager->directories[index];
    read_marker(manager, dir);
    if (dir->error != E_OK) {
        return E_OK;
    }
    const enum error error = scan(manager, index, ret_failure);
    if (error != E_OK) {
        return error;
    }
    for (enum checkpoint_kind kind = 0; kind < KIND_COUNT; kind++) {
        read_hints(manager, index, kind);
    }
    renew_boot_id(manager, dir);
    return E_OK;
}

static enum error check_online(const struct log_manager *manager, struct start_failure *ret_failure)
{
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        if (manager->directories[i].error == E_OK) {
            return E_OK;
        }
    }
    const struct log_directory *dir = &manager->directories[0];
    return refuse(ret_failure, dir->error,
                  "log directory %s cannot be used: %s: %s; check log.dirs, its owner and the disk",
                  dir->path, dir->offline_doing, offline_reason(dir->error));
}

enum error log_manager_start_directories(struct log_manager *manager,
                                         const struct log_manager_options *options,
                                         struct start_failure *ret_failure)
{
    ret_failure->text[0] = '\0';
    enum error error = init_directories(manager, options);
    for (uint32_t i = 0; error == E_OK && i < manager->directory_count; i++) {
        error = lock_directory(manager, &manager->directories[i], ret_failure);
    }
    if (error == E_OK) {
        error = identify(manager, options, ret_failure);
    }
    for (uint32_t i = 0; error == E_OK && i < manager->directory_count; i++) {
        if (manager->directories[i].error == E_OK) {
            error = read_directory(manager, i, ret_failure);
        }
    }
    if (error == E_OK) {
        error = check_online(manager, ret_failure);
    }
    if (error != E_OK && ret_failure->text[0] == '\0') {
        return refuse(ret_failure, error, "reading the log directories: %s", error_text(error));
    }
    return error;
}
