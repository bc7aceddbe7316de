# SPDX-License-Identifier: LGPL-2.1-or-later
"""An echo server with a thread for each message, as python-easyservers has it."""

import socket
import threading

listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
    listener.setsockopt(socket.SOL_SOCKET, option, 4 * 1024 * 1024)
listener.bind(("127.0.0.1", 0))
print("Listening on port", listener.getsockname()[1], flush=True)

while True:
    message, address = listener.recvfrom(65535)
    threading.Thread(target=listener.sendto, args=(message, address)).start()
