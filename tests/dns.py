# SPDX-License-Identifier: LGPL-2.1-or-later

"""Asks dns-server by dig and dnsperf, and by raw sockets what these would never ask.

Each test is a function whose documentation is its name in the TAP output. Nothing here waits for
a time to pass: every wait is for a condition, and only a failed one takes DEADLINE seconds. Where
ES_TEST_LONG is set, a million random and mutated queries are sent.
"""

import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True

import ports

DEADLINE = 30
BUILT = os.path.join(os.environ.get("abs_top_builddir", "."), "examples")
WRAPPER = os.environ.get("ES_TEST_WRAPPER", "").split()
N_STRANGE = 1000000 if "ES_TEST_LONG" in os.environ else 20000

# How many addresses fit in 512 bytes together with the question, and in what EDNS asks for.
MANY = 40
HOSTS = """
# The whole line is a comment.
127.0.0.1 localhost
192.0.2.1\tWeb.Example.COM www.example.com web # and a comment behind it
2001:db8::1 web.example.com
192.0.2.1 namesake.example.com
192.0.2.1 namesake.example.com
  192.0.2.2   indented.example.com\t \r
192.0.2.3 dotted.example.com.
::ffff:192.0.2.4 mapped.example.com
192.0.2.5 deep.below.nothing.else
192.0.2.6 a-b_c.1.example.com
""" + "".join(f"198.51.100.{i + 1} many.example.com\n" for i in range(MANY))

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, OPT, IXFR, AXFR, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 41, 251, 252, 255
IN, CH, ANY_CLASS = 1, 3, 255
NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 3, 4, 5, 16
TYPES = {"A": A, "AAAA": AAAA, "PTR": PTR, "SOA": SOA}


class Skip(Exception):
    """A test cannot be done on this host."""


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_equal(got, expected):
    check(got == expected, f"expected {expected!r}, got {got!r}")


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        check(time.monotonic() < end, f"waited in vain until {what()}")
        time.sleep(0.01)


# Messages


def write_name(name):
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode("latin-1") for label in labels) + b"\0"


def write_opt(size=4096, version=0, flags=0, options=b"", name=b"\0"):
    return name + struct.pack("!HHBBHH", OPT, size, 0, version, flags, len(options)) + options


def write_query(name, kind=A, group=IN, identity=0x1234, flags=0x0100, opt=b"", counts=None):
    """@name may be bytes, which are taken as they are."""
    name = name if isinstance(name, bytes) else write_name(name)
    counts = counts or (1, 0, 0, 1 if opt else 0)
    head = struct.pack("!HHHHHH", identity, flags, *counts)
    return head + name + struct.pack("!HH", kind, group) + opt


