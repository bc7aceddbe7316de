/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-proxy.h"
#include "es-test-tls.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What networks and strangers may do to a private server. */

static EsUdpServer *
start_server (void)
{
  return es_test_start_private_server (es_test_new_private_server ());
}

static void
take_result_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static EsUdpClient *
connect_by_proxy (EsTestProxy *proxy)
{
  g_autoptr (GSocketAddress) address = es_test_proxy_get_address (proxy);
  EsUdpClient *client = es_test_new_private_client ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  es_udp_client_connect_to_async (client, G_SOCKET_CONNECTABLE (address), NULL, take_result_cb,
                                  &result);
  es_test_wait_until (result != NULL);
  es_udp_client_connect_to_finish (client, result, &error);
  g_assert_no_error (error);
  return client;
}

static void
assert_echo (EsUdpClient *client,
             const char *text)
{
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);

  es_test_send (client, text);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, text);
}

/* (transfer full) What one of our own clients says first. */
static GBytes *
dup_hello (void)
{
  g_autoptr (GSocket) silent = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (silent, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (EsUdpClient) client = es_test_new_private_client ();
  g_autoptr (GAsyncResult) result = NULL;
  char buffer[2048];
  gssize n;

  es_udp_client_connect_to_async (client, G_SOCKET_CONNECTABLE (address), cancellable,
                                  take_result_cb, &result);
  es_test_wait_until (es_test_can_hear (silent));
  n = g_socket_receive (silent, buffer, sizeof buffer, NULL, NULL);
  g_cancellable_cancel (cancellable);
  es_test_wait_until (result != NULL);
  return g_bytes_new (buffer, n);
}

static void
send_bytes (GSocket *socket,
            GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  g_assert_cmpint (g_socket_send (socket, data, size, NULL, NULL), ==, size);
}

/* (transfer full) What the server answers, for which the context is iterated. */
static GBytes *
receive_bytes (GSocket *socket)
{
  char buffer[2048];
  gssize n;

  es_test_wait_until (es_test_can_hear (socket));
  n = g_socket_receive (socket, buffer, sizeof buffer, NULL, NULL);
  g_assert_cmpint (n, >=, 0);
  return g_bytes_new (buffer, n);
}

static guint64
get_n_sent (gpointer endpoint)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (endpoint);

  return stats->messages_sent;
}

static void
test_dtls_strangers_get_a_cookie (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocket) talker = NULL;
  g_autoptr (GBytes) hello = NULL;
  g_autoptr (GBytes) answer = NULL;
  const guint8 *data;

  g_test_summary ("A hello is answered with a cookie, that is shorter than three tenths of it.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  hello = dup_hello ();
  talker = es_test_new_talker (server, "127.0.0.1");
  send_bytes (talker, hello);
  answer = receive_bytes (talker);
  data = g_bytes_get_data (answer, NULL);

  g_assert_cmpint (data[0], ==, 22);
  g_assert_cmpint (data[13], ==, 3);
  g_assert_cmpuint (g_bytes_get_size (answer) * 10, <=, g_bytes_get_size (hello) * 3);
  g_assert_cmpuint (es_test_get_n_unauthenticated (server), ==, 0);
}

static void
test_dtls_strangers_cannot_make_cookies_up (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocket) talker = NULL;
  g_autoptr (GBytes) hello = NULL;
  g_autoptr (GBytes) forged = NULL;
  g_autoptr (GBytes) answer = NULL;
  g_autofree guint8 *bytes = NULL;
  gsize size;

  g_test_summary ("A cookie that is not ours is answered with one that is, and nothing else.");
  if (es_test_lacks_tls ())
    return;

  /* The cookie's length stands behind the version, the random number and an empty session. */
  server = start_server ();
  hello = dup_hello ();
  size = g_bytes_get_size (hello);
  bytes = g_malloc0 (size + 16);
  memcpy (bytes, g_bytes_get_data (hello, NULL), 61);
  memset (bytes + 61, 'x', 16);
  memcpy (bytes + 77, (const guint8 *) g_bytes_get_data (hello, NULL) + 61, size - 61);
  g_assert_cmpint (bytes[60], ==, 0);
  bytes[60] = 16;
  bytes[12] += 16;
  bytes[16] += 16;
  bytes[24] += 16;
  forged = g_bytes_new (bytes, size + 16);
  talker = es_test_new_talker (server, "127.0.0.1");
  send_bytes (talker, forged);
  answer = receive_bytes (talker);

  g_assert_cmpint (((const guint8 *) g_bytes_get_data (answer, NULL))[13], ==, 3);
  g_assert_cmpuint (get_n_sent (server), ==, 1);
}

