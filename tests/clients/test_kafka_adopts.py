# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka starts on log directories that ottla-server wrote and serves the same records.

3.9.1 in ZooKeeper mode takes the whole directory as it is: ZooKeeper is told the cluster id and the
topics with their ids, as Kafka's controller would have. 4.3.1 (KRaft) serves only topics of its own
quorum, so there each partition's directory is put in the place of one that Kafka made."""

import json
import os
import re
import shutil

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import kafka_java
import librdkafka
from broker import KafkaBroker
from records import CODECS, numbered, placed, samples

pytestmark = pytest.mark.skipif("BROKER" in os.environ, reason="of ottla-server only")

PARTITION_COUNT = len(CODECS)
SEGMENT_BYTES = 1 << 20
CLUSTER_ID = "bm90IGEgcmVhbCBjbHVzdA"


def write_with_ottla(tmp_path, make_broker, ends_cleanly):
    """One topic with one partition for each codec and another with several segments.

    The directory begins as one of ZooKeeper mode, which stays so: KRaft's meta.properties would be
    refused there."""
    data = tmp_path / "ottla/data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text(f"version=0\nbroker.id=1\ncluster.id={CLUSTER_ID}\n")
    ottla = make_broker("ottla", num_partitions=PARTITION_COUNT, log_segment_bytes=SEGMENT_BYTES)
    expected = {}
    for partition, codec in enumerate(CODECS):
        records = samples(100 + partition)
        librdkafka.produce(ottla.address, "codecs", records, partition, compression_type=codec,
                           enable_idempotence=True, batch_num_messages=10)
        expected["codecs", partition] = placed(records)
        expected["segments", partition] = []
    long = [r._replace(value=b"%d" % i + b"x" * 1000) for i, r in enumerate(numbered(4000))]
    librdkafka.produce(ottla.address, "segments", long, 0, enable_idempotence=True,
                       batch_num_messages=50)
    expected["segments", 0] = placed(long)
    ottla.stop() if ends_cleanly else ottla.kill()
    assert len(list((ottla.data / "segments-0").glob("*.log"))) > 2
    return ottla.data, expected


def check(kafka, expected):
    assignment = [librdkafka.TopicPartition(topic, partition, librdkafka.OFFSET_BEGINNING)
                  for topic, partition in expected]
    found = librdkafka.consume_all(kafka.address, assignment)
    for place, records in expected.items():
        assert found[place] == records, place
    consumer = librdkafka.consumer(kafka.address)
    for record in expected["segments", 0][::701]:
        asked = librdkafka.TopicPartition("segments", 0, record.timestamp)
        assert consumer.offsets_for_times([asked], timeout=30)[0].offset == record.offset
    consumer.close()


def property_of(file, name):
    return re.search(rf"^{re.escape(name)}\s*[=:]\s*(.*)$", file.read_text(), re.MULTILINE).group(1)


def tell_zookeeper(kafka, data):
    """What Kafka's controller keeps there for the topics found in data."""
    broker_id = int(property_of(data / "meta.properties", "broker.id"))
    cluster_id = property_of(data / "meta.properties", "cluster.id")
    nodes = {"/cluster": "", "/cluster/id": {"version": "1", "id": cluster_id},
             "/brokers": "", "/brokers/topics": ""}
    for topic in ("codecs", "segments"):
        path = f"/brokers/topics/{topic}"
        nodes[path] = {
            "version": 3, "removing_replicas": {}, "adding_replicas": {},
            "partitions": {str(p): [broker_id] for p in range(PARTITION_COUNT)},
            "topic_id": property_of(data / f"{topic}-0/partition.metadata", "topic_id")}
        nodes[f"{path}/partitions"] = ""
        for partition in range(PARTITION_COUNT):
            nodes[f"{path}/partitions/{partition}"] = ""
            nodes[f"{path}/partitions/{partition}/state"] = {
                "version": 1, "controller_epoch": 1, "leader": broker_id, "isr": [broker_id],
                "leader_epoch": last_epoch(data / f"{topic}-{partition}")}
    commands = "".join(f"create {path} {quoted(value)}\n" for path, value in nodes.items())
    out, errors = kafka_java.java(
        "3.9.1", "org.apache.zookeeper.ZooKeeperMain", "-server",
        f"127.0.0.1:{kafka.controller_port}", stdin=commands + "quit\n")
    for path in nodes:
        assert f"Created {path}" in (out + errors).splitlines(), out + errors


def quoted(value):
    """As ZooKeeper's shell takes it."""
    return "'" + json.dumps(value, separators=(",", ":")) + "'" if value else '""'


def last_epoch(directory):
    """The leader epoch of the last batch: one at least as high must be in the partition's state."""
    checkpoint = directory / "leader-epoch-checkpoint"
    lines = checkpoint.read_text().split("\n") if checkpoint.exists() else []
    return int(lines[-2].split()[0]) if len(lines) > 3 else 0


@pytest.mark.parametrize("ends_cleanly", [True, False])
def test_kafka_3_9_in_zookeeper_mode_takes_the_directory(tmp_path, make_broker, ends_cleanly):
    data, expected = write_with_ottla(tmp_path, make_broker, ends_cleanly)
    kafka = ZooKeeperKafka(tmp_path / "kafka", "3.9.1", zookeeper=True,
                           log_segment_bytes=SEGMENT_BYTES)
    shutil.copytree(data, kafka.data, dirs_exist_ok=True)
    try:
        kafka.start()
        check(kafka, expected)
        more = numbered(10)
        librdkafka.produce(kafka.address, "codecs", more, 0)
        expected["codecs", 0] += placed(more, len(expected["codecs", 0]))
        check(kafka, expected)
        kafka.stop()
    finally:
        if kafka.is_running():
            kafka.kill()
        kafka.end_zookeeper()


class ZooKeeperKafka(KafkaBroker):
    """Kafka that finds its topics in ZooKeeper, as if it had been there before."""

    def command(self):
        command = super().command()  # starts ZooKeeper too
        tell_zookeeper(self, self.data)
        return command


@pytest.mark.parametrize("ends_cleanly", [True, False])
def test_kafka_4_3_takes_the_partitions(tmp_path, make_broker, ends_cleanly):
    data, expected = write_with_ottla(tmp_path, make_broker, ends_cleanly)
    kafka = KafkaBroker(tmp_path / "kafka", "4.3.1", log_segment_bytes=SEGMENT_BYTES).start()
    try:
        admin = AdminClient({"bootstrap.servers": kafka.address})
        for topic in ("codecs", "segments"):
            done = admin.create_topics([NewTopic(topic, PARTITION_COUNT, 1)])
            done[topic].result(30)
        kafka.stop()
        for topic, partition in expected:
            if not (data / f"{topic}-{partition}").exists():
                continue  # nothing was ever appended
            theirs = kafka.data / f"{topic}-{partition}"
            identity = (theirs / "partition.metadata").read_bytes()
            shutil.rmtree(theirs)
            shutil.copytree(data / theirs.name, theirs)
            (theirs / "partition.metadata").write_bytes(identity)
        if not ends_cleanly:
            (kafka.data / ".kafka_cleanshutdown").unlink()
        kafka.start()
        check(kafka, expected)
        kafka.stop()
    finally:
        if kafka.is_running():
            kafka.kill()
