/* SPDX-License-Identifier: Apache-2.0 */
#include "config/setting_parse.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct slice setting_trim(struct slice text)
{
    while (text.size > 0 && text.data[0] <= ' ') {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && text.data[text.size - 1] <= ' ') {
        text.size--;
    }
    return text;
}

bool setting_list_next(struct slice *rest, struct slice *ret_item)
{
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *comma = memchr(rest->data, ',', rest->size);
    const size_t size = comma == NULL ? rest->size : (size_t)(comma - rest->data);
    *ret_item = setting_trim(slice_of(rest->data, size));
    *rest = comma == NULL ? SLICE_NULL : slice_of(comma + 1, rest->size - size - 1);
    return true;
}

static enum error parse_boolean(const char *text, bool *ret_value)
{
    if (strcasecmp(text, "true") == 0) {
        *ret_value = true;
        return E_OK;
    }
    if (strcasecmp(text, "false") == 0) {
        *ret_value = false;
        return E_OK;
    }
    return E_INVALID_CONFIG;
}

/* Decimal digits after at most one sign, as Long.parseLong. */
static enum error parse_integer(const struct setting *setting, const char *text, int64_t *ret_value)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    if (digits[0] < '0' || digits[0] > '9') {
        return E_INVALID_CONFIG;
    }
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return E_INVALID_CONFIG;
    }
    if ((value < setting->min || value > setting->max) && value != setting->special) {
        return E_INVALID_CONFIG;
    }
    *ret_value = value;
    return E_OK;
}

/* A finite decimal number; strtod alone would take hexadecimals, infinities and NaN too. */
static enum error parse_real(const struct setting *setting, const char *text, double *ret_value)
{
    if (text[0] == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0') {
        return E_INVALID_CONFIG;
    }
    char *end;
    const double value = strtod(text, &end);
    if (*end != '\0' || !(value >= setting->real_min && value <= setting->real_max)) {
        return E_INVALID_CONFIG;
    }
    *ret_value = value;
    return E_OK;
}

static bool parse_is_allowed(const struct setting *setting, struct slice text)
{
    if (setting->allowed == NULL) {
        return true;
    }
    for (const char *const *allowed = setting->allowed; *allowed != NULL; allowed++) {
        if (slice_equal_string(text, *allowed)) {
            return true;
        }
        if (setting->allowed_any_case && text.size == strlen(*allowed) &&
            strncasecmp((const char *)text.data, *allowed, text.size) == 0) {
            return true;
        }
    }
    return false;
}

/* Joins the items by "," without white space, in place: never longer than before. */
static enum error parse_list(const struct setting *setting, char *text)
{
    struct slice rest = slice_from_string(text);
    struct slice item;
    char *to = text;
    while (setting_list_next(&rest, &item)) {
        if (!parse_is_allowed(setting, item)) {
            return E_INVALID_CONFIG;
        }
        if (to != text) {
            *to++ = ',';
        }
        memmove(to, item.data, item.size);
        to += item.size;
    }
    *to = '\0';
    return E_OK;
}

static enum error parse_by_type(const struct setting *setting, struct arena *arena, char *text,
                                struct setting_value *value)
{
    enum error error = E_OK;
    value->text = text;
    switch (setting->type) {
    case SETTING_TYPE_BOOLEAN:
        error = parse_boolean(text, &value->boolean);
        value->text = value->boolean ? "true" : "false";
        return error;
    case SETTING_TYPE_INT:
    case SETTING_TYPE_SHORT:
    case SETTING_TYPE_LONG:
        error = parse_integer(setting, text, &value->integer);
        if (error == E_OK) {
            value->text = arena_printf(arena, "%lld", (long long)value->integer);
        }
        return value->text == NULL ? E_LOCAL_NO_MEMORY : error;
    case SETTING_TYPE_DOUBLE:
        return parse_real(setting, text, &value->real);
    case SETTING_TYPE_LIST:
        error = parse_list(setting, text);
        break;
    case SETTING_TYPE_STRING:
        error = parse_is_allowed(setting, slice_from_string(text)) ? E_OK : E_INVALID_CONFIG;
        break;
    case SETTING_TYPE_CLASS:
    case SETTING_TYPE_PASSWORD:
        break;
    }
    return setting->is_non_empty && text[0] == '\0' ? E_INVALID_CONFIG : error;
}

