# SPDX-License-Identifier: LGPL-2.1-or-later

"""Gets files from tftp-server by curl and tftp, and by raw sockets what these would never ask.

Each test is a function whose documentation is its name in the TAP output. Every wait is for a
condition, and only a failed one takes DEADLINE seconds. Where ES_TEST_LONG is set, 300 000 random
and mutated messages are sent, and lossy transfers take the smallest blocks, too.
"""

import filecmp
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True

import ports

DEADLINE = 30
TOP = os.environ.get("abs_top_builddir", ".")
BUILT = os.path.join(TOP, "examples")
WRAPPER = os.environ.get("ES_TEST_WRAPPER", "").split()
IS_LONG = "ES_TEST_LONG" in os.environ
N_STRANGE = 300000 if IS_LONG else 4000
HOST = "127.0.0.1"

READ, WRITE, DATA, ACK, ERROR, OPTION_ACK = range(1, 7)
OTHER, NOT_FOUND, NO_ACCESS, ILLEGAL, UNKNOWN = 0, 1, 2, 4, 5
MAX_TRANSFERS = 256
MIB = 1024 * 1024


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
        check(time.monotonic() < end, f"waited in vain until {what}")
        time.sleep(0.01)


def needs(program):
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program} is not there")
    return path


# Messages


def write_request(name, mode="octet", opcode=READ, **options):
    texts = [name, mode] + [str(text) for pair in options.items() for text in pair]
    encoded = (text.encode() if isinstance(text, str) else text for text in texts)
    return struct.pack("!H", opcode) + b"".join(text + b"\0" for text in encoded)


def write_ack(number):
    return struct.pack("!HH", ACK, number % 65536)


def write_error(code=OTHER, text="never mind"):
    return struct.pack("!HH", ERROR, code) + text.encode() + b"\0"


def read_options(message):
    check_equal(message[:2], struct.pack("!H", OPTION_ACK))
    texts = message[2:].split(b"\0")
    check_equal(texts.pop(), b"")
    names = [name.decode().lower() for name in texts[::2]]
    return dict(zip(names, map(int, texts[1::2])))


def read_error(message):
    opcode, code = struct.unpack("!HH", message[:4])
    check_equal(opcode, ERROR)
    check(len(message) > 5 and message.index(b"\0", 4) == len(message) - 1, "no text with a NUL")
    return code


def as_netascii(data):
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


# The server


class Server:
    started = []

    def __init__(self, *arguments, root=None):
        self.root = root or tempfile.mkdtemp(dir=scratch)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command("--port", "0", "--root", self.root, *arguments),
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        Server.started.append(self.process)
        line = self.process.stdout.readline().decode()
        check(line.startswith("Listening on port "), f"not the port: {line!r} {self.read_log()}")
        self.port = int(line.split()[-1])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.end()

    def read_log(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        check_equal(self.process.wait(DEADLINE), 0)
        check_equal(self.read_log(), "")

    def path(self, name):
        return os.path.join(self.root, name)

    def add(self, name, data):
        """Puts a file in the folder. Data may be a size, and is random then."""
        data = random.randbytes(data) if isinstance(data, int) else data
        with open(self.path(name), "wb") as file:
            file.write(data)
        return data


def command(*arguments):
    path = os.path.join(BUILT, "tftp-server")
    if not os.access(path, os.X_OK):
        raise Skip("tftp-server was not built")
    return [*WRAPPER, path, *arguments]


class Client:
    """A client that shares no code with the project, and that does only what the test says."""

    def __init__(self, port, host=HOST):
        self.server = (host, port)
        self.peer = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_arguments):
        self.end()

    def end(self):
        if self.peer:
            self.say(write_error())
        self.socket.close()

    def ask(self, *arguments, **options):
        self.send(write_request(*arguments, **options))

    def send(self, message):
        self.socket.sendto(message, self.server)

    def say(self, message, peer=None):
        self.socket.sendto(message, peer or self.peer)

    def hear(self):
        message, self.peer = self.socket.recvfrom(70000)
        return message

    def hear_error(self):
        code = read_error(self.hear())
        self.peer = None
        return code

    def hear_data(self, number):
        """Hears this block, and what is sent once more of those before."""
        while True:
            message = self.hear()
            opcode, heard = struct.unpack("!HH", message[:4])
            check_equal(opcode, DATA)
            if heard == number % 65536:
                return message[4:]
            check((number - heard) % 65536 < 100, f"block {heard} comes in place of {number}")

    def get(self, name, mode="octet", **options):
        """Gets a whole file, acknowledging each window at its end."""
        self.ask(name, mode, **options)
        agreed = {}
        if options:
            agreed = read_options(self.hear())
            self.say(write_ack(0))
        return self.get_rest(agreed)

    def get_rest(self, agreed, got=b"", number=0):
        size, window = agreed.get("blksize", 512), agreed.get("windowsize", 1)
        blocks = [got]
        while True:
            number += 1
            blocks.append(self.hear_data(number))
            if len(blocks[-1]) < size or number % window == 0:
                self.say(write_ack(number))
            if len(blocks[-1]) < size:
                self.peer = None
                return b"".join(blocks)

    def check_is_alone(self):
        """Tells by what is surely answered that nothing was sent to us before that."""
        peer = self.peer
        self.ask("x", "mail")
        check_equal(read_error(self.hear()), ILLEGAL)
        self.peer = peer


