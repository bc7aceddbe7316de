/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-udp-client-private.h"

#include "es-address.h"
#include "es-socket.h"

/*
 * What is private of a client: the properties of its session, and the handshake, which is over
 * before anything else of the client changes.
 */

#define DEFAULT_MTU 1400
#define MIN_MTU 256
#define MAX_MTU 16384
#define DEFAULT_HANDSHAKE_TIMEOUT_MS 30000

/* What a flight fits in, many times, in bytes. */
#define ENOUGH_BUFFER 262144

/* Behind those of the client itself. */
typedef enum
{
  PROP_TLS = 1001,
  PROP_TLS_DATABASE,
  PROP_TLS_IDENTITY,
  PROP_TLS_CERTIFICATE,
  PROP_TLS_ALPN,
  PROP_TLS_MTU,
  PROP_TLS_HANDSHAKE_TIMEOUT,
} EsUdpClientTlsProperty;

G_DEFINE_ENUM_TYPE (EsTlsMode,
                    es_tls_mode,
                    G_DEFINE_ENUM_VALUE (ES_TLS_MODE_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (ES_TLS_MODE_VERIFY, "verify"))

void
es_udp_client_tls_init (EsUdpClientTls *self)
{
  self->limits.mtu = DEFAULT_MTU;
  self->limits.handshake_timeout = DEFAULT_HANDSHAKE_TIMEOUT_MS;
  self->limits.max_sessions = 1;
  self->limits.max_half_open = 1;
}

static void
forget_ticket (EsUdpClientTls *self)
{
  g_clear_pointer (&self->ticket, g_bytes_unref);
  g_clear_pointer (&self->ticket_for, g_free);
}

void
es_udp_client_tls_clear (EsUdpClientTls *self)
{
  forget_ticket (self);
  g_clear_object (&self->socket);
  g_clear_pointer (&self->session, es_dtls_session_unref);
  g_clear_pointer (&self->terms, es_dtls_terms_unref);
  g_clear_object (&self->database);
  g_clear_object (&self->certificate);
  g_clear_pointer (&self->identity, g_free);
  g_clear_pointer (&self->alpn, g_strfreev);
  g_clear_pointer (&self->psk_identity, g_free);
  g_clear_pointer (&self->psk, g_bytes_unref);
}

/* (transfer full) (nullable) Whom to trust: by default, whom the system trusts. With a pre-shared
 * key nobody need be. */
static GTlsDatabase *
ref_database (EsUdpClientTls *self)
{
  if (self->database != NULL)
    return g_object_ref (self->database);
  return self->psk == NULL ? g_tls_backend_get_default_database (g_tls_backend_get_default ())
                           : NULL;
}

/* (transfer full) (nullable) @identity: (nullable) who the server has to be. */
static EsDtlsTerms *
make_terms (EsUdpClientTls *self,
            const char *identity,
            GError **error)
{
  g_autoptr (GTlsDatabase) database = ref_database (self);
  EsDtlsOptions options = {
    .certificate = self->certificate,
    .database = database,
    .alpn = (const char *const *) self->alpn,
    .limits = self->limits,
    .identity = identity,
    .psk_identity = self->psk_identity,
    .psk = self->psk,
  };

  return es_dtls_terms_new (&options, error);
}

/* (transfer full) (nullable) Who the server is to be: what the user says, or the name that it was
 * looked up by. */
static char *
dup_identity (EsUdpClientTls *self,
              GSocketConnectable *server,
              GSocketAddress *address)
{
  if (self->identity != NULL)
    return g_strdup (self->identity);
  if (G_IS_NETWORK_ADDRESS (server))
    return g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (server)));
  if (G_IS_NETWORK_SERVICE (server))
    return g_strdup (g_network_service_get_domain (G_NETWORK_SERVICE (server)));
  if (G_IS_INET_SOCKET_ADDRESS (address))
    return g_inet_address_to_string (
      g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
  return NULL;
}

/* A handshake that is under way. */
typedef struct
{
  char *identity;         /* (owned) (nullable) */
  EsDtlsTerms *terms;     /* (owned) */
  EsDtlsSession *session; /* (owned) */
  GSocket *socket;        /* (owned) */
} EsAttempt;

