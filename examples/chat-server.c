/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Serves a chat: who joins it is told what everyone says.
 *
 *     a client sends          the server answers
 *     JOIN <name>             JOK, JERR NAME TAKEN, JERR BAD NAME or JERR ALREADY JOINED
 *     MSGA <text>             (<sender>) <text> to everyone, the sender too
 *     MSGP (<name>) <text>    (<sender>) <text> to that member and the sender,
 *                             or MERR NO SUCH NAME
 *     EXIT                    nothing: the sender has left
 *     PONG                    nothing: the sender is alive
 *     MSGA, MSGP unjoined     MERR JOIN FIRST
 *     anything else           nothing
 *
 * A member is a peer of the server, with its name riding on it. Who is silent for an interval is
 * sent PING, and who leaves too many of them unanswered is removed; any word is an answer. Where
 * systemd hands over a socket, that is the one to listen at.
 *
 * One line end after a name, EXIT or PONG is let pass, so that one can chat by nc or socat. Names
 * and texts are relayed as they are: whoever shows them on a terminal has to escape them.
 */

#include <easyservers.h>

#include <locale.h>
#include <string.h>

#define MAX_NAME_CHARACTERS 32
#define MAX_INTERVAL_SECONDS 86400

typedef struct
{
  EsUdpServer *server; /* (owned) */
  double ping_interval;
  int max_missed;
  int port;
  gboolean verbose;
  char *tls_certificate; /* (owned) (nullable) a file, as is the key's */
  char *tls_key;         /* (owned) (nullable) */
} Chat;

G_GNUC_PRINTF (3, 4)
static void
chat_log (Chat *self, GSocketAddress *address, const char *format, ...)
{
  g_autofree char *who = NULL;
  g_autofree char *what = NULL;
  g_autofree char *harmless = NULL;
  va_list arguments;

  if (!self->verbose)
    return;

  va_start (arguments, format);
  what = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  /* What strangers send must not reach a terminal as control characters. */
  harmless = g_strescape (what, "\"\\");
  who = address != NULL ? es_address_to_string (address) : g_strdup ("server");
  g_printerr ("%s: %s\n", who, harmless);
}

static void
chat_send (Chat *self, GBytes *message, GSocketAddress *address)
{
  g_autoptr (GError) error = NULL;

  if (!es_endpoint_send (ES_ENDPOINT (self->server), message, address, &error))
    chat_log (self, address, "%s", error->message);
}

static void
chat_answer (Chat *self, const char *text, GSocketAddress *address)
{
  g_autoptr (GBytes) message = g_bytes_new (text, strlen (text));

  chat_send (self, message, address);
}

static const char *
name_of (EsPeer *member)
{
  return g_object_get_data (G_OBJECT (member), "name");
}

/* (transfer full) (nullable) */
static EsPeer *
chat_find_name (Chat *self, const char *name, gsize size)
{
  GListModel *members = es_udp_server_get_peers (self->server);

  for (guint i = 0; i < g_list_model_get_n_items (members); i++)
    {
      g_autoptr (EsPeer) member = g_list_model_get_item (members, i);

      if (strlen (name_of (member)) == size && memcmp (name_of (member), name, size) == 0)
        return g_steal_pointer (&member);
    }
  return NULL;
}

static GBytes *
compose (EsPeer *sender, const char *text, gsize size)
{
  GString *message = g_string_new (NULL);

  g_string_printf (message, "(%s) ", name_of (sender));
  g_string_append_len (message, text, size);
  return g_string_free_to_bytes (message);
}

/* Tells the size of a text without the line end that nc and socat send with it. */
static gsize
size_of_line (const char *text, gsize size)
{
  if (size == 0 || text[size - 1] != '\n')
    return size;
  return size > 1 && text[size - 2] == '\r' ? size - 2 : size - 1;
}

static gboolean
is_good_name (const char *name, gsize size)
{
  return size > 0 &&
         g_utf8_validate_len (name, size, NULL) &&
         g_utf8_strlen (name, size) <= MAX_NAME_CHARACTERS &&
         memchr (name, '(', size) == NULL &&
         memchr (name, ')', size) == NULL;
}

static void
chat_admit (Chat *self, GSocketAddress *address, const char *name)
{
  g_autoptr (EsPeer) member = NULL;
  g_autofree char *own_name = g_strdup (name);

  member = es_udp_server_add_peer (self->server, address);
  g_object_set_data_full (G_OBJECT (member), "name", g_steal_pointer (&own_name), g_free);
  chat_answer (self, "JOK", address);
  chat_log (self, address, "%s has joined", name);
}