class Relay:
    """Stands between clients and a server, and loses some of what they send, both ways."""

    def __init__(self, port, loss, seed=1):
        self.loss, self.random = loss, random.Random(seed)
        self.n_lost = self.n_passed = 0
        # By socket: what tells by the sender through which socket a message goes on, and to whom.
        self.routes = {}
        self.known = {}
        self.port = self.open(lambda client: (self.back_of(client), (HOST, port))).getsockname()[1]
        self.is_ending = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_arguments):
        self.is_ending = True
        self.thread.join()
        for line in self.routes:
            line.close()

    def open(self, route):
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind((HOST, 0))
        self.routes[line] = route
        return line

    def remember(self, key, route):
        if key not in self.known:
            self.known[key] = self.open(route)
        return self.known[key]

    def back_of(self, client):
        """What the server sees in place of a client."""
        return self.remember(client, lambda transfer: (self.side_of(client, transfer), client))

    def side_of(self, client, transfer):
        """What a client sees in place of the socket of its transfer."""
        return self.remember((client, transfer), lambda _client: (self.known[client], transfer))

    def run(self):
        while not self.is_ending:
            for line in select.select(list(self.routes), [], [], 0.05)[0]:
                message, sender = line.recvfrom(70000)
                out, target = self.routes[line](sender)
                if self.random.random() < self.loss:
                    self.n_lost += 1
                else:
                    self.n_passed += 1
                    out.sendto(message, target)


def run_curl(server, name, *arguments, port=None):
    """Gets a file by curl. Returns its exit status, and where the file is."""
    path = os.path.join(scratch, "by-curl")
    url = f"tftp://{HOST}:{port or server.port}/{name}"
    line = [needs("curl"), "-s", "-m", "100", "--path-as-is", *arguments, "-o", path, url]
    with open(path, "wb"):
        pass
    return subprocess.run(line, check=False, timeout=110).returncode, path


def check_curl(server, name, *arguments, port=None):
    status, path = run_curl(server, name, *arguments, port=port)
    check_equal(status, 0)
    check(filecmp.cmp(path, server.path(name), shallow=False), f"{name} came as something else")


