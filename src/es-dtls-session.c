/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls-session.h"

#include "es-dtls-verdict.h"
#include "es-message-private.h"
#include "es-session-private.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include <stdatomic.h>

/*
 * One session of GnuTLS, between memory and memory: a datagram is fed to it, it is stepped or read,
 * and what it has to say is pushed on. It never waits for anything.
 *
 * A handshake belongs to one thread, and is not locked, so that what it asks of the user may send
 * and stop. From its end on GnuTLS is entered under the lock alone, by who reads and by whoever
 * sends.
 */

/* The longest record's payload (RFC 6347, section 4.1). */
#define MAX_RECORD 16384

/* More records than this are in no datagram that anybody means. */
#define MAX_RECORDS 64

/* A flight that has to be sent again leaves so often at a time: GnuTLS doubles the wait each time
 * without a bound, and so on a bad network there are few times. */
#define N_COPIES_AGAIN 2

struct _EsDtlsSession
{
  /* Set when made, then only read. */
  gnutls_session_t tls; /* (owned) */
  EsDtlsTerms *terms;   /* (owned) */
  EsNative peer;
  EsLocal local;
  guint8 random[ES_DTLS_RANDOM_SIZE]; /* the client's */
  EsSession *public;                  /* (owned) */

  /* The reading thread only. */
  const guint8 *input; /* (borrowed) (nullable) a datagram that GnuTLS has not looked at */
  gsize input_size;
  gboolean is_drained; /* GnuTLS has asked for more than there is */
  gboolean is_stepping;
  gboolean has_begun;
  gboolean is_fruitful; /* the datagram had something to say */
  GError *verdict;      /* (owned) (nullable) on the peer's certificate */
  EsDtlsPlace place;

  /* Written in the reading thread, read anywhere. */
  atomic_int state; /* EsDtlsState */

  /* The handshake's thread, or under the lock. */
  GMutex lock;
  EsDtlsPush push;    /* (nullable) */
  gpointer push_data; /* (borrowed) */
  guint n_copies;     /* so often each flight is pushed; 0: it is a message */
  GByteArray *joint;  /* (owned) (nullable) records that leave in one datagram */
};

static gssize
pull (gnutls_transport_ptr_t ptr,
      gpointer buffer,
      gsize size)
{
  EsDtlsSession *self = ptr;
  gsize n = MIN (size, self->input_size);

  if (self->input == NULL)
    {
      self->is_drained = TRUE;
      gnutls_transport_set_errno (self->tls, EAGAIN);
      return -1;
    }
  memcpy (buffer, self->input, n);
  self->input = NULL;
  return n;
}

static int
can_pull (gnutls_transport_ptr_t ptr,
          guint milliseconds)
{
  EsDtlsSession *self = ptr;

  self->is_drained = self->input == NULL;
  return !self->is_drained;
}

/* A message's record is a datagram. */
static gssize
push_alone (EsDtlsSession *self,
            gconstpointer data,
            gsize size)
{
  g_autoptr (GBytes) datagram = g_bytes_new (data, size);

  self->push (self->push_data, self, datagram);
  return size;
}

/* Sends the records that were joined. */
static void
push_joint (EsDtlsSession *self)
{
  g_autoptr (GBytes) datagram = NULL;

  if (self->joint == NULL)
    return;
  datagram = g_byte_array_free_to_bytes (g_steal_pointer (&self->joint));
  for (guint i = 0; i < self->n_copies; i++)
    self->push (self->push_data, self, datagram);
}

/* Joins the records of a flight, so that it arrives as a whole or not at all, as far as it fits:
 * that is less to lose, and GnuTLS's client is stuck where the last flight comes in disorder, since
 * it holds its own for received as soon as it has seen the first part. */
static gssize
push (gnutls_transport_ptr_t ptr,
      gconstpointer data,
      gsize size)
{
  EsDtlsSession *self = ptr;

  self->is_fruitful = TRUE;
  if (self->push == NULL)
    return size;
  if (self->n_copies == 0)
    return push_alone (self, data, size);
  if (self->joint != NULL && self->joint->len + size > es_dtls_terms_get_limits (self->terms)->mtu)
    push_joint (self);
  if (self->joint == NULL)
    self->joint = g_byte_array_new ();
  g_byte_array_append (self->joint, data, size);
  return size;
}

