/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs run on workers and complete on their loop; a lane keeps its order and never runs two at
 * once; the pool ends only when all has been done. */
#include "io/worker.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    JOB_COUNT = 2000,
};

struct lane_state {
    struct job_lane lane;
    struct loop *loop;
    atomic_int running;
    int run_next; /* the lane orders the accesses */
    int done_next;
};

struct lane_job {
    struct job job;
    struct lane_state *lane;
    int number;
};

static void lane_run(struct job *job)
{
    struct lane_job *lane_job = container_of(job, struct lane_job, job);
    assert_false(loop_is_current(lane_job->lane->loop));
    assert_int_equal(atomic_fetch_add(&lane_job->lane->running, 1), 0);
    assert_int_equal(lane_job->number, lane_job->lane->run_next);
    lane_job->lane->run_next++;
    if (lane_job->number % 64 == 0) {
        (void)sched_yield();
    }
    assert_int_equal(atomic_fetch_sub(&lane_job->lane->running, 1), 1);
}

static void lane_done(struct job *job)
{
    struct lane_job *lane_job = container_of(job, struct lane_job, job);
    assert_true(loop_is_current(job->loop));
    assert_int_equal(lane_job->number, lane_job->lane->done_next);
    lane_job->lane->done_next++;
}

static void test_lanes_keep_their_order(void **state)
{
    static struct lane_job jobs[2][JOB_COUNT];
    static struct lane_state lanes[2];
    struct worker_pool *pool;
    struct loop *loop;
    (void)state;
    assert_int_equal(loop_new(clock_system(), 0, &loop), E_OK);
    assert_int_equal(worker_pool_new(4, &pool), E_OK);
    for (int l = 0; l < 2; l++) {
        job_lane_init(&lanes[l].lane);
        lanes[l].loop = loop;
    }
    for (int i = 0; i < JOB_COUNT; i++) {
        for (int l = 0; l < 2; l++) {
            jobs[l][i] = (struct lane_job){
                .job = {.run = lane_run, .on_done = lane_done, .loop = loop},
                .lane = &lanes[l],
                .number = i,
            };
            worker_pool_submit_in_order(pool, &lanes[l].lane, &jobs[l][i].job);
        }
    }
    while (lanes[0].done_next < JOB_COUNT || lanes[1].done_next < JOB_COUNT) {
        loop_turn(loop, -1);
    }
    assert_false(lanes[0].lane.is_running);
    worker_pool_free(pool);
    loop_free(loop);
}

struct plain_job {
    struct job job;
    atomic_int *count;
};

static void plain_run(struct job *job)
{
    (void)atomic_fetch_add(container_of(job, struct plain_job, job)->count, 1);
}

static void test_free_runs_everything(void **state)
{
    static struct plain_job jobs[JOB_COUNT];
    static atomic_int count;
    struct worker_pool *pool;
    struct job_lane lane;
    (void)state;
    job_lane_init(&lane);
    assert_int_equal(worker_pool_new(3, &pool), E_OK);
    for (int i = 0; i < JOB_COUNT; i++) {
        jobs[i] = (struct plain_job){.job = {.run = plain_run}, .count = &count};
        if (i % 2 == 0) {
            worker_pool_submit(pool, &jobs[i].job);
        } else {
            worker_pool_submit_in_order(pool, &lane, &jobs[i].job);
        }
    }
    worker_pool_free(pool);
    assert_int_equal(atomic_load(&count), JOB_COUNT);
    worker_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_keep_their_order),
        cmocka_unit_test(test_free_runs_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
