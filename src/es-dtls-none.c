/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls.h"

/*
 * What stands for es-dtls.c and its parts where the library is built without GnuTLS. There are
 * never terms to speak privately on, and so nothing else here is ever reached.
 */

EsDtlsTerms *
es_dtls_terms_new (const EsDtlsOptions *options,
                   GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       "The library was built without DTLS");
  return NULL;
}

EsDtlsTerms *
es_dtls_terms_ref (EsDtlsTerms *self)
{
  return self;
}

void
es_dtls_terms_unref (EsDtlsTerms *self)
{
}

EsDtlsSession *
es_dtls_session_connect (EsDtlsTerms *terms,
                         GSocketAddress *server,
                         GBytes *ticket,
                         GError **error)
{
  return NULL;
}

EsDtlsSession *
es_dtls_session_ref (EsDtlsSession *self)
{
  return self;
}

void
es_dtls_session_unref (EsDtlsSession *self)
{
}

const EsNative *
es_dtls_session_get_peer (EsDtlsSession *self)
{
  return NULL;
}

const EsLocal *
es_dtls_session_get_local (EsDtlsSession *self)
{
  return NULL;
}

EsSession *
es_dtls_session_get_public (EsDtlsSession *self)
{
  return NULL;
}

EsDtlsState
es_dtls_session_get_state (EsDtlsSession *self)
{
  return ES_DTLS_ENDED;
}

gboolean
es_dtls_session_feed (EsDtlsSession *self,
                      const guint8 *data,
                      gsize size)
{
  return FALSE;
}

gboolean
es_dtls_session_step (EsDtlsSession *self,
                      EsDtlsPush push,
                      gpointer data,
                      GError **error)
{
  return FALSE;
}

guint
es_dtls_session_get_wait (EsDtlsSession *self)
{
  return 0;
}

void
es_dtls_session_lock (EsDtlsSession *self)
{
}

void
es_dtls_session_unlock (EsDtlsSession *self)
{
}

GBytes *
es_dtls_session_encrypt (EsDtlsSession *self,
                         GBytes *message,
                         GError **error)
{
  return NULL;
}

GBytes *
es_dtls_session_dup_ticket (EsDtlsSession *self)
{
  return NULL;
}

EsDtls *
es_dtls_new (EsDtlsTerms *terms,
             guint n_lanes,
             const EsDtlsFuncs *funcs,
             gpointer owner)
{
  return NULL;
}

void
es_dtls_free (EsDtls *self)
{
}

void
es_dtls_adopt (EsDtls *self,
               EsDtlsSession *session)
{
}

EsDtlsSession *
es_dtls_receive (EsDtls *self,
                 const EsDtlsDatagram *datagram,
                 gint64 now)
{
  return NULL;
}

GBytes *
es_dtls_read (EsDtls *self,
              EsDtlsSession *session)
{
  return NULL;
}

EsDtlsSession *
es_dtls_ref_session (EsDtls *self,
                     const EsNative *peer)
{
  return NULL;
}

gint64
es_dtls_get_due (EsDtls *self)
{
  return -1;
}

void
es_dtls_check (EsDtls *self,
               gint64 now)
{
}

void
es_dtls_close (EsDtls *self)
{
}

void
es_dtls_add_stats (EsDtls *self,
                   EsStats *stats)
{
}
