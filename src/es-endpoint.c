/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-endpoint-private.h"

#include "es-address.h"
#include "es-home.h"
#include "es-interrupt.h"
#include "es-job-list.h"
#include "es-marshal.h"
#include "es-roster.h"
#include "es-stats-private.h"
#include "es-tidings.h"

#include <stdatomic.h>

/**
 * EsEndpoint:
 *
 * A datagram socket on a main context: what servers and clients have in common.
 *
 * ## The way of a datagram
 *
 *     kernel -> batch -> message-received -> outbox -> kernel
 *
 * All of it happens in one dispatch of one source: the endpoint reads what is waiting, hands each
 * message to the handlers, and then sends everything that the handlers queued. A send made at any
 * other time, or from any other thread, leaves at once.
 *
 * ## Handlers
 *
 * A message is handed first to the direct handler ([method@Endpoint.set_message_func]), then to
 * the handlers of [signal@Endpoint::message-received]. A handler may send, stop the endpoint,
 * start it again, disconnect itself, or drop the last reference. While a handler runs a main loop
 * of its own, messages it has sent leave, but no other message is delivered.
 *
 * ## Threads
 *
 * An endpoint belongs to the thread-default main context of the thread that called
 * [method@Endpoint.start]. Functions are called there unless their documentation says
 * "Thread-safe.". All signals come there too, except that with [property@Endpoint:threaded]
 * message-received is emitted on the threads of a pool, and with several
 * [property@UdpServer:workers] on theirs.
 *
 * ## Loss
 *
 * UDP loses messages. Those that were lost where this host could see it are counted under a name:
 * see [struct@Stats].
 */

#define DEFAULT_BUFFER_SIZE (4 * 1024 * 1024)
#define DEFAULT_MAX_THREADS 16
#define MAX_MAX_THREADS 1024
#define MAX_MESSAGE_SIZE 65535

/* A direct handler. One that was replaced may still be running, so it is kept. */
typedef struct
{
  EsMessageFunc func;
  gpointer user_data;
  GDestroyNotify destroy; /* (nullable) */
} EsHandler;

typedef struct
{
  /* Set when made, then only read. */
  EsEndpointClassPrivate *vtable; /* (borrowed) */
  EsHome *home;                   /* (owned) */
  EsTidings *tidings;             /* (owned) */
  EsRoster *roster;               /* (owned) */
  EsJobList *jobs;                /* (owned) */

  /* Set before start, then only read. */
  gboolean threaded;
  guint max_threads;
  guint max_message_size;
  gboolean is_alone; /* one thread delivers */

  /* The endpoint's context only. */
  EsSocketOptions options;
  gboolean is_paused;
  EsInterrupt *interrupt; /* (owned) (nullable) */
  GPtrArray *handlers;    /* (owned) of EsHandler, the last one in use */

  /* Set in the endpoint's context, read in any thread that delivers. */
  EsHandler *handler; /* (borrowed) (nullable) */

  /* Any thread. */
  atomic_bool is_heard;   /* somebody may listen to messages, as of the last dispatch */
  atomic_bool is_limited; /* the subclass is to be asked before a send */

  /* Under the start lock, which comes first. */
  GMutex start_lock;
  gboolean was_stopped; /* so that no send starts it any more */

  /* Under the lock. */
  GMutex lock;
  guint run;            /* counts the starts */
  guint n_stops;        /* so far */
  gboolean is_quitting; /* the es_endpoint_run() that runs, or the next one, is to end */
} EsEndpointPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_CODE (EsEndpoint,
                                  es_endpoint,
                                  G_TYPE_OBJECT,
                                  G_ADD_PRIVATE (EsEndpoint)
                                    g_type_add_class_private (g_define_type_id,
                                                              sizeof (EsEndpointClassPrivate)))

typedef enum
{
  PROP_RUNNING = 1,
  PROP_LOCAL_ADDRESS,
  PROP_PAUSED,
  PROP_QUIT_ON_SIGNALS,
  PROP_THREADED,
  PROP_MAX_THREADS,
  PROP_MAX_MESSAGE_SIZE,
  PROP_RECEIVE_BUFFER_SIZE,
  PROP_SEND_BUFFER_SIZE,
  PROP_BROADCAST,
  PROP_MULTICAST_TTL,
  PROP_MULTICAST_LOOPBACK,
} EsEndpointProperty;

static GParamSpec *properties[PROP_MULTICAST_LOOPBACK + 1];

typedef enum
{
  SIGNAL_MESSAGE_RECEIVED,
  SIGNAL_ERROR,
  SIGNAL_WRITABLE,
} EsEndpointSignal;

static guint signals[SIGNAL_WRITABLE + 1];

static EsEndpointPrivate *
get_private (EsEndpoint *self)
{
  return es_endpoint_get_instance_private (self);
}

GMainContext *
es_endpoint_ref_context (EsEndpoint *self)
{
  return es_home_ref_context (get_private (self)->home);
}

static void
tell_state (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);

  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RUNNING]);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOCAL_ADDRESS]);
  if (priv->vtable->restate != NULL)
    priv->vtable->restate (self);
}

static void
tidings_cb (gpointer owner,
            const GError *error,
            GSocketAddress *address)
{
  if (error != NULL)
    g_signal_emit (owner, signals[SIGNAL_ERROR], 0, error, address);
  else
    g_signal_emit (owner, signals[SIGNAL_WRITABLE], 0);
}

/* Looks once a dispatch whether anybody listens to messages, where several threads deliver: an
 * emission that nobody hears would have them meet at the lock of all signals. Where one delivers,
 * a handler may connect another, which is to hear the very next message. */
static void
on_lane_begin (gpointer owner)
{
  EsEndpointPrivate *priv = get_private (owner);
  guint signal_id = signals[SIGNAL_MESSAGE_RECEIVED];
  gboolean is_heard = priv->is_alone ||
                      ES_ENDPOINT_GET_CLASS (owner)->message_received != NULL ||
                      g_signal_has_handler_pending (owner, signal_id, 0, TRUE);

  atomic_store_explicit (&priv->is_heard, is_heard, memory_order_relaxed);
}

