/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The settings that the broker knows (schemas/configs.tsv, one row each), found by enum or, at the
 * border, by name.
 */

#include <stdbool.h>

#include "base/check.h"
#include "base/slice.h"
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
