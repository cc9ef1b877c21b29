/* SPDX-License-Identifier: Apache-2.0 */
#include "config/topic_config.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka needs the two above. */
#include <cmocka.h>

#define ENTRY(name_, value_) ((struct config_entry){SLICE(name_), SLICE(value_)})

static struct arena arena;
static struct settings *broker;

static int set_up(void **state)
{
    (void)state;
    static const struct config_entry file[] = {
        {{(const uint8_t *)"log.retention.hours", 19}, {(const uint8_t *)"2", 1}},
        {{(const uint8_t *)"min.insync.replicas", 19}, {(const uint8_t *)"2", 1}},
    };
    arena_init(&arena, 4 << 20);
    return settings_new(file, 2, &broker) == E_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    broker = settings_unref(broker);
    arena_done(&arena);
    return 0;
}

static struct topic_settings resolve(const struct config_entry *overrides, size_t count)
{
    struct topic_settings settings;
    assert_int_equal(topic_settings_resolve(broker, overrides, count, &arena, &settings), E_OK);
    return settings;
}

/* Proves that without overrides a topic has the broker's values, in the topic's units. */
static void test_falls_back_to_broker(void **state)
{
    (void)state;
    const struct topic_settings settings = resolve(NULL, 0);
    const struct setting_value *retention =
        topic_settings_value(&settings, TOPIC_SETTING_RETENTION_MS);
    assert_int_equal(retention->integer, 7200000);
    assert_string_equal(retention->text, "7200000");
    assert_int_equal(retention->source, CONFIG_SOURCE_STATIC_BROKER);
    assert_int_equal(topic_settings_integer(&settings, TOPIC_SETTING_MIN_INSYNC_REPLICAS), 2);
    assert_int_equal(topic_settings_integer(&settings, TOPIC_SETTING_SEGMENT_BYTES), 1 << 30);
    assert_int_equal(topic_settings_integer(&settings, TOPIC_SETTING_FLUSH_MS), INT64_MAX);
    assert_true(topic_settings_cleanup_has(&settings, "delete"));
    assert_false(topic_settings_cleanup_has(&settings, "compact"));
    assert_false(topic_settings_boolean(&settings, TOPIC_SETTING_PREALLOCATE));
    assert_string_equal(topic_settings_text(&settings, TOPIC_SETTING_COMPRESSION_TYPE), "producer");
}

/* Proves that with Kafka's own defaults every topic setting has the default that its row names. */
static void test_defaults_agree(void **state)
{
    (void)state;
    struct settings *plain = NULL;
    struct topic_settings settings;
    assert_int_equal(settings_new(NULL, 0, &plain), E_OK);
    assert_int_equal(topic_settings_resolve(plain, NULL, 0, &arena, &settings), E_OK);
    for (size_t i = 0; i < SETTING_TOPIC_COUNT; i++) {
        const struct setting *setting = setting_get((enum setting_id)(SETTING_TOPIC_FIRST + i));
        if (!setting_value_is_default(setting, &settings.values[i])) {
            fail_msg("%s: %s", setting->name, settings.values[i].text);
        }
    }
    settings_unref(plain);
}

/* Proves that overrides win, and that what cannot be read is left out and counted. */
static void test_overrides(void **state)
{
    (void)state;
    const struct config_entry overrides[] = {
        ENTRY("cleanup.policy", "compact,delete"), ENTRY("retention.ms", "-1"),
        ENTRY("segment.bytes", "nonsense"), ENTRY("of.a.later.release", "1")};
    const struct topic_settings settings = resolve(overrides, 4);
    assert_true(topic_settings_cleanup_has(&settings, "compact"));
    assert_true(topic_settings_cleanup_has(&settings, "delete"));
    assert_int_equal(topic_settings_integer(&settings, TOPIC_SETTING_RETENTION_MS), -1);
    assert_int_equal(topic_settings_value(&settings, TOPIC_SETTING_RETENTION_MS)->source,
                     CONFIG_SOURCE_DYNAMIC_TOPIC);
    assert_int_equal(topic_settings_integer(&settings, TOPIC_SETTING_SEGMENT_BYTES), 1 << 30);
    assert_int_equal(settings.unknown_count, 2);
}

/* Proves that DescribeConfigs gets Kafka's chain: the topic's own, then the broker's layers. */
static void test_synonyms(void **state)
{
    (void)state;
    const struct config_entry overrides[] = {ENTRY("min.insync.replicas", "3"),
                                             ENTRY("retention.ms", "5")};
    const struct topic_settings settings = resolve(overrides, 2);
    struct config_synonym synonyms[CONFIG_SYNONYM_COUNT_MAX];
    assert_int_equal(
        topic_settings_synonyms(&settings, broker, TOPIC_SETTING_MIN_INSYNC_REPLICAS, synonyms), 3);
    assert_int_equal(synonyms[0].source, CONFIG_SOURCE_DYNAMIC_TOPIC);
    assert_string_equal(synonyms[0].value, "3");
    assert_int_equal(synonyms[1].source, CONFIG_SOURCE_STATIC_BROKER);
    assert_int_equal(synonyms[2].source, CONFIG_SOURCE_DEFAULT);
    /* log.retention.ms itself is not set anywhere, so its alternatives do not count. */
    assert_int_equal(
        topic_settings_synonyms(&settings, broker, TOPIC_SETTING_RETENTION_MS, synonyms), 1);
    assert_string_equal(synonyms[0].name, "retention.ms");
}

/* Proves that a request for an override is refused with code 40 and words. */
static void test_check(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *part; /* of the text; NULL: accepted */
    } cases[] = {
        {"retention.ms", "1000", NULL},
        {"retention.ms", NULL, NULL},
        {"retention.ms", "-2", "whole number from -1"},
        {"retension.ms", "1", "did you mean retention.ms?"},
        {"completely.unknown", "1", "Unknown topic config name: completely.unknown"},
        {"remote.storage.enable", "true", "not served"},
        {"remote.storage.enable", "false", NULL},
        {"cleanup.policy", "shred", "compact, delete"},
        {"log.retention.ms", "1", "Unknown topic config name"},
        {"message.timestamp.type", "LogAppendTime", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct failure failure = {.code = E_OK};
        const enum error error = topic_config_check(
            slice_from_string(cases[i].name), slice_from_string(cases[i].value), &arena, &failure);
        assert_int_equal(error, cases[i].part == NULL ? E_OK : E_INVALID_CONFIG);
        if (cases[i].part != NULL) {
            assert_int_equal(failure.code, E_INVALID_CONFIG);
            assert_non_null(strstr(failure.text, cases[i].part));
        }
    }
}

/* Proves that overrides which contradict each other are refused. */
static void test_check_together(void **state)
{
    (void)state;
    const struct config_entry overrides[] = {ENTRY("min.compaction.lag.ms", "10"),
                                             ENTRY("max.compaction.lag.ms", "9")};
    const struct topic_settings bad = resolve(overrides, 2);
    const struct topic_settings good = resolve(overrides, 1);
    struct failure failure;
    assert_int_equal(topic_settings_check(&good, &arena, &failure), E_OK);
    assert_int_equal(topic_settings_check(&bad, &arena, &failure), E_INVALID_CONFIG);
    assert_non_null(strstr(failure.text, "max.compaction.lag.ms (9)"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_falls_back_to_broker),
        TEST(test_defaults_agree),
        TEST(test_overrides),
        TEST(test_synonyms),
        TEST(test_check),
        TEST(test_check_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
