/* SPDX-License-Identifier: Apache-2.0 */
/* A chain keeps its pieces in order, holds one reference per piece, and drops it when sent. */
#include "base/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct owner {
    struct shared shared;
    int destroyed_count;
};

static void on_destroy(struct shared *shared)
{
    ((struct owner *)(void *)shared)->destroyed_count++;
}

struct fixture {
    struct arena arena;
    struct chain chain;
    struct owner owner;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    arena_init(&f->arena, 1 << 20);
    chain_init(&f->chain, &f->arena);
    shared_init(&f->owner.shared, on_destroy);
}

/* Sending byte by byte walks through memory and file ranges and lets go of each owner in time. */
static void test_consume_in_small_steps(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    assert_true(chain_append_memory(&f.chain, SLICE("abc"), NULL));
    assert_true(chain_append_file(&f.chain, 9, 1000, 4, &f.owner.shared));
    assert_true(chain_append_memory(&f.chain, SLICE("xy"), &f.owner.shared));
    assert_null(shared_unref(&f.owner.shared)); /* now the chain alone owns it */
    assert_int_equal(f.chain.size, 9);

    chain_consume(&f.chain, 0);
    chain_consume(&f.chain, 2);
    assert_int_equal(f.chain.head->data[0], 'c');
    chain_consume(&f.chain, 2);
    assert_int_equal(f.chain.head->kind, PIECE_FILE);
    assert_int_equal(f.chain.head->position, 1001);
    assert_int_equal(f.chain.head->size, 3);
    chain_consume(&f.chain, 3);
    assert_int_equal(f.owner.destroyed_count, 0);
    assert_int_equal(f.chain.head->data[0], 'x');
    chain_consume(&f.chain, 2);
    assert_int_equal(f.owner.destroyed_count, 1);
    assert_null(f.chain.head);
    assert_null(f.chain.tail);
    assert_int_equal(f.chain.size, 0);
    arena_done(&f.arena);
}

static void test_clear_drops_references(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    assert_true(chain_append_memory(&f.chain, SLICE("abc"), &f.owner.shared));
    assert_true(chain_append_file(&f.chain, 3, 0, 10, &f.owner.shared));
    assert_null(shared_unref(&f.owner.shared));
    chain_clear(&f.chain);
    assert_int_equal(f.owner.destroyed_count, 1);
    chain_clear(&f.chain);
    assert_true(chain_append_memory(&f.chain, SLICE("z"), NULL));
    assert_int_equal(f.chain.size, 1);
    arena_done(&f.arena);
}

static void test_size_zero_is_no_piece(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    assert_true(chain_append_memory(&f.chain, SLICE_NULL, &f.owner.shared));
    assert_true(chain_append_file(&f.chain, 3, 5, 0, &f.owner.shared));
    assert_null(f.chain.head);
    assert_null(shared_unref(&f.owner.shared));
    assert_int_equal(f.owner.destroyed_count, 1);
    arena_done(&f.arena);
}

static void test_append_chain_moves_pieces(void **state)
{
    struct fixture f;
    struct chain other;
    (void)state;
    setup(&f);
    chain_init(&other, &f.arena);
    chain_append_chain(&f.chain, &other);
    assert_true(chain_append_memory(&other, SLICE("12"), NULL));
    chain_append_chain(&f.chain, &other);
    assert_true(chain_append_memory(&other, SLICE("3"), &f.owner.shared));
    chain_append_chain(&f.chain, &other);
    assert_int_equal(f.chain.size, 3);
    assert_int_equal(other.size, 0);
    assert_null(other.head);
    chain_consume(&f.chain, 2);
    assert_int_equal(f.chain.head->data[0], '3');
    chain_clear(&f.chain);
    assert_null(shared_unref(&f.owner.shared));
    assert_int_equal(f.owner.destroyed_count, 1);
    arena_done(&f.arena);
}

/* Without memory the chain is as before and no reference is held. */
static void test_no_memory_changes_nothing(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    arena_done(&f.arena);
    arena_init(&f.arena, 16);
    assert_false(chain_append_memory(&f.chain, SLICE("abc"), &f.owner.shared));
    assert_false(chain_append_file(&f.chain, 3, 0, 10, &f.owner.shared));
    assert_null(f.chain.head);
    assert_int_equal(f.chain.size, 0);
    assert_null(shared_unref(&f.owner.shared));
    assert_int_equal(f.owner.destroyed_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_consume_in_small_steps),
        cmocka_unit_test(test_clear_drops_references),
        cmocka_unit_test(test_size_zero_is_no_piece),
        cmocka_unit_test(test_append_chain_moves_pieces),
        cmocka_unit_test(test_no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
