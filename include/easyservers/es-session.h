/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define ES_TYPE_SESSION (es_session_get_type ())

ES_API
G_DECLARE_FINAL_TYPE (EsSession, es_session, ES, SESSION, GObject)

ES_API
GSocketAddress *es_session_get_address (EsSession *self);

ES_API
GTlsCertificate *es_session_get_peer_certificate (EsSession *self);

ES_API
const char *es_session_get_psk_identity (EsSession *self);

ES_API
const char *es_session_get_alpn (EsSession *self);

ES_API
const char *es_session_get_cipher (EsSession *self);

ES_API
gint64 es_session_get_established (EsSession *self);

ES_API
gboolean es_session_is_resumed (EsSession *self);

G_END_DECLS
