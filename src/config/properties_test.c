/* SPDX-License-Identifier: Apache-2.0 */
#include "config/properties.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka needs the first two. */
#include <cmocka.h>

struct fixture {
    struct arena arena;
    struct properties properties;
    struct properties_failure failure;
};

static enum error parse(struct fixture *fixture, struct slice text)
{
    arena_init(&fixture->arena, 16 << 20);
    return properties_parse(&fixture->arena, text, &fixture->properties, &fixture->failure);
}

static void assert_value(const struct fixture *fixture, const char *name, const char *value)
{
    const struct property *property =
        properties_find(&fixture->properties, slice_from_string(name));
    assert_non_null(property);
    assert_string_equal((const char *)property->value.data, value);
    assert_int_equal(property->value.size, strlen(value));
}

/* Proves that each separator, comment form and blank line of the format is read as Kafka reads it.
 */
static void test_separators_and_comments(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(
        parse(&fixture, SLICE("# comment \\\na=1\n! other\n\n  b : 2 \nc 3\r\nd\t=\t4\r"
                              "e\nf==5\ng:=6\nlong name = x")),
        E_OK);
    assert_int_equal(fixture.properties.count, 8);
    assert_value(&fixture, "a", "1");
    assert_value(&fixture, "b", "2 ");
    assert_value(&fixture, "c", "3");
    assert_value(&fixture, "d", "4");
    assert_value(&fixture, "e", "");
    assert_value(&fixture, "f", "=5");
    assert_value(&fixture, "g", "=6");
    assert_value(&fixture, "long", "name = x");
    assert_int_equal(properties_find(&fixture.properties, SLICE("d"))->line, 7);
    arena_done(&fixture.arena);
}

/* Proves that continued lines are joined without their indentation, and that lines still count. */
static void test_continuation(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(
        parse(&fixture, SLICE("list=a,\\\n   b,\\\r\n\tc\neven=x\\\\\nnext=1\nlast=y\\")), E_OK);
    assert_value(&fixture, "list", "a,b,c");
    assert_value(&fixture, "even", "x\\");
    assert_value(&fixture, "next", "1");
    assert_value(&fixture, "last", "y");
    assert_int_equal(properties_find(&fixture.properties, SLICE("even"))->line, 4);
    arena_done(&fixture.arena);
}

/* Proves that escapes work in names and values, surrogate pairs included. */
static void test_escapes(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(parse(&fixture, SLICE("a\\=b\\:c\\ d=t\\tn\\nr\\rf\\fq\\q\n"
                                           "u=\\u00e9\\u20AC\\ud83d\\ude00\\ud83dx\n")),
                     E_OK);
    assert_value(&fixture, "a=b:c d", "t\tn\nr\rf\fqq");
    assert_value(&fixture, "u", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbdx");
    arena_done(&fixture.arena);
}

/* Proves that UTF-8 stays as it is and that anything else is taken as ISO-8859-1. */
static void test_encodings(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(parse(&fixture, SLICE("a=\xc3\xa9")), E_OK);
    assert_value(&fixture, "a", "\xc3\xa9");
    arena_done(&fixture.arena);
    assert_int_equal(parse(&fixture, SLICE("a=\xe9")), E_OK);
    assert_value(&fixture, "a", "\xc3\xa9");
    arena_done(&fixture.arena);
}

/* Proves that the last of equal names wins and that the loser's line is known. */
static void test_duplicates(void **state)
{
    (void)state;
    struct fixture fixture;
    assert_int_equal(parse(&fixture, SLICE("a=1\nb=2\na=3\nc=4\na=5\n")), E_OK);
    assert_int_equal(fixture.properties.count, 3);
    assert_value(&fixture, "a", "5");
    const struct property *property = properties_find(&fixture.properties, SLICE("a"));
    assert_int_equal(property->line, 5);
    assert_int_equal(property->replaced_line, 3);
    assert_null(properties_find(&fixture.properties, SLICE("d")));
    arena_done(&fixture.arena);
}

/* Proves that malformed escapes, NUL bytes and huge files are refused with line and words. */
static void test_refused(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        {(const uint8_t *)"a=1\nb=\\u12", 10},
        {(const uint8_t *)"a=1\nb=\\u12G4", 12},
        {(const uint8_t *)"a=1\nb=\\u0000", 12},
        {(const uint8_t *)"a=1\nb=\0", 7},
    };
    struct fixture fixture;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&fixture, bad[i]), E_INVALID_CONFIG);
        assert_int_equal(fixture.failure.line, 2);
        assert_non_null(fixture.failure.text);
        arena_done(&fixture.arena);
    }
    static uint8_t huge[PROPERTIES_SIZE_MAX + 1];
    memset(huge, '\n', sizeof(huge));
    assert_int_equal(parse(&fixture, slice_of(huge, sizeof(huge))), E_INVALID_CONFIG);
    arena_done(&fixture.arena);
    assert_int_equal(parse(&fixture, slice_of(huge, sizeof(huge) - 1)), E_OK);
    assert_int_equal(fixture.properties.count, 0);
    arena_done(&fixture.arena);
}

/* Proves that an arena that is too small is an error and nothing else. */
static void test_no_memory(void **state)
{
    (void)state;
    for (size_t size = 0; size < 256; size += 16) {
        struct fixture fixture;
        arena_init(&fixture.arena, size);
        const enum error error = properties_parse(&fixture.arena, SLICE("a=\xe9\nb=2\n"),
                                                  &fixture.properties, &fixture.failure);
        assert_true(error == E_OK || error == E_LOCAL_NO_MEMORY);
        arena_done(&fixture.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separators_and_comments),
        cmocka_unit_test(test_continuation),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
