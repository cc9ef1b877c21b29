# SPDX-License-Identifier: Apache-2.0
"""The model -> C: a layout's steps as straight-line code, for the messages of the hot path.

Each line is a step of the walker with its constants known to the compiler, so the bytes are the
same by construction: only what is always true of a layout is decided here instead of at run time.
"""


def is_default(field, place):
    """A condition in C that is enough, if not needed, for the member to be at its default."""
    value = f"{place}{field.name}"
    if field.is_array:
        wanted = "NULL" if field.default == "null" else "ARRAY_EMPTY"
        return f"{value}.items == {wanted} && {value}.count == 0"
    if field.is_pointer:
        return f"{value} == NULL" if field.default == "null" else "false"
    if field.type == "struct":
        return " && ".join(is_default(child, f"{value}.") for child in field.struct.fields)
    if field.type in ("string", "bytes"):
        if field.default == "null":
            return f"{value}.data == NULL"
        return "false" if field.default else f"({value}.size == 0 && {value}.data != NULL)"
    if field.type == "records":
        return f"{value}.chain == NULL && {value}.bytes.data == NULL"
    if field.type == "bool":
        return value if field.default == "true" else f"!{value}"
    if field.type == "uuid":
        return f"uuid_equal(&{value}, &(struct uuid){{0}})"
    return "false" if field.type == "float64" else f"{value} == {int(field.default or '0', 0)}"


def are_default(fields):
    return " && ".join(is_default(field, "m->") for field in fields) or "true"


def lines(verb, context, fields, name):
    out = ""
    for index, field in enumerate(fields):
        call = f"{verb}_step({context}, p, {name}_steps + {index}, message)"
        if field.is_array:
            view = "array_at(&m->{0})" if verb == "encode" else "(struct array_view *)(void *)&m->{0}"
            call = f"{verb}_array_inline({context}, p, {name}_steps + {index}, {view.format(field.name)})"
        out += f"    p = {call};\n    if (UNLIKELY(p == NULL)) {{\n        return NULL;\n    }}\n"
    return out


def emit_decode(struct, name, plain, flexible, complete):
    out = f"static const uint8_t *{name}_decode(struct decoder *d, const uint8_t *p, uint8_t *message)\n{{\n"
    out += f"    struct {struct.name} *m = (struct {struct.name} *)(void *)message;\n"
    out += "    (void)m;\n" if complete else f"    *m = {struct.name}_defaults;\n"
    out += lines("decode", "d", plain, name)
    end = f"decode_struct_end(d, p, &{name}, message)" if flexible else "p"
    return out + f"    return {end};\n}}\n"


def emit_encode(struct, name, plain, tagged, absent, flexible):
    out = f"static uint8_t *{name}_encode(struct writer *w, uint8_t *p, const uint8_t *message)\n{{\n"
    out += f"    const struct {struct.name} *m = (const struct {struct.name} *)(const void *)message;\n"
    out += "    (void)m;\n"
    if absent:
        fields = [struct.fields[index] for index in absent]
        out += f"    if (UNLIKELY(!({are_default(fields)})) &&\n"
        out += f"        !encode_absent_are_default(&{name}, message)) {{\n"
        out += "        return encode_refuse(w, E_LOCAL_UNSUPPORTED);\n    }\n"
    out += lines("encode", "w", plain, name)
    if tagged:
        out += f"    if (UNLIKELY(!({are_default(tagged)}))) {{\n"
        out += f"        return encode_tagged_fields(w, p, &{name}, message);\n    }}\n"
    return out + f"    return {'encode_struct_end(w, p)' if flexible else 'p'};\n}}\n"


def emit_layout(struct, name, plain, tagged, absent, flexible, complete):
    return (f"static const struct layout {name};\n"
            + emit_decode(struct, name, plain, flexible, complete)
            + emit_encode(struct, name, plain, tagged, absent, flexible))
