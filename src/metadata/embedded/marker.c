/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "metadata/embedded/marker_private.h"

static const char marker_head[] = "#The partitions here are known to the metadata store of this id "
                                  "(ottla.mdb).\nversion=1\nstore.id=";

enum {
    MARKER_PATH_SIZE_MAX = 4096,
    MARKER_SIZE_MAX = 4096,
};

static enum error marker_path(const char *directory, char *path)
{
    const int size = snprintf(path, MARKER_PATH_SIZE_MAX, "%s/ottla.metadata", directory);
    return size < MARKER_PATH_SIZE_MAX ? E_OK : E_LOCAL_LIMIT;
}

enum error marker_read(struct vfs *vfs, const char *directory, struct uuid *ret_id)
{
    char path[MARKER_PATH_SIZE_MAX];
    enum error error = marker_path(directory, path);
    if (error != E_OK) {
        return error;
    }
    struct arena arena;
    struct slice bytes;
    arena_init(&arena, 4 * (size_t)MARKER_SIZE_MAX);
    error = vfs_read_file(vfs, path, MARKER_SIZE_MAX, &arena, &bytes);
    if (error == E_LOCAL_NOT_FOUND) {
        *ret_id = UUID_ZERO;
        error = E_OK;
    } else if (error == E_OK) {
        static const char name[] = "store.id=";
        const uint8_t *at = memmem(bytes.data, bytes.size, name, sizeof(name) - 1);
        const size_t value_at =
            at == NULL ? bytes.size : (size_t)(at - bytes.data) + sizeof(name) - 1;
        if (bytes.size - value_at < UUID_TEXT_SIZE ||
            !uuid_parse(slice_of(bytes.data + value_at, UUID_TEXT_SIZE), ret_id)) {
            error = E_LOCAL_CORRUPT;
        }
    }
    arena_done(&arena);
    return error;
}

enum error marker_write(struct vfs *vfs, const char *directory, const struct uuid *id)
{
    char path[MARKER_PATH_SIZE_MAX];
    const enum error error = marker_path(directory, path);
    if (error != E_OK) {
        return error;
    }
    char text[sizeof(marker_head) + UUID_TEXT_SIZE + 2];
    char id_text[UUID_TEXT_SIZE + 1];
    uuid_format(id, id_text);
    const int size = snprintf(text, sizeof(text), "%s%s\n", marker_head, id_text);
    return vfs_replace_file(vfs, path, slice_of(text, (size_t)size));
}
