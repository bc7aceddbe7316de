#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Some names, the queries about them, and DNS servers that answer: names.py PROGRAM

The program is dns-server of the examples, or knotd. It serves the names with one worker, and stands in this
process's place; its port is told in a line, as all servers here do it."""

import os
import pathlib
import shutil
import socket
import sys
import tempfile
import time

EXIT_ABSENT = 77
PATIENCE = 10
N_HOSTS = 1000
ORIGIN = "bench.example"

HOSTS = [(f"host{i}", f"10.0.{i >> 8}.{i & 255}", f"2001:db8::{i:x}") for i in range(N_HOSTS)]

KNOT = """
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: "{directory}"
zone:
  - domain: {origin}
    storage: "{directory}"
    file: zone
"""


def write_hosts():
    return "".join(f"{a} {name}.{ORIGIN}\n{aaaa} {name}.{ORIGIN}\n" for name, a, aaaa in HOSTS)


def write_zone():
    head = f"$ORIGIN {ORIGIN}.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 3600 3600 3600\n@ NS ns\nns A 127.0.0.1\n"
    return head + "".join(f"{name} A {a}\n{name} AAAA {aaaa}\n" for name, a, aaaa in HOSTS)


def write_queries():
    """Two for each host, and one for each tenth that there is not."""
    lines = []
    for i, (name, _, _) in enumerate(HOSTS):
        lines += [f"{name}.{ORIGIN} A\n", f"{name}.{ORIGIN} AAAA\n"]
        lines += [f"no-{name}.{ORIGIN} A\n"] if i % 10 == 0 else []
    return "".join(lines)


def become_ours(program):
    """The file has no name, and so goes with the process."""
    file = os.memfd_create("hosts", 0)
    os.write(file, write_hosts().encode())
    os.execv(program, [program, "--hosts", f"/proc/self/fd/{file}", "--port", "0"])


def pick_port():
    """A port that is free for both transports now, and is nobody's soon after: knotd wants a number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, socket.socket() as other:
        probe.bind(("127.0.0.1", 0))
        other.bind(probe.getsockname())
        return probe.getsockname()[1]


def is_answered(port):
    query = bytes(5) + b"\1" + bytes(6) + b"\5bench\7example\0" + b"\0\6\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        client.connect(("127.0.0.1", port))
        try:
            client.send(query)
            # One answer record, so that the zone has been read.
            return client.recv(512)[6:8] == b"\0\1"
        except OSError:
            return False


def settle(process):
    """Has all threads run where they were told to: knotd picks a core for each by itself."""
    for thread in os.listdir(f"/proc/{process}/task"):
        os.sched_setaffinity(int(thread), os.sched_getaffinity(0))


def attend(port, directory, life):
    """Tells the port as soon as knotd answers there, and cleans up when it has ended."""
    end = time.monotonic() + PATIENCE
    while not is_answered(port) and time.monotonic() < end:
        time.sleep(0.02)
    settle(os.getppid())
    os.write(1, f"Listening on port {port}\n".encode())
    for file in (0, 1, 2):
        os.close(file)
    os.read(life, 1)
    shutil.rmtree(directory)
    os._exit(0)


def become_knot(program):
    directory = tempfile.mkdtemp(prefix="knot-")
    port = pick_port()
    config = pathlib.Path(directory, "knot.conf")
    config.write_text(KNOT.format(directory=directory, port=port, origin=ORIGIN))
    pathlib.Path(directory, "zone").write_text(write_zone())
    # What is read here ends when the program has.
    life, of_program = os.pipe()
    if os.fork() == 0:
        os.close(of_program)
        attend(port, directory, life)
    os.set_inheritable(of_program, True)
    os.dup2(2, 1)
    os.execv(program, [program, "--config", str(config)])


def main():
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin"
    program = shutil.which(sys.argv[1], path=path)
    if program is None:
        return EXIT_ABSENT
    become = become_knot if os.path.basename(program) == "knotd" else become_ours
    return become(program)


if __name__ == "__main__":
    sys.exit(main())
