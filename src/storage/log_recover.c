/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After an unclean stop: what of the log can be trusted (reliability rules 47-49).
 *
 * Segments that end below the recovery point were flushed: their indexes are looked at, not their
 * batches. From the recovery point on every batch is checked, and indexes, leader epochs, producer
 * state and transaction indexes are made again from what is there. At the first bad batch:
 *
 *   below the recovery point or the high watermark   damage of what was promised: E_LOCAL_CORRUPT
 *   a valid batch behind it, page cache intact       not a torn tail: E_LOCAL_CORRUPT
 *   otherwise                                        an unflushed tail: cut, with what follows
 *
 * After a restart of the machine a hole before a valid batch is what unordered write-back leaves
 * of an unflushed tail, so there the second case does not apply.
 *
 * One pass checks and derives, in memory; the log's own files change only after the verdict. Every
 * step can be repeated after another crash, and the recovery point does not rise (rule 44).
 */
#include <stdlib.h>
#include <string.h>

#include "storage/log_private.h"

enum { SNAPSHOT_LISTING_SIZE_MAX = 256 * 1024 * 1024 };

/* --- producers --- */

enum error log_write_snapshot(struct log *log, int64_t offset)
{
    char path[LOG_PATH_SIZE_MAX];
    segment_path(path, log->home.path,
                 (struct segment_name){.base_offset = offset, .kind = SEGMENT_FILE_SNAPSHOT});
    log->has_new_files = true;
    return producer_snapshot_write(&log->producers, log->env->vfs, path);
}

/* Producers and transactions of a batch that is in the log. *ret_is_aborted: it was the marker of
 * an aborted transaction, and *ret_entry is due in the index. */
static enum error replay_batch(struct log *log, const struct scanned_batch *batch,
                               bool *ret_is_aborted, struct aborted_entry *ret_entry)
{
    const struct batch_header *header = &batch->header;
    *ret_is_aborted = false;
    if (batch->magic < 2 || header->producer_id < 0) {
        return E_OK;
    }
    struct transaction_marker marker;
    const bool is_control = (header->attributes & BATCH_ATTRIBUTE_CONTROL) != 0;
    const bool is_marker = log_batch_marker(header, batch->body, header->size, &marker);
    if (is_control && !is_marker) {
        return E_OK;
    }
    const struct producer_append change = {
        .header = header,
        .marker = is_marker ? &marker : NULL,
        .origin = APPEND_FROM_LEADER,
        .now_ms = log_now_ms(log),
    };
    bool is_completed;
    struct completed_transaction completed;
    const enum error error =
        producer_state_replay(&log->producers, &change, &is_completed, &completed);
    if (error == E_OK && is_completed && completed.is_aborted) {
        *ret_entry = log_aborted_entry(log, &completed);
        *ret_is_aborted = true;
    }
    return error;
}

/* Snapshot offsets of the directory, sorted; in the arena. */
static int compare_newest_first(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return left > right ? -1 : left < right;
}

