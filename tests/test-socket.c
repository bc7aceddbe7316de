/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-socket.h"

#include <gio/gunixsocketaddress.h>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int forger = -1; /* a socket of IPv4, that sends what it can before others connect */

static void
forge (int fd)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;

  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, size));
  g_assert_no_errno (getsockname (fd, (struct sockaddr *) &address, &size));
  g_assert_no_errno (sendto (forger, "forged", 6, 0, (struct sockaddr *) &address, size));
}

/* Comes before libc's. The kernel gives the socket a port, too, before it connects it. */
int
connect (int fd,
         const struct sockaddr *address,
         socklen_t size)
{
  if (forger >= 0)
    forge (fd);
  return syscall (SYS_connect, fd, address, size);
}

static const EsSocketOptions plain = { .receive_buffer_size = 128 * 1024,
                                       .send_buffer_size = 128 * 1024 };
static const EsSocketOptions shared = { .receive_buffer_size = 128 * 1024,
                                        .send_buffer_size = 128 * 1024,
                                        .reuse_port = TRUE };

/* (transfer full) A socket at a host and port, which must succeed. */
static GSocket *
bind_at (const char *host,
         guint16 port,
         const EsSocketOptions *options)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, port);
  g_autoptr (GError) error = NULL;
  GSocket *socket = es_socket_new_bound (address, options, &error);

  g_assert_no_error (error);
  g_assert_nonnull (socket);
  return socket;
}

/* (transfer full) A socket that hears @server alone. */
static GSocket *
connect_with (GSocket *server)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (server, NULL);
  g_autoptr (GError) error = NULL;
  GSocket *socket = es_socket_new_connected (address, &plain, &error);

  g_assert_no_error (error);
  return socket;
}

static guint16
get_port (GSocket *socket)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

static void
send_to (GSocket *from,
         GSocket *to,
         const char *text)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (to, NULL);
  g_autoptr (GError) error = NULL;

  g_socket_send_to (from, address, text, strlen (text), NULL, &error);
  g_assert_no_error (error);
}

/* The next message, waited for. */
static void
assert_receives (GSocket *socket,
                 const char *expected)
{
  g_autoptr (GError) error = NULL;
  char buffer[100];
  gssize size;

  g_socket_condition_wait (socket, G_IO_IN, NULL, NULL);
  size = g_socket_receive (socket, buffer, sizeof buffer, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (buffer, size, expected, strlen (expected));
}

/* Reads what waits. Returns how many messages it was. */
static guint
count_waiting (GSocket *socket)
{
  char buffer[2048];
  guint n = 0;

  while (g_socket_receive (socket, buffer, sizeof buffer, NULL, NULL) >= 0)
    n++;
  return n;
}

static int
get_option (GSocket *socket,
            int level,
            int name)
{
  int value = -1;

  g_socket_get_option (socket, level, name, &value, NULL);
  return value;
}

/* Whether the host lacks IPv6, so that the test is skipped. */
static gboolean
skip_without_ip6 (void)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("::1", 0);
  g_autoptr (GSocket) socket = es_socket_new_bound (address, &plain, NULL);

  if (socket == NULL)
    g_test_skip ("This host has no IPv6");
  return socket == NULL;
}

