/* SPDX-License-Identifier: Apache-2.0 */
#include "config/properties.h"

#include <stdlib.h>

/* Reading position in the whole text. */
struct reader {
    const uint8_t *next;
    const uint8_t *end;
    uint32_t line; /* of next, from 1 */
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(uint8_t c)
{
    return c == '\n' || c == '\r';
}

/* Length of the UTF-8 sequence at p (RFC 3629: no surrogates, nothing over-long), 0: none. */
static size_t utf8_sequence_size(const uint8_t *p, const uint8_t *end)
{
    const uint8_t lead = p[0];
    if (lead < 0x80) {
        return 1;
    }
    const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - p) < size) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool is_bad = (lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ||
                        (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f);
    return is_bad ? 0 : size;
}

static bool is_utf8(struct slice text)
{
    const uint8_t *end = text.data + text.size;
    for (const uint8_t *p = text.data; p < end;) {
        const size_t size = utf8_sequence_size(p, end);
        if (size == 0) {
            return false;
        }
        p += size;
    }
    return true;
}

static uint8_t *utf8_write(uint8_t *to, uint32_t code_point)
{
    if (code_point < 0x80) {
        *to++ = (uint8_t)code_point;
        return to;
    }
    if (code_point < 0x800) {
        *to++ = (uint8_t)(0xc0 | (code_point >> 6));
    } else {
        if (code_point < 0x10000) {
            *to++ = (uint8_t)(0xe0 | (code_point >> 12));
        } else {
            *to++ = (uint8_t)(0xf0 | (code_point >> 18));
            *to++ = (uint8_t)(0x80 | ((code_point >> 12) & 0x3f));
        }
        *to++ = (uint8_t)(0x80 | ((code_point >> 6) & 0x3f));
    }
    *to++ = (uint8_t)(0x80 | (code_point & 0x3f));
    return to;
}

/* ISO-8859-1 to UTF-8; the null slice: no memory. */
static struct slice utf8_from_latin1(struct arena *arena, struct slice text)
{
    uint8_t *data = arena_alloc(arena, text.size * 2, 1);
    if (data == NULL) {
        return SLICE_NULL;
    }
    uint8_t *to = data;
    for (size_t i = 0; i < text.size; i++) {
        to = utf8_write(to, text.data[i]);
    }
    return slice_of(data, (size_t)(to - data));
}

static void reader_skip_line_end(struct reader *reader)
{
    if (reader->next == reader->end) {
        return;
    }
    const bool is_return = *reader->next++ == '\r';
    if (is_return && reader->next < reader->end && *reader->next == '\n') {
        reader->next++;
    }
    reader->line++;
}

/* To the first byte of the next line that is neither blank nor a comment; false: the end. */
static bool reader_skip_to_entry(struct reader *reader)
{
    while (reader->next < reader->end) {
        const uint8_t c = *reader->next;
        if (is_line_end(c)) {
            reader_skip_line_end(reader);
        } else if (is_blank(c)) {
            reader->next++;
        } else if (c == '#' || c == '!') {
            while (reader->next < reader->end && !is_line_end(*reader->next)) {
                reader->next++;
            }
        } else {
            return true;
        }
    }
    return false;
}

/* Joins continued lines into `line` (room for the whole text), escapes kept. Returns the size. */
static size_t reader_take_entry(struct reader *reader, uint8_t *line)
{
    uint8_t *to = line;
    while (reader->next < reader->end && !is_line_end(*reader->next)) {
        const uint8_t c = *reader->next++;
        if (c != '\\') {
            *to++ = c;
        } else if (reader->next == reader->end) {
            break; /* a lone backslash at the end of the file says nothing */
        } else if (!is_line_end(*reader->next)) {
            *to++ = c;
            *to++ = *reader->next++;
        } else {
            reader_skip_line_end(reader);
            while (reader->next < reader->end && is_blank(*reader->next)) {
                reader->next++;
            }
        }
    }
    reader_skip_line_end(reader);
    return (size_t)(to - line);
}

