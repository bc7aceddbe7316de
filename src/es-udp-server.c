/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-udp-server-private.h"

#include "es-activation.h"
#include "es-address-private.h"
#include "es-endpoint-private.h"
#include "es-keepalive.h"
#include "es-multicast.h"
#include "es-peer-list.h"
#include "es-peer-table.h"

#include <errno.h>
#include <stdatomic.h>

/**
 * EsUdpServer:
 *
 * A UDP server: an endpoint that listens on a port.
 *
 * ```c
 * g_autoptr (EsUdpServer) server = es_udp_server_new (1234);
 *
 * g_signal_connect (server, "message-received", G_CALLBACK (on_message_received), NULL);
 * if (!es_endpoint_run (ES_ENDPOINT (server), &error))
 *   g_printerr ("%s\n", error->message);
 * ```
 *
 * By default it listens at all addresses of the host, IPv6 and IPv4, of which the latter appear as
 * what they are. A port that is in use is an error, and nobody else can share this one, unless
 * [property@UdpServer:reuse-port] is set on both sides.
 *
 * ## Peers
 *
 * A peer is an address that the application has admitted ([method@UdpServer.add_peer]); a
 * stranger's message never makes one. With [method@UdpServer.set_keepalive] a peer that is silent
 * is pinged, and removed when it stays silent. [method@UdpServer.get_peers] is a list of them for
 * everything that shows lists.
 */

#define DEFAULT_ADDRESS "::"
#define DEFAULT_PORT 8181
#define MAX_WORKERS 256
#define MAX_RATE 1000000000
#define DEFAULT_RATE_BURST 64

/* So long peers are pinged at a time, so that other sources get their turn. */
#define PING_BUDGET_USEC 1000

typedef struct
{
  /* The endpoint's context only. */
  GSocket *socket; /* (owned) (nullable) one that was adopted */
  char *address;   /* (owned) */
  guint16 port;
  gboolean reuse_port;
  guint workers;
  EsPeerList *list;       /* (owned) */
  EsKeepalive *keepalive; /* (owned) */
  gboolean is_following;  /* a change is being told, and the next ones wait */

  guint rate_limit; /* messages a second from one host */
  guint rate_burst; /* messages */
  EsUdpServerTls tls;

  /* Any thread. */
  EsPeerTable *peers; /* (owned) has a lock of its own */
  EsRateRule rate_rule;
  atomic_uint amplification_limit;
} EsUdpServerPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (EsUdpServer, es_udp_server, ES_TYPE_ENDPOINT)

typedef enum
{
  PROP_ADDRESS = 1,
  PROP_PORT,
  PROP_REUSE_PORT,
  PROP_WORKERS,
  PROP_RATE_LIMIT,
  PROP_RATE_BURST,
  PROP_AMPLIFICATION_LIMIT,
} EsUdpServerProperty;

static GParamSpec *properties[PROP_AMPLIFICATION_LIMIT + 1];

typedef enum
{
  SIGNAL_PEER_ADDED,
  SIGNAL_PEER_REMOVED,
} EsUdpServerSignal;

static guint signals[SIGNAL_PEER_REMOVED + 1];

static EsUdpServerPrivate *
get_private (EsUdpServer *self)
{
  return es_udp_server_get_instance_private (self);
}

/* (transfer full) (nullable) The address to listen at, from an IP literal. */
static GSocketAddress *
parse_address (const char *address,
               guint16 port,
               GError **error)
{
  GSocketAddress *parsed = g_inet_socket_address_new_from_string (address, port);

  if (parsed == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "Could not listen at “%s”: It is not an IPv4 or IPv6 address", address);
  return parsed;
}

static gboolean
is_any_ip6 (GSocketAddress *address)
{
  return g_socket_address_get_family (address) == G_SOCKET_FAMILY_IPV6 &&
         g_inet_address_get_is_any (
           g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
}

static gboolean
is_about_ip6 (const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED) ||
         g_str_equal (error->message, g_strerror (EADDRNOTAVAIL));
}

/* Says what failed, on what, and why. */
static void
explain_failure (EsUdpServer *self,
                 GSocketAddress *address,
                 GError **error)
{
  EsUdpServerPrivate *priv = get_private (self);
  g_autofree char *name = es_address_to_string (address);

  if (is_any_ip6 (address))
    g_prefix_error (error, "Could not listen on port %u: ", priv->port);
  else
    g_prefix_error (error, "Could not listen at %s: ", name);
}

