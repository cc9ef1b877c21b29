/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The LZ4 frame header as clients up to 0.9 wrote it: its checksum byte was computed over the
 * frame's magic number too (KAFKA-3160, KIP-57). Magic 0 keeps that for ever, so readers ignore
 * the checksum there. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { LZ4_FRAME_HEADER_SIZE_MAX = 19 };

/* Copies the header of frame with the right checksum; returns its size, 0: that is no frame. */
size_t lz4_frame_header_repair(struct slice frame, uint8_t header[LZ4_FRAME_HEADER_SIZE_MAX]);

/* Sets the checksum that old clients wrote, in place. frame holds a whole header. For tests and
 * for building messages of magic 0. */
void lz4_frame_header_break(uint8_t *frame, size_t size);

/* Whether every block stands alone, as Kafka's Java reader demands. */
bool lz4_frame_is_independent(struct slice frame);
