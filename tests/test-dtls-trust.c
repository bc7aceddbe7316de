/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-tls.h"

#include <string.h>

/* Who is let in, and who is not, and what both sides are told. */

static EsUdpServer *
start_server_with (GTlsCertificate *certificate)
{
  EsUdpServer *server = es_test_new_private_server ();

  es_udp_server_set_tls_certificate (server, certificate);
  return es_test_start_private_server (server);
}

/* A client does not like the certificate, for a reason that it names. */
static void
assert_refused (const EsTestCertificate *wish,
                const char *reason)
{
  g_autoptr (GTlsCertificate) certificate = es_test_new_certificate (wish);
  g_autoptr (EsUdpServer) server = start_server_with (certificate);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) client = es_test_new_private_client ();
  g_autoptr (GError) error = NULL;

  g_assert_false (es_test_connect (client, server, &error));
  g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE);
  g_assert_nonnull (strstr (error->message, reason));
  g_assert_true (g_str_has_prefix (error->message, "Could not connect to 127.0.0.1:"));
  g_assert_null (es_udp_client_get_session (client));
  g_assert_null (es_udp_client_get_remote_address (client));
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
  g_assert_error (es_test_inbox_get_error (inbox, 0), G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE);
}

static void
test_dtls_trust_names (void)
{
  EsTestCertificate wish = { .name = "elsewhere.invalid" };

  g_test_summary ("A certificate for another name is refused.");
  if (es_test_lacks_tls ())
    return;

  wish.issuer = es_test_trust_get ()->authority;
  assert_refused (&wish, "it is not for “127.0.0.1”");
}

static void
test_dtls_trust_dates (void)
{
  EsTestCertificate wish = { .name = "localhost", .days = -1 };

  g_test_summary ("A certificate that has expired is refused.");
  if (es_test_lacks_tls ())
    return;

  wish.issuer = es_test_trust_get ()->authority;
  assert_refused (&wish, "it has expired");
}

static void
test_dtls_trust_issuers (void)
{
  EsTestCertificate wish = { .name = "localhost" };

  g_test_summary ("A certificate that nobody trusted has vouched for is refused.");
  if (es_test_lacks_tls ())
    return;

  assert_refused (&wish, "its issuer is not trusted");
}

static void
test_dtls_trust_purposes (void)
{
  EsTestCertificate wish = { .name = "localhost", .is_for_clients = TRUE };

  g_test_summary ("A certificate that is for clients alone is refused from a server.");
  if (es_test_lacks_tls ())
    return;

  wish.issuer = es_test_trust_get ()->authority;
  assert_refused (&wish, "it is not for this use");
}

static void
test_dtls_trust_identity (void)
{
  EsTestCertificate wish = { .name = "here.invalid" };
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that says whom it means takes the certificate for that name.");
  if (es_test_lacks_tls ())
    return;

  wish.issuer = es_test_trust_get ()->authority;
  certificate = es_test_new_certificate (&wish);
  server = start_server_with (certificate);
  client = es_test_new_private_client ();
  es_udp_client_set_tls_identity (client, "here.invalid");

  g_assert_true (es_test_connect (client, server, &error));
  g_assert_no_error (error);
  es_udp_client_set_tls_identity (client, "there.invalid");
  g_assert_false (es_test_connect (client, server, &error));
  g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE);
}

static void
test_dtls_trust_needs_a_key (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autofree char *pem = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A server cannot start with a certificate that comes without its key.");
  if (es_test_lacks_tls ())
    return;

  g_object_get (es_test_trust_get ()->server, "certificate-pem", &pem, NULL);
  certificate = g_tls_certificate_new_from_pem (pem, -1, &error);
  g_assert_no_error (error);
  server = es_test_new_private_server ();
  es_udp_server_set_tls_certificate (server, certificate);

  g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));
  g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE);
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
}

static void
test_dtls_trust_nobody_there (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client is told at once when nobody listens, and stays as it was.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_start_private_server (es_test_new_private_server ());
  address = es_test_address_of (server, "127.0.0.1");
  es_endpoint_stop (ES_ENDPOINT (server));
  client = es_test_new_private_client ();

  g_assert_false (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));
  g_clear_error (&error);
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
}

