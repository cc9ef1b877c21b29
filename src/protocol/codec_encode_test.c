/* SPDX-License-Identifier: Apache-2.0 */

/* Proves what encoding refuses or drops, that records travel as pieces without a copy, and that
 * large messages and large tagged fields come out whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "protocol/codec.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"
#include "protocol/messages/produce.h"

#include <cmocka.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct slice flatten(const struct chain *chain)
{
    uint8_t *data = arena_alloc(&arena, chain->size, 1);
    size_t at = 0;
    for (const struct piece *piece = chain->head; piece != NULL; piece = piece->next) {
        memcpy(data + at, piece->data, piece->size);
        at += piece->size;
    }
    return slice_of(data, at);
}

static void test_what_a_version_cannot_carry_is_refused_or_ignored(void **state)
{
    (void)state;
    struct chain chain;
    struct produce_request *req = MESSAGE_NEW(&arena, produce_request);
    chain_init(&chain, &arena);
    /* transactional_id came with version 3 and is not ignorable. */
    req->transactional_id = SLICE("t");
    assert_int_equal(codec_encode(&produce_request_schema, 3, req, &chain), E_OK);
    assert_int_equal(codec_encode(&produce_request_schema, 2, req, &chain), E_LOCAL_UNSUPPORTED);
    req->transactional_id = SLICE_NULL;
    assert_int_equal(codec_encode(&produce_request_schema, 2, req, &chain), E_OK);
    assert_int_equal(codec_encode(&produce_request_schema, 14, req, &chain), E_UNSUPPORTED_VERSION);
    /* throttle_time_ms came with version 1 and is ignorable. */
    struct fetch_response *res = MESSAGE_NEW(&arena, fetch_response);
    res->throttle_time_ms = 7;
    assert_int_equal(codec_encode(&fetch_response_schema, 0, res, &chain), E_OK);
    chain_clear(&chain);
}

static struct fetch_response *one_partition(struct fetch_response_partition_data **ret_partition)
{
    struct fetch_response *res = MESSAGE_NEW(&arena, fetch_response);
    res->responses.items = MESSAGE_NEW_ARRAY(&arena, fetch_response_fetchable_topic_response, 1);
    res->responses.count = 1;
    res->responses.items->partitions.items =
        MESSAGE_NEW_ARRAY(&arena, fetch_response_partition_data, 1);
    res->responses.items->partitions.count = 1;
    *ret_partition = res->responses.items->partitions.items;
    return res;
}

static void test_records_in_a_chain_become_pieces(void **state)
{
    (void)state;
    struct chain records;
    struct chain chain;
    struct fetch_response_partition_data *partition;
    struct fetch_response *res = one_partition(&partition);
    chain_init(&records, &arena);
    assert_true(chain_append_file(&records, 42, 4096, 100000, NULL));
    assert_true(chain_append_memory(&records, SLICE("tail"), NULL));
    partition->records.chain = &records;
    chain_init(&chain, &arena);
    assert_int_equal(codec_encode(&fetch_response_schema, 12, res, &chain), E_OK);
    assert_int_equal(records.size, 0);
    const struct piece *head = chain.head;
    const struct piece *file = head->next;
    assert_int_equal(head->kind, PIECE_MEMORY);
    assert_int_equal(file->kind, PIECE_FILE);
    assert_int_equal(file->fd, 42);
    assert_int_equal(file->position, 4096);
    assert_int_equal(file->size, 100000);
    assert_int_equal(file->next->size, 4);
    /* Compact size 100004 + 1 stands right before the records. */
    assert_memory_equal(head->data + head->size - 3, "\xa5\x8d\x06", 3);
    assert_non_null(file->next->next); /* the rest of the message */
    chain_clear(&chain);
}

static void test_large_records_are_not_copied_and_small_ones_are(void **state)
{
    (void)state;
    static const uint8_t bytes[4000];
    struct chain chain;
    struct fetch_response_partition_data *partition;
    struct fetch_response *res = one_partition(&partition);
    chain_init(&chain, &arena);
    partition->records.bytes = slice_of(bytes, sizeof(bytes));
    assert_int_equal(codec_encode(&fetch_response_schema, 4, res, &chain), E_OK);
    assert_ptr_equal(chain.head->next->data, bytes);
    chain_clear(&chain);
    partition->records.bytes = slice_of(bytes, 100);
    assert_int_equal(codec_encode(&fetch_response_schema, 4, res, &chain), E_OK);
    assert_null(chain.head->next);
    chain_clear(&chain);
}

static void test_contiguous_bytes_have_their_prefix_and_no_chain(void **state)
{
    (void)state;
    struct slice bytes;
    struct chain records;
    struct fetch_response_partition_data *partition;
    struct fetch_response *res = one_partition(&partition);
    assert_int_equal(
        codec_encode_contiguous(&fetch_response_schema, 12, res, SLICE("\0\x0c"), &arena, &bytes),
        E_OK);
    assert_memory_equal(bytes.data, "\0\x0c\0\0\0\0", 6);
    chain_init(&records, &arena);
    assert_true(chain_append_memory(&records, SLICE("r"), NULL));
    partition->records.chain = &records;
    assert_int_equal(
        codec_encode_contiguous(&fetch_response_schema, 12, res, SLICE(""), &arena, &bytes),
        E_LOCAL_UNSUPPORTED);
}

