#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schemas/errors.tsv -> error_codes.h (enum error) and error_table.inc (one row per error)."""

import sys


def read_rows(path):
    with open(path, encoding="utf-8") as table:
        header = table.readline().rstrip("\n").split("\t")
        if header != ["code", "name", "retriable", "wire", "text"]:
            sys.exit(f"{path}: unexpected columns {header}")
        for number, line in enumerate(table, start=2):
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 5 or fields[2] not in ("yes", "no"):
                sys.exit(f"{path}:{number}: want code, name, yes or no, wire, text")
            yield int(fields[0]), fields[1], fields[2] == "yes", int(fields[3]), fields[4]


def main():
    source, header_path, table_path = sys.argv[1:]
    rows = sorted(read_rows(source))
    with open(header_path, "w", encoding="utf-8") as header:
        header.write("/* generated from schemas/errors.tsv */\n#pragma once\n\nenum error {\n")
        for code, name, _, _, text in rows:
            header.write(f"    E_{name} = {code}, /* {text} */\n")
        header.write("};\n")
    with open(table_path, "w", encoding="utf-8") as table:
        table.write("/* generated from schemas/errors.tsv, by rising code */\n")
        for code, name, retriable, wire, text in rows:
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            flag = "true" if retriable else "false"
            table.write(f'{{E_{name}, {wire}, {flag}, "{name}", "{quoted}"}},\n')


main()
