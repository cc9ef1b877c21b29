/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The compression codecs of record batches: their numbers in the attributes and their names in
 * configuration ("compression.type"). Source: KIP-98, KIP-110 (zstd). */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum codec {
    CODEC_NONE = 0,
    CODEC_GZIP = 1,
    CODEC_SNAPPY = 2,
    CODEC_LZ4 = 3,
    CODEC_ZSTD = 4,
};

enum {
    CODEC_COUNT = 5,
    /* Each codec's own default, as compression.{gzip,lz4,zstd}.level are in Kafka: -1, 9, 3. */
    CODEC_LEVEL_DEFAULT = INT32_MIN,
};

/* "none", "gzip", "snappy", "lz4", "zstd". */
const char *codec_name(enum codec codec);
/* Of a codec's name; "uncompressed" is none as well. false when there is no such codec. */
bool codec_parse(struct slice name, enum codec *ret_codec);
