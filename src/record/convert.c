/* SPDX-License-Identifier: Apache-2.0 */
#include "record/convert.h"

#include "record/iterate.h"

struct conversion {
    struct batch_builder *builder;
    struct inflate_scratch *scratch;
    size_t size_max;  /* inflated bytes of the whole set */
    enum codec codec; /* of the last compressed message */
    int64_t offset;   /* of the next record */
};

/* All records of one message, which may be a wrapper. */
static enum error convert_message(struct conversion *conversion, struct slice message)
{
    struct record_iterator it;
    struct record record;
    const struct record_source source = {
        .batch = message,
        .size_max = conversion->size_max,
        .check_crc = true,
        .ignore_offsets = true,
    };
    enum error error = record_iterator_open(&it, conversion->scratch, &source);
    if (error != E_OK) {
        return error;
    }
    enum error append_error = E_OK;
    while (append_error == E_OK && record_iterator_next(&it, &record)) {
        record.offset = conversion->offset;
        append_error = batch_builder_append(conversion->builder, &record);
        if (append_error == E_OK &&
            batch_builder_size(conversion->builder) > conversion->size_max) {
            append_error = E_INVALID_RECORD;
        }
        conversion->offset++;
    }
    error = record_iterator_close(&it);
    if (error == E_MESSAGE_TOO_LARGE) {
        error = E_INVALID_RECORD;
    }
    return append_error != E_OK ? append_error : error;
}

static enum error convert_all(struct conversion *conversion, struct slice records,
                              int32_t message_size_max)
{
    struct slice message;
    enum error error;
    while ((error = batch_next(&records, &message)) == E_OK) {
        if (batch_magic(message.data) > 1) {
            return E_INVALID_RECORD;
        }
        if (message.size > (size_t)message_size_max) {
            return E_MESSAGE_TOO_LARGE;
        }
        const uint8_t codec = message.data[MESSAGE_ATTRIBUTES] & BATCH_ATTRIBUTE_CODEC;
        error = convert_message(conversion, message);
        if (error != E_OK) {
            return error;
        }
        if (codec != CODEC_NONE) {
            conversion->codec = (enum codec)codec; /* decoded: is one of them */
        }
    }
    if (error == E_LOCAL_NOT_FOUND) {
        return conversion->offset == 0 ? E_INVALID_RECORD : E_OK;
    }
    return E_CORRUPT_MESSAGE; /* the last message is cut off, or there is none */
}

enum error message_set_convert(struct batch_builder *builder, struct inflate_scratch *scratch,
                               struct slice records, const struct convert_options *options,
                               struct slice *ret_batch)
{
    struct conversion conversion = {
        .builder = builder,
        .scratch = scratch,
        .size_max = inflate_size_max((size_t)options->size_max),
        .codec = CODEC_NONE,
    };
    const struct batch_header header = BATCH_HEADER_NONE;
    batch_builder_start(builder, &header,
                        options->keep_codec ? CODEC_LEVEL_DEFAULT : options->level);
    const enum error error = convert_all(&conversion, records, options->size_max);
    if (error != E_OK) {
        return error;
    }
    batch_builder_set_codec(builder, options->keep_codec ? conversion.codec : options->codec);
    return batch_builder_finish(builder, ret_batch);
}

/* Everything that the batch inflates to, window by window. */
static enum error copy_inflated(struct batch_builder *builder, struct inflate_stream *stream)
{
    for (;;) {
        enum error error = inflate_fill(stream, 1);
        if (error == E_CORRUPT_MESSAGE || error == E_MESSAGE_TOO_LARGE) {
            return E_INVALID_RECORD;
        }
        if (error != E_OK || inflate_available(stream) == 0) {
            return error;
        }
        error = batch_builder_append_encoded(builder,
                                             slice_of(stream->next, inflate_available(stream)));
        if (error != E_OK) {
            return error;
        }
        stream->next = stream->end;
    }
}

enum error batch_recompress(struct batch_builder *builder, struct inflate_scratch *scratch,
                            struct slice batch, const struct convert_options *options,
                            struct slice *ret_batch)
{
    struct batch_header header;
    struct inflate_stream stream;
    if (batch_header_decode(batch, &header) != E_OK) {
        return E_CORRUPT_MESSAGE;
    }
    const struct inflate_source source = {
        .codec = batch_header_codec(&header),
        .magic = 2,
        .bytes =
            slice_of(batch.data + RECORD_BATCH_HEADER_SIZE, header.size - RECORD_BATCH_HEADER_SIZE),
        .size_max = inflate_size_max((size_t)options->size_max),
    };
    enum error error = inflate_open(&stream, scratch, &source);
    if (error != E_OK) {
        return error == E_CORRUPT_MESSAGE ? E_INVALID_RECORD : error;
    }
    batch_builder_start_encoded(builder, &header, options->level);
    batch_builder_set_codec(builder, options->codec);
    error = copy_inflated(builder, &stream);
    inflate_close(&stream);
    return error != E_OK ? error : batch_builder_finish(builder, ret_batch);
}
