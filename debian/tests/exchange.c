/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sends all 256 bytes there are to a server of its own class, and checks what comes back. */

#include <easyservers.h>

#include <string.h>

#define MIRROR_TYPE_SERVER (mirror_server_get_type ())
G_DECLARE_FINAL_TYPE (MirrorServer, mirror_server, MIRROR, SERVER, EsUdpServer)

struct _MirrorServer
{
  EsUdpServer parent_instance;
};

G_DEFINE_TYPE (MirrorServer, mirror_server, ES_TYPE_UDP_SERVER)

static void
mirror_server_message_received (EsEndpoint *self,
                                GBytes *message,
                                GSocketAddress *address,
                                EsSendFunc send)
{
  g_autoptr (GError) error = NULL;

  if (!send (self, message, address, &error))
    g_error ("%s", error->message);
}

static void
mirror_server_class_init (MirrorServerClass *klass)
{
  ES_ENDPOINT_CLASS (klass)->message_received = mirror_server_message_received;
}

static void
mirror_server_init (MirrorServer *self)
{
}

static void
on_message_received (EsEndpoint *client,
                     GBytes *message,
                     GSocketAddress *address,
                     EsSendFunc send,
                     gpointer user_data)
{
  GBytes **answer = user_data;

  *answer = g_bytes_ref (message);
  es_endpoint_quit (client);
}

int
main (void)
{
  g_autoptr (EsEndpoint) server = g_object_new (MIRROR_TYPE_SERVER, "port", 0, NULL);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) question = NULL;
  g_autoptr (GBytes) answer = NULL;
  guint8 bytes[256];

  for (int i = 0; i < 256; i++)
    bytes[i] = i;
  question = g_bytes_new (bytes, sizeof bytes);

  g_signal_connect (client, "message-received", G_CALLBACK (on_message_received), &answer);
  if (!es_endpoint_start (server, &error) ||
      !es_udp_client_connect_to_host (client, "127.0.0.1", es_udp_server_get_port (ES_UDP_SERVER (server)), NULL, &error) ||
      !es_endpoint_send (ES_ENDPOINT (client), question, NULL, &error) ||
      !es_endpoint_run (ES_ENDPOINT (client), &error))
    g_error ("%s", error->message);

  g_assert_cmpmem (g_bytes_get_data (answer, NULL), g_bytes_get_size (answer), bytes, sizeof bytes);
  return 0;
}