static void
test_dtls_strangers_say_it_in_one_piece (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GSocket) talker = NULL;
  g_autoptr (GBytes) hello = NULL;
  g_autofree guint8 *bytes = NULL;
  gsize size;

  g_test_summary ("A hello in pieces, which would have to be remembered, is dropped and counted.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  hello = dup_hello ();
  bytes = g_memdup2 (g_bytes_get_data (hello, NULL), g_bytes_get_size (hello));
  size = g_bytes_get_size (hello) - 40;
  /* The record and the piece are shorter than the message that they are a part of. */
  bytes[11] = (size - 13) >> 8;
  bytes[12] = (size - 13) & 0xff;
  bytes[23] = (size - 25) >> 8;
  bytes[24] = (size - 25) & 0xff;
  talker = es_test_new_talker (server, "127.0.0.1");
  g_assert_cmpint (g_socket_send (talker, (char *) bytes, size, NULL, NULL), ==, size);
  es_test_wait_until (es_test_get_n_unauthenticated (server) == 1);

  g_assert_cmpuint (get_n_sent (server), ==, 0);
}

/* Says hello from an address of its own, once for each number. */
static void
say_hello_from (guint number,
                guint16 port,
                GBytes *hello)
{
  struct sockaddr_in from = { .sin_family = AF_INET };
  struct sockaddr_in to = { .sin_family = AF_INET };
  gsize size;
  gconstpointer data = g_bytes_get_data (hello, &size);
  int fd = socket (AF_INET, SOCK_DGRAM, 0);

  from.sin_addr.s_addr = htonl (0x7f010000 + number);
  to.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  to.sin_port = htons (port);
  g_assert_no_errno (fd);
  g_assert_no_errno (bind (fd, (struct sockaddr *) &from, sizeof from));
  g_assert_cmpint (sendto (fd, data, size, 0, (struct sockaddr *) &to, sizeof to), ==, size);
  close (fd);
}

/* Under a sanitizer there is nothing to see. */
static gsize
get_allocated (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static void
flood (EsUdpServer *server,
       GBytes *hello,
       guint from,
       guint n)
{
  for (guint i = 0; i < n; i++)
    {
      say_hello_from (from + i, es_udp_server_get_port (server), hello);
      if (i % 32 == 0)
        es_test_settle ();
    }
  es_test_settle ();
}

static gint64
measure_connect (EsUdpServer *server)
{
  g_autoptr (EsUdpClient) client = es_test_new_private_client ();
  gint64 before = g_get_monotonic_time ();

  g_assert_true (es_test_connect (client, server, NULL));
  return g_get_monotonic_time () - before;
}

static void
test_dtls_strangers_take_no_memory (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GBytes) hello = NULL;
  g_autoptr (EsStats) stats = NULL;
  guint n = es_test_is_slow () ? 500 : 10000;
  gint64 before_flood;
  gsize memory;

  g_test_summary ("Ten thousand hellos of silent strangers take no memory, less than a third of "
                  "their bytes is sent back, and who is honest waits no longer.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  hello = dup_hello ();
  flood (server, hello, 0, 200);
  before_flood = measure_connect (server);
  memory = get_allocated ();
  flood (server, hello, 200, n);
  for (guint i = 0; i < 32; i++)
    say_hello_from (20000 + i, es_udp_server_get_port (server), hello);
  if (!es_test_is_slow ())
    g_assert_cmpint (measure_connect (server), <, before_flood + 100 * G_TIME_SPAN_MILLISECOND);

  if (!es_test_is_slow ())
    g_assert_cmpuint (get_allocated (), <, memory + 1024 * 1024);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_unauthenticated, ==, 0);
  g_assert_cmpuint (stats->messages_sent, >=, n);
}

/* Remembers the last datagram on its way to the server that is a message, or a hello. */
typedef struct
{
  gboolean is_for_hellos;
  GBytes *last; /* (owned) (nullable) */
  gboolean is_to_alter;
} Tap;

static gboolean
tap_cb (EsTestProxy *proxy,
        GBytes *datagram,
        gboolean is_to_server,
        gpointer user_data)
{
  Tap *self = user_data;
  gsize size;
  const guint8 *data = g_bytes_get_data (datagram, &size);
  g_autofree guint8 *altered = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (!is_to_server || data[0] != (self->is_for_hellos ? 22 : 23) ||
      (self->is_for_hellos && data[13] != 1))
    return TRUE;
  g_clear_pointer (&self->last, g_bytes_unref);
  self->last = g_bytes_ref (datagram);
  if (!self->is_to_alter)
    return TRUE;
  self->is_to_alter = FALSE;
  altered = g_memdup2 (data, size);
  altered[size - 1] ^= 1;
  bytes = g_bytes_new (altered, size);
  es_test_proxy_pass (proxy, bytes, TRUE);
  return FALSE;
}

