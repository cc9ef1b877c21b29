/* SPDX-License-Identifier: Apache-2.0 */

/* Proves what decoding refuses, each error of codec.h, and that memory follows the bytes, not what
 * they claim. The right bytes are in tests/golden. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "protocol/codec.h"
#include "protocol/messages/api_versions.h"
#include "protocol/messages/fetch.h"
#include "protocol/messages/metadata.h"

#include <cmocka.h>

static enum error decode(const struct message_schema *schema, int16_t version, struct slice bytes,
                         const struct decode_limits *limits, void *ret_message,
                         size_t *ret_arena_size)
{
    struct arena arena;
    size_t consumed;
    arena_init(&arena, 1 << 20);
    const enum error error =
        codec_decode(schema, version, bytes, &arena, limits, ret_message, &consumed);
    *ret_arena_size = arena.size;
    arena_done(&arena);
    return error;
}

static enum error decode_metadata(int16_t version, struct slice bytes, size_t *ret_arena_size)
{
    struct metadata_request message;
    return decode(&metadata_request_schema, version, bytes, NULL, &message, ret_arena_size);
}

static void test_unknown_versions_are_refused(void **state)
{
    (void)state;
    size_t size;
    assert_int_equal(decode_metadata(-1, SLICE("\0\0\0\0"), &size), E_UNSUPPORTED_VERSION);
    assert_int_equal(decode_metadata(99, SLICE("\0\0\0\0"), &size), E_UNSUPPORTED_VERSION);
}

static void test_a_count_takes_no_memory_that_the_bytes_do_not_back(void **state)
{
    (void)state;
    size_t size;
    assert_int_equal(decode_metadata(1, SLICE("\x7f\xff\xff\xff\0\0"), &size), E_LOCAL_TRUNCATED);
    assert_int_equal(size, 0);
    assert_int_equal(decode_metadata(12, SLICE("\xff\xff\xff\xff\x0f\0"), &size),
                     E_LOCAL_TRUNCATED);
    assert_int_equal(size, 0);
    /* Two strings of two bytes fit where three are claimed: still refused before allocation. */
    assert_int_equal(decode_metadata(1, SLICE("\0\0\0\3\0\0\0\0\0"), &size), E_LOCAL_TRUNCATED);
    assert_int_equal(size, 0);
}

static void test_elements_are_limited_over_the_whole_message(void **state)
{
    (void)state;
    size_t size;
    struct metadata_request message;
    const struct slice four = SLICE("\0\0\0\4\0\0\0\0\0\0\0\0");
    const struct decode_limits limit_3 = {.element_count_max = 3};
    const struct decode_limits limit_4 = {.element_count_max = 4};
    assert_int_equal(decode(&metadata_request_schema, 1, four, &limit_3, &message, &size),
                     E_LOCAL_LIMIT);
    assert_int_equal(decode(&metadata_request_schema, 1, four, &limit_4, &message, &size), E_OK);
}

static void test_a_full_arena_is_an_error(void **state)
{
    (void)state;
    struct arena arena;
    struct metadata_request message;
    size_t consumed;
    arena_init(&arena, 16);
    assert_int_equal(codec_decode(&metadata_request_schema, 1, SLICE("\0\0\0\2\0\0\0\0"), &arena,
                                  NULL, &message, &consumed),
                     E_LOCAL_NO_MEMORY);
    arena_done(&arena);
}

static void test_null_is_null_only_where_it_may_be(void **state)
{
    (void)state;
    size_t size;
    struct metadata_request message;
    const struct slice null_array = SLICE("\xff\xff\xff\xff");
    assert_int_equal(decode(&metadata_request_schema, 0, null_array, NULL, &message, &size),
                     E_LOCAL_MALFORMED);
    assert_int_equal(decode(&metadata_request_schema, 1, null_array, NULL, &message, &size), E_OK);
    assert_true(ARRAY_IS_NULL(message.topics));
    assert_int_equal(decode(&metadata_request_schema, 1, SLICE("\0\0\0\0"), NULL, &message, &size),
                     E_OK);
    assert_false(ARRAY_IS_NULL(message.topics));
    assert_int_equal(message.topics.count, 0);
    /* A topic name may not be null in version 1. */
    assert_int_equal(decode_metadata(1, SLICE("\0\0\0\1\xff\xff"), &size), E_LOCAL_MALFORMED);
}

static void test_an_empty_string_is_not_null(void **state)
{
    (void)state;
    size_t size;
    struct api_versions_request message;
    assert_int_equal(
        decode(&api_versions_request_schema, 3, SLICE("\1\1\0"), NULL, &message, &size), E_OK);
    assert_false(slice_is_null(message.client_software_name));
    assert_int_equal(message.client_software_name.size, 0);
}

