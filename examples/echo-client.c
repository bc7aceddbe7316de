/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sends texts to a server and prints the answers: echo-client HOST[:PORT] [TEXT...]
 *
 * Without a TEXT, every line of the standard input is sent. The next one waits for the answer to
 * the one before, and for a lost one not longer than a second.
 */

#include <easyservers.h>

#include <stdio.h>
#include <unistd.h>

#define DEFAULT_PORT 1234
#define PATIENCE_MS 1000

typedef struct
{
  EsEndpoint *endpoint; /* (borrowed) */
  gboolean is_waiting;
  guint n_unanswered;
} Echo;

static void
on_message_received (EsEndpoint *client,
                     GBytes *message,
                     GSocketAddress *address,
                     EsSendFunc send,
                     gpointer user_data)
{
  Echo *echo = user_data;

  fwrite (g_bytes_get_data (message, NULL), 1, g_bytes_get_size (message), stdout);
  putchar ('\n');
  fflush (stdout);
  echo->is_waiting = FALSE;
}

static void
on_error (EsEndpoint *client, GError *error, GSocketAddress *address, gpointer user_data)
{
  Echo *echo = user_data;

  g_printerr ("%s\n", error->message);
  echo->n_unanswered++;
  echo->is_waiting = FALSE;
}

static gboolean
give_up_waiting (gpointer user_data)
{
  Echo *echo = user_data;

  g_printerr ("No answer within %d ms\n", PATIENCE_MS);
  echo->n_unanswered++;
  echo->is_waiting = FALSE;
  return G_SOURCE_CONTINUE;
}

static gboolean
send_and_wait (Echo *echo, const char *text, GError **error)
{
  g_autoptr (GSource) patience = g_timeout_source_new (PATIENCE_MS);

  if (!es_endpoint_send_text (echo->endpoint, text, NULL, error))
    return FALSE;

  g_source_set_callback (patience, give_up_waiting, echo, NULL);
  g_source_attach (patience, NULL);
  for (echo->is_waiting = TRUE; echo->is_waiting;)
    g_main_context_iteration (NULL, TRUE);
  g_source_destroy (patience);
  return TRUE;
}

static gboolean
send_arguments (Echo *echo, char **texts, GError **error)
{
  for (char **text = texts; *text != NULL; text++)
    if (!send_and_wait (echo, *text, error))
      return FALSE;
  return TRUE;
}

static gboolean
send_lines (Echo *echo, GError **error)
{
  g_autoptr (GIOChannel) input = g_io_channel_unix_new (STDIN_FILENO);
  GIOStatus status = g_io_channel_set_encoding (input, NULL, error);

  while (status == G_IO_STATUS_NORMAL)
    {
      g_autofree char *line = NULL;

      status = g_io_channel_read_line (input, &line, NULL, NULL, error);
      if (status == G_IO_STATUS_NORMAL && !send_and_wait (echo, g_strchomp (line), error))
        return FALSE;
    }
  return status == G_IO_STATUS_EOF;
}

static gboolean
talk (EsUdpClient *client, const char *server, char **texts, GError **error)
{
  Echo echo = { .endpoint = ES_ENDPOINT (client) };

  g_signal_connect (client, "message-received", G_CALLBACK (on_message_received), &echo);
  g_signal_connect (client, "error", G_CALLBACK (on_error), &echo);
  if (!es_udp_client_connect_to_host (client, server, DEFAULT_PORT, NULL, error))
    return FALSE;
  if (!(*texts != NULL ? send_arguments (&echo, texts, error) : send_lines (&echo, error)))
    return FALSE;

  es_endpoint_stop (echo.endpoint);
  return echo.n_unanswered == 0;
}

int
main (int argc, char **argv)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GError) error = NULL;

  if (argc < 2)
    {
      g_printerr ("Usage: echo-client HOST[:PORT] [TEXT...]\n");
      return 2;
    }
  if (talk (client, argv[1], argv + 2, &error))
    return 0;
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return 1;
}
