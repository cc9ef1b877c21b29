# SPDX-License-Identifier: Apache-2.0
"""What confluent-kafka (librdkafka) writes, it reads again: contents, order, offsets, times."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

import librdkafka
from broker import PARTITION_COUNT, fresh_topic
from records import BASE_TIME_MS, CODECS, Record, placed, samples


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("idempotent", [False, True])
def test_every_codec_keeps_every_record(broker, codec, idempotent):
    topic, records = fresh_topic("codec"), samples()
    offsets = librdkafka.produce(broker.address, topic, records, compression_type=codec,
                                 enable_idempotence=idempotent)
    assert offsets == list(range(len(records)))
    assert librdkafka.consume(broker.address, topic, [0])[0] == placed(records)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_acks_keeps_every_record(broker, acks):
    topic, records = fresh_topic("acks"), samples(200)
    librdkafka.produce(broker.address, topic, [Record(None, b"first")], acks="all")
    offsets = librdkafka.produce(broker.address, topic, records, acks=acks)
    if acks == "0":
        # Nothing told us that they were appended: a later request on another connection does not
        # either, so watch the end of the partition.
        wait_for_end(broker.address, topic, 0, len(records) + 1)
    else:
        assert offsets == list(range(1, len(records) + 1))
    found = librdkafka.consume(broker.address, topic, [0], 1)[0]
    assert found == placed(records, 1)


def wait_for_end(address, topic, partition, offset):
    """Returns when a reader that waits in Fetch has seen the record before offset."""
    one = librdkafka.consumer(address)
    one.assign([TopicPartition(topic, partition, offset - 1)])
    while True:
        message = one.poll(librdkafka.TIMEOUT_S)
        assert message is not None, f"{topic} does not reach offset {offset}"
        if not message.error():
            assert message.offset() == offset - 1
            one.close()
            return


def test_partitions_do_not_mix(broker):
    topic = fresh_topic("partitions")
    written = {}
    for partition in range(PARTITION_COUNT):
        written[partition] = [Record(b"%d" % partition, b"%d-%d" % (partition, i), (), BASE_TIME_MS)
                              for i in range(100 + partition)]
        librdkafka.produce(broker.address, topic, written[partition], partition)
    found = librdkafka.consume(broker.address, topic, range(PARTITION_COUNT))
    assert found == {p: placed(records) for p, records in written.items()}


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_record_of_900_kb(broker, codec):
    topic = fresh_topic("big")
    value = bytes((i * 7919) >> 3 & 255 for i in range(900_000))
    records = [Record(b"small", b"before", (), 1), Record(b"big", value, (), 2),
               Record(b"small", b"after", (), 3)]
    librdkafka.produce(broker.address, topic, records, compression_type=codec)
    assert librdkafka.consume(broker.address, topic, [0])[0] == placed(records)


def test_many_batches_in_flight_keep_their_order(broker):
    topic = fresh_topic("order")
    records = [Record(b"k", b"%d" % i, (), BASE_TIME_MS + i) for i in range(20000)]
    librdkafka.produce(broker.address, topic, records, enable_idempotence=True, linger_ms=0,
                       batch_num_messages=50)
    assert librdkafka.consume(broker.address, topic, [0])[0] == placed(records)


def test_reading_from_the_middle(broker):
    topic, records = fresh_topic("middle"), samples(50)
    librdkafka.produce(broker.address, topic, records)
    for start in (1, 25, 49, 50):
        assert librdkafka.consume(broker.address, topic, [0], start)[0] == placed(records)[start:]


def test_a_small_fetch_size_still_gets_everything(broker):
    topic, records = fresh_topic("small-fetch"), samples(200)
    librdkafka.produce(broker.address, topic, records, batch_num_messages=20)
    found = librdkafka.consume(broker.address, topic, [0], fetch_message_max_bytes=1000,
                               fetch_max_bytes=1000, message_max_bytes=1000)
    assert found[0] == placed(records)


def test_an_offset_beyond_the_end_is_refused(broker):
    topic = fresh_topic("beyond")
    librdkafka.produce(broker.address, topic, samples(5))
    with pytest.raises(AssertionError, match="_AUTO_OFFSET_RESET|OFFSET_OUT_OF_RANGE"):
        librdkafka.consume(broker.address, topic, [0], 6)


def test_offsets_by_time_and_watermarks(broker):
    topic, records = fresh_topic("times"), samples(100)
    librdkafka.produce(broker.address, topic, records, batch_num_messages=10)
    one = librdkafka.consumer(broker.address)

    def offset_at(time_ms):
        found, = one.offsets_for_times([TopicPartition(topic, 0, time_ms)],
                                       timeout=librdkafka.TIMEOUT_S)
        assert found.error is None
        return found.offset

    assert offset_at(BASE_TIME_MS - 1) == 0
    assert offset_at(BASE_TIME_MS + 41_000) == 41
    assert offset_at(BASE_TIME_MS + 41_001) == 42
    assert offset_at(BASE_TIME_MS + 99_001) == -1  # no such record: the end
    assert one.get_watermark_offsets(TopicPartition(topic, 0), librdkafka.TIMEOUT_S) == (0, 100)
    assert one.get_watermark_offsets(TopicPartition(topic, 1), librdkafka.TIMEOUT_S) == (0, 0)
    one.close()


def test_metadata_names_this_broker(broker):
    topic = fresh_topic("metadata")
    librdkafka.produce(broker.address, topic, samples(1))
    metadata = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=30)
    (broker_id, node), = metadata.brokers.items()
    assert (node.host, node.port) == (broker.host, broker.port)
    assert metadata.controller_id == broker_id
    assert len(metadata.cluster_id) == 22
    found = metadata.topics[topic]
    assert sorted(found.partitions) == list(range(PARTITION_COUNT))
    assert all(p.leader == broker_id and p.replicas == [broker_id] and p.isrs == [broker_id]
               for p in found.partitions.values())


def test_a_waiting_reader_gets_a_record_at_once(broker):
    """Fetch parks at the end of the log and is answered by the append, not by its time limit."""
    topic = fresh_topic("waiting")
    librdkafka.produce(broker.address, topic, [Record(None, b"0")])
    one = librdkafka.consumer(broker.address, fetch_wait_max_ms=20000)
    one.assign([TopicPartition(topic, 0, 1)])
    assert one.poll(0.5) is None  # long enough to get there and wait; if it is not, no harm is done
    librdkafka.produce(broker.address, topic, [Record(None, b"1")])
    message = one.poll(10)
    assert message is not None and message.value() == b"1"
    one.close()
