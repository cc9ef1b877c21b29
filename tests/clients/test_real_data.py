# SPDX-License-Identifier: Apache-2.0
"""Debian's package index, which every Debian has, goes in with one client and comes out with another.

Tens of thousands of stanzas, keyed by package, over twelve partitions, every codec in turn, across a
kill -9 in the middle and a clean restart; content is compared key by key."""

import hashlib
import pathlib

import lz4.frame
import pytest

import librdkafka
import test_kafka_python as kafka_python
from broker import fresh_topic
from records import CODECS

LISTS = pathlib.Path("/var/lib/apt/lists")
TOPIC_PARTITION_COUNT = 12
STANZA_COUNT_MAX = 30_000


def stanzas():
    """[(package, stanza), …] of the largest index here."""
    files = sorted(LISTS.glob("*_Packages*"), key=lambda file: file.stat().st_size)
    if not files:
        pytest.skip(f"no package index in {LISTS}: apt-get update makes it")
    file = files[-1]
    data = file.read_bytes()
    if file.suffix == ".lz4":
        data = lz4.frame.decompress(data)
    found = []
    for stanza in data.split(b"\n\n")[:STANZA_COUNT_MAX]:
        if stanza.startswith(b"Package: "):
            found.append((stanza[9:stanza.index(b"\n")], stanza))
    assert len(found) > 1000
    return found


def partition_of(key):
    return int.from_bytes(hashlib.sha256(key).digest()[:4], "big") % TOPIC_PARTITION_COUNT


def produce(producer, topic, packages, acknowledged):
    """Sends them all; notes what was acknowledged where, and counts what was not."""
    failed = []

    def delivered(error, message):
        if error is None:
            acknowledged[message.partition()].append((message.offset(), message.key()))
        else:
            failed.append(error)

    for package, stanza in packages:
        while True:
            try:
                producer.produce(topic, key=package, value=stanza,
                                 partition=partition_of(package), on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.5)
        producer.poll(0)
    return failed


def test_a_package_index_survives(make_broker):
    broker = make_broker(num_partitions=TOPIC_PARTITION_COUNT)
    topic, packages = fresh_topic("real-data"), stanzas()
    parts = [packages[i::len(CODECS)] for i in range(len(CODECS))]
    acknowledged = {partition: [] for partition in range(TOPIC_PARTITION_COUNT)}
    for i, (codec, part) in enumerate(zip(CODECS, parts)):
        producer = librdkafka.producer(broker.address, compression_type=codec,
                                       enable_idempotence=True)
        half = len(part) // 2
        failed = produce(producer, topic, part[:half], acknowledged)
        if i == 1:
            broker.kill()  # with requests on their way: they are sent again
            broker.start()
        failed += produce(producer, topic, part[half:], acknowledged)
        assert producer.flush(librdkafka.TIMEOUT_S) == 0
        assert not failed, failed[:3]
        if i == 3:
            broker.stop()
            broker.start()

    # What each partition must hold, in the order in which it was sent.
    expected = {partition: [] for partition in range(TOPIC_PARTITION_COUNT)}
    for part in parts:
        for package, stanza in part:
            expected[partition_of(package)].append((package, stanza))
    for partition, records in expected.items():
        assert acknowledged[partition] == [(i, key) for i, (key, _) in enumerate(records)]
    found = kafka_python.consume(broker.address, topic,
                                 {partition: len(r) for partition, r in expected.items()})
    for partition, records in expected.items():
        assert [(r.offset, r.key, r.value) for r in found[partition]] == \
            [(i, key, value) for i, (key, value) in enumerate(records)]
    again = librdkafka.consume(broker.address, topic, range(TOPIC_PARTITION_COUNT))
    assert {p: [(r.key, r.value) for r in records] for p, records in again.items()} == expected
