/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls-terms.h"

#include "es-dtls-verdict.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

/*
 * GIO's certificates and the user's wishes, as GnuTLS wants them. Made at a start or a connect, and
 * then shared by all sessions in all threads, since nothing here changes.
 */

/* DTLS 1.2 alone (RFC 7525), with forward secrecy, added to what the system's administrator lets
 * be. */
#define PRIORITY "-VERS-ALL:+VERS-DTLS1.2:-RSA:-SHA1"
#define PRIORITY_OF_PSK ":+ECDHE-PSK:+DHE-PSK:+PSK"

/* The first wait before a flight is sent again. RFC 6347, section 4.2.4.1, has one second for hosts
 * that know nothing of each other; who is sent a flight here has proved its address. */
#define RETRANSMIT_MS 250

struct _EsDtlsTerms
{
  gboolean is_server;
  EsDtlsLimits limits;
  GTlsAuthenticationMode authentication_mode;
  GTlsDatabase *database;  /* (owned) (nullable) */
  char *identity;          /* (owned) (nullable) */
  EsDtlsPskFunc find_psk;  /* (nullable) */
  EsDtlsAcceptFunc accept; /* (nullable) */
  gpointer owner;          /* (borrowed) */

  GStrv alpn;                  /* (owned) (nullable) */
  gnutls_datum_t *alpn_datums; /* (owned) (nullable) point into alpn */

  gnutls_priority_t priority;                    /* (owned) */
  gnutls_certificate_credentials_t certificates; /* (owned) (nullable) */
  gnutls_psk_server_credentials_t psk_of_server; /* (owned) (nullable) */
  gnutls_psk_client_credentials_t psk_of_client; /* (owned) (nullable) */
  gnutls_datum_t ticket_key;                     /* (owned) */
};

static gboolean
check (int result,
       const char *what,
       GError **error)
{
  if (result >= 0)
    return TRUE;
  g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_MISC, "Could not use %s: %s", what,
               gnutls_strerror (result));
  return FALSE;
}

/* (transfer full) A certificate and those of its issuers. */
static char *
dup_chain (GTlsCertificate *certificate)
{
  GString *chain = g_string_new (NULL);

  for (; certificate != NULL; certificate = g_tls_certificate_get_issuer (certificate))
    {
      g_autofree char *pem = NULL;

      g_object_get (certificate, "certificate-pem", &pem, NULL);
      g_string_append (chain, pem);
    }
  return g_string_free (chain, FALSE);
}

static gboolean
add_certificate (EsDtlsTerms *self,
                 GTlsCertificate *certificate,
                 GError **error)
{
  g_autofree char *chain = dup_chain (certificate);
  g_autofree char *key = NULL;
  gnutls_datum_t certificate_datum = { (guint8 *) chain, strlen (chain) };
  gnutls_datum_t key_datum = { NULL, 0 };

  g_object_get (certificate, "private-key-pem", &key, NULL);
  if (key == NULL)
    {
      g_set_error_literal (
        error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE,
        "Could not use the certificate: It comes without a private key that can be read");
      return FALSE;
    }
  key_datum = (gnutls_datum_t){ (guint8 *) key, strlen (key) };
  return check (gnutls_certificate_set_x509_key_mem (self->certificates, &certificate_datum,
                                                     &key_datum, GNUTLS_X509_FMT_PEM),
                "the certificate", error);
}

/* A client always has some, for those of the server are looked at by them. */
static gboolean
set_certificates (EsDtlsTerms *self,
                  const EsDtlsOptions *options,
                  GError **error)
{
  if (options->certificate == NULL && (options->is_server || options->psk != NULL))
    return TRUE;
  return check (gnutls_certificate_allocate_credentials (&self->certificates), "certificates",
                error) &&
         (options->certificate == NULL || add_certificate (self, options->certificate, error));
}

static EsDtlsTerms *
terms_of (gnutls_session_t tls)
{
  return gnutls_db_get_ptr (tls);
}

/* An identity that nobody knows gets a random key from GnuTLS, so that strangers cannot tell who is
 * known. */
