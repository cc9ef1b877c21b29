#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schemas/messages/*.json -> C structs and codec tables.

messages.py inputs FOLDER       prints the files that are read, one per line
messages.py list FOLDER         prints the files that emit makes, one per line
messages.py emit FOLDER OUTDIR  makes them: NAME.h per API or message, tables_N.c, tables_hot.c,
                                message_list.c
"""

import sys
from pathlib import Path

import message_check
import message_emit
from message_model import header_name, read_messages, schema_paths

# Profiles show the walker in these only (docs/performance.md).
HOT = ("ProduceRequest", "ProduceResponse", "FetchRequest", "FetchResponse")
TABLE_FILE_COUNT = 4  # so that compiling the tables uses all cores of a small machine


def outputs(messages):
    """File name: the messages that go into it."""
    files = {}
    for message in messages:
        files.setdefault(header_name(message) + ".h", []).append(message)
    cold = [message for message in messages if message.name not in HOT]
    for index in range(TABLE_FILE_COUNT):
        files[f"tables_{index}.c"] = cold[index::TABLE_FILE_COUNT]
    files["tables_hot.c"] = [message for message in messages if message.name in HOT]
    files["message_list.c"] = messages
    files["message_declarations.h"] = messages
    return files


def emit(name, messages):
    if name == "message_list.c":
        return message_emit.emit_list(messages)
    if name == "message_declarations.h":
        return message_emit.emit_declarations(messages)
    if name.endswith(".h"):
        return message_emit.emit_header(messages)
    return message_emit.emit_tables(messages, hot=name == "tables_hot.c")


def main():
    command, folder = sys.argv[1:3]
    if command == "inputs":
        print("\n".join(str(path) for path in schema_paths(folder)))
        return
    messages = read_messages(folder)
    files = outputs(messages)
    if command == "list":
        print("\n".join(files))
        return
    problems = message_check.check(messages)
    if problems:
        sys.exit("\n".join(problems))
    for name, part in files.items():
        (Path(sys.argv[3]) / name).write_text(emit(name, part), encoding="utf-8")


main()