static guint
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
assert_in_use (const char *host,
               guint16 port,
               const EsSocketOptions *options)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, port);
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  g_assert_null (es_socket_new_bound (address, options, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
  g_assert_cmpstr (error->message, ==, "Address already in use");
  g_assert_cmpuint (count_descriptors (), ==, n_descriptors);
}

static void
test_socket_has_its_port_alone (void)
{
  g_autoptr (GSocket) socket = bind_at ("127.0.0.1", 0, &plain);

  g_test_summary ("A second socket at one port fails with ADDRESS_IN_USE, and leaves no trace.");

  g_assert_cmpuint (get_port (socket), !=, 0);
  assert_in_use ("127.0.0.1", get_port (socket), &plain);
  assert_in_use ("127.0.0.1", get_port (socket), &shared);
  assert_in_use ("0.0.0.0", get_port (socket), &plain);
}

static void
test_socket_has_both_families_alone (void)
{
  g_autoptr (GSocket) socket = NULL;

  g_test_summary ("A dual-stack socket holds the port of IPv4 too.");

  if (skip_without_ip6 ())
    return;
  socket = bind_at ("::", 0, &plain);

  assert_in_use ("::", get_port (socket), &plain);
  assert_in_use ("0.0.0.0", get_port (socket), &plain);
  assert_in_use ("127.0.0.1", get_port (socket), &plain);
}

static void
test_socket_shares_port_where_asked (void)
{
  g_autoptr (GSocket) a = bind_at ("127.0.0.1", 0, &shared);
  g_autoptr (GSocket) b = bind_at ("127.0.0.1", get_port (a), &shared);

  g_test_summary ("Sockets that all want it share a port, and nobody else gets in.");

  g_assert_cmpuint (get_port (a), ==, get_port (b));
  assert_in_use ("127.0.0.1", get_port (a), &plain);
}

static void
test_socket_shares_port_later (void)
{
  g_autoptr (GSocket) a = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) b = NULL;

  g_test_summary ("A socket that was bound alone can let others share its port afterwards.");

  assert_in_use ("127.0.0.1", get_port (a), &shared);
  es_socket_share_port (a);
  b = bind_at ("127.0.0.1", get_port (a), &shared);

  g_assert_cmpuint (get_port (a), ==, get_port (b));
}

static void
test_socket_hears_both_families (void)
{
  g_autoptr (GSocket) server = NULL;
  g_autoptr (GSocket) client4 = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) client6 = NULL;
  g_autoptr (GSocketAddress) address4 = NULL;
  g_autoptr (GSocketAddress) address6 = NULL;

  g_test_summary ("A socket at :: serves IPv4 and IPv6, whatever the host's default is.");

  if (skip_without_ip6 ())
    return;
  server = bind_at ("::", 0, &plain);
  client6 = bind_at ("::1", 0, &plain);
  address4 = g_inet_socket_address_new_from_string ("127.0.0.1", get_port (server));
  address6 = g_inet_socket_address_new_from_string ("::1", get_port (server));

  g_assert_cmpint (get_option (server, IPPROTO_IPV6, IPV6_V6ONLY), ==, 0);
  g_socket_send_to (client4, address4, "four", 4, NULL, NULL);
  assert_receives (server, "four");
  g_socket_send_to (client6, address6, "six", 3, NULL, NULL);
  assert_receives (server, "six");
}

static void
test_socket_connected_hears_server_alone (void)
{
  g_autoptr (GSocket) server = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) stranger = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) client = connect_with (server);

  g_test_summary ("A connected socket does not hear a stranger.");

  send_to (stranger, client, "psst");
  send_to (server, client, "hello");

  assert_receives (client, "hello");
  g_assert_cmpuint (count_waiting (client), ==, 0);
}

static void
test_socket_connected_never_hears_strangers (void)
{
  g_autoptr (GSocket) server = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) stranger = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) client = NULL;

  g_test_summary ("What a stranger sends before the connection is made is not heard after it.");

  forger = g_socket_get_fd (stranger);
  client = connect_with (server);
  forger = -1;
  g_assert_cmpuint (count_waiting (client), ==, 0);
  send_to (server, client, "hello");
  assert_receives (client, "hello");
}

static void
test_socket_connected_leaves_no_trace (void)
{
  g_autoptr (GSocketAddress) everyone =
    g_inet_socket_address_new_from_string ("255.255.255.255", 9);
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  g_test_summary ("A connection that the kernel refuses is an error and leaves no socket.");

  g_assert_null (es_socket_new_connected (everyone, &plain, &error));

  g_assert_nonnull (error);
  g_assert_cmpuint (count_descriptors (), ==, n_descriptors);
}

static void
test_socket_refuses_other_families (void)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new ("/nowhere");
  g_autoptr (GSocketAddress) foreign = g_inet_socket_address_new_from_string ("192.0.2.1", 0);
  g_autoptr (GError) error = NULL;
  guint n_descriptors = count_descriptors ();

  g_test_summary ("An address of another family, or of another host, is an error.");

  g_assert_null (es_socket_new_bound (address, &plain, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_null (es_socket_new_bound (foreign, &plain, &error));
  g_assert_nonnull (error);
  g_assert_cmpuint (count_descriptors (), ==, n_descriptors);
}

static void
test_socket_never_blocks (void)
{
  g_autoptr (GSocket) bound = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) connected = connect_with (bound);

  g_test_summary ("A socket that nothing has arrived at says so at once.");

  g_assert_false (g_socket_get_blocking (bound));
  g_assert_false (g_socket_get_blocking (connected));
  g_assert_cmpuint (count_waiting (bound), ==, 0);
}

