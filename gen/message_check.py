# SPDX-License-Identifier: Apache-2.0
"""What must hold for the emitted tables to be right; a broken rule stops the build."""

from message_model import SCALARS, VARIABLE

C_KEYWORDS = set(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while bool true false".split())


def problems_of_field(message, struct, field):
    where = f"{message.name}.{struct.json_name}.{field.name}"
    if field.type not in SCALARS and field.type not in VARIABLE and field.type != "struct":
        yield f"{where}: unknown type {field.type}"
    if field.name in C_KEYWORDS:
        yield f"{where}: a keyword of C"
    if not field.versions or field.versions.lowest < message.versions.lowest:
        yield f"{where}: versions outside of the message's"
    for name, part in (("nullable", field.nullable), ("tagged", field.tagged)):
        if any(version not in field.versions for version in part):
            yield f"{where}: {name} in a version without the field"
    if any(version not in message.flexible for version in field.tagged):
        yield f"{where}: tagged in a version that is not flexible"
    if field.tagged and field.tagged != field.versions:
        yield f"{where}: tagged in some versions only"
    if field.tag > 255:
        yield f"{where}: tag {field.tag} does not fit a step"
    can_be_null = field.is_array or field.type in VARIABLE or field.type == "struct"
    if field.nullable and not can_be_null:
        yield f"{where}: {field.type} cannot be null"
    if field.default == "null" and not field.nullable:
        yield f"{where}: default null, but never nullable"
    if field.is_pointer and field.nullable != field.versions:
        yield f"{where}: a struct that can be null in some versions only"
    if field.tagged and field.type == "records":
        yield f"{where}: records cannot be tagged (their size is patched in place)"
    if field.is_array and field.type == "records":
        yield f"{where}: an array of records"
    if (field.is_array or field.type in ("bytes", "records", "struct")) and \
            field.default not in (None, "null", ""):
        yield f"{where}: default {field.default} of {field.type}"


def problems(message):
    for struct in message.structs:
        names = [field.name for field in struct.fields]
        if len(set(names)) != len(names):
            yield f"{message.name}.{struct.json_name}: a field name twice"
        for version in message.versions:
            tags = sorted(f.tag for f in struct.fields if version in f.tagged)
            if len(set(tags)) != len(tags):
                yield f"{message.name}.{struct.json_name} v{version}: a tag twice in {tags}"
        for field in struct.fields:
            yield from problems_of_field(message, struct, field)


def check(messages):
    """Returns the broken rules as text lines."""
    found = [problem for message in messages for problem in problems(message)]
    names = [struct.name for message in messages for struct in message.structs]
    found += [f"struct {name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    return found
