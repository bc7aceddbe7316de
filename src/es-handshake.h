/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-dtls.h"

void es_handshake_run_async (GSocket *socket,
                             EsDtlsSession *session,
                             guint timeout_ms,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data);

gboolean es_handshake_run_finish (GAsyncResult *result,
                                  GError **error);

gboolean es_handshake_run (GSocket *socket,
                           EsDtlsSession *session,
                           guint timeout_ms,
                           GCancellable *cancellable,
                           GError **error);
