#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schemas/configs.tsv -> setting_ids.h (enum setting_id) and settings_table.inc (one row each).

A row is checked strictly: what is wrong names the file and line. The columns:
  name           as in a file or request
  scope          broker, topic or group
  type           Kafka's: boolean string int short long double list class password
  default        null, "" (empty), or the text
  valid          empty; A..B, A.. or ..B (both included), also A..B|C; {a,b,c}; {any-case:a,b,c}; non-empty
  importance     high, medium or low
  update         read-only, per-broker or cluster-wide (broker scope), else -
  synonyms       topic scope: broker settings to fall back to, best first, "name" or "name*multiplier"; else -
  flags          -, or sensitive, internal (Kafka does not describe it), comma-separated
  served         yes (code reads it) or no
  if_not_served  what another value than the default means while it is not served: ignore, warn, refuse
  release        all, 3 (3.9.1 only), 4 (4.x only) or ottla (ours)
  documentation  one line, in our own words
"""

import re
import sys
from typing import NamedTuple

COLUMNS = ["name", "scope", "type", "default", "valid", "importance", "update", "synonyms", "flags",
           "served", "if_not_served", "release", "documentation"]
SCOPES = {"broker": "", "topic": "TOPIC_", "group": "GROUP_"}
INTEGERS = {"int": 32, "short": 16, "long": 64}
TYPES = {"boolean", "string", "double", "list", "class", "password", *INTEGERS}
TEXTS = {"string", "list", "class", "password"}
FLAGS = {"-", "sensitive", "internal", "sensitive,internal"}
RANGE = re.compile(r"(-?[0-9.]*?)\.\.(-?[0-9.]*?)(?:\|(-?[0-9]+))?")


class Valid(NamedTuple):
    low: object = None
    high: object = None
    special: object = None
    allowed: tuple = ()
    any_case: bool = False
    non_empty: bool = False


class Row(NamedTuple):
    name: str
    scope: str
    type: str
    default: str
    valid: Valid
    importance: str
    update: str
    synonyms: list
    flags: list
    service: str
    release: str
    documentation: str

    def identifier(self):
        return setting_identifier(self.scope, self.name)


def setting_identifier(scope, name):
    return SCOPES[scope] + "SETTING_" + re.sub(r"[.-]", "_", name).upper()


class Problem(Exception):
    pass


def want(condition, text):
    if not condition:
        raise Problem(text)


def read_valid(text, kind):
    if text == "":
        return Valid()
    if text == "non-empty":
        want(kind in TEXTS, "non-empty is for texts")
        return Valid(non_empty=True)
    if text.startswith("{") and text.endswith("}"):
        want(kind in TEXTS, "a set of values is for texts")
        any_case = text.startswith("{any-case:")
        names = text[text.index(":") + 1 if any_case else 1:-1].split(",")
        want(all(names) and len(set(names)) == len(names), "empty or repeated value in the set")
        return Valid(allowed=tuple(names), any_case=any_case)
    match = RANGE.fullmatch(text)
    want(match and (kind in INTEGERS or kind == "double"), f"bad valid column: {text}")
    number = float if kind == "double" else int
    low, high, special = (number(part) if part else None for part in match.groups())
    want(low is None or high is None or low <= high, "the range is empty")
    want(special is None or kind in INTEGERS, "a special value is for integers")
    return Valid(low=low, high=high, special=special)


def check_default(row):
    text = row.default
    if text == "null":
        return
    want(text != "", 'an empty default is written ""')
    if row.type == "boolean":
        want(text in ("true", "false"), "default: true or false")
    elif row.type == "double":
        float(text)
    elif row.type in INTEGERS:
        bits = INTEGERS[row.type]
        want(-(1 << (bits - 1)) <= int(text) < 1 << (bits - 1), "default beyond its type")
    elif row.valid.allowed:
        known = [name.lower() for name in row.valid.allowed]
        for item in [] if text == '""' else text.split(","):
            want(item.lower() in known, f"default {item} is not allowed")


def read_row(line):
    fields = line.rstrip("\n").split("\t")
    want(len(fields) == len(COLUMNS), f"{len(fields)} columns instead of {len(COLUMNS)}")
    field = dict(zip(COLUMNS, fields))
    want(re.fullmatch(r"[A-Za-z0-9.-]+", field["name"]), "bad name")
    want(field["scope"] in SCOPES, "bad scope")
    want(field["type"] in TYPES, "bad type")
    want(field["importance"] in ("high", "medium", "low"), "bad importance")
    updates = ("read-only", "per-broker", "cluster-wide") if field["scope"] == "broker" else ("-",)
    want(field["update"] in updates, "bad update mode for the scope")
    want(field["flags"] in FLAGS, "bad flags")
    want(field["served"] in ("yes", "no"), "served: yes or no")
    want(field["if_not_served"] in ("ignore", "warn", "refuse"), "if_not_served: ignore, warn, refuse")
    want(field["release"] in ("all", "3", "4", "ottla"), "release: all, 3, 4 or ottla")
    want(20 <= len(field["documentation"]) <= 200, "documentation: one line of 20 to 200 characters")
    want(field["documentation"].endswith("."), "documentation: a sentence ends with a full stop")
    want((field["type"] == "password") == ("sensitive" in field["flags"]), "a password is sensitive")
    synonyms = []
    if field["synonyms"] != "-":
        want(field["scope"] == "topic", "synonyms are for topic settings")
        for item in field["synonyms"].split(","):
            name, _, factor = item.partition("*")
            synonyms.append((name, int(factor or 1)))
    row = Row(field["name"], field["scope"], field["type"], field["default"],
              read_valid(field["valid"], field["type"]), field["importance"], field["update"], synonyms,
              field["flags"].split(","), "served" if field["served"] == "yes" else "unserved_" +
              field["if_not_served"], field["release"], field["documentation"])
    check_default(row)
    return row


def read_rows(path):
    rows, seen = [], set()
    with open(path, encoding="ascii") as table:
        if table.readline().rstrip("\n").split("\t") != COLUMNS:
            sys.exit(f"{path}:1: want the columns {' '.join(COLUMNS)}")
        for number, line in enumerate(table, start=2):
            try:
                row = read_row(line)
                want(row.identifier() not in seen, "this setting is there already")
            except (Problem, ValueError) as problem:
                sys.exit(f"{path}:{number}: {problem}")
            seen.add(row.identifier())
            rows.append(row)
    order = list(SCOPES)
    rows.sort(key=lambda row: (order.index(row.scope), row.name))
    check_synonyms(path, {row.name: row for row in rows if row.scope == "broker"}, rows)
    return rows


def check_synonyms(path, brokers, rows):
    for row in rows:
        for name, _ in row.synonyms:
            if name not in brokers:
                sys.exit(f"{path}: {row.name}: no broker setting {name}")
            texts = brokers[name].type in TEXTS
            if texts != (row.type in TEXTS) or (row.type == "boolean") != (brokers[name].type == "boolean"):
                sys.exit(f"{path}: {row.name}: type differs from that of {name}")


def quote(text):
    if text == "null":
        return "NULL"
    if text == '""':
        text = ""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def emit_ids(rows, out):
    out.write("/* generated from schemas/configs.tsv */\n#pragma once\n\nenum setting_id {\n")
    for row in rows:
        out.write(f"    {row.identifier()},\n")
    counts = [sum(row.scope == scope for row in rows) for scope in SCOPES]
    out.write("};\n\nenum {\n    SETTING_BROKER_FIRST = 0,\n")
    out.write(f"    SETTING_BROKER_COUNT = {counts[0]},\n    SETTING_TOPIC_FIRST = {counts[0]},\n")
    out.write(f"    SETTING_TOPIC_COUNT = {counts[1]},\n    SETTING_GROUP_FIRST = {counts[0] + counts[1]},\n")
    out.write(f"    SETTING_GROUP_COUNT = {counts[2]},\n    SETTING_COUNT = {len(rows)},\n}};\n")


def integer_text(value):
    return "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})"


def emit_row(row, out):
    valid, name = row.valid, row.identifier().lower()
    members = [f".id = {row.identifier()}", f'.name = "{row.name}"',
               f".scope = SETTING_SCOPE_{row.scope.upper()}", f".type = SETTING_TYPE_{row.type.upper()}",
               f".default_text = {quote(row.default)}",
               f".importance = SETTING_IMPORTANCE_{row.importance.upper()}",
               f".service = SETTING_{row.service.upper()}", f".release = SETTING_RELEASE_{row.release.upper()}",
               f".documentation = {quote(row.documentation)}"]
    if row.type in INTEGERS:
        bits = INTEGERS[row.type]
        low = valid.low if valid.low is not None else -(1 << (bits - 1))
        high = valid.high if valid.high is not None else (1 << (bits - 1)) - 1
        special = valid.special if valid.special is not None else low
        members += [f".min = {integer_text(low)}", f".max = {integer_text(high)}",
                    f".special = {integer_text(special)}"]
    if row.type == "double":
        members += [f".real_min = {valid.low if valid.low is not None else '-DBL_MAX'}",
                    f".real_max = {valid.high if valid.high is not None else 'DBL_MAX'}"]
    if row.update != "-":
        members.append(f".update = SETTING_UPDATE_{row.update.upper().replace('-', '_')}")
    if valid.allowed:
        members.append(f".allowed = allowed_{name}")
    members += [f".{flag} = true" for flag, is_set in (
        ("allowed_any_case", valid.any_case), ("is_non_empty", valid.non_empty),
        ("is_internal", "internal" in row.flags), ("is_sensitive", "sensitive" in row.flags)) if is_set]
    if row.synonyms:
        members += [f".synonyms = synonyms_{name}", f".synonym_count = {len(row.synonyms)}"]
    out.write("    {" + ",\n     ".join(members) + "},\n")


def emit_table(rows, out):
    out.write("/* generated from schemas/configs.tsv, by scope and name */\n")
    for row in rows:
        name = row.identifier().lower()
        if row.valid.allowed:
            out.write(f"static const char *const allowed_{name}[] = {{"
                      + ", ".join(quote(text) for text in row.valid.allowed) + ", NULL};\n")
        if row.synonyms:
            out.write(f"static const struct setting_synonym synonyms_{name}[] = {{"
                      + ", ".join(f"{{{setting_identifier('broker', synonym)}, {factor}}}"
                                  for synonym, factor in row.synonyms) + "};\n")
    out.write("\nstatic const struct setting setting_table[SETTING_COUNT] = {\n")
    for row in rows:
        emit_row(row, out)
    out.write("};\n")


def main():
    source, ids_path, table_path = sys.argv[1:]
    rows = read_rows(source)
    with open(ids_path, "w", encoding="ascii") as out:
        emit_ids(rows, out)
    with open(table_path, "w", encoding="ascii") as out:
        emit_table(rows, out)


main()