static void
on_lane_deliver (gpointer owner,
                 GBytes *message,
                 GSocketAddress *address)
{
  get_private (owner)->vtable->deliver (owner, message, address);
}

static void
on_lane_drop_too_long (gpointer owner,
                       gsize size,
                       gsize limit,
                       GSocketAddress *address)
{
  g_autofree char *name = es_address_to_string (address);
  g_autoptr (GError) error = NULL;

  error = g_error_new (G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                       "Dropped a message of %" G_GSIZE_FORMAT
                       " bytes from %s: At most %" G_GSIZE_FORMAT " are taken",
                       size, name, limit);
  es_tidings_tell_error (get_private (owner)->tidings, error, address);
}

static void
on_lane_fail (gpointer owner,
              const GError *error,
              GSocketAddress *address)
{
  es_tidings_tell_error (get_private (owner)->tidings, error, address);
}

static void
on_lane_writable (gpointer owner)
{
  es_tidings_tell_room (get_private (owner)->tidings);
}

static const EsLaneFuncs lane_funcs = {
  on_lane_begin,
  on_lane_deliver,
  on_lane_drop_too_long,
  on_lane_fail,
  on_lane_writable,
};

/* Emits message-received without a reference to the endpoint, which GLib's other calls take: a
 * thread of ours that always had one would keep alive what nobody else wants. An endpoint that goes
 * waits for these threads. */
static void
emit_unheld (EsEndpoint *self,
             GBytes *message,
             GSocketAddress *address)
{
  GValue values[4] = { G_VALUE_INIT, G_VALUE_INIT, G_VALUE_INIT, G_VALUE_INIT };

  g_value_init (&values[0], G_OBJECT_TYPE (self));
  values[0].data[0].v_pointer = self;
  g_value_init (&values[1], G_TYPE_BYTES);
  g_value_set_static_boxed (&values[1], message);
  g_value_init (&values[2], G_TYPE_SOCKET_ADDRESS);
  g_value_set_object (&values[2], address);
  g_value_init (&values[3], G_TYPE_POINTER);
  g_value_set_pointer (&values[3], es_endpoint_send);
  g_signal_emitv (values, signals[SIGNAL_MESSAGE_RECEIVED], 0, NULL);
  g_value_unset (&values[2]);
}

static void
es_endpoint_real_deliver (EsEndpoint *self,
                          GBytes *message,
                          GSocketAddress *address)
{
  EsEndpointPrivate *priv = get_private (self);
  EsHandler *handler = g_atomic_pointer_get (&priv->handler);

  if (handler != NULL)
    handler->func (self, message, address, es_endpoint_send, handler->user_data);
  if (!atomic_load_explicit (&priv->is_heard, memory_order_relaxed))
    return;
  if (priv->is_alone)
    g_signal_emit (self, signals[SIGNAL_MESSAGE_RECEIVED], 0, message, address, es_endpoint_send);
  else
    emit_unheld (self, message, address);
}

/* Which of the kernel's ways to coalesce messages are used: all, but for tests, which switch them
 * off by the environment. */
static void
read_debug_switches (EsLaneConfig *config)
{
  static const GDebugKey keys[] = { { "gro", 1 }, { "gso", 2 } };
  const char *names = g_getenv ("EASYSERVERS_DISABLE");
  guint disabled = g_parse_debug_string (names, keys, G_N_ELEMENTS (keys));

  config->receive_segments = (disabled & 1) == 0;
  config->send_segments = (disabled & 2) == 0;
}

/* Names a crew, as no other crew of any endpoint is named. */
static guint
name_crew (void)
{
  static atomic_uint n_crews;

  return atomic_fetch_add (&n_crews, 1) + 1;
}

static guint
get_run (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->lock);

  return priv->run;
}

static EsCrew *
make_crew (EsEndpoint *self,
           GPtrArray *sockets,
           gboolean is_adopted,
           GError **error)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMainContext) context = es_home_ref_context (priv->home);
  GSocket *first = sockets->pdata[0];
  EsLaneConfig config = {
    .is_adopted = is_adopted,
    .is_connected = g_socket_is_connected (first),
    .is_paused = TRUE,
    .max_message_size = priv->max_message_size,
    .origin = name_crew (),
    .n_pool_threads = priv->threaded ? MAX (1, priv->max_threads / sockets->len) : 0,
    .n_lanes = sockets->len,
  };

  priv->is_alone = sockets->len == 1 && !priv->threaded;
  read_debug_switches (&config);
  /* Whoever reads an adopted socket next may not know what a train is. */
  config.receive_segments = config.receive_segments && !is_adopted;
  if (priv->vtable->configure != NULL && !priv->vtable->configure (self, &config, error))
    return NULL;
  return es_crew_new (sockets, &config, &lane_funcs, G_OBJECT (self), context, error);
}

static void
update_paused (EsLane *lane,
               gpointer data)
{
  es_lane_set_paused (lane, ((EsEndpointPrivate *) data)->is_paused);
}

/* Opens sockets and puts a crew to work in place of the one before, or leaves no trace. Nothing is
 * delivered before the crew is known to all threads. */
static gboolean
open_crew (EsEndpoint *self,
           GError **error)
{
  EsEndpointPrivate *priv = get_private (self);
  gboolean is_adopted = FALSE;
  g_autoptr (GPtrArray) sockets = priv->vtable->open (self, &priv->options, &is_adopted, error);
  EsCrew *crew = sockets != NULL ? make_crew (self, sockets, is_adopted, error) : NULL;

  if (crew == NULL)
    return FALSE;
  es_roster_dismiss_crew (priv->roster, es_roster_replace_crew (priv->roster, crew));
  es_endpoint_foreach_lane (self, update_paused, priv);
  return TRUE;
}

/* Before the start, since a stop may be asked for as soon as anybody sees that it runs. */
static void
count_start (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->lock);

  priv->run++;
}

/* Lets the process's signals be heard where the endpoint runs. */
static void
follow_home (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMainContext) context = es_home_ref_context (priv->home);

  if (priv->interrupt != NULL)
    es_interrupt_move (priv->interrupt, context);
}

