/* SPDX-License-Identifier: Apache-2.0 */
/* From a directory to a log, and back: open, clean close, free. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_flush.h"
#include "storage/log_private.h"

enum {
    DIRECTORY_LISTING_SIZE_MAX = 256 * 1024 * 1024,
    METADATA_SIZE_MAX = 1024,
    FILE_NAME_ROOM = 64,
};

/* --- partition.metadata: "version: 0\ntopic_id: <22 characters>" --- */

static enum error parse_metadata(struct slice text, struct uuid *ret_topic_id)
{
    static const char key[] = "topic_id: ";
    const uint8_t *at = memmem(text.data, text.size, key, sizeof(key) - 1);
    if (at == NULL) {
        return E_LOCAL_CORRUPT;
    }
    at += sizeof(key) - 1;
    const size_t left = (size_t)(text.data + text.size - at);
    if (left < UUID_TEXT_SIZE || !uuid_parse(slice_of(at, UUID_TEXT_SIZE), ret_topic_id)) {
        return E_LOCAL_CORRUPT;
    }
    return E_OK;
}

static enum error write_metadata(struct log *log, const char *path)
{
    char id[UUID_TEXT_SIZE + 1];
    char text[METADATA_SIZE_MAX];
    uuid_format(&log->topic_id, id);
    const int size = snprintf(text, sizeof(text), "version: 0\ntopic_id: %s", id);
    return vfs_replace_file(log->env->vfs, path, slice_of(text, (size_t)size));
}

static enum error load_metadata(struct log *log, const struct uuid *topic_id)
{
    char path[LOG_PATH_SIZE_MAX];
    struct arena arena;
    struct slice text;
    partition_path(path, log->home.path, "partition.metadata");
    arena_init(&arena, 4 * METADATA_SIZE_MAX);
    enum error error = vfs_read_file(log->env->vfs, path, METADATA_SIZE_MAX, &arena, &text);
    if (error == E_OK) {
        error = parse_metadata(text, &log->topic_id);
    } else if (error == E_LOCAL_NOT_FOUND) {
        log->topic_id = topic_id != NULL ? *topic_id : UUID_ZERO;
        error = uuid_is_zero(&log->topic_id) ? E_OK : write_metadata(log, path);
    }
    arena_done(&arena);
    if (error == E_OK && topic_id != NULL && !uuid_is_zero(topic_id) &&
        !uuid_equal(topic_id, &log->topic_id)) {
        error = E_INCONSISTENT_TOPIC_ID;
    }
    return error;
}

/* --- segments --- */

