/* SPDX-License-Identifier: Apache-2.0 */

/* Comparing and printing: by fields, not by how they are written. */

#include <inttypes.h>
#include <stdio.h>

#include "protocol/codec.h"
#include "protocol/codec_private.h"

static size_t scalar_size(enum field_type type)
{
    static const uint8_t sizes[] = {
        [FIELD_BOOL] = sizeof(bool), [FIELD_INT8] = 1,    [FIELD_INT16] = 2,
        [FIELD_UINT16] = 2,          [FIELD_INT32] = 4,   [FIELD_UINT32] = 4,
        [FIELD_INT64] = 8,           [FIELD_FLOAT64] = 8, [FIELD_UUID] = sizeof(struct uuid),
    };
    check(type <= FIELD_UUID);
    return sizes[type];
}

/* Defaults */

static bool struct_is_default(const struct struct_schema *type, const uint8_t *message)
{
    if (memcmp(message, type->defaults, type->size) == 0) {
        return true; /* the usual case; with other padding it takes the long way */
    }
    for (uint16_t i = 0; i < type->field_count; i++) {
        if (!field_is_default(type, &type->fields[i], message, true)) {
            return false;
        }
    }
    return true;
}

/* Strings and arrays: the default is null or empty. */
static bool extent_is_default(const void *data, size_t size, const void *default_data,
                              bool null_is_empty)
{
    if (size > 0) {
        return false;
    }
    if (default_data == NULL) {
        return data == NULL;
    }
    return data != NULL || null_is_empty;
}

bool field_is_default(const struct struct_schema *type, const struct field *field,
                      const uint8_t *message, bool null_is_empty)
{
    const uint8_t *value = message + field->offset;
    const uint8_t *preset = (const uint8_t *)type->defaults + field->offset;
    if (field->form == FORM_POINTER) {
        const uint8_t *child = *(uint8_t *const *)(const void *)value;
        if (*(void *const *)(const void *)preset == NULL) {
            return child == NULL;
        }
        return child != NULL ? struct_is_default(field->child, child) : null_is_empty;
    }
    if (field->form == FORM_ARRAY) {
        const struct array_view array = array_at(value);
        return extent_is_default(array.items, array.count, array_at(preset).items, null_is_empty);
    }
    switch ((enum field_type)field->type) {
    case FIELD_STRUCT:
        return struct_is_default(field->child, value);
    case FIELD_STRING:
    case FIELD_BYTES: {
        const struct slice bytes = slice_at(value);
        const struct slice default_bytes = slice_at(preset);
        if (default_bytes.size > 0) {
            return slice_equal(bytes, default_bytes);
        }
        return extent_is_default(bytes.data, bytes.size, default_bytes.data, null_is_empty);
    }
    case FIELD_RECORDS: {
        const struct records *records = (const struct records *)(const void *)value;
        return records->chain == NULL && slice_is_null(records->bytes);
    }
    case FIELD_BOOL:
    case FIELD_INT8:
    case FIELD_INT16:
    case FIELD_UINT16:
    case FIELD_INT32:
    case FIELD_UINT32:
    case FIELD_INT64:
    case FIELD_FLOAT64:
    case FIELD_UUID:
        break;
    }
    return memcmp(value, preset, scalar_size(field->type)) == 0;
}

/* Equality */

static bool layout_equal(const struct layout *layout, const uint8_t *a, const uint8_t *b);

static bool slices_same(struct slice a, struct slice b, bool nullable)
{
    return slice_equal(a, b) && (!nullable || slice_is_null(a) == slice_is_null(b));
}

static bool value_equal(const struct step *step, const struct field *field, const uint8_t *a,
                        const uint8_t *b)
{
    switch ((enum field_type)field->type) {
    case FIELD_STRUCT:
        return layout_equal(step->child, a, b);
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_RECORDS: /* starts with its bytes; chains are not looked into */
        return slices_same(slice_at(a), slice_at(b), step->nullable);
    case FIELD_BOOL:
    case FIELD_INT8:
    case FIELD_INT16:
    case FIELD_UINT16:
    case FIELD_INT32:
    case FIELD_UINT32:
    case FIELD_INT64:
    case FIELD_FLOAT64:
    case FIELD_UUID:
        break;
    }
    return memcmp(a, b, scalar_size(field->type)) == 0;
}

static bool array_equal(const struct step *step, const struct field *field, struct array_view a,
                        struct array_view b)
{
    if (a.count != b.count || (step->nullable && (a.items == NULL) != (b.items == NULL))) {
        return false;
    }
    const size_t size = element_size(step);
    for (uint32_t i = 0; i < a.count; i++) {
        if (!value_equal(step, field, (const uint8_t *)a.items + i * size,
                         (const uint8_t *)b.items + i * size)) {
            return false;
        }
    }
    return true;
}

static bool member_equal(const struct step *step, const struct field *field, const uint8_t *a,
                         const uint8_t *b)
{
    if (field->form == FORM_ARRAY) {
        return array_equal(step, field, array_at(a), array_at(b));
    }
    if (field->form == FORM_POINTER) {
        const uint8_t *child_a = *(uint8_t *const *)(const void *)a;
        const uint8_t *child_b = *(uint8_t *const *)(const void *)b;
        if (child_a == NULL || child_b == NULL) {
            return child_a == child_b;
        }
        return layout_equal(step->child, child_a, child_b);
    }
    return value_equal(step, field, a, b);
}