class Reader:
    """Reads a message, and trusts nothing in it."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        check(self.at + size <= len(self.data), f"the answer ends early: {self.data!r}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def name(self):
        labels, back, jumps = [], None, 0
        while True:
            length = self.number(1)
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | self.number(1)
                jumps += 1
                check(jumps < 10, "pointers lead in a circle")
                back = self.at if back is None else back
                self.at = target
            elif length == 0:
                break
            else:
                check(length < 64, f"a label has {length} bytes")
                labels.append(self.take(length).decode("latin-1"))
        self.at = self.at if back is None else back
        return ".".join(labels) + "."

    def data_of(self, kind, size):
        end = self.at + size
        if kind == A:
            check_equal(size, 4)
            value = socket.inet_ntop(socket.AF_INET, self.take(4))
        elif kind == AAAA:
            check_equal(size, 16)
            value = socket.inet_ntop(socket.AF_INET6, self.take(16))
        elif kind == PTR:
            value = self.name()
        elif kind == SOA:
            value = (self.name(), self.name(), *[self.number(4) for _ in range(5)])
        else:
            value = self.take(size)
        check_equal(self.at, end)
        return value

    def record(self):
        name, kind, group, ttl, size = (
            self.name(), self.number(2), self.number(2), self.number(4), self.number(2)
        )
        return name, kind, group, ttl, self.data_of(kind, size)


class Answer:
    """What a message says: every byte of it has a meaning."""

    def __init__(self, data):
        reader = Reader(data)
        self.size = len(data)
        self.identity, flags = reader.number(2), reader.number(2)
        self.is_response, self.opcode = flags >> 15, flags >> 11 & 15
        self.aa, self.tc, self.rd, self.ra = (flags >> bit & 1 for bit in (10, 9, 8, 7))
        self.reserved, self.rcode = flags >> 4 & 7, flags & 15
        counts = [reader.number(2) for _ in range(4)]
        self.questions = [(reader.name(), reader.number(2), reader.number(2)) for _ in range(counts[0])]
        self.answers, self.authorities, more = [[reader.record() for _ in range(n)] for n in counts[1:]]
        check_equal(reader.at, len(data))
        check(all(record[1] == OPT for record in more), f"more than OPT: {more}")
        check(len(more) < 2, "there are several OPTs")
        self.opt = more[0] if more else None
        if self.opt:
            self.rcode |= self.opt[3] >> 24 << 4

    def values(self, kind=None):
        return [record[4] for record in self.answers if kind in (None, record[1])]


class Asker:
    """A socket that is connected to the server."""

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((host, port))

    def ask_bytes(self, query):
        self.socket.send(query)
        return self.socket.recv(65536)

    def ask(self, *arguments, **more):
        query = write_query(*arguments, **more)
        answer = Answer(self.ask_bytes(query))
        check_equal((answer.identity, answer.is_response), (0x1234, 1))
        check_equal((answer.ra, answer.reserved), (0, 0))
        return answer

    def check_is_silent(self, message):
        """Tells by what is surely answered that nothing was sent to us before that."""
        self.socket.send(message)
        check_equal(self.ask("web").values(), ["192.0.2.1"])


# The program


def command(*arguments):
    path = os.path.join(BUILT, "dns-server")
    if not os.access(path, os.X_OK):
        raise Skip("dns-server was not built")
    return [*WRAPPER, path, *arguments]


class Server:
    """The program, with a hosts file of its own."""

    started = []

    def __init__(self, hosts, *arguments):
        self.hosts = tempfile.NamedTemporaryFile("w", prefix="hosts-")
        self.rewrite(hosts)
        self.log = tempfile.TemporaryFile()
        line = command("--hosts", self.hosts.name, "--port", "0", *arguments)
        self.process = subprocess.Popen(line, stdout=self.log, stderr=subprocess.STDOUT)
        Server.started.append(self.process)
        self.wait_for("Listening on port ")
        self.port = int(re.search(r"Listening on port (\d+)\n", self.read_log())[1])

    def rewrite(self, hosts):
        self.hosts.seek(0)
        self.hosts.truncate()
        self.hosts.write(hosts)
        self.hosts.flush()

    def read_log(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_for(self, text, n=1):
        wait_until(
            lambda: self.read_log().count(text) >= n or self.process.poll() is not None,
            lambda: f"{text!r} is there {n} times: {self.read_log()}",
        )
        check(self.process.poll() is None, f"it has ended: {self.read_log()}")

    def hang_up(self):
        n = self.read_log().count("\n")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.read_log().count("\n") > n, lambda: f"it says more: {self.read_log()}")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        check_equal(self.process.wait(DEADLINE), 0)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.end()
        self.hosts.close()


def run_program(*arguments):
    """Gives status and output of a program that ends by itself."""
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False
    )
    return done.returncode, done.stdout


def dig(server, *arguments):
    if shutil.which("dig") is None:
        raise Skip("dig is not there")
    line = ["dig", "+tries=1", f"+timeout={DEADLINE}", "+ignore", "-p", str(server.port), "@127.0.0.1"]
    status, output = run_program(*line, *arguments)
    check_equal(status, 0)
    check("Warning" not in output and "malformed" not in output.lower(), output)
    return output


def check_dig(server, expected, *arguments):
    check_equal(dig(server, "+short", *arguments).split(), expected)


def check_dig_status(server, status, flags, *arguments):
    """Checks the status, and the flags but for those that dig itself sets."""
    output = dig(server, *arguments)
    check_equal(re.search(r"status: (\w+)", output)[1], status)
    check_equal(re.search(r"flags: ([a-z ]*);", output)[1], flags)
    return output


# What dig asks


def test_dig_a(server):
    """dig: A"""
    check_dig(server, ["192.0.2.1"], "www.example.com")
    check_dig_status(server, "NOERROR", "qr aa rd", "www.example.com")


def test_dig_aaaa(server):
    """dig: AAAA"""
    check_dig(server, ["2001:db8::1"], "web.example.com", "AAAA")


def test_dig_ptr(server):
    """dig: PTR, of IPv4 and IPv6"""
    check_dig(server, ["Web.Example.COM."], "-x", "192.0.2.1")
    check_dig(server, ["web.example.com."], "-x", "2001:db8::1")
    check_dig(server, ["localhost."], "-x", "127.0.0.1")


def test_dig_nxdomain(server):
    """dig: NXDOMAIN, with the SOA record that says how long"""
    output = check_dig_status(server, "NXDOMAIN", "qr aa rd", "nobody.example.com")
    check(re.search(r"^\.\s+3600\s+IN\s+SOA\s", output, re.M), output)


def test_dig_nodata(server):
    """dig: NODATA, with the SOA record that says how long"""
    output = check_dig_status(server, "NOERROR", "qr aa rd", "www.example.com", "AAAA")
    check("ANSWER: 0, AUTHORITY: 1" in output, output)
    check(re.search(r"^\.\s+3600\s+IN\s+SOA\s", output, re.M), output)


def test_dig_edns(server):
    """dig: EDNS is answered with EDNS, the bit for DNSSEC as it was, and an option ignored"""
    for options, said in (
        (("+bufsize=1232",), "EDNS: version: 0, flags:; udp: 4096"),
        (("+dnssec",), "EDNS: version: 0, flags: do; udp: 4096"),
        (("+nsid", "+cookie", "+subnet=192.0.2.0/24", "+ednsopt=65001:abcd"), "EDNS: version: 0, flags:; udp: 4096"),
    ):
        output = check_dig_status(server, "NOERROR", "qr aa rd", "web.example.com", *options)
        check(said in output, output)
    check("EDNS:" not in dig(server, "+noedns", "web.example.com"), "EDNS was not asked for")


def test_dig_badvers(server):
    """dig: BADVERS to another version of EDNS"""
    output = check_dig_status(server, "BADVERS", "qr rd", "+edns=1", "+noednsneg", "web.example.com")
    check("EDNS: version: 0" in output, output)


def test_dig_tc(server):
    """dig: TC where the answer has no room, and all of it where it has"""
    check_dig_status(server, "NOERROR", "qr aa tc rd", "+noedns", "many.example.com")
    check_dig_status(server, "NOERROR", "qr aa tc rd", "+bufsize=512", "many.example.com")
    check_dig_status(server, "NOERROR", "qr aa rd", "+bufsize=1232", "many.example.com")
    check_equal(len(dig(server, "+short", "+bufsize=1232", "many.example.com").split()), MANY)


def test_dig_formerr(server):
    """dig: FORMERR to a query with no question"""
    check_dig_status(server, "FORMERR", "qr rd", "+header-only")


def test_dig_notimp(server):
    """dig: NOTIMP to what is no query, and to zone transfers"""
    for opcode in ("iquery", "status", "notify", "update", "15"):
        check_dig_status(server, "NOTIMP", "qr rd", f"+opcode={opcode}", "web.example.com")
    check_dig_status(server, "NOTIMP", "qr rd", "web.example.com", "-t", "TYPE253")


def test_dig_refused(server):
    """dig: REFUSED to another class"""
    check_dig_status(server, "REFUSED", "qr rd", "-c", "CH", "-t", "TXT", "version.bind")


def test_dig_case(server):
    """dig: case is kept in the answer, and ignored in the question"""
    output = dig(server, "+noall", "+answer", "wEb.eXample.cOM")
    check_equal(output.split(), ["wEb.eXample.cOM.", "3600", "IN", "A", "192.0.2.1"])


# The file


def test_hosts_names(server):
    """hosts: aliases, blanks, comments, dots at the end and mapped addresses"""
    asker = Asker(server.port)
    for name, expected in (
        ("web", ["192.0.2.1"]),
        ("www.example.com", ["192.0.2.1"]),
        ("indented.example.com", ["192.0.2.2"]),
        ("dotted.example.com", ["192.0.2.3"]),
        ("a-b_c.1.example.com", ["192.0.2.6"]),
        ("many.example.com", None),
        ("comment", []),
        ("and", []),
    ):
        answer = asker.ask(name, opt=write_opt())
        check_equal(answer.values(A), expected if expected is not None else answer.values())
        check_equal(answer.rcode, NXDOMAIN if expected == [] else NOERROR)
    check_equal(asker.ask("mapped.example.com", AAAA).values(), ["::ffff:192.0.2.4"])


def test_hosts_twice(server):
    """hosts: what stands there twice is answered once, and an address has its first name"""
    asker = Asker(server.port)
    check_equal(asker.ask("namesake.example.com").values(), ["192.0.2.1"])
    check_equal(asker.ask("1.2.0.192.in-addr.arpa", PTR).values(), ["Web.Example.COM."])


def test_hosts_bad_lines(server):
    """hosts: a line that cannot be served is told by its number, and the others are served"""
    hosts = "300.1.1.1 no-address\n192.0.2.1 good.example a..b also.good\nnonsense\n"
    hosts += f"192.0.2.2 {'x' * 64}.example\n192.0.2.3 {'.'.join(['x' * 63] * 4)}\n192.0.2.4 esc\\046aped\n192.0.2.5\n"
    with Server(hosts) as own:
        log = own.read_log()
        for number in (1, 2, 4, 5, 6):
            check_equal(log.count(f"{own.hosts.name}:{number}: "), 1)
        check_equal(log.count(f"{own.hosts.name}:"), 5)
        asker = Asker(own.port)
        check_equal(asker.ask("good.example").values(), ["192.0.2.1"])
        check_equal(asker.ask("also.good").values(), ["192.0.2.1"])
        for name in ("no-address", "esc.aped", "esc"):
            check_equal(asker.ask(name).rcode, NXDOMAIN)


def test_hosts_longest(server):
    """hosts: the longest name there can be is served, and has its PTR record"""
    longest = ".".join(["x" * 63] * 3 + ["y" * 61])
    with Server(f"192.0.2.1 {longest}\n") as own:
        asker = Asker(own.port)
        check_equal(asker.ask(longest).values(), ["192.0.2.1"])
        check_equal(asker.ask("1.2.0.192.in-addr.arpa", PTR).values(), [longest + "."])


def test_hosts_empty(server):
    """hosts: of an empty file nothing exists but the root"""
    with Server("") as own:
        asker = Asker(own.port)
        check_equal(asker.ask("localhost").rcode, NXDOMAIN)
        check_equal([asker.ask(".").rcode, asker.ask(".", SOA).values()[0][0]], [NOERROR, "."])


def test_hosts_sighup(server):
    """SIGHUP: the file is read again, and what is no more in it is gone"""
    for workers in ("1", "2"):
        with Server("192.0.2.1 old.example\n192.0.2.2 both.example\n", "--workers", workers) as own:
            asker = Asker(own.port)
            own.rewrite("192.0.2.3 both.example\n192.0.2.4 new.example\n")
            check_equal(asker.ask("both.example").values(), ["192.0.2.2"])
            own.hang_up()
            check_equal(asker.ask("old.example").rcode, NXDOMAIN)
            check_equal(asker.ask("both.example").values(), ["192.0.2.3"])
            check_equal(asker.ask("new.example").values(), ["192.0.2.4"])


def test_hosts_sighup_in_vain(server):
    """SIGHUP: where the file cannot be read, that is told and the names stay"""
    with Server("192.0.2.1 name.example\n") as own:
        hidden = own.hosts.name + ".hidden"
        os.rename(own.hosts.name, hidden)
        own.hang_up()
        os.rename(hidden, own.hosts.name)
        check("No such file" in own.read_log(), own.read_log())
        check_equal(Asker(own.port).ask("name.example").values(), ["192.0.2.1"])


def test_hosts_sighup_asked(server):
    """SIGHUP: whoever asks meanwhile is answered from one file or the other"""
    with Server("192.0.2.1 name.example\n", "--workers", "2") as own:
        askers = [Asker(own.port) for _ in range(8)]
        for turn in range(200):
            own.process.send_signal(signal.SIGHUP)
            check_equal(askers[turn % 8].ask("name.example").values(), ["192.0.2.1"])


# Answers


def test_answer_question(server):
    """The question comes back as it was asked, with its identity"""
    for name, kind, group in (("wEb", A, IN), ("nObody", MX, IN), ("a.B", A, CH)):
        answer = Asker(server.port).ask(name, kind, group)
        check_equal(answer.questions, [(name + ".", kind, group)])


def test_answer_nodata(server):
    """NODATA to types that a name does not have, known or not"""
    asker = Asker(server.port)
    for kind in (NS, CNAME, SOA, MX, TXT, AAAA, PTR, 0, 99, 127, 256, 257, 65280, 65535):
        answer = asker.ask("www.example.com", kind)
        check_equal((answer.rcode, answer.aa, answer.answers), (NOERROR, 1, []))
        check_equal([record[:4] for record in answer.authorities], [(".", SOA, IN, 3600)])
        check_equal(answer.authorities[0][4][-1], 3600)


def test_answer_empty_names(server):
    """NODATA to names that are only part of others (RFC 8020), and NXDOMAIN below all of them"""
    asker = Asker(server.port)
    for name in (".", "com", "example.com", "else", "nothing.else", "arpa", "0.192.in-addr.arpa"):
        check_equal((name, asker.ask(name).rcode), (name, NOERROR))
    for name in ("x.web.example.com", "xample.com", "om", "x.below.nothing.else", "192.in-addr"):
        check_equal((name, asker.ask(name).rcode), (name, NXDOMAIN))


def test_answer_any(server):
    """ANY: all records of a name"""
    answer = Asker(server.port).ask("web.example.com", ANY)
    check_equal(sorted(answer.values()), ["192.0.2.1", "2001:db8::1"])


def test_answer_root(server):
    """The root has the SOA record"""
    answer = Asker(server.port).ask(".", SOA)
    check_equal([record[:4] for record in answer.answers], [(".", SOA, IN, 3600)])
    check_equal(answer.authorities, [])


def test_answer_class(server):
    """Class ANY is answered without authority, others are refused"""
    asker = Asker(server.port)
    answer = asker.ask("web", A, ANY_CLASS)
    check_equal((answer.rcode, answer.aa, answer.values()), (NOERROR, 0, ["192.0.2.1"]))
    for group in (0, 2, CH, 4, 254, 256, 257, 65535):
        answer = asker.ask("web", A, group)
        check_equal((answer.rcode, answer.aa, answer.answers), (REFUSED, 0, []))


def test_answer_meta_types(server):
    """NOTIMP to types that are questions of their own kind"""
    for kind in (OPT, 128, 249, 250, IXFR, AXFR, 253, 254):
        check_equal(Asker(server.port).ask("web", kind).rcode, NOTIMP)


def test_answer_flags(server):
    """Whether recursion was desired comes back, no other flag does"""
    asker = Asker(server.port)
    for flags in (0x0000, 0x0100, 0x0400, 0x0200, 0x0080, 0x0070, 0x07FF, 0x000F):
        answer = asker.ask("web", flags=flags)
        check_equal((answer.rd, answer.rcode), (flags >> 8 & 1, NOERROR))
        check_equal((answer.aa, answer.tc), (1, 0))


def test_answer_strange_names(server):
    """A name of any bytes is looked up as it is"""
    asker = Asker(server.port)
    for name in (b"\3a\0b\0", b"\7web.exa\0", b"\3\xff\xfe\xfd\0", b"\1 \0", b"\3web\1\0\0", b"\1.\0"):
        check_equal((name, asker.ask(name).rcode), (name, NXDOMAIN))


def test_answer_longest_name(server):
    """A name of 255 bytes is one, of 256 it is none"""
    asker = Asker(server.port)
    for last, expected in ((61, NXDOMAIN), (62, FORMERR)):
        name = (b"\77" + b"x" * 63) * 3 + bytes([last]) + b"x" * last + b"\0"
        check_equal(asker.ask(name).rcode, expected)


def test_answer_over_ipv6(server):
    """Who asks by IPv6 is answered"""
    try:
        asker = Asker(server.port, "::1")
    except OSError:
        raise Skip("the host has no ::1") from None
    check_equal(asker.ask("web").values(), ["192.0.2.1"])


# Sizes


def test_size_limits(server):
    """No answer is larger than asked for, at every size, and none is cut without need"""
    asker = Asker(server.port)
    whole = asker.ask("many.example.com", opt=write_opt())
    check_equal((whole.tc, len(whole.values())), (0, MANY))
    for size in [0, 1, 11, 511, 512, 513, whole.size - 1, whole.size, whole.size + 1, 4096, 65535]:
        answer = asker.ask("many.example.com", opt=write_opt(size))
        check(answer.size <= max(size, 512), f"{answer.size} bytes where {size} were asked for")
        check_equal(answer.tc, 0 if size >= whole.size else 1)
        check(answer.opt is not None, "OPT is missing")


def test_size_without_edns(server):
    """Without EDNS, 512 bytes are the limit, and all of them are used"""
    n_fit = (512 - 12 - len(write_name("x.example")) - 4) // 16
    hosts = "".join(f"10.0.0.{i} x.example y.example\n" for i in range(n_fit))
    with Server(hosts + "10.0.1.1 y.example\n") as own:
        asker = Asker(own.port)
        fits, cut = asker.ask("x.example"), asker.ask("y.example")
        check_equal((fits.tc, len(fits.values())), (0, n_fit))
        check(cut.tc == 1 and cut.size <= 512, f"{cut.size} bytes")


def test_size_largest(server):
    """No answer is larger than 4096 bytes"""
    hosts = "".join(f"10.0.{i >> 8}.{i & 255} crowd\n" for i in range(2000))
    with Server(hosts) as own:
        asker = Asker(own.port)
        for size, least in ((4096, 4000), (65535, 4000), (512, 480)):
            answer = asker.ask("crowd", opt=write_opt(size))
            check_equal(answer.tc, 1)
            check(least < answer.size <= min(size, 4096), f"{answer.size} bytes where {size} were asked for")


# What cannot be read


def test_bad_queries(server):
    """FORMERR to what cannot be read"""
    asker = Asker(server.port)
    good = write_query("web.example.com")
    record = b"\xc0\x0c" + struct.pack("!HHIH", A, IN, 0, 4) + bytes(4)
    bad = [good[:size] for size in range(12, len(good))]
    bad += [good + b"x", good + record, write_query("web", opt=write_opt())[:-1], write_query("web", opt=write_opt() + b"x")]
    bad += [write_query("web", counts=counts) for counts in ((0, 0, 0, 0), (2, 0, 0, 0), (1, 0, 0, 1), (1, 1, 0, 0), (65535, 65535, 65535, 65535))]
    bad += [write_query("web", opt=write_query("web")[12:], counts=(2, 0, 0, 0))]
    bad += [write_query(name) for name in (b"\xc0\x0c", b"\xc0\x00", b"\xc0", b"\3web\xc0\x0c", b"\x40a\0", b"\x80\0", b"\3we")]
    bad += [write_query("web", opt=write_opt() * 2, counts=(1, 0, 0, 2))]
    bad += [write_query("web", opt=write_opt(name=write_name("web")))]
    bad += [write_query("web", opt=record[:-1], counts=(1, 0, 0, 1))]
    options = (b"x", b"\0\x03\0", b"\0\x03\0\1", b"\0\x03\0\1xy", b"\0\x03\0\0\0\x03", b"\0\x03\xff\xff")
    bad += [write_query("web", opt=write_opt(options=option)) for option in options]
    for query in bad:
        answer = Answer(asker.ask_bytes(query))
        check_equal((query, answer.rcode), (query, FORMERR))
        check_equal((answer.aa, answer.answers, answer.authorities), (0, [], []))


def test_more_records(server):
    """Records besides OPT that a query has are let pass"""
    record = b"\xc0\x0c" + struct.pack("!HHIH", A, IN, 0, 4) + bytes(4)
    for counts, more in (((1, 1, 0, 0), record), ((1, 0, 1, 0), record), ((1, 1, 1, 2), record * 3 + write_opt())):
        check_equal(Asker(server.port).ask("web", opt=more, counts=counts).values(), ["192.0.2.1"])


def test_silence(server):
    """Nothing comes to what is no query: a response, or less than a header"""
    asker = Asker(server.port)
    asker.check_is_silent(write_query("web", flags=0x8000))
    asker.check_is_silent(write_query("web", flags=0xFFFF))
    for size in range(12):
        asker.check_is_silent(write_query("web")[:size])


# Any bytes at all


SEEDS = [
    write_query("web.example.com", opt=write_opt()),
    write_query("many.example.com", opt=write_opt(1232, flags=0x8000)),
    write_query("many.example.com"),
    write_query("nobody.example.com", AAAA),
    write_query("1.2.0.192.in-addr.arpa", PTR, opt=write_opt(options=b"\0\x0a\0\x08" + bytes(8))),
    write_query("web.example.com", ANY, ANY_CLASS, opt=write_opt(512, version=1)),
    write_query("web", opt=b"\xc0\x0c" + struct.pack("!HHIH", A, IN, 0, 4) + bytes(4) + write_opt(), counts=(1, 0, 1, 1)),
]


def mutate(chance):
    """Gives a query that strangers might send: random bytes, or a good one with some things changed."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(600))
    query = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(query) + 1)
        work = chance.randrange(5)
        if work == 0:
            query[at : at + 1] = bytes([chance.choice((0, 1, 12, 63, 64, 127, 192, 255, chance.randrange(256)))])
        elif work == 1 and at < len(query):
            query[at] ^= 1 << chance.randrange(8)
        elif work == 2:
            del query[at : at + chance.randrange(1, 20)]
        elif work == 3:
            query[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            other = chance.choice(SEEDS)
            query[at:at] = other[chance.randrange(len(other)) :]
    return bytes(query)


def room_of(query):
    """The most that may be answered, generously: whatever could be the size in an OPT counts."""
    sizes = [512]
    at = query.find(b"\0\x29", 12)
    while at >= 0:
        sizes.append(int.from_bytes(query[at + 2 : at + 4], "big"))
        at = query.find(b"\0\x29", at + 1)
    return min(max(sizes), 4096)


def check_answer_to(query, data):
    check(len(data) <= room_of(query), f"{len(data)} bytes of answer to {query!r}")
    answer = Answer(data)
    check_equal(answer.is_response, 1)
    check(answer.opcode == query[2] >> 3 & 15, f"the operation of {query!r} has changed")
    check(answer.questions == [] or data[12 : 12 + 4] == query[12 : 12 + 4], f"another question than of {query!r}")


def test_strange_queries(server):
    """Random and mutated queries: what is answered is an answer, and the next one is served"""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"# seed {seed}, {N_STRANGE} queries", flush=True)
    chance = random.Random(seed)
    asker = Asker(server.port)
    n_answers = n_sent = 0
    while n_sent < N_STRANGE:
        batch = [mutate(chance) for _ in range(60)]
        batch = {i: struct.pack("!H", i) + query[2:] for i, query in enumerate(batch) if len(query) > 1}
        for query in batch.values():
            asker.socket.send(query)
        n_sent += len(batch)
        # What is surely answered, and last: answers leave in the order of their queries.
        asker.socket.send(write_query("web", identity=0xFFFF))
        data = asker.socket.recv(65536)
        while data[:2] != b"\xff\xff":
            check_answer_to(batch[int.from_bytes(data[:2], "big")], data)
            n_answers += 1
            data = asker.socket.recv(65536)
        check_equal(Answer(data).values(), ["192.0.2.1"])
    print(f"# {n_answers} of them were answered", flush=True)
    check(n_answers > n_sent / 4, f"only {n_answers} of {n_sent} were answered")


