/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-tls.h"

#include <glib/gstdio.h>
#include <string.h>

/* Clients and servers of others, as they come: OpenSSL's, GnuTLS's, and GIO's. */

/* A program of others, and what it has said so far. */
typedef struct
{
  GSubprocess *process; /* (owned) */
  GString *said;        /* (owned) */
  char buffer[4096];
  gboolean is_reading;
} Program;

static void
read_more_cb (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  Program *self = user_data;
  gssize n = g_input_stream_read_finish (G_INPUT_STREAM (source), result, NULL);

  self->is_reading = n > 0;
  if (n <= 0)
    return;
  g_string_append_len (self->said, self->buffer, n);
  g_input_stream_read_async (G_INPUT_STREAM (source), self->buffer, sizeof self->buffer,
                             G_PRIORITY_DEFAULT, NULL, read_more_cb, self);
}

/* Starts a program by a line for the shell, in which %u is a port. */
static Program *
start_program (const char *line)
{
  Program *self = g_new0 (Program, 1);
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GError) error = NULL;

  g_shell_parse_argv (line, NULL, &arguments, &error);
  g_assert_no_error (error);
  self->said = g_string_new (NULL);
  self->process = g_subprocess_newv ((const char *const *) arguments,
                                     G_SUBPROCESS_FLAGS_STDIN_PIPE |
                                       G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                       G_SUBPROCESS_FLAGS_STDERR_MERGE,
                                     &error);
  g_assert_no_error (error);
  self->is_reading = TRUE;
  g_input_stream_read_async (g_subprocess_get_stdout_pipe (self->process), self->buffer,
                             sizeof self->buffer, G_PRIORITY_DEFAULT, NULL, read_more_cb, self);
  return self;
}

static void
say (Program *self,
     const char *text)
{
  GOutputStream *input = g_subprocess_get_stdin_pipe (self->process);

  g_output_stream_write_all (input, text, strlen (text), NULL, NULL, NULL);
  g_output_stream_flush (input, NULL, NULL);
}

/* Waits until the program has said something, or has ended. */
static gboolean
says (Program *self,
      const char *text)
{
  es_test_wait_until (strstr (self->said->str, text) != NULL || !self->is_reading);
  if (strstr (self->said->str, text) == NULL)
    g_test_message ("%s", self->said->str);
  return strstr (self->said->str, text) != NULL;
}

static void
end_program (Program *self)
{
  g_subprocess_force_exit (self->process);
  es_test_wait_until (!self->is_reading);
  g_subprocess_wait (self->process, NULL, NULL);
  g_object_unref (self->process);
  g_string_free (self->said, TRUE);
  g_free (self);
}

static gboolean
lacks_program (const char *name)
{
  g_autofree char *path = g_find_program_in_path (name);

  if (path == NULL)
    g_test_skip_printf ("%s is not there", name);
  return path == NULL;
}

/* What the programs read: a certificate with its key in a file. */
typedef struct
{
  char *directory;
  char *authority;
  char *server;
  char *client;
} Files;

static char *
write_file (const char *directory,
            const char *name,
            GTlsCertificate *certificate)
{
  char *path = g_build_filename (directory, name, NULL);
  g_autofree char *pem = NULL;
  g_autofree char *key = NULL;
  g_autofree char *both = NULL;
  g_autoptr (GError) error = NULL;

  g_object_get (certificate, "certificate-pem", &pem, "private-key-pem", &key, NULL);
  both = g_strconcat (pem, key, NULL);
  g_file_set_contents (path, both, -1, &error);
  g_assert_no_error (error);
  return path;
}

static Files *
get_files (void)
{
  static Files files;
  EsTestTrust *trust = es_test_trust_get ();

  if (files.directory != NULL)
    return &files;
  files.directory = g_dir_make_tmp ("easyservers-XXXXXX", NULL);
  files.authority = write_file (files.directory, "authority.pem", trust->authority);
  files.server = write_file (files.directory, "server.pem", trust->server);
  files.client = write_file (files.directory, "client.pem", trust->client);
  return &files;
}

