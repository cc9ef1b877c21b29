# SPDX-License-Identifier: Apache-2.0
"""kill -9 again and again while an idempotent producer writes and a reader follows.

What was acknowledged is there afterwards, once, in order and where the acknowledgement said, and the
reader never saw anything else. A killed process leaves the page cache to the kernel, so this holds
with ack.durability=pagecache; a power cut is for other tests. HAMMER_KILLS and HAMMER_SEED repeat one run."""

import os
import random
import threading
import time

import confluent_kafka

import librdkafka
from broker import PARTITION_COUNT, fresh_topic

KILLS = int(os.environ.get("HAMMER_KILLS", "5"))
SEED = int(os.environ.get("HAMMER_SEED") or random.SystemRandom().randrange(1 << 32))
VALUE_SIZE = 1000


def value_of(partition, number):
    return b"%d:%d:" % (partition, number) + b"%08x" % (number * 2654435761 % 2**32) * (VALUE_SIZE // 8)


class Writer(threading.Thread):
    """Writes numbered records to all partitions in turn until told to end."""

    def __init__(self, address, topic, codec):
        super().__init__()
        self.topic = topic
        self.producer = librdkafka.producer(
            address, enable_idempotence=True, compression_type=codec, linger_ms=1,
            message_timeout_ms=120_000, batch_num_messages=20, queue_buffering_max_messages=1000,
            retry_backoff_ms=10, retry_backoff_max_ms=50, reconnect_backoff_ms=5,
            reconnect_backoff_max_ms=50)
        self.sent = [0] * PARTITION_COUNT
        self.acknowledged = [[] for _ in range(PARTITION_COUNT)]  # offsets by number
        self.acknowledged_count = 0
        self.progress = threading.Condition()
        self.errors = []
        self.ending = threading.Event()

    def delivered(self, error, message):
        with self.progress:
            if error is not None:
                self.errors.append(error)
            else:
                self.acknowledged[message.partition()].append(message.offset())
                self.acknowledged_count += 1
            self.progress.notify()

    def run(self):
        turn = 0
        while not self.ending.is_set():
            partition = turn % PARTITION_COUNT
            try:
                self.producer.produce(self.topic, value_of(partition, self.sent[partition]),
                                      partition=partition, on_delivery=self.delivered)
                self.sent[partition] += 1
                turn += 1
                self.producer.poll(0)
            except BufferError:
                self.producer.poll(0.1)
            except confluent_kafka.KafkaException as fatal:  # records were lost or reordered
                with self.progress:
                    self.errors.append(fatal)
                    self.progress.notify()
                return
        self.producer.flush(60)

    def wait_for(self, count):
        """Until so many more records are acknowledged: the broker works again, under load."""
        with self.progress:
            wanted = self.acknowledged_count + count
            done = self.progress.wait_for(
                lambda: self.acknowledged_count >= wanted or self.errors, 60)
        assert done and not self.errors, f"no progress; {self.errors[:3]}"

    def end(self):
        self.ending.set()
        self.join(90)
        assert not self.is_alive(), "records stay unacknowledged"
        assert not self.errors, self.errors[:3]


class Reader(threading.Thread):
    """Follows all partitions; remembers how far each one went as it should."""

    def __init__(self, address, topic):
        super().__init__()
        self.consumer = librdkafka.consumer(
            address, enable_partition_eof=False, reconnect_backoff_ms=5,
            reconnect_backoff_max_ms=50, fetch_error_backoff_ms=10)
        self.consumer.assign([confluent_kafka.TopicPartition(topic, p, 0)
                              for p in range(PARTITION_COUNT)])
        self.seen = [0] * PARTITION_COUNT
        self.errors = []
        self.ending = threading.Event()

    def run(self):
        while not self.ending.is_set():
            for message in self.consumer.consume(1000, 0.1):
                self.check(message)
        self.consumer.close()

    def check(self, message):
        if message.error():
            # Connections that break are what we ask for; all else is not.
            if not message.error().retriable() and message.error().code() not in (
                    confluent_kafka.KafkaError._TRANSPORT,
                    confluent_kafka.KafkaError._ALL_BROKERS_DOWN):
                self.errors.append(message.error())
            return
        partition, expected = message.partition(), self.seen[message.partition()]
        if message.offset() != expected or message.value() != value_of(partition, expected):
            self.errors.append((partition, expected, message.offset(), message.value()[:40]))
        self.seen[partition] = message.offset() + 1

    def end(self):
        self.ending.set()
        self.join(30)
        assert not self.errors, self.errors[:3]


def kill_once(broker, dice):
    """Kills it; now and then also while it recovers from that."""
    broker.kill()
    while dice.random() < 0.3:
        broker.spawn()
        time.sleep(dice.random() * 0.03)  # a moment of its start, not a wait for something
        broker.kill()
    broker.start()


def test_what_was_acknowledged_survives(make_broker):
    print(f"HAMMER_SEED={SEED}")
    dice = random.Random(SEED)
    broker = make_broker(log_segment_bytes=1 << 20)
    topic = fresh_topic("hammer")
    writer = Writer(broker.address, topic, dice.choice(["none", "zstd"]))
    writer.start()
    try:
        writer.wait_for(1)
        reader = Reader(broker.address, topic)
        reader.start()
        for _ in range(KILLS):
            writer.wait_for(dice.randrange(1, 2000))
            kill_once(broker, dice)
    finally:
        writer.end()
    reader.end()
    for partition in range(PARTITION_COUNT):
        sent = writer.sent[partition]
        assert writer.acknowledged[partition] == list(range(sent)), f"partition {partition}"
        found = librdkafka.consume(broker.address, topic, [partition])[partition]
        assert len(found) == sent
        for number, record in enumerate(found):
            assert (record.offset, record.value) == (number, value_of(partition, number))