# dnsperf


def check_dnsperf(server):
    if shutil.which("dnsperf") is None:
        raise Skip("dnsperf is not there")
    with tempfile.NamedTemporaryFile("w") as queries:
        queries.write("web.example.com A\nnobody.example.com A\n1.2.0.192.in-addr.arpa PTR\nweb.example.com MX\n" * 100)
        queries.flush()
        line = ["dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", queries.name]
        status, output = run_program(*line, "-n", "50", "-c", "4", "-q", "200", "-t", str(DEADLINE))
    check_equal(status, 0)
    for what, expected in (("sent", 20000), ("completed", 20000), ("lost", 0)):
        check_equal((what, int(re.search(rf"Queries {what}: +(\d+)", output)[1])), (what, expected))
    check("NOERROR 15000 (75.00%), NXDOMAIN 5000 (25.00%)" in output, output)


def test_dnsperf(server):
    """dnsperf: nothing is lost"""
    check_dnsperf(server)


def test_dnsperf_workers(server):
    """dnsperf: nothing is lost by several workers"""
    with Server(HOSTS, "--workers", "3") as own:
        check_dnsperf(own)


# The program


def test_program_ends(server):
    """SIGINT and SIGTERM end it cleanly"""
    for number in (signal.SIGINT, signal.SIGTERM):
        own = Server("")
        own.end(number)


