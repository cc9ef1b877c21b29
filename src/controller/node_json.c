/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/node_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* --- helpers: every json_... fails with NULL, which is passed on to the end --- */

static json_t *json_of(struct slice text)
{
    return json_stringn((const char *)text.data, text.size);
}

/* Takes over value. */
static void put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) {
        json_object_clear(object);
    }
}

/* Takes over root. An object that lost a member for lack of memory was cleared: size 0. */
static struct slice dump(struct arena *arena, json_t *root)
{
    struct slice copy = SLICE_NULL;
    char *text = json_object_size(root) == 0 ? NULL : json_dumps(root, JSON_COMPACT);
    if (text != NULL) {
        copy = arena_copy(arena, slice_from_string(text));
        free(text);
    }
    json_decref(root);
    return copy;
}

/* NULL: not a JSON object. */
static json_t *parse(struct slice bytes)
{
    json_t *root = json_loadb((const char *)bytes.data, bytes.size, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static struct slice text_of(const json_t *value)
{
    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value))
                                 : SLICE_NULL;
}

/* --- topics --- */

struct slice node_encode_topic(struct arena *arena, const struct image_topic *topic)
{
    json_t *root = json_object();
    json_t *partitions = json_object();
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        const struct image_partition *part = &topic->partitions[i];
        json_t *replicas = json_array();
        for (uint32_t k = 0; k < part->replica_count; k++) {
            if (json_array_append_new(replicas, json_integer(part->replicas[k])) != 0) {
                json_decref(replicas);
                replicas = NULL;
                break;
            }
        }
        char key[16];
        (void)snprintf(key, sizeof(key), "%" PRIu32, i);
        put(partitions, key, replicas);
    }
    const bool is_complete = json_object_size(partitions) == topic->partition_count;
    char id[UUID_TEXT_SIZE + 1];
    uuid_format(&topic->id, id);
    put(root, "partitions", partitions);
    put(root, "topic_id", json_string(id));
    put(root, "adding_replicas", json_object());
    put(root, "removing_replicas", json_object());
    put(root, "version", json_integer(3));
    if (!is_complete) {
        json_object_clear(root);
    }
    return dump(arena, root);
}

