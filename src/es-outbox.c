/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-outbox.h"

#include "es-wire.h"

#include <stdatomic.h>
#include <string.h>

/*
 * The messages that wait for the kernel, in the order in which they were accepted, under one lock:
 * who sends at once first sends what was held before. Two things make them wait: the sender asked
 * for it, since more is to come in the same dispatch, or the kernel had no room.
 */

/* So much is held at the most before it leaves all the same: more would not be cheaper. */
#define HOLD_MESSAGES 512
#define HOLD_BYTES (1024 * 1024)

/* How long a message is held whose sender may be slow to come to an end. */
#define HURRY_USEC 1000

/* How long a close may try to send what is left. */
#define LINGER_USEC G_USEC_PER_SEC

struct _EsOutbox
{
  /* Set when made, then only read. */
  GSocket *socket;       /* (owned) */
  GMainContext *context; /* (owned) */

  /* Under the lock. */
  GMutex lock;
  EsWire *wire;       /* (owned) */
  EsDeparture *queue; /* (owned) of capacity places, used from head to tail */
  guint capacity;
  guint head;
  guint tail;
  gsize n_bytes;
  GQueue failures;   /* of (owned) EsFailure */
  gboolean is_short; /* a sender was refused for want of room */
  gboolean is_closed;
  EsOutboxCounts counts;

  /* Written under the lock, read anywhere. */
  _Atomic gint64 held_until; /* monotonic microseconds; 0: now; -1: nothing is held */
  atomic_bool is_blocked;
  atomic_bool has_news;
};

/* @context: woken when there is something to do or to tell. */
EsOutbox *
es_outbox_new (GSocket *socket,
               gboolean segments,
               GMainContext *context)
{
  EsOutbox *self = g_new0 (EsOutbox, 1);

  g_mutex_init (&self->lock);
  g_queue_init (&self->failures);
  self->socket = g_object_ref (socket);
  self->context = g_main_context_ref (context);
  self->wire = es_wire_new (socket, segments);
  atomic_init (&self->held_until, -1);
  return self;
}

void
es_failure_clear (EsFailure *self)
{
  g_clear_error (&self->error);
  g_clear_object (&self->address);
}

static void
free_failure (gpointer data)
{
  es_failure_clear (data);
  g_free (data);
}

static void
drop_head (EsOutbox *self,
           guint n)
{
  for (; n > 0; n--)
    {
      EsDeparture *first = &self->queue[self->head++];

      self->n_bytes -= first->size;
      g_clear_pointer (&first->message, g_bytes_unref);
    }
  if (self->head == self->tail)
    self->head = self->tail = 0;
}

static void
drop_tail (EsOutbox *self,
           guint n)
{
  for (; n > 0; n--)
    {
      EsDeparture *last = &self->queue[--self->tail];

      self->n_bytes -= last->size;
      g_clear_pointer (&last->message, g_bytes_unref);
    }
}

void
es_outbox_free (EsOutbox *self)
{
  drop_head (self, self->tail - self->head);
  g_queue_clear_full (&self->failures, free_failure);
  g_free (self->queue);
  es_wire_free (self->wire);
  g_main_context_unref (self->context);
  g_object_unref (self->socket);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
set_news (EsOutbox *self)
{
  atomic_store (&self->has_news, TRUE);
  g_main_context_wakeup (self->context);
}

/* Keeps what went wrong with a message that was accepted, or with an earlier one. */
static void
report (EsOutbox *self,
        const EsDeparture *departure,
        GError *problem)
{
  EsFailure *failure;

  if (self->failures.length >= ES_OUTBOX_MAX_FAILURES)
    return;
  failure = g_new0 (EsFailure, 1);
  failure->error = g_error_copy (problem);
  if (departure->to.size > 0)
    failure->address = es_native_to_address (&departure->to);
  g_queue_push_tail (&self->failures, failure);
  set_news (self);
}

static void
count_sent (EsOutbox *self,
            guint n)
{
  self->counts.messages_sent += n;
  for (guint i = 0; i < n; i++)
    self->counts.bytes_sent += self->queue[self->head + i].size;
}

/* Whether so much has left since the queue was full that it is worth telling. */
static gboolean
has_much_room (EsOutbox *self)
{
  return self->tail - self->head < ES_OUTBOX_MAX_MESSAGES / 2 &&
         self->n_bytes < ES_OUTBOX_MAX_BYTES / 2;
}

/* Says again what the loop is to look after. */
static void
update_state (EsOutbox *self,
              gboolean is_blocked)
{
  gboolean was_blocked = atomic_exchange (&self->is_blocked, is_blocked);

  atomic_store_explicit (&self->held_until, self->head < self->tail && !is_blocked ? 0 : -1,
                         memory_order_relaxed);
  if (is_blocked && !was_blocked)
    g_main_context_wakeup (self->context);
  if (self->is_short && has_much_room (self))
    set_news (self);
}

static int
offer_once (EsOutbox *self,
            GError **error)
{
  int n = es_wire_offer (self->wire, self->queue + self->head, self->tail - self->head, error);

  self->counts.send_calls++;
  if (n > 0)
    count_sent (self, n);
  return n;
}

/* Whether the kernel told of an earlier message that nobody listened, which is not the fault of
 * this one. A Unix socket says it of this one. */
static gboolean
is_news (EsOutbox *self,
         const EsDeparture *departure,
         const GError *problem)
{
  return g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) &&
         departure->to.family != AF_UNIX &&
         g_socket_get_family (self->socket) != G_SOCKET_FAMILY_UNIX;
}

