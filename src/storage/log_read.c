/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: from an offset to a range of a file. Any thread. */
#include "storage/log_private.h"
#include "storage/transaction_index.h"

enum {
    /* The end of the log that is taken to be in the page cache. */
    HOT_SIZE_BYTES = 64 * 1024 * 1024,
    READ_ATTEMPTS_MAX = 8, /* against segments that are deleted or truncated meanwhile */
};

/* What a read needs from the log, taken under the lock at one moment. */
struct read_view {
    struct segment *seg; /* a reference */
    int64_t size;        /* of the segment: all of it may be read, but for the limit */
    int64_t next_base;   /* of the next segment; -1: this is the active one */
    int64_t limit;       /* nothing at or above is read */
    int64_t generation;
    struct log_limit_place limit_place;
    int64_t start_position; /* of the offset to be read; -1: to be looked for */
    bool is_cold;
};

static int64_t load_limit(const struct log *log, enum read_limit limit)
{
    switch (limit) {
    case READ_TO_HIGH_WATERMARK:
        return offset_load(&log->high_watermark);
    case READ_TO_LAST_STABLE:
        return offset_load(&log->last_stable);
    case READ_TO_END:
        break;
    }
    return offset_load(&log->end);
}

/* Lock: held. */
static bool is_far_from_end(const struct log *log, uint32_t index)
{
    int64_t behind = 0;
    for (uint32_t i = index + 1; i < log->segment_count && behind < HOT_SIZE_BYTES; i++) {
        behind += log->segments[i]->size;
    }
    return behind >= HOT_SIZE_BYTES;
}

void log_forget_places(struct log *log)
{
    for (int i = 0; i <= READ_TO_LAST_STABLE; i++) {
        log->limits[i].offset = -1;
    }
    for (int i = 0; i < LOG_RECENT_WRITE_COUNT; i++) {
        log->recent_writes[i].offset = -1;
    }
}

/* Position of the first batch at or above the offset, if a recent write began with it. Lock: held.
 */
static int64_t find_recent_write(const struct log *log, const struct segment *seg, int64_t offset)
{
    for (int i = 0; i < LOG_RECENT_WRITE_COUNT; i++) {
        const struct log_limit_place *place = &log->recent_writes[i];
        if (place->offset == offset && place->segment_base_offset == seg->base_offset) {
            return place->position;
        }
    }
    return -1;
}

/* Lock: held. */
static void take_view(struct log *log, uint32_t index, const struct log_read *read,
                      struct read_view *ret_view)
{
    const enum read_limit limit = read->limit;
    struct segment *seg = log->segments[index];
    *ret_view = (struct read_view){
        .seg = segment_ref(seg),
        .size = seg->size,
        .next_base = index + 1 < log->segment_count ? log->segments[index + 1]->base_offset : -1,
        .limit = load_limit(log, limit),
        .generation = log->generation,
        .limit_place = log->limits[limit],
        .start_position = find_recent_write(log, seg, read->offset),
        .is_cold = is_far_from_end(log, index),
    };
    /* At the end of the log no search is needed: it is the size of the active segment. */
    if (ret_view->limit == offset_load(&log->end) && ret_view->next_base < 0) {
        ret_view->limit_place = (struct log_limit_place){.offset = ret_view->limit,
                                                         .segment_base_offset = seg->base_offset,
                                                         .position = seg->size};
    }
}

/* Up to which position of the segment may be read. */
static enum error find_max_position(struct log *log, struct read_view *view, struct file *file,
                                    enum read_limit limit, int64_t *ret_position)
{
    if (view->next_base >= 0 && view->limit >= view->next_base) {
        *ret_position = view->size;
        return E_OK;
    }
    if (view->limit_place.offset == view->limit &&
        view->limit_place.segment_base_offset == view->seg->base_offset) {
        *ret_position = view->limit_place.position;
        return E_OK;
    }
    struct segment_place place;
    const enum error error =
        segment_locate(&log->home, view->seg, file, view->limit, view->size, &place);
    if (error != E_OK) {
        return error;
    }
    pthread_mutex_lock(&log->home.lock);
    if (log->generation == view->generation && log->limits[limit].offset < view->limit) {
        log->limits[limit] = (struct log_limit_place){.offset = view->limit,
                                                      .segment_base_offset = view->seg->base_offset,
                                                      .position = place.position};
    }
    pthread_mutex_unlock(&log->home.lock);
    *ret_position = place.position;
    return E_OK;
}

