/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-endpoint.h"
#include "es-peer.h"
#include "es-session.h"

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

/**
 * EsPskFunc:
 * @server: the server
 * @identity: who the client says it is; nothing but its key will prove it
 * @user_data: what was given to [method@UdpServer.set_psk_func]
 *
 * Finds the key that a client and the server share.
 *
 * Called in the endpoint's context, or on a worker's thread with several workers, and not to block.
 *
 * Returns: (transfer full) (nullable): the key, or %NULL if nobody is known by that name
 */
typedef GBytes *(*EsPskFunc) (EsUdpServer *server,
                              const char *identity,
                              gpointer user_data);

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

ES_API
GTlsCertificate *es_udp_server_get_tls_certificate (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_certificate (EsUdpServer *self,
                                        GTlsCertificate *tls_certificate);

ES_API
GTlsDatabase *es_udp_server_get_tls_database (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_database (EsUdpServer *self,
                                     GTlsDatabase *tls_database);

ES_API
GTlsAuthenticationMode es_udp_server_get_tls_authentication_mode (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_authentication_mode (EsUdpServer *self,
                                                GTlsAuthenticationMode tls_authentication_mode);

ES_API
const char *const *es_udp_server_get_tls_alpn (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_alpn (EsUdpServer *self,
                                 const char *const *tls_alpn);

ES_API
guint es_udp_server_get_tls_mtu (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_mtu (EsUdpServer *self,
                                guint tls_mtu);

ES_API
guint es_udp_server_get_tls_handshake_timeout (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_handshake_timeout (EsUdpServer *self,
                                              guint tls_handshake_timeout);

ES_API
guint es_udp_server_get_tls_idle_timeout (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_idle_timeout (EsUdpServer *self,
                                         guint tls_idle_timeout);

ES_API
guint es_udp_server_get_tls_max_sessions (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_max_sessions (EsUdpServer *self,
                                         guint tls_max_sessions);

ES_API
guint es_udp_server_get_tls_max_half_open (EsUdpServer *self);

ES_API
void es_udp_server_set_tls_max_half_open (EsUdpServer *self,
                                          guint tls_max_half_open);

ES_API
void es_udp_server_set_psk_func (EsUdpServer *self,
                                 EsPskFunc func,
                                 gpointer user_data,
                                 GDestroyNotify destroy);

ES_API
EsSession *es_udp_server_lookup_session (EsUdpServer *self,
                                         GSocketAddress *address);

G_END_DECLS
