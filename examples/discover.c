/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finds services on the local network by multicast, or offers one: discover [OPTION...] [NAME]
 *
 * With a NAME it offers a service of that name until Ctrl-C. Without one it asks the group who is
 * there, and prints the names that come within a second, with their addresses. Any number of
 * services may share the port on one host: a group's message comes to each of them.
 */

#include <easyservers.h>

#include <locale.h>

#define GROUP "239.255.77.77"
#define QUESTION "WHO IS THERE"
#define PATIENCE_MS 1000

typedef struct
{
  const char *name; /* (nullable) the service to offer */
  char *interface;  /* (owned) (nullable) NULL: every one that can */
  int port;
  guint n_found;
} Discovery;

static gboolean
quit (gpointer endpoint)
{
  es_endpoint_quit (endpoint);
  return G_SOURCE_CONTINUE;
}

static void
answer (EsEndpoint *server,
        GBytes *message,
        GSocketAddress *address,
        EsSendFunc send,
        gpointer user_data)
{
  const Discovery *self = user_data;
  g_autofree char *text = es_message_dup_text (message);

  if (g_strcmp0 (text, QUESTION) == 0)
    es_endpoint_send_text (server, self->name, address, NULL);
}

static gboolean
offer (Discovery *self, GError **error)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (self->port, answer, self, NULL);
  g_autoptr (GInetAddress) group = g_inet_address_new_from_string (GROUP);
  EsEndpoint *endpoint = ES_ENDPOINT (server);

  es_udp_server_set_reuse_port (server, TRUE);
  if (!es_endpoint_start (endpoint, error) ||
      !es_endpoint_join_multicast (endpoint, group, self->interface, error))
    return FALSE;

  es_endpoint_set_quit_on_signals (endpoint, TRUE);
  g_print ("Listening on port %u, Ctrl-C ends\n", es_udp_server_get_port (server));
  return es_endpoint_run (endpoint, error);
}

static void
print_service (EsEndpoint *client,
               GBytes *message,
               GSocketAddress *address,
               EsSendFunc send,
               gpointer user_data)
{
  Discovery *self = user_data;
  g_autofree char *name = es_message_dup_text (message);
  g_autofree char *place = es_address_to_string (address);
  g_autofree char *harmless = name != NULL ? g_strescape (name, NULL) : NULL;

  /* What strangers send must not reach a terminal as control characters. */
  if (harmless != NULL)
    g_print ("%s at %s\n", harmless, place);
  self->n_found += harmless != NULL;
}

static gboolean
find (Discovery *self, GError **error)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new_with_handler (print_service, self, NULL);
  g_autoptr (GSocketAddress) group = g_inet_socket_address_new_from_string (GROUP, self->port);
  EsEndpoint *endpoint = ES_ENDPOINT (client);

  if (!es_endpoint_start (endpoint, error) ||
      !es_endpoint_set_multicast_interface (endpoint, self->interface, error) ||
      !es_endpoint_send_text (endpoint, QUESTION, group, error))
    return FALSE;

  es_endpoint_set_quit_on_signals (endpoint, TRUE);
  g_timeout_add (PATIENCE_MS, quit, client);
  return es_endpoint_run (endpoint, error) && self->n_found > 0;
}

static gboolean
parse (Discovery *self, int *argc, char ***argv, GError **error)
{
  g_autoptr (GOptionContext) context =
    g_option_context_new ("[NAME] - find services, or offer one");
  const GOptionEntry entries[] = {
    { "interface", 'i', 0, G_OPTION_ARG_STRING, &self->interface,
      "Use this network interface alone", "INTERFACE" },
    { "port", 'p', 0, G_OPTION_ARG_INT, &self->port, "Use this UDP port (7777)", "PORT" },
    G_OPTION_ENTRY_NULL
  };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  self->name = *argc > 1 ? (*argv)[1] : NULL;
  if (*argc <= 2 && self->port >= 0 && self->port <= G_MAXUINT16)
    return TRUE;
  g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                       "There is one NAME at most, and a port is 0 to 65535");
  return FALSE;
}

int
main (int argc, char **argv)
{
  Discovery discovery = { .port = 7777 };
  g_autoptr (GError) error = NULL;
  gboolean is_done;

  setlocale (LC_ALL, "");
  if (!parse (&discovery, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  is_done = discovery.name != NULL ? offer (&discovery, &error) : find (&discovery, &error);
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  g_free (discovery.interface);
  return is_done ? 0 : 1;
}
