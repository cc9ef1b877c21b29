/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The settings that the broker knows (schemas/configs.tsv, one row each) and an immutable set of
 * their values. A set has layers, as Kafka's DescribeConfigs shows them: dynamic for this broker,
 * dynamic for all brokers, static (the file), default. A change makes a new set; readers hold a
 * reference to the one they started with. Values are looked up by enum, names only at the border.
 */

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/shared.h"
#include "base/slice.h"
#include "config/diagnosis.h"
#include "config/setting_ids.h" /* generated: enum setting_id, SETTING_COUNT, ... */

enum setting_scope {
    SETTING_SCOPE_BROKER,
    SETTING_SCOPE_TOPIC,
    SETTING_SCOPE_GROUP,
};

/* Kafka's codes, as in DescribeConfigs responses. */
enum setting_type {
    SETTING_TYPE_BOOLEAN = 1,
    SETTING_TYPE_STRING = 2,
    SETTING_TYPE_INT = 3,
    SETTING_TYPE_SHORT = 4,
    SETTING_TYPE_LONG = 5,
    SETTING_TYPE_DOUBLE = 6,
    SETTING_TYPE_LIST = 7,
    SETTING_TYPE_CLASS = 8,
    SETTING_TYPE_PASSWORD = 9,
};

/* Kafka's codes, as in DescribeConfigs responses. */
enum config_source {
    CONFIG_SOURCE_DYNAMIC_TOPIC = 1,
    CONFIG_SOURCE_DYNAMIC_BROKER = 2,
    CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER = 3,
    CONFIG_SOURCE_STATIC_BROKER = 4,
    CONFIG_SOURCE_DEFAULT = 5,
    CONFIG_SOURCE_GROUP = 8,
};

enum setting_importance {
    SETTING_IMPORTANCE_HIGH,
    SETTING_IMPORTANCE_MEDIUM,
    SETTING_IMPORTANCE_LOW,
};

/* How a setting may be changed while the broker runs. */
enum setting_update {
    SETTING_UPDATE_READ_ONLY,    /* in the file only */
    SETTING_UPDATE_PER_BROKER,   /* for one broker */
    SETTING_UPDATE_CLUSTER_WIDE, /* for one broker or for all */
};

/* Whether code reads the setting and, if none does, what another value than the default means. */
enum setting_service {
    SETTING_SERVED,
    SETTING_UNSERVED_IGNORE, /* nothing: tuning of a machine that is built otherwise */
    SETTING_UNSERVED_WARN,   /* a warning: it behaves as with the default */
    SETTING_UNSERVED_REFUSE, /* an error: safety, durability, visibility or authorisation */
};

/* Which of Kafka's releases knows the setting. */
enum setting_release {
    SETTING_RELEASE_ALL,   /* 3.9.1 and 4.x */
    SETTING_RELEASE_3,     /* 3.9.1 only: accepted, not described by the 4.x persona */
    SETTING_RELEASE_4,     /* 4.x only: not described by the 3.9.1 persona */
    SETTING_RELEASE_OTTLA, /* ours; no Kafka knows it */
};

struct setting_synonym {
    enum setting_id id; /* of scope broker */
    int64_t multiplier; /* from its unit to that of the setting: hours -> ms is 3600000 */
};

struct setting {
    enum setting_id id;
    const char *name;
    enum setting_scope scope;
    enum setting_type type;
    const char *default_text;   /* NULL: null */
    const char *const *allowed; /* NULL, or the values that are allowed, then NULL */
    double real_min;            /* doubles only */
    double real_max;
    int64_t min; /* integers only: the range, both included */
    int64_t max;
    int64_t special;       /* one more integer that is allowed; min when there is none */
    bool allowed_any_case; /* `allowed` is compared without regard to case */
    bool is_non_empty;     /* strings and lists */
    bool is_internal;      /* Kafka does not describe it */
    bool is_sensitive;     /* never shown */
    enum setting_importance importance;
    enum setting_update update;
    enum setting_service service;
    enum setting_release release;
    const struct setting_synonym *synonyms; /* topic scope: the broker settings it falls back to, */
    size_t synonym_count;                   /* best first */
    const char *documentation;
};

/* Never NULL for a valid id. */
const struct setting *setting_get(enum setting_id id);
/* NULL: no such setting in this scope. */
const struct setting *setting_find(enum setting_scope scope, struct slice name);
/* The most similar known name, or NULL when nothing is near. */
const struct setting *setting_nearest(enum setting_scope scope, struct slice name);

/*
 * Kafka's alternatives of a broker setting, best first and itself included: {log.retention.ms,
 * log.retention.minutes, log.retention.hours} for each of the three. Returns the count (1 for
 * most); *ret_ids is static.
 */
size_t setting_alternatives(enum setting_id id, const enum setting_id **ret_ids);

struct setting_value {
    const char *text; /* normalised: trimmed, lists joined by ","; NULL: null */
    union {
        bool boolean;
        int64_t integer; /* int, short, long */
        double real;
    };
    enum config_source source;
};

/*
 * Parses one value by type, range and allowed values.
 *
 * text       Borrowed; the null slice means null and is refused unless that is the default.
 * ret_value  text in the arena; source untouched.
 * ret_allowed  With E_INVALID_CONFIG: what is allowed, a phrase in the arena ("a whole number from
 *            1 to 2147483647"). May be NULL.
 *
 * Errors: E_INVALID_CONFIG, E_LOCAL_NO_MEMORY.
 */
NODISCARD enum error setting_parse(const struct setting *setting, struct slice text,
                                   struct arena *arena, struct setting_value *ret_value,
                                   const char **ret_allowed);

/* True: code reads the setting, or the value is the default, so nothing is to be said. */
bool setting_value_is_served(const struct setting *setting, const struct setting_value *value);

/* Takes the next item of a list value ("a,b,c"), trimmed, from *rest; false: none left. */
bool setting_list_next(struct slice *rest, struct slice *ret_item);

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

/* Kafka's alternatives resolved: the first that is not null, converted to milliseconds. */
int64_t settings_log_retention_ms(const struct settings *settings); /* -1: for ever */
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