static void
test_socket_broadcasts_where_asked (void)
{
  EsSocketOptions loud = plain;
  g_autoptr (GSocket) silent_socket = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) loud_socket = NULL;

  g_test_summary ("Broadcast is set as asked, and taken back.");

  loud.broadcast = TRUE;
  loud_socket = bind_at ("127.0.0.1", 0, &loud);

  g_assert_false (g_socket_get_broadcast (silent_socket));
  g_assert_true (g_socket_get_broadcast (loud_socket));
  es_socket_prepare (loud_socket, &plain);
  g_assert_false (g_socket_get_broadcast (loud_socket));
}

static void
test_socket_grants_buffer_sizes (void)
{
  g_autoptr (GSocket) socket = bind_at ("127.0.0.1", 0, &plain);

  g_test_summary ("Buffers have the size that was asked for, in the unit that it was asked in.");

  g_assert_cmpuint (es_socket_get_receive_buffer_size (socket), ==, plain.receive_buffer_size);
  g_assert_cmpuint (es_socket_get_send_buffer_size (socket), ==, plain.send_buffer_size);
  es_socket_set_receive_buffer_size (socket, 64 * 1024);
  es_socket_set_send_buffer_size (socket, 32 * 1024);
  g_assert_cmpuint (es_socket_get_receive_buffer_size (socket), ==, 64 * 1024);
  g_assert_cmpuint (es_socket_get_send_buffer_size (socket), ==, 32 * 1024);
}

static void
test_socket_tells_what_was_granted (void)
{
  g_autoptr (GSocket) socket = bind_at ("127.0.0.1", 0, &plain);

  g_test_summary ("Sizes that the kernel does not grant are told as they are, "
                  "not as they were asked.");

  es_socket_set_receive_buffer_size (socket, 1);
  es_socket_set_send_buffer_size (socket, 1);
  g_assert_cmpuint (es_socket_get_receive_buffer_size (socket), >, 1);
  g_assert_cmpuint (es_socket_get_send_buffer_size (socket), >, 1);
  es_socket_set_receive_buffer_size (socket, G_MAXUINT);
  es_socket_set_send_buffer_size (socket, G_MAXUINT);
  g_assert_cmpuint (es_socket_get_receive_buffer_size (socket), >=, plain.receive_buffer_size);
  g_assert_cmpuint (es_socket_get_send_buffer_size (socket), >=, plain.send_buffer_size);
  g_assert_cmpuint (es_socket_get_receive_buffer_size (socket), <=, G_MAXINT);
}

static void
assert_multicast (GSocket *socket,
                  int level,
                  int ttl_name,
                  int loopback_name)
{
  g_assert_cmpint (get_option (socket, level, ttl_name), ==, 7);
  g_assert_cmpint (get_option (socket, level, loopback_name), ==, 1);
  es_socket_set_multicast_ttl (socket, 255);
  es_socket_set_multicast_loopback (socket, FALSE);
  g_assert_cmpint (get_option (socket, level, ttl_name), ==, 255);
  g_assert_cmpint (get_option (socket, level, loopback_name), ==, 0);
  es_socket_set_multicast_ttl (socket, 7);
  es_socket_set_multicast_loopback (socket, TRUE);
}

static void
test_socket_sets_multicast_of_each_family (void)
{
  EsSocketOptions options = plain;
  g_autoptr (GSocket) socket4 = NULL;
  g_autoptr (GSocket) socket6 = NULL;

  g_test_summary ("How far and whether back multicast goes is set in each "
                  "family that a socket has.");

  options.multicast_ttl = 7;
  options.multicast_loopback = TRUE;
  socket4 = bind_at ("0.0.0.0", 0, &options);
  assert_multicast (socket4, IPPROTO_IP, IP_MULTICAST_TTL, IP_MULTICAST_LOOP);
  if (skip_without_ip6 ())
    return;
  socket6 = bind_at ("::", 0, &options);
  assert_multicast (socket6, IPPROTO_IP, IP_MULTICAST_TTL, IP_MULTICAST_LOOP);
  assert_multicast (socket6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP);
}

