/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/checkpoint_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CHECKPOINT_SIZE_MAX = 64 * 1024 * 1024, /* 250,000 lines of the longest names */
    HEAD_ROOM = 16,                         /* "0\n", ten digits, "\n" */
    NUMBERS_ROOM = 40,                      /* " 2147483647 9223372036854775807\n" and NUL */
    CAPACITY_FIRST = 4096,
    DECIMAL = 10,
};

/* --- reading --- */

/* Takes the line up to '\n' off the front; false: there is no complete line. */
static bool take_line(struct slice *text, struct slice *ret_line)
{
    const uint8_t *end = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);
    if (end == NULL) {
        return false;
    }
    *ret_line = slice_of(text->data, (size_t)(end - text->data));
    *text = slice_of(end + 1, text->size - ret_line->size - 1);
    return true;
}

/* A number without sign, of all the bytes. */
static bool parse_number(struct slice digits, int64_t max, int64_t *ret_number)
{
    int64_t number = 0;
    if (digits.size == 0) {
        return false;
    }
    for (size_t i = 0; i < digits.size; i++) {
        const int digit = digits.data[i] - '0';
        if (digit < 0 || digit >= DECIMAL || number > (max - digit) / DECIMAL) {
            return false;
        }
        number = number * DECIMAL + digit;
    }
    *ret_number = number;
    return true;
}

/* Cuts the last word, which a blank precedes, off the line. */
static bool cut_word(struct slice *line, struct slice *ret_word)
{
    const uint8_t *blank = line->size == 0 ? NULL : memrchr(line->data, ' ', line->size);
    if (blank == NULL) {
        return false;
    }
    const size_t before = (size_t)(blank - line->data);
    *ret_word = slice_of(blank + 1, line->size - before - 1);
    line->size = before;
    return true;
}

static bool parse_entry(struct slice line, struct checkpoint_entry *ret_entry)
{
    struct slice offset;
    struct slice partition;
    int64_t number;
    if (!cut_word(&line, &offset) || !cut_word(&line, &partition) || line.size == 0 ||
        !parse_number(offset, INT64_MAX, &ret_entry->offset) ||
        !parse_number(partition, INT32_MAX, &number)) {
        return false;
    }
    ret_entry->partition = (int32_t)number;
    ret_entry->topic = line;
    return true;
}

enum error checkpoint_parse(struct slice text, struct arena *arena,
                            struct checkpoint_entry **ret_entries, size_t *ret_count)
{
    struct slice line;
    int64_t version;
    int64_t count;
    if (!take_line(&text, &line) || !parse_number(line, INT32_MAX, &version) || version != 0 ||
        !take_line(&text, &line) || !parse_number(line, INT32_MAX, &count) ||
        (uint64_t)count > text.size) { /* a line has more than one byte */
        return E_LOCAL_CORRUPT;
    }
    struct checkpoint_entry *entries =
        ARENA_NEW_ARRAY(arena, struct checkpoint_entry, (size_t)count);
    if (entries == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!take_line(&text, &line) || !parse_entry(line, &entries[i])) {
            return E_LOCAL_CORRUPT;
        }
    }
    if (text.size != 0) {
        return E_LOCAL_CORRUPT;
    }
    *ret_entries = entries;
    *ret_count = (size_t)count;
    return E_OK;
}

enum error checkpoint_read(struct vfs *vfs, const char *path, struct arena *arena,
                           struct checkpoint_entry **ret_entries, size_t *ret_count)
{
    struct slice text;
    const enum error error = vfs_read_file(vfs, path, CHECKPOINT_SIZE_MAX, arena, &text);
    return error != E_OK ? error : checkpoint_parse(text, arena, ret_entries, ret_count);
}

/* --- writing --- */

void checkpoint_text_init(struct checkpoint_text *text)
{
    *text = (struct checkpoint_text){.size = HEAD_ROOM};
}

void checkpoint_text_done(struct checkpoint_text *text)
{
    free(text->data);
    text->data = NULL;
}

static bool reserve(struct checkpoint_text *text, size_t size)
{
    size_t capacity = text->capacity == 0 ? CAPACITY_FIRST : text->capacity;
    while (capacity < text->size + size) {
        capacity *= 2;
    }
    if (capacity == text->capacity) {
        return true;
    }
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        text->is_failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void checkpoint_text_add(struct checkpoint_text *text, const struct checkpoint_entry *entry)
{
    check(entry->partition >= 0);
    check(entry->offset >= 0);
    if (!reserve(text, entry->topic.size + NUMBERS_ROOM)) {
        return;
    }
    memcpy(text->data + text->size, entry->topic.data, entry->topic.size);
    text->size += entry->topic.size;
    const int size = snprintf(text->data + text->size, NUMBERS_ROOM, " %" PRId32 " %" PRId64 "\n",
                              entry->partition, entry->offset);
    check(size > 0 && size < NUMBERS_ROOM);
    text->size += (size_t)size;
    text->count++;
}

enum error checkpoint_text_write(struct checkpoint_text *text, struct vfs *vfs, const char *path)
{
    char head[HEAD_ROOM];
    if (text->is_failed || !reserve(text, 0)) {
        return E_LOCAL_NO_MEMORY;
    }
    const int size = snprintf(head, sizeof(head), "0\n%" PRIu32 "\n", text->count);
    check(size > 0 && size < HEAD_ROOM);
    char *start = text->data + HEAD_ROOM - size;
    memcpy(start, head, (size_t)size);
    return vfs_replace_file(vfs, path, slice_of(start, text->size - (size_t)(start - text->data)));
}