/* Opens at the address, or at IPv4's counterpart of :: where IPv6 is off. */
static GSocket *
open_first (EsUdpServer *self,
            GSocketAddress *address,
            const EsSocketOptions *options,
            GError **error)
{
  g_autoptr (GSocketAddress) any_ip4 =
    g_inet_socket_address_new_from_string ("0.0.0.0", get_private (self)->port);
  GError *problem = NULL;
  GSocket *socket = es_socket_new_bound (address, options, &problem);

  if (socket == NULL && is_any_ip6 (address) && is_about_ip6 (problem))
    {
      g_clear_error (&problem);
      socket = es_socket_new_bound (any_ip4, options, &problem);
    }
  if (socket != NULL)
    return socket;
  explain_failure (self, address, &problem);
  g_propagate_error (error, problem);
  return NULL;
}

/* Opens one more socket beside the first, which was opened alone: so the port is known to be free,
 * and is shared from now on among ourselves. */
static GSocket *
open_next (EsUdpServer *self,
           GSocket *first,
           EsSocketOptions *options,
           GError **error)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (first, error);
  GSocket *socket = NULL;

  if (address == NULL)
    return NULL;
  es_socket_share_port (first);
  options->reuse_port = TRUE;
  socket = es_socket_new_bound (address, options, error);
  if (socket == NULL)
    g_prefix_error (error, "Could not open a worker's socket: ");
  return socket;
}

static GPtrArray *
open_all (EsUdpServer *self,
          const EsSocketOptions *options,
          GError **error)
{
  EsUdpServerPrivate *priv = get_private (self);
  g_autoptr (GSocketAddress) address = parse_address (priv->address, priv->port, error);
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);
  EsSocketOptions own = *options;
  GSocket *socket = NULL;

  if (address == NULL)
    return NULL;
  own.reuse_port = priv->reuse_port;
  for (guint i = 0; i < priv->workers; i++)
    {
      socket = i == 0 ? open_first (self, address, &own, error)
                      : open_next (self, sockets->pdata[0], &own, error);
      if (socket == NULL)
        return NULL;
      g_ptr_array_add (sockets, socket);
    }
  return g_steal_pointer (&sockets);
}

static GPtrArray *
es_udp_server_open (EsEndpoint *endpoint,
                    const EsSocketOptions *options,
                    gboolean *is_adopted,
                    GError **error)
{
  EsUdpServerPrivate *priv = get_private (ES_UDP_SERVER (endpoint));
  GPtrArray *sockets = NULL;

  *is_adopted = priv->socket != NULL;
  if (priv->socket == NULL)
    return open_all (ES_UDP_SERVER (endpoint), options, error);
  if (g_socket_is_closed (priv->socket))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                           "Could not listen: The socket was closed");
      return NULL;
    }
  sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (sockets, g_object_ref (priv->socket));
  g_socket_set_blocking (priv->socket, FALSE);
  return sockets;
}

static void
follow_change (EsUdpServer *self,
               const EsPeerChange *change)
{
  EsUdpServerPrivate *priv = get_private (self);

  if (change->is_added)
    es_peer_list_append (priv->list, change->peer);
  else
    es_peer_list_remove (priv->list, change->peer);
  if (change->is_added)
    g_signal_emit (self, signals[SIGNAL_PEER_ADDED], 0, change->peer);
  else
    g_signal_emit (self, signals[SIGNAL_PEER_REMOVED], 0, change->peer, change->reason);
}

/* Lets the list and the signals follow what any thread did to the table. What the handlers do to it
 * is told when they are done, so that all of them are told in the same order. */
static void
follow_changes (EsEndpoint *endpoint)
{
  g_autoptr (EsUdpServer) self = g_object_ref (ES_UDP_SERVER (endpoint));
  EsUdpServerPrivate *priv = get_private (self);
  g_auto (EsPeerChange) change = { 0 };

  if (priv->is_following)
    return;
  priv->is_following = TRUE;
  while (es_peer_table_take_change (priv->peers, &change))
    {
      follow_change (self, &change);
      es_peer_change_clear (&change);
    }
  priv->is_following = FALSE;
  es_keepalive_update (priv->keepalive);
}

static void
ping_due_peers (gpointer data)
{
  EsUdpServer *self = data;
  EsUdpServerPrivate *priv = get_private (self);
  gint64 now = g_get_monotonic_time ();
  gint64 deadline = now + PING_BUDGET_USEC;
  EsPeer *peer;

  while (g_get_monotonic_time () < deadline &&
         (peer = es_keepalive_take_due (priv->keepalive, now)) != NULL)
    {
      es_endpoint_send (ES_ENDPOINT (self), es_keepalive_get_ping (priv->keepalive),
                        es_peer_get_address (peer), NULL);
      g_object_unref (peer);
    }
}