static void
test_dtls_strangers_play_back_in_vain (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestProxy) proxy = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  Tap tap = { 0 };

  g_test_summary ("A record that comes again is dropped and counted, and heard once.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  proxy = es_test_proxy_new (server, tap_cb, &tap);
  client = connect_by_proxy (proxy);
  assert_echo (client, "once");
  for (int i = 0; i < 3; i++)
    es_test_proxy_pass (proxy, tap.last, TRUE);
  es_test_wait_until (es_test_get_n_unauthenticated (server) == 3);

  g_assert_cmpuint (es_test_get_n_received (server), ==, 1);
  assert_echo (client, "and on");
  g_bytes_unref (tap.last);
}

static void
test_dtls_strangers_alter_in_vain (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestProxy) proxy = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  Tap tap = { 0 };

  g_test_summary ("A record that was altered is dropped and counted, and the session goes on.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  proxy = es_test_proxy_new (server, tap_cb, &tap);
  client = connect_by_proxy (proxy);
  tap.is_to_alter = TRUE;
  es_test_send (client, "altered");
  es_test_wait_until (es_test_get_n_unauthenticated (server) == 1);

  g_assert_cmpuint (es_test_get_n_received (server), ==, 0);
  assert_echo (client, "and on");
  g_bytes_unref (tap.last);
}

/* Has each message come behind the one before it, in one datagram. */
static gboolean
join_cb (EsTestProxy *proxy,
         GBytes *datagram,
         gboolean is_to_server,
         gpointer user_data)
{
  GBytes **last = user_data;
  gsize size, last_size;
  const guint8 *data = g_bytes_get_data (datagram, &size);
  g_autoptr (GByteArray) joint = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (!is_to_server || data[0] != 23)
    return TRUE;
  joint = g_byte_array_new ();
  if (*last != NULL)
    {
      data = g_bytes_get_data (*last, &last_size);
      g_byte_array_append (joint, data, last_size);
      g_bytes_unref (*last);
    }
  *last = g_bytes_ref (datagram);
  g_byte_array_append (joint, g_bytes_get_data (datagram, NULL), size);
  bytes = g_byte_array_free_to_bytes (g_steal_pointer (&joint));
  es_test_proxy_pass (proxy, bytes, TRUE);
  return FALSE;
}

static void
test_dtls_strangers_share_a_datagram (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestProxy) proxy = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GBytes) last = NULL;

  g_test_summary (
    "What follows a record that is dropped, in the same datagram, is heard, and so is "
    "the next datagram.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  proxy = es_test_proxy_new (server, join_cb, &last);
  client = connect_by_proxy (proxy);
  assert_echo (client, "first");
  assert_echo (client, "second");
  assert_echo (client, "third");

  g_assert_cmpuint (es_test_get_n_received (server), ==, 3);
}

static void
test_dtls_strangers_end_nobodys_session (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestProxy) proxy = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GBytes) hello = NULL;
  g_autoptr (GBytes) alert = g_bytes_new_static ("\x15\xfe\xfd\0\0\0\0\0\0\0\x63\0\2\1\0", 15);
  Tap tap = { .is_for_hellos = TRUE };
  guint64 n_sent;

  g_test_summary (
    "Neither a hello, nor the very one that came with a cookie, nor an alert in clear "
    "ends a session, though all come from its address.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  hello = dup_hello ();
  proxy = es_test_proxy_new (server, tap_cb, &tap);
  client = connect_by_proxy (proxy);
  assert_echo (client, "mine");
  n_sent = get_n_sent (server);
  es_test_proxy_pass (proxy, hello, TRUE);
  es_test_wait_until (get_n_sent (server) == n_sent + 1);
  es_test_proxy_pass (proxy, tap.last, TRUE);
  es_test_proxy_pass (proxy, alert, TRUE);
  es_test_wait_until (es_test_get_n_unauthenticated (server) == 2);

  assert_echo (client, "still mine");
  g_bytes_unref (tap.last);
}

