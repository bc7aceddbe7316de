/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-udp-server-private.h"

#include "es-endpoint-private.h"

/*
 * What is private of a server: the properties of its sessions, which are at work from the next
 * start on.
 */

#define DEFAULT_MTU 1400
#define MIN_MTU 256
#define MAX_MTU 16384
#define DEFAULT_HANDSHAKE_TIMEOUT_MS 30000
#define DEFAULT_IDLE_TIMEOUT_MS (600 * 1000)
#define DEFAULT_MAX_SESSIONS 10000
#define DEFAULT_MAX_HALF_OPEN 1000

/* Behind those of the server itself. */
typedef enum
{
  PROP_TLS_CERTIFICATE = 1001,
  PROP_TLS_DATABASE,
  PROP_TLS_AUTHENTICATION_MODE,
  PROP_TLS_ALPN,
  PROP_TLS_MTU,
  PROP_TLS_HANDSHAKE_TIMEOUT,
  PROP_TLS_IDLE_TIMEOUT,
  PROP_TLS_MAX_SESSIONS,
  PROP_TLS_MAX_HALF_OPEN,
} EsUdpServerTlsProperty;

static guint accept_certificate_signal;

void
es_udp_server_tls_init (EsUdpServerTls *self)
{
  self->limits.mtu = DEFAULT_MTU;
  self->limits.handshake_timeout = DEFAULT_HANDSHAKE_TIMEOUT_MS;
  self->limits.idle_timeout = DEFAULT_IDLE_TIMEOUT_MS;
  self->limits.max_sessions = DEFAULT_MAX_SESSIONS;
  self->limits.max_half_open = DEFAULT_MAX_HALF_OPEN;
}

static void
clear_psk_func (EsUdpServerTls *self)
{
  if (self->psk_destroy != NULL)
    self->psk_destroy (self->psk_data);
  self->psk_destroy = NULL;
}

void
es_udp_server_tls_clear (EsUdpServerTls *self)
{
  g_clear_pointer (&self->terms, es_dtls_terms_unref);
  g_clear_object (&self->certificate);
  g_clear_object (&self->database);
  g_clear_pointer (&self->alpn, g_strfreev);
  clear_psk_func (self);
}

gboolean
es_udp_server_is_private (EsUdpServer *self)
{
  EsUdpServerTls *tls = es_udp_server_access_tls (self);

  return tls->certificate != NULL || tls->psk_func != NULL;
}

static GBytes *
find_psk (gpointer owner,
          const char *identity)
{
  EsUdpServerTls *tls = es_udp_server_access_tls (owner);

  return tls->psk_func (owner, identity, tls->psk_data);
}

static gboolean
accept_certificate (gpointer owner,
                    EsSession *session,
                    GTlsCertificate *certificate,
                    GTlsCertificateFlags flags)
{
  gboolean is_accepted = FALSE;

  g_signal_emit (owner, accept_certificate_signal, 0, session, certificate, flags, &is_accepted);
  return is_accepted;
}

EsDtlsTerms *
es_udp_server_renew_terms (EsUdpServer *self,
                           GError **error)
{
  EsUdpServerTls *tls = es_udp_server_access_tls (self);
  EsDtlsOptions options = {
    .is_server = TRUE,
    .certificate = tls->certificate,
    .database = tls->database,
    .alpn = (const char *const *) tls->alpn,
    .limits = tls->limits,
    .authentication_mode = tls->authentication_mode,
    .find_psk = tls->psk_func != NULL ? find_psk : NULL,
    .accept = accept_certificate,
    .owner = self,
  };

  g_clear_pointer (&tls->terms, es_dtls_terms_unref);
  tls->terms = es_dtls_terms_new (&options, error);
  return tls->terms;
}

