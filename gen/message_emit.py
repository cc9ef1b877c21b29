# SPDX-License-Identifier: Apache-2.0
"""The model -> C: a header per API or message, and the tables of src/protocol/schema.h."""

import message_code
from message_model import SCALARS, VARIABLE, header_name

GENERATED = "/* generated from schemas/messages by gen/messages.py */\n"
FIELD_TYPES = {
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "uint16": "UINT16", "int32": "INT32",
    "uint32": "UINT32", "int64": "INT64", "float64": "FLOAT64", "uuid": "UUID",
    "string": "STRING", "bytes": "BYTES", "records": "RECORDS", "struct": "STRUCT",
}
STEP_KINDS = {**FIELD_TYPES, "uint16": "INT16", "uint32": "INT32", "float64": "INT64"}
PREFIX_SIZES = {"string": 2, "bytes": 4, "records": 4}  # not compact


# Headers


def c_type(field):
    if field.type == "struct":
        return f"struct {field.struct.name}"
    return VARIABLE.get(field.type) or SCALARS[field.type][0]


def member(field):
    base = c_type(field)
    note = f"versions {field.versions.lowest}-{field.versions.highest}"
    if field.nullable:
        note += f", nullable {field.nullable.lowest}-{field.nullable.highest}"
    if field.tagged:
        note += f", tag {field.tag}"
    if field.is_array:
        declaration = f"struct {{\n        {base} *items;\n        uint32_t count;\n    }} {field.name};"
    else:
        declaration = f"{base} {'*' if field.is_pointer else ''}{field.name};"
    return f"    {declaration} /* {note} */\n"


def emit_struct(struct):
    members = "".join(member(field) for field in struct.fields)
    # C has no empty struct.
    return f"struct {struct.name} {{\n{members or '    uint8_t no_members;' + chr(10)}}};\n"


def emit_header(messages):
    out = GENERATED + '#pragma once\n\n#include "protocol/message.h"\n'
    for message in messages:
        out += f"\n/* {message.name}, versions {message.versions.lowest}"
        out += f"-{message.versions.highest} */\n\n"
        out += "\n".join(emit_struct(struct) for struct in message.structs) + "\n"
        for struct in message.structs:
            out += f"extern const struct struct_schema {struct.name}_fields;\n"
        out += f"extern const struct message_schema {message.c_name}_schema;\n"
    return out


# Defaults


def integer(text):
    value = int(text or "0", 0)
    if value in (-(2**31), -(2**63)):
        return f"INT{value.bit_length()}_MIN"
    return f"INT64_C({value})" if abs(value) >= 2**31 else str(value)


def default_value(field):
    """The initialiser, or None for all zero bits."""
    if field.is_array:
        return None if field.default == "null" else "{.items = ARRAY_EMPTY}"
    if field.is_pointer:
        return None if field.default == "null" else \
            f"(struct {field.struct.name} *)&{field.struct.name}_defaults"
    if field.type == "struct":
        return defaults_of(field.struct)
    if field.type in ("string", "bytes"):
        if field.default == "null":
            return None
        text = field.default or ""
        return f'{{.data = (const uint8_t *)"{text}", .size = {len(text)}}}'
    if field.type == "bool":
        return "true" if field.default == "true" else None
    if field.type in ("records", "uuid", "float64"):
        return None
    value = integer(field.default)
    return None if value == "0" else value


def defaults_of(struct):
    values = [(field.name, default_value(field)) for field in struct.fields]
    inner = ", ".join(f".{name} = {value}" for name, value in values if value is not None)
    return f"{{{inner}}}" if inner else "{0}"


# Layouts


