/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/topic_name.h"

static bool is_legal(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static const char *describe(struct arena *arena, struct slice name, const char *format)
{
    char escaped[300];
    size_t at = 0;
    for (size_t i = 0; i < name.size && at + 1 < sizeof(escaped); i++) {
        escaped[at++] = name.data[i] >= ' ' && name.data[i] < 0x7f ? (char)name.data[i] : '?';
    }
    escaped[at] = '\0';
    const char *text = arena_printf(arena, "Topic name is invalid: '%s' %s", escaped, format);
    return text == NULL ? "Topic name is invalid" : text;
}

const char *topic_name_problem(struct slice name, struct arena *arena)
{
    if (name.size == 0) {
        return "Topic name is invalid: the empty string is not allowed";
    }
    if (slice_equal_string(name, ".") || slice_equal_string(name, "..")) {
        return "Topic name is invalid: '.' or '..' are not allowed";
    }
    if (name.size > TOPIC_NAME_SIZE_MAX) {
        return describe(arena, name, "is longer than the max allowed length 249");
    }
    for (size_t i = 0; i < name.size; i++) {
        if (!is_legal(name.data[i])) {
            return describe(arena, name,
                            "contains one or more characters other than ASCII alphanumerics, "
                            "'.', '_' and '-'");
        }
    }
    return NULL;
}

int topic_name_compare_colliding(struct slice a, struct slice b)
{
    if (a.size != b.size) {
        return a.size < b.size ? -1 : 1;
    }
    for (size_t i = 0; i < a.size; i++) {
        const uint8_t left = a.data[i] == '.' ? '_' : a.data[i];
        const uint8_t right = b.data[i] == '.' ? '_' : b.data[i];
        if (left != right) {
            return left < right ? -1 : 1;
        }
    }
    return 0;
}

bool topic_names_collide(struct slice a, struct slice b)
{
    return topic_name_compare_colliding(a, b) == 0;
}

bool topic_name_is_internal(struct slice name)
{
    return slice_equal_string(name, "__consumer_offsets") ||
           slice_equal_string(name, "__transaction_state") ||
           slice_equal_string(name, "__share_group_state");
}
