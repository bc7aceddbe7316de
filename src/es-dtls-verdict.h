/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/* GnuTLS's gnutls_session_t, for who does not know GnuTLS. */
struct gnutls_session_int;

GTlsCertificate *es_dtls_verdict_dup_peer (struct gnutls_session_int *tls);

GTlsCertificateFlags es_dtls_verdict_find_flaws (GTlsCertificate *certificate,
                                                 GTlsDatabase *database,
                                                 gboolean is_server,
                                                 const char *identity);

void es_dtls_verdict_explain (GTlsCertificateFlags flags,
                              const char *identity,
                              GError **error);
