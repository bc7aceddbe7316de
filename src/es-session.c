/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-session-private.h"

#include <stdatomic.h>

/**
 * EsSession:
 *
 * What is known of a peer that is spoken to by DTLS (RFC 6347).
 *
 * A server has one for each peer whose handshake has succeeded, found by
 * [method@UdpServer.lookup_session] while the peer is connected; a client has one with its server
 * ([method@UdpClient.get_session]). It stays true when the connection is over. What an application
 * wants to know of a session rides on it by g_object_set_data_full().
 *
 * ## Threads
 *
 * Everything here is thread-safe.
 */

struct _EsSession
{
  GObject parent_instance;

  /* Set when made, or before anybody else knows it, then only read. */
  GSocketAddress *address;      /* (owned) */
  GTlsCertificate *certificate; /* (owned) (nullable) */

  /* Set once, before it is established; read anywhere. */
  char *psk_identity; /* (owned) (nullable) */
  char *alpn;         /* (owned) (nullable) */
  char *cipher;       /* (owned) (nullable) */
  gboolean is_resumed;

  /* Any thread: what stands above may be read once this is not 0. */
  _Atomic gint64 established;
};

G_DEFINE_FINAL_TYPE (EsSession, es_session, G_TYPE_OBJECT)

typedef enum
{
  PROP_ADDRESS = 1,
  PROP_PEER_CERTIFICATE,
  PROP_PSK_IDENTITY,
  PROP_ALPN,
  PROP_CIPHER,
  PROP_ESTABLISHED,
  PROP_RESUMED,
} EsSessionProperty;

static GParamSpec *properties[PROP_RESUMED + 1];

static void
es_session_finalize (GObject *object)
{
  EsSession *self = ES_SESSION (object);

  g_object_unref (self->address);
  g_clear_object (&self->certificate);
  g_free (self->psk_identity);
  g_free (self->alpn);
  g_free (self->cipher);
  G_OBJECT_CLASS (es_session_parent_class)->finalize (object);
}

