/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-udp-client-private.h"

#include "es-address-private.h"
#include "es-endpoint-private.h"
#include "es-requests.h"

#include <stdatomic.h>

/**
 * EsUdpClient:
 *
 * A UDP client: an endpoint that speaks first.
 *
 * ```c
 * g_autoptr (EsUdpClient) client = es_udp_client_new ();
 *
 * g_signal_connect (client, "message-received", G_CALLBACK (on_message_received), NULL);
 * if (!es_udp_client_connect_to_host (client, "localhost", 1234, NULL, &error) ||
 *     !es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error))
 *   g_printerr ("%s\n", error->message);
 * ```
 *
 * A client that is connected hears its server alone, and [signal@Endpoint::error] tells with
 * %G_IO_ERROR_CONNECTION_REFUSED when nobody listens there. One that is not connected talks to any
 * address. The first send starts a client that was not started, in the default main context of the
 * thread that made it. One that was stopped is started by [method@Endpoint.start] alone.
 *
 * ## Requests
 *
 * UDP loses messages. [method@UdpClient.request] sends one again until its answer comes. It takes
 * the next message from the server for the answer, and so has one request under way at a time;
 * with [method@UdpClient.set_match_func] answers are told apart, and requests may overlap. What
 * answers nothing comes by [signal@Endpoint::message-received].
 */

#define DEFAULT_TIMEOUT_MS 1000
#define DEFAULT_RETRIES 3
#define MAX_RETRIES 1000

typedef struct
{
  /* Changed in the endpoint's context, with the start locked. */
  GSocketAddress *remote; /* (owned) (nullable) */

  /* The endpoint's context only. */
  GSource *timer; /* (owned) (nullable) while the client runs */
  EsUdpClientTls tls;
  gboolean is_session_on; /* the socket that was opened last has one */

  /* Any thread. */
  atomic_uint timeout; /* milliseconds */
  atomic_uint retries;
  EsRequests *requests; /* (owned) has a lock of its own */
} EsUdpClientPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (EsUdpClient, es_udp_client, ES_TYPE_ENDPOINT)

typedef enum
{
  PROP_REMOTE_ADDRESS = 1,
  PROP_TIMEOUT,
  PROP_RETRIES,
} EsUdpClientProperty;

static GParamSpec *properties[PROP_RETRIES + 1];

static EsUdpClientPrivate *
get_private (EsUdpClient *self)
{
  return es_udp_client_get_instance_private (self);
}

static GSocket *
open_unconnected (const EsSocketOptions *options,
                  GError **error)
{
  g_autoptr (GSocketAddress) any_ip6 = g_inet_socket_address_new_from_string ("::", 0);
  g_autoptr (GSocketAddress) any_ip4 = g_inet_socket_address_new_from_string ("0.0.0.0", 0);
  GSocket *socket = es_socket_new_bound (any_ip6, options, NULL);

  if (socket == NULL)
    socket = es_socket_new_bound (any_ip4, options, error);
  if (socket == NULL)
    g_prefix_error (error, "Could not open a client's socket: ");
  return socket;
}

static GSocket *
open_socket (EsUdpClient *self,
             const EsSocketOptions *options,
             GError **error)
{
  EsUdpClientPrivate *priv = get_private (self);
  g_autofree char *name = NULL;
  GSocket *socket;

  if (priv->remote == NULL)
    return open_unconnected (options, error);
  socket = es_socket_new_connected (priv->remote, options, error);
  if (socket != NULL)
    return socket;
  name = es_address_to_string (priv->remote);
  g_prefix_error (error, "Could not connect to %s: ", name);
  return NULL;
}

/* (transfer full) (nullable) The socket that a handshake was made on, as it is to be from now
 * on. */
static GSocket *
take_private_socket (EsUdpClient *self,
                     const EsSocketOptions *options)
{
  GSocket *socket = es_udp_client_take_socket (self);

  if (socket == NULL)
    return NULL;
  es_socket_prepare (socket, options);
  es_socket_set_multicast_ttl (socket, options->multicast_ttl);
  es_socket_set_multicast_loopback (socket, options->multicast_loopback);
  return socket;
}

