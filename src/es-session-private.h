/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-session.h"

/* What a handshake has agreed upon. */
typedef struct
{
  const char *psk_identity; /* (nullable) */
  const char *alpn;         /* (nullable) */
  const char *cipher;
  gboolean is_resumed;
} EsSessionFacts;

EsSession *es_session_new (GSocketAddress *address);

/* Says whose certificate it is (transfer none), before anybody else knows of the session. */
void es_session_set_peer_certificate (EsSession *self,
                                      GTlsCertificate *certificate);

/* Says that the handshake has come to an end. Once at the most. */
void es_session_establish (EsSession *self,
                           const EsSessionFacts *facts);
