/* SPDX-License-Identifier: Apache-2.0 */
/* Appends whose bytes are not stored as they came: old message formats, and topics with a codec of
 * their own. Rare, and costly. */
#include "record/convert.h"
#include "storage/log_private.h"
#include "storage/log_writer.h"

static struct convert_options convert_options(const struct log_config *config)
{
    const bool keep_codec = config->compression == COMPRESSION_PRODUCER;
    return (struct convert_options){
        .size_max = config->message_size_bytes_max,
        .keep_codec = keep_codec,
        .codec = keep_codec ? CODEC_NONE : (enum codec)config->compression,
        .level = keep_codec ? CODEC_LEVEL_DEFAULT : config->compression_level,
    };
}

/* The builder's bytes are gone with its next batch: they move to the request's arena. */
static enum error adopt(struct append *append, struct slice batch)
{
    uint8_t *data =
        append->arena == NULL ? NULL : arena_alloc(append->arena, batch.size, sizeof(uint64_t));
    if (data == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    memcpy(data, batch.data, batch.size);
    append->data = data;
    append->size = batch.size;
    return E_OK;
}

enum error log_convert_old(struct log *log, struct append *append)
{
    const struct convert_options options = convert_options(&log->config);
    struct slice batch;
    const enum error error =
        message_set_convert(&log->env->writer->builder, append->scratch,
                            slice_of(append->data, append->size), &options, &batch);
    return error == E_OK ? adopt(append, batch) : error;
}

enum error log_recompress(struct log *log, struct append *append, struct batch_header *header)
{
    const struct convert_options options = convert_options(&log->config);
    struct slice batch;
    enum error error = batch_recompress(&log->env->writer->builder, append->scratch,
                                        slice_of(append->data, append->size), &options, &batch);
    if (error == E_OK && batch.size > (size_t)options.size_max) {
        error = E_MESSAGE_TOO_LARGE;
    }
    if (error == E_OK) {
        error = adopt(append, batch);
    }
    return error == E_OK ? batch_header_decode(batch, header) : error;
}
