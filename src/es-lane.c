/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-lane.h"

#include "es-address-book.h"
#include "es-address-private.h"
#include "es-batch.h"
#include "es-counter.h"
#include "es-message-private.h"
#include "es-outbox.h"
#include "es-pool.h"
#include "es-socket.h"

/*
 * One socket on one main context: receive, deliver, flush, all in one dispatch of one source.
 *
 * A lane lives from a start to a stop. Whatever a handler does, be it to stop the endpoint and
 * start it again, its dispatch asks afterwards whether this lane is still open, and a new lane is
 * another one.
 *
 * A second source looks after what is left when that dispatch is not there to do it: messages
 * held while a handler runs a main loop of its own, and news from sends in other threads.
 */

/* So long a dispatch reads on while more waits, so that other sources get their turn. */
#define BUDGET_USEC 1000

/* A socket that has nothing but errors to tell is asked so often in a row. Then it is left alone
 * for a while, and twice as long each time that it has still nothing else. */
#define MAX_ERRORS 8
#define MIN_REST_USEC 1000
#define MAX_REST_USEC G_USEC_PER_SEC

/* So many messages, or bytes, may be put aside before no more are read. */
#define MAX_ASIDE 65536
#define MAX_ASIDE_BYTES (16 * 1024 * 1024)

/* What fits in a datagram of any kind, so that nobody need look which kind it is. */
#define MAX_ANSWER_SIZE 65507

/* More than a lane takes to begin with, most of it for what is read in one batch. */
#define ENOUGH_MEMORY (6 * 1024 * 1024)

/* So many messages are encrypted before they leave together, as a train at the most. */
#define MAX_ENCRYPTED 64

/* The clock is asked after so many messages. */
#define N_PER_CLOCK 8

typedef struct
{
  GSource parent;
  EsLane *lane; /* (borrowed) destroys the source when it closes */
} EsLaneSource;

struct _EsLane
{
  /* Set when made, then only read. */
  EsLaneConfig config; /* its socket (owned) */
  EsLaneFuncs funcs;
  GObject *owner;        /* (borrowed) closes the lane before it goes */
  GMainContext *context; /* (owned) */
  void (*deliver) (gpointer receiver,
                   GBytes *message,
                   GSocketAddress *address); /* to the owner, or to the pool */
  gpointer receiver;                         /* (borrowed) what deliver takes */
  EsPool *pool;                              /* (owned) (nullable) */
  EsOutbox *outbox;                          /* (owned) has a lock of its own */
  EsDtls *dtls;                              /* (owned) (nullable) has its own locks */
  GSocketAddress *local_address;             /* (owned) (nullable) */
  GSocketAddress *remote_address;            /* (owned) (nullable) the connected server's */
  guint64 n_dropped_before;

  /* The lane's thread only. */
  EsBatch *batch;          /* (owned) */
  EsAddressBook *book;     /* (owned) */
  EsRateLimit *rate_limit; /* (owned) (nullable) */
  gint64 batch_time;       /* when the batch was read, monotonic microseconds */
  GSocketAddress *sender;  /* (owned) (nullable) of the train that is being delivered */
  GQueue aside;            /* of (owned) EsAside, read before their turn, to be delivered next */
  gsize n_bytes_aside;
  GSource *source;        /* (owned) (nullable) */
  GSource *outbox_source; /* (owned) (nullable) */
  GSource *dtls_source;   /* (owned) (nullable) */
  gpointer poll;          /* (nullable) the source's watch */
  GIOCondition events;
  gboolean is_dispatching;
  guint n_errors;       /* of reception, in a row */
  gint64 rest;          /* how long the last rest was, microseconds */
  gint64 resting_until; /* monotonic microseconds; 0: not now */

  /* Written in the lane's thread, read anywhere. */
  EsCounter messages_received;
  EsCounter bytes_received;
  EsCounter receive_calls;
  EsCounter receive_errors;
  EsCounter dropped_too_long;
  EsCounter dropped_rate_limited;
  EsCounter dropped_at_stop;

  /* Any thread. */
  atomic_bool is_closed;
  atomic_bool is_paused;
  atomic_bool is_crowded;

  /* Under the lock: whether the socket may still be asked. */
  GMutex lock;
  gboolean has_socket;
  guint64 n_dropped;
};

/* A message that was read while its handlers were not to be called. */
typedef struct
{
  GBytes *message;         /* (owned) */
  GSocketAddress *address; /* (owned) */
} EsAside;

/* The lane whose messages this thread handles, and how long what it sends may wait. */
static _Thread_local EsLane *dispatching_lane; /* (nullable) (borrowed) */
static _Thread_local EsOutboxHold dispatching_hold;

/* The receiver of what a connected socket sends. */
static const EsNative the_server = { .family = AF_UNSPEC, .size = 0 };

/* Whose worker this thread is, if it is one. */
static _Thread_local gpointer working_for; /* (nullable) (borrowed) */

/* Whether messages may be handed on, as far as users and pool are concerned. */
static gboolean
is_open (EsLane *self)
{
  return !self->is_closed && !atomic_load (&self->is_paused) && !atomic_load (&self->is_crowded);
}