/* Starts in the calling thread's context, or leaves no trace. */
static gboolean
start_at_home (EsEndpoint *self,
               gboolean *is_new,
               GError **error)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->start_lock);
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();
  GThread *thread = g_thread_self ();

  *is_new = !es_endpoint_is_running (self);
  if (!*is_new)
    return TRUE;
  es_home_exchange (priv->home, &context, &thread);
  count_start (self);
  *is_new = open_crew (self, error);
  if (!*is_new)
    es_home_exchange (priv->home, &context, &thread);
  follow_home (self);
  return *is_new;
}

static void
count_stop (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->lock);

  priv->n_stops++;
}

/* (nullable) Takes the crew that was at work, to be dismissed, and lets no send put another one to
 * work, be it that of a job which is about to end. */
static EsCrew *
retire_crew (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->start_lock);

  priv->was_stopped = TRUE;
  return es_roster_replace_crew (priv->roster, NULL);
}

/* Stops, in the endpoint's context. */
static void
stop_here (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  EsCrew *crew = retire_crew (self);
  gboolean was_running = crew != NULL;

  if (was_running && priv->vtable->give_up != NULL)
    priv->vtable->give_up (self);
  es_roster_dismiss_crew (priv->roster, crew);
  es_job_list_end (priv->jobs);
  if (!was_running)
    return;
  count_stop (self);
  tell_state (self);
}

/* A stop that another thread has asked for: of this run, not of a later one. */
typedef struct
{
  EsEndpoint *self; /* (owned) */
  guint run;
} EsStopRequest;

static void
free_stop_request (gpointer data)
{
  EsStopRequest *request = data;

  g_object_unref (request->self);
  g_free (request);
}

static gboolean
stop_cb (gpointer data)
{
  EsStopRequest *request = data;

  if (get_run (request->self) == request->run)
    stop_here (request->self);
  return G_SOURCE_REMOVE;
}

static void
request_stop (EsEndpoint *self)
{
  EsStopRequest *request = g_new0 (EsStopRequest, 1);

  request->self = g_object_ref (self);
  request->run = get_run (self);
  es_home_call_later (get_private (self)->home, stop_cb, request, free_stop_request);
}

/* Whether a send may start the endpoint. */
static gboolean
may_start_by_itself (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);

  return priv->vtable->starts_by_itself && !priv->was_stopped;
}

/* Starts in the context of the thread that made the endpoint, from any thread. Returns TRUE also
 * where nothing is to be started. */
static gboolean
start_by_itself (EsEndpoint *self,
                 GError **error)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->start_lock);

  if (es_endpoint_is_running (self) || !may_start_by_itself (self))
    return TRUE;
  count_start (self);
  if (!open_crew (self, error))
    return FALSE;
  /* Not under the lock, since whoever is told may start and stop. */
  g_clear_pointer (&locker, g_mutex_locker_free);
  es_endpoint_call (self, tell_state);
  return TRUE;
}

/* Changes a property's value. Returns whether it was another. */
static gboolean
set_boolean (EsEndpoint *self,
             EsEndpointProperty property,
             gboolean *field,
             gboolean value)
{
  if (*field == !!value)
    return FALSE;
  *field = !!value;
  g_object_notify_by_pspec (G_OBJECT (self), properties[property]);
  return TRUE;
}

static gboolean
set_uint (EsEndpoint *self,
          EsEndpointProperty property,
          guint *field,
          guint value)
{
  if (*field == value)
    return FALSE;
  *field = value;
  g_object_notify_by_pspec (G_OBJECT (self), properties[property]);
  return TRUE;
}

static void
free_handler (gpointer data)
{
  EsHandler *handler = data;

  if (handler->destroy != NULL)
    handler->destroy (handler->user_data);
  g_free (handler);
}

static void
es_endpoint_constructed (GObject *object)
{
  EsEndpoint *self = ES_ENDPOINT (object);

  G_OBJECT_CLASS (es_endpoint_parent_class)->constructed (object);
  get_private (self)->vtable = es_endpoint_class_get_private (ES_ENDPOINT_GET_CLASS (self));
}

/* Whether the calling thread is one that a stop waits for. */
static gboolean
runs_in_own_thread (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);

  return es_job_list_has_own_thread (priv->jobs) ||
         (es_lane_is_own_thread (self) && !es_home_is_here (priv->home));
}

static void
silence (EsLane *lane,
         gpointer data)
{
  es_lane_set_paused (lane, TRUE);
}

/* Lets go in the endpoint's context: if another thread runs that, with a new reference, there. */
static void
es_endpoint_dispose (GObject *object)
{
  EsEndpoint *self = ES_ENDPOINT (object);
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMainContext) context = es_home_ref_context (priv->home);

  if (runs_in_own_thread (self) || !g_main_context_acquire (context))
    {
      es_endpoint_foreach_lane (self, silence, NULL);
      request_stop (self);
      return;
    }
  g_clear_pointer (&priv->interrupt, es_interrupt_free);
  stop_here (self);
  es_job_list_detach (priv->jobs);
  es_job_list_end (priv->jobs);
  g_main_context_release (context);
  G_OBJECT_CLASS (es_endpoint_parent_class)->dispose (object);
}

static void
es_endpoint_finalize (GObject *object)
{
  EsEndpointPrivate *priv = get_private (ES_ENDPOINT (object));

  g_ptr_array_unref (priv->handlers);
  es_job_list_free (priv->jobs);
  es_roster_free (priv->roster);
  es_tidings_free (priv->tidings);
  es_home_free (priv->home);
  g_mutex_clear (&priv->lock);
  g_mutex_clear (&priv->start_lock);
  G_OBJECT_CLASS (es_endpoint_parent_class)->finalize (object);
}

