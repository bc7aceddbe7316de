/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include <string.h>

static EsUdpServer *
new_server_at (const char *address)
{
  EsUdpServer *server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);

  es_udp_server_set_address (server, address);
  return server;
}

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

static void
assert_echoes (gpointer server,
               const char *host)
{
  g_autoptr (GSocket) talker = es_test_new_talker (server, host);
  g_autofree char *answer = NULL;

  es_test_say (talker, "hello");
  answer = es_test_hear (talker);
  g_assert_cmpstr (answer, ==, "hello");
}

static void
assert_cannot_start (gpointer server,
                     int code,
                     const char *message)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (es_endpoint_start (server, &error));
  g_assert_error (error, G_IO_ERROR, code);
  g_assert_cmpstr (error->message, ==, message);
  g_assert_false (es_endpoint_is_running (server));
}

/* Ports. */

static void
test_udp_server_has_defaults (void)
{
  g_autoptr (EsUdpServer) server = g_object_new (ES_TYPE_UDP_SERVER, NULL);
  g_autofree char *address = NULL;
  gboolean is_shared;
  guint port;

  g_test_summary ("A server that is told nothing listens at all addresses, on port 8181, alone.");

  g_object_get (server, "address", &address, "port", &port, "reuse-port", &is_shared, NULL);

  g_assert_cmpstr (address, ==, "::");
  g_assert_cmpuint (port, ==, 8181);
  g_assert_false (is_shared);
}

static void
test_udp_server_picks_free_port (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsUdpServer) other = es_test_start_server ();
  guint port;

  g_test_summary ("With port 0 the kernel picks a free one, "
                  "which can be asked for while the server runs.");

  g_assert_cmpuint (es_udp_server_get_port (server), ==, 0);
  start (server);
  g_object_get (server, "port", &port, NULL);
  g_assert_cmpuint (port, >, 0);
  g_assert_cmpuint (port, ==, es_udp_server_get_port (server));
  g_assert_cmpuint (port, !=, es_udp_server_get_port (other));

  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_cmpuint (es_udp_server_get_port (server), ==, 0);
}

static void
test_udp_server_keeps_its_port (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  guint16 port = es_udp_server_get_port (server);

  g_test_summary ("A port that is set is that of the next start, and free again after each stop.");

  for (int i = 0; i < 3; i++)
    {
      g_autofree char *answer = NULL;

      es_udp_server_set_port (server, port);
      g_assert_cmpuint (es_udp_server_get_port (server), ==, port);
      es_endpoint_stop (ES_ENDPOINT (server));
      start (server);
      es_test_say (talker, "hello");
      answer = es_test_hear (talker);
      g_assert_cmpstr (answer, ==, "hello");
    }
}

static void
test_udp_server_port_in_use (void)
{
  g_autoptr (EsUdpServer) other = es_test_start_server ();
  guint16 port = es_udp_server_get_port (other);
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (port, es_test_echo, NULL, NULL);
  g_autofree char *message = g_strdup_printf ("Could not listen on port %u: Address already in use",
                                              port);

  g_test_summary ("A port in use is an error that says so; on another one the server starts.");

  assert_cannot_start (server, G_IO_ERROR_ADDRESS_IN_USE, message);
  es_udp_server_set_port (server, 0);
  start (server);

  assert_echoes (server, "127.0.0.1");
}

static void
test_udp_server_port_in_use_by_ip4 (void)
{
  g_autoptr (GSocket) other = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (other, NULL);
  guint16 port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
  g_autoptr (EsUdpServer) server = es_udp_server_new (port);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A port that another has for IPv4 alone is in use, too.");

  g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
}

static void
test_udp_server_shares_with_nobody (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "0.0.0.0");
  g_autoptr (GSocket) intruder = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM,
                                               G_SOCKET_PROTOCOL_UDP, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Nobody can take part of a server's messages, "
                  "not even who asks to share the port.");

  g_assert_false (g_socket_bind (intruder, address, TRUE, &error));

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
}

