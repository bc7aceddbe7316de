/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-requests.h"

#include "es-endpoint-private.h"

#include <stdatomic.h>

/*
 * The requests that wait for their answers. With a match function all are under way at once, and
 * it says whose an answer is; without one, one is under way and the others wait for their turn.
 * Whoever takes a request out of the queues ends it: with its answer, out of time, cancelled, or
 * because the endpoint stops.
 */

/* A wait is doubled each time, up to so many microseconds. */
#define MAX_WAIT (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)

typedef struct
{
  /* Set when made, then only read. */
  EsRequests *requests; /* (borrowed) outlives the request's task */
  GTask *task;          /* (owned) */
  GBytes *message;      /* (owned) */
  guint retries;
  GSource *cancelled; /* (owned) (nullable) */
  gulong cancelled_id;

  /* Under the lock. */
  gboolean is_pending;
  guint n_sent;
  gint64 wait; /* microseconds */
  gint64 due;  /* monotonic microseconds */
} EsRequest;

typedef struct
{
  EsRequestMatchFunc func; /* (nullable) */
  gpointer user_data;
  GDestroyNotify destroy; /* (nullable) */
} EsMatcher;

struct _EsRequests
{
  EsEndpoint *endpoint; /* (borrowed) */

  /* Under the lock. */
  GMutex lock;
  EsMatcher matcher;
  GQueue active;  /* of (owned) EsRequest, sent at least once */
  GQueue waiting; /* of (owned) EsRequest, not sent yet */

  /* Written under the lock, read anywhere. */
  atomic_uint n_active;
};

static void
clear_request (gpointer data)
{
  EsRequest *request = data;

  g_bytes_unref (request->message);
  g_clear_pointer (&request->cancelled, g_source_unref);
  g_object_unref (request->task);
}

static void
unref_request (gpointer data)
{
  g_atomic_rc_box_release_full (data, clear_request);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsRequest, unref_request)

EsRequests *
es_requests_new (EsEndpoint *endpoint)
{
  EsRequests *self = g_new0 (EsRequests, 1);

  g_mutex_init (&self->lock);
  g_queue_init (&self->active);
  g_queue_init (&self->waiting);
  self->endpoint = endpoint;
  return self;
}

static void
clear_matcher (EsMatcher *matcher)
{
  if (matcher->destroy != NULL)
    matcher->destroy (matcher->user_data);
}

void
es_requests_free (EsRequests *self)
{
  g_assert (self->active.length == 0 && self->waiting.length == 0);

  clear_matcher (&self->matcher);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
es_requests_set_match_func (EsRequests *self,
                            EsRequestMatchFunc match,
                            gpointer user_data,
                            GDestroyNotify destroy)
{
  EsMatcher before;

  g_mutex_lock (&self->lock);
  before = self->matcher;
  self->matcher = (EsMatcher){ match, user_data, destroy };
  g_mutex_unlock (&self->lock);
  clear_matcher (&before);
}

/* Takes a request out of the queues. Returns FALSE if another thread was faster. */
static gboolean
claim (EsRequests *self,
       EsRequest *request)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (!request->is_pending)
    return FALSE;
  request->is_pending = FALSE;
  if (!g_queue_remove (&self->active, request))
    g_queue_remove (&self->waiting, request);
  atomic_store (&self->n_active, self->active.length);
  return TRUE;
}

/* Ends a request that was claimed, with an answer or an error. */
static void
finish (EsRequest *request,
        GBytes *response,
        GError *error)
{
  if (request->cancelled != NULL)
    {
      g_clear_signal_handler (&request->cancelled_id, g_task_get_cancellable (request->task));
      g_source_destroy (request->cancelled);
    }
  if (response != NULL)
    g_task_return_pointer (request->task, g_bytes_ref (response), (GDestroyNotify) g_bytes_unref);
  else
    g_task_return_error (request->task, error);
  unref_request (request);
}