static int
judge (gnutls_session_t tls)
{
  EsDtlsSession *self = gnutls_session_get_ptr (tls);
  g_autoptr (GTlsCertificate) certificate = es_dtls_verdict_dup_peer (tls);

  /* GnuTLS itself insists on a certificate where one is required. */
  if (certificate == NULL)
    return 0;
  es_session_set_peer_certificate (self->public, certificate);
  g_clear_error (&self->verdict);
  return es_dtls_terms_judge (self->terms, self->public, certificate, &self->verdict)
           ? 0
           : GNUTLS_E_CERTIFICATE_ERROR;
}

static gboolean
init_tls (EsDtlsSession *self)
{
  guint role = es_dtls_terms_is_server (self->terms) ? GNUTLS_SERVER : GNUTLS_CLIENT;

  if (gnutls_init (&self->tls, role | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
    return FALSE;
  gnutls_session_set_ptr (self->tls, self);
  gnutls_session_set_verify_function (self->tls, judge);
  gnutls_transport_set_ptr (self->tls, self);
  gnutls_transport_set_push_function (self->tls, push);
  gnutls_transport_set_pull_function (self->tls, pull);
  gnutls_transport_set_pull_timeout_function (self->tls, can_pull);
  return es_dtls_terms_apply (self->terms, self->tls);
}

/* (transfer full) @address: (transfer full) */
static EsDtlsSession *
new_session (EsDtlsTerms *terms,
             GSocketAddress *address)
{
  EsDtlsSession *self = g_atomic_rc_box_new0 (EsDtlsSession);

  g_mutex_init (&self->lock);
  self->terms = es_dtls_terms_ref (terms);
  self->public = es_session_new (address);
  self->place.half_open.data = self;
  g_object_unref (address);
  return self;
}

/* (transfer full) (nullable) A server's session with who has said hello, and brought its cookie
 * back. It is to be fed the hello. */
EsDtlsSession *
es_dtls_session_accept (EsDtlsTerms *terms,
                        const EsDtlsDatagram *hello,
                        const EsDtlsPrestate *prestate)
{
  g_autoptr (EsDtlsSession) self = new_session (terms, es_native_to_address (hello->sender));
  gnutls_dtls_prestate_st state = { prestate->record_seq, prestate->hsk_read_seq,
                                    prestate->hsk_write_seq };

  es_native_copy (&self->peer, hello->sender);
  self->local = *hello->local;
  memcpy (self->random, es_dtls_datagram_get_random (hello), sizeof self->random);
  if (!init_tls (self))
    return NULL;
  gnutls_dtls_prestate_set (self->tls, &state);
  return g_steal_pointer (&self);
}

/* (transfer full) A client's session. It is to be stepped. @ticket: (nullable) of an earlier
 * session that may be resumed. */
EsDtlsSession *
es_dtls_session_connect (EsDtlsTerms *terms,
                         GSocketAddress *server,
                         GBytes *ticket,
                         GError **error)
{
  g_autoptr (EsDtlsSession) self = new_session (terms, g_object_ref (server));
  gsize size;
  gconstpointer data;

  if (!es_native_from_address (&self->peer, server, error))
    return NULL;
  if (!init_tls (self))
    {
      g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_MISC, "GnuTLS could not make a session");
      return NULL;
    }
  if (ticket != NULL)
    {
      data = g_bytes_get_data (ticket, &size);
      gnutls_session_set_data (self->tls, data, size);
    }
  return g_steal_pointer (&self);
}

EsDtlsSession *
es_dtls_session_ref (EsDtlsSession *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
finalize (gpointer data)
{
  EsDtlsSession *self = data;

  g_clear_pointer (&self->tls, gnutls_deinit);
  g_clear_pointer (&self->joint, g_byte_array_unref);
  g_clear_error (&self->verdict);
  g_object_unref (self->public);
  es_dtls_terms_unref (self->terms);
  g_mutex_clear (&self->lock);
}

/* Thread-safe. */
void
es_dtls_session_unref (EsDtlsSession *self)
{
  g_atomic_rc_box_release_full (self, finalize);
}

const EsNative *
es_dtls_session_get_peer (EsDtlsSession *self)
{
  return &self->peer;
}

/* Where the peer has sent its hello to. */
const EsLocal *
es_dtls_session_get_local (EsDtlsSession *self)
{
  return &self->local;
}

/* (transfer none) What users see of the session. */
EsSession *
es_dtls_session_get_public (EsDtlsSession *self)
{
  return self->public;
}

EsDtlsPlace *
es_dtls_session_get_place (EsDtlsSession *self)
{
  return &self->place;
}

/* Thread-safe. */
EsDtlsState
es_dtls_session_get_state (EsDtlsSession *self)
{
  return atomic_load_explicit (&self->state, memory_order_acquire);
}

static void
set_state (EsDtlsSession *self,
           EsDtlsState state)
{
  atomic_store_explicit (&self->state, state, memory_order_release);
}

/* Whether the hello is the very one that a server's session began with, sent again or played back
 * by somebody. */
gboolean
es_dtls_session_began_with (EsDtlsSession *self,
                            const EsDtlsDatagram *hello)
{
  return memcmp (self->random, es_dtls_datagram_get_random (hello), sizeof self->random) == 0;
}

/* Hands the session a datagram, which has to last until it was stepped or read. Returns FALSE if it
 * cannot take one, since what it has asked of the user has led here. */
gboolean
es_dtls_session_feed (EsDtlsSession *self,
                      const guint8 *data,
                      gsize size)
{
  if (self->is_stepping)
    return FALSE;
  self->input = data;
  self->input_size = size;
  self->is_drained = data == NULL;
  self->is_fruitful = FALSE;
  return TRUE;
}

static void
establish (EsDtlsSession *self)
{
  gboolean is_server = es_dtls_terms_is_server (self->terms);
  g_autoptr (GTlsCertificate) certificate = es_dtls_verdict_dup_peer (self->tls);
  char *cipher = gnutls_session_get_desc (self->tls);
  EsSessionFacts facts = { .cipher = cipher,
                           .is_resumed = gnutls_session_is_resumed (self->tls) != 0 };
  gnutls_datum_t alpn = { NULL, 0 };
  g_autofree char *protocol = NULL;

  if (gnutls_alpn_get_selected_protocol (self->tls, &alpn) >= 0)
    facts.alpn = protocol = g_strndup ((char *) alpn.data, alpn.size);
  if (gnutls_auth_get_type (self->tls) == GNUTLS_CRD_PSK && is_server)
    facts.psk_identity = gnutls_psk_server_get_username (self->tls);
  es_session_set_peer_certificate (self->public, certificate);
  es_session_establish (self->public, &facts);
  gnutls_free (cipher);
  self->is_fruitful = TRUE;
  set_state (self, ES_DTLS_ESTABLISHED);
}

/* What the other side has against the handshake. */
static void
explain_alert (gnutls_session_t tls,
               GError **error)
{
  gnutls_alert_description_t alert = gnutls_alert_get (tls);

  switch (alert)
    {
    case GNUTLS_A_HANDSHAKE_FAILURE:
    case GNUTLS_A_INSUFFICIENT_SECURITY:
      g_set_error_literal (
        error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE,
        "The other side knows no cipher that this side allows, or misses a certificate");
      break;
    case GNUTLS_A_CERTIFICATE_REQUIRED:
      g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED,
                           "The other side asks for a certificate");
      break;
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
      g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE,
                           "The other side does not accept the certificate");
      break;
    default:
      g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE, "The other side said: %s",
                   gnutls_alert_get_name (alert));
    }
}

