/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/clean_marker.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/log_directory.h"

enum { MARKER_SIZE_MAX = 128 };

static const char marker_name[] = ".kafka_cleanshutdown";
static const char boot_name[] = ".ottla_boot";
static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";

enum error clean_marker_take(struct vfs *vfs, const char *directory, bool *ret_was_clean)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    if (!log_directory_path(path, directory, marker_name)) {
        return E_LOCAL_LIMIT;
    }
    const enum error unlink_error = vfs->unlink(vfs, path);
    if (unlink_error != E_OK && unlink_error != E_LOCAL_NOT_FOUND) {
        return unlink_error;
    }
    /* Also when there is none: an earlier start may have been killed between the two steps. */
    const enum error error = vfs->sync_directory(vfs, directory);
    if (error == E_OK) {
        *ret_was_clean = unlink_error == E_OK;
    }
    return error;
}

enum error clean_marker_write(struct vfs *vfs, const char *directory, int64_t broker_epoch)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    char text[MARKER_SIZE_MAX];
    if (!log_directory_path(path, directory, marker_name)) {
        return E_LOCAL_LIMIT;
    }
    const int size =
        snprintf(text, sizeof(text), "{\"version\":0,\"brokerEpoch\":%" PRId64 "}", broker_epoch);
    return vfs_replace_file(vfs, path, slice_of(text, (size_t)size));
}

/* Not vfs_read_file: files of /proc have no size. */
static struct boot_id read_id(struct vfs *vfs, const char *path)
{
    struct boot_id id = {{0}};
    struct file *file;
    size_t size = 0;
    if (vfs->open(vfs, path, FILE_READ, &file) != E_OK) {
        return id;
    }
    if (vfs->read(file, 0, id.text, BOOT_ID_SIZE, &size) != E_OK || size != BOOT_ID_SIZE) {
        id = (struct boot_id){{0}};
    }
    file_unref(file);
    return id;
}

struct boot_id boot_id_current(struct vfs *vfs)
{
    return read_id(vfs, boot_id_path);
}

struct boot_id boot_id_read(struct vfs *vfs, const char *directory)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    if (!log_directory_path(path, directory, boot_name)) {
        return (struct boot_id){{0}};
    }
    return read_id(vfs, path);
}

enum error boot_id_write(struct vfs *vfs, const char *directory, struct boot_id id)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    if (!log_directory_path(path, directory, boot_name)) {
        return E_LOCAL_LIMIT;
    }
    return vfs_replace_file(vfs, path, slice_from_string(id.text));
}

bool boot_id_is_same(struct boot_id a, struct boot_id b)
{
    return a.text[0] != '\0' && memcmp(a.text, b.text, BOOT_ID_SIZE) == 0;
}
