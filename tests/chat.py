# SPDX-License-Identifier: LGPL-2.1-or-later

"""Speaks the chat's protocol on raw sockets, and types in pseudo terminals, to test both programs.

Each test is a function whose documentation is its name in the TAP output. Nothing here waits for
a time to pass: every wait is for a condition, and only a failed one takes DEADLINE seconds.
"""

import contextlib
import fcntl
import os
import pty
import pwd
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

DEADLINE = 30
BUILT = os.path.join(os.environ.get("abs_top_builddir", "."), "examples")
WRAPPER = os.environ.get("ES_TEST_WRAPPER", "").split()

# The client in another language.
CLIENT = os.environ.get("ES_CHAT_CLIENT", "").split()
ROWS, COLUMNS = 24, 80


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
        check(time.monotonic() < end, f"waited in vain until {what() if callable(what) else what}")
        time.sleep(0.01)


def command(name, *arguments):
    """Gives the command line of a program, which make check may have run in something else."""
    if name == "chat-client" and CLIENT:
        return [*CLIENT, *arguments]
    path = os.path.join(BUILT, name)
    if not os.access(path, os.X_OK):
        raise Skip(f"{name} was not built")
    return [*WRAPPER, path, *arguments]


# Sockets


class Stranger:
    """A client that shares no code with the project: a connected UDP socket."""

    # All stay open, so that nobody gets the port of a member and is taken for it.
    opened = []

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
        )
        self.socket.settimeout(DEADLINE)
        self.socket.connect((host, port))
        Stranger.opened.append(self.socket)

    def say(self, message):
        self.socket.send(message.encode() if isinstance(message, str) else message)

    def hear_bytes(self):
        return self.socket.recv(65536)

    def hear(self):
        return self.hear_bytes().decode()

    def ask(self, message):
        self.say(message)
        return self.hear()

    def join(self, name):
        check_equal(self.ask(f"JOIN {name}"), "JOK")
        return self

    def check_hears_nothing(self):
        """Tells by what is surely answered that nothing was sent to us before that."""
        check_equal(self.ask("JOIN ("), "JERR ALREADY JOINED")


class Puppet:
    """A server that does only what the test says."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.client = None

    def hear(self):
        message, self.client = self.socket.recvfrom(65536)
        return message.decode()

    def hear_until(self, expected):
        while self.hear() != expected:
            pass

    def say(self, message):
        self.socket.sendto(message.encode(), self.client)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


# Programs


class Program:
    """A program of ours, with pipes."""

    started = []

    def __init__(self, name, *arguments):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command(name, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        Program.started.append(self.process)

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read_line(self):
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
            check(ready, f"no line, only {line!r}")
            byte = os.read(self.process.stdout.fileno(), 1)
            check(byte, f"the output ended after {line!r}; the log is: {self.read_log()}")
            line += byte
        return line.decode().rstrip("\n")

    def read_log(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_for_log(self, text):
        wait_until(lambda: text in self.read_log(), lambda: f"{text!r} is in {self.read_log()!r}")

    def wait(self):
        """Waits for the end, and gives status and remaining output."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, output.decode()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        check_equal(self.wait()[0], 0)


class Server(Program):
    def __init__(self, *arguments):
        super().__init__("chat-server", "--port", "0", *arguments)
        self.is_verbose = "--verbose" in arguments
        line = self.read_line()
        found = re.fullmatch(r"Listening on port (\d+)", line)
        check(found, f"not the port: {line!r}")
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.end()
            check(self.is_verbose or not self.read_log(), f"it complains: {self.read_log()}")


