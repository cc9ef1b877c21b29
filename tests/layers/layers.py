#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to its own rules (docs/architecture.md): who may include whom, who may call the
system, which calls nobody may use, and whether the documents still name files that exist.

    layers.py tree ROOT BUILD | headers ROOT BUILD CC... | format ROOT CLANG_FORMAT | self-test
"""

import os
import re
import subprocess
import sys
import tempfile

LEVELS = {
    "base": 0,
    "io": 1, "config": 1, "metrics": 1, "protocol": 1, "record": 1, "security": 1,
    "net": 2, "storage": 2,
    "metadata": 3, "client": 3,
    "replication": 4,
    "coordinator": 5, "controller": 5,
    "broker": 6, "admin": 6,
    "tools": 7, "main": 7,
}  # fmt: skip
# Folders beside the ladder, and those that do without some rungs of it.
MAY_INCLUDE = {
    "streams": {"base", "io", "protocol", "record", "security", "net", "client"},
    "tools": {f for f, level in LEVELS.items() if level < 7}
    - {"broker", "controller", "coordinator", "replication"},
}
SYSTEM_CALLS = re.compile(
    r"(?<![\w.>])(open|openat|creat|fopen|opendir|read|pread|readv|preadv|write|pwrite|writev|pwritev"
    r"|fsync|fdatasync|syncfs|sync_file_range|ftruncate|fallocate|rename|renameat|unlink|unlinkat"
    r"|mkdir|rmdir|stat|fstat|lstat|socket|bind|listen|accept|accept4|connect|send|recv|sendmsg"
    r"|recvmsg|sendfile|setsockopt|getsockopt|epoll_\w+|eventfd|timerfd_\w+|poll|select|mmap|munmap"
    r"|clock_gettime|gettimeofday|time|nanosleep|usleep|sleep|getenv|setenv|signal|sigaction|chdir"
    r"|exit|_exit|fork|rand|srand|random)\s*\("
)
MAY_CALL_SYSTEM = {"io", "main", "tools"}
# base lies below io: a failed check and a diagnosis must get out, large buffers must go back.
SYSTEM_CALL_EXCEPTIONS = {
    "src/base/check.c": {"write"},
    "src/base/diag.c": {"write"},
    "src/base/buf.c": {"mmap", "munmap"},
}
BANNED_CALLS = re.compile(
    r"(?<![\w.>])(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|alloca)\s*\("
)
LEFTOVERS = re.compile(r"\b(FIX" r"ME|TO" r"DO|X" r"XX)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
NAMED_FILE = re.compile(r"`(\.?[\w./-]+\.(?:c|h|py|md|tsv|json|build)|\./[\w./-]+)`")
IS_TEST = re.compile(r"_(test|prop|fuzz|bench|fixture)\.c$")
COMMENT_OR_STRING = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
TEXT_DIRS = ("src", "gen", "tests", "fuzz", "bench", "docs", ".ci")
TEXT_NAMES = (".c", ".h", ".cc", ".py", ".md", ".build", ".sh", ".tsv", ".java")
SKIPPED_DIRS = {"golden", "corpus", "__pycache__"}


def files(root, top_dirs, endings):
    for top in top_dirs:
        for folder, subfolders, names in os.walk(os.path.join(root, top)):
            subfolders[:] = sorted(set(subfolders) - SKIPPED_DIRS)
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.relpath(os.path.join(folder, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def only_code(text):
    """The text with comments and literals blanked; lines stay where they are."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def may_include(folder, other):
    if folder == other:
        return True
    if folder in MAY_INCLUDE:
        return other in MAY_INCLUDE[folder]
    return other in LEVELS and LEVELS[other] < LEVELS[folder]


def check_includes(path, text):
    folder = path.split(os.sep)[1]
    if folder not in LEVELS and folder not in MAY_INCLUDE:
        yield f"{path}:1: folder {folder} has no level in tests/layers"
        return
    for match in INCLUDE.finditer(text):
        where, name = f"{path}:{line_of(text, match.start(1))}", match.group(1)
        other = name.split("/")[0]
        if IS_TEST.search(path) and other == "support":
            continue
        if "/" not in name or ".." in name:
            yield f'{where}: "{name}" is not a path from src/'
        elif not may_include(folder, other):
            yield f"{where}: {folder} may not include {name}"
        elif name.endswith("_private.h") and other != folder:
            yield f"{where}: {name} is private to {other}"


def check_calls(path, text):
    folder = path.split(os.sep)[1]
    code = only_code(text)
    for match in BANNED_CALLS.finditer(code):
        yield f"{path}:{line_of(code, match.start())}: {match.group(1)} is not used here"
    if folder in MAY_CALL_SYSTEM or IS_TEST.search(path):
        return
    for match in SYSTEM_CALLS.finditer(code):
        if match.group(1) not in SYSTEM_CALL_EXCEPTIONS.get(path, ()):
            where = f"{path}:{line_of(code, match.start())}"
            yield f"{where}: {match.group(1)} is a system call: only io/ makes them"


def check_text(path, text):
    for match in LEFTOVERS.finditer(text):
        yield f"{path}:{line_of(text, match.start())}: leftover {match.group()}"
    if path.endswith((".c", ".h")):
        if "SPDX-License-Identifier: Apache-2.0" not in text.split("\n")[0]:
            yield f"{path}:1: the SPDX line is missing"
        if path.endswith(".h") and "#pragma once" not in text:
            yield f"{path}:1: #pragma once is missing"


def check_document(root, build, path, text):
    places = [os.path.dirname(os.path.join(root, path)), root, os.path.join(root, "src")]
    places += [build, os.path.join(build, "src")]
    for match in NAMED_FILE.finditer(text):
        if not any(os.path.exists(os.path.join(place, match.group(1))) for place in places):
            where = f"{path}:{line_of(text, match.start())}"
            yield f"{where}: names {match.group(1)}, which does not exist"


