# SPDX-License-Identifier: LGPL-2.1-or-later

"""Measures what privacy costs: the library beside GnuTLS by hand, in turns, each on one processor.

    python3 bench/dtls.py --programs=DIRECTORY [--quick] [--rounds=N]

Prints three tables: the processor time of an echo, that of a handshake, and the memory of a
session. Of each, the median of the rounds.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile

SERVERS = ("dtls-easyservers", "dtls-gnutls")
SIZES = (64, 1200)
TICK = os.sysconf("SC_CLK_TCK")


def make_certificate(directory):
    paths = os.path.join(directory, "certificate.pem"), os.path.join(directory, "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    command += ["-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    return paths


def pin(processor):
    """Gives what has a program run on one processor, if there are several."""
    available = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {available[processor % len(available)]})


class Server:
    def __init__(self, programs, name, certificate):
        self.process = subprocess.Popen(
            [os.path.join(programs, name), *certificate],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pin(0),
        )
        self.port = re.search(r"\d+", self.process.stdout.readline())[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cpu(self):
        """Gives the processor time so far, in seconds."""
        with open(f"/proc/{self.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9

    def memory(self):
        """Gives the memory that is its own, in bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"RssAnon:\s+(\d+)", file.read())[1]) * 1024


class Load:
    def __init__(self, programs, server, *arguments):
        self.process = subprocess.Popen(
            [os.path.join(programs, "dtls-load"), server.port, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pin(1),
        )

    def read(self):
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure_echo(options, server, size):
    """Gives microseconds of the server's processor for a message."""
    load = Load(options.programs, server, "echo", 16, size, 16, options.seconds)
    load.read()
    before = server.cpu()
    n_echoed = int(load.read())
    used = server.cpu() - before
    load.end()
    return used / max(n_echoed, 1) * 1e6


def measure_handshakes(options, server):
    """Gives handshakes a second, of time, and of the server's processor time."""
    load = Load(options.programs, server, "handshakes", options.handshakes, 200)
    before = server.cpu()
    seconds = float(load.read())
    used = server.cpu() - before
    load.end()
    return options.handshakes / seconds, options.handshakes / max(used, 1e-6)


def measure_memory(options, server):
    """Gives bytes of memory for a session."""
    warm = Load(options.programs, server, "hold", 8)
    warm.read()
    before = server.memory()
    load = Load(options.programs, server, "hold", options.sessions)
    load.read()
    used = server.memory() - before
    load.end()
    warm.end()
    return used / options.sessions


def collect(options, certificate, measure, *arguments):
    """Gives the rounds' results of each server, in turns."""
    results = {name: [] for name in SERVERS}
    for _ in range(options.rounds):
        for name in SERVERS:
            with Server(options.programs, name, certificate) as server:
                results[name].append(measure(options, server, *arguments))
    return results


def median(results, name, pick=lambda result: result):
    return statistics.median(pick(result) for result in results[name])


def report(options, certificate):
    print("| echo, AES-128-GCM | library | by hand | ratio |\n|---|---|---|---|")
    for size in SIZES:
        results = collect(options, certificate, measure_echo, size)
        ours, theirs = (median(results, name) for name in SERVERS)
        what = f"{size} bytes, µs of a processor"
        print(f"| {what} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")
    results = collect(options, certificate, measure_handshakes)
    print("\n| handshakes, 200 at a time | library | by hand | ratio |\n|---|---|---|---|")
    for index, what in enumerate(("a second", "a second of a processor")):
        ours, theirs = (median(results, name, lambda result: result[index]) for name in SERVERS)
        print(f"| {what} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |")
    results = collect(options, certificate, measure_memory)
    ours, theirs = (median(results, name) / 1000 for name in SERVERS)
    print("\n| memory | library | by hand | ratio |\n|---|---|---|---|")
    print(f"| kB a session | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", default="bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.seconds, options.handshakes, options.sessions = 2, 500, 1000
    if options.quick:
        options.rounds, options.seconds, options.handshakes, options.sessions = 1, 0.05, 20, 20
    with tempfile.TemporaryDirectory() as directory:
        report(options, make_certificate(directory))


main()
