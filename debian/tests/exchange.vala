/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sends all 256 bytes there are to a server of its own class, and checks what comes back. */

class Mirror : EasyServers.UdpServer {
  public override void message_received (Bytes message, SocketAddress address, EasyServers.SendFunc send) {
    try {
      send (this, message, address);
    } catch (Error e) {
      GLib.error (e.message);
    }
  }
}

int main () {
  var server = new Mirror () { port = 0 };
  var client = new EasyServers.UdpClient ();
  Bytes? answer = null;
  var bytes = new uint8[256];

  for (int i = 0; i < 256; i++)
    bytes[i] = (uint8) i;

  client.message_received.connect ((client, message, address, send) => {
    answer = message;
    client.quit ();
  });
  try {
    server.start ();
    client.connect_to_host ("127.0.0.1", server.port);
    client.send (new Bytes (bytes), null);
    client.run ();
  } catch (Error e) {
    error (e.message);
  }

  assert (answer.compare (new Bytes (bytes)) == 0);
  return 0;
}
