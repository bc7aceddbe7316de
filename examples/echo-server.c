/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers every message with the message itself: echo-server [PORT] */

#include <easyservers.h>

static void
on_message_received (EsEndpoint *server,
                     GBytes *message,
                     GSocketAddress *address,
                     EsSendFunc send,
                     gpointer user_data)
{
  send (server, message, address, NULL);
}

int
main (int argc, char **argv)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (1234);
  g_autoptr (GError) error = NULL;
  guint64 port;

  if (argc > 1 && g_ascii_string_to_unsigned (argv[1], 10, 0, G_MAXUINT16, &port, &error))
    es_udp_server_set_port (server, port);
  g_signal_connect (server, "message-received", G_CALLBACK (on_message_received), NULL);
  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), TRUE);
  if (error == NULL && es_endpoint_start (ES_ENDPOINT (server), &error))
    {
      g_print ("Listening on port %u\n", es_udp_server_get_port (server));
      es_endpoint_run (ES_ENDPOINT (server), &error);
    }
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return error != NULL;
}
