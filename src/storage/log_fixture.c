/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/log_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

enum { OPEN_FILES_MAX = 16 };

struct log_config fixture_config(void)
{
    return (struct log_config){
        .segment_size_bytes_max = 1 << 30,
        .segment_age_ms_max = INT64_C(7) * 24 * 3600 * 1000,
        .index_size_bytes_max = 10 * 1024 * 1024,
        .index_interval_bytes = 4096,
        .retention_ms = INT64_C(7) * 24 * 3600 * 1000,
        .retention_bytes = -1,
        .file_delete_delay_ms = 60000,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = INT64_MAX,
        .producer_id_expiration_ms = 86400000,
        .message_size_bytes_max = 1048588,
        .compression = COMPRESSION_PRODUCER,
        .is_deleted = true,
        .validate_compressed = true,
    };
}

void fixture_init(struct log_fixture *fixture, struct vfs *vfs)
{
    *fixture = (struct log_fixture){.config = fixture_config()};
    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/ottla_log.XXXXXX");
    check(mkdtemp(fixture->directory) != NULL);
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/topic-0", fixture->directory);
    manual_clock_init(&fixture->clock, INT64_C(1700000000000));
    fixture->env.vfs = vfs != NULL ? vfs : vfs_system();
    fixture->env.clock = &fixture->clock.clock;
    check(log_writer_new(NULL, &fixture->env.writer) == E_OK);
    check(file_cache_new(fixture->env.vfs, OPEN_FILES_MAX, &fixture->env.files) == E_OK);
    fixture->hints.log_start_offset = -1;
    fixture->hints.was_clean = true;
    fixture->scratch = calloc(1, sizeof(*fixture->scratch));
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char child[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (unlink(child) != 0) {
            remove_tree(child);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    (void)rmdir(path);
}

void fixture_done(struct log_fixture *fixture)
{
    log_free(fixture->log);
    log_writer_free(fixture->env.writer);
    file_cache_free(fixture->env.files);
    batch_builder_done(&fixture->builder);
    inflate_scratch_done(fixture->scratch);
    free(fixture->scratch);
    remove_tree(fixture->directory);
}

enum error fixture_open(struct log_fixture *fixture)
{
    const struct topic_partition partition = {.topic = SLICE("topic"), .partition = 0};
    check(fixture->log == NULL);
    return log_open(&fixture->env, fixture->path, partition, NULL, &fixture->config,
                    &fixture->hints, &fixture->events, &fixture->log);
}

static void remember_hints(struct log_fixture *fixture, bool was_clean)
{
    const struct log_offsets offsets = fixture_offsets(fixture);
    fixture->hints.recovery_point = offsets.flushed;
    fixture->hints.log_start_offset = offsets.log_start;
    fixture->hints.high_watermark = offsets.high_watermark;
    fixture->hints.was_clean = was_clean;
    log_free(fixture->log);
    fixture->log = NULL;
}

void fixture_close(struct log_fixture *fixture)
{
    check(log_close_clean(fixture->log) == E_OK);
    remember_hints(fixture, true);
}

void fixture_crash(struct log_fixture *fixture)
{
    remember_hints(fixture, false);
}

uint8_t *fixture_batch(struct log_fixture *fixture, const struct batch_spec *spec, size_t *ret_size)
{
    struct batch_header header = BATCH_HEADER_NONE;
    const int32_t count = spec->count == 0 ? 1 : spec->count;
    const int64_t timestamp = spec->timestamp == 0 ? fixture->clock.now_ms : spec->timestamp;
    header.attributes = (uint16_t)spec->codec;
    if (spec->is_idempotent) {
        header.producer_id = spec->producer_id;
        header.producer_epoch = spec->producer_epoch;
        header.base_sequence = spec->base_sequence;
    }
    if (spec->is_transactional) {
        header.attributes |= BATCH_ATTRIBUTE_TRANSACTIONAL;
    }
    uint8_t *value = malloc((size_t)spec->value_size + 1);
    memset(value, spec->fill, (size_t)spec->value_size);
    batch_builder_start(&fixture->builder, &header, CODEC_LEVEL_DEFAULT);
    for (int32_t i = 0; i < count; i++) {
        const struct record record = {
            .offset = i,
            .timestamp = timestamp + i,
            .value = slice_of(value, (size_t)spec->value_size),
        };
        check(batch_builder_append(&fixture->builder, &record) == E_OK);
    }
    struct slice batch;
    check(batch_builder_finish(&fixture->builder, &batch) == E_OK);
    free(value);
    uint8_t *data = malloc(batch.size);
    memcpy(data, batch.data, batch.size);
    *ret_size = batch.size;
    return data;
}

uint8_t *fixture_marker(int64_t producer_id, int16_t producer_epoch, bool is_commit,
                        int32_t coordinator_epoch, int64_t timestamp, size_t *ret_size)
{
    enum { MARKER_SIZE = 78 };
    uint8_t *data = calloc(1, MARKER_SIZE);
    const struct batch_header header = {
        .base_timestamp = timestamp,
        .max_timestamp = timestamp,
        .producer_id = producer_id,
        .size = MARKER_SIZE,
        .partition_leader_epoch = NO_LEADER_EPOCH,
        .base_sequence = NO_SEQUENCE,
        .count = 1,
        .producer_epoch = producer_epoch,
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL | BATCH_ATTRIBUTE_CONTROL,
    };
    uint8_t *p = data + RECORD_BATCH_HEADER_SIZE;
    p[0] = 16 << 1; /* length of the rest */
    p[4] = 4 << 1;  /* key */
    be16_store(p + 5, 0);
    be16_store(p + 7, is_commit ? 1 : 0);
    p[9] = 6 << 1; /* value */
    be32_store(p + 12, (uint32_t)coordinator_epoch);
    batch_header_encode(&header, data);
    batch_set_crc(data);
    *ret_size = MARKER_SIZE;
    return data;
}

static uint32_t next_order;

static void on_done(struct append *append)
{
    struct fixture_append *item = container_of(append, struct fixture_append, append);
    item->is_done = true;
    item->done_order = next_order++;
}

void fixture_queue(struct log_fixture *fixture, struct fixture_append *item, uint8_t *data,
                   size_t size, enum append_origin origin, int32_t leader_epoch)
{
    *item = (struct fixture_append){
        .append =
            {
                .data = data,
                .size = size,
                .origin = origin,
                .leader_epoch = leader_epoch,
                .zstd_allowed = true,
                .scratch = fixture->scratch,
                .on_done = on_done,
            },
    };
    log_append(fixture->log, &item->append);
    check(!item->is_done);
}

static struct append append_now(struct log_fixture *fixture, uint8_t *data, size_t size,
                                enum append_origin origin)
{
    struct fixture_append item;
    fixture_queue(fixture, &item, data, size, origin, 0);
    log_writer_flush(fixture->env.writer);
    check(item.is_done);
    free(data);
    item.append.data = NULL;
    return item.append;
}

struct append fixture_append(struct log_fixture *fixture, const struct batch_spec *spec)
{
    size_t size;
    uint8_t *data = fixture_batch(fixture, spec, &size);
    return append_now(fixture, data, size, APPEND_FROM_CLIENT);
}

struct append fixture_append_marker(struct log_fixture *fixture, int64_t producer_id,
                                    int16_t producer_epoch, bool is_commit)
{
    size_t size;
    uint8_t *data =
        fixture_marker(producer_id, producer_epoch, is_commit, 0, fixture->clock.now_ms, &size);
    return append_now(fixture, data, size, APPEND_FROM_COORDINATOR);
}

void fixture_fill(struct log_fixture *fixture, int32_t batch_count, int32_t count,
                  int32_t value_size)
{
    for (int32_t i = 0; i < batch_count; i++) {
        const struct append append =
            fixture_append(fixture, &(struct batch_spec){.count = count, .value_size = value_size});
        check(append.error == E_OK);
    }
}

uint8_t *fixture_read_bytes(const struct log_read *read)
{
    uint8_t *bytes = malloc(read->size + 1);
    size_t got = 0;
    check(read->file->vfs->read(read->file, read->position, bytes, read->size, &got) == E_OK);
    check(got == read->size);
    return bytes;
}

int64_t fixture_first_base(struct log_fixture *fixture, int64_t offset, enum read_limit limit)
{
    struct log_read read = {
        .offset = offset, .size_max = 1, .at_least_one_batch = true, .limit = limit};
    const enum error error = log_read(fixture->log, &read);
    if (error != E_OK) {
        return -1000 - (int64_t)error;
    }
    if (read.size == 0) {
        return -1;
    }
    uint8_t *bytes = fixture_read_bytes(&read);
    const int64_t base = batch_base_offset(bytes);
    check(batch_size(bytes) == (int64_t)read.size);
    free(bytes);
    file_unref(read.file);
    return base;
}

static uint8_t *read_whole(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    struct stat status;
    check(fstat(fileno(file), &status) == 0);
    uint8_t *bytes = malloc((size_t)status.st_size + 1);
    *ret_size = fread(bytes, 1, (size_t)status.st_size, file);
    check(*ret_size == (size_t)status.st_size);
    (void)fclose(file);
    return bytes;
}

uint8_t *fixture_file(struct log_fixture *fixture, const char *name, size_t *ret_size)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->path, name);
    return read_whole(path, ret_size);
}

bool fixture_has_file(struct log_fixture *fixture, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->path, name);
    return access(path, F_OK) == 0;
}

void fixture_copy_from(struct log_fixture *fixture, const char *directory)
{
    DIR *dir = opendir(directory);
    check(dir != NULL);
    (void)mkdir(fixture->path, 0755);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char from[1024];
        char to[1024];
        size_t size;
        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(from, sizeof(from), "%s/%s", directory, entry->d_name);
        (void)snprintf(to, sizeof(to), "%s/%s", fixture->path, entry->d_name);
        uint8_t *bytes = read_whole(from, &size);
        FILE *file = fopen(to, "wb");
        check(file != NULL && fwrite(bytes, 1, size, file) == size);
        (void)fclose(file);
        free(bytes);
    }
    closedir(dir);
}

struct log_offsets fixture_offsets(const struct log_fixture *fixture)
{
    struct log_offsets offsets;
    log_get_offsets(fixture->log, &offsets);
    return offsets;
}
