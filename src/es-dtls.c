/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls.h"

#include "es-address.h"
#include "es-counter.h"
#include "es-dtls-table.h"

/*
 * What a lane does with datagrams where everything is private (RFC 6347):
 *
 *     from a peer with a session    its messages are decrypted, or its handshake goes a step on
 *     a hello without a cookie      gets a cookie, and is forgotten
 *     a hello with a cookie         gets a session, in place of an older one with that address
 *     anything else                 is dropped, and counted
 *
 * A client's lane has one session, made elsewhere, and nobody may say hello there.
 */

/* So many handshakes are looked after at a time, so that other sources get their turn. */
#define MAX_DUE 64

/* When a handshake is looked at again that waits for its user. */
#define BUSY_USEC (100 * G_TIME_SPAN_MILLISECOND)

#define CANNOT_AGREE "Could not agree on a key with"

/* A record's header, and what it may begin with (RFC 6347, section 4.1). */
#define MIN_RECORD 13
#define FIRST_TYPE 20
#define LAST_TYPE 23
#define DTLS_MAJOR 254

struct _EsDtls
{
  /* Set when made, then only read. */
  EsDtlsTerms *terms; /* (owned) */
  EsDtlsFuncs funcs;
  gpointer owner;     /* (borrowed) */
  EsDtlsTable *table; /* (owned) changed in the lane's thread, has a lock for others */

  /* The lane's thread only. */
  EsDtlsCookies *cookies; /* (owned) (nullable) where hellos are welcome */
  EsDtlsSession *server;  /* (owned) (nullable) the session that a client's lane has */
  gint64 now;             /* when the last datagram was read, monotonic microseconds */
  gboolean is_closed;

  /* Written in the lane's thread, read anywhere. */
  EsCounter dropped_unauthenticated;
};

static guint
share (guint limit,
       guint n_lanes)
{
  return MAX (1, limit / n_lanes);
}

/* @n_lanes: how many share the limits. */
EsDtls *
es_dtls_new (EsDtlsTerms *terms,
             guint n_lanes,
             const EsDtlsFuncs *funcs,
             gpointer owner)
{
  EsDtls *self = g_new0 (EsDtls, 1);
  const EsDtlsLimits *limits = es_dtls_terms_get_limits (terms);

  self->terms = es_dtls_terms_ref (terms);
  self->funcs = *funcs;
  self->owner = owner;
  self->table = es_dtls_table_new (share (limits->max_sessions, n_lanes),
                                   share (limits->max_half_open, n_lanes));
  if (es_dtls_terms_is_server (terms))
    self->cookies = es_dtls_cookies_new ();
  return self;
}

void
es_dtls_free (EsDtls *self)
{
  g_clear_pointer (&self->server, es_dtls_session_unref);
  es_dtls_table_free (self->table);
  g_clear_pointer (&self->cookies, es_dtls_cookies_free);
  es_dtls_terms_unref (self->terms);
  g_free (self);
}

static void
push (gpointer data,
      EsDtlsSession *session,
      GBytes *datagram)
{
  EsDtls *self = data;

  self->funcs.send (self->owner, datagram, es_dtls_session_get_peer (session),
                    es_dtls_session_get_local (session));
}

/* Takes over a client's session whose handshake has ended. */
void
es_dtls_adopt (EsDtls *self,
               EsDtlsSession *session)
{
  es_dtls_table_add (self->table, session);
  self->server = es_dtls_session_ref (session);
}

static void
count_unauthenticated (EsDtls *self)
{
  es_counter_add (&self->dropped_unauthenticated, 1);
}

/* Says when an established session is to be looked at again, at the earliest. */
static void
watch_idle (EsDtls *self,
            EsDtlsSession *session)
{
  gint64 timeout = es_dtls_terms_get_limits (self->terms)->idle_timeout;
  gint64 last_heard = es_dtls_session_get_place (session)->last_heard;

  es_dtls_table_set_due (self->table, session, timeout > 0 ? last_heard + timeout * 1000 : -1);
}

static void
watch_handshake (EsDtls *self,
                 EsDtlsSession *session,
                 gint64 now)
{
  gint64 again = now + (gint64) MAX (1, es_dtls_session_get_wait (session)) * 1000;

  es_dtls_table_set_due (self->table, session,
                         MIN (again, es_dtls_session_get_place (session)->give_up));
}

