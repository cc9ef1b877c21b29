/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that fail. The same random work again and again, in which the n-th call of one kind fails,
 * for n = 1, 2, ... until none does. Proves: the process goes on, nothing that was acked is lost or
 * torn after a restart, and every descriptor is given back (memory: ASan watches).
 *
 *     fault_test [FIRST_SEED]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "crash_world.h"
#include "support/vfs_crash.h"
#include "support/vfs_fault.h"

#include <cmocka.h>

enum { STEPS = 60, SEED_COUNT = 8 };

static uint64_t seed_first = 1;

struct fault_case {
    unsigned kinds;
    enum error error;
    bool is_short;
    bool is_lasting;
};

/* Fault `n`; false: it was never reached. */
static bool run_fault(const struct fault_case *fault_case, uint64_t seed, uint64_t n,
                      struct log_fixture *fixture)
{
    struct fault_vfs fault;
    struct world world;
    struct rng rng;
    rng_init(&rng, seed);
    struct crash_vfs *crash = crash_vfs_new();
    fault_vfs_init(&fault, crash_vfs_vfs(crash));
    fault.is_short = fault_case->is_short;
    fault.is_lasting = fault_case->is_lasting;
    world_init(&world, &fault.vfs, &rng, fixture);
    world.is_faulty = true;
    assert_int_equal(world_start(&world), E_OK);
    fault_vfs_set(&fault, fault_case->kinds, n, fault_case->error);
    for (int i = 0; i < STEPS && world.manager != NULL; i++) {
        world_step(&world);
    }
    world_kill(&world);
    assert_int_equal(fault.open_count, 0);
    const bool has_fired = fault_vfs_stop(&fault);

    crash_vfs_restart_process(crash);
    assert_int_equal(world_start(&world), E_OK);
    world_verify(&world, true);
    world_kill(&world);
    world_done(&world);
    assert_int_equal(fault.open_count, 0);
    crash_vfs_free(crash);
    return has_fired;
}

static void run_case(const struct fault_case *fault_case)
{
    struct log_fixture fixture;
    uint64_t fault_count = 0;
    fixture_init(&fixture, NULL);
    for (uint64_t seed = seed_first; seed < seed_first + SEED_COUNT; seed++) {
        uint64_t n = 1;
        while (run_fault(fault_case, seed, n, &fixture)) {
            n++;
        }
        fault_count += n - 1;
    }
    fixture_done(&fixture);
    assert_true(fault_count >= SEED_COUNT); /* this kind of call was made */
}

static void test_full_disk(void **state)
{
    (void)state;
    run_case(&(struct fault_case){.kinds = FAULT_WRITE, .error = E_LOCAL_NO_SPACE});
    run_case(
        &(struct fault_case){.kinds = FAULT_WRITE, .error = E_LOCAL_NO_SPACE, .is_short = true});
    run_case(&(struct fault_case){
        .kinds = FAULT_WRITE, .error = E_LOCAL_NO_SPACE, .is_short = true, .is_lasting = true});
}

static void test_broken_disk(void **state)
{
    (void)state;
    run_case(&(struct fault_case){.kinds = FAULT_WRITE, .error = E_LOCAL_IO});
    run_case(&(struct fault_case){.kinds = FAULT_SYNC, .error = E_LOCAL_IO});
    run_case(&(struct fault_case){
        .kinds = FAULT_WRITE | FAULT_TRUNCATE, .error = E_LOCAL_IO, .is_lasting = true});
}

static void test_names(void **state)
{
    (void)state;
    run_case(&(struct fault_case){.kinds = FAULT_OPEN, .error = E_LOCAL_TOO_MANY_FILES});
    run_case(&(struct fault_case){.kinds = FAULT_RENAME, .error = E_LOCAL_IO});
    run_case(&(struct fault_case){.kinds = FAULT_UNLINK, .error = E_LOCAL_IO});
    run_case(&(struct fault_case){.kinds = FAULT_LIST, .error = E_LOCAL_IO});
    run_case(&(struct fault_case){.kinds = FAULT_READ, .error = E_LOCAL_IO});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_broken_disk),
        cmocka_unit_test(test_names),
    };
    if (argc == 2) {
        seed_first = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
