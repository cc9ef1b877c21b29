/* SPDX-License-Identifier: Apache-2.0 */
/* Each diagnosis is one line in one write, whatever is in it; floods are held back and counted. */
#include "base/diag.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct sink {
    int count;
    enum diag_level level;
    char line[4096];
};

static void on_line(void *context, enum diag_level level, const char *line)
{
    struct sink *sink = context;
    sink->count++;
    sink->level = level;
    assert_true(strlen(line) < sizeof(sink->line));
    memcpy(sink->line, line, strlen(line) + 1);
}

static void test_levels_and_prefix(void **state)
{
    struct sink sink = {0};
    struct diag diag = {.level_min = DIAG_INFO, .sink = on_line, .sink_context = &sink};
    (void)state;
    diag_debug(&diag, "hidden");
    assert_int_equal(sink.count, 0);
    diag_warn(&diag, "%s-%d is slow", "orders", 3);
    assert_int_equal(sink.count, 1);
    assert_int_equal(sink.level, DIAG_WARN);
    assert_string_equal(sink.line, "WARN  orders-3 is slow");
    diag_error(NULL, "nobody listens");
}

static void test_one_line_whatever_is_in_it(void **state)
{
    static char text[8000];
    struct sink sink = {0};
    struct diag diag = {.sink = on_line, .sink_context = &sink};
    (void)state;
    diag_info(&diag, "a\nERROR b\x1b[2J\r\x7f");
    assert_string_equal(sink.line, "INFO  a ERROR b [2J  ");
    memset(text, 'x', sizeof(text) - 1);
    diag_info(&diag, "%s", text);
    assert_int_equal(strlen(sink.line), 2047);
    assert_string_equal(sink.line + 2043, "x...");
}

static void test_writes_to_the_descriptor(void **state)
{
    int ends[2];
    char text[100] = {0};
    (void)state;
    assert_int_equal(pipe(ends), 0);
    struct diag diag = {.fd = ends[1]};
    errno = ENOENT;
    diag_error(&diag, "cannot open: %s", strerror(ENOENT));
    assert_int_equal(errno, ENOENT);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "ERROR cannot open: No such file or directory\n");
    (void)close(ends[0]);
    (void)close(ends[1]);
    diag_error(&diag, "the descriptor is closed: ignored");
}

static void test_limit_counts_what_it_holds_back(void **state)
{
    const int64_t second = 1000000000;
    struct diag_limit limit = {0};
    uint32_t suppressed = 9;
    (void)state;
    assert_true(diag_limit_allow(&limit, 2, 5 * second, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(diag_limit_allow(&limit, 2, 5 * second + 1, &suppressed));
    suppressed = 9;
    for (int i = 0; i < 7; i++) {
        assert_false(diag_limit_allow(&limit, 2, 6 * second - 1, &suppressed));
    }
    assert_int_equal(suppressed, 9);
    assert_true(diag_limit_allow(&limit, 2, 6 * second, &suppressed));
    assert_int_equal(suppressed, 7);
    assert_true(diag_limit_allow(&limit, 2, 6 * second, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void test_escape(void **state)
{
    char out[300];
    char small[6];
    uint8_t long_text[1000];
    (void)state;
    assert_string_equal(diag_escape(SLICE("a\n\0\x7f\\\xff z"), out, sizeof(out)),
                        "a\\x0a\\x00\\x7f\\\\\\xff z");
    assert_string_equal(diag_escape(SLICE_NULL, out, sizeof(out)), "");
    memset(long_text, 'y', sizeof(long_text));
    assert_int_equal(strlen(diag_escape(slice_of(long_text, 1000), out, sizeof(out))), 256);
    assert_string_equal(diag_escape(SLICE("abc\n"), small, sizeof(small)), "abc");
    assert_string_equal(diag_escape(SLICE("abc"), small, 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_and_prefix),
        cmocka_unit_test(test_one_line_whatever_is_in_it),
        cmocka_unit_test(test_writes_to_the_descriptor),
        cmocka_unit_test(test_limit_counts_what_it_holds_back),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