static bool decode_partition_number(const char *key, size_t count, uint32_t *ret_number)
{
    char *end;
    const unsigned long number = strtoul(key, &end, 10);
    if (*key < '0' || *key > '9' || *end != '\0' || number >= count) {
        return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

static enum error decode_replicas(struct arena *arena, const json_t *array,
                                  struct image_partition *part)
{
    if (!json_is_array(array)) {
        return E_LOCAL_CORRUPT;
    }
    const size_t count = json_array_size(array);
    int32_t *ids = ARENA_NEW_ARRAY(arena, int32_t, count);
    if (ids == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(array, i);
        const json_int_t number = json_integer_value(id);
        if (!json_is_integer(id) || number < 0 || number > INT32_MAX) {
            return E_LOCAL_CORRUPT;
        }
        ids[i] = (int32_t)number;
    }
    part->replicas = ids;
    part->replica_count = (uint32_t)count;
    return E_OK;
}

static enum error decode_partitions(struct arena *arena, json_t *object,
                                    struct image_topic *ret_topic)
{
    const size_t count = json_object_size(object);
    struct image_partition *parts = ARENA_NEW_ARRAY(arena, struct image_partition, count);
    if (parts == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        uint32_t number;
        if (!decode_partition_number(key, count, &number) || parts[number].replicas != NULL) {
            return E_LOCAL_CORRUPT;
        }
        const enum error error = decode_replicas(arena, value, &parts[number]);
        if (error != E_OK) {
            return error;
        }
    }
    ret_topic->partitions = parts;
    ret_topic->partition_count = (uint32_t)count;
    return E_OK;
}

enum error node_decode_topic(struct arena *arena, struct slice bytes, struct image_topic *ret_topic)
{
    json_t *root = parse(bytes);
    json_t *partitions = json_object_get(root, "partitions");
    if (!json_is_object(partitions)) {
        json_decref(root);
        return E_LOCAL_CORRUPT;
    }
    const struct slice id = text_of(json_object_get(root, "topic_id"));
    enum error error = decode_partitions(arena, partitions, ret_topic);
    ret_topic->id = UUID_ZERO;
    if (error == E_OK && !slice_is_null(id) && !uuid_parse(id, &ret_topic->id)) {
        error = E_LOCAL_CORRUPT;
    }
    json_decref(root);
    return error;
}

/* --- configs --- */

struct slice node_encode_configs(struct arena *arena, const struct config_entry *entries,
                                 size_t count)
{
    json_t *root = json_object();
    json_t *configs = json_object();
    put(root, "version", json_integer(1));
    for (size_t i = 0; i < count; i++) {
        const char *key = arena_printf(arena, "%.*s", (int)entries[i].name.size,
                                       (const char *)entries[i].name.data);
        if (key == NULL) {
            json_decref(configs);
            configs = NULL;
            break;
        }
        put(configs, key, json_of(entries[i].value));
    }
    const bool is_complete = configs != NULL && json_object_size(configs) == count;
    put(root, "config", configs);
    if (!is_complete) {
        json_object_clear(root);
    }
    return dump(arena, root);
}

enum error node_decode_configs(struct arena *arena, struct slice bytes,
                               struct config_entry **ret_entries, size_t *ret_count)
{
    *ret_entries = NULL;
    *ret_count = 0;
    if (bytes.size == 0) {
        return E_OK;
    }
    json_t *root = parse(bytes);
    json_t *configs = json_object_get(root, "config");
    struct config_entry *entries =
        ARENA_NEW_ARRAY(arena, struct config_entry, json_object_size(configs));
    enum error error = E_OK;
    if (!json_is_object(configs)) {
        error = E_LOCAL_CORRUPT;
    } else if (entries == NULL) {
        error = E_LOCAL_NO_MEMORY;
    }
    const char *key;
    json_t *value;
    size_t count = 0;
    if (error == E_OK) {
        json_object_foreach(configs, key, value)
        {
            if (!json_is_string(value)) {
                continue; /* malformed ones are skipped (rule 23) */
            }
            entries[count].name = arena_copy(arena, slice_from_string(key));
            entries[count].value = arena_copy(arena, text_of(value));
            if (slice_is_null(entries[count].name) || slice_is_null(entries[count].value)) {
                error = E_LOCAL_NO_MEMORY;
            }
            count++;
        }
    }
    json_decref(root);
    if (error == E_OK) {
        *ret_entries = entries;
        *ret_count = count;
    }
    return error;
}

/* --- brokers, controller, cluster --- */

static json_t *timestamp(int64_t now_ms)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, now_ms);
    return json_string(text);
}

struct slice node_encode_broker(struct arena *arena, const struct image_broker *broker,
                                int64_t now_ms)
{
    json_t *root = json_object();
    json_t *protocols = json_object();
    json_t *endpoints = json_array();
    for (uint32_t i = 0; i < broker->endpoint_count; i++) {
        const struct image_endpoint *endpoint = &broker->endpoints[i];
        const char *name = arena_printf(arena, "%.*s", (int)endpoint->listener.size,
                                        (const char *)endpoint->listener.data);
        const char *text =
            arena_printf(arena, "%.*s://%.*s:%u", (int)endpoint->listener.size,
                         (const char *)endpoint->listener.data, (int)endpoint->host.size,
                         slice_is_null(endpoint->host) ? "" : (const char *)endpoint->host.data,
                         (unsigned)endpoint->port);
        if (name != NULL && text != NULL) {
            put(protocols, name, json_string("PLAINTEXT"));            /* the only one served yet */
            (void)json_array_append_new(endpoints, json_string(text)); /* size checked below */
        }
    }
    const bool is_complete = json_array_size(endpoints) == broker->endpoint_count;
    const struct image_endpoint *first = broker->endpoint_count > 0 ? broker->endpoints : NULL;
    const bool has_host = first != NULL && !slice_is_null(first->host);
    put(root, "features", json_object());
    put(root, "listener_security_protocol_map", protocols);
    put(root, "endpoints", endpoints);
    put(root, "jmx_port", json_integer(-1));
    put(root, "port", json_integer(has_host ? first->port : -1));
    put(root, "host", has_host ? json_of(first->host) : json_null());
    put(root, "version", json_integer(5));
    put(root, "timestamp", timestamp(now_ms));
    if (!slice_is_null(broker->rack)) {
        put(root, "rack", json_of(broker->rack));
    }
    if (!is_complete) {
        json_object_clear(root);
    }
    return dump(arena, root);
}

