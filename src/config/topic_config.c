/* SPDX-License-Identifier: Apache-2.0 */
#include "config/topic_config.h"

#include "base/diag.h"

static size_t topic_index(enum setting_id id)
{
    check_cmp(id, >=, SETTING_TOPIC_FIRST);
    check_cmp(id, <, SETTING_TOPIC_FIRST + SETTING_TOPIC_COUNT);
    return (size_t)id - SETTING_TOPIC_FIRST;
}

/* The broker's value, or the topic's own default where the broker has no such setting. */
static enum error resolve_default(const struct settings *broker, const struct setting *setting,
                                  struct arena *arena, struct setting_value *value)
{
    *value = (struct setting_value){.source = CONFIG_SOURCE_DEFAULT};
    if (setting->synonym_count == 0) {
        return setting_parse(setting, slice_from_string(setting->default_text), arena, value, NULL);
    }
    *value = settings_synonym_value(broker, setting->synonyms, setting->synonym_count);
    if (value->text == NULL && setting->default_text != NULL) {
        value->text = arena_printf(arena, "%lld", (long long)value->integer);
        return value->text == NULL ? E_LOCAL_NO_MEMORY : E_OK;
    }
    return E_OK;
}

enum error topic_settings_resolve(const struct settings *broker,
                                  const struct config_entry *overrides, size_t count,
                                  struct arena *arena, struct topic_settings *ret_settings)
{
    struct topic_settings settings = {.unknown_count = 0};
    for (size_t i = 0; i < SETTING_TOPIC_COUNT; i++) {
        const struct setting *setting = setting_get((enum setting_id)(SETTING_TOPIC_FIRST + i));
        const enum error error = resolve_default(broker, setting, arena, &settings.values[i]);
        if (error != E_OK) {
            check(error == E_LOCAL_NO_MEMORY); /* defaults parse */
            return error;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = setting_find(SETTING_SCOPE_TOPIC, overrides[i].name);
        if (setting == NULL) {
            settings.unknown_count++;
            continue;
        }
        if (slice_is_null(overrides[i].value)) {
            continue;
        }
        struct setting_value value = {.source = CONFIG_SOURCE_DYNAMIC_TOPIC};
        const enum error error = setting_parse(setting, overrides[i].value, arena, &value, NULL);
        if (error == E_OK) {
            settings.values[topic_index(setting->id)] = value;
        } else if (error == E_INVALID_CONFIG) {
            settings.unknown_count++;
        } else {
            return error;
        }
    }
    *ret_settings = settings;
    return E_OK;
}

const struct setting_value *topic_settings_value(const struct topic_settings *settings,
                                                 enum setting_id id)
{
    return &settings->values[topic_index(id)];
}

bool topic_settings_boolean(const struct topic_settings *settings, enum setting_id id)
{
    check(setting_get(id)->type == SETTING_TYPE_BOOLEAN);
    return topic_settings_value(settings, id)->boolean;
}

int64_t topic_settings_integer(const struct topic_settings *settings, enum setting_id id)
{
    const enum setting_type type = setting_get(id)->type;
    check(type == SETTING_TYPE_INT || type == SETTING_TYPE_SHORT || type == SETTING_TYPE_LONG);
    return topic_settings_value(settings, id)->integer;
}

double topic_settings_real(const struct topic_settings *settings, enum setting_id id)
{
    check(setting_get(id)->type == SETTING_TYPE_DOUBLE);
    return topic_settings_value(settings, id)->real;
}

const char *topic_settings_text(const struct topic_settings *settings, enum setting_id id)
{
    const enum setting_type type = setting_get(id)->type;
    check(type == SETTING_TYPE_STRING || type == SETTING_TYPE_LIST);
    return topic_settings_value(settings, id)->text;
}

bool topic_settings_cleanup_has(const struct topic_settings *settings, const char *policy)
{
    struct slice rest =
        slice_from_string(topic_settings_text(settings, TOPIC_SETTING_CLEANUP_POLICY));
    struct slice item;
    while (setting_list_next(&rest, &item)) {
        if (slice_equal_string(item, policy)) {
            return true;
        }
    }
    return false;
}

static enum error topic_refused(struct failure *failure, const char *text)
{
    if (text == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    *failure = (struct failure){.code = E_INVALID_CONFIG, .text = text};
    return E_INVALID_CONFIG;
}

static enum error topic_unknown(struct slice name, struct arena *arena, struct failure *failure)
{
    char escaped[257];
    (void)diag_escape(name, escaped, sizeof(escaped));
    const struct setting *nearest = setting_nearest(SETTING_SCOPE_TOPIC, name);
    if (nearest == NULL) {
        return topic_refused(failure,
                             arena_printf(arena, "Unknown topic config name: %s", escaped));
    }
    return topic_refused(failure,
                         arena_printf(arena, "Unknown topic config name: %s; did you mean %s?",
                                      escaped, nearest->name));
}

enum error topic_config_check(struct slice name, struct slice value, struct arena *arena,
                              struct failure *ret_failure)
{
    const struct setting *setting = setting_find(SETTING_SCOPE_TOPIC, name);
    if (setting == NULL) {
        return topic_unknown(name, arena, ret_failure);
    }
    if (slice_is_null(value)) {
        return E_OK;
    }
    struct setting_value parsed = {.source = CONFIG_SOURCE_DYNAMIC_TOPIC};
    const char *allowed = "";
    const enum error error = setting_parse(setting, value, arena, &parsed, &allowed);
    if (error == E_INVALID_CONFIG) {
        char escaped[257];
        return topic_refused(
            ret_failure,
            arena_printf(arena, "Invalid value %s for configuration %s: allowed is %s",
                         diag_escape(value, escaped, sizeof(escaped)), setting->name, allowed));
    }
    if (error == E_OK && setting->service == SETTING_UNSERVED_REFUSE &&
        !setting_value_is_default(setting, &parsed)) {
        return topic_refused(ret_failure,
                             arena_printf(arena, "%s=%s is not served by this broker yet",
                                          setting->name, parsed.text));
    }
    return error;
}

enum error topic_settings_check(const struct topic_settings *settings, struct arena *arena,
                                struct failure *ret_failure)
{
    const int64_t min_lag = topic_settings_integer(settings, TOPIC_SETTING_MIN_COMPACTION_LAG_MS);
    const int64_t max_lag = topic_settings_integer(settings, TOPIC_SETTING_MAX_COMPACTION_LAG_MS);
    if (min_lag > max_lag) {
        return topic_refused(ret_failure,
                             arena_printf(arena,
                                          "min.compaction.lag.ms (%lld) must not be above "
                                          "max.compaction.lag.ms (%lld)",
                                          (long long)min_lag, (long long)max_lag));
    }
    return E_OK;
}

size_t topic_settings_synonyms(const struct topic_settings *settings, const struct settings *broker,
                               enum setting_id id, struct config_synonym *synonyms)
{
    const struct setting *setting = setting_get(id);
    const struct setting_value *value = topic_settings_value(settings, id);
    size_t count = 0;
    if (value->source == CONFIG_SOURCE_DYNAMIC_TOPIC) {
        synonyms[count++] = (struct config_synonym){
            .name = setting->name, .value = value->text, .source = value->source};
    }
    /* Only the first broker setting: the others come in as its alternatives. */
    if (setting->synonym_count > 0) {
        count += settings_synonyms(broker, setting->synonyms[0].id, synonyms + count);
    }
    return count;
}