class Screen:
    """What a terminal shows: the few control sequences that readline uses, and no others."""

    sequence = re.compile(r"\x1b\[([?\d;]*)([@-~])")

    def __init__(self):
        self.columns = COLUMNS
        self.lines = [""]
        self.row = self.column = 0

    def put(self, character):
        if self.column >= self.columns:
            self.row, self.column = self.row + 1, 0
        while self.row >= len(self.lines):
            self.lines.append("")
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def control(self, arguments, final):
        count = int(arguments) if arguments.isdigit() else 0
        line = self.lines[self.row].ljust(self.column)
        before, after = line[: self.column], line[self.column :]
        if final == "K":
            self.lines[self.row] = {0: before, 1: " " * self.column + after, 2: ""}[count]
        elif final == "J":
            check_equal(count, 0)
            self.lines[self.row :] = [before]
        elif final == "P":
            self.lines[self.row] = before + after[max(count, 1) :]
        elif final == "@":
            self.lines[self.row] = before + " " * max(count, 1) + after
        elif final == "A":
            self.row = max(self.row - max(count, 1), 0)
        elif final == "C":
            self.column = min(self.column + max(count, 1), self.columns - 1)
        elif final == "D":
            self.column = max(self.column - max(count, 1), 0)
        else:
            check(final in "mhl", f"unknown sequence {arguments}{final}")

    def feed(self, text):
        """Draws text, and gives back the unfinished sequence at its end."""
        while text:
            found = self.sequence.match(text)
            if found:
                self.control(found[1], found[2])
                text = text[found.end() :]
                continue
            if text[0] == "\x1b" and re.fullmatch(r"\x1b(\[[?\d;]*)?", text):
                return text
            self.feed_one(text[0])
            text = text[1:]
        return ""

    def feed_one(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            while self.row >= len(self.lines):
                self.lines.append("")
        elif character == "\b":
            self.column = max(min(self.column, self.columns - 1) - 1, 0)
        elif character != "\a":
            check(character.isprintable(), f"control character {character!r} reached the terminal")
            self.put(character)

    def shown(self):
        """Gives the lines, down to the last that has text or the cursor."""
        lines = [line.rstrip() for line in self.lines]
        while len(lines) > self.row + 1 and not lines[-1]:
            lines.pop()
        return lines


class Terminal:
    """A chat-client in a pseudo terminal of its own, and what stands on its screen."""

    def __init__(self, *arguments):
        line = command("chat-client", *arguments)
        self.screen = Screen()
        self.rest = ""
        self.status = None
        self.master, slave = pty.openpty()
        # Held open, so that the modes can still be asked for when the client has ended.
        self.slave = slave
        self.resize(COLUMNS)
        self.modes = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            line,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null"},
        )
        Program.started.append(self.process)

    def resize(self, columns):
        size = struct.pack("HHHH", ROWS, columns, 0, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)
        self.screen.columns = columns
        self.screen.lines = [line[:columns] for line in self.screen.lines]

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            text = os.read(self.master, 65536).decode()
            self.rest = self.screen.feed(self.rest + text)

    def shows(self, *lines):
        """Tells whether the last lines of the screen are these."""
        self.read()
        return self.screen.shown()[-len(lines) :] == list(lines)

    def wait_for(self, *lines):
        wait_until(
            lambda: self.shows(*lines),
            lambda: f"the screen ends with {lines}; it shows {self.screen.shown()}",
        )

    def joined(self):
        wait_until(
            lambda: self.shows(">") and any("Joined" in line for line in self.screen.shown()),
            lambda: f"it has joined; it shows {self.screen.shown()}",
        )
        return self

    def check_ended_cleanly(self):
        wait_until(lambda: self.process.poll() is not None, "the client ends")
        self.read()
        check_equal(self.process.returncode, 0)
        check_equal(termios.tcgetattr(self.slave), self.modes)
        check_equal(self.screen.column, 0)
        check_equal(self.screen.shown()[self.screen.row :], [""])


# The protocol, row by row


def test_join(server):
    """JOIN <name>: JOK"""
    check_equal(Stranger(server.port).ask("JOIN join"), "JOK")


def test_name_taken(server):
    """JOIN <name>: JERR NAME TAKEN"""
    Stranger(server.port).join("taken")
    check_equal(Stranger(server.port).ask("JOIN taken"), "JERR NAME TAKEN")


def test_bad_name(server):
    """JOIN <name>: JERR BAD NAME"""
    stranger = Stranger(server.port)
    bad = [b"", b"a" * 33, "\N{GREEK SMALL LETTER PI}".encode() * 33, b"a(b", b"a)b", b"\xff\xfe"]
    bad += [b"a\xc3", b"a\0b", b"\n"]
    for name in bad:
        check_equal(stranger.ask(b"JOIN " + name), "JERR BAD NAME")
    check_equal(stranger.ask("JOIN"), "JERR BAD NAME")


def test_already_joined(server):
    """JOIN <name>: JERR ALREADY JOINED"""
    stranger = Stranger(server.port).join("already")
    for name in ("already", "another", "(", ""):
        check_equal(stranger.ask(f"JOIN {name}"), "JERR ALREADY JOINED")


def test_longest_name(server):
    """JOIN <name>: 32 characters are a name, however many bytes they take"""
    name = "\N{GREEK SMALL LETTER PI}" * 32
    stranger = Stranger(server.port).join(name)
    check_equal(stranger.ask("MSGA hi"), f"({name}) hi")


