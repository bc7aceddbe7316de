/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls-table.h"

/*
 * The sessions of a lane by their peers' addresses, and by when something is to be done for them:
 * a flight sent again, or an idle one ended. One thread changes it, that of the lane, and reads
 * without a lock; other threads look up under it.
 *
 * Handshakes that have not ended stand in a queue of their own. When there are too many, the oldest
 * makes room: honest ones are over in no time, so that a flood of others does not lock them out.
 */

struct _EsDtlsTable
{
  /* Set when made, then only read. */
  guint max_sessions;
  guint max_half_open;

  /* The lane's thread only. */
  EsDeadlines *deadlines; /* (owned) of the sessions' places */
  GQueue half_open;       /* of the sessions' own links, the oldest first */

  /* Changed in the lane's thread under the lock; read there without. */
  GMutex lock;
  GHashTable *sessions; /* (owned) from EsNative to (owned) EsDtlsSession */
};

static guint
hash_peer (gconstpointer peer)
{
  return es_native_hash (peer);
}

static gboolean
peer_equal (gconstpointer a,
            gconstpointer b)
{
  return es_native_equal (a, b);
}

static void
unref_session (gpointer session)
{
  es_dtls_session_unref (session);
}

EsDtlsTable *
es_dtls_table_new (guint max_sessions,
                   guint max_half_open)
{
  EsDtlsTable *self = g_new0 (EsDtlsTable, 1);

  g_mutex_init (&self->lock);
  g_queue_init (&self->half_open);
  self->max_sessions = max_sessions;
  self->max_half_open = max_half_open;
  self->deadlines = es_deadlines_new ();
  self->sessions = g_hash_table_new_full (hash_peer, peer_equal, NULL, unref_session);
  return self;
}

void
es_dtls_table_free (EsDtlsTable *self)
{
  EsDtlsSession *session;

  while ((session = es_dtls_table_peek_any (self)) != NULL)
    es_dtls_table_remove (self, session);
  g_hash_table_unref (self->sessions);
  es_deadlines_free (self->deadlines);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* (transfer none) (nullable) The session with a peer, whatever its state. */
EsDtlsSession *
es_dtls_table_get (EsDtlsTable *self,
                   const EsNative *peer)
{
  return g_hash_table_lookup (self->sessions, peer);
}

/* (transfer full) (nullable) Thread-safe. */
EsDtlsSession *
es_dtls_table_ref_established (EsDtlsTable *self,
                               const EsNative *peer)
{
  EsDtlsSession *session;

  g_mutex_lock (&self->lock);
  session = g_hash_table_lookup (self->sessions, peer);
  if (session != NULL && es_dtls_session_get_state (session) == ES_DTLS_ESTABLISHED)
    es_dtls_session_ref (session);
  else
    session = NULL;
  g_mutex_unlock (&self->lock);
  return session;
}

static gboolean
is_half_open (EsDtlsTable *self,
              EsDtlsSession *session)
{
  GList *link = &es_dtls_session_get_place (session)->half_open;

  return link->prev != NULL || self->half_open.head == link;
}

/* Makes room for one more handshake. Returns FALSE if there can be none, since so many peers are
 * connected. */
gboolean
es_dtls_table_make_room (EsDtlsTable *self)
{
  guint n_established = es_dtls_table_get_n_sessions (self) - self->half_open.length;

  if (n_established >= self->max_sessions)
    return FALSE;
  while (self->half_open.length > 0 && (self->half_open.length >= self->max_half_open ||
                                        es_dtls_table_get_n_sessions (self) >= self->max_sessions))
    es_dtls_table_remove (self, self->half_open.head->data);
  return TRUE;
}

/* Adds a session, in place of another with the same peer. */
void
es_dtls_table_add (EsDtlsTable *self,
                   EsDtlsSession *session)
{
  EsDtlsSession *before = es_dtls_table_get (self, es_dtls_session_get_peer (session));

  if (before != NULL)
    es_dtls_table_remove (self, before);
  if (es_dtls_session_get_state (session) == ES_DTLS_SHAKING)
    g_queue_push_tail_link (&self->half_open, &es_dtls_session_get_place (session)->half_open);
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->sessions, (gpointer) es_dtls_session_get_peer (session),
                       es_dtls_session_ref (session));
  g_mutex_unlock (&self->lock);
}

/* Notes that the handshake of a session is over. */
void
es_dtls_table_settle (EsDtlsTable *self,
                      EsDtlsSession *session)
{
  if (is_half_open (self, session))
    g_queue_unlink (&self->half_open, &es_dtls_session_get_place (session)->half_open);
}

/* Removes a session, if it is there. */
void
es_dtls_table_remove (EsDtlsTable *self,
                      EsDtlsSession *session)
{
  g_autoptr (EsDtlsSession) holder = es_dtls_session_ref (session);

  if (es_dtls_table_get (self, es_dtls_session_get_peer (session)) != session)
    return;
  es_dtls_table_settle (self, session);
  es_deadlines_remove (self->deadlines, &es_dtls_session_get_place (session)->deadline);
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->sessions, es_dtls_session_get_peer (session));
  g_mutex_unlock (&self->lock);
}

/* Says when something is to be done for a session, by the monotonic clock; -1: never. */
void
es_dtls_table_set_due (EsDtlsTable *self,
                       EsDtlsSession *session,
                       gint64 due)
{
  EsDeadline *deadline = &es_dtls_session_get_place (session)->deadline;

  if (es_dtls_table_get (self, es_dtls_session_get_peer (session)) != session)
    return;
  if (due >= 0)
    es_deadlines_set (self->deadlines, deadline, due);
  else
    es_deadlines_remove (self->deadlines, deadline);
}

/* (transfer none) (nullable) The session that something is to be done for first, and when. */
EsDtlsSession *
es_dtls_table_peek_due (EsDtlsTable *self,
                        gint64 *due)
{
  EsDeadline *first = es_deadlines_peek (self->deadlines);
  EsDtlsPlace *place = (EsDtlsPlace *) first;

  G_STATIC_ASSERT (G_STRUCT_OFFSET (EsDtlsPlace, deadline) == 0);
  *due = first != NULL ? first->due : -1;
  return place != NULL ? place->half_open.data : NULL;
}

/* (transfer none) (nullable) */
EsDtlsSession *
es_dtls_table_peek_any (EsDtlsTable *self)
{
  GHashTableIter iter;
  gpointer session;

  g_hash_table_iter_init (&iter, self->sessions);
  return g_hash_table_iter_next (&iter, NULL, &session) ? session : NULL;
}

/* How many there are, in all states. */
guint
es_dtls_table_get_n_sessions (EsDtlsTable *self)
{
  return g_hash_table_size (self->sessions);
}

/* How many handshakes have not ended. */
guint
es_dtls_table_get_n_half_open (EsDtlsTable *self)
{
  return self->half_open.length;
}
