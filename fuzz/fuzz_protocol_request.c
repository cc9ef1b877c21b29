/* SPDX-License-Identifier: Apache-2.0 */
/* A request frame from a stranger: header and message decode or are refused; what decodes can be
 * printed and encoded, and the encoded bytes decode to an equal message. */
#include "protocol/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ARENA_MAX = 16 * 1024 * 1024,
};

static void try_again(const struct message_schema *schema, int16_t version, const void *message,
                      struct arena *arena)
{
    struct slice bytes;
    size_t consumed;
    char text[256];
    (void)codec_print(schema, version, message, text, sizeof(text));
    const enum error encoded =
        codec_encode_contiguous(schema, version, message, SLICE(""), arena, &bytes);
    if (encoded == E_LOCAL_NO_MEMORY) {
        return;
    }
    check_cmp(encoded, ==, E_OK);
    void *again = message_new(arena, schema->type, 1);
    if (again == NULL) {
        return;
    }
    const enum error decoded = codec_decode(schema, version, bytes, arena, NULL, again, &consumed);
    if (decoded == E_LOCAL_NO_MEMORY) {
        return;
    }
    check_cmp(decoded, ==, E_OK);
    check_cmp(consumed, ==, bytes.size);
    check(codec_equal(schema, version, message, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request_header header;
    struct arena arena;
    size_t header_size;
    size_t consumed;
    if (request_header_decode(slice_of(data, size), &header, &header_size) != E_OK) {
        return 0;
    }
    check(header_size <= size);
    if (header.api == NULL) {
        return 0;
    }
    arena_init(&arena, ARENA_MAX);
    const struct message_schema *schema = header.api->request;
    const struct slice bytes = slice_of(data + header_size, size - header_size);
    void *message = message_new(&arena, schema->type, 1);
    if (codec_decode(schema, header.api_version, bytes, &arena, NULL, message, &consumed) == E_OK) {
        check(consumed <= bytes.size);
        try_again(schema, header.api_version, message, &arena);
    }
    arena_done(&arena);
    return 0;
}
