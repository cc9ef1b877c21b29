/* SPDX-License-Identifier: Apache-2.0 */

/* A round comes back to where it began after each loop has received it once; with one loop it is
 * over at once. Driven by one thread that turns the loops in turn. */

#include "io/loop_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { LOOP_COUNT = 3 };

static unsigned done_count;

static void on_done(struct loop_round *round)
{
    assert_true(loop_is_current(round->set->loops[0]));
    done_count++;
}

static void test_one_loop_is_done_at_once(void **state)
{
    struct loop *loop;
    struct loop_round round;
    (void)state;
    done_count = 0;
    assert_int_equal(loop_new(clock_system(), 0, &loop), E_OK);
    const struct loop_set set = {.loops = &loop, .count = 1};
    loop_round_start(&round, &set, on_done);
    assert_int_equal(done_count, 1);
    loop_free(loop);
}

static void test_each_loop_is_visited(void **state)
{
    struct loop *loops[LOOP_COUNT];
    struct loop_round round;
    (void)state;
    done_count = 0;
    for (unsigned i = 0; i < LOOP_COUNT; i++) {
        assert_int_equal(loop_new(clock_system(), i, &loops[i]), E_OK);
    }
    const struct loop_set set = {.loops = loops, .count = LOOP_COUNT};
    loop_round_start(&round, &set, on_done);
    assert_true(loop_has_messages(loops[1])); /* not before the others have been there */
    loop_turn(loops[0], 0);
    assert_int_equal(done_count, 0);
    loop_turn(loops[1], 0);
    loop_turn(loops[0], 0);
    assert_int_equal(done_count, 0);
    loop_turn(loops[2], 0);
    loop_turn(loops[0], 0);
    assert_int_equal(done_count, 1);
    loop_round_start(&round, &set, on_done);
    loop_set_drain(&set, 0);
    assert_int_equal(done_count, 2);
    for (unsigned i = 0; i < LOOP_COUNT; i++) {
        assert_false(loop_has_messages(loops[i]));
        loop_free(loops[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_loop_is_done_at_once),
        cmocka_unit_test(test_each_loop_is_visited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
