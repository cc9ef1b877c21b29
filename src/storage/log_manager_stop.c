/* SPDX-License-Identifier: Apache-2.0 */
/* The clean stop: logs, then checkpoints, then the marker (M2, rule 46). */
#include <pthread.h>
#include <stdlib.h>

#include "storage/log_manager_private.h"
#include "storage/log_private.h" /* events: no calls upward any more */

enum { CLOSER_COUNT = 4 }; /* fdatasyncs that wait at the same time */

/* All closers take from one array. Lock: mutex guards next and running. */
struct closing {
    pthread_mutex_t mutex;
    pthread_cond_t is_done;
    struct managed_entry **items;
    enum error *errors; /* by item */
    uint32_t count;
    uint32_t next;
    uint32_t running; /* closers */
};

struct closer {
    struct job job;
    struct closing *closing;
};

static bool take_item(struct closing *closing, uint32_t *ret_index)
{
    (void)pthread_mutex_lock(&closing->mutex);
    const bool has_item = closing->next < closing->count;
    if (has_item) {
        *ret_index = closing->next++;
    }
    (void)pthread_mutex_unlock(&closing->mutex);
    return has_item;
}

static void close_items(struct closing *closing)
{
    uint32_t i;
    while (take_item(closing, &i)) {
        struct log *log = closing->items[i]->entry.log;
        log_drop_events(log); /* they belong to another thread */
        closing->errors[i] = log_is_failed(log) ? E_LOCAL_OFFLINE : log_close_clean(log);
    }
}

static void closer_run(struct job *job)
{
    struct closing *closing = container_of(job, struct closer, job)->closing;
    close_items(closing);
    (void)pthread_mutex_lock(&closing->mutex);
    closing->running--;
    (void)pthread_cond_signal(&closing->is_done);
    (void)pthread_mutex_unlock(&closing->mutex);
}

static void run_closers(struct log_manager *manager, struct closing *closing)
{
    struct closer closers[CLOSER_COUNT];
    if (manager->env.workers == NULL || closing->count < 2) {
        close_items(closing);
        return;
    }
    closing->running = CLOSER_COUNT;
    for (int i = 0; i < CLOSER_COUNT; i++) {
        closers[i] = (struct closer){.job = {.run = closer_run}, .closing = closing};
        worker_pool_submit(manager->env.workers, &closers[i].job);
    }
    (void)pthread_mutex_lock(&closing->mutex);
    while (closing->running > 0) {
        (void)pthread_cond_wait(&closing->is_done, &closing->mutex);
    }
    (void)pthread_mutex_unlock(&closing->mutex);
}

/* A log that did not close leaves its directory without a marker. */
static void settle_closed(struct log_manager *manager, const struct closing *closing)
{
    manager_refresh_hints(manager); /* failed logs keep their last good values */
    for (uint32_t i = 0; i < closing->count; i++) {
        struct managed_entry *managed = closing->items[i];
        const enum error error = closing->errors[i];
        if (error != E_OK) {
            manager_set_unrecovered(managed, true);
            diag_error(manager->diag, "%s: not closed clean: %s", log_path(managed->entry.log),
                       error_text(error));
        }
        list_remove(&managed->loaded_node);
        manager->loaded_count--;
        log_free(managed->entry.log);
        managed->entry.log = NULL;
    }
}

static void close_logs(struct log_manager *manager)
{
    struct closing closing = {.count = 0};
    closing.items = calloc(manager->loaded_count + 1, sizeof(*closing.items));
    closing.errors = calloc(manager->loaded_count + 1, sizeof(*closing.errors));
    check(closing.items != NULL); /* the process ends: nothing could give the memory back */
    check(closing.errors != NULL);
    check(pthread_mutex_init(&closing.mutex, NULL) == 0);
    check(pthread_cond_init(&closing.is_done, NULL) == 0);
    LIST_FOREACH (node, &manager->loaded) {
        closing.items[closing.count++] = container_of(node, struct managed_entry, loaded_node);
    }
    run_closers(manager, &closing);
    settle_closed(manager, &closing);
    (void)pthread_cond_destroy(&closing.is_done);
    (void)pthread_mutex_destroy(&closing.mutex);
    free(closing.items);
    free(closing.errors);
}

static void finish_directory(struct log_manager *manager, uint32_t index)
{
    struct log_directory *dir = &manager->directories[index];
    enum error error = dir->error;
    for (enum checkpoint_kind kind = 0; error == E_OK && kind < KIND_COUNT; kind++) {
        error = manager_write_checkpoint_now(manager, index, kind);
    }
    if (error == E_OK && dir->unrecovered_count == 0) {
        error = clean_marker_write(manager->env.vfs, dir->path, manager->options.broker_epoch);
    }
    if (error != E_OK) {
        diag_warn(manager->diag, "log directory %s: not stopped clean: %s", dir->path,
                  error_text(error));
    }
}

void log_manager_close_clean(struct log_manager *manager)
{
    manager->is_stopping = true;
    manager_stop_background(manager);
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        manager_resume_ghost_loads(manager, &manager->directories[i], E_LOCAL_OFFLINE);
    }
    manager_flush_writers(manager);
    manager_drain(manager);
    close_logs(manager);
    for (uint32_t i = 0; i < manager->directory_count; i++) {
        finish_directory(manager, i);
    }
}