static void
es_session_get_property (GObject *object,
                         guint prop_id,
                         GValue *value,
                         GParamSpec *pspec)
{
  EsSession *self = ES_SESSION (object);

  switch ((EsSessionProperty) prop_id)
    {
    case PROP_ADDRESS:
      g_value_set_object (value, es_session_get_address (self));
      break;
    case PROP_PEER_CERTIFICATE:
      g_value_set_object (value, es_session_get_peer_certificate (self));
      break;
    case PROP_PSK_IDENTITY:
      g_value_set_string (value, es_session_get_psk_identity (self));
      break;
    case PROP_ALPN:
      g_value_set_string (value, es_session_get_alpn (self));
      break;
    case PROP_CIPHER:
      g_value_set_string (value, es_session_get_cipher (self));
      break;
    case PROP_ESTABLISHED:
      g_value_set_int64 (value, es_session_get_established (self));
      break;
    case PROP_RESUMED:
      g_value_set_boolean (value, es_session_is_resumed (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
install_peer_properties (void)
{
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  /**
   * EsSession:address: (getter get_address)
   *
   * The peer's address.
   */
  properties[PROP_ADDRESS] = g_param_spec_object ("address", NULL, NULL, G_TYPE_SOCKET_ADDRESS,
                                                  flags);

  /**
   * EsSession:peer-certificate: (getter get_peer_certificate)
   *
   * The certificate that the peer has shown, with those of its issuers, or %NULL.
   */
  properties[PROP_PEER_CERTIFICATE] =
    g_param_spec_object ("peer-certificate", NULL, NULL, G_TYPE_TLS_CERTIFICATE, flags);

  /**
   * EsSession:psk-identity: (getter get_psk_identity)
   *
   * Whose pre-shared key is used, or %NULL if none is (RFC 4279).
   */
  properties[PROP_PSK_IDENTITY] = g_param_spec_string ("psk-identity", NULL, NULL, NULL, flags);
}

static void
install_agreed_properties (void)
{
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  /**
   * EsSession:alpn: (getter get_alpn)
   *
   * The protocol that both sides agreed upon, or %NULL (RFC 7301).
   */
  properties[PROP_ALPN] = g_param_spec_string ("alpn", NULL, NULL, NULL, flags);

  /**
   * EsSession:cipher: (getter get_cipher)
   *
   * What the messages are protected by: key exchange, cipher and hash, for people to read.
   */
  properties[PROP_CIPHER] = g_param_spec_string ("cipher", NULL, NULL, NULL, flags);

  /**
   * EsSession:established: (getter get_established)
   *
   * When the handshake ended, by g_get_monotonic_time(), in microseconds; 0: it has not yet.
   */
  properties[PROP_ESTABLISHED] = g_param_spec_int64 ("established", NULL, NULL, 0, G_MAXINT64, 0,
                                                     flags);

  /**
   * EsSession:resumed: (getter is_resumed)
   *
   * Whether an earlier session was resumed, which takes half a handshake (RFC 5077).
   */
  properties[PROP_RESUMED] = g_param_spec_boolean ("resumed", NULL, NULL, FALSE, flags);
}

static void
es_session_class_init (EsSessionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = es_session_finalize;
  object_class->get_property = es_session_get_property;
  install_peer_properties ();
  install_agreed_properties ();
  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
es_session_init (EsSession *self)
{
}

/* (transfer full) A session whose handshake has not ended. */
EsSession *
es_session_new (GSocketAddress *address)
{
  EsSession *self = g_object_new (ES_TYPE_SESSION, NULL);

  self->address = g_object_ref (address);
  return self;
}

void
es_session_set_peer_certificate (EsSession *self,
                                 GTlsCertificate *certificate)
{
  g_set_object (&self->certificate, certificate);
}

void
es_session_establish (EsSession *self,
                      const EsSessionFacts *facts)
{
  self->psk_identity = g_strdup (facts->psk_identity);
  self->alpn = g_strdup (facts->alpn);
  self->cipher = g_strdup (facts->cipher);
  self->is_resumed = facts->is_resumed;
  atomic_store (&self->established, g_get_monotonic_time ());
}

static gboolean
is_established (EsSession *self)
{
  return atomic_load (&self->established) != 0;
}

/**
 * es_session_get_address: (get-property address)
 * @self: a session
 *
 * Gets the peer's address.
 *
 * Thread-safe.
 *
 * Returns: (transfer none): the address
 */
GSocketAddress *
es_session_get_address (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), NULL);

  return self->address;
}

/**
 * es_session_get_peer_certificate: (get-property peer-certificate)
 * @self: a session
 *
 * Gets the certificate that the peer has shown.
 *
 * Thread-safe.
 *
 * Returns: (transfer none) (nullable): the certificate, or %NULL if it has shown none
 */
GTlsCertificate *
es_session_get_peer_certificate (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), NULL);

  return self->certificate;
}

/**
 * es_session_get_psk_identity: (get-property psk-identity)
 * @self: a session
 *
 * Gets whose pre-shared key is used.
 *
 * Thread-safe.
 *
 * Returns: (transfer none) (nullable): the identity, or %NULL if no pre-shared key is used, or the
 *   handshake has not ended
 */
const char *
es_session_get_psk_identity (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), NULL);

  return is_established (self) ? self->psk_identity : NULL;
}

/**
 * es_session_get_alpn: (get-property alpn)
 * @self: a session
 *
 * Gets the protocol that both sides agreed upon.
 *
 * Thread-safe.
 *
 * Returns: (transfer none) (nullable): the protocol, or %NULL if none was spoken of, or the
 *   handshake has not ended
 */
const char *
es_session_get_alpn (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), NULL);

  return is_established (self) ? self->alpn : NULL;
}

/**
 * es_session_get_cipher: (get-property cipher)
 * @self: a session
 *
 * Gets what the messages are protected by, such as
 * `(DTLS1.2)-(ECDHE-SECP256R1)-(ECDSA-SHA256)-(AES-128-GCM)`.
 *
 * Thread-safe.
 *
 * Returns: (transfer none) (nullable): a text for people, or %NULL if the handshake has not ended
 */
const char *
es_session_get_cipher (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), NULL);

  return is_established (self) ? self->cipher : NULL;
}

/**
 * es_session_get_established: (get-property established)
 * @self: a session
 *
 * Gets when the handshake ended.
 *
 * Thread-safe.
 *
 * Returns: the time by g_get_monotonic_time(), in microseconds; 0: it has not ended
 */
gint64
es_session_get_established (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), 0);

  return atomic_load (&self->established);
}

/**
 * es_session_is_resumed: (get-property resumed)
 * @self: a session
 *
 * Tells whether an earlier session was resumed.
 *
 * Thread-safe.
 *
 * Returns: %TRUE if it took half a handshake
 */
gboolean
es_session_is_resumed (EsSession *self)
{
  g_return_val_if_fail (ES_IS_SESSION (self), FALSE);

  return is_established (self) && self->is_resumed;
}
