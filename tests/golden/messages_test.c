/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves for every version of every message, with bytes made by Kafka's own classes
 * (messages/messages.tsv, made by make/run): they decode to the values that Kafka put in, encode
 * to the same bytes, are refused when cut, and changed bytes do no harm.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_version_of_each_message_is_kafkas),
        cmocka_unit_test(test_each_cut_message_is_refused),
        cmocka_unit_test(test_changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
