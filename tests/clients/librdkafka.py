# SPDX-License-Identifier: Apache-2.0
"""Produce, consume and ask with confluent-kafka (librdkafka), without consumer groups."""

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from records import Record

TIMEOUT_S = 30


def producer(address, **settings):
    return confluent_kafka.Producer({
        "bootstrap.servers": address, "linger.ms": 5, "message.timeout.ms": TIMEOUT_S * 1000,
        **{name.replace("_", "."): value for name, value in settings.items()}})


def produce(address, topic, records, partition=0, **settings):
    """Writes them all; returns their offsets as acknowledged (-1001 with acks=0)."""
    offsets = {}

    def delivered(index):
        def on_delivery(error, message):
            assert error is None, error
            offsets[index] = message.offset()
        return on_delivery

    one = producer(address, **settings)
    for i, record in enumerate(records):
        one.produce(topic, partition=partition, key=record.key, value=record.value,
                    headers=list(record.headers) or None, timestamp=record.timestamp or 0,
                    on_delivery=delivered(i))
    left = one.flush(TIMEOUT_S)
    assert left == 0, f"{left} records are not delivered"
    return [offsets[i] for i in range(len(records))]


def consumer(address, **settings):
    return confluent_kafka.Consumer({
        "bootstrap.servers": address, "group.id": "not-used", "enable.auto.commit": False,
        "enable.partition.eof": True, "auto.offset.reset": "error", "check.crcs": True,
        **{name.replace("_", "."): value for name, value in settings.items()}})


def to_record(message):
    return Record(message.key(), message.value(), tuple(message.headers() or ()),
                  message.timestamp()[1], message.offset())


def consume(address, topic, partitions, start=OFFSET_BEGINNING, **settings):
    """All records of each partition from start to its end: {partition: [Record, …]}."""
    one = consumer(address, **settings)
    try:
        one.assign([TopicPartition(topic, partition, start) for partition in partitions])
        found, open_ones = {partition: [] for partition in partitions}, set(partitions)
        while open_ones:
            for message in [one.poll(TIMEOUT_S), *one.consume(10000, 0)]:
                assert message is not None, f"nothing came from {topic}, partitions {open_ones}"
                if not message.error():
                    found[message.partition()].append(to_record(message))
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    open_ones.discard(message.partition())
                else:
                    raise AssertionError(message.error())
        return found
    finally:
        one.close()
