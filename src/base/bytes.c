/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

const uint8_t *uvarint32_read(const uint8_t *p, const uint8_t *end, uint32_t *ret_value)
{
    uint64_t value;
    const uint8_t *limit = end - p > UVARINT32_SIZE_MAX ? p + UVARINT32_SIZE_MAX : end;
    p = uvarint64_read(p, limit, &value);
    if (p == NULL || value > UINT32_MAX) {
        return NULL;
    }
    *ret_value = (uint32_t)value;
    return p;
}

const uint8_t *uvarint64_read(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
        const uint64_t group = *p & 0x7fU;
        if (shift == 63 && group > 1) {
            return NULL; /* bits beyond the 64th */
        }
        value |= group << shift;
        if ((*p++ & 0x80U) == 0) {
            *ret_value = value;
            return p;
        }
    }
    return NULL;
}

uint8_t *uvarint32_write(uint8_t *p, uint32_t value)
{
    return uvarint64_write(p, value);
}

uint8_t *uvarint64_write(uint8_t *p, uint64_t value)
{
    while (value > 0x7f) {
        *p++ = (uint8_t)(value | 0x80U);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

size_t uvarint32_size(uint32_t value)
{
    return uvarint64_size(value);
}

size_t uvarint64_size(uint64_t value)
{
    const unsigned bits = 64U - (unsigned)__builtin_clzll(value | 1U);
    return (bits + 6U) / 7U;
}