static int compare_offsets(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static enum error load_segment(struct log *log, int64_t base_offset)
{
    struct segment *seg;
    struct file_status status;
    char path[LOG_PATH_SIZE_MAX];
    enum error error = segment_new(base_offset, log_now_ms(log), &seg);
    if (error != E_OK) {
        return error;
    }
    segment_file_path(&log->home, seg, SEGMENT_FILE_LOG, path);
    error = log->env->vfs->path_status(log->env->vfs, path, &status);
    if (error == E_OK) {
        seg->size = status.size;
        seg->created_ms = status.modified_ms;
        segment_file_path(&log->home, seg, SEGMENT_FILE_TRANSACTION_INDEX, path);
        if (log->env->vfs->path_status(log->env->vfs, path, &status) == E_OK) {
            seg->transaction_index_size = status.size;
        }
        error = log_add_segment(log, seg);
    }
    if (error != E_OK) {
        segment_unref(seg);
    }
    return error;
}

static enum error load_segments(struct log *log)
{
    struct arena arena;
    struct directory_entry *entries;
    size_t count;
    size_t found = 0;
    arena_init(&arena, DIRECTORY_LISTING_SIZE_MAX);
    enum error error = log->env->vfs->list(log->env->vfs, log->home.path, &arena, &entries, &count);
    int64_t *offsets = error == E_OK ? ARENA_NEW_ARRAY(&arena, int64_t, count) : NULL;
    if (error == E_OK && offsets == NULL) {
        error = E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; error == E_OK && i < count; i++) {
        struct segment_name name;
        if (segment_name_parse(entries[i].name, &name) && name.kind == SEGMENT_FILE_LOG &&
            name.state == SEGMENT_FILE_LIVE) {
            offsets[found++] = name.base_offset;
        }
    }
    if (error == E_OK) {
        qsort(offsets, found, sizeof(*offsets), compare_offsets);
    }
    for (size_t i = 0; error == E_OK && i < found; i++) {
        error = load_segment(log, offsets[i]);
    }
    arena_done(&arena);
    return error;
}

static enum error make_first_segment(struct log *log, int64_t base_offset)
{
    struct segment *seg;
    enum error error = segment_new(base_offset, log_now_ms(log), &seg);
    if (error != E_OK) {
        return error;
    }
    segment_clear_indexes(seg);
    error = segment_create_file(&log->home, seg);
    if (error == E_OK) {
        log->has_new_files = true;
        error = log_add_segment(log, seg);
    }
    if (error != E_OK) {
        segment_close_file(&log->home, seg);
        segment_unref(seg);
    }
    return error;
}

/* --- open --- */

/* What a clean stop has left is taken as it is; what looks wrong is made again (rule 49). */
static enum error load_clean(struct log *log, const struct log_hints *hints)
{
    for (uint32_t i = 0; i < log->segment_count; i++) {
        struct segment *seg = log->segments[i];
        if (!segment_adopt_indexes(&log->home, seg)) {
            const enum error error = log_rebuild_indexes(log, seg);
            if (error != E_OK) {
                return error;
            }
        }
    }
    int64_t end;
    enum error error = log_find_end(log, &end);
    if (error != E_OK) {
        return error;
    }
    log->next_offset = end;
    offset_store(&log->end, end);
    offset_store(&log->flushed, end);
    leader_epochs_truncate(&log->epochs, end + 1);
    return log_load_producers(log, end, hints->high_watermark);
}

static enum error load_epochs(struct log *log)
{
    char path[LOG_PATH_SIZE_MAX];
    log_epochs_path(log, path);
    const enum error error = leader_epochs_read(&log->epochs, log->env->vfs, path);
    return error == E_LOCAL_NOT_FOUND || error == E_LOCAL_CORRUPT ? log_rebuild_epochs(log) : error;
}

static void set_start_offsets(struct log *log, const struct log_hints *hints)
{
    const int64_t end = log->next_offset;
    int64_t start = log->segments[0]->base_offset;
    if (hints->log_start_offset > start) {
        start = hints->log_start_offset < end ? hints->log_start_offset : end;
    }
    int64_t high_watermark = hints->high_watermark > start ? hints->high_watermark : start;
    high_watermark = high_watermark < end ? high_watermark : end;
    offset_store(&log->log_start, start);
    offset_store(&log->high_watermark, high_watermark);
    leader_epochs_raise_start(&log->epochs, start);
    log->next_epoch = leader_epochs_latest(&log->epochs);
    producer_state_set_high_watermark(&log->producers, high_watermark);
    log_update_last_stable(log);
}

static enum error make_directory(struct log *log)
{
    struct vfs *vfs = log->env->vfs;
    enum error error = vfs->make_directory(vfs, log->home.path);
    if (error != E_OK) {
        return error == E_LOCAL_EXISTS ? E_OK : error;
    }
    char parent[LOG_PATH_SIZE_MAX];
    snprintf(parent, sizeof(parent), "%s", log->home.path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent) {
        return E_OK;
    }
    *slash = '\0';
    return vfs->sync_directory(vfs, parent); /* rule 51 */
}

static enum error load(struct log *log, const struct uuid *topic_id, const struct log_hints *hints)
{
    enum error error = make_directory(log);
    if (error == E_OK) {
        error = load_metadata(log, topic_id);
    }
    if (error == E_OK) {
        error = log_clear_leftovers(log);
    }
    if (error == E_OK) {
        error = load_segments(log);
    }
    if (error == E_OK && log->segment_count == 0) {
        error = make_first_segment(log, hints->log_start_offset > 0 ? hints->log_start_offset : 0);
    }
    if (error == E_OK) {
        error = load_epochs(log);
    }
    if (error == E_OK && hints->was_clean) {
        error = load_clean(log, hints);
        if (error == E_LOCAL_CORRUPT) {
            error = log_recover(log, hints); /* the marker lied: look at everything */
        }
    } else if (error == E_OK) {
        error = log_recover(log, hints);
    }
    if (error == E_OK) {
        set_start_offsets(log, hints);
    }
    return error;
}

static enum error log_new(const struct log_env *env, const char *path,
                          struct topic_partition topic_partition, struct log **ret_log)
{
    const size_t path_size = strlen(path) + 1;
    if (path_size > LOG_PATH_SIZE_MAX - FILE_NAME_ROOM) {
        return E_LOCAL_LIMIT;
    }
    struct log *log = calloc(1, sizeof(*log) + path_size + topic_partition.topic.size);
    if (log == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    char *texts = (char *)(log + 1);
    memcpy(texts, path, path_size);
    memcpy(texts + path_size, topic_partition.topic.data, topic_partition.topic.size);
    log->env = env;
    log->home = (struct segment_home){.vfs = env->vfs, .files = env->files, .path = texts};
    pthread_mutex_init(&log->home.lock, NULL);
    log->topic_partition = (struct topic_partition){
        .topic = slice_of(texts + path_size, topic_partition.topic.size),
        .partition = topic_partition.partition,
    };
    log_forget_places(log);
    list_init(&log->queued);
    list_init(&log->written);
    list_init(&log->writer_node);
    list_init(&log->deleted);
    log->next_epoch = NO_LEADER_EPOCH;
    log->flush_limit = INT64_MAX;
    const uint64_t seed = hash_bytes(slice_from_string(path), (uint64_t)(uintptr_t)log);
    producer_state_init(&log->producers, seed);
    *ret_log = log;
    return E_OK;
}

static int64_t choose_jitter(const struct log *log)
{
    const uint64_t hash = hash_bytes(slice_from_string(log->home.path), 0);
    return log->config.segment_jitter_ms <= 0
               ? 0
               : (int64_t)(hash % (uint64_t)log->config.segment_jitter_ms);
}

enum error log_open(const struct log_env *env, const char *path,
                    struct topic_partition topic_partition, const struct uuid *topic_id,
                    const struct log_config *config, const struct log_hints *hints,
                    const struct log_events *events, struct log **ret_log)
{
    struct log *log;
    enum error error = log_new(env, path, topic_partition, &log);
    if (error != E_OK) {
        return error;
    }
    log->config = *config;
    log->roll_jitter_ms = choose_jitter(log);
    if (events != NULL) {
        log->events = *events;
    }
    error = load(log, topic_id, hints);
    if (error != E_OK) {
        log_free(log);
        return error;
    }
    *ret_log = log;
    return E_OK;
}

/* --- close --- */

enum error log_close_clean(struct log *log)
{
    check(list_is_empty(&log->queued));
    if (log->is_failed) {
        return E_LOCAL_OFFLINE;
    }
    enum error error = log_finish_active(log);
    if (error == E_OK) {
        error = log_write_snapshot(log, log->next_offset);
    }
    log->has_new_files = true;
    return error == E_OK ? log_flush_now(log) : error;
}

void log_free(struct log *log)
{
    if (log == NULL) {
        return;
    }
    check(list_is_empty(&log->queued));
    check(list_is_empty(&log->written));
    if (log->flush != NULL) {
        log->is_freed = true; /* the flush that runs frees it when it has ended */
        return;
    }
    for (uint32_t i = 0; i < log->segment_count; i++) {
        segment_close_file(&log->home, log->segments[i]);
        segment_unref(log->segments[i]);
    }
    free(log->segments);
    struct list *node;
    while ((node = list_pop_front(&log->deleted)) != NULL) {
        free(container_of(node, struct deleted_file, node));
    }
    producer_state_done(&log->producers);
    leader_epochs_done(&log->epochs);
    pthread_mutex_destroy(&log->home.lock);
    free(log);
}