static void
remove_files (void)
{
  Files *files;

  if (!g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    return;
  files = get_files ();
  g_unlink (files->authority);
  g_unlink (files->server);
  g_unlink (files->client);
  g_rmdir (files->directory);
}

static GBytes *
find_key_cb (EsUdpServer *server,
             const char *identity,
             gpointer user_data)
{
  return g_str_equal (identity, "alice") ? g_bytes_new_static ("\x12\x34\x56\x78", 4) : NULL;
}

static EsUdpServer *
start_server (GTlsAuthenticationMode mode)
{
  const char *const protocols[] = { "chat/1", NULL };
  EsUdpServer *server = es_test_new_private_server ();

  es_udp_server_set_tls_authentication_mode (server, mode);
  es_udp_server_set_tls_database (server, es_test_trust_get ()->database);
  es_udp_server_set_tls_alpn (server, protocols);
  es_udp_server_set_psk_func (server, find_key_cb, NULL, NULL);
  return es_test_start_private_server (server);
}

/* (transfer full) The session that the server has with whoever said what it heard last. */
static EsSession *
talk (EsUdpServer *server,
      Program *program)
{
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  EsSession *session;

  say (program, "hello from afar\n");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1 || !program->is_reading);
  if (es_test_inbox_get_n (inbox) == 0)
    g_error ("%s", program->said->str);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "hello from afar\n");
  session = es_udp_server_lookup_session (server, es_test_inbox_get_address (inbox, 0));
  g_assert_nonnull (session);
  g_assert_true (says (program, "hello from afar\n"));
  return session;
}

static Program *
start_openssl (EsUdpServer *server,
               const char *options)
{
  g_autofree char *line =
    g_strdup_printf ("openssl s_client -dtls1_2 -quiet -no_ign_eof -connect 127.0.0.1:%u %s",
                     es_udp_server_get_port (server), options);

  return start_program (line);
}

static void
test_dtls_foreign_openssl (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsSession) session = NULL;
  g_autofree char *options = NULL;
  Program *program;

  g_test_summary ("openssl s_client trusts our server, and agrees on a protocol.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_NONE);
  options = g_strdup_printf ("-CAfile %s -verify_return_error -alpn coap,chat/1",
                             get_files ()->authority);
  program = start_openssl (server, options);
  session = talk (server, program);

  g_assert_cmpstr (es_session_get_alpn (session), ==, "chat/1");
  end_program (program);
}

static void
test_dtls_foreign_openssl_certificate (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsSession) session = NULL;
  g_autofree char *options = NULL;
  Program *program;

  g_test_summary ("openssl s_client shows a certificate where one is required.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_REQUIRED);
  options = g_strdup_printf ("-cert %s -key %s", get_files ()->client, get_files ()->client);
  program = start_openssl (server, options);
  session = talk (server, program);

  g_assert_true (g_tls_certificate_is_same (es_session_get_peer_certificate (session),
                                            es_test_trust_get ()->client));
  end_program (program);
}

static void
test_dtls_foreign_openssl_key (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsSession) session = NULL;
  Program *program;

  g_test_summary ("openssl s_client proves who it is by a key that both know.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_REQUIRED);
  program =
    start_openssl (server, "-psk_identity alice -psk 12345678 -cipher ECDHE-PSK-CHACHA20-POLY1305");
  session = talk (server, program);

  g_assert_cmpstr (es_session_get_psk_identity (session), ==, "alice");
  end_program (program);
}

static void
test_dtls_foreign_openssl_resumes (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsSession) first = NULL;
  g_autoptr (EsSession) second = NULL;
  g_autofree char *path = NULL;
  g_autofree char *save = NULL;
  g_autofree char *resume = NULL;
  Program *program;

  g_test_summary ("openssl s_client resumes the session that it has saved.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_NONE);
  path = g_build_filename (get_files ()->directory, "session.pem", NULL);
  save = g_strdup_printf ("-sess_out %s", path);
  resume = g_strdup_printf ("-sess_in %s", path);
  program = start_openssl (server, save);
  first = talk (server, program);
  g_assert_false (es_session_is_resumed (first));
  end_program (program);
  program = start_openssl (server, resume);
  second = talk (server, program);

  g_assert_true (es_session_is_resumed (second));
  end_program (program);
  g_unlink (path);
}

