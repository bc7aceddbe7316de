/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Joins a chat and shows who says what: chat-client [--name NAME] HOST[:PORT]
 *
 * A typed line goes to everyone, "/msg NAME text" to one member, "/quit" or Ctrl-D leaves. What
 * others send is escaped before it is shown: a name or a text must not be able to move the cursor.
 */

const uint16 DEFAULT_PORT = 1234;
const uint JOIN_INTERVAL_MS = 500;
const int MAX_JOINS = 10;

bool is_harmless (unichar c) {
  switch (c.type ()) {
  case UnicodeType.CONTROL:
  case UnicodeType.SURROGATE:
  case UnicodeType.LINE_SEPARATOR:
  case UnicodeType.PARAGRAPH_SEPARATOR:
    return false;
  case UnicodeType.FORMAT:
    /* Joiners belong to words and to emoji; the others reorder what stands around them. */
    return c == 0x200c || c == 0x200d;
  default:
    return true;
  }
}

/* Makes a line that a terminal only shows. */
string escape (string text) {
  var line = new StringBuilder ();
  var rest = text.chomp ();
  int index = 0;
  unichar c;

  while (rest.get_next_char (ref index, out c)) {
    if (is_harmless (c))
      line.append_unichar (c);
    else
      line.append_printf (c < 0x100 ? "\\x%02x" : "\\u%04x", (uint) c);
  }
  return line.str;
}

void tell (string text) {
  printerr ("* %s\n", escape (text));
}

class Chat {
  public int exit_status = -1;

  private EasyServers.UdpClient client = new EasyServers.UdpClient ();
  private string server;
  private string name;
  private int n_joins;
  private uint join_timer;
  private bool is_typing;

  public Chat (string server, string name) {
    this.server = server;
    this.name = name;
    client.message_received.connect ((client, message, address, send) => {
      on_message (((string) message.get_data ()).make_valid (message.length));
    });
    client.error.connect ((error, address) => on_error (error));
  }

  public void run () throws Error {
    client.connect_to_host (server, DEFAULT_PORT);
    foreach (var number in new int[] { Posix.Signal.HUP, Posix.Signal.INT, Posix.Signal.TERM }) {
      Unix.signal_add (number, () => {
        leave (0);
        return Source.CONTINUE;
      });
    }
    start_joining ();
    client.run ();
  }

  private void send (string text) {
    try {
      client.send_text (text, null);
    } catch (Error error) {
      tell (error.message);
    }
  }

  private void leave (int exit_status) {
    if (this.exit_status >= 0)
      return;

    this.exit_status = exit_status;
    if (exit_status == 0)
      send ("EXIT");
    client.quit ();
  }

  /* Joining: a datagram may be lost, and its answer too. */

  private void start_joining () {
    if (join_timer != 0)
      return;

    n_joins = 0;
    join_timer = Timeout.add (JOIN_INTERVAL_MS, () => {
      join_again ();
      return Source.CONTINUE;
    });
    join ();
  }

  private void join () {
    n_joins++;
    send (@"JOIN $name");
  }

  private void join_again () {
    if (n_joins < MAX_JOINS) {
      join ();
      return;
    }

    tell (@"$server does not answer");
    leave (1);
  }

  private void on_joined () {
    Source.remove (join_timer);
    join_timer = 0;
    tell (@"Joined $server as $name: /msg NAME text, /quit");
    if (!is_typing)
      read_lines.begin ();
    is_typing = true;
  }

  private void on_refused (string reason) {
    switch (reason) {
    case "ALREADY JOINED":
      on_already_joined ();
      return;
    case "NAME TAKEN":
      tell (@"Somebody is called $name there already: choose another --name");
      break;
    case "BAD NAME":
      tell (@"$name is no name: it takes 1 to 32 characters, no parentheses");
      break;
    default:
      tell (@"$server lets nobody in: $reason");
      break;
    }
    leave (1);
  }

  private void on_already_joined () {
    if (n_joins > 1) {
      on_joined ();
      return;
    }

    /* Whoever had this port before us has not left, and is there under another name. */
    send ("EXIT");
    join ();
  }

  /* What the server says. */

  private void on_message (string text) {
    if (text.has_prefix ("("))
      print ("%s\n", escape (text));
    else if (text == "PING")
      send ("PONG");
    else if (text == "JOK" && join_timer != 0)
      on_joined ();
    else if (text.has_prefix ("JERR ") && join_timer != 0)
      on_refused (text.substring ("JERR ".length));
    else if (text.has_prefix ("MERR "))
      on_complaint (text.substring ("MERR ".length));
  }

  private void on_complaint (string reason) {
    if (reason == "NO SUCH NAME") {
      tell ("Nobody of that name is here");
    } else if (reason == "JOIN FIRST") {
      tell (@"$server did not know you any more: say it again once you have joined");
      start_joining ();
    } else {
      tell (reason);
    }
  }

  private void on_error (Error error) {
    if (error is IOError.CONNECTION_REFUSED)
      tell (@"Nobody listens on $server: Connection refused");
    else
      tell (error.message);
    if (!is_typing)
      leave (1);
  }

  /* What is typed. */

  private async void read_lines () {
    var input = new DataInputStream (new UnixInputStream (Posix.STDIN_FILENO, false));
    string? line;

    try {
      while ((line = yield input.read_line_async ()) != null)
        on_line (line.make_valid ());
    } catch (Error error) {
      tell (error.message);
    }
    leave (0);
  }

  private void on_line (string line) {
    if (line == "" || exit_status >= 0)
      return;

    if (line == "/quit")
      leave (0);
    else if (line.has_prefix ("/msg "))
      send_private (line.substring ("/msg ".length));
    else if (line.has_prefix ("/"))
      tell ("There are /msg NAME text and /quit");
    else
      send (@"MSGA $line");
  }

  private void send_private (string text) {
    var space = text.index_of_char (' ');

    if (space <= 0)
      tell ("To whom, and what? /msg NAME text");
    else if (text.has_prefix ("("))
      send (@"MSGP $text");
    else
      send (@"MSGP ($(text[0:space]))$(text.substring (space))");
  }
}

string? name = null;
[CCode (array_length = false, array_null_terminated = true)]
string[]? servers = null;

const OptionEntry[] OPTIONS = {
  { "name", 'n', OptionFlags.NONE, OptionArg.STRING, ref name, "Join under this name", "NAME" },
  { OPTION_REMAINING, 0, OptionFlags.NONE, OptionArg.STRING_ARRAY, ref servers, null, "HOST[:PORT]" },
  { null }
};

int main (string[] args) {
  Intl.setlocale ();
  try {
    var context = new OptionContext ("- join a chat");

    context.add_main_entries (OPTIONS, null);
    context.parse (ref args);
    if (servers == null || strv_length (servers) != 1)
      throw new OptionError.FAILED ("Which server? chat-client [--name NAME] HOST[:PORT]");
  } catch (OptionError error) {
    printerr ("%s\n", error.message);
    return 2;
  }

  var chat = new Chat (servers[0], name ?? Environment.get_user_name ());
  try {
    chat.run ();
  } catch (Error error) {
    printerr ("%s\n", error.message);
    return 1;
  }
  return chat.exit_status;
}
