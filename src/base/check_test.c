/* SPDX-License-Identifier: Apache-2.0 */
/* A failed check prints condition, place and values, and aborts; one that holds does nothing. */
#include "base/check.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int evaluations;

static int counted(int value)
{
    evaluations++;
    return value;
}

static void test_evaluates_once(void **state)
{
    (void)state;
    evaluations = 0;
    check(counted(1) == 1);
    assert_int_equal(evaluations, 1);
    check_cmp(counted(1), <, counted(2));
    assert_int_equal(evaluations, 3);
    if (evaluations == 0)
        check(counted(0)); /* a check is one statement */
    else
        evaluations = 7;
    assert_int_equal(evaluations, 7);
}

static void fail_plain(void)
{
    check(counted(1) == 2 || 1 > 2);
}

static void fail_values(void)
{
    check_cmp(INT64_MIN, >=, counted(-5));
}

static void fail_long(void)
{
    char name[5000];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    check_failed(name, "file.c", 1, "f");
}

/* Runs misbehave in a child; returns what it wrote to stderr, and checks that SIGABRT ended it. */
static void run_child(void (*misbehave)(void), char *text, size_t size)
{
    int ends[2];
    int status;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        misbehave();
        _exit(0);
    }
    (void)close(ends[1]);
    const ssize_t count = read(ends[0], text, size - 1);
    assert_true(count >= 0);
    text[count] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_failure_says_what_and_where(void **state)
{
    char text[4096];
    (void)state;
    run_child(fail_plain, text, sizeof(text));
    assert_non_null(strstr(text, "check_test.c:"));
    assert_non_null(strstr(text, "fail_plain: check failed: counted(1) == 2 || 1 > 2\n"));

    run_child(fail_values, text, sizeof(text));
    assert_non_null(strstr(text, "INT64_MIN >= counted(-5) (-9223372036854775808, -5)\n"));

    run_child(fail_long, text, sizeof(text));
    assert_int_equal(strlen(text), 1024);
    assert_int_equal(text[1023], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluates_once),
        cmocka_unit_test(test_failure_says_what_and_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
