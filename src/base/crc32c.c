/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways to the same number: the crc32 instruction of SSE4.2 in three interleaved streams, the
 * one of ARMv8, and tables (eight bytes a step). The processor is asked at each call: the answer
 * is one load of a word that libgcc (or the kernel's auxiliary vector) filled before main.
 */
#include "base/crc32c.h"

#include "base/bytes.h"
#include "base/crc32c_tables.inc"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

static uint64_t load64(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t state = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        const uint64_t word = load64(p) ^ state;
        state = 0;
        for (unsigned k = 0; k < 8; k++) {
            state ^= byte_tables[7 - k][word >> (8 * k) & 0xffU];
        }
    }
    for (; size > 0; size--, p++) {
        state = (state >> 8) ^ byte_tables[0][(state ^ *p) & 0xffU];
    }
    return ~state;
}

#if defined(__x86_64__)

enum {
    LONG_WORDS = 512,        /* of each stream: a join per 12 KiB costs about 1 % */
    SHORT_WORDS_MAX = 64,    /* of each stream: join_words reaches twice that */
    SPLIT_WORDS_MIN = 3 * 4, /* below, a join (about 15 cycles) costs more than it saves */
};

/* The state moved over the bits that factor stands for (x^(bits - 33)). */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t shift(uint64_t state,
                                                                      uint32_t factor)
{
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state),
                                                 _mm_cvtsi64_si128((long long)factor), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/*
 * Three times `words` words. The instruction takes three cycles but one can start in each, so three
 * independent streams cost what one does; then they are joined: the state of the first moves over
 * the two others, the second over the third.
 */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t
three_streams(uint64_t state, const uint8_t *p, size_t words, uint32_t over_one, uint32_t over_two)
{
    const uint8_t *end = p + 8 * words;
    uint64_t second = 0;
    uint64_t third = 0;
    for (; p < end; p += 8) {
        state = _mm_crc32_u64(state, load64(p));
        second = _mm_crc32_u64(second, load64(p + 8 * words));
        third = _mm_crc32_u64(third, load64(p + 16 * words));
    }
    return shift(state, over_two) ^ shift(second, over_one) ^ third;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_sse42(uint32_t crc,
                                                                      const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t state = (uint32_t)~crc;
    for (; size >= (size_t)3 * 8 * LONG_WORDS; size -= (size_t)3 * 8 * LONG_WORDS) {
        state = three_streams(state, p, LONG_WORDS, join_long[0], join_long[1]);
        p += (size_t)3 * 8 * LONG_WORDS;
    }
    while (size >= (size_t)8 * SPLIT_WORDS_MIN) {
        const size_t third = size / 24;
        const size_t words = third < SHORT_WORDS_MAX ? third : SHORT_WORDS_MAX;
        state = three_streams(state, p, words, join_words[words], join_words[2 * words]);
        p += 24 * words;
        size -= 24 * words;
    }
    for (; size >= 8; size -= 8, p += 8) {
        state = _mm_crc32_u64(state, load64(p));
    }
    uint32_t last = (uint32_t)state;
    if (size >= 4) {
        uint32_t word;
        memcpy(&word, p, sizeof(word));
        last = _mm_crc32_u32(last, word);
        p += 4;
        size -= 4;
    }
    for (; size > 0; size--, p++) {
        last = _mm_crc32_u8(last, *p);
    }
    return ~last;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    if (LIKELY(__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))) {
        return crc32c_sse42(crc, data, size);
    }
    return crc32c_portable(crc, data, size);
}

#elif defined(__aarch64__)

__attribute__((target("+crc"))) static uint32_t crc32c_armv8(uint32_t crc, const void *data,
                                                             size_t size)
{
    const uint8_t *p = data;
    uint32_t state = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        state = __crc32cd(state, load64(p));
    }
    for (; size > 0; size--, p++) {
        state = __crc32cb(state, *p);
    }
    return ~state;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    if (LIKELY((getauxval(AT_HWCAP) & HWCAP_CRC32) != 0)) {
        return crc32c_armv8(crc, data, size);
    }
    return crc32c_portable(crc, data, size);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_portable(crc, data, size);
}

#endif

/* The product of two polynomials, reduced. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; b != 0; b <<= 1) {
        if ((b & 0x80000000U) != 0) {
            product ^= a;
        }
        a = (a >> 1) ^ ((a & 1U) != 0 ? 0x82f63b78U : 0U);
    }
    return product;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b)
{
    for (unsigned k = 0; size_b != 0; k++, size_b >>= 1) {
        if ((size_b & 1U) != 0) {
            crc_a = multiply(crc_a, zero_bytes_powers[k]);
        }
    }
    return crc_a ^ crc_b;
}
