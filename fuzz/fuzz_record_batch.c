/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and message sets from outside, with a CRC that a hostile producer would have computed:
 * what validation accepts is read to its end by the iterator and survives another codec; nothing
 * reads beyond the end or inflates beyond the limit. */
#include <stdlib.h>

#include "record/convert.h"
#include "record/iterate.h"
#include "record/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_BYTES = 65536 };

struct tools {
    struct inflate_scratch scratch;
    struct batch_builder builder;
};

static int64_t iterate(struct tools *tools, struct slice batch, enum error *ret_error)
{
    struct record_iterator it;
    struct record record;
    int64_t count = 0;
    const struct record_source source = {.batch = batch,
                                         .size_max = inflate_size_max(SIZE_MAX_BYTES)};
    *ret_error = record_iterator_open(&it, &tools->scratch, &source);
    if (*ret_error != E_OK) {
        return 0;
    }
    while (record_iterator_next(&it, &record)) {
        struct record_header header;
        int32_t header_count = 0;
        while (record_header_next(&record.headers, &header)) {
            header_count++;
        }
        check_cmp(header_count, ==, record.header_count);
        count++;
    }
    *ret_error = record_iterator_close(&it);
    return count;
}

static void try_validate(struct tools *tools, struct slice batch)
{
    struct record_report report;
    struct slice again;
    enum error error;
    const struct record_rules rules = {.now_ms = 1700000000000,
                                       .timestamp_before_max_ms = INT64_MAX,
                                       .timestamp_after_max_ms = 3600000,
                                       .size_max = SIZE_MAX_BYTES,
                                       .inflate = true,
                                       .allow_control = true,
                                       .allow_zstd = true};
    if (record_validate(batch, &rules, &tools->scratch, &report) != E_OK) {
        return;
    }
    const int64_t count = iterate(tools, batch, &error);
    check_cmp(error, ==, E_OK);
    check_cmp(count, ==, report.header.count);
    const struct convert_options options = {
        .size_max = SIZE_MAX_BYTES, .codec = CODEC_NONE, .level = CODEC_LEVEL_DEFAULT};
    error = batch_recompress(&tools->builder, &tools->scratch, batch, &options, &again);
    check_cmp(error, ==, E_OK);
    check_cmp(iterate(tools, again, &error), ==, count);
}

static void try_convert(struct tools *tools, struct slice bytes)
{
    struct slice batch;
    enum error error;
    const struct convert_options options = {
        .size_max = SIZE_MAX_BYTES, .keep_codec = true, .level = CODEC_LEVEL_DEFAULT};
    if (message_set_convert(&tools->builder, &tools->scratch, bytes, &options, &batch) == E_OK) {
        check_cmp(iterate(tools, batch, &error), ==, batch_count(batch.data));
        check_cmp(error, ==, E_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tools tools = {0};
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, size);
    struct slice rest = slice_of(copy, size);
    struct slice batch;
    enum error error;
    try_convert(&tools, rest);
    while (batch_next(&rest, &batch) == E_OK) {
        (void)iterate(&tools, batch, &error);
        if (batch_magic(batch.data) == 2 && batch.size >= RECORD_BATCH_HEADER_SIZE) {
            batch_set_crc(copy + (batch.data - copy));
            try_validate(&tools, batch);
        }
    }
    inflate_scratch_done(&tools.scratch);
    batch_builder_done(&tools.builder);
    free(copy);
    return 0;
}
