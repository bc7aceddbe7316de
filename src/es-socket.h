/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/* What a socket is to be like. */
typedef struct
{
  guint receive_buffer_size; /* bytes */
  guint send_buffer_size;    /* bytes */
  gboolean broadcast;
  guint multicast_ttl;
  gboolean multicast_loopback;
  gboolean reuse_port;
} EsSocketOptions;

GSocket *es_socket_new_bound (GSocketAddress *address,
                              const EsSocketOptions *options,
                              GError **error);

GSocket *es_socket_new_connected (GSocketAddress *remote,
                                  const EsSocketOptions *options,
                                  GError **error);

gboolean es_socket_change_source_membership (GSocket *socket,
                                             gboolean is_to_join,
                                             GInetAddress *group,
                                             GInetAddress *source,
                                             guint interface_index,
                                             GError **error);

void es_socket_prepare (GSocket *socket,
                        const EsSocketOptions *options);

void es_socket_set_receive_buffer_size (GSocket *socket,
                                        guint size);

void es_socket_set_send_buffer_size (GSocket *socket,
                                     guint size);

guint es_socket_get_receive_buffer_size (GSocket *socket);

guint es_socket_get_send_buffer_size (GSocket *socket);

void es_socket_set_multicast_ttl (GSocket *socket,
                                  guint ttl);

void es_socket_set_multicast_loopback (GSocket *socket,
                                       gboolean loopback);

void es_socket_set_multicast_interface (GSocket *socket,
                                        guint interface_index);

void es_socket_share_port (GSocket *socket);

gboolean es_socket_is_wildcard (GSocket *socket);

gboolean es_socket_enable_segments (GSocket *socket);

void es_socket_tell_local_address (GSocket *socket);

void es_socket_refuse_messages (GSocket *socket);

guint64 es_socket_get_n_dropped (GSocket *socket);

gboolean es_socket_is_crowded (GSocket *socket);