static const char *allowed_words(const struct setting *setting, struct arena *arena)
{
    const char *phrase =
        setting->type == SETTING_TYPE_LIST ? "a comma-separated list of" : "one of";
    for (const char *const *word = setting->allowed; *word != NULL && phrase != NULL; word++) {
        phrase = arena_printf(arena, "%s%s %s", phrase, word == setting->allowed ? "" : ",", *word);
    }
    return phrase;
}

static const char *allowed_range(const struct setting *setting, struct arena *arena)
{
    const char *range = arena_printf(arena, "a whole number from %lld to %lld",
                                     (long long)setting->min, (long long)setting->max);
    if (range == NULL || setting->special == setting->min) {
        return range;
    }
    return arena_printf(arena, "%s, or %lld", range, (long long)setting->special);
}

static const char *allowed_phrase(const struct setting *setting, struct arena *arena)
{
    switch (setting->type) {
    case SETTING_TYPE_BOOLEAN:
        return "true or false";
    case SETTING_TYPE_INT:
    case SETTING_TYPE_SHORT:
    case SETTING_TYPE_LONG:
        return allowed_range(setting, arena);
    case SETTING_TYPE_DOUBLE:
        if (setting->real_max >= DBL_MAX) {
            return "a number";
        }
        return arena_printf(arena, "a number from %g to %g", setting->real_min, setting->real_max);
    case SETTING_TYPE_STRING:
    case SETTING_TYPE_LIST:
    case SETTING_TYPE_CLASS:
    case SETTING_TYPE_PASSWORD:
        break;
    }
    return setting->allowed != NULL ? allowed_words(setting, arena) : "a text that is not empty";
}

/* The default may lie outside the range: -1 for "not set". */
static bool parse_is_default(const struct setting *setting, struct slice text)
{
    return setting->default_text != NULL && slice_equal_string(text, setting->default_text);
}

static void parse_default_integer(const struct setting *setting, struct setting_value *value)
{
    if (setting->type == SETTING_TYPE_INT || setting->type == SETTING_TYPE_SHORT ||
        setting->type == SETTING_TYPE_LONG) {
        value->integer = strtoll(setting->default_text, NULL, 10);
    }
}

enum error setting_parse(const struct setting *setting, struct slice text, struct arena *arena,
                         struct setting_value *ret_value, const char **ret_allowed)
{
    struct setting_value value = {.text = NULL, .source = ret_value->source};
    enum error error = E_OK;
    if (slice_is_null(text)) {
        error = setting->default_text == NULL ? E_OK : E_INVALID_CONFIG;
    } else if (memchr(text.data, '\0', text.size) != NULL) {
        error = E_INVALID_CONFIG;
    } else {
        const struct slice trimmed = setting_trim(text);
        char *copy = arena_alloc(arena, trimmed.size + 1, 1);
        if (copy == NULL) {
            return E_LOCAL_NO_MEMORY;
        }
        memcpy(copy, trimmed.data, trimmed.size);
        copy[trimmed.size] = '\0';
        const bool is_default = parse_is_default(setting, trimmed);
        error = parse_by_type(setting, arena, copy, &value);
        if (error == E_INVALID_CONFIG && is_default) {
            parse_default_integer(setting, &value);
            value.text = setting->default_text;
            error = E_OK;
        }
    }
    if (error == E_OK) {
        *ret_value = value;
    } else if (error == E_INVALID_CONFIG && ret_allowed != NULL) {
        *ret_allowed = allowed_phrase(setting, arena);
        return *ret_allowed == NULL ? E_LOCAL_NO_MEMORY : error;
    }
    return error;
}

bool setting_value_is_default(const struct setting *setting, const struct setting_value *value)
{
    if (value->text == NULL || setting->default_text == NULL) {
        return value->text == setting->default_text;
    }
    return strcmp(value->text, setting->default_text) == 0;
}
