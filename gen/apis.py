#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schemas/apis.tsv -> api_keys.h (enum api_key), api_table.inc (struct api rows by key) and
api_handlers.inc (API_HANDLER(KEY, function) for each served row)."""

import sys

from message_model import snake

COLUMNS = ["key", "name", "embedded", "zookeeper", "served", "handler", "operation", "resource",
           "listener"]
OPERATIONS = ["-", "ANY", "ALL", "READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE",
              "CLUSTER_ACTION", "DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE",
              "CREATE_TOKENS", "DESCRIBE_TOKENS"]  # by Kafka's code
RESOURCES = ["-", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN",
             "USER"]  # by Kafka's code


def versions(text):
    if text == "-":
        return "{0, -1}"
    lowest, _, highest = text.partition("-")
    return f"{{{int(lowest)}, {int(highest or lowest)}}}"


def read_rows(path):
    with open(path, encoding="utf-8") as table:
        if table.readline().rstrip("\n").split("\t") != COLUMNS:
            sys.exit(f"{path}: want the columns {' '.join(COLUMNS)}")
        for number, line in enumerate(table, start=2):
            fields = line.rstrip("\n").split("\t")
            if len(fields) != len(COLUMNS):
                sys.exit(f"{path}:{number}: want {len(COLUMNS)} columns")
            row = dict(zip(COLUMNS, fields))
            if row["served"] not in ("yes", "no"):
                sys.exit(f"{path}:{number}: served is yes or no")
            if row["listener"] not in ("any", "inter-broker"):
                sys.exit(f"{path}:{number}: listener is any or inter-broker")
            if row["operation"] not in OPERATIONS or row["resource"] not in RESOURCES:
                sys.exit(f"{path}:{number}: unknown operation or resource")
            yield row


def main():
    source, keys_path, table_path, handlers_path = sys.argv[1:]
    rows = sorted(read_rows(source), key=lambda row: int(row["key"]))
    names = {row["key"]: snake(row["name"]) for row in rows}
    with open(keys_path, "w", encoding="utf-8") as out:
        out.write("/* generated from schemas/apis.tsv */\n#pragma once\n\nenum api_key {\n")
        for row in rows:
            out.write(f"    API_{names[row['key']].upper()} = {row['key']},\n")
        out.write(f"    API_KEY_LIMIT = {int(rows[-1]['key']) + 1}, /* above all keys */\n}};\n")
    with open(table_path, "w", encoding="utf-8") as out:
        out.write("/* generated from schemas/apis.tsv */\n")
        for row in rows:
            name = names[row["key"]]
            out.write(
                f"[{row['key']}] = {{.key = {row['key']}, .name = \"{row['name']}\", "
                f".embedded = {versions(row['embedded'])}, "
                f".zookeeper = {versions(row['zookeeper'])}, "
                f".served = {str(row['served'] == 'yes').lower()}, "
                f".inter_broker_only = {str(row['listener'] == 'inter-broker').lower()}, "
                f".acl_operation = {OPERATIONS.index(row['operation'])}, "
                f".acl_resource = {RESOURCES.index(row['resource'])}, "
                f".request = &{name}_request_schema, .response = &{name}_response_schema}},\n")
    with open(handlers_path, "w", encoding="utf-8") as out:
        out.write("/* generated from schemas/apis.tsv */\n")
        for row in rows:
            if row["served"] == "yes":
                key = names[row["key"]].upper()
                out.write(f"API_HANDLER(API_{key}, {row['handler']})\n")


main()
