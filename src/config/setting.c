/* SPDX-License-Identifier: Apache-2.0 */
#include "config/setting.h"

#include <float.h>

#include "config/settings_table.inc"

enum {
    NEAREST_NAME_SIZE_MAX = 96, /* the longest known name has 57 bytes */
};

static const struct {
    size_t first; /* enum setting_id */
    size_t count;
} setting_scopes[] = {
    [SETTING_SCOPE_BROKER] = {SETTING_BROKER_FIRST, SETTING_BROKER_COUNT},
    [SETTING_SCOPE_TOPIC] = {SETTING_TOPIC_FIRST, SETTING_TOPIC_COUNT},
    [SETTING_SCOPE_GROUP] = {SETTING_GROUP_FIRST, SETTING_GROUP_COUNT},
};

const struct setting *setting_get(enum setting_id id)
{
    check_cmp(id, <, SETTING_COUNT);
    const struct setting *setting = &setting_table[id];
    check_cmp(setting->id, ==, id);
    return setting;
}

/* The table is sorted by scope and name. */
const struct setting *setting_find(enum setting_scope scope, struct slice name)
{
    size_t low = setting_scopes[scope].first;
    size_t high = low + setting_scopes[scope].count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct setting *setting = &setting_table[middle];
        const int order = slice_compare(name, slice_from_string(setting->name));
        if (order == 0) {
            return setting;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* Levenshtein's distance; both at most NEAREST_NAME_SIZE_MAX bytes. */
static size_t nearest_distance(struct slice a, struct slice b)
{
    size_t row[NEAREST_NAME_SIZE_MAX + 1];
    for (size_t j = 0; j <= b.size; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.size; j++) {
            const size_t replaced = diagonal + (a.data[i] == b.data[j] ? 0 : 1);
            const size_t shorter = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[b.size];
}

const struct setting *setting_nearest(enum setting_scope scope, struct slice name)
{
    if (name.size == 0 || name.size > NEAREST_NAME_SIZE_MAX) {
        return NULL;
    }
    const struct setting *nearest = NULL;
    size_t best = name.size / 4 + 2; /* a name that differs in more was not meant */
    for (size_t i = 0; i < setting_scopes[scope].count; i++) {
        const struct setting *setting = &setting_table[setting_scopes[scope].first + i];
        const struct slice known = slice_from_string(setting->name);
        check_cmp(known.size, <=, NEAREST_NAME_SIZE_MAX);
        const size_t distance = nearest_distance(name, known);
        if (!setting->is_internal && distance < best) {
            best = distance;
            nearest = setting;
        }
    }
    return nearest;
}

/* Source: the documentation of the settings, each "if not set, the value in ... is used". */
static const enum setting_id retention_ids[] = {
    SETTING_LOG_RETENTION_MS, SETTING_LOG_RETENTION_MINUTES, SETTING_LOG_RETENTION_HOURS};
static const enum setting_id roll_ids[] = {SETTING_LOG_ROLL_MS, SETTING_LOG_ROLL_HOURS};
static const enum setting_id jitter_ids[] = {SETTING_LOG_ROLL_JITTER_MS,
                                             SETTING_LOG_ROLL_JITTER_HOURS};
static const enum setting_id flush_ids[] = {SETTING_LOG_FLUSH_INTERVAL_MS,
                                            SETTING_LOG_FLUSH_SCHEDULER_INTERVAL_MS};

static const struct {
    enum setting_id id;
    const enum setting_id *ids;
    size_t count;
} alternatives[] = {
    {SETTING_LOG_RETENTION_MS, retention_ids, 3},
    {SETTING_LOG_RETENTION_MINUTES, retention_ids, 3},
    {SETTING_LOG_RETENTION_HOURS, retention_ids, 3},
    {SETTING_LOG_ROLL_MS, roll_ids, 2},
    {SETTING_LOG_ROLL_HOURS, roll_ids, 2},
    {SETTING_LOG_ROLL_JITTER_MS, jitter_ids, 2},
    {SETTING_LOG_ROLL_JITTER_HOURS, jitter_ids, 2},
    /* One way only: the scheduler's interval falls back to nothing. */
    {SETTING_LOG_FLUSH_INTERVAL_MS, flush_ids, 2},
};

size_t setting_alternatives(enum setting_id id, const enum setting_id **ret_ids)
{
    for (size_t i = 0; i < sizeof(alternatives) / sizeof(alternatives[0]); i++) {
        if (alternatives[i].id == id) {
            *ret_ids = alternatives[i].ids;
            return alternatives[i].count;
        }
    }
    *ret_ids = &setting_get(id)->id;
    return 1;
}
