# SPDX-License-Identifier: Apache-2.0
"""What bench/run and bench/floor-check share: brokers, the load generator, and the three exact
measures that a busy machine hardly disturbs (instructions, system calls, allocations)."""

import importlib.machinery
import importlib.util
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent


class Failure(Exception):
    """A run that did not end as it should; its figures do not exist."""


def _kafka_script():
    loader = importlib.machinery.SourceFileLoader("bench_kafka", str(HERE / "kafka"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("bench_kafka", loader))
    loader.exec_module(module)
    return module


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of all its threads, to the nanosecond (the process's CPU clock)."""
    return time.clock_gettime((~pid << 3) | 2)


class Broker:
    """One that runs already; only where it listens and, for CPU and memory, its pid is known."""

    managed = False

    def __init__(self, name, host, port, pid=None):
        self.name, self.host, self.port, self.pid = name, host, port, pid

    def address(self):
        return f"{self.host}:{self.port}"

    def is_java(self):
        try:
            return pathlib.Path(f"/proc/{self.pid}/comm").read_text().startswith("java")
        except OSError:
            return False

    def stop(self):
        pass


class ManagedBroker(Broker):
    """One that the driver starts, stops and kills, with a data directory of its own."""

    managed = True

    def __init__(self, name, folder, wrapper=(), environment=None):
        super().__init__(name, "127.0.0.1", free_port())
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=folder))
        self.wrapper, self.environment, self.child = list(wrapper), environment, None
        self.started_ns = None
        self.prepared = None

    def command(self):
        raise NotImplementedError

    def spawn(self):
        """Starts it without waiting; started_ns is the moment before exec."""
        if self.prepared is None:
            self.prepared = self.wrapper + self.command()
        with open(self.directory / "output.log", "ab") as output:
            self.started_ns = time.monotonic_ns()
            self.child = subprocess.Popen(
                self.prepared, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **(self.environment or {})})
        self.pid = self.child.pid

    def start(self, timeout=120):
        self.spawn()
        deadline = time.monotonic() + timeout
        while not self.answers():
            if self.child.poll() is not None or time.monotonic() > deadline:
                tail = (self.directory / "output.log").read_text(errors="replace")[-2000:]
                self.stop()
                raise Failure(f"{self.name} does not answer:\n{tail}")
            time.sleep(0.02)
        return self

    def answers(self):
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as connection:
                connection.sendall(bytes.fromhex("0000000a 0012 0000 00000001 ffff"))
                return len(connection.recv(8)) > 0
        except OSError:
            return False

    def halt(self, kill=False, timeout=120):
        """Ends the process, keeps the directory."""
        if self.child is None:
            return
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child = None

    def stop(self):
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)


class Ottla(ManagedBroker):
    def __init__(self, program, folder, overrides=(), **more):
        super().__init__("ottla", folder, **more)
        self.program, self.overrides = program, overrides

    def command(self):
        config = self.directory / "server.properties"
        config.write_text(f"listeners=PLAINTEXT://127.0.0.1:{self.port}\n"
                          f"log.dirs={self.directory / 'data'}\n")
        (self.directory / "data").mkdir(exist_ok=True)
        options = [part for pair in self.overrides for part in ("--override", pair)]
        return [str(self.program), str(config), *options]


class Floor(ManagedBroker):
    def __init__(self, program, folder, **more):
        super().__init__("floor", folder, **more)
        self.program = program

    def command(self):
        return [str(self.program), "-d", str(self.directory), "-p", str(self.port)]


class Kafka(ManagedBroker):
    def __init__(self, version, folder, **more):
        super().__init__(f"kafka-{version}", folder, **more)
        self.version = version

    def command(self):
        return _kafka_script().prepare(self.version, self.directory, self.port)


def touch_memory(gigabytes):
    """Makes free memory quick to get, for the page cache of the run that follows at once.

    A virtual machine that gives free memory back to its host pays for a page again when it is
    next used: ten times what writing to it costs. Pages just released are the first to be reused.
    """
    free = 0
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemFree:"):
            free = int(line.split()[1]) * 1024
    size = min(int(gigabytes * 2**30), free // 2) // mmap.PAGESIZE * mmap.PAGESIZE
    if size > 0:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        mmap.mmap(-1, size, flags=flags).close()


class Load:
    """The load generator."""

    def __init__(self, program):
        self.program = str(program)

    def command(self, case, broker, options, pid=True):
        known = ["--pid", str(broker.pid)] if pid and broker.pid else []
        return [self.program, case, "--broker", broker.address(), *known,
                *(str(option) for option in options)]

    def __call__(self, case, broker, *options, pid=True, timeout=900):
        done = subprocess.run(self.command(case, broker, options, pid), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise Failure(f"{case} against {broker.name}: {done.stderr.strip()}")
        return json.loads(done.stdout)


def requests_of(result):
    return result.get("produce_requests", 0) + result.get("fetch_requests", 0)


def per_request(measure, requests_small, requests_large):
    """The slope between two runs: what is paid once (start, connection, topic) cancels out."""
    small, large = measure(requests_small), measure(requests_large)
    return (large - small) / (requests_large - requests_small)


def instructions_per_request(make_broker, load, case, options, requests=(500, 2500)):
    """User-space instructions, counted by callgrind in a broker made for each run."""
    def measure(count):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "callgrind.out"
            broker = make_broker(["valgrind", "--tool=callgrind", "--quiet",
                                  f"--callgrind-out-file={out}"])
            try:
                broker.start()
                load(case, broker, *options, "--requests", count, "--seconds", 300, pid=False)
                broker.halt()
                return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(),
                                     re.MULTILINE).group(1))
            finally:
                broker.stop()
    return per_request(measure, *requests)


def system_calls_per_request(broker, load, case, options, requests):
    """{name: calls per request}, and "all", counted by strace while the load runs."""
    with tempfile.NamedTemporaryFile("r") as out:
        tracer = subprocess.Popen(
            ["strace", "-c", "-f", "-o", out.name, "-p", str(broker.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            tracer.stderr.readline()  # "Process … attached"
            result = load(case, broker, *options, "--requests", requests, "--seconds", 60)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
        calls = {}
        for line in out:
            field = line.split()
            if len(field) >= 5 and field[0][0].isdigit() and field[3].isdigit():
                name = "all" if field[-1] == "total" else field[-1]
                calls[name] = int(field[3]) / requests_of(result)
        return calls


def allocations_per_request(make_broker, load, library, case, options, requests=(2000, 12000)):
    """Calls of malloc and its kin, counted by a preloaded library in a warm broker."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        broker = make_broker({"LD_PRELOAD": str(library), "OTTLA_ALLOCATIONS": file.name})
        try:
            broker.start()
            load(case, broker, *options, "--requests", requests[1], "--seconds", 60)
            with mmap.mmap(file.fileno(), 8) as count:
                def measure(number):
                    before = int.from_bytes(count[:8], sys.byteorder)
                    load(case, broker, *options, "--requests", number, "--seconds", 60)
                    return int.from_bytes(count[:8], sys.byteorder) - before
                return per_request(measure, *requests)
        finally:
            broker.stop()
