# SPDX-License-Identifier: Apache-2.0
"""Proves that a broker which cannot start says so in one line that names cause and remedy, ends with
a status other than 0, and leaves the data as it was: afterwards the broker starts on it again."""

import os
import re
import shutil
import socket
import sys
import time

import wire
from server import Server, run_tests


def refused(server, *wanted):
    """It ends with status 1 and one ERROR line in which all of these occur."""
    server.launch()
    assert not server.port, "it serves:\n" + server.text()
    status = server.wait()
    errors = [line for line in server.lines if line.startswith("ERROR")]
    assert status == 1, f"status {status}:\n{server.text()}"
    assert len(errors) == 1, f"{len(errors)} lines of errors:\n{server.text()}"
    for text in wanted:
        assert re.search(text, errors[0]), f"no '{text}' in: {errors[0]}"


def filled(directory):
    """A data directory with one record, stopped clean."""
    server = Server(directory).start()
    wire.create_topic(server.port, "kept")
    with wire.Connection(server.port) as conn:
        conn.ask(wire.produce("kept", 0, wire.batch([b"precious"])))
    server.stop()
    return directory / "data"


def still_there(directory):
    server = Server(directory).start()
    with wire.Connection(server.port) as conn:
        answer = conn.ask(wire.request(wire.FETCH, 4, {
            "MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": "kept", "Partitions": [
                {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]}]}))
    assert b"precious" in answer
    server.stop()


def with_override(directory, **overrides):
    return Server(directory, {name.replace("_", "."): value for name, value in overrides.items()})


def test_settings_file(directory):
    refused(Server(directory, file=directory / "none"), "none: no such file", "name a file")
    (directory / "binary").write_bytes(b"\0\xff" * 100)
    refused(Server(directory, file=directory / "binary"), "text file")


def test_unknown_setting_is_told_with_the_nearest(directory):
    server = with_override(directory, log_retention_hour="3").start()
    server.stop()
    warnings = [line for line in server.lines if line.startswith("WARN")]
    assert len(warnings) == 1 and "did you mean log.retention.hours?" in warnings[0], server.text()


def test_bad_values(directory):
    refused(with_override(directory, log_retention_hours="abc"), "abc is not allowed", "default is 168")
    refused(with_override(directory, num_partitions="0"), "from 1 to")
    refused(with_override(directory, listeners="PLAINTEXT:/x"), "listeners")


def test_refused_settings(directory):
    refused(with_override(directory, zookeeper_connect="localhost:2181"), "not served yet", "remove")
    refused(with_override(directory, listeners="SSL://127.0.0.1:0"), "SSL", "only PLAINTEXT is")
    refused(with_override(directory, max_connections_per_ip_overrides="127.0.0.1:5"),
            "not served yet", "remove")


def test_port_in_use(directory):
    filled(directory)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(with_override(directory, listeners=f"PLAINTEXT://127.0.0.1:{port}"),
                f"127.0.0.1:{port}", "in use", "choose another")
    still_there(directory)


def test_unusable_log_directory(directory):
    (directory / "file").write_bytes(b"x")
    refused(with_override(directory, log_dirs=directory / "file"), "not a directory", "check log.dirs")
    refused(with_override(directory, log_dirs=directory / "file/below"), "cannot be used", "check log")
    assert (directory / "file").read_bytes() == b"x"


def test_directory_without_permission(directory):
    data = filled(directory)
    wrapper = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            return
        wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        directory.chmod(0o755)
    data.chmod(0o500)
    refused(Server(directory, wrapper=wrapper), "permi|allowed|denied", "check|owner")
    data.chmod(0o755)
    still_there(directory)


def test_second_broker_on_the_directory(directory):
    filled(directory)
    first = Server(directory).start()
    refused(Server(directory), "locked", "stop that process")
    assert wire.answers_metadata(first.port)
    first.stop()
    still_there(directory)


def test_directory_of_another_broker(directory):
    filled(directory)
    refused(with_override(directory, broker_id=7), "broker id is 7 .* but 1 in", "set broker.id")
    still_there(directory)


def test_directory_of_another_cluster(directory):
    meta = filled(directory) / "meta.properties"
    before = meta.read_text(encoding="utf-8")
    meta.write_text(re.sub(r"cluster.id=.*", "cluster.id=AAAAAAAAAAAAAAAAAAAAAA", before),
                    encoding="utf-8")
    refused(Server(directory), "belongs to cluster", "put")
    meta.write_text(before, encoding="utf-8")
    still_there(directory)


def test_damaged_meta_properties(directory):
    meta = filled(directory) / "meta.properties"
    before = meta.read_bytes()
    for damaged in (b"", b"\0" * 80, b"version=9\nbroker.id=1\n", b"version=x\n"):
        meta.write_bytes(damaged)
        refused(Server(directory), "meta.properties", "restore|newer")
        assert meta.read_bytes() == damaged
    meta.write_bytes(before)
    still_there(directory)


def test_damaged_store(directory):
    store = filled(directory) / "ottla.mdb"
    before = store.read_bytes()
    for damaged in (b"\xa5" * len(before), before[:len(before) // 2], b"garbage"):
        store.write_bytes(damaged)
        refused(Server(directory), "ottla.mdb", "restore it from a backup")
    store.write_bytes(before)
    still_there(directory)


def test_lost_store_is_read_only(directory):
    """What is on disk is served, nothing is made up in place of what is lost."""
    data = filled(directory)
    (data / "ottla.mdb").rename(directory / "away")
    server = Server(directory).start()
    errors = [line for line in server.lines if line.startswith("ERROR")]
    assert len(errors) == 1 and "restore it from a backup" in errors[0], server.text()
    wire.create_topic(server.port, "new")
    server.stop()
    assert not (data / "new-0").exists()
    (directory / "away").rename(data / "ottla.mdb")
    still_there(directory)


def test_too_few_descriptors(directory):
    refused(Server(directory, wrapper=["prlimit", "--nofile=100:100"]), "RLIMIT_NOFILE", "raise")


def test_signal_at_once(directory):
    """SIGTERM with the line that says it serves, and while logs are loaded, is a clean stop."""
    server = Server(directory).start()
    wire.create_topic(server.port, "many", partitions=200)
    with wire.Connection(server.port) as conn:
        for partition in range(200):
            conn.ask(wire.produce("many", partition, wire.batch([b"x"])))
    server.kill()
    for delay_s in (0, 0.005, 0.02):
        server = Server(directory).start()
        time.sleep(delay_s)  # no wait for anything: it is to be hit at different places
        server.stop()


if __name__ == "__main__":
    sys.exit(run_tests(sys.modules[__name__]))