static void
peers_due_cb (gpointer data)
{
  g_autoptr (EsEndpoint) self = g_object_ref (data);

  es_endpoint_run_burst (self, ping_due_peers, self);
  follow_changes (self);
}

/* The parent's, looked up once, for the way of every message. */
static void (*parent_deliver) (EsEndpoint *endpoint,
                               GBytes *message,
                               GSocketAddress *address);

static gboolean
es_udp_server_configure (EsEndpoint *endpoint,
                         EsLaneConfig *config,
                         GError **error)
{
  EsUdpServer *self = ES_UDP_SERVER (endpoint);

  config->rate_rule = &get_private (self)->rate_rule;
  if (es_udp_server_is_private (self))
    config->terms = es_udp_server_renew_terms (self, error);
  return config->terms != NULL || !es_udp_server_is_private (self);
}

/* A host of the network that is no peer may have forged its address. Where the server is private
 * nothing leaves for anybody without a session, and that proves an address. */
static gboolean
es_udp_server_is_stranger (EsEndpoint *endpoint,
                           GSocketAddress *address)
{
  EsUdpServer *self = ES_UDP_SERVER (endpoint);
  g_autoptr (EsPeer) peer = NULL;

  if (!G_IS_INET_SOCKET_ADDRESS (address) || es_udp_server_is_private (self))
    return FALSE;
  peer = es_peer_table_lookup (get_private (self)->peers, address);
  return peer == NULL;
}

static void
es_udp_server_deliver (EsEndpoint *endpoint,
                       GBytes *message,
                       GSocketAddress *address)
{
  EsUdpServerPrivate *priv = get_private ((EsUdpServer *) endpoint);
  guint factor = atomic_load_explicit (&priv->amplification_limit, memory_order_relaxed);

  if (factor > 0)
    es_address_add_credit (address, (guint64) factor * g_bytes_get_size (message));
  es_peer_table_hear (priv->peers, address);
  parent_deliver (endpoint, message, address);
}

static void
es_udp_server_restate (EsEndpoint *endpoint)
{
  EsUdpServerPrivate *priv = get_private (ES_UDP_SERVER (endpoint));

  es_keepalive_stop (priv->keepalive);
  if (es_endpoint_is_running (endpoint))
    es_keepalive_start (priv->keepalive);
  else
    es_peer_table_remove_all (priv->peers, ES_PEER_REMOVED_STOPPED);
  if (priv->socket != NULL && !es_endpoint_is_running (endpoint))
    es_multicast_leave_all (priv->socket);
  follow_changes (endpoint);
  g_object_notify_by_pspec (G_OBJECT (endpoint), properties[PROP_PORT]);
}

static void
es_udp_server_finalize (GObject *object)
{
  EsUdpServerPrivate *priv = get_private (ES_UDP_SERVER (object));

  es_keepalive_free (priv->keepalive);
  g_object_unref (priv->list);
  es_peer_table_free (priv->peers);
  es_udp_server_tls_clear (&priv->tls);
  g_clear_object (&priv->socket);
  g_free (priv->address);
  G_OBJECT_CLASS (es_udp_server_parent_class)->finalize (object);
}

static void
es_udp_server_get_property (GObject *object,
                            guint prop_id,
                            GValue *value,
                            GParamSpec *pspec)
{
  EsUdpServer *self = ES_UDP_SERVER (object);

  switch ((EsUdpServerProperty) prop_id)
    {
    case PROP_ADDRESS:
      g_value_set_string (value, es_udp_server_get_address (self));
      break;
    case PROP_PORT:
      g_value_set_uint (value, es_udp_server_get_port (self));
      break;
    case PROP_REUSE_PORT:
      g_value_set_boolean (value, es_udp_server_get_reuse_port (self));
      break;
    case PROP_WORKERS:
      g_value_set_uint (value, es_udp_server_get_workers (self));
      break;
    case PROP_RATE_LIMIT:
      g_value_set_uint (value, es_udp_server_get_rate_limit (self));
      break;
    case PROP_RATE_BURST:
      g_value_set_uint (value, es_udp_server_get_rate_burst (self));
      break;
    case PROP_AMPLIFICATION_LIMIT:
      g_value_set_uint (value, es_udp_server_get_amplification_limit (self));
      break;
    default:
      es_udp_server_tls_get_property (self, prop_id, value, pspec);
    }
}