static void
get_limit (EsUdpServer *self,
           guint prop_id,
           GValue *value,
           GParamSpec *pspec)
{
  switch ((EsUdpServerTlsProperty) prop_id)
    {
    case PROP_TLS_MTU:
      g_value_set_uint (value, es_udp_server_get_tls_mtu (self));
      break;
    case PROP_TLS_HANDSHAKE_TIMEOUT:
      g_value_set_uint (value, es_udp_server_get_tls_handshake_timeout (self));
      break;
    case PROP_TLS_IDLE_TIMEOUT:
      g_value_set_uint (value, es_udp_server_get_tls_idle_timeout (self));
      break;
    case PROP_TLS_MAX_SESSIONS:
      g_value_set_uint (value, es_udp_server_get_tls_max_sessions (self));
      break;
    case PROP_TLS_MAX_HALF_OPEN:
      g_value_set_uint (value, es_udp_server_get_tls_max_half_open (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (self, prop_id, pspec);
    }
}

void
es_udp_server_tls_get_property (EsUdpServer *self,
                                guint prop_id,
                                GValue *value,
                                GParamSpec *pspec)
{
  switch ((EsUdpServerTlsProperty) prop_id)
    {
    case PROP_TLS_CERTIFICATE:
      g_value_set_object (value, es_udp_server_get_tls_certificate (self));
      break;
    case PROP_TLS_DATABASE:
      g_value_set_object (value, es_udp_server_get_tls_database (self));
      break;
    case PROP_TLS_AUTHENTICATION_MODE:
      g_value_set_enum (value, es_udp_server_get_tls_authentication_mode (self));
      break;
    case PROP_TLS_ALPN:
      g_value_set_boxed (value, es_udp_server_get_tls_alpn (self));
      break;
    default:
      get_limit (self, prop_id, value, pspec);
    }
}

static void
set_limit_property (EsUdpServer *self,
                    guint prop_id,
                    const GValue *value,
                    GParamSpec *pspec)
{
  switch ((EsUdpServerTlsProperty) prop_id)
    {
    case PROP_TLS_MTU:
      es_udp_server_set_tls_mtu (self, g_value_get_uint (value));
      break;
    case PROP_TLS_HANDSHAKE_TIMEOUT:
      es_udp_server_set_tls_handshake_timeout (self, g_value_get_uint (value));
      break;
    case PROP_TLS_IDLE_TIMEOUT:
      es_udp_server_set_tls_idle_timeout (self, g_value_get_uint (value));
      break;
    case PROP_TLS_MAX_SESSIONS:
      es_udp_server_set_tls_max_sessions (self, g_value_get_uint (value));
      break;
    case PROP_TLS_MAX_HALF_OPEN:
      es_udp_server_set_tls_max_half_open (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (self, prop_id, pspec);
    }
}

void
es_udp_server_tls_set_property (EsUdpServer *self,
                                guint prop_id,
                                const GValue *value,
                                GParamSpec *pspec)
{
  switch ((EsUdpServerTlsProperty) prop_id)
    {
    case PROP_TLS_CERTIFICATE:
      es_udp_server_set_tls_certificate (self, g_value_get_object (value));
      break;
    case PROP_TLS_DATABASE:
      es_udp_server_set_tls_database (self, g_value_get_object (value));
      break;
    case PROP_TLS_AUTHENTICATION_MODE:
      es_udp_server_set_tls_authentication_mode (self, g_value_get_enum (value));
      break;
    case PROP_TLS_ALPN:
      es_udp_server_set_tls_alpn (self, g_value_get_boxed (value));
      break;
    default:
      set_limit_property (self, prop_id, value, pspec);
    }
}

static void
install_credentials (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpServer:tls-certificate: (getter get_tls_certificate) (setter set_tls_certificate)
   *
   * The certificate that the server shows, with its private key. With it, or with
   * [method@UdpServer.set_psk_func], all that is sent and received is encrypted by DTLS 1.2. Acts
   * at the next start.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_CERTIFICATE,
    g_param_spec_object ("tls-certificate", NULL, NULL, G_TYPE_TLS_CERTIFICATE, flags));

  /**
   * EsUdpServer:tls-database: (getter get_tls_database) (setter set_tls_database)
   *
   * Whose certificates are trusted when clients show theirs. Without it, only
   * [signal@UdpServer::accept-certificate] can accept one. Acts at the next start.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_DATABASE,
    g_param_spec_object ("tls-database", NULL, NULL, G_TYPE_TLS_DATABASE, flags));

  /**
   * EsUdpServer:tls-authentication-mode:
   *
   * Whether clients are asked for a certificate. One that a client shows has to be accepted in any
   * case. Acts at the next start.
   */
  g_object_class_install_property (object_class, PROP_TLS_AUTHENTICATION_MODE,
                                   g_param_spec_enum ("tls-authentication-mode", NULL, NULL,
                                                      G_TYPE_TLS_AUTHENTICATION_MODE,
                                                      G_TLS_AUTHENTICATION_NONE, flags));

  /**
   * EsUdpServer:tls-alpn: (getter get_tls_alpn) (setter set_tls_alpn)
   *
   * The protocols that may be spoken, the best first (RFC 7301). A client that names protocols, but
   * none of these, is refused; one that names none is not. Acts at the next start.
   */
  g_object_class_install_property (object_class, PROP_TLS_ALPN,
                                   g_param_spec_boxed ("tls-alpn", NULL, NULL, G_TYPE_STRV, flags));
}

static void
install_times (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpServer:tls-mtu: (getter get_tls_mtu) (setter set_tls_mtu)
   *
   * How long an encrypted datagram may be, in bytes, without the headers of UDP and IP. Handshakes
   * are cut to this, but messages are not: one that does not fit fails with
   * %G_IO_ERROR_MESSAGE_TOO_LARGE. Encryption takes up to 77 bytes of it. Acts at the next start.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_MTU,
    g_param_spec_uint ("tls-mtu", NULL, NULL, MIN_MTU, MAX_MTU, DEFAULT_MTU, flags));

  /**
   * EsUdpServer:tls-handshake-timeout:
   *
   * How long a handshake may take, in milliseconds. Acts at the next start.
   */
  g_object_class_install_property (object_class, PROP_TLS_HANDSHAKE_TIMEOUT,
                                   g_param_spec_uint ("tls-handshake-timeout", NULL, NULL, 1,
                                                      G_MAXINT, DEFAULT_HANDSHAKE_TIMEOUT_MS,
                                                      flags));

  /**
   * EsUdpServer:tls-idle-timeout: (getter get_tls_idle_timeout) (setter set_tls_idle_timeout)
   *
   * How long a client may be silent before its session is ended, in milliseconds; 0: for ever. Acts
   * at the next start.
   */
  g_object_class_install_property (object_class, PROP_TLS_IDLE_TIMEOUT,
                                   g_param_spec_uint ("tls-idle-timeout", NULL, NULL, 0, G_MAXINT,
                                                      DEFAULT_IDLE_TIMEOUT_MS, flags));
}

static void
install_caps (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpServer:tls-max-sessions: (getter get_tls_max_sessions) (setter set_tls_max_sessions)
   *
   * How many clients may have a session at a time. The hello of one more is dropped, and counted as
   * unauthenticated. Several workers share them out. Acts at the next start.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_MAX_SESSIONS,
    g_param_spec_uint ("tls-max-sessions", NULL, NULL, 1, G_MAXUINT, DEFAULT_MAX_SESSIONS, flags));

  /**
   * EsUdpServer:tls-max-half-open: (getter get_tls_max_half_open) (setter set_tls_max_half_open)
   *
   * How many handshakes may be under way at a time. When there is one more, the oldest is
   * forgotten. Only who has proved its address has one. Several workers share them out. Acts at the
   * next start.
   */
  g_object_class_install_property (object_class, PROP_TLS_MAX_HALF_OPEN,
                                   g_param_spec_uint ("tls-max-half-open", NULL, NULL, 1, G_MAXUINT,
                                                      DEFAULT_MAX_HALF_OPEN, flags));
}