/* Offers the queue to the kernel, and again behind news. */
static int
offer (EsOutbox *self,
       GError **error)
{
  g_autoptr (GError) problem = NULL;
  int n = offer_once (self, &problem);

  if (n < 0 && is_news (self, &self->queue[self->head], problem))
    {
      report (self, &self->queue[self->head], problem);
      return offer_once (self, error);
    }
  if (n < 0)
    g_propagate_error (error, g_steal_pointer (&problem));
  return n;
}

/* Sends until all is sent, the kernel has no room, or a message behind the first @n_others is
 * refused, of which the error tells. Returns how many messages left the queue. */
static guint
flush (EsOutbox *self,
       guint n_others,
       GError **error)
{
  guint n_done = 0;
  int n = 1;

  while (self->head < self->tail && n > 0)
    {
      g_autoptr (GError) problem = NULL;

      n = offer (self, &problem);
      if (n < 0)
        self->counts.send_errors++;
      if (n < 0 && n_done < n_others)
        {
          report (self, &self->queue[self->head], problem);
          n = 1;
        }
      else if (n < 0)
        g_propagate_error (error, g_steal_pointer (&problem));
      drop_head (self, MAX (n, 0));
      n_done += MAX (n, 0);
    }
  update_state (self, n == 0);
  return n_done;
}

static gboolean
has_room (EsOutbox *self,
          gsize size)
{
  return self->tail - self->head < ES_OUTBOX_MAX_MESSAGES &&
         self->n_bytes + size <= ES_OUTBOX_MAX_BYTES;
}

/* Makes a place at the tail: moves what is queued to the front, or grows. */
static EsDeparture *
add_place (EsOutbox *self)
{
  guint n = self->tail - self->head;

  if (self->tail == self->capacity && self->head >= self->capacity / 2 && self->head > 0)
    {
      memmove (self->queue, self->queue + self->head, n * sizeof *self->queue);
      self->head = 0;
      self->tail = n;
    }
  else if (self->tail == self->capacity)
    {
      self->capacity = MAX (64, self->capacity * 2);
      self->queue = g_renew (EsDeparture, self->queue, self->capacity);
    }
  return &self->queue[self->tail++];
}

static gboolean
push (EsOutbox *self,
      GBytes *message,
      const EsNative *to,
      const EsLocal *from)
{
  EsDeparture *departure;
  gsize size;
  gconstpointer data = g_bytes_get_data (message, &size);

  if (!has_room (self, size))
    return FALSE;
  departure = add_place (self);
  departure->message = g_bytes_ref (message);
  departure->data = data;
  departure->size = size;
  es_native_copy (&departure->to, to);
  departure->from = *from;
  self->n_bytes += size;
  return TRUE;
}

/* Notes that messages are held, and has the loop look after them if nobody else is sure to. */
static void
set_held (EsOutbox *self,
          EsOutboxHold hold)
{
  if (atomic_load_explicit (&self->held_until, memory_order_relaxed) >= 0 ||
      atomic_load (&self->is_blocked))
    return;
  if (hold == ES_OUTBOX_HELD)
    {
      atomic_store_explicit (&self->held_until, 0, memory_order_relaxed);
      return;
    }
  atomic_store (&self->held_until, g_get_monotonic_time () + HURRY_USEC);
  g_main_context_wakeup (self->context);
}

static gboolean
must_leave (EsOutbox *self)
{
  return self->tail - self->head >= HOLD_MESSAGES || self->n_bytes >= HOLD_BYTES;
}

