/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An immutable set of the values of all broker settings. A set has layers, as Kafka's
 * DescribeConfigs shows them: dynamic for this broker, dynamic for all brokers, static (the file),
 * default. A change makes a new set; readers hold a reference to the one they started with.
 */

#include "base/shared.h"
#include "config/diagnosis.h"
#include "config/setting_parse.h"

/* A name and a value, as in requests, metadata and files. */
struct config_entry {
    struct slice name;
    struct slice value; /* null slice: null */
};

/* A set of values of all broker settings. Immutable; refcounted; any thread. */
struct settings;

/*
 * The set with only a static layer above the defaults. Names are of scope broker; those that are
 * unknown are skipped (broker_config says so), values must parse.
 *
 * Errors: E_INVALID_CONFIG a value that setting_parse refuses; E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error settings_new(const struct config_entry *entries, size_t count,
                                  struct settings **ret_settings);
struct settings *settings_ref(struct settings *settings);
struct settings *settings_unref(struct settings *settings);

/*
 * A new set in which one dynamic layer is replaced by the entries, for what is stored in the
 * cluster's metadata. Names that are unknown, read-only or, in the layer of all brokers, per
 * broker, and values that do not parse are left out, each with a warning in diagnoses (may be
 * NULL).
 *
 * layer   CONFIG_SOURCE_DYNAMIC_BROKER or CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER.
 *
 * Errors: E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error settings_with_layer(const struct settings *settings, enum config_source layer,
                                         const struct config_entry *entries, size_t count,
                                         struct diagnoses *diagnoses,
                                         struct settings **ret_settings);

/*
 * Whether a request may change a broker setting to this value (the null slice: delete it).
 * is_default: the change is for all brokers.
 *
 * Errors: E_INVALID_REQUEST with a text in the arena, as Kafka answers it: read-only, per broker
 *         only, unknown, bad value; and not served here (setting_service REFUSE).
 */
NODISCARD enum error settings_check_change(struct slice name, struct slice value, bool is_default,
                                           struct arena *arena, struct failure *ret_failure);

/* Typed values in effect; the type of the setting is checked. Only settings of scope broker. */
bool settings_boolean(const struct settings *settings, enum setting_id id);
int64_t settings_integer(const struct settings *settings, enum setting_id id); /* int short long */
int32_t settings_int32(const struct settings *settings, enum setting_id id);   /* int short */
double settings_real(const struct settings *settings, enum setting_id id);
/* Strings, classes, passwords and lists (see setting_list_next); NULL: null. Lives as the set. */
const char *settings_text(const struct settings *settings, enum setting_id id);
bool settings_is_null(const struct settings *settings, enum setting_id id);
const struct setting_value *settings_value(const struct settings *settings, enum setting_id id);
/* The value of one layer, NULL when it does not set it. DEFAULT gives the default, NULL for null.
 */
const struct setting_value *settings_layer_value(const struct settings *settings,
                                                 enum config_source layer, enum setting_id id);

/*
 * The value of the first synonym that is not null, multiplied into the unit of the topic setting;
 * then its text is NULL, as for null (when all are). The source is that of the synonym.
 */
struct setting_value settings_synonym_value(const struct settings *settings,
                                            const struct setting_synonym *synonyms, size_t count);

/* The same for the broker's own use, in milliseconds: log.retention.ms, .minutes, .hours; and so
 * on. Retention -1: for ever. */
int64_t settings_log_retention_ms(const struct settings *settings);
int64_t settings_log_roll_ms(const struct settings *settings);
int64_t settings_log_roll_jitter_ms(const struct settings *settings);
int64_t settings_log_flush_interval_ms(const struct settings *settings);

/* One line of the synonyms of DescribeConfigs. */
struct config_synonym {
    const char *name;
    const char *value; /* NULL: null, or sensitive */
    enum config_source source;
};

enum {
    /* Three alternatives in four layers, and the topic's own. */
    CONFIG_SYNONYM_COUNT_MAX = 13,
};

/*
 * The synonyms that Kafka returns for a broker setting, best first; the source of the first is the
 * source of the setting (none: CONFIG_SOURCE_DEFAULT). Writes at most CONFIG_SYNONYM_COUNT_MAX.
 */
size_t settings_synonyms(const struct settings *settings, enum setting_id id,
                         struct config_synonym *synonyms);
