# SPDX-License-Identifier: Apache-2.0
"""A log directory that Apache Kafka 3.9.1 wrote is served as it is: every record, after a clean stop
and after none, and again when this broker has been stopped, killed and started on it."""

import csv
import os
import tarfile

import pytest

import librdkafka
from broker import ROOT
from records import Record, numbered, placed

# Apache Kafka 4 itself starts only on directories whose topics its quorum knows.
pytestmark = pytest.mark.skipif("BROKER" in os.environ, reason="of ottla-server only")

GOLDEN = ROOT / "tests/golden/disk"
SAME_AS_UNCOMPRESSED = ("codec-snappy-0", "codec-lz4-0", "codec-zstd-0")


def field(text):
    if text == "(null)":
        return None
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def golden_records():
    """{partition directory: [Record, …]} without control records, which no reader gets."""
    found = {}
    with open(GOLDEN / "records.tsv", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
            records = found.setdefault(row["partition"], [])
            if row["control"] == "0":
                headers = tuple((name, field(value)) for name, value in
                                (h.split("=", 1) for h in row["headers"].split(";") if h))
                records.append(Record(field(row["key"]), field(row["value"]), headers,
                                      int(row["timestamp"]), int(row["offset"])))
    for name in SAME_AS_UNCOMPRESSED:
        found[name] = found["codec-none-0"]
    return found


def unpack(broker_directory, archive):
    data = broker_directory / "data"
    data.mkdir(parents=True)
    with tarfile.open(GOLDEN / archive) as tar:
        tar.extractall(data)


def check_everything(broker, isolation):
    expected = golden_records()
    # A trimmed log still has older records in its first segment: they must not be served.
    expected["trimmed-0"] = [r for r in expected["trimmed-0"] if r.offset >= 25]
    if isolation == "read_committed":
        expected["txn-0"] = [r for r in expected["txn-0"] if not is_uncommitted(r)]
        # Which transactions of these were aborted their values do not tell.
        for name in ("__consumer_offsets-0", "__consumer_offsets-1"):
            expected.pop(name, None)
    places = [name.rsplit("-", 1) for name in expected]
    assignment = [librdkafka.TopicPartition(topic, int(partition), librdkafka.OFFSET_BEGINNING)
                  for topic, partition in places]
    found = librdkafka.consume_all(broker.address, assignment, isolation_level=isolation)
    for (topic, partition), records in found.items():
        assert records == expected[f"{topic}-{partition}"], (topic, partition, isolation)


def is_uncommitted(record):
    return record.value.startswith(b"aborted") or record.value == b"open-transaction"


@pytest.mark.parametrize("archive", ["kafka-3.9.1-clean.tar.gz", "kafka-3.9.1-unclean.tar.gz"])
def test_every_record_is_served_and_more_can_follow(tmp_path, make_broker, archive):
    unpack(tmp_path / "broker", archive)
    broker = make_broker()
    check_everything(broker, "read_uncommitted")
    check_everything(broker, "read_committed")
    broker.stop()
    broker.start()
    check_everything(broker, "read_uncommitted")
    broker.kill()
    broker.start()
    check_everything(broker, "read_uncommitted")
    check_everything(broker, "read_committed")
    more = numbered(10)
    assert librdkafka.produce(broker.address, "roll", more) == list(range(100, 110))
    assert librdkafka.consume(broker.address, "roll", [0], 100)[0] == placed(more, 100)


def test_offsets_by_time_in_segments_that_kafka_wrote(tmp_path, make_broker):
    unpack(tmp_path / "broker", "kafka-3.9.1-clean.tar.gz")
    broker = make_broker()
    consumer = librdkafka.consumer(broker.address)
    for name in ("roll-0", "roll-1"):
        topic, partition = name.rsplit("-", 1)
        partition = int(partition)
        for record in golden_records()[name][::9]:
            asked = librdkafka.TopicPartition(topic, partition, record.timestamp)
            found, = consumer.offsets_for_times([asked], timeout=30)
            assert found.offset == record.offset
    asked = librdkafka.TopicPartition("trimmed", 0)
    assert consumer.get_watermark_offsets(asked, 30) == (25, 60)
    consumer.close()
