/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers are aligned, live as long as a reference, and go back to their pool from any thread. */
#include "base/buf.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "support/fail_alloc.h"

#include <cmocka.h>

static void test_alignment_and_capacity(void **state)
{
    static const size_t capacities[] = {0, 1, 4095, 4096, 4097, 100000, 131072, 1048576, 1048579};
    (void)state;
    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        struct buf *buf = buf_new(capacities[i]);
        assert_non_null(buf);
        assert_int_equal(buf->capacity, capacities[i]);
        assert_int_equal(buf->size, 0);
        if (capacities[i] >= 4096) {
            assert_int_equal((uintptr_t)buf->data % 4096, 0);
        }
        memset(buf->data, 0xa5, buf->capacity);
        assert_null(buf_unref(buf));
    }
    assert_null(buf_unref(NULL));
    assert_null(buf_ref(NULL));
}

static void test_refuses_absurd_capacity(void **state)
{
    (void)state;
    assert_null(buf_new(SIZE_MAX));
    assert_null(buf_new(SIZE_MAX / 2));
}

/* The pool hands the same buffer out again, only after its last reference is gone. */
static void test_pool_recycles_after_the_last_reference(void **state)
{
    (void)state;
    struct buf_pool *pool = buf_pool_new(8192, 1);
    struct buf *first = buf_pool_take(pool);
    first->size = 77;
    (void)buf_ref(first);
    (void)buf_unref(first);
    struct buf *second = buf_pool_take(pool);
    assert_ptr_not_equal(first, second);
    (void)buf_unref(first);
    struct buf *again = buf_pool_take(pool);
    assert_ptr_equal(again, first);
    assert_int_equal(again->size, 0);
    (void)buf_unref(again);
    (void)buf_unref(second); /* beyond idle_count_max: freed (the leak checker would tell) */
    buf_pool_free(pool);
    buf_pool_free(NULL);
}

/* Whichever allocation fails, the answer is NULL and nothing leaks (ASan would tell). */
static void test_each_allocation_may_fail(void **state)
{
    size_t failed_count = 0;
    bool is_hit;
    (void)state;
    do {
        fail_alloc_at(failed_count + 1);
        struct buf_pool *pool = buf_pool_new(8192, 2);
        struct buf *buf = pool == NULL ? NULL : buf_pool_take(pool);
        is_hit = fail_alloc_stop();
        assert_int_equal(buf == NULL, is_hit);
        (void)buf_unref(buf);
        buf_pool_free(pool);
        failed_count += is_hit;
    } while (is_hit);
    assert_int_equal(failed_count, 3); /* the pool, the struct, the bytes */
}

static void test_pool_reports_no_memory(void **state)
{
    (void)state;
    struct buf_pool *pool = buf_pool_new(SIZE_MAX / 2, 4);
    assert_null(buf_pool_take(pool));
    buf_pool_free(pool); /* checks that none is out */
}

static void *return_bufs(void *context)
{
    struct buf **bufs = context;
    for (int i = 0; i < 100; i++) {
        bufs[i] = buf_unref(bufs[i]);
    }
    return NULL;
}

static void test_buffers_return_on_another_thread(void **state)
{
    struct buf *bufs[100];
    pthread_t thread;
    (void)state;
    struct buf_pool *pool = buf_pool_new(4096, 10);
    for (int i = 0; i < 100; i++) {
        bufs[i] = buf_pool_take(pool);
    }
    assert_int_equal(pthread_create(&thread, NULL, return_bufs, bufs), 0);
    for (int i = 0; i < 100; i++) {
        struct buf *buf = buf_pool_take(pool);
        assert_non_null(buf);
        (void)buf_unref(buf);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    buf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment_and_capacity),
        cmocka_unit_test(test_refuses_absurd_capacity),
        cmocka_unit_test(test_pool_recycles_after_the_last_reference),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_pool_reports_no_memory),
        cmocka_unit_test(test_buffers_return_on_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