static void
explain_failure (EsDtlsSession *self,
                 int result,
                 GError **error)
{
  if (self->verdict != NULL)
    g_propagate_error (error, g_steal_pointer (&self->verdict));
  else if (result == GNUTLS_E_FATAL_ALERT_RECEIVED)
    explain_alert (self->tls, error);
  else if (result == GNUTLS_E_TIMEDOUT)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                         "The handshake was not answered in time");
  else if (result == GNUTLS_E_NO_CIPHER_SUITES || result == GNUTLS_E_INSUFFICIENT_CREDENTIALS)
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE,
                         "There is no cipher that both sides allow");
  else if (result == GNUTLS_E_NO_CERTIFICATE_FOUND || result == GNUTLS_E_CERTIFICATE_REQUIRED)
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED,
                         "The peer has shown no certificate");
  else
    g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE, "The handshake failed: %s",
                 gnutls_strerror (result));
}

/* Has GnuTLS's datagrams go somewhere, each so many times. */
static void
begin_push (EsDtlsSession *self,
            EsDtlsPush to,
            gpointer data,
            guint n_copies)
{
  self->push = to;
  self->push_data = data;
  self->n_copies = n_copies;
}

static void
end_push (EsDtlsSession *self)
{
  push_joint (self);
  self->push = NULL;
  self->push_data = NULL;
}

