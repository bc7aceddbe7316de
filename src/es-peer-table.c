/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-peer-table.h"

#include "es-address.h"
#include "es-peer-private.h"

#include <stdatomic.h>

/*
 * The peers by address, and in one queue by their last word: whoever was heard, or pinged, goes to
 * its end, so that whoever is due next stands at its head. The interval is the same for all, and
 * so one timer is enough, and hearing a peer moves a link and allocates nothing.
 */

struct _EsPeerTable
{
  /* Under the lock. */
  GMutex lock;
  GHashTable *peers; /* (owned) from GSocketAddress to (owned) EsPeer */
  GQueue queue;      /* of the peers' own links */
  GQueue changes;    /* of (owned) EsPeerChange, in their order */

  /* Written under the lock, read anywhere. */
  atomic_uint n_peers;
};

EsPeerTable *
es_peer_table_new (void)
{
  EsPeerTable *self = g_new0 (EsPeerTable, 1);

  g_mutex_init (&self->lock);
  g_queue_init (&self->queue);
  g_queue_init (&self->changes);
  self->peers = g_hash_table_new_full (es_address_hash, es_address_equal, NULL, g_object_unref);
  return self;
}

void
es_peer_change_clear (EsPeerChange *self)
{
  g_clear_object (&self->peer);
}

static void
free_change (gpointer data)
{
  es_peer_change_clear (data);
  g_free (data);
}

void
es_peer_table_free (EsPeerTable *self)
{
  g_queue_clear_full (&self->changes, free_change);
  g_hash_table_unref (self->peers);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Moves a peer to the end of the queue. */
static void
requeue (EsPeerTable *self,
         EsPeer *peer,
         gint64 now)
{
  EsPeerPlace *place = es_peer_get_place (peer);

  place->last_event = now;
  g_queue_unlink (&self->queue, &place->link);
  g_queue_push_tail_link (&self->queue, &place->link);
}

/* Notes a change, for whom it concerns to follow in an order that no thread can upset. */
static void
note_change (EsPeerTable *self,
             EsPeer *peer,
             gboolean is_added,
             EsPeerRemoved reason)
{
  EsPeerChange *change = g_new0 (EsPeerChange, 1);

  change->peer = g_object_ref (peer);
  change->is_added = is_added;
  change->reason = reason;
  g_queue_push_tail (&self->changes, change);
  atomic_store (&self->n_peers, self->queue.length);
}

static EsPeer *
admit (EsPeerTable *self,
       GSocketAddress *address)
{
  EsPeer *peer = es_peer_new (address, g_get_monotonic_time ());
  EsPeerPlace *place = es_peer_get_place (peer);

  g_hash_table_insert (self->peers, es_peer_get_address (peer), peer);
  g_queue_push_tail_link (&self->queue, &place->link);
  note_change (self, peer, TRUE, 0);
  return peer;
}

static void
expel (EsPeerTable *self,
       EsPeer *peer,
       EsPeerRemoved reason)
{
  g_queue_unlink (&self->queue, &es_peer_get_place (peer)->link);
  note_change (self, peer, FALSE, reason);
  g_hash_table_remove (self->peers, es_peer_get_address (peer));
}

/* (transfer full) The peer of an address, made if there is none. Thread-safe. */
EsPeer *
es_peer_table_add (EsPeerTable *self,
                   GSocketAddress *address)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  EsPeer *peer = g_hash_table_lookup (self->peers, address);

  if (peer == NULL)
    peer = admit (self, address);
  return g_object_ref (peer);
}

/* (transfer full) (nullable) Thread-safe. */
EsPeer *
es_peer_table_lookup (EsPeerTable *self,
                      GSocketAddress *address)
{
  g_autoptr (GMutexLocker) locker = NULL;
  EsPeer *peer;

  if (atomic_load (&self->n_peers) == 0)
    return NULL;
  locker = g_mutex_locker_new (&self->lock);
  peer = g_hash_table_lookup (self->peers, address);
  return peer != NULL ? g_object_ref (peer) : NULL;
}

/* Returns FALSE if somebody else has removed it. Thread-safe. */
gboolean
es_peer_table_remove (EsPeerTable *self,
                      EsPeer *peer)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (g_hash_table_lookup (self->peers, es_peer_get_address (peer)) != peer)
    return FALSE;
  expel (self, peer, ES_PEER_REMOVED_REQUESTED);
  return TRUE;
}

void
es_peer_table_remove_all (EsPeerTable *self,
                          EsPeerRemoved reason)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (self->queue.head != NULL)
    expel (self, self->queue.head->data, reason);
}

/* Takes the oldest change that nobody has taken. Thread-safe. */
gboolean
es_peer_table_take_change (EsPeerTable *self,
                           EsPeerChange *change)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autofree EsPeerChange *first = g_queue_pop_head (&self->changes);

  if (first == NULL)
    return FALSE;
  *change = *first;
  return TRUE;
}

/* Notes a word of whoever has the address, peer or not. Thread-safe. */
void
es_peer_table_hear (EsPeerTable *self,
                    GSocketAddress *address)
{
  g_autoptr (GMutexLocker) locker = NULL;
  EsPeer *peer;
  gint64 now;

  if (atomic_load_explicit (&self->n_peers, memory_order_relaxed) == 0)
    return;
  now = g_get_monotonic_time ();
  locker = g_mutex_locker_new (&self->lock);
  peer = g_hash_table_lookup (self->peers, address);
  if (peer == NULL)
    return;
  es_peer_set_heard (peer, now);
  requeue (self, peer, now);
}

/* (transfer full) All peers, at this moment. Thread-safe. */
GPtrArray *
es_peer_table_dup_all (EsPeerTable *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *all = g_ptr_array_new_full (self->queue.length, g_object_unref);

  for (GList *link = self->queue.head; link != NULL; link = link->next)
    g_ptr_array_add (all, g_object_ref (link->data));
  return all;
}

/* When the next peer is due for a ping or its removal; -1: nobody is. Thread-safe. */
gint64
es_peer_table_get_next_due (EsPeerTable *self,
                            gint64 interval)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  EsPeer *first = g_queue_peek_head (&self->queue);

  return first != NULL ? es_peer_get_place (first)->last_event + interval : -1;
}

/* (transfer full) (nullable) Takes the next peer that is due for a ping, after which it is due
 * again in an interval. Who was silent too long is removed on the way. Thread-safe. */
EsPeer *
es_peer_table_take_due (EsPeerTable *self,
                        gint64 interval,
                        guint max_missed,
                        gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  EsPeer *first;

  while ((first = g_queue_peek_head (&self->queue)) != NULL &&
         es_peer_get_place (first)->last_event + interval <= now)
    {
      if (max_missed == 0 || es_peer_get_missed_pings (first) < max_missed)
        {
          es_peer_add_missed_ping (first);
          requeue (self, first, now);
          return g_object_ref (first);
        }
      expel (self, first, ES_PEER_REMOVED_SILENT);
    }
  return NULL;
}
