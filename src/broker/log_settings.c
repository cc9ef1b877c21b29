/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/log_settings.h"

#include <string.h>

#include "config/topic_config.h"

enum {
    ARENA_SIZE_MAX = 1024 * 1024, /* texts of a topic's overrides */
};

static enum compression_policy compression_of(const char *text)
{
    static const char *const names[] = {
        [COMPRESSION_UNCOMPRESSED] = "uncompressed",
        [COMPRESSION_GZIP] = "gzip",
        [COMPRESSION_SNAPPY] = "snappy",
        [COMPRESSION_LZ4] = "lz4",
        [COMPRESSION_ZSTD] = "zstd",
    };
    for (unsigned i = 0; i <= COMPRESSION_ZSTD; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum compression_policy)i;
        }
    }
    return COMPRESSION_PRODUCER;
}

static int32_t compression_level_of(const struct topic_settings *topic,
                                    enum compression_policy compression)
{
    switch (compression) {
    case COMPRESSION_GZIP:
        return (int32_t)topic_settings_integer(topic, TOPIC_SETTING_COMPRESSION_GZIP_LEVEL);
    case COMPRESSION_LZ4:
        return (int32_t)topic_settings_integer(topic, TOPIC_SETTING_COMPRESSION_LZ4_LEVEL);
    case COMPRESSION_ZSTD:
        return (int32_t)topic_settings_integer(topic, TOPIC_SETTING_COMPRESSION_ZSTD_LEVEL);
    case COMPRESSION_UNCOMPRESSED:
    case COMPRESSION_SNAPPY:
    case COMPRESSION_PRODUCER:
        break;
    }
    return 0;
}

static struct log_config make(const struct settings *broker, const struct topic_settings *topic,
                              bool is_held)
{
    const enum compression_policy compression =
        compression_of(topic_settings_text(topic, TOPIC_SETTING_COMPRESSION_TYPE));
    const bool is_append_time =
        strcmp(topic_settings_text(topic, TOPIC_SETTING_MESSAGE_TIMESTAMP_TYPE), "LogAppendTime") ==
        0;
    return (struct log_config){
        .segment_size_bytes_max = topic_settings_integer(topic, TOPIC_SETTING_SEGMENT_BYTES),
        .segment_age_ms_max = topic_settings_integer(topic, TOPIC_SETTING_SEGMENT_MS),
        .segment_jitter_ms = topic_settings_integer(topic, TOPIC_SETTING_SEGMENT_JITTER_MS),
        .index_size_bytes_max = topic_settings_integer(topic, TOPIC_SETTING_SEGMENT_INDEX_BYTES),
        .index_interval_bytes = topic_settings_integer(topic, TOPIC_SETTING_INDEX_INTERVAL_BYTES),
        .retention_ms = topic_settings_integer(topic, TOPIC_SETTING_RETENTION_MS),
        .retention_bytes = topic_settings_integer(topic, TOPIC_SETTING_RETENTION_BYTES),
        .file_delete_delay_ms = topic_settings_integer(topic, TOPIC_SETTING_FILE_DELETE_DELAY_MS),
        .flush_messages = topic_settings_integer(topic, TOPIC_SETTING_FLUSH_MESSAGES),
        .flush_ms = topic_settings_integer(topic, TOPIC_SETTING_FLUSH_MS),
        .timestamp_before_max_ms =
            topic_settings_integer(topic, TOPIC_SETTING_MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
        .timestamp_after_max_ms =
            topic_settings_integer(topic, TOPIC_SETTING_MESSAGE_TIMESTAMP_AFTER_MAX_MS),
        .producer_id_expiration_ms = settings_integer(broker, SETTING_PRODUCER_ID_EXPIRATION_MS),
        .message_size_bytes_max =
            (int32_t)topic_settings_integer(topic, TOPIC_SETTING_MAX_MESSAGE_BYTES),
        .compression = compression,
        .compression_level = compression_level_of(topic, compression),
        .timestamp_policy = is_append_time ? TIMESTAMP_LOG_APPEND_TIME : TIMESTAMP_CREATE_TIME,
        .is_compacted = topic_settings_cleanup_has(topic, "compact"),
        .is_deleted = topic_settings_cleanup_has(topic, "delete"),
        .is_held = is_held,
        .preallocate = topic_settings_boolean(topic, TOPIC_SETTING_PREALLOCATE),
        .validate_compressed = settings_boolean(broker, SETTING_PRODUCE_VALIDATE_COMPRESSED),
    };
}

enum error log_settings_make(const struct image *image, const struct image_topic *topic,
                             struct log_config *ret_config, int32_t *ret_min_in_sync_replicas)
{
    struct arena arena;
    struct topic_settings settings;
    arena_init(&arena, ARENA_SIZE_MAX);
    const enum error error = image_topic_settings(image, topic, &arena, &settings);
    if (error == E_OK) {
        *ret_config = make(image->settings, &settings, topic->is_held);
        *ret_min_in_sync_replicas =
            (int32_t)topic_settings_integer(&settings, TOPIC_SETTING_MIN_INSYNC_REPLICAS);
    }
    arena_done(&arena);
    return error;
}