void
es_udp_server_tls_class_init (GObjectClass *object_class)
{
  install_credentials (object_class);
  install_times (object_class);
  install_caps (object_class);

  /**
   * EsUdpServer::accept-certificate:
   * @self: the server
   * @session: who has shown the certificate; its handshake has not ended
   * @certificate: the certificate, with those of its issuers
   * @flags: what is wrong with it
   *
   * A client has shown a certificate that is not trusted as it is. Where
   * [property@UdpServer:tls-database] finds nothing wrong with it, it is accepted without a
   * question.
   *
   * Emitted in the endpoint's context, or on a worker's thread with several
   * [property@UdpServer:workers]. The first handler that returns %TRUE decides.
   *
   * Returns: %TRUE to accept it all the same
   */
  accept_certificate_signal = g_signal_new ("accept-certificate", ES_TYPE_UDP_SERVER,
                                            G_SIGNAL_RUN_LAST, 0, g_signal_accumulator_true_handled,
                                            NULL, NULL, G_TYPE_BOOLEAN, 3, ES_TYPE_SESSION,
                                            G_TYPE_TLS_CERTIFICATE, G_TYPE_TLS_CERTIFICATE_FLAGS);
}

static void
set_limit (EsUdpServer *self,
           const char *property,
           guint *field,
           guint value)
{
  if (*field == value)
    return;
  *field = value;
  g_object_notify (G_OBJECT (self), property);
}