static void
test_socket_hears_joined_groups_alone (void)
{
  g_autoptr (GSocket) socket4 = bind_at ("0.0.0.0", 0, &plain);
  g_autoptr (GSocket) socket6 = NULL;

  g_test_summary ("A socket hears no group that only another one on this host has joined.");

  g_assert_cmpint (get_option (socket4, IPPROTO_IP, IP_MULTICAST_ALL), ==, 0);
  if (skip_without_ip6 ())
    return;
  socket6 = bind_at ("::", 0, &plain);
  g_assert_cmpint (get_option (socket6, IPPROTO_IP, IP_MULTICAST_ALL), ==, 0);
  g_assert_cmpint (get_option (socket6, IPPROTO_IPV6, IPV6_MULTICAST_ALL), ==, 0);
}

static void
test_socket_chooses_multicast_interface (void)
{
  g_autoptr (GSocket) socket6 = NULL;
  guint loopback = if_nametoindex ("lo");

  g_test_summary ("The interface that multicast leaves by is set, and left to the routes again.");

  if (loopback == 0 || skip_without_ip6 ())
    return;
  socket6 = bind_at ("::", 0, &plain);
  es_socket_set_multicast_interface (socket6, loopback);
  g_assert_cmpint (get_option (socket6, IPPROTO_IPV6, IPV6_MULTICAST_IF), ==, loopback);
  es_socket_set_multicast_interface (socket6, 0);
  g_assert_cmpint (get_option (socket6, IPPROTO_IPV6, IPV6_MULTICAST_IF), ==, 0);
}

static void
assert_wildcard (const char *host,
                 gboolean expected)
{
  g_autoptr (GSocket) socket = bind_at (host, 0, &plain);

  g_assert_cmpint (es_socket_is_wildcard (socket), ==, expected);
}

static void
test_socket_knows_wildcards (void)
{
  g_autoptr (GSocket) unix_socket =
    g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);

  g_test_summary ("A wildcard is an IP socket at no address in particular.");

  assert_wildcard ("0.0.0.0", TRUE);
  assert_wildcard ("127.0.0.1", FALSE);
  g_assert_false (es_socket_is_wildcard (unix_socket));
  if (skip_without_ip6 ())
    return;
  assert_wildcard ("::", TRUE);
  assert_wildcard ("::1", FALSE);
}

static void
test_socket_connected_is_no_wildcard (void)
{
  g_autoptr (GSocket) server = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) client = connect_with (server);

  g_test_summary ("Who is connected has one address.");

  g_assert_false (es_socket_is_wildcard (client));
}

static void
test_socket_enables_segments (void)
{
  g_autoptr (GSocket) socket = bind_at ("127.0.0.1", 0, &plain);

  g_test_summary ("Trains are welcome once that was asked for.");

  g_assert_cmpint (get_option (socket, IPPROTO_UDP, UDP_GRO), <=, 0);
  if (!es_socket_enable_segments (socket))
    {
      g_test_skip ("This kernel does not coalesce messages");
      return;
    }
  g_assert_cmpint (get_option (socket, IPPROTO_UDP, UDP_GRO), ==, 1);
}

static void
test_socket_tells_local_address (void)
{
  g_autoptr (GSocket) socket4 = bind_at ("0.0.0.0", 0, &plain);
  g_autoptr (GSocket) socket6 = NULL;

  g_test_summary ("Each family says in its own words which address was asked.");

  es_socket_tell_local_address (socket4);
  g_assert_cmpint (get_option (socket4, IPPROTO_IP, IP_PKTINFO), ==, 1);
  if (skip_without_ip6 ())
    return;
  socket6 = bind_at ("::", 0, &plain);
  es_socket_tell_local_address (socket6);
  g_assert_cmpint (get_option (socket6, IPPROTO_IP, IP_PKTINFO), ==, 1);
  g_assert_cmpint (get_option (socket6, IPPROTO_IPV6, IPV6_RECVPKTINFO), ==, 1);
}

