/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/leader_epochs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CHECKPOINT_VERSION = 0,
    CHECKPOINT_SIZE_MAX = 8 * 1024 * 1024,
    CHECKPOINT_LINE_SIZE_MAX = 34, /* "-2147483648 9223372036854775807\n" */
    CAPACITY_FIRST = 2,
};

void leader_epochs_done(struct leader_epochs *epochs)
{
    free(epochs->entries);
    *epochs = (struct leader_epochs){0};
}

int32_t leader_epochs_latest(const struct leader_epochs *epochs)
{
    return epochs->count == 0 ? -1 : epochs->entries[epochs->count - 1].epoch;
}

enum error leader_epochs_reserve(struct leader_epochs *epochs, uint32_t count)
{
    const uint32_t needed = epochs->count + count;
    if (needed <= epochs->capacity) {
        return E_OK;
    }
    uint32_t capacity = epochs->capacity == 0 ? CAPACITY_FIRST : epochs->capacity * 2;
    capacity = capacity < needed ? needed : capacity;
    struct leader_epoch *entries = realloc(epochs->entries, capacity * sizeof(*entries));
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    epochs->entries = entries;
    epochs->capacity = capacity;
    return E_OK;
}

void leader_epochs_assign(struct leader_epochs *epochs, int32_t epoch, int64_t start_offset)
{
    check(epoch >= 0);
    check(start_offset >= 0);
    const struct leader_epoch *last =
        epochs->count == 0 ? NULL : &epochs->entries[epochs->count - 1];
    if (last != NULL && last->epoch == epoch && last->start_offset <= start_offset) {
        return;
    }
    while (epochs->count > 0 && (epochs->entries[epochs->count - 1].epoch >= epoch ||
                                 epochs->entries[epochs->count - 1].start_offset >= start_offset)) {
        epochs->count--;
    }
    check(epochs->count < epochs->capacity);
    epochs->entries[epochs->count++] =
        (struct leader_epoch){.epoch = epoch, .start_offset = start_offset};
    epochs->is_changed = true;
}

struct epoch_end leader_epochs_end(const struct leader_epochs *epochs, int32_t epoch,
                                   int64_t log_end)
{
    const struct epoch_end undefined = {.epoch = -1, .end_offset = -1};
    if (epoch < 0 || epochs->count == 0) {
        return undefined;
    }
    if (epoch == leader_epochs_latest(epochs)) {
        return (struct epoch_end){.epoch = epoch, .end_offset = log_end};
    }
    uint32_t higher = 0; /* the first entry with an epoch above the asked one */
    while (higher < epochs->count && epochs->entries[higher].epoch <= epoch) {
        higher++;
    }
    if (higher == epochs->count) {
        return undefined; /* newer than all that is known */
    }
    if (higher == 0) {
        /* Older than all that is known: it ended where the first known one began. */
        return (struct epoch_end){.epoch = epoch, .end_offset = epochs->entries[0].start_offset};
    }
    return (struct epoch_end){.epoch = epochs->entries[higher - 1].epoch,
                              .end_offset = epochs->entries[higher].start_offset};
}

int32_t leader_epochs_at(const struct leader_epochs *epochs, int64_t offset)
{
    int32_t epoch = -1;
    for (uint32_t i = 0; i < epochs->count && epochs->entries[i].start_offset <= offset; i++) {
        epoch = epochs->entries[i].epoch;
    }
    return epoch;
}

void leader_epochs_truncate(struct leader_epochs *epochs, int64_t offset)
{
    while (epochs->count > 0 && epochs->entries[epochs->count - 1].start_offset >= offset) {
        epochs->count--;
        epochs->is_changed = true;
    }
}

void leader_epochs_raise_start(struct leader_epochs *epochs, int64_t offset)
{
    uint32_t dropped = 0; /* entries that begin below offset; the last of them holds it */
    while (dropped < epochs->count && epochs->entries[dropped].start_offset < offset) {
        dropped++;
    }
    if (dropped == 0) {
        return;
    }
    const bool is_next_there =
        dropped < epochs->count && epochs->entries[dropped].start_offset == offset;
    if (!is_next_there) {
        dropped--;
        epochs->entries[dropped].start_offset = offset;
    }
    epochs->count -= dropped;
    memmove(epochs->entries, epochs->entries + dropped, epochs->count * sizeof(*epochs->entries));
    epochs->is_changed = true;
}

