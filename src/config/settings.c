/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"

#include <stdlib.h>

#include "base/diag.h"
#include "base/list.h"

/* Best first. */
enum settings_layer {
    LAYER_DYNAMIC_BROKER,
    LAYER_DYNAMIC_DEFAULT_BROKER,
    LAYER_STATIC_BROKER,
    LAYER_DEFAULT,
    LAYER_COUNT,
};

enum {
    /* 387 defaults of some 20 bytes, and files of at most PROPERTIES_SIZE_MAX in three layers. */
    SETTINGS_SIZE_MAX = 16 << 20,
};

struct settings {
    struct shared shared;
    struct arena arena; /* of all values and texts; nothing is added after the constructor */
    const struct setting_value *layers[LAYER_COUNT][SETTING_BROKER_COUNT]; /* NULL: not set there */
    const struct setting_value *effective[SETTING_BROKER_COUNT];           /* never NULL */
};

static const struct setting_value null_value = {.source = CONFIG_SOURCE_DEFAULT};

static const enum config_source layer_sources[LAYER_COUNT] = {
    [LAYER_DYNAMIC_BROKER] = CONFIG_SOURCE_DYNAMIC_BROKER,
    [LAYER_DYNAMIC_DEFAULT_BROKER] = CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER,
    [LAYER_STATIC_BROKER] = CONFIG_SOURCE_STATIC_BROKER,
    [LAYER_DEFAULT] = CONFIG_SOURCE_DEFAULT,
};

static enum settings_layer layer_of(enum config_source source)
{
    enum settings_layer layer = LAYER_DYNAMIC_BROKER;
    while (layer < LAYER_COUNT && layer_sources[layer] != source) {
        layer++;
    }
    check_cmp(layer, <, LAYER_COUNT); /* a source of broker settings */
    return layer;
}

static void settings_destroy(struct shared *shared)
{
    struct settings *settings = container_of(shared, struct settings, shared);
    arena_done(&settings->arena);
    free(settings);
}

struct settings *settings_ref(struct settings *settings)
{
    if (settings != NULL) {
        shared_ref(&settings->shared);
    }
    return settings;
}

struct settings *settings_unref(struct settings *settings)
{
    if (settings != NULL) {
        shared_unref(&settings->shared);
    }
    return NULL;
}

static struct settings *settings_alloc(void)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    if (settings != NULL) {
        shared_init(&settings->shared, settings_destroy);
        arena_init(&settings->arena, SETTINGS_SIZE_MAX);
    }
    return settings;
}

