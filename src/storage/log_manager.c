/* SPDX-License-Identifier: Apache-2.0 */
/* The table of entries, tasks, and the life of the manager itself. */
#include "storage/log_manager.h"

#include <stdlib.h>

#include "storage/file_cache.h"
#include "storage/log_manager_private.h"
#include "storage/log_private.h" /* flush: is one under way? */

enum {
    DRAIN_WAIT_MS = 10,
    DRAIN_TURNS_MAX = 1000, /* ten seconds; then a descriptor leaks, which is an error of ours */
    DELETE_DELAY_MS = 60000,
};

/* --- entries --- */

static uint64_t hash_of(const struct log_manager *manager, struct topic_partition topic_partition)
{
    return hash_bytes(topic_partition.topic,
                      manager->table.seed + (uint32_t)topic_partition.partition);
}

static struct managed_entry *find(const struct log_manager *manager,
                                  struct topic_partition topic_partition)
{
    struct hash_node *node = hash_table_find(&manager->table, hash_of(manager, topic_partition));
    for (; node != NULL; node = hash_node_next(node)) {
        struct managed_entry *managed = container_of(node, struct managed_entry, hash);
        const struct topic_partition *other = &managed->entry.topic_partition;
        if (other->partition == topic_partition.partition &&
            slice_equal(other->topic, topic_partition.topic)) {
            return managed;
        }
    }
    return NULL;
}

struct log_entry *log_manager_find(struct log_manager *manager,
                                   struct topic_partition topic_partition)
{
    struct managed_entry *managed = find(manager, topic_partition);
    return managed == NULL ? NULL : &managed->entry;
}

struct log_entry *log_manager_next(struct log_manager *manager, const struct log_entry *after)
{
    const struct list *at = &manager->entries;
    if (after != NULL) {
        at = &((const struct managed_entry *)(const void *)after)->node; /* its first member */
    }
    return at->next == &manager->entries
               ? NULL
               : &container_of(at->next, struct managed_entry, node)->entry;
}

