/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-deadlines.h"
#include "es-dtls-cookie.h"
#include "es-dtls-terms.h"

typedef enum
{
  ES_DTLS_SHAKING, /* the handshake is under way */
  ES_DTLS_ESTABLISHED,
  ES_DTLS_ENDED
} EsDtlsState;

/* What one peer is spoken to by. Its thread, that which steps the handshake and reads, is one at a
 * time; to encrypt is for any thread. */
typedef struct _EsDtlsSession EsDtlsSession;

/* Where a session's datagrams go. */
typedef void (*EsDtlsPush) (gpointer data,
                            EsDtlsSession *session,
                            GBytes *datagram);

/* Where a session stands among others: their table's thread only. */
typedef struct
{
  EsDeadline deadline;
  gint64 last_heard; /* monotonic microseconds */
  gint64 give_up;    /* when the handshake has taken too long */
  GList half_open;   /* its data is the session */
} EsDtlsPlace;

EsDtlsSession *es_dtls_session_accept (EsDtlsTerms *terms,
                                       const EsDtlsDatagram *hello,
                                       const EsDtlsPrestate *prestate);

EsDtlsSession *es_dtls_session_connect (EsDtlsTerms *terms,
                                        GSocketAddress *server,
                                        GBytes *ticket,
                                        GError **error);

EsDtlsSession *es_dtls_session_ref (EsDtlsSession *self);

void es_dtls_session_unref (EsDtlsSession *self);

const EsNative *es_dtls_session_get_peer (EsDtlsSession *self);

const EsLocal *es_dtls_session_get_local (EsDtlsSession *self);

EsSession *es_dtls_session_get_public (EsDtlsSession *self);

EsDtlsPlace *es_dtls_session_get_place (EsDtlsSession *self);

EsDtlsState es_dtls_session_get_state (EsDtlsSession *self);

gboolean es_dtls_session_began_with (EsDtlsSession *self,
                                     const EsDtlsDatagram *hello);

gboolean es_dtls_session_feed (EsDtlsSession *self,
                               const guint8 *data,
                               gsize size);

gboolean es_dtls_session_step (EsDtlsSession *self,
                               EsDtlsPush push,
                               gpointer data,
                               GError **error);

guint es_dtls_session_get_wait (EsDtlsSession *self);

GBytes *es_dtls_session_read (EsDtlsSession *self,
                              EsDtlsPush push,
                              gpointer data,
                              GError **error);

gboolean es_dtls_session_is_fruitless (EsDtlsSession *self);

void es_dtls_session_lock (EsDtlsSession *self);

void es_dtls_session_unlock (EsDtlsSession *self);

GBytes *es_dtls_session_encrypt (EsDtlsSession *self,
                                 GBytes *message,
                                 GError **error);

void es_dtls_session_end (EsDtlsSession *self,
                          EsDtlsPush push,
                          gpointer data);

GBytes *es_dtls_session_dup_ticket (EsDtlsSession *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsDtlsSession, es_dtls_session_unref)
