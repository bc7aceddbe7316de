/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-pool.h"

#include <stdatomic.h>

/*
 * Handlers on threads. Messages reach the threads in groups, each by one lock and one wake-up. Who
 * works on a group claims one message at a time, by counting up. Where quick handlers come to the
 * end of a group in no time, more threads would only cost wake-ups: so one idle thread watches, and
 * when a group is a millisecond old the others help with it. A handler that blocks holds up other
 * messages for as long as that.
 */

#define GROUP_SIZE 64
#define PATIENCE_USEC 1000

typedef struct
{
  GBytes *message;         /* (owned) */
  GSocketAddress *address; /* (owned) */
} EsPoolItem;

typedef struct
{
  /* Under the pool's lock. */
  guint n_refs;
  gint64 begun; /* when the first thread began with it, monotonic microseconds; 0: none has */

  guint n_items;
  atomic_uint next; /* the next item to claim */
  EsPoolItem items[GROUP_SIZE];
} EsPoolGroup;

struct _EsPool
{
  /* Set when made, then only read. */
  GPtrArray *threads; /* (owned) of GThread, joined when the pool is freed */
  EsPoolFuncs funcs;
  gpointer owner; /* (borrowed) */

  /* The adder's thread only. */
  EsPoolGroup *group; /* (owned) (nullable) not yet given to the threads */

  /* Under the lock. */
  GMutex lock;
  GCond has_work;
  GQueue groups; /* of (owned) EsPoolGroup, until all of it is claimed */
  guint n_idle;
  gboolean is_watched; /* an idle thread wakes up by itself to see whether help is needed */
  guint64 n_unhandled;
  guint64 n_bytes_unhandled;

  /* Any thread. */
  atomic_uint n_waiting;
  atomic_bool is_crowded;
  atomic_bool is_closing;
};

static void
clear_item (EsPoolItem *item)
{
  g_clear_pointer (&item->message, g_bytes_unref);
  g_clear_object (&item->address);
}

/* What is still in a group nobody has come to. */
static void
free_group (EsPool *self,
            EsPoolGroup *group)
{
  for (guint i = 0; i < group->n_items; i++)
    if (group->items[i].message != NULL)
      {
        self->n_unhandled++;
        self->n_bytes_unhandled += g_bytes_get_size (group->items[i].message);
        clear_item (&group->items[i]);
      }
  g_free (group);
}

static void
unref_group (EsPool *self,
             EsPoolGroup *group)
{
  if (--group->n_refs == 0)
    free_group (self, group);
}

static void
set_free_again (EsPool *self)
{
  if (atomic_exchange (&self->is_crowded, FALSE))
    self->funcs.crowded (self->owner, FALSE);
}

static void
leave (EsPool *self)
{
  if (atomic_fetch_sub (&self->n_waiting, 1) == ES_POOL_MAX_WAITING / 2)
    set_free_again (self);
}

static void
work_on (EsPool *self,
         EsPoolGroup *group)
{
  guint i;

  while (!atomic_load (&self->is_closing) &&
         (i = atomic_fetch_add (&group->next, 1)) < group->n_items)
    {
      EsPoolItem *item = &group->items[i];

      leave (self);
      self->funcs.handle (self->owner, item->message, item->address);
      clear_item (item);
    }
  self->funcs.settle (self->owner);
}

static gboolean
is_claimed (EsPoolGroup *group)
{
  return atomic_load (&group->next) >= group->n_items;
}

/* (nullable) Under the lock: a group that no thread has begun with, or that takes long. */
static EsPoolGroup *
find_group (EsPool *self)
{
  gint64 now = g_get_monotonic_time ();

  for (GList *link = self->groups.head; link != NULL; link = link->next)
    {
      EsPoolGroup *group = link->data;

      if (!is_claimed (group) && now - group->begun >= PATIENCE_USEC)
        return group;
    }
  return NULL;
}

/* Finds a group of which not all is claimed. */
static int
compare_unclaimed (gconstpointer group,
                   gconstpointer unused)
{
  return is_claimed ((EsPoolGroup *) group);
}

/* Under the lock: sleeps until there is work, or, if it is this thread that watches, until there
 * may be. */
static void
sleep_idle (EsPool *self)
{
  gboolean watches = !self->is_watched &&
                     g_queue_find_custom (&self->groups, NULL, compare_unclaimed) != NULL;

  self->n_idle++;
  self->is_watched = self->is_watched || watches;
  if (watches)
    g_cond_wait_until (&self->has_work, &self->lock, g_get_monotonic_time () + PATIENCE_USEC);
  else
    g_cond_wait (&self->has_work, &self->lock);
  if (watches)
    self->is_watched = FALSE;
  self->n_idle--;
}

