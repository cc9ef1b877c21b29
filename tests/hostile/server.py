# SPDX-License-Identifier: Apache-2.0
"""An ottla-server of one's own: $OTTLA_SERVER, its lines on stderr, its memory."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

SERVING = re.compile(r"serving: .*?PLAINTEXT://[\w.]+:(\d+)")
DEADLINE_S = 30
TEST_MAX_S = 20
started = []  # servers: what a failed test leaves is ended by end_left_overs


class Server:
    def __init__(self, directory, overrides=None, file=None, wrapper=(), env=None):
        self.directory = pathlib.Path(directory)
        self.overrides = {"listeners": "PLAINTEXT://127.0.0.1:0",
                          "log.dirs": str(self.directory / "data"), **(overrides or {})}
        self.file, self.wrapper, self.env = file, wrapper, env
        self.process, self.port, self.lines = None, 0, []
        self.is_settled = threading.Event()

    def command(self):
        out = [*self.wrapper, os.environ["OTTLA_SERVER"]]
        if self.file is not None:
            out.append(str(self.file))
        for name, value in self.overrides.items():
            if value is not None:
                out += ["--override", f"{name}={value}"]
        return out

    def launch(self):
        """Starts it; settled when it serves or has ended."""
        self.lines, self.port = [], 0
        self.is_settled.clear()
        self.process = subprocess.Popen(
            self.command(), cwd=self.directory, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **(self.env or {})})
        started.append(self)
        self.reader = threading.Thread(target=self._read_lines, daemon=True)
        self.reader.start()
        assert self.is_settled.wait(DEADLINE_S), "neither serves nor ends:\n" + self.text()
        return self

    def start(self):
        self.launch()
        assert self.port, "does not serve:\n" + self.text()
        return self

    def _read_lines(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if found := SERVING.search(line):
                self.port = int(found.group(1))
                self.is_settled.set()
        self.is_settled.set()

    def text(self):
        return "\n".join(self.lines[-100:])

    def rss_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024

    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        """As an operator does: it goes in peace, and under LSan without leaks."""
        self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        assert status == 0, f"status {status} after SIGTERM:\n{self.text()}"

    def wait(self):
        try:
            status = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("it does not end:\n" + self.text()) from None
        self.reader.join()
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def end_left_overs():
    while started:
        server = started.pop()
        if server.is_running():
            server.kill()


def on_alarm(_number, _frame):
    raise TimeoutError("the test takes too long")


def run_tests(module):
    """Each function test_* of the module with a server directory of its own; exit status."""
    import tempfile
    import traceback

    failed = 0
    wanted = sys.argv[1:]
    for name, test in list(vars(module).items()):
        if not name.startswith("test_") or (wanted and name not in wanted):
            continue
        with tempfile.TemporaryDirectory(prefix="ottla-hostile-") as directory:
            try:
                signal.signal(signal.SIGALRM, on_alarm)
                signal.alarm(TEST_MAX_S)
                test(pathlib.Path(directory))
                print(f"ok   {name}", flush=True)
            except Exception:  # any failure is told, and the others run
                failed += 1
                print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
            signal.alarm(0)
            end_left_overs()
    return 1 if failed else 0