struct slice node_encode_controller(struct arena *arena, int32_t broker_id, int64_t now_ms)
{
    json_t *root = json_object();
    put(root, "version", json_integer(2));
    put(root, "brokerid", json_integer(broker_id));
    put(root, "timestamp", timestamp(now_ms));
    put(root, "kraftControllerEpoch", json_integer(-1));
    return dump(arena, root);
}

struct slice node_encode_cluster_id(struct arena *arena, struct slice cluster_id)
{
    json_t *root = json_object();
    put(root, "version", json_string("1"));
    put(root, "id", json_of(cluster_id));
    return dump(arena, root);
}

enum error node_decode_cluster_id(struct arena *arena, struct slice bytes,
                                  struct slice *ret_cluster_id)
{
    json_t *root = parse(bytes);
    const struct slice id = text_of(json_object_get(root, "id"));
    const struct slice copy = arena_copy(arena, id);
    const bool is_found = !slice_is_null(id);
    json_decref(root);
    if (!is_found) {
        return E_LOCAL_CORRUPT;
    }
    if (slice_is_null(copy)) {
        return E_LOCAL_NO_MEMORY;
    }
    *ret_cluster_id = copy;
    return E_OK;
}

/* --- producer ids --- */

struct slice node_encode_producer_ids(struct arena *arena, int32_t broker_id, int64_t block_start,
                                      int64_t block_end)
{
    json_t *root = json_object();
    put(root, "version", json_integer(1));
    put(root, "broker", json_integer(broker_id));
    put(root, "block_start", timestamp(block_start)); /* numbers as strings here too */
    put(root, "block_end", timestamp(block_end));
    return dump(arena, root);
}

enum error node_decode_producer_ids(struct slice bytes, int64_t *ret_block_end)
{
    if (bytes.size == 0) {
        *ret_block_end = -1;
        return E_OK;
    }
    json_t *root = parse(bytes);
    const char *text = json_string_value(json_object_get(root, "block_end"));
    enum error error = E_LOCAL_CORRUPT;
    if (text != NULL && *text >= '0' && *text <= '9') {
        char *end;
        const long long number = strtoll(text, &end, 10);
        if (*end == '\0' && number < INT64_MAX) {
            *ret_block_end = number;
            error = E_OK;
        }
    }
    json_decref(root);
    return error;
}

/* --- features --- */

struct slice node_encode_features(struct arena *arena, const struct image_feature *features,
                                  size_t count)
{
    json_t *root = json_object();
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        const char *name = arena_printf(arena, "%.*s", (int)features[i].name.size,
                                        (const char *)features[i].name.data);
        json_t *levels = json_object();
        put(levels, "min_version_level", json_integer(0));
        put(levels, "max_version_level", json_integer(features[i].level));
        if (name == NULL || json_object_size(levels) != 2) {
            json_decref(levels);
            continue;
        }
        put(object, name, levels);
    }
    const bool is_complete = json_object_size(object) == count;
    put(root, "features", object);
    put(root, "version", json_integer(2));
    put(root, "status", json_integer(1));
    if (!is_complete) {
        json_object_clear(root);
    }
    return dump(arena, root);
}

enum error node_decode_features(struct arena *arena, struct slice bytes,
                                struct image_feature **ret_features, size_t *ret_count)
{
    json_t *root = parse(bytes);
    json_t *object = json_object_get(root, "features");
    struct image_feature *features =
        ARENA_NEW_ARRAY(arena, struct image_feature, json_object_size(object));
    if (!json_is_object(object) || features == NULL) {
        const enum error error = json_is_object(object) ? E_LOCAL_NO_MEMORY : E_LOCAL_CORRUPT;
        json_decref(root);
        return error;
    }
    const char *key;
    json_t *value;
    size_t count = 0;
    enum error error = E_OK;
    json_object_foreach(object, key, value)
    {
        const json_int_t level = json_integer_value(json_object_get(value, "max_version_level"));
        features[count].name = arena_copy(arena, slice_from_string(key));
        features[count].level = (int16_t)level;
        if (level < 0 || level > INT16_MAX) {
            error = E_LOCAL_CORRUPT;
        } else if (slice_is_null(features[count].name)) {
            error = E_LOCAL_NO_MEMORY;
        }
        count++;
    }
    json_decref(root);
    if (error == E_OK) {
        *ret_features = features;
        *ret_count = count;
    }
    return error;
}
