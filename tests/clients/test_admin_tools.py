# SPDX-License-Identifier: Apache-2.0
"""Kafka's administration tools of both releases: what they change they see, and so do others."""

import json
import re

import pytest

import kafka_java
import librdkafka
from broker import fresh_topic, serves
from records import numbered, placed

each_version = pytest.mark.parametrize("version", kafka_java.VERSIONS)


def needs(*apis):
    return pytest.mark.skipif(not serves(*apis), reason=f"not served yet: {apis}")


@pytest.fixture
def tool(broker, version):
    def run(name, *arguments):
        return kafka_java.tool(version, name, "--bootstrap-server", broker.address, *arguments)
    return run


def refused(broker, version, name, *arguments):
    """What a tool says that must not succeed."""
    done = kafka_java.run(version, kafka_java.tool_class(version, name),
                          "--bootstrap-server", broker.address, *arguments)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def described(text):
    """Of kafka-topics --describe: ({name: value} of the topic, [{…} of each partition])."""
    lines = [dict(re.findall(r"(\w+): ?(\S*)", line)) for line in text.splitlines() if line]
    return lines[0], lines[1:]


@needs("CreateTopics", "DescribeConfigs", "CreatePartitions", "DeleteTopics")
@each_version
def test_a_topic_is_made_described_widened_and_deleted(broker, version, tool):
    topic = fresh_topic("tools")
    tool("kafka-topics", "--create", "--topic", topic, "--partitions", "3",
         "--replication-factor", "1", "--config", "retention.ms=86400000",
         "--config", "max.message.bytes=200000")
    assert topic in tool("kafka-topics", "--list").splitlines()
    head, partitions = described(tool("kafka-topics", "--describe", "--topic", topic))
    assert (head["Topic"], head["PartitionCount"], head["ReplicationFactor"]) == (topic, "3", "1")
    assert len(head["TopicId"]) == 22
    assert set(head["Configs"].split(",")) >= {"retention.ms=86400000", "max.message.bytes=200000"}
    assert [(p["Partition"], p["Leader"], p["Replicas"], p["Isr"]) for p in partitions] == \
        [(str(i), "1", "1", "1") for i in range(3)]

    tool("kafka-topics", "--alter", "--topic", topic, "--partitions", "5")
    librdkafka.produce(broker.address, topic, numbered(10), 4)
    assert librdkafka.consume(broker.address, topic, [4])[4] == placed(numbered(10))
    tool("kafka-topics", "--delete", "--topic", topic)
    assert topic not in tool("kafka-topics", "--list").splitlines()


@needs("CreateTopics", "CreatePartitions", "DeleteTopics")
@pytest.mark.parametrize("version", kafka_java.VERSIONS[-1:])  # a JVM for each refusal: one will do
def test_what_cannot_be_is_refused_in_words(broker, version, tool):
    topic = fresh_topic("refused")
    tool("kafka-topics", "--create", "--topic", topic, "--partitions", "2")
    for arguments, words in [
            (["--create", "--topic", topic], "already exists"),
            (["--create", "--topic", "a/b"], "is invalid|illegal|contains one or more characters"),
            (["--create", "--topic", fresh_topic("x"), "--replication-factor", "2"],
             "replication factor"),
            (["--create", "--topic", fresh_topic("x"), "--config", "retention.ms=soon"],
             "retention.ms"),
            (["--alter", "--topic", topic, "--partitions", "1"], "would not be an increase"),
            (["--delete", "--topic", "is-not-there"], "does not exist"),
            (["--describe", "--topic", "is-not-there"], "does not exist")]:
        said = refused(broker, version, "kafka-topics", *arguments)
        assert re.search(words, said, re.IGNORECASE), (arguments, said)
        assert "timed out" not in said.lower()


@needs("CreateTopics", "DescribeConfigs", "IncrementalAlterConfigs")
@each_version
def test_configs_are_set_seen_and_taken_back(broker, version, tool):
    topic = fresh_topic("configs")
    tool("kafka-topics", "--create", "--topic", topic, "--partitions", "1")
    entity = ["--entity-type", "topics", "--entity-name", topic]
    tool("kafka-configs", "--alter", *entity, "--add-config",
         "cleanup.policy=[compact,delete],segment.ms=60000")
    said = tool("kafka-configs", "--describe", *entity)
    assert "cleanup.policy=compact,delete sensitive=false" in said
    assert "segment.ms=60000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:segment.ms=60000" in said
    tool("kafka-configs", "--alter", *entity, "--delete-config", "segment.ms")
    said = tool("kafka-configs", "--describe", *entity)
    assert "segment.ms" not in said and "cleanup.policy" in said
    everything = tool("kafka-configs", "--describe", *entity, "--all")
    assert "segment.ms=604800000 sensitive=false synonyms={DEFAULT_CONFIG:log.roll.ms" in everything \
        or "segment.ms=604800000 sensitive=false synonyms={DEFAULT_CONFIG:log.roll.hours" in everything \
        or "segment.ms=604800000 sensitive=false synonyms={}" in everything, everything
    said = refused(broker, version, "kafka-configs", "--alter", *entity, "--add-config",
                   "cleanup.policy=burn")
    assert "cleanup.policy" in said


@needs("DeleteRecords")
@each_version
def test_records_are_deleted_up_to_an_offset(broker, version, tool, tmp_path):
    topic = fresh_topic("delete-records")
    librdkafka.produce(broker.address, topic, numbered(100), 2)
    wanted = tmp_path / "wanted.json"
    wanted.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": topic, "partition": 2, "offset": 40}]}))
    said = tool("kafka-delete-records", "--offset-json-file", wanted)
    assert re.search(rf"{topic}-2\s+low_watermark: 40", said), said
    assert librdkafka.consume(broker.address, topic, [2])[2] == placed(numbered(100))[40:]


@needs("DescribeLogDirs")
@each_version
def test_log_dirs_tell_the_size_of_each_partition(broker, version, tool):
    topic = fresh_topic("log-dirs")
    librdkafka.produce(broker.address, topic, numbered(100), 2)
    said = tool("kafka-log-dirs", "--describe", "--topic-list", topic)
    found, = json.loads(said.splitlines()[-1])["brokers"]
    directory, = found["logDirs"]
    assert directory["error"] is None
    sizes = {p["partition"]: p["size"] for p in directory["partitions"]}
    assert sizes.keys() == {f"{topic}-{i}" for i in range(4)}
    assert [sizes[f"{topic}-{i}"] > 0 for i in range(4)] == [False, False, True, False]
