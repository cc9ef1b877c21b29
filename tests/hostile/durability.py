# SPDX-License-Identifier: Apache-2.0
"""Proves by the order of system calls that what promises the disk is on it before the answer: between
the write of a batch and its response lies an fdatasync that succeeded. Needs strace (else skipped)."""

import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time

import wire
from server import Server, end_left_overs, on_alarm

MARK = b"DURABLE-RECORD-%04d"
COUNT = 20


def trace(directory, overrides, configs, acks):
    """The system calls of a broker that answers COUNT produce requests, in order of their end."""
    path = directory / "trace"
    # Under ptrace LSan cannot work.
    server = Server(directory, overrides, env={"ASAN_OPTIONS": "detect_leaks=0"}, wrapper=[
        "strace", "-f", "-qq", "-s", "400", "-o", str(path),
        "-e", "trace=pwritev,pwrite64,pwritev2,writev,fdatasync,fsync,sendmsg,sendto,syncfs"]).start()
    wire.create_topic(server.port, "t", configs=configs)
    with wire.Connection(server.port) as conn:
        for number in range(COUNT):
            answer = conn.ask(wire.produce("t", 0, wire.batch([MARK % number]), acks=acks))
            assert answer[15:17] == b"\0\0", answer
    # strace hands the signal on to nobody: end the broker itself.
    children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")

    os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
    assert server.wait() == 0, server.text()
    return path.read_text(errors="replace").splitlines()


def check(lines):
    """For each record: its write, then a sync that ends well, then the next response."""
    done = 0
    written = None
    is_synced = False
    for line in lines:
        if found := re.search(r"DURABLE-RECORD-(\d+)", line):
            if "write" in line:
                written, is_synced = int(found.group(1)), False
        elif re.search(r"(fdatasync|fsync).*= 0$", line) and written is not None:
            is_synced = True
        elif re.search(r"send(msg|to)\(", line) and written is not None:
            assert is_synced, f"record {written} was acknowledged before it was on disk:\n{line}"
            done, written = done + 1, None
    assert done == COUNT, f"{done} of {COUNT} acknowledgements were seen"


def main():
    if shutil.which("strace") is None:
        print("no strace")
        return 77
    for overrides, configs, acks in (({"ack.durability": "fsync"}, {}, -1),
                                     ({"ack.durability": "fsync"}, {}, 1),
                                     ({}, {"flush.messages": "1"}, -1),
                                     ({}, {"flush.messages": "1"}, 1)):
        with tempfile.TemporaryDirectory(prefix="ottla-hostile-") as directory:
            began = time.monotonic()
            check(trace(pathlib.Path(directory), overrides, configs, acks))
            print(f"ok {overrides} {configs} acks={acks} {time.monotonic() - began:.1f} s")
    with tempfile.TemporaryDirectory(prefix="ottla-hostile-") as directory:
        try:
            check(trace(pathlib.Path(directory), {}, {}, -1))
        except AssertionError:
            return 0  # the page cache is promised, and the test sees the difference
    print("no difference to ack.durability=pagecache is seen: this test proves nothing")
    return 1


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(50)
    try:
        sys.exit(main())
    finally:
        end_left_overs()
