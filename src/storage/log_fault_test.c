/* SPDX-License-Identifier: Apache-2.0 */
/* A write that the disk refuses leaves no trace (I4); a failed cut or flush ends the log (I6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "storage/log_fixture.h"

#include <cmocka.h>

/* The system's files, until a call is told to fail. */
struct failing_vfs {
    struct vfs vfs;
    int write_countdown; /* the n-th write from now fails; 0: none */
    bool is_short;       /* and leaves some of its bytes */
    bool fail_truncate;
    bool fail_sync;
    uint32_t write_count;
};

static struct failing_vfs failing;

static enum error failing_write(struct file *file, int64_t position, const struct iovec *pieces,
                                int piece_count, size_t *ret_size)
{
    failing.write_count++;
    if (failing.write_countdown > 0 && --failing.write_countdown == 0) {
        if (failing.is_short) {
            struct iovec half = pieces[0];
            half.iov_len /= 2;
            (void)vfs_system()->write(file, position, &half, 1, ret_size);
        }
        return E_LOCAL_NO_SPACE;
    }
    return vfs_system()->write(file, position, pieces, piece_count, ret_size);
}

static enum error failing_truncate(struct file *file, int64_t size)
{
    return failing.fail_truncate ? E_LOCAL_IO : vfs_system()->truncate(file, size);
}

static enum error failing_sync(struct file *file)
{
    return failing.fail_sync ? E_LOCAL_IO : vfs_system()->sync(file);
}

struct fault_test {
    struct log_fixture fixture;
    int failed_count;
    int flushed_count;
};

static void on_failed(void *context, struct log *log, enum error error)
{
    struct fault_test *test = context;
    (void)log;
    assert_int_equal(error, E_LOCAL_IO);
    test->failed_count++;
}

static void on_flushed(void *context, struct log *log)
{
    struct fault_test *test = context;
    (void)log;
    test->flushed_count++;
}

static int set_up(void **state)
{
    struct fault_test *test = calloc(1, sizeof(*test));
    failing = (struct failing_vfs){.vfs = *vfs_system()};
    failing.vfs.write = failing_write;
    failing.vfs.truncate = failing_truncate;
    failing.vfs.sync = failing_sync;
    fixture_init(&test->fixture, &failing.vfs);
    test->fixture.events =
        (struct log_events){.context = test, .on_failed = on_failed, .on_flushed = on_flushed};
    *state = test;
    return fixture_open(&test->fixture) == E_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fault_test *test = *state;
    fixture_done(&test->fixture);
    free(test);
    return 0;
}

static struct append send(struct log_fixture *fixture, int32_t sequence)
{
    return fixture_append(fixture, &(struct batch_spec){.value_size = 50,
                                                        .producer_id = 3,
                                                        .base_sequence = sequence,
                                                        .is_idempotent = true});
}