/* (nullable) Under the lock: waits for a group that needs a thread. NULL: the pool closes. */
static EsPoolGroup *
wait_for_group (EsPool *self)
{
  EsPoolGroup *group = NULL;
  gboolean is_long;

  while (!atomic_load (&self->is_closing) && (group = find_group (self)) == NULL)
    sleep_idle (self);
  if (group == NULL || atomic_load (&self->is_closing))
    return NULL;
  is_long = group->begun > 0;
  if (!is_long)
    group->begun = g_get_monotonic_time ();
  group->n_refs++;
  /* The next one either helps, too, or watches. */
  if (self->n_idle > 0 && (is_long || (!self->is_watched && group->n_items > 1)))
    g_cond_signal (&self->has_work);
  return group;
}

/* Under the lock: leaves a group, of which nothing is left to claim. */
static void
leave_group (EsPool *self,
             EsPoolGroup *group)
{
  if (!atomic_load (&self->is_closing) && g_queue_remove (&self->groups, group))
    unref_group (self, group);
  unref_group (self, group);
}

static gpointer
run_thread (gpointer data)
{
  EsPool *self = data;
  EsPoolGroup *group;

  g_mutex_lock (&self->lock);
  while ((group = wait_for_group (self)) != NULL)
    {
      g_mutex_unlock (&self->lock);
      work_on (self, group);
      g_mutex_lock (&self->lock);
      leave_group (self, group);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
join_thread (gpointer thread)
{
  g_thread_join (thread);
}

static gboolean
start_threads (EsPool *self,
               guint n_threads,
               GError **error)
{
  for (guint i = 0; i < n_threads; i++)
    {
      GThread *thread = g_thread_try_new ("es-pool", run_thread, self, error);

      if (thread == NULL)
        {
          g_prefix_error (error, "Could not make %u threads: ", n_threads);
          return FALSE;
        }
      g_ptr_array_add (self->threads, thread);
    }
  return TRUE;
}

/* A pool whose threads wait for work, or NULL with the error if not all of them could be made. It
 * is crowded when so many messages wait that no more are to be added, until half the places are
 * free. */
EsPool *
es_pool_new (guint n_threads,
             const EsPoolFuncs *funcs,
             gpointer owner,
             GError **error)
{
  EsPool *self = g_new0 (EsPool, 1);

  g_mutex_init (&self->lock);
  g_cond_init (&self->has_work);
  g_queue_init (&self->groups);
  self->threads = g_ptr_array_new_with_free_func (join_thread);
  self->funcs = *funcs;
  self->owner = owner;
  if (start_threads (self, n_threads, error))
    return self;
  es_pool_free (self, NULL, NULL);
  return NULL;
}

/* Waits for the handlers that run. Tells what no handler has seen. */
void
es_pool_free (EsPool *self,
              guint64 *n_messages,
              guint64 *n_bytes)
{
  EsPoolGroup *group;

  es_pool_commit (self);
  g_mutex_lock (&self->lock);
  atomic_store (&self->is_closing, TRUE);
  g_cond_broadcast (&self->has_work);
  g_mutex_unlock (&self->lock);
  g_ptr_array_unref (self->threads);
  while ((group = g_queue_pop_head (&self->groups)) != NULL)
    unref_group (self, group);
  if (n_messages != NULL)
    *n_messages = self->n_unhandled;
  if (n_bytes != NULL)
    *n_bytes = self->n_bytes_unhandled;
  g_cond_clear (&self->has_work);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static EsPoolGroup *
new_group (void)
{
  EsPoolGroup *group = g_new0 (EsPoolGroup, 1);

  group->n_refs = 1;
  return group;
}

/* Counts one more in. Who finds the pool full says so first, and then looks again: the threads may
 * have made room meanwhile. */
static void
enter (EsPool *self)
{
  if (atomic_fetch_add (&self->n_waiting, 1) + 1 < ES_POOL_MAX_WAITING)
    return;
  self->funcs.crowded (self->owner, TRUE);
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
    self->group = new_group ();
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
  g_autoptr (GMutexLocker) locker = NULL;

  if (self->group == NULL)
    return;
  locker = g_mutex_locker_new (&self->lock);
  g_queue_push_tail (&self->groups, g_steal_pointer (&self->group));
  g_cond_signal (&self->has_work);
}