/* Ends a session that has failed, and tells why. */
static void
fail (EsDtls *self,
      EsDtlsSession *session,
      const char *what,
      GError *error)
{
  GSocketAddress *address = es_session_get_address (es_dtls_session_get_public (session));
  g_autofree char *name = es_address_to_string (address);

  es_dtls_table_remove (self->table, session);
  g_prefix_error (&error, "%s %s: ", what, name);
  if (!self->is_closed)
    self->funcs.fail (self->owner, error, address);
  g_error_free (error);
}

/* Goes on with a handshake. What the user was asked on the way may have closed the lane. */
static void
step (EsDtls *self,
      EsDtlsSession *session,
      gint64 now)
{
  GError *error = NULL;
  gboolean is_good = es_dtls_session_step (session, push, self, &error);

  if (!is_good)
    fail (self, session, CANNOT_AGREE, error);
  if (!is_good || self->is_closed)
    return;
  if (es_dtls_session_get_state (session) == ES_DTLS_SHAKING)
    {
      watch_handshake (self, session, now);
      return;
    }
  es_dtls_table_settle (self->table, session);
  es_dtls_session_get_place (session)->last_heard = now;
  watch_idle (self, session);
}

/* (transfer full) (nullable) A session with who has brought a cookie back. */
static EsDtlsSession *
accept_hello (EsDtls *self,
              const EsDtlsDatagram *hello,
              const EsDtlsPrestate *prestate,
              gint64 now)
{
  EsDtlsSession *session;

  if (!es_dtls_table_make_room (self->table))
    return NULL;
  session = es_dtls_session_accept (self->terms, hello, prestate);
  if (session == NULL)
    return NULL;
  es_dtls_session_get_place (session)->give_up =
    now + (gint64) es_dtls_terms_get_limits (self->terms)->handshake_timeout * 1000;
  es_dtls_table_add (self->table, session);
  return session;
}

/* (transfer full) (nullable) Meets a hello: who has no cookie of ours gets one, and that was it. */
static EsDtlsSession *
greet (EsDtls *self,
       const EsDtlsDatagram *hello,
       gint64 now)
{
  g_autoptr (GBytes) answer = NULL;
  EsDtlsSession *session = NULL;
  EsDtlsPrestate prestate;

  if (es_dtls_cookies_check (self->cookies, hello, now, &prestate))
    {
      session = accept_hello (self, hello, &prestate, now);
      if (session == NULL)
        count_unauthenticated (self);
      return session;
    }
  answer = es_dtls_cookies_ask (self->cookies, hello, now);
  if (answer != NULL)
    self->funcs.send (self->owner, answer, hello->sender, hello->local);
  return NULL;
}

/* Whether a datagram may be of this protocol at all, which is cheap to tell. */
static gboolean
is_record (const EsDtlsDatagram *datagram)
{
  return datagram->size >= MIN_RECORD && datagram->data[0] >= FIRST_TYPE &&
         datagram->data[0] <= LAST_TYPE && datagram->data[1] == DTLS_MAJOR;
}

/* (transfer full) (nullable) Whose a datagram is. What is nobody's is answered or counted. */
static EsDtlsSession *
find_session (EsDtls *self,
              const EsDtlsDatagram *datagram,
              gint64 now)
{
  EsDtlsSession *session = es_dtls_table_get (self->table, datagram->sender);
  gboolean is_hello = self->cookies != NULL && es_dtls_datagram_is_hello (datagram);

  if (is_hello && (session == NULL || !es_dtls_session_began_with (session, datagram)))
    return greet (self, datagram, now);
  if (session != NULL && is_record (datagram))
    return es_dtls_session_ref (session);
  count_unauthenticated (self);
  return NULL;
}

/* (transfer full) (nullable) Takes a datagram. Returns the session that it may hold messages of, to
 * be read to their end. */
EsDtlsSession *
es_dtls_receive (EsDtls *self,
                 const EsDtlsDatagram *datagram,
                 gint64 now)
{
  g_autoptr (EsDtlsSession) session = find_session (self, datagram, now);

  if (session == NULL || !es_dtls_session_feed (session, datagram->data, datagram->size))
    return NULL;
  self->now = now;
  if (es_dtls_session_get_state (session) == ES_DTLS_SHAKING)
    step (self, session, now);
  if (self->is_closed || es_dtls_session_get_state (session) != ES_DTLS_ESTABLISHED)
    return NULL;
  return g_steal_pointer (&session);
}

