/* SPDX-License-Identifier: Apache-2.0 */
#include "record/control.h"

enum {
    KEY_SIZE = 4,
    VALUE_SIZE = 6,
};

enum error control_type_parse(struct slice key, enum control_type *ret_type)
{
    if (key.size < KEY_SIZE || (int16_t)be16_load(key.data) < 0) {
        return E_CORRUPT_MESSAGE;
    }
    const int16_t type = (int16_t)be16_load(key.data + 2);
    *ret_type = type >= CONTROL_ABORT && type <= CONTROL_KRAFT_VOTERS ? (enum control_type)type
                                                                      : CONTROL_UNKNOWN;
    return E_OK;
}

enum error end_transaction_value_parse(struct slice value, int32_t *ret_coordinator_epoch)
{
    if (value.size < VALUE_SIZE || (int16_t)be16_load(value.data) < 0) {
        return E_CORRUPT_MESSAGE;
    }
    *ret_coordinator_epoch = (int32_t)be32_load(value.data + 2);
    return E_OK;
}

void end_transaction_batch_write(const struct end_transaction_marker *marker,
                                 uint8_t batch[END_TRANSACTION_BATCH_SIZE])
{
    const struct batch_header header = {
        .base_timestamp = marker->timestamp_ms,
        .max_timestamp = marker->timestamp_ms,
        .producer_id = marker->producer_id,
        .size = END_TRANSACTION_BATCH_SIZE,
        .partition_leader_epoch = NO_LEADER_EPOCH,
        .base_sequence = NO_SEQUENCE,
        .count = 1,
        .producer_epoch = marker->producer_epoch,
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL | BATCH_ATTRIBUTE_CONTROL,
    };
    /* Sizes in zig-zag form: 16 bytes of record, 4 of key, 6 of value; no headers. */
    uint8_t *p = batch + RECORD_BATCH_HEADER_SIZE;
    memcpy(p, (const uint8_t[]){32, 0, 0, 0, 2 * KEY_SIZE}, 5);
    be16_store(p + 5, 0);
    be16_store(p + 7, marker->is_commit ? CONTROL_COMMIT : CONTROL_ABORT);
    p[9] = 2 * VALUE_SIZE;
    be16_store(p + 10, 0);
    be32_store(p + 12, (uint32_t)marker->coordinator_epoch);
    p[16] = 0;
    batch_header_encode(&header, batch);
    batch_set_crc(batch);
}
