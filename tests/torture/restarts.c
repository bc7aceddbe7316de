/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "loopback.h"
#include "watch.h"

#include <easyservers.h>

#include <stdlib.h>
#include <unistd.h>

/*
 * Starts and stops: restarts N
 *
 * A server is started, handles a message and is stopped, N times in all: as it is, with a pool of
 * threads, with two workers, and with a job under way, in turn.
 */

#define WARM_UP 200

typedef struct
{
  GMainContext *context;
  int is_handled;
  guint64 n_handled;
} Round;

static void
on_message (EsEndpoint *endpoint,
            GBytes *message,
            GSocketAddress *address,
            EsSendFunc send,
            gpointer user_data)
{
  Round *self = user_data;

  g_atomic_int_set (&self->is_handled, TRUE);
  g_main_context_wakeup (self->context);
}

static void
work (EsJob *job,
      EsEndpoint *endpoint,
      gpointer user_data)
{
  while (es_job_sleep (job, 1000))
    ;
}

static void
say_hello (int fd,
           guint16 port)
{
  struct sockaddr_in to = loopback (port);

  if (sendto (fd, "hello", 5, 0, (struct sockaddr *) &to, sizeof to) != 5)
    g_error ("Nothing could be sent");
}

static void
run_round (Round *self,
           EsUdpServer *server,
           int fd,
           guint kind)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (EsJob) job = NULL;

  self->is_handled = FALSE;
  es_endpoint_set_threaded (ES_ENDPOINT (server), kind % 4 == 1);
  es_udp_server_set_workers (server, kind % 4 == 2 ? 2 : 1);
  if (!es_endpoint_start (ES_ENDPOINT (server), &error))
    g_error ("%s", error->message);
  if (kind % 4 == 3)
    job = es_endpoint_create_job (ES_ENDPOINT (server), "idler", work, NULL, NULL, TRUE, NULL);
  say_hello (fd, es_udp_server_get_port (server));
  while (!g_atomic_int_get (&self->is_handled))
    g_main_context_iteration (NULL, TRUE);
  self->n_handled++;
  es_endpoint_stop (ES_ENDPOINT (server));
}

int
main (int argc,
      char **argv)
{
  guint n = argc == 2 ? atoi (argv[1]) : 0;
  Round round = { .context = g_main_context_default () };
  EsUdpServer *server = es_udp_server_new_with_handler (0, on_message, &round, NULL);
  int fd = socket (AF_INET, SOCK_DGRAM, 0);
  g_autoptr (Watch) watch = NULL;
  gint64 began;

  es_udp_server_set_address (server, "127.0.0.1");
  for (guint i = 0; i < WARM_UP; i++)
    run_round (&round, server, fd, i);
  watch = watch_new ();
  began = g_get_monotonic_time ();
  for (guint i = 0; i < n; i++)
    run_round (&round, server, fd, i);
  tell ("seconds", (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC);
  watch_tell (watch);
  tell ("handled", (double) (round.n_handled - WARM_UP));
  tell ("wanted", n);
  g_object_unref (server);
  close (fd);
  return 0;
}