def test_exact_name(server):
    """JOIN <name>: names that differ in case or by a space are different names"""
    for name in ("exact", "Exact", "exact ", " exact", "exact exact"):
        Stranger(server.port).join(name)


def test_message_to_all(server):
    """MSGA <text>: everyone, the sender too, gets (<sender>) <text>"""
    with Server() as alone:
        members = [Stranger(alone.port).join(name) for name in ("ann", "bob", "cid")]
        for sender, name in zip(members, ("ann", "bob", "cid")):
            sender.say("MSGA hello all")
            for member in members:
                check_equal(member.hear(), f"({name}) hello all")


def test_message_as_it_is(server):
    """MSGA <text>: spaces, line ends, UTF-8, NUL and any byte arrive as they were sent"""
    stranger = Stranger(server.port).join("as it is")
    texts = [b"", b" ", b"  two  ", b"line\n", b"(x) y", "\N{SNOWMAN}".encode(), b"a\0b\xff"]
    texts += [b"x" * 2049, b"x" * 60000]
    for text in texts:
        stranger.say(b"MSGA " + text)
        check_equal(stranger.hear_bytes(), b"(as it is) " + text)


def test_message_over_both_families(server):
    """MSGA <text>: members over IPv4 and IPv6 hear each other"""
    if not has_ipv6():
        raise Skip("IPv6 is missing")
    four = Stranger(server.port).join("four")
    six = Stranger(server.port, "::1").join("six")
    check_equal(six.ask("MSGP (four) hi"), "(six) hi")
    check_equal(four.hear(), "(six) hi")
    check_equal(four.ask("MSGP (six) hi"), "(four) hi")
    check_equal(six.hear(), "(four) hi")


def test_message_to_one(server):
    """MSGP (<name>) <text>: that member and the sender get (<sender>) <text>, nobody else"""
    one, two, other = (Stranger(server.port).join(name) for name in ("one", "two 2", "other"))
    check_equal(one.ask("MSGP (two 2) psst"), "(one) psst")
    check_equal(two.hear(), "(one) psst")
    for member in (one, two, other):
        member.check_hears_nothing()


def test_message_to_oneself(server):
    """MSGP (<name>) <text>: to oneself it comes once"""
    stranger = Stranger(server.port).join("self")
    check_equal(stranger.ask("MSGP (self) hm"), "(self) hm")
    stranger.check_hears_nothing()


def test_no_such_name(server):
    """MSGP (<name>) <text>: MERR NO SUCH NAME"""
    stranger = Stranger(server.port).join("lonely")
    for name in ("nobody", "Lonely", "lonel", ""):
        check_equal(stranger.ask(f"MSGP ({name}) hi"), "MERR NO SUCH NAME")


def test_exit(server):
    """EXIT: leaves, nothing is answered"""
    leaver = Stranger(server.port).join("leaver")
    stayer = Stranger(server.port).join("stayer")
    leaver.say("EXIT")
    check_equal(leaver.ask("MSGA am I gone?"), "MERR JOIN FIRST")
    check_equal(stayer.ask("MSGP (leaver) gone?"), "MERR NO SUCH NAME")
    Stranger(server.port).join("leaver")


def test_join_first(server):
    """MSGA or MSGP from one who has not joined: MERR JOIN FIRST"""
    stranger = Stranger(server.port)
    for message in ("MSGA hi", "MSGP (nobody) hi", "MSGP hi"):
        check_equal(stranger.ask(message), "MERR JOIN FIRST")


def test_anything_else(server):
    """anything else: ignored, and logged with --verbose"""
    with Server("--verbose") as verbose:
        stranger = Stranger(verbose.port)
        for message in ("", "HELLO", "join x", "JOINx", " JOIN x", "EXIT", "PONG", "\x1b[2Jx"):
            stranger.say(message)
        stranger.join("else")
        for message in ("MSGP hi", "MSGP (else)hi", "MSGP (else", "EXIT now", "PONG 1", "JOK"):
            stranger.say(message)
        stranger.check_hears_nothing()
        verbose.wait_for_log("ignored: JOK")
        for text in ("ignored: HELLO", "ignored: EXIT now", "ignored: \\033[2Jx"):
            check(text in verbose.read_log(), f"{text!r} is not logged: {verbose.read_log()!r}")


def test_quiet(server):
    """anything else: nothing is logged without --verbose"""
    with Server() as quiet:
        stranger = Stranger(quiet.port)
        stranger.say("HELLO")
        stranger.join("quiet")
        stranger.say("EXIT")


