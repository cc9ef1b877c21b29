# SPDX-License-Identifier: Apache-2.0
"""Proves that no bytes from a client harm the broker: valid, strange, broken and random requests of
every served API and version, for some seconds. Afterwards it answers, its memory has not grown by
more than GROWTH_MAX_MIB, and it ends with status 0 (under ASan: no finding, no leak).

fuzz_requests.py [SEED [SECONDS]]
"""

import pathlib
import random
import struct
import sys
import tempfile
import time

import wire
from server import Server, end_left_overs

SECONDS = 8
GROWTH_MAX_MIB = 64
TOPICS = ["t0", "t1", "t2"]
SETTINGS = ["retention.ms", "segment.bytes", "cleanup.policy", "compression.type", "max.message.bytes",
            "flush.messages", "log.retention.ms", "log.retention.hours", "nonsense", ""]
VALUES = ["1", "0", "-1", "1048576", "compact", "delete,compact", "gzip", "zstd", "x", "9" * 30, ""]
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def some_records(rng):
    kind = rng.randrange(8)
    producer = rng.choice([(-1, -1, -1), (rng.randint(0, 5), 0, rng.randint(-1, 3)),
                           (1000, rng.randint(0, 2), 0)])
    values = [rng.randbytes(rng.randint(0, 200)) for _ in range(rng.randint(1, 5))]
    attributes = 0 if kind < 4 else rng.choice([1, 2, 3, 4, 5, 8, 16, 32, 48, 0x7FFF, -1])
    data = wire.batch(values, attributes=attributes, producer=producer,
                      timestamp=rng.choice([int(time.time() * 1000), -1, 0, 2 ** 63 - 1]))
    if kind == 5:
        data = wire.batch_of(rng.randbytes(rng.randint(0, 300)), rng.choice([1, 5, 2 ** 31 - 1]),
                             producer=producer)
    if kind == 6:
        data = mutate(rng, data)
    if kind == 7:
        data += wire.batch([b"second"])
    return data


def hints():
    """What a field with this name usually holds."""
    def topic(rng):
        return rng.choice([*TOPICS, *TOPICS, f"new{rng.randint(0, 20)}", "no.such", "__x", "..", ""])

    def partition(rng):
        return rng.choice([0, 0, 0, 1, 2, 3, -1, 1000])

    def small(rng):
        return rng.choice([0, 1, 10, 20, 1000])

    return {
        "Topic": topic, "TopicName": topic, "Name": lambda rng: rng.choice(
            [topic(rng), rng.choice(SETTINGS)]),
        "Partition": partition, "PartitionIndex": partition, "Index": partition,
        "MaxWaitMs": lambda rng: 0 if rng.random() < 0.8 else rng.choice(
            [1, 5, 20, 2 ** 31 - 1]),
        "MinBytes": small, "TimeoutMs": small, "FetchOffset": small, "ReplicaId": lambda rng: -1,
        "NumPartitions": lambda rng: rng.choice([-1, 1, 2, 4, 0, -7, 2 ** 31 - 1]),
        "ReplicationFactor": lambda rng: rng.choice([-1, 1, 1, 2, 0]),
        "Count": lambda rng: rng.choice([1, 2, 3, 5, 10, 0, 2 ** 31 - 1]),
        "Acks": lambda rng: rng.choice([-1, 1, 0, -1, 1, 5]),
        "TransactionalId": lambda rng: rng.choice([None, None, None, "tx"]),
        "CurrentLeaderEpoch": lambda rng: rng.choice([-1, -1, 0, 1]),
        "SessionId": lambda rng: rng.choice([0, 0, 1, rng.randint(1, 2 ** 31 - 1)]),
        "SessionEpoch": lambda rng: rng.choice([-1, -1, 0, 0, 1]),
        "Value": lambda rng: rng.choice(VALUES), "Records": some_records,
        "ResourceType": lambda rng: rng.choice([2, 2, 4, 8, 16, 32, 0]),
        "ResourceName": lambda rng: rng.choice([*TOPICS, "", "1", "x"]),
        "ConfigName": lambda rng: rng.choice(SETTINGS), "BrokerIds": lambda rng: rng.choice([0, 1, 5]),
    }


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, max(0, len(data) - 1))
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at + 4] = struct.pack(">I", rng.choice(EXTREMES))
        elif kind == 3:
            data[at:at + 1] = b"\xff\xff\xff\xff\x0f"  # the largest varint of 32 bits
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 20))
    return bytes(data)


class Fuzzer:
    def __init__(self, seed, server):
        self.rng, self.server = random.Random(seed), server
        self.apis, self.hints = wire.served_apis(), hints()
        self.count = self.answers = 0

    def body(self):
        rng = self.rng
        message, low, high = rng.choice(self.apis)
        version = rng.randint(low, high) if rng.random() < 0.97 else rng.choice(
            [low - 1, high + 1, -1, 32767, -32768])
        encoded = message.encode(version, message.random_value(version, rng, self.hints))
        body = wire.header(message.key, version, rng.randint(-2 ** 31, 2 ** 31 - 1)) + encoded
        return mutate(rng, body) if rng.random() < 0.15 else body

    def stream(self):
        """What one connection sends."""
        rng = self.rng
        if rng.random() < 0.03:
            return rng.randbytes(rng.randint(1, 5000))
        out = b""
        for _ in range(rng.randint(1, 12)):
            body = self.body()
            self.count += 1
            out += wire.frame(body)
            if rng.random() < 0.02:
                return out + struct.pack(">I", rng.choice(EXTREMES)) + body
        return out if rng.random() < 0.9 else out[:rng.randint(0, len(out))]

    def round(self):
        if self.rng.random() < 0.02:  # they may have been deleted
            wire.create_topic(self.server.port, self.rng.choice(TOPICS), partitions=3)
        conn = wire.Connection(self.server.port, timeout_s=0.03)
        try:
            conn.send(self.stream())
            while self.rng.random() < 0.97:
                conn.receive()
                self.answers += 1
        except (wire.Closed, TimeoutError):
            pass
        conn.close()


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().getrandbits(32)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ottla-hostile-") as directory:
        # A freed block kept by ASan's quarantine is no leak of ours.
        env = {"ASAN_OPTIONS": "quarantine_size_mb=1:malloc_context_size=12"}
        server = Server(pathlib.Path(directory), {"log.segment.delete.delay.ms": "0"}, env=env).start()
        for name in TOPICS:
            wire.create_topic(server.port, name, partitions=3)
        fuzzer = Fuzzer(seed, server)
        warm = time.monotonic() + seconds / 4
        while time.monotonic() < warm and server.is_running():
            fuzzer.round()
        before = server.rss_mib() if server.is_running() else 0
        end = time.monotonic() + seconds * 3 / 4
        while time.monotonic() < end and server.is_running():
            try:
                fuzzer.round()
            except ConnectionError:
                break
        assert server.is_running(), f"seed {seed}: it ended:\n{server.text()}"
        after = server.rss_mib()
        assert wire.answers_metadata(server.port)
        server.stop()
        print(f"{fuzzer.count} requests, {fuzzer.answers} answers, "
              f"{before:.0f} MiB before, {after:.0f} MiB after")
        assert fuzzer.answers > fuzzer.count / 20, "hardly anything was answered: a broken test"
        assert after - before <= GROWTH_MAX_MIB, "memory has grown"


if __name__ == "__main__":
    try:
        main()
    finally:
        end_left_overs()
