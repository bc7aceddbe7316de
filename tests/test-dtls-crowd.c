/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-proxy.h"
#include "es-test-tls.h"

/* Many handshakes at once, on good networks and on bad ones. */

#define PERCENT_LOST 20
#define PERCENT_DOUBLED 5
#define PERCENT_LATE 10
#define LATE_MS 30

typedef struct
{
  EsTestProxy *proxy;
  GBytes *datagram; /* (owned) */
  gboolean is_to_server;
} Late;

static gboolean
pass_late_cb (gpointer user_data)
{
  Late *late = user_data;

  es_test_proxy_pass (late->proxy, late->datagram, late->is_to_server);
  return G_SOURCE_REMOVE;
}

static void
free_late (gpointer data)
{
  Late *late = data;

  g_bytes_unref (late->datagram);
  g_free (late);
}

/* Lets a datagram come after those that follow it. The proxy outlives it. */
static void
delay (EsTestProxy *proxy,
       GBytes *datagram,
       gboolean is_to_server)
{
  Late *late = g_new0 (Late, 1);

  late->proxy = proxy;
  late->datagram = g_bytes_ref (datagram);
  late->is_to_server = is_to_server;
  g_timeout_add_full (G_PRIORITY_DEFAULT, LATE_MS, pass_late_cb, late, free_late);
}

static gboolean
pass_badly_cb (EsTestProxy *proxy,
               GBytes *datagram,
               gboolean is_to_server,
               gpointer user_data)
{
  int fate = g_test_rand_int_range (0, 100);

  if (fate < PERCENT_LOST)
    return FALSE;
  fate -= PERCENT_LOST;
  if (fate < PERCENT_DOUBLED)
    es_test_proxy_pass (proxy, datagram, is_to_server);
  fate -= PERCENT_DOUBLED;
  if (fate < 0 || fate >= PERCENT_LATE)
    return TRUE;
  delay (proxy, datagram, is_to_server);
  return FALSE;
}

/* Clients that connect all at once. */
typedef struct
{
  guint n;
  EsUdpClient **clients;
  EsTestProxy **proxies; /* (nullable) each */
  guint n_done;
  guint n_failed;
} Crowd;

static void
count_done_cb (GObject *source,
               GAsyncResult *result,
               gpointer user_data)
{
  Crowd *self = user_data;
  g_autoptr (GError) error = NULL;

  self->n_done++;
  if (es_udp_client_connect_to_finish (ES_UDP_CLIENT (source), result, &error))
    return;
  self->n_failed++;
  g_test_message ("%s", error->message);
}

static void
connect_crowd (Crowd *self,
               EsUdpServer *server,
               guint n,
               EsTestProxyFunc network)
{
  self->n = n;
  self->clients = g_new0 (EsUdpClient *, n);
  self->proxies = g_new0 (EsTestProxy *, n);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GSocketAddress) address = NULL;

      if (network != NULL)
        self->proxies[i] = es_test_proxy_new (server, network, NULL);
      address = network != NULL ? es_test_proxy_get_address (self->proxies[i])
                                : es_test_address_of (server, "127.0.0.1");
      self->clients[i] = es_test_new_private_client ();
      es_udp_client_connect_to_async (self->clients[i], G_SOCKET_CONNECTABLE (address), NULL,
                                      count_done_cb, self);
    }
  es_test_wait_until (self->n_done == n);
}

static void
clear_crowd (Crowd *self)
{
  for (guint i = 0; i < self->n; i++)
    {
      g_object_unref (self->clients[i]);
      g_clear_pointer (&self->proxies[i], es_test_proxy_free);
    }
  g_free (self->clients);
  g_free (self->proxies);
}

static void
test_dtls_crowd_comes_at_once (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsStats) stats = NULL;
  Crowd crowd = { 0 };
  guint n = es_test_is_slow () ? 20 : 200;

  g_test_summary ("Two hundred clients shake hands at once, and each is answered.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_start_private_server (es_test_new_private_server ());
  connect_crowd (&crowd, server, n, NULL);
  g_assert_cmpuint (crowd.n_failed, ==, 0);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (EsTestInbox) inbox = es_test_inbox_new (crowd.clients[i]);

      es_test_send (crowd.clients[i], "hello");
      es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
    }

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, n);
  clear_crowd (&crowd);
}

static void
test_dtls_crowd_comes_over_a_bad_network (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  Crowd crowd = { 0 };
  guint n = es_test_is_slow () ? 5 : 60;

  g_test_summary ("Sixty of sixty clients shake hands over a network that loses a fifth, doubles "
                  "some and lets others come late.");
  if (es_test_lacks_tls ())
    return;

  server = es_test_start_private_server (es_test_new_private_server ());
  connect_crowd (&crowd, server, n, pass_badly_cb);

  g_assert_cmpuint (crowd.n_failed, ==, 0);
  /* What is late still knows its proxy. */
  for (gint64 end = g_get_monotonic_time () + 2 * LATE_MS * 1000; g_get_monotonic_time () < end;)
    es_test_iterate (end);
  clear_crowd (&crowd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dtls-crowd/comes-at-once", test_dtls_crowd_comes_at_once);
  g_test_add_func ("/dtls-crowd/comes-over-a-bad-network",
                   test_dtls_crowd_comes_over_a_bad_network);
  return g_test_run ();
}
