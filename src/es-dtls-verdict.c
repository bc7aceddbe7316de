/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls-verdict.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

/*
 * What is to be thought of a peer's certificate: GIO's database says who is trusted, and GnuTLS
 * what the certificate may be used for, which GIO's databases do not look at.
 */

/* (transfer full) (nullable) */
static GTlsCertificate *
new_certificate (const gnutls_datum_t *der,
                 GTlsCertificate *issuer)
{
  GType type = g_tls_backend_get_certificate_type (g_tls_backend_get_default ());
  g_autoptr (GByteArray) bytes = g_byte_array_append (g_byte_array_new (), der->data, der->size);

  return g_initable_new (type, NULL, NULL, "certificate", bytes, "issuer", issuer, NULL);
}

/* (transfer full) (nullable) The certificate that the peer has shown, with those of its issuers. */
GTlsCertificate *
es_dtls_verdict_dup_peer (gnutls_session_t tls)
{
  guint n = 0;
  const gnutls_datum_t *chain = NULL;
  GTlsCertificate *certificate = NULL;

  if (gnutls_auth_get_type (tls) == GNUTLS_CRD_CERTIFICATE)
    chain = gnutls_certificate_get_peers (tls, &n);
  for (guint i = chain != NULL ? n : 0; i > 0; i--)
    {
      g_autoptr (GTlsCertificate) issuer = certificate;

      certificate = new_certificate (&chain[i - 1], issuer);
      if (certificate == NULL)
        return NULL;
    }
  return certificate;
}

/* (transfer full) */
static GByteArray *
dup_der (GTlsCertificate *certificate)
{
  GByteArray *der = NULL;

  g_object_get (certificate, "certificate", &der, NULL);
  return der;
}

/* Whether a certificate may be used by a server, or by a client (RFC 5280, section 4.2.1.12). */
static gboolean
is_for_role (GTlsCertificate *certificate,
             gboolean is_server)
{
  g_autoptr (GByteArray) der = dup_der (certificate);
  gnutls_datum_t datum = { der->data, der->len };
  gnutls_x509_crt_t parsed;
  gboolean is_for;

  if (gnutls_x509_crt_init (&parsed) < 0)
    return FALSE;
  is_for = gnutls_x509_crt_import (parsed, &datum, GNUTLS_X509_FMT_DER) >= 0 &&
           gnutls_x509_crt_check_key_purpose (
             parsed, is_server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0) != 0;
  gnutls_x509_crt_deinit (parsed);
  return is_for;
}

static GTlsCertificateFlags
ask_database (GTlsCertificate *certificate,
              GTlsDatabase *database,
              gboolean is_server,
              GSocketConnectable *identity)
{
  const char *purpose = is_server ? G_TLS_DATABASE_PURPOSE_AUTHENTICATE_SERVER
                                  : G_TLS_DATABASE_PURPOSE_AUTHENTICATE_CLIENT;

  /* Without anybody to trust, only names and dates can be looked at. */
  if (database == NULL)
    return g_tls_certificate_verify (certificate, identity, NULL) | G_TLS_CERTIFICATE_UNKNOWN_CA;
  return g_tls_database_verify_chain (database, certificate, purpose, identity, NULL,
                                      G_TLS_DATABASE_VERIFY_NONE, NULL, NULL);
}

/* What is wrong with a certificate. @is_server: whether it is a server's; @identity: (nullable)
 * whose it is to be. */
GTlsCertificateFlags
es_dtls_verdict_find_flaws (GTlsCertificate *certificate,
                            GTlsDatabase *database,
                            gboolean is_server,
                            const char *identity)
{
  g_autoptr (GSocketConnectable) name = identity != NULL ? g_network_address_new (identity, 0)
                                                         : NULL;
  GTlsCertificateFlags flags = ask_database (certificate, database, is_server, name);

  return is_for_role (certificate, is_server) ? flags : flags | G_TLS_CERTIFICATE_GENERIC_ERROR;
}

static const struct
{
  GTlsCertificateFlags flag;
  const char *flaw;
} flaws[] = {
  { G_TLS_CERTIFICATE_UNKNOWN_CA, "its issuer is not trusted" },
  { G_TLS_CERTIFICATE_NOT_ACTIVATED, "it is not valid yet" },
  { G_TLS_CERTIFICATE_EXPIRED, "it has expired" },
  { G_TLS_CERTIFICATE_REVOKED, "it was revoked" },
  { G_TLS_CERTIFICATE_INSECURE, "its algorithms are not safe" },
  { G_TLS_CERTIFICATE_GENERIC_ERROR, "it is not for this use" },
};

/* Sets the error G_TLS_ERROR_BAD_CERTIFICATE, with all that is wrong. */
void
es_dtls_verdict_explain (GTlsCertificateFlags flags,
                         const char *identity,
                         GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if ((flags & G_TLS_CERTIFICATE_BAD_IDENTITY) != 0)
    g_string_append_printf (text, "it is not for “%s”", identity);
  for (guint i = 0; i < G_N_ELEMENTS (flaws); i++)
    if ((flags & flaws[i].flag) != 0)
      g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", flaws[i].flaw);
  g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
               "The peer's certificate is not accepted: %s", text->str);
}
