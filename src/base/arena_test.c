/* SPDX-License-Identifier: Apache-2.0 */
/* The arena hands out aligned memory that does not overlap, keeps its cap, and can be reused. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "support/fail_alloc.h"

#include <cmocka.h>

/* Pieces of many sizes and alignments keep the bytes written into them until the end. */
static void test_pieces_do_not_overlap(void **state)
{
    enum { PIECES = 400 };
    struct arena arena;
    uint8_t *pieces[PIECES];
    (void)state;
    arena_init(&arena, 16 << 20);
    for (size_t i = 0; i < PIECES; i++) {
        const size_t alignment = (size_t)1 << (i % 8);
        pieces[i] = arena_alloc(&arena, i * 13, alignment);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignment, 0);
        memset(pieces[i], (int)(i & 0xff), i * 13);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t j = 0; j < i * 13; j++) {
            assert_int_equal(pieces[i][j], i & 0xff);
        }
    }
    arena_done(&arena);
    assert_int_equal(arena.size, 0);
}

/* A large piece does not throw away the rest of the block in use. */
static void test_large_piece_has_its_own_block(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 16 << 20);
    uint8_t *first = arena_alloc(&arena, 8, 8);
    assert_non_null(arena_alloc(&arena, 1 << 20, 8));
    uint8_t *second = arena_alloc(&arena, 8, 8);
    assert_ptr_equal(second, first + 8);
    arena_done(&arena);

    assert_non_null(arena_alloc(&arena, 1 << 20, 8));
    assert_non_null(arena_alloc(&arena, 8, 8));
    assert_true(arena.size < (1 << 20) + 8192);
    arena_done(&arena);
}

/* Beyond the cap, and on overflowing sizes, the answer is NULL and the arena stays usable. */
static void test_refuses_beyond_the_cap(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 4096);
    assert_null(arena_alloc(&arena, 4096, 1)); /* its header does not fit */
    assert_null(arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(arena_alloc(&arena, SIZE_MAX - 8, 64));
    assert_null(arena_calloc(&arena, SIZE_MAX / 2, 3, 1));
    assert_null(arena_calloc(&arena, SIZE_MAX, 16, 1));
    assert_int_equal(arena.size, 0);
    size_t taken = 0;
    while (arena_alloc(&arena, 100, 1) != NULL) {
        taken += 100;
    }
    assert_in_range(taken, 3500, 4096);
    assert_true(arena.size <= arena.size_max);
    assert_true(slice_is_null(arena_copy(&arena, slice_of("x", (size_t)-1))));
    assert_null(arena_printf(&arena, "%0500d", 1));
    arena_done(&arena);
}

/* When the process has no memory, the arena says so and is as before. */
static void test_no_memory(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t size = 100; size <= 100000; size *= 10) {
        const size_t before = arena.size;
        fail_alloc_at(1);
        while (arena_alloc(&arena, size, 8) != NULL) {
        }
        assert_true(fail_alloc_stop());
        assert_true(arena.size >= before);
        assert_non_null(arena_alloc(&arena, size, 8));
    }
    arena_done(&arena);
}

static void test_size_zero_is_not_null(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 4096);
    assert_non_null(arena_alloc(&arena, 0, 1));
    assert_non_null(arena_alloc(&arena, 0, 16));
    arena_done(&arena);
}

/* Clear keeps one block of at most 16 KiB, so the next request takes no memory. */
static void test_clear_keeps_a_block(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 16 << 20);
    for (int i = 0; i < 1000; i++) {
        assert_non_null(arena_alloc(&arena, 500, 8));
    }
    assert_non_null(arena_alloc(&arena, 1 << 20, 8));
    arena_clear(&arena);
    const size_t kept = arena.size;
    assert_int_equal(kept, 16 * 1024);
    assert_non_null(arena_alloc(&arena, 10000, 8));
    assert_int_equal(arena.size, kept);
    arena_clear(&arena);
    arena_clear(&arena);
    arena_done(&arena);

    struct arena zero = {0};
    arena_done(&zero);
    arena_clear(&zero);
    assert_null(arena_alloc(&zero, 1, 1));
}

/* Arenas of one budget take no more than it together, and give back what they took. */
static void test_budget_is_shared(void **state)
{
    struct arena_budget budget;
    struct arena first;
    struct arena second;
    (void)state;
    arena_budget_init(&budget, 300000);
    arena_init_in_budget(&first, 1 << 20, &budget);
    arena_init_in_budget(&second, 1 << 20, &budget);
    assert_non_null(arena_alloc(&first, 200000, 1));
    assert_null(arena_alloc(&second, 200000, 1));
    assert_non_null(arena_alloc(&second, 50000, 1));
    arena_done(&first);
    assert_non_null(arena_alloc(&second, 200000, 1));
    arena_clear(&second);
    assert_int_equal(atomic_load(&budget.used), second.size);
    arena_done(&second);
    assert_int_equal(atomic_load(&budget.used), 0);
}

static void test_copies_and_prints(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 1 << 20);
    const struct slice copy = arena_copy(&arena, SLICE("topic"));
    assert_int_equal(copy.size, 5);
    assert_string_equal((const char *)copy.data, "topic");
    assert_true(slice_is_null(arena_copy(&arena, SLICE_NULL)));
    const struct slice empty = arena_copy(&arena, SLICE(""));
    assert_false(slice_is_null(empty));
    assert_int_equal(empty.size, 0);
    assert_string_equal(arena_printf(&arena, "%s-%d", "topic", 7), "topic-7");
    assert_int_equal(strlen(arena_printf(&arena, "%05000d", 1)), 5000);

    struct slice *slices = ARENA_NEW_ARRAY(&arena, struct slice, 100);
    for (int i = 0; i < 100; i++) {
        assert_null(slices[i].data);
    }
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_do_not_overlap),
        cmocka_unit_test(test_large_piece_has_its_own_block),
        cmocka_unit_test(test_refuses_beyond_the_cap),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_size_zero_is_not_null),
        cmocka_unit_test(test_clear_keeps_a_block),
        cmocka_unit_test(test_budget_is_shared),
        cmocka_unit_test(test_copies_and_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