static void
get_socket_property (EsEndpoint *self,
                     guint prop_id,
                     GValue *value,
                     GParamSpec *pspec)
{
  switch ((EsEndpointProperty) prop_id)
    {
    case PROP_RECEIVE_BUFFER_SIZE:
      g_value_set_uint (value, es_endpoint_get_receive_buffer_size (self));
      break;
    case PROP_SEND_BUFFER_SIZE:
      g_value_set_uint (value, es_endpoint_get_send_buffer_size (self));
      break;
    case PROP_BROADCAST:
      g_value_set_boolean (value, es_endpoint_get_broadcast (self));
      break;
    case PROP_MULTICAST_TTL:
      g_value_set_uint (value, es_endpoint_get_multicast_ttl (self));
      break;
    case PROP_MULTICAST_LOOPBACK:
      g_value_set_boolean (value, es_endpoint_get_multicast_loopback (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (self, prop_id, pspec);
    }
}

static void
es_endpoint_get_property (GObject *object,
                          guint prop_id,
                          GValue *value,
                          GParamSpec *pspec)
{
  EsEndpoint *self = ES_ENDPOINT (object);

  switch ((EsEndpointProperty) prop_id)
    {
    case PROP_RUNNING:
      g_value_set_boolean (value, es_endpoint_is_running (self));
      break;
    case PROP_LOCAL_ADDRESS:
      g_value_take_object (value, es_endpoint_get_local_address (self));
      break;
    case PROP_PAUSED:
      g_value_set_boolean (value, es_endpoint_get_paused (self));
      break;
    case PROP_QUIT_ON_SIGNALS:
      g_value_set_boolean (value, es_endpoint_get_quit_on_signals (self));
      break;
    case PROP_THREADED:
      g_value_set_boolean (value, es_endpoint_get_threaded (self));
      break;
    case PROP_MAX_THREADS:
      g_value_set_uint (value, es_endpoint_get_max_threads (self));
      break;
    case PROP_MAX_MESSAGE_SIZE:
      g_value_set_uint (value, es_endpoint_get_max_message_size (self));
      break;
    default:
      get_socket_property (self, prop_id, value, pspec);
    }
}

static void
es_endpoint_set_property (GObject *object,
                          guint prop_id,
                          const GValue *value,
                          GParamSpec *pspec)
{
  EsEndpoint *self = ES_ENDPOINT (object);

  switch ((EsEndpointProperty) prop_id)
    {
    case PROP_PAUSED:
      es_endpoint_set_paused (self, g_value_get_boolean (value));
      break;
    case PROP_QUIT_ON_SIGNALS:
      es_endpoint_set_quit_on_signals (self, g_value_get_boolean (value));
      break;
    case PROP_THREADED:
      es_endpoint_set_threaded (self, g_value_get_boolean (value));
      break;
    case PROP_MAX_THREADS:
      es_endpoint_set_max_threads (self, g_value_get_uint (value));
      break;
    case PROP_MAX_MESSAGE_SIZE:
      es_endpoint_set_max_message_size (self, g_value_get_uint (value));
      break;
    case PROP_RECEIVE_BUFFER_SIZE:
      es_endpoint_set_receive_buffer_size (self, g_value_get_uint (value));
      break;
    case PROP_SEND_BUFFER_SIZE:
      es_endpoint_set_send_buffer_size (self, g_value_get_uint (value));
      break;
    case PROP_BROADCAST:
      es_endpoint_set_broadcast (self, g_value_get_boolean (value));
      break;
    case PROP_MULTICAST_TTL:
      es_endpoint_set_multicast_ttl (self, g_value_get_uint (value));
      break;
    case PROP_MULTICAST_LOOPBACK:
      es_endpoint_set_multicast_loopback (self, g_value_get_boolean (value));
      break;
    case PROP_RUNNING:
    case PROP_LOCAL_ADDRESS:
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
install_state_properties (GObjectClass *object_class)
{
  GParamFlags read_flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsEndpoint:running: (getter is_running)
   *
   * Whether the endpoint runs, from a start to a stop.
   */
  properties[PROP_RUNNING] =
    g_param_spec_boolean ("running", NULL, NULL, FALSE, read_flags);

  /**
   * EsEndpoint:local-address: (getter get_local_address)
   *
   * The address of the endpoint's socket, or %NULL while it is stopped.
   */
  properties[PROP_LOCAL_ADDRESS] =
    g_param_spec_object ("local-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, read_flags);

  /**
   * EsEndpoint:paused: (getter get_paused) (setter set_paused)
   *
   * Whether reading rests. Meanwhile the kernel's buffer holds what it can; what it cannot is
   * counted as dropped by the kernel. Acts at once.
   */
  properties[PROP_PAUSED] = g_param_spec_boolean ("paused", NULL, NULL, FALSE, flags);

  /**
   * EsEndpoint:broadcast: (getter get_broadcast) (setter set_broadcast)
   *
   * Whether messages may be sent to broadcast addresses (socket(7), SO_BROADCAST). Acts at once.
   */
  properties[PROP_BROADCAST] = g_param_spec_boolean ("broadcast", NULL, NULL, FALSE, flags);
}

static void
install_signal_properties (GObjectClass *object_class)
{
  /**
   * EsEndpoint:quit-on-signals: (getter get_quit_on_signals) (setter set_quit_on_signals)
   *
   * Whether the signals that ask a process to end, SIGINT and SIGTERM (signal(7)), end
   * [method@Endpoint.run]: one that comes before that ends the next run at once. They then do
   * nothing else, so that the program can end in its own way. They are heard in the endpoint's
   * context, which has to be iterated. Set it there. Acts at once.
   */
  properties[PROP_QUIT_ON_SIGNALS] =
    g_param_spec_boolean ("quit-on-signals", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
}

static void
install_delivery_properties (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsEndpoint:threaded: (getter get_threaded) (setter set_threaded)
   *
   * Whether handlers run on the threads of a pool, side by side and in no certain order. When all
   * threads are busy and 1024 messages wait for one, reading rests. Acts at the next start.
   */
  properties[PROP_THREADED] =
    g_param_spec_boolean ("threaded", NULL, NULL, FALSE, flags);

  /**
   * EsEndpoint:max-threads: (getter get_max_threads) (setter set_max_threads)
   *
   * How many threads the pool of a threaded endpoint has. Several workers share them out, with at
   * least one for each. Acts at the next start.
   */
  properties[PROP_MAX_THREADS] =
    g_param_spec_uint ("max-threads", NULL, NULL, 1, MAX_MAX_THREADS, DEFAULT_MAX_THREADS, flags);

  /**
   * EsEndpoint:max-message-size: (getter get_max_message_size) (setter set_max_message_size)
   *
   * The longest message that is taken, in bytes. Longer ones are dropped, counted as too long, and
   * told by [signal@Endpoint::error]. Acts at the next start.
   */
  properties[PROP_MAX_MESSAGE_SIZE] =
    g_param_spec_uint ("max-message-size", NULL, NULL,
                       0, MAX_MESSAGE_SIZE, MAX_MESSAGE_SIZE, flags);
}

static void
install_multicast_properties (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsEndpoint:multicast-ttl: (getter get_multicast_ttl) (setter set_multicast_ttl)
   *
   * How many networks a message to a group may travel through: 1 is the local one (ip(7),
   * IP_MULTICAST_TTL; ipv6(7), IPV6_MULTICAST_HOPS). Acts at once.
   */
  properties[PROP_MULTICAST_TTL] =
    g_param_spec_uint ("multicast-ttl", NULL, NULL, 0, 255, 1, flags);

  /**
   * EsEndpoint:multicast-loopback: (getter get_multicast_loopback) (setter set_multicast_loopback)
   *
   * Whether messages to a group come to its members on this host, too (ip(7), IP_MULTICAST_LOOP).
   * Acts at once.
   */
  properties[PROP_MULTICAST_LOOPBACK] =
    g_param_spec_boolean ("multicast-loopback", NULL, NULL, TRUE, flags);
}

static void
install_buffer_properties (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsEndpoint:receive-buffer-size:
   *
   * The kernel's buffer for messages that were not read yet, in bytes (socket(7), SO_RCVBUF). What
   * is set is what is asked for; while the endpoint runs, reading gives what the kernel granted.
   * Acts at once.
   */
  properties[PROP_RECEIVE_BUFFER_SIZE] =
    g_param_spec_uint ("receive-buffer-size", NULL, NULL,
                       1, G_MAXINT / 2, DEFAULT_BUFFER_SIZE, flags);

  /**
   * EsEndpoint:send-buffer-size: (getter get_send_buffer_size) (setter set_send_buffer_size)
   *
   * The kernel's buffer for messages that have not left yet, in bytes (socket(7), SO_SNDBUF). What
   * is set is what is asked for; while the endpoint runs, reading gives what the kernel granted.
   * Acts at once.
   */
  properties[PROP_SEND_BUFFER_SIZE] =
    g_param_spec_uint ("send-buffer-size", NULL, NULL, 1, G_MAXINT / 2, DEFAULT_BUFFER_SIZE, flags);
}

static void
install_message_received (EsEndpointClass *klass)
{
  /**
   * EsEndpoint::message-received:
   * @self: the endpoint
   * @message: the message, followed by a NUL byte that is not counted; it may be kept with a
   *   reference
   * @address: the sender; it may be kept with a reference
   * @send: (type gpointer): an [callback@SendFunc] to answer with, [method@Endpoint.send]
   *
   * A message came. An empty one is a message, too.
   *
   * Emitted in the endpoint's context, on a thread of a pool with [property@Endpoint:threaded], or
   * on a worker's with several [property@UdpServer:workers].
   */
  signals[SIGNAL_MESSAGE_RECEIVED] =
    g_signal_new ("message-received", ES_TYPE_ENDPOINT, G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (EsEndpointClass, message_received), NULL, NULL,
                  es_marshal_VOID__BOXED_OBJECT_POINTER, G_TYPE_NONE, 3,
                  G_TYPE_BYTES | G_SIGNAL_TYPE_STATIC_SCOPE, G_TYPE_SOCKET_ADDRESS, G_TYPE_POINTER);
  g_signal_set_va_marshaller (signals[SIGNAL_MESSAGE_RECEIVED], G_TYPE_FROM_CLASS (klass),
                              es_marshal_VOID__BOXED_OBJECT_POINTERv);
}

static void
install_error (EsEndpointClass *klass)
{
  /**
   * EsEndpoint::error:
   * @self: the endpoint
   * @error: what went wrong
   * @address: (nullable): the address that it concerns, where that is known
   *
   * Something went wrong outside of any call: an ICMP error came, a message that was accepted
   * could not be sent, a message was too long. It never ends the endpoint.
   */
  signals[SIGNAL_ERROR] =
    g_signal_new ("error", ES_TYPE_ENDPOINT, G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (EsEndpointClass, error), NULL, NULL,
                  es_marshal_VOID__BOXED_OBJECT, G_TYPE_NONE, 2,
                  G_TYPE_ERROR | G_SIGNAL_TYPE_STATIC_SCOPE, G_TYPE_SOCKET_ADDRESS);
  g_signal_set_va_marshaller (signals[SIGNAL_ERROR], G_TYPE_FROM_CLASS (klass),
                              es_marshal_VOID__BOXED_OBJECTv);
}

static void
install_writable (EsEndpointClass *klass)
{
  /**
   * EsEndpoint::writable:
   * @self: the endpoint
   *
   * There is room again for messages to send, after a send had failed with
   * %G_IO_ERROR_WOULD_BLOCK.
   */
  signals[SIGNAL_WRITABLE] =
    g_signal_new ("writable", ES_TYPE_ENDPOINT, G_SIGNAL_RUN_LAST,
                  G_STRUCT_OFFSET (EsEndpointClass, writable), NULL, NULL,
                  NULL, G_TYPE_NONE, 0);
}

static void
es_endpoint_class_init (EsEndpointClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = es_endpoint_constructed;
  object_class->dispose = es_endpoint_dispose;
  object_class->finalize = es_endpoint_finalize;
  object_class->get_property = es_endpoint_get_property;
  object_class->set_property = es_endpoint_set_property;
  es_endpoint_class_get_private (klass)->deliver = es_endpoint_real_deliver;

  install_state_properties (object_class);
  install_signal_properties (object_class);
  install_delivery_properties (object_class);
  install_buffer_properties (object_class);
  install_multicast_properties (object_class);
  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
  install_message_received (klass);
  install_error (klass);
  install_writable (klass);
}

static void
es_endpoint_init (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);

  g_mutex_init (&priv->start_lock);
  g_mutex_init (&priv->lock);
  priv->home = es_home_new ();
  priv->tidings = es_tidings_new (priv->home, tidings_cb, G_OBJECT (self));
  priv->roster = es_roster_new ();
  priv->jobs = es_job_list_new (self);
  priv->handlers = g_ptr_array_new_with_free_func (free_handler);
  priv->max_threads = DEFAULT_MAX_THREADS;
  priv->max_message_size = MAX_MESSAGE_SIZE;
  priv->options.receive_buffer_size = DEFAULT_BUFFER_SIZE;
  priv->options.send_buffer_size = DEFAULT_BUFFER_SIZE;
  priv->options.multicast_ttl = 1;
  priv->options.multicast_loopback = TRUE;
}

EsEndpointClassPrivate *
es_endpoint_class_get_private (EsEndpointClass *klass)
{
  return G_TYPE_CLASS_GET_PRIVATE (klass, ES_TYPE_ENDPOINT, EsEndpointClassPrivate);
}

GMutexLocker *
es_endpoint_lock_start (EsEndpoint *self)
{
  return g_mutex_locker_new (&get_private (self)->start_lock);
}

gboolean
es_endpoint_reopen (EsEndpoint *self,
                    GError **error)
{
  return open_crew (self, error);
}

void
es_endpoint_tell_local_address (EsEndpoint *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOCAL_ADDRESS]);
}

void
es_endpoint_set_limited (EsEndpoint *self,
                         gboolean is_limited)
{
  atomic_store (&get_private (self)->is_limited, is_limited);
}

gboolean
es_endpoint_is_limited (EsEndpoint *self)
{
  return atomic_load_explicit (&get_private (self)->is_limited, memory_order_relaxed);
}

gboolean
es_endpoint_is_stranger (EsEndpoint *self,
                         GSocketAddress *address)
{
  return es_endpoint_is_limited (self) && get_private (self)->vtable->is_stranger (self, address);
}

EsSocketOptions *
es_endpoint_get_options (EsEndpoint *self)
{
  return &get_private (self)->options;
}

void
es_endpoint_foreach_lane (EsEndpoint *self,
                          EsLaneVisitFunc func,
                          gpointer data)
{
  es_roster_foreach_lane (get_private (self)->roster, func, data);
}

EsLane *
es_endpoint_ref_first_lane (EsEndpoint *self)
{
  return es_roster_ref_first_lane (get_private (self)->roster);
}

EsLane *
es_endpoint_ref_sending_lane (EsEndpoint *self,
                              GError **error)
{
  EsLane *own = es_lane_get_dispatching (self);
  EsLane *lane = NULL;

  if (own != NULL && es_lane_is_open (own))
    return es_lane_ref (own);
  lane = es_endpoint_ref_first_lane (self);
  /* A handler that a stop waits for may still answer. */
  if (lane == NULL && own != NULL)
    return es_lane_ref (own);
  if (lane == NULL && start_by_itself (self, error))
    lane = es_endpoint_ref_first_lane (self);
  if (lane == NULL && (error == NULL || *error == NULL))
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The endpoint is not running");
  return lane;
}

GMainContext *
es_endpoint_enter_context (EsEndpoint *self)
{
  return es_home_enter (get_private (self)->home);
}

void
es_endpoint_receive_aside (EsEndpoint *self,
                           EsTakeFunc take)
{
  g_autoptr (EsLane) lane = es_endpoint_ref_first_lane (self);

  if (lane != NULL)
    es_lane_receive_aside (lane, take);
}

typedef struct
{
  EsEndpoint *self; /* (owned) */
  void (*func) (EsEndpoint *self);
} EsCall;

static void
free_call (gpointer data)
{
  EsCall *call = data;

  g_object_unref (call->self);
  g_free (call);
}

static gboolean
call_cb (gpointer data)
{
  EsCall *call = data;

  call->func (call->self);
  return G_SOURCE_REMOVE;
}

void
es_endpoint_call (EsEndpoint *self,
                  void (*func) (EsEndpoint *self))
{
  GMainContext *context = es_endpoint_enter_context (self);
  EsCall *call;

  if (context != NULL)
    {
      g_object_ref (self);
      func (self);
      es_home_leave (context);
      g_object_unref (self);
      return;
    }
  call = g_new0 (EsCall, 1);
  call->self = g_object_ref (self);
  call->func = func;
  es_home_call_later (get_private (self)->home, call_cb, call, free_call);
}

void
es_endpoint_run_burst (EsEndpoint *self,
                       void (*func) (gpointer data),
                       gpointer data)
{
  g_autoptr (EsLane) lane = es_endpoint_ref_sending_lane (self, NULL);

  if (lane != NULL)
    es_lane_run_burst (lane, func, data);
  else
    func (data);
}

/**
 * es_endpoint_start:
 * @self: an endpoint
 * @error: return location for a #GError
 *
 * Opens the socket and listens in the thread-default main context of the calling thread.
 *
 * Messages are delivered as soon as that context is iterated. An endpoint that runs goes on
 * unchanged. Errors: what GIO gives for the failure, such as %G_IO_ERROR_ADDRESS_IN_USE,
 * %G_IO_ERROR_PERMISSION_DENIED for a port below 1024, %G_IO_ERROR_INVALID_ARGUMENT for an address
 * that is none, or %G_THREAD_ERROR_AGAIN if there are no more threads for a pool or for workers.
 * The endpoint then is as before.
 *
 * Returns: %TRUE if the endpoint runs
 */
gboolean
es_endpoint_start (EsEndpoint *self,
                   GError **error)
{
  gboolean is_new;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!start_at_home (self, &is_new, error))
    return FALSE;
  if (is_new)
    tell_state (self);
  return TRUE;
}

/**
 * es_endpoint_stop:
 * @self: an endpoint
 *
 * Closes the socket and ends the jobs. The endpoint may be started again.
 *
 * In the endpoint's context it is complete on return, but for handlers further up its own stack;
 * in any other thread it only asks, and the endpoint's context does it. No handler is called any
 * more: what is unread is counted as dropped at stop. What was accepted for sending gets at most
 * one second to leave, and counts as dropped unsent then. A job that does not end is waited for.
 * Thread-safe.
 */
void
es_endpoint_stop (EsEndpoint *self)
{
  EsEndpointPrivate *priv;
  GMainContext *context;

  g_return_if_fail (ES_IS_ENDPOINT (self));

  /* A job that started the endpoint cannot wait for itself. */
  priv = get_private (self);
  context = es_job_list_has_own_thread (priv->jobs) ? NULL : es_home_enter (priv->home);
  if (context == NULL)
    {
      request_stop (self);
      return;
    }
  g_object_ref (self);
  stop_here (self);
  es_home_leave (context);
  g_object_unref (self);
}

/**
 * es_endpoint_is_running: (get-property running)
 * @self: an endpoint
 *
 * Tells whether the endpoint runs.
 *
 * Thread-safe.
 *
 * Returns: %TRUE from a start to a stop
 */
gboolean
es_endpoint_is_running (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);

  return es_roster_has_crew (get_private (self)->roster);
}

static guint
get_n_stops (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->lock);

  return priv->n_stops;
}

