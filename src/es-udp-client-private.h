/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-udp-client.h"

#include "es-handshake.h"
#include "es-lane.h"

/* How a client's session is to be, and the one that it has. The endpoint's context only. */
typedef struct
{
  EsTlsMode mode;
  GTlsDatabase *database;       /* (owned) (nullable) */
  char *identity;               /* (owned) (nullable) */
  GTlsCertificate *certificate; /* (owned) (nullable) */
  GStrv alpn;                   /* (owned) (nullable) */
  EsDtlsLimits limits;
  char *psk_identity; /* (owned) (nullable) */
  GBytes *psk;        /* (owned) (nullable) */

  GBytes *ticket;   /* (owned) (nullable) to resume the last session by */
  char *ticket_for; /* (owned) (nullable) the identity that it was given by */

  EsDtlsTerms *terms;     /* (owned) (nullable) of the last connect or start */
  EsDtlsSession *session; /* (owned) (nullable) of the last connect */
  GSocket *socket;        /* (owned) (nullable) the session's, that the next start takes */
} EsUdpClientTls;

EsUdpClientTls *es_udp_client_access_tls (EsUdpClient *self);

/* Shakes hands with one address of a server, and has the next start take the session. Errors: those
 * of the handshake. */
gboolean es_udp_client_shake_hands (EsUdpClient *self,
                                    GSocketConnectable *server,
                                    GSocketAddress *address,
                                    GCancellable *cancellable,
                                    GError **error);

void es_udp_client_shake_hands_async (EsUdpClient *self,
                                      GSocketConnectable *server,
                                      GSocketAddress *address,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data);

gboolean es_udp_client_shake_hands_finish (EsUdpClient *self,
                                           GAsyncResult *result,
                                           GError **error);

/* (transfer full) (nullable) Takes the socket that a session is on, to be opened with it. */
GSocket *es_udp_client_take_socket (EsUdpClient *self);

/* Has a lane speak on the client's terms; @is_session_on: by the session of the last connect. */
gboolean es_udp_client_configure_tls (EsUdpClient *self,
                                      gboolean is_session_on,
                                      EsLaneConfig *config,
                                      GError **error);

void es_udp_client_tls_init (EsUdpClientTls *self);

void es_udp_client_tls_clear (EsUdpClientTls *self);

void es_udp_client_tls_get_property (EsUdpClient *self,
                                     guint prop_id,
                                     GValue *value,
                                     GParamSpec *pspec);

void es_udp_client_tls_set_property (EsUdpClient *self,
                                     guint prop_id,
                                     const GValue *value,
                                     GParamSpec *pspec);

void es_udp_client_tls_class_init (GObjectClass *object_class);