static GPtrArray *
es_udp_client_open (EsEndpoint *endpoint,
                    const EsSocketOptions *options,
                    gboolean *is_adopted,
                    GError **error)
{
  EsUdpClient *self = ES_UDP_CLIENT (endpoint);
  GSocket *socket = take_private_socket (self, options);
  GPtrArray *sockets = NULL;

  get_private (self)->is_session_on = socket != NULL;
  if (socket == NULL)
    socket = open_socket (self, options, error);
  if (socket == NULL)
    return NULL;
  sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (sockets, socket);
  return sockets;
}

static gboolean
es_udp_client_configure (EsEndpoint *endpoint,
                         EsLaneConfig *config,
                         GError **error)
{
  EsUdpClient *self = ES_UDP_CLIENT (endpoint);

  return es_udp_client_configure_tls (self, get_private (self)->is_session_on, config, error);
}

static void
stop_timer (EsUdpClientPrivate *priv)
{
  if (priv->timer == NULL)
    return;
  g_source_destroy (priv->timer);
  g_clear_pointer (&priv->timer, g_source_unref);
}

static void
es_udp_client_restate (EsEndpoint *endpoint)
{
  EsUdpClientPrivate *priv = get_private (ES_UDP_CLIENT (endpoint));
  g_autoptr (GMainContext) context = es_endpoint_ref_context (endpoint);

  stop_timer (priv);
  if (es_endpoint_is_running (endpoint))
    priv->timer = es_requests_attach_timer (priv->requests, context);
}

static void
es_udp_client_give_up (EsEndpoint *endpoint)
{
  es_requests_fail_all (get_private (ES_UDP_CLIENT (endpoint))->requests);
}

/* The parent's, looked up once, for the way of every message. */
static void (*parent_deliver) (EsEndpoint *endpoint,
                               GBytes *message,
                               GSocketAddress *address);

static void
es_udp_client_deliver (EsEndpoint *endpoint,
                       GBytes *message,
                       GSocketAddress *address)
{
  if (!es_requests_take_response (get_private ((EsUdpClient *) endpoint)->requests, message))
    parent_deliver (endpoint, message, address);
}

static void
es_udp_client_finalize (GObject *object)
{
  EsUdpClientPrivate *priv = get_private (ES_UDP_CLIENT (object));

  stop_timer (priv);
  es_requests_free (priv->requests);
  g_clear_object (&priv->remote);
  es_udp_client_tls_clear (&priv->tls);
  G_OBJECT_CLASS (es_udp_client_parent_class)->finalize (object);
}

static void
es_udp_client_get_property (GObject *object,
                            guint prop_id,
                            GValue *value,
                            GParamSpec *pspec)
{
  EsUdpClient *self = ES_UDP_CLIENT (object);

  switch ((EsUdpClientProperty) prop_id)
    {
    case PROP_REMOTE_ADDRESS:
      g_value_set_object (value, es_udp_client_get_remote_address (self));
      break;
    case PROP_TIMEOUT:
      g_value_set_uint (value, es_udp_client_get_timeout (self));
      break;
    case PROP_RETRIES:
      g_value_set_uint (value, es_udp_client_get_retries (self));
      break;
    default:
      es_udp_client_tls_get_property (self, prop_id, value, pspec);
    }
}

static void
es_udp_client_set_property (GObject *object,
                            guint prop_id,
                            const GValue *value,
                            GParamSpec *pspec)
{
  EsUdpClient *self = ES_UDP_CLIENT (object);

  switch ((EsUdpClientProperty) prop_id)
    {
    case PROP_TIMEOUT:
      es_udp_client_set_timeout (self, g_value_get_uint (value));
      break;
    case PROP_RETRIES:
      es_udp_client_set_retries (self, g_value_get_uint (value));
      break;
    case PROP_REMOTE_ADDRESS:
    default:
      es_udp_client_tls_set_property (self, prop_id, value, pspec);
    }
}

