/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "record/lz4_quirk_private.h"

/* Bytes of the header: magic number 4, FLG, BD, [content size 8], [dictionary id 4], checksum.
 * Source: LZ4 Frame Format 1.6.x. */
enum {
    FRAME_FLG = 4,
    FRAME_HEADER_SIZE_MIN = 7,
    FLG_DICTIONARY_ID = 0x01,
    FLG_CONTENT_SIZE = 0x08,
    FLG_INDEPENDENT = 0x20,
};

static const uint8_t frame_magic[FRAME_FLG] = {0x04, 0x22, 0x4D, 0x18};

static uint32_t rotate_left(uint32_t v, unsigned bits)
{
    return v << bits | v >> (32 - bits);
}

static uint32_t le32_load(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* XXH32 with seed 0 of up to 18 bytes; the frame header's checksum is bits 8 to 15 of it.
 * Source: xxHash specification. */
static uint8_t header_checksum(const uint8_t *p, size_t size)
{
    const uint32_t prime1 = 0x9E3779B1U;
    const uint32_t prime2 = 0x85EBCA77U;
    const uint32_t prime3 = 0xC2B2AE3DU;
    const uint32_t prime4 = 0x27D4EB2FU;
    const uint32_t prime5 = 0x165667B1U;
    const uint8_t *end = p + size;
    uint32_t hash = prime5;
    if (size >= 16) {
        uint32_t lanes[4] = {prime1 + prime2, prime2, 0, 0U - prime1};
        for (unsigned i = 0; i < 4; i++, p += 4) {
            lanes[i] = rotate_left(lanes[i] + le32_load(p) * prime2, 13) * prime1;
        }
        hash = rotate_left(lanes[0], 1) + rotate_left(lanes[1], 7) + rotate_left(lanes[2], 12) +
               rotate_left(lanes[3], 18);
    }
    hash += (uint32_t)size;
    for (; end - p >= 4; p += 4) {
        hash = rotate_left(hash + le32_load(p) * prime3, 17) * prime4;
    }
    for (; p < end; p++) {
        hash = rotate_left(hash + *p * prime5, 11) * prime1;
    }
    hash = (hash ^ hash >> 15) * prime2;
    hash = (hash ^ hash >> 13) * prime3;
    hash ^= hash >> 16;
    return (uint8_t)(hash >> 8);
}

static size_t header_size(struct slice frame)
{
    if (frame.size < FRAME_HEADER_SIZE_MIN || memcmp(frame.data, frame_magic, FRAME_FLG) != 0) {
        return 0;
    }
    const uint8_t flg = frame.data[FRAME_FLG];
    const size_t size = (size_t)FRAME_HEADER_SIZE_MIN + ((flg & FLG_CONTENT_SIZE) != 0 ? 8 : 0) +
                        ((flg & FLG_DICTIONARY_ID) != 0 ? 4 : 0);
    return size <= frame.size ? size : 0;
}

size_t lz4_frame_header_repair(struct slice frame, uint8_t header[LZ4_FRAME_HEADER_SIZE_MAX])
{
    const size_t size = header_size(frame);
    if (size > 0) {
        memcpy(header, frame.data, size);
        header[size - 1] = header_checksum(header + FRAME_FLG, size - 1 - FRAME_FLG);
    }
    return size;
}

void lz4_frame_header_break(uint8_t *frame, size_t size)
{
    const size_t header = header_size(slice_of(frame, size));
    check_cmp(header, >, 0);
    frame[header - 1] = header_checksum(frame, header - 1);
}

bool lz4_frame_is_independent(struct slice frame)
{
    return frame.size > FRAME_FLG && (frame.data[FRAME_FLG] & FLG_INDEPENDENT) != 0;
}