static void
take_result_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
test_dtls_trust_is_cancelled (void)
{
  g_autoptr (GSocket) silent = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (silent, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A handshake that nobody answers can be cancelled.");
  if (es_test_lacks_tls ())
    return;

  client = es_test_new_private_client ();
  es_udp_client_connect_to_async (client, G_SOCKET_CONNECTABLE (address), cancellable,
                                  take_result_cb, &result);
  es_test_wait_until (es_test_can_hear (silent));
  g_assert_null (result);
  g_cancellable_cancel (cancellable);
  es_test_wait_until (result != NULL);

  g_assert_false (es_udp_client_connect_to_finish (client, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static EsUdpServer *
start_asking_server (GTlsAuthenticationMode mode)
{
  EsUdpServer *server = es_test_new_private_server ();

  es_udp_server_set_tls_authentication_mode (server, mode);
  es_udp_server_set_tls_database (server, es_test_trust_get ()->database);
  return es_test_start_private_server (server);
}

static void
test_dtls_trust_clients (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (EsSession) session = NULL;
  g_autoptr (GError) error = NULL;
  EsTestTrust *trust;

  g_test_summary ("A client that shows a trusted certificate is let in without a question.");
  if (es_test_lacks_tls ())
    return;

  trust = es_test_trust_get ();
  server = start_asking_server (G_TLS_AUTHENTICATION_REQUIRED);
  inbox = es_test_inbox_new (server);
  client = es_test_new_private_client ();
  es_udp_client_set_tls_certificate (client, trust->client);
  g_assert_true (es_test_connect (client, server, &error));
  g_assert_no_error (error);
  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  session = es_udp_server_lookup_session (server, es_test_inbox_get_address (inbox, 0));

  g_assert_true (
    g_tls_certificate_is_same (es_session_get_peer_certificate (session), trust->client));
}

static void
test_dtls_trust_requires_certificates (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where a certificate is required, who shows none hears of it.");
  if (es_test_lacks_tls ())
    return;

  server = start_asking_server (G_TLS_AUTHENTICATION_REQUIRED);
  inbox = es_test_inbox_new (server);
  client = es_test_new_private_client ();

  g_assert_false (es_test_connect (client, server, &error));
  g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE);
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
  g_assert_error (es_test_inbox_get_error (inbox, 0), G_TLS_ERROR,
                  G_TLS_ERROR_CERTIFICATE_REQUIRED);
}

static void
test_dtls_trust_requests_certificates (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where a certificate is only asked for, who shows none is let in.");
  if (es_test_lacks_tls ())
    return;

  server = start_asking_server (G_TLS_AUTHENTICATION_REQUESTED);
  client = es_test_new_private_client ();

  g_assert_true (es_test_connect (client, server, &error));
  g_assert_no_error (error);
}

typedef struct
{
  gboolean verdict;
  guint n_asked;
  GTlsCertificateFlags flags;
} Judge;

static gboolean
judge (EsUdpServer *server,
       EsSession *session,
       GTlsCertificate *certificate,
       GTlsCertificateFlags flags,
       gpointer user_data)
{
  Judge *self = user_data;

  g_assert_true (ES_IS_SESSION (session));
  g_assert_true (es_session_get_peer_certificate (session) == certificate);
  g_assert_cmpint (es_session_get_established (session), ==, 0);
  self->n_asked++;
  self->flags = flags;
  return self->verdict;
}

/* Shows a certificate that nobody vouches for to a server whose handler decides. */
static gboolean
try_judge (Judge *self)
{
  g_autoptr (GTlsCertificate) certificate =
    es_test_new_certificate (&(EsTestCertificate){ .name = "me", .is_for_clients = TRUE });
  g_autoptr (EsUdpServer) server = start_asking_server (G_TLS_AUTHENTICATION_REQUESTED);
  g_autoptr (EsUdpClient) client = es_test_new_private_client ();

  g_signal_connect (server, "accept-certificate", G_CALLBACK (judge), self);
  es_udp_client_set_tls_certificate (client, certificate);
  return es_test_connect (client, server, NULL);
}

static void
test_dtls_trust_asks_the_handler (void)
{
  Judge mild = { .verdict = TRUE };
  Judge strict = { .verdict = FALSE };

  g_test_summary ("What is not trusted is the handler's to decide, who is told what is wrong.");
  if (es_test_lacks_tls ())
    return;

  g_assert_true (try_judge (&mild));
  g_assert_cmpuint (mild.n_asked, ==, 1);
  g_assert_cmpuint (mild.flags, ==, G_TLS_CERTIFICATE_UNKNOWN_CA);
  g_assert_false (try_judge (&strict));
  g_assert_cmpuint (strict.n_asked, ==, 1);
}

static gboolean
stop_and_accept (EsUdpServer *server,
                 EsSession *session,
                 GTlsCertificate *certificate,
                 GTlsCertificateFlags flags,
                 gpointer user_data)
{
  es_endpoint_stop (ES_ENDPOINT (server));
  return TRUE;
}

static void
test_dtls_trust_handler_stops (void)
{
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;

  g_test_summary ("A handler that is asked in the middle of a handshake may stop the server.");
  if (es_test_lacks_tls ())
    return;

  certificate =
    es_test_new_certificate (&(EsTestCertificate){ .name = "me", .is_for_clients = TRUE });
  server = start_asking_server (G_TLS_AUTHENTICATION_REQUESTED);
  g_signal_connect (server, "accept-certificate", G_CALLBACK (stop_and_accept), NULL);
  client = es_test_new_private_client ();
  es_udp_client_set_tls_certificate (client, certificate);
  es_udp_client_set_tls_handshake_timeout (client, 2000);
  es_test_connect (client, server, NULL);

  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
}

static GBytes *
find_key_cb (EsUdpServer *server,
             const char *identity,
             gpointer user_data)
{
  g_atomic_int_inc ((int *) user_data);
  return g_str_equal (identity, "alice") ? g_bytes_new_static ("a long secret", 13) : NULL;
}

static EsUdpServer *
start_psk_server (int *n_asked)
{
  EsUdpServer *server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);

  es_udp_server_set_psk_func (server, find_key_cb, n_asked, NULL);
  return es_test_start_private_server (server);
}

static EsUdpClient *
new_psk_client (const char *identity,
                const char *secret)
{
  EsUdpClient *client = es_udp_client_new ();
  g_autoptr (GBytes) key = g_bytes_new (secret, strlen (secret));

  es_udp_client_set_tls (client, ES_TLS_MODE_VERIFY);
  es_udp_client_set_psk (client, identity, key);
  es_udp_client_set_tls_handshake_timeout (client, 500);
  return client;
}

static void
test_dtls_trust_keys (void)
{
  int n_asked = 0;
  g_autoptr (EsUdpServer) server = start_psk_server (&n_asked);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) client = new_psk_client ("alice", "a long secret");
  g_autoptr (EsSession) session = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Who knows the key needs no certificate, nor does the server, and is named.");

  g_assert_true (es_test_connect (client, server, &error));
  g_assert_no_error (error);
  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  session = es_udp_server_lookup_session (server, es_test_inbox_get_address (inbox, 0));

  g_assert_cmpstr (es_session_get_psk_identity (session), ==, "alice");
  g_assert_null (es_session_get_peer_certificate (session));
  g_assert_cmpint (n_asked, ==, 1);
}

/* Nobody is let in, and nobody can tell whether the name or the key was wrong. */
static void
assert_no_key (const char *identity,
               const char *secret)
{
  int n_asked = 0;
  g_autoptr (EsUdpServer) server = start_psk_server (&n_asked);
  g_autoptr (EsUdpClient) client = new_psk_client (identity, secret);
  g_autoptr (GError) error = NULL;

  g_assert_false (es_test_connect (client, server, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_nonnull (strstr (error->message, "the identity or its key is wrong"));
  g_assert_cmpint (n_asked, ==, 1);
}

static void
test_dtls_trust_no_wrong_key (void)
{
  g_test_summary ("Who has the wrong key is not let in.");

  assert_no_key ("alice", "a long guess");
}

static void
test_dtls_trust_no_unknown_name (void)
{
  g_test_summary ("Whom nobody knows is not let in, and cannot tell that from a wrong key.");

  assert_no_key ("mallory", "a long secret");
}

static void
test_dtls_trust_needs_a_common_cipher (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (EsUdpClient) client = new_psk_client ("alice", "a long secret");
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where there is no cipher that both sides allow, both are told so.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_start_private_server (es_test_new_private_server ());
  inbox = es_test_inbox_new (server);

  g_assert_false (es_test_connect (client, server, &error));
  g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE);
  g_assert_nonnull (strstr (error->message, "no cipher"));
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
  g_assert_error (es_test_inbox_get_error (inbox, 0), G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE);
  g_assert_nonnull (strstr (es_test_inbox_get_error (inbox, 0)->message, "no cipher"));
}

static gboolean
agree (const char *const *of_server,
       const char *const *of_client,
       char **agreed)
{
  g_autoptr (EsUdpServer) server = es_test_new_private_server ();
  g_autoptr (EsUdpClient) client = es_test_new_private_client ();
  g_autoptr (EsSession) session = NULL;

  es_udp_server_set_tls_alpn (server, of_server);
  es_test_start_private_server (server);
  es_udp_client_set_tls_alpn (client, of_client);
  if (!es_test_connect (client, server, NULL))
    return FALSE;
  session = es_udp_client_get_session (client);
  *agreed = g_strdup (es_session_get_alpn (session));
  return TRUE;
}

static void
test_dtls_trust_agrees_on_protocols (void)
{
  const char *const ours[] = { "chat/2", "chat/1", NULL };
  const char *const old[] = { "chat/1", NULL };
  const char *const foreign[] = { "coap", NULL };
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *third = NULL;

  g_test_summary ("Both sides agree on a protocol that both speak; who names others is refused.");
  if (es_test_lacks_tls ())
    return;

  g_assert_true (agree (ours, old, &first));
  g_assert_cmpstr (first, ==, "chat/1");
  g_assert_true (agree (ours, NULL, &second));
  g_assert_null (second);
  g_assert_false (agree (ours, foreign, &third));
}

static void
test_dtls_trust_accessors (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GTlsDatabase) database = NULL;
  g_auto (GStrv) alpn = NULL;
  guint mtu, handshake, idle, sessions, half_open, mode;

  g_test_summary ("All that is private can be set and read by properties.");

  g_object_set (server, "tls-mtu", 1200, "tls-handshake-timeout", 1, "tls-idle-timeout", 2,
                "tls-max-sessions", 3, "tls-max-half-open", 4, "tls-authentication-mode",
                G_TLS_AUTHENTICATION_REQUIRED, "tls-alpn", (const char *[]){ "a", NULL }, NULL);
  g_object_get (server, "tls-mtu", &mtu, "tls-handshake-timeout", &handshake, "tls-idle-timeout",
                &idle, "tls-max-sessions", &sessions, "tls-max-half-open", &half_open,
                "tls-authentication-mode", &mode, "tls-alpn", &alpn, "tls-database", &database,
                NULL);
  g_assert_cmpuint (mtu, ==, 1200);
  g_assert_cmpuint (handshake, ==, 1);
  g_assert_cmpuint (idle, ==, 2);
  g_assert_cmpuint (sessions, ==, 3);
  g_assert_cmpuint (half_open, ==, 4);
  g_assert_cmpuint (mode, ==, G_TLS_AUTHENTICATION_REQUIRED);
  g_assert_cmpstr (alpn[0], ==, "a");
  g_assert_null (database);

  g_object_set (client, "tls", ES_TLS_MODE_VERIFY, "tls-identity", "example.org", "tls-mtu", 1300,
                "tls-handshake-timeout", 5, NULL);
  g_object_get (client, "tls", &mode, "tls-mtu", &mtu, "tls-handshake-timeout", &handshake, NULL);
  g_assert_cmpuint (mode, ==, ES_TLS_MODE_VERIFY);
  g_assert_cmpuint (mtu, ==, 1300);
  g_assert_cmpuint (handshake, ==, 5);
  g_assert_cmpstr (es_udp_client_get_tls_identity (client), ==, "example.org");
}

static void
add_server_tests (void)
{
  g_test_add_func ("/dtls-trust/names", test_dtls_trust_names);
  g_test_add_func ("/dtls-trust/dates", test_dtls_trust_dates);
  g_test_add_func ("/dtls-trust/issuers", test_dtls_trust_issuers);
  g_test_add_func ("/dtls-trust/purposes", test_dtls_trust_purposes);
  g_test_add_func ("/dtls-trust/identity", test_dtls_trust_identity);
  g_test_add_func ("/dtls-trust/needs-a-key", test_dtls_trust_needs_a_key);
  g_test_add_func ("/dtls-trust/nobody-there", test_dtls_trust_nobody_there);
  g_test_add_func ("/dtls-trust/is-cancelled", test_dtls_trust_is_cancelled);
}

static void
add_client_tests (void)
{
  g_test_add_func ("/dtls-trust/clients", test_dtls_trust_clients);
  g_test_add_func ("/dtls-trust/requires-certificates", test_dtls_trust_requires_certificates);
  g_test_add_func ("/dtls-trust/requests-certificates", test_dtls_trust_requests_certificates);
  g_test_add_func ("/dtls-trust/asks-the-handler", test_dtls_trust_asks_the_handler);
  g_test_add_func ("/dtls-trust/handler-stops", test_dtls_trust_handler_stops);
}

static void
add_agreement_tests (void)
{
  g_test_add_func ("/dtls-trust/keys", test_dtls_trust_keys);
  g_test_add_func ("/dtls-trust/no-wrong-key", test_dtls_trust_no_wrong_key);
  g_test_add_func ("/dtls-trust/no-unknown-name", test_dtls_trust_no_unknown_name);
  g_test_add_func ("/dtls-trust/needs-a-common-cipher", test_dtls_trust_needs_a_common_cipher);
  g_test_add_func ("/dtls-trust/agrees-on-protocols", test_dtls_trust_agrees_on_protocols);
  g_test_add_func ("/dtls-trust/accessors", test_dtls_trust_accessors);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_server_tests ();
  add_client_tests ();
  add_agreement_tests ();
  return g_test_run ();
}