/* Four hexadecimal digits. */
static bool hex4_read(const uint8_t *p, const uint8_t *end, uint32_t *ret_value)
{
    uint32_t value = 0;
    if (end - p < 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        const uint8_t c = p[i];
        const uint8_t lower = c | 0x20;
        if (c >= '0' && c <= '9') {
            value = value * 16 + (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value * 16 + (uint32_t)(lower - 'a') + 10;
        } else {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

/* After "\u": one code point, from two escapes when they are a surrogate pair; NULL: malformed. */
static const uint8_t *unicode_escape_read(const uint8_t *p, const uint8_t *end,
                                          uint32_t *ret_code_point)
{
    uint32_t high;
    if (!hex4_read(p, end, &high) || high == 0) {
        return NULL;
    }
    p += 4;
    *ret_code_point = high;
    if (high < 0xd800 || high > 0xdfff) {
        return p;
    }
    *ret_code_point = 0xfffd; /* half of a pair */
    uint32_t low;
    if (high < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
        hex4_read(p + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *ret_code_point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }
    return p;
}

static uint8_t plain_escape(uint8_t c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    default:
        return c;
    }
}

/* A NUL-terminated copy with escapes resolved, which never makes a text longer. */
static enum error unescape(struct arena *arena, struct slice raw, struct slice *ret_text)
{
    uint8_t *data = arena_alloc(arena, raw.size + 1, 1);
    if (data == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    uint8_t *to = data;
    const uint8_t *end = raw.data + raw.size;
    for (const uint8_t *p = raw.data; p < end;) {
        const uint8_t c = *p++;
        if (c != '\\' || p == end) {
            *to++ = c;
        } else if (*p != 'u') {
            *to++ = plain_escape(*p++);
        } else {
            uint32_t code_point;
            p = unicode_escape_read(p + 1, end, &code_point);
            if (p == NULL) {
                return E_INVALID_CONFIG;
            }
            to = utf8_write(to, code_point);
        }
    }
    *to = '\0';
    *ret_text = slice_of(data, (size_t)(to - data));
    return E_OK;
}

/* name [blanks] [= or :] [blanks] value; a separator after a backslash belongs to the name. */
static void split_entry(struct slice line, struct slice *ret_name, struct slice *ret_value)
{
    size_t i = 0;
    while (i < line.size && line.data[i] != '=' && line.data[i] != ':' && !is_blank(line.data[i])) {
        i += line.data[i] == '\\' ? 2 : 1;
    }
    check_cmp(i, <=, line.size); /* reader_take_entry leaves no lone backslash */
    *ret_name = slice_of(line.data, i);
    while (i < line.size && is_blank(line.data[i])) {
        i++;
    }
    if (i < line.size && (line.data[i] == '=' || line.data[i] == ':')) {
        i++;
    }
    while (i < line.size && is_blank(line.data[i])) {
        i++;
    }
    *ret_value = slice_of(line.data + i, line.size - i);
}

static uint32_t line_number(struct slice text_before)
{
    uint32_t line = 1;
    for (size_t i = 0; i < text_before.size; i++) {
        line += text_before.data[i] == '\n' ? 1 : 0;
    }
    return line;
}

static size_t entry_count(struct slice text, uint8_t *line)
{
    struct reader reader = {.next = text.data, .end = text.data + text.size, .line = 1};
    size_t count = 0;
    while (reader_skip_to_entry(&reader)) {
        (void)reader_take_entry(&reader, line); /* only the count is wanted */
        count++;
    }
    return count;
}

static int compare_by_name(const void *a, const void *b)
{
    const struct property *left = a;
    const struct property *right = b;
    const int order = slice_compare(left->name, right->name);
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

static int compare_by_line(const void *a, const void *b)
{
    const struct property *left = a;
    const struct property *right = b;
    return (left->line > right->line) - (left->line < right->line);
}

/* Keeps the last of each name, in the order of the file. */
static void drop_replaced(struct properties *properties)
{
    if (properties->count == 0) {
        return;
    }
    struct property *entries = properties->entries;
    qsort(entries, properties->count, sizeof(entries[0]), compare_by_name);
    size_t kept = 0;
    for (size_t i = 1; i < properties->count; i++) {
        if (slice_equal(entries[kept].name, entries[i].name)) {
            const uint32_t replaced_line = entries[kept].line;
            entries[kept] = entries[i];
            entries[kept].replaced_line = replaced_line;
        } else {
            entries[++kept] = entries[i];
        }
    }
    properties->count = kept + 1;
    qsort(entries, properties->count, sizeof(entries[0]), compare_by_line);
}

static enum error parse_entries(struct arena *arena, struct slice text,
                                struct properties *properties, struct properties_failure *failure)
{
    uint8_t *line = arena_alloc(arena, text.size + 1, 1);
    if (line == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    struct property *entries = ARENA_NEW_ARRAY(arena, struct property, entry_count(text, line));
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    struct reader reader = {.next = text.data, .end = text.data + text.size, .line = 1};
    size_t count = 0;
    while (reader_skip_to_entry(&reader)) {
        struct property *entry = &entries[count++];
        entry->line = reader.line;
        struct slice name;
        struct slice value;
        split_entry(slice_of(line, reader_take_entry(&reader, line)), &name, &value);
        enum error error = unescape(arena, name, &entry->name);
        if (error == E_OK) {
            error = unescape(arena, value, &entry->value);
        }
        if (error == E_INVALID_CONFIG) {
            *failure = (struct properties_failure){
                .line = entry->line,
                .text = "\\u must be followed by four hexadecimal digits that are not all zero",
            };
        }
        if (error != E_OK) {
            return error;
        }
    }
    *properties = (struct properties){.entries = entries, .count = count};
    return E_OK;
}

enum error properties_parse(struct arena *arena, struct slice text,
                            struct properties *ret_properties,
                            struct properties_failure *ret_failure)
{
    if (text.size > PROPERTIES_SIZE_MAX) {
        *ret_failure = (struct properties_failure){
            .line = 1, .text = "the file is larger than 1 MiB: is it a configuration file?"};
        return E_INVALID_CONFIG;
    }
    if (text.size == 0) {
        *ret_properties = (struct properties){.entries = NULL, .count = 0};
        return E_OK;
    }
    const uint8_t *nul = memchr(text.data, '\0', text.size);
    if (nul != NULL) {
        const size_t size = (size_t)(nul - text.data);
        *ret_failure =
            (struct properties_failure){.line = line_number(slice_of(text.data, size)),
                                        .text = "the file has a NUL byte: is it a text file?"};
        return E_INVALID_CONFIG;
    }
    if (!is_utf8(text)) {
        text = utf8_from_latin1(arena, text);
        if (slice_is_null(text)) {
            return E_LOCAL_NO_MEMORY;
        }
    }
    const enum error error = parse_entries(arena, text, ret_properties, ret_failure);
    if (error == E_OK) {
        drop_replaced(ret_properties);
    }
    return error;
}

const struct property *properties_find(const struct properties *properties, struct slice name)
{
    for (size_t i = 0; i < properties->count; i++) {
        if (slice_equal(properties->entries[i].name, name)) {
            return &properties->entries[i];
        }
    }
    return NULL;
}