def test_line_end(server):
    """JOIN, EXIT and PONG may end with a line end, as nc and socat send it"""
    for end in ("\n", "\r\n"):
        stranger = Stranger(server.port)
        check_equal(stranger.ask(f"JOIN line{end}"), "JOK")
        stranger.say(f"PONG{end}")
        check_equal(stranger.ask("MSGP (line) hi"), "(line) hi")
        stranger.say(f"EXIT{end}")
        check_equal(stranger.ask("MSGA hi"), "MERR JOIN FIRST")


# The pings


def is_member(witness, name):
    """Asks by a message, which the member hears as well if it is one."""
    while True:
        witness.say(f"MSGP ({name}) still here?")
        answer = witness.hear()
        while answer == "PING":
            answer = witness.hear()
        if answer != "MERR JOIN FIRST":
            return answer != "MERR NO SUCH NAME"
        # It was too slow to be taken for alive.
        witness.join("witness")


def count_pings_until(expected, member, pings, on_ping):
    """Counts the pings that come before a message, on top of others."""
    heard = member.hear()
    while heard != expected:
        check_equal(heard, "PING")
        pings += 1
        on_ping(pings)
        heard = member.hear()
    return pings


def count_pings_until_removed(server, member, name, on_ping=lambda pings: None):
    """Counts the pings that a member gets until the server knows it no more."""
    witness = Stranger(server.port).join("witness")
    pings = 0
    end = time.monotonic() + DEADLINE
    while is_member(witness, name):
        check(time.monotonic() < end, f"{pings} pings and still a member")
        pings = count_pings_until("(witness) still here?", member, pings, on_ping)
        time.sleep(0.01)
    witness.say("EXIT")
    member.say("MSGA still here?")
    return count_pings_until("MERR JOIN FIRST", member, pings, on_ping)


def test_silent_removed(server):
    """PING: who leaves more than --max-missed unanswered is removed"""
    for missed in (0, 3):
        with Server("--ping-interval", "0.1", "--max-missed", str(missed)) as pinging:
            silent = Stranger(pinging.port).join("silent")
            check_equal(count_pings_until_removed(pinging, silent, "silent"), missed + 1)
            silent.join("silent")


def test_silent_pinged(server):
    """PING: only who was silent for --ping-interval is sent one"""
    with Server("--ping-interval", "0.4") as pinging:
        member = Stranger(pinging.port).join("member")
        for _ in range(3):
            time.sleep(0.2)
            spoken = time.monotonic()
            member.say("HELLO")
        check_equal(member.hear(), "PING")
        silence = time.monotonic() - spoken
        check(silence >= 0.4, f"pinged after {silence} s")


def test_pong(server):
    """PONG: the sender's count of unanswered pings is 0 again"""
    with Server("--ping-interval", "0.1", "--max-missed", "5") as pinging:
        member = Stranger(pinging.port).join("member")

        def answer_third(pings):
            if pings == 3:
                member.say("PONG")

        pings = count_pings_until_removed(pinging, member, "member", answer_third)
        # Six go unanswered once the third was answered; a late answer only adds to that.
        check(pings >= 9, f"removed after {pings} pings")


def test_pong_always(server):
    """PONG: who answers every PING stays"""
    with Server("--ping-interval", "0.1", "--max-missed", "2") as pinging:
        member = Stranger(pinging.port).join("member")
        for _ in range(8):
            check_equal(member.hear(), "PING")
            member.say("PONG")
        member.say("MSGA still here")
        wait_until(lambda: member.hear() == "(member) still here", "it is still a member")


def test_any_word(server):
    """anything: whatever a member says, it is alive"""
    with Server("--ping-interval", "0.1", "--max-missed", "2") as pinging:
        member = Stranger(pinging.port).join("member")
        for word in (b"", b"HELLO", b"\xff", b"PING", b"EXIT not", b"MSGP", b"pong", b" "):
            check_equal(member.hear(), "PING")
            member.say(word)
        member.say("MSGA still here")
        wait_until(lambda: member.hear() == "(member) still here", "it is still a member")


def test_coming_and_going(server):
    """Members come, talk and go while others are pinged and removed"""
    with Server("--ping-interval", "0.001", "--max-missed", "1") as hasty:
        members = [Stranger(hasty.port) for _ in range(30)]
        witness = Stranger(hasty.port)
        for turn in range(50):
            for number, member in enumerate(members):
                member.say(f"JOIN {turn}-{number}")
                member.say("MSGA hello")
                if number % 3:
                    member.say("EXIT")
            # No turn begins before the server has done with the last.
            check_equal(witness.ask("MSGA still there?"), "MERR JOIN FIRST")


