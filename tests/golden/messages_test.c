/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves for every version of every message, with bytes made by Kafka's own classes
 * (messages/messages.tsv, made by make/run): they decode to the values that Kafka put in, encode
 * to the same bytes, are refused when cut, and changed bytes do no harm. Messages of the hot path
 * are code made from the same steps (gen/message_code.py): whatever the bytes, it does what the
 * walker does.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/rng.h"
#include "golden.h"
#include "protocol/message_list.h"

#include <cmocka.h>

enum {
    COLUMN_NAME,
    COLUMN_VERSION,
    COLUMN_TEXT_CRC,
    COLUMN_BYTES,
    COLUMN_COUNT,
    TEXT_MAX = 256 * 1024,
    ARENA_MAX = 64 * 1024 * 1024,
};

struct run {
    struct arena arena;
    struct rng rng;
    char *text; /* TEXT_MAX */
    size_t version_count;
    const struct message_schema *last_schema;
    int16_t last_version;
};

static const struct message_schema *schema_of(const struct golden_row *row, int16_t *ret_version)
{
    assert_int_equal(row->column_count, COLUMN_COUNT);
    const struct message_schema *schema = message_find(row->columns[COLUMN_NAME]);
    if (schema == NULL) {
        fail_msg("no message %s", row->columns[COLUMN_NAME]);
    }
    *ret_version = (int16_t)strtol(row->columns[COLUMN_VERSION], NULL, 10);
    return schema;
}

static void assert_values(struct run *run, const struct golden_row *row,
                          const struct message_schema *schema, int16_t version, const void *message)
{
    const size_t length = codec_print(schema, version, message, run->text, TEXT_MAX);
    assert_true(length < TEXT_MAX);
    const uint32_t expected = (uint32_t)strtoul(row->columns[COLUMN_TEXT_CRC], NULL, 16);
    if (crc32c(0, run->text, length) != expected) {
        fail_msg("line %zu: %s v%d has other values: %.2000s", row->line, schema->name, version,
                 run->text);
    }
}

static void on_round_trip_row(const struct golden_row *row, void *context)
{
    struct run *run = context;
    int16_t version;
    size_t consumed = 0;
    struct chain chain;
    const struct message_schema *schema = schema_of(row, &version);
    const struct slice bytes = golden_unhex(row->columns[COLUMN_BYTES]);
    void *message = message_new(&run->arena, schema->type, 1);
    const enum error error =
        codec_decode(schema, version, bytes, &run->arena, NULL, message, &consumed);
    if (error != E_OK || consumed != bytes.size) {
        fail_msg("line %zu: %s v%d: %s, %zu of %zu bytes", row->line, schema->name, version,
                 error_name(error), consumed, bytes.size);
    }
    assert_values(run, row, schema, version, message);
    chain_init(&chain, &run->arena);
    assert_int_equal(codec_encode(schema, version, message, &chain), E_OK);
    if (!slice_equal(golden_flatten(&chain), bytes)) {
        fail_msg("line %zu: %s v%d encodes to other bytes", row->line, schema->name, version);
    }
    chain_clear(&chain);
    golden_free(bytes);
    arena_clear(&run->arena);
    if (schema != run->last_schema || version != run->last_version) {
        run->version_count++;
        run->last_schema = schema;
        run->last_version = version;
    }
}

static void on_cut_row(const struct golden_row *row, void *context)
{
    int16_t version;
    (void)context;
    const struct message_schema *schema = schema_of(row, &version);
    const struct slice bytes = golden_unhex(row->columns[COLUMN_BYTES]);
    golden_refuse_truncations(schema, version, bytes);
    golden_free(bytes);
}

static void on_flip_row(const struct golden_row *row, void *context)
{
    struct run *run = context;
    int16_t version;
    const struct message_schema *schema = schema_of(row, &version);
    const struct slice bytes = golden_unhex(row->columns[COLUMN_BYTES]);
    golden_survive_flips(schema, version, bytes, &run->rng, 10);
    golden_free(bytes);
}

/* The same layout, to be walked. */
static const struct layout *without_code(struct arena *arena, const struct layout *layout)
{
    const size_t count = (size_t)layout->step_count + layout->tagged_count;
    struct layout *copy = ARENA_NEW(arena, struct layout);
    struct step *steps = ARENA_NEW_ARRAY(arena, struct step, count + 1);
    assert_true(copy != NULL && steps != NULL);
    memcpy(steps, layout->steps, count * sizeof(*steps));
    for (size_t i = 0; i < count; i++) {
        if (steps[i].child != NULL) {
            steps[i].child = without_code(arena, steps[i].child);
        }
    }
    *copy = *layout;
    copy->steps = steps;
    copy->decode = NULL;
    copy->encode = NULL;
    return copy;
}