/* Whether a dispatch is to read. While a handler runs a main loop of its own, none is. */
static gboolean
wants_input (EsLane *self)
{
  return is_open (self) && !self->is_dispatching && self->resting_until == 0;
}

/* Whether messages wait in memory that are wanted now. */
static gboolean
has_unread (EsLane *self)
{
  return wants_input (self) && (self->aside.length > 0 || !es_batch_is_read (self->batch));
}

/* Whether delivery goes on after a handler ran. If the dispatch's own reference to the owner is
 * the last one, whatever the handlers worked on may be gone. A worker holds none: an owner that
 * goes waits for it. */
static gboolean
goes_on (EsLane *self)
{
  return is_open (self) &&
         (self->config.has_worker || g_atomic_int_get (&self->owner->ref_count) > 1);
}

static void
find_sender (EsLane *self,
             const EsArrival *arrival)
{
  if (self->sender == NULL)
    self->sender = es_address_book_lookup (self->book, arrival->sender, arrival->local);
}

static void
free_aside (gpointer data)
{
  EsAside *aside = data;

  g_bytes_unref (aside->message);
  g_object_unref (aside->address);
  g_free (aside);
}

/* Before anything is made of a message, whether its host may send so much. */
static gboolean
is_within_rate (EsLane *self,
                const EsArrival *arrival)
{
  return self->rate_limit == NULL ||
         es_rate_limit_pass (self->rate_limit, arrival->sender, self->batch_time * 1000);
}

/* Whether an arrival is to be looked at at all: not one too many, nor a copy of what another lane
 * delivers. Whoever sent the one before is forgotten. */
static gboolean
admit (EsLane *self,
       const EsArrival *arrival)
{
  gboolean is_admitted = is_within_rate (self, arrival);

  if (arrival->is_first)
    g_clear_object (&self->sender);
  if (!is_admitted)
    es_counter_add (&self->dropped_rate_limited, 1);
  return is_admitted && !(arrival->is_to_many && self->config.ignores_broadcasts);
}

static void
drop_too_long (EsLane *self,
               gsize size)
{
  es_counter_add (&self->dropped_too_long, 1);
  self->funcs.drop_too_long (self->owner, size, self->config.max_message_size, self->sender);
}

static void
count_received (EsLane *self,
                gsize size)
{
  es_counter_add (&self->messages_received, 1);
  es_counter_add (&self->bytes_received, size);
}

/* A message that was counted was not received after all. */
static void
count_lost (EsLane *self,
            gsize size)
{
  es_counter_add (&self->dropped_at_stop, 1);
  es_counter_add (&self->messages_received, -1);
  es_counter_add (&self->bytes_received, -size);
}

/* (transfer full) (nullable) The message that has arrived, counted, unless it is not wanted. Its
 * sender is in the lane until the next one. */
static GBytes *
take_in (EsLane *self,
         const EsArrival *arrival)
{
  if (!admit (self, arrival))
    return NULL;
  find_sender (self, arrival);
  if (arrival->is_cut || arrival->size > self->config.max_message_size)
    {
      drop_too_long (self, arrival->size);
      return NULL;
    }
  count_received (self, arrival->size);
  return es_message_new (arrival->data, arrival->size);
}

/* (transfer full) (nullable) The session that a datagram may hold messages of. Of whoever has none,
 * not even the address is remembered. */
static EsDtlsSession *
take_private (EsLane *self,
              const EsArrival *arrival)
{
  EsDtlsDatagram datagram = { arrival->data, arrival->size, arrival->sender, arrival->local };

  if (!admit (self, arrival))
    return NULL;
  if (!arrival->is_cut)
    return es_dtls_receive (self->dtls, &datagram, self->batch_time);
  find_sender (self, arrival);
  drop_too_long (self, arrival->size);
  return NULL;
}

/* (transfer full) (nullable) The next message of a session's datagram, as take_in() gives it. */
static GBytes *
read_private (EsLane *self,
              EsDtlsSession *session,
              const EsArrival *arrival)
{
  GBytes *message;

  while ((message = es_dtls_read (self->dtls, session)) != NULL)
    {
      gsize size = g_bytes_get_size (message);

      find_sender (self, arrival);
      if (size <= self->config.max_message_size)
        {
          count_received (self, size);
          return message;
        }
      drop_too_long (self, size);
      g_bytes_unref (message);
    }
  return NULL;
}

static void
put_aside (EsLane *self,
           GBytes *message)
{
  EsAside *aside = g_new0 (EsAside, 1);

  aside->message = g_bytes_ref (message);
  aside->address = g_object_ref (self->sender);
  self->n_bytes_aside += g_bytes_get_size (message);
  g_queue_push_tail (&self->aside, aside);
}

/* Delivers the messages of one datagram. A handler may have wanted no more of them. */
static void
deliver_private (EsLane *self,
                 const EsArrival *arrival)
{
  g_autoptr (EsDtlsSession) session = take_private (self, arrival);
  GBytes *message;

  while (session != NULL && (message = read_private (self, session, arrival)) != NULL)
    {
      if (goes_on (self))
        self->deliver (self->receiver, message, self->sender);
      else if (!self->is_closed)
        put_aside (self, message);
      else
        count_lost (self, g_bytes_get_size (message));
      g_bytes_unref (message);
    }
}