static void
test_udp_server_shares_where_both_want_it (void)
{
  g_autoptr (EsUdpServer) first = es_udp_server_new (0);
  g_autoptr (EsUdpServer) second = es_udp_server_new (0);
  g_autoptr (EsUdpServer) third = es_udp_server_new (0);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Servers share a port where all of them want it.");

  es_udp_server_set_reuse_port (first, TRUE);
  g_object_set (second, "reuse-port", TRUE, NULL);
  g_assert_true (es_udp_server_get_reuse_port (second));
  start (first);
  es_udp_server_set_port (second, es_udp_server_get_port (first));
  start (second);
  g_assert_cmpuint (es_udp_server_get_port (second), ==, es_udp_server_get_port (first));

  es_udp_server_set_port (third, es_udp_server_get_port (first));
  g_assert_false (es_endpoint_start (ES_ENDPOINT (third), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
}

/* Port 1 is privileged everywhere but where no port is. */
static gboolean
has_privileged_ports (void)
{
  g_autofree char *first = NULL;

  return !g_file_get_contents ("/proc/sys/net/ipv4/ip_unprivileged_port_start", &first, NULL,
                               NULL) ||
         g_ascii_strtoull (first, NULL, 10) > 1;
}

static void
test_udp_server_privileged_port (void)
{
  g_test_summary ("A port that this user may not have is an error that says so.");

  if (g_test_subprocess ())
    {
      g_autoptr (EsUdpServer) server = es_udp_server_new (1);

      es_test_become_nobody ();
      assert_cannot_start (server, G_IO_ERROR_PERMISSION_DENIED,
                           "Could not listen on port 1: Permission denied");
      es_udp_server_set_port (server, 0);
      start (server);
      return;
    }
  if (!es_test_can_become_nobody () || !has_privileged_ports ())
    {
      g_test_skip ("every port is free to take here");
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

/* Addresses. */

static void
test_udp_server_malformed_address (void)
{
  const char *addresses[] = { "nonsense", "", "localhost", "127.0.0.1:80",
                              "256.0.0.1", "[::1]", "::g", "1.2.3" };
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);

  g_test_summary ("What is no IP address is an error that says so; with one the server starts.");

  for (gsize i = 0; i < G_N_ELEMENTS (addresses); i++)
    {
      g_autofree char *message =
        g_strdup_printf ("Could not listen at “%s”: It is not an IPv4 or IPv6 address",
                         addresses[i]);

      es_udp_server_set_address (server, addresses[i]);
      assert_cannot_start (server, G_IO_ERROR_INVALID_ARGUMENT, message);
    }

  g_object_set (server, "address", "127.0.0.1", NULL);
  start (server);
  assert_echoes (server, "127.0.0.1");
}

static void
test_udp_server_address_of_others (void)
{
  g_autoptr (EsUdpServer) server = new_server_at ("192.0.2.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("An address that is not this host's is an error that names it.");

  g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));

  g_assert_nonnull (error);
  g_assert_cmpstr (error->message, ==,
                   "Could not listen at 192.0.2.1:0: Cannot assign requested address");
}

static void
test_udp_server_address_in_use (void)
{
  g_autoptr (EsUdpServer) other = new_server_at ("127.0.0.1");
  g_autoptr (EsUdpServer) server = new_server_at ("127.0.0.1");
  g_autofree char *message = NULL;

  g_test_summary ("Where an address was given, an error names it with the port.");

  start (other);
  es_udp_server_set_port (server, es_udp_server_get_port (other));
  message = g_strdup_printf ("Could not listen at 127.0.0.1:%u: Address already in use",
                             es_udp_server_get_port (other));

  assert_cannot_start (server, G_IO_ERROR_ADDRESS_IN_USE, message);
}

static void
assert_refused (gpointer server,
                const char *host)
{
  g_autoptr (GSocket) talker = es_test_new_talker (server, host);
  g_autoptr (GError) error = NULL;
  char buffer[16];

  es_test_say (talker, "hello");
  g_assert_cmpint (g_socket_receive (talker, buffer, sizeof buffer, NULL, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
}

static void
test_udp_server_listens_at_its_address_alone (void)
{
  g_autoptr (EsUdpServer) server = new_server_at ("127.0.0.1");
  g_autoptr (GSocketAddress) address = NULL;
  g_autofree char *name = NULL;
  g_autofree char *expected = NULL;

  g_test_summary ("A server at one address is not reached by another.");

  start (server);
  address = es_endpoint_get_local_address (ES_ENDPOINT (server));
  name = es_address_to_string (address);
  expected = g_strdup_printf ("127.0.0.1:%u", es_udp_server_get_port (server));
  g_assert_cmpstr (name, ==, expected);

  assert_echoes (server, "127.0.0.1");
  assert_refused (server, "127.0.0.2");
  if (es_test_has_ip6 ())
    assert_refused (server, "::1");
}

static void
test_udp_server_listens_to_ip4_alone (void)
{
  g_autoptr (EsUdpServer) server = new_server_at ("0.0.0.0");

  g_test_summary ("A server at 0.0.0.0 serves IPv4 alone.");

  start (server);

  assert_echoes (server, "127.0.0.1");
  if (es_test_has_ip6 ())
    assert_refused (server, "::1");
}

static void
test_udp_server_listens_to_both (gconstpointer data)
{
  const char *host = data;
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) talkers_own = NULL;
  g_autoptr (GSocket) talker = NULL;
  g_autofree char *answer = NULL;
  g_autofree char *expected = NULL;
  g_autofree char *name = NULL;

  g_test_summary ("A server serves IPv4 and IPv6, and each peer appears as what it is.");

  if (es_test_lacks (host))
    return;
  talker = es_test_new_talker (server, host);
  es_test_say (talker, "hello");
  answer = es_test_hear (talker);
  g_assert_cmpstr (answer, ==, "hello");

  talkers_own = g_socket_get_local_address (talker, NULL);
  expected = es_address_to_string (talkers_own);
  name = es_address_to_string (es_test_inbox_get_address (inbox, 0));
  g_assert_cmpstr (name, ==, expected);
  g_assert_cmpint (g_socket_address_get_family (es_test_inbox_get_address (inbox, 0)), ==,
                   g_socket_address_get_family (talkers_own));
}

static void
test_udp_server_cannot_reach_ip6 (void)
{
  g_autoptr (EsUdpServer) server = new_server_at ("0.0.0.0");
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("::1", 9);
  g_autoptr (GError) error = NULL;

  g_test_summary ("An IPv6 address is an error where there is only IPv4, and the server goes on.");

  start (server);
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, &error));
  g_assert_nonnull (error);
  g_assert_cmpint (error->domain, ==, G_IO_ERROR);
  g_assert_true (g_str_has_prefix (error->message, "Could not send to [::1]:9: "));

  assert_echoes (server, "127.0.0.1");
}

static void
answer_elsewhere (EsEndpoint *endpoint,
                  GBytes *message,
                  GSocketAddress *address,
                  EsSendFunc send,
                  gpointer user_data)
{
  send (endpoint, message, user_data, NULL);
  send (endpoint, message, address, NULL);
}

static void
test_udp_server_tells_what_cannot_be_reached (void)
{
  g_autoptr (EsUdpServer) server = new_server_at ("0.0.0.0");
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) nowhere = g_inet_socket_address_new_from_string ("::1", 9);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("What a handler cannot send is told by error, "
                  "and what it sends to others leaves.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), answer_elsewhere, nowhere, NULL);
  start (server);
  assert_echoes (server, "127.0.0.1");
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->send_errors, ==, 1);
  g_assert_cmpuint (stats->messages_sent, ==, 1);
}

