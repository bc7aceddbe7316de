/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-tls.h"

#include <string.h>

/* Whether an answer is what was said, through any number of handshakes. */
static void
assert_echo (EsUdpClient *client,
             const char *text)
{
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);

  es_test_send (client, text);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, text);
}

static EsUdpServer *
start_server (void)
{
  return es_test_start_private_server (es_test_new_private_server ());
}

static void
test_dtls_messages_come_and_go (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;

  g_test_summary ("With a certificate set, a message is answered as it is without.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);

  assert_echo (client, "hello");
  assert_echo (client, "and again");
}

static void
test_dtls_nothing_is_readable (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocket) talker = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autofree char *heard = NULL;

  g_test_summary ("What a private client sends cannot be read on the wire.");
  if (es_test_lacks_tls ())
    return;

  /* The client keeps its session, and the talker takes the place of the server. */
  server = start_server ();
  address = es_test_address_of (server, "127.0.0.1");
  client = es_test_start_private_client (server);
  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  es_test_send (client, "a secret word");
  talker = g_object_ref (es_endpoint_get_socket (ES_ENDPOINT (server)));
  heard = es_test_hear (talker);

  g_assert_cmpint (heard[0], ==, 23);
  g_assert_null (strstr (heard, "secret"));
}

static void
test_dtls_plain_messages_are_dropped (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (GSocket) talker = NULL;

  g_test_summary ("What is not encrypted reaches no handler of a private server, and is counted.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  inbox = es_test_inbox_new (server);
  talker = es_test_new_talker (server, "127.0.0.1");
  es_test_say (talker, "hello");
  es_test_say (talker, "");
  es_test_say (talker, "\x17\xfe\xfd a record of nobody's, or so it says");
  es_test_wait_until (es_test_get_n_unauthenticated (server) == 3);

  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 0);
  g_assert_cmpuint (es_test_get_n_received (server), ==, 0);
  g_assert_false (es_test_can_hear (talker));
}

static void
test_dtls_sessions_are_known (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsSession) session = NULL;
  g_autoptr (EsSession) own = NULL;

  g_test_summary ("Both sides can ask for their session, and what it was agreed upon.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  address = es_endpoint_get_local_address (ES_ENDPOINT (client));
  assert_echo (client, "hello");
  session = es_udp_server_lookup_session (server, address);
  own = es_udp_client_get_session (client);

  g_assert_nonnull (session);
  g_assert_true (es_address_equal (es_session_get_address (session), address));
  g_assert_null (es_session_get_peer_certificate (session));
  g_assert_nonnull (strstr (es_session_get_cipher (session), "DTLS1.2"));
  g_assert_cmpint (es_session_get_established (session), >, 0);
  g_assert_true (g_tls_certificate_is_same (es_session_get_peer_certificate (own),
                                            es_test_trust_get ()->server));
  g_assert_false (es_session_is_resumed (own));
  g_assert_null (es_session_get_alpn (own));
  g_assert_null (es_session_get_psk_identity (own));
}

static void
test_dtls_strangers_have_no_session (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 9);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Who has no session cannot be sent to.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();

  g_assert_null (es_udp_server_lookup_session (server, address));
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
  g_assert_cmpstr (error->message, ==,
                   "Could not send to 127.0.0.1:9: There is no session with it");
}

static void
test_dtls_long_messages_are_refused (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autofree char *text = g_strnfill (1400, 'x');
  g_autofree char *fitting = g_strnfill (1300, 'y');
  g_autoptr (GError) error = NULL;

  g_test_summary (
    "A message that does not fit in an encrypted datagram is an error, and the next one is none.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);

  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), text, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);
  assert_echo (client, fitting);
}