# The server's own matters


def test_port_in_use(server):
    """chat-server on a port in use says so and fails"""
    second = Program("chat-server", "--port", str(server.port))
    check_equal(second.wait(), (1, ""))
    check_equal(
        second.read_log(), f"Could not listen on port {server.port}: Address already in use\n"
    )


def test_bad_options(server):
    """chat-server refuses options that make no sense"""
    bad = [["--port", "65536"], ["--port", "-1"], ["--ping-interval", "0"], ["surplus"]]
    bad += [["--ping-interval", "nan"], ["--max-missed", "-1"], ["--port", "x"], ["--what"]]
    programs = [Program("chat-server", *options) for options in bad]
    for refused, options in zip(programs, bad):
        check_equal((options, refused.wait()), (options, (2, "")))
        check(refused.read_log(), "no reason was given")


def test_server_ends(server):
    """chat-server ends cleanly on SIGINT and SIGTERM"""
    for number in (signal.SIGINT, signal.SIGTERM):
        ending = Server()
        Stranger(ending.port).join("someone")
        ending.end(number)


# The client, from a pipe


def client(server, name, *arguments, host="127.0.0.1"):
    return Program("chat-client", "--name", name, f"{host}:{server.port}", *arguments)


def test_client_pipe(server):
    """chat-client from a pipe: lines go out, answers come in, nothing else is printed"""
    stranger = Stranger(server.port).join("stranger")
    piped = client(server, "piped")
    piped.type("hello\n\n/msg stranger psst\n/msg (stranger) with parentheses\nunfin")
    for text in ("hello", "psst", "with parentheses"):
        check_equal(stranger.hear(), f"(piped) {text}")
        check_equal(piped.read_line(), f"(piped) {text}")
    piped.type("ished")
    piped.process.stdin.close()
    piped.process.stdin = None
    check_equal(stranger.hear(), "(piped) unfinished")
    status, output = piped.wait()
    check_equal(status, 0)
    check(output in ("", "(piped) unfinished\n"), f"what is this? {output!r}")
    check_equal(stranger.ask("MSGP (piped) gone?"), "MERR NO SUCH NAME")


def test_client_ipv6(server):
    """chat-client [::1]:PORT"""
    if not has_ipv6():
        raise Skip("IPv6 is missing")
    piped = client(server, "literal", host="[::1]")
    piped.type("hello\n")
    check_equal(piped.read_line(), "(literal) hello")
    piped.type("/quit\n")
    check_equal(piped.wait(), (0, ""))


def test_client_login(server):
    """chat-client takes its name from the login"""
    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise Skip("this user has no name")
    piped = Program("chat-client", f"127.0.0.1:{server.port}")
    piped.type("hello\n")
    check_equal(piped.read_line(), f"({login}) hello")
    piped.end()


def test_client_name_taken(server):
    """chat-client explains JERR NAME TAKEN and JERR BAD NAME, and fails"""
    Stranger(server.port).join("mine")
    for name, reason in (("mine", "Somebody is called mine"), ("(", "( is no name")):
        refused = client(server, name)
        check_equal(refused.wait(), (1, ""))
        check(reason in refused.read_log(), f"not explained: {refused.read_log()!r}")


def test_client_commands(server):
    """chat-client explains commands that it does not know, and MERR NO SUCH NAME"""
    piped = client(server, "commander")
    for line, answer in (
        ("/help", "There are /msg NAME text and /quit"),
        ("/msg", "There are /msg NAME text and /quit"),
        ("/msg nobody", "To whom, and what?"),
        ("/msg nobody hi", "Nobody of that name is here"),
    ):
        piped.type(line + "\n")
        piped.wait_for_log(answer)
    piped.type("/quit\n")
    check_equal(piped.wait(), (0, ""))