static void
install_properties (GObjectClass *object_class)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpClient:remote-address: (getter get_remote_address)
   *
   * The address of the server that the client is connected to, or %NULL.
   */
  properties[PROP_REMOTE_ADDRESS] =
    g_param_spec_object ("remote-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  /**
   * EsUdpClient:timeout: (getter get_timeout) (setter set_timeout)
   *
   * How long a request waits for its answer before it is sent again the first time, in
   * milliseconds. The wait is doubled each time. Acts on the requests that come.
   */
  properties[PROP_TIMEOUT] =
    g_param_spec_uint ("timeout", NULL, NULL, 1, G_MAXINT, DEFAULT_TIMEOUT_MS, flags);

  /**
   * EsUdpClient:retries: (getter get_retries) (setter set_retries)
   *
   * How often a request is sent again. Acts on the requests that come.
   */
  properties[PROP_RETRIES] =
    g_param_spec_uint ("retries", NULL, NULL, 0, MAX_RETRIES, DEFAULT_RETRIES, flags);

  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
es_udp_client_class_init (EsUdpClientClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  EsEndpointClassPrivate *endpoint_class =
    es_endpoint_class_get_private (ES_ENDPOINT_CLASS (klass));

  object_class->finalize = es_udp_client_finalize;
  object_class->get_property = es_udp_client_get_property;
  object_class->set_property = es_udp_client_set_property;
  endpoint_class->open = es_udp_client_open;
  endpoint_class->configure = es_udp_client_configure;
  parent_deliver = endpoint_class->deliver;
  endpoint_class->deliver = es_udp_client_deliver;
  endpoint_class->restate = es_udp_client_restate;
  endpoint_class->give_up = es_udp_client_give_up;
  endpoint_class->starts_by_itself = TRUE;
  install_properties (object_class);
  es_udp_client_tls_class_init (object_class);
}

static void
es_udp_client_init (EsUdpClient *self)
{
  EsUdpClientPrivate *priv = get_private (self);

  priv->timeout = DEFAULT_TIMEOUT_MS;
  priv->retries = DEFAULT_RETRIES;
  priv->requests = es_requests_new (ES_ENDPOINT (self));
  es_udp_client_tls_init (&priv->tls);
}

EsUdpClientTls *
es_udp_client_access_tls (EsUdpClient *self)
{
  return &get_private (self)->tls;
}

/* Takes a server's address, and opens a socket that hears it alone, if the client runs; if it does
 * not, opens one to see whether that is possible, unless a handshake has shown it. No send starts
 * the client meanwhile. */
static gboolean
take_server (EsUdpClient *self,
             GSocketAddress *address,
             gboolean *is_running,
             GError **error)
{
  EsUdpClientPrivate *priv = get_private (self);
  g_autoptr (GMutexLocker) locker = es_endpoint_lock_start (ES_ENDPOINT (self));
  g_autoptr (GSocketAddress) before = g_steal_pointer (&priv->remote);
  EsSocketOptions options = { .receive_buffer_size = 1, .send_buffer_size = 1 };
  g_autoptr (GSocket) trial = NULL;
  gboolean is_open;

  priv->remote = g_object_ref (address);
  *is_running = es_endpoint_is_running (ES_ENDPOINT (self));
  if (*is_running)
    is_open = es_endpoint_reopen (ES_ENDPOINT (self), error);
  else
    is_open = priv->tls.socket != NULL || (trial = open_socket (self, &options, error)) != NULL;
  if (!is_open)
    g_set_object (&priv->remote, before);
  return is_open;
}

static gboolean
try_server (EsUdpClient *self,
            GSocketAddress *address,
            GError **error)
{
  gboolean is_running;

  if (!take_server (self, address, &is_running, error))
    return FALSE;
  if (is_running)
    es_endpoint_tell_local_address (ES_ENDPOINT (self));
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REMOTE_ADDRESS]);
  return TRUE;
}

/* The same for a client that may be private, and then shakes hands before anything changes. */
static gboolean
meet_server (EsUdpClient *self,
             GSocketConnectable *server,
             GSocketAddress *address,
             GCancellable *cancellable,
             GError **error)
{
  return (get_private (self)->tls.mode == ES_TLS_MODE_NONE ||
          es_udp_client_shake_hands (self, server, address, cancellable, error)) &&
         try_server (self, address, error);
}

static void
explain_unresolved (GError **error,
                    GSocketConnectable *server)
{
  g_autofree char *name = g_socket_connectable_to_string (server);

  g_prefix_error (error, "Could not connect to %s: ", name);
}

/* (transfer full) (nullable) */
static GSocketConnectable *
parse_host (const char *host_and_port,
            guint16 default_port,
            GError **error)
{
  GSocketConnectable *server = g_network_address_parse (host_and_port, default_port, error);

  if (server == NULL)
    g_prefix_error (error, "Could not connect to %s: ", host_and_port);
  return server;
}

