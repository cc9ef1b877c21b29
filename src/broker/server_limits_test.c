/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every limit is finite whatever the settings say, and settings that ask for less are obeyed.
 */
#include "broker/server_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const int64_t mib = INT64_C(1) << 20;

static enum error make(const char *const *overrides, size_t count, struct broker_options options,
                       struct server_limits *ret_limits)
{
    struct arena arena;
    struct diagnoses diagnoses;
    struct broker_settings *settings = NULL;
    struct start_failure failure = {.error = E_OK};
    arena_init(&arena, 1 << 20);
    diagnoses_init(&diagnoses, &arena);
    const struct broker_config_input input = {
        .overrides = overrides, .override_count = count, .default_log_dir = "data"};
    assert_int_equal(broker_config_load(&input, &diagnoses, &settings), E_OK);
    options.settings = settings;
    const enum error error = server_limits_make(&options, ret_limits, &failure);
    assert_int_equal(failure.error, error);
    if (error != E_OK) {
        assert_non_null(strstr(failure.text, "RLIMIT_NOFILE"));
    }
    broker_settings_free(settings);
    arena_done(&arena);
    return error;
}

static void test_defaults_are_finite(void **state)
{
    struct server_limits limits;
    (void)state;
    assert_int_equal(
        make(NULL, 0,
             (struct broker_options){.descriptor_count_max = 20000, .memory_max = 4096 * mib},
             &limits),
        E_OK);
    assert_int_equal(limits.connection_count_max, 10000 - DESCRIPTOR_RESERVE);
    assert_true(limits.connection_per_address_max < limits.connection_count_max);
    assert_true(limits.connection_per_address_max > limits.connection_count_max / 2);
    assert_int_equal(limits.request_memory_max, 512 * mib);
    assert_int_equal(limits.arena_memory_max, 512 * mib);
}

/* Between the two largest frames and 1 GiB. */
static void test_memory_has_bounds(void **state)
{
    struct server_limits limits;
    (void)state;
    struct broker_options options = {.descriptor_count_max = 20000, .memory_max = 64 * 1024 * mib};
    assert_int_equal(make(NULL, 0, options, &limits), E_OK);
    assert_int_equal(limits.request_memory_max, 1024 * mib);
    options.memory_max = 100 * mib;
    assert_int_equal(make(NULL, 0, options, &limits), E_OK);
    assert_int_equal(limits.request_memory_max, 200 * mib);
    options.memory_max = 0;
    assert_int_equal(make(NULL, 0, options, &limits), E_OK);
    assert_int_equal(limits.request_memory_max, 512 * mib);
}

static void test_settings_win(void **state)
{
    static const char *const overrides[] = {"queued.max.request.bytes=1000000",
                                            "max.connections=500", "max.connections.per.ip=7"};
    struct server_limits limits;
    (void)state;
    assert_int_equal(
        make(overrides, 3, (struct broker_options){.descriptor_count_max = 20000}, &limits), E_OK);
    assert_int_equal(limits.request_memory_max, 1000000);
    assert_int_equal(limits.connection_count_max, 500);
    assert_int_equal(limits.connection_per_address_max, 7);
}

static void test_too_few_descriptors(void **state)
{
    struct server_limits limits;
    (void)state;
    assert_int_equal(make(NULL, 0, (struct broker_options){.descriptor_count_max = 100}, &limits),
                     E_LOCAL_BAD_CONFIG);
    assert_int_equal(make(NULL, 0, (struct broker_options){.descriptor_count_max = 256}, &limits),
                     E_OK);
    assert_int_equal(limits.connection_count_max, CONNECTION_COUNT_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_finite),
        cmocka_unit_test(test_memory_has_bounds),
        cmocka_unit_test(test_settings_win),
        cmocka_unit_test(test_too_few_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