static void
deliver (EsLane *self,
         const EsArrival *arrival)
{
  g_autoptr (GBytes) message = NULL;

  if (self->dtls != NULL)
    {
      deliver_private (self, arrival);
      return;
    }
  message = take_in (self, arrival);
  if (message != NULL)
    self->deliver (self->receiver, message, self->sender);
}

/* (transfer full) (nullable) */
static EsAside *
take_aside (EsLane *self)
{
  EsAside *aside = g_queue_pop_head (&self->aside);

  if (aside != NULL)
    self->n_bytes_aside -= g_bytes_get_size (aside->message);
  return aside;
}

/* Delivers what was put aside. */
static void
deliver_aside (EsLane *self,
               gint64 deadline)
{
  while (self->aside.length > 0 && goes_on (self) && g_get_monotonic_time () < deadline)
    {
      EsAside *aside = take_aside (self);

      self->deliver (self->receiver, aside->message, aside->address);
      free_aside (aside);
    }
}

/* Delivers the batch, as far as time allows. */
static void
deliver_batch (EsLane *self,
               gint64 deadline)
{
  EsArrival arrival;
  guint n = 0;

  while (goes_on (self) && es_batch_next (self->batch, &arrival))
    {
      deliver (self, &arrival);
      if (++n % N_PER_CLOCK == 0 && g_get_monotonic_time () >= deadline)
        return;
    }
}

/* Tells what the kernel has to say of earlier messages. That a connected socket was refused is said
 * by the host that it is connected to. */
static void
tell_receive_error (EsLane *self,
                    GError *error)
{
  g_autofree char *remote = NULL;

  es_counter_add (&self->receive_errors, 1);
  if (self->remote_address != NULL)
    remote = es_address_to_string (self->remote_address);
  if (remote != NULL)
    g_prefix_error (&error, "Could not reach %s: ", remote);
  else
    g_prefix_error (&error, "Could not receive: ");
  self->funcs.fail (self->owner, error, self->remote_address);
  g_error_free (error);
}

/* Notes whether reception failed. Where it does nothing else, the loop is to sleep. */
static void
note_reception (EsLane *self,
                gboolean has_failed)
{
  self->n_errors = has_failed ? self->n_errors + 1 : 0;
  if (self->n_errors < MAX_ERRORS)
    {
      self->rest = 0;
      return;
    }
  self->rest = CLAMP (2 * self->rest, MIN_REST_USEC, MAX_REST_USEC);
  self->resting_until = g_get_monotonic_time () + self->rest;
}

/* Fills the batch. An error ends nothing: it concerned an earlier message. */
static gboolean
fill_once (EsLane *self)
{
  GError *error = NULL;
  gboolean is_filled = es_batch_fill (self->batch, &error);

  self->batch_time = g_get_monotonic_time ();
  es_counter_add (&self->receive_calls, 1);
  note_reception (self, error != NULL);
  if (error != NULL)
    tell_receive_error (self, error);
  return is_filled;
}

/* Fills the batch, if need be behind errors. */
static gboolean
fill_batch (EsLane *self)
{
  while (!fill_once (self))
    if (self->n_errors == 0 || self->n_errors >= MAX_ERRORS || !goes_on (self))
      return FALSE;
  return TRUE;
}

/* Looks whether more comes than is read, in which case strangers are to wait. */
static void
look_at_crowd (EsLane *self)
{
  gboolean is_limited = self->rate_limit != NULL && es_rate_limit_is_on (self->rate_limit);

  if (is_limited)
    es_rate_limit_set_crowded (self->rate_limit, es_batch_was_full (self->batch) &&
                                                   es_socket_is_crowded (self->config.socket));
}

static void
receive (EsLane *self)
{
  gint64 deadline = g_get_monotonic_time () + BUDGET_USEC;

  deliver_aside (self, deadline);
  while (goes_on (self) && self->aside.length == 0 && g_get_monotonic_time () < deadline)
    {
      if (es_batch_is_read (self->batch) && !fill_batch (self))
        return;
      deliver_batch (self, deadline);
      if (!es_batch_was_full (self->batch))
        return;
    }
}

static void
tell_failure (EsLane *self,
              EsFailure *failure)
{
  GSocketAddress *address = failure->address != NULL ? failure->address : self->remote_address;
  g_autofree char *name = es_address_describe (address);

  g_prefix_error (&failure->error, "Could not send to %s: ", name);
  self->funcs.fail (self->owner, failure->error, address);
}

static void
tell_news (EsLane *self)
{
  g_auto (EsFailure) failure = { 0 };

  while (!self->is_closed && es_outbox_take_failure (self->outbox, &failure))
    {
      tell_failure (self, &failure);
      es_failure_clear (&failure);
    }
  if (!self->is_closed && es_outbox_take_writable (self->outbox))
    self->funcs.writable (self->owner);
}