static enum error decode_api_versions(struct slice bytes)
{
    size_t size;
    struct api_versions_request message;
    return decode(&api_versions_request_schema, 3, bytes, NULL, &message, &size);
}

static void test_tags_rise_and_unknown_ones_are_skipped(void **state)
{
    (void)state;
    assert_int_equal(decode_api_versions(SLICE("\1\1\2\5\1x\7\0")), E_OK);
    assert_int_equal(decode_api_versions(SLICE("\1\1\2\5\1x\5\0")), E_LOCAL_MALFORMED);
    assert_int_equal(decode_api_versions(SLICE("\1\1\2\5\1x\4\0")), E_LOCAL_MALFORMED);
    assert_int_equal(decode_api_versions(SLICE("\1\1\1\5\2x")), E_LOCAL_TRUNCATED);
    assert_int_equal(decode_api_versions(SLICE("\1\1\xff\xff\xff\xff\xff\1")), E_LOCAL_MALFORMED);
    assert_int_equal(decode_api_versions(SLICE("\1\1\xff\xff\xff\xff\x0f")), E_LOCAL_TRUNCATED);
}

static void test_a_tagged_field_is_as_long_as_it_says(void **state)
{
    (void)state;
    size_t size;
    struct fetch_request message;
    /* Version 12, no topics, tag 0 (cluster_id) = "ab" in 3 bytes. */
#define FETCH_HEAD "\xff\xff\xff\xff\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\1\1\1"
    assert_int_equal(
        decode(&fetch_request_schema, 12, SLICE(FETCH_HEAD "\1\0\3\3ab"), NULL, &message, &size),
        E_OK);
    assert_true(slice_equal_string(message.cluster_id, "ab"));
    assert_int_equal(
        decode(&fetch_request_schema, 12, SLICE(FETCH_HEAD "\1\0\4\3abc"), NULL, &message, &size),
        E_LOCAL_MALFORMED);
    assert_int_equal(
        decode(&fetch_request_schema, 12, SLICE(FETCH_HEAD "\1\0\2\3ab"), NULL, &message, &size),
        E_LOCAL_TRUNCATED);
}

static void test_a_string_beyond_its_limit_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[40000] = {0x81, 0x80, 0x02}; /* compact size 32768 + 1 */
    assert_int_equal(decode_api_versions(slice_of(bytes, sizeof(bytes))), E_LOCAL_MALFORMED);
    bytes[0] = 0x80; /* 32767 + 1 */
    assert_int_equal(decode_api_versions(slice_of(bytes, 3 + 32767)), E_LOCAL_TRUNCATED);
    bytes[3 + 32767] = 1;
    assert_int_equal(decode_api_versions(slice_of(bytes, 3 + 32767 + 2)), E_OK);
}

static void test_bytes_after_the_message_are_reported(void **state)
{
    (void)state;
    struct arena arena;
    struct metadata_request message;
    size_t consumed;
    arena_init(&arena, 1 << 20);
    assert_int_equal(codec_decode(&metadata_request_schema, 1, SLICE("\0\0\0\0more"), &arena, NULL,
                                  &message, &consumed),
                     E_OK);
    assert_int_equal(consumed, 4);
    arena_done(&arena);
}

static void test_absent_members_have_their_defaults(void **state)
{
    (void)state;
    size_t size;
    struct metadata_request message;
    memset(&message, 0xee, sizeof(message));
    assert_int_equal(decode(&metadata_request_schema, 1, SLICE("\0\0\0\0"), NULL, &message, &size),
                     E_OK);
    assert_true(message.allow_auto_topic_creation);
    assert_false(message.include_topic_authorized_operations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_versions_are_refused),
        cmocka_unit_test(test_a_count_takes_no_memory_that_the_bytes_do_not_back),
        cmocka_unit_test(test_elements_are_limited_over_the_whole_message),
        cmocka_unit_test(test_a_full_arena_is_an_error),
        cmocka_unit_test(test_null_is_null_only_where_it_may_be),
        cmocka_unit_test(test_an_empty_string_is_not_null),
        cmocka_unit_test(test_tags_rise_and_unknown_ones_are_skipped),
        cmocka_unit_test(test_a_tagged_field_is_as_long_as_it_says),
        cmocka_unit_test(test_a_string_beyond_its_limit_is_refused),
        cmocka_unit_test(test_bytes_after_the_message_are_reported),
        cmocka_unit_test(test_absent_members_have_their_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