static bool is_cursor_at(const struct log_cursor *cursor, const struct read_view *view,
                         int64_t offset)
{
    return cursor != NULL && cursor->offset == offset && cursor->generation == view->generation &&
           cursor->segment_base_offset == view->seg->base_offset;
}

/* How many bytes are given: at most size_max, but the first batch whole when it is asked for. */
static enum error limit_size(struct file *file, const struct log_read *read, int64_t available,
                             int64_t first_size, size_t *ret_size)
{
    if (available <= 0) {
        *ret_size = 0;
        return E_OK;
    }
    if ((int64_t)read->size_max >= available) {
        *ret_size = (size_t)available;
        return E_OK;
    }
    int64_t wanted = (int64_t)read->size_max;
    if (read->at_least_one_batch) {
        if (first_size == 0) {
            uint8_t prefix[BATCH_PREFIX_SIZE];
            size_t got;
            const enum error error =
                file->vfs->read(file, read->position, prefix, sizeof(prefix), &got);
            if (error != E_OK) {
                return error;
            }
            first_size = got == sizeof(prefix) ? batch_size(prefix) : 0;
        }
        wanted = wanted < first_size ? first_size : wanted;
    }
    *ret_size = (size_t)(wanted < available ? wanted : available);
    return E_OK;
}

static void remember(struct log_cursor *cursor, const struct read_view *view, int64_t position,
                     bool is_whole)
{
    if (cursor == NULL) {
        return;
    }
    cursor->offset = is_whole ? view->limit : -1;
    cursor->segment_base_offset = view->seg->base_offset;
    cursor->position = position;
    cursor->generation = view->generation;
}

/*
 * Reads from one segment. *ret_is_passed: it has nothing at or above the offset (compaction, or
 * the offset is the next segment's): go on with the next one.
 */
static enum error read_segment(struct log *log, struct log_read *read, struct read_view *view,
                               bool *ret_is_passed)
{
    struct file *file;
    enum error error = segment_get_file(&log->home, view->seg, &file);
    if (error != E_OK) {
        return error;
    }
    struct segment_place place = {.position = -1};
    int64_t max_position = 0;
    *ret_is_passed = false;
    if (is_cursor_at(read->cursor, view, read->offset)) {
        place.position = read->cursor->position;
    } else if (view->start_position >= 0) {
        place.position = view->start_position;
    } else {
        error = segment_locate(&log->home, view->seg, file, read->offset, view->size, &place);
    }
    if (error == E_OK) {
        error = find_max_position(log, view, file, read->limit, &max_position);
    }
    if (error == E_OK && place.position >= view->size && view->next_base >= 0) {
        *ret_is_passed = true;
    } else if (error == E_OK) {
        read->position = place.position;
        error = limit_size(file, read, max_position - place.position, place.size, &read->size);
    }
    if (error == E_OK && read->size > 0) {
        const int64_t end = read->position + (int64_t)read->size;
        const bool is_whole =
            end == max_position && (view->next_base < 0 || view->limit < view->next_base);
        remember(read->cursor, view, end, is_whole);
        read->file = file_ref(file);
        read->is_cold = view->is_cold;
    }
    file_unref(file);
    return error;
}

static enum error read_once(struct log *log, struct log_read *read)
{
    int64_t segment_offset = read->offset;
    for (;;) {
        struct read_view view;
        pthread_mutex_lock(&log->home.lock);
        if (read->offset < offset_load(&log->log_start) || read->offset > offset_load(&log->end)) {
            pthread_mutex_unlock(&log->home.lock);
            return E_OFFSET_OUT_OF_RANGE;
        }
        take_view(log, log_find_segment(log, segment_offset), read, &view);
        pthread_mutex_unlock(&log->home.lock);
        bool is_passed = false;
        const enum error error =
            read->offset >= view.limit ? E_OK : read_segment(log, read, &view, &is_passed);
        segment_unref(view.seg);
        if (error != E_OK || !is_passed) {
            return error;
        }
        segment_offset = view.next_base;
    }
}

