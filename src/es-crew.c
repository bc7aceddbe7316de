/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-crew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

/*
 * The lanes of an endpoint that runs, and who runs them: a lane alone is run by the endpoint's own
 * context, several each by a worker, which is a thread with a context for that lane. Workers share
 * nothing on the way of a datagram.
 */

typedef struct
{
  /* Set when made, then only read. */
  EsLane *lane;          /* (owned) (nullable) */
  GMainContext *context; /* (owned) (nullable) the thread's */
  GThread *thread;       /* (owned) (nullable) */
  gpointer owner;        /* (borrowed) */

  /* Any thread. */
  atomic_bool is_quitting;
} EsWorker;

struct _EsCrew
{
  GPtrArray *workers; /* (owned) of EsWorker, at least one */
};

/* (transfer full) (nullable) A context for a worker. GLib ends the process where it has no
 * descriptor for one, and so that is found out first. */
static GMainContext *
make_context (GSocket *socket,
              GError **error)
{
  int spare = fcntl (g_socket_get_fd (socket), F_DUPFD_CLOEXEC, 0);

  if (spare >= 0)
    {
      close (spare);
      return g_main_context_new ();
    }
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "Could not start a worker: %s",
               g_strerror (errno));
  return NULL;
}

static gpointer
run_worker (gpointer data)
{
  EsWorker *self = data;

  g_main_context_push_thread_default (self->context);
  es_lane_begin_work (self->owner);
  while (!atomic_load (&self->is_quitting))
    g_main_context_iteration (self->context, TRUE);
  es_lane_close (self->lane);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static gboolean
start_thread (EsWorker *self,
              GError **error)
{
  self->thread = g_thread_try_new ("es-worker", run_worker, self, error);
  if (self->thread == NULL)
    g_prefix_error (error, "Could not start a worker: ");
  return self->thread != NULL;
}

static void
quit_worker (EsWorker *self)
{
  if (self->thread == NULL)
    return;
  atomic_store (&self->is_quitting, TRUE);
  g_main_context_wakeup (self->context);
}

static void
free_worker (gpointer data)
{
  EsWorker *self = data;

  g_clear_pointer (&self->lane, es_lane_unref);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_free (self);
}

/* @context: the context that runs the lane, or NULL for a thread of its own. */
static gboolean
add_worker (EsCrew *self,
            const EsLaneConfig *config,
            const EsLaneFuncs *funcs,
            GObject *owner,
            GMainContext *context,
            GError **error)
{
  EsWorker *worker = g_new0 (EsWorker, 1);

  g_ptr_array_add (self->workers, worker);
  worker->owner = owner;
  if (context == NULL && (worker->context = make_context (config->socket, error)) == NULL)
    return FALSE;
  worker->lane = es_lane_new (config, funcs, owner, context != NULL ? context : worker->context,
                              error);
  return worker->lane != NULL && (context != NULL || start_thread (worker, error));
}

/* A crew that is at work, a lane for each of the sockets; or NULL with the error. */
EsCrew *
es_crew_new (GPtrArray *sockets,
             const EsLaneConfig *config,
             const EsLaneFuncs *funcs,
             GObject *owner,
             GMainContext *context,
             GError **error)
{
  EsCrew *self = g_new0 (EsCrew, 1);

  self->workers = g_ptr_array_new_with_free_func (free_worker);
  for (guint i = 0; i < sockets->len; i++)
    {
      EsLaneConfig own = *config;

      own.socket = sockets->pdata[i];
      own.has_worker = sockets->len > 1;
      own.ignores_broadcasts = i > 0;
      if (!add_worker (self, &own, funcs, owner, sockets->len == 1 ? context : NULL, error))
        {
          es_crew_free (self);
          return NULL;
        }
    }
  return self;
}

/* Closes all lanes, in the endpoint's context. */
void
es_crew_close (EsCrew *self)
{
  g_ptr_array_foreach (self->workers, (GFunc) (void (*) (void)) quit_worker, NULL);
  for (guint i = 0; i < self->workers->len; i++)
    {
      EsWorker *worker = self->workers->pdata[i];

      if (worker->thread != NULL)
        g_thread_join (g_steal_pointer (&worker->thread));
      else if (worker->lane != NULL)
        es_lane_close (worker->lane);
    }
}

void
es_crew_free (EsCrew *self)
{
  es_crew_close (self);
  g_ptr_array_unref (self->workers);
  g_free (self);
}

/* (transfer none) The lane that a send takes which comes from none. Thread-safe. */
EsLane *
es_crew_get_first_lane (EsCrew *self)
{
  EsWorker *first = self->workers->pdata[0];

  return first->lane;
}

void
es_crew_foreach_lane (EsCrew *self,
                      EsLaneVisitFunc func,
                      gpointer data)
{
  for (guint i = 0; i < self->workers->len; i++)
    func (((EsWorker *) self->workers->pdata[i])->lane, data);
}

static void
add_lane_stats (EsLane *lane,
                gpointer data)
{
  es_lane_add_stats (lane, data);
}

/* Adds what the lanes did so far. Thread-safe. */
void
es_crew_add_stats (EsCrew *self,
                   EsStats *stats)
{
  es_crew_foreach_lane (self, add_lane_stats, stats);
}
