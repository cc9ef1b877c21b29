/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/header.h"

#include "base/bytes.h"
#include "protocol/codec_private.h"

enum {
    FRAME_SIZE_BYTES = 4,
    REQUEST_HEADER_FIXED = 8, /* api_key:2 version:2 correlation_id:4 */
    REQUEST_HEADER_MAX = FRAME_SIZE_BYTES + REQUEST_HEADER_FIXED + 2 + 1, /* without client id */
};

static int request_header_version(const struct api *api, int16_t version)
{
    if (api->key == API_CONTROLLED_SHUTDOWN && version == 0) {
        return 0;
    }
    return api_version_is_flexible(api, version) ? 2 : 1;
}

int response_header_version(const struct api *api, int16_t version)
{
    return api->key != API_API_VERSIONS && api_version_is_flexible(api, version) ? 1 : 0;
}

/* Skips the tagged fields at p: no header has any that we know. */
static enum error skip_tagged_fields(const uint8_t **p, const uint8_t *end)
{
    uint32_t count;
    if (LIKELY(*p < end && **p == 0)) {
        (*p)++;
        return E_OK;
    }
    const uint8_t *next = uvarint32_read(*p, end, &count);
    for (; next != NULL && count > 0; count--) {
        uint32_t tag;
        uint32_t size;
        next = uvarint32_read(next, end, &tag);
        next = next == NULL ? NULL : uvarint32_read(next, end, &size);
        if (next != NULL && size > (size_t)(end - next)) {
            next = NULL;
        }
        next = next == NULL ? NULL : next + size;
    }
    if (next == NULL) {
        return E_LOCAL_TRUNCATED;
    }
    *p = next;
    return E_OK;
}

static enum error read_client_id(const uint8_t **p, const uint8_t *end, struct slice *ret_client_id)
{
    if (end - *p < 2) {
        return E_LOCAL_TRUNCATED;
    }
    const int16_t size = (int16_t)be16_load(*p);
    *p += 2;
    if (size < 0) {
        *ret_client_id = SLICE_NULL;
        return size == -1 ? E_OK : E_LOCAL_MALFORMED;
    }
    if (size > end - *p) {
        return E_LOCAL_TRUNCATED;
    }
    *ret_client_id = slice_of(*p, (size_t)size);
    *p += size;
    return E_OK;
}

enum error request_header_decode(struct slice frame, struct request_header *ret_header,
                                 size_t *ret_header_size)
{
    if (frame.size < REQUEST_HEADER_FIXED) {
        return E_LOCAL_TRUNCATED;
    }
    const uint8_t *p = frame.data + REQUEST_HEADER_FIXED;
    const uint8_t *const end = frame.data + frame.size;
    struct request_header header = {
        .api_key = (int16_t)be16_load(frame.data),
        .api_version = (int16_t)be16_load(frame.data + 2),
        .correlation_id = (int32_t)be32_load(frame.data + 4),
        .client_id = SLICE_NULL,
    };
    header.api = api_find(header.api_key);
    if (header.api != NULL) {
        const int version = request_header_version(header.api, header.api_version);
        enum error error = version >= 1 ? read_client_id(&p, end, &header.client_id) : E_OK;
        if (!error && version >= 2) {
            error = skip_tagged_fields(&p, end);
        }
        if (error) {
            return error;
        }
    }
    *ret_header = header;
    *ret_header_size = (size_t)(p - frame.data);
    return E_OK;
}

enum error response_header_decode(const struct api *api, int16_t version, struct slice frame,
                                  int32_t *ret_correlation_id, size_t *ret_header_size)
{
    if (frame.size < 4) {
        return E_LOCAL_TRUNCATED;
    }
    const uint8_t *p = frame.data + 4;
    if (response_header_version(api, version) >= 1) {
        const enum error error = skip_tagged_fields(&p, frame.data + frame.size);
        if (error) {
            return error;
        }
    }
    *ret_correlation_id = (int32_t)be32_load(frame.data);
    *ret_header_size = (size_t)(p - frame.data);
    return E_OK;
}

/* The message after the header that is in the writer; then the size of all before the header. */
static enum error finish_frame(struct writer *w, const struct message_schema *schema,
                               int16_t version, const void *message)
{
    enum error error = writer_put_message(w, schema, version, message);
    if (!error && !writer_flush(w)) {
        error = E_LOCAL_NO_MEMORY;
    }
    if (!error && w->chain->size - FRAME_SIZE_BYTES > INT32_MAX) {
        error = E_LOCAL_LIMIT;
    }
    if (error) {
        chain_clear(w->chain);
        return error;
    }
    be32_store(w->start, (uint32_t)(w->chain->size - FRAME_SIZE_BYTES));
    return E_OK;
}

enum error response_encode(const struct api *api, int16_t version, int32_t correlation_id,
                           const void *response, struct chain *chain)
{
    struct writer w;
    check_cmp(chain->size, ==, 0);
    writer_init(&w, chain->arena, chain);
    if (!writer_room(&w, FRAME_SIZE_BYTES + 4 + 1)) {
        return E_LOCAL_NO_MEMORY;
    }
    be32_store(w.next + FRAME_SIZE_BYTES, (uint32_t)correlation_id);
    w.next += FRAME_SIZE_BYTES + 4;
    if (response_header_version(api, version) >= 1) {
        *w.next++ = 0; /* no tagged fields */
    }
    return finish_frame(&w, api->response, version, response);
}

enum error request_encode(const struct api *api, int16_t version, int32_t correlation_id,
                          struct slice client_id, const void *request, struct chain *chain)
{
    struct writer w;
    check_cmp(chain->size, ==, 0);
    if (client_id.size > INT16_MAX) {
        return E_LOCAL_LIMIT;
    }
    writer_init(&w, chain->arena, chain);
    if (!writer_room(&w, REQUEST_HEADER_MAX + client_id.size)) {
        return E_LOCAL_NO_MEMORY;
    }
    w.next += FRAME_SIZE_BYTES;
    be16_store(w.next, (uint16_t)api->key);
    be16_store(w.next + 2, (uint16_t)version);
    be32_store(w.next + 4, (uint32_t)correlation_id);
    w.next += REQUEST_HEADER_FIXED;
    const int header_version = request_header_version(api, version);
    if (header_version >= 1) {
        be16_store(w.next, slice_is_null(client_id) ? UINT16_MAX : (uint16_t)client_id.size);
        w.next += 2;
        if (client_id.size > 0) {
            memcpy(w.next, client_id.data, client_id.size);
            w.next += client_id.size;
        }
    }
    if (header_version >= 2) {
        *w.next++ = 0; /* no tagged fields */
    }
    return finish_frame(&w, api->request, version, request);
}
