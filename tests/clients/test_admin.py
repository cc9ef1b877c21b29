# SPDX-License-Identifier: Apache-2.0
"""Administration with confluent-kafka, and by kafka-python, which asks in other versions."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   ConfigSource, NewPartitions, NewTopic, ResourceType)
from kafka.admin import KafkaAdminClient
from kafka.errors import for_code

import librdkafka
from broker import fresh_topic, serves
from records import numbered, placed

pytestmark = pytest.mark.skipif(
    not serves("CreateTopics", "DeleteTopics", "DescribeConfigs", "IncrementalAlterConfigs",
               "CreatePartitions"), reason="not served yet")


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.address})


def wait(futures):
    """The one result of a call for one thing; its failure as its code."""
    (future,) = futures.values()
    return future.result(30)


def refused(futures):
    with pytest.raises(KafkaException) as caught:
        wait(futures)
    return caught.value.args[0].code()


def config_of(admin, topic):
    return wait(admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))


def test_a_topic_lives_and_dies(broker, admin):
    topic = fresh_topic("admin")
    wait(admin.create_topics([NewTopic(topic, 3, 1, config={"segment.ms": "70000"})]))
    assert sorted(admin.list_topics(topic, 30).topics[topic].partitions) == [0, 1, 2]
    assert refused(admin.create_topics([NewTopic(topic, 1, 1)])) == KafkaError.TOPIC_ALREADY_EXISTS
    librdkafka.produce(broker.address, topic, numbered(20), 2)
    wait(admin.create_partitions([NewPartitions(topic, 4)]))
    librdkafka.produce(broker.address, topic, numbered(5), 3)
    assert refused(admin.create_partitions([NewPartitions(topic, 4)])) == \
        KafkaError.INVALID_PARTITIONS
    assert librdkafka.consume(broker.address, topic, [2, 3]) == {
        2: placed(numbered(20)), 3: placed(numbered(5))}
    wait(admin.delete_topics([topic]))
    assert refused(admin.delete_topics([topic])) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_topic_made_again_is_empty(broker, admin):
    topic = fresh_topic("again")
    for count in (30, 10):
        wait(admin.create_topics([NewTopic(topic, 1, 1)]))
        assert librdkafka.produce(broker.address, topic, numbered(count)) == list(range(count))
        assert librdkafka.consume(broker.address, topic, [0])[0] == placed(numbered(count))
        wait(admin.delete_topics([topic]))


def test_what_cannot_be_is_refused(admin):
    for new, code in [
            (NewTopic("a b", 1, 1), KafkaError.TOPIC_EXCEPTION),
            (NewTopic("x" * 250, 1, 1), KafkaError.TOPIC_EXCEPTION),
            (NewTopic(fresh_topic("x"), 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
            (NewTopic(fresh_topic("x"), 1, 1, config={"no.such": "1"}), KafkaError.INVALID_CONFIG),
            (NewTopic(fresh_topic("x"), 1, 1, config={"cleanup.policy": "burn"}),
             KafkaError.INVALID_CONFIG)]:
        assert refused(admin.create_topics([new])) == code, new
    assert refused(admin.create_topics([NewTopic(fresh_topic("x"), 0, 1)])) == \
        KafkaError.INVALID_PARTITIONS


def test_only_validated_is_not_made(admin):
    topic = fresh_topic("validated")
    wait(admin.create_topics([NewTopic(topic, 1, 1)], validate_only=True))
    assert topic not in admin.list_topics(timeout=30).topics


def test_configs_say_where_they_come_from(admin):
    topic = fresh_topic("sources")
    wait(admin.create_topics([NewTopic(topic, 1, 1, config={"retention.ms": "1234567"})]))
    found = config_of(admin, topic)
    assert (found["retention.ms"].value, found["retention.ms"].source) == \
        ("1234567", ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
    assert (found["cleanup.policy"].value, found["cleanup.policy"].source) == \
        ("delete", ConfigSource.DEFAULT_CONFIG.value)
    assert not found["retention.ms"].is_read_only and not found["retention.ms"].is_sensitive


def test_configs_change_one_by_one(admin):
    topic = fresh_topic("changes")
    wait(admin.create_topics([NewTopic(topic, 1, 1, config={"cleanup.policy": "delete"})]))

    def change(operation, name, value=None):
        entry = ConfigEntry(name, value, incremental_operation=operation)
        return admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])])

    wait(change(AlterConfigOpType.APPEND, "cleanup.policy", "compact"))
    assert config_of(admin, topic)["cleanup.policy"].value == "delete,compact"
    wait(change(AlterConfigOpType.SUBTRACT, "cleanup.policy", "delete"))
    assert config_of(admin, topic)["cleanup.policy"].value == "compact"
    wait(change(AlterConfigOpType.SET, "max.message.bytes", "5000"))
    assert config_of(admin, topic)["max.message.bytes"].value == "5000"
    wait(change(AlterConfigOpType.DELETE, "max.message.bytes"))
    assert config_of(admin, topic)["max.message.bytes"].value == "1048588"
    assert refused(change(AlterConfigOpType.SET, "max.message.bytes", "many")) == \
        KafkaError.INVALID_CONFIG
    assert refused(change(AlterConfigOpType.SET, "no.such", "1")) == KafkaError.INVALID_CONFIG


def test_a_changed_config_takes_effect(broker, admin):
    """A record larger than max.message.bytes of its topic is refused, and only there."""
    small, big = fresh_topic("small"), fresh_topic("big")
    record = [numbered(1)[0]._replace(value=b"x" * 6000)]
    wait(admin.create_topics([NewTopic(small, 1, 1, config={"max.message.bytes": "5000"})]))
    wait(admin.create_topics([NewTopic(big, 1, 1)]))
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
        librdkafka.produce(broker.address, small, record)
    librdkafka.produce(broker.address, big, record)


def test_append_time_is_the_brokers(broker, admin):
    topic = fresh_topic("append-time")
    wait(admin.create_topics([NewTopic(topic, 1, 1, config={
        "message.timestamp.type": "LogAppendTime"})]))
    librdkafka.produce(broker.address, topic, numbered(10))
    found = librdkafka.consume(broker.address, topic, [0])[0]
    assert all(record.timestamp > numbered(10)[9].timestamp + 10**9 for record in found)
    assert [r.value for r in found] == [r.value for r in numbered(10)]


def test_topics_configs_and_records_outlive_restarts(make_broker):
    broker = make_broker()
    admin = AdminClient({"bootstrap.servers": broker.address, "reconnect.backoff.max.ms": 100})
    topics = [fresh_topic("lives"), fresh_topic("dies")]
    for topic in topics:
        wait(admin.create_topics([NewTopic(topic, 2, 1, config={"segment.ms": "70000"})]))
        librdkafka.produce(broker.address, topic, numbered(10), 1)
    wait(admin.delete_topics([topics[1]]))
    for end in (broker.kill, broker.stop):
        end()
        broker.start()
        found = admin.list_topics(timeout=30).topics
        assert topics[0] in found and topics[1] not in found
        assert len(found[topics[0]].partitions) == 2
        assert config_of(admin, topics[0])["segment.ms"].value == "70000"
        assert librdkafka.consume(broker.address, topics[0], [1])[1] == placed(numbered(10))


@pytest.mark.skipif(not serves("DeleteRecords"), reason="not served yet")
def test_deleted_records_are_gone(broker, admin):
    topic = fresh_topic("deleted")
    librdkafka.produce(broker.address, topic, numbered(50))
    done = wait(admin.delete_records([TopicPartition(topic, 0, 20)]))
    assert done.low_watermark == 20
    assert librdkafka.consume(broker.address, topic, [0])[0] == placed(numbered(50))[20:]
    assert refused(admin.delete_records([TopicPartition(topic, 0, 51)])) == \
        KafkaError.OFFSET_OUT_OF_RANGE


@pytest.mark.skipif(not serves("DescribeCluster"), reason="not served yet")
def test_the_cluster_is_described(broker, admin):
    found = admin.describe_cluster().result(30)
    assert [f"{node.host}:{node.port}" for node in found.nodes] == [broker.address]
    assert found.controller.id == found.nodes[0].id
    assert len(found.cluster_id) == 22


def test_kafka_python_administers(broker):
    topic = fresh_topic("py-admin")
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    try:
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1,
                                     "configs": {"segment.ms": "70000"}}})
        assert topic in admin.list_topics()
        with pytest.raises(for_code(36)):  # TOPIC_ALREADY_EXISTS
            admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
        admin.create_partitions({topic: 3})
        found, = admin.describe_topics([topic])
        assert len(found["partitions"]) == 3
        admin.delete_topics([topic])
        assert topic not in admin.list_topics()
    finally:
        admin.close()
