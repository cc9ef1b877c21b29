/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka needs the first two. */
#include <cmocka.h>

#define ENTRY(name_, value_) ((struct config_entry){SLICE(name_), SLICE(value_)})

static struct settings *make(const struct config_entry *entries, size_t count)
{
    struct settings *settings = NULL;
    assert_int_equal(settings_new(entries, count, &settings), E_OK);
    return settings;
}

/* Proves that a set without entries has Kafka's defaults and typed getters read them. */
static void test_defaults(void **state)
{
    (void)state;
    struct settings *settings = make(NULL, 0);
    assert_int_equal(settings_integer(settings, SETTING_LOG_SEGMENT_BYTES), 1 << 30);
    assert_int_equal(settings_int32(settings, SETTING_NUM_PARTITIONS), 1);
    assert_true(settings_boolean(settings, SETTING_AUTO_CREATE_TOPICS_ENABLE));
    assert_true(settings_is_null(settings, SETTING_LOG_RETENTION_MS));
    assert_null(settings_text(settings, SETTING_LOG_DIRS));
    assert_string_equal(settings_text(settings, SETTING_ACK_DURABILITY), "pagecache");
    assert_int_equal(settings_value(settings, SETTING_NUM_PARTITIONS)->source,
                     CONFIG_SOURCE_DEFAULT);
    assert_null(settings_unref(settings));
}

/* Proves that retention falls back from ms to minutes to hours, whatever the layer. */
static void test_alternatives(void **state)
{
    (void)state;
    struct settings *settings = make(NULL, 0);
    assert_int_equal(settings_log_retention_ms(settings), 168 * INT64_C(3600000));
    assert_int_equal(settings_log_roll_ms(settings), 168 * INT64_C(3600000));
    assert_int_equal(settings_log_roll_jitter_ms(settings), 0);
    assert_int_equal(settings_log_flush_interval_ms(settings), INT64_MAX);
    settings_unref(settings);
    const struct config_entry some[] = {ENTRY("log.retention.hours", "1"),
                                        ENTRY("log.retention.minutes", "5"),
                                        ENTRY("log.flush.scheduler.interval.ms", "7")};
    settings = make(some, 3);
    assert_int_equal(settings_log_retention_ms(settings), 300000);
    assert_int_equal(settings_log_flush_interval_ms(settings), 7);
    settings_unref(settings);
    const struct config_entry ever[] = {ENTRY("log.retention.minutes", "-5")};
    settings = make(ever, 1);
    assert_int_equal(settings_log_retention_ms(settings), -1);
    settings_unref(settings);
}

/* Proves the order of the layers and that a change leaves the old set as it was. */
static void test_layers(void **state)
{
    (void)state;
    const struct config_entry file[] = {ENTRY("log.segment.bytes", "2000000")};
    const struct config_entry all[] = {ENTRY("log.segment.bytes", "3000000")};
    const struct config_entry one[] = {ENTRY("log.segment.bytes", "4000000")};
    struct settings *with_file = make(file, 1);
    struct settings *with_all = NULL;
    struct settings *with_one = NULL;
    struct settings *without = NULL;
    assert_int_equal(settings_with_layer(with_file, CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER, all, 1,
                                         NULL, &with_all),
                     E_OK);
    assert_int_equal(
        settings_with_layer(with_all, CONFIG_SOURCE_DYNAMIC_BROKER, one, 1, NULL, &with_one), E_OK);
    assert_int_equal(
        settings_with_layer(with_one, CONFIG_SOURCE_DYNAMIC_BROKER, NULL, 0, NULL, &without), E_OK);
    assert_int_equal(settings_integer(with_file, SETTING_LOG_SEGMENT_BYTES), 2000000);
    assert_int_equal(settings_integer(with_all, SETTING_LOG_SEGMENT_BYTES), 3000000);
    assert_int_equal(settings_integer(with_one, SETTING_LOG_SEGMENT_BYTES), 4000000);
    assert_int_equal(settings_integer(without, SETTING_LOG_SEGMENT_BYTES), 3000000);
    struct config_synonym synonyms[CONFIG_SYNONYM_COUNT_MAX];
    assert_int_equal(settings_synonyms(with_one, SETTING_LOG_SEGMENT_BYTES, synonyms), 4);
    assert_int_equal(synonyms[0].source, CONFIG_SOURCE_DYNAMIC_BROKER);
    assert_string_equal(synonyms[0].value, "4000000");
    assert_int_equal(synonyms[3].source, CONFIG_SOURCE_DEFAULT);
    assert_string_equal(synonyms[3].value, "1073741824");
    settings_unref(with_file);
    settings_unref(with_all);
    settings_unref(with_one);
    settings_unref(without);
}

