/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "loopback.h"
#include "watch.h"

#include <easyservers.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Ever new addresses: churn N
 *
 * Each of N addresses of the loopback sends one message to a server, which admits it as a peer,
 * answers, and removes the peer that joined a thousand peers ago. Then as many addresses more do
 * the same: what is bounded has reached its bound by then, and memory grows no further.
 */

#define N_PEERS 1000
#define MAX_UNDER_WAY 256

typedef struct
{
  EsUdpServer *server;
  GMainLoop *loop;
  guint n_addresses;
  guint first; /* the number of the first address */
  guint16 port;
  GQueue peers; /* of (owned) EsPeer, in order of joining */
  guint64 n_joined;
  guint64 n_left;

  /* Any thread. */
  guint64 n_handled;
} Churn;

static void
on_peer_added (EsUdpServer *server,
               EsPeer *peer,
               gpointer user_data)
{
  ((Churn *) user_data)->n_joined++;
}

static void
on_peer_removed (EsUdpServer *server,
                 EsPeer *peer,
                 EsPeerRemoved reason,
                 gpointer user_data)
{
  ((Churn *) user_data)->n_left++;
}

static void
on_message (EsEndpoint *endpoint,
            GBytes *message,
            GSocketAddress *address,
            EsSendFunc send,
            gpointer user_data)
{
  Churn *self = user_data;

  g_queue_push_tail (&self->peers, es_udp_server_add_peer (self->server, address));
  send (endpoint, message, address, NULL);
  if (self->peers.length > N_PEERS)
    {
      g_autoptr (EsPeer) oldest = g_queue_pop_head (&self->peers);

      es_udp_server_remove_peer (self->server, oldest);
    }
  __atomic_add_fetch (&self->n_handled, 1, __ATOMIC_RELAXED);
}

/* Sends from 127.1.0.0 plus a number, all of which are this host. */
static void
send_from (int fd,
           guint16 port,
           guint number)
{
  struct sockaddr_in to = loopback (port);
  struct iovec payload = { (char *) "hello", 5 };
  _Alignas(struct cmsghdr) guint8 control[CMSG_SPACE (sizeof (struct in_pktinfo))] = { 0 };
  struct msghdr header = { &to, sizeof to, &payload, 1, control, sizeof control, 0 };
  struct cmsghdr *from = CMSG_FIRSTHDR (&header);
  struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl (0x7f010000 + number) };

  from->cmsg_level = IPPROTO_IP;
  from->cmsg_type = IP_PKTINFO;
  from->cmsg_len = CMSG_LEN (sizeof info);
  memcpy (CMSG_DATA (from), &info, sizeof info);
  if (sendmsg (fd, &header, 0) != 5)
    g_error ("Address %u could not send", number);
}

static gpointer
send_from_all (gpointer user_data)
{
  Churn *self = user_data;
  int fd = socket (AF_INET, SOCK_DGRAM, 0);
  guint64 before = read_counter (&self->n_handled);

  for (guint i = 0; i < self->n_addresses; i++)
    {
      send_from (fd, self->port, self->first + i);
      while (before + i - read_counter (&self->n_handled) > MAX_UNDER_WAY &&
             before + i > read_counter (&self->n_handled))
        g_usleep (50);
    }
  while (read_counter (&self->n_handled) < before + self->n_addresses)
    g_usleep (1000);
  g_main_loop_quit (self->loop);
  close (fd);
  return NULL;
}

static void
meet_all (Churn *self)
{
  GThread *thread = g_thread_new ("churn", send_from_all, self);

  g_main_loop_run (self->loop);
  g_thread_join (thread);
  self->first += self->n_addresses;
}

static gboolean
start (Churn *self)
{
  g_autoptr (GError) error = NULL;

  self->loop = g_main_loop_new (NULL, FALSE);
  self->server = es_udp_server_new_with_handler (0, on_message, self, NULL);
  es_udp_server_set_address (self->server, "127.0.0.1");
  g_signal_connect (self->server, "peer-added", G_CALLBACK (on_peer_added), self);
  g_signal_connect (self->server, "peer-removed", G_CALLBACK (on_peer_removed), self);
  if (!es_endpoint_start (ES_ENDPOINT (self->server), &error))
    g_printerr ("%s\n", error->message);
  self->port = es_udp_server_get_port (self->server);
  return error == NULL;
}

int
main (int argc,
      char **argv)
{
  Churn self = { .n_addresses = argc == 2 ? atoi (argv[1]) : 0 };
  g_autoptr (Watch) watch = NULL;

  if (self.n_addresses == 0)
    return 2;
  tell ("memory_at_start", (double) usage_get ().memory);
  if (!start (&self))
    return 1;
  meet_all (&self);
  watch = watch_new ();
  meet_all (&self);
  watch_tell (watch);
  tell ("handled", (double) self.n_handled);
  tell ("wanted", 2.0 * self.n_addresses);
  g_queue_clear_full (&self.peers, g_object_unref);
  es_endpoint_stop (ES_ENDPOINT (self.server));
  tell ("joined", (double) self.n_joined);
  tell ("left", (double) self.n_left);
  g_object_unref (self.server);
  g_main_loop_unref (self.loop);
  return 0;
}
