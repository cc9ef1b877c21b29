/* SPDX-License-Identifier: Apache-2.0 */
#include "config/setting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka needs the first two. */
#include <cmocka.h>

/* Proves that each row is found by its name in its scope, under its own id. */
static void test_find(void **state)
{
    (void)state;
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *setting = setting_get((enum setting_id)id);
        assert_ptr_equal(setting_find(setting->scope, slice_from_string(setting->name)), setting);
    }
    assert_null(setting_find(SETTING_SCOPE_BROKER, SLICE("retention.ms")));
    assert_null(setting_find(SETTING_SCOPE_TOPIC, SLICE("log.retention.ms")));
    assert_null(setting_find(SETTING_SCOPE_GROUP, SLICE("")));
    assert_int_equal(setting_find(SETTING_SCOPE_TOPIC, SLICE("retention.ms"))->id,
                     TOPIC_SETTING_RETENTION_MS);
}

/* Proves that a misspelt name leads to the one that was meant, and nonsense to none. */
static void test_nearest(void **state)
{
    (void)state;
    const struct setting *nearest =
        setting_nearest(SETTING_SCOPE_BROKER, SLICE("log.retention.hour"));
    assert_non_null(nearest);
    assert_string_equal(nearest->name, "log.retention.hours");
    nearest = setting_nearest(SETTING_SCOPE_TOPIC, SLICE("retension.ms"));
    assert_non_null(nearest);
    assert_string_equal(nearest->name, "retention.ms");
    assert_null(setting_nearest(SETTING_SCOPE_BROKER, SLICE("completely.different.words")));
    assert_null(setting_nearest(SETTING_SCOPE_BROKER, SLICE("")));
    char long_name[4096];
    memset(long_name, 'a', sizeof(long_name));
    assert_null(setting_nearest(SETTING_SCOPE_BROKER, slice_of(long_name, sizeof(long_name))));
}

/* Proves that the alternatives are Kafka's, best first. */
static void test_alternatives(void **state)
{
    (void)state;
    const enum setting_id *ids;
    assert_int_equal(setting_alternatives(SETTING_LOG_RETENTION_HOURS, &ids), 3);
    assert_int_equal(ids[0], SETTING_LOG_RETENTION_MS);
    assert_int_equal(ids[2], SETTING_LOG_RETENTION_HOURS);
    assert_int_equal(setting_alternatives(SETTING_NUM_PARTITIONS, &ids), 1);
    assert_int_equal(ids[0], SETTING_NUM_PARTITIONS);
    assert_int_equal(setting_alternatives(SETTING_LOG_FLUSH_SCHEDULER_INTERVAL_MS, &ids), 1);
}

/* Proves the table's own rules: secrets are marked, ours are named, security is never ignored. */
static void test_table(void **state)
{
    (void)state;
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *setting = setting_get((enum setting_id)id);
        if (setting->type == SETTING_TYPE_PASSWORD) {
            assert_true(setting->is_sensitive);
        }
        if (strncmp(setting->name, "ssl.", 4) == 0 || strncmp(setting->name, "sasl.", 5) == 0 ||
            strstr(setting->name, ".class.name") != NULL) {
            assert_true(setting->service == SETTING_SERVED ||
                        setting->service == SETTING_UNSERVED_REFUSE);
        }
    }
    assert_int_equal(setting_get(SETTING_ACK_DURABILITY)->release, SETTING_RELEASE_OTTLA);
    assert_int_equal(setting_get(SETTING_ZOOKEEPER_CONNECT)->service, SETTING_UNSERVED_REFUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_alternatives),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