/* Replies. */

static void
send_to (GSocket *talker,
         GSocketAddress *address,
         const char *text)
{
  g_autoptr (GError) error = NULL;

  g_socket_send_to (talker, address, text, strlen (text), NULL, &error);
  g_assert_no_error (error);
}

/* Hears an answer, which is to come from the given address, or else from that which its text
 * names. */
static void
assert_answer_comes_from (GSocket *talker,
                          GSocketAddress *address)
{
  g_autoptr (GSocketAddress) source = NULL;
  g_autofree char *name = NULL;
  g_autofree char *expected = address != NULL ? es_address_to_string (address) : NULL;
  g_autoptr (GError) error = NULL;
  char buffer[64] = { 0 };

  es_test_wait_until (es_test_can_hear (talker));
  g_socket_receive_from (talker, &source, buffer, sizeof buffer - 1, NULL, &error);
  g_assert_no_error (error);
  name = es_address_to_string (source);
  g_assert_cmpstr (name, ==, expected != NULL ? expected : buffer);
}

static void
test_udp_server_answers_from_where_it_was_asked (gconstpointer data)
{
  const char *hosts[] = { "127.0.0.2", "127.0.0.3", "127.0.0.1" };
  g_autoptr (EsUdpServer) server = new_server_at (data);
  g_autoptr (GSocket) talker = es_test_new_socket ("127.0.0.1");

  g_test_summary ("On a host with many addresses an answer leaves from the one that was asked.");

  if (!es_test_has_mmsg ())
    {
      g_test_skip ("the portable calls do not tell which address was asked");
      return;
    }
  start (server);
  for (int i = 0; i < 12; i++)
    {
      g_autoptr (GSocketAddress) address = es_test_address_of (server, hosts[i % 3]);
      g_autofree char *name = es_address_to_string (address);

      send_to (talker, address, name);
    }

  for (int i = 0; i < 12; i++)
    assert_answer_comes_from (talker, NULL);
}

