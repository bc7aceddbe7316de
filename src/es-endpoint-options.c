/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-endpoint-private.h"

#include "es-socket.h"

/*
 * What the sockets of an endpoint are to be like: its properties that act at once.
 */

static void
update_receive_buffer_size (EsLane *lane,
                            gpointer data)
{
  EsSocketOptions *options = data;

  es_socket_set_receive_buffer_size (es_lane_get_socket (lane), options->receive_buffer_size);
}

static void
update_send_buffer_size (EsLane *lane,
                         gpointer data)
{
  EsSocketOptions *options = data;

  es_socket_set_send_buffer_size (es_lane_get_socket (lane), options->send_buffer_size);
}

static void
update_multicast_ttl (EsLane *lane,
                      gpointer data)
{
  EsSocketOptions *options = data;

  es_socket_set_multicast_ttl (es_lane_get_socket (lane), options->multicast_ttl);
}

static void
update_multicast_loopback (EsLane *lane,
                           gpointer data)
{
  EsSocketOptions *options = data;

  es_socket_set_multicast_loopback (es_lane_get_socket (lane), options->multicast_loopback);
}

static void
update_broadcast (EsLane *lane,
                  gpointer data)
{
  EsSocketOptions *options = data;

  g_socket_set_broadcast (es_lane_get_socket (lane), options->broadcast);
}

/* Changes an option, tells that, and lets the sockets follow. */
static void
set_boolean (EsEndpoint *self,
             const char *property,
             gboolean *option,
             gboolean value,
             EsLaneVisitFunc update)
{
  if (*option == !!value)
    return;
  *option = !!value;
  g_object_notify (G_OBJECT (self), property);
  es_endpoint_foreach_lane (self, update, es_endpoint_get_options (self));
}

static void
set_uint (EsEndpoint *self,
          const char *property,
          guint *option,
          guint value,
          EsLaneVisitFunc update)
{
  if (*option == value)
    return;
  *option = value;
  g_object_notify (G_OBJECT (self), property);
  es_endpoint_foreach_lane (self, update, es_endpoint_get_options (self));
}

/**
 * es_endpoint_get_receive_buffer_size: (get-property receive-buffer-size)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:receive-buffer-size].
 *
 * Returns: the size granted by the kernel, in bytes; while the endpoint is stopped, that asked for
 */
guint
es_endpoint_get_receive_buffer_size (EsEndpoint *self)
{
  g_autoptr (EsLane) lane = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), 0);

  lane = es_endpoint_ref_first_lane (self);
  return lane != NULL ? es_socket_get_receive_buffer_size (es_lane_get_socket (lane))
                      : es_endpoint_get_options (self)->receive_buffer_size;
}

/**
 * es_endpoint_set_receive_buffer_size: (set-property receive-buffer-size)
 * @self: an endpoint
 * @receive_buffer_size: the size to ask for, in bytes
 *
 * Sets [property@Endpoint:receive-buffer-size]. Acts at once.
 */
void
es_endpoint_set_receive_buffer_size (EsEndpoint *self,
                                     guint receive_buffer_size)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));
  g_return_if_fail (receive_buffer_size >= 1 && receive_buffer_size <= G_MAXINT / 2);

  set_uint (self, "receive-buffer-size", &es_endpoint_get_options (self)->receive_buffer_size,
            receive_buffer_size, update_receive_buffer_size);
}

/**
 * es_endpoint_get_send_buffer_size: (get-property send-buffer-size)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:send-buffer-size].
 *
 * Returns: the size granted by the kernel, in bytes; while the endpoint is stopped, that asked for
 */
guint
es_endpoint_get_send_buffer_size (EsEndpoint *self)
{
  g_autoptr (EsLane) lane = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), 0);

  lane = es_endpoint_ref_first_lane (self);
  return lane != NULL ? es_socket_get_send_buffer_size (es_lane_get_socket (lane))
                      : es_endpoint_get_options (self)->send_buffer_size;
}

/**
 * es_endpoint_set_send_buffer_size: (set-property send-buffer-size)
 * @self: an endpoint
 * @send_buffer_size: the size to ask for, in bytes
 *
 * Sets [property@Endpoint:send-buffer-size]. Acts at once.
 */
void
es_endpoint_set_send_buffer_size (EsEndpoint *self,
                                  guint send_buffer_size)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));
  g_return_if_fail (send_buffer_size >= 1 && send_buffer_size <= G_MAXINT / 2);

  set_uint (self, "send-buffer-size", &es_endpoint_get_options (self)->send_buffer_size,
            send_buffer_size, update_send_buffer_size);
}

/**
 * es_endpoint_get_broadcast: (get-property broadcast)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:broadcast].
 *
 * Returns: %TRUE if messages may be sent to broadcast addresses
 */
gboolean
es_endpoint_get_broadcast (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);

  return es_endpoint_get_options (self)->broadcast;
}

/**
 * es_endpoint_set_broadcast: (set-property broadcast)
 * @self: an endpoint
 * @broadcast: whether messages may be sent to broadcast addresses
 *
 * Sets [property@Endpoint:broadcast]. Acts at once.
 */
void
es_endpoint_set_broadcast (EsEndpoint *self,
                           gboolean broadcast)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));

  set_boolean (self, "broadcast", &es_endpoint_get_options (self)->broadcast,
               broadcast, update_broadcast);
}

/**
 * es_endpoint_get_multicast_ttl: (get-property multicast-ttl)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:multicast-ttl].
 *
 * Returns: how many networks a message may travel through
 */
guint
es_endpoint_get_multicast_ttl (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), 0);

  return es_endpoint_get_options (self)->multicast_ttl;
}

/**
 * es_endpoint_set_multicast_ttl: (set-property multicast-ttl)
 * @self: an endpoint
 * @multicast_ttl: how many networks a message may travel through, at most 255
 *
 * Sets [property@Endpoint:multicast-ttl]. Acts at once.
 */
void
es_endpoint_set_multicast_ttl (EsEndpoint *self,
                               guint multicast_ttl)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));
  g_return_if_fail (multicast_ttl <= 255);

  set_uint (self, "multicast-ttl", &es_endpoint_get_options (self)->multicast_ttl,
            multicast_ttl, update_multicast_ttl);
}

/**
 * es_endpoint_get_multicast_loopback: (get-property multicast-loopback)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:multicast-loopback].
 *
 * Returns: %TRUE if messages come to members on this host
 */
gboolean
es_endpoint_get_multicast_loopback (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);

  return es_endpoint_get_options (self)->multicast_loopback;
}

/**
 * es_endpoint_set_multicast_loopback: (set-property multicast-loopback)
 * @self: an endpoint
 * @multicast_loopback: whether messages are to come to members on this host
 *
 * Sets [property@Endpoint:multicast-loopback]. Acts at once.
 */
void
es_endpoint_set_multicast_loopback (EsEndpoint *self,
                                    gboolean multicast_loopback)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));

  set_boolean (self, "multicast-loopback", &es_endpoint_get_options (self)->multicast_loopback,
               multicast_loopback, update_multicast_loopback);
}