def check_readmes_exist(root):
    folders = {os.path.dirname(path).split(os.sep)[1] for path in files(root, ["src"], (".c",))}
    for folder in sorted(folders):
        if not os.path.exists(os.path.join(root, "src", folder, "README.md")):
            yield f"src/{folder}: has .c files but no README.md"


def check_tree(root, build):
    for path in files(root, TEXT_DIRS, TEXT_NAMES):
        text = read(root, path)
        yield from check_text(path, text)
        if path.startswith("src" + os.sep) and path.endswith((".c", ".h", ".cc")):
            yield from check_includes(path, text)
            yield from check_calls(path, text)
        if path.endswith(".md"):
            yield from check_document(root, build, path, text)
    for path in sorted(name for name in os.listdir(root) if name.endswith(".md")):
        yield from check_document(root, build, path, read(root, path))
    yield from check_readmes_exist(root)


def check_headers(root, build, compiler):
    """Each header compiles as the only include."""
    flags = ["-std=c17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-x", "c", "-"]
    paths = [f"-I{os.path.join(root, 'src')}", f"-I{os.path.join(build, 'src')}"]
    for path in files(root, ["src"], (".h",)):
        source = f'#include "{os.path.relpath(path, "src")}"\n'
        run = subprocess.run(compiler + paths + flags, input=source, text=True, capture_output=True)
        if run.returncode != 0:
            yield f"{path}:1: does not compile alone:\n{run.stderr}"


def check_format(root, clang_format):
    paths = list(files(root, ["src", "tests", "fuzz", "bench"], (".c", ".h")))
    run = subprocess.run(
        [clang_format, "--dry-run", "--Werror"] + paths, cwd=root, text=True, capture_output=True
    )
    if run.returncode != 0:
        yield run.stderr


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
# Path, text, and a part of the only complaint; None: there must be none.
SNIPPETS = [
    ("src/net/a.c", SPDX + '#include "io/b.h"\n', None),
    ("src/net/a.c", SPDX + '#include "net/b_private.h"\n', None),
    ("src/net/a.c", SPDX + '#include "broker/b.h"\n', "net may not include broker/b.h"),
    ("src/net/a.c", SPDX + '#  include "storage/b.h"\n', "net may not include storage/b.h"),
    ("src/net/a.c", SPDX + '#include "io/b_private.h"\n', "private to io"),
    ("src/net/a.c", SPDX + '#include "b.h"\n', "not a path from src"),
    ("src/net/a.c", SPDX + '#include "support/fail_alloc.h"\n', "may not include support"),
    ("src/net/a_test.c", SPDX + '#include "support/fail_alloc.h"\n', None),
    ("src/tools/a.c", SPDX + '#include "storage/b.h"\n', None),
    ("src/tools/a.c", SPDX + '#include "broker/b.h"\n', "tools may not include"),
    ("src/streams/a.c", SPDX + '#include "storage/b.h"\n', "streams may not include"),
    ("src/misc/a.c", SPDX, "no level"),
    ("src/net/a.c", SPDX + "int n = atoi(s);\n", "a.c:2: atoi"),
    ("src/net/a.c", SPDX + "snprintf(s, 1, x); /* not sprintf(s) */\n", None),
    ("src/net/a_test.c", SPDX + "strcpy(a, b);\n", "strcpy"),
    ("src/net/a.c", SPDX + "n = read(fd, p, 1);\n", "read is a system call"),
    ("src/net/a.c", SPDX + "conn->read(p); io.write(p); my_open(p); f(\"open(\");\n", None),
    ("src/net/a.c", SPDX + "epoll_wait(fd, p, 1, 0);\n", "epoll_wait"),
    ("src/net/a_test.c", SPDX + "n = read(fd, p, 1);\n", None),
    ("src/io/a.c", SPDX + "n = read(fd, p, 1);\n", None),
    ("src/base/diag.c", SPDX + "write(2, p, 1);\n", None),
    ("src/base/diag.c", SPDX + "read(2, p, 1);\n", "read is a system call"),
    ("src/net/a.c", SPDX + "/* FIX" + "ME */\n", "leftover"),
    ("docs/a.md", "TO" + "DO\n", "leftover"),
    ("src/net/a.c", "int a;\n", "SPDX"),
    ("src/net/a.h", SPDX + "int a;\n", "pragma once"),
    ("src/net/a.h", SPDX + "#pragma once\n", None),
    ("docs/a.md", "see `net/gone.h`\n", "names net/gone.h"),
    ("docs/a.md", "see `docs/a.md`, `a.md` and `log.dirs`\n", None),
]  # fmt: skip


def self_test():
    for path, text, expected in SNIPPETS:
        with tempfile.TemporaryDirectory() as root:
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full))
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
            found = [c for c in check_tree(root, root) if "no README.md" not in c]
            if expected is None and found or expected is not None and (
                len(found) != 1 or expected not in found[0]
            ):
                yield f"{path} with {text!r}: expected {expected}, found {found}"
            missing_readme = any("no README.md" in c for c in check_tree(root, root))
            if missing_readme != (path.startswith("src") and path.endswith(".c")):
                yield f"{path}: README.md missed: {missing_readme}"


def main():
    commands = {
        "tree": lambda root, build: check_tree(root, build),
        "headers": lambda root, build, *compiler: check_headers(root, build, list(compiler)),
        "format": check_format,
        "self-test": self_test,
    }
    complaints = list(commands[sys.argv[1]](*sys.argv[2:]))
    print("\n".join(complaints))
    return 1 if complaints else 0


sys.exit(main())
