/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers every message with the message itself: echo-server [PORT] */

int main (string[] args) {
  var server = new EasyServers.UdpServer (1234);

  if (args.length > 1)
    server.port = (uint16) int.parse (args[1]);
  server.message_received.connect ((server, message, address, send) => {
    try {
      send (server, message, address);
    } catch (Error error) {
      printerr ("%s\n", error.message);
    }
  });
  try {
    server.start ();
    print ("Listening on port %u\n", server.port);
    server.run ();
  } catch (Error error) {
    printerr ("%s\n", error.message);
    return 1;
  }
  return 0;
}