static void
test_dtls_many_leave_together (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (EsStats) stats = NULL;
  GBytes *messages[150];
  g_autoptr (GError) error = NULL;

  g_test_summary ("Encrypted messages of one size travel in trains, and come in their order.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  inbox = es_test_inbox_new (client);
  for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
    messages[i] = g_bytes_new_take (g_strdup_printf ("%03u", i), 3);
  g_assert_cmpint (
    es_endpoint_send_many (ES_ENDPOINT (client), messages, G_N_ELEMENTS (messages), NULL, &error),
    ==, 150);
  g_assert_no_error (error);
  es_test_wait_until (es_test_inbox_get_n (inbox) == G_N_ELEMENTS (messages));

  for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
    {
      g_assert_true (g_bytes_equal (es_test_inbox_get_message (inbox, i), messages[i]));
      g_bytes_unref (messages[i]);
    }
  stats = es_endpoint_get_stats (ES_ENDPOINT (client));
  if (es_test_has_mmsg ())
    g_assert_cmpuint (stats->send_calls, <, 20);
}

typedef struct
{
  EsEndpoint *client;
  int n_failed;
} Talk;

static gpointer
talk (gpointer data)
{
  Talk *self = data;

  for (int i = 0; i < 50; i++)
    if (!es_endpoint_send_text (self->client, "hello", NULL, NULL))
      g_atomic_int_inc (&self->n_failed);
  return NULL;
}

static void
test_dtls_threads_send (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  GThread *threads[4];
  Talk own = { NULL, 0 };

  g_test_summary ("Any thread may send, and no message is lost or damaged for it.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  inbox = es_test_inbox_new (client);
  own.client = ES_ENDPOINT (client);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("talker", talk, &own);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 200);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  g_assert_cmpint (own.n_failed, ==, 0);
  g_assert_cmpuint (es_test_get_n_unauthenticated (server), ==, 0);
  for (guint i = 0; i < 200; i++)
    g_assert_cmpstr (es_test_inbox_get_text (inbox, i), ==, "hello");
}

static void
test_dtls_workers_have_sessions (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  EsUdpClient *clients[12];

  g_test_summary (
    "With several workers each client has a session with one, and any thread finds it.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_new_private_server ();
  es_udp_server_set_workers (server, 3);
  es_test_start_private_server (server);
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    clients[i] = es_test_start_private_client (server);
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    {
      g_autoptr (GSocketAddress) address = es_endpoint_get_local_address (ES_ENDPOINT (clients[i]));
      g_autoptr (EsTestInbox) inbox = NULL;
      g_autoptr (EsSession) session = NULL;

      assert_echo (clients[i], "hello");
      session = es_udp_server_lookup_session (server, address);
      g_assert_nonnull (session);
      inbox = es_test_inbox_new (clients[i]);
      g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "from outside", address, NULL));
      es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
    }
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    g_object_unref (clients[i]);
}

static void
test_dtls_pool_answers (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;

  g_test_summary ("The threads of a pool answer privately, too.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_new_private_server ();
  es_endpoint_set_threaded (ES_ENDPOINT (server), TRUE);
  es_test_start_private_server (server);
  client = es_test_start_private_client (server);

  assert_echo (client, "hello");
}

static gpointer
connect_and_ask (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GBytes) request = g_bytes_new_static ("ping", 4);
  g_autoptr (GBytes) answer = NULL;
  g_autoptr (GError) error = NULL;

  g_main_context_push_thread_default (context);
  client = es_test_new_private_client ();
  es_udp_client_connect_to (client, data, NULL, &error);
  g_assert_no_error (error);
  answer = es_udp_client_request (client, request, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (request, answer));
  es_endpoint_stop (ES_ENDPOINT (client));
  g_main_context_pop_thread_default (context);
  return g_strdup ("done");
}

static void
test_dtls_requests_are_answered (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autofree char *result = NULL;
  GThread *thread;

  g_test_summary ("Connecting and asking need no main loop, private as they are.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  address = es_test_address_of (server, "127.0.0.1");
  thread = g_thread_new ("asker", connect_and_ask, address);
  es_test_wait_until (es_test_get_n_received (server) == 1);
  es_test_settle ();
  result = g_thread_join (thread);

  g_assert_cmpstr (result, ==, "done");
}

static void
test_dtls_stop_ends_sessions (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A server that stops says so to its clients, who can send no more.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  inbox = es_test_inbox_new (client);
  assert_echo (client, "hello");
  es_endpoint_stop (ES_ENDPOINT (server));
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) > 0);

  g_assert_error (es_test_inbox_get_error (inbox, 0), G_TLS_ERROR, G_TLS_ERROR_EOF);
  g_assert_null (es_udp_client_get_session (client));
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
}

static void
test_dtls_client_goes (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  EsUdpClient *client = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  EsSession *session = NULL;

  g_test_summary ("A client that goes takes its session along, and nobody calls that an error.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  address = es_endpoint_get_local_address (ES_ENDPOINT (client));
  assert_echo (client, "hello");
  g_assert_finalize_object (client);
  do
    {
      g_clear_object (&session);
      es_test_iterate (es_test_get_deadline ());
      session = es_udp_server_lookup_session (server, address);
    }
  while (session != NULL);

  g_assert_cmpuint (es_test_get_n_unauthenticated (server), ==, 0);
}

static void
test_dtls_client_connects_again (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsSession) session = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that was stopped, or runs, connects again and resumes its session.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  es_endpoint_stop (ES_ENDPOINT (client));
  es_endpoint_start (ES_ENDPOINT (client), &error);
  g_assert_no_error (error);
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
  g_clear_error (&error);
  es_test_connect (client, server, &error);
  g_assert_no_error (error);
  assert_echo (client, "hello");
  session = es_udp_client_get_session (client);

  g_assert_true (es_session_is_resumed (session));
  g_assert_true (g_tls_certificate_is_same (es_session_get_peer_certificate (session),
                                            es_test_trust_get ()->server));
}