/**
 * es_udp_server_get_tls_certificate: (get-property tls-certificate)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-certificate].
 *
 * Returns: (transfer none) (nullable): the certificate
 */
GTlsCertificate *
es_udp_server_get_tls_certificate (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);

  return es_udp_server_access_tls (self)->certificate;
}

/**
 * es_udp_server_set_tls_certificate: (set-property tls-certificate)
 * @self: a server
 * @tls_certificate: (nullable): the certificate to show, with its private key, or %NULL for none
 *
 * Sets [property@UdpServer:tls-certificate]. Acts at the next start, which fails with
 * %G_TLS_ERROR_BAD_CERTIFICATE if there is no private key with it, and with
 * %G_IO_ERROR_NOT_SUPPORTED if the library was built without DTLS.
 *
 * From then on all that the server sends and receives is encrypted (RFC 6347): what is not is
 * dropped, and counted as unauthenticated. The handlers are the same as before.
 */
void
es_udp_server_set_tls_certificate (EsUdpServer *self,
                                   GTlsCertificate *tls_certificate)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_certificate == NULL || G_IS_TLS_CERTIFICATE (tls_certificate));

  if (g_set_object (&es_udp_server_access_tls (self)->certificate, tls_certificate))
    g_object_notify (G_OBJECT (self), "tls-certificate");
}

/**
 * es_udp_server_get_tls_database: (get-property tls-database)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-database].
 *
 * Returns: (transfer none) (nullable): the database
 */
GTlsDatabase *
es_udp_server_get_tls_database (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);

  return es_udp_server_access_tls (self)->database;
}

/**
 * es_udp_server_set_tls_database: (set-property tls-database)
 * @self: a server
 * @tls_database: (nullable): whose certificates are trusted, or %NULL for nobody
 *
 * Sets [property@UdpServer:tls-database]. Acts at the next start.
 */
void
es_udp_server_set_tls_database (EsUdpServer *self,
                                GTlsDatabase *tls_database)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_database == NULL || G_IS_TLS_DATABASE (tls_database));

  if (g_set_object (&es_udp_server_access_tls (self)->database, tls_database))
    g_object_notify (G_OBJECT (self), "tls-database");
}

/**
 * es_udp_server_get_tls_authentication_mode: (get-property tls-authentication-mode)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-authentication-mode].
 *
 * Returns: whether clients are asked for certificates
 */
GTlsAuthenticationMode
es_udp_server_get_tls_authentication_mode (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), G_TLS_AUTHENTICATION_NONE);

  return es_udp_server_access_tls (self)->authentication_mode;
}