static void
test_dtls_foreign_openssl_has_no_cipher (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  Program *program;

  g_test_summary ("A client with old ciphers alone is refused, and the server is told.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_NONE);
  inbox = es_test_inbox_new (server);
  program = start_openssl (server, "-cipher AES128-SHA");
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);

  g_assert_error (es_test_inbox_get_error (inbox, 0), G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE);
  g_assert_nonnull (strstr (es_test_inbox_get_error (inbox, 0)->message, "no cipher"));
  end_program (program);
}

static void
test_dtls_foreign_gnutls (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsSession) session = NULL;
  g_autofree char *line = NULL;
  Program *program;

  g_test_summary ("gnutls-cli trusts our server, shows a certificate and agrees on a protocol.");
  if (es_test_lacks_tls () || lacks_program ("gnutls-cli"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_REQUIRED);
  line = g_strdup_printf ("gnutls-cli --udp --x509cafile %s --x509certfile %s --x509keyfile %s "
                          "--alpn chat/1 --port %u 127.0.0.1",
                          get_files ()->authority, get_files ()->client, get_files ()->client,
                          es_udp_server_get_port (server));
  program = start_program (line);
  g_assert_true (says (program, "Handshake was completed"));
  session = talk (server, program);

  g_assert_true (g_tls_certificate_is_same (es_session_get_peer_certificate (session),
                                            es_test_trust_get ()->client));
  g_assert_cmpstr (es_session_get_alpn (session), ==, "chat/1");
  end_program (program);
}

static void
take_result_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* Talks to a server by GIO alone, and blocks. Returns what it has heard. */
static gpointer
talk_by_gio (gpointer data)
{
  GDatagramBased *connection = data;
  g_autoptr (GError) error = NULL;
  GOutputVector out = { "hello", 5 };
  GOutputMessage sent = { NULL, &out, 1, 0, NULL, 0 };
  char buffer[2048] = "";
  GInputVector in = { buffer, sizeof buffer - 1 };
  GInputMessage heard = { NULL, &in, 1, 0, 0, NULL, NULL };

  g_dtls_connection_handshake (G_DTLS_CONNECTION (connection), NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_datagram_based_send_messages (connection, &sent, 1, 0, -1, NULL, &error), ==,
                   1);
  g_assert_no_error (error);
  g_datagram_based_receive_messages (connection, &heard, 1, 0, -1, NULL, &error);
  g_assert_no_error (error);
  return g_strdup (buffer);
}

static void
test_dtls_foreign_gio (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocket) talker = NULL;
  g_autoptr (GDatagramBased) connection = NULL;
  g_autoptr (GSocketConnectable) identity = g_network_address_new ("localhost", 0);
  g_autofree char *heard = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  g_test_summary ("GIO's own client shakes hands with our server, and is answered.");
  if (es_test_lacks_tls ())
    return;

  server = start_server (G_TLS_AUTHENTICATION_NONE);
  talker = es_test_new_talker (server, "127.0.0.1");
  g_socket_set_timeout (talker, 0);
  connection = g_dtls_client_connection_new (G_DATAGRAM_BASED (talker), identity, &error);
  g_assert_no_error (error);
  g_dtls_connection_set_database (G_DTLS_CONNECTION (connection), es_test_trust_get ()->database);
  thread = g_thread_new ("gio", talk_by_gio, connection);
  es_test_wait_until (es_test_get_n_received (server) == 1);
  es_test_settle ();
  heard = g_thread_join (thread);

  g_assert_cmpstr (heard, ==, "hello");
}