/* Whether a run goes on that began after so many stops. No GMainLoop serves here: it forgets a quit
 * that comes before it runs. */
static gboolean
runs_on (EsEndpoint *self,
         guint n_stops)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->lock);

  return priv->n_stops == n_stops && !priv->is_quitting;
}

static void
end_run (EsEndpoint *self)
{
  EsEndpointPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&priv->lock);

  priv->is_quitting = FALSE;
}

/**
 * es_endpoint_run:
 * @self: an endpoint
 * @error: return location for a #GError
 *
 * Starts the endpoint and iterates its main context until the endpoint is stopped, by whomever.
 *
 * An endpoint that was started before goes on unchanged, and is stopped in the end all the same.
 * Errors: those of [method@Endpoint.start], and %G_IO_ERROR_BUSY if the endpoint runs in the
 * context of another thread.
 *
 * Returns: %TRUE once the endpoint is stopped, %FALSE if it could not be started
 */
gboolean
es_endpoint_run (EsEndpoint *self,
                 GError **error)
{
  g_autoptr (EsEndpoint) holder = NULL;
  GMainContext *context;
  guint n_stops;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  holder = g_object_ref (self);
  n_stops = get_n_stops (self);
  if (!es_endpoint_start (self, error))
    return FALSE;
  context = es_endpoint_enter_context (self);
  if (context == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                           "Could not run: The endpoint runs in another thread");
      return FALSE;
    }
  while (runs_on (self, n_stops))
    g_main_context_iteration (context, TRUE);
  end_run (self);
  stop_here (self);
  es_home_leave (context);
  return TRUE;
}