static void
test_udp_server_answers_after_restart (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) asked = es_test_address_of (server, "127.0.0.2");
  g_autoptr (GSocketAddress) own = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("An address that was kept can be answered after a restart, "
                  "from where the server is now.");

  send_to (talker, asked, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  es_endpoint_stop (ES_ENDPOINT (server));
  es_udp_server_set_address (server, "127.0.0.1");
  start (server);
  own = es_endpoint_get_local_address (ES_ENDPOINT (server));
  es_endpoint_send_text (ES_ENDPOINT (server), "welcome back", es_test_inbox_get_address (inbox, 0),
                         &error);
  g_assert_no_error (error);

  assert_answer_comes_from (talker, own);
}

static void
test_udp_server_answers_by_another (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpServer) other = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) asked = es_test_address_of (server, "127.0.0.2");
  g_autoptr (GSocketAddress) own = es_test_address_of (other, "127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("An address that one server heard from can be answered by another, "
                  "from where that is.");

  send_to (talker, asked, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  es_endpoint_send_text (ES_ENDPOINT (other), "hello from me", es_test_inbox_get_address (inbox, 0),
                         &error);
  g_assert_no_error (error);

  assert_answer_comes_from (talker, own);
}

/* What strangers are sent. */

static void
count_notified (GObject *object,
                GParamSpec *pspec,
                gpointer user_data)
{
  int *n_notified = user_data;

  (*n_notified)++;
}

static void
test_udp_server_has_amplification_limit (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  guint factor = 1;
  int n_notified = 0;

  g_test_summary ("The amplification limit is a property, which tells when it changes.");

  g_signal_connect (server, "notify::amplification-limit", G_CALLBACK (count_notified),
                    &n_notified);
  g_object_get (server, "amplification-limit", &factor, NULL);
  g_assert_cmpuint (factor, ==, 0);
  es_udp_server_set_amplification_limit (server, 3);
  es_udp_server_set_amplification_limit (server, 3);
  g_assert_cmpuint (es_udp_server_get_amplification_limit (server), ==, 3);
  g_assert_cmpint (n_notified, ==, 1);
  g_object_set (server, "amplification-limit", G_MAXUINT, NULL);
  g_assert_cmpuint (es_udp_server_get_amplification_limit (server), ==, G_MAXUINT);
  g_assert_cmpint (n_notified, ==, 2);
}

