/* SPDX-License-Identifier: Apache-2.0 */
#include "config/setting_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka needs the first two. */
#include <cmocka.h>

static struct arena arena;

static enum error parse(enum setting_id id, const char *text, struct setting_value *ret_value)
{
    const char *allowed;
    return setting_parse(setting_get(id), slice_from_string(text), &arena, ret_value, &allowed);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 4 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

/* Proves that the default of every row parses to itself. */
static void test_defaults(void **state)
{
    (void)state;
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *setting = setting_get((enum setting_id)id);
        struct setting_value value = {.text = "?"};
        assert_int_equal(parse(setting->id, setting->default_text, &value), E_OK);
        assert_true(setting_value_is_default(setting, &value));
    }
}

/* Proves that values are read by type and brought to one form. */
static void test_types(void **state)
{
    (void)state;
    struct setting_value value = {.text = NULL};
    assert_int_equal(parse(SETTING_NUM_PARTITIONS, " +07 ", &value), E_OK);
    assert_int_equal(value.integer, 7);
    assert_string_equal(value.text, "7");
    assert_int_equal(parse(SETTING_AUTO_CREATE_TOPICS_ENABLE, "FALSE", &value), E_OK);
    assert_false(value.boolean);
    assert_string_equal(value.text, "false");
    assert_int_equal(parse(SETTING_LOG_CLEANUP_POLICY, " compact , delete ", &value), E_OK);
    assert_string_equal(value.text, "compact,delete");
    assert_int_equal(parse(SETTING_LOG_CLEANER_MIN_CLEANABLE_RATIO, "1e-1", &value), E_OK);
    assert_true(value.real > 0.09 && value.real < 0.11);
    assert_int_equal(parse(SETTING_COMPRESSION_GZIP_LEVEL, "-1", &value), E_OK);
    assert_int_equal(parse(SETTING_LOG_RETENTION_MS, "9223372036854775807", &value), E_OK);
    assert_int_equal(value.integer, INT64_MAX);
}

/* Proves that each kind of bad value is refused with what is allowed. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        enum setting_id id;
        const char *text;
        const char *allowed;
    } cases[] = {
        {SETTING_NUM_PARTITIONS, "0", "a whole number from 1 to 2147483647"},
        {SETTING_NUM_PARTITIONS, "2147483648", "a whole number from 1 to 2147483647"},
        {SETTING_NUM_PARTITIONS, "", "a whole number from 1 to 2147483647"},
        {SETTING_NUM_PARTITIONS, "1 2", "a whole number from 1 to 2147483647"},
        {SETTING_NUM_PARTITIONS, "0x10", "a whole number from 1 to 2147483647"},
        {SETTING_NUM_PARTITIONS, "99999999999999999999", "a whole number from 1 to 2147483647"},
        {SETTING_COMPRESSION_GZIP_LEVEL, "0", "a whole number from 1 to 9, or -1"},
        {SETTING_AUTO_CREATE_TOPICS_ENABLE, "yes", "true or false"},
        {SETTING_LOG_CLEANUP_POLICY, "delete,shred", "a comma-separated list of compact, delete"},
        {SETTING_ACK_DURABILITY, "FSYNC", "one of pagecache, fsync"},
        {SETTING_LOG_CLEANER_MIN_CLEANABLE_RATIO, "1.5", "a number from 0 to 1"},
        {SETTING_LOG_CLEANER_MIN_CLEANABLE_RATIO, "nan", "a number from 0 to 1"},
        {SETTING_LOG_CLEANER_MIN_CLEANABLE_RATIO, "0.5x", "a number from 0 to 1"},
        {SETTING_LOG_CLEANER_MIN_CLEANABLE_RATIO, "", "a number from 0 to 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct setting_value value = {.text = "untouched"};
        const char *allowed = NULL;
        assert_int_equal(setting_parse(setting_get(cases[i].id), slice_from_string(cases[i].text),
                                       &arena, &value, &allowed),
                         E_INVALID_CONFIG);
        assert_string_equal(allowed, cases[i].allowed);
        assert_string_equal(value.text, "untouched");
    }
    struct setting_value value = {.text = NULL};
    assert_int_equal(parse(SETTING_NUM_PARTITIONS, NULL, &value), E_INVALID_CONFIG);
    assert_int_equal(
        setting_parse(setting_get(SETTING_LOG_DIR), slice_of("a\0b", 3), &arena, &value, NULL),
        E_INVALID_CONFIG);
}

/* Proves that every integer row refuses what lies just outside of its range. */
static void test_ranges(void **state)
{
    (void)state;
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *setting = setting_get((enum setting_id)id);
        if (setting->type != SETTING_TYPE_INT && setting->type != SETTING_TYPE_LONG) {
            continue;
        }
        struct setting_value value = {.text = NULL};
        char text[32];
        (void)snprintf(text, sizeof(text), "%lld", (long long)setting->min);
        assert_int_equal(parse(setting->id, text, &value), E_OK);
        assert_int_equal(value.integer, setting->min);
        if (setting->min > INT64_MIN && setting->min - 1 != setting->special) {
            (void)snprintf(text, sizeof(text), "%lld", (long long)setting->min - 1);
            assert_true(parse(setting->id, text, &value) == E_INVALID_CONFIG ||
                        strcmp(text, setting->default_text) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