/**
 * es_endpoint_quit:
 * @self: an endpoint
 *
 * Ends [method@Endpoint.run]. Called before that, it ends the next one at once.
 *
 * Thread-safe.
 */
void
es_endpoint_quit (EsEndpoint *self)
{
  EsEndpointPrivate *priv;
  g_autoptr (GMutexLocker) locker = NULL;
  g_autoptr (GMainContext) context = NULL;

  g_return_if_fail (ES_IS_ENDPOINT (self));

  priv = get_private (self);
  locker = g_mutex_locker_new (&priv->lock);
  priv->is_quitting = TRUE;
  context = es_home_ref_context (priv->home);
  g_main_context_wakeup (context);
}

/**
 * es_endpoint_get_quit_on_signals: (get-property quit-on-signals)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:quit-on-signals].
 *
 * Returns: whether the process's signals end the endpoint's run
 */
gboolean
es_endpoint_get_quit_on_signals (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);

  return get_private (self)->interrupt != NULL;
}

static void
quit_run (gpointer data)
{
  es_endpoint_quit (data);
}

/**
 * es_endpoint_set_quit_on_signals: (set-property quit-on-signals)
 * @self: an endpoint
 * @quit_on_signals: whether the process's signals are to end the endpoint's run
 *
 * Sets [property@Endpoint:quit-on-signals]. Acts at once.
 */
