# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests here: each test has a broker of its own in a directory of its own."""

import os

import pytest

import broker as harness


def end(broker):
    """A broker that still runs must stop cleanly, whatever the test did to it."""
    if broker.is_running():
        broker.stop()


@pytest.fixture
def broker(tmp_path, request):
    """A started broker. A running one named by $BROKER serves, if the test needs no more."""
    wanted = os.environ.get("BROKER", "")
    if wanted and not wanted.startswith("kafka-"):
        one = harness.RunningBroker(wanted)
    else:
        one = harness.new_broker(tmp_path / "broker").start()
    request.node.broker = one
    yield one
    end(one)


@pytest.fixture
def make_broker(tmp_path, request):
    """Makes started brokers that the test may stop, kill and start again."""
    if ":" in os.environ.get("BROKER", ""):
        pytest.skip("a broker that is not ours cannot be restarted")
    made = []

    def make(name="broker", **overrides):
        one = harness.new_broker(tmp_path / name, **overrides)
        made.append(one)
        request.node.broker = one
        return one.start()

    yield make
    for one in made:
        end(one)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows what its broker said."""
    report = yield
    broker = getattr(item, "broker", None)
    if report.failed and broker is not None:
        report.sections.append(("broker", broker.stderr()))
    return report
