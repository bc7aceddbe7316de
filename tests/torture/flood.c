/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "loopback.h"
#include "watch.h"

#include <easyservers.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A server that another process sends to as fast as it can: flood MODE WARM-UP SECONDS SEED
 *
 * MODE is plain, threaded or workers. The server answers every sixteenth message. When the sender
 * has ended and all that waits is read, each message that left it has either been handled or is
 * counted as dropped. The sender makes messages of up to 1400 bytes, from 16 sockets.
 */

#define N_SOCKETS 16
#define N_PER_CALL 64
#define MAX_SIZE 1400
#define ANSWER_ONE_IN 16

typedef struct
{
  EsUdpServer *server;
  GMainLoop *loop;
  int warm_up; /* seconds */
  int seconds;
  Watch *watch;
  guint64 n_handled_before;

  /* Any thread. */
  guint64 n_handled;
  guint64 n_answered;
} Flood;

static void
on_message (EsEndpoint *endpoint,
            GBytes *message,
            GSocketAddress *address,
            EsSendFunc send,
            gpointer user_data)
{
  Flood *self = user_data;
  guint64 n_handled = __atomic_add_fetch (&self->n_handled, 1, __ATOMIC_RELAXED);

  if (n_handled % ANSWER_ONE_IN == 0 && send (endpoint, message, address, NULL))
    __atomic_add_fetch (&self->n_answered, 1, __ATOMIC_RELAXED);
}

static void
send_burst (int fd,
            const guint8 *bytes,
            GRand *random,
            guint64 *n_sent)
{
  struct mmsghdr headers[N_PER_CALL] = { 0 };
  struct iovec payloads[N_PER_CALL];
  int n;

  for (guint i = 0; i < N_PER_CALL; i++)
    {
      payloads[i].iov_base = (gpointer) (bytes + g_rand_int_range (random, 0, MAX_SIZE));
      payloads[i].iov_len = g_rand_int_range (random, 0, MAX_SIZE + 1);
      headers[i].msg_hdr.msg_iov = &payloads[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  n = sendmmsg (fd, headers, N_PER_CALL, 0);
  *n_sent += MAX (n, 0);
}

/* The other process. Tells through the pipe how many messages left it. */
static G_NORETURN void
flood (guint16 port,
       int seconds,
       guint32 seed,
       int to)
{
  GRand *random = g_rand_new_with_seed (seed);
  gint64 end = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;
  struct sockaddr_in server = loopback (port);
  guint8 bytes[2 * MAX_SIZE];
  int fds[N_SOCKETS];
  guint64 n_sent = 0;

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = g_rand_int (random);
  for (guint i = 0; i < N_SOCKETS; i++)
    {
      fds[i] = socket (AF_INET, SOCK_DGRAM, 0);
      if (connect (fds[i], (struct sockaddr *) &server, sizeof server) != 0)
        exit (1);
    }
  for (guint i = 0; g_get_monotonic_time () < end; i++)
    send_burst (fds[i % N_SOCKETS], bytes, random, &n_sent);
  _exit (write (to, &n_sent, sizeof n_sent) == sizeof n_sent ? 0 : 1);
}

static gboolean
begin_watch (gpointer user_data)
{
  Flood *self = user_data;

  self->watch = watch_new ();
  self->n_handled_before = read_counter (&self->n_handled);
  return G_SOURCE_REMOVE;
}

static gboolean
end_watch (gpointer user_data)
{
  Flood *self = user_data;

  tell ("handled_while_watched",
        (double) (read_counter (&self->n_handled) - self->n_handled_before));
  watch_tell (self->watch);
  g_clear_pointer (&self->watch, watch_free);
  return G_SOURCE_REMOVE;
}

static gboolean
end_loop (gpointer user_data)
{
  g_main_loop_quit (user_data);
  return G_SOURCE_REMOVE;
}

static void
tell_stats (Flood *self,
            guint64 n_sent)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (ES_ENDPOINT (self->server));

  tell ("sent", (double) n_sent);
  tell ("handled", (double) self->n_handled);
  tell ("answered", (double) self->n_answered);
  tell ("dropped_by_kernel", (double) stats->dropped_by_kernel);
  tell ("dropped", (double) (stats->dropped_by_kernel + stats->dropped_too_long +
                             stats->dropped_rate_limited + stats->dropped_at_stop));
  tell ("left_for_sending",
        (double) (stats->messages_sent + stats->send_errors + stats->dropped_unsent));
}

static gboolean
start (Flood *self,
       const char *mode)
{
  g_autoptr (GError) error = NULL;

  self->server = es_udp_server_new (0);
  es_udp_server_set_address (self->server, "127.0.0.1");
  es_endpoint_set_threaded (ES_ENDPOINT (self->server), g_str_equal (mode, "threaded"));
  es_udp_server_set_workers (self->server, g_str_equal (mode, "workers") ? 2 : 1);
  es_endpoint_set_message_func (ES_ENDPOINT (self->server), on_message, self, NULL);
  if (!es_endpoint_start (ES_ENDPOINT (self->server), &error))
    g_printerr ("%s\n", error->message);
  return error == NULL;
}

/* Runs until the sender is done, and for a second more, in which what waits is read. */
static void
stand (Flood *self)
{
  self->loop = g_main_loop_new (NULL, FALSE);
  g_timeout_add_seconds (self->warm_up, begin_watch, self);
  g_timeout_add_seconds (self->warm_up + self->seconds, end_watch, self);
  g_timeout_add_seconds (self->warm_up + self->seconds + 2, end_loop, self->loop);
  g_main_loop_run (self->loop);
  g_main_loop_unref (self->loop);
}

int
main (int argc,
      char **argv)
{
  Flood self = { 0 };
  guint64 n_sent = 0;
  int ends[2];
  pid_t sender;

  if (argc != 5 || pipe (ends) != 0)
    return 2;
  self.warm_up = atoi (argv[2]);
  self.seconds = atoi (argv[3]);
  if (!start (&self, argv[1]))
    return 1;
  sender = fork ();
  if (sender == 0)
    flood (es_udp_server_get_port (self.server), self.warm_up + self.seconds, atoi (argv[4]),
           ends[1]);
  stand (&self);
  if (read (ends[0], &n_sent, sizeof n_sent) != sizeof n_sent)
    return 1;
  waitpid (sender, NULL, 0);
  es_endpoint_stop (ES_ENDPOINT (self.server));
  tell_stats (&self, n_sent);
  g_object_unref (self.server);
  return 0;
}
