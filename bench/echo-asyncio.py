# SPDX-License-Identifier: LGPL-2.1-or-later
"""An echo server on asyncio."""

import asyncio
import socket


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    listener = transport.get_extra_info("socket")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        listener.setsockopt(socket.SOL_SOCKET, option, 4 * 1024 * 1024)
    print("Listening on port", listener.getsockname()[1], flush=True)
    await loop.create_future()


asyncio.run(main())
