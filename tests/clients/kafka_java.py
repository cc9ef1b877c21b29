# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka's Java programs: its clients, its command line tools, and programs of ours that use
its classes. bench/kafka knows where the jars are and how the tools' classes are called."""

import os
import subprocess

import broker as harness

VERSIONS = ("3.9.1", "4.3.1")
# A small heap and the quick compiler only: these JVMs live for a second.
JVM_OPTIONS = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]

_kafka = harness.load_kafka()
tool_class = _kafka.tool_class


def java(version, *arguments, extra_path="", stdin=None, timeout=90):
    """Runs a class of that release; returns stdout and stderr. Its failure is the test's failure."""
    done = run(version, *arguments, extra_path=extra_path, stdin=stdin, timeout=timeout)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def run(version, *arguments, extra_path="", stdin=None, timeout=90):
    path = os.pathsep.join(filter(None, [extra_path, _kafka.classpath(version)]))
    return subprocess.run(["java", *JVM_OPTIONS, "-cp", path, *map(str, arguments)], text=True,
                          input=stdin if stdin is not None else "", capture_output=True,
                          timeout=timeout, check=False)


def tool(version, name, *arguments, stdin=None):
    """Runs a command line tool by the name of Kafka's script, as `kafka-topics`."""
    return java(version, tool_class(version, name), *arguments, stdin=stdin)[0]


def compile_java(version, source, directory):
    """Compiles one of the programs in java/ against that release; the folder of its classes."""
    subprocess.run(["javac", "-cp", _kafka.classpath(version), "-d", str(directory), str(source)],
                   check=True, timeout=90)
    return str(directory)
