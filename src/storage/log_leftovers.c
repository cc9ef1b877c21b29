/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an interrupted deletion, compaction or recovery has left in a partition's directory
 * (reliability rule 52). Every step may be repeated after another crash.
 *
 *   .deleted   was to go: goes.
 *   .cleaned   was not finished: goes, with every .swap at or above the lowest of them, since the
 *              renames to .swap run from the highest base offset down.
 *   .swap      was finished: takes the place of the segments that it covers.
 */
#include <stdlib.h>

#include "storage/log_private.h"

enum { LISTING_SIZE_MAX = 256 * 1024 * 1024 };

struct leftovers {
    struct segment_name *names;
    size_t count;
};

static enum error list_names(struct log *log, struct arena *arena, struct leftovers *ret_leftovers)
{
    struct directory_entry *entries;
    size_t count;
    enum error error = log->env->vfs->list(log->env->vfs, log->home.path, arena, &entries, &count);
    if (error != E_OK) {
        return error;
    }
    ret_leftovers->names = ARENA_NEW_ARRAY(arena, struct segment_name, count);
    ret_leftovers->count = 0;
    if (ret_leftovers->names == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        if (segment_name_parse(entries[i].name, &ret_leftovers->names[ret_leftovers->count])) {
            ret_leftovers->count++;
        }
    }
    return E_OK;
}

static enum error unlink_name(struct log *log, struct segment_name name)
{
    char path[LOG_PATH_SIZE_MAX];
    segment_path(path, log->home.path, name);
    const enum error error = log->env->vfs->unlink(log->env->vfs, path);
    return error == E_LOCAL_NOT_FOUND ? E_OK : error;
}

static bool has_name(const struct leftovers *leftovers, struct segment_name name)
{
    for (size_t i = 0; i < leftovers->count; i++) {
        const struct segment_name *other = &leftovers->names[i];
        if (other->base_offset == name.base_offset && other->kind == name.kind &&
            other->state == name.state) {
            return true;
        }
    }
    return false;
}

/* The offset behind the last record of a .log.swap. */
static enum error find_swap_end(struct log *log, int64_t base_offset, int64_t *ret_end)
{
    char path[LOG_PATH_SIZE_MAX];
    uint8_t buffer[SCAN_LOOKUP_BUFFER_SIZE];
    struct file *file;
    struct file_status status;
    segment_path(path, log->home.path,
                 (struct segment_name){.base_offset = base_offset,
                                       .kind = SEGMENT_FILE_LOG,
                                       .state = SEGMENT_FILE_SWAP});
    enum error error = log->env->vfs->open(log->env->vfs, path, FILE_READ, &file);
    if (error != E_OK) {
        return error;
    }
    *ret_end = base_offset;
    error = log->env->vfs->status(file, &status);
    if (error == E_OK) {
        struct batch_scan scan;
        struct scanned_batch batch;
        batch_scan_init(&scan, file, 0, status.size, SCAN_HEADERS);
        batch_scan_use_buffer(&scan, buffer, sizeof(buffer));
        while ((error = batch_scan_next(&scan, &batch)) == E_OK) {
            *ret_end = batch.last_offset + 1;
        }
        error = error == E_LOCAL_NOT_FOUND   ? E_OK
                : error == E_LOCAL_TRUNCATED ? E_LOCAL_CORRUPT
                                             : error;
    }
    file_unref(file);
    return error;
}

/* Old segments that a finished .log.swap replaces go; only then is it renamed. */
static enum error drop_covered(struct log *log, const struct leftovers *leftovers,
                               int64_t base_offset)
{
    int64_t end = base_offset;
    enum error error = find_swap_end(log, base_offset, &end);
    for (size_t i = 0; error == E_OK && i < leftovers->count; i++) {
        const struct segment_name *name = &leftovers->names[i];
        const bool is_covered = name->base_offset == base_offset ||
                                (name->base_offset > base_offset && name->base_offset < end);
        if (is_covered && name->state == SEGMENT_FILE_LIVE && name->kind != SEGMENT_FILE_SNAPSHOT) {
            error = unlink_name(log, *name);
        }
    }
    return error;
}

