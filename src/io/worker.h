/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A small pool of threads for what can block: fsync, recovery, deletion, index rebuild, cold reads,
 * the embedded store. A job runs on a worker and then completes on the loop that submitted it.
 */

#include "io/loop.h"

struct worker_pool;

struct job {
    void (*run)(struct job *job); /* on a worker thread */
    void (*on_done)(
        struct job *job);   /* on the loop; NULL: nothing (then the job may free itself in run) */
    struct loop *loop;      /* where on_done runs; may be NULL when on_done is */
    struct message message; /* the pool's */
    struct list node;       /* the pool's */
    struct job_lane *lane;  /* the pool's */
};

/*
 * Jobs of one lane run one at a time and complete in order (writes of one directory, the store).
 * The owner may free the lane once the last on_done has been called.
 * Locks: both members, the pool's lock.
 */
struct job_lane {
    struct list jobs; /* waiting for the one that runs */
    bool is_running;
};

/* thread_count > 0. Errors: E_LOCAL_NO_MEMORY (threads too). */
NODISCARD enum error worker_pool_new(unsigned thread_count, struct worker_pool **ret_pool);
/* Runs all submitted jobs to their end, joins the threads. NULL is fine. Completions are in the
 * loops' mailboxes then; nobody may submit any more, except running jobs. */
void worker_pool_free(struct worker_pool *pool);
/* Any thread. The job must stay where it is until on_done (or run, without on_done). */
void worker_pool_submit(struct worker_pool *pool, struct job *job);
void job_lane_init(struct job_lane *lane);
void worker_pool_submit_in_order(struct worker_pool *pool, struct job_lane *lane, struct job *job);
