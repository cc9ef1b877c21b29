/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/codec.h"
#include "protocol/codec_decode_private.h"

__attribute__((noinline, cold)) const uint8_t *decode_refuse(struct decoder *d, enum error error)
{
    d->error = error;
    return NULL;
}

__attribute__((noinline)) struct uvarint decode_long_uvarint(struct decoder *d, const uint8_t *p)
{
    struct uvarint result;
    result.next = uvarint32_read(p, d->end, &result.value);
    if (result.next == NULL) {
        const bool is_cut = left(d, p) < UVARINT32_SIZE_MAX;
        (void)decode_refuse(d, is_cut ? E_LOCAL_TRUNCATED : E_LOCAL_MALFORMED);
    }
    return result;
}

const uint8_t *decode_struct_pointer(struct decoder *d, const uint8_t *p,
                                     const struct layout *layout, void **ret_pointer)
{
    if (left(d, p) < 1) {
        return decode_refuse(d, E_LOCAL_TRUNCATED);
    }
    *ret_pointer = NULL;
    if ((int8_t)*p < 0) {
        return p + 1;
    }
    uint8_t *child = arena_alloc(d->arena, layout->type->size, _Alignof(max_align_t));
    if (child == NULL) {
        return decode_refuse(d, E_LOCAL_NO_MEMORY);
    }
    *ret_pointer = child;
    return decode_struct(d, p + 1, layout, child);
}

/* Arrays */

const uint8_t *decode_elements(struct decoder *d, const uint8_t *p, const struct step *step,
                               uint8_t *items, size_t item_size, uint32_t count)
{
    for (; count > 0 && p != NULL; count--) {
        p = decode_value(d, p, step->element, false, step->child, items);
        items += item_size;
    }
    return p;
}

const uint8_t *decode_array(struct decoder *d, const uint8_t *p, const struct step *step,
                            struct array_view *ret_array)
{
    return decode_array_inline(d, p, step, ret_array);
}

/* Structs */

static const uint8_t *decode_tagged_field(struct decoder *d, const uint8_t *p, size_t size,
                                          const struct step *step, uint8_t *message)
{
    const uint8_t *const end = d->end;
    d->end = p + size;
    p = decode_step(d, p, step, message);
    if (p != NULL && p != d->end) {
        p = decode_refuse(d, E_LOCAL_MALFORMED);
    }
    d->end = end;
    return p;
}

/* Known ones are stored; those of a newer peer are skipped (KIP-482). */
const uint8_t *decode_tagged_fields(struct decoder *d, const uint8_t *p, uint32_t count,
                                    const struct layout *layout, uint8_t *message)
{
    const struct step *step = layout->steps + layout->step_count;
    const struct step *const end = step + layout->tagged_count;
    uint32_t tag_min = 0;
    for (; count > 0 && p != NULL; count--) {
        const struct uvarint tag = read_uvarint(d, p);
        if (tag.next == NULL) {
            return NULL;
        }
        const struct uvarint size = read_uvarint(d, tag.next);
        if (size.next == NULL) {
            return NULL;
        }
        if (tag.value < tag_min || tag.value > INT32_MAX) {
            return decode_refuse(d, E_LOCAL_MALFORMED); /* twice, or not rising */
        }
        tag_min = tag.value + 1;
        if (size.value > left(d, size.next)) {
            return decode_refuse(d, E_LOCAL_TRUNCATED);
        }
        while (step < end && step->tag < tag.value) {
            step++;
        }
        if (step < end && step->tag == tag.value) {
            p = decode_tagged_field(d, size.next, size.value, step, message);
        } else {
            p = size.next + size.value;
        }
    }
    return p;
}

const uint8_t *decode_struct_by_steps(struct decoder *d, const uint8_t *p,
                                      const struct layout *layout, uint8_t *message)
{
    if (!layout->complete) {
        memcpy(message, layout->type->defaults, layout->type->size);
    }
    const struct step *const end = layout->steps + layout->step_count;
    for (const struct step *step = layout->steps; step < end; step++) {
        p = decode_step(d, p, step, message);
        if (UNLIKELY(p == NULL)) {
            return NULL;
        }
    }
    if (!layout->flexible) {
        return p;
    }
    return decode_struct_end(d, p, layout, message);
}

enum error codec_decode(const struct message_schema *schema, int16_t version, struct slice bytes,
                        struct arena *arena, const struct decode_limits *limits, void *ret_message,
                        size_t *ret_consumed)
{
    if (!message_has_version(schema, version)) {
        return E_UNSUPPORTED_VERSION;
    }
    if (bytes.data == NULL) {
        bytes = SLICE("");
    }
    const struct decode_limits bounds = limits != NULL ? *limits : DECODE_LIMITS_DEFAULT;
    struct decoder d = {
        .end = bytes.data + bytes.size,
        .arena = arena,
        .element_count_left = bounds.element_count_max,
    };
    const uint8_t *p =
        decode_struct(&d, bytes.data, schema->layouts[version - schema->version_min], ret_message);
    if (p == NULL) {
        return d.error;
    }
    check_slow(p <= d.end); /* D1 */
    *ret_consumed = (size_t)(p - bytes.data);
    return E_OK;
}
