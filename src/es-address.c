/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-address-private.h"

#include <gio/gunixsocketaddress.h>

#include <stdatomic.h>
#include <string.h>

struct _EsSenderAddress
{
  GInetSocketAddress parent_instance;

  /* Set when made, then only read. */
  EsNativeIp native;
  EsLocal local;
  guint origin;

  /* Any thread. */
  _Atomic guint64 credit; /* bytes */
};

G_DEFINE_FINAL_TYPE (EsSenderAddress, es_sender_address, G_TYPE_INET_SOCKET_ADDRESS)

/* No run of an endpoint has this name. */
#define NO_ORIGIN 0

static GType sender_type;

static void
es_sender_address_class_init (EsSenderAddressClass *klass)
{
  sender_type = G_TYPE_FROM_CLASS (klass);
}

static void
es_sender_address_init (EsSenderAddress *self)
{
}

static socklen_t
native_ip_size (sa_family_t family)
{
  return family == AF_INET ? sizeof (struct sockaddr_in) : sizeof (struct sockaddr_in6);
}

static GInetAddress *
inet_address_of (const EsNative *native)
{
  if (native->family == AF_INET)
    return g_inet_address_new_from_bytes ((const guint8 *) &native->ip4.sin_addr,
                                          G_SOCKET_FAMILY_IPV4);
  return g_inet_address_new_from_bytes (native->ip6.sin6_addr.s6_addr, G_SOCKET_FAMILY_IPV6);
}

EsSenderAddress *
es_sender_address_new (const EsNative *native,
                       const EsLocal *local,
                       guint origin)
{
  g_autoptr (GInetAddress) inet = inet_address_of (native);
  EsSenderAddress *self;

  if (native->family == AF_INET)
    self = g_object_new (ES_TYPE_SENDER_ADDRESS, "address", inet,
                         "port", ntohs (native->ip4.sin_port), NULL);
  else
    self = g_object_new (ES_TYPE_SENDER_ADDRESS, "address", inet,
                         "port", ntohs (native->ip6.sin6_port),
                         "scope-id", native->ip6.sin6_scope_id, NULL);
  memcpy (&self->native, &native->any, native->size);
  self->local = *local;
  self->origin = origin;
  return self;
}

/* (transfer full) The address, in a form that sends to it make nothing of, if there is one. */
GSocketAddress *
es_address_dup_for_sends (GSocketAddress *address)
{
  static const EsLocal unknown = { .family = AF_UNSPEC };
  EsNative native;

  if (G_OBJECT_TYPE (address) != G_TYPE_INET_SOCKET_ADDRESS ||
      !es_native_from_address (&native, address, NULL) ||
      (native.family == AF_INET6 && native.ip6.sin6_flowinfo != 0))
    return g_object_ref (address);
  return G_SOCKET_ADDRESS (es_sender_address_new (&native, &unknown, NO_ORIGIN));
}

/* Whether this is the address of a sender whose message came to @local. */
gboolean
es_sender_address_is_for (EsSenderAddress *self,
                          const EsNative *native,
                          const EsLocal *local)
{
  return es_native_ip_equal (&self->native, &native->ip) && es_local_equal (&self->local, local);
}

/* (nullable) By the very type, which nobody can derive from, and so at the cost of a comparison. */
static inline EsSenderAddress *
cast_to_sender (GSocketAddress *address)
{
  gboolean is_sender = address != NULL && G_OBJECT_TYPE (address) == sender_type;

  return is_sender ? (EsSenderAddress *) address : NULL;
}

gboolean
es_address_to_answer (GSocketAddress *address,
                      guint origin,
                      EsNative *to,
                      EsLocal *from)
{
  EsSenderAddress *sender = cast_to_sender (address);

  if (sender == NULL)
    return FALSE;
  to->ip = sender->native;
  to->size = native_ip_size (sender->native.family);
  from->family = AF_UNSPEC;
  if (sender->origin == origin)
    *from = sender->local;
  return TRUE;
}

gboolean
es_address_to_route (GSocketAddress *address,
                     guint origin,
                     EsNative *to,
                     EsLocal *from,
                     GError **error)
{
  from->family = AF_UNSPEC;
  return es_address_to_answer (address, origin, to, from) ||
         es_native_from_address (to, address, error);
}

char *
es_address_dup_host (GInetSocketAddress *address)
{
  g_autofree char *host = g_inet_address_to_string (g_inet_socket_address_get_address (address));
  guint scope = 0;

  if (g_socket_address_get_family (G_SOCKET_ADDRESS (address)) == G_SOCKET_FAMILY_IPV6)
    scope = g_inet_socket_address_get_scope_id (address);
  return scope != 0 ? g_strdup_printf ("%s%%%u", host, scope) : g_steal_pointer (&host);
}

