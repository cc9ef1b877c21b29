# SPDX-License-Identifier: Apache-2.0
"""kcat as Debian ships it: what one process writes another reads; -L shows what there is."""

import json
import subprocess

import pytest

from broker import PARTITION_COUNT, fresh_topic
from records import CODECS


def kcat(broker, *arguments, stdin=None):
    done = subprocess.run(["kcat", "-b", broker.address, "-m", "20", *arguments], input=stdin,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def read_all(broker, topic, partition, *arguments):
    """One line for each record: partition, offset, key, value, headers."""
    return kcat(broker, "-C", "-t", topic, "-p", str(partition), "-o", "beginning", "-e", "-q",
                "-f", "%p|%o|%k|%s|%h\n", *arguments).decode().splitlines()


@pytest.mark.parametrize("codec", CODECS)
def test_lines_with_keys_and_headers_come_back(broker, codec):
    topic = fresh_topic("kcat")
    lines = [f"key-{i % 10}:line {i} {'x' * (i % 50)}" for i in range(500)]
    kcat(broker, "-P", "-t", topic, "-p", "1", "-K", ":", "-z", codec, "-H", "a=1", "-H", "b=zwei",
         stdin="\n".join(lines).encode())
    assert read_all(broker, topic, 1) == [
        f"1|{i}|{line.split(':')[0]}|{line.split(':')[1]}|a=1,b=zwei" for i, line in enumerate(lines)]


def test_empty_values_are_null_when_asked_and_a_file_is_one_record(broker, tmp_path):
    topic = fresh_topic("kcat-file")
    kcat(broker, "-P", "-t", topic, "-p", "0", "-K", ":", "-Z", stdin=b"k:\n:v\n")
    blob = tmp_path / "blob"
    blob.write_bytes(bytes(range(256)) * 2000)
    kcat(broker, "-P", "-t", topic, "-p", "0", str(blob))
    out = kcat(broker, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-J", "-c", "2")
    first, second = [json.loads(line) for line in out.splitlines()]
    assert (first["key"], first["payload"]) == ("k", None)
    assert (second["key"], second["payload"]) == (None, "v")
    assert kcat(broker, "-C", "-t", topic, "-p", "0", "-o", "2", "-c", "1", "-q", "-f", "%s") == \
        blob.read_bytes()


def test_reading_from_offsets_and_times(broker):
    topic = fresh_topic("kcat-offsets")
    kcat(broker, "-P", "-t", topic, "-p", "0", "-X", "batch.num.messages=7",
         stdin=b"\n".join(b"%d" % i for i in range(100)))

    def values(*arguments):
        return kcat(broker, "-C", "-t", topic, "-p", "0", "-q", "-e", "-f", "%s ", *arguments)

    assert values("-o", "97") == b"97 98 99 "
    assert values("-o", "-2") == b"98 99 "
    assert values("-o", "beginning", "-c", "2") == b"0 1 "
    assert values("-o", "end") == b""
    assert values("-o", "s@0", "-c", "1") == b"0 "
    assert kcat(broker, "-Q", "-t", f"{topic}:0:-1") == f"{topic} [0] offset 100\n".encode()
    assert kcat(broker, "-Q", "-t", f"{topic}:0:-2") == f"{topic} [0] offset 0\n".encode()
    assert kcat(broker, "-Q", "-t", f"{topic}:0:1") == f"{topic} [0] offset 0\n".encode()


@pytest.mark.parametrize("acks", ["0", "1", "-1"])
def test_every_acks_is_taken(broker, acks):
    """With acks=0 kcat ends when all was sent; a later reader waits for the last record."""
    topic = fresh_topic("kcat-acks")
    kcat(broker, "-P", "-t", topic, "-p", "0", "-X", f"acks={acks}",
         stdin=b"\n".join(b"%d" % i for i in range(300)))
    out = kcat(broker, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", "300", "-q")
    assert out.split() == [b"%d" % i for i in range(300)]


def test_an_idempotent_producer(broker):
    topic = fresh_topic("kcat-idempotent")
    kcat(broker, "-P", "-t", topic, "-p", "2", "-X", "enable.idempotence=true", "-X",
         "batch.num.messages=3", stdin=b"\n".join(b"%d" % i for i in range(300)))
    assert [line.split("|")[3] for line in read_all(broker, topic, 2)] == \
        [str(i) for i in range(300)]


def test_metadata_lists_broker_topic_and_partitions(broker):
    topic = fresh_topic("kcat-list")
    kcat(broker, "-P", "-t", topic, "-p", "0", stdin=b"one")
    found = json.loads(kcat(broker, "-L", "-J"))
    assert [node["name"] for node in found["brokers"]] == [broker.address]
    broker_id = found["brokers"][0]["id"]
    assert found["controllerid"] == broker_id
    partitions = [t for t in found["topics"] if t["topic"] == topic][0]["partitions"]
    alone = [{"id": broker_id}]
    assert sorted(partitions, key=lambda p: p["partition"]) == [
        {"partition": i, "leader": broker_id, "replicas": alone, "isrs": alone}
        for i in range(PARTITION_COUNT)]
