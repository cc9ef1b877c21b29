/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file <offset>.snapshot: the producer state before that offset.
 *
 *   at 0  int16   version 1
 *      2  uint32  CRC-32C of all bytes from 6 on
 *      6  int32   count
 *     10  entries of 46 bytes, by producer id:
 *         0  int64  producer id        22  int32  offset delta of the last batch
 *         8  int16  producer epoch     26  int64  timestamp
 *        10  int32  last sequence      34  int32  coordinator epoch
 *        14  int64  last offset        38  int64  first offset of the open transaction
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "storage/producer_state.h"

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEADER_SIZE = 10,
    SNAPSHOT_CRC = 2,
    SNAPSHOT_CRC_START = 6,
    SNAPSHOT_ENTRY_SIZE = 46,
    SNAPSHOT_SIZE_MAX = 512 * 1024 * 1024, /* ten million producers */
};

static void encode_entry(const struct producer *producer, uint8_t *p)
{
    const struct producer_values *values = &producer->values;
    const bool has_batch = values->batch_count > 0;
    const struct producer_batch *last =
        has_batch ? &values->batches[values->batch_count - 1] : NULL;
    be64_store(p, (uint64_t)producer->producer_id);
    be16_store(p + 8, (uint16_t)values->producer_epoch);
    be32_store(p + 10, (uint32_t)(has_batch ? last->last_sequence : NO_SEQUENCE));
    be64_store(p + 14, (uint64_t)(has_batch ? last->last_offset : -1));
    be32_store(p + 22, (uint32_t)(has_batch ? last->offset_delta : 0));
    be64_store(p + 26, (uint64_t)values->last_timestamp);
    be32_store(p + 34, (uint32_t)values->coordinator_epoch);
    be64_store(p + 38, (uint64_t)values->current_txn_first_offset);
}

static int compare_entries(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(int64_t)); /* producer ids are not negative */
}

enum error producer_snapshot_write(const struct producer_state *state, struct vfs *vfs,
                                   const char *path)
{
    check(list_is_empty(&state->undos));
    const size_t count = state->producers.count;
    const size_t size = SNAPSHOT_HEADER_SIZE + count * SNAPSHOT_ENTRY_SIZE;
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    uint8_t *p = bytes + SNAPSHOT_HEADER_SIZE;
    struct hash_node *node = NULL;
    while ((node = hash_table_next(&state->producers, node)) != NULL) {
        encode_entry(container_of(node, struct producer, node), p);
        p += SNAPSHOT_ENTRY_SIZE;
    }
    qsort(bytes + SNAPSHOT_HEADER_SIZE, count, SNAPSHOT_ENTRY_SIZE, compare_entries);
    be16_store(bytes, SNAPSHOT_VERSION);
    be32_store(bytes + 6, (uint32_t)count);
    be32_store(bytes + SNAPSHOT_CRC,
               crc32c(0, bytes + SNAPSHOT_CRC_START, size - SNAPSHOT_CRC_START));

    struct file *file;
    enum error error = vfs->open(vfs, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (error == E_OK) {
        const struct iovec piece = {.iov_base = bytes, .iov_len = size};
        size_t written;
        error = vfs->write(file, 0, &piece, 1, &written);
        file_unref(file);
    }
    free(bytes);
    return error;
}

static void decode_entry(const uint8_t *p, int64_t now_ms, int64_t *ret_producer_id,
                         struct producer_values *ret_values)
{
    const struct producer_batch last = {
        .last_sequence = (int32_t)be32_load(p + 10),
        .last_offset = (int64_t)be64_load(p + 14),
        .offset_delta = (int32_t)be32_load(p + 22),
        .timestamp = (int64_t)be64_load(p + 26),
    };
    *ret_producer_id = (int64_t)be64_load(p);
    *ret_values = (struct producer_values){
        .last_timestamp = last.timestamp,
        .last_write_ms = now_ms,
        .producer_epoch = (int16_t)be16_load(p + 8),
        .coordinator_epoch = (int32_t)be32_load(p + 34),
        .current_txn_first_offset = (int64_t)be64_load(p + 38),
    };
    if (last.last_offset >= 0) {
        ret_values->batches[0] = last;
        ret_values->batch_count = 1;
    }
}

static enum error decode_snapshot(struct producer_state *state, struct slice bytes, int64_t now_ms)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < SNAPSHOT_HEADER_SIZE || be16_load(p) != SNAPSHOT_VERSION ||
        be32_load(p + SNAPSHOT_CRC) !=
            crc32c(0, p + SNAPSHOT_CRC_START, bytes.size - SNAPSHOT_CRC_START) ||
        bytes.size != SNAPSHOT_HEADER_SIZE + (size_t)be32_load(p + 6) * SNAPSHOT_ENTRY_SIZE) {
        return E_LOCAL_CORRUPT;
    }
    const uint32_t count = be32_load(p + 6);
    p += SNAPSHOT_HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++, p += SNAPSHOT_ENTRY_SIZE) {
        int64_t producer_id;
        struct producer_values values;
        decode_entry(p, now_ms, &producer_id, &values);
        const enum error error =
            producer_id < 0 ? E_LOCAL_CORRUPT : producer_state_restore(state, producer_id, &values);
        if (error != E_OK) {
            return error;
        }
    }
    return E_OK;
}

enum error producer_snapshot_read(struct producer_state *state, struct vfs *vfs, const char *path,
                                  int64_t now_ms)
{
    check_cmp(state->producers.count, ==, 0);
    struct arena arena;
    struct slice bytes;
    arena_init(&arena, SNAPSHOT_SIZE_MAX);
    enum error error = vfs_read_file(vfs, path, SNAPSHOT_SIZE_MAX, &arena, &bytes);
    if (error == E_OK) {
        error = decode_snapshot(state, bytes, now_ms);
    }
    if (error != E_OK) {
        producer_state_clear(state);
    }
    arena_done(&arena);
    return error;
}
