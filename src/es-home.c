/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-home.h"

/*
 * Where an endpoint lives: its main context, and the thread that started it there. Everything here
 * is thread-safe.
 */

struct _EsHome
{
  /* Under the lock. */
  GMutex lock;
  GMainContext *context; /* (owned) */
  GThread *thread;       /* (borrowed) only compared */
};

/* At home with the calling thread. */
EsHome *
es_home_new (void)
{
  EsHome *self = g_new0 (EsHome, 1);

  g_mutex_init (&self->lock);
  self->context = g_main_context_ref_thread_default ();
  self->thread = g_thread_self ();
  return self;
}

void
es_home_free (EsHome *self)
{
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* (transfer full) */
GMainContext *
es_home_ref_context (EsHome *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return g_main_context_ref (self->context);
}

/* Whether the calling thread runs the context. */
gboolean
es_home_is_here (EsHome *self)
{
  g_autoptr (GMainContext) context = es_home_ref_context (self);

  return g_main_context_is_owner (context);
}

static gboolean
is_thread (EsHome *self,
           GThread *thread)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->thread == thread;
}

/* (transfer full) (nullable) Enters the context if this is the thread that runs it, or that is at
 * home there and nobody else runs it now. */
GMainContext *
es_home_enter (EsHome *self)
{
  g_autoptr (GMainContext) context = es_home_ref_context (self);

  if (!g_main_context_is_owner (context) && !is_thread (self, g_thread_self ()))
    return NULL;
  return g_main_context_acquire (context) ? g_steal_pointer (&context) : NULL;
}

/* Leaves the context that was entered (transfer full). */
void
es_home_leave (GMainContext *context)
{
  g_main_context_release (context);
  g_main_context_unref (context);
}

/* Moves to another context (owned) and thread, and gives back those before in their place. */
void
es_home_exchange (EsHome *self,
                  GMainContext **context,
                  GThread **thread)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GMainContext *old_context = self->context;
  GThread *old_thread = self->thread;

  self->context = *context;
  self->thread = *thread;
  *context = old_context;
  *thread = old_thread;
}

/* Calls a function in the context. It is never called before this returns, whoever calls. */
void
es_home_call_later (EsHome *self,
                    GSourceFunc func,
                    gpointer data,
                    GDestroyNotify destroy)
{
  g_autoptr (GMainContext) context = es_home_ref_context (self);
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, func, data, destroy);
  g_source_attach (source, context);
}
