/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/log_directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Kafka's names are told apart, and what looks like one but is not is left alone. */
static void test_names(void **state)
{
    static const struct {
        const char *name;
        enum log_directory_name kind;
    } cases[] = {
        {"orders-0", NAME_PARTITION},
        {"a-b-2147483647", NAME_PARTITION},
        {"__consumer_offsets-49", NAME_PARTITION},
        {"orders-2147483648", NAME_OTHER},
        {"orders-00", NAME_OTHER},
        {"orders-", NAME_OTHER},
        {"orders", NAME_OTHER},
        {"-0", NAME_OTHER},
        {"..-0", NAME_OTHER},
        {"or ders-0", NAME_OTHER},
        {"lost+found", NAME_OTHER},
        {"__cluster_metadata-0", NAME_OTHER},
        {"orders-0.0123456789abcdef0123456789abcdef-delete", NAME_DELETED},
        {"orders-0.0123456789abcdef0123456789abcdef-future", NAME_OTHER},
        {"orders-0.0123456789abcdef0123456789abcdef-stray", NAME_OTHER},
        {"orders-0.0123456789abcdef-delete", NAME_OTHER},
        {"0123456789abcdef0123456789abcdef-delete", NAME_OTHER},
    };
    struct topic_partition found;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(log_directory_parse_name(cases[i].name, &found), cases[i].kind);
    }
    assert_int_equal(log_directory_parse_name("a-b-7", &found), NAME_PARTITION);
    assert_true(slice_equal_string(found.topic, "a-b"));
    assert_int_equal(found.partition, 7);
}

/* The longest topic gets a name that the file system takes, and that is known as deleted. */
static void test_deleted_name_is_cut(void **state)
{
    char topic[TOPIC_NAME_SIZE_MAX + 1];
    char name[LOG_DIRECTORY_NAME_MAX + 1];
    struct topic_partition found;
    const struct uuid id = {{0xab, 1, 2}};
    (void)state;
    memset(topic, 't', TOPIC_NAME_SIZE_MAX);
    topic[TOPIC_NAME_SIZE_MAX] = '\0';
    found = (struct topic_partition){slice_from_string(topic), INT32_MAX};
    log_directory_deleted_name(name, found, &id);
    assert_int_equal(strlen(name), LOG_DIRECTORY_NAME_MAX);
    assert_int_equal(log_directory_parse_name(name, &found), NAME_DELETED);
    log_directory_deleted_name(name, (struct topic_partition){SLICE("t"), 3}, &id);
    assert_string_equal(name, "t-3.ab010200000000000000000000000000-delete");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_deleted_name_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
