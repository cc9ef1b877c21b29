/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/rng.h"

#include <cmocka.h>

enum {
    ARENA_MAX = 64 * 1024 * 1024,
    TRUNCATIONS_MAX = 500, /* of one message */
};

static void split(char *line, struct golden_row *row)
{
    row->column_count = 0;
    for (char *rest = line; rest != NULL && row->column_count < GOLDEN_COLUMNS_MAX;) {
        row->columns[row->column_count++] = strsep(&rest, "\t\n");
        if (rest != NULL && *rest == '\0') {
            break;
        }
    }
}

size_t golden_read(const char *path, golden_row_fn on_row, void *context)
{
    struct golden_row row = {.line = 0};
    char *line = NULL;
    size_t capacity = 0;
    size_t count = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
        return 0;
    }
    while (getline(&line, &capacity, file) > 0) {
        row.line++;
        if (line[0] == '#') {
            continue;
        }
        split(line, &row);
        on_row(&row, context);
        count++;
    }
    free(line);
    (void)fclose(file); /* only read */
    assert_true(count > 0);
    return count;
}

struct slice golden_unhex(const char *hex)
{
    const size_t size = strlen(hex) / 2;
    uint8_t *data = malloc(size > 0 ? size : 1);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        data[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return slice_of(data, size);
}

struct slice golden_copy(struct slice bytes)
{
    uint8_t *data = malloc(bytes.size > 0 ? bytes.size : 1);
    assert_non_null(data);
    if (bytes.size > 0) {
        memcpy(data, bytes.data, bytes.size);
    }
    return slice_of(data, bytes.size);
}

void golden_free(struct slice bytes)
{
    void *data;
    memcpy(&data, &bytes.data, sizeof(data)); /* it was malloc'ed, so it may be freed */
    free(data);
}

struct slice golden_flatten(const struct chain *chain)
{
    uint8_t *data = arena_alloc(chain->arena, chain->size, 1);
    size_t at = 0;
    assert_non_null(data);
    for (const struct piece *piece = chain->head; piece != NULL; piece = piece->next) {
        assert_int_equal(piece->kind, PIECE_MEMORY);
        memcpy(data + at, piece->data, piece->size);
        at += piece->size;
    }
    assert_int_equal(at, chain->size);
    return slice_of(data, at);
}

void golden_refuse_truncations(const struct message_schema *schema, int16_t version,
                               struct slice bytes)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    void *message = malloc(schema->type->size);
    assert_non_null(message);
    const size_t stride = bytes.size / TRUNCATIONS_MAX + 1;
    for (size_t size = 0; size < bytes.size; size += stride) {
        size_t consumed;
        struct slice part = golden_copy(slice_of(bytes.data, size));
        const enum error error =
            codec_decode(schema, version, part, &arena, NULL, message, &consumed);
        if (error != E_LOCAL_TRUNCATED) {
            fail_msg("%s v%d cut to %zu of %zu bytes: %s", schema->name, version, size, bytes.size,
                     error_name(error));
        }
        golden_free(part);
        arena_clear(&arena);
    }
    free(message);
    arena_done(&arena);
}

static void use_message(const struct message_schema *schema, int16_t version, const void *message,
                        struct arena *arena)
{
    char text[64];
    struct chain chain;
    assert_true(codec_print(schema, version, message, text, sizeof(text)) > 0);
    assert_true(codec_equal(schema, version, message, message));
    chain_init(&chain, arena);
    assert_int_equal(codec_encode(schema, version, message, &chain), E_OK);
    chain_clear(&chain);
}

void golden_survive_flips(const struct message_schema *schema, int16_t version, struct slice bytes,
                          struct rng *rng, unsigned times)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    void *message = malloc(schema->type->size);
    assert_non_null(message);
    for (unsigned i = 0; i < times && bytes.size > 0; i++) {
        size_t consumed;
        struct slice copy = golden_copy(bytes);
        uint8_t *data;
        memcpy(&data, &copy.data, sizeof(data)); /* our own copy: may be written */
        data[rng_below(rng, copy.size)] = (uint8_t)rng_next(rng);
        if (rng_below(rng, 2) == 0) {
            data[rng_below(rng, copy.size)] = 0xff;
        }
        if (codec_decode(schema, version, copy, &arena, NULL, message, &consumed) == E_OK) {
            assert_true(consumed <= copy.size);
            use_message(schema, version, message, &arena);
        }
        golden_free(copy);
        arena_clear(&arena);
    }
    free(message);
    arena_done(&arena);
}
