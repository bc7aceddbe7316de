/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-native.h"

/* The number that a client's hello is told from others by. */
#define ES_DTLS_RANDOM_SIZE 32

/* How long a key of cookies is made use of; a cookie lives as long, and at most twice as long. */
#define ES_DTLS_COOKIE_USEC (30 * G_USEC_PER_SEC)

/* A datagram that has arrived. */
typedef struct
{
  const guint8 *data; /* (borrowed) */
  gsize size;
  const EsNative *sender; /* (borrowed) */
  const EsLocal *local;   /* (borrowed) */
} EsDtlsDatagram;

/* What a session has to know of the exchange of cookies that came before it. */
typedef struct
{
  guint record_seq;
  guint hsk_read_seq;
  guint hsk_write_seq;
} EsDtlsPrestate;

gboolean es_dtls_datagram_is_hello (const EsDtlsDatagram *self);

const guint8 *es_dtls_datagram_get_random (const EsDtlsDatagram *self);

typedef struct _EsDtlsCookies EsDtlsCookies;

EsDtlsCookies *es_dtls_cookies_new (void);

void es_dtls_cookies_free (EsDtlsCookies *self);

gboolean es_dtls_cookies_check (EsDtlsCookies *self,
                                const EsDtlsDatagram *hello,
                                gint64 now,
                                EsDtlsPrestate *prestate);

GBytes *es_dtls_cookies_ask (EsDtlsCookies *self,
                             const EsDtlsDatagram *hello,
                             gint64 now);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsDtlsCookies, es_dtls_cookies_free)
