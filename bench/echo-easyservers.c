/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server on this library: echo-easyservers [--signal] [PROPERTY=VALUE...] */

#include <easyservers.h>

#include <stdlib.h>
#include <string.h>

/* Says that the library that this was built with has no such property. */
#define EXIT_ABSENT 77

static void
echo (EsEndpoint *server,
      GBytes *message,
      GSocketAddress *address,
      EsSendFunc send,
      gpointer user_data)
{
  send (server, message, address, NULL);
}

/* Sets a property, a number or the address, as PROPERTY=VALUE says. */
static void
set_property (EsUdpServer *server,
              const char *assignment)
{
  g_auto (GStrv) parts = g_strsplit (assignment, "=", 2);

  if (g_object_class_find_property (G_OBJECT_GET_CLASS (server), parts[0]) == NULL)
    exit (EXIT_ABSENT);
  if (strcmp (parts[0], "address") == 0)
    es_udp_server_set_address (server, parts[1]);
  else
    g_object_set (server, parts[0], atoi (parts[1]), NULL);
}

int
main (int argc, char **argv)
{
  gboolean by_signal = argc > 1 && strcmp (argv[1], "--signal") == 0;
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GError) error = NULL;

  if (by_signal)
    g_signal_connect (server, "message-received", G_CALLBACK (echo), NULL);
  else
    es_endpoint_set_message_func (ES_ENDPOINT (server), echo, NULL, NULL);
  for (int i = by_signal ? 2 : 1; i < argc; i++)
    set_property (server, argv[i]);
  if (es_endpoint_start (ES_ENDPOINT (server), &error))
    {
      g_print ("Listening on port %u\n", es_udp_server_get_port (server));
      es_endpoint_run (ES_ENDPOINT (server), &error);
    }
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return error != NULL;
}