static void
test_socket_counts_what_kernel_drops (void)
{
  g_autoptr (GSocket) server = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) client = connect_with (server);
  g_autofree char *text = g_strnfill (1000, 'x');
  guint n_read = 0;

  g_test_summary ("What the receive buffer had no room for is counted, and nothing else.");

  es_socket_set_receive_buffer_size (server, 8 * 1024);
  g_assert_cmpuint (es_socket_get_n_dropped (server), ==, 0);
  for (guint i = 0; i < 100; i++)
    g_assert_cmpint (g_socket_send (client, text, 1000, NULL, NULL), ==, 1000);
  while (n_read + es_socket_get_n_dropped (server) < 100)
    n_read += count_waiting (server);

  g_assert_cmpuint (n_read, >, 0);
  g_assert_cmpuint (n_read + es_socket_get_n_dropped (server), ==, 100);
  g_assert_cmpuint (count_waiting (server), ==, 0);
}

static void
test_socket_refuses_messages (void)
{
  g_autoptr (GSocket) server = bind_at ("127.0.0.1", 0, &plain);
  g_autoptr (GSocket) client = connect_with (server);

  g_test_summary ("After the end of reception nothing new arrives, what waits can be read, "
                  "and what is refused is counted.");

  send_to (client, server, "one");
  send_to (client, server, "two");
  assert_receives (server, "one");
  g_socket_condition_wait (server, G_IO_IN, NULL, NULL);
  es_socket_refuse_messages (server);
  for (guint i = 0; i < 10; i++)
    send_to (client, server, "late");
  while (es_socket_get_n_dropped (server) < 10)
    g_thread_yield ();

  assert_receives (server, "two");
  g_assert_cmpuint (count_waiting (server), ==, 0);
  g_assert_cmpuint (es_socket_get_n_dropped (server), ==, 10);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/socket/has-its-port-alone", test_socket_has_its_port_alone);
  g_test_add_func ("/socket/has-both-families-alone", test_socket_has_both_families_alone);
  g_test_add_func ("/socket/shares-port-where-asked", test_socket_shares_port_where_asked);
  g_test_add_func ("/socket/shares-port-later", test_socket_shares_port_later);
  g_test_add_func ("/socket/hears-both-families", test_socket_hears_both_families);
  g_test_add_func ("/socket/connected-hears-server-alone",
                   test_socket_connected_hears_server_alone);
  g_test_add_func ("/socket/connected-never-hears-strangers",
                   test_socket_connected_never_hears_strangers);
  g_test_add_func ("/socket/connected-leaves-no-trace", test_socket_connected_leaves_no_trace);
  g_test_add_func ("/socket/refuses-other-families", test_socket_refuses_other_families);
  g_test_add_func ("/socket/never-blocks", test_socket_never_blocks);
  g_test_add_func ("/socket/broadcasts-where-asked", test_socket_broadcasts_where_asked);
  g_test_add_func ("/socket/grants-buffer-sizes", test_socket_grants_buffer_sizes);
  g_test_add_func ("/socket/tells-what-was-granted", test_socket_tells_what_was_granted);
  g_test_add_func ("/socket/sets-multicast-of-each-family",
                   test_socket_sets_multicast_of_each_family);
  g_test_add_func ("/socket/hears-joined-groups-alone", test_socket_hears_joined_groups_alone);
  g_test_add_func ("/socket/chooses-multicast-interface", test_socket_chooses_multicast_interface);
  g_test_add_func ("/socket/knows-wildcards", test_socket_knows_wildcards);
  g_test_add_func ("/socket/connected-is-no-wildcard", test_socket_connected_is_no_wildcard);
  g_test_add_func ("/socket/enables-segments", test_socket_enables_segments);
  g_test_add_func ("/socket/tells-local-address", test_socket_tells_local_address);
  g_test_add_func ("/socket/counts-what-kernel-drops", test_socket_counts_what_kernel_drops);
  g_test_add_func ("/socket/refuses-messages", test_socket_refuses_messages);

  return g_test_run ();
}