static void
free_attempt (gpointer data)
{
  EsAttempt *attempt = data;

  g_clear_pointer (&attempt->session, es_dtls_session_unref);
  g_clear_pointer (&attempt->terms, es_dtls_terms_unref);
  g_clear_object (&attempt->socket);
  g_free (attempt->identity);
  g_free (attempt);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsAttempt, free_attempt)

static gboolean
prepare_attempt (EsUdpClientTls *self,
                 EsAttempt *attempt,
                 GSocketAddress *address,
                 GError **error)
{
  EsSocketOptions options = { .receive_buffer_size = ENOUGH_BUFFER,
                              .send_buffer_size = ENOUGH_BUFFER };
  gboolean may_resume = self->ticket != NULL &&
                        g_strcmp0 (self->ticket_for, attempt->identity) == 0;

  attempt->terms = make_terms (self, attempt->identity, error);
  if (attempt->terms == NULL)
    return FALSE;
  attempt->session = es_dtls_session_connect (attempt->terms, address,
                                              may_resume ? self->ticket : NULL, error);
  if (attempt->session == NULL)
    return FALSE;
  attempt->socket = es_socket_new_connected (address, &options, error);
  if (attempt->socket == NULL)
    return FALSE;
  g_socket_set_blocking (attempt->socket, FALSE);
  return TRUE;
}

static void
explain_failure (GError **error,
                 GSocketAddress *address)
{
  g_autofree char *name = es_address_to_string (address);

  g_prefix_error (error, "Could not connect to %s: ", name);
}

/* (transfer full) (nullable) */
static EsAttempt *
make_attempt (EsUdpClientTls *self,
              GSocketConnectable *server,
              GSocketAddress *address,
              GError **error)
{
  g_autoptr (EsAttempt) attempt = g_new0 (EsAttempt, 1);

  attempt->identity = dup_identity (self, server, address);
  if (prepare_attempt (self, attempt, address, error))
    return g_steal_pointer (&attempt);
  explain_failure (error, address);
  return NULL;
}