static void
test_dtls_trust_that_changes_resumes_nothing (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GTlsDatabase) nobody = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that trusts somebody else now looks at the certificate anew.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);
  nobody = es_test_new_database (es_test_trust_get ()->client);
  es_udp_client_set_tls_database (client, nobody);

  g_assert_false (es_test_connect (client, server, &error));
  g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE);
  g_clear_error (&error);
  assert_echo (client, "as before");
}

static void
test_dtls_idle_clients_are_forgotten (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (GSocketAddress) address = NULL;

  g_test_summary ("A client that is silent for the idle timeout is told that its session is over.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_new_private_server ();
  es_udp_server_set_tls_idle_timeout (server, 50);
  es_test_start_private_server (server);
  client = es_test_start_private_client (server);
  inbox = es_test_inbox_new (client);
  address = es_endpoint_get_local_address (ES_ENDPOINT (client));
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);

  g_assert_error (es_test_inbox_get_error (inbox, 0), G_TLS_ERROR, G_TLS_ERROR_EOF);
  g_assert_null (es_udp_server_lookup_session (server, address));
}

static void
test_dtls_sessions_are_capped (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) first = NULL;
  g_autoptr (EsUdpClient) second = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("When there are as many sessions as there may be, the next client is not let in, "
                  "and the first stays.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_new_private_server ();
  es_udp_server_set_tls_max_sessions (server, 1);
  es_test_start_private_server (server);
  first = es_test_start_private_client (server);
  second = es_test_new_private_client ();
  es_udp_client_set_tls_handshake_timeout (second, 300);

  g_assert_false (es_test_connect (second, server, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpuint (es_test_get_n_unauthenticated (server), >, 0);
  assert_echo (first, "still here");
}

static void
test_dtls_peers_are_private (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsPeer) peer = NULL;
  g_autoptr (GBytes) message = g_bytes_new_static ("to all", 6);

  g_test_summary (
    "What is sent to peers is encrypted for each, under an amplification limit, too.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  es_udp_server_set_amplification_limit (server, 1);
  client = es_test_start_private_client (server);
  inbox = es_test_inbox_new (client);
  address = es_endpoint_get_local_address (ES_ENDPOINT (client));
  peer = es_udp_server_add_peer (server, address);

  es_test_wait_until (es_udp_server_send_to_peers (server, message, NULL) == 1);
  es_test_wait_until (es_test_inbox_get_n (inbox) >= 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "to all");
}

static void
test_dtls_empty_messages_are_refused (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary (
    "An empty message, which GnuTLS makes no record of, is an error, and the next one is none.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  client = es_test_start_private_client (server);

  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  assert_echo (client, "and on");
}

static void
add_message_tests (void)
{
  g_test_add_func ("/dtls/messages-come-and-go", test_dtls_messages_come_and_go);
  g_test_add_func ("/dtls/nothing-is-readable", test_dtls_nothing_is_readable);
  g_test_add_func ("/dtls/plain-messages-are-dropped", test_dtls_plain_messages_are_dropped);
  g_test_add_func ("/dtls/empty-messages-are-refused", test_dtls_empty_messages_are_refused);
  g_test_add_func ("/dtls/long-messages-are-refused", test_dtls_long_messages_are_refused);
  g_test_add_func ("/dtls/many-leave-together", test_dtls_many_leave_together);
  g_test_add_func ("/dtls/threads-send", test_dtls_threads_send);
  g_test_add_func ("/dtls/workers-have-sessions", test_dtls_workers_have_sessions);
  g_test_add_func ("/dtls/pool-answers", test_dtls_pool_answers);
  g_test_add_func ("/dtls/requests-are-answered", test_dtls_requests_are_answered);
  g_test_add_func ("/dtls/peers-are-private", test_dtls_peers_are_private);
}

static void
add_session_tests (void)
{
  g_test_add_func ("/dtls/sessions-are-known", test_dtls_sessions_are_known);
  g_test_add_func ("/dtls/strangers-have-no-session", test_dtls_strangers_have_no_session);
  g_test_add_func ("/dtls/stop-ends-sessions", test_dtls_stop_ends_sessions);
  g_test_add_func ("/dtls/client-goes", test_dtls_client_goes);
  g_test_add_func ("/dtls/client-connects-again", test_dtls_client_connects_again);
  g_test_add_func ("/dtls/trust-that-changes-resumes-nothing",
                   test_dtls_trust_that_changes_resumes_nothing);
  g_test_add_func ("/dtls/idle-clients-are-forgotten", test_dtls_idle_clients_are_forgotten);
  g_test_add_func ("/dtls/sessions-are-capped", test_dtls_sessions_are_capped);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_message_tests ();
  add_session_tests ();
  return g_test_run ();
}
