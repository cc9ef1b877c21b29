/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Proves that every frame recorded between real clients and Apache Kafka (wire/frames.tsv) decodes
 * and encodes again to the same bytes, that each cut of it is refused, and that changed bytes
 * never lead the decoder astray.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/rng.h"
#include "golden.h"
#include "protocol/header.h"

#include <cmocka.h>

enum {
    COLUMN_CLIENT = 2,
    COLUMN_REQUEST,
    COLUMN_RESPONSE,
    ARENA_MAX = 64 * 1024 * 1024,
};

struct run {
    struct arena arena;
    struct rng rng;
    void (*on_message)(struct run *run, const struct message_schema *schema, int16_t version,
                       struct slice bytes);
    size_t request_count;
    size_t response_count;
    size_t unknown_version_count;
};

static void assert_same(const struct golden_row *row, struct slice expected,
                        const struct chain *chain)
{
    const struct slice bytes = golden_flatten(chain);
    const struct slice frame = slice_of(bytes.data + 4, bytes.size - 4);
    if (!slice_equal(frame, expected)) {
        fail_msg("line %zu (%s): encoded %zu bytes differ from the recorded %zu", row->line,
                 row->columns[COLUMN_CLIENT], frame.size, expected.size);
    }
}

static struct slice after(struct slice frame, size_t size)
{
    return slice_of(frame.data + size, frame.size - size);
}

static void decode_whole(const struct message_schema *schema, int16_t version, struct slice bytes,
                         struct arena *arena, const struct golden_row *row, void **ret_message)
{
    size_t consumed = 0;
    *ret_message = message_new(arena, schema->type, 1);
    const enum error error =
        codec_decode(schema, version, bytes, arena, NULL, *ret_message, &consumed);
    if (error != E_OK || consumed != bytes.size) {
        fail_msg("line %zu: %s v%d: %s, %zu of %zu bytes", row->line, schema->name, version,
                 error_name(error), consumed, bytes.size);
    }
}

static void round_trip_request(struct run *run, const struct golden_row *row, struct slice frame,
                               const struct request_header *header, size_t header_size)
{
    void *message;
    struct chain chain;
    decode_whole(header->api->request, header->api_version, after(frame, header_size), &run->arena,
                 row, &message);
    chain_init(&chain, &run->arena);
    assert_int_equal(request_encode(header->api, header->api_version, header->correlation_id,
                                    header->client_id, message, &chain),
                     E_OK);
    assert_same(row, frame, &chain);
    chain_clear(&chain);
    run->request_count++;
}

static void round_trip_response(struct run *run, const struct golden_row *row, struct slice frame,
                                const struct api *api, int16_t version)
{
    void *message;
    struct chain chain;
    int32_t correlation_id;
    size_t header_size;
    assert_int_equal(response_header_decode(api, version, frame, &correlation_id, &header_size),
                     E_OK);
    decode_whole(api->response, version, after(frame, header_size), &run->arena, row, &message);
    chain_init(&chain, &run->arena);
    assert_int_equal(response_encode(api, version, correlation_id, message, &chain), E_OK);
    assert_same(row, frame, &chain);
    chain_clear(&chain);
    run->response_count++;
}

static void on_round_trip_row(const struct golden_row *row, void *context)
{
    struct run *run = context;
    struct request_header header;
    size_t header_size;
    assert_int_equal(row->column_count, 5);
    const struct slice request = golden_unhex(row->columns[COLUMN_REQUEST]);
    const struct slice response = golden_unhex(row->columns[COLUMN_RESPONSE]);
    assert_int_equal(request_header_decode(request, &header, &header_size), E_OK);
    assert_non_null(header.api);
    int16_t version = header.api_version;
    if (message_has_version(header.api->request, version)) {
        round_trip_request(run, row, request, &header, header_size);
    } else {
        /* KIP-511: an ApiVersions request above what we know is answered in version 0. */
        assert_int_equal(header.api_key, API_API_VERSIONS);
        run->unknown_version_count++;
        version = 0;
    }
    if (response.size > 0) {
        round_trip_response(run, row, response, header.api, version);
    }
    golden_free(request);
    golden_free(response);
    arena_clear(&run->arena);
}

static void on_rough_row(const struct golden_row *row, void *context)
{
    struct run *run = context;
    struct request_header header;
    size_t header_size;
    int32_t correlation_id;
    const struct slice request = golden_unhex(row->columns[COLUMN_REQUEST]);
    const struct slice response = golden_unhex(row->columns[COLUMN_RESPONSE]);
    assert_int_equal(request_header_decode(request, &header, &header_size), E_OK);
    if (message_has_version(header.api->request, header.api_version)) {
        run->on_message(run, header.api->request, header.api_version, after(request, header_size));
        if (response.size > 0) {
            assert_int_equal(response_header_decode(header.api, header.api_version, response,
                                                    &correlation_id, &header_size),
                             E_OK);
            run->on_message(run, header.api->response, header.api_version,
                            after(response, header_size));
        }
    }
    golden_free(request);
    golden_free(response);
}

static void cut(struct run *run, const struct message_schema *schema, int16_t version,
                struct slice bytes)
{
    (void)run;
    golden_refuse_truncations(schema, version, bytes);
}

static void flip(struct run *run, const struct message_schema *schema, int16_t version,
                 struct slice bytes)
{
    golden_survive_flips(schema, version, bytes, &run->rng, 20);
}

static void run_rows(struct run *run, golden_row_fn on_row)
{
    arena_init(&run->arena, ARENA_MAX);
    rng_init(&run->rng, 20251122);
    (void)golden_read(getenv("GOLDEN_WIRE"), on_row, run);
    arena_done(&run->arena);
}

static void test_each_frame_encodes_to_its_own_bytes(void **state)
{
    (void)state;
    struct run run = {0};
    run_rows(&run, on_round_trip_row);
    assert_true(run.request_count >= 926);
    assert_true(run.response_count >= 900);
    assert_int_equal(run.unknown_version_count, 4);
}

static void test_each_cut_frame_is_refused(void **state)
{
    (void)state;
    struct run run = {.on_message = cut};
    run_rows(&run, on_rough_row);
}

static void test_changed_bytes_do_no_harm(void **state)
{
    (void)state;
    struct run run = {.on_message = flip};
    run_rows(&run, on_rough_row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_frame_encodes_to_its_own_bytes),
        cmocka_unit_test(test_each_cut_frame_is_refused),
        cmocka_unit_test(test_changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
