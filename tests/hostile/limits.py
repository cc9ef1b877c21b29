# SPDX-License-Identifier: Apache-2.0
"""Proves the limits: floods of connections, claimed sizes, slow readers, idle connections, bombs. The
broker stays within its memory, serves others meanwhile, and ends in peace."""

import contextlib
import gzip
import os
import struct
import sys
import time

import wire
from server import Server, run_tests

MIB = 1 << 20
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=1:malloc_context_size=3"}


@contextlib.contextmanager
def serving(directory, growth_max_mib, **overrides):
    server = Server(directory, {name.replace("_", "."): value for name, value in overrides.items()},
                    env=ENV).start()
    wire.create_topic(server.port, "t")
    with wire.Connection(server.port) as conn:
        conn.ask(wire.produce("t", 0, wire.batch([b"first"])))
    time.sleep(0.1)  # the broker sees that these connections have ended
    before = server.rss_mib()
    server.rss_max = before
    yield server
    assert server.is_running(), server.text()
    assert wire.answers_metadata(server.port)
    growth = max(server.rss_max, server.rss_mib()) - before
    server.stop()
    assert growth <= growth_max_mib, f"{growth:.0f} MiB more than before"


def told(server, text):
    """One line says it, though many may have deserved one."""
    deadline = time.monotonic() + 10
    while not any(text in line for line in server.lines):
        assert time.monotonic() < deadline, f"no line says '{text}':\n{server.text()}"
        time.sleep(0.01)


def test_connection_flood(directory):
    with serving(directory, 16, max_connections="40") as server:
        began = time.monotonic()
        held = [wire.Connection(server.port) for _ in range(200)]
        told(server, "max.connections")
        assert all(conn.is_closed(5) for conn in held[150:])
        lines = [line for line in server.lines if "max.connections" in line]
        seconds = time.monotonic() - began
        assert len(lines) <= 5 * (seconds + 2), f"{len(lines)} lines in {seconds:.2f} s"
        for conn in held:
            conn.close()
        time.sleep(0.2)


def test_connections_of_one_address(directory):
    with serving(directory, 16, max_connections_per_ip="5") as server:
        held = [wire.Connection(server.port) for _ in range(10)]
        assert all(conn.is_closed(5) for conn in held[5:])
        assert not any(conn.is_closed(0.05) for conn in held[:5])
        for conn in held:
            conn.close()
        time.sleep(0.2)


def test_claimed_frame_size(directory):
    """100 connections claim 100 MiB each and send a little."""
    with serving(directory, 48) as server:
        held = [wire.Connection(server.port) for _ in range(100)]
        for conn in held:
            conn.send(struct.pack(">i", 100 * MIB) + b"\0" * 100)
        assert wire.answers_metadata(server.port)
        server.rss_max = server.rss_mib()
        for conn in held:
            conn.close()


def test_bad_frame_sizes(directory):
    with serving(directory, 16) as server:
        for size in (-1, -2 ** 31, 100 * MIB + 1, 2 ** 31 - 1):
            with wire.Connection(server.port) as conn:
                conn.send(struct.pack(">i", size) + b"\0" * 8)
                assert conn.is_closed(5), size
        with wire.Connection(server.port) as conn:
            conn.send(b"GET / HTTP/1.1\r\n\r\n")
            assert conn.is_closed(5)
        told(server, "looks like HTTP")


def test_huge_counts(directory):
    """An array of 2^31-1 elements that are not there takes no memory."""
    with serving(directory, 16) as server:
        for version, count in ((4, b"\x7f\xff\xff\xff"), (9, b"\xff\xff\xff\xff\x0f")):
            with wire.Connection(server.port) as conn:
                conn.send(wire.frame(wire.header(wire.METADATA, version, 1) + count))
                assert conn.is_closed(5)


def repeated_fetch(count):
    """A Fetch that names one partition `count` times and waits for what will never come."""
    message = wire.MESSAGES[wire.FETCH]
    value = {"MaxWaitMs": 60000, "MinBytes": 10 * MIB, "Topics": [{"Topic": "t", "Partitions": [
        {"Partition": 0, "FetchOffset": 1, "PartitionMaxBytes": 1000}]}]}
    once = message.encode(4, value)
    partition = once[-16:]
    return wire.header(wire.FETCH, 4, 1) + once[:-20] + struct.pack(">i", count) + partition * count


def test_waiting_fetches_hold_no_memory(directory):
    with serving(directory, 200, queued_max_request_bytes=64 * MIB) as server:
        body = repeated_fetch(100000)
        held = []
        for _ in range(12):
            held.append(wire.Connection(server.port))
            with contextlib.suppress(wire.Closed):
                held[-1].send(wire.frame(body))
            assert wire.answers_metadata(server.port)
            server.rss_max = max(server.rss_max, server.rss_mib())
        began = time.monotonic()
        with wire.Connection(server.port) as conn:
            conn.ask(wire.produce("t", 0, wire.batch([b"x"])))
        assert time.monotonic() - began < 1, "one record keeps the broker busy"
        for conn in held:
            conn.close()


def test_slow_reader(directory):
    """It asks for 30 times 1 MiB and reads nothing: file ranges wait, not memory."""
    with serving(directory, 32) as server:
        record = os.urandom(900000)
        with wire.Connection(server.port) as conn:
            conn.ask(wire.produce("t", 0, wire.batch_of(wire.record(0, record), 1)))
        fetch = wire.request(wire.FETCH, 4, {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": MIB, "Topics": [
            {"Topic": "t", "Partitions": [
                {"Partition": 0, "FetchOffset": 1, "PartitionMaxBytes": MIB}]}]})
        held = [wire.Connection(server.port, receive_buffer=4096) for _ in range(10)]
        for conn in held:
            conn.send(wire.frame(fetch) * 30)
        for _ in range(5):
            assert wire.answers_metadata(server.port)
        server.rss_max = server.rss_mib()
        for conn in held:
            conn.close()


def test_many_answers_unread(directory):
    """Requests come faster than their answers are read: they are not read any more."""
    with serving(directory, 32) as server:
        with wire.Connection(server.port, timeout_s=1, receive_buffer=4096) as conn:
            some = wire.frame(wire.request(18, 0, {})) * 5000
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64 * MIB:
                    conn.socket.send(some)
                    sent += len(some)
            assert sent < 64 * MIB, "it reads and keeps everything"
            assert wire.answers_metadata(server.port)


def test_idle_connection_is_closed(directory):
    with serving(directory, 16, connections_max_idle_ms="300") as server:
        with wire.Connection(server.port) as conn:
            assert conn.is_closed(5)


def test_decompression_bombs(directory):
    """Batches of 200 MB of zeros in some kB, by every codec that needs no library here."""
    with serving(directory, 96) as server:
        zeros = gzip.compress(wire.record(0, b"\0" * (200 * MIB)), 9)
        claims = wire.varint(2 ** 32 - 1) + b"\0" * 50  # raw snappy: a size that is not there
        with wire.Connection(server.port) as conn:
            for attributes, payload in ((1, zeros), (2, claims), (3, claims), (4, claims)):
                answer = conn.ask(wire.produce("t", 0, wire.batch_of(payload, 1, attributes)))
                assert answer, attributes
                server.rss_max = max(server.rss_max, server.rss_mib())
            answer = conn.ask(wire.produce("t", 0, wire.batch([b"fine"])))
            assert struct.unpack(">h", answer[15:17])[0] == 0, answer


if __name__ == "__main__":
    sys.exit(run_tests(sys.modules[__name__]))