static void
test_dtls_foreign_all_at_once (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  Program *programs[6];

  g_test_summary ("Several of them are served at once.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  server = start_server (G_TLS_AUTHENTICATION_NONE);
  for (guint i = 0; i < G_N_ELEMENTS (programs); i++)
    programs[i] = start_openssl (server, "");
  for (guint i = 0; i < G_N_ELEMENTS (programs); i++)
    {
      g_autoptr (EsSession) session = talk (server, programs[i]);
      g_assert_cmpint (es_session_get_established (session), >, 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (programs); i++)
    end_program (programs[i]);
}

/* A port that was free a moment ago. */
static guint
find_port (void)
{
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

/* Connects as soon as somebody listens. */
static EsUdpClient *
connect_to_port (guint port)
{
  g_autoptr (EsUdpClient) client = es_test_new_private_client ();
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", port);
  g_autoptr (GError) error = NULL;

  do
    {
      g_autoptr (GAsyncResult) result = NULL;

      g_clear_error (&error);
      es_test_iterate (0);
      es_udp_client_connect_to_async (client, G_SOCKET_CONNECTABLE (address), NULL, take_result_cb,
                                      &result);
      es_test_wait_until (result != NULL);
      es_udp_client_connect_to_finish (client, result, &error);
    }
  while (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED));
  g_assert_no_error (error);
  return g_steal_pointer (&client);
}

static void
test_dtls_foreign_openssl_serves (void)
{
  g_autofree char *line = NULL;
  guint port = find_port ();
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  Program *program;

  g_test_summary ("Our client talks to openssl s_server, which asks for a cookie.");
  if (es_test_lacks_tls () || lacks_program ("openssl"))
    return;

  line = g_strdup_printf ("openssl s_server -dtls1_2 -listen -cert %s -key %s -port %u",
                          get_files ()->server, get_files ()->server, port);
  program = start_program (line);
  g_assert_true (says (program, "ACCEPT"));
  client = connect_to_port (port);
  inbox = es_test_inbox_new (client);
  es_test_send (client, "hello to you\n");
  g_assert_true (says (program, "hello to you\n"));
  say (program, "and to you\n");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "and to you\n");
  end_program (program);
}

static void
test_dtls_foreign_gnutls_serves (void)
{
  g_autofree char *line = NULL;
  guint port = find_port ();
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  Program *program;

  g_test_summary ("Our client talks to gnutls-serv.");
  if (es_test_lacks_tls () || lacks_program ("gnutls-serv"))
    return;

  line = g_strdup_printf ("gnutls-serv --udp --echo --disable-client-cert --x509certfile %s "
                          "--x509keyfile %s --port %u",
                          get_files ()->server, get_files ()->server, port);
  program = start_program (line);
  client = connect_to_port (port);
  inbox = es_test_inbox_new (client);
  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "hello");
  end_program (program);
}

static void
add_client_tests (void)
{
  g_test_add_func ("/dtls-foreign/openssl", test_dtls_foreign_openssl);
  g_test_add_func ("/dtls-foreign/openssl-certificate", test_dtls_foreign_openssl_certificate);
  g_test_add_func ("/dtls-foreign/openssl-key", test_dtls_foreign_openssl_key);
  g_test_add_func ("/dtls-foreign/openssl-resumes", test_dtls_foreign_openssl_resumes);
  g_test_add_func ("/dtls-foreign/openssl-has-no-cipher", test_dtls_foreign_openssl_has_no_cipher);
  g_test_add_func ("/dtls-foreign/gnutls", test_dtls_foreign_gnutls);
  g_test_add_func ("/dtls-foreign/gio", test_dtls_foreign_gio);
  g_test_add_func ("/dtls-foreign/all-at-once", test_dtls_foreign_all_at_once);
}

int
main (int argc,
      char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  add_client_tests ();
  g_test_add_func ("/dtls-foreign/openssl-serves", test_dtls_foreign_openssl_serves);
  g_test_add_func ("/dtls-foreign/gnutls-serves", test_dtls_foreign_gnutls_serves);
  result = g_test_run ();
  remove_files ();
  return result;
}