static int
find_psk (gnutls_session_t tls,
          const char *identity,
          gnutls_datum_t *key)
{
  g_autoptr (GBytes) bytes = es_dtls_terms_find_psk (terms_of (tls), identity);
  gsize size;
  gconstpointer data;

  if (bytes == NULL || g_bytes_get_size (bytes) == 0)
    return 1;
  data = g_bytes_get_data (bytes, &size);
  key->data = gnutls_malloc (size);
  if (key->data == NULL)
    return -1;
  memcpy (key->data, data, size);
  key->size = size;
  return 0;
}

static gboolean
set_psk_of_server (EsDtlsTerms *self,
                   GError **error)
{
  if (!check (gnutls_psk_allocate_server_credentials (&self->psk_of_server), "pre-shared keys",
              error))
    return FALSE;
  gnutls_psk_set_server_credentials_function (self->psk_of_server, find_psk);
  return TRUE;
}

static gboolean
set_psk_of_client (EsDtlsTerms *self,
                   const EsDtlsOptions *options,
                   GError **error)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (options->psk, &size);
  gnutls_datum_t key = { (guint8 *) data, size };

  return check (gnutls_psk_allocate_client_credentials (&self->psk_of_client), "a pre-shared key",
                error) &&
         check (gnutls_psk_set_client_credentials (self->psk_of_client, options->psk_identity, &key,
                                                   GNUTLS_PSK_KEY_RAW),
                "the pre-shared key", error);
}

static gboolean
set_psk (EsDtlsTerms *self,
         const EsDtlsOptions *options,
         GError **error)
{
  if (options->is_server)
    return options->find_psk == NULL || set_psk_of_server (self, error);
  return options->psk == NULL || set_psk_of_client (self, options, error);
}

/* What there are credentials for. */
static gboolean
set_priority (EsDtlsTerms *self,
              GError **error)
{
  gboolean has_psk = self->psk_of_server != NULL || self->psk_of_client != NULL;
  g_autofree char *priority = g_strconcat (PRIORITY, self->certificates == NULL ? ":-KX-ALL" : "",
                                           has_psk ? PRIORITY_OF_PSK : "", NULL);

  return check (
    gnutls_priority_init2 (&self->priority, priority, NULL, GNUTLS_PRIORITY_INIT_DEF_APPEND),
    "the ciphers of this system", error);
}

static void
set_alpn (EsDtlsTerms *self,
          const char *const *alpn)
{
  if (alpn == NULL || alpn[0] == NULL)
    return;
  self->alpn = g_strdupv ((char **) alpn);
  self->alpn_datums = g_new0 (gnutls_datum_t, g_strv_length (self->alpn));
  for (guint i = 0; self->alpn[i] != NULL; i++)
    self->alpn_datums[i] = (gnutls_datum_t){ (guint8 *) self->alpn[i], strlen (self->alpn[i]) };
}

static void
copy_options (EsDtlsTerms *self,
              const EsDtlsOptions *options)
{
  self->is_server = options->is_server;
  self->limits = options->limits;
  self->authentication_mode = options->authentication_mode;
  self->database = options->database != NULL ? g_object_ref (options->database) : NULL;
  self->identity = g_strdup (options->identity);
  self->find_psk = options->find_psk;
  self->accept = options->accept;
  self->owner = options->owner;
  set_alpn (self, options->alpn);
}

/* (transfer full) Terms, or NULL with G_TLS_ERROR and what is wrong with the options. */
EsDtlsTerms *
es_dtls_terms_new (const EsDtlsOptions *options,
                   GError **error)
{
  g_autoptr (EsDtlsTerms) self = g_atomic_rc_box_new0 (EsDtlsTerms);

  copy_options (self, options);
  if (!set_certificates (self, options, error) || !set_psk (self, options, error) ||
      !set_priority (self, error))
    return NULL;
  if (self->is_server &&
      !check (gnutls_session_ticket_key_generate (&self->ticket_key), "tickets", error))
    return NULL;
  return g_steal_pointer (&self);
}

