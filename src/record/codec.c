/* SPDX-License-Identifier: Apache-2.0 */
#include "record/codec.h"

#include "base/check.h"

static const char *const codec_names[CODEC_COUNT] = {
    [CODEC_NONE] = "none", [CODEC_GZIP] = "gzip", [CODEC_SNAPPY] = "snappy",
    [CODEC_LZ4] = "lz4",   [CODEC_ZSTD] = "zstd",
};

const char *codec_name(enum codec codec)
{
    check((unsigned)codec < CODEC_COUNT);
    return codec_names[codec];
}

bool codec_parse(struct slice name, enum codec *ret_codec)
{
    if (slice_equal_string(name, "uncompressed")) {
        *ret_codec = CODEC_NONE;
        return true;
    }
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        if (slice_equal_string(name, codec_names[i])) {
            *ret_codec = (enum codec)i;
            return true;
        }
    }
    return false;
}
