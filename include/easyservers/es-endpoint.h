/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-job.h"
#include "es-macros.h"
#include "es-stats.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define ES_TYPE_ENDPOINT (es_endpoint_get_type ())

ES_API
G_DECLARE_DERIVABLE_TYPE (EsEndpoint, es_endpoint, ES, ENDPOINT, GObject)

/**
 * EsSendFunc:
 * @endpoint: the endpoint that sends
 * @message: the message to send
 * @address: (nullable): the receiver, or %NULL for the server that a client is connected to
 * @error: return location for a #GError
 *
 * Sends a message: [method@Endpoint.send], as handlers are given it.
 *
 * Returns: %TRUE if the message was accepted for sending
 */
typedef gboolean (*EsSendFunc) (EsEndpoint *endpoint,
                                GBytes *message,
                                GSocketAddress *address,
                                GError **error);

/**
 * EsMessageFunc:
 * @endpoint: the endpoint that received the message
 * @message: the message; it may be kept with a reference
 * @address: the sender; it may be kept with a reference
 * @send: (type gpointer): an [callback@SendFunc] to answer with, [method@Endpoint.send]
 * @user_data: what was given with the function
 *
 * Handles one message.
 *
 * The message is followed by a NUL byte that is not counted in its size. Called in the endpoint's
 * main context, or on a thread of a pool or of a worker where there are such.
 */
typedef void (*EsMessageFunc) (EsEndpoint *endpoint,
                               GBytes *message,
                               GSocketAddress *address,
                               EsSendFunc send,
                               gpointer user_data);

/**
 * EsEndpointClass:
 * @parent_class: the parent class
 * @message_received: the class handler of [signal@Endpoint::message-received], which runs after
 *   the handlers that are connected
 * @error: the class handler of [signal@Endpoint::error]
 * @writable: the class handler of [signal@Endpoint::writable]
 *
 * What a subclass of a server or a client may override.
 */
struct _EsEndpointClass
{
  GObjectClass parent_class;

  /**
   * EsEndpointClass::message_received:
   * @self: the endpoint
   * @message: the message
   * @address: the sender
   * @send: (type gpointer): an [callback@SendFunc] to answer with
   *
   * Handles one message.
   */
  void (*message_received) (EsEndpoint *self,
                            GBytes *message,
                            GSocketAddress *address,
                            EsSendFunc send);

  /**
   * EsEndpointClass::error:
   * @self: the endpoint
   * @error: what went wrong
   * @address: (nullable): the address that it concerns
   *
   * Is told what went wrong outside of any call.
   */
  void (*error) (EsEndpoint *self,
                 GError *error,
                 GSocketAddress *address);

  /**
   * EsEndpointClass::writable:
   * @self: the endpoint
   *
   * Is told that there is room again for messages to send.
   */
  void (*writable) (EsEndpoint *self);

  /*< private >*/
  gpointer padding[12];
};

ES_API
gboolean es_endpoint_start (EsEndpoint *self,
                            GError **error);

ES_API
void es_endpoint_stop (EsEndpoint *self);

ES_API
gboolean es_endpoint_is_running (EsEndpoint *self);

ES_API
gboolean es_endpoint_run (EsEndpoint *self,
                          GError **error);

ES_API
void es_endpoint_quit (EsEndpoint *self);

ES_API
gboolean es_endpoint_get_quit_on_signals (EsEndpoint *self);

ES_API
void es_endpoint_set_quit_on_signals (EsEndpoint *self,
                                      gboolean quit_on_signals);

ES_API
gboolean es_endpoint_send (EsEndpoint *self,
                           GBytes *message,
                           GSocketAddress *address,
                           GError **error);

ES_API
gboolean es_endpoint_send_text (EsEndpoint *self,
                                const char *text,
                                GSocketAddress *address,
                                GError **error);

ES_API
gboolean es_endpoint_send_data (EsEndpoint *self,
                                const guint8 *data,
                                gsize size,
                                GSocketAddress *address,
                                GError **error);

ES_API
int es_endpoint_send_many (EsEndpoint *self,
                           GBytes **messages,
                           guint n_messages,
                           GSocketAddress *address,
                           GError **error);

ES_API
void es_endpoint_set_message_func (EsEndpoint *self,
                                   EsMessageFunc func,
                                   gpointer user_data,
                                   GDestroyNotify destroy);

ES_API
EsJob *es_endpoint_create_job (EsEndpoint *self,
                               const char *name,
                               EsJobFunc func,
                               gpointer user_data,
                               GDestroyNotify destroy,
                               gboolean start,
                               GError **error);

ES_API
GSocketAddress *es_endpoint_get_local_address (EsEndpoint *self);

ES_API
char *es_endpoint_dup_asked_host (EsEndpoint *self,
                                  GSocketAddress *sender);

ES_API
EsStats *es_endpoint_get_stats (EsEndpoint *self);

ES_API
GSocket *es_endpoint_get_socket (EsEndpoint *self);

ES_API
gboolean es_endpoint_get_paused (EsEndpoint *self);

ES_API
void es_endpoint_set_paused (EsEndpoint *self,
                             gboolean paused);

ES_API
gboolean es_endpoint_get_threaded (EsEndpoint *self);

ES_API
void es_endpoint_set_threaded (EsEndpoint *self,
                               gboolean threaded);

ES_API
guint es_endpoint_get_max_threads (EsEndpoint *self);

ES_API
void es_endpoint_set_max_threads (EsEndpoint *self,
                                  guint max_threads);

ES_API
guint es_endpoint_get_max_message_size (EsEndpoint *self);

ES_API
void es_endpoint_set_max_message_size (EsEndpoint *self,
                                       guint max_message_size);

ES_API
guint es_endpoint_get_receive_buffer_size (EsEndpoint *self);

ES_API
void es_endpoint_set_receive_buffer_size (EsEndpoint *self,
                                          guint receive_buffer_size);

ES_API
guint es_endpoint_get_send_buffer_size (EsEndpoint *self);

ES_API
void es_endpoint_set_send_buffer_size (EsEndpoint *self,
                                       guint send_buffer_size);

ES_API
gboolean es_endpoint_get_broadcast (EsEndpoint *self);

ES_API
void es_endpoint_set_broadcast (EsEndpoint *self,
                                gboolean broadcast);

ES_API
guint es_endpoint_get_multicast_ttl (EsEndpoint *self);

ES_API
void es_endpoint_set_multicast_ttl (EsEndpoint *self,
                                    guint multicast_ttl);

ES_API
gboolean es_endpoint_get_multicast_loopback (EsEndpoint *self);

ES_API
void es_endpoint_set_multicast_loopback (EsEndpoint *self,
                                         gboolean multicast_loopback);

ES_API
gboolean es_endpoint_join_multicast (EsEndpoint *self,
                                     GInetAddress *group,
                                     const char *interface_name,
                                     GError **error);

ES_API
gboolean es_endpoint_leave_multicast (EsEndpoint *self,
                                      GInetAddress *group,
                                      const char *interface_name,
                                      GError **error);

ES_API
gboolean es_endpoint_join_multicast_ssm (EsEndpoint *self,
                                         GInetAddress *group,
                                         GInetAddress *source,
                                         const char *interface_name,
                                         GError **error);

ES_API
gboolean es_endpoint_leave_multicast_ssm (EsEndpoint *self,
                                          GInetAddress *group,
                                          GInetAddress *source,
                                          const char *interface_name,
                                          GError **error);

ES_API
gboolean es_endpoint_set_multicast_interface (EsEndpoint *self,
                                              const char *interface_name,
                                              GError **error);

G_END_DECLS