char *
es_address_dup_asked_host (GSocketAddress *address,
                           guint origin)
{
  EsNative native;
  EsLocal local;
  g_autoptr (GSocketAddress) asked = NULL;

  if (!es_address_to_answer (address, origin, &native, &local) || local.family == AF_UNSPEC)
    return NULL;
  if (local.family == AF_INET)
    native.ip4.sin_addr = local.ip4;
  else
    native.ip6.sin6_addr = local.ip6;
  /* Who reaches a link-local address is on that link. */
  if (local.family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL (&local.ip6))
    native.ip6.sin6_scope_id = 0;
  asked = es_native_to_address (&native);
  return es_address_dup_host (G_INET_SOCKET_ADDRESS (asked));
}

void
es_address_add_credit (GSocketAddress *address,
                       guint64 n_bytes)
{
  EsSenderAddress *sender = cast_to_sender (address);

  if (sender != NULL)
    atomic_fetch_add_explicit (&sender->credit, n_bytes, memory_order_relaxed);
}

gboolean
es_address_take_credit (GSocketAddress *address,
                        guint64 n_bytes)
{
  EsSenderAddress *sender = cast_to_sender (address);
  guint64 credit = sender != NULL ? atomic_load (&sender->credit) : 0;

  while (credit >= n_bytes && sender != NULL)
    if (atomic_compare_exchange_weak (&sender->credit, &credit, credit - n_bytes))
      return TRUE;
  return FALSE;
}

char *
es_address_describe (GSocketAddress *address)
{
  return address != NULL ? es_address_to_string (address) : g_strdup ("the connected server");
}

/* The native form, whatever endpoint the address comes from. Returns FALSE for one without. */
static gboolean
to_native (gconstpointer address,
           EsNative *native)
{
  EsLocal local;

  return es_address_to_route ((GSocketAddress *) address, NO_ORIGIN, native, &local, NULL);
}

/**
 * es_address_hash:
 * @address: (type Gio.SocketAddress): an address
 *
 * Hashes an address by what [func@address_equal] compares, for a #GHashTable.
 *
 * Thread-safe.
 *
 * Returns: the hash
 */
guint
es_address_hash (gconstpointer address)
{
  EsNative native;

  g_return_val_if_fail (G_IS_SOCKET_ADDRESS ((gpointer) address), 0);

  return to_native (address, &native) ? es_native_hash (&native) : g_direct_hash (address);
}

/**
 * es_address_equal:
 * @a: (type Gio.SocketAddress): an address
 * @b: (type Gio.SocketAddress): another
 *
 * Compares two addresses: host, port and, for IPv6, scope; the path or name of a Unix socket.
 *
 * An IPv4 address equals its IPv4-mapped IPv6 form (RFC 4291, section 2.5.5.2). Anonymous Unix
 * addresses, which name nobody, all equal each other. Thread-safe.
 *
 * Returns: %TRUE if both name one receiver
 */
gboolean
es_address_equal (gconstpointer a,
                  gconstpointer b)
{
  EsNative native_a, native_b;

  g_return_val_if_fail (G_IS_SOCKET_ADDRESS ((gpointer) a), FALSE);
  g_return_val_if_fail (G_IS_SOCKET_ADDRESS ((gpointer) b), FALSE);

  if (a == b)
    return TRUE;
  return to_native (a, &native_a) && to_native (b, &native_b) &&
         es_native_equal (&native_a, &native_b);
}

static char *
inet_to_string (GInetSocketAddress *address)
{
  g_autofree char *host = es_address_dup_host (address);
  guint16 port = g_inet_socket_address_get_port (address);

  if (g_socket_address_get_family (G_SOCKET_ADDRESS (address)) == G_SOCKET_FAMILY_IPV4)
    return g_strdup_printf ("%s:%u", host, port);
  return g_strdup_printf ("[%s]:%u", host, port);
}

static char *
unix_to_string (GUnixSocketAddress *address)
{
  GUnixSocketAddressType type = g_unix_socket_address_get_address_type (address);
  const char *path = g_unix_socket_address_get_path (address);
  gsize length = g_unix_socket_address_get_path_len (address);
  g_autofree char *name = g_strndup (path, length);

  if (type == G_UNIX_SOCKET_ADDRESS_ANONYMOUS)
    return g_strdup ("anonymous");
  if (type == G_UNIX_SOCKET_ADDRESS_PATH)
    return g_steal_pointer (&name);
  return g_strconcat ("@", name, NULL);
}

/**
 * es_address_to_string:
 * @address: an address
 *
 * Writes an address as people do: 192.0.2.1:1234, [2001:db8::1]:1234 (RFC 5952 and 3986),
 * [fe80::1%2]:1234 with the scope's number, a path, or a name after an @ sign.
 *
 * Thread-safe.
 *
 * Returns: (transfer full): the text
 */
char *
es_address_to_string (GSocketAddress *address)
{
  g_return_val_if_fail (G_IS_SOCKET_ADDRESS (address), NULL);

  if (G_IS_INET_SOCKET_ADDRESS (address))
    return inet_to_string (G_INET_SOCKET_ADDRESS (address));
  if (G_IS_UNIX_SOCKET_ADDRESS (address))
    return unix_to_string (G_UNIX_SOCKET_ADDRESS (address));
  return g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (address));
}