static enum error list_snapshots(struct log *log, struct arena *arena, int64_t **ret_offsets,
                                 size_t *ret_count)
{
    struct directory_entry *entries;
    size_t entry_count;
    enum error error =
        log->env->vfs->list(log->env->vfs, log->home.path, arena, &entries, &entry_count);
    if (error != E_OK) {
        return error;
    }
    int64_t *offsets = ARENA_NEW_ARRAY(arena, int64_t, entry_count);
    if (offsets == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t count = 0;
    for (size_t i = 0; i < entry_count; i++) {
        struct segment_name name;
        if (segment_name_parse(entries[i].name, &name) && name.kind == SEGMENT_FILE_SNAPSHOT &&
            name.state == SEGMENT_FILE_LIVE) {
            offsets[count++] = name.base_offset;
        }
    }
    qsort(offsets, count, sizeof(*offsets), compare_newest_first);
    *ret_offsets = offsets;
    *ret_count = count;
    return E_OK;
}

static void unlink_snapshot(struct log *log, int64_t offset)
{
    char path[LOG_PATH_SIZE_MAX];
    segment_path(path, log->home.path,
                 (struct segment_name){.base_offset = offset, .kind = SEGMENT_FILE_SNAPSHOT});
    (void)log->env->vfs->unlink(log->env->vfs, path); /* one that stays is dropped next time */
}

void log_drop_snapshots_above(struct log *log, int64_t offset)
{
    struct arena arena;
    int64_t *offsets;
    size_t count;
    arena_init(&arena, SNAPSHOT_LISTING_SIZE_MAX);
    if (list_snapshots(log, &arena, &offsets, &count) == E_OK) {
        for (size_t i = 0; i < count && offsets[i] > offset; i++) {
            unlink_snapshot(log, offsets[i]);
        }
    }
    arena_done(&arena);
}

/* The newest good snapshot at or below end. *ret_offset: its offset, -1 when there is none. */
static enum error load_snapshot(struct log *log, int64_t end, int64_t *ret_offset)
{
    struct arena arena;
    int64_t *offsets;
    size_t count;
    arena_init(&arena, SNAPSHOT_LISTING_SIZE_MAX);
    enum error error = list_snapshots(log, &arena, &offsets, &count);
    *ret_offset = -1;
    for (size_t i = 0; error == E_OK && *ret_offset < 0 && i < count; i++) {
        if (offsets[i] > end) {
            continue;
        }
        char path[LOG_PATH_SIZE_MAX];
        segment_path(
            path, log->home.path,
            (struct segment_name){.base_offset = offsets[i], .kind = SEGMENT_FILE_SNAPSHOT});
        error = producer_snapshot_read(&log->producers, log->env->vfs, path, log_now_ms(log));
        if (error == E_OK) {
            *ret_offset = offsets[i];
        } else if (error == E_LOCAL_CORRUPT) {
            unlink_snapshot(log, offsets[i]); /* rule 28: the next older one and replay */
            error = E_OK;
        }
    }
    arena_done(&arena);
    return error;
}

typedef enum error (*visit_fn)(struct log *log, struct segment *seg,
                               const struct scanned_batch *batch);

/* Headers of the batches of one segment with last offset in [from, to). */
static enum error visit_segment(struct log *log, struct segment *seg, int64_t from, int64_t to,
                                visit_fn visit)
{
    struct file *file;
    struct segment_place place = {0};
    enum error error = segment_get_file(&log->home, seg, &file);
    if (error != E_OK) {
        return error;
    }
    if (from > seg->base_offset) {
        error = segment_locate(&log->home, seg, file, from, seg->size, &place);
    }
    uint8_t *buffer = scan_buffer_new(SCAN_HEADERS_BUFFER_SIZE);
    if (buffer == NULL) {
        error = E_LOCAL_NO_MEMORY;
    }
    if (error == E_OK) {
        struct batch_scan scan;
        struct scanned_batch batch;
        batch_scan_init(&scan, file, place.position, seg->size, SCAN_HEADERS);
        batch_scan_use_buffer(&scan, buffer, SCAN_HEADERS_BUFFER_SIZE);
        while ((error = batch_scan_next(&scan, &batch)) == E_OK && batch.last_offset < to) {
            error = visit(log, seg, &batch);
            if (error != E_OK) {
                break;
            }
        }
        error = error == E_LOCAL_NOT_FOUND   ? E_OK
                : error == E_LOCAL_TRUNCATED ? E_LOCAL_CORRUPT
                                             : error;
    }
    free(buffer);
    file_unref(file);
    return error;
}

static enum error visit_segments(struct log *log, int64_t from, int64_t to, visit_fn visit)
{
    enum error error = E_OK;
    for (uint32_t i = log_find_segment(log, from); error == E_OK && i < log->segment_count; i++) {
        if (log->segments[i]->base_offset >= to) {
            break;
        }
        error = visit_segment(log, log->segments[i], from, to, visit);
    }
    return error;
}

static enum error visit_producers(struct log *log, struct segment *seg,
                                  const struct scanned_batch *batch)
{
    bool is_aborted;
    struct aborted_entry entry;
    (void)seg;
    return replay_batch(log, batch, &is_aborted, &entry); /* the index has it already */
}

enum error log_load_producers(struct log *log, int64_t end, int64_t high_watermark)
{
    int64_t offset;
    const int64_t first = log->segments[0]->base_offset;
    /* Batches below the first segment are gone: only a snapshot can tell of them, and one that is
     * older than the segment tells a sequence that is no longer the last. */
    const int64_t wanted = high_watermark > first ? high_watermark : first;
    const int64_t newest = wanted < end ? wanted : end;
    producer_state_clear(&log->producers);
    const enum error error = load_snapshot(log, newest, &offset);
    if (error != E_OK) {
        return error;
    }
    if (offset < first) {
        producer_state_clear(&log->producers);
    }
    const int64_t from = offset < first ? first : offset;
    return from < end ? visit_segments(log, from, end, visit_producers) : E_OK;
}

/* --- epochs --- */

static enum error note_epoch(struct log *log, const struct scanned_batch *batch)
{
    if (batch->magic < 2 ||
        batch->header.partition_leader_epoch <= leader_epochs_latest(&log->epochs)) {
        return E_OK;
    }
    const enum error error = leader_epochs_reserve(&log->epochs, 1);
    if (error == E_OK) {
        leader_epochs_assign(&log->epochs, batch->header.partition_leader_epoch,
                             batch->base_offset);
    }
    return error;
}

static enum error visit_epoch(struct log *log, struct segment *seg,
                              const struct scanned_batch *batch)
{
    (void)seg;
    return note_epoch(log, batch);
}

enum error log_rebuild_epochs(struct log *log)
{
    leader_epochs_clear(&log->epochs);
    const enum error error =
        visit_segments(log, log->segments[0]->base_offset, INT64_MAX, visit_epoch);
    /* Damage is for the check of the batches to judge, which notes the epochs too. */
    return error == E_LOCAL_CORRUPT ? E_OK : error;
}

/* --- indexes --- */

static enum error visit_index(struct log *log, struct segment *seg,
                              const struct scanned_batch *batch)
{
    const struct index_batch indexed = {
        .position = batch->position,
        .size = batch->size,
        .last_offset = batch->last_offset,
        .max_timestamp = batch->max_timestamp,
    };
    pthread_mutex_lock(&log->home.lock);
    segment_index_batch(seg, &indexed, log->config.index_interval_bytes);
    pthread_mutex_unlock(&log->home.lock);
    return E_OK;
}

enum error log_rebuild_indexes(struct log *log, struct segment *seg)
{
    segment_clear_indexes(seg);
    const enum error error = visit_segment(log, seg, seg->base_offset, INT64_MAX, visit_index);
    if (error != E_OK || seg == log_active(log)) {
        return error;
    }
    return segment_write_indexes(&log->home, seg);
}

enum error log_find_end(struct log *log, int64_t *ret_end)
{
    struct segment *seg = log_active(log);
    *ret_end = seg->base_offset;
    if (seg->size == 0) {
        return E_OK;
    }
    struct file *file;
    int64_t position = 0;
    enum error error = segment_lookup_offset(&log->home, seg, INT64_MAX, &position);
    if (error == E_OK) {
        error = segment_get_file(&log->home, seg, &file);
    }
    if (error != E_OK) {
        return error;
    }
    uint8_t buffer[SCAN_LOOKUP_BUFFER_SIZE];
    struct batch_scan scan;
    struct scanned_batch batch;
    batch_scan_init(&scan, file, position, seg->size, SCAN_HEADERS);
    batch_scan_use_buffer(&scan, buffer, sizeof(buffer));
    while ((error = batch_scan_next(&scan, &batch)) == E_OK) {
        *ret_end = batch.last_offset + 1;
    }
    file_unref(file);
    return error == E_LOCAL_NOT_FOUND ? E_OK : error == E_LOCAL_TRUNCATED ? E_LOCAL_CORRUPT : error;
}

/* --- the check of what was not flushed --- */

struct recovery {
    const struct log_hints *hints;
    int64_t next_offset; /* behind the last good batch */
    int32_t last_epoch;
    bool is_cut; /* a bad batch was found and may be cut */
    uint32_t cut_segment;
    int64_t cut_position;
    uint8_t *buffer;
    struct arena arena; /* of aborted */
    struct recovered_abort *aborted;
    size_t aborted_count;
    size_t aborted_capacity;
};

/* An aborted transaction that was found, for the index of its segment. */
struct recovered_abort {
    struct segment *seg;
    struct aborted_entry entry;
};

enum { ABORTED_SIZE_MAX = 64 * 1024 * 1024 };

static enum error remember_abort(struct recovery *recovery, struct segment *seg,
                                 const struct aborted_entry *entry)
{
    if (recovery->aborted_count == recovery->aborted_capacity) {
        const size_t capacity =
            recovery->aborted_capacity == 0 ? 16 : recovery->aborted_capacity * 2;
        struct recovered_abort *items =
            ARENA_NEW_ARRAY(&recovery->arena, struct recovered_abort, capacity);
        if (items == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        if (recovery->aborted_count > 0) {
            memcpy(items, recovery->aborted, recovery->aborted_count * sizeof(*items));
        }
        recovery->aborted = items;
        recovery->aborted_capacity = capacity;
    }
    recovery->aborted[recovery->aborted_count++] =
        (struct recovered_abort){.seg = seg, .entry = *entry};
    return E_OK;
}

/* Everything that is derived from a good batch. */
static enum error count_batch(struct log *log, struct recovery *recovery, struct segment *seg,
                              const struct scanned_batch *batch)
{
    bool is_aborted;
    struct aborted_entry entry;
    recovery->next_offset = batch->last_offset + 1;
    if (batch->magic >= 2 && batch->header.partition_leader_epoch > recovery->last_epoch) {
        recovery->last_epoch = batch->header.partition_leader_epoch;
    }
    enum error error = visit_index(log, seg, batch);
    if (error == E_OK) {
        error = note_epoch(log, batch);
    }
    if (error == E_OK) {
        error = replay_batch(log, batch, &is_aborted, &entry);
    }
    return error == E_OK && is_aborted ? remember_abort(recovery, seg, &entry) : error;
}

/* Does the batch continue the log? */
static bool is_in_order(const struct recovery *recovery, const struct segment *seg,
                        const struct scanned_batch *batch)
{
    const bool has_epoch = batch->magic >= 2 && batch->header.partition_leader_epoch >= 0;
    return batch->base_offset >= recovery->next_offset &&
           batch->last_offset - seg->base_offset <= INT32_MAX &&
           (!has_epoch || batch->header.partition_leader_epoch >= recovery->last_epoch);
}

/* Is there a sound batch anywhere behind the bad one? */
static enum error find_valid_behind(struct log *log, uint32_t index, int64_t position,
                                    int64_t offset_min, bool *ret_found)
{
    enum error error = E_OK;
    *ret_found = false;
    for (uint32_t i = index; error == E_OK && !*ret_found && i < log->segment_count; i++) {
        struct segment *seg = log->segments[i];
        struct file *file;
        error = segment_get_file(&log->home, seg, &file);
        if (error == E_OK) {
            error = batch_scan_find_valid(file, i == index ? position + 1 : 0, seg->size,
                                          offset_min, ret_found);
            file_unref(file);
        }
    }
    return error;
}

/*
 * Below it nothing may be missing. A high watermark promises the page cache of this machine, which
 * a restart of the machine takes away; then only what was flushed is certain (design §5).
 */
static int64_t promised_offset(const struct log_hints *hints)
{
    if (hints->machine_restarted || hints->high_watermark < hints->recovery_point) {
        return hints->recovery_point;
    }
    return hints->high_watermark;
}

static enum error judge(struct log *log, struct recovery *recovery, uint32_t index,
                        int64_t position)
{
    const struct log_hints *hints = recovery->hints;
    if (recovery->next_offset < promised_offset(hints)) {
        return E_LOCAL_CORRUPT;
    }
    if (!hints->machine_restarted) {
        bool is_found;
        const enum error error =
            find_valid_behind(log, index, position, recovery->next_offset, &is_found);
        if (error != E_OK || is_found) {
            return error != E_OK ? error : E_LOCAL_CORRUPT;
        }
    }
    recovery->is_cut = true;
    recovery->cut_segment = index;
    recovery->cut_position = position;
    return E_OK;
}

static enum error check_segment(struct log *log, struct recovery *recovery, uint32_t index)
{
    struct segment *seg = log->segments[index];
    struct file *file;
    enum error error = segment_get_file(&log->home, seg, &file);
    if (error != E_OK) {
        return error;
    }
    segment_clear_indexes(seg);
    segment_set_dirty(&log->home, seg, true);
    struct batch_scan scan;
    struct scanned_batch batch;
    batch_scan_init(&scan, file, 0, seg->size, SCAN_CHECKSUMS);
    batch_scan_use_buffer(&scan, recovery->buffer, SCAN_CHECKSUM_BUFFER_SIZE);
    int64_t good = 0; /* bytes */
    enum error counted = E_OK;
    while ((error = batch_scan_next(&scan, &batch)) == E_OK && is_in_order(recovery, seg, &batch)) {
        counted = count_batch(log, recovery, seg, &batch);
        if (counted != E_OK) {
            break;
        }
        good = scan.position;
    }
    file_unref(file);
    if (counted != E_OK) {
        return counted;
    }
    if (error == E_OK || error == E_LOCAL_TRUNCATED || error == E_LOCAL_CORRUPT) {
        return judge(log, recovery, index, good);
    }
    return error == E_LOCAL_NOT_FOUND ? E_OK : error;
}

/*
 * A power cut may lose the end of a segment that was rolled but not flushed, at a batch, and keep
 * the segment behind it. Compaction makes gaps too, and those are fine.
 */
static bool is_gap(const struct log *log, const struct recovery *recovery,
                   const struct segment *seg)
{
    return seg->base_offset > recovery->next_offset && recovery->hints->machine_restarted &&
           !log->config.is_compacted && !log->config.is_held;
}

static enum error check_segments(struct log *log, struct recovery *recovery, uint32_t first)
{
    enum error error = E_OK;
    for (uint32_t i = first; error == E_OK && !recovery->is_cut && i < log->segment_count; i++) {
        struct segment *seg = log->segments[i];
        const bool overlaps = seg->base_offset < recovery->next_offset;
        if (overlaps || (i > first && is_gap(log, recovery, seg))) {
            check(i > first);
            error = judge(log, recovery, i - 1, log->segments[i - 1]->size);
        } else {
            recovery->next_offset = seg->base_offset;
            error = i > first ? log_write_snapshot(log, seg->base_offset) : E_OK;
            if (error == E_OK) {
                error = check_segment(log, recovery, i);
            }
        }
    }
    return error;
}

static enum error cut(struct log *log, const struct recovery *recovery)
{
    if (!recovery->is_cut) {
        return E_OK;
    }
    uint32_t index = recovery->cut_segment;
    enum error error = log_delete_segments(log, index + 1, log->segment_count - index - 1);
    if (error == E_OK) {
        /* What is appended from now on must not meet them again. */
        error = log->env->vfs->sync_directory(log->env->vfs, log->home.path);
    }
    struct segment *seg = log->segments[index];
    struct file *file;
    if (error == E_OK) {
        error = segment_get_file(&log->home, seg, &file);
    }
    if (error != E_OK) {
        return error;
    }
    error = log->env->vfs->truncate(file, recovery->cut_position);
    if (error == E_OK) {
        /* A segment may be rolled behind it and the next recovery begin there: the bad bytes must
         * not come back below. */
        error = log->env->vfs->sync(file);
    }
    file_unref(file);
    seg->size = recovery->cut_position;
    return error;
}

/* The files of what was derived, for the segments from first on. */
static enum error write_derived(struct log *log, const struct recovery *recovery, uint32_t first)
{
    enum error error = E_OK;
    for (uint32_t i = first; error == E_OK && i < log->segment_count; i++) {
        char path[LOG_PATH_SIZE_MAX];
        struct segment *seg = log->segments[i];
        segment_file_path(&log->home, seg, SEGMENT_FILE_TRANSACTION_INDEX, path);
        error = log->env->vfs->unlink(log->env->vfs, path);
        error = error == E_LOCAL_NOT_FOUND ? E_OK : error;
        seg->transaction_index_size = 0;
        if (error == E_OK && seg != log_active(log)) {
            error = segment_write_indexes(&log->home, seg);
        }
    }
    for (size_t i = 0; error == E_OK && i < recovery->aborted_count; i++) {
        error = log_write_aborted(log, recovery->aborted[i].seg, &recovery->aborted[i].entry);
    }
    return error;
}

static enum error adopt_flushed(struct log *log, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!segment_adopt_indexes(&log->home, log->segments[i])) {
            const enum error error = log_rebuild_indexes(log, log->segments[i]);
            if (error != E_OK) {
                return error;
            }
        }
    }
    return E_OK;
}