void leader_epochs_clear(struct leader_epochs *epochs)
{
    epochs->is_changed = epochs->is_changed || epochs->count > 0;
    epochs->count = 0;
}

/* Reads a decimal number and the character that ends it. NULL: there is none. */
static const char *read_number(const char *text, char end, int64_t max, int64_t *ret_number)
{
    int64_t number = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *p - '0', &number)) {
            return NULL;
        }
    }
    if (p == text || *p != end || number > max) {
        return NULL;
    }
    *ret_number = number;
    return p + 1;
}

static enum error parse_checkpoint(struct leader_epochs *epochs, const char *text)
{
    int64_t version;
    int64_t count;
    text = read_number(text, '\n', CHECKPOINT_VERSION, &version);
    if (text == NULL || (text = read_number(text, '\n', INT32_MAX, &count)) == NULL) {
        return E_LOCAL_CORRUPT;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t epoch;
        int64_t start;
        text = read_number(text, ' ', INT32_MAX, &epoch);
        if (text == NULL || (text = read_number(text, '\n', INT64_MAX, &start)) == NULL) {
            return E_LOCAL_CORRUPT;
        }
        const enum error error = leader_epochs_reserve(epochs, 1);
        if (error != E_OK) {
            return error;
        }
        const struct leader_epoch *last =
            epochs->count == 0 ? NULL : &epochs->entries[epochs->count - 1];
        if (last != NULL && (last->epoch >= epoch || last->start_offset >= start)) {
            return E_LOCAL_CORRUPT;
        }
        epochs->entries[epochs->count++] =
            (struct leader_epoch){.epoch = (int32_t)epoch, .start_offset = start};
    }
    return *text == '\0' ? E_OK : E_LOCAL_CORRUPT;
}

enum error leader_epochs_read(struct leader_epochs *epochs, struct vfs *vfs, const char *path)
{
    struct arena arena;
    struct slice bytes;
    arena_init(&arena, 2 * (size_t)CHECKPOINT_SIZE_MAX);
    enum error error = vfs_read_file(vfs, path, CHECKPOINT_SIZE_MAX, &arena, &bytes);
    if (error == E_OK) {
        epochs->count = 0;
        error = parse_checkpoint(epochs, (const char *)bytes.data);
        epochs->is_changed = false;
        if (error != E_OK) {
            epochs->count = 0;
        }
    }
    arena_done(&arena);
    return error;
}

enum error leader_epochs_format(const struct leader_epochs *epochs, struct arena *arena,
                                struct slice *ret_text)
{
    const size_t size_max = ((size_t)epochs->count + 2) * CHECKPOINT_LINE_SIZE_MAX;
    char *text = arena_alloc(arena, size_max, 1);
    if (text == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t size =
        (size_t)snprintf(text, size_max, "%d\n%" PRIu32 "\n", CHECKPOINT_VERSION, epochs->count);
    for (uint32_t i = 0; i < epochs->count; i++) {
        size += (size_t)snprintf(text + size, size_max - size, "%" PRId32 " %" PRId64 "\n",
                                 epochs->entries[i].epoch, epochs->entries[i].start_offset);
    }
    *ret_text = slice_of(text, size);
    return E_OK;
}

enum error leader_epochs_write(struct leader_epochs *epochs, struct vfs *vfs, const char *path)
{
    if (!epochs->is_changed) {
        return E_OK;
    }
    struct arena arena;
    struct slice text;
    arena_init(&arena, CHECKPOINT_SIZE_MAX);
    enum error error = leader_epochs_format(epochs, &arena, &text);
    if (error == E_OK) {
        error = vfs_replace_file(vfs, path, text);
    }
    arena_done(&arena);
    if (error == E_OK) {
        epochs->is_changed = false;
    }
    return error;
}
