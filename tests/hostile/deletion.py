# SPDX-License-Identifier: Apache-2.0
"""Proves that topics may be deleted and made again while appends wait for the disk, fetches wait for
records, and logs are being loaded: every request ends, nothing is touched after it is gone (ASan),
and the broker stops clean. Prints its seed."""

import contextlib
import pathlib
import random
import sys
import tempfile
import threading
import time

import wire
from server import Server, end_left_overs

SECONDS = 4
TOPICS = [f"d{i}" for i in range(3)]
PARTITIONS = 4


class Stress:
    def __init__(self, seed, port):
        self.seed, self.port = seed, port
        self.end = time.monotonic() + 3 * SECONDS
        self.failures, self.counts = [], {}
        self.is_stopping = False

    def run(self, number, work):
        rng = random.Random(self.seed * 100 + number)
        try:
            while time.monotonic() < self.end:
                with wire.Connection(self.port, timeout_s=10) as conn:
                    for _ in range(rng.randint(1, 20)):
                        self.counts[work] = self.counts.get(work, 0) + 1
                        work(rng, conn)
        except Exception as error:  # any: told by main
            if self.is_stopping:
                return
            self.failures.append(f"{work.__name__}: {error!r}")
            self.end = 0

    @staticmethod
    def produces(rng, conn):
        body = wire.produce(rng.choice(TOPICS), rng.randrange(PARTITIONS), wire.batch([b"x" * 100]),
                            acks=rng.choice([-1, 1]))
        count = rng.randint(1, 10)
        conn.send(wire.frame(body) * count)
        if rng.random() < 0.9:  # else the connection may be closed while they wait
            for _ in range(count):
                conn.receive()

    @staticmethod
    def fetches(rng, conn):
        session = rng.random() < 0.5
        conn.send(wire.frame(wire.request(wire.FETCH, 7, {
            "MaxWaitMs": 50, "MinBytes": 10 ** 6, "MaxBytes": 1000, "SessionEpoch": 0 if session else -1,
            "Topics": [{"Topic": topic, "Partitions": [
                {"Partition": i, "FetchOffset": 0, "PartitionMaxBytes": 10 ** 6}
                for i in range(PARTITIONS)]} for topic in TOPICS]})))
        if rng.random() < 0.8:
            conn.receive()

    @staticmethod
    def deletes(rng, conn):
        topic = rng.choice(TOPICS)
        conn.ask(wire.request(wire.DELETE_TOPICS, 1, {"TopicNames": [topic], "TimeoutMs": 5000}))
        time.sleep(rng.random() * 0.01)
        conn.ask(wire.request(wire.CREATE_TOPICS, 2, {"TimeoutMs": 5000, "Topics": [
            {"Name": topic, "NumPartitions": PARTITIONS, "ReplicationFactor": 1}]}))


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ottla-hostile-") as directory, \
            contextlib.ExitStack() as stack:
        stack.callback(end_left_overs)
        server = Server(pathlib.Path(directory), {
            "ack.durability": "fsync", "log.segment.delete.delay.ms": "0"}).start()
        for topic in TOPICS:
            wire.create_topic(server.port, topic, PARTITIONS)
        stress = Stress(seed, server.port)
        works = [stress.produces, stress.produces, stress.fetches, stress.fetches, stress.deletes]
        threads = [threading.Thread(target=stress.run, args=pair) for pair in enumerate(works)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        assert server.is_running(), f"seed {seed}: it ended:\n{server.text()}"
        assert not stress.failures, f"seed {seed}: {stress.failures}\n{server.text()}"
        assert wire.answers_metadata(server.port)
        stress.is_stopping = True
        server.stop()  # under full load
        for thread in threads:
            thread.join()
        print({work.__name__: count for work, count in stress.counts.items()})


if __name__ == "__main__":
    main()
