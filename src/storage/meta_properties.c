/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/meta_properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/properties.h"
#include "storage/log_directory.h"

enum {
    META_SIZE_MAX = 64 * 1024,
    CLUSTER_ID_SIZE_MAX = 256,
    META_TEXT_ROOM = CLUSTER_ID_SIZE_MAX + 256,
    DECIMAL = 10,
};

static const char file_name[] = "meta.properties";

static struct slice value_of(const struct properties *properties, const char *name)
{
    const struct property *property = properties_find(properties, slice_from_string(name));
    return property == NULL ? SLICE_NULL : property->value;
}

/* Values of properties end with a NUL behind them. */
static bool parse_int32(struct slice text, int32_t *ret_number)
{
    char *end;
    const long number = strtol((const char *)text.data, &end, DECIMAL);
    if (text.size == 0 || (const uint8_t *)end != text.data + text.size || number < 0 ||
        number > INT32_MAX) {
        return false;
    }
    *ret_number = (int32_t)number;
    return true;
}

static enum error interpret(const struct properties *properties,
                            struct meta_properties *ret_properties, const char **ret_text)
{
    struct meta_properties meta = {.broker_id = -1};
    const struct slice version = value_of(properties, "version");
    if (slice_is_null(version) || !parse_int32(version, &meta.version)) {
        *ret_text = "it has no number as \"version\"";
        return E_LOCAL_MALFORMED;
    }
    if (meta.version > 1) {
        return E_LOCAL_UNSUPPORTED;
    }
    const struct slice id = value_of(properties, meta.version == 0 ? "broker.id" : "node.id");
    if (!slice_is_null(id) && !parse_int32(id, &meta.broker_id)) {
        *ret_text = "its broker.id or node.id is not a number";
        return E_LOCAL_MALFORMED;
    }
    meta.cluster_id = value_of(properties, "cluster.id");
    if (meta.cluster_id.size > CLUSTER_ID_SIZE_MAX) {
        *ret_text = "its cluster.id is longer than 256 bytes";
        return E_LOCAL_MALFORMED;
    }
    const struct slice directory_id = value_of(properties, "directory.id");
    if (!slice_is_null(directory_id) && !uuid_parse(directory_id, &meta.directory_id)) {
        *ret_text = "its directory.id is not a UUID of 22 characters";
        return E_LOCAL_MALFORMED;
    }
    *ret_properties = meta;
    return E_OK;
}

enum error meta_properties_read(struct vfs *vfs, const char *directory, struct arena *arena,
                                struct meta_properties *ret_properties, const char **ret_text)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    struct slice text;
    struct properties properties;
    struct properties_failure failure;
    if (!log_directory_path(path, directory, file_name)) {
        return E_LOCAL_LIMIT;
    }
    enum error error = vfs_read_file(vfs, path, META_SIZE_MAX, arena, &text);
    if (error != E_OK) {
        return error;
    }
    error = properties_parse(arena, text, &properties, &failure);
    if (error == E_INVALID_CONFIG) {
        *ret_text = failure.text;
        return E_LOCAL_MALFORMED;
    }
    return error != E_OK ? error : interpret(&properties, ret_properties, ret_text);
}

enum error meta_properties_write(struct vfs *vfs, const char *directory,
                                 const struct meta_properties *properties)
{
    char path[LOG_DIRECTORY_PATH_ROOM];
    char text[META_TEXT_ROOM];
    char directory_id[UUID_TEXT_SIZE + 1];
    check(properties->cluster_id.size <= CLUSTER_ID_SIZE_MAX);
    if (!log_directory_path(path, directory, file_name)) {
        return E_LOCAL_LIMIT;
    }
    uuid_format(&properties->directory_id, directory_id);
    const int size =
        properties->version == 0
            ? snprintf(text, sizeof(text), "#\nversion=0\nbroker.id=%" PRId32 "\ncluster.id=%.*s\n",
                       properties->broker_id, (int)properties->cluster_id.size,
                       (const char *)properties->cluster_id.data)
            : snprintf(text, sizeof(text),
                       "#\nversion=1\nnode.id=%" PRId32 "\ncluster.id=%.*s\ndirectory.id=%s\n",
                       properties->broker_id, (int)properties->cluster_id.size,
                       (const char *)properties->cluster_id.data, directory_id);
    check(size > 0 && (size_t)size < sizeof(text));
    return vfs_replace_file(vfs, path, slice_of(text, (size_t)size));
}