/**
 * es_udp_server_set_tls_authentication_mode: (set-property tls-authentication-mode)
 * @self: a server
 * @tls_authentication_mode: whether to ask clients for certificates
 *
 * Sets [property@UdpServer:tls-authentication-mode]. Acts at the next start.
 */
void
es_udp_server_set_tls_authentication_mode (EsUdpServer *self,
                                           GTlsAuthenticationMode tls_authentication_mode)
{
  EsUdpServerTls *tls;

  g_return_if_fail (ES_IS_UDP_SERVER (self));

  tls = es_udp_server_access_tls (self);
  if (tls->authentication_mode == tls_authentication_mode)
    return;
  tls->authentication_mode = tls_authentication_mode;
  g_object_notify (G_OBJECT (self), "tls-authentication-mode");
}

/**
 * es_udp_server_get_tls_alpn: (get-property tls-alpn)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-alpn].
 *
 * Returns: (transfer none) (nullable): the protocols, the best first
 */
const char *const *
es_udp_server_get_tls_alpn (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);

  return (const char *const *) es_udp_server_access_tls (self)->alpn;
}

/**
 * es_udp_server_set_tls_alpn: (set-property tls-alpn)
 * @self: a server
 * @tls_alpn: (nullable) (array zero-terminated=1): the protocols that may be spoken, the best
 *   first, or %NULL for any
 *
 * Sets [property@UdpServer:tls-alpn]. Acts at the next start.
 */
void
es_udp_server_set_tls_alpn (EsUdpServer *self,
                            const char *const *tls_alpn)
{
  EsUdpServerTls *tls;

  g_return_if_fail (ES_IS_UDP_SERVER (self));

  tls = es_udp_server_access_tls (self);
  g_strfreev (tls->alpn);
  tls->alpn = g_strdupv ((char **) tls_alpn);
  g_object_notify (G_OBJECT (self), "tls-alpn");
}

/**
 * es_udp_server_get_tls_mtu: (get-property tls-mtu)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-mtu].
 *
 * Returns: the length in bytes
 */
guint
es_udp_server_get_tls_mtu (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return es_udp_server_access_tls (self)->limits.mtu;
}

/**
 * es_udp_server_set_tls_mtu: (set-property tls-mtu)
 * @self: a server
 * @tls_mtu: how long an encrypted datagram may be, in bytes, from 256 to 16384
 *
 * Sets [property@UdpServer:tls-mtu]. Acts at the next start.
 */
void
es_udp_server_set_tls_mtu (EsUdpServer *self,
                           guint tls_mtu)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_mtu >= MIN_MTU && tls_mtu <= MAX_MTU);

  set_limit (self, "tls-mtu", &es_udp_server_access_tls (self)->limits.mtu, tls_mtu);
}

/**
 * es_udp_server_get_tls_handshake_timeout: (get-property tls-handshake-timeout)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-handshake-timeout].
 *
 * Returns: the time in milliseconds
 */
guint
es_udp_server_get_tls_handshake_timeout (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return es_udp_server_access_tls (self)->limits.handshake_timeout;
}

/**
 * es_udp_server_set_tls_handshake_timeout: (set-property tls-handshake-timeout)
 * @self: a server
 * @tls_handshake_timeout: the time in milliseconds, at least 1
 *
 * Sets [property@UdpServer:tls-handshake-timeout]. Acts at the next start.
 */
void
es_udp_server_set_tls_handshake_timeout (EsUdpServer *self,
                                         guint tls_handshake_timeout)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_handshake_timeout >= 1 && tls_handshake_timeout <= G_MAXINT);

  set_limit (self, "tls-handshake-timeout",
             &es_udp_server_access_tls (self)->limits.handshake_timeout, tls_handshake_timeout);
}

/**
 * es_udp_server_get_tls_idle_timeout: (get-property tls-idle-timeout)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-idle-timeout].
 *
 * Returns: the time in milliseconds; 0: any
 */
