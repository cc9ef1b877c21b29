/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/log_directory.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    DECIMAL = 10,
    DELETED_ID_SIZE = 32,
    METADATA_ROOM = 128, /* 43 bytes are Kafka's */
    LISTING_SIZE_MAX = 256 * 1024 * 1024,
    PROBE_SIZE = 4096,
    /* Less is not worth to come back for: a segment's indexes alone may take 20 MiB. */
    PROBE_FREE_MIN = 32 * 1024 * 1024,
};

static const char deleted_suffix[] = "-delete";

/* --- names --- */

bool log_directory_path(char *path, const char *directory, const char *name)
{
    const int size = snprintf(path, LOG_DIRECTORY_PATH_ROOM, "%s/%s", directory, name);
    return size > 0 && size < LOG_DIRECTORY_PATH_ROOM;
}

bool log_directory_partition_path(char *path, const char *directory,
                                  struct topic_partition topic_partition)
{
    const int size = snprintf(path, LOG_DIRECTORY_PATH_ROOM, "%s/%.*s-%" PRId32, directory,
                              (int)topic_partition.topic.size,
                              (const char *)topic_partition.topic.data, topic_partition.partition);
    return size > 0 && size < LOG_DIRECTORY_PATH_ROOM;
}

static bool is_legal_topic(struct slice topic)
{
    if (topic.size == 0 || topic.size > TOPIC_NAME_SIZE_MAX || slice_equal_string(topic, ".") ||
        slice_equal_string(topic, "..")) {
        return false;
    }
    for (size_t i = 0; i < topic.size; i++) {
        const uint8_t c = topic.data[i];
        const bool is_legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!is_legal) {
            return false;
        }
    }
    return true;
}

static bool parse_partition(const char *digits, int32_t *ret_partition)
{
    int64_t number = 0;
    if (digits[0] == '\0' || (digits[0] == '0' && digits[1] != '\0')) {
        return false;
    }
    for (; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9') {
            return false;
        }
        number = number * DECIMAL + (*digits - '0');
        if (number > INT32_MAX) {
            return false;
        }
    }
    *ret_partition = (int32_t)number;
    return true;
}

/* "….<32 hex>-delete" */
static bool is_deleted_name(const char *name, size_t size)
{
    const size_t suffix_size = sizeof(deleted_suffix) - 1;
    if (size <= suffix_size + DELETED_ID_SIZE + 1 ||
        strcmp(name + size - suffix_size, deleted_suffix) != 0) {
        return false;
    }
    const char *id = name + size - suffix_size - DELETED_ID_SIZE;
    return id[-1] == '.' && strspn(id, "0123456789abcdef") == DELETED_ID_SIZE;
}

enum log_directory_name log_directory_parse_name(const char *name,
                                                 struct topic_partition *ret_topic_partition)
{
    const char *dash = strrchr(name, '-');
    struct topic_partition found;
    if (is_deleted_name(name, strlen(name))) {
        return NAME_DELETED;
    }
    if (dash == NULL || !parse_partition(dash + 1, &found.partition)) {
        return NAME_OTHER;
    }
    found.topic = slice_of(name, (size_t)(dash - name));
    if (!is_legal_topic(found.topic) || slice_equal_string(found.topic, "__cluster_metadata")) {
        return NAME_OTHER;
    }
    *ret_topic_partition = found;
    return NAME_PARTITION;
}

void log_directory_deleted_name(char *name, struct topic_partition topic_partition,
                                const struct uuid *id)
{
    char suffix[DELETED_ID_SIZE + 32];
    int size = snprintf(suffix, sizeof(suffix), "-%" PRId32 ".", topic_partition.partition);
    for (size_t i = 0; i < sizeof(id->bytes); i++) {
        size += snprintf(suffix + size, sizeof(suffix) - (size_t)size, "%02x", id->bytes[i]);
    }
    size += snprintf(suffix + size, sizeof(suffix) - (size_t)size, "%s", deleted_suffix);
    const size_t room = LOG_DIRECTORY_NAME_MAX - (size_t)size;
    const size_t topic_size = topic_partition.topic.size < room ? topic_partition.topic.size : room;
    (void)snprintf(name, LOG_DIRECTORY_NAME_MAX + 1, "%.*s%s", (int)topic_size,
                   (const char *)topic_partition.topic.data, suffix);
}

/* --- the directory itself --- */