/* With a key, silence has one more reason: what was encrypted by another is no message at all. */
static void
explain_attempt (EsUdpClientTls *self,
                 GSocketAddress *address,
                 GError **error)
{
  if (self->psk != NULL && g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    {
      g_clear_error (error);
      g_set_error_literal (
        error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
        "The handshake was not answered in time, or the identity or its key is wrong");
    }
  explain_failure (error, address);
}

/* Keeps what has come of a handshake. Its attempt is over. */
static void
keep_session (EsUdpClientTls *self,
              EsAttempt *attempt)
{
  forget_ticket (self);
  self->ticket = es_dtls_session_dup_ticket (attempt->session);
  self->ticket_for = g_strdup (attempt->identity);
  g_set_object (&self->socket, attempt->socket);
  g_clear_pointer (&self->session, es_dtls_session_unref);
  self->session = es_dtls_session_ref (attempt->session);
  g_clear_pointer (&self->terms, es_dtls_terms_unref);
  self->terms = es_dtls_terms_ref (attempt->terms);
}

gboolean
es_udp_client_shake_hands (EsUdpClient *self,
                           GSocketConnectable *server,
                           GSocketAddress *address,
                           GCancellable *cancellable,
                           GError **error)
{
  EsUdpClientTls *tls = es_udp_client_access_tls (self);
  g_autoptr (EsAttempt) attempt = make_attempt (tls, server, address, error);

  if (attempt == NULL)
    return FALSE;
  if (es_handshake_run (attempt->socket, attempt->session, tls->limits.handshake_timeout,
                        cancellable, error))
    {
      keep_session (tls, attempt);
      return TRUE;
    }
  explain_attempt (tls, address, error);
  return FALSE;
}

static void
hands_shaken_cb (GObject *source,
                 GAsyncResult *result,
                 gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  EsUdpClientTls *tls = es_udp_client_access_tls (g_task_get_source_object (task));
  EsAttempt *attempt = g_task_get_task_data (task);
  GError *error = NULL;

  if (es_handshake_run_finish (result, &error))
    {
      keep_session (tls, attempt);
      g_task_return_boolean (task, TRUE);
      return;
    }
  explain_attempt (tls, es_session_get_address (es_dtls_session_get_public (attempt->session)),
                   &error);
  g_task_return_error (task, error);
}

void
es_udp_client_shake_hands_async (EsUdpClient *self,
                                 GSocketConnectable *server,
                                 GSocketAddress *address,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data)
{
  EsUdpClientTls *tls = es_udp_client_access_tls (self);
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;
  EsAttempt *attempt = make_attempt (tls, server, address, &error);

  g_task_set_source_tag (task, es_udp_client_shake_hands_async);
  if (attempt == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_set_task_data (task, attempt, free_attempt);
  es_handshake_run_async (attempt->socket, attempt->session, tls->limits.handshake_timeout,
                          cancellable, hands_shaken_cb, g_object_ref (task));
}

gboolean
es_udp_client_shake_hands_finish (EsUdpClient *self,
                                  GAsyncResult *result,
                                  GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

GSocket *
es_udp_client_take_socket (EsUdpClient *self)
{
  return g_steal_pointer (&es_udp_client_access_tls (self)->socket);
}

gboolean
es_udp_client_configure_tls (EsUdpClient *self,
                             gboolean is_session_on,
                             EsLaneConfig *config,
                             GError **error)
{
  EsUdpClientTls *tls = es_udp_client_access_tls (self);

  if (tls->mode == ES_TLS_MODE_NONE)
    return TRUE;
  if (tls->terms == NULL)
    tls->terms = make_terms (tls, tls->identity, error);
  config->terms = tls->terms;
  config->session = is_session_on ? tls->session : NULL;
  return tls->terms != NULL;
}

void
es_udp_client_tls_get_property (EsUdpClient *self,
                                guint prop_id,
                                GValue *value,
                                GParamSpec *pspec)
{
  switch ((EsUdpClientTlsProperty) prop_id)
    {
    case PROP_TLS:
      g_value_set_enum (value, es_udp_client_get_tls (self));
      break;
    case PROP_TLS_DATABASE:
      g_value_set_object (value, es_udp_client_get_tls_database (self));
      break;
    case PROP_TLS_IDENTITY:
      g_value_set_string (value, es_udp_client_get_tls_identity (self));
      break;
    case PROP_TLS_CERTIFICATE:
      g_value_set_object (value, es_udp_client_get_tls_certificate (self));
      break;
    case PROP_TLS_ALPN:
      g_value_set_boxed (value, es_udp_client_get_tls_alpn (self));
      break;
    case PROP_TLS_MTU:
      g_value_set_uint (value, es_udp_client_get_tls_mtu (self));
      break;
    case PROP_TLS_HANDSHAKE_TIMEOUT:
      g_value_set_uint (value, es_udp_client_get_tls_handshake_timeout (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (self, prop_id, pspec);
    }
}

void
es_udp_client_tls_set_property (EsUdpClient *self,
                                guint prop_id,
                                const GValue *value,
                                GParamSpec *pspec)
{
  switch ((EsUdpClientTlsProperty) prop_id)
    {
    case PROP_TLS:
      es_udp_client_set_tls (self, g_value_get_enum (value));
      break;
    case PROP_TLS_DATABASE:
      es_udp_client_set_tls_database (self, g_value_get_object (value));
      break;
    case PROP_TLS_IDENTITY:
      es_udp_client_set_tls_identity (self, g_value_get_string (value));
      break;
    case PROP_TLS_CERTIFICATE:
      es_udp_client_set_tls_certificate (self, g_value_get_object (value));
      break;
    case PROP_TLS_ALPN:
      es_udp_client_set_tls_alpn (self, g_value_get_boxed (value));
      break;
    case PROP_TLS_MTU:
      es_udp_client_set_tls_mtu (self, g_value_get_uint (value));
      break;
    case PROP_TLS_HANDSHAKE_TIMEOUT:
      es_udp_client_set_tls_handshake_timeout (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (self, prop_id, pspec);
    }
}

static void
install_trust (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpClient:tls: (getter get_tls) (setter set_tls)
   *
   * Whether what is sent and received is encrypted by DTLS 1.2, and the server has to prove who it
   * is. Acts at the next connect; set it before the client is started.
   */
  g_object_class_install_property (
    object_class, PROP_TLS,
    g_param_spec_enum ("tls", NULL, NULL, ES_TYPE_TLS_MODE, ES_TLS_MODE_NONE, flags));

  /**
   * EsUdpClient:tls-database: (getter get_tls_database) (setter set_tls_database)
   *
   * Whose certificates are trusted; %NULL: those that the system trusts. Acts at the next connect.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_DATABASE,
    g_param_spec_object ("tls-database", NULL, NULL, G_TYPE_TLS_DATABASE, flags));

  /**
   * EsUdpClient:tls-identity: (getter get_tls_identity) (setter set_tls_identity)
   *
   * The name or IP address that the server's certificate has to be for, and that the server is told
   * to show one for (RFC 6066, section 3). %NULL: what the client is connected by. Acts at the next
   * connect.
   */
  g_object_class_install_property (object_class, PROP_TLS_IDENTITY,
                                   g_param_spec_string ("tls-identity", NULL, NULL, NULL, flags));

  /**
   * EsUdpClient:tls-certificate: (getter get_tls_certificate) (setter set_tls_certificate)
   *
   * The certificate to show to a server that asks for one, with its private key. Acts at the next
   * connect.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_CERTIFICATE,
    g_param_spec_object ("tls-certificate", NULL, NULL, G_TYPE_TLS_CERTIFICATE, flags));
}

static void
install_limits (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpClient:tls-alpn: (getter get_tls_alpn) (setter set_tls_alpn)
   *
   * The protocols that may be spoken, the best first (RFC 7301). The server chooses. Acts at the
   * next connect.
   */
  g_object_class_install_property (object_class, PROP_TLS_ALPN,
                                   g_param_spec_boxed ("tls-alpn", NULL, NULL, G_TYPE_STRV, flags));

  /**
   * EsUdpClient:tls-mtu: (getter get_tls_mtu) (setter set_tls_mtu)
   *
   * How long an encrypted datagram may be, in bytes, see [property@UdpServer:tls-mtu]. Acts at the
   * next connect.
   */
  g_object_class_install_property (
    object_class, PROP_TLS_MTU,
    g_param_spec_uint ("tls-mtu", NULL, NULL, MIN_MTU, MAX_MTU, DEFAULT_MTU, flags));

  /**
   * EsUdpClient:tls-handshake-timeout:
   *
   * How long a handshake with one address may take, in milliseconds. Acts at the next connect.
   */
  g_object_class_install_property (object_class, PROP_TLS_HANDSHAKE_TIMEOUT,
                                   g_param_spec_uint ("tls-handshake-timeout", NULL, NULL, 1,
                                                      G_MAXINT, DEFAULT_HANDSHAKE_TIMEOUT_MS,
                                                      flags));
}

void
es_udp_client_tls_class_init (GObjectClass *object_class)
{
  install_trust (object_class);
  install_limits (object_class);
}

/* What a session was checked by has changed, and so nothing is resumed that was checked before. */
static void
tell_changed (EsUdpClient *self,
              const char *property)
{
  forget_ticket (es_udp_client_access_tls (self));
  g_object_notify (G_OBJECT (self), property);
}

/**
 * es_udp_client_get_tls: (get-property tls)
 * @self: a client
 *
 * Gets [property@UdpClient:tls].
 *
 * Returns: whether what is sent and received is encrypted
 */
EsTlsMode
es_udp_client_get_tls (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), ES_TLS_MODE_NONE);

  return es_udp_client_access_tls (self)->mode;
}

/**
 * es_udp_client_set_tls: (set-property tls)
 * @self: a client that does not run
 * @tls: whether what is sent and received is to be encrypted
 *
 * Sets [property@UdpClient:tls]. Acts at the next connect.
 */
void
es_udp_client_set_tls (EsUdpClient *self,
                       EsTlsMode tls)
{
  EsUdpClientTls *own;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (!es_endpoint_is_running (ES_ENDPOINT (self)));

  own = es_udp_client_access_tls (self);
  if (own->mode == tls)
    return;
  own->mode = tls;
  g_clear_object (&own->socket);
  tell_changed (self, "tls");
}

/**
 * es_udp_client_get_tls_database: (get-property tls-database)
 * @self: a client
 *
 * Gets [property@UdpClient:tls-database].
 *
 * Returns: (transfer none) (nullable): the database, or %NULL for the system's
 */
GTlsDatabase *
es_udp_client_get_tls_database (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);

  return es_udp_client_access_tls (self)->database;
}

/**
 * es_udp_client_set_tls_database: (set-property tls-database)
 * @self: a client
 * @tls_database: (nullable): whose certificates to trust, or %NULL for those that the system trusts
 *
 * Sets [property@UdpClient:tls-database]. Acts at the next connect.
 */
void
es_udp_client_set_tls_database (EsUdpClient *self,
                                GTlsDatabase *tls_database)
{
  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (tls_database == NULL || G_IS_TLS_DATABASE (tls_database));

  if (g_set_object (&es_udp_client_access_tls (self)->database, tls_database))
    tell_changed (self, "tls-database");
}

/**
 * es_udp_client_get_tls_identity: (get-property tls-identity)
 * @self: a client
 *
 * Gets [property@UdpClient:tls-identity].
 *
 * Returns: (transfer none) (nullable): the name or IP address
 */
const char *
es_udp_client_get_tls_identity (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);

  return es_udp_client_access_tls (self)->identity;
}

/**
 * es_udp_client_set_tls_identity: (set-property tls-identity)
 * @self: a client
 * @tls_identity: (nullable): the name or IP address that the server's certificate has to be for, or
 *   %NULL for what the client is connected by
 *
 * Sets [property@UdpClient:tls-identity]. Acts at the next connect.
 */
void
es_udp_client_set_tls_identity (EsUdpClient *self,
                                const char *tls_identity)
{
  EsUdpClientTls *tls;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));

  tls = es_udp_client_access_tls (self);
  if (g_strcmp0 (tls->identity, tls_identity) == 0)
    return;
  g_free (tls->identity);
  tls->identity = g_strdup (tls_identity);
  tell_changed (self, "tls-identity");
}

