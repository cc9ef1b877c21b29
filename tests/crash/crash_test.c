/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crashes at any call. Random work on a log manager stops at a random call that changes the disk;
 * then kill -9 or a power cut that keeps any part of what was not synced; then recovery, which is
 * itself stopped some times. Proves: nothing that was acked and flushed is lost, nothing acked is
 * lost to kill -9, no torn or foreign batch is served, offsets are dense, producers are right.
 *
 *     crash_test [FIRST_SEED COUNT]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "crash_world.h"
#include "support/vfs_crash.h"

#include <cmocka.h>

enum {
#ifdef OTTLA_CHECK_SLOW
    SEED_COUNT = 300, /* sanitizers: ten times the time */
#else
    SEED_COUNT = 1500,
#endif
    STEPS_MAX = 150,
    CRASHES = 4,
    RECOVERY_CRASHES_MAX = 3,
    CHANGES_MAX = 300,
    RECOVERY_CHANGES_MAX = 40,
};

static uint64_t seed_first = 1;
static uint64_t seed_count = SEED_COUNT;

static void restart(struct crash_vfs *crash, struct rng *rng, bool *kept_page_cache)
{
    if (rng_below(rng, 3) == 0) {
        crash_vfs_restart_process(crash);
    } else {
        crash_vfs_restart_machine(crash, rng);
        *kept_page_cache = false;
    }
}

static void work_until_crash(struct world *world, struct crash_vfs *crash, struct rng *rng)
{
    crash_vfs_stop_at(crash, 1 + rng_below(rng, CHANGES_MAX));
    for (int i = 0; i < STEPS_MAX && !crash_vfs_is_stopped(crash); i++) {
        world_step(world);
        if (world->manager == NULL) {
            break; /* a start in the middle was cut off */
        }
    }
    world_kill(world);
}

static void recover(struct world *world, struct crash_vfs *crash, struct rng *rng)
{
    bool kept_page_cache = true;
    restart(crash, rng, &kept_page_cache);
    for (uint64_t i = rng_below(rng, RECOVERY_CRASHES_MAX + 1); i > 0; i--) {
        crash_vfs_stop_at(crash, 1 + rng_below(rng, RECOVERY_CHANGES_MAX));
        if (world_start(world) == E_OK) {
            world_kill(world);
        } else {
            assert_true(crash_vfs_is_stopped(crash));
        }
        restart(crash, rng, &kept_page_cache);
    }
    assert_int_equal(world_start(world), E_OK);
    world_verify(world, kept_page_cache);
}

static void run_seed(uint64_t seed, struct log_fixture *fixture)
{
    struct rng rng;
    struct world world;
    rng_init(&rng, seed);
    struct crash_vfs *crash = crash_vfs_new();
    world_init(&world, crash_vfs_vfs(crash), &rng, fixture);
    assert_int_equal(world_start(&world), E_OK);
    for (int i = 0; i < CRASHES; i++) {
        work_until_crash(&world, crash, &rng);
        recover(&world, crash, &rng);
    }
    world_kill(&world);
    world_done(&world);
    assert_int_equal(crash_vfs_open_count(crash), 0);
    crash_vfs_free(crash);
}

static void test_crash_anywhere(void **state)
{
    struct log_fixture fixture;
    uint64_t *seed = *state;
    fixture_init(&fixture, NULL);
    for (*seed = seed_first; *seed < seed_first + seed_count; (*seed)++) {
        run_seed(*seed, &fixture);
    }
    fixture_done(&fixture);
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(uint64_t));
    return *state == NULL ? -1 : 0;
}

/* How to see a failure again. */
static int tear_down(void **state)
{
    const uint64_t *seed = *state;
    if (*seed < seed_first + seed_count) {
        print_message("again: crash_test %llu 1\n", (unsigned long long)*seed);
    }
    free(*state);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_crash_anywhere, set_up, tear_down),
    };
    if (argc == 3) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