static enum error settings_put(struct settings *settings, enum settings_layer layer,
                               const struct setting *setting, struct slice text)
{
    if (slice_is_null(text)) {
        return E_OK; /* null: not set in this layer */
    }
    struct setting_value *value = ARENA_NEW(&settings->arena, struct setting_value);
    if (value == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    value->source = layer_sources[layer];
    const enum error error = setting_parse(setting, text, &settings->arena, value, NULL);
    if (error == E_OK) {
        settings->layers[layer][setting->id] = value;
    }
    return error;
}

static enum error settings_put_defaults(struct settings *settings)
{
    for (size_t id = 0; id < SETTING_BROKER_COUNT; id++) {
        const struct setting *setting = setting_get((enum setting_id)id);
        const struct slice text = slice_from_string(setting->default_text);
        const enum error error = settings_put(settings, LAYER_DEFAULT, setting, text);
        if (error != E_OK) {
            check(error == E_LOCAL_NO_MEMORY); /* defaults parse */
            return error;
        }
    }
    return E_OK;
}

/* From the layers: for each setting the value of the best layer that has it. */
static void settings_resolve(struct settings *settings)
{
    for (size_t id = 0; id < SETTING_BROKER_COUNT; id++) {
        const struct setting_value *value = NULL;
        for (size_t layer = 0; layer < LAYER_COUNT && value == NULL; layer++) {
            value = settings->layers[layer][id];
        }
        settings->effective[id] = value != NULL ? value : &null_value;
    }
}

enum error settings_new(const struct config_entry *entries, size_t count,
                        struct settings **ret_settings)
{
    struct settings *settings = settings_alloc();
    if (settings == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    enum error error = settings_put_defaults(settings);
    for (size_t i = 0; i < count && error == E_OK; i++) {
        const struct setting *setting = setting_find(SETTING_SCOPE_BROKER, entries[i].name);
        if (setting != NULL) {
            error = settings_put(settings, LAYER_STATIC_BROKER, setting, entries[i].value);
        }
    }
    if (error != E_OK) {
        settings_unref(settings);
        return error;
    }
    settings_resolve(settings);
    *ret_settings = settings;
    return E_OK;
}

static enum error settings_copy_layer(struct settings *to, const struct settings *from,
                                      enum settings_layer layer)
{
    for (size_t id = 0; id < SETTING_BROKER_COUNT; id++) {
        const struct setting_value *value = from->layers[layer][id];
        const enum error error =
            settings_put(to, layer, setting_get((enum setting_id)id),
                         slice_from_string(value != NULL ? value->text : NULL));
        if (error != E_OK) {
            check(error == E_LOCAL_NO_MEMORY); /* it parsed before */
            return error;
        }
    }
    return E_OK;
}

/* Why a stored or requested name cannot be in this dynamic layer; NULL: it can. */
static const char *dynamic_obstacle(const struct setting *setting, bool is_default)
{
    if (setting->update == SETTING_UPDATE_READ_ONLY) {
        return "it can only be changed in the file, with a restart";
    }
    if (is_default && setting->update == SETTING_UPDATE_PER_BROKER) {
        return "it can only be changed for one broker, not for all";
    }
    return NULL;
}

static enum error settings_put_dynamic(struct settings *settings, enum settings_layer layer,
                                       const struct config_entry *entry,
                                       struct diagnoses *diagnoses)
{
    const bool is_default = layer == LAYER_DYNAMIC_DEFAULT_BROKER;
    const char *reason = "the name is not known";
    const struct setting *setting = setting_find(SETTING_SCOPE_BROKER, entry->name);
    if (setting != NULL) {
        reason = dynamic_obstacle(setting, is_default);
    }
    if (reason == NULL) {
        const enum error error = settings_put(settings, layer, setting, entry->value);
        if (error != E_INVALID_CONFIG) {
            return error;
        }
        reason = "its value is not allowed";
    }
    if (diagnoses != NULL) {
        char name[257];
        diagnoses_add(diagnoses, DIAGNOSIS_WARNING, "stored %s setting %s is left out: %s",
                      is_default ? "cluster-wide" : "broker",
                      diag_escape(entry->name, name, sizeof(name)), reason);
    }
    return E_OK;
}

enum error settings_with_layer(const struct settings *settings, enum config_source layer,
                               const struct config_entry *entries, size_t count,
                               struct diagnoses *diagnoses, struct settings **ret_settings)
{
    check(layer == CONFIG_SOURCE_DYNAMIC_BROKER || layer == CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER);
    struct settings *changed = settings_alloc();
    if (changed == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    const enum settings_layer replaced = layer_of(layer);
    enum error error = E_OK;
    for (enum settings_layer i = LAYER_DYNAMIC_BROKER; i < LAYER_COUNT && error == E_OK; i++) {
        if (i != replaced) {
            error = settings_copy_layer(changed, settings, i);
        }
    }
    for (size_t i = 0; i < count && error == E_OK; i++) {
        error = settings_put_dynamic(changed, replaced, &entries[i], diagnoses);
    }
    if (error != E_OK) {
        settings_unref(changed);
        return error;
    }
    settings_resolve(changed);
    *ret_settings = changed;
    return E_OK;
}

static enum error change_refused(struct failure *failure, const char *text)
{
    if (text == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    *failure = (struct failure){.code = E_INVALID_REQUEST, .text = text};
    return E_INVALID_REQUEST;
}

static enum error change_unknown(struct slice name, struct arena *arena, struct failure *failure)
{
    char escaped[257];
    (void)diag_escape(name, escaped, sizeof(escaped));
    const struct setting *nearest = setting_nearest(SETTING_SCOPE_BROKER, name);
    if (nearest == NULL) {
        return change_refused(failure, arena_printf(arena, "Unknown setting %s", escaped));
    }
    return change_refused(failure, arena_printf(arena, "Unknown setting %s; did you mean %s?",
                                                escaped, nearest->name));
}

enum error settings_check_change(struct slice name, struct slice value, bool is_default,
                                 struct arena *arena, struct failure *ret_failure)
{
    const struct setting *setting = setting_find(SETTING_SCOPE_BROKER, name);
    if (setting == NULL) {
        return change_unknown(name, arena, ret_failure);
    }
    const char *obstacle = dynamic_obstacle(setting, is_default);
    if (obstacle != NULL) {
        return change_refused(ret_failure, arena_printf(arena, "Cannot change %s dynamically: %s",
                                                        setting->name, obstacle));
    }
    if (slice_is_null(value)) {
        return E_OK;
    }
    struct setting_value parsed = {.source = CONFIG_SOURCE_DYNAMIC_BROKER};
    const char *allowed = "";
    const enum error error = setting_parse(setting, value, arena, &parsed, &allowed);
    if (error == E_INVALID_CONFIG) {
        return change_refused(
            ret_failure,
            arena_printf(arena, "Invalid value for %s; allowed is %s", setting->name, allowed));
    }
    if (error == E_OK && setting->service == SETTING_UNSERVED_REFUSE &&
        !setting_value_is_default(setting, &parsed)) {
        return change_refused(
            ret_failure, arena_printf(arena, "%s is not served by this broker yet", setting->name));
    }
    return error;
}

const struct setting_value *settings_value(const struct settings *settings, enum setting_id id)
{
    check_cmp(id, <, SETTING_BROKER_COUNT);
    return settings->effective[id];
}

const struct setting_value *settings_layer_value(const struct settings *settings,
                                                 enum config_source layer, enum setting_id id)
{
    check_cmp(id, <, SETTING_BROKER_COUNT);
    return settings->layers[layer_of(layer)][id];
}

bool settings_boolean(const struct settings *settings, enum setting_id id)
{
    check(setting_get(id)->type == SETTING_TYPE_BOOLEAN);
    return settings_value(settings, id)->boolean;
}

int64_t settings_integer(const struct settings *settings, enum setting_id id)
{
    const enum setting_type type = setting_get(id)->type;
    check(type == SETTING_TYPE_INT || type == SETTING_TYPE_SHORT || type == SETTING_TYPE_LONG);
    return settings_value(settings, id)->integer;
}

int32_t settings_int32(const struct settings *settings, enum setting_id id)
{
    check(setting_get(id)->type != SETTING_TYPE_LONG);
    return (int32_t)settings_integer(settings, id);
}

double settings_real(const struct settings *settings, enum setting_id id)
{
    check(setting_get(id)->type == SETTING_TYPE_DOUBLE);
    return settings_value(settings, id)->real;
}

const char *settings_text(const struct settings *settings, enum setting_id id)
{
    const enum setting_type type = setting_get(id)->type;
    check(type == SETTING_TYPE_STRING || type == SETTING_TYPE_LIST || type == SETTING_TYPE_CLASS ||
          type == SETTING_TYPE_PASSWORD);
    return settings_value(settings, id)->text;
}

bool settings_is_null(const struct settings *settings, enum setting_id id)
{
    return settings_value(settings, id)->text == NULL;
}

struct setting_value settings_synonym_value(const struct settings *settings,
                                            const struct setting_synonym *synonyms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct setting_value value = *settings_value(settings, synonyms[i].id);
        if (value.text == NULL) {
            continue;
        }
        if (synonyms[i].multiplier != 1) {
            value.integer = value.integer < 0 ? -1 : value.integer * synonyms[i].multiplier;
            value.text = NULL;
        }
        return value;
    }
    return null_value;
}

static int64_t settings_topic_integer(const struct settings *settings, enum setting_id topic_id)
{
    const struct setting *topic = setting_get(topic_id);
    return settings_synonym_value(settings, topic->synonyms, topic->synonym_count).integer;
}

int64_t settings_log_retention_ms(const struct settings *settings)
{
    const int64_t retention_ms = settings_topic_integer(settings, TOPIC_SETTING_RETENTION_MS);
    return retention_ms < 0 ? -1 : retention_ms;
}

int64_t settings_log_roll_ms(const struct settings *settings)
{
    return settings_topic_integer(settings, TOPIC_SETTING_SEGMENT_MS);
}

int64_t settings_log_roll_jitter_ms(const struct settings *settings)
{
    return settings_topic_integer(settings, TOPIC_SETTING_SEGMENT_JITTER_MS);
}

int64_t settings_log_flush_interval_ms(const struct settings *settings)
{
    return settings_topic_integer(settings, TOPIC_SETTING_FLUSH_MS);
}

size_t settings_synonyms(const struct settings *settings, enum setting_id id,
                         struct config_synonym *synonyms)
{
    const enum setting_id *ids;
    const size_t id_count = setting_alternatives(id, &ids);
    size_t count = 0;
    bool is_reached = false; /* alternatives before the setting's own first value do not count */
    for (enum settings_layer layer = LAYER_DYNAMIC_BROKER; layer < LAYER_COUNT; layer++) {
        for (size_t i = 0; i < id_count; i++) {
            const struct setting_value *value = settings->layers[layer][ids[i]];
            is_reached = is_reached || (value != NULL && ids[i] == id);
            if (value == NULL || !is_reached) {
                continue;
            }
            const struct setting *setting = setting_get(ids[i]);
            check_cmp(count, <, CONFIG_SYNONYM_COUNT_MAX);
            synonyms[count++] = (struct config_synonym){
                .name = setting->name,
                .value = setting->is_sensitive ? NULL : value->text,
                .source = layer_sources[layer],
            };
        }
    }
    return count;
}
