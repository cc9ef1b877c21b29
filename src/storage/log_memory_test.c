/* SPDX-License-Identifier: Apache-2.0 */
/* A log that is not used costs little memory, an append none at all once it is warm; an allocation
 * that fails is an error which leaves the log as it was. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_fixture.h"
#include "support/fail_alloc.h"

#include <cmocka.h>

static int set_up(void **state)
{
    struct log_fixture *fixture = malloc(sizeof(*fixture));
    fixture_init(fixture, NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static const struct batch_spec idempotent = {
    .value_size = 100, .producer_id = 1, .is_idempotent = true};

/* One more batch of producer 1, made before the allocations are looked at. */
static enum error append_next(struct log_fixture *fixture, int32_t sequence, bool fail_first,
                              bool *ret_has_allocated)
{
    size_t size;
    struct fixture_append item;
    struct batch_spec spec = idempotent;
    spec.base_sequence = sequence;
    uint8_t *data = fixture_batch(fixture, &spec, &size);
    if (fail_first) {
        fail_alloc_at(1);
    }
    fixture_queue(fixture, &item, data, size, APPEND_FROM_CLIENT, 0);
    log_writer_flush(fixture->env.writer);
    *ret_has_allocated = fail_first && fail_alloc_stop();
    free(data);
    return item.append.error;
}

static void test_append_allocates_nothing(void **state)
{
    struct log_fixture *fixture = *state;
    bool has_allocated;
    fixture->config.index_interval_bytes = 1 << 30; /* indexes grow by doubling, apart from this */
    assert_int_equal(fixture_open(fixture), E_OK);
    for (int32_t i = 0; i < 100; i++) {
        assert_int_equal(append_next(fixture, i, i >= 10, &has_allocated), E_OK);
        assert_false(has_allocated);
    }
}

static void test_read_allocates_nothing(void **state)
{
    struct log_fixture *fixture = *state;
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 50, 1, 200);
    for (int64_t offset = 0; offset < 50; offset++) {
        struct log_read read = {.offset = offset, .size_max = 300, .at_least_one_batch = true};
        fail_alloc_at(1);
        assert_int_equal(log_read(fixture->log, &read), E_OK);
        assert_false(fail_alloc_stop());
        file_unref(read.file);
    }
}

static void test_append_without_memory(void **state)
{
    struct log_fixture *fixture = *state;
    bool has_failed = true;
    assert_int_equal(fixture_open(fixture), E_OK);
    for (size_t n = 1; has_failed; n++) {
        size_t size;
        struct fixture_append item;
        struct batch_spec spec = idempotent;
        spec.producer_id = (int64_t)n; /* a new one: there is something to allocate */
        spec.is_transactional = true;
        uint8_t *data = fixture_batch(fixture, &spec, &size);
        const int64_t end = fixture_offsets(fixture).end;
        fail_alloc_at(n);
        fixture_queue(fixture, &item, data, size, APPEND_FROM_CLIENT, (int32_t)n);
        log_writer_flush(fixture->env.writer);
        has_failed = fail_alloc_stop();
        if (item.append.error == E_LOCAL_NO_MEMORY) {
            assert_true(has_failed);
            assert_int_equal(fixture_offsets(fixture).end, end);
        } else {
            assert_int_equal(item.append.error,
                             E_OK); /* also when only an index entry is missing */
            assert_int_equal(fixture_offsets(fixture).end, end + 1);
        }
        free(data);
        assert_true(n < 100);
    }
    fixture_crash(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
}

static void test_open_without_memory(void **state)
{
    struct log_fixture *fixture = *state;
    bool has_failed = true;
    fixture->config.segment_size_bytes_max = 500;
    assert_int_equal(fixture_open(fixture), E_OK);
    fixture_fill(fixture, 10, 1, 100);
    for (size_t n = 1; has_failed; n++) {
        fixture_crash(fixture);
        fail_alloc_at(n);
        const enum error error = fixture_open(fixture);
        has_failed = fail_alloc_stop();
        if (error != E_OK) {
            assert_true(has_failed);
            assert_int_equal(error, E_LOCAL_NO_MEMORY);
            assert_int_equal(fixture_open(fixture), E_OK);
        }
        assert_int_equal(fixture_offsets(fixture).end, 10);
        assert_true(n < 1000);
    }
}

/* Performance §5.1: 2 KiB, all included. */
static void test_idle_log_is_small(void **state)
{
    enum { COUNT = 50, SIZE_MAX_BYTES = 2048 };
    struct log_fixture *fixture = *state;
    struct log *logs[COUNT];
    char path[256];
    size_t before = 0;
    for (int i = 0; i < COUNT; i++) {
        const struct topic_partition partition = {.topic = SLICE("a-topic-name"), .partition = i};
        if (i == 1) {
            before = mallinfo2().uordblks;
        }
        (void)snprintf(path, sizeof(path), "%s/a-topic-name-%d", fixture->directory, i);
        assert_int_equal(log_open(&fixture->env, path, partition, NULL, &fixture->config,
                                  &fixture->hints, NULL, &logs[i]),
                         E_OK);
    }
    const size_t size = (mallinfo2().uordblks - before) / (COUNT - 1);
    print_message("%zu bytes for an idle log\n", size);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* mallinfo2 knows nothing */
    assert_true(size > 0);
#endif
    assert_true(size <= SIZE_MAX_BYTES);
    for (int i = 0; i < COUNT; i++) {
        log_free(logs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_allocates_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_allocates_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_append_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_idle_log_is_small, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
