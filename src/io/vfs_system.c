/* SPDX-License-Identifier: Apache-2.0 */
/* struct vfs on the kernel's file system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/list.h"
#include "io/system_error.h"
#include "io/vfs.h"

enum {
    MODE_SHARED = 0644,
    MODE_PRIVATE = 0600,
    MODE_DIRECTORY = 0755,
    MS_PER_S = 1000,
    NS_PER_MS = 1000000,
};

static enum error result_of(int result)
{
    return result == 0 ? E_OK : error_from_errno(errno);
}

/* --- open and close --- */

static void file_destroy(struct shared *shared)
{
    struct file *file = container_of(shared, struct file, shared);
    file->vfs->close(file->vfs, file);
}

static int open_flags_of(unsigned flags)
{
    int open_flags = O_CLOEXEC | O_NOCTTY;
    open_flags |= (flags & FILE_WRITE) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & FILE_CREATE) != 0) {
        open_flags |= O_CREAT;
    }
    if ((flags & FILE_EXCLUSIVE) != 0) {
        open_flags |= O_EXCL;
    }
    if ((flags & FILE_TRUNCATE) != 0) {
        open_flags |= O_TRUNC;
    }
    return open_flags;
}

static int open_retry(const char *path, int open_flags, mode_t mode)
{
    int fd;
    do {
        fd = open(path, open_flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static enum error system_open(struct vfs *vfs, const char *path, unsigned flags,
                              struct file **ret_file)
{
    const mode_t mode = (flags & FILE_PRIVATE) != 0 ? MODE_PRIVATE : MODE_SHARED;
    struct file *file = malloc(sizeof(*file));
    if (file == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    file->fd = open_retry(path, open_flags_of(flags), mode);
    if (file->fd < 0) {
        const enum error error = error_from_errno(errno);
        free(file);
        return error;
    }
    file->vfs = vfs;
    shared_init(&file->shared, file_destroy);
    *ret_file = file;
    return E_OK;
}

static void system_close(struct vfs *vfs, struct file *file)
{
    (void)vfs;
    /* Clean by the rule of reliability: synced before it is let go; nothing to do on an error. */
    (void)close(file->fd);
    free(file);
}

/* --- bytes --- */

enum error file_range_read(int fd, int64_t position, void *data, size_t size, size_t *ret_size)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t count = pread(fd, (char *)data + done, size - done, position + (int64_t)done);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return error_from_errno(errno);
        }
        if (count == 0) {
            break;
        }
        done += (size_t)count;
    }
    *ret_size = done;
    return E_OK;
}

static enum error system_read(struct file *file, int64_t position, void *data, size_t size,
                              size_t *ret_size)
{
    return file_range_read(file->fd, position, data, size, ret_size);
}

/* The rest of a piece of which only a part was taken. */
static enum error write_rest(int fd, int64_t position, const struct iovec *piece, size_t skip,
                             size_t *ret_size)
{
    while (skip < piece->iov_len) {
        const ssize_t count =
            pwrite(fd, (const char *)piece->iov_base + skip, piece->iov_len - skip, position);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return error_from_errno(errno);
        }
        skip += (size_t)count;
        position += count;
        *ret_size += (size_t)count;
    }
    return E_OK;
}

/* A short write is continued, so that the call after it says what was wrong. */
static enum error system_write(struct file *file, int64_t position, const struct iovec *pieces,
                               int piece_count, size_t *ret_size)
{
    size_t done = 0;
    enum error error = E_OK;
    while (piece_count > 0 && error == E_OK) {
        const int batch = piece_count < IOV_MAX ? piece_count : IOV_MAX;
        const ssize_t count = pwritev(file->fd, pieces, batch, position + (int64_t)done);
        size_t taken = (size_t)count;
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            error = error_from_errno(errno);
            break;
        }
        done += taken;
        while (piece_count > 0 && taken >= pieces->iov_len) {
            taken -= pieces->iov_len;
            pieces++;
            piece_count--;
        }
        if (taken > 0) {
            error = write_rest(file->fd, position + (int64_t)done, pieces, taken, &done);
            pieces++;
            piece_count--;
        }
    }
    *ret_size = done;
    return error;
}

static enum error system_sync(struct file *file)
{
    /* Never tried again, not even after EINTR: the kernel may have dropped the pages. */
    return result_of(fdatasync(file->fd));
}

static enum error system_truncate(struct file *file, int64_t size)
{
    int result;
    do {
        result = ftruncate(file->fd, size);
    } while (result != 0 && errno == EINTR);
    return result_of(result);
}

static enum error system_allocate(struct file *file, int64_t position, int64_t size)
{
    int result;
    do {
        result = fallocate(file->fd, FALLOC_FL_KEEP_SIZE, position, size);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        return E_OK; /* a file system that cannot do it: nothing is lost */
    }
    return result_of(result);
}

static enum error system_write_back(struct file *file, int64_t position, int64_t size)
{
    int result = sync_file_range(file->fd, position, size, SYNC_FILE_RANGE_WRITE);
    if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        return E_OK;
    }
    return result_of(result);
}

static enum error system_will_need(struct file *file, int64_t position, int64_t size)
{
    const int number = posix_fadvise(file->fd, position, size, POSIX_FADV_WILLNEED);
    return number == 0 ? E_OK : error_from_errno(number);
}

/* --- names --- */

static void status_from(const struct stat *st, struct file_status *ret_status)
{
    *ret_status = (struct file_status){
        .size = st->st_size,
        .modified_ms = (int64_t)st->st_mtim.tv_sec * MS_PER_S + st->st_mtim.tv_nsec / NS_PER_MS,
        .is_directory = S_ISDIR(st->st_mode),
    };
}