class Layouts:
    """The distinct layouts of one message, each with its text; equal bytes share one."""

    def __init__(self, message, hot=False):
        self.message = message
        self.hot = hot  # also as code
        self.names = {}  # text of a layout: its name
        self.size_min = {}  # by name
        self.out = []
        self.counts = {}
        self.functions = {}  # by name: of hot ones, between the steps and the layout

    def kind(self, field, version, element=False):
        flexible = version in self.message.flexible and not field.never_flexible
        compact = "COMPACT_" if flexible else ""
        if field.is_array and not element:
            return f"STEP_{compact}ARRAY"
        if field.type in VARIABLE:
            return f"STEP_{compact}{STEP_KINDS[field.type]}"
        if field.is_pointer and version in field.nullable:
            return "STEP_STRUCT_POINTER"
        return f"STEP_{STEP_KINDS[field.type]}"

    def value_size_min(self, field, version, child):
        flexible = version in self.message.flexible and not field.never_flexible
        if field.is_array:
            return 1 if flexible else 4
        if field.type in VARIABLE:
            return 1 if flexible else PREFIX_SIZES[field.type]
        if field.type == "struct":
            return 1 if version in field.nullable else self.size_min[child]
        return SCALARS[field.type][1]

    def step(self, struct, field, version, child):
        element = self.kind(field, version, element=True) if field.is_array else "0"
        nullable = "true" if version in field.nullable else "false"
        return (f"{{{self.kind(field, version)}, {element}, {nullable}, {field.tag}, "
                f"offsetof(struct {struct.name}, {field.name}), {struct.fields.index(field)}, "
                f"{'&' + child if child else 'NULL'}}}")

    def layout(self, struct, version):
        """Returns the name of the layout, having emitted it if it is new."""
        present = [field for field in struct.fields if version in field.versions]
        plain = [field for field in present if version not in field.tagged]
        tagged = sorted((f for f in present if version in f.tagged), key=lambda f: f.tag)
        absent = [index for index, field in enumerate(struct.fields)
                  if field not in present and not field.ignorable]
        flexible = version in self.message.flexible
        steps, size_min = [], 1 if flexible else 0
        for field in plain + tagged:
            child = self.layout(field.struct, version) if field.type == "struct" else None
            steps.append(self.step(struct, field, version, child))
            if field in plain:
                size_min += self.value_size_min(field, version, child)
        complete = len(plain) == len(struct.fields)
        steps_text = "".join(f"    {step},\n" for step in steps)
        absent_text = ", ".join(str(index) for index in absent)
        tail = (f"{max(size_min, 1)}, {len(plain)}, {len(tagged)}, {len(absent)}, "
                f"{str(flexible).lower()}, {str(complete).lower()}")
        key = (struct.name, steps_text, absent_text, tail)
        if key not in self.names:
            count = self.counts[struct] = self.counts.get(struct, -1) + 1
            name = self.names[key] = f"{struct.name}_layout_{count}"
            self.size_min[name] = size_min
            code = "NULL, NULL"
            if self.hot:
                code = f"{name}_decode, {name}_encode"
                self.functions[name] = message_code.emit_layout(
                    struct, name, plain, tagged, absent, flexible, complete)
            self.emit(struct, name, steps_text, absent_text, f"{tail}, {code}")
        return self.names[key]

    def emit(self, struct, name, steps, absent, tail):
        # Never NULL: adding even 0 to it would be undefined.
        steps_name, absent_name = f"{name}_steps", "NULL"
        rows = steps or "    {0}, /* none, see step_count */\n"
        self.out.append(f"static const struct step {steps_name}[] = {{\n{rows}}};\n")
        if absent:
            absent_name = f"{name}_absent"
            self.out.append(f"static const uint16_t {absent_name}[] = {{{absent}}};\n")
        self.out.append(self.functions.get(name, ""))
        self.out.append(f"static const struct layout {name} = {{\n    &{struct.name}_fields, "
                        f"{steps_name}, {absent_name}, {tail}}};\n\n")


def emit_fields(struct):
    rows = ""
    for field in struct.fields:
        form = "ARRAY" if field.is_array else "POINTER" if field.is_pointer else "ONE"
        child = f"&{field.struct.name}_fields" if field.struct else "NULL"
        rows += (f'    {{"{field.name}", {child}, offsetof(struct {struct.name}, {field.name}), '
                 f"FIELD_{FIELD_TYPES[field.type]}, FORM_{form}}},\n")
    fields = "NULL"
    out = ""
    if rows:
        fields = f"{struct.name}_field_list"
        out = f"static const struct field {fields}[] = {{\n{rows}}};\n"
    return out + (
        f"static const struct {struct.name} {struct.name}_defaults = {defaults_of(struct)};\n"
        f'const struct struct_schema {struct.name}_fields = {{"{struct.name}", {fields}, '
        f"&{struct.name}_defaults, sizeof(struct {struct.name}), {len(struct.fields)}}};\n\n")


def emit_message(message, hot):
    layouts = Layouts(message, hot)
    roots = [layouts.layout(message.root, version) for version in message.versions]
    out = f"/* {message.name} */\n\n" + "".join(emit_fields(s) for s in message.structs)
    out += "".join(layouts.out)
    out += f"static const struct layout *const {message.c_name}_layouts[] = {{\n"
    out += "".join(f"    &{root},\n" for root in roots) + "};\n"
    flexible_from = message.flexible.lowest if message.flexible else "INT16_MAX"
    return out + (
        f'const struct message_schema {message.c_name}_schema = {{"{message.name}", '
        f"&{message.root.name}_fields, {message.c_name}_layouts, {message.api_key}, "
        f"{message.versions.lowest}, {message.versions.highest}, {flexible_from}}};\n\n")


def emit_tables(messages, hot=False):
    headers = sorted({header_name(message) for message in messages})
    out = GENERATED
    out += "".join(f'#include "protocol/messages/{name}.h"\n' for name in headers) + "\n"
    if hot:
        out += '#include "protocol/codec_decode_private.h"\n'
        out += '#include "protocol/codec_encode_private.h"\n\n'
    # A default may point at the (constant) default of a child.
    out += '#pragma GCC diagnostic ignored "-Wcast-qual"\n\n'
    return out + "".join(emit_message(message, hot) for message in messages)


def emit_declarations(messages):
    """All message schemas, without their structs."""
    out = GENERATED + '#pragma once\n\n#include "protocol/schema.h"\n\n'
    return out + "".join(
        f"extern const struct message_schema {message.c_name}_schema;\n" for message in messages)


def emit_list(messages):
    """All message schemas by name, for tests and tools."""
    out = GENERATED + '#include "protocol/message_list.h"\n\n'
    out += '#include "protocol/messages/message_declarations.h"\n\n'
    out += "const struct message_schema *const message_list[] = {\n"
    out += "".join(f"    &{message.c_name}_schema,\n" for message in messages) + "};\n"
    return out + f"const size_t message_count = {len(messages)};\n"