struct decoded {
    enum error error;
    size_t consumed;
    void *message;
    struct slice encoded; /* null: refused */
};

static struct decoded decode_and_encode(struct run *run, const struct message_schema *schema,
                                        int16_t version, struct slice bytes)
{
    struct decoded result = {.message = message_new(&run->arena, schema->type, 1)};
    result.error =
        codec_decode(schema, version, bytes, &run->arena, NULL, result.message, &result.consumed);
    struct chain chain;
    chain_init(&chain, &run->arena);
    if (result.error == E_OK && codec_encode(schema, version, result.message, &chain) == E_OK) {
        result.encoded = arena_copy(&run->arena, golden_flatten(&chain));
    }
    chain_clear(&chain);
    return result;
}

static void assert_agreement(struct run *run, const struct message_schema *schema, int16_t version,
                             const struct layout *walked, struct slice bytes)
{
    const struct layout *const layouts[] = {walked};
    struct message_schema walker = *schema;
    walker.layouts = layouts;
    walker.version_min = version;
    walker.version_max = version;
    const struct decoded expected = decode_and_encode(run, &walker, version, bytes);
    const struct decoded result = decode_and_encode(run, schema, version, bytes);
    assert_int_equal(result.error, expected.error);
    if (expected.error == E_OK) {
        assert_int_equal(result.consumed, expected.consumed);
        assert_true(codec_equal(schema, version, result.message, expected.message));
        assert_true(slice_equal(result.encoded, expected.encoded));
    }
}

static void on_code_row(const struct golden_row *row, void *context)
{
    enum { FLIP_COUNT = 500 };
    struct run *run = context;
    int16_t version;
    const struct message_schema *schema = schema_of(row, &version);
    const struct layout *layout = schema->layouts[version - schema->version_min];
    if (layout->decode == NULL) {
        return;
    }
    const struct slice bytes = golden_unhex(row->columns[COLUMN_BYTES]);
    struct arena walked;
    arena_init(&walked, ARENA_MAX);
    const struct layout *steps = without_code(&walked, layout);
    for (size_t size = 0; size <= bytes.size; size++) {
        assert_agreement(run, schema, version, steps, slice_of(bytes.data, size));
        arena_clear(&run->arena);
    }
    for (int i = 0; i < FLIP_COUNT; i++) {
        struct slice changed = arena_copy(&run->arena, bytes);
        uint8_t *at = (uint8_t *)(uintptr_t)changed.data + rng_below(&run->rng, changed.size);
        *at = (uint8_t)rng_below(&run->rng, UINT8_MAX + 1);
        assert_agreement(run, schema, version, steps, changed);
        arena_clear(&run->arena);
    }
    arena_done(&walked);
    golden_free(bytes);
    run->version_count++;
}

static void run_rows(struct run *run, golden_row_fn on_row)
{
    *run = (struct run){.text = malloc(TEXT_MAX)};
    assert_non_null(run->text);
    arena_init(&run->arena, ARENA_MAX);
    rng_init(&run->rng, 20251122);
    (void)golden_read(getenv("GOLDEN_MESSAGES"), on_row, run);
    arena_done(&run->arena);
    free(run->text);
}

static void test_each_version_of_each_message_is_kafkas(void **state)
{
    (void)state;
    struct run run;
    size_t version_count = 0;
    run_rows(&run, on_round_trip_row);
    for (size_t i = 0; i < message_count; i++) {
        version_count += (size_t)(message_list[i]->version_max - message_list[i]->version_min + 1);
    }
    assert_int_equal(run.version_count, version_count); /* none is missing from the table */
}

static void test_each_cut_message_is_refused(void **state)
{
    (void)state;
    struct run run;
    run_rows(&run, on_cut_row);
}

static void test_changed_bytes_do_no_harm(void **state)
{
    (void)state;
    struct run run;
    run_rows(&run, on_flip_row);
}

static void test_code_does_what_the_walker_does(void **state)
{
    (void)state;
    struct run run;
    run_rows(&run, on_code_row);
    assert_true(run.version_count >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_version_of_each_message_is_kafkas),
        cmocka_unit_test(test_each_cut_message_is_refused),
        cmocka_unit_test(test_changed_bytes_do_no_harm),
        cmocka_unit_test(test_code_does_what_the_walker_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
