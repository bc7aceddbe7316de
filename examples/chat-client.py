#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Joins a chat and shows who says what: chat-client.py [--name NAME] HOST[:PORT]

A typed line goes to everyone, "/msg NAME text" to one member, "/quit" or Ctrl-D leaves. What others
send is escaped before it is shown: a name or a text must not be able to move the cursor.
"""

import argparse
import os
import signal
import sys

import gi

gi.require_version("EasyServers", "0")

from gi.repository import EasyServers, Gio, GLib  # noqa: E402

DEFAULT_PORT = 1234
JOIN_INTERVAL_MS = 500
MAX_JOINS = 10

# Joiners belong to words and to emoji.
JOINERS = "\u200c\u200d"


def escape(text):
    """Makes a line that a terminal only shows."""

    def escape_character(c):
        if c.isprintable() or c in JOINERS:
            return c
        return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}"

    return "".join(map(escape_character, text.rstrip()))


def tell(text):
    print("*", escape(text), file=sys.stderr, flush=True)


class Chat:
    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.n_joins = 0
        self.join_timer = 0
        self.is_typing = False
        self.typed = b""
        self.exit_status = None
        self.client = EasyServers.UdpClient()
        self.client.connect("message-received", self.on_message_received)
        self.client.connect("error", self.on_error)

    def run(self):
        self.client.connect_to_host(self.server, DEFAULT_PORT)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, self.leave, 0)
        self.start_joining()
        self.client.run()
        return self.exit_status

    def send(self, text):
        try:
            self.client.send(text)
        except GLib.Error as error:
            tell(error.message)

    def leave(self, exit_status):
        if self.exit_status is None:
            self.exit_status = exit_status
            if exit_status == 0:
                self.send("EXIT")
            self.client.quit()
        return GLib.SOURCE_CONTINUE

    # Joining: a datagram may be lost, and its answer too.

    def start_joining(self):
        if not self.join_timer:
            self.n_joins = 0
            self.join_timer = GLib.timeout_add(JOIN_INTERVAL_MS, self.join_again)
            self.join()

    def join(self):
        self.n_joins += 1
        self.send(f"JOIN {self.name}")

    def join_again(self):
        if self.n_joins < MAX_JOINS:
            self.join()
        else:
            tell(f"{self.server} does not answer")
            self.leave(1)
        return GLib.SOURCE_CONTINUE

    def on_joined(self):
        GLib.source_remove(self.join_timer)
        self.join_timer = 0
        tell(f"Joined {self.server} as {self.name}: /msg NAME text, /quit")
        if not self.is_typing:
            self.is_typing = True
            conditions = GLib.IOCondition.IN | GLib.IOCondition.HUP
            GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, conditions, self.on_typed)

    def on_refused(self, reason):
        if reason == "ALREADY JOINED":
            if self.n_joins > 1:
                self.on_joined()
                return
            # Whoever had this port before us has not left, and is there under another name.
            self.send("EXIT")
            self.join()
            return
        if reason == "NAME TAKEN":
            tell(f"Somebody is called {self.name} there already: choose another --name")
        elif reason == "BAD NAME":
            tell(f"{self.name} is no name: it takes 1 to 32 characters, no parentheses")
        else:
            tell(f"{self.server} lets nobody in: {reason}")
        self.leave(1)

    # What the server says

    def on_message_received(self, client, message, address, send):
        text = message.decode(errors="replace")
        verb, _space, rest = text.partition(" ")
        if text.startswith("("):
            print(escape(text), flush=True)
        elif text == "PING":
            self.send("PONG")
        elif verb == "JOK" and self.join_timer:
            self.on_joined()
        elif verb == "JERR" and self.join_timer:
            self.on_refused(rest)
        elif text == "MERR NO SUCH NAME":
            tell("Nobody of that name is here")
        elif text == "MERR JOIN FIRST":
            tell(f"{self.server} did not know you any more: say it again once you have joined")
            self.start_joining()
        elif verb == "MERR":
            tell(rest)

    def on_error(self, client, error, address):
        if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CONNECTION_REFUSED):
            tell(f"Nobody listens on {self.server}: Connection refused")
        else:
            tell(error.message)
        if not self.is_typing:
            self.leave(1)

    # What is typed

    def on_typed(self, fd, condition):
        data = os.read(fd, 4096)
        *lines, self.typed = (self.typed + data).split(b"\n")
        if not data:
            lines.append(self.typed)
        for line in lines:
            self.on_line(line.decode(errors="replace"))
        if not data:
            self.leave(0)
        return bool(data)

    def on_line(self, line):
        if not line or self.exit_status is not None:
            return
        if line == "/quit":
            self.leave(0)
        elif line.startswith("/msg "):
            self.send_private(line[len("/msg ") :])
        elif line.startswith("/"):
            tell("There are /msg NAME text and /quit")
        else:
            self.send(f"MSGA {line}")

    def send_private(self, arguments):
        name, space, text = arguments.partition(" ")
        if not space or not name:
            tell("To whom, and what? /msg NAME text")
        elif name.startswith("("):
            self.send(f"MSGP {arguments}")
        else:
            self.send(f"MSGP ({name}) {text}")


parser = argparse.ArgumentParser(description="Join a chat.")
parser.add_argument("--name", "-n", default=GLib.get_user_name(), help="not that of the login")
parser.add_argument("server", metavar="HOST[:PORT]")
options = parser.parse_args()
try:
    sys.exit(Chat(options.server, options.name).run())
except GLib.Error as error:
    sys.exit(error.message)