static void
send_request (EsRequest *request)
{
  GError *error = NULL;

  if (es_endpoint_send (request->requests->endpoint, request->message, NULL, &error))
    return;
  /* A queue that is full now may not be so when the request is sent again. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) ||
      !claim (request->requests, request))
    g_error_free (error);
  else
    finish (request, NULL, error);
}

/* (transfer full) (nullable) Takes the next request that may be sent for the first time. */
static EsRequest *
take_turn (EsRequests *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  EsRequest *request;

  if (self->matcher.func == NULL && self->active.length > 0)
    return NULL;
  request = g_queue_pop_head (&self->waiting);
  if (request == NULL)
    return NULL;
  request->n_sent = 1;
  request->due = g_get_monotonic_time () + request->wait;
  g_queue_push_tail (&self->active, request);
  atomic_store (&self->n_active, self->active.length);
  return g_atomic_rc_box_acquire (request);
}

/* Sends whatever may be sent for the first time. */
static void
activate_waiting (EsRequests *self)
{
  EsRequest *request;

  while ((request = take_turn (self)) != NULL)
    {
      send_request (request);
      unref_request (request);
    }
}

static gboolean
end_cancelled_cb (gpointer user_data)
{
  EsRequest *request = user_data;
  EsRequests *self = request->requests;

  if (!claim (self, request))
    return G_SOURCE_REMOVE;
  finish (request, NULL,
          g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The request was cancelled"));
  activate_waiting (self);
  return G_SOURCE_REMOVE;
}

static gboolean
dispatch_cancelled (GSource *source,
                    GSourceFunc callback,
                    gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs cancelled_funcs = { NULL, NULL, dispatch_cancelled, NULL, NULL, NULL };

static void
on_cancelled (GCancellable *cancellable,
              gpointer source)
{
  g_source_set_ready_time (source, 0);
}

/* Ends the request in its task's context when it is cancelled in any. g_cancellable_source_new()
 * would do, but leaks what is destroyed while another thread is still cancelling. */
static void
watch_cancellable (EsRequest *request)
{
  GCancellable *cancellable = g_task_get_cancellable (request->task);

  if (cancellable == NULL)
    return;
  request->cancelled = g_source_new (&cancelled_funcs, sizeof (GSource));
  g_source_set_static_name (request->cancelled, "EsRequest");
  g_source_set_priority (request->cancelled, g_task_get_priority (request->task));
  g_source_set_callback (request->cancelled, end_cancelled_cb, g_atomic_rc_box_acquire (request),
                         unref_request);
  g_source_attach (request->cancelled, g_task_get_context (request->task));
  request->cancelled_id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled),
                                                 g_source_ref (request->cancelled),
                                                 (GDestroyNotify) g_source_unref);
}

/* Wakes who waits for the first that is due, since that may be another now. */
static void
wake_timers (EsRequests *self)
{
  g_autoptr (GMainContext) context = es_endpoint_ref_context (self->endpoint);

  g_main_context_wakeup (context);
}

/* Ends a request that came behind those which a stop has ended: from a handler that the stop waits
 * for, whose sends still leave. */
static void
end_if_stopped (EsRequest *request)
{
  EsRequests *self = request->requests;

  if (es_endpoint_is_running (self->endpoint) || !claim (self, request))
    return;
  finish (request, NULL,
          g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED, "The client is stopped"));
}

/* Takes a request over, and ends its task in time. @timeout_ms: how long to wait before it is sent
 * again the first time. Thread-safe. */
void
es_requests_add (EsRequests *self,
                 GTask *task,
                 GBytes *message,
                 guint timeout_ms,
                 guint retries)
{
  g_autoptr (EsRequest) request = g_atomic_rc_box_new0 (EsRequest);

  request->requests = self;
  request->task = g_object_ref (task);
  request->message = g_bytes_ref (message);
  request->retries = retries;
  request->wait = (gint64) timeout_ms * G_TIME_SPAN_MILLISECOND;
  request->is_pending = TRUE;
  /* Under the lock, since the context may be another thread's, which then finds it in the queue. */
  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->waiting, g_atomic_rc_box_acquire (request));
  watch_cancellable (request);
  g_mutex_unlock (&self->lock);
  activate_waiting (self);
  end_if_stopped (request);
  wake_timers (self);
}

/* (transfer full) The requests under way, oldest first, and who matches answers to them. */
static GPtrArray *
dup_active (EsRequests *self,
            EsMatcher *matcher)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *active = g_ptr_array_new_full (self->active.length, unref_request);

  for (GList *link = self->active.head; link != NULL; link = link->next)
    g_ptr_array_add (active, g_atomic_rc_box_acquire (link->data));
  *matcher = self->matcher;
  return active;
}

