/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-socket.h"

#include "es-native.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>

/* Everything that is set on a socket or asked of it. Options that a kernel may lack are asked for
 * without complaint: each has its portable course. */

static gboolean
set_option (GSocket *socket,
            int level,
            int name,
            int value)
{
  return setsockopt (g_socket_get_fd (socket), level, name, &value, sizeof value) == 0;
}

/* The half of a buffer that the kernel grants for payload: it doubles what is asked, for its own
 * bookkeeping (socket(7)). */
static guint
get_buffer_size (GSocket *socket,
                 int name)
{
  int size = 0;

  if (!g_socket_get_option (socket, SOL_SOCKET, name, &size, NULL))
    return 0;
  return size / 2;
}

/* A process with CAP_NET_ADMIN is granted what it asks for, others as much as
 * /proc/sys/net/core/rmem_max says. */
void
es_socket_set_receive_buffer_size (GSocket *socket,
                                   guint size)
{
  if (!set_option (socket, SOL_SOCKET, SO_RCVBUFFORCE, MIN (size, G_MAXINT / 2)))
    set_option (socket, SOL_SOCKET, SO_RCVBUF, MIN (size, G_MAXINT / 2));
}

void
es_socket_set_send_buffer_size (GSocket *socket,
                                guint size)
{
  if (!set_option (socket, SOL_SOCKET, SO_SNDBUFFORCE, MIN (size, G_MAXINT / 2)))
    set_option (socket, SOL_SOCKET, SO_SNDBUF, MIN (size, G_MAXINT / 2));
}

guint
es_socket_get_receive_buffer_size (GSocket *socket)
{
  return get_buffer_size (socket, SO_RCVBUF);
}

guint
es_socket_get_send_buffer_size (GSocket *socket)
{
  return get_buffer_size (socket, SO_SNDBUF);
}

/* Sets an option that IPv4 and IPv6 each have of their own. A dual-stack socket has both. */
static void
set_ip_option (GSocket *socket,
               int name_ip4,
               int name_ip6,
               int value)
{
  set_option (socket, IPPROTO_IP, name_ip4, value);
  if (g_socket_get_family (socket) == G_SOCKET_FAMILY_IPV6)
    set_option (socket, IPPROTO_IPV6, name_ip6, value);
}

void
es_socket_set_multicast_ttl (GSocket *socket,
                             guint ttl)
{
  set_ip_option (socket, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, ttl);
}

void
es_socket_set_multicast_loopback (GSocket *socket,
                                  gboolean loopback)
{
  set_ip_option (socket, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, loopback);
}

