/* SPDX-License-Identifier: Apache-2.0 */
/* Finding records by time: the time index leads near, batch headers nearer, records to the end. */
#include <stdlib.h>

#include "record/iterate.h"
#include "storage/log_private.h"

/* The segment at this place of the array, with a reference; NULL behind the last one. */
static struct segment *take_segment(struct log *log, uint32_t index, int64_t *ret_size)
{
    pthread_mutex_lock(&log->home.lock);
    struct segment *seg = index < log->segment_count ? segment_ref(log->segments[index]) : NULL;
    *ret_size = seg != NULL ? seg->size : 0;
    pthread_mutex_unlock(&log->home.lock);
    return seg;
}

/* Bytes of a whole batch, malloc'ed. */
static enum error read_batch(struct file *file, const struct scanned_batch *batch,
                             uint8_t **ret_bytes)
{
    uint8_t *bytes = malloc((size_t)batch->size);
    size_t got = 0;
    if (bytes == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    enum error error = file->vfs->read(file, batch->position, bytes, (size_t)batch->size, &got);
    if (error == E_OK && got != (size_t)batch->size) {
        error = E_LOCAL_CORRUPT;
    }
    if (error != E_OK) {
        free(bytes);
        return error;
    }
    *ret_bytes = bytes;
    return E_OK;
}

struct time_search {
    int64_t at;
    int64_t offset_min; /* records below do not count */
    int64_t offset_end; /* nor do these and those behind */
    bool is_max;        /* the first record with the batch's largest timestamp is wanted */
};

static enum error search_batch(struct file *file, const struct scanned_batch *batch,
                               const struct time_search *search, struct timestamp_offset *ret_found)
{
    uint8_t *bytes;
    struct inflate_scratch scratch = {0};
    struct record_time found = {.timestamp = -1, .offset = -1};
    enum error error = read_batch(file, batch, &bytes);
    if (error != E_OK) {
        return error;
    }
    const struct record_source source = {.batch = slice_of(bytes, (size_t)batch->size)};
    const struct record_time query = {.timestamp = search->at, .offset = search->offset_min};
    error = search->is_max ? batch_find_max_timestamp(&scratch, &source, &found)
                           : batch_find_timestamp(&scratch, &source, &query, &found);
    inflate_scratch_done(&scratch);
    free(bytes);
    if (error == E_OK && found.offset >= 0 && found.offset < search->offset_end) {
        *ret_found = (struct timestamp_offset){
            .timestamp = found.timestamp,
            .offset = found.offset,
            .leader_epoch =
                batch->magic >= 2 ? batch->header.partition_leader_epoch : NO_LEADER_EPOCH,
        };
    }
    return error;
}

/* The first fitting record of one segment; ret_found stays as it is when there is none. */
static enum error search_segment(struct log *log, struct segment *seg, int64_t size,
                                 const struct time_search *search,
                                 struct timestamp_offset *ret_found)
{
    int64_t offset = 0;
    int64_t position = 0;
    struct file *file;
    enum error error = segment_lookup_time(&log->home, seg, search->at, &offset);
    if (error == E_OK) {
        offset = offset < search->offset_min ? search->offset_min : offset;
        error = segment_lookup_offset(&log->home, seg, offset, &position);
    }
    if (error == E_OK) {
        error = segment_get_file(&log->home, seg, &file);
    }
    if (error != E_OK) {
        return error;
    }
    uint8_t buffer[SCAN_LOOKUP_BUFFER_SIZE];
    struct batch_scan scan;
    struct scanned_batch batch;
    batch_scan_init(&scan, file, position, size, SCAN_HEADERS);
    batch_scan_use_buffer(&scan, buffer, sizeof(buffer));
    while ((error = batch_scan_next(&scan, &batch)) == E_OK && ret_found->offset < 0) {
        if (batch.magic >= 2 && batch.base_offset >= search->offset_end) {
            break;
        }
        if (batch.max_timestamp >= search->at && batch.last_offset >= search->offset_min) {
            error = search_batch(file, &batch, search, ret_found);
            if (error != E_OK) {
                break;
            }
        }
    }
    file_unref(file);
    return error == E_LOCAL_NOT_FOUND ? E_OK : error;
}

static const struct timestamp_offset nothing = {
    .timestamp = -1, .offset = -1, .leader_epoch = NO_LEADER_EPOCH};

enum error log_find_timestamp(struct log *log, int64_t at, enum read_limit limit,
                              struct timestamp_offset *ret_found)
{
    struct timestamp_offset found = nothing;
    const struct time_search search = {
        .at = at,
        .offset_min = offset_load(&log->log_start),
        .offset_end = offset_load(limit == READ_TO_END              ? &log->end
                                  : limit == READ_TO_HIGH_WATERMARK ? &log->high_watermark
                                                                    : &log->last_stable),
    };
    enum error error = E_OK;
    for (uint32_t i = 0; error == E_OK && found.offset < 0; i++) {
        int64_t size;
        int64_t max_timestamp = NO_TIMESTAMP;
        struct segment *seg = take_segment(log, i, &size);
        if (seg == NULL || seg->base_offset >= search.offset_end) {
            segment_unref(seg);
            break;
        }
        error = segment_max_timestamp(&log->home, seg, &max_timestamp);
        if (error == E_OK && max_timestamp >= at) {
            error = search_segment(log, seg, size, &search, &found);
        }
        segment_unref(seg);
    }
    if (error == E_OK) {
        *ret_found = found;
    }
    return error;
}

/* The first segment with the largest timestamp. */
static enum error find_max_segment(struct log *log, uint32_t *ret_index, int64_t *ret_timestamp)
{
    int64_t size;
    struct segment *seg;
    enum error error = E_OK;
    *ret_timestamp = NO_TIMESTAMP;
    for (uint32_t i = 0; error == E_OK && (seg = take_segment(log, i, &size)) != NULL; i++) {
        int64_t timestamp = NO_TIMESTAMP;
        error = segment_max_timestamp(&log->home, seg, &timestamp);
        if (error == E_OK && timestamp > *ret_timestamp) {
            *ret_timestamp = timestamp;
            *ret_index = i;
        }
        segment_unref(seg);
    }
    return error;
}

enum error log_find_max_timestamp(struct log *log, struct timestamp_offset *ret_found)
{
    uint32_t index = 0;
    int64_t size;
    struct time_search search = {.offset_end = offset_load(&log->end), .is_max = true};
    struct timestamp_offset found = nothing;
    enum error error = find_max_segment(log, &index, &search.at);
    if (error == E_OK && search.at >= 0) {
        struct segment *seg = take_segment(log, index, &size);
        if (seg != NULL) {
            error = search_segment(log, seg, size, &search, &found);
            segment_unref(seg);
        }
    }
    if (error == E_OK) {
        *ret_found = found;
    }
    return error;
}
