/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-endpoint.h"
#include "es-peer.h"

G_BEGIN_DECLS

#define ES_TYPE_UDP_SERVER (es_udp_server_get_type ())

ES_API
G_DECLARE_DERIVABLE_TYPE (EsUdpServer, es_udp_server, ES, UDP_SERVER, EsEndpoint)

/**
 * EsUdpServerClass:
 * @parent_class: the parent class
 *
 * What a subclass of a server may override: what [class@Endpoint] offers.
 */
struct _EsUdpServerClass
{
  EsEndpointClass parent_class;

  /*< private >*/
  gpointer padding[12];
};

ES_API
EsUdpServer *es_udp_server_new (guint16 port);

ES_API
EsUdpServer *es_udp_server_new_with_handler (guint16 port,
                                             EsMessageFunc handler,
                                             gpointer user_data,
                                             GDestroyNotify destroy);

ES_API
EsUdpServer *es_udp_server_new_for_socket (GSocket *socket);

ES_API
EsUdpServer *es_udp_server_new_from_activation (const char *name,
                                                GError **error);

ES_API
const char *es_udp_server_get_address (EsUdpServer *self);

ES_API
void es_udp_server_set_address (EsUdpServer *self,
                                const char *address);

ES_API
guint16 es_udp_server_get_port (EsUdpServer *self);

ES_API
void es_udp_server_set_port (EsUdpServer *self,
                             guint16 port);

ES_API
gboolean es_udp_server_get_reuse_port (EsUdpServer *self);

ES_API
void es_udp_server_set_reuse_port (EsUdpServer *self,
                                   gboolean reuse_port);

ES_API
guint es_udp_server_get_workers (EsUdpServer *self);

ES_API
void es_udp_server_set_workers (EsUdpServer *self,
                                guint workers);

ES_API
void es_udp_server_set_keepalive (EsUdpServer *self,
                                  GBytes *ping,
                                  guint interval_ms,
                                  guint max_missed);

ES_API
EsPeer *es_udp_server_add_peer (EsUdpServer *self,
                                GSocketAddress *address);

ES_API
EsPeer *es_udp_server_lookup_peer (EsUdpServer *self,
                                   GSocketAddress *address);

ES_API
gboolean es_udp_server_remove_peer (EsUdpServer *self,
                                    EsPeer *peer);

ES_API
GListModel *es_udp_server_get_peers (EsUdpServer *self);

ES_API
guint es_udp_server_send_to_peers (EsUdpServer *self,
                                   GBytes *message,
                                   EsPeer *except);

ES_API
guint es_udp_server_get_rate_limit (EsUdpServer *self);

ES_API
void es_udp_server_set_rate_limit (EsUdpServer *self,
                                   guint rate_limit);

ES_API
guint es_udp_server_get_rate_burst (EsUdpServer *self);

ES_API
void es_udp_server_set_rate_burst (EsUdpServer *self,
                                   guint rate_burst);

ES_API
guint es_udp_server_get_amplification_limit (EsUdpServer *self);

ES_API
void es_udp_server_set_amplification_limit (EsUdpServer *self,
                                            guint factor);

G_END_DECLS
