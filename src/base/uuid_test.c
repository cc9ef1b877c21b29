/* SPDX-License-Identifier: Apache-2.0 */
/* Ids make the round trip through Kafka's 22-character text; everything else is refused. */
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_known_texts(void **state)
{
    char text[UUID_TEXT_SIZE + 1];
    struct uuid uuid = UUID_ZERO;
    (void)state;
    uuid_format(&uuid, text);
    assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAA");
    uuid.bytes[15] = 1; /* Kafka's id of __cluster_metadata */
    uuid_format(&uuid, text);
    assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAQ");
    memset(uuid.bytes, 0xff, sizeof(uuid.bytes));
    uuid_format(&uuid, text);
    assert_string_equal(text, "_____________________w");
    for (uint8_t i = 0; i < 16; i++) {
        uuid.bytes[i] = i;
    }
    uuid_format(&uuid, text);
    assert_string_equal(text, "AAECAwQFBgcICQoLDA0ODw");
}

static void test_random_round_trip(void **state)
{
    char text[UUID_TEXT_SIZE + 1];
    struct rng rng;
    struct uuid parsed;
    (void)state;
    rng_init(&rng, 3);
    for (int i = 0; i < 5000; i++) {
        const struct uuid uuid = uuid_random(&rng);
        uuid_format(&uuid, text);
        assert_int_equal(strlen(text), UUID_TEXT_SIZE);
        assert_int_not_equal(text[0], '-');
        assert_int_equal(uuid.bytes[6] >> 4, 4);
        assert_int_equal(uuid.bytes[8] >> 6, 2);
        assert_true(uuid_parse(slice_from_string(text), &parsed));
        assert_true(uuid_equal(&parsed, &uuid));
        assert_false(uuid_is_zero(&parsed));
    }
}

static void test_refuses_other_texts(void **state)
{
    static const char *const bad[] = {
        "",
        "AAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAA+AAAAAAAAAA",
        "AAAAAAAAAAA/AAAAAAAAAA",
        "AAAAAAAAAAA AAAAAAAAAA",
        "\xc3\xa9_AAAAAAAAAAAAAAAAAAA",
    };
    struct uuid uuid = {{7}};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(uuid_parse(slice_from_string(bad[i]), &uuid));
    }
    assert_false(uuid_parse(SLICE_NULL, &uuid));
    assert_int_equal(uuid.bytes[0], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_texts),
        cmocka_unit_test(test_random_round_trip),
        cmocka_unit_test(test_refuses_other_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
