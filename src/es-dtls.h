/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-dtls-session.h"
#include "es-stats.h"

/* Whom the private step of a lane works for. */
typedef struct
{
  /* A datagram is to leave for the session's peer. */
  void (*send) (gpointer owner,
                GBytes *datagram,
                const EsNative *to,
                const EsLocal *from);
  /* A handshake or a session has failed. */
  void (*fail) (gpointer owner,
                const GError *error,
                GSocketAddress *address);
} EsDtlsFuncs;

/* The private step of a lane, between the socket and the handlers. */
typedef struct _EsDtls EsDtls;

EsDtls *es_dtls_new (EsDtlsTerms *terms,
                     guint n_lanes,
                     const EsDtlsFuncs *funcs,
                     gpointer owner);

void es_dtls_free (EsDtls *self);

void es_dtls_adopt (EsDtls *self,
                    EsDtlsSession *session);

EsDtlsSession *es_dtls_receive (EsDtls *self,
                                const EsDtlsDatagram *datagram,
                                gint64 now);

GBytes *es_dtls_read (EsDtls *self,
                      EsDtlsSession *session);

EsDtlsSession *es_dtls_ref_session (EsDtls *self,
                                    const EsNative *peer);

gint64 es_dtls_get_due (EsDtls *self);

void es_dtls_check (EsDtls *self,
                    gint64 now);

void es_dtls_close (EsDtls *self);

void es_dtls_add_stats (EsDtls *self,
                        EsStats *stats);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsDtls, es_dtls_free)