/**
 * es_udp_client_get_tls_certificate: (get-property tls-certificate)
 * @self: a client
 *
 * Gets [property@UdpClient:tls-certificate].
 *
 * Returns: (transfer none) (nullable): the certificate
 */
GTlsCertificate *
es_udp_client_get_tls_certificate (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);

  return es_udp_client_access_tls (self)->certificate;
}

/**
 * es_udp_client_set_tls_certificate: (set-property tls-certificate)
 * @self: a client
 * @tls_certificate: (nullable): the certificate to show, with its private key
 *
 * Sets [property@UdpClient:tls-certificate]. Acts at the next connect.
 */
void
es_udp_client_set_tls_certificate (EsUdpClient *self,
                                   GTlsCertificate *tls_certificate)
{
  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (tls_certificate == NULL || G_IS_TLS_CERTIFICATE (tls_certificate));

  if (g_set_object (&es_udp_client_access_tls (self)->certificate, tls_certificate))
    tell_changed (self, "tls-certificate");
}

/**
 * es_udp_client_get_tls_alpn: (get-property tls-alpn)
 * @self: a client
 *
 * Gets [property@UdpClient:tls-alpn].
 *
 * Returns: (transfer none) (nullable): the protocols, the best first
 */
const char *const *
es_udp_client_get_tls_alpn (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);

  return (const char *const *) es_udp_client_access_tls (self)->alpn;
}