/* Whether there may be more in the datagram than what GnuTLS came back for: for each record that it
 * drops it says that there is nothing now, and looks at the next one when it is asked again. */
static gboolean
has_more (EsDtlsSession *self,
          gssize result,
          guint n_records)
{
  return result < 0 && !gnutls_error_is_fatal (result) && !self->is_drained &&
         n_records < MAX_RECORDS;
}

/* Goes on with the handshake as far as possible: with the datagram that was fed, or because it is
 * time to send a flight again. Returns FALSE with the error if it has failed. */
gboolean
es_dtls_session_step (EsDtlsSession *self,
                      EsDtlsPush to,
                      gpointer data,
                      GError **error)
{
  guint n_records = 0;
  int result;

  g_assert (!self->is_stepping && es_dtls_session_get_state (self) == ES_DTLS_SHAKING);

  self->is_stepping = TRUE;
  begin_push (self, to, data, self->has_begun && self->input == NULL ? N_COPIES_AGAIN : 1);
  self->has_begun = TRUE;
  do
    result = gnutls_handshake (self->tls);
  while (has_more (self, result, ++n_records));
  if (result < 0 && gnutls_error_is_fatal (result))
    gnutls_alert_send_appropriate (self->tls, result);
  end_push (self);
  self->input = NULL;
  self->is_stepping = FALSE;
  if (result >= 0)
    establish (self);
  if (result >= 0 || !gnutls_error_is_fatal (result))
    return TRUE;
  set_state (self, ES_DTLS_ENDED);
  explain_failure (self, result, error);
  return FALSE;
}

/* How long until the next step, in milliseconds, if nothing comes. */
guint
es_dtls_session_get_wait (EsDtlsSession *self)
{
  return gnutls_dtls_get_timeout (self->tls);
}

/* What the other side says when it goes. */
static void
explain_end (EsDtlsSession *self,
             gssize result,
             GError **error)
{
  set_state (self, ES_DTLS_ENDED);
  if (result == 0)
    g_set_error_literal (error, G_TLS_ERROR, G_TLS_ERROR_EOF,
                         "The other side has ended the session");
  else if (result == GNUTLS_E_FATAL_ALERT_RECEIVED)
    g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_MISC, "The other side has ended the session: %s",
                 gnutls_alert_get_name (gnutls_alert_get (self->tls)));
  else
    g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_MISC, "The session failed: %s",
                 gnutls_strerror (result));
}

