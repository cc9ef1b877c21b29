/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers survive the way to bytes and back; truncated and over-long varints are refused. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_big_endian(void **state)
{
    uint8_t bytes[9] = {0};
    (void)state;
    be64_store(bytes + 1, 0x0102030405060708U);
    for (uint8_t i = 0; i < 9; i++) {
        assert_int_equal(bytes[i], i);
    }
    assert_true(be64_load(bytes + 1) == 0x0102030405060708U);
    assert_int_equal(be32_load(bytes + 1), 0x01020304);
    assert_int_equal(be16_load(bytes + 1), 0x0102);
    be32_store(bytes, 0xfffefdfcU);
    be16_store(bytes + 4, 0x8001);
    assert_int_equal(bytes[0], 0xff);
    assert_int_equal(bytes[3], 0xfc);
    assert_int_equal(bytes[4], 0x80);
    assert_int_equal(bytes[5], 0x01);
}

/* Every value around each power of two makes the round trip in the size that was announced. */
static void test_uvarint_round_trip(void **state)
{
    uint8_t bytes[UVARINT64_SIZE_MAX];
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t delta = 0; delta < 3; delta++) {
            const uint64_t value = (UINT64_C(1) << bit) + delta - 1;
            uint64_t read = 1;
            const uint8_t *end = uvarint64_write(bytes, value);
            assert_int_equal(end - bytes, uvarint64_size(value));
            assert_ptr_equal(uvarint64_read(bytes, end, &read), end);
            assert_true(read == value);
            assert_null(uvarint64_read(bytes, end - 1, &read));
            if (value <= UINT32_MAX) {
                uint32_t read32 = 1;
                assert_int_equal(uvarint32_size((uint32_t)value), end - bytes);
                assert_ptr_equal(uvarint32_write(bytes, (uint32_t)value), end);
                assert_ptr_equal(uvarint32_read(bytes, bytes + sizeof(bytes), &read32), end);
                assert_int_equal(read32, value);
                assert_null(uvarint32_read(bytes, end - 1, &read32));
            }
        }
    }
}

static void test_uvarint_refuses_what_does_not_fit(void **state)
{
    static const uint8_t six[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    static const uint8_t bit33[] = {0x80, 0x80, 0x80, 0x80, 0x10};
    static const uint8_t eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0};
    static const uint8_t bit65[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02};
    uint32_t value32 = 42;
    uint64_t value64 = 42;
    (void)state;
    assert_null(uvarint32_read(six, six + sizeof(six), &value32));
    assert_null(uvarint32_read(bit33, bit33 + sizeof(bit33), &value32));
    assert_null(uvarint32_read(six, six, &value32));
    assert_null(uvarint64_read(eleven, eleven + sizeof(eleven), &value64));
    assert_null(uvarint64_read(bit65, bit65 + sizeof(bit65), &value64));
    assert_int_equal(value32, 42);
    assert_int_equal(value64, 42);
}

/* Superfluous zero groups are no error: Kafka accepts them. */
static void test_uvarint_accepts_padding(void **state)
{
    static const uint8_t padded[] = {0x81, 0x80, 0x80, 0x80, 0x00};
    uint32_t value = 0;
    (void)state;
    assert_ptr_equal(uvarint32_read(padded, padded + 5, &value), padded + 5);
    assert_int_equal(value, 1);
}

static void test_zigzag(void **state)
{
    static const int32_t values[] = {0, -1, 1, -2, 2, 63, -64, 64, -65, INT32_MAX, INT32_MIN};
    uint8_t bytes[UVARINT64_SIZE_MAX];
    (void)state;
    assert_int_equal(zigzag32_encode(-1), 1);
    assert_int_equal(zigzag32_encode(1), 2);
    assert_int_equal(zigzag64_encode(INT64_MIN), UINT64_MAX);
    assert_true(zigzag64_decode(UINT64_MAX) == INT64_MIN);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        int32_t narrow = 7;
        int64_t wide = 7;
        const uint8_t *end = uvarint32_write(bytes, zigzag32_encode(values[i]));
        assert_ptr_equal(varint_read(bytes, end, &narrow), end);
        assert_int_equal(narrow, values[i]);
        assert_ptr_equal(varlong_read(bytes, end, &wide), end);
        assert_int_equal(wide, values[i]);
        assert_null(varint_read(bytes, end - 1, &narrow));
    }
}

static void test_size_add(void **state)
{
    size_t sum = 5;
    (void)state;
    assert_false(size_add(SIZE_MAX, 1, &sum));
    assert_int_equal(sum, 5);
    assert_true(size_add(SIZE_MAX - 1, 1, &sum));
    assert_true(sum == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_big_endian),
        cmocka_unit_test(test_uvarint_round_trip),
        cmocka_unit_test(test_uvarint_refuses_what_does_not_fit),
        cmocka_unit_test(test_uvarint_accepts_padding),
        cmocka_unit_test(test_zigzag),
        cmocka_unit_test(test_size_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
