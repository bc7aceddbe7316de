/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-udp-server.h"

#include "es-dtls.h"

/* How a server's sessions are to be. The endpoint's context only, but for what its sessions ask. */
typedef struct
{
  GTlsCertificate *certificate; /* (owned) (nullable) */
  GTlsDatabase *database;       /* (owned) (nullable) */
  GTlsAuthenticationMode authentication_mode;
  GStrv alpn; /* (owned) (nullable) */
  EsDtlsLimits limits;

  EsPskFunc psk_func; /* (nullable) */
  gpointer psk_data;
  GDestroyNotify psk_destroy; /* (nullable) */

  EsDtlsTerms *terms; /* (owned) (nullable) of the last start */
} EsUdpServerTls;

EsUdpServerTls *es_udp_server_access_tls (EsUdpServer *self);

/* Whether the server is private from its next start on. */
gboolean es_udp_server_is_private (EsUdpServer *self);

/* (transfer none) Makes the terms of a start, or says what is wrong with them. */
EsDtlsTerms *es_udp_server_renew_terms (EsUdpServer *self,
                                        GError **error);

void es_udp_server_tls_init (EsUdpServerTls *self);

void es_udp_server_tls_clear (EsUdpServerTls *self);

void es_udp_server_tls_get_property (EsUdpServer *self,
                                     guint prop_id,
                                     GValue *value,
                                     GParamSpec *pspec);

void es_udp_server_tls_set_property (EsUdpServer *self,
                                     guint prop_id,
                                     const GValue *value,
                                     GParamSpec *pspec);

void es_udp_server_tls_class_init (GObjectClass *object_class);
