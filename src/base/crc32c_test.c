/* SPDX-License-Identifier: Apache-2.0 */
/* The fast CRC, the table CRC and the definition bit by bit agree on every size and alignment. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#include <cmocka.h>

static uint32_t crc32c_by_bit(uint32_t crc, const uint8_t *p, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82f63b78U & (0U - (crc & 1U)));
        }
    }
    return ~crc;
}

static void test_known_values(void **state)
{
    uint8_t bytes[32];
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283U);
    assert_int_equal(crc32c_portable(0, "123456789", 9), 0xE3069283U);
    assert_int_equal(crc32c(0, NULL, 0), 0);
    /* RFC 3720, B.4: 32 bytes of zeros, of ones, rising. */
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, 32), 0x8A9136AAU);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, 32), 0x62A8AB43U);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    assert_int_equal(crc32c(0, bytes, 32), 0x46DD794EU);
}

struct fixture {
    struct rng rng;
    uint8_t *bytes;
};

enum {
    BYTES_SIZE = 64 * 1024,
};

static void setup(struct fixture *f)
{
    rng_init(&f->rng, 42);
    f->bytes = malloc(BYTES_SIZE);
    assert_non_null(f->bytes);
    for (size_t i = 0; i < BYTES_SIZE; i++) {
        f->bytes[i] = (uint8_t)rng_next(&f->rng);
    }
}

/* All small sizes at all alignments: the borders between the ways of splitting lie here. */
static void test_small_sizes(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    for (size_t size = 0; size < 300; size++) {
        const size_t offset = size % 9;
        const uint32_t expected = crc32c_by_bit(7, f.bytes + offset, size);
        assert_int_equal(crc32c(7, f.bytes + offset, size), expected);
        assert_int_equal(crc32c_portable(7, f.bytes + offset, size), expected);
    }
    free(f.bytes);
}

static void test_random_sizes(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    for (int i = 0; i < 1000; i++) {
        const size_t offset = rng_below(&f.rng, 64);
        const size_t size = rng_below(&f.rng, BYTES_SIZE - 64);
        const uint32_t crc = (uint32_t)rng_next(&f.rng);
        assert_int_equal(crc32c(crc, f.bytes + offset, size),
                         crc32c_portable(crc, f.bytes + offset, size));
    }
    free(f.bytes);
}

/* Sizes just around the long streams (12 KiB) and the short ones (1536 bytes). */
static void test_borders(void **state)
{
    static const size_t borders[] = {96, 192, 1536, 3072, 12288, 24576, 12288 + 1536};
    struct fixture f;
    (void)state;
    setup(&f);
    for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++) {
        for (size_t size = borders[i] - 9; size < borders[i] + 30; size++) {
            assert_int_equal(crc32c(0, f.bytes + 1, size), crc32c_portable(0, f.bytes + 1, size));
        }
    }
    free(f.bytes);
}

static void test_continues_and_combines(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    for (int i = 0; i < 500; i++) {
        const size_t size = rng_below(&f.rng, 20000);
        const size_t cut = size == 0 ? 0 : rng_below(&f.rng, size + 1);
        const uint32_t whole = crc32c(0, f.bytes, size);
        const uint32_t head = crc32c(0, f.bytes, cut);
        const uint32_t tail = crc32c(0, f.bytes + cut, size - cut);
        assert_int_equal(crc32c(head, f.bytes + cut, size - cut), whole);
        assert_int_equal(crc32c_combine(head, tail, size - cut), whole);
    }
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),           cmocka_unit_test(test_small_sizes),
        cmocka_unit_test(test_random_sizes),           cmocka_unit_test(test_borders),
        cmocka_unit_test(test_continues_and_combines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