static void
es_udp_server_set_property (GObject *object,
                            guint prop_id,
                            const GValue *value,
                            GParamSpec *pspec)
{
  EsUdpServer *self = ES_UDP_SERVER (object);

  switch ((EsUdpServerProperty) prop_id)
    {
    case PROP_ADDRESS:
      es_udp_server_set_address (self, g_value_get_string (value));
      break;
    case PROP_PORT:
      es_udp_server_set_port (self, g_value_get_uint (value));
      break;
    case PROP_REUSE_PORT:
      es_udp_server_set_reuse_port (self, g_value_get_boolean (value));
      break;
    case PROP_WORKERS:
      es_udp_server_set_workers (self, g_value_get_uint (value));
      break;
    case PROP_RATE_LIMIT:
      es_udp_server_set_rate_limit (self, g_value_get_uint (value));
      break;
    case PROP_RATE_BURST:
      es_udp_server_set_rate_burst (self, g_value_get_uint (value));
      break;
    case PROP_AMPLIFICATION_LIMIT:
      es_udp_server_set_amplification_limit (self, g_value_get_uint (value));
      break;
    default:
      es_udp_server_tls_set_property (self, prop_id, value, pspec);
    }
}

static void
install_rate_properties (void)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpServer:rate-limit: (getter get_rate_limit) (setter set_rate_limit)
   *
   * How many messages a second are taken from one host; 0: any number. A host is an IPv4 address,
   * or the /64 network of an IPv6 one; the port does not count. Of those over the limit one in four
   * is taken all the same, so that nobody can silence a host by forging its address. While the
   * receive buffer is more than half full, hosts that were not heard lately wait: of their messages
   * one in sixteen is taken. What is not taken is counted as rate limited, for each worker on its
   * own. Acts at once.
   */
  properties[PROP_RATE_LIMIT] = g_param_spec_uint ("rate-limit", NULL, NULL, 0, MAX_RATE, 0, flags);

  /**
   * EsUdpServer:rate-burst: (getter get_rate_burst) (setter set_rate_burst)
   *
   * How many messages a host that kept within the limit may send at once. Acts at once.
   */
  properties[PROP_RATE_BURST] =
    g_param_spec_uint ("rate-burst", NULL, NULL, 1, MAX_RATE, DEFAULT_RATE_BURST, flags);

  /**
   * EsUdpServer:amplification-limit:
   *
   * How many bytes an address that is no peer may be sent for each that came from it; 0: any
   * number. See [method@UdpServer.set_amplification_limit]. Acts at once.
   */
  properties[PROP_AMPLIFICATION_LIMIT] =
    g_param_spec_uint ("amplification-limit", NULL, NULL, 0, G_MAXUINT, 0, flags);
}

static void
install_socket_properties (void)
{
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  /**
   * EsUdpServer:address: (getter get_address) (setter set_address)
   *
   * The IP address to listen at, as a literal. `::`, the default, is all of IPv6 and IPv4, and
   * IPv4 alone where IPv6 is off; `0.0.0.0` is IPv4 alone. Acts at the next start.
   */
  properties[PROP_ADDRESS] = g_param_spec_string ("address", NULL, NULL, DEFAULT_ADDRESS, flags);

  /**
   * EsUdpServer:port: (getter get_port) (setter set_port)
   *
   * The port to listen on; 0: the kernel chooses a free one. While the server runs, reading gives
   * the real one. Acts at the next start.
   */
  properties[PROP_PORT] =
    g_param_spec_uint ("port", NULL, NULL, 0, G_MAXUINT16, DEFAULT_PORT, flags);

  /**
   * EsUdpServer:reuse-port: (getter get_reuse_port) (setter set_reuse_port)
   *
   * Whether other sockets of the same user, that want it too, may listen on the same port, and the
   * kernel spreads the senders over all (socket(7), SO_REUSEPORT). Acts at the next start.
   */
  properties[PROP_REUSE_PORT] = g_param_spec_boolean ("reuse-port", NULL, NULL, FALSE, flags);

  /**
   * EsUdpServer:workers: (getter get_workers) (setter set_workers)
   *
   * How many sockets listen on the port, each read by a thread of its own if there are several, so
   * that a server can use several cores. The kernel spreads the senders over them, and a sender
   * always comes to the same one. [signal@Endpoint::message-received] is then emitted on these
   * threads. Acts at the next start.
   */
  properties[PROP_WORKERS] = g_param_spec_uint ("workers", NULL, NULL, 1, MAX_WORKERS, 1, flags);
}

