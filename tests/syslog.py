# SPDX-License-Identifier: LGPL-2.1-or-later

"""Sends to syslog-server what logger and raw sockets can, and reads what it writes.

Each test is a function whose documentation is its name in the TAP output. Nothing here waits for a
time to pass: every wait is for a condition, and only a failed one takes DEADLINE seconds. Where
ES_TEST_LONG is set, more is sent.
"""

import calendar
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True

import ports

DEADLINE = 60
BUILT = os.path.join(os.environ.get("abs_top_builddir", "."), "examples")
WRAPPER = os.environ.get("ES_TEST_WRAPPER", "").split()
IS_LONG = "ES_TEST_LONG" in os.environ
MANY = 1000000 if IS_LONG else 100000

# What precedes the text of a line.
LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>\S+) "
    r"(?P<priority>[a-z0-7]+\.[a-z]+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) "
    r"(?P<data>-|(?:\[[^]]*\])+) (?P<text>.*)"
)


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
        time.sleep(0.002)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def lines_of(path):
    """Gives the lines of a file, of which none is torn."""
    data = read(path)
    check(data == b"" or data.endswith(b"\n"), f"the last line is torn: {data[-80:]!r}")
    return data.decode().split("\n")[:-1]


def parse(line):
    match = LINE.fullmatch(line)
    check(match, f"this is no line of the server: {line!r}")
    return match


def texts_of(path):
    return [parse(line)["text"] for line in lines_of(path)]


def command():
    path = os.path.join(BUILT, "syslog-server")
    if not os.access(path, os.X_OK):
        raise Skip("syslog-server was not built")
    return [*WRAPPER, path]


