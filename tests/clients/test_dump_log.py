# SPDX-License-Identifier: Apache-2.0
"""Kafka's dump tool reads every file that the broker wrote: logs, indexes, producer snapshots.

The tool ends with status 0 whatever it finds, so its words are looked at."""

import pathlib
import re

import pytest

import kafka_java
import librdkafka
from broker import fresh_topic, serves
from records import BASE_TIME_MS, Record

SEGMENT_BYTES = 1 << 20  # the least that Kafka 4 takes
RECORD = re.compile(r"^\| offset: (\d+) CreateTime: (\d+) .*?headerKeys: \[(.*?)\] "
                    r"key: (\S+) payload: (.*)$", re.MULTILINE)
BATCH = re.compile(r"^baseOffset: .*? compresscodec: (\w+) .*? isvalid: (\w+)$", re.MULTILINE)
SNAPSHOT = re.compile(r"producerId: \d+ producerEpoch: 0 .*?lastSequence: (\d+) lastOffset: (\d+)")
COMPLAINTS = re.compile(r"(?i)mismatch|corrupt|invalid|out of order|error|exception|non-consecutive")


def records_of(partition):
    """Enough of them to fill more than one segment, half compressible."""
    return [Record(b"key-%d" % (i % 97), b"%016x" % (i * 0x9e3779b97f4a7c15 % 2**64) + b"-" * 100,
                   (("n", b"%d" % i),) if i % 2 else (), BASE_TIME_MS + i)
            for i in range(12000 + partition)]


def dump(version, files, *arguments):
    """What the tool says of each file; all in one JVM."""
    out = kafka_java.tool(version, "kafka-dump-log", *arguments, "--files",
                          ",".join(map(str, files)))
    parts = re.split(r"^Dumping (.*)$", out, flags=re.MULTILINE)
    said = dict(zip(map(pathlib.Path, parts[1::2]), parts[2::2]))
    assert set(said) == set(files)
    return said


def check_logs(version, directory, records):
    """Every batch is valid, every record is what was written; returns the codecs that were met."""
    logs = sorted(directory.glob("*.log"))
    said = dump(version, logs, "--print-data-log", "--deep-iteration")
    out = "".join(said[log] for log in logs)
    batches = BATCH.findall(out)
    assert {valid for _, valid in batches} == {"true"}
    found = [(int(offset), int(time), headers, key, payload)
             for offset, time, headers, key, payload in RECORD.findall(out)]
    assert found == [(i, r.timestamp, "n" if r.headers else "",
                      r.key.decode(), r.value.decode()) for i, r in enumerate(records)]
    return {codec.lower() for codec, _ in batches}


def check_indexes(version, directories):
    """Every entry is compared with the log, which is long enough to have some."""
    files = [file for directory in directories for suffix in ("index", "timeindex")
             for file in sorted(directory.glob(f"*.{suffix}"))]
    assert all(file.stat().st_size > 0 for file in files)
    for file, text in dump(version, files, "--verify-index-only").items():
        assert not COMPLAINTS.search(text), f"{file}: {text[-3000:]}"
    for file, text in dump(version, files, "--index-sanity-check").items():
        assert text.strip().endswith("passed sanity check."), f"{file}: {text}"


def check_snapshots(version, directories, ends):
    """There is one for the end of the log, and it knows the producer's last sequence."""
    files = [directory / f"{end:020d}.snapshot" for directory, end in zip(directories, ends)]
    said = dump(version, files)
    for file, end in zip(files, ends):
        found = SNAPSHOT.findall(said[file])
        assert found == [(str(end - 1), str(end - 1))], said[file]


@pytest.mark.parametrize("version", kafka_java.VERSIONS)
def test_every_file_after_a_clean_stop(make_broker, version):
    broker = make_broker(log_segment_bytes=SEGMENT_BYTES)
    topic = fresh_topic("dump")
    codecs = ("none", "gzip", "snappy") if version == "3.9.1" else ("none", "lz4", "zstd")
    all_records = [records_of(partition) for partition in range(len(codecs))]
    for partition, codec in enumerate(codecs):
        librdkafka.produce(broker.address, topic, all_records[partition], partition,
                           compression_type=codec, enable_idempotence=True, batch_num_messages=100)
    broker.stop()
    directories = [broker.data / f"{topic}-{partition}" for partition in range(len(codecs))]
    for directory, codec, records in zip(directories, codecs, all_records):
        found = check_logs(version, directory, records)
        # librdkafka takes a broker without FindCoordinator for one too old for lz4.
        assert codec in found or codec == "lz4" and not serves("FindCoordinator")
    assert len(list(directories[0].glob("*.log"))) > 1
    check_indexes(version, directories)
    check_snapshots(version, directories, map(len, all_records))