static void
install_signals (void)
{
  /**
   * EsUdpServer::peer-added:
   * @self: the server
   * @peer: the peer
   *
   * A peer was admitted, and stands in [method@UdpServer.get_peers].
   */
  signals[SIGNAL_PEER_ADDED] =
    g_signal_new ("peer-added", ES_TYPE_UDP_SERVER, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                  NULL, G_TYPE_NONE, 1, ES_TYPE_PEER);

  /**
   * EsUdpServer::peer-removed:
   * @self: the server
   * @peer: the peer
   * @reason: why
   *
   * A peer is one no more, and stands in [method@UdpServer.get_peers] no more.
   */
  signals[SIGNAL_PEER_REMOVED] =
    g_signal_new ("peer-removed", ES_TYPE_UDP_SERVER, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                  NULL, G_TYPE_NONE, 2, ES_TYPE_PEER, ES_TYPE_PEER_REMOVED);
}

static void
es_udp_server_class_init (EsUdpServerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  EsEndpointClassPrivate *endpoint_class =
    es_endpoint_class_get_private (ES_ENDPOINT_CLASS (klass));

  object_class->finalize = es_udp_server_finalize;
  object_class->get_property = es_udp_server_get_property;
  object_class->set_property = es_udp_server_set_property;
  endpoint_class->open = es_udp_server_open;
  parent_deliver = endpoint_class->deliver;
  endpoint_class->configure = es_udp_server_configure;
  endpoint_class->is_stranger = es_udp_server_is_stranger;
  endpoint_class->deliver = es_udp_server_deliver;
  endpoint_class->restate = es_udp_server_restate;
  install_socket_properties ();
  install_rate_properties ();
  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
  install_signals ();
  es_udp_server_tls_class_init (object_class);
}

static void
es_udp_server_init (EsUdpServer *self)
{
  EsUdpServerPrivate *priv = get_private (self);

  priv->address = g_strdup (DEFAULT_ADDRESS);
  priv->port = DEFAULT_PORT;
  priv->workers = 1;
  priv->rate_burst = DEFAULT_RATE_BURST;
  priv->peers = es_peer_table_new ();
  priv->list = es_peer_list_new ();
  priv->keepalive = es_keepalive_new (priv->peers, peers_due_cb, self);
  es_udp_server_tls_init (&priv->tls);
}

EsUdpServerTls *
es_udp_server_access_tls (EsUdpServer *self)
{
  return &get_private (self)->tls;
}

/**
 * es_udp_server_new:
 * @port: the port to listen on; 0: the kernel chooses a free one
 *
 * Makes a server. It listens when it is started.
 *
 * Returns: (transfer full): the server
 */
EsUdpServer *
es_udp_server_new (guint16 port)
{
  return g_object_new (ES_TYPE_UDP_SERVER, "port", port, NULL);
}

/**
 * es_udp_server_new_with_handler:
 * @port: the port to listen on; 0: the kernel chooses a free one
 * @handler: (scope notified) (closure user_data) (destroy destroy): the direct handler
 * @user_data: data for @handler
 * @destroy: (nullable): frees @user_data
 *
 * Makes a server with a direct handler, see [method@Endpoint.set_message_func].
 *
 * Returns: (transfer full): the server
 */
EsUdpServer *
es_udp_server_new_with_handler (guint16 port,
                                EsMessageFunc handler,
                                gpointer user_data,
                                GDestroyNotify destroy)
{
  EsUdpServer *self;

  g_return_val_if_fail (handler != NULL, NULL);

  self = es_udp_server_new (port);
  es_endpoint_set_message_func (ES_ENDPOINT (self), handler, user_data, destroy);
  return self;
}

static gboolean
is_bound_datagram_socket (GSocket *socket)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

  return address != NULL && g_socket_get_socket_type (socket) == G_SOCKET_TYPE_DATAGRAM;
}

/**
 * es_udp_server_new_for_socket:
 * @socket: a bound datagram socket, of IP or Unix
 *
 * Makes a server that listens at a socket which somebody else has opened.
 *
 * The options of the socket stay as they are, but that it blocks no more, and tells which of the
 * host's addresses a message was sent to (ip(7), IP_PKTINFO). A stop does not close it: what comes
 * meanwhile waits in it, for the next start or for another process. It leaves the multicast groups
 * that the server has joined. There is one worker, whatever [property@UdpServer:workers] says. A
 * Unix datagram that its receiver has no room for fails with %G_IO_ERROR_WOULD_BLOCK.
 *
 * Returns: (transfer full): the server
 */
