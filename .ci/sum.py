#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sum.py BROKEN_BUILDS TESTLOG...: one line for all meson runs; a broken build counts as a failure."""

import json
import sys

PASSED = {"OK", "EXPECTEDFAIL"}


def main():
    failed_names = [f"{sys.argv[1]} build(s)"] if sys.argv[1] != "0" else []
    passed, failed, skipped = 0, int(sys.argv[1]), 0
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                test = json.loads(line)
                if test["result"] in PASSED:
                    passed += 1
                elif test["result"] == "SKIP":
                    skipped += 1
                else:
                    failed += 1
                    failed_names.append(f"{path.split('/')[0]}: {test['name']}")
    for name in failed_names:
        print(f"failed: {name}")
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


sys.exit(main())
