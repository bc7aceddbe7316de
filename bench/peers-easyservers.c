/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A message to 10 000 peers by es_udp_server_send_to_peers(): peers-easyservers
 *
 * It does and prints what peers-sendto does. */

#include <easyservers.h>

#include "rival.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_SIZE 64
#define N_PEERS 10000
#define FIRST_PEER 0x7f010001

static void
add_peers (EsUdpServer *server,
           guint16 port)
{
  for (guint i = 0; i < N_PEERS; i++)
    {
      guint32 host = g_htonl (FIRST_PEER + i);
      g_autoptr (GInetAddress) address = g_inet_address_new_from_bytes ((const guint8 *) &host, G_SOCKET_FAMILY_IPV4);
      g_autoptr (GSocketAddress) peer_address = g_inet_socket_address_new (address, port);
      g_autoptr (EsPeer) peer = es_udp_server_add_peer (server, peer_address);

      g_assert (peer != NULL);
    }
}

static void
send_for (EsUdpServer *server,
          GBytes *message,
          double seconds)
{
  gint64 began_at = g_get_monotonic_time ();
  gint64 took = 0;
  guint64 n_messages = 0;

  for (; took < seconds * G_USEC_PER_SEC; took = g_get_monotonic_time () - began_at)
    n_messages += es_udp_server_send_to_peers (server, message, NULL);
  printf ("{\"messages\": %" G_GUINT64_FORMAT ", \"seconds\": %.6f}\n", n_messages, took / 1e6);
  fflush (stdout);
}

int
main (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GBytes) message = g_bytes_new_take (g_malloc0 (MESSAGE_SIZE), MESSAGE_SIZE);
  g_autoptr (GError) error = NULL;
  int receiver = rival_open (INADDR_ANY);
  char line[80];

  es_udp_server_set_address (server, "127.0.0.1");
  if (!es_endpoint_start (ES_ENDPOINT (server), &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  g_print ("Listening on port %u\n", es_udp_server_get_port (server));
  add_peers (server, g_ntohs (rival_get_port (receiver)));
  while (fgets (line, sizeof line, stdin) != NULL)
    send_for (server, message, atof (line));
  return 0;
}
