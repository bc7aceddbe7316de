# SPDX-License-Identifier: LGPL-2.1-or-later
"""An echo server by the module easyservers, on threads, as a program for python-easyservers is."""

import sys

try:
    from easyservers import UDPServer
except (ImportError, ValueError):
    sys.exit(77)


def echo(message, address, send):
    send(message, address)


server = UDPServer(echo, port=0)
print("Listening on port", server.port, flush=True)
server.run()
