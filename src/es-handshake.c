/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-handshake.h"

/*
 * A client's handshake with its server, on a connected socket that nobody else reads yet. What the
 * client was doing before goes on meanwhile, and has changed nowhere when the handshake fails.
 */

#define MAX_DATAGRAM 65536

typedef struct
{
  GSocket *socket;        /* (owned) */
  EsDtlsSession *session; /* (owned) */
  guint8 *buffer;         /* (owned) */
  GSource *reader;        /* (owned) */
  GSource *timer;         /* (owned) */
  gint64 give_up;         /* monotonic microseconds */
} EsHandshake;

static void
destroy_source (GSource **source)
{
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
free_handshake (gpointer data)
{
  EsHandshake *self = data;

  es_dtls_session_unref (self->session);
  g_object_unref (self->socket);
  g_free (self->buffer);
  g_free (self);
}

/* What a datagram is lost for, the next one may find mended. */
static void
push_cb (gpointer data,
         EsDtlsSession *session,
         GBytes *datagram)
{
  gsize size;
  gconstpointer bytes = g_bytes_get_data (datagram, &size);

  g_socket_send (data, bytes, size, NULL, NULL);
}

/* Ends the task: @error (transfer full) (nullable). The sources hold references to it. */
static void
finish (GTask *task,
        GError *error)
{
  EsHandshake *self = g_task_get_task_data (task);
  g_autoptr (GTask) holder = g_object_ref (task);

  destroy_source (&self->reader);
  destroy_source (&self->timer);
  if (error != NULL)
    g_task_return_error (holder, error);
  else
    g_task_return_boolean (holder, TRUE);
}

static void
step (GTask *task)
{
  EsHandshake *self = g_task_get_task_data (task);
  gint64 now = g_get_monotonic_time ();
  GError *error = NULL;

  if (now >= self->give_up)
    finish (task, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                       "The handshake was not answered in time"));
  else if (!es_dtls_session_step (self->session, push_cb, self->socket, &error) ||
           es_dtls_session_get_state (self->session) == ES_DTLS_ESTABLISHED)
    finish (task, error);
  else
    g_source_set_ready_time (
      self->timer,
      MIN (self->give_up, now + (gint64) MAX (1, es_dtls_session_get_wait (self->session)) * 1000));
}

/* Also called when the handshake is cancelled. */
static gboolean
readable_cb (GSocket *socket,
             GIOCondition condition,
             gpointer user_data)
{
  GTask *task = user_data;
  EsHandshake *self = g_task_get_task_data (task);
  GError *error = NULL;
  gssize n;

  if (g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error))
    {
      finish (task, error);
      return G_SOURCE_CONTINUE;
    }
  n = g_socket_receive (socket, (char *) self->buffer, MAX_DATAGRAM, NULL, &error);
  if (n >= 0 && es_dtls_session_feed (self->session, self->buffer, n))
    step (task);
  else if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    finish (task, error);
  else
    g_clear_error (&error);
  return G_SOURCE_CONTINUE;
}

static gboolean
time_cb (gpointer user_data)
{
  step (user_data);
  return G_SOURCE_CONTINUE;
}

static gboolean
dispatch_timer (GSource *source,
                GSourceFunc callback,
                gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { NULL, NULL, dispatch_timer, NULL, NULL, NULL };

static void
attach_sources (GTask *task)
{
  EsHandshake *self = g_task_get_task_data (task);

  self->reader = g_socket_create_source (self->socket, G_IO_IN, g_task_get_cancellable (task));
  g_source_set_callback (self->reader, G_SOURCE_FUNC (readable_cb), g_object_ref (task),
                         g_object_unref);
  g_source_attach (self->reader, g_task_get_context (task));
  self->timer = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_static_name (self->timer, "EsHandshake");
  g_source_set_callback (self->timer, time_cb, g_object_ref (task), g_object_unref);
  /* The first step is taken there, too. */
  g_source_set_ready_time (self->timer, 0);
  g_source_attach (self->timer, g_task_get_context (task));
}

/* Takes a session to the end of its handshake. Errors: those of the handshake, and what the kernel
 * says. */
void
es_handshake_run_async (GSocket *socket,
                        EsDtlsSession *session,
                        guint timeout_ms,
                        GCancellable *cancellable,
                        GAsyncReadyCallback callback,
                        gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (socket, cancellable, callback, user_data);
  EsHandshake *self = g_new0 (EsHandshake, 1);

  g_task_set_source_tag (task, es_handshake_run_async);
  self->socket = g_object_ref (socket);
  self->session = es_dtls_session_ref (session);
  self->buffer = g_malloc (MAX_DATAGRAM);
  self->give_up = g_get_monotonic_time () + (gint64) timeout_ms * 1000;
  g_task_set_task_data (task, self, free_handshake);
  attach_sources (task);
}

gboolean
es_handshake_run_finish (GAsyncResult *result,
                         GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
take_result_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* The same, while nothing else of this thread goes on. */
gboolean
es_handshake_run (GSocket *socket,
                  EsDtlsSession *session,
                  guint timeout_ms,
                  GCancellable *cancellable,
                  GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GAsyncResult) result = NULL;

  g_main_context_push_thread_default (context);
  es_handshake_run_async (socket, session, timeout_ms, cancellable, take_result_cb, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  return es_handshake_run_finish (result, error);
}
