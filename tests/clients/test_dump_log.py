# SPDX-License-Identifier: Apache-2.0
"""Kafka's dump tool reads every file that the broker wrote: logs, indexes, producer snapshots.

The tool ends with status 0 whatever it finds, so its words are looked at."""

import re

import pytest

import kafka_java
import librdkafka
from broker import PARTITION_COUNT, fresh_topic
from records import BASE_TIME_MS, CODECS, Record

SEGMENT_BYTES = 1 << 20  # the least that Kafka 4 takes
RECORD = re.compile(r"^\| offset: (\d+) CreateTime: (\d+) .*?(?:headerKeys: \[(.*?)\])? "
                    r"key: (\S+) payload: (.*)$", re.MULTILINE)
BATCH = re.compile(r"^baseOffset: .*? compresscodec: (\w+) .*? isvalid: (\w+)$", re.MULTILINE)
COMPLAINTS = re.compile(r"(?i)mismatch|corrupt|invalid|out of order|error|exception|non-consecutive")


def records_of(partition):
    """Enough of them, and not compressible, to fill more than one segment in each codec."""
    return [Record(b"key-%d" % (i % 97), b"%d-" % i + b"%016x" % (i * 0x9e3779b97f4a7c15 % 2**64) * 8,
                   (("n", b"%d" % i),) if i % 2 else (), BASE_TIME_MS + i)
            for i in range(12000 + partition)]


def dump(version, *arguments):
    return kafka_java.tool(version, "kafka-dump-log", *arguments)


def check_logs(version, directory, records):
    logs = sorted(directory.glob("*.log"))
    out = dump(version, "--print-data-log", "--deep-iteration", "--files", ",".join(map(str, logs)))
    assert not COMPLAINTS.search(BATCH.sub("", out)), out[-3000:]
    assert {valid for _, valid in BATCH.findall(out)} == {"true"}
    found = [(int(offset), int(time), headers or "", key, payload)
             for offset, time, headers, key, payload in RECORD.findall(out)]
    assert found == [(i, r.timestamp, "n" if r.headers else "", r.key.decode(), r.value.decode())
                     for i, r in enumerate(records)]
    return logs, {codec for codec, _ in BATCH.findall(out)}


def check_indexes(version, directory):
    """Every entry is compared with the log; a segment of more than 4 KiB has entries."""
    for suffix in ("index", "timeindex"):
        files = sorted(directory.glob(f"*.{suffix}"))
        assert files and all(file.stat().st_size > 0 for file in files[:-1])
        names = ",".join(map(str, files))
        for mode in ("--verify-index-only", "--index-sanity-check"):
            out = dump(version, mode, "--files", names)
            assert not COMPLAINTS.search(out), out[-3000:]
            if mode == "--index-sanity-check":
                assert out.count("passed sanity check") == len(files), out


def check_snapshots(version, directory, end):
    """There is one for the end of the log, and it knows the idempotent producer's last sequence."""
    snapshots = sorted(directory.glob("*.snapshot"))
    assert snapshots[-1].name == f"{end:020d}.snapshot"
    out = dump(version, "--files", str(snapshots[-1]))
    assert re.search(rf"producerId: \d+ producerEpoch: 0 .*lastSequence: {end - 1} "
                     rf"|producerId: \d+ producerEpoch: 0 .*Some\(lastSequence: {end - 1}"
                     rf"|producerId: \d+ producerEpoch: 0 .*{end - 1}", out), out


@pytest.mark.parametrize("version", kafka_java.VERSIONS)
def test_every_file_after_a_clean_stop(make_broker, version):
    broker = make_broker(log_segment_bytes=SEGMENT_BYTES)
    topic = fresh_topic("dump")
    codecs = CODECS if version == "4.3.1" else ("none", "zstd")
    for partition, codec in enumerate(codecs[:PARTITION_COUNT]):
        librdkafka.produce(broker.address, topic, records_of(partition), partition,
                           compression_type=codec, enable_idempotence=True)
    broker.stop()
    for partition, codec in enumerate(codecs[:PARTITION_COUNT]):
        directory = broker.data / f"{topic}-{partition}"
        records = records_of(partition)
        logs, found = check_logs(version, directory, records)
        assert codec in {name.lower() for name in found} and (codec != "none" or len(logs) > 1)
        check_indexes(version, directory)
        check_snapshots(version, directory, len(records))
