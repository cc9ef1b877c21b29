/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The settings of one topic: its overrides above the broker's settings. A view is a plain value
 * whose texts are borrowed, made when a log_config is built or a topic is described.
 */

#include "config/settings.h"

struct topic_settings {
    /* By id - SETTING_TOPIC_FIRST. source: DYNAMIC_TOPIC, or that of the broker setting. */
    struct setting_value values[SETTING_TOPIC_COUNT];
    size_t unknown_count; /* overrides that were left out: unknown here, or bad values */
};

/*
 * Effective values. Overrides were validated when they were set; what cannot be read nevertheless
 * (written by another release) is left out and counted.
 *
 * broker, overrides  The view borrows from both as long as it lives; texts of overrides are
 *                    copied to the arena.
 *
 * Errors: E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error topic_settings_resolve(const struct settings *broker,
                                            const struct config_entry *overrides, size_t count,
                                            struct arena *arena,
                                            struct topic_settings *ret_settings);

/* Typed values by TOPIC_SETTING_...; the type is checked. */
bool topic_settings_boolean(const struct topic_settings *settings, enum setting_id id);
int64_t topic_settings_integer(const struct topic_settings *settings, enum setting_id id);
double topic_settings_real(const struct topic_settings *settings, enum setting_id id);
const char *topic_settings_text(const struct topic_settings *settings, enum setting_id id);
const struct setting_value *topic_settings_value(const struct topic_settings *settings,
                                                 enum setting_id id);
/* cleanup.policy holds this word ("compact", "delete"). */
bool topic_settings_cleanup_has(const struct topic_settings *settings, const char *policy);

/*
 * Whether a request may set this override (the null slice: delete it).
 *
 * Errors: E_INVALID_CONFIG with a text in the arena: unknown name, bad value, or a value that is
 *         refused because it is not served.
 */
NODISCARD enum error topic_config_check(struct slice name, struct slice value, struct arena *arena,
                                        struct failure *ret_failure);

/*
 * Whether all overrides of a topic fit together, after topic_config_check of each.
 * Errors: E_INVALID_CONFIG: min.compaction.lag.ms above max.compaction.lag.ms, ...
 */
NODISCARD enum error topic_settings_check(const struct topic_settings *settings,
                                          struct arena *arena, struct failure *ret_failure);

/* As settings_synonyms, for a topic setting of a view of these broker settings. */
size_t topic_settings_synonyms(const struct topic_settings *settings, const struct settings *broker,
                               enum setting_id id, struct config_synonym *synonyms);