static bool layout_equal(const struct layout *layout, const uint8_t *a, const uint8_t *b)
{
    const size_t count = (size_t)layout->step_count + layout->tagged_count;
    for (size_t i = 0; i < count; i++) {
        const struct step *step = &layout->steps[i];
        const struct field *field = &layout->type->fields[step->field];
        if (!member_equal(step, field, a + field->offset, b + field->offset)) {
            return false;
        }
    }
    return true;
}

bool codec_equal(const struct message_schema *schema, int16_t version, const void *a, const void *b)
{
    check(message_has_version(schema, version));
    return layout_equal(schema->layouts[version - schema->version_min], a, b);
}

/* Text */

struct printer {
    char *text;
    size_t size;   /* room, bytes */
    size_t length; /* of the whole text, may exceed the room */
};

static void print_layout(struct printer *out, const struct layout *layout, const uint8_t *message);

static void put_char(struct printer *out, char c)
{
    if (out->length + 1 < out->size) {
        out->text[out->length] = c;
        out->text[out->length + 1] = '\0';
    }
    out->length++;
}

static void put_text(struct printer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        put_char(out, *text);
    }
}

static void put_hex(struct printer *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        put_char(out, "0123456789abcdef"[bytes.data[i] >> 4]);
        put_char(out, "0123456789abcdef"[bytes.data[i] & 15]);
    }
}

static void put_quoted(struct printer *out, struct slice string)
{
    put_char(out, '"');
    for (size_t i = 0; i < string.size; i++) {
        const uint8_t c = string.data[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\') {
            put_text(out, "\\x");
            put_hex(out, slice_of(&c, 1));
        } else {
            put_char(out, (char)c);
        }
    }
    put_char(out, '"');
}

static void put_integer(struct printer *out, enum field_type type, const uint8_t *value)
{
    char text[32];
    uint64_t bits = 0;
    const size_t size = scalar_size(type);
    memcpy(&bits, value, size); /* little-endian: the low bytes */
    const bool is_signed = type != FIELD_UINT16 && type != FIELD_UINT32;
    const unsigned shift = (unsigned)(64 - 8 * size);
    const int64_t number = is_signed ? (int64_t)(bits << shift) >> shift : (int64_t)bits;
    (void)snprintf(text, sizeof(text), "%" PRId64, number); /* fits */
    put_text(out, text);
}

static void print_slice(struct printer *out, bool is_string, struct slice bytes)
{
    if (slice_is_null(bytes)) {
        put_text(out, "null");
    } else if (is_string) {
        put_quoted(out, bytes);
    } else {
        put_text(out, "x'");
        put_hex(out, bytes);
        put_char(out, '\'');
    }
}

static void print_float(struct printer *out, const uint8_t *value)
{
    char text[40];
    double number;
    memcpy(&number, value, sizeof(number));
    (void)snprintf(text, sizeof(text), "%.17g", number); /* fits */
    put_text(out, text);
}

static void print_value(struct printer *out, const struct step *step, const struct field *field,
                        const uint8_t *value)
{
    switch ((enum field_type)field->type) {
    case FIELD_STRUCT:
        print_layout(out, step->child, value);
        break;
    case FIELD_STRING:
        print_slice(out, true, slice_at(value));
        break;
    case FIELD_BYTES:
        print_slice(out, false, slice_at(value));
        break;
    case FIELD_RECORDS:
        if (((const struct records *)(const void *)value)->chain != NULL) {
            put_text(out, "(chain)");
        } else {
            print_slice(out, false, slice_at(value));
        }
        break;
    case FIELD_BOOL:
        put_text(out, *(const bool *)value ? "true" : "false");
        break;
    case FIELD_UUID:
        put_hex(out, slice_of(value, sizeof(struct uuid)));
        break;
    case FIELD_FLOAT64:
        print_float(out, value);
        break;
    case FIELD_INT8:
    case FIELD_INT16:
    case FIELD_UINT16:
    case FIELD_INT32:
    case FIELD_UINT32:
    case FIELD_INT64:
        put_integer(out, field->type, value);
        break;
    }
}

static void print_array(struct printer *out, const struct step *step, const struct field *field,
                        struct array_view array)
{
    if (array.items == NULL) {
        put_text(out, "null");
        return;
    }
    put_char(out, '[');
    for (uint32_t i = 0; i < array.count; i++) {
        if (i > 0) {
            put_char(out, ',');
        }
        print_value(out, step, field, (const uint8_t *)array.items + i * element_size(step));
    }
    put_char(out, ']');
}

static void print_member(struct printer *out, const struct step *step, const struct field *field,
                         const uint8_t *member)
{
    if (field->form == FORM_ARRAY) {
        print_array(out, step, field, array_at(member));
    } else if (field->form == FORM_POINTER) {
        const uint8_t *child = *(uint8_t *const *)(const void *)member;
        if (child == NULL) {
            put_text(out, "null");
        } else {
            print_layout(out, step->child, child);
        }
    } else {
        print_value(out, step, field, member);
    }
}

static void print_layout(struct printer *out, const struct layout *layout, const uint8_t *message)
{
    const size_t count = (size_t)layout->step_count + layout->tagged_count;
    put_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        const struct step *step = &layout->steps[i];
        const struct field *field = &layout->type->fields[step->field];
        if (i > 0) {
            put_char(out, ',');
        }
        put_text(out, field->name);
        put_char(out, ':');
        print_member(out, step, field, message + field->offset);
    }
    put_char(out, '}');
}

size_t codec_print(const struct message_schema *schema, int16_t version, const void *message,
                   char *text, size_t size)
{
    struct printer out = {.text = text, .size = size};
    check(message_has_version(schema, version));
    if (size > 0) {
        text[0] = '\0';
    }
    print_layout(&out, schema->layouts[version - schema->version_min], message);
    return out.length;
}