static enum error settle(struct log *log, const struct recovery *recovery, uint32_t first)
{
    const struct log_hints *hints = recovery->hints;
    const int64_t end = recovery->next_offset;
    if (end < promised_offset(hints)) {
        return E_LOCAL_CORRUPT; /* what was promised is not there */
    }
    enum error error = cut(log, recovery);
    if (error == E_OK) {
        error = adopt_flushed(log, first);
    }
    if (error == E_OK) {
        leader_epochs_truncate(&log->epochs, end + 1);
        log_drop_snapshots_above(log, end);
        error = write_derived(log, recovery, first);
    }
    if (error == E_OK) {
        log->has_new_files = true; /* made before the crash, their names perhaps never synced */
        log->next_offset = end;
        offset_store(&log->end, end);
        offset_store(&log->flushed, hints->recovery_point < end ? hints->recovery_point : end);
    }
    return error;
}

enum error log_recover(struct log *log, const struct log_hints *hints)
{
    const uint32_t first = log_find_segment(log, hints->recovery_point);
    struct recovery recovery = {
        .hints = hints,
        .next_offset = log->segments[first]->base_offset,
        .last_epoch = NO_LEADER_EPOCH,
        .buffer = scan_buffer_new(SCAN_CHECKSUM_BUFFER_SIZE),
    };
    if (recovery.buffer == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    arena_init(&recovery.arena, ABORTED_SIZE_MAX);
    enum error error =
        log_load_producers(log, log->segments[first]->base_offset, hints->high_watermark);
    if (error == E_OK) {
        error = check_segments(log, &recovery, first);
    }
    if (error == E_OK) {
        error = settle(log, &recovery, first);
    }
    arena_done(&recovery.arena);
    free(recovery.buffer);
    return error;
}
