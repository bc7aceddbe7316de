/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-job-private.h"

/**
 * EsJob:
 *
 * A function in a thread of its own, that belongs to an endpoint.
 *
 * Made by [method@Endpoint.create_job]. A job runs once. It speaks to its endpoint by functions
 * that are thread-safe, above all the sends:
 *
 * ```c
 * static void
 * announce (EsJob *job, EsEndpoint *endpoint, gpointer user_data)
 * {
 *   while (es_job_sleep (job, 10 * 1000))
 *     es_endpoint_send_text (endpoint, "still here", user_data, NULL);
 * }
 * ```
 *
 * The endpoint outlives its jobs: when it is stopped or goes away, it ends them and waits for
 * them. So a job ends soon after [method@Job.sleep] has returned %FALSE, or after its cancellable
 * was cancelled.
 *
 * ## Threads
 *
 * Everything here is thread-safe.
 */

/* So long stopping waits before it says, each time again, which job it waits for. */
#define PATIENCE_USEC G_USEC_PER_SEC

/* What Linux shows of a thread's name, with its NUL byte. It refuses longer names as a whole. */
#define THREAD_NAME_SIZE 16

typedef enum
{
  ES_JOB_NEW,
  ES_JOB_RUNNING,
  ES_JOB_ENDED,
} EsJobState;

struct _EsJob
{
  GObject parent_instance;

  /* Set before the thread starts, then only read. */
  char *name;                /* (owned) */
  GCancellable *cancellable; /* (owned) */
  gulong cancelled_id;
  EsJobFunc func;
  gpointer user_data;
  GDestroyNotify destroy;  /* (nullable) */
  const EsJobFuncs *funcs; /* (borrowed) */
  gpointer owner;          /* (borrowed) gone with the endpoint */

  /* Under the lock, which comes before the owner's. */
  GMutex lock;
  GCond changed;
  EsEndpoint *endpoint; /* (borrowed) (nullable) gone */
  EsJobState state;
  GThread *thread; /* (owned) (nullable) until somebody joins it */
  gboolean is_cancelled;
  gboolean is_woken; /* the sleep, or the next one, is to end */
};

G_DEFINE_FINAL_TYPE (EsJob, es_job, G_TYPE_OBJECT)

static void
release_user_data (EsJob *self)
{
  GDestroyNotify destroy = g_steal_pointer (&self->destroy);

  if (destroy != NULL)
    destroy (g_steal_pointer (&self->user_data));
}

static void
es_job_dispose (GObject *object)
{
  EsJob *self = ES_JOB (object);

  release_user_data (self);
  G_OBJECT_CLASS (es_job_parent_class)->dispose (object);
}

static void
es_job_finalize (GObject *object)
{
  EsJob *self = ES_JOB (object);

  g_cancellable_disconnect (self->cancellable, self->cancelled_id);
  g_object_unref (self->cancellable);
  g_clear_pointer (&self->thread, g_thread_unref);
  g_free (self->name);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (es_job_parent_class)->finalize (object);
}

static void
es_job_class_init (EsJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = es_job_dispose;
  object_class->finalize = es_job_finalize;
}

static void
wake_sleepers (GCancellable *cancellable,
               gpointer user_data)
{
  EsJob *self = user_data;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->is_cancelled = TRUE;
  g_cond_broadcast (&self->changed);
}

static void
es_job_init (EsJob *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->cancellable = g_cancellable_new ();
  self->cancelled_id =
    g_cancellable_connect (self->cancellable, G_CALLBACK (wake_sleepers), self, NULL);
}

/* (transfer full) A job that was not started. */
EsJob *
es_job_new (const char *name,
            EsEndpoint *endpoint,
            EsJobFunc func,
            gpointer user_data,
            GDestroyNotify destroy,
            const EsJobFuncs *funcs,
            gpointer owner)
{
  EsJob *self = g_object_new (ES_TYPE_JOB, NULL);

  self->name = g_strdup (name);
  self->endpoint = endpoint;
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  self->funcs = funcs;
  self->owner = owner;
  return self;
}

/* Lets a job that was not started forget its endpoint, which goes: it never will be. */
void
es_job_detach (EsJob *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->state == ES_JOB_NEW)
    self->endpoint = NULL;
}

/* Whether the calling thread is the job's. */
gboolean
es_job_is_own_thread (EsJob *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->thread == g_thread_self ();
}

static gpointer
run_job (gpointer data)
{
  EsJob *self = data;
  const EsJobFuncs *funcs = self->funcs;
  gpointer owner = self->owner;

  self->func (self, self->endpoint, self->user_data);
  release_user_data (self);
  funcs->end (owner, self);
  g_mutex_lock (&self->lock);
  self->state = ES_JOB_ENDED;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  g_object_unref (self);
  funcs->gone (owner);
  return NULL;
}

static gboolean
check_startable (EsJob *self,
                 GError **error)
{
  if (self->state == ES_JOB_NEW && self->endpoint != NULL)
    return TRUE;
  if (self->state == ES_JOB_NEW)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                 "Could not start job “%s”: Its endpoint is gone", self->name);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS, "Could not start job “%s”: A job runs once",
                 self->name);
  return FALSE;
}

