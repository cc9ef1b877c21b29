/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files. A table of functions, so that the same storage code runs on the kernel's file system, on
 * one that fails the n-th call, and on one that remembers what a power cut would have left.
 *
 * All paths are absolute or relative to the process's directory and NUL-terminated.
 * Errors, all functions: E_LOCAL_NOT_FOUND ENOENT · E_LOCAL_EXISTS EEXIST · E_LOCAL_NO_SPACE
 * ENOSPC, EDQUOT · E_LOCAL_PERMISSION EACCES, EPERM, EROFS · E_LOCAL_TOO_MANY_FILES EMFILE, ENFILE
 * · E_LOCAL_NOT_EMPTY · E_LOCAL_BUSY (lock) · E_LOCAL_NO_MEMORY · E_LOCAL_IO everything else. EINTR
 * is retried inside. Thread: any thread; one file is not used by two threads at once for writing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/shared.h"

struct vfs;

/* An open file, shared by reference count; the descriptor closes with the last reference. */
struct file {
    struct shared shared;
    struct vfs *vfs;
    int fd; /* real vfs: the descriptor, which sendfile may use; others: their own handle */
};

enum file_open_flags {
    FILE_READ = 0,
    FILE_WRITE = 1 << 0,     /* read and write */
    FILE_CREATE = 1 << 1,    /* make it if it is absent, mode 0644 */
    FILE_EXCLUSIVE = 1 << 2, /* with FILE_CREATE: E_LOCAL_EXISTS if present */
    FILE_TRUNCATE = 1 << 3,
    FILE_PRIVATE = 1 << 4, /* with FILE_CREATE: mode 0600 */
};

struct file_status {
    int64_t size;        /* bytes */
    int64_t modified_ms; /* wall clock */
    bool is_directory;
};

struct directory_entry {
    const char *name; /* in the caller's arena */
    bool is_directory;
};

struct vfs {
    enum error (*open)(struct vfs *vfs, const char *path, unsigned flags, struct file **ret_file);
    void (*close)(struct vfs *vfs, struct file *file); /* called by the last file_unref only */
    /* *ret_size < the wanted size only at the end of the file. */
    enum error (*read)(struct file *file, int64_t position, void *data, size_t size,
                       size_t *ret_size);
    /* Writes all or fails; after a failure an unknown prefix may be written (*ret_size is a lower
     * bound of it). */
    enum error (*write)(struct file *file, int64_t position, const struct iovec *pieces,
                        int piece_count, size_t *ret_size);
    enum error (*sync)(struct file *file); /* fdatasync. A failure is final for the file. */
    enum error (*truncate)(struct file *file, int64_t size);
    enum error (*allocate)(struct file *file, int64_t position,
                           int64_t size); /* KEEP_SIZE; a hint */
    enum error (*write_back)(struct file *file, int64_t position,
                             int64_t size); /* start writeback; a hint */
    enum error (*will_need)(struct file *file, int64_t position,
                            int64_t size); /* read ahead; a hint */
    enum error (*status)(struct file *file, struct file_status *ret_status);
    enum error (*path_status)(struct vfs *vfs, const char *path, struct file_status *ret_status);
    enum error (*rename)(struct vfs *vfs, const char *from, const char *to);
    enum error (*unlink)(struct vfs *vfs, const char *path);
    enum error (*make_directory)(struct vfs *vfs, const char *path);
    enum error (*remove_directory)(struct vfs *vfs, const char *path); /* empty only */
    /* Entries except "." and "..", in no order, in the arena. */
    enum error (*list)(struct vfs *vfs, const char *path, struct arena *arena,
                       struct directory_entry **ret_entries, size_t *ret_count);
    enum error (*sync_directory)(struct vfs *vfs, const char *path);
    enum error (*sync_all)(struct vfs *vfs,
                           const char *path); /* syncfs of the file system that holds path */
    /* An exclusive lock held until the file is closed: E_LOCAL_BUSY when another process has it. */
    enum error (*lock)(struct file *file);
    /* Free bytes for this process on the file system of path. */
    enum error (*space)(struct vfs *vfs, const char *path, int64_t *ret_free, int64_t *ret_total);
};

/* The kernel's. Static storage, never freed. */
struct vfs *vfs_system(void);

static inline struct file *file_ref(struct file *file)
{
    if (file != NULL) {
        shared_ref(&file->shared);
    }
    return file;
}

/* NULL is fine; returns NULL. */
static inline struct file *file_unref(struct file *file)
{
    if (file != NULL) {
        shared_unref(&file->shared);
    }
    return NULL;
}

/* A range of an open descriptor of the kernel's file system, as a chain's file piece names it.
 * *ret_size < size only at the end of the file. */
NODISCARD enum error file_range_read(int fd, int64_t position, void *data, size_t size,
                                     size_t *ret_size);

/* Whole small files: checkpoints, partition.metadata, meta.properties. */
/* Errors: E_LOCAL_LIMIT larger than size_max. Bytes in the arena, NUL-terminated beyond size. */
NODISCARD enum error vfs_read_file(struct vfs *vfs, const char *path, size_t size_max,
                                   struct arena *arena, struct slice *ret_bytes);
/* path.tmp, fsync, rename to path, fsync of the directory: never torn (reliability rule 45).
 * Errors: E_LOCAL_LIMIT the path is too long. After an error path holds the old bytes or the new.
 */
NODISCARD enum error vfs_replace_file(struct vfs *vfs, const char *path, struct slice bytes);
