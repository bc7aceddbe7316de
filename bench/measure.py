# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers, the loads put on them, and what these cost."""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import time

EXIT_ABSENT = 77
PATIENCE = 30
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


class Server:
    """A program that says on which port it listens, and what else it has to say."""

    def __init__(self, command, cores=None):
        if shutil.which(command[0]) is None:
            raise Absent(command[0])
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, bufsize=0, preexec_fn=settle_in(cores or SERVER_CORES)
        )
        line = self.read_line()
        if not line and self.process.wait() == EXIT_ABSENT:
            raise Absent(" ".join(command))
        self.port = line.split()[-1]
        # The clock of another process, as clock_getcpuclockid(3) makes it: what the scheduler
        # gave to all its threads, those that have ended too, in nanoseconds.
        self.clock = (~self.process.pid << 3) | 2

    def read_line(self):
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{self.process.args} says nothing")
        return self.process.stdout.readline().decode()

    def read_cpu_seconds(self):
        return time.clock_gettime(self.clock)

    def read_memory(self):
        """Returns the KiB that are this process's own, and its share of others."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def run_load(command):
    """Returns what a load says of itself. It says it also where answers were wrong."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, preexec_fn=settle_in(LOAD_CORES), timeout=PATIENCE
    )
    if done.returncode != 0:
        raise ChildProcessError(f"{command} failed: {done.stdout.decode()}")
    return json.loads(done.stdout)


class Echo:
    """Talkers who each have some messages under way, and hear each of them again."""

    def __init__(self, talkers, window, size=64, coalesced=False, under_way=256):
        self.talkers = talkers
        self.arguments = [f"--talkers={talkers}", f"--window={window}", f"--size={size}"]
        self.arguments += [f"--max-under-way={under_way}"]
        self.arguments += ["--coalesced"] if coalesced else []
        self.arguments += ["--spin"] if len(CORES) > 1 else []

    def run(self, programs, server, seconds, at_least=0):
        before = server.read_cpu_seconds()
        said = run_load(
            [f"{programs}/load", server.port, f"--seconds={seconds}", f"--at-least={at_least}"]
            + self.arguments
        )
        cost = server.read_cpu_seconds() - before
        return {
            "ns": cost * 1e9 / max(1, said["answers"]),
            "rate": said["answers"] / said["seconds"],
            "lost": said["lost"],
        }

    def warm_up(self, programs, server, seconds):
        self.run(programs, server, seconds, at_least=self.talkers)


class Lone:
    """One message at a time."""

    def run(self, programs, server, seconds):
        said = run_load([f"{programs}/lone", server.port, str(seconds)])
        return {"p50": said["p50"], "p99": said["p99"], "lost": said["lost"]}

    warm_up = run


class Stream:
    """As many messages as possible, one way. Each server has a sender of its own kind."""

    def run(self, programs, server, seconds):
        receiver = server.process.args[0]
        sent = run_load([receiver, "send", server.port, str(seconds)])
        received = json.loads(server.read_line())
        if received["bytes"] != received["messages"] * 64:
            raise ValueError(f"{receiver} received other messages than were sent")
        return {
            "rate": received["messages"] / sent["seconds"],
            "sent": sent["messages"] / sent["seconds"],
            "lost": sent["messages"] - received["messages"],
        }

    warm_up = run
