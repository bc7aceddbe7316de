#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Answers every message with the message itself: echo-server.py [PORT]"""

import sys

import gi

gi.require_version("EasyServers", "0")

from gi.repository import EasyServers, GLib  # noqa: E402


def on_message_received(server, message, address, send):
    send(message, address)


server = EasyServers.UdpServer(port=int(sys.argv[1]) if len(sys.argv) > 1 else 1234)
server.connect("message-received", on_message_received)
try:
    with server:
        print("Listening on port", server.get_port(), flush=True)
        server.run()
except GLib.Error as error:
    sys.exit(error.message)
except KeyboardInterrupt:
    sys.exit(130)