static void
assert_over_limit (EsUdpServer *server,
                   GSocketAddress *address)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "!", address, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
}

static void
test_udp_server_limits_amplification (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocketAddress) unheard = es_test_address_of (server, "127.0.0.1");
  GSocketAddress *address = NULL;

  g_test_summary ("A stranger is sent so many times what came from it, a peer whatever there is.");

  g_object_set (server, "amplification-limit", 2, NULL);
  es_test_say (talker, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  address = es_test_inbox_get_address (inbox, 0);
  g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "ten bytes.", address, NULL));
  assert_over_limit (server, address);
  assert_over_limit (server, unheard);

  g_object_unref (es_udp_server_add_peer (server, address));
  g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "!", address, NULL));
  assert_over_limit (server, unheard);
  g_object_set (server, "amplification-limit", 0, NULL);
  g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "!", unheard, NULL));
}

static void
test_udp_server_tells_who_was_asked (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = new_server_at (data);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) asked = NULL;
  g_autofree char *host = NULL;

  g_test_summary ("A server on a host with many addresses tells which of them was asked.");

  if (!es_test_has_mmsg ())
    {
      g_test_skip ("the portable calls do not tell which address was asked");
      return;
    }
  start (server);
  asked = es_test_address_of (server, "127.0.0.2");
  send_to (talker, asked, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  host = es_endpoint_dup_asked_host (ES_ENDPOINT (server), es_test_inbox_get_address (inbox, 0));
  g_assert_cmpstr (host, ==, "127.0.0.2");
}

/* Takes the text. */
static void
assert_host (char *host,
             const char *expected)
{
  g_assert_cmpstr (host, ==, expected);
  g_free (host);
}

static void
test_udp_server_tells_its_own_host (void)
{
  g_autoptr (EsUdpServer) server = new_server_at ("127.0.0.1");
  g_autoptr (EsUdpServer) other = new_server_at ("0.0.0.0");
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = NULL;
  GSocketAddress *sender = NULL;

  g_test_summary ("Where it is not known who was asked, a server tells where it listens.");

  start (server);
  start (other);
  talker = es_test_new_talker (server, "127.0.0.1");
  es_test_say (talker, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  sender = es_test_inbox_get_address (inbox, 0);

  assert_host (es_endpoint_dup_asked_host (ES_ENDPOINT (server), sender), "127.0.0.1");
  assert_host (es_endpoint_dup_asked_host (ES_ENDPOINT (other), sender), "0.0.0.0");
  es_endpoint_stop (ES_ENDPOINT (server));
  assert_host (es_endpoint_dup_asked_host (ES_ENDPOINT (server), sender), NULL);
}

/* The caller's mistakes. */

static void
test_udp_server_refuses_strangers (void)
{
  g_autoptr (EsUdpClient) stranger = es_udp_client_new ();
  EsUdpServer *none[] = { NULL, (gpointer) stranger };

  g_test_summary ("Where a server is asked for, nothing else is taken.");

  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    {
      es_test_assert_critical (es_udp_server_get_port (none[i]), "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_set_port (none[i], 0), "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_get_address (none[i]), "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_set_address (none[i], "::"),
                               "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_get_reuse_port (none[i]), "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_set_reuse_port (none[i], TRUE),
                               "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_get_amplification_limit (none[i]),
                               "ES_IS_UDP_SERVER (self)");
      es_test_assert_critical (es_udp_server_set_amplification_limit (none[i], 3),
                               "ES_IS_UDP_SERVER (self)");
    }
}

static void
test_udp_server_refuses_nothing (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);

  g_test_summary ("No handler and no address are the caller's mistakes, and change nothing.");

  es_test_assert_critical (es_udp_server_new_with_handler (0, NULL, NULL, NULL), "handler != NULL");
  es_test_assert_critical (es_udp_server_set_address (server, NULL), "address != NULL");
  es_test_assert_critical (g_object_set (server, "address", NULL, NULL), "address != NULL");

  g_assert_cmpstr (es_udp_server_get_address (server), ==, "::");
}

