# SPDX-License-Identifier: Apache-2.0
"""Kafka's own Java clients, the oldest and the newest release that we promise to serve."""

import pathlib

import pytest

import kafka_java
from broker import fresh_topic

CHECKS = [*(codec + extra for codec in ("none", "gzip", "snappy", "lz4", "zstd")
            for extra in ("", " idempotent")),
          "acks 0", "acks 1", "acks all", "order", "big record", "offsets and times", "seek",
          "cluster"]


@pytest.mark.parametrize("version", kafka_java.VERSIONS)
def test_what_it_writes_it_reads(broker, tmp_path, version):
    """java/RoundTrip.java compares; here only that it made every check."""
    source = pathlib.Path(__file__).parent / "java/RoundTrip.java"
    classes = kafka_java.compile_java(version, source, tmp_path)
    out, _ = kafka_java.java(version, "RoundTrip", broker.address, fresh_topic("java"),
                             extra_path=classes)
    assert out.splitlines() == [f"ok {name}" for name in CHECKS]
