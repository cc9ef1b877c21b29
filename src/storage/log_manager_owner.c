/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done with a log on the loop that owns it, when that is not home.
 *
 *   visit:  home ──run──▶ owner ──error──▶ home
 *   drop:   home ──settle its appends──▶ owner ──a round of the loops──▶ owner: free ──▶ home
 *
 * A message that was posted before a drop finds the log alive: messages keep their order.
 */
#include <stdlib.h>

#include "storage/log_manager_private.h"
#include "storage/log_private.h" /* the owner's loop and writer */

/* --- environments --- */

enum error manager_make_owner_envs(struct log_manager *manager)
{
    if (manager->loops == NULL || manager->loops->count == 1) {
        return E_OK;
    }
    check(manager->loops->loops[0] == manager->env.loop);
    manager->owner_envs = calloc(manager->loops->count, sizeof(*manager->owner_envs));
    if (manager->owner_envs == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (unsigned i = 1; i < manager->loops->count; i++) {
        struct log_env *env = &manager->owner_envs[i];
        *env = manager->env;
        env->loop = manager->loops->loops[i];
        env->writer = NULL;
        const enum error error = log_writer_new(env->loop, &env->writer);
        if (error != E_OK) {
            return error;
        }
    }
    return E_OK;
}

void manager_free_owner_envs(struct log_manager *manager)
{
    for (unsigned i = 1; manager->owner_envs != NULL && i < manager->loops->count; i++) {
        log_writer_free(manager->owner_envs[i].writer);
    }
    free(manager->owner_envs);
}

const struct log_env *log_manager_owner_env(const struct log_manager *manager, unsigned owner)
{
    return owner == 0 ? &manager->env : &manager->owner_envs[owner];
}

void manager_flush_writers(struct log_manager *manager)
{
    log_writer_flush(manager->env.writer);
    for (unsigned i = 1; manager->owner_envs != NULL && i < manager->loops->count; i++) {
        log_writer_flush(manager->owner_envs[i].writer);
    }
}

void manager_turn_loops(struct log_manager *manager, int timeout_ms)
{
    if (manager_has_many_loops(manager)) {
        loop_set_drain(manager->loops, timeout_ms);
    } else {
        loop_turn(manager->env.loop, timeout_ms);
    }
}

/* --- visits --- */

struct log_visit {
    struct message message;
    struct log_manager *manager;
    struct log *log;
    uint32_t directory;
    enum error (*run)(struct log *log);
    enum error error;
};

static void fail_if_disk_failed(struct log_manager *manager, uint32_t directory, enum error error)
{
    if (manager_is_disk_failure(error)) {
        log_manager_fail_directory(manager, directory, error);
    }
}

static void on_visited(struct message *message)
{
    struct log_visit *visit = container_of(message, struct log_visit, message);
    visit->manager->task_count--;
    fail_if_disk_failed(visit->manager, visit->directory, visit->error);
    free(visit);
}

static void visit_at_owner(struct message *message)
{
    struct log_visit *visit = container_of(message, struct log_visit, message);
    visit->error = visit->run(visit->log);
    message->on_receive = on_visited;
    loop_post(visit->manager->env.loop, message);
}

void manager_visit_log(struct managed_entry *managed, enum error (*run)(struct log *log))
{
    struct log_manager *manager = managed->manager;
    struct log *log = managed->entry.log;
    if (log->env->loop == manager->env.loop) {
        fail_if_disk_failed(manager, managed->entry.directory, run(log));
        return;
    }
    struct log_visit *visit = calloc(1, sizeof(*visit));
    if (visit == NULL) {
        return; /* the next pass comes by */
    }
    *visit = (struct log_visit){
        .message = {.on_receive = visit_at_owner},
        .manager = manager,
        .log = log,
        .directory = managed->entry.directory,
        .run = run,
    };
    manager->task_count++;
    loop_post(log->env->loop, &visit->message);
}

/* --- drops --- */

struct log_drop {
    struct message message;
    struct loop_round round;
    struct managed_entry *managed;
    struct log *log;
};

static void on_dropped(struct message *message)
{
    struct log_drop *drop = container_of(message, struct log_drop, message);
    struct managed_entry *managed = drop->managed;
    managed->manager->task_count--;
    managed->drop_count--;
    free(drop);
    if (managed->is_deleted && managed->drop_count == 0 && !managed->entry.is_loading) {
        manager_begin_rename(managed);
    }
}

static void free_at_owner(struct loop_round *round)
{
    struct log_drop *drop = container_of(round, struct log_drop, round);
    log_free(drop->log);
    drop->message.on_receive = on_dropped;
    loop_post(drop->managed->manager->env.loop, &drop->message);
}

static void drop_at_owner(struct message *message)
{
    struct log_drop *drop = container_of(message, struct log_drop, message);
    log_writer_flush(drop->log->env->writer);
    loop_round_start(&drop->round, drop->managed->manager->loops, free_at_owner);
}

void manager_send_drop(struct managed_entry *managed, struct log *log)
{
    struct log_drop *drop = calloc(1, sizeof(*drop));
    check(drop != NULL); /* some words: like the fixed pools of start-up */
    drop->message.on_receive = drop_at_owner;
    drop->managed = managed;
    drop->log = log;
    managed->drop_count++;
    managed->manager->task_count++;
    loop_post(log->env->loop, &drop->message);
}