/* Sends what handlers queued, and tells what came of it. */
static void
send_queued (EsLane *self)
{
  es_outbox_flush (self->outbox);
  if (es_outbox_has_news (self->outbox))
    tell_news (self);
}

/* The way of a datagram. What handlers send in the meantime is held. */
static void
receive_and_deliver (EsLane *self)
{
  EsLane *outer = dispatching_lane;
  EsOutboxHold outer_hold = dispatching_hold;

  dispatching_lane = self;
  dispatching_hold = ES_OUTBOX_HELD;
  self->is_dispatching = TRUE;
  self->funcs.begin (self->owner);
  receive (self);
  if (!self->is_closed)
    look_at_crowd (self);
  if (self->pool != NULL)
    es_pool_commit (self->pool);
  self->is_dispatching = FALSE;
  dispatching_hold = outer_hold;
  dispatching_lane = outer;
}

/* (transfer full) (nullable) */
static GObject *
hold_owner (EsLane *self)
{
  return self->config.has_worker ? NULL : g_object_ref (self->owner);
}

static void
dispatch_lane (EsLane *self,
               GIOCondition events)
{
  g_autoptr (GObject) owner = hold_owner (self);

  if (has_unread (self) || (wants_input (self) && (events & ~G_IO_OUT) != 0))
    receive_and_deliver (self);
  if (!self->is_closed)
    send_queued (self);
}

static EsLane *
lane_of (GSource *source)
{
  return ((EsLaneSource *) source)->lane;
}

/* Watches for what is wanted now. Who wants nothing watches nothing, since an error would wake
 * the loop all the same. */
static void
watch (EsLane *self,
       GIOCondition events)
{
  if (events == self->events)
    return;
  self->events = events;
  if (self->poll != NULL && events != 0)
    g_source_modify_unix_fd (self->source, self->poll, events);
  else if (self->poll != NULL)
    g_source_remove_unix_fd (self->source, g_steal_pointer (&self->poll));
  else
    self->poll = g_source_add_unix_fd (self->source, g_socket_get_fd (self->config.socket), events);
}

/* How many milliseconds the socket is left alone; -1: it is not. */
static int
get_rest (EsLane *self)
{
  gint64 left = self->resting_until > 0 ? self->resting_until - g_get_monotonic_time () : 0;

  if (left > 0)
    return (left + 999) / 1000;
  self->resting_until = 0;
  return -1;
}

static gboolean
prepare_lane (GSource *source,
              int *timeout)
{
  EsLane *self = lane_of (source);

  *timeout = get_rest (self);
  watch (self,
         (wants_input (self) ? G_IO_IN : 0) | (es_outbox_is_blocked (self->outbox) ? G_IO_OUT : 0));
  return has_unread (self);
}

static gboolean
check_lane (GSource *source)
{
  EsLane *self = lane_of (source);

  return has_unread (self) ||
         (self->poll != NULL && g_source_query_unix_fd (source, self->poll) != 0);
}

static gboolean
on_lane_ready (GSource *source,
               GSourceFunc callback,
               gpointer user_data)
{
  g_autoptr (EsLane) self = es_lane_ref (lane_of (source));

  dispatch_lane (self, self->poll != NULL ? g_source_query_unix_fd (source, self->poll) : 0);
  return G_SOURCE_CONTINUE;
}

static gboolean
prepare_outbox (GSource *source,
                int *timeout)
{
  EsLane *self = lane_of (source);
  gint64 held_until = es_outbox_get_held_until (self->outbox);
  gint64 wait = held_until > 0 ? held_until - g_get_monotonic_time () : held_until;

  *timeout = wait > 0 ? (wait + 999) / 1000 : -1;
  return (held_until >= 0 && wait <= 0) || es_outbox_has_news (self->outbox);
}

static gboolean
check_outbox (GSource *source)
{
  int timeout;

  return prepare_outbox (source, &timeout);
}

