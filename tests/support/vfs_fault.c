/* SPDX-License-Identifier: Apache-2.0 */
#include "support/vfs_fault.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct fault_file {
    struct file file; /* first */
    struct file *inner;
};

static struct fault_vfs *fault_of(struct vfs *vfs)
{
    return (struct fault_vfs *)(void *)vfs;
}

static struct file *inner_of(struct file *file)
{
    return ((struct fault_file *)(void *)file)->inner;
}

static bool fires(struct vfs *vfs, enum fault_kind kind)
{
    struct fault_vfs *fault = fault_of(vfs);
    if ((fault->kinds & (unsigned)kind) == 0) {
        return false;
    }
    const bool is_hit = fault->countdown > 0 && --fault->countdown == 0;
    if (is_hit) {
        fault->is_failing = fault->is_lasting;
    }
    if (is_hit || fault->is_failing) {
        fault->fired_count++;
        return true;
    }
    return false;
}

/* --- files --- */

static void fault_close(struct vfs *vfs, struct file *file)
{
    fault_of(vfs)->open_count--;
    file_unref(inner_of(file));
    free(file);
}

static void on_destroy(struct shared *shared)
{
    struct file *file = container_of(shared, struct file, shared);
    file->vfs->close(file->vfs, file);
}

static enum error fault_open(struct vfs *vfs, const char *path, unsigned flags,
                             struct file **ret_file)
{
    struct fault_vfs *fault = fault_of(vfs);
    if (fires(vfs, FAULT_OPEN)) {
        return fault->error;
    }
    struct fault_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const enum error error = fault->inner->open(fault->inner, path, flags, &file->inner);
    if (error != E_OK) {
        free(file);
        return error;
    }
    file->file.vfs = vfs;
    file->file.fd = file->inner->fd;
    shared_init(&file->file.shared, on_destroy);
    fault->open_count++;
    *ret_file = &file->file;
    return E_OK;
}

static enum error fault_read(struct file *file, int64_t position, void *data, size_t size,
                             size_t *ret_size)
{
    struct file *inner = inner_of(file);
    return fires(file->vfs, FAULT_READ) ? fault_of(file->vfs)->error
                                        : inner->vfs->read(inner, position, data, size, ret_size);
}

static enum error fault_write(struct file *file, int64_t position, const struct iovec *pieces,
                              int piece_count, size_t *ret_size)
{
    struct file *inner = inner_of(file);
    if (!fires(file->vfs, FAULT_WRITE)) {
        return inner->vfs->write(inner, position, pieces, piece_count, ret_size);
    }
    *ret_size = 0;
    if (fault_of(file->vfs)->is_short && piece_count > 0) {
        struct iovec half = pieces[0];
        half.iov_len /= 2;
        const enum error error = inner->vfs->write(inner, position, &half, 1, ret_size);
        check(error == E_OK);
    }
    return fault_of(file->vfs)->error;
}

static enum error fault_sync(struct file *file)
{
    struct file *inner = inner_of(file);
    return fires(file->vfs, FAULT_SYNC) ? fault_of(file->vfs)->error : inner->vfs->sync(inner);
}

static enum error fault_truncate(struct file *file, int64_t size)
{
    struct file *inner = inner_of(file);
    return fires(file->vfs, FAULT_TRUNCATE) ? fault_of(file->vfs)->error
                                            : inner->vfs->truncate(inner, size);
}

static enum error fault_allocate(struct file *file, int64_t position, int64_t size)
{
    struct file *inner = inner_of(file);
    return inner->vfs->allocate(inner, position, size);
}

static enum error fault_write_back(struct file *file, int64_t position, int64_t size)
{
    struct file *inner = inner_of(file);
    return inner->vfs->write_back(inner, position, size);
}

static enum error fault_will_need(struct file *file, int64_t position, int64_t size)
{
    struct file *inner = inner_of(file);
    return inner->vfs->will_need(inner, position, size);
}

static enum error fault_status(struct file *file, struct file_status *ret_status)
{
    struct file *inner = inner_of(file);
    return inner->vfs->status(inner, ret_status);
}

static enum error fault_lock(struct file *file)
{
    struct file *inner = inner_of(file);
    return inner->vfs->lock(inner);
}

/* --- names --- */

static enum error fault_path_status(struct vfs *vfs, const char *path,
                                    struct file_status *ret_status)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return inner->path_status(inner, path, ret_status);
}

static enum error fault_rename(struct vfs *vfs, const char *from, const char *to)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_RENAME) ? fault_of(vfs)->error : inner->rename(inner, from, to);
}

static enum error fault_unlink(struct vfs *vfs, const char *path)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_UNLINK) ? fault_of(vfs)->error : inner->unlink(inner, path);
}

static enum error fault_make_directory(struct vfs *vfs, const char *path)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_MAKE_DIRECTORY) ? fault_of(vfs)->error
                                            : inner->make_directory(inner, path);
}

static enum error fault_remove_directory(struct vfs *vfs, const char *path)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_UNLINK) ? fault_of(vfs)->error : inner->remove_directory(inner, path);
}

static enum error fault_list(struct vfs *vfs, const char *path, struct arena *arena,
                             struct directory_entry **ret_entries, size_t *ret_count)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_LIST) ? fault_of(vfs)->error
                                  : inner->list(inner, path, arena, ret_entries, ret_count);
}

static enum error fault_sync_directory(struct vfs *vfs, const char *path)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_SYNC) ? fault_of(vfs)->error : inner->sync_directory(inner, path);
}

static enum error fault_sync_all(struct vfs *vfs, const char *path)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return fires(vfs, FAULT_SYNC) ? fault_of(vfs)->error : inner->sync_all(inner, path);
}

static enum error fault_space(struct vfs *vfs, const char *path, int64_t *ret_free,
                              int64_t *ret_total)
{
    struct vfs *inner = fault_of(vfs)->inner;
    return inner->space(inner, path, ret_free, ret_total);
}

/* --- what is to fail --- */

void fault_vfs_init(struct fault_vfs *fault, struct vfs *inner)
{
    *fault = (struct fault_vfs){
        .vfs =
            {
                .open = fault_open,
                .close = fault_close,
                .read = fault_read,
                .write = fault_write,
                .sync = fault_sync,
                .truncate = fault_truncate,
                .allocate = fault_allocate,
                .write_back = fault_write_back,
                .will_need = fault_will_need,
                .status = fault_status,
                .path_status = fault_path_status,
                .rename = fault_rename,
                .unlink = fault_unlink,
                .make_directory = fault_make_directory,
                .remove_directory = fault_remove_directory,
                .list = fault_list,
                .sync_directory = fault_sync_directory,
                .sync_all = fault_sync_all,
                .lock = fault_lock,
                .space = fault_space,
            },
        .inner = inner,
    };
}

void fault_vfs_set(struct fault_vfs *fault, unsigned kinds, uint64_t n, enum error error)
{
    fault->kinds = kinds;
    fault->countdown = n;
    fault->error = error;
    fault->fired_count = 0;
    fault->is_failing = false;
}

bool fault_vfs_stop(struct fault_vfs *fault)
{
    fault->countdown = 0;
    fault->is_failing = false;
    return fault->fired_count > 0;
}