def run_tftp(port, *commands, timeout=DEADLINE):
    """Runs tftp in the scratch folder, and returns what it says."""
    done = subprocess.run(
        [needs("tftp"), HOST, str(port)],
        input="".join(f"{line}\n" for line in (*commands, "quit")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout,
        cwd=scratch,
    )
    check_equal(done.returncode, 0)
    return done.stdout


def read_file(path):
    with open(os.path.join(scratch, path), "rb") as file:
        return file.read()


# What others get


def test_curl_large(server):
    """curl gets 100 MiB bit for bit, in blocks of 8192 bytes"""
    with open(server.path("large"), "wb") as file:
        for _ in range(100):
            file.write(random.randbytes(MIB))
    check_curl(server, "large", "--tftp-blksize", "8192")
    os.remove(server.path("large"))


def test_curl_sizes(server):
    """curl gets files that end before, at and behind the end of a block, and empty ones"""
    for size in (0, 1, 511, 512, 513, 1023, 1024, 1025):
        server.add("sized", size)
        check_curl(server, "sized")
        check_curl(server, "sized", "--tftp-no-options")


def test_curl_block_sizes(server):
    """curl gets a file in blocks of any size"""
    server.add("blocks", 100000)
    for size in (8, 1428, 65464):
        check_curl(server, "blocks", "--tftp-blksize", str(size))


def test_curl_netascii(server):
    """curl gets netascii: lines end with CR LF, and CR is CR NUL"""
    for text in (b"", b"\n", b"\r", b"\r\n", b"a\nb\r\nc\rd", b"a" * 511 + b"\nb" + b"\r" * 600):
        server.add("text", text)
        status, path = run_curl(server, "text", "-B")
        check_equal((status, read_file(path)), (0, as_netascii(text)))


def test_curl_refused(server):
    """curl is told that a file is not there, not to be had, and not to be written"""
    check_equal(run_curl(server, "missing")[0], 68)
    check_equal(run_curl(server, "../secret")[0], 69)
    check_equal(run_curl(server, "x", "-T", os.path.join(scratch, "secret"))[0], 69)


def test_tftp_session(server):
    """tftp gets several files from one port, in both modes, and is told what is missing"""
    binary, text = server.add("binary", 100000), b"one\ntwo\rthree\r\nfour\n"
    server.add("text", text)
    lines = ["mode binary", "get binary by-tftp", "get missing nothing", "mode netascii"]
    said = run_tftp(server.port, *lines, "get text by-tftp-text", "get missing nothing")
    check_equal(said.count("Error code 1:"), 2)
    check_equal(said.count("Error code"), 2)
    check_equal(read_file("by-tftp"), binary)
    check_equal(read_file("by-tftp-text"), text)


def test_tftp_write(server):
    """tftp is told that nothing can be written"""
    said = run_tftp(server.port, "mode binary", f"put {scratch}/secret written")
    check("Error code 2:" in said, f"it says {said!r}")
    check(not os.path.exists(server.path("written")), "it was written")


# Loss


def check_lossy(server, get, size=4 * MIB):
    """Gets so much where 5 % of the datagrams are lost."""
    server.add("lossy", size)
    with Relay(server.port, 0.05) as relay:
        began = time.monotonic()
        get(relay.port)
        took = time.monotonic() - began
    n_all = relay.n_lost + relay.n_passed
    print(f"# {took:.1f} s, {relay.n_lost} of {n_all} datagrams lost", flush=True)
    check(relay.n_lost > n_all * 0.02, "hardly any were lost")
    check(took < 60, f"it took {took:.1f} s")


def test_lossy_curl(server):
    """curl gets 4 MiB while 5 % of the datagrams are lost, within a minute"""
    for size in ("8192", "512") if IS_LONG else ("8192",):
        arguments = ("lossy", "--tftp-blksize", size)
        check_lossy(server, lambda port, some=arguments: check_curl(server, *some, port=port))


def test_lossy_tftp(server):
    """tftp gets a file in blocks of 512 bytes while 5 % of them are lost"""

    def get(port):
        run_tftp(port, "mode binary", "get lossy by-tftp", timeout=110)
        check(read_file("by-tftp") == read_file(server.path("lossy")), "something else came")

    check_lossy(server, get, 4 * MIB if IS_LONG else MIB // 2)


def get_lossy_windows(client, asked):
    """Gets a file, acknowledging what came in order whenever a window ends or a block is missing."""
    blocks, is_agreed = [], False
    client.ask("lossy", **asked)
    while not blocks or len(blocks[-1]) == asked["blksize"]:
        try:
            message = client.hear()
        except socket.timeout:
            if not is_agreed:
                client.ask("lossy", **asked)
                continue
            message = bytes(4)
        opcode, number = struct.unpack("!HH", message[:4])
        is_agreed = is_agreed or opcode == OPTION_ACK
        is_next = (opcode, number) == (DATA, (len(blocks) + 1) % 65536)
        if is_next:
            blocks.append(message[4:])
        if not is_next or number % asked["windowsize"] == 0 or len(blocks[-1]) < asked["blksize"]:
            client.say(write_ack(len(blocks)))
    return b"".join(blocks)


def test_lossy_windows(server):
    """A client gets 4 MiB by windows while 5 % of the datagrams are lost, within a minute"""

    def get(port):
        with Client(port) as client:
            client.socket.settimeout(1)
            got = get_lossy_windows(client, {"blksize": 1428, "windowsize": 16, "timeout": 1})
        check(got == read_file(server.path("lossy")), "something else came")

    check_lossy(server, get)


# Options


def test_options(server):
    """The options that are known are acknowledged with their values, and nothing else is"""
    server.add("optional", 5000)
    asked = {"blksize": 1000, "timeout": 7, "tsize": 0, "windowsize": 3, "multicast": "", "x": 1}
    with Client(server.port) as client:
        client.ask("optional", **asked)
        agreed = {"blksize": 1000, "timeout": 7, "tsize": 5000, "windowsize": 3}
        check_equal(read_options(client.hear()), agreed)


def test_options_in_range(server):
    """A value is granted to the end of its range, but of a long window a part, in any case"""
    data = server.add("optional", 10)
    ranges = {"blksize": (8, 65464), "timeout": (1, 255), "windowsize": (1, 65535)}
    for name, (least, most) in ranges.items():
        for value in (least, most):
            granted = 32 if value == 65535 else value
            with Client(server.port) as client:
                client.ask("optional", **{name.upper(): value})
                check_equal(read_options(client.hear()), {name: granted})
        for value in (least - 1, most + 1, "", "x", "-1", "1x", " 9", "9" * 30):
            with Client(server.port) as client:
                client.ask("optional", **{name: value})
                check_equal(client.hear_data(1), data)


def test_options_of_netascii(server):
    """A size that is not known before is not told"""
    server.add("text", b"a\nb\n")
    with Client(server.port) as client:
        client.ask("text", "netascii", tsize=0)
        check_equal(client.hear_data(1), b"a\r\nb\r\n")


def test_option_without_value(server):
    """An option without a value is passed over, and what is no text, too"""
    data = server.add("optional", 10)
    for rest in (b"blksize", b"blksize\0", b"\0", b"\0\0\0", b"\xff\xfe\0\xff\0"):
        with Client(server.port) as client:
            client.send(write_request("optional") + rest)
            check_equal(client.hear_data(1), data)


def test_rollover(server):
    """Block numbers go on with 0 after 65535"""
    data = server.add("rolling", 8 * 65536 * 2 + 5)
    with Client(server.port) as client:
        check(client.get("rolling", blksize=8, windowsize=32) == data, "something else came")


def test_windows(server):
    """A window is sent at once, and goes on behind the block that was acknowledged"""
    data = server.add("windows", 10 * 512)
    with Client(server.port) as client:
        client.ask("windows", windowsize=4)
        check_equal(read_options(client.hear()), {"windowsize": 4})
        client.say(write_ack(0))
        got = [client.hear_data(number) for number in (1, 2, 3, 4)]
        client.say(write_ack(2))
        got = got[:2] + [client.hear_data(number) for number in (3, 4, 5, 6)]
        client.say(write_ack(6))
        got += [client.hear_data(number) for number in (7, 8, 9, 10)]
        check_equal(b"".join(got), data)


# What is sent again, and what is not


def test_repetition(server):
    """What is not acknowledged is sent again, and who was never heard of is given up soon"""
    server.add("again", 10)
    with Client(server.port) as client:
        began = time.monotonic()
        client.ask("again", timeout=1)
        message = client.hear()
        check_equal([client.hear(), client.hear()], [message, message])
        took = time.monotonic() - began
        check(1.9 < took < DEADLINE, f"a timeout of 1 s was taken for {took / 2} s")
        wait_for_end(client)


def wait_for_end(client):
    """Waits until the port of a transfer is closed, by a stranger, who does not disturb it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(client.peer)
        stranger.settimeout(0.2)
        wait_until(lambda: is_refused(stranger), "its port is closed")
    client.peer = None


def is_refused(stranger):
    try:
        stranger.send(b"anybody?")
        stranger.recv(1000)
    except ConnectionRefusedError:
        return True
    except socket.timeout:
        pass
    return False


def test_acknowledged_twice(server):
    """An acknowledgement that comes twice does not have the next block sent twice"""
    server.add("twice", 3000)
    with Client(server.port) as client:
        client.ask("twice")
        client.hear_data(1)
        for number in range(1, 5):
            for _ in range(3):
                client.say(write_ack(number))
            check_equal(client.hear()[2:4], struct.pack("!H", number + 1))
        client.check_is_alone()


def test_acknowledged_early(server):
    """What was not sent yet cannot be acknowledged"""
    server.add("early", 3000)
    with Client(server.port) as client:
        client.ask("early")
        client.hear_data(1)
        for number in (2, 3, 40000, 65535):
            client.say(write_ack(number))
        client.say(write_ack(1))
        check_equal(client.hear()[:4], struct.pack("!HH", DATA, 2))
        client.check_is_alone()


def test_asked_twice(server):
    """A request that comes twice starts one transfer, a new one from the same port takes its place"""
    server.add("one", b"one")
    server.add("other", b"other")
    with Client(server.port) as client:
        for _ in range(3):
            client.ask("one")
        check_equal(client.hear_data(1), b"one")
        first = client.peer
        client.check_is_alone()
        client.ask("other")
        check_equal(client.hear_data(1), b"other")
        check(client.peer != first, "it is the same transfer")
        client.say(write_ack(1))
        wait_until(lambda: is_heard(client, "other"), "it can be had again")
        check_equal(client.hear_data(1), b"other")


# Transfers side by side


def test_many(server):
    """50 transfers at once each have a socket of their own, and get what they asked for"""
    names = [f"many-{i}" for i in range(50)]
    files = {name: server.add(name, 20000 + i * 512) for i, name in enumerate(names)}
    clients = {name: Client(server.port) for name in names}
    for name, client in clients.items():
        client.ask(name)
    blocks = {name: [client.hear_data(1)] for name, client in clients.items()}
    check_equal(len({client.peer for client in clients.values()}), 50)
    for number in range(1, max(map(len, files.values())) // 512 + 2):
        current = [name for name in names if len(blocks[name]) == number]
        for name in current:
            clients[name].say(write_ack(number))
        for name in current:
            if len(blocks[name][-1]) == 512:
                blocks[name].append(clients[name].hear_data(number + 1))
    for name, client in clients.items():
        check_equal(b"".join(blocks[name]), files[name])
        client.peer = None
        client.end()


def test_many_curls(server):
    """50 curls at once get 1 MiB each"""
    data = server.add("shared", MIB)
    line = [needs("curl"), "-s", "-m", "100", "--tftp-blksize", "8192"]
    paths = [os.path.join(scratch, f"by-curl-{i}") for i in range(50)]
    curls = [
        subprocess.Popen([*line, "-o", path, f"tftp://{HOST}:{server.port}/shared"])
        for path in paths
    ]
    check_equal([curl.wait(110) for curl in curls], [0] * 50)
    for path in paths:
        check(read_file(path) == data, f"{path} is something else")
        os.remove(path)


def test_too_many(server):
    """There are so many transfers and no more, and who has been in vain gets the next place"""
    # Where no transfer lingers whose end was lost.
    with Server() as empty:
        empty.add("place", 10)
        clients = [Client(empty.port) for _ in range(MAX_TRANSFERS)]
        for client in clients:
            client.ask("place", timeout=255)
            read_options(client.hear())
        with Client(empty.port) as late:
            late.ask("place", timeout=255)
            late.check_is_alone()
            clients[7].say(write_error())
            wait_until(lambda: is_heard(late, "place"), "there is a place again")
            late.hear_data(1)
        for client in clients:
            client.end()


def test_stranger(server):
    """Who speaks to another's transfer is told so, and does not disturb it"""
    data = server.add("private", 2000)
    with Client(server.port) as client, Client(server.port) as stranger:
        client.ask("private")
        first = client.hear_data(1)
        for message in (write_ack(1), b"", write_request("private"), write_error()):
            stranger.say(message, client.peer)
        check_equal([stranger.hear_error() for _ in range(3)], [UNKNOWN] * 3)
        client.say(write_ack(1))
        check(client.get_rest({}, first, 1) == data, "something else came")
        stranger.check_is_alone()


# Errors


def test_error_ends(server):
    """An error from the client ends its transfer in silence"""
    server.add("ended", 2000)
    with Client(server.port) as client:
        client.ask("ended")
        client.hear_data(1)
        client.say(write_error())
        client.check_is_alone()
        wait_for_end(client)


def test_illegal_answer(server):
    """What is no acknowledgement ends a transfer with an error"""
    server.add("illegal", 2000)
    for message in (b"", b"\0", b"\0\0", write_request("illegal"), struct.pack("!HH", DATA, 1)):
        with Client(server.port) as client:
            client.ask("illegal")
            client.hear_data(1)
            client.say(message)
            check_equal(client.hear_error(), ILLEGAL)


def test_illegal_request(server):
    """What is no request is told so, what belongs to a transfer is passed over"""
    with Client(server.port) as client:
        bad = [b"", b"\0", b"\0\1", b"\0\1\0", b"\0\1x\0", b"\0\1x\0octe", b"\0\0x\0octet\0"]
        bad += [b"\0\7x\0octet\0", b"\1\1x\0octet\0", write_request("x", "mail"), b"\xff" * 600]
        for message in bad:
            client.send(message)
            check_equal((message, client.hear_error()), (message, ILLEGAL))
        for message in (write_ack(0), write_error(), b"\0\3\0\1x", b"\0\6blksize\x008\0"):
            client.send(message)
        client.check_is_alone()
        client.ask("x", opcode=WRITE)
        check_equal(client.hear_error(), NO_ACCESS)


def test_mode_in_any_case(server):
    """A mode is known in capitals, too, and a missing NUL at the end does no harm"""
    data = server.add("moded", b"a\nb")
    for mode, expected in (("OCTET", data), ("Octet", data), ("NetASCII", b"a\r\nb")):
        with Client(server.port) as client:
            client.send(write_request("moded", mode)[:-1])
            check_equal(client.hear_data(1), expected)


def test_unreadable(server):
    """A file that cannot be read to its end is an error, not a shorter file"""
    with Server(root="/proc/self") as other, Client(other.port) as client:
        client.ask("mem")
        check_equal(client.hear_error(), OTHER)


# Confinement


def ask_for(server, name):
    """Gives the data of a small file, or the number of the error."""
    with Client(server.port) as client:
        client.ask(name)
        message = client.hear()
        if message[1] == DATA:
            return message[4:]
        client.peer = None
        return read_error(message)


def test_inside(server):
    """Files are found by any path within the folder, links and dots among them"""
    os.makedirs(server.path("sub/below"))
    server.add("inside", b"inside")
    server.add("sub/below/deep", b"deep")
    os.symlink("../inside", server.path("sub/link"))
    os.symlink("sub/below", server.path("folder-link"))
    for name in ("inside", "/inside", "//inside", "./inside", "sub/../inside", "sub/link"):
        check_equal((name, ask_for(server, name)), (name, b"inside"))
    for name in ("sub/below/deep", "/sub//below/deep", "folder-link/deep"):
        check_equal((name, ask_for(server, name)), (name, b"deep"))
    server.add("n\N{SNOWMAN} \n", b"strange")
    check_equal(ask_for(server, "n\N{SNOWMAN} \n"), b"strange")


def test_outside(server):
    """What leads out of the folder is refused, whether it is there or not"""
    secret = os.path.join(scratch, "secret")
    links = {"absolute": secret, "relative": "../secret", "up": "..", "root": "/", "none": "../none"}
    for name, target in links.items():
        os.symlink(target, server.path(name))
    os.symlink("absolute", server.path("to-link"))
    os.symlink("circle", server.path("circle"))
    outside = ["../secret", "../none", "/../secret", "x/../../secret", "..", "../../../../etc/passwd"]
    outside += ["absolute", "relative", "none", "up/secret", f"root/{secret}", "to-link", "circle"]
    for name in outside:
        expected = NOT_FOUND if name.startswith("x/") else NO_ACCESS
        check_equal((name, ask_for(server, name)), (name, expected))


def test_magic_link(server):
    """Links of the kernel's own kind lead nowhere"""
    with Server(root="/proc") as other:
        for name in ("self/root/etc/passwd", "self/cwd/self/stat", "self/exe"):
            check_equal((name, ask_for(other, name)), (name, NO_ACCESS))


def test_no_file(server):
    """A folder, a pipe and a socket are no files"""
    os.mkdir(server.path("folder"))
    os.mkfifo(server.path("pipe"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(server.path("socket"))
    for name in ("folder", "folder/", ".", "/", "pipe", "socket"):
        check_equal((name, ask_for(server, name)), (name, NOT_FOUND if name == "/" else NO_ACCESS))
    for name in ("", "missing", "folder/missing", "missing/..", "inside/x"):
        check_equal((name, ask_for(server, name)), (name, NOT_FOUND))
    check_equal(ask_for(server, "x" * 5000), NO_ACCESS)


# Addresses


def test_ip6(server):
    """A file is given over IPv6"""
    if not has_host("::1"):
        raise Skip("the host has no ::1")
    data = server.add("six", 2000)
    with Client(server.port, "::1") as client:
        check_equal(client.get("six", blksize=500), data)


def test_address_asked(server):
    """A transfer is at the address that its request was sent to"""
    library = os.path.join(TOP, ".libs", "libeasyservers.so")
    if os.path.exists(library) and b"recvmmsg" not in read_file(library):
        raise Skip("the portable calls do not tell which address was asked")
    data = server.add("asked", 10)
    for host in ("127.0.0.2", "127.0.0.3"):
        with Client(server.port, host) as client:
            client.ask("asked")
            check_equal(client.hear_data(1), data)
            check_equal(client.peer[0], host)


def has_host(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            return True
    except OSError:
        return False


# Strange messages


def mutate(message):
    message = bytearray(message)
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(message) + 1)
        kind = random.randrange(4)
        if kind == 0:
            message[at:at] = random.randbytes(random.randrange(1, 5))
        elif kind == 1:
            del message[at : at + random.randrange(1, 9)]
        elif at < len(message):
            message[at] = random.choice((0, 1, 255, random.randrange(256), message[at] ^ 32))
    return bytes(message[:60000])


def strange_messages():
    """Gives random and mutated messages, for the server's port and for transfers'."""
    asked = {"blksize": 8, "timeout": 9, "tsize": 0, "windowsize": 40}
    names = ("strange", "/strange", "../secret", "folder", "missing", "x" * 300)
    while True:
        name, mode = random.choice(names), random.choice(("octet", "netascii"))
        chosen = random.sample(sorted(asked), random.randrange(5))
        request = write_request(name, mode, **{option: asked[option] for option in chosen})
        yield request if random.random() < 0.2 else mutate(request), mutate(write_ack(1))
        yield random.randbytes(random.randrange(100)), random.randbytes(random.randrange(6))


def answer_strangely(client, answer):
    """Answers all that has come, then ends these transfers."""
    while select.select([client.socket], [], [], 0)[0]:
        client.hear()
        client.say(answer)
        client.say(write_ack(random.randrange(4)))
        client.say(write_error())


def test_strange(server):
    """Whatever strangers send, the server goes on, and ends as ever"""
    with Server() as other:
        data = other.add("strange", 3000)
        clients = [Client(other.port) for _ in range(8)]
        for i, (request, answer) in zip(range(N_STRANGE), strange_messages()):
            client = clients[i % 8]
            client.send(request)
            if i % 4 == 0:
                answer_strangely(client, answer)
        for client in clients:
            answer_strangely(client, write_error())
            client.end()
        # All that was sent before has been read when there is a place.
        with Client(other.port) as client:
            wait_until(lambda: is_heard(client, "strange"), "there is a place again")
            client.hear()
        with Client(other.port) as client:
            check(client.get("strange") == data, "something else came")


def is_heard(client, name):
    client.ask(name)
    return select.select([client.socket], [], [], 0.2)[0]


# Beginning and end


def test_signals(server):
    """SIGINT and SIGTERM end it, in the middle of transfers, too"""
    for number in (signal.SIGINT, signal.SIGTERM):
        other = Server()
        other.add("unfinished", 3000)
        clients = [Client(other.port) for _ in range(3)]
        for client in clients:
            client.ask("unfinished", windowsize=3)
            read_options(client.hear())
        other.end(number)
        for client in clients:
            client.socket.close()


def run_server(*arguments):
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    check_equal(done.stdout, "")
    return done.returncode, done.stderr


def test_bad_start(server):
    """It tells what is wrong with its options, its folder or its port, and ends"""
    bad = ([], ["--port", "0"], ["--root", scratch, "x"], ["--root", scratch, "--port", "65536"])
    for arguments in (*bad, ["--what"]):
        status, said = run_server(*arguments)
        check_equal((arguments, status, said != ""), (arguments, 2, True))
    for root in (os.path.join(scratch, "none"), os.path.join(scratch, "secret")):
        status, said = run_server("--root", root, "--port", "0")
        check(status == 1 and f"Could not enter {root}: " in said, f"{status}, {said!r}")
    status, said = run_server("--root", scratch, "--port", str(server.port))
    check(status == 1 and "Address already in use" in said, f"{status}, {said!r}")


def test_activation(server):
    """It is started by the first request, at the socket that systemd hands over"""
    root = tempfile.mkdtemp(dir=scratch)
    with open(os.path.join(root, "late"), "wb") as file:
        file.write(b"in time")
    port = ports.pick()
    line = [needs("systemd-socket-activate"), "--datagram", f"--listen={HOST}:{port}"]
    said = subprocess.run(
        [os.path.join(BUILT, "chat-server")],
        env={**os.environ, "LISTEN_FDS": "0"},
        capture_output=True,
        check=False,
        timeout=DEADLINE,
    )
    if b"without libsystemd" in said.stderr:
        raise Skip("the library was built without libsystemd")
    log = tempfile.TemporaryFile()
    activated = subprocess.Popen(
        [*line, "--fdname=tftp", *command("--root", root)], stdout=subprocess.PIPE, stderr=log
    )
    Server.started.append(activated)
    wait_until(lambda: b"Listening on" in os.pread(log.fileno(), 1000, 0), "it listens")
    with Client(port) as client:
        check_equal(client.get("late"), b"in time")
    check_equal(activated.stdout.readline(), b"Listening on port %d\n" % port)
    activated.terminate()
    check_equal(activated.wait(DEADLINE), 0)


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
    with open(os.path.join(scratch, "secret"), "wb") as file:
        file.write(b"secret")
    try:
        with Server() as server:
            for number, (name, test) in enumerate(tests, 1):
                run(number, name, test, server)
    finally:
        for process in Server.started:
            if process.poll() is None:
                process.kill()
                process.wait()


with tempfile.TemporaryDirectory() as scratch:
    main()