static enum error rename_swap(struct log *log, struct segment_name name)
{
    char from[LOG_PATH_SIZE_MAX];
    char to[LOG_PATH_SIZE_MAX];
    segment_path(from, log->home.path, name);
    name.state = SEGMENT_FILE_LIVE;
    segment_path(to, log->home.path, name);
    return log->env->vfs->rename(log->env->vfs, from, to);
}

static enum error finish_swaps(struct log *log, const struct leftovers *leftovers)
{
    enum error error = E_OK;
    for (size_t i = 0; error == E_OK && i < leftovers->count; i++) {
        if (leftovers->names[i].state == SEGMENT_FILE_SWAP &&
            leftovers->names[i].kind == SEGMENT_FILE_LOG) {
            error = drop_covered(log, leftovers, leftovers->names[i].base_offset);
        }
    }
    /* Indexes first: while there is a .log.swap, the next start does all of this again. */
    for (size_t i = 0; error == E_OK && i < leftovers->count; i++) {
        const struct segment_name name = leftovers->names[i];
        if (name.state == SEGMENT_FILE_SWAP && name.kind != SEGMENT_FILE_LOG) {
            error = rename_swap(log, name);
        }
    }
    for (size_t i = 0; error == E_OK && i < leftovers->count; i++) {
        const struct segment_name name = leftovers->names[i];
        if (name.state == SEGMENT_FILE_SWAP && name.kind == SEGMENT_FILE_LOG) {
            error = rename_swap(log, name);
        }
    }
    return error;
}

/* true: the file goes. cleaned_min: the lowest base offset of a .cleaned file. */
static bool is_garbage(const struct leftovers *leftovers, struct segment_name name,
                       int64_t cleaned_min)
{
    switch (name.state) {
    case SEGMENT_FILE_DELETED:
    case SEGMENT_FILE_CLEANED:
        return true;
    case SEGMENT_FILE_SWAP:
        return name.base_offset >= cleaned_min;
    case SEGMENT_FILE_LIVE:
    case SEGMENT_FILE_STATE_COUNT:
        break;
    }
    /* An index without its log. */
    const struct segment_name log_name = {
        .base_offset = name.base_offset, .kind = SEGMENT_FILE_LOG, .state = SEGMENT_FILE_LIVE};
    struct segment_name swap_name = log_name;
    swap_name.state = SEGMENT_FILE_SWAP;
    return name.kind != SEGMENT_FILE_LOG && name.kind != SEGMENT_FILE_SNAPSHOT &&
           !has_name(leftovers, log_name) && !has_name(leftovers, swap_name);
}

enum error log_clear_leftovers(struct log *log)
{
    struct arena arena;
    struct leftovers leftovers;
    arena_init(&arena, LISTING_SIZE_MAX);
    enum error error = list_names(log, &arena, &leftovers);
    int64_t cleaned_min = INT64_MAX;
    bool is_changed = false;
    for (size_t i = 0; error == E_OK && i < leftovers.count; i++) {
        const struct segment_name *name = &leftovers.names[i];
        if (name->state == SEGMENT_FILE_CLEANED && name->base_offset < cleaned_min) {
            cleaned_min = name->base_offset;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; error == E_OK && i < leftovers.count; i++) {
        const struct segment_name name = leftovers.names[i];
        if (is_garbage(&leftovers, name, cleaned_min)) {
            error = unlink_name(log, name);
            is_changed = true;
        } else {
            is_changed = is_changed || name.state == SEGMENT_FILE_SWAP;
            leftovers.names[kept++] = name;
        }
    }
    if (error == E_OK) {
        leftovers.count = kept;
        error = finish_swaps(log, &leftovers);
    }
    if (error == E_OK && is_changed) {
        error = log->env->vfs->sync_directory(log->env->vfs, log->home.path);
    }
    arena_done(&arena);
    return error;
}