void
es_endpoint_set_quit_on_signals (EsEndpoint *self,
                                 gboolean quit_on_signals)
{
  EsEndpointPrivate *priv;
  g_autoptr (GMainContext) context = NULL;

  g_return_if_fail (ES_IS_ENDPOINT (self));

  priv = get_private (self);
  if ((priv->interrupt != NULL) == !!quit_on_signals)
    return;
  g_clear_pointer (&priv->interrupt, es_interrupt_free);
  context = es_home_ref_context (priv->home);
  if (quit_on_signals)
    priv->interrupt = es_interrupt_new (context, quit_run, self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_QUIT_ON_SIGNALS]);
}

/**
 * es_endpoint_set_message_func:
 * @self: an endpoint
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): the handler
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets the direct handler, which costs less than a signal's and comes before these.
 *
 * One that is replaced may still be running in another thread: so it is freed with the endpoint.
 */
void
es_endpoint_set_message_func (EsEndpoint *self,
                              EsMessageFunc func,
                              gpointer user_data,
                              GDestroyNotify destroy)
{
  EsEndpointPrivate *priv;
  EsHandler *handler;

  g_return_if_fail (ES_IS_ENDPOINT (self));

  priv = get_private (self);
  handler = g_new0 (EsHandler, 1);
  handler->func = func;
  handler->user_data = user_data;
  handler->destroy = destroy;
  g_ptr_array_add (priv->handlers, handler);
  g_atomic_pointer_set (&priv->handler, func != NULL ? handler : NULL);
}

/**
 * es_endpoint_create_job:
 * @self: an endpoint
 * @name: the job's name, shown by ps, top and debuggers
 * @func: (scope notified) (closure user_data) (destroy destroy): what the job does
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data when @func has returned, or with a job that never ran
 * @start: whether to start the job at once
 * @error: return location for a #GError
 *
 * Makes a job: a function in a thread of its own, that ends when the endpoint is stopped.
 *
 * The endpoint need not be running yet. It keeps a reference of its own until the job has ended.
 * Thread-safe. Errors: those of [method@Job.start], if @start is %TRUE.
 *
 * Returns: (transfer full) (nullable): the job, or %NULL if it could not be started
 */