static gboolean
handle_join (Chat *self, GSocketAddress *address, EsPeer *sender, const char *text, gsize size)
{
  gsize name_size = size_of_line (text, size);
  g_autofree char *name = g_strndup (text, name_size);
  g_autoptr (EsPeer) namesake = chat_find_name (self, text, name_size);

  if (sender != NULL)
    chat_answer (self, "JERR ALREADY JOINED", address);
  else if (!is_good_name (text, name_size))
    chat_answer (self, "JERR BAD NAME", address);
  else if (namesake != NULL)
    chat_answer (self, "JERR NAME TAKEN", address);
  else
    chat_admit (self, address, name);
  return TRUE;
}

static gboolean
handle_message_to_all (Chat *self,
                       GSocketAddress *address,
                       EsPeer *sender,
                       const char *text,
                       gsize size)
{
  g_autoptr (GBytes) message = NULL;

  if (sender == NULL)
    {
      chat_answer (self, "MERR JOIN FIRST", address);
      return TRUE;
    }

  message = compose (sender, text, size);
  es_udp_server_send_to_peers (self->server, message, NULL);
  return TRUE;
}

/* Measures the name in parentheses that text starts with. Returns what follows after a space. */
static const char *
split_name (const char *text, gsize size, gsize *name_size)
{
  const char *end = size > 0 && text[0] == '(' ? memchr (text, ')', size) : NULL;

  if (end == NULL || (end + 1 < text + size && end[1] != ' '))
    return NULL;

  *name_size = end - text - 1;
  return MIN (end + 2, text + size);
}

static gboolean
handle_message_to_one (Chat *self,
                       GSocketAddress *address,
                       EsPeer *sender,
                       const char *text,
                       gsize size)
{
  gsize name_size = 0;
  const char *private_text = split_name (text, size, &name_size);
  g_autoptr (GBytes) message = NULL;
  g_autoptr (EsPeer) receiver = NULL;

  if (sender == NULL)
    {
      chat_answer (self, "MERR JOIN FIRST", address);
      return TRUE;
    }
  if (private_text == NULL)
    return FALSE;

  receiver = chat_find_name (self, text + 1, name_size);
  if (receiver == NULL)
    {
      chat_answer (self, "MERR NO SUCH NAME", address);
      return TRUE;
    }

  message = compose (sender, private_text, text + size - private_text);
  chat_send (self, message, es_peer_get_address (receiver));
  if (receiver != sender)
    chat_send (self, message, address);
  return TRUE;
}

static gboolean
handle_exit (Chat *self, GSocketAddress *address, EsPeer *sender, const char *text, gsize size)
{
  if (sender == NULL || size_of_line (text, size) > 0)
    return FALSE;

  es_udp_server_remove_peer (self->server, sender);
  return TRUE;
}

/* That it was heard is all that counts. */
static gboolean
handle_pong (Chat *self, GSocketAddress *address, EsPeer *sender, const char *text, gsize size)
{
  return sender != NULL && size_of_line (text, size) == 0;
}

/* What each verb does; FALSE: the message makes no sense. */
static const struct
{
  const char *verb;
  gboolean (*handle) (Chat *self,
                      GSocketAddress *address,
                      EsPeer *sender,
                      const char *text,
                      gsize size);
} verbs[] = {
  { "JOIN", handle_join },
  { "MSGA", handle_message_to_all },
  { "MSGP", handle_message_to_one },
  { "EXIT", handle_exit },
  { "PONG", handle_pong },
};

static gboolean
chat_dispatch (Chat *self, GSocketAddress *address, const char *message, gsize size)
{
  const char *space = memchr (message, ' ', size);
  gsize verb_size = space != NULL ? (gsize) (space - message) : size_of_line (message, size);
  const char *text = space != NULL ? space + 1 : message + size;
  g_autoptr (EsPeer) sender = es_udp_server_lookup_peer (self->server, address);

  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (verb_size == strlen (verbs[i].verb) && memcmp (message, verbs[i].verb, verb_size) == 0)
      return verbs[i].handle (self, address, sender, text, message + size - text);
  return FALSE;
}

static void
on_message_received (EsEndpoint *server,
                     GBytes *message,
                     GSocketAddress *address,
                     EsSendFunc send,
                     gpointer user_data)
{
  Chat *self = user_data;
  gsize size = 0;
  const char *text = g_bytes_get_data (message, &size);

  if (size == 0 || !chat_dispatch (self, address, text, size))
    chat_log (self, address, "ignored: %.*s", (int) MIN (size, 80), text);
}

static void
on_error (EsEndpoint *server, GError *error, GSocketAddress *address, gpointer user_data)
{
  chat_log (user_data, address, "%s", error->message);
}