enum error manager_add_entry(struct log_manager *manager, struct topic_partition topic_partition,
                             uint32_t directory, struct managed_entry **ret_managed)
{
    struct managed_entry *managed = calloc(1, sizeof(*managed) + topic_partition.topic.size);
    if (managed == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    memcpy(managed->topic, topic_partition.topic.data, topic_partition.topic.size);
    managed->manager = manager;
    managed->file_delete_delay_ms = DELETE_DELAY_MS;
    managed->cold.size = -1;
    list_init(&managed->loaded_node);
    managed->entry = (struct log_entry){
        .topic_partition = {.topic = slice_of(managed->topic, topic_partition.topic.size),
                            .partition = topic_partition.partition},
        .directory = directory,
        .hints = {.log_start_offset = -1},
        .latest_epoch_hint = -1,
    };
    managed->hash.hash = hash_of(manager, topic_partition);
    if (!hash_table_insert(&manager->table, &managed->hash)) {
        free(managed);
        return E_LOCAL_NO_MEMORY;
    }
    list_push_back(&manager->entries, &managed->node);
    manager->directories[directory].entry_count++;
    *ret_managed = managed;
    return E_OK;
}

static uint32_t choose_directory(const struct log_manager *manager)
{
    uint32_t chosen = 0;
    for (uint32_t i = 1; i < manager->directory_count; i++) {
        const struct log_directory *best = &manager->directories[chosen];
        const struct log_directory *dir = &manager->directories[i];
        const bool is_better = (dir->error == E_OK) != (best->error == E_OK)
                                   ? dir->error == E_OK
                                   : dir->entry_count < best->entry_count;
        chosen = is_better ? i : chosen;
    }
    return chosen;
}

struct log_entry *log_manager_add(struct log_manager *manager,
                                  struct topic_partition topic_partition,
                                  const struct uuid *topic_id, uint32_t directory)
{
    struct managed_entry *managed;
    check(find(manager, topic_partition) == NULL);
    if (directory == UINT32_MAX) {
        directory = choose_directory(manager);
    }
    check(directory < manager->directory_count);
    if (manager_add_entry(manager, topic_partition, directory, &managed) != E_OK) {
        return NULL;
    }
    managed->entry.topic_id = topic_id == NULL ? UUID_ZERO : *topic_id;
    managed->entry.hints.was_clean = true; /* nothing is there that could be otherwise */
    managed->cold = (struct cold_state){.oldest_ms = INT64_MAX};
    return &managed->entry;
}

/* Out of table and lists. */
void manager_forget(struct managed_entry *managed)
{
    struct log_manager *manager = managed->manager;
    check(managed->entry.log == NULL);
    manager_set_unrecovered(managed, false);
    hash_table_remove(&manager->table, &managed->hash);
    list_remove(&managed->node);
    directory_of(managed)->entry_count--;
}

void manager_free_entry(struct managed_entry *managed)
{
    free(managed);
}

/* --- was everything in the directory known good under the boot that runs? --- */

struct boot_task {
    struct task task;
    struct log_directory *dir;
    enum error error;
};

static void boot_run(struct task *task)
{
    struct boot_task *boot = container_of(task, struct boot_task, task);
    boot->error = boot->dir->high_watermark_error;
    if (boot->error == E_OK) {
        boot->error =
            boot_id_write(task->manager->env.vfs, boot->dir->path, task->manager->boot_id);
    }
}

static void boot_done(struct task *task)
{
    struct boot_task *boot = container_of(task, struct boot_task, task);
    if (boot->error == E_OK) {
        boot->dir->boot_id = task->manager->boot_id;
    } /* else the next start recovers more */
    free(boot);
}

/*
 * The last unrecovered log is recovered: what a later crash leaves belongs to this boot. Only
 * behind the high watermarks: the old ones may be above what a power cut has left, and under this
 * boot's id they would be promises.
 */
void manager_write_boot_id(struct log_manager *manager, struct log_directory *dir)
{
    dir->is_boot_id_due = false;
    if (dir->error != E_OK || manager->is_stopping || manager->boot_id.text[0] == '\0' ||
        boot_id_is_same(dir->boot_id, manager->boot_id)) {
        return;
    }
    if (dir->is_writing[KIND_HIGH_WATERMARK]) {
        dir->is_boot_id_due = true; /* its text is older than the last recovery */
        return;
    }
    struct boot_task *boot = calloc(1, sizeof(*boot));
    if (boot == NULL) {
        return;
    }
    manager_write_checkpoints(manager, KIND_HIGH_WATERMARK);
    boot->dir = dir;
    boot->task.run = boot_run;
    boot->task.done = boot_done;
    manager_submit(manager, &dir->lane, &boot->task);
}

void manager_set_unrecovered(struct managed_entry *managed, bool is_unrecovered)
{
    struct log_directory *dir = directory_of(managed);
    if (managed->is_unrecovered == is_unrecovered) {
        return;
    }
    managed->is_unrecovered = is_unrecovered;
    if (is_unrecovered) {
        dir->unrecovered_count++;
        return;
    }
    check(dir->unrecovered_count > 0);
    if (--dir->unrecovered_count == 0) {
        manager_write_boot_id(managed->manager, dir);
    }
}

/* --- tasks --- */

static void task_run(struct job *job)
{
    struct task *task = container_of(job, struct task, job);
    task->run(task);
}

static void task_done(struct job *job)
{
    struct task *task = container_of(job, struct task, job);
    task->manager->task_count--;
    task->done(task);
}

void manager_submit(struct log_manager *manager, struct job_lane *lane, struct task *task)
{
    task->manager = manager;
    task->job.run = task_run;
    task->job.on_done = task_done;
    task->job.loop = manager->env.loop;
    manager->task_count++;
    if (manager->env.workers == NULL) {
        task_run(&task->job);
        task_done(&task->job);
    } else if (lane != NULL) {
        worker_pool_submit_in_order(manager->env.workers, lane, &task->job);
    } else {
        worker_pool_submit(manager->env.workers, &task->job);
    }
}

/* --- logs that are let go --- */

struct dropped_log {
    struct list node;
    struct log *log;
};

static void free_dropped(struct log_manager *manager)
{
    struct list *node;
    while ((node = list_pop_front(&manager->dropped)) != NULL) {
        struct dropped_log *dropped = container_of(node, struct dropped_log, node);
        log_free(dropped->log);
        free(dropped);
    }
}

/* In PHASE_SEND the writer has settled all appends of the turn and called their on_done. */
static void on_drop(struct deferred *deferred)
{
    free_dropped(container_of(deferred, struct log_manager, drop_deferred));
}

void manager_drop_log(struct managed_entry *managed)
{
    struct log_manager *manager = managed->manager;
    struct log *log = managed->entry.log;
    manager_passes_skip(manager, managed);
    list_remove(&managed->loaded_node);
    manager->loaded_count--;
    managed->entry.log = NULL;
    if (manager->env.loop == NULL) {
        log_free(log);
        return;
    }
    if (manager_has_many_loops(manager)) {
        manager_send_drop(managed, log);
        return;
    }
    struct dropped_log *dropped = calloc(1, sizeof(*dropped));
    check(dropped != NULL); /* two words: like the fixed pools of start-up */
    dropped->log = log;
    list_push_back(&manager->dropped, &dropped->node);
    loop_defer(manager->env.loop, &manager->drop_deferred, PHASE_SEND);
}

bool manager_is_disk_failure(enum error error)
{
    return error == E_LOCAL_IO || error == E_LOCAL_PERMISSION;
}

/* --- what others ask --- */

int32_t log_manager_broker_id(const struct log_manager *manager)
{
    return manager->broker_id;
}

struct slice log_manager_cluster_id(const struct log_manager *manager)
{
    return slice_from_string(manager->cluster_id);
}

const struct log_env *log_manager_env(const struct log_manager *manager)
{
    return &manager->env;
}

uint32_t log_manager_directory_count(const struct log_manager *manager)
{
    return manager->directory_count;
}

void log_manager_directory_status(struct log_manager *manager, uint32_t directory,
                                  struct log_directory_status *ret_status)
{
    check(directory < manager->directory_count);
    struct log_directory *dir = &manager->directories[directory];
    struct vfs *vfs = manager->env.vfs;
    if (dir->error == E_OK) {
        /* Else the values from before: what cannot be asked has not changed. */
        (void)vfs->space(vfs, dir->path, &dir->free_bytes, &dir->total_bytes);
    }
    *ret_status = (struct log_directory_status){
        .path = dir->path,
        .error = dir->error,
        .free_bytes = dir->free_bytes,
        .total_bytes = dir->total_bytes,
    };
}

void log_manager_on_directory_change(struct log_manager *manager,
                                     void (*on_change)(void *context, uint32_t directory,
                                                       enum error error),
                                     void *context)
{
    manager->on_change = on_change;
    manager->on_change_context = context;
}

void log_manager_on_cold(struct log_manager *manager, const struct log_manager_cold_events *events)
{
    manager->cold_events = *events;
}

/* --- open and free --- */

/* Not for secrets; a file system without the device (a simulated one) gives the clock. */
static uint64_t choose_seed(const struct log_env *env)
{
    uint64_t seed = (uint64_t)env->clock->wall_ms(env->clock) ^
                    (uint64_t)env->clock->monotonic_ns(env->clock) << 20;
    struct file *file;
    size_t size;
    if (env->vfs->open(env->vfs, "/dev/urandom", FILE_READ, &file) == E_OK) {
        uint64_t random;
        if (env->vfs->read(file, 0, &random, sizeof(random), &size) == E_OK &&
            size == sizeof(random)) {
            seed = random;
        }
        file_unref(file);
    }
    return seed;
}

static void init(struct log_manager *manager, const struct log_env *env, struct diag *diag,
                 const struct log_manager_options *options)
{
    manager->env = *env;
    manager->diag = diag;
    manager->options = *options;
    manager->loops = options->loops;
    manager->options.directories = NULL;
    manager->options.cluster_id = SLICE_NULL;
    rng_init(&manager->rng, options->random_seed != 0 ? options->random_seed : choose_seed(env));
    hash_table_init(&manager->table, rng_next(&manager->rng));
    list_init(&manager->entries);
    list_init(&manager->loaded);
    list_init(&manager->renames);
    list_init(&manager->trash);
    list_init(&manager->dropped);
    deferred_init(&manager->drop_deferred, on_drop);
    manager->boot_id = boot_id_current(env->vfs);
}

enum error log_manager_open(const struct log_env *env, struct diag *diag,
                            const struct log_manager_options *options,
                            struct log_manager **ret_manager, struct start_failure *ret_failure)
{
    check(options->directory_count > 0);
    if (env->workers != NULL) {
        check(env->loop != NULL);
    }
    struct log_manager *manager = calloc(1, sizeof(*manager));
    enum error error = manager == NULL ? E_LOCAL_NO_MEMORY : E_OK;
    if (error == E_OK) {
        init(manager, env, diag, options);
        manager->env.files = NULL;
        manager->env.writer = NULL;
        error = file_cache_new(env->vfs, options->open_files_max, &manager->env.files);
    }
    if (error == E_OK) {
        error = log_writer_new(env->loop, &manager->env.writer);
    }
    if (error == E_OK) {
        error = manager_make_owner_envs(manager);
    }
    if (error != E_OK) {
        *ret_failure = (struct start_failure){.error = error, .text = "no memory at start"};
    } else {
        error = log_manager_start_directories(manager, options, ret_failure);
    }
    if (error != E_OK) {
        log_manager_free(manager);
        return error;
    }
    manager_start_background(manager);
    *ret_manager = manager;
    return E_OK;
}

static bool is_busy(const struct log_manager *manager)
{
    if (manager->task_count > 0 || !list_is_empty(&manager->dropped)) {
        return true;
    }
    LIST_FOREACH (node, &manager->loaded) {
        if (container_of(node, struct managed_entry, loaded_node)->entry.log->flush != NULL) {
            return true;
        }
    }
    return false;
}

void manager_drain(struct log_manager *manager)
{
    while (manager->env.loop != NULL && is_busy(manager)) {
        manager_turn_loops(manager, DRAIN_WAIT_MS);
    }
    check(manager->task_count == 0);
}

/* A dropped log whose flush runs is freed when that ends, and holds descriptors until then. */
static void drain_files(struct log_manager *manager)
{
    struct file_cache *files = manager->env.files;
    for (int i = 0; manager->env.loop != NULL && i < DRAIN_TURNS_MAX; i++) {
        if (files == NULL || file_cache_open_count(files) == 0) {
            return;
        }
        manager_turn_loops(manager, DRAIN_WAIT_MS);
    }
}

void log_manager_free(struct log_manager *manager)
{
    if (manager == NULL) {
        return;
    }
    manager->is_stopping = true;
    manager_stop_background(manager);
    manager_drain(manager);
    check(list_is_empty(&manager->dropped));
    LIST_FOREACH_SAFE (node, next, &manager->entries) {
        struct managed_entry *managed = container_of(node, struct managed_entry, node);
        log_free(managed->entry.log);
        managed->entry.log = NULL;
        manager_forget(managed);
        manager_free_entry(managed);
    }
    drain_files(manager);
    manager_free_trash(manager);
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        struct log_directory *dir = &manager->directories[i];
        struct list *node;
        while ((node = list_pop_front(&dir->deleted_files)) != NULL) {
            free(container_of(node, struct deleted_file, node));
        }
        file_unref(dir->lock);
        free(dir->path);
    }
    hash_table_done(&manager->table);
    manager_free_owner_envs(manager);
    log_writer_free(manager->env.writer);
    file_cache_free(manager->env.files);
    free(manager->directories);
    free(manager->cluster_id);
    free(manager);
}