/* The end of the list of addresses: the last failure, or what is wrong with the list. */
static void
explain_end (GError **error,
             GSocketConnectable *server,
             GError *problem,
             GError *last)
{
  if (problem == NULL && last == NULL)
    problem = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND, "It has no address");
  if (problem == NULL)
    {
      g_propagate_error (error, last);
      return;
    }
  g_clear_error (&last);
  g_propagate_error (error, problem);
  explain_unresolved (error, server);
}

/**
 * es_udp_client_new:
 *
 * Makes a client that is connected to no server.
 *
 * Returns: (transfer full): the client
 */
EsUdpClient *
es_udp_client_new (void)
{
  return g_object_new (ES_TYPE_UDP_CLIENT, NULL);
}

/**
 * es_udp_client_new_with_handler:
 * @handler: (scope notified) (closure user_data) (destroy destroy): the direct handler
 * @user_data: data for @handler
 * @destroy: (nullable): frees @user_data
 *
 * Makes a client with a direct handler, see [method@Endpoint.set_message_func].
 *
 * Returns: (transfer full): the client
 */
EsUdpClient *
es_udp_client_new_with_handler (EsMessageFunc handler,
                                gpointer user_data,
                                GDestroyNotify destroy)
{
  EsUdpClient *self;

  g_return_val_if_fail (handler != NULL, NULL);

  self = es_udp_client_new ();
  es_endpoint_set_message_func (ES_ENDPOINT (self), handler, user_data, destroy);
  return self;
}

/**
 * es_udp_client_connect_to:
 * @self: a client
 * @server: the server: an address, or a name to be resolved
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Connects to a server: from now on the client hears it alone, and sends to it where no address is
 * given.
 *
 * Of several addresses the first that this host has a way to is taken; UDP cannot tell whether
 * somebody listens there. A client that runs gets a new socket. One that does not is not started.
 * Blocks while a name is resolved. Errors: those of #GResolver, %G_IO_ERROR_CANCELLED, or what the
 * kernel says of the last address, such as %G_IO_ERROR_NETWORK_UNREACHABLE; the client then is as
 * before.
 *
 * With [property@UdpClient:tls] set, it ends when the handshake has, and the first address that it
 * succeeds with is taken. Blocks so long, and iterates no main context. Errors of the last address:
 * also %G_IO_ERROR_CONNECTION_REFUSED, %G_IO_ERROR_TIMED_OUT, %G_TLS_ERROR_BAD_CERTIFICATE if the
 * server's certificate is not accepted, %G_TLS_ERROR_CERTIFICATE_REQUIRED if the server asks for
 * one, and %G_TLS_ERROR_HANDSHAKE if there is no cipher, key or protocol that both sides know. A
 * stop ends the session: after it, connect again.
 *
 * Returns: %TRUE if the client is connected
 */
