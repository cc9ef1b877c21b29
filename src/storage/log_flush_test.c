/* SPDX-License-Identifier: Apache-2.0 */
/* With a loop and workers: appends are written at the end of the turn, flushes run beside it and
 * join, a truncation or the end of the log meanwhile is safe, and readers need no owner. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "storage/log_fixture.h"

#include <cmocka.h>

struct loop_test {
    struct log_fixture fixture;
    struct loop *loop;
    struct worker_pool *workers;
    int flushed_count;
};

static void on_flushed(void *context, struct log *log)
{
    struct loop_test *test = context;
    (void)log;
    test->flushed_count++;
}

static int set_up(void **state)
{
    struct loop_test *test = calloc(1, sizeof(*test));
    struct log_fixture *fixture = &test->fixture;
    fixture_init(fixture, NULL);
    log_writer_free(fixture->env.writer);
    assert_int_equal(loop_new(clock_system(), 0, &test->loop), E_OK);
    assert_int_equal(worker_pool_new(2, &test->workers), E_OK);
    assert_int_equal(log_writer_new(test->loop, &fixture->env.writer), E_OK);
    fixture->env.loop = test->loop;
    fixture->env.workers = test->workers;
    fixture->events = (struct log_events){.context = test, .on_flushed = on_flushed};
    fixture->config.segment_size_bytes_max = 2000;
    *state = test;
    return fixture_open(fixture) == E_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct loop_test *test = *state;
    log_free(test->fixture.log);
    test->fixture.log = NULL;
    worker_pool_free(test->workers);
    loop_turn(test->loop, 0); /* what had ended on the workers */
    fixture_done(&test->fixture);
    loop_free(test->loop);
    free(test);
    return 0;
}

static void append(struct loop_test *test)
{
    size_t size;
    struct fixture_append item;
    uint8_t *data = fixture_batch(&test->fixture, &(struct batch_spec){.value_size = 100}, &size);
    fixture_queue(&test->fixture, &item, data, size, APPEND_FROM_CLIENT, 0);
    loop_turn(test->loop, 0);
    assert_true(item.is_done);
    assert_int_equal(item.append.error, E_OK);
    free(data);
}

static void wait_for_flushes(struct loop_test *test, int count)
{
    for (int i = 0; i < 1000 && test->flushed_count < count; i++) {
        loop_turn(test->loop, 10);
    }
    assert_int_equal(test->flushed_count, count);
}

static void test_group_commit(void **state)
{
    struct loop_test *test = *state;
    append(test);
    log_flush(test->fixture.log);
    assert_int_equal(fixture_offsets(&test->fixture).flushed, 0);
    for (int i = 0; i < 30; i++) {
        /* Directly, so that no turn lets the first flush end. */
        size_t size;
        struct fixture_append item;
        uint8_t *data = fixture_batch(&test->fixture, &(struct batch_spec){0}, &size);
        fixture_queue(&test->fixture, &item, data, size, APPEND_FROM_CLIENT, 0);
        log_writer_flush(test->fixture.env.writer);
        log_flush(test->fixture.log); /* all join one more flush */
        free(data);
    }
    wait_for_flushes(test, 2);
    assert_int_equal(fixture_offsets(&test->fixture).flushed, 31);
    assert_false(log_has_unflushed(test->fixture.log));
}

/* What was cut while the flush ran is not said to be on disk. */
static void test_truncate_during_flush(void **state)
{
    struct loop_test *test = *state;
    for (int i = 0; i < 20; i++) {
        append(test);
    }
    log_flush(test->fixture.log);
    assert_int_equal(log_truncate(test->fixture.log, 5), E_OK);
    for (int i = 0; i < 10; i++) {
        size_t size;
        struct fixture_append item;
        uint8_t *data = fixture_batch(&test->fixture, &(struct batch_spec){0}, &size);
        fixture_queue(&test->fixture, &item, data, size, APPEND_FROM_CLIENT, 0);
        log_writer_flush(test->fixture.env.writer);
        free(data);
    }
    wait_for_flushes(test, 1);
    assert_int_equal(fixture_offsets(&test->fixture).flushed, 5);
    log_flush(test->fixture.log);
    wait_for_flushes(test, 2);
    assert_int_equal(fixture_offsets(&test->fixture).flushed, 15);
}

static void test_free_during_flush(void **state)
{
    struct loop_test *test = *state;
    append(test);
    log_flush(test->fixture.log);
    log_free(test->fixture.log);
    test->fixture.log = NULL;
    worker_pool_free(test->workers);
    assert_int_equal(worker_pool_new(1, &test->workers), E_OK);
    test->fixture.env.workers = test->workers;
    loop_turn(test->loop, 0); /* frees it */
    assert_int_equal(test->flushed_count, 0);
}

/* A reader on its own thread sees every offset below the end, through rolls and retention. */
struct reader {
    struct log_fixture *fixture;
    atomic_bool is_over;
    int64_t seen;
    int wrong;
};

static void *run_reader(void *context)
{
    struct reader *reader = context;
    struct log_cursor cursor = {.offset = -1};
    uint32_t random = 1;
    while (!atomic_load(&reader->is_over)) {
        const struct log_offsets offsets = fixture_offsets(reader->fixture);
        random = random * 1103515245U + 12345U;
        struct log_read read = {
            .offset = (random & 0x10000) != 0 && offsets.end > offsets.log_start
                          ? offsets.log_start + random % (offsets.end - offsets.log_start)
                          : offsets.end,
            .size_max = 400,
            .at_least_one_batch = true,
            .cursor = &cursor,
        };
        const enum error error = log_read(reader->fixture->log, &read);
        if (error == E_OK && read.size > 0) {
            uint8_t *bytes = fixture_read_bytes(&read);
            reader->wrong += batch_base_offset(bytes) != read.offset;
            reader->wrong += (int64_t)read.size >= batch_size(bytes) && !batch_crc_matches(bytes);
            free(bytes);
            file_unref(read.file);
            reader->seen++;
        } else if (error != E_OK && error != E_OFFSET_OUT_OF_RANGE) {
            reader->wrong++;
        }
    }
    return NULL;
}

static void test_readers_need_no_owner(void **state)
{
    struct loop_test *test = *state;
    struct reader reader = {.fixture = &test->fixture};
    pthread_t thread;
    test->fixture.config.retention_bytes = 10000;
    log_set_config(test->fixture.log, &test->fixture.config);
    append(test);
    assert_int_equal(pthread_create(&thread, NULL, run_reader, &reader), 0);
    for (int i = 0; i < 1500; i++) {
        append(test);
        log_set_high_watermark(test->fixture.log, INT64_MAX);
        if (i % 100 == 99) {
            uint32_t count;
            assert_int_equal(log_retain(test->fixture.log, INT64_C(1700000000000), &count), E_OK);
        }
    }
    atomic_store(&reader.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(reader.wrong, 0);
    assert_true(reader.seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_group_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncate_during_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_during_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_readers_need_no_owner, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
