/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include "base/bytes.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool uuid_is_zero(const struct uuid *uuid)
{
    const struct uuid zero = UUID_ZERO;
    return uuid_equal(uuid, &zero);
}

struct uuid uuid_random(struct rng *rng)
{
    struct uuid uuid;
    do {
        be64_store(uuid.bytes, rng_next(rng));
        be64_store(uuid.bytes + 8, rng_next(rng));
        uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0fU) | 0x40U); /* version 4: never 0 or 1 */
        uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3fU) | 0x80U); /* the RFC's variant */
    } while (alphabet[uuid.bytes[0] >> 2] == '-'); /* would look like an option on command lines */
    return uuid;
}

void uuid_format(const struct uuid *uuid, char *text)
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
        bits = bits << 8 | uuid->bytes[i];
        bit_count += 8;
        while (bit_count >= 6) {
            bit_count -= 6;
            *text++ = alphabet[bits >> bit_count & 0x3fU];
        }
    }
    *text++ = alphabet[bits << (6 - bit_count) & 0x3fU];
    *text = '\0';
}

/* The six bits that c stands for, or -1. */
static int digit_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '-') {
        return 62;
    }
    return c == '_' ? 63 : -1;
}

bool uuid_parse(struct slice text, struct uuid *ret_uuid)
{
    struct uuid uuid = UUID_ZERO;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t byte_count = 0;
    if (text.size != UUID_TEXT_SIZE) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        const int digit = digit_value(text.data[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            uuid.bytes[byte_count++] = (uint8_t)(bits >> bit_count);
        }
    }
    check(byte_count == sizeof(uuid.bytes)); /* 4 bits are left over; Kafka ignores them too */
    *ret_uuid = uuid;
    return true;
}