/* Reads past what is no message, to the end of the datagram. */
static gssize
read_record (EsDtlsSession *self,
             guint8 *buffer)
{
  guint n_records = 0;
  gssize n;

  do
    {
      n = gnutls_record_recv (self->tls, buffer, MAX_RECORD);
      if (n < 0 && n != GNUTLS_E_AGAIN)
        self->is_fruitful = TRUE;
      if (n == GNUTLS_E_REHANDSHAKE)
        gnutls_alert_send (self->tls, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    }
  while (has_more (self, n, ++n_records));
  return n;
}

/* (transfer full) (nullable) The next message of the datagram that was fed; NULL with an error
 * where the session has come to its end. */
GBytes *
es_dtls_session_read (EsDtlsSession *self,
                      EsDtlsPush to,
                      gpointer data,
                      GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  guint8 buffer[MAX_RECORD];
  gssize n;

  /* All that GnuTLS has to say here is the last flight, again. */
  begin_push (self, to, data, N_COPIES_AGAIN);
  n = read_record (self, buffer);
  end_push (self);
  self->input = NULL;
  if (n < 0 && !gnutls_error_is_fatal (n))
    return NULL;
  self->is_fruitful = TRUE;
  if (n > 0)
    return es_message_new (buffer, n);
  explain_end (self, n, error);
  return NULL;
}

/* Whether the datagram that was read held nothing that the peer has vouched for, or nothing new. */
gboolean
es_dtls_session_is_fruitless (EsDtlsSession *self)
{
  return !self->is_fruitful;
}

/* What is encrypted under the lock may leave in the order of its numbers. */
void
es_dtls_session_lock (EsDtlsSession *self)
{
  g_mutex_lock (&self->lock);
}

void
es_dtls_session_unlock (EsDtlsSession *self)
{
  g_mutex_unlock (&self->lock);
}

static void
keep_datagram (gpointer data,
               EsDtlsSession *session,
               GBytes *datagram)
{
  *(GBytes **) data = g_bytes_ref (datagram);
}

static void
explain_unencrypted (EsDtlsSession *self,
                     gsize size,
                     gssize result,
                     GError **error)
{
  if (size == 0)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                         "An empty message cannot be encrypted");
  else if (result == GNUTLS_E_LARGE_PACKET)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 "A message of %" G_GSIZE_FORMAT
                 " bytes is longer than the %u that fit in an encrypted datagram",
                 size, gnutls_dtls_get_data_mtu (self->tls));
  else
    g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_MISC, "The message could not be encrypted: %s",
                 gnutls_strerror (result));
}

/* (transfer full) The datagram that carries a message, or NULL with the error. Under the lock,
 * while it is established. */
GBytes *
es_dtls_session_encrypt (EsDtlsSession *self,
                         GBytes *message,
                         GError **error)
{
  GBytes *datagram = NULL;
  gsize size;
  gconstpointer data = g_bytes_get_data (message, &size);
  gssize n;

  if (es_dtls_session_get_state (self) != ES_DTLS_ESTABLISHED)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "The session has ended");
      return NULL;
    }
  begin_push (self, keep_datagram, &datagram, 0);
  n = gnutls_record_send (self->tls, data != NULL ? data : "", size);
  end_push (self);
  if (n >= 0 && datagram != NULL)
    return datagram;
  g_clear_pointer (&datagram, g_bytes_unref);
  explain_unencrypted (self, size, n, error);
  return NULL;
}

/* Ends the session, and says so to the other side where that would believe it. */
void
es_dtls_session_end (EsDtlsSession *self,
                     EsDtlsPush to,
                     gpointer data)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (es_dtls_session_get_state (self) == ES_DTLS_ESTABLISHED)
    {
      begin_push (self, to, data, 1);
      gnutls_bye (self->tls, GNUTLS_SHUT_WR);
      end_push (self);
    }
  set_state (self, ES_DTLS_ENDED);
}

/* (transfer full) (nullable) What a client can resume the session by. */
GBytes *
es_dtls_session_dup_ticket (EsDtlsSession *self)
{
  gnutls_datum_t ticket = { NULL, 0 };
  GBytes *bytes;

  if (gnutls_session_get_data2 (self->tls, &ticket) < 0)
    return NULL;
  bytes = g_bytes_new (ticket.data, ticket.size);
  gnutls_free (ticket.data);
  return bytes;
}
