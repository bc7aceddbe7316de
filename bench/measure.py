# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers, the loads put on them, and what these cost."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import names

EXIT_ABSENT = 77
PATIENCE = 30
STREAM_SILENCE = 0.4
PR_SET_PDEATHSIG = 1

CORES = sorted(os.sched_getaffinity(0))
LOAD_CORES = CORES[:1]
SERVER_CORES = CORES[1:2] or CORES[:1]
WORKER_CORES = CORES[1:3] or CORES[:1]

libc = ctypes.CDLL(None)


class Absent(Exception):
    """A program that was not built, or an interpreter that is not installed."""


def settle_in(cores):
    """Makes a child stay on some cores, and end with this program."""

    def prepare():
        os.sched_setaffinity(0, cores)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


class Program:
    """A child that answers by lines."""

    def __init__(self, command, cores):
        if shutil.which(command[0]) is None:
            raise Absent(command[0])
        self.command = command
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            preexec_fn=settle_in(cores),
        )

    def can_read(self, patience=PATIENCE):
        return bool(select.select([self.process.stdout], [], [], patience)[0])

    def read_line(self):
        if not self.can_read():
            raise TimeoutError(f"{self.command} says nothing")
        return self.process.stdout.readline().decode()

    def ask(self, question):
        self.process.stdin.write(f"{question}\n".encode())
        line = self.read_line()
        if not line:
            raise ChildProcessError(f"{self.command} has ended")
        return json.loads(line)

    def stop(self):
        self.process.terminate()
        self.process.communicate()


class Server(Program):
    """A program that says on which port it listens."""

    def __init__(self, command, cores=None):
        super().__init__(command, cores or SERVER_CORES)
        line = self.read_line()
        if not line and self.process.wait() == EXIT_ABSENT:
            self.stop()
            raise Absent(" ".join(command))
        self.port = line.split()[-1]
        # The clock of another process, as clock_getcpuclockid(3) makes it: what the scheduler
        # gave to all its threads, those that have ended too, in nanoseconds.
        self.clock = (~self.process.pid << 3) | 2

    def read_cpu_seconds(self):
        return time.clock_gettime(self.clock)

    def read_memory(self):
        """Returns the KiB that are this process's own, and its share of others."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


class Echo:
    """Talkers who each have some messages under way, and hear each of them again."""

    def __init__(self, talkers, window, size=64, coalesced=False, under_way=256):
        self.talkers = talkers
        self.options = [f"--talkers={talkers}", f"--window={window}", f"--size={size}"]
        self.options += [f"--max-under-way={under_way}"]
        self.options += ["--coalesced"] if coalesced else []
        self.options += ["--spin"] if len(CORES) > 1 else []

    def begin(self, programs, server):
        return Program([f"{programs}/load", server.port] + self.options, LOAD_CORES)

    def run(self, load, server, seconds, at_least=1):
        """A round goes on until there is an answer, since a cost per message needs one."""
        before = server.read_cpu_seconds()
        said = load.ask(f"{seconds} {at_least}")
        cost = server.read_cpu_seconds() - before
        if said["wrong"] > 0:
            raise ValueError(f"{server.command} gave {said['wrong']} wrong answers")
        return {
            "ns": cost * 1e9 / said["answers"],
            "rate": said["answers"] / said["seconds"],
            "lost": said["lost"],
        }

    def warm_up(self, load, server, seconds):
        """Lets everyone speak, so that a server that remembers knows them all."""
        self.run(load, server, seconds, self.talkers)


class Lone:
    """One message at a time."""

    def begin(self, programs, server):
        return Program([f"{programs}/lone", server.port], LOAD_CORES)

    def run(self, load, server, seconds):
        said = load.ask(seconds)
        return {"p50": said["p50"], "p99": said["p99"], "lost": said["lost"]}

    warm_up = run


class Stream:
    """As many messages as possible, one way. Each server has a sender of its own kind."""

    def begin(self, programs, server):
        return Program([server.command[0], "send", server.port], LOAD_CORES)

    def run(self, load, server, seconds):
        sent = load.ask(seconds)
        received, late = 0, 0
        while server.can_read(STREAM_SILENCE):
            said = json.loads(server.read_line())
            received += said["messages"]
            late = max(late, said.get("tick_p99", 0))
            if said["bytes"] != said["messages"] * 64:
                raise ValueError(f"{server.command} received other messages than were sent")
        return {
            "rate": received / sent["seconds"],
            "sent": sent["messages"] / sent["seconds"],
            "lost": sent["messages"] - received,
            "tick": late,
        }

    warm_up = run


class Nobody:
    """The load of a program that is its own."""

    def stop(self):
        pass


class Peers:
    """One message to many receivers, again and again. The program itself is asked to send."""

    def begin(self, programs, server):
        return Nobody()

    def run(self, load, server, seconds):
        before = server.read_cpu_seconds()
        said = server.ask(seconds)
        cost = server.read_cpu_seconds() - before
        return {
            "ns": cost * 1e9 / said["messages"],
            "rate": said["messages"] / said["seconds"],
        }

    warm_up = run


class Queries:
    """The queries that dnsperf keeps under way."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile("w", prefix="queries-")
        self.file.write(names.write_queries())
        self.file.flush()

    def stop(self):
        self.file.close()


class Dns:
    """dnsperf as 16 clients, who have so many queries under way together."""

    def __init__(self, under_way=100):
        self.options = ["-c", "16", "-q", str(under_way), "-t", "1"]

    def begin(self, programs, server):
        if shutil.which("dnsperf") is None:
            raise Absent("dnsperf")
        return Queries()

    def run(self, queries, server, seconds):
        command = ["dnsperf", "-s", "127.0.0.1", "-p", server.port, "-d", queries.file.name]
        # In less time than that it may not get a single answer.
        command += ["-l", str(max(seconds, 0.02)), *self.options]
        before = server.read_cpu_seconds()
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, preexec_fn=settle_in(LOAD_CORES)
        )
        cost = server.read_cpu_seconds() - before
        said = dict(re.findall(r"^  ([A-Z][a-z ]*)(?: \(s\))?: +([0-9.]+)", done.stdout, re.MULTILINE))
        if re.search(r"codes: .*(SERVFAIL|REFUSED|FORMERR|NOTIMP)", done.stdout):
            raise ValueError(f"{server.command} gave wrong answers: {done.stdout}")
        return {
            "ns": cost * 1e9 / int(said["Queries completed"]),
            "rate": float(said["Queries per second"]),
            "lost": int(said["Queries lost"]),
        }

    warm_up = run