EsUdpServer *
es_udp_server_new_for_socket (GSocket *socket)
{
  EsUdpServer *self;

  g_return_val_if_fail (G_IS_SOCKET (socket), NULL);
  g_return_val_if_fail (is_bound_datagram_socket (socket), NULL);

  self = es_udp_server_new (0);
  get_private (self)->socket = g_object_ref (socket);
  return self;
}

/**
 * es_udp_server_new_from_activation:
 * @name: (nullable): the socket's FileDescriptorName=, or %NULL for a datagram socket of any name
 * @error: return location for a #GError
 *
 * Makes a server that listens at a socket which systemd has opened (sd_listen_fds(3),
 * systemd.socket(5)), see [ctor@UdpServer.new_for_socket].
 *
 * Each call takes another socket, in the order of the unit's lines: so a unit may have several of
 * one name. Thread-safe. Errors: %G_IO_ERROR_NOT_FOUND if there is no such socket, or none is left,
 * %G_IO_ERROR_NOT_SUPPORTED if the library was built without libsystemd.
 *
 * Returns: (transfer full): the server
 */
EsUdpServer *
es_udp_server_new_from_activation (const char *name,
                                   GError **error)
{
  g_autoptr (GSocket) socket = NULL;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  socket = es_activation_take_socket (name, error);
  if (socket != NULL)
    return es_udp_server_new_for_socket (socket);
  g_prefix_error (error, "Could not take over a socket: ");
  return NULL;
}

/**
 * es_udp_server_get_address: (get-property address)
 * @self: a server
 *
 * Gets [property@UdpServer:address].
 *
 * Returns: (transfer none): the IP address
 */
const char *
es_udp_server_get_address (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);

  return get_private (self)->address;
}

/**
 * es_udp_server_set_address: (set-property address)
 * @self: a server
 * @address: the IP address to listen at, as a literal
 *
 * Sets [property@UdpServer:address]. Acts at the next start, which fails if it is no address.
 */
void
es_udp_server_set_address (EsUdpServer *self,
                           const char *address)
{
  EsUdpServerPrivate *priv;

  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (address != NULL);

  priv = get_private (self);
  if (g_str_equal (priv->address, address))
    return;
  g_free (priv->address);
  priv->address = g_strdup (address);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ADDRESS]);
}

/**
 * es_udp_server_get_port: (get-property port)
 * @self: a server
 *
 * Gets [property@UdpServer:port].
 *
 * Returns: the port; while the server runs, the real one
 */
guint16
es_udp_server_get_port (EsUdpServer *self)
{
  g_autoptr (GSocketAddress) address = NULL;

  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  address = es_endpoint_get_local_address (ES_ENDPOINT (self));
  if (G_IS_INET_SOCKET_ADDRESS (address))
    return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
  return get_private (self)->port;
}

/**
 * es_udp_server_set_port: (set-property port)
 * @self: a server
 * @port: the port to listen on; 0: the kernel chooses a free one
 *
 * Sets [property@UdpServer:port]. Acts at the next start.
 */
void
es_udp_server_set_port (EsUdpServer *self,
                        guint16 port)
{
  EsUdpServerPrivate *priv;

  g_return_if_fail (ES_IS_UDP_SERVER (self));

  priv = get_private (self);
  if (priv->port == port)
    return;
  priv->port = port;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PORT]);
}

/**
 * es_udp_server_get_reuse_port: (get-property reuse-port)
 * @self: a server
 *
 * Gets [property@UdpServer:reuse-port].
 *
 * Returns: %TRUE if others may listen on the same port
 */
gboolean
es_udp_server_get_reuse_port (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), FALSE);

  return get_private (self)->reuse_port;
}

/**
 * es_udp_server_set_reuse_port: (set-property reuse-port)
 * @self: a server
 * @reuse_port: whether others may listen on the same port
 *
 * Sets [property@UdpServer:reuse-port]. Acts at the next start.
 */
void
es_udp_server_set_reuse_port (EsUdpServer *self,
                              gboolean reuse_port)
{
  EsUdpServerPrivate *priv;

  g_return_if_fail (ES_IS_UDP_SERVER (self));

  priv = get_private (self);
  if (priv->reuse_port == !!reuse_port)
    return;
  priv->reuse_port = !!reuse_port;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_REUSE_PORT]);
}

/**
 * es_udp_server_get_workers: (get-property workers)
 * @self: a server
 *
 * Gets [property@UdpServer:workers].
 *
 * Returns: how many sockets listen on the port
 */
