/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the text of a value becomes a typed value, or a phrase that says what is allowed. */

#include "base/arena.h"
#include "base/error.h"
#include "config/setting.h"

/* Kafka's codes, as in DescribeConfigs responses. */
enum config_source {
    CONFIG_SOURCE_DYNAMIC_TOPIC = 1,
    CONFIG_SOURCE_DYNAMIC_BROKER = 2,
    CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER = 3,
    CONFIG_SOURCE_STATIC_BROKER = 4,
    CONFIG_SOURCE_DEFAULT = 5,
    CONFIG_SOURCE_GROUP = 8,
};

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

/* Numbers and booleans are compared in their normal form: "+1" is the default 1. */
bool setting_value_is_default(const struct setting *setting, const struct setting_value *value);

/* What Java's trim() leaves, as Kafka does with every value. */
struct slice setting_trim(struct slice text);

/* Takes the next item of a list value ("a,b,c"), trimmed, from *rest; false: none left. */
bool setting_list_next(struct slice *rest, struct slice *ret_item);
