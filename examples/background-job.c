/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Echoes messages, and counts them aloud in the background: background-job [PORT [SECONDS]]
 *
 * The job is a plain loop in a thread of its own. It sleeps by es_job_sleep(), which says FALSE as
 * soon as the server stops, so that nothing else is needed to end it.
 */

#include <easyservers.h>

static void
echo_message (EsEndpoint *server,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  send (server, message, address, NULL);
}

static void
count_aloud (EsJob *job, EsEndpoint *server, gpointer user_data)
{
  const guint *seconds = user_data;

  while (es_job_sleep (job, *seconds * 1000))
    {
      g_autoptr (EsStats) stats = es_endpoint_get_stats (server);

      g_print ("%" G_GUINT64_FORMAT " messages so far\n", stats->messages_received);
    }
  g_print ("The job has ended\n");
}

static gboolean
run (guint16 port, guint seconds, GError **error)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (port, echo_message, NULL, NULL);
  EsEndpoint *endpoint = ES_ENDPOINT (server);
  g_autoptr (EsJob) job = NULL;

  if (!es_endpoint_start (endpoint, error))
    return FALSE;
  job = es_endpoint_create_job (endpoint, "counter", count_aloud, &seconds, NULL, TRUE, error);
  if (job == NULL)
    return FALSE;

  es_endpoint_set_quit_on_signals (endpoint, TRUE);
  g_print ("Listening on port %u, Ctrl-C ends\n", es_udp_server_get_port (server));
  return es_endpoint_run (endpoint, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  guint64 port = 1234;
  guint64 seconds = 10;

  if ((argc < 2 || g_ascii_string_to_unsigned (argv[1], 10, 0, G_MAXUINT16, &port, &error)) &&
      (argc < 3 || g_ascii_string_to_unsigned (argv[2], 10, 1, 86400, &seconds, &error)) &&
      run (port, seconds, &error))
    return 0;
  g_printerr ("%s\n", error->message);
  return 1;
}
