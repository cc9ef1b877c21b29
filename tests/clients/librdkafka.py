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
        # The end of a partition is told with an empty answer: it is not to be long in coming.
        "fetch.wait.max.ms": 20,
        **{name.replace("_", "."): value for name, value in settings.items()}})


def to_record(message):
    return Record(message.key(), message.value(), tuple(message.headers() or ()),
                  message.timestamp()[1], message.offset())


def consume(address, topic, partitions, start=OFFSET_BEGINNING, **settings):
    """All records of each partition from start to its end: {partition: [Record, …]}."""
    found = consume_all(address, [TopicPartition(topic, p, start) for p in partitions], **settings)
    return {partition: records for (_, partition), records in found.items()}


def consume_all(address, assignment, **settings):
    """The same for partitions of several topics: {(topic, partition): [Record, …]}."""
    one = consumer(address, **settings)
    try:
        one.assign(assignment)
        found = {(each.topic, each.partition): [] for each in assignment}
        open_ones = set(found)
        while open_ones:
            for message in [one.poll(TIMEOUT_S), *one.consume(10000, 0)]:
                assert message is not None, f"nothing came from {open_ones}"
                place = message.topic(), message.partition()
                if not message.error():
                    found[place].append(to_record(message))
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    open_ones.discard(place)
                else:
                    raise AssertionError(message.error())
        return found
    finally:
        one.close()