EsJob *
es_endpoint_create_job (EsEndpoint *self,
                        const char *name,
                        EsJobFunc func,
                        gpointer user_data,
                        GDestroyNotify destroy,
                        gboolean start,
                        GError **error)
{
  EsEndpointPrivate *priv;
  g_autoptr (EsJob) job = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (func != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  priv = get_private (self);
  job = es_job_list_append_new (priv->jobs, name, func, user_data, destroy);
  if (!start || es_job_start (job, error))
    return g_steal_pointer (&job);
  es_job_list_remove (priv->jobs, job);
  return NULL;
}

/**
 * es_endpoint_get_local_address: (get-property local-address)
 * @self: an endpoint
 *
 * Gets the address of the endpoint's socket.
 *
 * Thread-safe.
 *
 * Returns: (transfer full) (nullable): the address, or %NULL while the endpoint is stopped
 */
GSocketAddress *
es_endpoint_get_local_address (EsEndpoint *self)
{
  g_autoptr (EsLane) lane = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), NULL);

  lane = es_endpoint_ref_first_lane (self);
  return lane != NULL ? es_lane_get_local_address (lane) : NULL;
}

/**
 * es_endpoint_dup_asked_host:
 * @self: an endpoint that runs
 * @sender: the address that came with a message
 *
 * Tells which of the host's addresses a message was sent to, in the form that
 * [method@UdpServer.set_address] takes: a second server that is to answer in place of this one has
 * to listen there.
 *
 * Where the endpoint has one address only it is that. It is `::` or `0.0.0.0`, any address, where
 * the message was sent to many, or where the sender's address is not of this run of this endpoint.
 * Thread-safe.
 *
 * Returns: (transfer full) (nullable): an IP address, with its scope where that is needed, or %NULL
 *   while the endpoint is stopped and for a Unix socket
 */
char *
es_endpoint_dup_asked_host (EsEndpoint *self,
                            GSocketAddress *sender)
{
  g_autoptr (EsLane) lane = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), NULL);
  g_return_val_if_fail (G_IS_SOCKET_ADDRESS (sender), NULL);

  lane = es_endpoint_ref_first_lane (self);
  return lane != NULL ? es_lane_dup_asked_host (lane, sender) : NULL;
}

/**
 * es_endpoint_get_stats:
 * @self: an endpoint
 *
 * Gets what the endpoint has done so far, over all of its starts.
 *
 * Thread-safe.
 *
 * Returns: (transfer full): a snapshot
 */
EsStats *
es_endpoint_get_stats (EsEndpoint *self)
{
  EsStats *stats;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), NULL);

  stats = es_stats_new ();
  es_roster_add_stats (get_private (self)->roster, stats);
  return stats;
}

/**
 * es_endpoint_get_socket:
 * @self: an endpoint
 *
 * Gets the socket, to set options that have no property; the first one, if there are several
 * workers. Neither read from it nor close it.
 *
 * Returns: (transfer none) (nullable): the socket, or %NULL while the endpoint is stopped
 */
GSocket *
es_endpoint_get_socket (EsEndpoint *self)
{
  g_autoptr (EsLane) lane = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), NULL);

  lane = es_endpoint_ref_first_lane (self);
  return lane != NULL ? es_lane_get_socket (lane) : NULL;
}

/**
 * es_endpoint_get_paused: (get-property paused)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:paused].
 *
 * Returns: %TRUE while reading rests
 */
gboolean
es_endpoint_get_paused (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);

  return get_private (self)->is_paused;
}

/**
 * es_endpoint_set_paused: (set-property paused)
 * @self: an endpoint
 * @paused: whether reading is to rest
 *
 * Sets [property@Endpoint:paused]. Acts at once: in a handler, the next message waits, unless it is
 * with a pool's threads already.
 */
void
es_endpoint_set_paused (EsEndpoint *self,
                        gboolean paused)
{
  EsEndpointPrivate *priv;

  g_return_if_fail (ES_IS_ENDPOINT (self));

  priv = get_private (self);
  if (set_boolean (self, PROP_PAUSED, &priv->is_paused, paused))
    es_endpoint_foreach_lane (self, update_paused, priv);
}

/**
 * es_endpoint_get_threaded: (get-property threaded)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:threaded].
 *
 * Returns: %TRUE if handlers run on the threads of a pool
 */
gboolean
es_endpoint_get_threaded (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);

  return get_private (self)->threaded;
}

/**
 * es_endpoint_set_threaded: (set-property threaded)
 * @self: an endpoint
 * @threaded: whether handlers are to run on the threads of a pool
 *
 * Sets [property@Endpoint:threaded]. Acts at the next start.
 */
void
es_endpoint_set_threaded (EsEndpoint *self,
                          gboolean threaded)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));

  set_boolean (self, PROP_THREADED, &get_private (self)->threaded, threaded);
}

/**
 * es_endpoint_get_max_threads: (get-property max-threads)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:max-threads].
 *
 * Returns: how many threads the pool has
 */
guint
es_endpoint_get_max_threads (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), 0);

  return get_private (self)->max_threads;
}

/**
 * es_endpoint_set_max_threads: (set-property max-threads)
 * @self: an endpoint
 * @max_threads: how many threads the pool is to have, at most 1024
 *
 * Sets [property@Endpoint:max-threads]. Acts at the next start.
 */
void
es_endpoint_set_max_threads (EsEndpoint *self,
                             guint max_threads)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));
  g_return_if_fail (max_threads >= 1 && max_threads <= MAX_MAX_THREADS);

  set_uint (self, PROP_MAX_THREADS, &get_private (self)->max_threads, max_threads);
}

/**
 * es_endpoint_get_max_message_size: (get-property max-message-size)
 * @self: an endpoint
 *
 * Gets [property@Endpoint:max-message-size].
 *
 * Returns: the longest message that is taken, in bytes
 */
guint
es_endpoint_get_max_message_size (EsEndpoint *self)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), 0);

  return get_private (self)->max_message_size;
}

/**
 * es_endpoint_set_max_message_size: (set-property max-message-size)
 * @self: an endpoint
 * @max_message_size: the longest message to take, in bytes, at most 65535
 *
 * Sets [property@Endpoint:max-message-size]. Acts at the next start.
 */
void
es_endpoint_set_max_message_size (EsEndpoint *self,
                                  guint max_message_size)
{
  g_return_if_fail (ES_IS_ENDPOINT (self));
  g_return_if_fail (max_message_size <= MAX_MESSAGE_SIZE);

  set_uint (self, PROP_MAX_MESSAGE_SIZE, &get_private (self)->max_message_size, max_message_size);
}
