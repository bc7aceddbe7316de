/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-pool.h"

#include <stdatomic.h>

/*
 * Handlers on threads. Messages reach the threads in groups, each by one push for every thread
 * that is to help with it. Whoever works on a group claims one message at a time, by counting up:
 * so no lock is taken for a message, and a handler that blocks holds up no other message.
 */

#define GROUP_SIZE 64

typedef struct
{
  GBytes *message;         /* (owned) */
  GSocketAddress *address; /* (owned) */
} EsPoolItem;

typedef struct
{
  EsPool *pool; /* (borrowed) */
  gatomicrefcount n_refs;
  guint n_items;
  atomic_uint next; /* the next item to claim */
  EsPoolItem items[GROUP_SIZE];
} EsPoolGroup;

struct _EsPool
{
  /* Set when made, then only read. */
  GThreadPool *threads; /* (owned) */
  guint n_threads;
  EsPoolFunc func;
  gpointer owner; /* (borrowed) */
  EsPoolCrowdedFunc crowded;
  gpointer filler; /* (borrowed) */

  /* The adder's thread only. */
  EsPoolGroup *group; /* (owned) (nullable) not yet given to the threads */

  /* Any thread. */
  atomic_uint n_waiting;
  atomic_bool is_crowded;
  atomic_bool is_closing;
  _Atomic guint64 n_unhandled;
  _Atomic guint64 n_bytes_unhandled;
};

static void
clear_item (EsPoolItem *item)
{
  g_clear_pointer (&item->message, g_bytes_unref);
  g_clear_object (&item->address);
}

static void
discard_item (EsPool *self,
              EsPoolItem *item)
{
  if (item->message == NULL)
    return;
  atomic_fetch_add (&self->n_unhandled, 1);
  atomic_fetch_add (&self->n_bytes_unhandled, g_bytes_get_size (item->message));
  clear_item (item);
}

static void
unref_group (EsPoolGroup *group)
{
  if (!g_atomic_ref_count_dec (&group->n_refs))
    return;
  for (guint i = 0; i < group->n_items; i++)
    discard_item (group->pool, &group->items[i]);
  g_free (group);
}

static void
set_free_again (EsPool *self)
{
  if (atomic_exchange (&self->is_crowded, FALSE))
    self->crowded (self->filler, FALSE);
}

static void
leave (EsPool *self)
{
  if (atomic_fetch_sub (&self->n_waiting, 1) == ES_POOL_MAX_WAITING / 2)
    set_free_again (self);
}

static void
work (gpointer data,
      gpointer user_data)
{
  EsPoolGroup *group = data;
  EsPool *self = user_data;
  guint i;

  while (!atomic_load (&self->is_closing) && (i = atomic_fetch_add (&group->next, 1)) < group->n_items)
    {
      leave (self);
      self->func (self->owner, group->items[i].message, group->items[i].address);
      clear_item (&group->items[i]);
    }
  unref_group (group);
}

/* @func: handles a message for @owner, in a thread of the pool. @crowded: tells @filler when no more messages are to be added, and when they may be again, half of the
 * places being free; in any thread. Returns NULL with the error if not all threads could be made. */
EsPool *
es_pool_new (guint n_threads,
             EsPoolFunc func,
             gpointer owner,
             EsPoolCrowdedFunc crowded,
             gpointer filler,
             GError **error)
{
  EsPool *self = g_new0 (EsPool, 1);
  g_autoptr (GError) problem = NULL;

  self->n_threads = n_threads;
  self->func = func;
  self->owner = owner;
  self->crowded = crowded;
  self->filler = filler;
  self->threads = g_thread_pool_new (work, self, n_threads, TRUE, &problem);
  if (problem == NULL)
    return self;
  g_propagate_prefixed_error (error, g_steal_pointer (&problem), "Could not make %u threads: ", n_threads);
  es_pool_free (self, NULL, NULL);
  return NULL;
}

/* Waits for the handlers that run. Tells what no handler has seen. */
void
es_pool_free (EsPool *self,
              guint64 *n_messages,
              guint64 *n_bytes)
{
  es_pool_commit (self);
  atomic_store (&self->is_closing, TRUE);
  /* Not immediately: of what a thread that just wakes up has taken nobody would hear again. */
  g_thread_pool_free (self->threads, FALSE, TRUE);
  if (n_messages != NULL)
    *n_messages = self->n_unhandled;
  if (n_bytes != NULL)
    *n_bytes = self->n_bytes_unhandled;
  g_free (self);
}

static EsPoolGroup *
new_group (EsPool *self)
{
  EsPoolGroup *group = g_new0 (EsPoolGroup, 1);

  group->pool = self;
  g_atomic_ref_count_init (&group->n_refs);
  return group;
}

/* Counts one more in. Who finds the pool full says so first, and then looks again: the threads may
 * have made room meanwhile. */
static void
enter (EsPool *self)
{
  if (atomic_fetch_add (&self->n_waiting, 1) + 1 < ES_POOL_MAX_WAITING)
    return;
  self->crowded (self->filler, TRUE);
  atomic_store (&self->is_crowded, TRUE);
  if (atomic_load (&self->n_waiting) < ES_POOL_MAX_WAITING / 2)
    set_free_again (self);
}

/* Adds a message to those that the next es_pool_commit() gives to the threads. */
void
es_pool_add (gpointer pool,
             GBytes *message,
             GSocketAddress *address)
{
  EsPool *self = pool;
  EsPoolItem *item;

  if (self->group == NULL)
    self->group = new_group (self);
  item = &self->group->items[self->group->n_items++];
  item->message = g_bytes_ref (message);
  item->address = g_object_ref (address);
  enter (self);
  if (self->group->n_items == GROUP_SIZE)
    es_pool_commit (self);
}

/* Gives what was added to the threads. */
void
es_pool_commit (EsPool *self)
{
  EsPoolGroup *group = g_steal_pointer (&self->group);
  guint n_helpers;

  if (group == NULL)
    return;
  n_helpers = MIN (self->n_threads, group->n_items);
  for (guint i = 1; i < n_helpers; i++)
    g_atomic_ref_count_inc (&group->n_refs);
  for (guint i = 0; i < n_helpers; i++)
    g_thread_pool_push (self->threads, group, NULL);
}