/**
 * es_job_start:
 * @self: a job
 * @error: return location for a #GError
 *
 * Starts the job's thread.
 *
 * Thread-safe. Errors: %G_IO_ERROR_EXISTS if the job was started or stopped before,
 * %G_IO_ERROR_CLOSED if its endpoint is gone, %G_THREAD_ERROR_AGAIN if the system has no more
 * threads.
 *
 * Returns: %TRUE if the job runs
 */
gboolean
es_job_start (EsJob *self,
              GError **error)
{
  g_autoptr (GMutexLocker) locker = NULL;
  char name[THREAD_NAME_SIZE];

  g_return_val_if_fail (ES_IS_JOB (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  locker = g_mutex_locker_new (&self->lock);
  if (!check_startable (self, error))
    return FALSE;
  g_strlcpy (name, self->name, sizeof name);
  self->funcs->begin (self->owner);
  self->thread = g_thread_try_new (name, run_job, self, error);
  if (self->thread == NULL)
    {
      self->funcs->gone (self->owner);
      g_prefix_error (error, "Could not start job “%s”: ", self->name);
      return FALSE;
    }
  g_object_ref (self);
  self->state = ES_JOB_RUNNING;
  return TRUE;
}

/* Waits, under the lock, until the function has returned. */
static void
wait_for_end (EsJob *self)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_USEC;

  while (self->state == ES_JOB_RUNNING)
    if (!g_cond_wait_until (&self->changed, &self->lock, deadline))
      {
        g_debug ("Still waiting for job “%s” to end", self->name);
        deadline += PATIENCE_USEC;
      }
}

/* Ends, under the lock, a job that was not started: it never will be, and nobody keeps it for that
 * any more. */
static void
give_up_start (EsJob *self)
{
  self->state = ES_JOB_ENDED;
  if (self->endpoint != NULL)
    self->funcs->end (self->owner, self);
}

/**
 * es_job_stop:
 * @self: a job
 *
 * Asks the job to end and waits until it has. In the job's own thread it only asks.
 *
 * A job that was never started is not to be started afterwards. Thread-safe.
 */
void
es_job_stop (EsJob *self)
{
  g_autoptr (GThread) thread = NULL;

  g_return_if_fail (ES_IS_JOB (self));

  g_cancellable_cancel (self->cancellable);
  g_mutex_lock (&self->lock);
  if (self->state == ES_JOB_NEW)
    give_up_start (self);
  if (self->thread != g_thread_self ())
    {
      wait_for_end (self);
      thread = g_steal_pointer (&self->thread);
    }
  g_mutex_unlock (&self->lock);
  if (thread != NULL)
    g_thread_join (g_steal_pointer (&thread));
}

/**
 * es_job_sleep:
 * @self: a job
 * @milliseconds: how long to sleep, in milliseconds
 *
 * Sleeps until the time is over, [method@Job.wake] is called, or the job is to end.
 *
 * It is the condition of a job's loop: `while (es_job_sleep (job, 1000)) …`. Thread-safe.
 *
 * Returns: %TRUE if the time is over or the job was woken, %FALSE as soon as it is to end
 */
gboolean
es_job_sleep (EsJob *self,
              guint milliseconds)
{
  gint64 deadline = g_get_monotonic_time () + (gint64) milliseconds * G_TIME_SPAN_MILLISECOND;
  g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (ES_IS_JOB (self), FALSE);

  locker = g_mutex_locker_new (&self->lock);
  while (!self->is_cancelled && !self->is_woken &&
         g_cond_wait_until (&self->changed, &self->lock, deadline))
    ;
  self->is_woken = FALSE;
  return !self->is_cancelled;
}

/**
 * es_job_wake:
 * @self: a job
 *
 * Ends the job's sleep, or its next one at once if it does not sleep now.
 *
 * So a job sleeps until there is something to do, and misses nothing that came while it was busy.
 * Several calls before a sleep end that one alone. Thread-safe.
 */
void
es_job_wake (EsJob *self)
{
  g_autoptr (GMutexLocker) locker = NULL;

  g_return_if_fail (ES_IS_JOB (self));

  locker = g_mutex_locker_new (&self->lock);
  self->is_woken = TRUE;
  g_cond_broadcast (&self->changed);
}

/**
 * es_job_is_running:
 * @self: a job
 *
 * Tells whether the job's function runs.
 *
 * Thread-safe.
 *
 * Returns: %TRUE from a start until the function has returned
 */
gboolean
es_job_is_running (EsJob *self)
{
  g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (ES_IS_JOB (self), FALSE);

  locker = g_mutex_locker_new (&self->lock);
  return self->state == ES_JOB_RUNNING;
}

/**
 * es_job_get_name:
 * @self: a job
 *
 * Gets the name that ps, top and debuggers show, of which Linux shows the first 15 bytes
 * (prctl(2), PR_SET_NAME).
 *
 * Thread-safe.
 *
 * Returns: (transfer none): the name
 */
const char *
es_job_get_name (EsJob *self)
{
  g_return_val_if_fail (ES_IS_JOB (self), NULL);

  return self->name;
}

/**
 * es_job_get_cancellable:
 * @self: a job
 *
 * Gets what is cancelled when the job is to end, to be given to calls that wait.
 *
 * Thread-safe.
 *
 * Returns: (transfer none): the cancellable
 */
GCancellable *
es_job_get_cancellable (EsJob *self)
{
  g_return_val_if_fail (ES_IS_JOB (self), NULL);

  return self->cancellable;
}
