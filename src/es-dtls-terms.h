/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-session.h"

/* GnuTLS's gnutls_session_t, for who does not know GnuTLS. */
struct gnutls_session_int;

/* (transfer full) (nullable) The key of an identity. */
typedef GBytes *(*EsDtlsPskFunc) (gpointer owner,
                                  const char *identity);

/* Whether a certificate that has the flags is good enough. */
typedef gboolean (*EsDtlsAcceptFunc) (gpointer owner,
                                      EsSession *session,
                                      GTlsCertificate *certificate,
                                      GTlsCertificateFlags flags);

typedef struct
{
  guint mtu;               /* bytes of a datagram */
  guint handshake_timeout; /* milliseconds */
  guint idle_timeout;      /* milliseconds; 0: none */
  guint max_sessions;
  guint max_half_open;
} EsDtlsLimits;

/* What the terms are made of; all of it is borrowed. */
typedef struct
{
  gboolean is_server;
  GTlsCertificate *certificate; /* (nullable) our own */
  GTlsDatabase *database;       /* (nullable) whom we trust */
  const char *const *alpn;      /* (nullable) what we speak, the best first */
  EsDtlsLimits limits;

  /* A server's. */
  GTlsAuthenticationMode authentication_mode;
  EsDtlsPskFunc find_psk;  /* (nullable) */
  EsDtlsAcceptFunc accept; /* (nullable) */
  gpointer owner;          /* outlives every session */

  /* A client's. */
  const char *identity;     /* (nullable) whose certificate is asked for */
  const char *psk_identity; /* (nullable) */
  GBytes *psk;              /* (nullable) */
} EsDtlsOptions;

/* On what terms one speaks privately: credentials and limits, never changed. */
typedef struct _EsDtlsTerms EsDtlsTerms;

EsDtlsTerms *es_dtls_terms_new (const EsDtlsOptions *options,
                                GError **error);

EsDtlsTerms *es_dtls_terms_ref (EsDtlsTerms *self);

void es_dtls_terms_unref (EsDtlsTerms *self);

gboolean es_dtls_terms_is_server (EsDtlsTerms *self);

const EsDtlsLimits *es_dtls_terms_get_limits (EsDtlsTerms *self);

gboolean es_dtls_terms_apply (EsDtlsTerms *self,
                              struct gnutls_session_int *tls);

GBytes *es_dtls_terms_find_psk (EsDtlsTerms *self,
                                const char *identity);

gboolean es_dtls_terms_judge (EsDtlsTerms *self,
                              EsSession *session,
                              GTlsCertificate *certificate,
                              GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsDtlsTerms, es_dtls_terms_unref)
