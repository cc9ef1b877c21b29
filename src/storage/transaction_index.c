/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/transaction_index.h"

#include "base/bytes.h"

enum {
    ENTRY_VERSION = 0,
    INDEX_SIZE_MAX = 64 * 1024 * 1024, /* far beyond what one segment can abort */
};

enum error transaction_index_append(struct vfs *vfs, const char *path, int64_t position,
                                    const struct aborted_entry *entry)
{
    uint8_t bytes[TRANSACTION_INDEX_ENTRY_SIZE];
    be16_store(bytes, ENTRY_VERSION);
    be64_store(bytes + 2, (uint64_t)entry->producer_id);
    be64_store(bytes + 10, (uint64_t)entry->first_offset);
    be64_store(bytes + 18, (uint64_t)entry->last_offset);
    be64_store(bytes + 26, (uint64_t)entry->last_stable_offset);
    struct file *file;
    enum error error = vfs->open(vfs, path, FILE_WRITE | FILE_CREATE, &file);
    if (error == E_OK) {
        const struct iovec piece = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        size_t written;
        error = vfs->write(file, position, &piece, 1, &written);
        file_unref(file);
    }
    return error;
}

enum error transaction_index_read(struct vfs *vfs, const char *path, struct arena *arena,
                                  struct aborted_entry **ret_entries, size_t *ret_count)
{
    struct slice bytes;
    enum error error = vfs_read_file(vfs, path, INDEX_SIZE_MAX, arena, &bytes);
    if (error == E_LOCAL_NOT_FOUND) {
        *ret_entries = NULL;
        *ret_count = 0;
        return E_OK;
    }
    if (error != E_OK) {
        return error;
    }
    const size_t count_max = bytes.size / TRANSACTION_INDEX_ENTRY_SIZE;
    struct aborted_entry *entries = ARENA_NEW_ARRAY(arena, struct aborted_entry, count_max);
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    size_t count = 0;
    for (; count < count_max; count++) {
        const uint8_t *p = bytes.data + count * TRANSACTION_INDEX_ENTRY_SIZE;
        const struct aborted_entry entry = {
            .producer_id = (int64_t)be64_load(p + 2),
            .first_offset = (int64_t)be64_load(p + 10),
            .last_offset = (int64_t)be64_load(p + 18),
            .last_stable_offset = (int64_t)be64_load(p + 26),
        };
        if (be16_load(p) != ENTRY_VERSION || entry.first_offset < 0 ||
            entry.last_offset < entry.first_offset) {
            break;
        }
        entries[count] = entry;
    }
    *ret_entries = entries;
    *ret_count = count;
    return E_OK;
}

enum error transaction_index_truncate(struct vfs *vfs, const char *path, int64_t offset,
                                      int64_t *ret_size)
{
    struct arena arena;
    struct aborted_entry *entries;
    size_t count;
    arena_init(&arena, 2 * (size_t)INDEX_SIZE_MAX);
    enum error error = transaction_index_read(vfs, path, &arena, &entries, &count);
    size_t kept = 0;
    while (error == E_OK && kept < count && entries[kept].last_offset < offset) {
        kept++;
    }
    arena_done(&arena);
    if (error != E_OK) {
        return error;
    }
    struct file *file;
    const int64_t size = (int64_t)kept * TRANSACTION_INDEX_ENTRY_SIZE;
    error = vfs->open(vfs, path, FILE_WRITE, &file);
    if (error == E_OK) {
        error = vfs->truncate(file, size);
        file_unref(file);
    } else if (error == E_LOCAL_NOT_FOUND) {
        error = E_OK;
    }
    if (error == E_OK) {
        *ret_size = size;
    }
    return error;
}
