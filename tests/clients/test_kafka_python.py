# SPDX-License-Identifier: Apache-2.0
"""kafka-python, a client with a codec of its own: what it writes, it and librdkafka read."""

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

import librdkafka
from broker import PARTITION_COUNT, fresh_topic
from records import BASE_TIME_MS, CODECS, Record, numbered, placed, plain, samples

TIMEOUT_S = 30



def produce(address, topic, records, partition=0, codec="none", **settings):
    """Writes all records; returns their offsets as acknowledged."""
    producer = KafkaProducer(bootstrap_servers=address,
                             compression_type=None if codec == "none" else codec,
                             linger_ms=5, **settings)
    try:
        sent = [producer.send(topic, key=r.key, value=r.value, partition=partition,
                              headers=list(r.headers), timestamp_ms=r.timestamp) for r in records]
        producer.flush(TIMEOUT_S)
        return [future.get(TIMEOUT_S).offset for future in sent]
    finally:
        producer.close()


def make_consumer(address, **settings):
    return KafkaConsumer(bootstrap_servers=address, group_id=None, enable_auto_commit=False,
                         auto_offset_reset="none", **settings)


def consume(address, topic, counts, start=0):
    """{partition: [Record, …]}: each partition from start up to counts[partition] records."""
    consumer = make_consumer(address)
    try:
        partitions = [TopicPartition(topic, partition) for partition in counts]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, start)
        found = {partition: [] for partition in counts}
        while any(len(found[p]) < count for p, count in counts.items()):
            batches = consumer.poll(timeout_ms=TIMEOUT_S * 1000, max_records=10000)
            assert batches, f"nothing comes any more; got { {p: len(r) for p, r in found.items()} }"
            for partition, messages in batches.items():
                found[partition.partition] += [
                    Record(m.key, m.value, tuple((name, value) for name, value in m.headers),
                           m.timestamp, m.offset) for m in messages]
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_keeps_every_record(broker, codec):
    topic, records = fresh_topic("py-codec"), plain(samples())
    assert produce(broker.address, topic, records, 1, codec) == list(range(len(records)))
    assert consume(broker.address, topic, {1: len(records)})[1] == placed(records)
    assert librdkafka.consume(broker.address, topic, [1])[1] == placed(records)


@pytest.mark.parametrize("codec", CODECS)
def test_it_reads_what_librdkafka_wrote(broker, codec):
    topic, records = fresh_topic("py-reads"), samples()
    librdkafka.produce(broker.address, topic, records, compression_type=codec)
    assert consume(broker.address, topic, {0: len(records)})[0] == placed(records)


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_every_acks_keeps_every_record(broker, acks):
    topic, records = fresh_topic("py-acks"), plain(samples(100))
    produce(broker.address, topic, records, acks=acks, enable_idempotence=False)
    assert consume(broker.address, topic, {0: len(records)})[0] == placed(records)


def test_an_idempotent_producer_and_a_record_of_900_kb(broker):
    topic = fresh_topic("py-big")
    records = [Record(b"k", bytes([i]) * size, (), BASE_TIME_MS + i)
               for i, size in enumerate([10, 900_000, 20])]
    produce(broker.address, topic, records, enable_idempotence=True, acks="all")
    assert consume(broker.address, topic, {0: 3})[0] == placed(records)


def test_offsets_of_begin_end_and_times(broker):
    topic, records = fresh_topic("py-times"), numbered(50)
    produce(broker.address, topic, records)
    consumer = make_consumer(broker.address)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert consumer.beginning_offsets([first, second]) == {first: 0, second: 0}
    assert consumer.end_offsets([first, second]) == {first: 50, second: 0}
    found = consumer.offsets_for_times({first: BASE_TIME_MS + 20_500, second: BASE_TIME_MS})
    assert (found[first].offset, found[first].timestamp) == (21, BASE_TIME_MS + 21_000)
    assert found[second] is None
    assert consumer.partitions_for_topic(topic) == set(range(PARTITION_COUNT))
    consumer.close()


def test_its_admin_client_sees_the_cluster(broker):
    topic = fresh_topic("py-admin")
    produce(broker.address, topic, numbered(1))
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    assert topic in admin.list_topics()
    found, = admin.describe_topics([topic])
    assert len(found["partitions"]) == PARTITION_COUNT
    admin.close()
