/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-job-list.h"

#include "es-job-private.h"

/*
 * The jobs of an endpoint that run or may still be started. The lock of a job comes before that of
 * the list, so the list asks nothing of a job under its own.
 */

struct _EsJobList
{
  /* Set when made, then only read. */
  EsEndpoint *endpoint; /* (borrowed) */

  /* Under the lock. */
  GMutex lock;
  GCond gone;
  GPtrArray *jobs; /* (owned) of (owned) EsJob */
  guint n_threads; /* of jobs, be it that their functions have returned */
};

static void
on_job_begin (gpointer owner)
{
  EsJobList *self = owner;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->n_threads++;
}

/* Nobody needs to end the job any more. */
static void
on_job_end (gpointer owner,
            EsJob *job)
{
  es_job_list_remove (owner, job);
}

static void
on_job_gone (gpointer owner)
{
  EsJobList *self = owner;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->n_threads--;
  g_cond_broadcast (&self->gone);
}

static const EsJobFuncs job_funcs = { on_job_begin, on_job_end, on_job_gone };

/* (transfer full) The jobs of this moment. */
static GPtrArray *
dup_jobs (EsJobList *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *jobs = g_ptr_array_new_full (self->jobs->len, g_object_unref);

  for (guint i = 0; i < self->jobs->len; i++)
    g_ptr_array_add (jobs, g_object_ref (self->jobs->pdata[i]));
  return jobs;
}

/* (transfer full) (nullable) */
static EsJob *
ref_running_job (EsJobList *self)
{
  g_autoptr (GPtrArray) jobs = dup_jobs (self);

  for (guint i = 0; i < jobs->len; i++)
    if (es_job_is_running (jobs->pdata[i]))
      return g_object_ref (jobs->pdata[i]);
  return NULL;
}

/* Asks all jobs first, so that they end side by side. */
static void
cancel_jobs (EsJobList *self)
{
  g_autoptr (GPtrArray) jobs = dup_jobs (self);

  for (guint i = 0; i < jobs->len; i++)
    if (es_job_is_running (jobs->pdata[i]))
      g_cancellable_cancel (es_job_get_cancellable (jobs->pdata[i]));
}

static void
stop_jobs (EsJobList *self)
{
  EsJob *job;

  cancel_jobs (self);
  while ((job = ref_running_job (self)) != NULL)
    {
      es_job_stop (job);
      g_object_unref (job);
    }
}

/* @endpoint: whose jobs they are; it owns the list. */
EsJobList *
es_job_list_new (EsEndpoint *endpoint)
{
  EsJobList *self = g_new0 (EsJobList, 1);

  g_mutex_init (&self->lock);
  g_cond_init (&self->gone);
  self->endpoint = endpoint;
  self->jobs = g_ptr_array_new_with_free_func (g_object_unref);
  return self;
}

/* Frees the list once it was ended and detached. */
void
es_job_list_free (EsJobList *self)
{
  g_ptr_array_unref (self->jobs);
  g_cond_clear (&self->gone);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* (transfer full) A job that was not started. Thread-safe. */
EsJob *
es_job_list_append_new (EsJobList *self,
                        const char *name,
                        EsJobFunc func,
                        gpointer user_data,
                        GDestroyNotify destroy)
{
  EsJob *job = es_job_new (name, self->endpoint, func, user_data, destroy, &job_funcs, self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_ptr_array_add (self->jobs, g_object_ref (job));
  return job;
}

/* Removes a job that the caller holds a reference of, if it is there. Thread-safe. */
void
es_job_list_remove (EsJobList *self,
                    EsJob *job)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_ptr_array_remove (self->jobs, job);
}

/* Whether the calling thread is that of one of the jobs. Thread-safe. */
gboolean
es_job_list_has_own_thread (EsJobList *self)
{
  g_autoptr (GPtrArray) jobs = dup_jobs (self);

  for (guint i = 0; i < jobs->len; i++)
    if (es_job_is_own_thread (jobs->pdata[i]))
      return TRUE;
  return FALSE;
}

/* Ends the jobs, and waits until their threads are gone. */
void
es_job_list_end (EsJobList *self)
{
  g_autoptr (GMutexLocker) locker = NULL;

  stop_jobs (self);
  locker = g_mutex_locker_new (&self->lock);
  while (self->n_threads > 0)
    g_cond_wait (&self->gone, &self->lock);
}

/* Lets the jobs that were not started forget the endpoint, which goes: they never will be. */
void
es_job_list_detach (EsJobList *self)
{
  g_autoptr (GPtrArray) jobs = dup_jobs (self);

  for (guint i = 0; i < jobs->len; i++)
    es_job_detach (jobs->pdata[i]);
}