gboolean
es_udp_client_connect_to (EsUdpClient *self,
                          GSocketConnectable *server,
                          GCancellable *cancellable,
                          GError **error)
{
  g_autoptr (GSocketAddressEnumerator) addresses = NULL;
  g_autoptr (GError) last = NULL;
  GError *problem = NULL;
  GSocketAddress *address;

  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), FALSE);
  g_return_val_if_fail (G_IS_SOCKET_CONNECTABLE (server), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  addresses = g_socket_connectable_enumerate (server);
  while ((address = g_socket_address_enumerator_next (addresses, cancellable, &problem)) != NULL)
    {
      g_autoptr (GSocketAddress) candidate = address;

      g_clear_error (&last);
      if (meet_server (self, server, candidate, cancellable, &last))
        return TRUE;
      if (g_error_matches (last, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        break;
    }
  explain_end (error, server, problem, g_steal_pointer (&last));
  return FALSE;
}

/* An asynchronous connect: the task's data. */
typedef struct
{
  GSocketConnectable *server;          /* (owned) */
  GSocketAddressEnumerator *addresses; /* (owned) */
  GAsyncReadyCallback take_next;
  GSocketAddress *candidate; /* (owned) (nullable) whom hands are shaken with */
  GError *last;              /* (owned) (nullable) */
} EsConnecting;

static void
free_connecting (gpointer data)
{
  EsConnecting *connecting = data;

  g_object_unref (connecting->server);
  g_object_unref (connecting->addresses);
  g_clear_object (&connecting->candidate);
  g_clear_error (&connecting->last);
  g_free (connecting);
}

static void
ask_next_address (GTask *task)
{
  EsConnecting *connecting = g_task_get_task_data (task);

  g_socket_address_enumerator_next_async (connecting->addresses, g_task_get_cancellable (task),
                                          connecting->take_next, g_object_ref (task));
}

/* Takes the candidate, or goes on to the next one. */
static void
take_candidate (GTask *task)
{
  EsConnecting *connecting = g_task_get_task_data (task);

  if (try_server (g_task_get_source_object (task), connecting->candidate, &connecting->last))
    g_task_return_boolean (task, TRUE);
  else
    ask_next_address (task);
}

static void
hands_shaken_cb (GObject *source,
                 GAsyncResult *result,
                 gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  EsConnecting *connecting = g_task_get_task_data (task);

  if (es_udp_client_shake_hands_finish (ES_UDP_CLIENT (source), result, &connecting->last))
    take_candidate (task);
  else if (!g_task_return_error_if_cancelled (task))
    ask_next_address (task);
}

static void
next_address_cb (GObject *source,
                 GAsyncResult *result,
                 gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  EsConnecting *connecting = g_task_get_task_data (task);
  EsUdpClient *self = g_task_get_source_object (task);
  GError *problem = NULL;

  g_clear_object (&connecting->candidate);
  connecting->candidate = g_socket_address_enumerator_next_finish (connecting->addresses, result,
                                                                   &problem);
  if (g_task_return_error_if_cancelled (task))
    {
      g_clear_error (&problem);
      return;
    }
  if (connecting->candidate == NULL)
    {
      GError *error = NULL;

      explain_end (&error, connecting->server, problem, g_steal_pointer (&connecting->last));
      g_task_return_error (task, error);
      return;
    }
  g_clear_error (&connecting->last);
  if (get_private (self)->tls.mode == ES_TLS_MODE_NONE)
    take_candidate (task);
  else
    es_udp_client_shake_hands_async (self, connecting->server, connecting->candidate,
                                     g_task_get_cancellable (task), hands_shaken_cb,
                                     g_object_ref (task));
}

/**
 * es_udp_client_connect_to_async:
 * @self: a client
 * @server: the server: an address, or a name to be resolved
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Connects to a server, as [method@UdpClient.connect_to] does, without blocking.
 */
void
es_udp_client_connect_to_async (EsUdpClient *self,
                                GSocketConnectable *server,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  GTask *task;
  EsConnecting *connecting;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (G_IS_SOCKET_CONNECTABLE (server));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, es_udp_client_connect_to_async);
  connecting = g_new0 (EsConnecting, 1);
  connecting->server = g_object_ref (server);
  connecting->addresses = g_socket_connectable_enumerate (server);
  connecting->take_next = next_address_cb;
  g_task_set_task_data (task, connecting, free_connecting);
  ask_next_address (task);
  g_object_unref (task);
}

/**
 * es_udp_client_connect_to_finish:
 * @self: a client
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Ends [method@UdpClient.connect_to_async]. Errors: those of [method@UdpClient.connect_to].
 *
 * Returns: %TRUE if the client is connected
 */
gboolean
es_udp_client_connect_to_finish (EsUdpClient *self,
                                 GAsyncResult *result,
                                 GError **error)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * es_udp_client_connect_to_host:
 * @self: a client
 * @host_and_port: a host name or IP literal, with or without a port: `example.org:1234`, `::1`,
 *   `[::1]:1234`
 * @default_port: the port where the text has none
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Connects to a server by name, see [method@UdpClient.connect_to] and
 * [func@Gio.NetworkAddress.parse].
 *
 * Errors: also %G_IO_ERROR_INVALID_ARGUMENT if the text cannot be read.
 *
 * Returns: %TRUE if the client is connected
 */
gboolean
es_udp_client_connect_to_host (EsUdpClient *self,
                               const char *host_and_port,
                               guint16 default_port,
                               GCancellable *cancellable,
                               GError **error)
{
  g_autoptr (GSocketConnectable) server = NULL;

  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), FALSE);
  g_return_val_if_fail (host_and_port != NULL, FALSE);

  server = parse_host (host_and_port, default_port, error);
  return server != NULL && es_udp_client_connect_to (self, server, cancellable, error);
}

