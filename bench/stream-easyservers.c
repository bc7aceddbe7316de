/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A one-way stream by es_endpoint_send_many() to a handler of message-received:
 * stream-easyservers receive | send PORT
 *
 * Both do and print what those of stream-sendto do. The receiver adds how a timer of 10 ms in the
 * same context kept its time under the stream: the 99th percentile of its intervals. */

#include <easyservers.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 64
#define N_MESSAGES 512
#define SILENCE_MSEC 100
#define TICK_MSEC 10
#define MAX_TICKS 65536

typedef struct
{
  guint64 n_messages;
  guint64 n_bytes;
  guint64 n_before; /* messages at the last look */

  gint64 last_tick;      /* monotonic microseconds */
  guint64 n_before_tick; /* messages at the last tick */
  guint n_ticks;
  int ticks[MAX_TICKS]; /* intervals in which messages came, in microseconds */
} Count;

static void
count_message (EsEndpoint *server,
               GBytes *message,
               GSocketAddress *address,
               EsSendFunc send,
               gpointer user_data)
{
  Count *count = user_data;

  count->n_messages++;
  count->n_bytes += g_bytes_get_size (message);
}

static gboolean
tick (gpointer user_data)
{
  Count *count = user_data;
  gint64 now = g_get_monotonic_time ();

  if (count->n_messages != count->n_before_tick && count->n_ticks < MAX_TICKS)
    count->ticks[count->n_ticks++] = now - count->last_tick;
  count->n_before_tick = count->n_messages;
  count->last_tick = now;
  return G_SOURCE_CONTINUE;
}

static int
compare_ticks (gconstpointer a,
               gconstpointer b)
{
  return *(const int *) a - *(const int *) b;
}

static double
get_p99_msec (Count *count)
{
  qsort (count->ticks, count->n_ticks, sizeof *count->ticks, compare_ticks);
  return count->n_ticks > 0 ? count->ticks[count->n_ticks * 99 / 100] / 1e3 : 0;
}

static void
begin_anew (Count *count)
{
  count->n_messages = count->n_bytes = count->n_before_tick = 0;
  count->n_ticks = 0;
}

static gboolean
tell_end (gpointer user_data)
{
  Count *count = user_data;

  if (count->n_messages > 0 && count->n_messages == count->n_before)
    {
      g_print ("{\"messages\": %" G_GUINT64_FORMAT ", \"bytes\": %" G_GUINT64_FORMAT
               ", \"tick_p99\": %.3f}\n",
               count->n_messages, count->n_bytes, get_p99_msec (count));
      begin_anew (count);
    }
  count->n_before = count->n_messages;
  return G_SOURCE_CONTINUE;
}

static gboolean
receive (GError **error)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autofree Count *count = g_new0 (Count, 1);

  es_udp_server_set_address (server, "127.0.0.1");
  g_signal_connect (server, "message-received", G_CALLBACK (count_message), count);
  g_timeout_add (SILENCE_MSEC, tell_end, count);
  g_timeout_add (TICK_MSEC, tick, count);
  if (!es_endpoint_start (ES_ENDPOINT (server), error))
    return FALSE;
  g_print ("Listening on port %u\n", es_udp_server_get_port (server));
  return es_endpoint_run (ES_ENDPOINT (server), error);
}

static void
send_for (EsEndpoint *client,
          GBytes **messages,
          double seconds)
{
  gint64 began_at = g_get_monotonic_time ();
  gint64 took = 0;
  guint64 n_messages = 0;

  for (; took < seconds * G_USEC_PER_SEC; took = g_get_monotonic_time () - began_at)
    {
      int n = es_endpoint_send_many (client, messages, N_MESSAGES, NULL, NULL);

      n_messages += MAX (n, 0);
    }
  printf ("{\"messages\": %" G_GUINT64_FORMAT ", \"seconds\": %.6f}\n", n_messages, took / 1e6);
  fflush (stdout);
}

/* All the messages are one, which is sent again and again. */
static gboolean
send_to (const char *port,
         GError **error)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autofree char *receiver = g_strdup_printf ("127.0.0.1:%s", port);
  g_autoptr (GBytes) message = g_bytes_new_take (g_malloc0 (MESSAGE_SIZE), MESSAGE_SIZE);
  GBytes *messages[N_MESSAGES];
  char line[80];

  for (int i = 0; i < N_MESSAGES; i++)
    messages[i] = message;
  if (!es_udp_client_connect_to_host (client, receiver, 0, NULL, error) || !es_endpoint_start (ES_ENDPOINT (client), error))
    return FALSE;
  while (fgets (line, sizeof line, stdin) != NULL)
    send_for (ES_ENDPOINT (client), messages, atof (line));
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (argc == 2 && strcmp (argv[1], "receive") == 0)
    receive (&error);
  else if (argc == 3 && strcmp (argv[1], "send") == 0)
    send_to (argv[2], &error);
  else
    g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Usage: stream-easyservers receive | send PORT");
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return error != NULL;
}
