/* SPDX-License-Identifier: Apache-2.0 */
/* Each number of the table is found, in both directions; numbers outside it are tamed. */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_known_rows(void **state)
{
    (void)state;
    assert_int_equal(E_OK, 0);
    assert_int_equal(error_to_wire(E_OK), 0);
    assert_int_equal(error_to_wire(E_NOT_LEADER_OR_FOLLOWER), 6);
    assert_string_equal(error_name(E_OFFSET_OUT_OF_RANGE), "OFFSET_OUT_OF_RANGE");
    assert_true(error_is_retriable(E_NOT_LEADER_OR_FOLLOWER));
    assert_false(error_is_retriable(E_OFFSET_OUT_OF_RANGE));
    assert_int_equal(error_to_wire(E_LOCAL_IO), 56);
}

/* Whatever number comes, the way out is a code that Kafka has, and no text is missing. */
static void test_every_number(void **state)
{
    int known_count = 0;
    (void)state;
    for (int code = -2000; code <= 2000; code++) {
        const enum error error = (enum error)code;
        const int16_t wire = error_to_wire(error);
        assert_in_range(wire + 1, 0, 500);
        assert_non_null(error_text(error));
        if (strcmp(error_name(error), "UNKNOWN") == 0) {
            assert_int_equal(wire, -1);
            continue;
        }
        known_count++;
        if (code >= -1) {
            assert_int_equal(wire, code);
            assert_int_equal(error_from_wire(wire), code);
        }
        assert_string_not_equal(error_name(error_from_wire(wire)), "UNKNOWN");
    }
    assert_true(known_count > 130);
}

/* A peer cannot make us see one of our own codes, or one that we do not know. */
static void test_peers_numbers(void **state)
{
    (void)state;
    assert_int_equal(error_from_wire((int16_t)E_LOCAL_IO), E_UNKNOWN_SERVER_ERROR);
    assert_int_equal(error_from_wire(INT16_MAX), E_UNKNOWN_SERVER_ERROR);
    assert_int_equal(error_from_wire(INT16_MIN), E_UNKNOWN_SERVER_ERROR);
    assert_int_equal(error_from_wire(-1), E_UNKNOWN_SERVER_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_rows),
        cmocka_unit_test(test_every_number),
        cmocka_unit_test(test_peers_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
