# SPDX-License-Identifier: LGPL-2.1-or-later

"""Sends all 256 bytes there are to a server of its own class, and checks what comes back."""

import gi

gi.require_version("EasyServers", "0")

from gi.repository import EasyServers  # noqa: E402

BYTES = bytes(range(256))


class Mirror(EasyServers.UdpServer):
    def do_message_received(self, message, address, send):
        send(message, address)


answers = []


def on_message_received(client, message, address, send):
    answers.append(bytes(message))
    client.quit()


server = Mirror(port=0)
server.start()
client = EasyServers.UdpClient()
client.connect("message-received", on_message_received)
client.connect_to_host("127.0.0.1", server.props.port, None)
client.send(BYTES, None)
client.run()
assert answers == [BYTES], answers