/**
 * es_udp_client_set_tls_alpn: (set-property tls-alpn)
 * @self: a client
 * @tls_alpn: (nullable) (array zero-terminated=1): the protocols that may be spoken, the best
 *   first, or %NULL to name none
 *
 * Sets [property@UdpClient:tls-alpn]. Acts at the next connect.
 */
void
es_udp_client_set_tls_alpn (EsUdpClient *self,
                            const char *const *tls_alpn)
{
  EsUdpClientTls *tls;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));

  tls = es_udp_client_access_tls (self);
  g_strfreev (tls->alpn);
  tls->alpn = g_strdupv ((char **) tls_alpn);
  tell_changed (self, "tls-alpn");
}

/**
 * es_udp_client_get_tls_mtu: (get-property tls-mtu)
 * @self: a client
 *
 * Gets [property@UdpClient:tls-mtu].
 *
 * Returns: the length in bytes
 */
guint
es_udp_client_get_tls_mtu (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), 0);

  return es_udp_client_access_tls (self)->limits.mtu;
}

/**
 * es_udp_client_set_tls_mtu: (set-property tls-mtu)
 * @self: a client
 * @tls_mtu: how long an encrypted datagram may be, in bytes, from 256 to 16384
 *
 * Sets [property@UdpClient:tls-mtu]. Acts at the next connect.
 */
