/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/segment.h"

#include <stdlib.h>

#include "base/bytes.h"

static void segment_destroy(struct shared *shared)
{
    struct segment *seg = container_of(shared, struct segment, shared);
    check(seg->slot.file == NULL);
    sparse_index_done(&seg->offset_index);
    sparse_index_done(&seg->time_index);
    free(seg);
}

enum error segment_new(int64_t base_offset, int64_t now_ms, struct segment **ret_segment)
{
    struct segment *seg = malloc(sizeof(*seg));
    if (seg == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    *seg = (struct segment){
        .base_offset = base_offset,
        .created_ms = now_ms,
        .first_timestamp = NO_TIMESTAMP,
        .max_timestamp = NO_TIMESTAMP,
        .max_timestamp_offset = -1,
        .time_index_last = NO_TIMESTAMP,
    };
    shared_init(&seg->shared, segment_destroy);
    file_slot_init(&seg->slot);
    sparse_index_init(&seg->offset_index, OFFSET_INDEX_ENTRY_SIZE);
    sparse_index_init(&seg->time_index, TIME_INDEX_ENTRY_SIZE);
    *ret_segment = seg;
    return E_OK;
}

struct segment *segment_unref(struct segment *seg)
{
    if (seg != NULL) {
        shared_unref(&seg->shared);
    }
    return NULL;
}

void segment_file_path(const struct segment_home *home, const struct segment *seg,
                       enum segment_file_kind kind, char *path)
{
    segment_path(path, home->path,
                 (struct segment_name){.base_offset = seg->base_offset, .kind = kind});
}

enum error segment_create_file(struct segment_home *home, struct segment *seg)
{
    char path[LOG_PATH_SIZE_MAX];
    struct file *file;
    segment_file_path(home, seg, SEGMENT_FILE_LOG, path);
    const enum error error =
        home->vfs->open(home->vfs, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (error == E_OK) {
        file_cache_put(home->files, &seg->slot, file);
    }
    return error;
}

__attribute__((noinline)) static enum error open_file(struct segment_home *home,
                                                      struct segment *seg, struct file **ret_file)
{
    char path[LOG_PATH_SIZE_MAX];
    segment_file_path(home, seg, SEGMENT_FILE_LOG, path);
    return file_cache_get(home->files, &seg->slot, path, ret_file);
}

enum error segment_get_file(struct segment_home *home, struct segment *seg, struct file **ret_file)
{
    struct file *file = file_cache_find(home->files, &seg->slot);
    if (UNLIKELY(file == NULL)) {
        return open_file(home, seg, ret_file);
    }
    *ret_file = file;
    return E_OK;
}

void segment_close_file(struct segment_home *home, struct segment *seg)
{
    file_cache_close(home->files, &seg->slot);
}

void segment_set_dirty(struct segment_home *home, struct segment *seg, bool is_dirty)
{
    if (seg->is_dirty != is_dirty) {
        seg->is_dirty = is_dirty;
        file_cache_pin(home->files, &seg->slot, is_dirty);
    }
}

/* --- indexes --- */

/* Kafka's rule: only a timestamp above the last entry's makes an entry. */
static void append_time_entry(struct segment *seg)
{
    if (seg->max_timestamp <= seg->time_index_last) {
        return;
    }
    uint8_t entry[TIME_INDEX_ENTRY_SIZE];
    be64_store(entry, (uint64_t)seg->max_timestamp);
    be32_store(entry + 8, (uint32_t)(seg->max_timestamp_offset - seg->base_offset));
    sparse_index_append(&seg->time_index, entry);
    seg->time_index_last = seg->max_timestamp;
}

void segment_index_batch(struct segment *seg, const struct index_batch *batch,
                         int64_t index_interval_bytes)
{
    if (batch->max_timestamp > seg->max_timestamp) {
        seg->max_timestamp = batch->max_timestamp;
        seg->max_timestamp_offset = batch->last_offset;
    }
    if (batch->position == 0) {
        seg->first_timestamp = batch->max_timestamp;
    }
    if (seg->bytes_since_index_entry > index_interval_bytes) {
        uint8_t entry[OFFSET_INDEX_ENTRY_SIZE];
        be32_store(entry, (uint32_t)(batch->last_offset - seg->base_offset));
        be32_store(entry + 4, (uint32_t)batch->position);
        sparse_index_append(&seg->offset_index, entry);
        append_time_entry(seg);
        seg->bytes_since_index_entry = 0;
    }
    seg->bytes_since_index_entry += batch->size;
}

enum error segment_write_indexes(struct segment_home *home, struct segment *seg)
{
    char path[LOG_PATH_SIZE_MAX];
    enum error error = segment_load_times(home, seg);
    if (error != E_OK) {
        return error;
    }
    pthread_mutex_lock(&home->lock);
    append_time_entry(seg);
    pthread_mutex_unlock(&home->lock);
    segment_file_path(home, seg, SEGMENT_FILE_OFFSET_INDEX, path);
    error = sparse_index_write(&seg->offset_index, home->vfs, path, &home->lock);
    if (error == E_OK) {
        segment_file_path(home, seg, SEGMENT_FILE_TIME_INDEX, path);
        error = sparse_index_write(&seg->time_index, home->vfs, path, &home->lock);
    }
    return error;
}

struct time_values {
    int64_t first_timestamp;
    int64_t max_timestamp;
    int64_t max_timestamp_offset;
    int64_t time_index_last;
};

static enum error read_first_timestamp(struct segment_home *home, struct segment *seg,
                                       int64_t *ret_timestamp)
{
    uint8_t buffer[SCAN_LOOKUP_BUFFER_SIZE];
    struct batch_scan scan;
    struct scanned_batch batch;
    struct file *file;
    enum error error = segment_get_file(home, seg, &file);
    if (error != E_OK) {
        return error;
    }
    batch_scan_init(&scan, file, 0, seg->size, SCAN_HEADERS);
    batch_scan_use_buffer(&scan, buffer, sizeof(buffer));
    error = batch_scan_next(&scan, &batch);
    file_unref(file);
    if (error == E_OK) {
        *ret_timestamp = batch.max_timestamp;
    }
    return error;
}

/* The last entry of the time index; nothing is changed when there is none. */
static enum error read_last_time(struct segment_home *home, struct segment *seg,
                                 struct time_values *values)
{
    const uint32_t count = sparse_index_count(&seg->time_index);
    if (count == 0) {
        return E_OK;
    }
    char path[LOG_PATH_SIZE_MAX];
    uint8_t entry[TIME_INDEX_ENTRY_SIZE];
    segment_file_path(home, seg, SEGMENT_FILE_TIME_INDEX, path);
    const enum error error = sparse_index_get(&seg->time_index, home->vfs, path, count - 1, entry);
    if (error == E_OK) {
        values->max_timestamp = (int64_t)be64_load(entry);
        values->max_timestamp_offset = seg->base_offset + (int32_t)be32_load(entry + 8);
        values->time_index_last = values->max_timestamp;
    }
    return error;
}

enum error segment_load_times(struct segment_home *home, struct segment *seg)
{
    if (seg->is_time_known) {
        return E_OK;
    }
    struct time_values values = {NO_TIMESTAMP, NO_TIMESTAMP, -1, NO_TIMESTAMP};
    enum error error = read_last_time(home, seg, &values);
    if (error == E_OK && seg->size > 0) {
        error = read_first_timestamp(home, seg, &values.first_timestamp);
    }
    if (error != E_OK) {
        return error;
    }
    pthread_mutex_lock(&home->lock);
    seg->first_timestamp = values.first_timestamp;
    seg->max_timestamp = values.max_timestamp;
    seg->max_timestamp_offset = values.max_timestamp_offset;
    seg->time_index_last = values.time_index_last;
    seg->is_time_known = true;
    pthread_mutex_unlock(&home->lock);
    return E_OK;
}

enum error segment_max_timestamp(struct segment_home *home, struct segment *seg,
                                 int64_t *ret_timestamp)
{
    pthread_mutex_lock(&home->lock);
    const bool is_known = seg->is_time_known;
    const int64_t timestamp = seg->max_timestamp;
    const uint32_t count = seg->time_index.disk_count; /* no tail while it is not known */
    pthread_mutex_unlock(&home->lock);
    if (is_known || count == 0) {
        *ret_timestamp = timestamp;
        return E_OK;
    }
    const struct sparse_index on_disk = {.disk_count = count, .entry_size = TIME_INDEX_ENTRY_SIZE};
    char path[LOG_PATH_SIZE_MAX];
    uint8_t entry[TIME_INDEX_ENTRY_SIZE];
    segment_file_path(home, seg, SEGMENT_FILE_TIME_INDEX, path);
    const enum error error = sparse_index_get(&on_disk, home->vfs, path, count - 1, entry);
    if (error == E_OK) {
        *ret_timestamp = (int64_t)be64_load(entry);
    }
    return error;
}

void segment_clear_indexes(struct segment *seg)
{
    sparse_index_clear(&seg->offset_index);
    sparse_index_clear(&seg->time_index);
    seg->first_timestamp = NO_TIMESTAMP;
    seg->max_timestamp = NO_TIMESTAMP;
    seg->max_timestamp_offset = -1;
    seg->time_index_last = NO_TIMESTAMP;
    seg->bytes_since_index_entry = 0;
    seg->is_time_known = true;
}

/* Entries of a file that Kafka preallocated end where the zeros begin: a valid entry behind the
 * first has a relative offset above 0. */
static bool adopt_index(struct segment_home *home, const struct segment *seg,
                        enum segment_file_kind kind, struct sparse_index *index)
{
    char path[LOG_PATH_SIZE_MAX];
    struct file_status status;
    segment_file_path(home, seg, kind, path);
    if (home->vfs->path_status(home->vfs, path, &status) != E_OK ||
        status.size % index->entry_size != 0 || status.size / index->entry_size > UINT32_MAX) {
        return false;
    }
    index->disk_count = (uint32_t)(status.size / index->entry_size);
    return true;
}

/* Whether the last entry of the offset index points into the segment. */
static bool is_offset_index_sound(struct segment_home *home, const struct segment *seg)
{
    const uint32_t count = seg->offset_index.disk_count;
    if (count == 0) {
        return true;
    }
    char path[LOG_PATH_SIZE_MAX];
    uint8_t entry[OFFSET_INDEX_ENTRY_SIZE];
    segment_file_path(home, seg, SEGMENT_FILE_OFFSET_INDEX, path);
    return sparse_index_get(&seg->offset_index, home->vfs, path, count - 1, entry) == E_OK &&
           (int32_t)be32_load(entry) > 0 && (int32_t)be32_load(entry + 4) > 0 &&
           (int32_t)be32_load(entry + 4) < seg->size;
}

static bool is_time_index_sound(struct segment_home *home, const struct segment *seg)
{
    const uint32_t count = seg->time_index.disk_count;
    if (count == 0) {
        return seg->size == 0; /* a closed segment with records has at least one entry */
    }
    char path[LOG_PATH_SIZE_MAX];
    uint8_t entry[TIME_INDEX_ENTRY_SIZE];
    segment_file_path(home, seg, SEGMENT_FILE_TIME_INDEX, path);
    return sparse_index_get(&seg->time_index, home->vfs, path, count - 1, entry) == E_OK &&
           (int64_t)be64_load(entry) >= 0 && (int32_t)be32_load(entry + 8) >= 0 &&
           ((int64_t)be64_load(entry) > 0 || count == 1);
}

bool segment_adopt_indexes(struct segment_home *home, struct segment *seg)
{
    if (adopt_index(home, seg, SEGMENT_FILE_OFFSET_INDEX, &seg->offset_index) &&
        adopt_index(home, seg, SEGMENT_FILE_TIME_INDEX, &seg->time_index) &&
        is_offset_index_sound(home, seg) && is_time_index_sound(home, seg)) {
        return true;
    }
    segment_clear_indexes(seg);
    return false;
}

/* --- lookup --- */

/* Under the lock for what is in memory, without it for what is in the file. */
static enum error search_index(struct segment_home *home, const struct segment *seg,
                               enum segment_file_kind kind, const struct sparse_index *index,
                               struct sparse_key key, uint32_t *ret_count, uint8_t *ret_entry)
{
    pthread_mutex_lock(&home->lock);
    const bool is_found = sparse_index_search_tail(index, key, ret_count, ret_entry);
    const struct sparse_index on_disk = {
        .disk_count = index->disk_count,
        .entry_size = index->entry_size,
    };
    pthread_mutex_unlock(&home->lock);
    if (is_found) {
        return E_OK;
    }
    if (on_disk.disk_count == 0) {
        *ret_count = 0;
        return E_OK;
    }
    char path[LOG_PATH_SIZE_MAX];
    segment_file_path(home, seg, kind, path);
    return sparse_index_search(&on_disk, home->vfs, path, key, ret_count, ret_entry);
}

enum error segment_lookup_offset(struct segment_home *home, struct segment *seg, int64_t offset,
                                 int64_t *ret_position)
{
    const struct sparse_key key = {.size = 4, .value = offset - seg->base_offset};
    uint8_t entry[SPARSE_ENTRY_SIZE_MAX];
    uint32_t count = 0;
    const enum error error =
        search_index(home, seg, SEGMENT_FILE_OFFSET_INDEX, &seg->offset_index, key, &count, entry);
    if (error == E_OK) {
        *ret_position = count == 0 ? 0 : (int32_t)be32_load(entry + 4);
    }
    return error;
}

enum error segment_lookup_time(struct segment_home *home, struct segment *seg, int64_t timestamp,
                               int64_t *ret_offset)
{
    /* The last entry below the timestamp: up to its offset, all records are older. */
    const struct sparse_key key = {.size = 8, .value = timestamp - 1};
    uint8_t entry[SPARSE_ENTRY_SIZE_MAX];
    uint32_t count = 0;
    const enum error error =
        search_index(home, seg, SEGMENT_FILE_TIME_INDEX, &seg->time_index, key, &count, entry);
    if (error == E_OK) {
        *ret_offset = seg->base_offset + (count == 0 ? 0 : (int32_t)be32_load(entry + 8));
    }
    return error;
}

/* Walks from position; used = whether position came from an index. */
static enum error walk_to(struct file *file, int64_t position, int64_t end, int64_t offset,
                          struct segment_place *ret_place)
{
    uint8_t buffer[SCAN_LOOKUP_BUFFER_SIZE];
    struct batch_scan scan;
    struct scanned_batch batch;
    batch_scan_init(&scan, file, position, end, SCAN_HEADERS);
    batch_scan_use_buffer(&scan, buffer, sizeof(buffer));
    enum error error;
    while ((error = batch_scan_next(&scan, &batch)) == E_OK) {
        if (batch.last_offset >= offset) {
            *ret_place = (struct segment_place){
                .position = batch.position, .size = batch.size, .base_offset = batch.base_offset};
            return E_OK;
        }
    }
    if (error == E_LOCAL_NOT_FOUND) {
        *ret_place = (struct segment_place){.position = end};
        return E_OK;
    }
    return error == E_LOCAL_TRUNCATED ? E_LOCAL_CORRUPT : error;
}

enum error segment_locate(struct segment_home *home, struct segment *seg, struct file *file,
                          int64_t offset, int64_t end, struct segment_place *ret_place)
{
    int64_t position = 0;
    enum error error = segment_lookup_offset(home, seg, offset, &position);
    if (error == E_OK && position < end) {
        error = walk_to(file, position, end, offset, ret_place);
        if (error != E_LOCAL_CORRUPT || position == 0) {
            return error;
        }
    }
    /* The index does not lead to a batch: it is a hint only. */
    return walk_to(file, 0, end, offset, ret_place);
}

/* --- truncation --- */

/* Entries of the offset index with a position below the cut. */
static enum error keep_offset_entries(struct segment_home *home, struct segment *seg,
                                      int64_t position)
{
    char path[LOG_PATH_SIZE_MAX];
    uint8_t entry[SPARSE_ENTRY_SIZE_MAX];
    uint32_t count = sparse_index_count(&seg->offset_index);
    segment_file_path(home, seg, SEGMENT_FILE_OFFSET_INDEX, path);
    for (; count > 0; count--) {
        const enum error error =
            sparse_index_get(&seg->offset_index, home->vfs, path, count - 1, entry);
        if (error != E_OK) {
            return error;
        }
        if ((int32_t)be32_load(entry + 4) < position) {
            break;
        }
    }
    pthread_mutex_lock(&home->lock);
    sparse_index_keep(&seg->offset_index, count);
    pthread_mutex_unlock(&home->lock);
    return E_OK;
}

static enum error keep_time_entries(struct segment_home *home, struct segment *seg, int64_t offset)
{
    char path[LOG_PATH_SIZE_MAX];
    uint8_t entry[SPARSE_ENTRY_SIZE_MAX];
    uint32_t count = sparse_index_count(&seg->time_index);
    segment_file_path(home, seg, SEGMENT_FILE_TIME_INDEX, path);
    for (; count > 0; count--) {
        const enum error error =
            sparse_index_get(&seg->time_index, home->vfs, path, count - 1, entry);
        if (error != E_OK) {
            return error;
        }
        if (seg->base_offset + (int32_t)be32_load(entry + 8) < offset) {
            break;
        }
    }
    pthread_mutex_lock(&home->lock);
    sparse_index_keep(&seg->time_index, count);
    pthread_mutex_unlock(&home->lock);
    return E_OK;
}

/* Times of what is left: the entries of the time index, and the batches behind the last one. */
static enum error reload_times(struct segment_home *home, struct segment *seg, struct file *file)
{
    uint8_t buffer[SCAN_LOOKUP_BUFFER_SIZE];
    struct time_values values = {NO_TIMESTAMP, NO_TIMESTAMP, -1, NO_TIMESTAMP};
    int64_t position = 0;
    int64_t first = 0;
    enum error error = read_last_time(home, seg, &values);
    if (error == E_OK && values.max_timestamp_offset >= 0) {
        error = segment_lookup_offset(home, seg, values.max_timestamp_offset, &position);
    }
    first = position;
    struct batch_scan scan;
    struct scanned_batch batch;
    batch_scan_init(&scan, file, position, seg->size, SCAN_HEADERS);
    batch_scan_use_buffer(&scan, buffer, sizeof(buffer));
    while (error == E_OK && (error = batch_scan_next(&scan, &batch)) == E_OK) {
        if (batch.max_timestamp > values.max_timestamp) {
            values.max_timestamp = batch.max_timestamp;
            values.max_timestamp_offset = batch.last_offset;
        }
    }
    error = error == E_LOCAL_NOT_FOUND ? E_OK : error;
    if (error == E_OK && seg->size > 0) {
        error = read_first_timestamp(home, seg, &values.first_timestamp);
    }
    if (error == E_OK) {
        pthread_mutex_lock(&home->lock);
        seg->first_timestamp = values.first_timestamp;
        seg->max_timestamp = values.max_timestamp;
        seg->max_timestamp_offset = values.max_timestamp_offset;
        seg->time_index_last = values.time_index_last;
        seg->bytes_since_index_entry = seg->size - first;
        seg->is_time_known = true;
        pthread_mutex_unlock(&home->lock);
    }
    return error;
}

enum error segment_truncate(struct segment_home *home, struct segment *seg, int64_t position,
                            int64_t offset)
{
    struct file *file;
    enum error error = segment_get_file(home, seg, &file);
    if (error != E_OK) {
        return error;
    }
    segment_set_dirty(home, seg, true);
    pthread_mutex_lock(&home->lock);
    seg->size = position;
    pthread_mutex_unlock(&home->lock);
    error = home->vfs->truncate(file, position);
    if (error == E_OK) {
        error = keep_offset_entries(home, seg, position);
    }
    if (error == E_OK) {
        error = keep_time_entries(home, seg, offset);
    }
    if (error == E_OK) {
        error = reload_times(home, seg, file);
    }
    file_unref(file);
    seg->allocated_size = 0;
    seg->written_back = seg->written_back < position ? seg->written_back : position;
    return error;
}