static void
add_port_tests (void)
{
  g_test_add_func ("/udp-server/has-defaults", test_udp_server_has_defaults);
  g_test_add_func ("/udp-server/picks-free-port", test_udp_server_picks_free_port);
  g_test_add_func ("/udp-server/keeps-its-port", test_udp_server_keeps_its_port);
  g_test_add_func ("/udp-server/port-in-use", test_udp_server_port_in_use);
  g_test_add_func ("/udp-server/port-in-use-by-ip4", test_udp_server_port_in_use_by_ip4);
  g_test_add_func ("/udp-server/shares-with-nobody", test_udp_server_shares_with_nobody);
  g_test_add_func ("/udp-server/shares-where-both-want-it",
                   test_udp_server_shares_where_both_want_it);
  g_test_add_func ("/udp-server/privileged-port", test_udp_server_privileged_port);
}

static void
add_address_tests (void)
{
  g_test_add_func ("/udp-server/malformed-address", test_udp_server_malformed_address);
  g_test_add_func ("/udp-server/address-of-others", test_udp_server_address_of_others);
  g_test_add_func ("/udp-server/address-in-use", test_udp_server_address_in_use);
  g_test_add_func ("/udp-server/listens-at-its-address-alone",
                   test_udp_server_listens_at_its_address_alone);
  g_test_add_func ("/udp-server/listens-to-ip4-alone", test_udp_server_listens_to_ip4_alone);
  g_test_add_data_func ("/udp-server/listens-to-ip4", "127.0.0.1", test_udp_server_listens_to_both);
  g_test_add_data_func ("/udp-server/listens-to-ip6", "::1", test_udp_server_listens_to_both);
  g_test_add_func ("/udp-server/cannot-reach-ip6", test_udp_server_cannot_reach_ip6);
  g_test_add_func ("/udp-server/tells-what-cannot-be-reached",
                   test_udp_server_tells_what_cannot_be_reached);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_port_tests ();
  add_address_tests ();
  g_test_add_data_func ("/udp-server/answers-from-where-it-was-asked",
                        "::", test_udp_server_answers_from_where_it_was_asked);
  g_test_add_data_func ("/udp-server/answers-from-where-it-was-asked-ip4", "0.0.0.0",
                        test_udp_server_answers_from_where_it_was_asked);
  g_test_add_func ("/udp-server/answers-after-restart", test_udp_server_answers_after_restart);
  g_test_add_data_func ("/udp-server/tells-who-was-asked", "::",
                        test_udp_server_tells_who_was_asked);
  g_test_add_data_func ("/udp-server/tells-who-was-asked-by-ip4", "0.0.0.0",
                        test_udp_server_tells_who_was_asked);
  g_test_add_func ("/udp-server/tells-its-own-host", test_udp_server_tells_its_own_host);
  g_test_add_func ("/udp-server/answers-by-another", test_udp_server_answers_by_another);
  g_test_add_func ("/udp-server/has-amplification-limit", test_udp_server_has_amplification_limit);
  g_test_add_func ("/udp-server/limits-amplification", test_udp_server_limits_amplification);
  g_test_add_func ("/udp-server/refuses-strangers", test_udp_server_refuses_strangers);
  g_test_add_func ("/udp-server/refuses-nothing", test_udp_server_refuses_nothing);
  return g_test_run ();
}
