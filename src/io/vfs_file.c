/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files, on any vfs. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "io/vfs.h"

static enum error read_open_file(struct file *file, size_t size_max, struct arena *arena,
                                 struct slice *ret_bytes)
{
    struct vfs *vfs = file->vfs;
    struct file_status status;
    uint8_t *data;
    size_t size;
    enum error error = vfs->status(file, &status);
    if (error != E_OK) {
        return error;
    }
    if (status.size < 0 || (uint64_t)status.size > size_max) {
        return E_LOCAL_LIMIT;
    }
    data = arena_alloc(arena, (size_t)status.size + 1, 1);
    if (data == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    error = vfs->read(file, 0, data, (size_t)status.size, &size);
    if (error != E_OK) {
        return error;
    }
    data[size] = '\0';
    *ret_bytes = slice_of(data, size);
    return E_OK;
}

enum error vfs_read_file(struct vfs *vfs, const char *path, size_t size_max, struct arena *arena,
                         struct slice *ret_bytes)
{
    struct file *file;
    enum error error = vfs->open(vfs, path, FILE_READ, &file);
    if (error != E_OK) {
        return error;
    }
    error = read_open_file(file, size_max, arena, ret_bytes);
    file_unref(file);
    return error;
}

/* The directory that holds path, into out (room for PATH_MAX). */
static enum error parent_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');
    const size_t size = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == NULL) {
        memcpy(out, ".", sizeof("."));
        return E_OK;
    }
    if (size >= PATH_MAX) {
        return E_LOCAL_LIMIT;
    }
    memcpy(out, path, size);
    out[size] = '\0';
    if (size == 0) {
        memcpy(out, "/", sizeof("/"));
    }
    return E_OK;
}

static enum error write_and_sync(struct vfs *vfs, const char *path, struct slice bytes)
{
    /* writev's struct has no const; nothing is written through it. */
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    struct file *file;
    size_t written;
    enum error error = vfs->open(vfs, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (error != E_OK) {
        return error;
    }
    if (bytes.size > 0) {
        error = vfs->write(file, 0, &piece, 1, &written);
    }
    if (error == E_OK) {
        error = vfs->sync(file);
    }
    file_unref(file);
    return error;
}

enum error vfs_replace_file(struct vfs *vfs, const char *path, struct slice bytes)
{
    char temporary[PATH_MAX];
    char parent[PATH_MAX];
    const int size = snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    enum error error = parent_of(path, parent);
    if (size < 0 || (size_t)size >= sizeof(temporary)) {
        return E_LOCAL_LIMIT;
    }
    if (error != E_OK) {
        return error;
    }
    error = write_and_sync(vfs, temporary, bytes);
    if (error == E_OK) {
        error = vfs->rename(vfs, temporary, path);
    }
    if (error != E_OK) {
        (void)vfs->unlink(vfs, temporary); /* left over at worst; the error above says why */
        return error;
    }
    return vfs->sync_directory(vfs, parent);
}