def check_fails(status, text, *arguments):
    got, output = run_program(*command(*arguments))
    check(got == status and text in output, f"{arguments}: status {got}, {output}")


def test_program_fails(server):
    """A file or a port that is not to be had is told, and ends it"""
    with tempfile.NamedTemporaryFile("w") as hosts:
        check_fails(1, "No such file", "--hosts", hosts.name + "-no", "--port", "0")
        check_fails(1, "Address already in use", "--hosts", hosts.name, "--port", str(server.port))
        for arguments in ((), ("--port", "0"), ("--hosts", hosts.name, "more")):
            check_fails(2, "Usage: ", *arguments)
        for port in ("-1", "65536"):
            check_fails(2, "Usage: ", "--hosts", hosts.name, "--port", port)
        for workers in ("0", "257"):
            check_fails(2, "Usage: ", "--hosts", hosts.name, "--workers", workers)
        check_fails(2, "--nonsense", "--nonsense")


def activate(port, hosts, log, *wrapper):
    line = ["systemd-socket-activate", "--datagram", f"--listen=127.0.0.1:{port}", "--fdname=dns", *wrapper]
    process = subprocess.Popen([*line, *command("--hosts", hosts)], stdout=log, stderr=subprocess.STDOUT)
    Server.started.append(process)
    return process