/* Proves that alternatives before the setting's own first value are no synonyms, as in Kafka. */
static void test_synonyms(void **state)
{
    (void)state;
    const struct config_entry hours[] = {ENTRY("log.retention.hours", "1")};
    struct settings *settings = make(hours, 1);
    struct config_synonym synonyms[CONFIG_SYNONYM_COUNT_MAX];
    assert_int_equal(settings_synonyms(settings, SETTING_LOG_RETENTION_MS, synonyms), 0);
    assert_int_equal(settings_synonyms(settings, SETTING_LOG_RETENTION_HOURS, synonyms), 2);
    assert_int_equal(synonyms[0].source, CONFIG_SOURCE_STATIC_BROKER);
    settings_unref(settings);
    const struct config_entry both[] = {ENTRY("log.retention.hours", "1"),
                                        ENTRY("log.retention.ms", "5")};
    settings = make(both, 2);
    assert_int_equal(settings_synonyms(settings, SETTING_LOG_RETENTION_MS, synonyms), 3);
    assert_string_equal(synonyms[0].name, "log.retention.ms");
    assert_string_equal(synonyms[1].name, "log.retention.hours");
    settings_unref(settings);
}

/* Proves that what cannot be in a dynamic layer is left out with a warning that names it. */
static void test_layer_leaves_out(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct diagnoses diagnoses;
    diagnoses_init(&diagnoses, &arena);
    const struct config_entry entries[] = {
        ENTRY("no.such.setting", "1"), ENTRY("num.partitions", "5"), ENTRY("listeners", "X"),
        ENTRY("log.segment.bytes", "x"), ENTRY("log.retention.ms", "9")};
    struct settings *settings = make(NULL, 0);
    struct settings *changed = NULL;
    assert_int_equal(settings_with_layer(settings, CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER, entries, 5,
                                         &diagnoses, &changed),
                     E_OK);
    assert_int_equal(diagnoses.warning_count, 4);
    assert_non_null(strstr(diagnoses.head->text, "no.such.setting"));
    assert_int_equal(settings_int32(changed, SETTING_NUM_PARTITIONS), 1);
    assert_int_equal(settings_log_retention_ms(changed), 9);
    settings_unref(settings);
    settings_unref(changed);
    arena_done(&arena);
}

/* Proves that requests to change are answered as Kafka answers them, in words. */
static void test_check_change(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct failure failure = {.code = E_OK};
    assert_int_equal(
        settings_check_change(SLICE("log.segment.bytes"), SLICE("2000000"), true, &arena, &failure),
        E_OK);
    assert_int_equal(
        settings_check_change(SLICE("log.segment.bytes"), SLICE_NULL, true, &arena, &failure),
        E_OK);
    static const struct {
        struct slice name;
        struct slice value;
        const char *part;
    } refused[] = {
        {{(const uint8_t *)"num.partitions", 14}, {(const uint8_t *)"5", 1}, "num.partitions"},
        {{(const uint8_t *)"listeners", 9}, {(const uint8_t *)"X://:1", 6}, "not for all"},
        {{(const uint8_t *)"log.segment.bytes", 17}, {(const uint8_t *)"x", 1}, "whole number"},
        {{(const uint8_t *)"log.segment.byte", 16},
         {(const uint8_t *)"1", 1},
         "log.segment.bytes?"},
        {{(const uint8_t *)"log.local.retention.ms", 22}, {(const uint8_t *)"1", 1}, "not served"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(
            settings_check_change(refused[i].name, refused[i].value, true, &arena, &failure),
            E_INVALID_REQUEST);
        assert_int_equal(failure.code, E_INVALID_REQUEST);
        assert_non_null(strstr(failure.text, refused[i].part));
    }
    arena_done(&arena);
}

/* Proves that a bad static value is refused, not taken as something else. */
static void test_bad_static(void **state)
{
    (void)state;
    const struct config_entry bad[] = {ENTRY("num.partitions", "many")};
    struct settings *settings = NULL;
    assert_int_equal(settings_new(bad, 1, &settings), E_INVALID_CONFIG);
    assert_null(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),         cmocka_unit_test(test_alternatives),
        cmocka_unit_test(test_layers),           cmocka_unit_test(test_synonyms),
        cmocka_unit_test(test_layer_leaves_out), cmocka_unit_test(test_check_change),
        cmocka_unit_test(test_bad_static),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
