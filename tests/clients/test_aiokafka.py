# SPDX-License-Identifier: Apache-2.0
"""aiokafka, which asks in old versions (Produce v7, Fetch v11, ApiVersions v0)."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

import librdkafka
from broker import fresh_topic
from records import BASE_TIME_MS, CODECS, Record, numbered, placed, plain, samples

TIMEOUT_S = 30



async def produce(address, topic, records, partition=0, codec="none", **settings):
    """Writes all records; returns their offsets as acknowledged."""
    producer = AIOKafkaProducer(bootstrap_servers=address,
                                compression_type=None if codec == "none" else codec, **settings)
    await producer.start()
    try:
        # Each send waits for room in a batch, not for the answer.
        sent = [await producer.send(topic, key=r.key, value=r.value, partition=partition,
                                    headers=list(r.headers), timestamp_ms=r.timestamp)
                for r in records]
        return [(await future).offset for future in sent]
    finally:
        await producer.stop()


async def consume(address, topic, partition, count, start=0):
    """The records from start on, until there are count."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=None,
                                enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition)])
        consumer.seek(TopicPartition(topic, partition), start)
        found = []
        while len(found) < count:
            m = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
            found.append(Record(m.key, m.value, tuple(m.headers), m.timestamp, m.offset))
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_keeps_every_record(broker, codec):
    topic, records = fresh_topic("aio-codec"), plain(samples())
    offsets = asyncio.run(produce(broker.address, topic, records, 1, codec))
    assert offsets == list(range(len(records)))
    assert asyncio.run(consume(broker.address, topic, 1, len(records))) == placed(records)
    assert librdkafka.consume(broker.address, topic, [1])[1] == placed(records)


@pytest.mark.parametrize("codec", CODECS)
def test_it_reads_what_librdkafka_wrote(broker, codec):
    topic, records = fresh_topic("aio-reads"), samples()
    librdkafka.produce(broker.address, topic, records, compression_type=codec)
    assert asyncio.run(consume(broker.address, topic, 0, 50, 10)) == placed(records)[10:]


@pytest.mark.parametrize("acks", [1, "all"])
def test_every_acks_keeps_every_record(broker, acks):
    topic, records = fresh_topic("aio-acks"), plain(samples(100))
    offsets = asyncio.run(produce(broker.address, topic, records, acks=acks))
    assert offsets == list(range(len(records)))
    assert asyncio.run(consume(broker.address, topic, 0, len(records))) == placed(records)


def test_an_idempotent_producer_and_a_record_of_900_kb(broker):
    topic = fresh_topic("aio-big")
    records = [Record(b"k", bytes([i]) * size, (), BASE_TIME_MS + i)
               for i, size in enumerate([10, 900_000, 20])]
    asyncio.run(produce(broker.address, topic, records, enable_idempotence=True))
    assert asyncio.run(consume(broker.address, topic, 0, 3)) == placed(records)


def test_offsets_of_begin_end_and_times(broker):
    topic, records = fresh_topic("aio-times"), numbered(50)

    async def ask():
        await produce(broker.address, topic, records)
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.address, group_id=None)
        await consumer.start()
        try:
            one = TopicPartition(topic, 0)
            return (await consumer.beginning_offsets([one]), await consumer.end_offsets([one]),
                    await consumer.offsets_for_times({one: BASE_TIME_MS + 20_500}), one)
        finally:
            await consumer.stop()

    begins, ends, times, one = asyncio.run(ask())
    assert (begins[one], ends[one]) == (0, 50)
    assert (times[one].offset, times[one].timestamp) == (21, BASE_TIME_MS + 21_000)
