/* SPDX-License-Identifier: Apache-2.0 */

/* Proves the headers' versions with their quirks, and that cut or contradictory ones are refused.
 * Whole recorded frames are in tests/golden. */

#include "protocol/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum error decode(struct slice frame, struct request_header *ret_header, size_t *ret_size)
{
    return request_header_decode(frame, ret_header, ret_size);
}

static void test_each_header_version(void **state)
{
    (void)state;
    struct request_header header;
    size_t size;
    /* ControlledShutdown 0: no client id. */
    assert_int_equal(decode(SLICE("\0\7\0\0\0\0\0\x2a"
                                  "\0\0\0\1"),
                            &header, &size),
                     E_OK);
    assert_int_equal(size, 8);
    assert_int_equal(header.correlation_id, 42);
    /* Metadata 1: client id; 9: and tagged fields, here one that is unknown. */
    assert_int_equal(decode(SLICE("\0\3\0\1\0\0\0\1\0\2me"), &header, &size), E_OK);
    assert_int_equal(size, 12);
    assert_true(slice_equal_string(header.client_id, "me"));
    assert_int_equal(decode(SLICE("\0\3\0\x09\0\0\0\1\xff\xff\1\7\2ab\1"), &header, &size), E_OK);
    assert_int_equal(size, 15);
    assert_true(slice_is_null(header.client_id));
    assert_int_equal(header.api->key, API_METADATA);
}

static void test_unknown_keys_and_versions_are_told_apart(void **state)
{
    (void)state;
    struct request_header header;
    size_t size;
    assert_int_equal(decode(SLICE("\x7f\xff\0\0\0\0\0\1"), &header, &size), E_OK);
    assert_null(header.api);
    assert_int_equal(decode(SLICE("\xff\xff\0\0\0\0\0\1"), &header, &size), E_OK);
    assert_null(header.api);
    /* ApiVersions 99 has the header of the newest version known (KIP-511). */
    assert_int_equal(decode(SLICE("\0\x12\0\x63\0\0\0\1\0\1x\0"), &header, &size), E_OK);
    assert_int_equal(size, 12);
    assert_int_equal(header.api_version, 99);
    assert_false(message_has_version(header.api->request, header.api_version));
}

static void test_broken_headers_are_refused(void **state)
{
    (void)state;
    struct request_header header;
    size_t size;
    const struct slice whole = SLICE("\0\3\0\x09\0\0\0\1\0\2me\1\7\2ab");
    for (size_t cut = 0; cut < whole.size; cut++) {
        assert_int_equal(decode(slice_of(whole.data, cut), &header, &size), E_LOCAL_TRUNCATED);
    }
    assert_int_equal(decode(whole, &header, &size), E_OK);
    assert_int_equal(decode(SLICE("\0\3\0\1\0\0\0\1\xff\xfe"), &header, &size), E_LOCAL_MALFORMED);
}

static void test_response_header_of_api_versions_never_has_tags(void **state)
{
    (void)state;
    assert_int_equal(response_header_version(api_find(API_API_VERSIONS), 3), 0);
    assert_int_equal(response_header_version(api_find(API_METADATA), 8), 0);
    assert_int_equal(response_header_version(api_find(API_METADATA), 9), 1);
    assert_int_equal(response_header_version(api_find(API_SASL_HANDSHAKE), 1), 0);
}

/* The table is consistent: a version that is offered is one that the codec has. */
static void test_each_offered_version_has_a_schema(void **state)
{
    (void)state;
    size_t served_count = 0;
    for (int16_t key = 0; key < API_KEY_LIMIT; key++) {
        const struct api *api = api_find(key);
        if (api == NULL) {
            continue;
        }
        const struct version_range ranges[] = {api->embedded, api->zookeeper};
        assert_int_equal(api->key, key);
        assert_int_equal(api->request->api_key, key);
        assert_int_equal(api->response->api_key, key);
        assert_int_equal(api->request->flexible_from, api->response->flexible_from);
        for (size_t i = 0; i < 2; i++) {
            for (int16_t version = ranges[i].min; version <= ranges[i].max; version++) {
                assert_true(message_has_version(api->request, version));
                assert_true(message_has_version(api->response, version));
            }
        }
        served_count += api->served;
    }
    assert_true(served_count >= 5);
    assert_null(api_find(-1));
    assert_null(api_find(API_KEY_LIMIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_header_version),
        cmocka_unit_test(test_unknown_keys_and_versions_are_told_apart),
        cmocka_unit_test(test_broken_headers_are_refused),
        cmocka_unit_test(test_response_header_of_api_versions_never_has_tags),
        cmocka_unit_test(test_each_offered_version_has_a_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