/**
 * es_udp_client_connect_to_host_async:
 * @self: a client
 * @host_and_port: a host name or IP literal, with or without a port
 * @default_port: the port where the text has none
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Connects to a server by name, as [method@UdpClient.connect_to_host] does, without blocking.
 */
void
es_udp_client_connect_to_host_async (EsUdpClient *self,
                                     const char *host_and_port,
                                     guint16 default_port,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data)
{
  g_autoptr (GSocketConnectable) server = NULL;
  GError *error = NULL;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (host_and_port != NULL);

  server = parse_host (host_and_port, default_port, &error);
  if (server != NULL)
    es_udp_client_connect_to_async (self, server, cancellable, callback, user_data);
  else
    g_task_report_error (self, callback, user_data, es_udp_client_connect_to_host_async, error);
}

/**
 * es_udp_client_connect_to_host_finish:
 * @self: a client
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Ends [method@UdpClient.connect_to_host_async]. Errors: those of
 * [method@UdpClient.connect_to_host].
 *
 * Returns: %TRUE if the client is connected
 */
gboolean
es_udp_client_connect_to_host_finish (EsUdpClient *self,
                                      GAsyncResult *result,
                                      GError **error)
{
  return es_udp_client_connect_to_finish (self, result, error);
}

/**
 * es_udp_client_get_remote_address: (get-property remote-address)
 * @self: a client
 *
 * Gets [property@UdpClient:remote-address].
 *
 * Returns: (transfer none) (nullable): the address of the server, or %NULL
 */
GSocketAddress *
es_udp_client_get_remote_address (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);

  return get_private (self)->remote;
}

/**
 * es_udp_client_request_async:
 * @self: a client that is connected to a server
 * @request: the request
 * @cancellable: (nullable): a #GCancellable
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: data for @callback
 *
 * Sends a request and waits for its answer, as [method@UdpClient.request] does, without blocking.
 *
 * Thread-safe: @callback is called in the thread-default main context of the calling thread.
 */
void
es_udp_client_request_async (EsUdpClient *self,
                             GBytes *request,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  EsUdpClientPrivate *priv;
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (request != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  priv = get_private (self);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, es_udp_client_request_async);
  if (!g_task_return_error_if_cancelled (task))
    es_requests_add (priv->requests, task, request, priv->timeout, priv->retries);
}

/**
 * es_udp_client_request_finish:
 * @self: a client
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Ends [method@UdpClient.request_async]. Errors: those of [method@UdpClient.request].
 *
 * Returns: (transfer full): the answer
 */
GBytes *
es_udp_client_request_finish (EsUdpClient *self,
                              GAsyncResult *result,
                              GError **error)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
take_result_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static gboolean
take_response (gpointer self,
               GBytes *message,
               GSocketAddress *address)
{
  return es_requests_take_response (get_private (self)->requests, message);
}

