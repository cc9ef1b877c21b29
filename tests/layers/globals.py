#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""globals.py BUILD_SRC: no object of src/ has mutable globals (docs/architecture.md, section 1).

Looks at the sections of the compiled archives: whatever may be written lies in .data, .bss, .tdata or
.tbss. Constants with addresses in them lie in .data.rel.ro and are fine.
"""

import glob
import re
import subprocess
import sys

MUTABLE = re.compile(r"^\s*\d+ (\.(?:data|bss|tdata|tbss)(?!\.rel\.ro)\S*)\s+([0-9a-f]+)\s")
# Objects without state, one pointer to constant operations each; their interface is not const because
# the simulated twin of it has state.
STATELESS = {
    ("authorise.c.o", ".data.rel.local"),
    ("clock.c.o", ".data.rel.local"),
    ("vfs_system.c.o", ".data.rel.local"),
}
OBJECT = re.compile(r"^(\S+\.o):\s+file format")


def complaints(listing):
    name = "?"
    for line in listing.splitlines():
        if found := OBJECT.match(line):
            name = found.group(1)
        found = MUTABLE.match(line)
        if name.endswith("_fixture.c.o"):
            continue  # of tests
        if found and (name.split("/")[-1], found.group(1)) in STATELESS:
            continue
        if found and int(found.group(2), 16) > 0:
            yield f"{name}: {int(found.group(2), 16)} mutable bytes in {found.group(1)}"


def self_test():
    listing = (
        "a.c.o:     file format elf64-x86-64\n"
        "  1 .data         00000000  0000000000000000  0  0  00000040  2**0\n"
        "  2 .data.rel.ro  00000010  0000000000000000  0  0  00000040  2**0\n"
        "  3 .bss          00000008  0000000000000000  0  0  00000040  2**0\n"
    )
    assert list(complaints(listing)) == ["a.c.o: 8 mutable bytes in .bss"]


def main():
    self_test()
    archives = sorted(glob.glob(f"{sys.argv[1]}/*/lib*.a"))
    assert archives, "no archives: wrong folder?"
    listing = subprocess.run(["objdump", "-h"] + archives, check=True, text=True, capture_output=True)
    found = list(complaints(listing.stdout))
    print("\n".join(found))
    return 1 if found else 0


sys.exit(main())