/* Accepts as many messages as are held at once. Returns how many. */
static guint
send_chunk (EsOutbox *self,
            GBytes **messages,
            guint n_messages,
            const EsNative *to,
            const EsLocal *from,
            EsOutboxHold hold,
            GError **error)
{
  g_autoptr (GError) problem = NULL;
  guint n_others, n = 0, n_done;

  if (!has_room (self, g_bytes_get_size (messages[0])))
    flush (self, G_MAXUINT, NULL);
  n_others = self->tail - self->head;
  while (n < MIN (n_messages, HOLD_MESSAGES) && push (self, messages[n], to, from))
    n++;
  self->is_short = self->is_short || n == 0;
  if (n == 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK,
                           "The queue of messages to send is full");
      return 0;
    }
  if (hold != ES_OUTBOX_AT_ONCE && !must_leave (self))
    {
      set_held (self, hold);
      return n;
    }
  n_done = flush (self, n_others, &problem);
  if (problem == NULL)
    return n;

  drop_tail (self, self->tail - self->head);
  update_state (self, FALSE);
  g_propagate_error (error, g_steal_pointer (&problem));
  return n_done - n_others;
}

/* Accepts messages, all for one receiver. @hold: whether they may wait for others. Returns how
 * many were accepted, or -1 with the error if not even the first was. */
int
es_outbox_send (EsOutbox *self,
                GBytes **messages,
                guint n_messages,
                const EsNative *to,
                const EsLocal *from,
                EsOutboxHold hold,
                GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autoptr (GError) problem = NULL;
  guint n_accepted = 0;

  if (self->is_closed)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The endpoint is not running");
      return -1;
    }
  while (n_accepted < n_messages && problem == NULL)
    n_accepted += send_chunk (self, messages + n_accepted, n_messages - n_accepted, to, from, hold,
                              &problem);
  if (n_accepted > 0 || problem == NULL)
    return n_accepted;
  g_propagate_error (error, g_steal_pointer (&problem));
  return -1;
}

/* Accepts a message that is to wait for others. Returns FALSE if that is not as simple as it
 * sounds: then nothing was done. */
gboolean
es_outbox_hold (EsOutbox *self,
                GBytes *message,
                const EsNative *to,
                const EsLocal *from,
                EsOutboxHold hold)
{
  gboolean is_held;

  g_mutex_lock (&self->lock);
  is_held = !self->is_closed && !must_leave (self) && push (self, message, to, from);
  if (is_held)
    set_held (self, hold);
  g_mutex_unlock (&self->lock);
  return is_held;
}

/* Sends what was held. */
void
es_outbox_flush (EsOutbox *self)
{
  g_autoptr (GMutexLocker) locker = NULL;

  if (atomic_load_explicit (&self->held_until, memory_order_relaxed) < 0 &&
      !atomic_load (&self->is_blocked))
    return;
  locker = g_mutex_locker_new (&self->lock);
  flush (self, G_MAXUINT, NULL);
}

/* Accepts nothing any more, and sends what is left as far as that is possible within a second. */
void
es_outbox_close (EsOutbox *self)
{
  gint64 deadline = g_get_monotonic_time () + LINGER_USEC;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->is_closed = TRUE;
  flush (self, G_MAXUINT, NULL);
  while (self->head < self->tail && g_get_monotonic_time () < deadline)
    {
      g_socket_condition_timed_wait (self->socket, G_IO_OUT,
                                     MAX (0, deadline - g_get_monotonic_time ()), NULL, NULL);
      flush (self, G_MAXUINT, NULL);
    }
  self->counts.dropped_unsent += self->tail - self->head;
  drop_head (self, self->tail - self->head);
}

/* Until when messages wait at the most, by the monotonic clock; 0: the next chance; -1: none does.
 * Thread-safe. */
gint64
es_outbox_get_held_until (EsOutbox *self)
{
  return atomic_load_explicit (&self->held_until, memory_order_relaxed);
}

/* Whether messages wait for es_outbox_flush(). Thread-safe. */
gboolean
es_outbox_is_held (EsOutbox *self)
{
  return es_outbox_get_held_until (self) >= 0;
}

/* Whether messages wait for the kernel to have room. Thread-safe. */
gboolean
es_outbox_is_blocked (EsOutbox *self)
{
  return atomic_load (&self->is_blocked);
}

/* Whether a failure or that there is room again is to be told. Thread-safe. */
gboolean
es_outbox_has_news (EsOutbox *self)
{
  return atomic_load (&self->has_news);
}

/* Takes the next failure, to be told. Returns FALSE if there is none. */
gboolean
es_outbox_take_failure (EsOutbox *self,
                        EsFailure *failure)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autofree EsFailure *first = g_queue_pop_head (&self->failures);

  if (first == NULL)
    return FALSE;
  *failure = *first;
  return TRUE;
}

/* Takes, behind the last failure, whether there is room again for who was refused. */
gboolean
es_outbox_take_writable (EsOutbox *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gboolean is_writable = self->is_short && has_much_room (self);

  atomic_store (&self->has_news, self->failures.length > 0);
  if (is_writable)
    self->is_short = FALSE;
  return is_writable;
}

/* What was done so far. Thread-safe. */
EsOutboxCounts
es_outbox_get_counts (EsOutbox *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->counts;
}