static gboolean
wake_up_cb (GSocket *socket,
            GIOCondition condition,
            gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

/* Waits in the endpoint's thread, doing what its context would do for requests. */
static void
wait_for_endpoint (EsUdpClient *self,
                   GMainContext *context,
                   GAsyncResult **result)
{
  g_autoptr (GSource) timer = es_requests_attach_timer (get_private (self)->requests, context);
  GSocket *socket = es_endpoint_get_socket (ES_ENDPOINT (self));
  g_autoptr (GSource) reader =
    socket != NULL ? g_socket_create_source (socket, G_IO_IN, NULL) : NULL;

  if (reader != NULL)
    {
      g_source_set_callback (reader, G_SOURCE_FUNC (wake_up_cb), NULL, NULL);
      g_source_attach (reader, context);
    }
  for (es_endpoint_receive_aside (ES_ENDPOINT (self), take_response); *result == NULL;
       es_endpoint_receive_aside (ES_ENDPOINT (self), take_response))
    g_main_context_iteration (context, TRUE);
  if (reader != NULL)
    g_source_destroy (reader);
  g_source_destroy (timer);
}

/* Waits for the result, which comes in a context that nobody else knows. */
static void
wait_for_result (EsUdpClient *self,
                 GMainContext *context,
                 GAsyncResult **result)
{
  GMainContext *home = es_endpoint_enter_context (ES_ENDPOINT (self));

  if (home != NULL)
    {
      wait_for_endpoint (self, context, result);
      es_home_leave (home);
    }
  while (*result == NULL)
    g_main_context_iteration (context, TRUE);
}

/**
 * es_udp_client_request:
 * @self: a client that is connected to a server
 * @request: the request
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Sends a request and waits for its answer. Unanswered, it is sent again: after
 * [property@UdpClient:timeout] milliseconds the first time, with the wait doubled each time, up to
 * [property@UdpClient:retries] times.
 *
 * Blocks, and iterates no main context meanwhile: in the endpoint's thread it reads the socket
 * itself, also one that is paused, and other messages are handed to their handlers later, while
 * errors are told at once; in any other thread it waits for
 * the endpoint's context, which somebody has to iterate. Thread-safe. Errors:
 * %G_IO_ERROR_TIMED_OUT, %G_IO_ERROR_CANCELLED, %G_IO_ERROR_CLOSED if the client is stopped
 * meanwhile, and those of [method@Endpoint.send].
 *
 * Returns: (transfer full): the answer
 */
GBytes *
es_udp_client_request (EsUdpClient *self,
                       GBytes *request,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (GAsyncResult) result = NULL;

  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), NULL);
  g_return_val_if_fail (request != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  context = g_main_context_new ();
  g_main_context_push_thread_default (context);
  es_udp_client_request_async (self, request, cancellable, take_result_cb, &result);
  wait_for_result (self, context, &result);
  g_main_context_pop_thread_default (context);
  return es_udp_client_request_finish (self, result, error);
}

/**
 * es_udp_client_set_match_func:
 * @self: a client
 * @match: (nullable) (scope notified) (closure user_data) (destroy destroy): tells whether a
 *   message answers a request, or %NULL to take the next message for the answer
 * @user_data: data for @match
 * @destroy: (nullable): frees @user_data
 *
 * Sets how answers are told apart, so that requests may overlap. Set it before the first request.
 */
void
es_udp_client_set_match_func (EsUdpClient *self,
                              EsMatchFunc match,
                              gpointer user_data,
                              GDestroyNotify destroy)
{
  g_return_if_fail (ES_IS_UDP_CLIENT (self));

  es_requests_set_match_func (get_private (self)->requests, match, user_data, destroy);
}

/**
 * es_udp_client_get_timeout: (get-property timeout)
 * @self: a client
 *
 * Gets [property@UdpClient:timeout].
 *
 * Returns: the first wait, in milliseconds
 */
guint
es_udp_client_get_timeout (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), 0);

  return get_private (self)->timeout;
}

/**
 * es_udp_client_set_timeout: (set-property timeout)
 * @self: a client
 * @timeout: the first wait, in milliseconds, at least 1
 *
 * Sets [property@UdpClient:timeout].
 */
void
es_udp_client_set_timeout (EsUdpClient *self,
                           guint timeout)
{
  EsUdpClientPrivate *priv;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (timeout >= 1 && timeout <= G_MAXINT);

  priv = get_private (self);
  if (priv->timeout == timeout)
    return;
  priv->timeout = timeout;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TIMEOUT]);
}

/**
 * es_udp_client_get_retries: (get-property retries)
 * @self: a client
 *
 * Gets [property@UdpClient:retries].
 *
 * Returns: how often a request is sent again
 */
guint
es_udp_client_get_retries (EsUdpClient *self)
{
  g_return_val_if_fail (ES_IS_UDP_CLIENT (self), 0);

  return get_private (self)->retries;
}

/**
 * es_udp_client_set_retries: (set-property retries)
 * @self: a client
 * @retries: how often a request is to be sent again, at most 1000
 *
 * Sets [property@UdpClient:retries].
 */
void
es_udp_client_set_retries (EsUdpClient *self,
                           guint retries)
{
  EsUdpClientPrivate *priv;

  g_return_if_fail (ES_IS_UDP_CLIENT (self));
  g_return_if_fail (retries <= MAX_RETRIES);

  priv = get_private (self);
  if (priv->retries == retries)
    return;
  priv->retries = retries;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RETRIES]);
}
