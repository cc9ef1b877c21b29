# SPDX-License-Identifier: Apache-2.0
"""schemas/messages/*.json -> the model: Message, Struct, Field, Versions."""

import json
from dataclasses import dataclass
from pathlib import Path


def snake(name):
    """Kafka's own rule: a capital starts a word, a run of capitals is one word."""
    out, after_capital = "", True
    for char in name:
        if char.isupper() and not after_capital:
            out += "_"
        after_capital = char.isupper()
        out += char.lower()
    return out


@dataclass(frozen=True)
class Versions:
    """A closed range; empty when lowest > highest."""

    lowest: int = 0
    highest: int = -1

    @staticmethod
    def parse(text, newest):
        if text is None or text == "none":
            return Versions()
        if text.endswith("+"):
            return Versions(int(text[:-1]), newest)
        lowest, _, highest = text.partition("-")
        return Versions(int(lowest), int(highest or lowest))

    def __contains__(self, version):
        return self.lowest <= version <= self.highest

    def __bool__(self):
        return self.lowest <= self.highest

    def __iter__(self):
        return iter(range(self.lowest, self.highest + 1))


SCALARS = {  # type: (C type, size on the wire)
    "bool": ("bool", 1),
    "int8": ("int8_t", 1),
    "int16": ("int16_t", 2),
    "uint16": ("uint16_t", 2),
    "int32": ("int32_t", 4),
    "uint32": ("uint32_t", 4),
    "int64": ("int64_t", 8),
    "float64": ("double", 8),
    "uuid": ("struct uuid", 16),
}
VARIABLE = {"string": "struct slice", "bytes": "struct slice", "records": "struct records"}


@dataclass(eq=False)
class Field:
    name: str
    type: str  # a key of SCALARS or VARIABLE, or "struct"
    is_array: bool
    struct_name: str  # for "struct": the name in the JSON
    versions: Versions
    nullable: Versions
    tagged: Versions
    tag: int
    default: str  # None when the schema gives none
    ignorable: bool
    never_flexible: bool
    struct: "Struct" = None

    @property
    def is_pointer(self):
        return self.type == "struct" and not self.is_array and bool(self.nullable)


@dataclass(eq=False)
class Struct:
    name: str  # C name without "struct"
    json_name: str
    fields: list


@dataclass
class Message:
    name: str
    c_name: str
    kind: str  # request, response, header, data, coordinator-key, ...
    api_key: int
    versions: Versions
    flexible: Versions
    root: Struct
    structs: list  # children before parents; the root is last


def read_field(raw, versions):
    is_array = raw["type"].startswith("[]")
    type_name = raw["type"][2:] if is_array else raw["type"]
    is_struct = type_name[0].isupper()
    return Field(
        name=snake(raw["name"]),
        type="struct" if is_struct else type_name,
        is_array=is_array,
        struct_name=type_name if is_struct else "",
        versions=Versions.parse(raw["versions"], versions.highest),
        nullable=Versions.parse(raw.get("nullableVersions"), versions.highest),
        tagged=Versions.parse(raw.get("taggedVersions"), versions.highest),
        tag=raw.get("tag", 0),
        default=raw.get("default"),
        ignorable=raw.get("ignorable", False),
        never_flexible=raw.get("flexibleVersions") == "none",
    )


def read_message(path):
    raw = json.loads(path.read_text(encoding="utf-8"))
    versions = Versions.parse(raw["validVersions"], -1)
    c_name = snake(raw["name"])
    by_name, structs = {}, []

    def declare(json_name, raw_fields):
        if json_name in by_name:
            raise ValueError(f"{path}: struct {json_name} is declared twice")
        struct = Struct(f"{c_name}_{snake(json_name)}" if json_name else c_name, json_name, [])
        by_name[json_name] = struct
        for raw_field in raw_fields:
            if "fields" in raw_field:
                declare(raw_field["type"].replace("[]", ""), raw_field["fields"])
            struct.fields.append(read_field(raw_field, versions))

    for common in raw.get("commonStructs", []):
        declare(common["name"], common["fields"])
    declare("", raw["fields"])

    def resolve(struct, path_to_here):
        if struct in path_to_here:
            raise ValueError(f"{path}: {struct.json_name} contains itself")
        for field in struct.fields:
            if field.type == "struct":
                if field.struct_name not in by_name:
                    raise ValueError(f"{path}: no struct {field.struct_name}")
                field.struct = by_name[field.struct_name]
                resolve(field.struct, path_to_here + [struct])
        if struct not in structs:
            structs.append(struct)

    resolve(by_name[""], [])
    return Message(
        raw["name"], c_name, raw["type"], raw.get("apiKey", -1), versions,
        Versions.parse(raw["flexibleVersions"], versions.highest), by_name[""], structs)


def schema_paths(folder):
    return sorted(Path(folder).glob("*.json"))


def read_messages(folder):
    return [read_message(path) for path in schema_paths(folder)]


def header_name(message):
    """Request and response of an API share a header; any other message has its own."""
    for suffix in ("_request", "_response"):
        if message.kind in ("request", "response") and message.c_name.endswith(suffix):
            return message.c_name[: -len(suffix)]
    return message.c_name