def test_client_refused(server):
    """chat-client tells that nobody listens, and fails"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        # The port is free on 127.0.0.1 alone, so that nothing else takes it by chance.
        held.bind(("127.0.0.2", 0))
        refused = Program("chat-client", f"127.0.0.1:{held.getsockname()[1]}")
        check_equal(refused.wait(), (1, ""))
    check("Nobody listens on 127.0.0.1:" in refused.read_log(), f"not told: {refused.read_log()!r}")


def test_client_bad_host(server):
    """chat-client tells what is wrong with its arguments"""
    for arguments, status in ((["127.0.0.1:x"], 1), ([], 2), (["a", "b"], 2), (["--what"], 2)):
        wrong = Program("chat-client", *arguments)
        check_equal((arguments, wrong.wait()), (arguments, (status, "")))
        check(wrong.read_log(), "no reason was given")


def test_client_join_lost(server):
    """chat-client sends JOIN again when the answer is lost"""
    puppet = Puppet()
    piped = client(puppet, "patient")
    for _ in range(3):
        check_equal(puppet.hear(), "JOIN patient")
    puppet.say("JERR ALREADY JOINED")
    piped.type("hello\n")
    puppet.hear_until("MSGA hello")
    piped.end()
    puppet.hear_until("EXIT")


def test_client_port_inherited(server):
    """chat-client on the port of one who has not left joins under its own name"""
    puppet = Puppet()
    piped = client(puppet, "heir")
    check_equal(puppet.hear(), "JOIN heir")
    puppet.say("JERR ALREADY JOINED")
    check_equal(puppet.hear(), "EXIT")
    puppet.hear_until("JOIN heir")
    puppet.say("JOK")
    piped.type("hello\n")
    puppet.hear_until("MSGA hello")
    piped.end()


def test_client_ping(server):
    """chat-client answers PING by itself"""
    puppet = Puppet()
    piped = client(puppet, "pinged")
    puppet.hear_until("JOIN pinged")
    puppet.say("JOK")
    for _ in range(3):
        puppet.say("PING")
        puppet.hear_until("PONG")
    piped.end(signal.SIGINT)


def test_client_forgotten(server):
    """chat-client joins again when the server has forgotten it"""
    puppet = Puppet()
    piped = client(puppet, "known")
    puppet.hear_until("JOIN known")
    puppet.say("JOK")
    piped.type("hello\n")
    puppet.hear_until("MSGA hello")
    puppet.say("MERR JOIN FIRST")
    puppet.hear_until("JOIN known")
    piped.wait_for_log("say it again")
    puppet.say("JOK")
    piped.type("hello again\n")
    puppet.hear_until("MSGA hello again")
    piped.end()


def test_client_server_away(server):
    """chat-client tells when the server has gone, and stays until told to quit"""
    with Server() as leaving:
        piped = client(leaving, "left")
        piped.type("hello\n")
        check_equal(piped.read_line(), "(left) hello")
    piped.type("anybody?\n")
    piped.wait_for_log("Nobody listens on 127.0.0.1:")
    piped.type("/quit\n")
    check_equal(piped.wait(), (0, ""))


def test_client_escapes(server):
    """chat-client escapes what would command the terminal"""
    puppet = Puppet()
    piped = client(puppet, "careful")
    puppet.hear_until("JOIN careful")
    puppet.say("JOK")
    for text, shown in (
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\n(b) c", "a\\x0a(b) c"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}x\N{LINE SEPARATOR}y", "\\u202ex\\u2028y"),
        ("nc's line end\n", "nc's line end"),
    ):
        puppet.say(f"(x) {text}")
        check_equal(piped.read_line(), f"(x) {shown}")
    piped.end()


# The puppet that never answers and its client, from the start: the others pass the time meanwhile.
giving_up = None


def test_client_gives_up(server):
    """chat-client tells that a server does not answer, and fails"""
    _puppet, piped = giving_up or (None, command("chat-client"))
    check_equal(piped.wait(), (1, ""))
    check("does not answer" in piped.read_log(), f"not told: {piped.read_log()!r}")


# The client, in a terminal


def terminal(server, name):
    return Terminal("--name", name, f"127.0.0.1:{server.port}")


def test_terminal_chat(server):
    """Two people at terminals and a stranger talk to each other"""
    ada, bob = terminal(server, "ada").joined(), terminal(server, "bob").joined()
    stranger = Stranger(server.port).join("zoe")
    ada.type("hello, world \N{SNOWMAN}\r")
    ada.wait_for("> hello, world \N{SNOWMAN}", "(ada) hello, world \N{SNOWMAN}", ">")
    bob.wait_for("(ada) hello, world \N{SNOWMAN}", ">")
    check_equal(stranger.hear(), "(ada) hello, world \N{SNOWMAN}")
    stranger.say("MSGP (bob) psst")
    bob.wait_for("(zoe) psst", ">")
    bob.type("/msg zoe what?\r")
    check_equal(stranger.hear(), "(zoe) psst")
    check_equal(stranger.hear(), "(bob) what?")
    bob.wait_for("> /msg zoe what?", "(bob) what?", ">")
    check(ada.shows("(ada) hello, world \N{SNOWMAN}", ">"), "ada saw what was not for her")
    for person in (ada, bob):
        person.type("/quit\r")
        person.check_ended_cleanly()


def test_terminal_line_kept(server):
    """The line being typed stays whole when messages arrive, and can be edited on"""
    typist = terminal(server, "typist").joined()
    stranger = Stranger(server.port).join("breaker")
    typist.type("half a lime")
    typist.wait_for("> half a lime")
    for text in ("one", "two"):
        stranger.say(f"MSGP (typist) {text}")
        typist.wait_for(f"(breaker) {text}", "> half a lime")
        check_equal(stranger.hear(), f"(breaker) {text}")
    typist.type("\x1b[D\x1b[D\x7f")
    typist.wait_for("> half a lme")
    stranger.say("MSGP (typist) three")
    typist.wait_for("(breaker) one", "(breaker) two", "(breaker) three", "> half a lme")
    check_equal(typist.screen.column, len("> half a l"))
    typist.type("in\r")
    check_equal(stranger.hear(), "(breaker) three")
    check_equal(stranger.hear(), "(typist) half a linme")
    typist.type("/quit\r")
    typist.check_ended_cleanly()


def test_terminal_long_line_kept(server):
    """A line longer than the terminal is wide stays whole, too"""
    typist = terminal(server, "novelist").joined()
    stranger = Stranger(server.port).join("interrupter")
    line = "> " + "".join(chr(ord("a") + n % 26) for n in range(2 * COLUMNS))
    rows = [line[:COLUMNS], line[COLUMNS : 2 * COLUMNS], line[2 * COLUMNS :]]
    typist.type(line[2:])
    typist.wait_for(*rows)
    stranger.say("MSGP (novelist) one")
    typist.wait_for("(interrupter) one", *rows)
    typist.type("\x01")
    wait_until(lambda: typist.shows(*rows) and typist.screen.column == 2, "the cursor is home")
    stranger.say("MSGP (novelist) two")
    typist.wait_for("(interrupter) one", "(interrupter) two", *rows)
    typist.type("\x03")
    typist.check_ended_cleanly()


def test_terminal_paste(server):
    """Lines pasted at once are sent one by one"""
    paster = terminal(server, "paster").joined()
    stranger = Stranger(server.port).join("reader")
    paster.type("\x1b[200~first\nsecond\x1b[201~\r")
    check_equal(stranger.hear(), "(paster) first")
    check_equal(stranger.hear(), "(paster) second")
    paster.wait_for("(paster) first", "(paster) second", ">")
    paster.type("\x04")
    paster.check_ended_cleanly()


def test_terminal_command(server):
    """What a command is told stands below it, and above the next line"""
    learner = terminal(server, "learner").joined()
    learner.type("/help\r")
    learner.wait_for("> /help", "* There are /msg NAME text and /quit", ">")
    learner.type("/msg nobody hi\r")
    learner.wait_for("> /msg nobody hi", "* Nobody of that name is here", ">")
    learner.type("/quit\r")
    learner.check_ended_cleanly()


def test_terminal_continued(server):
    """A client that was stopped goes on with the line being typed"""
    sleeper = terminal(server, "sleeper").joined()
    sleeper.type("half a line")
    sleeper.wait_for("> half a line")
    edited = termios.tcgetattr(sleeper.slave)
    sleeper.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.process.pid, os.WSTOPPED | os.WNOWAIT)
    # What a shell does that takes the terminal back.
    termios.tcsetattr(sleeper.slave, termios.TCSANOW, sleeper.modes)
    os.write(sleeper.slave, b"\n$ fg\n")
    sleeper.process.send_signal(signal.SIGCONT)
    sleeper.wait_for("$ fg", "> half a line")
    check_equal(termios.tcgetattr(sleeper.slave), edited)
    sleeper.type("\x03")
    sleeper.check_ended_cleanly()


def test_terminal_resized(server):
    """A terminal that becomes narrower holds the line being typed"""
    typist = terminal(server, "narrow").joined()
    line = "> " + "x" * 60
    typist.type(line[2:])
    typist.wait_for(line)
    typist.resize(40)
    typist.wait_for(line[:40], line[40:])
    typist.type("y")
    typist.wait_for(line[:40], line[40:] + "y")
    typist.type("\x03")
    typist.check_ended_cleanly()


def check_ends(server, name, end, typed=""):
    stranger = Stranger(server.port).join(f"{name}'s friend")
    leaver = terminal(server, name).joined()
    if typed:
        leaver.type(typed)
        leaver.wait_for("> " + typed)
    end(leaver)
    leaver.check_ended_cleanly()
    check_equal(stranger.ask(f"MSGP ({name}) gone?"), "MERR NO SUCH NAME")
    stranger.say("EXIT")


def test_terminal_control_c(server):
    """Ctrl-C leaves the chat and the terminal as it was"""
    for typed in ("", "half a line"):
        check_ends(server, "interrupted", lambda leaver: leaver.type("\x03"), typed)


def test_terminal_control_d(server):
    """Ctrl-D leaves the chat and the terminal as it was"""
    check_ends(server, "ended", lambda leaver: leaver.type("\x04"))


def test_terminal_quit(server):
    """/quit leaves the chat and the terminal as it was"""
    check_ends(server, "quitter", lambda leaver: leaver.type("/quit\r"))


def test_terminal_sigterm(server):
    """SIGTERM leaves the chat and the terminal as it was"""
    for typed in ("", "half a line"):
        check_ends(server, "ended", lambda leaver: leaver.process.terminate(), typed)


def test_terminal_hangup(server):
    """A terminal that is closed ends the client, which leaves the chat"""
    stranger = Stranger(server.port).join("survivor")
    hung_up = terminal(server, "hung up").joined()
    os.close(hung_up.slave)
    os.close(hung_up.master)
    wait_until(lambda: hung_up.process.poll() is not None, "the client ends")
    check_equal(hung_up.process.returncode, 0)
    check_equal(stranger.ask("MSGP (hung up) gone?"), "MERR NO SUCH NAME")


# Everything encrypted


def make_certificate(directory):
    """Makes a certificate that vouches for itself, and its key."""
    paths = os.path.join(directory, "certificate.pem"), os.path.join(directory, "key.pem")
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    request += ["ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    request += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run(
            [*request, "-out", paths[0], "-keyout", paths[1]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise Skip("openssl is not there") from None
    return paths


@contextlib.contextmanager
def private_server():
    """Gives a server that encrypts, and the certificate to trust."""
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = make_certificate(directory)
        options = ["--tls-certificate", certificate, "--tls-key", key]
        probe = Program("chat-server", "--port", "0", *options)
        is_able = bool(probe.process.stdout.readline())
        probe.process.kill()
        probe.process.wait()
        lacks = ("TLS support", "without DTLS")
        if not is_able and any(text in probe.read_log() for text in lacks):
            raise Skip("glib-networking or DTLS is not there")
        with Server("--verbose", *options) as server:
            yield server, certificate


def test_private_chat(_server):
    """chat-client --tls --tls-ca talks to chat-server --tls-certificate --tls-key"""
    with private_server() as (server, certificate):
        first = client(server, "first", "--tls", "--tls-ca", certificate)
        second = client(server, "second", "--tls", "--tls-ca", certificate)
        first.wait_for_log("Joined")
        second.wait_for_log("Joined")
        first.type("a secret\n")
        check_equal(first.read_line(), "(first) a secret")
        check_equal(second.read_line(), "(first) a secret")
        first.end()
        second.end()


def test_private_chat_refuses(_server):
    """chat-server --tls-certificate hears nobody else, and chat-client --tls trusts nobody else"""
    with private_server() as (server, certificate):
        distrustful = client(server, "distrustful", "--tls")
        check_equal(distrustful.wait(), (1, ""))
        check("is not trusted" in distrustful.read_log(), distrustful.read_log())
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.connect(("127.0.0.1", server.port))
        plain.send(b"JOIN plain")
        trusting = client(server, "trusting", "--tls", "--tls-ca", certificate)
        trusting.wait_for_log("Joined")
        check(not select.select([plain], [], [], 0)[0], "what is not encrypted was answered")
        check("plain" not in server.read_log(), "what is not encrypted was heard")
        trusting.end()


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
    global giving_up
    try:
        with contextlib.suppress(Skip):
            puppet = Puppet()
            giving_up = puppet, client(puppet, "impatient")
        with Server("--ping-interval", "3600") as server:
            for number, (name, test) in enumerate(tests, 1):
                run(number, name, test, server)
    finally:
        for process in Program.started:
            if process.poll() is None:
                process.kill()
                process.wait()


main()