/* Gives an answer to the oldest request that it matches. Returns FALSE if it matches none.
 * Thread-safe. */
gboolean
es_requests_take_response (EsRequests *self,
                           GBytes *response)
{
  g_autoptr (GPtrArray) active = NULL;
  EsMatcher matcher;

  if (atomic_load_explicit (&self->n_active, memory_order_relaxed) == 0)
    return FALSE;
  active = dup_active (self, &matcher);
  for (guint i = 0; i < active->len; i++)
    {
      EsRequest *request = active->pdata[i];

      if (matcher.func != NULL && !matcher.func (request->message, response, matcher.user_data))
        continue;
      if (!claim (self, request))
        continue;
      finish (request, response, NULL);
      activate_waiting (self);
      return TRUE;
    }
  return FALSE;
}

/* Ends all requests, since the endpoint stops. */
void
es_requests_fail_all (EsRequests *self)
{
  GQueue all = G_QUEUE_INIT;
  EsRequest *request;

  g_mutex_lock (&self->lock);
  while ((request = g_queue_pop_head (&self->active)) != NULL ||
         (request = g_queue_pop_head (&self->waiting)) != NULL)
    {
      request->is_pending = FALSE;
      g_queue_push_tail (&all, request);
    }
  atomic_store (&self->n_active, 0);
  g_mutex_unlock (&self->lock);
  while ((request = g_queue_pop_head (&all)) != NULL)
    finish (request, NULL,
            g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED,
                                 "The client was stopped before an answer came"));
}

/* -1: nothing is due ever. */
static gint64
get_next_due (EsRequests *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gint64 next = -1;

  for (GList *link = self->active.head; link != NULL; link = link->next)
    {
      EsRequest *request = link->data;

      if (next < 0 || request->due < next)
        next = request->due;
    }
  return next;
}

/* (transfer full) (nullable) Takes a request that is due, to be sent again if it may. */
static EsRequest *
take_due (EsRequests *self,
          gint64 now,
          gboolean *is_over)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  for (GList *link = self->active.head; link != NULL; link = link->next)
    {
      EsRequest *request = link->data;

      if (request->due > now)
        continue;
      *is_over = request->n_sent > request->retries;
      request->n_sent++;
      request->wait = MIN (request->wait * 2, MAX_WAIT);
      request->due = now + request->wait;
      return g_atomic_rc_box_acquire (request);
    }
  return NULL;
}

/* Sends again what is due, and ends what was sent often enough. */
static void
check (gpointer data)
{
  EsRequests *self = data;
  gint64 now = g_get_monotonic_time ();
  EsRequest *request;
  gboolean is_over;

  while ((request = take_due (self, now, &is_over)) != NULL)
    {
      if (!is_over)
        send_request (request);
      else if (claim (self, request))
        finish (request, NULL,
                g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                     "The server did not answer in time"));
      unref_request (request);
    }
  activate_waiting (self);
}

typedef struct
{
  GSource parent;
  EsRequests *requests; /* (borrowed) */
} EsRequestTimer;

static gboolean
prepare_timer (GSource *source,
               int *timeout)
{
  gint64 due = get_next_due (((EsRequestTimer *) source)->requests);
  gint64 now = g_source_get_time (source);

  *timeout = due < 0 ? -1 : CLAMP ((due - now + 999) / 1000, 0, G_MAXINT);
  return due >= 0 && due <= now;
}

static gboolean
check_timer (GSource *source)
{
  int timeout;

  return prepare_timer (source, &timeout);
}

static gboolean
on_timer (GSource *source,
          GSourceFunc callback,
          gpointer user_data)
{
  EsRequests *self = ((EsRequestTimer *) source)->requests;
  g_autoptr (EsEndpoint) endpoint = g_object_ref (self->endpoint);

  es_endpoint_run_burst (endpoint, check, self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = { prepare_timer, check_timer, on_timer, NULL, NULL, NULL };

/* (transfer full) What looks after the requests in time, as long as it is not destroyed. */
GSource *
es_requests_attach_timer (EsRequests *self,
                          GMainContext *context)
{
  GSource *source = g_source_new (&timer_funcs, sizeof (EsRequestTimer));

  ((EsRequestTimer *) source)->requests = self;
  g_source_set_static_name (source, "EsRequests");
  g_source_attach (source, context);
  return source;
}
