# SPDX-License-Identifier: Apache-2.0
"""Kafka's console producer and consumer of both releases, each reading what the other wrote."""

import pytest

import kafka_java
import librdkafka
from broker import fresh_topic
from records import Record


def produce(version, address, topic, lines, *arguments):
    kafka_java.tool(version, "kafka-console-producer", "--bootstrap-server", address,
                    "--topic", topic, "--property", "parse.key=true", "--property",
                    "key.separator=|", "--property", "parse.headers=true", *arguments,
                    stdin="".join(f"h:{i},g:x\t{line}\n" for i, line in enumerate(lines)))


def consume(version, address, topic, partition, count, start="earliest"):
    out = kafka_java.tool(version, "kafka-console-consumer", "--bootstrap-server", address,
                          "--topic", topic, "--partition", partition, "--offset", start,
                          "--max-messages", count, "--timeout-ms", "30000",
                          *[word for name in ("key", "headers", "offset", "partition")
                            for word in ("--property", f"print.{name}=true")])
    return [line for line in out.splitlines() if not line.startswith("Option --property is")]


@pytest.mark.parametrize("writer, reader", [("3.9.1", "4.3.1"), ("4.3.1", "3.9.1")])
def test_what_one_writes_the_other_reads(broker, writer, reader):
    topic = fresh_topic("console")
    lines = [f"one key|line {i} {'ü' * i}" for i in range(100)]
    produce(writer, broker.address, topic, lines, "--compression-codec", "lz4")
    # One key goes to one partition; to which one, the client's hash says.
    (partition, _), = [item for item in ends(writer, broker, topic).items() if item[1] != "0"]
    found = consume(reader, broker.address, topic, partition, 60, start=5)
    assert found == [f"Partition:{partition}\tOffset:{i}\th:{i},g:x\t{line.replace('|', chr(9))}"
                     for i, line in enumerate(lines)][5:65]


def ends(version, broker, topic, *arguments):
    """{partition: offset} as kafka-get-offsets prints them."""
    out = kafka_java.tool(version, "kafka-get-offsets", "--bootstrap-server", broker.address,
                          "--topic", topic, *arguments)
    return dict(line.split(":")[1:] for line in out.splitlines())


@pytest.mark.parametrize("version", kafka_java.VERSIONS)
def test_get_offsets_by_time(broker, version):
    topic = fresh_topic("get-offsets")
    times = [1000, 5000, 3000, 5000, 2000]
    records = [Record(b"k", b"v", (), time) for time in times]
    librdkafka.produce(broker.address, topic, records, 1)

    def at(time):
        return ends(version, broker, topic, "--partitions", "0,1", "--time", time)

    assert at("latest") == {"0": "0", "1": "5"}
    assert at("earliest") == {"0": "0", "1": "0"}
    assert at("3500")["1"] == "1"
    assert at("max-timestamp")["1"] == "1"  # the first of those with the largest time