guint
es_udp_server_get_tls_idle_timeout (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return es_udp_server_access_tls (self)->limits.idle_timeout;
}

/**
 * es_udp_server_set_tls_idle_timeout: (set-property tls-idle-timeout)
 * @self: a server
 * @tls_idle_timeout: the time in milliseconds; 0: any
 *
 * Sets [property@UdpServer:tls-idle-timeout]. Acts at the next start.
 */
void
es_udp_server_set_tls_idle_timeout (EsUdpServer *self,
                                    guint tls_idle_timeout)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_idle_timeout <= G_MAXINT);

  set_limit (self, "tls-idle-timeout", &es_udp_server_access_tls (self)->limits.idle_timeout,
             tls_idle_timeout);
}

/**
 * es_udp_server_get_tls_max_sessions: (get-property tls-max-sessions)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-max-sessions].
 *
 * Returns: how many
 */
guint
es_udp_server_get_tls_max_sessions (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return es_udp_server_access_tls (self)->limits.max_sessions;
}

/**
 * es_udp_server_set_tls_max_sessions: (set-property tls-max-sessions)
 * @self: a server
 * @tls_max_sessions: how many, at least 1
 *
 * Sets [property@UdpServer:tls-max-sessions]. Acts at the next start.
 */
void
es_udp_server_set_tls_max_sessions (EsUdpServer *self,
                                    guint tls_max_sessions)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_max_sessions >= 1);

  set_limit (self, "tls-max-sessions", &es_udp_server_access_tls (self)->limits.max_sessions,
             tls_max_sessions);
}

/**
 * es_udp_server_get_tls_max_half_open: (get-property tls-max-half-open)
 * @self: a server
 *
 * Gets [property@UdpServer:tls-max-half-open].
 *
 * Returns: how many
 */
guint
es_udp_server_get_tls_max_half_open (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return es_udp_server_access_tls (self)->limits.max_half_open;
}

/**
 * es_udp_server_set_tls_max_half_open: (set-property tls-max-half-open)
 * @self: a server
 * @tls_max_half_open: how many, at least 1
 *
 * Sets [property@UdpServer:tls-max-half-open]. Acts at the next start.
 */
void
es_udp_server_set_tls_max_half_open (EsUdpServer *self,
                                     guint tls_max_half_open)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (tls_max_half_open >= 1);

  set_limit (self, "tls-max-half-open", &es_udp_server_access_tls (self)->limits.max_half_open,
             tls_max_half_open);
}

/**
 * es_udp_server_set_psk_func:
 * @self: a server that does not run
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): finds the key of a
 *   client, or %NULL for none
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets how the keys of clients are found that share one with the server (RFC 4279).
 *
 * With it the server is private even without a certificate. A client that names an identity which
 * nobody knows is treated as one whose key is wrong, so that strangers cannot find out who is
 * known.
 */
void
es_udp_server_set_psk_func (EsUdpServer *self,
                            EsPskFunc func,
                            gpointer user_data,
                            GDestroyNotify destroy)
{
  EsUdpServerTls *tls;

  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (!es_endpoint_is_running (ES_ENDPOINT (self)));

  tls = es_udp_server_access_tls (self);
  clear_psk_func (tls);
  tls->psk_func = func;
  tls->psk_data = user_data;
  tls->psk_destroy = destroy;
}

/**
 * es_udp_server_lookup_session:
 * @self: a server
 * @address: an address
 *
 * Finds the session with a client whose handshake has succeeded, and that is connected.
 *
 * In a handler of [signal@Endpoint::message-received] it says who has sent the message.
 * Thread-safe.
 *
 * Returns: (transfer full) (nullable): the session, or %NULL if there is none
 */
EsSession *
es_udp_server_lookup_session (EsUdpServer *self,
                              GSocketAddress *address)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);
  g_return_val_if_fail (G_IS_SOCKET_ADDRESS (address), NULL);

  return es_endpoint_lookup_session (ES_ENDPOINT (self), address);
}