/* All appends of the turn fail, and the log is as before: offsets, producers, epochs, bytes. */
static void test_failed_write_leaves_no_trace(void **state)
{
    struct fault_test *test = *state;
    struct log_fixture *fixture = &test->fixture;
    assert_int_equal(send(fixture, 0).error, E_OK);
    const int64_t size = log_size(fixture->log);
    failing.write_countdown = 1;
    failing.is_short = true;
    struct fixture_append items[4];
    uint8_t *batches[4];
    static const int32_t sequences[] = {1, 2, 0 /* a duplicate */, 0 /* another producer */};
    for (int i = 0; i < 4; i++) {
        size_t batch_size;
        batches[i] = fixture_batch(fixture,
                                   &(struct batch_spec){.producer_id = i == 3 ? 4 : 3,
                                                        .base_sequence = sequences[i],
                                                        .value_size = 50,
                                                        .is_idempotent = true,
                                                        .is_transactional = i == 3},
                                   &batch_size);
        fixture_queue(fixture, &items[i], batches[i], batch_size, APPEND_FROM_CLIENT, 9);
    }
    log_writer_flush(fixture->env.writer);
    for (int i = 0; i < 4; i++) {
        assert_true(items[i].is_done);
        assert_int_equal(items[i].append.error, E_KAFKA_STORAGE_ERROR);
        assert_int_equal(items[i].append.base_offset, -1);
        free(batches[i]);
    }
    assert_int_equal(fixture_offsets(fixture).end, 1);
    assert_int_equal(log_size(fixture->log), size);
    assert_int_equal(log_latest_epoch(fixture->log), 0);
    assert_false(log_is_failed(fixture->log));
    assert_int_equal(test->failed_count, 0);

    struct arena arena;
    struct producer_info *producers;
    size_t count;
    arena_init(&arena, 1 << 16);
    assert_int_equal(log_producers(fixture->log, &arena, &producers, &count), E_OK);
    assert_int_equal(count, 1); /* the new one is unknown again */
    assert_int_equal(producers[0].last_sequence, 0);
    arena_done(&arena);

    assert_int_equal(send(fixture, 2).error, E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(send(fixture, 1).base_offset, 1); /* space is back: resumes alone */
    log_set_high_watermark(fixture->log, 2);
    assert_int_equal(fixture_offsets(fixture).last_stable, 2);
    fixture_crash(fixture);
    assert_int_equal(fixture_open(fixture), E_OK);
    assert_int_equal(fixture_offsets(fixture).end, 2);
}

/* When even the cut fails, nothing more is taken. */
static void test_failed_cut_ends_the_log(void **state)
{
    struct fault_test *test = *state;
    struct log_fixture *fixture = &test->fixture;
    assert_int_equal(send(fixture, 0).error, E_OK);
    failing.write_countdown = 1;
    failing.is_short = true;
    failing.fail_truncate = true;
    assert_int_equal(send(fixture, 1).error, E_KAFKA_STORAGE_ERROR);
    assert_int_equal(test->failed_count, 1);
    assert_true(log_is_failed(fixture->log));
    failing.fail_truncate = false;
    assert_int_equal(error_to_wire(send(fixture, 1).error), E_KAFKA_STORAGE_ERROR);
    assert_int_equal(test->failed_count, 1);                          /* told once */
    assert_int_equal(fixture_first_base(fixture, 0, READ_TO_END), 0); /* reads go on */
    assert_int_equal(log_close_clean(fixture->log), E_LOCAL_OFFLINE);
    fixture_crash(fixture);
    assert_int_equal(fixture_open(fixture), E_OK); /* the half-written batch is a torn tail */
    assert_int_equal(fixture_offsets(fixture).end, 1);
}

static void test_flush(void **state)
{
    struct fault_test *test = *state;
    struct log_fixture *fixture = &test->fixture;
    assert_false(log_has_unflushed(fixture->log));
    assert_int_equal(send(fixture, 0).error, E_OK);
    assert_true(log_has_unflushed(fixture->log));
    log_flush(fixture->log);
    assert_int_equal(test->flushed_count, 1);
    assert_int_equal(fixture_offsets(fixture).flushed, 1);
    assert_true(fixture_has_file(fixture, "leader-epoch-checkpoint"));
    assert_int_equal(send(fixture, 1).error, E_OK);
    failing.fail_sync = true;
    log_flush(fixture->log);
    assert_int_equal(test->failed_count, 1);
    failing.fail_sync = false;
    log_flush(fixture->log); /* never again */
    assert_int_equal(fixture_offsets(fixture).flushed, 1);
    assert_int_equal(test->flushed_count, 1);
    assert_true(log_is_failed(fixture->log));
}

/* One write for all that a log gets in a turn. */
static void test_one_write_per_turn(void **state)
{
    struct fault_test *test = *state;
    struct log_fixture *fixture = &test->fixture;
    enum { COUNT = 1500 }; /* more pieces than one system call takes */
    struct fixture_append *items = calloc(COUNT, sizeof(*items));
    size_t size;
    uint8_t *data = fixture_batch(fixture, &(struct batch_spec){0}, &size);
    uint8_t *copies = malloc(COUNT * size);
    for (size_t i = 0; i < COUNT; i++) {
        memcpy(copies + i * size, data, size);
        fixture_queue(fixture, &items[i], copies + i * size, size, APPEND_FROM_CLIENT, 0);
    }
    failing.write_count = 0;
    log_writer_flush(fixture->env.writer);
    assert_int_equal(failing.write_count, 2);
    assert_int_equal(fixture_offsets(fixture).end, COUNT);
    assert_int_equal(items[COUNT - 1].append.base_offset, COUNT - 1);
    free(items);
    free(data);
    free(copies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_failed_write_leaves_no_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_cut_ends_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_write_per_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