static void
on_peer_removed (EsUdpServer *server, EsPeer *member, EsPeerRemoved reason, gpointer user_data)
{
  if (reason == ES_PEER_REMOVED_SILENT)
    chat_log (user_data, es_peer_get_address (member), "%s left %u pings unanswered and is removed",
              name_of (member), es_peer_get_missed_pings (member));
  else if (reason == ES_PEER_REMOVED_REQUESTED)
    chat_log (user_data, es_peer_get_address (member), "%s has left", name_of (member));
}

/* (transfer full) A server at the socket that systemd hands over, or else at the port. */
static EsUdpServer *
chat_open (Chat *self, GError **error)
{
  if (g_getenv ("LISTEN_FDS") != NULL)
    return es_udp_server_new_from_activation (NULL, error);
  return es_udp_server_new (self->port);
}

/* With a certificate all that is said is encrypted. Its key may stand in the same file. */
static gboolean
chat_make_private (Chat *self, GError **error)
{
  g_autoptr (GTlsCertificate) certificate = NULL;

  if (self->tls_certificate == NULL)
    return TRUE;
  if (self->tls_key != NULL)
    certificate = g_tls_certificate_new_from_files (self->tls_certificate, self->tls_key, error);
  else
    certificate = g_tls_certificate_new_from_file (self->tls_certificate, error);
  if (certificate != NULL)
    es_udp_server_set_tls_certificate (self->server, certificate);
  return certificate != NULL;
}

static gboolean
chat_run (Chat *self, GError **error)
{
  g_autoptr (GBytes) ping = g_bytes_new_static ("PING", 4);

  /* To remove who leaves more than so many unanswered is to remove who leaves one more. */
  es_udp_server_set_keepalive (self->server, ping, MAX (self->ping_interval * 1000, 1),
                               self->max_missed + 1);
  g_signal_connect (self->server, "message-received", G_CALLBACK (on_message_received), self);
  g_signal_connect (self->server, "peer-removed", G_CALLBACK (on_peer_removed), self);
  g_signal_connect (self->server, "error", G_CALLBACK (on_error), self);
  if (!es_endpoint_start (ES_ENDPOINT (self->server), error))
    return FALSE;

  es_endpoint_set_quit_on_signals (ES_ENDPOINT (self->server), TRUE);
  g_print ("Listening on port %u\n", es_udp_server_get_port (self->server));
  return es_endpoint_run (ES_ENDPOINT (self->server), error);
}

static gboolean
require (gboolean condition, const char *what, GError **error)
{
  if (!condition)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, what);
  return condition;
}

static gboolean
chat_parse (Chat *self, int *argc, char ***argv, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("- serve a chat");
  const GOptionEntry entries[] = {
    { "port", 'p', 0, G_OPTION_ARG_INT, &self->port,
      "Listen on this UDP port (1234); 0: on any that is free", "PORT" },
    { "ping-interval", 'i', 0, G_OPTION_ARG_DOUBLE, &self->ping_interval,
      "Send PING to who is silent for so many seconds (10)", "SECONDS" },
    { "max-missed", 'm', 0, G_OPTION_ARG_INT, &self->max_missed,
      "Remove who leaves more than N pings unanswered (3)", "N" },
    { "tls-certificate", 0, 0, G_OPTION_ARG_FILENAME, &self->tls_certificate,
      "Encrypt everything, and show this certificate", "FILE" },
    { "tls-key", 0, 0, G_OPTION_ARG_FILENAME, &self->tls_key,
      "The certificate's private key, where it is in a file of its own", "FILE" },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &self->verbose,
      "Tell who comes and goes, and what was ignored", NULL },
    G_OPTION_ENTRY_NULL
  };

  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse (context, argc, argv, error) &&
         require (*argc == 1, "chat-server takes options only", error) &&
         require (self->port >= 0 && self->port <= G_MAXUINT16, "A port is 0 to 65535", error) &&
         require (self->ping_interval > 0 && self->ping_interval <= MAX_INTERVAL_SECONDS,
                  "A ping interval is more than 0 and at most 86400 seconds", error) &&
         require (self->max_missed >= 0 && self->max_missed < G_MAXINT,
                  "The pings to let pass are 0 or more", error) &&
         require (self->tls_key == NULL || self->tls_certificate != NULL,
                  "A key is of no use without its certificate", error);
}

int
main (int argc, char **argv)
{
  Chat chat = { .port = 1234, .ping_interval = 10, .max_missed = 3 };
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  if (!chat_parse (&chat, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }

  chat.server = chat_open (&chat, &error);
  if (chat.server == NULL || !chat_make_private (&chat, &error) || !chat_run (&chat, &error))
    g_printerr ("%s\n", error->message);

  g_clear_object (&chat.server);
  g_free (chat.tls_certificate);
  g_free (chat.tls_key);
  return error != NULL;
}
