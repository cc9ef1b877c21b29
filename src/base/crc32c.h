/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* CRC-32C (Castagnoli), as in record batches v2 and producer snapshots. */

#include <stddef.h>
#include <stdint.h>

/* crc of the bytes before (0 for the first call); returns the finished CRC of all so far. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* Table version, which the fast one is tested against. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);
/* Of the concatenation A B from the CRCs of A and B. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, size_t size_b);
