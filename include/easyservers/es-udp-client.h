/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-endpoint.h"
#include "es-session.h"

G_BEGIN_DECLS

#define ES_TYPE_UDP_CLIENT (es_udp_client_get_type ())

ES_API
G_DECLARE_DERIVABLE_TYPE (EsUdpClient, es_udp_client, ES, UDP_CLIENT, EsEndpoint)

/**
 * EsTlsMode:
 * @ES_TLS_MODE_NONE: nothing is encrypted
 * @ES_TLS_MODE_VERIFY: all is encrypted, and the server has to prove who it is
 *
 * How private a client is.
 */
typedef enum
{
  ES_TLS_MODE_NONE,
  ES_TLS_MODE_VERIFY,
} EsTlsMode;

#define ES_TYPE_TLS_MODE (es_tls_mode_get_type ())

ES_API
GType es_tls_mode_get_type (void) G_GNUC_CONST;

/**
 * EsMatchFunc:
 * @request: a request that waits for its answer
 * @response: a message from the server
 * @user_data: what was given to [method@UdpClient.set_match_func]
 *
 * Tells whether a message answers a request, by whatever the protocol marks its requests with.
 *
 * Called in the thread that reads the message, and so in a pool's where the client is threaded.
 *
 * Returns: %TRUE if @response answers @request
 */
typedef gboolean (*EsMatchFunc) (GBytes *request,
                                 GBytes *response,
                                 gpointer user_data);

/**
 * EsUdpClientClass:
 * @parent_class: the parent class
 *
 * What a subclass of a client may override: what [class@Endpoint] offers.
 */
struct _EsUdpClientClass
{
  EsEndpointClass parent_class;

  /*< private >*/
  gpointer padding[12];
};

ES_API
EsUdpClient *es_udp_client_new (void);

ES_API
EsUdpClient *es_udp_client_new_with_handler (EsMessageFunc handler,
                                             gpointer user_data,
                                             GDestroyNotify destroy);

ES_API
gboolean es_udp_client_connect_to (EsUdpClient *self,
                                   GSocketConnectable *server,
                                   GCancellable *cancellable,
                                   GError **error);

ES_API
void es_udp_client_connect_to_async (EsUdpClient *self,
                                     GSocketConnectable *server,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);

ES_API
gboolean es_udp_client_connect_to_finish (EsUdpClient *self,
                                          GAsyncResult *result,
                                          GError **error);

ES_API
gboolean es_udp_client_connect_to_host (EsUdpClient *self,
                                        const char *host_and_port,
                                        guint16 default_port,
                                        GCancellable *cancellable,
                                        GError **error);

ES_API
void es_udp_client_connect_to_host_async (EsUdpClient *self,
                                          const char *host_and_port,
                                          guint16 default_port,
                                          GCancellable *cancellable,
                                          GAsyncReadyCallback callback,
                                          gpointer user_data);

ES_API
gboolean es_udp_client_connect_to_host_finish (EsUdpClient *self,
                                               GAsyncResult *result,
                                               GError **error);

ES_API
GSocketAddress *es_udp_client_get_remote_address (EsUdpClient *self);

ES_API
GBytes *es_udp_client_request (EsUdpClient *self,
                               GBytes *request,
                               GCancellable *cancellable,
                               GError **error);

ES_API
void es_udp_client_request_async (EsUdpClient *self,
                                  GBytes *request,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);

ES_API
GBytes *es_udp_client_request_finish (EsUdpClient *self,
                                      GAsyncResult *result,
                                      GError **error);

ES_API
void es_udp_client_set_match_func (EsUdpClient *self,
                                   EsMatchFunc match,
                                   gpointer user_data,
                                   GDestroyNotify destroy);

ES_API
guint es_udp_client_get_timeout (EsUdpClient *self);

ES_API
void es_udp_client_set_timeout (EsUdpClient *self,
                                guint timeout);

ES_API
guint es_udp_client_get_retries (EsUdpClient *self);

ES_API
void es_udp_client_set_retries (EsUdpClient *self,
                                guint retries);

ES_API
EsTlsMode es_udp_client_get_tls (EsUdpClient *self);

ES_API
void es_udp_client_set_tls (EsUdpClient *self,
                            EsTlsMode tls);

ES_API
GTlsDatabase *es_udp_client_get_tls_database (EsUdpClient *self);

ES_API
void es_udp_client_set_tls_database (EsUdpClient *self,
                                     GTlsDatabase *tls_database);

ES_API
const char *es_udp_client_get_tls_identity (EsUdpClient *self);

ES_API
void es_udp_client_set_tls_identity (EsUdpClient *self,
                                     const char *tls_identity);

ES_API
GTlsCertificate *es_udp_client_get_tls_certificate (EsUdpClient *self);

ES_API
void es_udp_client_set_tls_certificate (EsUdpClient *self,
                                        GTlsCertificate *tls_certificate);

ES_API
const char *const *es_udp_client_get_tls_alpn (EsUdpClient *self);

ES_API
void es_udp_client_set_tls_alpn (EsUdpClient *self,
                                 const char *const *tls_alpn);

ES_API
guint es_udp_client_get_tls_mtu (EsUdpClient *self);

ES_API
void es_udp_client_set_tls_mtu (EsUdpClient *self,
                                guint tls_mtu);

ES_API
guint es_udp_client_get_tls_handshake_timeout (EsUdpClient *self);

ES_API
void es_udp_client_set_tls_handshake_timeout (EsUdpClient *self,
                                              guint tls_handshake_timeout);

ES_API
void es_udp_client_set_psk (EsUdpClient *self,
                            const char *identity,
                            GBytes *key);

ES_API
EsSession *es_udp_client_get_session (EsUdpClient *self);

G_END_DECLS