def ask_until_answered(port, process, log):
    """Asks again and again: nobody may listen yet."""
    end = time.monotonic() + DEADLINE
    asker = Asker(port)
    asker.socket.settimeout(0.2)
    while time.monotonic() < end:
        check(process.poll() is None, f"it has ended: {os.pread(log.fileno(), 65536, 0)}")
        try:
            return asker.ask("name.example")
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"it does not answer: {os.pread(log.fileno(), 65536, 0)}")


def check_activated(*wrapper):
    if shutil.which("systemd-socket-activate") is None:
        raise Skip("systemd-socket-activate is not there")
    with tempfile.NamedTemporaryFile("w") as hosts, tempfile.TemporaryFile() as log:
        hosts.write("192.0.2.1 name.example\n")
        hosts.flush()
        port = ports.pick()
        process = activate(port, hosts.name, log, *wrapper)
        answer = ask_until_answered(port, process, log)
        said = os.pread(log.fileno(), 65536, 0).decode()
        if "without libsystemd" in said:
            raise Skip("the library was built without libsystemd")
        check_equal(answer.values(), ["192.0.2.1"])
        check(f"Listening on port {port}\n" in said, said)
        process.terminate()
        check_equal(process.wait(DEADLINE), 0)


def test_program_activated(server):
    """The first query starts it where systemd listens, and is answered"""
    check_activated()


def test_program_confined(server):
    """It needs no network but the socket that systemd hands over"""
    apart = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or run_program(*apart, "true")[0] != 0:
        raise Skip("unshare may not make network namespaces")
    check_activated(*apart)


# The run


def run(number, name, test, server):
    description = f"{number} - {test.__doc__.splitlines()[0]}"
    try:
        test(server)
        print(f"ok {description}", flush=True)
    except Skip as reason:
        print(f"ok {description} # SKIP {reason}", flush=True)
    except Exception:  # pylint: disable=broad-except
        print(f"not ok {description}")
        for line in traceback.format_exc().splitlines():
            print(f"# {name}: {line}", flush=True)


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    only = sys.argv[1:]
    tests = [(name, test) for name, test in tests if not only or name in only]
    print(f"1..{len(tests)}", flush=True)
    try:
        with Server(HOSTS) as server:
            for number, (name, test) in enumerate(tests, 1):
                run(number, name, test, server)
    finally:
        for process in Server.started:
            if process.poll() is None:
                process.kill()
                process.wait()


main()