class Server:
    """A syslog-server at work, with what it says and what it writes."""

    started = []

    def __init__(self, *arguments, output="messages", prepare=None, prefix=()):
        self.folder = tempfile.mkdtemp()
        self.output = os.path.join(self.folder, output) if output else None
        self.said = os.path.join(self.folder, "said")
        self.printed = os.path.join(self.folder, "printed")
        if output == "pipe":
            os.mkfifo(self.output)
        arguments = arguments or ("--port", "0")
        if output:
            arguments += ("--output", self.output)
        with open(self.said, "wb") as said, open(self.printed, "wb") as printed:
            self.process = subprocess.Popen(
                [*prefix, *command(), *arguments], stdout=printed, stderr=said, preexec_fn=prepare
            )
        Server.started.append(self)
        self.port = None

    def __enter__(self):
        wait_until(self.says_port, lambda: f"it listens: {read(self.said)}")
        return self

    def says_port(self):
        check(self.process.poll() is None, f"it has ended: {read(self.said)}")
        match = re.search(r"^Listening on port (\d+)$", read(self.said).decode(), re.MULTILINE)
        self.port = int(match[1]) if match else None
        return self.port

    def __exit__(self, *_):
        self.clear()

    def clear(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def wait(self):
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end") from None

    def end(self, number=signal.SIGTERM):
        """Ends it when it has handled all, and gives its counts."""
        wait_until(self.has_handled_all, "the server has handled all")
        return self.end_at_once(number)

    def end_at_once(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        check_equal(self.wait(), 0)
        return self.counts()

    def counts(self):
        found = re.findall(r"^([a-z_]+) (\d+)$", read(self.said).decode(), re.MULTILINE)
        return {name: int(value) for name, value in found}

    def wait_for_words(self, words):
        wait_until(lambda: words in read(self.said).decode(), f"it says {words!r}")

    def bytes_waiting(self):
        """Tells by the kernel's table what waits to be received; None: nobody listens any more."""
        for name in filter(os.path.exists, ["/proc/net/udp", "/proc/net/udp6"]):
            with open(name, encoding="ascii") as table:
                for row in [line.split() for line in table.readlines()[1:]]:
                    if int(row[1].split(":")[1], 16) == self.port:
                        return int(row[4].split(":")[1], 16)
        return None

    def has_read_all(self):
        n_bytes = self.bytes_waiting()
        check(n_bytes is not None, f"it listens no more: {read(self.said)}")
        return n_bytes == 0

    def has_handled_all(self):
        """Tells whether its threads sleep, too: what was read is not yet handled."""
        tasks = f"/proc/{self.process.pid}/task"
        if not self.has_read_all():
            return False
        stats = [read(f"{tasks}/{task}/stat") for task in os.listdir(tasks)]
        return all(stat.split(b") ")[-1].startswith(b"S") for stat in stats)


def sum_of(counts):
    dropped = [n for name, n in counts.items() if name.startswith("dropped_")]
    return counts["lines_written"] + sum(dropped)


class Sender:
    """A UDP socket that no library knows of."""

    def __init__(self, server, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = server
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect((host, server.port))
        self.n_sent = 0

    def send(self, message):
        self.socket.send(message)
        self.n_sent += 1

    def send_gently(self, message):
        """Sends not more than the smallest buffer holds, before all of it is read."""
        self.send(message)
        if self.n_sent % 100 == 0 or len(message) > 1000:
            wait_until(self.server.has_read_all, "the server has read all")


def message(i, size=0):
    """Gives a message that tells its number, and whether all of it is there."""
    text = f"message {i} "
    return f"<13>1 - h a {i} - - {text}{'ä' * size}end".encode()


def numbers_of(lines):
    numbers = [int(parse(line)["process"]) for line in lines]
    for line, number in zip(lines, numbers):
        check(re.search(rf" message {number} ä*end$", line), f"this line is torn: {line!r}")
    return numbers


# logger


def run_logger(server, *arguments, text=None):
    if not shutil.which("logger"):
        raise Skip("logger is not there")
    known = subprocess.run(["logger", "--help"], capture_output=True, text=True, check=False)
    if "--rfc3164" not in known.stdout:
        raise Skip("logger is not that of util-linux")
    subprocess.run(
        ["logger", "-d", "-n", "127.0.0.1", "-P", str(server.port), *arguments],
        input=text,
        text=True,
        check=True,
        timeout=DEADLINE,
    )


def one_line(server, *arguments):
    run_logger(server, *arguments)
    server.end()
    lines = lines_of(server.output)
    check_equal(len(lines), 1)
    return parse(lines[0])


def test_logger_new():
    """logger's messages of RFC 5424 are written."""
    with Server() as server:
        line = one_line(
            server,
            *("--rfc5424", "-t", "tag", "-p", "local4.warning", "--msgid", "ID47", "--id=12"),
            *("--sd-id", "zoo@123", "--sd-param", 'tiger="hungry"', "--", "Größe\t[1] \\"),
        )
        check_equal(line["host"], os.uname().nodename)
        check_equal(line["priority"], "local4.warning")
        check_equal([line["app"], line["process"], line["id"]], ["tag", "12", "ID47"])
        check(line["data"].endswith('[zoo@123 tiger="hungry"]'), line["data"])
        check_equal(line["text"], "Größe\\x09[1] \\\\")


def test_logger_old():
    """logger's messages of RFC 3164 are written, with the time that they tell."""
    with Server() as server:
        before = int(time.time())
        line = one_line(server, "--rfc3164", "-t", "tag", "-p", "mail.err", "--id=12", "x: Größe")
        after = time.time()
        check_equal(line["host"], os.uname().nodename.split(".")[0])
        check_equal(line["priority"], "mail.err")
        check_equal([line["app"], line["process"], line["id"]], ["tag", "12", "-"])
        check_equal(line["data"], "-")
        check_equal(line["text"], "x: Größe")
        told = calendar.timegm(time.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.000000Z"))
        check(before <= told <= after, f"{line['time']} is not now")


def test_logger_many():
    """logger's lines are messages each, in order."""
    with Server() as server:
        run_logger(server, "-t", "tag", text="".join(f"line {i}\n" for i in range(200)))
        server.end()
        check_equal(texts_of(server.output), [f"line {i}" for i in range(200)])


# Other senders


def test_senders():
    """What does not name its host is known by its address, IPv4 and IPv6."""
    with Server() as server:
        hosts = ["127.0.0.1"]
        Sender(server).send(b"<13>hello")
        try:
            Sender(server, "::1").send(b"<13>hello")
            hosts.append("::1")
        except OSError:
            pass
        server.end()
        check_equal([parse(line)["host"] for line in lines_of(server.output)], hosts)


def test_standard_output():
    """Without a file, lines go to the standard output."""
    with Server(output=None) as server:
        Sender(server).send(b"<13>hello\n")
        server.end()
        check_equal(texts_of(server.printed), ["hello"])


def test_appends():
    """What was in the file stays there."""
    with Server() as server:
        for text in "one", "two":
            with open(server.output, "a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        Sender(server).send(b"three")
        server.end()
        check_equal(read(server.output)[:8], b"one\ntwo\n")
        check_equal(len(lines_of(server.output)), 3)


def test_noise():
    """Noise makes one line of harmless text for each message."""
    with Server() as server:
        sender = Sender(server)
        choice = random.Random(1)
        for _ in range(100000 if IS_LONG else 1000):
            body = choice.randbytes(choice.randrange(2000))
            sender.send_gently(choice.choice([b"", b"<13>", b"<13>1 - - - - - "]) + body)
        counts = server.end()
        check_equal(counts["lines_written"], sender.n_sent)
        lines = lines_of(server.output)
        check_equal(len(lines), sender.n_sent)
        for line in lines:
            check(re.search("[\0-\x1f\x7f-\x9f\u2028\u2029]", line) is None, f"{line!r}")


def test_largest():
    """The longest datagram is a line, too."""
    with Server() as server:
        sender = Sender(server)
        sender.send(b"<13>" + b"\xff" * 65503)
        server.end()
        check_equal(texts_of(server.output), ["\\xff" * 65503])


# Many


def test_all_are_written():
    """100 000 messages at a rate that the disk takes are all in the file, and none is torn."""
    with Server() as server:
        sender = Sender(server)
        for i in range(MANY):
            sender.send_gently(message(i, i % 97))
        counts = server.end()
        check_equal(numbers_of(lines_of(server.output)), list(range(MANY)))
        check_equal(counts["lines_written"], MANY)
        check_equal(sum_of(counts), MANY)


def test_loss_is_counted():
    """At full speed, what is not in the file is in the counts, exactly."""
    with Server() as server:
        sender = Sender(server)
        server.process.send_signal(signal.SIGSTOP)
        for i in range(MANY // 5):
            sender.send(message(i, i % 97))
        server.process.send_signal(signal.SIGCONT)
        for i in range(MANY // 5, MANY):
            sender.send(message(i, i % 97))
        counts = server.end_at_once()
        numbers = numbers_of(lines_of(server.output))
        check_equal(len(numbers), counts["lines_written"])
        check(counts.get("dropped_by_kernel", 0) > 0, f"the kernel dropped nothing: {counts}")
        check_equal(sum_of(counts), MANY)
        check_equal(numbers, sorted(set(numbers)))


def test_end_writes_all():
    """SIGINT and SIGTERM end it with everything written."""
    for number in signal.SIGINT, signal.SIGTERM:
        with Server() as server:
            sender = Sender(server)
            for i in range(200):
                sender.send(message(i, 90))
            counts = server.end(number)
            check_equal(numbers_of(lines_of(server.output)), list(range(200)))
            check_equal(counts["dropped_unwritten"], 0)


def test_early_end():
    """What was received at the very time of the end is written, or counted as dropped by that."""
    for _ in range(20):
        with Server() as server:
            server.process.send_signal(signal.SIGSTOP)
            Sender(server).send(message(0))
            server.process.terminate()
            server.process.send_signal(signal.SIGCONT)
            check_equal(server.wait(), 0)
            counts = server.counts()
            check_equal(counts["lines_written"] + counts.get("dropped_at_stop", 0), 1)
            check_equal(len(lines_of(server.output)), counts["lines_written"])


# Rotation


def test_rotation():
    """SIGHUP under load loses nothing: each line is in one of the files, whole and in order."""
    with Server() as server:
        sender = Sender(server)
        files = []
        for i in range(MANY // 10):
            sender.send_gently(message(i, i % 97))
            if i % (MANY // 200) == 0:
                files.append(f"{server.output}.{len(files)}")
                os.rename(server.output, files[-1])
                server.hang_up()
                wait_until(lambda: os.path.exists(server.output), "the file is there again")
        server.end()
        lines = [line for path in [*files, server.output] for line in lines_of(path)]
        check_equal(len(files), 20)
        check_equal(numbers_of(lines), list(range(MANY // 10)))


def test_rotation_at_rest():
    """SIGHUP has the file opened anew also where nothing comes."""
    with Server() as server:
        os.rename(server.output, server.output + ".0")
        server.hang_up()
        wait_until(lambda: os.path.exists(server.output), "the file is there again")
        Sender(server).send(b"hello")
        server.end()
        check_equal(texts_of(server.output), ["hello"])
        check_equal(texts_of(server.output + ".0"), [])


def test_rotation_fails():
    """Where the file cannot be opened anew, the old one is written on, and that is said."""
    with Server() as server:
        old = server.output + ".0"
        os.rename(server.output, old)
        os.mkdir(server.output)
        server.hang_up()
        server.wait_for_words(f"Could not open {server.output}: Is a directory\n")
        Sender(server).send(b"hello")
        server.end()
        check_equal(texts_of(old), ["hello"])


# A slow or full disk


def read_pipe(descriptor):
    data = b""
    while True:
        piece = os.read(descriptor, 1 << 20)
        if not piece:
            return data
        data += piece


class SlowServer(Server):
    """A server whose disk is a pipe that nobody reads yet."""

    def __init__(self):
        self.reader = None
        super().__init__(output="pipe")

    def __enter__(self):
        self.come()
        return super().__enter__()

    def come(self):
        self.reader = os.open(self.output, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self.reader, True)

    def clear(self):
        super().clear()
        self.leave()

    def leave(self):
        if self.reader is not None:
            os.close(self.reader)
        self.reader = None

    def fill(self, sender):
        """Sends more than pipe and queue hold together."""
        for i in range(600):
            sender.send_gently(message(i, 30000))


def test_slow_disk():
    """A disk that takes nothing holds up no datagram, and what the queue cannot hold is counted."""
    with SlowServer() as server:
        sender = Sender(server)
        server.fill(sender)
        server.wait_for_words("The queue is full")
        found = []
        thread = threading.Thread(target=lambda: found.append(read_pipe(server.reader)))
        thread.start()
        server.wait_for_words("messages were dropped so far")
        sender.send(message(600, 30000))
        counts = server.end()
        thread.join()
        numbers = numbers_of(found[0].decode().split("\n")[:-1])
        check_equal(counts["messages_received"], 601)
        check_equal(len(numbers), counts["lines_written"])
        check_equal(sum_of(counts), 601)
        check_equal(sum_of(counts), counts["lines_written"] + counts["dropped_queue_full"])
        check(counts["dropped_queue_full"] > 0 and numbers[-1] == 600, f"{counts}, {numbers[-1]}")
        check_equal(numbers, sorted(set(numbers)))


def test_end_waits_for_disk():
    """The end waits until a slow disk has taken everything."""
    with SlowServer() as server:
        sender = Sender(server)
        for i in range(50):
            sender.send_gently(message(i, 30000))
        wait_until(server.has_handled_all, "the server has handled all")
        server.process.terminate()
        wait_until(lambda: server.bytes_waiting() is None, "it listens no more")
        found = read_pipe(server.reader)
        check_equal(server.wait(), 0)
        check_equal(numbers_of(found.decode().split("\n")[:-1]), list(range(50)))
        check_equal(server.counts()["lines_written"], 50)


def test_stuck_disk():
    """A second signal ends it at once, even where the disk takes nothing."""
    with SlowServer() as server:
        server.fill(Sender(server))

        def is_ended():
            server.process.terminate()
            return server.process.poll() is not None

        wait_until(is_ended, "it ends")
        check_equal(server.process.returncode, -signal.SIGTERM)


def test_absent_reader():
    """A reader of a pipe may go and come again."""
    with SlowServer() as server:
        sender = Sender(server)
        server.leave()
        sender.send(message(0))
        server.wait_for_words(f"Could not write to {server.output}: Broken pipe\n")
        sender.send(message(1))
        server.come()
        counts = server.end()
        check_equal(counts["lines_written"] + counts["dropped_unwritten"], 2)
        lines = read_pipe(server.reader).decode().split("\n")[:-1]
        check_equal(numbers_of(lines), list(range(2 - len(lines), 2)))
        check_equal(len(lines), counts["lines_written"])


LIMIT = 65536


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def test_full_disk():
    """A full disk tears no line, and what it refuses to the end is counted."""
    with Server(prepare=limit_files) as server:
        sender = Sender(server)
        for i in range(1000):
            sender.send_gently(message(i, i % 97))
        server.wait_for_words(f"Could not write to {server.output}: File too large\n")
        counts = server.end()
        numbers = numbers_of(lines_of(server.output))
        check(LIMIT - 1000 < os.path.getsize(server.output) <= LIMIT, "the limit was not reached")
        check_equal(numbers, list(range(counts["lines_written"])))
        check_equal(counts["lines_written"] + counts["dropped_unwritten"], 1000)


def test_full_disk_is_emptied():
    """Once there is room again, it goes on where it stopped."""
    with Server(prepare=limit_files) as server:
        sender = Sender(server)
        files = []

        def is_written():
            if not os.path.exists(server.output):
                return False
            if os.path.getsize(server.output) > LIMIT - 1000:
                files.append(f"{server.output}.{len(files)}")
                os.rename(server.output, files[-1])
                server.hang_up()
                return False
            return b" message 999 " in read(server.output)

        for i in range(1000):
            sender.send_gently(message(i, i % 97))
        wait_until(is_written, "all is written")
        counts = server.end()
        lines = [line for path in [*files, server.output] for line in lines_of(path)]
        check(len(files) > 1, "the limit was not reached twice")
        check_equal(numbers_of(lines), list(range(1000)))
        check_equal(counts["lines_written"], 1000)


# Beginning


def run_to_end(*arguments):
    done = subprocess.run(
        [*command(), *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_activation():
    """A socket that systemd hands over is the one to listen at, and its message is written."""
    if not shutil.which("systemd-socket-activate"):
        raise Skip("systemd-socket-activate is not there")
    if "without libsystemd" in run_with_nothing():
        raise Skip("the library was built without libsystemd")
    port = ports.pick()
    listen = f"--listen=127.0.0.1:{port}"
    activate = ("systemd-socket-activate", "--datagram", listen, "--fdname=syslog")
    server = Server(prefix=activate)
    server.port = port
    wait_until(lambda: b"Listening on" in read(server.said), "the socket is there")
    Sender(server).send(b"<13>hello")
    with server:
        check_equal(server.port, port)
        Sender(server).send(b"<13>hello again")
        server.end()
        check_equal(texts_of(server.output), ["hello", "hello again"])


def run_with_nothing():
    environment = {**os.environ, "LISTEN_FDS": "0"}
    done = subprocess.run(
        command(), env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    check_equal(done.returncode, 1)
    return done.stderr


def test_nothing_handed_over():
    """It fails where systemd was to hand over a socket and has not."""
    check("Could not take over a socket: " in run_with_nothing(), run_with_nothing())


def test_mistakes():
    """Options that make no sense, a port in use, a file that cannot be opened: it says so."""
    for arguments in ["--port", "65536"], ["--port", "-1"], ["file"], ["--nothing"]:
        status, said = run_to_end(*arguments)
        check(status == 2 and said, f"{arguments}: {status}, {said}")
    status, said = run_to_end("--port", "0", "--output", "/nowhere/messages")
    check_equal(said, "Could not open /nowhere/messages: No such file or directory\n")
    check_equal(status, 1)
    with Server() as server:
        status, said = run_to_end("--port", str(server.port))
        check_equal(said, f"Could not listen on port {server.port}: Address already in use\n")
        check_equal(status, 1)


# The run


def run(number, name, test):
    description = f"{number} - {test.__doc__.splitlines()[0]}"
    try:
        test()
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
        for number, (name, test) in enumerate(tests, 1):
            run(number, name, test)
    finally:
        for server in Server.started:
            server.clear()


main()
