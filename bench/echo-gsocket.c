/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server as GLib programs have it: a source for the socket, and for each wake-up one
 * g_socket_receive_from() and one g_socket_send_to(). */

#include "config.h"

#include "rival.h"

#include <gio/gio.h>

static char buffer[RIVAL_MAX_MESSAGE];

static gboolean
on_readable (GSocket *socket,
             GIOCondition condition,
             gpointer user_data)
{
  g_autoptr (GSocketAddress) peer = NULL;
  gssize size = g_socket_receive_from (socket, &peer, buffer, sizeof buffer, NULL, NULL);

  if (size >= 0)
    g_socket_send_to (socket, peer, buffer, size, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static GSocket *
listen_on_loopback (GError **error)
{
  g_autoptr (GInetAddress) host = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (host, 0);
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, error);

  if (socket == NULL || !g_socket_bind (socket, address, FALSE, error))
    return NULL;
  g_socket_set_blocking (socket, FALSE);
  rival_set_buffers (g_socket_get_fd (socket));
  return g_steal_pointer (&socket);
}

int
main (void)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = listen_on_loopback (&error);
  g_autoptr (GSource) source = NULL;

  if (socket == NULL)
    g_error ("%s", error->message);
  source = g_socket_create_source (socket, G_IO_IN, NULL);
  g_source_set_callback (source, G_SOURCE_FUNC (on_readable), NULL, NULL);
  g_source_attach (source, NULL);
  rival_announce (g_socket_get_fd (socket));
  g_main_loop_run (loop);
  return 0;
}
