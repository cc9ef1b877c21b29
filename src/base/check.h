/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Assertions that stay on in release builds: a broken invariant stops the broker before it can
 * harm data. Never for bytes from outside (network, disk, config): those return an error.
 */

#include <stdint.h>

#define NODISCARD __attribute__((warn_unused_result))
#define NORETURN  __attribute__((noreturn))
#define PRINTF_LIKE(format_index, first_index)                                                     \
    __attribute__((format(printf, format_index, first_index)))
#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Prints the condition, the place and both values to stderr and aborts. Async-signal-safe. */
NORETURN void check_failed(const char *condition, const char *file, int line, const char *function);
NORETURN void check_failed_values(const char *condition, int64_t left, int64_t right,
                                  const char *file, int line, const char *function);

/* One condition per check; evaluates cond exactly once. */
#define check(cond) (LIKELY(cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__, __func__))

/* check(left op right) which prints both integers; evaluates each once. */
#define check_cmp(left, op, right)                                                                 \
    check_cmp_values((int64_t)(left), (int64_t)(right), op, #left " " #op " " #right)
#define check_cmp_values(l, r, op, text)                                                           \
    do {                                                                                           \
        const int64_t check_left = (l);                                                            \
        const int64_t check_right = (r);                                                           \
        if (UNLIKELY(!(check_left op check_right))) {                                              \
            check_failed_values(text, check_left, check_right, __FILE__, __LINE__, __func__);      \
        }                                                                                          \
    } while (0)

/* Too costly for release builds: on in debug, sanitizer and simulation builds (-DOTTLA_CHECK_SLOW).
 */
#ifdef OTTLA_CHECK_SLOW
#define check_slow(cond) check(cond)
#else
#define check_slow(cond) ((void)sizeof(cond))
#endif