/* (transfer full) (nullable) The next message of a session's datagram. */
GBytes *
es_dtls_read (EsDtls *self,
              EsDtlsSession *session)
{
  GError *error = NULL;
  GBytes *message = es_dtls_session_read (session, push, self, &error);

  if (message != NULL)
    es_dtls_session_get_place (session)->last_heard = self->now;
  if (message != NULL)
    return message;
  if (es_dtls_session_is_fruitless (session))
    count_unauthenticated (self);
  if (error == NULL)
    return NULL;
  /* That a client goes is nothing to speak of, that its server does is. */
  if (self->cookies == NULL || !g_error_matches (error, G_TLS_ERROR, G_TLS_ERROR_EOF))
    {
      fail (self, session, "Lost the session with", error);
      return NULL;
    }
  es_dtls_table_remove (self->table, session);
  g_error_free (error);
  return NULL;
}

/* (transfer full) (nullable) The established session with a peer, or, with an address of size 0,
 * with the server. Thread-safe. */
EsDtlsSession *
es_dtls_ref_session (EsDtls *self,
                     const EsNative *peer)
{
  if (peer->size > 0)
    return es_dtls_table_ref_established (self->table, peer);
  if (self->server == NULL || es_dtls_session_get_state (self->server) != ES_DTLS_ESTABLISHED)
    return NULL;
  return es_dtls_session_ref (self->server);
}

/* When es_dtls_check() is to be called, by the monotonic clock; -1: never. */
gint64
es_dtls_get_due (EsDtls *self)
{
  gint64 due;

  es_dtls_table_peek_due (self->table, &due);
  return due;
}

static void
give_up (EsDtls *self,
         EsDtlsSession *session)
{
  fail (self, session, CANNOT_AGREE,
        g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                             "The handshake was not completed in time"));
}

/* Whoever is silent too long is told that it was forgotten. */
static void
look_after_idle (EsDtls *self,
                 EsDtlsSession *session,
                 gint64 now)
{
  gint64 timeout = (gint64) es_dtls_terms_get_limits (self->terms)->idle_timeout * 1000;

  if (es_dtls_session_get_place (session)->last_heard + timeout > now)
    {
      watch_idle (self, session);
      return;
    }
  es_dtls_session_end (session, push, self);
  es_dtls_table_remove (self->table, session);
}

static void
look_after (EsDtls *self,
            EsDtlsSession *session,
            gint64 now)
{
  if (es_dtls_session_get_state (session) == ES_DTLS_ESTABLISHED)
    look_after_idle (self, session, now);
  else if (es_dtls_session_get_place (session)->give_up <= now)
    give_up (self, session);
  else if (es_dtls_session_feed (session, NULL, 0))
    step (self, session, now);
  else
    es_dtls_table_set_due (self->table, session, now + BUSY_USEC);
}

/* Does what is due: sends flights again, gives handshakes up, and ends idle sessions. */
void
es_dtls_check (EsDtls *self,
               gint64 now)
{
  for (guint i = 0; i < MAX_DUE && !self->is_closed; i++)
    {
      gint64 due;
      EsDtlsSession *session = es_dtls_table_peek_due (self->table, &due);
      g_autoptr (EsDtlsSession) holder = NULL;

      if (session == NULL || due > now)
        return;
      holder = es_dtls_session_ref (session);
      look_after (self, session, now);
    }
}

/* Ends all sessions, and says so to the peers. */
void
es_dtls_close (EsDtls *self)
{
  EsDtlsSession *session;

  self->is_closed = TRUE;
  while ((session = es_dtls_table_peek_any (self->table)) != NULL)
    {
      es_dtls_session_end (session, push, self);
      es_dtls_table_remove (self->table, session);
    }
}

/* Adds what was dropped. Thread-safe. */
void
es_dtls_add_stats (EsDtls *self,
                   EsStats *stats)
{
  stats->dropped_unauthenticated += es_counter_get (&self->dropped_unauthenticated);
}