/* path[0 .. size) and that it is on disk (rule 51). */
static enum error make_one(struct vfs *vfs, const char *path, size_t size)
{
    char part[LOG_DIRECTORY_PATH_ROOM];
    memcpy(part, path, size);
    part[size] = '\0';
    const enum error error = vfs->make_directory(vfs, part);
    if (error != E_OK) {
        return error;
    }
    char *slash = strrchr(part, '/');
    if (slash == NULL) {
        return vfs->sync_directory(vfs, ".");
    }
    slash[slash == part ? 1 : 0] = '\0'; /* the root keeps its slash */
    return vfs->sync_directory(vfs, part);
}

enum error log_directory_make(struct vfs *vfs, const char *path)
{
    struct file_status status;
    size_t size = strlen(path);
    enum error error = vfs->path_status(vfs, path, &status);
    if (error == E_OK) {
        return status.is_directory ? E_OK : E_LOCAL_EXISTS;
    }
    if (error != E_LOCAL_NOT_FOUND || size >= LOG_DIRECTORY_PATH_ROOM) {
        return error;
    }
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    for (size_t i = 1; i < size; i++) {
        if (path[i] == '/' && path[i - 1] != '/') {
            (void)make_one(vfs, path, i); /* most are there; the last one tells */
        }
    }
    return make_one(vfs, path, size);
}

enum error log_directory_lock(struct vfs *vfs, const char *path, struct file **ret_lock)
{
    char lock_path[LOG_DIRECTORY_PATH_ROOM];
    struct file *lock;
    if (!log_directory_path(lock_path, path, ".lock")) {
        return E_LOCAL_LIMIT;
    }
    enum error error = vfs->open(vfs, lock_path, FILE_WRITE | FILE_CREATE, &lock);
    if (error != E_OK) {
        return error;
    }
    error = vfs->lock(lock);
    if (error != E_OK) {
        file_unref(lock);
        return error;
    }
    *ret_lock = lock;
    return E_OK;
}

struct uuid log_directory_read_topic_id(struct vfs *vfs, const char *partition_path)
{
    static const char key[] = "topic_id: ";
    char path[LOG_DIRECTORY_PATH_ROOM];
    uint8_t text[METADATA_ROOM];
    struct uuid id = UUID_ZERO;
    struct file *file;
    size_t size = 0;
    if (!log_directory_path(path, partition_path, "partition.metadata") ||
        vfs->open(vfs, path, FILE_READ, &file) != E_OK) {
        return id;
    }
    const enum error error = vfs->read(file, 0, text, sizeof(text), &size);
    file_unref(file);
    const uint8_t *at = error == E_OK ? memmem(text, size, key, sizeof(key) - 1) : NULL;
    if (at != NULL) {
        at += sizeof(key) - 1;
        if ((size_t)(text + size - at) < UUID_TEXT_SIZE ||
            !uuid_parse(slice_of(at, UUID_TEXT_SIZE), &id)) {
            id = UUID_ZERO;
        }
    }
    return id;
}

enum error log_directory_remove(struct vfs *vfs, const char *path)
{
    char file_path[LOG_DIRECTORY_PATH_ROOM];
    struct directory_entry *entries = NULL;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, LISTING_SIZE_MAX);
    enum error error = vfs->list(vfs, path, &arena, &entries, &count);
    for (size_t i = 0; error == E_OK && i < count; i++) {
        error = log_directory_path(file_path, path, entries[i].name) ? vfs->unlink(vfs, file_path)
                                                                     : E_LOCAL_LIMIT;
        error = error == E_LOCAL_NOT_FOUND ? E_OK : error;
    }
    arena_done(&arena);
    if (error == E_OK) {
        error = vfs->remove_directory(vfs, path);
    }
    return error == E_LOCAL_NOT_FOUND ? E_OK : error;
}

enum error log_directory_probe(struct vfs *vfs, const char *path)
{
    char probe_path[LOG_DIRECTORY_PATH_ROOM];
    char bytes[PROBE_SIZE];
    const struct iovec piece = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct file *file;
    size_t written;
    int64_t free_bytes = 0;
    int64_t total_bytes = 0;
    memset(bytes, 0, sizeof(bytes));
    if (!log_directory_path(probe_path, path, ".ottla_probe")) {
        return E_LOCAL_LIMIT;
    }
    enum error error = vfs->space(vfs, path, &free_bytes, &total_bytes);
    if (error == E_OK && free_bytes < PROBE_FREE_MIN) {
        return E_LOCAL_NO_SPACE;
    }
    if (error == E_OK) {
        error = vfs->open(vfs, probe_path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    }
    if (error != E_OK) {
        return error;
    }
    error = vfs->write(file, 0, &piece, 1, &written);
    if (error == E_OK) {
        error = vfs->sync(file);
    }
    file_unref(file);
    const enum error unlink_error = vfs->unlink(vfs, probe_path);
    return error != E_OK ? error : unlink_error;
}