static void
test_dtls_strangers_restart_on_a_port (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestProxy) proxy = NULL;
  g_autoptr (EsUdpClient) first = NULL;
  g_autoptr (EsUdpClient) second = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsSession) before = NULL;
  g_autoptr (EsSession) after = NULL;

  g_test_summary ("A client that has lost its session begins a new one from the same address.");
  if (es_test_lacks_tls ())
    return;

  server = start_server ();
  proxy = es_test_proxy_new (server, NULL, NULL);
  address = es_test_proxy_get_address_at_server (proxy);
  first = connect_by_proxy (proxy);
  assert_echo (first, "first");
  before = es_udp_server_lookup_session (server, address);
  second = connect_by_proxy (proxy);
  assert_echo (second, "second");
  after = es_udp_server_lookup_session (server, address);

  g_assert_true (before != after);
  g_assert_nonnull (after);
}

/* Lets hellos pass, and nothing that follows them. */
static gboolean
pass_hellos_cb (EsTestProxy *proxy,
                GBytes *datagram,
                gboolean is_to_server,
                gpointer user_data)
{
  const guint8 *data = g_bytes_get_data (datagram, NULL);

  return !is_to_server || (data[0] == 22 && data[13] == 1);
}

static EsUdpClient *
begin_by_proxy (EsTestProxy *proxy,
                GCancellable *cancellable,
                GAsyncResult **result)
{
  g_autoptr (GSocketAddress) address = es_test_proxy_get_address (proxy);
  EsUdpClient *client = es_test_new_private_client ();

  es_udp_client_connect_to_async (client, G_SOCKET_CONNECTABLE (address), cancellable,
                                  take_result_cb, result);
  return client;
}

static void
test_dtls_strangers_stop_half_way (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (EsTestProxy) proxy = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;

  g_test_summary ("Half a handshake is given up in time, and told.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_new_private_server ();
  es_udp_server_set_tls_handshake_timeout (server, 200);
  es_test_start_private_server (server);
  inbox = es_test_inbox_new (server);
  proxy = es_test_proxy_new (server, pass_hellos_cb, NULL);
  client = begin_by_proxy (proxy, cancellable, &result);
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
  g_cancellable_cancel (cancellable);
  es_test_wait_until (result != NULL);

  g_assert_error (es_test_inbox_get_error (inbox, 0), G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 0);
}

static void
test_dtls_strangers_make_room (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  EsTestProxy *proxies[6];
  EsUdpClient *clients[6];
  GAsyncResult *results[6] = { NULL };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gint64 waited;

  g_test_summary ("Half handshakes, more than there may be, do not lock the next client out.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_new_private_server ();
  es_udp_server_set_tls_max_half_open (server, 2);
  es_test_start_private_server (server);
  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      guint64 n_sent = get_n_sent (server);

      proxies[i] = es_test_proxy_new (server, pass_hellos_cb, NULL);
      clients[i] = begin_by_proxy (proxies[i], cancellable, &results[i]);
      es_test_wait_until (get_n_sent (server) >= n_sent + 5);
    }
  waited = measure_connect (server);
  g_assert_cmpint (waited, <, 20 * G_USEC_PER_SEC);
  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      es_test_wait_until (results[i] != NULL);
      g_object_unref (results[i]);
      g_object_unref (clients[i]);
      es_test_proxy_free (proxies[i]);
    }
}

static void
add_stranger_tests (void)
{
  g_test_add_func ("/dtls-strangers/get-a-cookie", test_dtls_strangers_get_a_cookie);
  g_test_add_func ("/dtls-strangers/cannot-make-cookies-up",
                   test_dtls_strangers_cannot_make_cookies_up);
  g_test_add_func ("/dtls-strangers/say-it-in-one-piece", test_dtls_strangers_say_it_in_one_piece);
  g_test_add_func ("/dtls-strangers/take-no-memory", test_dtls_strangers_take_no_memory);
  g_test_add_func ("/dtls-strangers/stop-half-way", test_dtls_strangers_stop_half_way);
  g_test_add_func ("/dtls-strangers/make-room", test_dtls_strangers_make_room);
}

static void
add_session_tests (void)
{
  g_test_add_func ("/dtls-strangers/play-back-in-vain", test_dtls_strangers_play_back_in_vain);
  g_test_add_func ("/dtls-strangers/alter-in-vain", test_dtls_strangers_alter_in_vain);
  g_test_add_func ("/dtls-strangers/share-a-datagram", test_dtls_strangers_share_a_datagram);
  g_test_add_func ("/dtls-strangers/end-nobodys-session", test_dtls_strangers_end_nobodys_session);
  g_test_add_func ("/dtls-strangers/restart-on-a-port", test_dtls_strangers_restart_on_a_port);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_stranger_tests ();
  add_session_tests ();
  return g_test_run ();
}
