/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Uses the library from Vala. Nothing here waits for a time to pass: every wait is for a condition,
 * and the runner has the time limit. */

const string HOST = "127.0.0.1";

class Mirror : EasyServers.UdpServer {
  public override void message_received (Bytes message, SocketAddress address, EasyServers.SendFunc send) {
    try {
      send (this, new Bytes ("mirrored ".data), address);
      send (this, message, address);
    } catch (Error e) {
      GLib.error (e.message);
    }
  }
}

class TwiceMirror : Mirror {
  public override void message_received (Bytes message, SocketAddress address, EasyServers.SendFunc send) {
    base.message_received (message, address, send);
    base.message_received (message, address, send);
  }
}

class Deaf : EasyServers.UdpClient {
  public string? complaint;

  public override void error (Error error, SocketAddress? address) {
    complaint = error.message;
  }
}

Bytes all_bytes () {
  var bytes = new uint8[256];

  for (int i = 0; i < bytes.length; i++)
    bytes[i] = (uint8) i;
  return new Bytes (bytes);
}

delegate bool Condition ();

void wait_until (Condition condition) {
  while (!condition ())
    MainContext.default ().iteration (true);
}

/* Sends a message, and gives so many answers. */
GenericArray<Bytes> exchange (EasyServers.UdpServer server, Bytes message, uint n_answers) throws Error {
  var client = new EasyServers.UdpClient ();
  var answers = new GenericArray<Bytes> ();

  client.message_received.connect ((client, message, address, send) => answers.add (message));
  server.start ();
  client.connect_to_host (HOST, server.port);
  client.send (message, null);
  wait_until (() => answers.length == n_answers);
  client.stop ();
  server.stop ();
  return answers;
}

void echo (EasyServers.Endpoint server, Bytes message, SocketAddress address, EasyServers.SendFunc send) {
  try {
    assert (send (server, message, address));
  } catch (Error e) {
    error (e.message);
  }
}

/* A handler of the signal answers with send, and all 256 byte values come whole both ways. */
void test_signal () throws Error {
  var server = new EasyServers.UdpServer (0);

  server.message_received.connect (echo);
  assert (exchange (server, all_bytes (), 1)[0].compare (all_bytes ()) == 0);
}

/* So does a direct handler. */
void test_direct_handler () throws Error {
  var server = new EasyServers.UdpServer.with_handler (0, echo);

  assert (exchange (server, all_bytes (), 1)[0].compare (all_bytes ()) == 0);
}

void test_subclass () throws Error {
  assert (exchange (new Mirror () { port = 0 }, all_bytes (), 2)[1].compare (all_bytes ()) == 0);
}

void test_subclass_of_subclass () throws Error {
  var answers = exchange (new TwiceMirror () { port = 0 }, all_bytes (), 4);

  assert (answers[0].compare (answers[2]) == 0);
  assert (answers[3].compare (all_bytes ()) == 0);
}

void test_threaded () throws Error {
  var server = new EasyServers.UdpServer (0) { threaded = true };
  Thread<bool>? thread = null;

  server.message_received.connect ((server, message, address, send) => {
    thread = Thread.self<bool> ();
    echo (server, message, address, send);
  });
  exchange (server, all_bytes (), 1);
  assert (thread != Thread.self<bool> ());
}

/* An error of a class handler, and one that is thrown. */
void test_errors () throws Error {
  var server = new EasyServers.UdpServer (0);
  var deaf = new Deaf ();

  server.start ();
  deaf.connect_to_host (HOST, server.port);
  server.stop ();
  deaf.send_text ("anybody?", null);
  wait_until (() => deaf.complaint != null);
  deaf.stop ();
  try {
    server.send_text ("nobody", null);
    assert_not_reached ();
  } catch (Error error) {
    assert (error is IOError.CLOSED);
  }
}

void test_job () throws Error {
  var server = new EasyServers.UdpServer (0);
  int n_rounds = 0;

  server.start ();
  server.create_job ("counter", (job, endpoint) => {
    while (job.sleep (1))
      AtomicInt.inc (ref n_rounds);
    AtomicInt.set (ref n_rounds, -1);
  }, true);
  while (AtomicInt.get (ref n_rounds) < 3)
    Thread.yield ();
  server.stop ();
  assert (AtomicInt.get (ref n_rounds) == -1);
}

async void ask (EasyServers.UdpServer server) throws Error {
  var client = new EasyServers.UdpClient ();

  yield client.connect_to_host_async (HOST, server.port);
  assert ((yield client.request_async (all_bytes ())).compare (all_bytes ()) == 0);
  client.stop ();
}

void test_request () throws Error {
  var server = new EasyServers.UdpServer.with_handler (0, echo);
  var is_done = false;

  server.start ();
  ask.begin (server, (source, result) => {
    try {
      ask.end (result);
    } catch (Error e) {
      error (e.message);
    }
    is_done = true;
  });
  wait_until (() => is_done);
  server.stop ();
}

void test_send_many () throws Error {
  var server = new EasyServers.UdpServer (0);
  var heard = new GenericArray<Bytes> ();
  Bytes[] messages = { new Bytes ("one".data), all_bytes (), new Bytes (null) };

  server.message_received.connect ((server, message, address, send) => heard.add (message));
  server.start ();
  var client = new EasyServers.UdpClient ();
  client.connect_to_host (HOST, server.port);
  assert (client.send_many (messages, null) == 3);
  wait_until (() => heard.length == 3);
  for (int i = 0; i < 3; i++)
    assert (heard[i].compare (messages[i]) == 0);
  client.stop ();
  server.stop ();
}

void test_peers () throws Error {
  var server = new EasyServers.UdpServer.with_handler (0, (endpoint, message, address, send) => {
    ((EasyServers.UdpServer) endpoint).add_peer (address);
    ((EasyServers.UdpServer) endpoint).send_to_peers (message, null);
  });
  EasyServers.Peer? joined = null;

  server.peer_added.connect (peer => joined = peer);
  exchange (server, all_bytes (), 1);
  assert (joined.address is InetSocketAddress);
}

delegate void Test () throws Error;

void add (string name, Test test) {
  GLib.Test.add_data_func (@"/vala/$name", () => {
    try {
      test ();
    } catch (Error e) {
      error (e.message);
    }
  });
}

int main (string[] args) {
  GLib.Test.init (ref args);
  add ("signal", test_signal);
  add ("direct-handler", test_direct_handler);
  add ("subclass", test_subclass);
  add ("subclass-of-subclass", test_subclass_of_subclass);
  add ("threaded", test_threaded);
  add ("errors", test_errors);
  add ("job", test_job);
  add ("request", test_request);
  add ("send-many", test_send_many);
  add ("peers", test_peers);
  return GLib.Test.run ();
}