static gboolean
on_outbox_ready (GSource *source,
                 GSourceFunc callback,
                 gpointer user_data)
{
  g_autoptr (EsLane) self = es_lane_ref (lane_of (source));
  g_autoptr (GObject) owner = hold_owner (self);

  send_queued (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
prepare_dtls (GSource *source,
              int *timeout)
{
  gint64 due = es_dtls_get_due (lane_of (source)->dtls);
  gint64 wait = due - g_get_monotonic_time ();

  *timeout = due >= 0 ? CLAMP ((wait + 999) / 1000, 0, G_MAXINT) : -1;
  return due >= 0 && wait <= 0;
}

static gboolean
check_dtls (GSource *source)
{
  int timeout;

  return prepare_dtls (source, &timeout);
}

/* Looks after handshakes and sessions in time, and sends what they have to say. */
static gboolean
on_dtls_due (GSource *source,
             GSourceFunc callback,
             gpointer user_data)
{
  g_autoptr (EsLane) self = es_lane_ref (lane_of (source));
  g_autoptr (GObject) owner = hold_owner (self);

  es_dtls_check (self->dtls, g_get_monotonic_time ());
  if (!self->is_closed)
    send_queued (self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs lane_source_funcs = {
  prepare_lane, check_lane, on_lane_ready, NULL, NULL, NULL
};
static GSourceFuncs outbox_source_funcs = { prepare_outbox, check_outbox, on_outbox_ready,
                                            NULL, NULL, NULL };
static GSourceFuncs dtls_source_funcs = { prepare_dtls, check_dtls, on_dtls_due, NULL, NULL, NULL };

static GSource *
attach_source (EsLane *self,
               GSourceFuncs *funcs,
               const char *name)
{
  GSource *source = g_source_new (funcs, sizeof (EsLaneSource));

  ((EsLaneSource *) source)->lane = self;
  g_source_set_static_name (source, name);
  /* GLib blocks a source that may not recurse, and that costs three system calls a dispatch: a
   * lane that is dispatching looks after itself. */
  g_source_set_can_recurse (source, TRUE);
  g_source_attach (source, self->context);
  return source;
}

/* Reads nothing while the pool has no room. In any thread. */
static void
set_crowded (gpointer data,
             gboolean is_crowded)
{
  EsLane *self = data;

  if (atomic_exchange (&self->is_crowded, is_crowded) != is_crowded)
    g_main_context_wakeup (self->context);
}

/* Handles a message in a thread of the pool. What it sends leaves with other answers, when the
 * thread comes to an end or within a millisecond. */
static void
deliver_in_pool (gpointer data,
                 GBytes *message,
                 GSocketAddress *address)
{
  EsLane *self = data;
  EsLane *outer = dispatching_lane;
  EsOutboxHold outer_hold = dispatching_hold;

  dispatching_lane = self;
  dispatching_hold = ES_OUTBOX_HURRIED;
  self->funcs.deliver (self->owner, message, address);
  dispatching_hold = outer_hold;
  dispatching_lane = outer;
}

static void
settle_pool (gpointer data)
{
  EsLane *self = data;

  es_outbox_flush (self->outbox);
}

static const EsPoolFuncs pool_funcs = { deliver_in_pool, settle_pool, set_crowded };

/* Delivers straight to the owner, or by a pool. */
static gboolean
choose_delivery (EsLane *self,
                 GError **error)
{
  self->deliver = self->funcs.deliver;
  self->receiver = self->owner;
  if (self->config.n_pool_threads == 0)
    return TRUE;
  self->pool = es_pool_new (self->config.n_pool_threads, &pool_funcs, self, error);
  self->deliver = es_pool_add;
  self->receiver = self->pool;
  return self->pool != NULL;
}

/* Where a session's own datagrams go. One that finds no room is sent again by the session. */
static void
send_datagram (gpointer owner,
               GBytes *datagram,
               const EsNative *to,
               const EsLocal *from)
{
  EsLane *self = owner;

  es_outbox_send (self->outbox, &datagram, 1, self->config.is_connected ? &the_server : to, from,
                  ES_OUTBOX_HELD, NULL);
}

static void
tell_failed_session (gpointer owner,
                     const GError *error,
                     GSocketAddress *address)
{
  EsLane *self = owner;

  self->funcs.fail (self->owner, error, address);
}

static const EsDtlsFuncs dtls_funcs = { send_datagram, tell_failed_session };

static void
open_dtls (EsLane *self)
{
  self->dtls = es_dtls_new (self->config.terms, MAX (1, self->config.n_lanes), &dtls_funcs, self);
  if (self->config.session != NULL)
    es_dtls_adopt (self->dtls, self->config.session);
  self->dtls_source = attach_source (self, &dtls_source_funcs, "EsDtls");
}

static void
open_lane (EsLane *self)
{
  GSocket *socket = self->config.socket;

  self->is_closed = FALSE;
  self->has_socket = TRUE;
  self->local_address = g_socket_get_local_address (socket, NULL);
  self->remote_address = self->config.is_connected ? g_socket_get_remote_address (socket, NULL)
                                                   : NULL;
  self->n_dropped_before = self->config.is_adopted ? es_socket_get_n_dropped (socket) : 0;
  self->outbox = es_outbox_new (socket, self->config.send_segments, self->context);
  self->batch = es_batch_new (socket, self->config.receive_segments);
  self->book = es_address_book_new (self->config.origin);
  if (self->config.rate_rule != NULL)
    self->rate_limit = es_rate_limit_new (self->config.rate_rule);
  self->source = attach_source (self, &lane_source_funcs, "EsLane");
  self->outbox_source = attach_source (self, &outbox_source_funcs, "EsOutbox");
  if (self->config.terms != NULL)
    open_dtls (self);
}

/* GLib ends the process where it finds no memory, and so it is found out first whether there is
 * enough for all that a lane makes. */
static gboolean
has_memory (GError **error)
{
  gpointer spare = g_try_malloc (ENOUGH_MEMORY);
  gboolean is_enough = spare != NULL;

  g_free (spare);
  if (!is_enough)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                         "Could not start: There is not enough memory");
  return is_enough;
}

/* (transfer full) A lane that is open: it delivers as soon as its context runs. NULL with the error
 * if there is no memory for it, or its pool's threads could not be made. */
EsLane *
es_lane_new (const EsLaneConfig *config,
             const EsLaneFuncs *funcs,
             GObject *owner,
             GMainContext *context,
             GError **error)
{
  g_autoptr (EsLane) self = has_memory (error) ? g_atomic_rc_box_new0 (EsLane) : NULL;

  if (self == NULL)
    return NULL;
  g_mutex_init (&self->lock);
  self->config = *config;
  self->funcs = *funcs;
  self->owner = owner;
  self->context = g_main_context_ref (context);
  self->is_closed = TRUE;
  g_object_ref (config->socket);
  atomic_init (&self->is_paused, config->is_paused);
  if (!choose_delivery (self, error))
    return NULL;
  open_lane (self);
  return g_steal_pointer (&self);
}

EsLane *
es_lane_ref (EsLane *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
finalize (gpointer data)
{
  EsLane *self = data;

  g_assert (self->is_closed);

  g_clear_object (&self->sender);
  g_clear_pointer (&self->dtls, es_dtls_free);
  g_clear_pointer (&self->rate_limit, es_rate_limit_free);
  g_clear_pointer (&self->book, es_address_book_free);
  g_clear_pointer (&self->batch, es_batch_free);
  g_clear_pointer (&self->outbox, es_outbox_free);
  g_clear_object (&self->local_address);
  g_clear_object (&self->remote_address);
  g_clear_object (&self->config.socket);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_mutex_clear (&self->lock);
}

/* Thread-safe, once the lane is closed. */
void
es_lane_unref (EsLane *self)
{
  g_atomic_rc_box_release_full (self, finalize);
}

static void
count_unread (EsLane *self)
{
  EsArrival arrival;

  while (es_batch_next (self->batch, &arrival))
    es_counter_add (&self->dropped_at_stop, 1);
}

/* What was put aside was not received after all. */
static void
count_aside (EsLane *self)
{
  EsAside *aside;

  while ((aside = take_aside (self)) != NULL)
    {
      count_lost (self, g_bytes_get_size (aside->message));
      free_aside (aside);
    }
}

/* Fills the batch with what waits, also behind an error, which says nothing of what waits. */
static gboolean
fill_last (EsLane *self)
{
  g_autoptr (GError) error = NULL;

  return es_batch_fill (self->batch, &error) ||
         (error != NULL && es_batch_fill (self->batch, NULL));
}

/* Reads the socket to its end, so that nothing is lost uncounted. */
static void
drain (EsLane *self)
{
  es_socket_refuse_messages (self->config.socket);
  while (fill_last (self))
    count_unread (self);
}

/* Waits for the handlers that run. What the pool's threads did not come to was not received after
 * all. */
static void
close_pool (EsLane *self)
{
  guint64 n_messages, n_bytes;

  if (self->pool == NULL)
    return;
  es_pool_free (g_steal_pointer (&self->pool), &n_messages, &n_bytes);
  es_counter_add (&self->dropped_at_stop, n_messages);
  es_counter_add (&self->messages_received, -n_messages);
  es_counter_add (&self->bytes_received, -n_bytes);
}

static void
close_dtls (EsLane *self)
{
  if (self->dtls == NULL)
    return;
  g_source_destroy (self->dtls_source);
  g_clear_pointer (&self->dtls_source, g_source_unref);
  es_dtls_close (self->dtls);
}

/* Ends the lane, in its own thread: no handler is called any more, what is queued gets a second to
 * leave, and what is unread is counted. */
void
es_lane_close (EsLane *self)
{
  if (self->is_closed)
    return;
  self->is_closed = TRUE;
  /* The sources first: they must never see a closed socket. */
  g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  g_source_destroy (self->outbox_source);
  g_clear_pointer (&self->outbox_source, g_source_unref);
  /* The pool before the outbox: the answers of handlers that still run are to leave, and then what
   * ends the sessions. */
  close_pool (self);
  close_dtls (self);
  es_outbox_close (self->outbox);
  count_aside (self);
  count_unread (self);
  if (!self->config.is_adopted)
    drain (self);

  g_mutex_lock (&self->lock);
  self->n_dropped = es_socket_get_n_dropped (self->config.socket) - self->n_dropped_before;
  self->has_socket = FALSE;
  if (!self->config.is_adopted)
    g_socket_close (self->config.socket, NULL);
  g_mutex_unlock (&self->lock);
}

/* (nullable) (transfer none) The owner's lane, closed or not, whose messages the calling thread
 * handles. */
EsLane *
es_lane_get_dispatching (gpointer owner)
{
  EsLane *lane = dispatching_lane;

  return lane != NULL && lane->owner == owner ? lane : NULL;
}

/* Makes the calling thread known as a worker of @owner, until it ends. */
void
es_lane_begin_work (gpointer owner)
{
  working_for = owner;
}

/* Whether the calling thread is one that handles the owner's messages: its worker, or one that is
 * in a handler now. */
gboolean
es_lane_is_own_thread (gpointer owner)
{
  return working_for == owner || es_lane_get_dispatching (owner) != NULL;
}

/* Whether no stop has begun. Thread-safe. */
gboolean
es_lane_is_open (EsLane *self)
{
  return !self->is_closed;
}

GSocket *
es_lane_get_socket (EsLane *self)
{
  return self->config.socket;
}

/* (transfer full) (nullable) Thread-safe. */
GSocketAddress *
es_lane_get_local_address (EsLane *self)
{
  return self->local_address != NULL ? g_object_ref (self->local_address) : NULL;
}

/* (transfer full) (nullable) Where a message came to, or where all of them do. Thread-safe. */
char *
es_lane_dup_asked_host (EsLane *self,
                        GSocketAddress *sender)
{
  char *host = es_address_dup_asked_host (sender, self->config.origin);

  if (host == NULL && G_IS_INET_SOCKET_ADDRESS (self->local_address))
    host = es_address_dup_host (G_INET_SOCKET_ADDRESS (self->local_address));
  return host;
}

/* Reads nothing while the user wants it so. Thread-safe. */
void
es_lane_set_paused (EsLane *self,
                    gboolean is_paused)
{
  if (atomic_exchange (&self->is_paused, is_paused) != is_paused)
    g_main_context_wakeup (self->context);
}

/* Takes or puts aside what has arrived. */
static void
receive_one_aside (EsLane *self,
                   const EsArrival *arrival,
                   gboolean (*take) (gpointer owner, GBytes *message, GSocketAddress *address))
{
  g_autoptr (EsDtlsSession) session = self->dtls != NULL ? take_private (self, arrival) : NULL;
  GBytes *message = self->dtls == NULL ? take_in (self, arrival) : NULL;

  while (message != NULL ||
         (session != NULL && (message = read_private (self, session, arrival)) != NULL))
    {
      if (!take (self->owner, message, self->sender))
        put_aside (self, message);
      g_clear_pointer (&message, g_bytes_unref);
    }
}

static gboolean
has_room_aside (EsLane *self)
{
  return self->aside.length < MAX_ASIDE && self->n_bytes_aside < MAX_ASIDE_BYTES;
}

/* Sends what was held and reads what waits, in the lane's thread, without calling a handler: what
 * @take does not take is put aside for the next dispatch. */
void
es_lane_receive_aside (EsLane *self,
                       EsTakeFunc take)
{
  g_autoptr (GSocketAddress) outer = NULL;
  EsArrival arrival;

  es_outbox_flush (self->outbox);
  if (self->is_closed || !has_room_aside (self) ||
      (es_batch_is_read (self->batch) && !fill_batch (self)))
    return;
  /* A handler that runs now was given this one, and goes on with it. */
  outer = self->sender != NULL ? g_object_ref (self->sender) : NULL;
  while (!self->is_closed && es_batch_next (self->batch, &arrival))
    receive_one_aside (self, &arrival, take);
  g_set_object (&self->sender, outer);
}

/* Calls @func with the sends of this thread held, to let them leave together. Thread-safe. */
void
es_lane_run_burst (EsLane *self,
                   void (*func) (gpointer data),
                   gpointer data)
{
  EsLane *outer = dispatching_lane;
  EsOutboxHold outer_hold = dispatching_hold;

  dispatching_lane = self;
  if (outer != self)
    dispatching_hold = ES_OUTBOX_HELD;
  func (data);
  dispatching_hold = outer_hold;
  dispatching_lane = outer;
  if (outer != self)
    es_outbox_flush (self->outbox);
}

static EsOutboxHold
get_hold (EsLane *self)
{
  return dispatching_lane == self ? dispatching_hold : ES_OUTBOX_AT_ONCE;
}

/* Encrypts messages, up to the first that cannot be. Returns how many. */
static guint
encrypt (EsDtlsSession *session,
         GBytes **messages,
         guint n_messages,
         GBytes **datagrams,
         GError **error)
{
  guint n = 0;

  while (n < n_messages &&
         (datagrams[n] = es_dtls_session_encrypt (session, messages[n], error)) != NULL)
    n++;
  return n;
}

/* Sends as many messages as are encrypted at a time. Returns how many were accepted. */
static guint
send_encrypted (EsLane *self,
                EsDtlsSession *session,
                GBytes **messages,
                guint n_messages,
                GError **error)
{
  const EsNative *to = self->config.is_connected ? &the_server : es_dtls_session_get_peer (session);
  GBytes *datagrams[MAX_ENCRYPTED];
  guint n = encrypt (session, messages, MIN (n_messages, MAX_ENCRYPTED), datagrams, error);
  int n_accepted = 0;

  if (n > 0)
    n_accepted = es_outbox_send (self->outbox, datagrams, n, to,
                                 es_dtls_session_get_local (session), get_hold (self),
                                 *error == NULL ? error : NULL);
  for (guint i = 0; i < n; i++)
    g_bytes_unref (datagrams[i]);
  return MAX (n_accepted, 0);
}

/* The same as es_lane_send(), to a peer that there has to be a session with. What is encrypted
 * under its lock leaves in the order of its numbers. */
static int
send_privately (EsLane *self,
                GBytes **messages,
                guint n_messages,
                const EsNative *to,
                GError **error)
{
  g_autoptr (EsDtlsSession) session = es_dtls_ref_session (self->dtls, to);
  GError *problem = NULL;
  guint n_accepted = 0, n = 1;

  if (session == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                           "There is no session with it");
      return -1;
    }
  es_dtls_session_lock (session);
  for (; n > 0 && n_accepted < n_messages && problem == NULL; n_accepted += n)
    n = send_encrypted (self, session, messages + n_accepted, n_messages - n_accepted, &problem);
  es_dtls_session_unlock (session);
  if (n_accepted > 0)
    g_clear_error (&problem);
  if (n_accepted > 0 || problem == NULL)
    return n_accepted;
  g_propagate_error (error, problem);
  return -1;
}

/* Sends messages to one receiver: with the others at the end of the dispatch that the calling
 * thread is in, or else at once. Returns how many were accepted, or -1 with the error if not even
 * the first was. Thread-safe. */
int
es_lane_send (EsLane *self,
              GBytes **messages,
              guint n_messages,
              GSocketAddress *address,
              GError **error)
{
  EsNative to = { .family = AF_UNSPEC, .size = 0 };
  EsLocal from = { .family = AF_UNSPEC };

  if (address == NULL && !self->config.is_connected)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                           "No address was given, and there is no server to take instead");
      return -1;
    }
  if (address != NULL && !es_address_to_route (address, self->config.origin, &to, &from, error))
    return -1;
  if (self->dtls != NULL)
    return send_privately (self, messages, n_messages, &to, error);
  return es_outbox_send (self->outbox, messages, n_messages, &to, &from, get_hold (self), error);
}

/* An answer to a peer that there is a session with. */
static gboolean
answer_privately (EsLane *self,
                  GBytes *message,
                  const EsNative *to)
{
  g_autoptr (EsDtlsSession) session = es_dtls_ref_session (self->dtls, to);
  g_autoptr (GBytes) datagram = NULL;
  gboolean is_held = FALSE;

  if (session == NULL)
    return FALSE;
  es_dtls_session_lock (session);
  datagram = es_dtls_session_encrypt (session, message, NULL);
  if (datagram != NULL)
    is_held = es_outbox_hold (self->outbox, datagram, self->config.is_connected ? &the_server : to,
                              es_dtls_session_get_local (session), dispatching_hold);
  es_dtls_session_unlock (session);
  return is_held;
}

/* Sends an answer from a handler, in the thread that it runs in. Returns FALSE, and has done
 * nothing, if anything is out of the ordinary: es_lane_send() knows what then. */
gboolean
es_lane_answer (EsLane *self,
                GBytes *message,
                GSocketAddress *address)
{
  EsNative to;
  EsLocal from;

  if (g_bytes_get_size (message) > MAX_ANSWER_SIZE ||
      !es_address_to_answer (address, self->config.origin, &to, &from))
    return FALSE;
  if (self->dtls != NULL)
    return answer_privately (self, message, &to);
  return es_outbox_hold (self->outbox, message, &to, &from, dispatching_hold);
}

/* Whether everything is encrypted. Thread-safe. */
gboolean
es_lane_is_private (EsLane *self)
{
  return self->dtls != NULL;
}

/* (transfer full) (nullable) The session with a peer, or for a NULL address the one with the
 * server. Thread-safe. */
EsSession *
es_lane_lookup_session (EsLane *self,
                        GSocketAddress *address)
{
  EsNative peer = the_server;
  g_autoptr (EsDtlsSession) session = NULL;

  if (self->dtls == NULL || (address != NULL && !es_native_from_address (&peer, address, NULL)))
    return NULL;
  session = es_dtls_ref_session (self->dtls, &peer);
  return session != NULL ? g_object_ref (es_dtls_session_get_public (session)) : NULL;
}

static guint64
get_n_dropped (EsLane *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (!self->has_socket)
    return self->n_dropped;
  return es_socket_get_n_dropped (self->config.socket) - self->n_dropped_before;
}

/* Adds what the lane did so far. Thread-safe. */
void
es_lane_add_stats (EsLane *self,
                   EsStats *stats)
{
  EsOutboxCounts sent = es_outbox_get_counts (self->outbox);

  stats->messages_received += es_counter_get (&self->messages_received);
  stats->bytes_received += es_counter_get (&self->bytes_received);
  stats->receive_calls += es_counter_get (&self->receive_calls);
  stats->receive_errors += es_counter_get (&self->receive_errors);
  stats->dropped_too_long += es_counter_get (&self->dropped_too_long);
  stats->dropped_rate_limited += es_counter_get (&self->dropped_rate_limited);
  stats->dropped_at_stop += es_counter_get (&self->dropped_at_stop);
  stats->dropped_by_kernel += get_n_dropped (self);
  if (self->dtls != NULL)
    es_dtls_add_stats (self->dtls, stats);
  stats->messages_sent += sent.messages_sent;
  stats->bytes_sent += sent.bytes_sent;
  stats->send_calls += sent.send_calls;
  stats->send_errors += sent.send_errors;
  stats->dropped_unsent += sent.dropped_unsent;
}
