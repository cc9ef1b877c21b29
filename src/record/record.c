/* SPDX-License-Identifier: Apache-2.0 */
#include "record/record.h"

#include "record/walk_private.h"

const uint8_t *headers_skip(const uint8_t *p, const uint8_t *end, uint32_t raw_count)
{
    if ((raw_count & 1) != 0) {
        return NULL;
    }
    for (uint32_t left = raw_count >> 1; left > 0; left--) {
        bool is_null;
        p = nullable_skip(p, end, &is_null);
        if (p == NULL || is_null) {
            return NULL;
        }
        p = nullable_skip(p, end, &is_null);
        if (p == NULL) {
            return NULL;
        }
    }
    return p;
}

static const uint8_t *decode_fields(const uint8_t *p, const uint8_t *end,
                                    const struct record_base *base, struct record *record)
{
    uint64_t timestamp_delta;
    uint32_t offset_delta;
    uint32_t header_count;
    if (p == end) {
        return NULL;
    }
    p = raw64_read(p + 1, end, &timestamp_delta); /* behind the attributes */
    if (p == NULL) {
        return NULL;
    }
    p = raw_read(p, end, &offset_delta);
    if (p == NULL || (p = nullable_read(p, end, &record->key)) == NULL ||
        (p = nullable_read(p, end, &record->value)) == NULL ||
        (p = raw_read(p, end, &header_count)) == NULL) {
        return NULL;
    }
    record->header_count = zigzag32_decode(header_count);
    record->headers = slice_of(p, (size_t)(end - p));
    record->offset =
        (int64_t)((uint64_t)base->offset + (uint64_t)(int64_t)zigzag32_decode(offset_delta));
    record->timestamp =
        (int64_t)((uint64_t)base->timestamp + (uint64_t)zigzag64_decode(timestamp_delta));
    return headers_skip(p, end, header_count);
}

enum error record_decode(struct slice body, const struct record_base *base,
                         struct record *ret_record)
{
    struct record record;
    const uint8_t *end = body.data + body.size;
    if (decode_fields(body.data, end, base, &record) != end) {
        return E_INVALID_RECORD;
    }
    *ret_record = record;
    return E_OK;
}

bool record_header_next(struct slice *headers, struct record_header *ret_header)
{
    const uint8_t *end = headers->data + headers->size;
    const uint8_t *p = nullable_read(headers->data, end, &ret_header->key);
    if (headers->size == 0 || p == NULL) {
        return false;
    }
    p = nullable_read(p, end, &ret_header->value);
    if (p == NULL) {
        return false;
    }
    *headers = slice_of(p, (size_t)(end - p));
    return true;
}