/* Many topics, so that blocks grow and are cut, and a tagged array beyond 127 and 16,383 bytes. */
static void test_large_messages_come_out_whole(void **state)
{
    (void)state;
    enum { TOPICS = 5000, ENDPOINTS = 2000 };
    struct chain chain;
    struct fetch_response again;
    size_t consumed;
    struct fetch_response *res = MESSAGE_NEW(&arena, fetch_response);
    res->responses.items =
        MESSAGE_NEW_ARRAY(&arena, fetch_response_fetchable_topic_response, TOPICS);
    res->responses.count = TOPICS;
    for (uint32_t i = 0; i < TOPICS; i++) {
        res->responses.items[i].topic_id.bytes[i % 16] = (uint8_t)i;
    }
    res->node_endpoints.items = MESSAGE_NEW_ARRAY(&arena, fetch_response_node_endpoint, ENDPOINTS);
    res->node_endpoints.count = ENDPOINTS;
    for (uint32_t i = 0; i < ENDPOINTS; i++) {
        res->node_endpoints.items[i].node_id = (int32_t)i;
        res->node_endpoints.items[i].host = SLICE("host.example");
    }
    for (uint32_t count = 0; count <= ENDPOINTS; count = count * 3 + 1) {
        res->node_endpoints.count = count;
        chain_init(&chain, &arena);
        assert_int_equal(codec_encode(&fetch_response_schema, 16, res, &chain), E_OK);
        const struct slice bytes = flatten(&chain);
        assert_int_equal(
            codec_decode(&fetch_response_schema, 16, bytes, &arena, NULL, &again, &consumed), E_OK);
        assert_int_equal(consumed, bytes.size);
        assert_true(codec_equal(&fetch_response_schema, 16, res, &again));
        chain_clear(&chain);
    }
}

static void test_a_string_beyond_its_limit_is_refused(void **state)
{
    (void)state;
    static const uint8_t name[40000];
    struct chain chain;
    struct metadata_response *res = MESSAGE_NEW(&arena, metadata_response);
    chain_init(&chain, &arena);
    res->cluster_id = slice_of(name, 32767);
    assert_int_equal(codec_encode(&metadata_response_schema, 2, res, &chain), E_OK);
    res->cluster_id = slice_of(name, 32768);
    assert_int_equal(codec_encode(&metadata_response_schema, 2, res, &chain), E_LOCAL_LIMIT);
    chain_clear(&chain);
}

/* Fails the arena at each size until the message fits: an error every time, never worse. */
static void test_a_full_arena_is_an_error(void **state)
{
    (void)state;
    struct fetch_response_partition_data *partition;
    struct fetch_response *res = one_partition(&partition);
    enum error error = E_LOCAL_NO_MEMORY;
    size_t failures = 0;
    for (size_t size_max = 0; error != E_OK; size_max += 256) {
        struct arena small;
        struct chain chain;
        arena_init(&small, size_max);
        chain_init(&chain, &small);
        error = codec_encode(&fetch_response_schema, 12, res, &chain);
        assert_true(error == E_OK || error == E_LOCAL_NO_MEMORY);
        failures += error != E_OK;
        chain_clear(&chain);
        arena_done(&small);
    }
    assert_true(failures > 0);
}

static void test_equality_and_text_follow_the_version(void **state)
{
    (void)state;
    char text[200];
    struct produce_request *a = MESSAGE_NEW(&arena, produce_request);
    struct produce_request *b = MESSAGE_NEW(&arena, produce_request);
    b->transactional_id = SLICE("t\"\n");
    assert_true(codec_equal(&produce_request_schema, 2, a, b));
    assert_false(codec_equal(&produce_request_schema, 3, a, b));
    const char *expected = "{transactional_id:\"t\\x22\\x0a\",acks:0,timeout_ms:0,topic_data:[]}";
    assert_int_equal(codec_print(&produce_request_schema, 3, b, text, sizeof(text)),
                     strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(codec_print(&produce_request_schema, 3, b, text, 5), strlen(expected));
    assert_string_equal(text, "{tra");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_version_cannot_carry_is_refused_or_ignored),
        cmocka_unit_test(test_records_in_a_chain_become_pieces),
        cmocka_unit_test(test_large_records_are_not_copied_and_small_ones_are),
        cmocka_unit_test(test_contiguous_bytes_have_their_prefix_and_no_chain),
        cmocka_unit_test(test_large_messages_come_out_whole),
        cmocka_unit_test(test_a_string_beyond_its_limit_is_refused),
        cmocka_unit_test(test_a_full_arena_is_an_error),
        cmocka_unit_test(test_equality_and_text_follow_the_version),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
