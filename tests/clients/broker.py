# SPDX-License-Identifier: Apache-2.0
"""Starts, stops and kills a broker for a test, and waits for it without ever sleeping blindly.

ottla-server is $OTTLA_SERVER. The same tests run against another broker, to learn what is true:
BROKER=host:port names a running one, BROKER=kafka-4.3.1 lets each test start that Apache Kafka.
"""

import csv
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("OTTLA_CACHE") or ROOT / ".cache")
SERVING = re.compile(r"serving: .*?PLAINTEXT://([\w.]+):(\d+)")
DEADLINE_S = 30
# Topics that no test created beforehand get so many partitions.
PARTITION_COUNT = 4


def load_kafka():
    """bench/kafka as a module: it knows how to fetch and configure Apache Kafka."""
    loader = importlib.machinery.SourceFileLoader("kafka_of_bench", str(ROOT / "bench/kafka"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def fresh_topic(purpose):
    """A name that no earlier test used: a running broker named by $BROKER keeps its topics."""
    return f"{purpose}-{uuid.uuid4().hex[:8]}"


def serves(*apis):
    """Whether the broker serves them all yet, as schemas/apis.tsv says; Apache Kafka does."""
    if os.environ.get("BROKER"):
        return True
    with open(ROOT / "schemas/apis.tsv", encoding="utf-8") as table:
        served = {row["name"] for row in csv.DictReader(table, delimiter="\t")
                  if row["served"] == "yes"}
    return served.issuperset(apis)


class Broker:
    """One ottla-server with its data in directory/data. Restarts keep data and port."""

    def __init__(self, directory, **overrides):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "data"
        self.data.mkdir(exist_ok=True)
        self.overrides = {"num.partitions": PARTITION_COUNT, **overrides}
        if "EVENT_LOOPS" in os.environ:
            self.overrides["event.loops"] = os.environ["EVENT_LOOPS"]
        self.host, self.port = "127.0.0.1", 0
        self.process = self.reader = None
        self.lines = []
        self.serving = threading.Event()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def command(self):
        settings = {"listeners": f"PLAINTEXT://{self.host}:{self.port}", "log.dirs": self.data,
                    **{name.replace("_", "."): value for name, value in self.overrides.items()}}
        # The broker ends with the test, also when the test is killed.
        command = ["setpriv", "--pdeathsig", "KILL", os.environ["OTTLA_SERVER"]]
        for name, value in settings.items():
            command += ["--override", f"{name}={value}"]
        return command

    def spawn(self):
        """Starts the process without waiting for anything."""
        self.serving.clear()
        self.process = subprocess.Popen(self.command(), cwd=self.directory, text=True,
                                        errors="replace", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read_lines, args=[self.process], daemon=True)
        self.reader.start()

    def start(self):
        self.spawn()
        if not self.serving.wait(DEADLINE_S) or not self.port:
            self.kill()
            raise AssertionError("the broker does not serve:\n" + self.stderr())
        return self

    def read_lines(self, process):
        for line in process.stderr:
            self.lines.append(line)
            if found := SERVING.search(line):
                self.port = int(found.group(2))
                self.serving.set()
        self.serving.set()  # it ended: nobody is to wait for it any longer

    def stop(self):
        """Ends it as an operator does; it must go in peace."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the broker does not stop:\n" + self.stderr()) from None
        self.reader.join()
        assert status == 0, f"status {status} after SIGTERM:\n{self.stderr()}"
        self.process = None

    def kill(self):
        """SIGKILL: what the broker acknowledged is in the page cache and must be there again."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process = None

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stderr(self):
        return "".join(self.lines[-200:])


class KafkaBroker(Broker):
    """Apache Kafka under the same harness; .data and restarts work alike, only slower."""

    def __init__(self, directory, version, zookeeper=False, **overrides):
        super().__init__(directory, **overrides)
        self.kafka = load_kafka()
        self.version, self.zookeeper = version, zookeeper
        self.controller_port = None

    def command(self):
        if not self.port:
            self.port = self.kafka.free_port()
            self.controller_port = self.kafka.free_port()
        overrides = [f"{name.replace('_', '.')}={value}" for name, value in self.overrides.items()]
        return self.kafka.prepare(self.version, self.directory, self.port,
                                  other_port=self.controller_port, heap="512m",
                                  zookeeper=self.zookeeper, overrides=overrides)

    def spawn(self):
        self.process = subprocess.Popen(self.command(), cwd=self.directory, text=True,
                                        errors="replace", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.process.stderr = self.process.stdout
        self.reader = threading.Thread(target=self.read_lines, args=[self.process], daemon=True)
        self.reader.start()

    def start(self):
        self.spawn()
        deadline = time.monotonic() + 60
        while not self.kafka.answers(self.port):
            if not self.is_running() or time.monotonic() > deadline:
                self.kill()
                raise AssertionError("Apache Kafka does not serve:\n" + self.stderr())
            time.sleep(0.1)
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)  # Java ends with 143 when all went well
        self.reader.join()
        self.process = None

    def end_zookeeper(self):
        self.kafka.end(self.directory / "zookeeper.pid", b"ZooKeeperServerMain")


class RunningBroker:
    """The broker that $BROKER names. It is not ours: we neither start nor stop it."""

    data = None

    def __init__(self, address):
        self.address = address
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)

    def is_running(self):
        return False  # none of ours

    def stderr(self):
        return ""


def new_broker(directory, **overrides):
    """An unstarted broker of the kind that $BROKER asks for."""
    wanted = os.environ.get("BROKER", "")
    if wanted.startswith("kafka-"):
        return KafkaBroker(directory, wanted.removeprefix("kafka-"), **overrides)
    return Broker(directory, **overrides)