void
es_udp_client_set_tls_mtu (EsUdpClient *self,
                           guint tls_mtu)
{
  EsUdpClientTls *tls;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (tls_mtu >= MIN_MTU && tls_mtu <= MAX_MTU);

  tls = es_udp_client_access_tls (self);
  if (tls->limits.mtu == tls_mtu)
    return;
  tls->limits.mtu = tls_mtu;
  g_object_notify (G_OBJECT (self), "tls-mtu");
}

/**
 * es_udp_client_get_tls_handshake_timeout: (get-property tls-handshake-timeout)
 * @self: a client
 *
 * Gets [property@UdpClient:tls-handshake-timeout].
 *
 * Returns: the time in milliseconds
 */
guint
es_udp_client_get_tls_handshake_timeout (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), 0);

  return es_udp_client_access_tls (self)->limits.handshake_timeout;
}

/**
 * es_udp_client_set_tls_handshake_timeout: (set-property tls-handshake-timeout)
 * @self: a client
 * @tls_handshake_timeout: the time in milliseconds, at least 1
 *
 * Sets [property@UdpClient:tls-handshake-timeout]. Acts at the next connect.
 */
void
es_udp_client_set_tls_handshake_timeout (EsUdpClient *self,
                                         guint tls_handshake_timeout)
{
  EsUdpClientTls *tls;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (tls_handshake_timeout >= 1 && tls_handshake_timeout <= G_MAXINT);

  tls = es_udp_client_access_tls (self);
  if (tls->limits.handshake_timeout == tls_handshake_timeout)
    return;
  tls->limits.handshake_timeout = tls_handshake_timeout;
  g_object_notify (G_OBJECT (self), "tls-handshake-timeout");
}

/**
 * es_udp_client_set_psk:
 * @self: a client
 * @identity: (nullable): who the client is, or %NULL to use no pre-shared key
 * @key: (nullable): the key that it shares with the server
 *
 * Sets a key by which client and server prove themselves to each other, in place of certificates
 * (RFC 4279). Acts at the next connect with [property@UdpClient:tls] set.
 */
void
es_udp_client_set_psk (EsUdpClient *self,
                       const char *identity,
                       GBytes *key)
{
  EsUdpClientTls *tls;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail ((identity == NULL) == (key == NULL));
  g_return_if_fail (key == NULL || g_bytes_get_size (key) > 0);

  tls = es_udp_client_access_tls (self);
  forget_ticket (tls);
  g_free (tls->psk_identity);
  tls->psk_identity = g_strdup (identity);
  g_clear_pointer (&tls->psk, g_bytes_unref);
  tls->psk = key != NULL ? g_bytes_ref (key) : NULL;
}

/**
 * es_udp_client_get_session:
 * @self: a client
 *
 * Gets the session with the server, from the end of the handshake to a stop, or until the server
 * ends it, of which [signal@Endpoint::error] tells.
 *
 * Returns: (transfer full) (nullable): the session, or %NULL if there is none
 */
EsSession *
es_udp_client_get_session (EsUdpClient *self)
{
  EsUdpClientTls *tls;

  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);

  tls = es_udp_client_access_tls (self);
  if (tls->session == NULL || es_dtls_session_get_state (tls->session) != ES_DTLS_ESTABLISHED)
    return NULL;
  return g_object_ref (es_dtls_session_get_public (tls->session));
}