/* @interface_index: 0 lets the routes choose. */
void
es_socket_set_multicast_interface (GSocket *socket,
                                   guint interface_index)
{
  struct ip_mreqn request = { .imr_ifindex = interface_index };

  setsockopt (g_socket_get_fd (socket), IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
  if (g_socket_get_family (socket) == G_SOCKET_FAMILY_IPV6)
    set_option (socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, interface_index);
}

/* Joins or leaves a group for the messages of one sender, by the one call that serves both
 * families, whatever the family of the socket (RFC 3678, section 5.2). */
gboolean
es_socket_change_source_membership (GSocket *socket,
                                    gboolean is_to_join,
                                    GInetAddress *group,
                                    GInetAddress *source,
                                    guint interface_index,
                                    GError **error)
{
  g_autoptr (GSocketAddress) group_address = g_inet_socket_address_new (group, 0);
  g_autoptr (GSocketAddress) source_address = g_inet_socket_address_new (source, 0);
  int level = g_inet_address_get_family (group) == G_SOCKET_FAMILY_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;
  struct group_source_req request = { .gsr_interface = interface_index };

  if (!g_socket_address_to_native (group_address, &request.gsr_group,
                                   sizeof request.gsr_group, error) ||
      !g_socket_address_to_native (source_address, &request.gsr_source,
                                   sizeof request.gsr_source, error))
    return FALSE;
  if (setsockopt (g_socket_get_fd (socket), level,
                  is_to_join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP,
                  &request, sizeof request) == 0)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  return FALSE;
}

/* Sets the options that a socket from anywhere may be given. */
void
es_socket_prepare (GSocket *socket,
                   const EsSocketOptions *options)
{
  g_socket_set_blocking (socket, FALSE);
  g_socket_set_broadcast (socket, options->broadcast);
  es_socket_set_receive_buffer_size (socket, options->receive_buffer_size);
  es_socket_set_send_buffer_size (socket, options->send_buffer_size);
}

static GSocket *
open_socket (GSocketFamily family,
             const EsSocketOptions *options,
             GError **error)
{
  GSocket *socket = g_socket_new (family, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, error);

  if (socket == NULL)
    return NULL;
  es_socket_prepare (socket, options);
  if (family == G_SOCKET_FAMILY_IPV6)
    set_option (socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  es_socket_set_multicast_ttl (socket, options->multicast_ttl);
  es_socket_set_multicast_loopback (socket, options->multicast_loopback);
  /* Only groups that were joined here. */
  set_ip_option (socket, IP_MULTICAST_ALL, IPV6_MULTICAST_ALL, 0);
  return socket;
}

static gboolean
bind_socket (GSocket *socket,
             GSocketAddress *address,
             GError **error)
{
  EsNative native;

  if (!es_native_from_address (&native, address, error))
    return FALSE;
  if (bind (g_socket_get_fd (socket), &native.any, native.size) == 0)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  return FALSE;
}

/* (transfer full) A socket that listens at @address. Port 0: the kernel chooses. Without
 * reuse_port nobody else is, or will be, listening there: g_socket_bind() cannot promise that,
 * and so is not used. */
GSocket *
es_socket_new_bound (GSocketAddress *address,
                     const EsSocketOptions *options,
                     GError **error)
{
  g_autoptr (GSocket) socket = open_socket (g_socket_address_get_family (address), options, error);

  if (socket == NULL)
    return NULL;
  if (options->reuse_port)
    set_option (socket, SOL_SOCKET, SO_REUSEPORT, 1);
  if (!bind_socket (socket, address, error))
    return NULL;
  return g_steal_pointer (&socket);
}

/* Lets other sockets share the port of one that is bound (socket(7), SO_REUSEPORT): Linux looks at
 * the option when the next one binds. */
void
es_socket_share_port (GSocket *socket)
{
  set_option (socket, SOL_SOCKET, SO_REUSEPORT, 1);
}

/* (transfer full) A socket that hears @remote alone. */
GSocket *
es_socket_new_connected (GSocketAddress *remote,
                         const EsSocketOptions *options,
                         GError **error)
{
  g_autoptr (GSocket) socket = open_socket (g_socket_address_get_family (remote), options, error);

  if (socket == NULL)
    return NULL;
  /* The kernel gives it a port a moment before it knows whom alone it is to hear. */
  es_socket_refuse_messages (socket);
  if (!g_socket_connect (socket, remote, NULL, error))
    return NULL;
  set_option (socket, SOL_SOCKET, SO_DETACH_FILTER, 0);
  return g_steal_pointer (&socket);
}

/* Whether messages to several of the host's addresses arrive here. */
gboolean
es_socket_is_wildcard (GSocket *socket)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

  return G_IS_INET_SOCKET_ADDRESS (address) &&
         g_inet_address_get_is_any (
           g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
}

/* Lets the kernel hand over equal-sized messages of one sender in one piece (udp(7), UDP_GRO). */
gboolean
es_socket_enable_segments (GSocket *socket)
{
  return set_option (socket, SOL_UDP, UDP_GRO, 1);
}

/* Makes each message say which of the host's addresses it was sent to (ip(7), ipv6(7)). IPv4
 * messages of a dual-stack socket say it in IPv4's own words, which know a usable address also
 * where the message went to many. */
void
es_socket_tell_local_address (GSocket *socket)
{
  set_option (socket, IPPROTO_IP, IP_PKTINFO, 1);
  if (g_socket_get_family (socket) == G_SOCKET_FAMILY_IPV6)
    set_option (socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

/* Ends reception, so that what waits can be read to its end while a flood goes on: a filter that
 * accepts nothing (socket(7), SO_ATTACH_FILTER). What it refuses counts as dropped by the
 * kernel. */
void
es_socket_refuse_messages (GSocket *socket)
{
  struct sock_filter refuse[] = { BPF_STMT (BPF_RET | BPF_K, 0) };
  struct sock_fprog program = { G_N_ELEMENTS (refuse), refuse };

  setsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* What the kernel says of its buffers for the socket (SO_MEMINFO): zero where it says nothing. */
static void
get_memory_info (GSocket *socket,
                 guint32 info[SK_MEMINFO_VARS])
{
  socklen_t size = SK_MEMINFO_VARS * sizeof *info;

  memset (info, 0, size);
  getsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_MEMINFO, info, &size);
}

/* How many messages the kernel had no room for, since the socket was opened. */
guint64
es_socket_get_n_dropped (GSocket *socket)
{
  guint32 info[SK_MEMINFO_VARS];

  get_memory_info (socket, info);
  return info[SK_MEMINFO_DROPS];
}

/* Whether more than half of the receive buffer is in use. */
gboolean
es_socket_is_crowded (GSocket *socket)
{
  guint32 info[SK_MEMINFO_VARS];

  get_memory_info (socket, info);
  return info[SK_MEMINFO_RMEM_ALLOC] > info[SK_MEMINFO_RCVBUF] / 2;
}