EsDtlsTerms *
es_dtls_terms_ref (EsDtlsTerms *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
finalize (gpointer data)
{
  EsDtlsTerms *self = data;

  g_clear_pointer (&self->priority, gnutls_priority_deinit);
  g_clear_pointer (&self->certificates, gnutls_certificate_free_credentials);
  g_clear_pointer (&self->psk_of_server, gnutls_psk_free_server_credentials);
  g_clear_pointer (&self->psk_of_client, gnutls_psk_free_client_credentials);
  if (self->ticket_key.data != NULL)
    gnutls_memset (self->ticket_key.data, 0, self->ticket_key.size);
  gnutls_free (self->ticket_key.data);
  g_clear_object (&self->database);
  g_strfreev (self->alpn);
  g_free (self->alpn_datums);
  g_free (self->identity);
}

void
es_dtls_terms_unref (EsDtlsTerms *self)
{
  g_atomic_rc_box_release_full (self, finalize);
}

gboolean
es_dtls_terms_is_server (EsDtlsTerms *self)
{
  return self->is_server;
}

const EsDtlsLimits *
es_dtls_terms_get_limits (EsDtlsTerms *self)
{
  return &self->limits;
}

static gboolean
apply_credentials (EsDtlsTerms *self,
                   gnutls_session_t tls)
{
  return gnutls_priority_set (tls, self->priority) >= 0 &&
         (self->certificates == NULL ||
          gnutls_credentials_set (tls, GNUTLS_CRD_CERTIFICATE, self->certificates) >= 0) &&
         (self->psk_of_server == NULL ||
          gnutls_credentials_set (tls, GNUTLS_CRD_PSK, self->psk_of_server) >= 0) &&
         (self->psk_of_client == NULL ||
          gnutls_credentials_set (tls, GNUTLS_CRD_PSK, self->psk_of_client) >= 0);
}

static gnutls_certificate_request_t
get_request (EsDtlsTerms *self)
{
  if (self->authentication_mode == G_TLS_AUTHENTICATION_REQUIRED)
    return GNUTLS_CERT_REQUIRE;
  return self->authentication_mode == G_TLS_AUTHENTICATION_REQUESTED ? GNUTLS_CERT_REQUEST
                                                                     : GNUTLS_CERT_IGNORE;
}

static gboolean
apply_role (EsDtlsTerms *self,
            gnutls_session_t tls)
{
  if (self->is_server)
    {
      gnutls_certificate_server_set_request (tls, get_request (self));
      return gnutls_session_ticket_enable_server (tls, &self->ticket_key) >= 0;
    }
  if (self->identity == NULL || g_hostname_is_ip_address (self->identity))
    return TRUE;
  return gnutls_server_name_set (tls, GNUTLS_NAME_DNS, self->identity, strlen (self->identity)) >=
         0;
}

/* Has a session keep to the terms, which have to live on while it does. */
gboolean
es_dtls_terms_apply (EsDtlsTerms *self,
                     gnutls_session_t tls)
{
  gnutls_db_set_ptr (tls, self);
  gnutls_dtls_set_mtu (tls, self->limits.mtu);
  gnutls_dtls_set_timeouts (tls, RETRANSMIT_MS, self->limits.handshake_timeout);
  return apply_credentials (self, tls) && apply_role (self, tls) &&
         (self->alpn == NULL ||
          gnutls_alpn_set_protocols (tls, self->alpn_datums, g_strv_length (self->alpn),
                                     GNUTLS_ALPN_MANDATORY) >= 0);
}

/* (transfer full) (nullable) */
GBytes *
es_dtls_terms_find_psk (EsDtlsTerms *self,
                        const char *identity)
{
  return g_utf8_validate (identity, -1, NULL) ? self->find_psk (self->owner, identity) : NULL;
}

/* Whether the peer's certificate will do: at once if nothing is wrong with it, or if the owner says
 * so. The error says what is wrong with it. */
gboolean
es_dtls_terms_judge (EsDtlsTerms *self,
                     EsSession *session,
                     GTlsCertificate *certificate,
                     GError **error)
{
  GTlsCertificateFlags flags = es_dtls_verdict_find_flaws (certificate, self->database,
                                                           !self->is_server, self->identity);

  if (flags == 0 ||
      (self->accept != NULL && self->accept (self->owner, session, certificate, flags)))
    return TRUE;
  es_dtls_verdict_explain (flags, self->identity, error);
  return FALSE;
}