guint
es_udp_server_get_workers (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return get_private (self)->workers;
}

/**
 * es_udp_server_set_workers: (set-property workers)
 * @self: a server
 * @workers: how many sockets are to listen on the port, from 1 to 256
 *
 * Sets [property@UdpServer:workers]. Acts at the next start.
 */
void
es_udp_server_set_workers (EsUdpServer *self,
                           guint workers)
{
  EsUdpServerPrivate *priv;

  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (workers >= 1 && workers <= MAX_WORKERS);

  priv = get_private (self);
  if (priv->workers == workers)
    return;
  priv->workers = workers;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_WORKERS]);
}

/**
 * es_udp_server_set_keepalive:
 * @self: a server
 * @ping: (nullable): the message to ask with whether a peer is alive, or %NULL to ask nobody
 * @interval_ms: how long a peer may be silent before it is asked, and between the questions, in
 *   milliseconds, at least 1
 * @max_missed: after so many unanswered pings, and one more interval, a peer is removed; 0: never
 *
 * Sets how silent peers are found out. Acts at once. By default nobody is pinged.
 *
 * Any message heard from a peer is an answer.
 */
void
es_udp_server_set_keepalive (EsUdpServer *self,
                             GBytes *ping,
                             guint interval_ms,
                             guint max_missed)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (ping == NULL || interval_ms > 0);

  es_keepalive_configure (get_private (self)->keepalive, ping, interval_ms, max_missed);
}

/**
 * es_udp_server_add_peer:
 * @self: a server
 * @address: the address to admit
 *
 * Admits an address as a peer. An address that is one already gives its peer.
 *
 * [signal@UdpServer::peer-added] follows in the endpoint's context. When the server is stopped, all
 * its peers are removed. Thread-safe.
 *
 * Returns: (transfer full): the peer
 */
EsPeer *
es_udp_server_add_peer (EsUdpServer *self,
                        GSocketAddress *address)
{
  EsPeer *peer;

  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);
  g_return_val_if_fail (G_IS_SOCKET_ADDRESS (address), NULL);

  peer = es_peer_table_add (get_private (self)->peers, address);
  es_endpoint_call (ES_ENDPOINT (self), follow_changes);
  return peer;
}

/**
 * es_udp_server_lookup_peer:
 * @self: a server
 * @address: an address
 *
 * Finds the peer of an address.
 *
 * Thread-safe.
 *
 * Returns: (transfer full) (nullable): the peer, or %NULL if the address is none
 */
EsPeer *
es_udp_server_lookup_peer (EsUdpServer *self,
                           GSocketAddress *address)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);
  g_return_val_if_fail (G_IS_SOCKET_ADDRESS (address), NULL);

  return es_peer_table_lookup (get_private (self)->peers, address);
}

/**
 * es_udp_server_remove_peer:
 * @self: a server
 * @peer: a peer
 *
 * Removes a peer. [signal@UdpServer::peer-removed] follows in the endpoint's context.
 *
 * Thread-safe.
 *
 * Returns: %TRUE if it was removed now, %FALSE if it was no peer of this server any more
 */
gboolean
es_udp_server_remove_peer (EsUdpServer *self,
                           EsPeer *peer)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), FALSE);
  g_return_val_if_fail (ES_IS_PEER (peer), FALSE);

  if (!es_peer_table_remove (get_private (self)->peers, peer))
    return FALSE;
  es_endpoint_call (ES_ENDPOINT (self), follow_changes);
  return TRUE;
}

/**
 * es_udp_server_get_peers:
 * @self: a server
 *
 * Gets the peers as a list of [class@Peer], in order of joining. It changes in the endpoint's
 * context only.
 *
 * Returns: (transfer none): the list
 */
GListModel *
es_udp_server_get_peers (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), NULL);

  return G_LIST_MODEL (get_private (self)->list);
}

typedef struct
{
  EsUdpServer *self;
  GBytes *message;
  EsPeer *except; /* (nullable) */
  guint n_sent;
} EsPeersSend;

static void
send_to_all (gpointer data)
{
  EsPeersSend *send = data;
  g_autoptr (GPtrArray) all = es_peer_table_dup_all (get_private (send->self)->peers);

  for (guint i = 0; i < all->len; i++)
    if (all->pdata[i] != send->except)
      send->n_sent += es_endpoint_send (ES_ENDPOINT (send->self), send->message,
                                        es_peer_get_address (all->pdata[i]), NULL);
}

