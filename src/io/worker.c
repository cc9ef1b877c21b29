/* SPDX-License-Identifier: Apache-2.0 */
#include "io/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_job;
    struct list jobs; /* may start now; under lock */
    bool is_stopping; /* under lock */
    unsigned thread_count;
    pthread_t threads[];
};

/* Locks: the pool's lock, held. */
static void enqueue(struct worker_pool *pool, struct job *job)
{
    list_push_back(&pool->jobs, &job->node);
    (void)pthread_cond_signal(&pool->has_job);
}

/* The next job of the lane, now its running one; NULL: the lane rests. */
static struct job *lane_next(struct worker_pool *pool, struct job_lane *lane)
{
    struct list *node;
    (void)pthread_mutex_lock(&pool->lock);
    node = list_pop_front(&lane->jobs);
    lane->is_running = node != NULL;
    (void)pthread_mutex_unlock(&pool->lock);
    return node == NULL ? NULL : container_of(node, struct job, node);
}

static void on_job_done(struct message *message)
{
    struct job *job = container_of(message, struct job, message);
    job->on_done(job);
}

/*
 * The lane is left before the completion is posted, for its owner may free it then; the next job
 * of the lane starts after that, so that completions keep its order.
 */
static void run_job(struct worker_pool *pool, struct job *job)
{
    struct job_lane *lane = job->lane;
    const bool has_completion = job->on_done != NULL;
    struct job *next = NULL;
    job->run(job); /* without on_done, job is gone after this */
    if (lane != NULL) {
        next = lane_next(pool, lane);
    }
    if (has_completion) {
        loop_post(job->loop, &job->message);
    }
    if (next != NULL) {
        (void)pthread_mutex_lock(&pool->lock);
        enqueue(pool, next);
        (void)pthread_mutex_unlock(&pool->lock);
    }
}

/* NULL: the pool stops and nothing is left to do. */
static struct job *take_job(struct worker_pool *pool)
{
    struct list *node;
    (void)pthread_mutex_lock(&pool->lock);
    while (list_is_empty(&pool->jobs) && !pool->is_stopping) {
        (void)pthread_cond_wait(&pool->has_job, &pool->lock);
    }
    node = list_pop_front(&pool->jobs);
    (void)pthread_mutex_unlock(&pool->lock);
    return node == NULL ? NULL : container_of(node, struct job, node);
}

static void *worker_main(void *argument)
{
    struct worker_pool *pool = argument;
    struct job *job;
    while ((job = take_job(pool)) != NULL) {
        run_job(pool, job);
    }
    return NULL;
}

/* Signals are for the main thread. */
static int start_thread(struct worker_pool *pool)
{
    sigset_t all;
    sigset_t before;
    int result;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&pool->threads[pool->thread_count], NULL, worker_main, pool);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0) {
        (void)pthread_setname_np(pool->threads[pool->thread_count], "worker");
        pool->thread_count++;
    }
    return result;
}

enum error worker_pool_new(unsigned thread_count, struct worker_pool **ret_pool)
{
    struct worker_pool *pool;
    check(thread_count > 0);
    pool = calloc(1, sizeof(*pool) + thread_count * sizeof(pool->threads[0]));
    if (pool == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    check(pthread_mutex_init(&pool->lock, NULL) == 0);
    check(pthread_cond_init(&pool->has_job, NULL) == 0);
    list_init(&pool->jobs);
    for (unsigned i = 0; i < thread_count; i++) {
        if (start_thread(pool) != 0) {
            worker_pool_free(pool);
            return E_LOCAL_NO_MEMORY;
        }
    }
    *ret_pool = pool;
    return E_OK;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    (void)pthread_cond_broadcast(&pool->has_job);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    check(list_is_empty(&pool->jobs));
    (void)pthread_cond_destroy(&pool->has_job);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void job_prepare(struct job *job, struct job_lane *lane)
{
    if (job->on_done != NULL) {
        check(job->loop != NULL);
    }
    job->lane = lane;
    job->message.on_receive = on_job_done;
    list_init(&job->node);
}

void worker_pool_submit(struct worker_pool *pool, struct job *job)
{
    job_prepare(job, NULL);
    (void)pthread_mutex_lock(&pool->lock);
    enqueue(pool, job);
    (void)pthread_mutex_unlock(&pool->lock);
}

void job_lane_init(struct job_lane *lane)
{
    list_init(&lane->jobs);
    lane->is_running = false;
}

void worker_pool_submit_in_order(struct worker_pool *pool, struct job_lane *lane, struct job *job)
{
    job_prepare(job, lane);
    (void)pthread_mutex_lock(&pool->lock);
    if (lane->is_running) {
        list_push_back(&lane->jobs, &job->node);
    } else {
        lane->is_running = true;
        enqueue(pool, job);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}