enum error log_read(struct log *log, struct log_read *read)
{
    read->file = NULL;
    read->position = 0;
    read->size = 0;
    read->is_cold = false;
    enum error error = E_OK;
    for (int i = 0; i < READ_ATTEMPTS_MAX; i++) {
        pthread_mutex_lock(&log->home.lock);
        const int64_t generation = log->generation;
        const int64_t start = offset_load(&log->log_start);
        pthread_mutex_unlock(&log->home.lock);
        error = read_once(log, read);
        if (error != E_LOCAL_NOT_FOUND && error != E_LOCAL_CORRUPT) {
            return error;
        }
        /* Was the segment deleted or cut under our hands? Then look again. */
        pthread_mutex_lock(&log->home.lock);
        const bool is_changed =
            generation != log->generation || start != offset_load(&log->log_start);
        pthread_mutex_unlock(&log->home.lock);
        if (!is_changed) {
            break;
        }
    }
    return error == E_LOCAL_NOT_FOUND ? E_KAFKA_STORAGE_ERROR : error;
}

/* --- aborted transactions --- */

struct aborted_list {
    struct arena *arena;
    struct aborted_transaction *items;
    size_t count;
    size_t capacity;
};

static enum error add_aborted(struct aborted_list *list, const struct aborted_entry *entry)
{
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        struct aborted_transaction *items =
            ARENA_NEW_ARRAY(list->arena, struct aborted_transaction, capacity);
        if (items == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct aborted_transaction){.producer_id = entry->producer_id,
                                                              .first_offset = entry->first_offset};
    return E_OK;
}

/* Entries of one segment that overlap [from, to). *ret_is_complete: later ones cannot (rule 32). */
static enum error collect_aborted(struct log *log, const struct segment *seg, int64_t from,
                                  int64_t to, struct aborted_list *list, bool *ret_is_complete)
{
    char path[LOG_PATH_SIZE_MAX];
    struct aborted_entry *entries;
    size_t count;
    segment_file_path(&log->home, seg, SEGMENT_FILE_TRANSACTION_INDEX, path);
    enum error error = transaction_index_read(log->env->vfs, path, list->arena, &entries, &count);
    for (size_t i = 0; error == E_OK && i < count; i++) {
        if (entries[i].last_offset >= from && entries[i].first_offset < to) {
            error = add_aborted(list, &entries[i]);
        }
        /* All that began before its last stable offset had ended by then. */
        *ret_is_complete = *ret_is_complete || entries[i].last_stable_offset >= to;
    }
    return error;
}

enum error log_aborted_transactions(struct log *log, int64_t from, int64_t to, struct arena *arena,
                                    struct aborted_transaction **ret_items, size_t *ret_count)
{
    struct aborted_list list = {.arena = arena};
    int64_t at = from;
    bool is_complete = false;
    enum error error = E_OK;
    while (error == E_OK && !is_complete) {
        pthread_mutex_lock(&log->home.lock);
        uint32_t index = log_find_segment(log, at);
        while (index < log->segment_count && log->segments[index]->transaction_index_size == 0) {
            index++;
        }
        struct segment *seg = index < log->segment_count ? segment_ref(log->segments[index]) : NULL;
        const int64_t next_base =
            index + 1 < log->segment_count ? log->segments[index + 1]->base_offset : -1;
        pthread_mutex_unlock(&log->home.lock);
        if (seg == NULL) {
            break;
        }
        error = collect_aborted(log, seg, from, to, &list, &is_complete);
        segment_unref(seg);
        if (next_base < 0) {
            break;
        }
        at = next_base;
    }
    if (error == E_OK) {
        *ret_items = list.items;
        *ret_count = list.count;
    }
    return error;
}