static enum error system_status(struct file *file, struct file_status *ret_status)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0) {
        return error_from_errno(errno);
    }
    status_from(&st, ret_status);
    return E_OK;
}

static enum error system_path_status(struct vfs *vfs, const char *path,
                                     struct file_status *ret_status)
{
    struct stat st;
    (void)vfs;
    if (stat(path, &st) != 0) {
        return error_from_errno(errno);
    }
    status_from(&st, ret_status);
    return E_OK;
}

static enum error system_rename(struct vfs *vfs, const char *from, const char *to)
{
    (void)vfs;
    return result_of(rename(from, to));
}

static enum error system_unlink(struct vfs *vfs, const char *path)
{
    (void)vfs;
    return result_of(unlink(path));
}

static enum error system_make_directory(struct vfs *vfs, const char *path)
{
    (void)vfs;
    return result_of(mkdir(path, MODE_DIRECTORY));
}

static enum error system_remove_directory(struct vfs *vfs, const char *path)
{
    (void)vfs;
    return result_of(rmdir(path));
}

/* --- listing a directory --- */

struct listed {
    struct directory_entry entry;
    struct listed *next;
};

static bool is_dot_name(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Follows symbolic links, as stat does. */
static bool is_directory_entry(DIR *dir, const struct dirent *found)
{
    struct stat st;
    if (found->d_type != DT_UNKNOWN && found->d_type != DT_LNK) {
        return found->d_type == DT_DIR;
    }
    return fstatat(dirfd(dir), found->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static struct listed *list_add(struct arena *arena, DIR *dir, const struct dirent *found)
{
    struct listed *listed = ARENA_NEW(arena, struct listed);
    const struct slice name = arena_copy(arena, slice_from_string(found->d_name));
    if (listed == NULL || slice_is_null(name)) {
        return NULL;
    }
    listed->entry.name = (const char *)name.data;
    listed->entry.is_directory = is_directory_entry(dir, found);
    return listed;
}

static enum error list_read(struct arena *arena, DIR *dir, struct listed **ret_newest,
                            size_t *ret_count)
{
    const struct dirent *found;
    errno = 0;
    while ((found = readdir(dir)) != NULL) {
        struct listed *listed;
        if (is_dot_name(found->d_name)) {
            continue;
        }
        listed = list_add(arena, dir, found);
        if (listed == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        listed->next = *ret_newest;
        *ret_newest = listed;
        (*ret_count)++;
        errno = 0;
    }
    return errno == 0 ? E_OK : error_from_errno(errno);
}

static enum error system_list(struct vfs *vfs, const char *path, struct arena *arena,
                              struct directory_entry **ret_entries, size_t *ret_count)
{
    struct listed *newest = NULL;
    struct directory_entry *entries;
    size_t count = 0;
    enum error error;
    DIR *dir = opendir(path);
    (void)vfs;
    if (dir == NULL) {
        return error_from_errno(errno);
    }
    error = list_read(arena, dir, &newest, &count);
    (void)closedir(dir);
    if (error != E_OK) {
        return error;
    }
    entries = ARENA_NEW_ARRAY(arena, struct directory_entry, count);
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++, newest = newest->next) {
        entries[i] = newest->entry;
    }
    *ret_entries = entries;
    *ret_count = count;
    return E_OK;
}

/* --- whole directories and file systems --- */

static enum error with_directory(const char *path, int (*act)(int fd))
{
    enum error error;
    const int fd = open_retry(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY, 0);
    if (fd < 0) {
        return error_from_errno(errno);
    }
    error = result_of(act(fd));
    (void)close(fd);
    return error;
}

static enum error system_sync_directory(struct vfs *vfs, const char *path)
{
    (void)vfs;
    return with_directory(path, fsync);
}

static enum error system_sync_all(struct vfs *vfs, const char *path)
{
    (void)vfs;
    return with_directory(path, syncfs);
}

/* The kind of lock that Java's FileChannel takes, so that Apache Kafka and this broker keep each
 * other out of a directory; bound to the open file, not to the process. */
static enum error system_lock(struct file *file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int result = fcntl(file->fd, F_OFD_SETLK, &whole);
    if (result != 0 && (errno == EAGAIN || errno == EACCES)) {
        return E_LOCAL_BUSY;
    }
    return result_of(result);
}

static enum error system_space(struct vfs *vfs, const char *path, int64_t *ret_free,
                               int64_t *ret_total)
{
    struct statvfs st;
    int result;
    (void)vfs;
    do {
        result = statvfs(path, &st);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return error_from_errno(errno);
    }
    *ret_free = (int64_t)(st.f_bavail * st.f_frsize);
    *ret_total = (int64_t)(st.f_blocks * st.f_frsize);
    return E_OK;
}

struct vfs *vfs_system(void)
{
    /* Never written; not const because a vfs of another kind has state. */
    static struct vfs system = {
        .open = system_open,
        .close = system_close,
        .read = system_read,
        .write = system_write,
        .sync = system_sync,
        .truncate = system_truncate,
        .allocate = system_allocate,
        .write_back = system_write_back,
        .will_need = system_will_need,
        .status = system_status,
        .path_status = system_path_status,
        .rename = system_rename,
        .unlink = system_unlink,
        .make_directory = system_make_directory,
        .remove_directory = system_remove_directory,
        .list = system_list,
        .sync_directory = system_sync_directory,
        .sync_all = system_sync_all,
        .lock = system_lock,
        .space = system_space,
    };
    return &system;
}