/**
 * es_udp_server_send_to_peers:
 * @self: a server
 * @message: the message
 * @except: (nullable): a peer that is left out, or %NULL
 *
 * Sends a message to all peers, in batches.
 *
 * Thread-safe.
 *
 * Returns: for how many peers the message was accepted
 */
guint
es_udp_server_send_to_peers (EsUdpServer *self,
                             GBytes *message,
                             EsPeer *except)
{
  EsPeersSend send = { self, message, except, 0 };

  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);
  g_return_val_if_fail (message != NULL, 0);
  g_return_val_if_fail (except == NULL || ES_IS_PEER (except), 0);

  es_endpoint_run_burst (ES_ENDPOINT (self), send_to_all, &send);
  return send.n_sent;
}

/**
 * es_udp_server_get_rate_limit: (get-property rate-limit)
 * @self: a server
 *
 * Gets [property@UdpServer:rate-limit].
 *
 * Returns: how many messages a second are taken from one host; 0: any number
 */
guint
es_udp_server_get_rate_limit (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return get_private (self)->rate_limit;
}

/**
 * es_udp_server_set_rate_limit: (set-property rate-limit)
 * @self: a server
 * @rate_limit: how many messages a second to take from one host, at most 1000000000; 0: any number
 *
 * Sets [property@UdpServer:rate-limit]. Acts at once.
 */
void
es_udp_server_set_rate_limit (EsUdpServer *self,
                              guint rate_limit)
{
  EsUdpServerPrivate *priv;

  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (rate_limit <= MAX_RATE);

  priv = get_private (self);
  if (priv->rate_limit == rate_limit)
    return;
  priv->rate_limit = rate_limit;
  es_rate_rule_set (&priv->rate_rule, priv->rate_limit, priv->rate_burst);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RATE_LIMIT]);
}

/**
 * es_udp_server_get_rate_burst: (get-property rate-burst)
 * @self: a server
 *
 * Gets [property@UdpServer:rate-burst].
 *
 * Returns: how many messages a host may send at once
 */
guint
es_udp_server_get_rate_burst (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return get_private (self)->rate_burst;
}

/**
 * es_udp_server_set_rate_burst: (set-property rate-burst)
 * @self: a server
 * @rate_burst: how many messages a host may send at once, from 1 to 1000000000
 *
 * Sets [property@UdpServer:rate-burst]. Acts at once.
 */
void
es_udp_server_set_rate_burst (EsUdpServer *self,
                              guint rate_burst)
{
  EsUdpServerPrivate *priv;

  g_return_if_fail (ES_IS_UDP_SERVER (self));
  g_return_if_fail (rate_burst >= 1 && rate_burst <= MAX_RATE);

  priv = get_private (self);
  if (priv->rate_burst == rate_burst)
    return;
  priv->rate_burst = rate_burst;
  es_rate_rule_set (&priv->rate_rule, priv->rate_limit, priv->rate_burst);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_RATE_BURST]);
}

/**
 * es_udp_server_get_amplification_limit: (get-property amplification-limit)
 * @self: a server
 *
 * Gets [property@UdpServer:amplification-limit].
 *
 * Returns: how many bytes may be sent for each that came; 0: any number
 */
guint
es_udp_server_get_amplification_limit (EsUdpServer *self)
{
  g_return_val_if_fail (ES_IS_UDP_SERVER (self), 0);

  return atomic_load (&get_private (self)->amplification_limit);
}

/**
 * es_udp_server_set_amplification_limit: (set-property amplification-limit)
 * @self: a server
 * @factor: how many bytes may be sent for each that came; 0, the default: any number
 *
 * Bounds what an address that is no peer is sent: at most @factor times the bytes that it sent. So
 * a server is of little use to those who forge the address of a victim (RFC 9000, section 8.1, lets
 * three be sent for one).
 *
 * A send over the limit fails with %G_IO_ERROR_PERMISSION_DENIED, and so does one to an address
 * that no message came from. What counts is the address that came with a message: one that was made
 * otherwise has sent nothing. Nobody can forge the address of a Unix socket, or that of a session
 * (see [property@UdpServer:tls-certificate]): these have no limit. Acts at once.
 */
void
es_udp_server_set_amplification_limit (EsUdpServer *self,
                                       guint factor)
{
  g_return_if_fail (ES_IS_UDP_SERVER (self));

  if (atomic_exchange (&get_private (self)->amplification_limit, factor) == factor)
    return;
  es_endpoint_set_limited (ES_ENDPOINT (self), factor > 0);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_AMPLIFICATION_LIMIT]);
}
