/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sparse_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    TAIL_CAPACITY_FIRST = 8,
    PAGE_ENTRY_COUNT = 256, /* the last steps of a search in a file are done in one read */
};

void sparse_index_init(struct sparse_index *index, uint32_t entry_size)
{
    check(entry_size > 0 && entry_size <= SPARSE_ENTRY_SIZE_MAX);
    *index = (struct sparse_index){.entry_size = entry_size};
}

void sparse_index_done(struct sparse_index *index)
{
    free(index->tail);
    index->tail = NULL;
    index->tail_count = 0;
    index->tail_capacity = 0;
}

void sparse_index_append(struct sparse_index *index, const uint8_t *entry)
{
    if (index->tail_count == index->tail_capacity) {
        const uint32_t capacity =
            index->tail_capacity == 0 ? TAIL_CAPACITY_FIRST : index->tail_capacity * 2;
        uint8_t *tail = realloc(index->tail, (size_t)capacity * index->entry_size);
        if (tail == NULL) {
            return;
        }
        index->tail = tail;
        index->tail_capacity = capacity;
    }
    memcpy(index->tail + (size_t)index->tail_count * index->entry_size, entry, index->entry_size);
    index->tail_count++;
}

void sparse_index_keep(struct sparse_index *index, uint32_t count)
{
    check(count <= sparse_index_count(index));
    if (count < index->disk_count) {
        index->disk_count = count;
    }
    index->tail_count = count - index->disk_count;
}

void sparse_index_clear(struct sparse_index *index)
{
    sparse_index_keep(index, 0);
}

static enum error read_entries(const struct sparse_index *index, struct file *file, uint32_t at,
                               uint32_t count, uint8_t *entries)
{
    size_t got = 0;
    const size_t size = (size_t)count * index->entry_size;
    const enum error error =
        file->vfs->read(file, (int64_t)at * index->entry_size, entries, size, &got);
    if (error != E_OK) {
        return error;
    }
    return got == size ? E_OK : E_LOCAL_CORRUPT;
}

enum error sparse_index_get(const struct sparse_index *index, struct vfs *vfs, const char *path,
                            uint32_t at, uint8_t *ret_entry)
{
    check(at < sparse_index_count(index));
    if (at >= index->disk_count) {
        memcpy(ret_entry, index->tail + (size_t)(at - index->disk_count) * index->entry_size,
               index->entry_size);
        return E_OK;
    }
    struct file *file;
    enum error error = vfs->open(vfs, path, FILE_READ, &file);
    if (error == E_OK) {
        error = read_entries(index, file, at, 1, ret_entry);
        file_unref(file);
    }
    return error;
}

enum error sparse_index_write(struct sparse_index *index, struct vfs *vfs, const char *path,
                              pthread_mutex_t *lock)
{
    struct file *file;
    enum error error = vfs->open(vfs, path, FILE_WRITE | FILE_CREATE, &file);
    if (error != E_OK) {
        return error;
    }
    const int64_t start = (int64_t)index->disk_count * index->entry_size;
    const int64_t size = (int64_t)index->tail_count * index->entry_size;
    if (size > 0) {
        const struct iovec piece = {.iov_base = index->tail, .iov_len = (size_t)size};
        size_t written;
        error = vfs->write(file, start, &piece, 1, &written);
    }
    if (error == E_OK) {
        error = vfs->truncate(file, start + size);
    }
    file_unref(file);
    if (error == E_OK) {
        pthread_mutex_lock(lock);
        index->disk_count += index->tail_count;
        sparse_index_done(index);
        pthread_mutex_unlock(lock);
    }
    return error;
}

static int64_t entry_key(const uint8_t *entry, uint32_t key_size)
{
    return key_size == 4 ? (int32_t)be32_load(entry) : (int64_t)be64_load(entry);
}

/* Entries of an array with key <= wanted. */
static uint32_t search_array(const uint8_t *entries, uint32_t count, uint32_t entry_size,
                             struct sparse_key key)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (entry_key(entries + (size_t)middle * entry_size, key.size) <= key.value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum error search_file(const struct sparse_index *index, struct file *file,
                              struct sparse_key key, uint32_t *ret_count, uint8_t *ret_entry)
{
    uint8_t page[PAGE_ENTRY_COUNT * SPARSE_ENTRY_SIZE_MAX];
    uint32_t low = 0; /* all entries before low are <= key */
    uint32_t high = index->disk_count;
    while (high - low > PAGE_ENTRY_COUNT) {
        const uint32_t middle = low + (high - low) / 2;
        const enum error error = read_entries(index, file, middle, 1, page);
        if (error != E_OK) {
            return error;
        }
        if (entry_key(page, key.size) <= key.value) {
            low = middle; /* kept in the page, so that its bytes are there in the end */
        } else {
            high = middle;
        }
    }
    const enum error error = read_entries(index, file, low, high - low, page);
    if (error != E_OK) {
        return error;
    }
    const uint32_t found = search_array(page, high - low, index->entry_size, key);
    if (found > 0) {
        memcpy(ret_entry, page + (size_t)(found - 1) * index->entry_size, index->entry_size);
    }
    *ret_count = low + found;
    return E_OK;
}

bool sparse_index_search_tail(const struct sparse_index *index, struct sparse_key key,
                              uint32_t *ret_count, uint8_t *ret_entry)
{
    const uint32_t found = search_array(index->tail, index->tail_count, index->entry_size, key);
    if (found == 0) {
        return false;
    }
    memcpy(ret_entry, index->tail + (size_t)(found - 1) * index->entry_size, index->entry_size);
    *ret_count = index->disk_count + found;
    return true;
}

enum error sparse_index_search(const struct sparse_index *index, struct vfs *vfs, const char *path,
                               struct sparse_key key, uint32_t *ret_count, uint8_t *ret_entry)
{
    if (sparse_index_search_tail(index, key, ret_count, ret_entry)) {
        return E_OK;
    }
    if (index->disk_count == 0) {
        *ret_count = 0;
        return E_OK;
    }
    struct file *file;
    enum error error = vfs->open(vfs, path, FILE_READ, &file);
    if (error == E_OK) {
        error = search_file(index, file, key, ret_count, ret_entry);
        file_unref(file);
    }
    return error;
}
