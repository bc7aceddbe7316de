/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-native.h"

#include <gio/gunixsocketaddress.h>

#include <stddef.h>
#include <string.h>

/* Turns ::ffff:a.b.c.d, as a dual-stack socket receives it, into a.b.c.d. */
void
es_native_unmap (EsNative *self)
{
  struct sockaddr_in ip4 = { .sin_family = AF_INET };

  if (self->family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED (&self->ip6.sin6_addr))
    return;
  ip4.sin_port = self->ip6.sin6_port;
  memcpy (&ip4.sin_addr, &self->ip6.sin6_addr.s6_addr[12], sizeof ip4.sin_addr);
  self->ip4 = ip4;
  self->size = sizeof ip4;
}

static gboolean
ip6_equal (const struct sockaddr_in6 *a,
           const struct sockaddr_in6 *b)
{
  return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id &&
         memcmp (&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

gboolean
es_native_ip_equal (const EsNativeIp *a,
                    const EsNativeIp *b)
{
  if (a->family != b->family)
    return FALSE;
  if (a->family == AF_INET)
    return a->ip4.sin_port == b->ip4.sin_port && a->ip4.sin_addr.s_addr == b->ip4.sin_addr.s_addr;
  return ip6_equal (&a->ip6, &b->ip6);
}

gboolean
es_native_equal (const EsNative *a,
                 const EsNative *b)
{
  if (es_native_is_ip (a) && es_native_is_ip (b))
    return es_native_ip_equal (&a->ip, &b->ip);
  return a->size == b->size && memcmp (&a->any, &b->any, a->size) == 0;
}

static guint64
mix (guint64 hash,
     guint64 word)
{
  hash = (hash ^ word) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return hash ^ (hash >> 32);
}

static guint64
hash_ip6 (guint64 hash,
          const struct sockaddr_in6 *ip6)
{
  guint64 words[2];

  memcpy (words, &ip6->sin6_addr, sizeof words);
  hash = mix (mix (hash, words[0]), words[1]);
  return mix (hash, (guint64) ip6->sin6_scope_id << 16 | ip6->sin6_port);
}

/* Hashes what es_native_equal() compares. The seed is random, so that nobody can choose addresses
 * that share a hash. */
guint
es_native_hash (const EsNative *self)
{
  static gsize seed;
  guint64 hash;

  if (g_once_init_enter (&seed))
    g_once_init_leave (&seed, (gsize) g_random_int () | 1);
  hash = mix (seed, self->family);
  if (self->family == AF_INET)
    return mix (hash, (guint64) self->ip4.sin_addr.s_addr << 16 | self->ip4.sin_port);
  if (self->family == AF_INET6)
    return hash_ip6 (hash, &self->ip6);
  for (socklen_t i = 0; i < self->size; i++)
    hash = mix (hash, ((const guint8 *) &self->any)[i]);
  return hash;
}

/* Makes the native form of any address. Errors: G_IO_ERROR_NOT_SUPPORTED or what GIO says. */
gboolean
es_native_from_address (EsNative *self,
                        GSocketAddress *address,
                        GError **error)
{
  gssize size = g_socket_address_get_native_size (address);

  if (size <= 0 || (gsize) size > offsetof (EsNative, size))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "Could not use a %s: Not an IP or Unix address", G_OBJECT_TYPE_NAME (address));
      return FALSE;
    }
  if (!g_socket_address_to_native (address, &self->any, size, error))
    return FALSE;
  self->size = size;
  es_native_unmap (self);
  return TRUE;
}

/* Makes the GSocketAddress of an address. (transfer full), never NULL: a Unix socket without a
 * name has an anonymous address. */
GSocketAddress *
es_native_to_address (const EsNative *self)
{
  EsNative copy;
  GSocketAddress *address = NULL;

  es_native_copy (&copy, self);
  /* GIO reads a path to its NUL byte, which need not be there. */
  memset ((guint8 *) &copy + copy.size, 0, offsetof (EsNative, size) - copy.size);
  if (copy.size > sizeof (sa_family_t))
    address = g_socket_address_new_from_native (&copy.any, copy.size);
  if (address != NULL)
    return address;
  return g_unix_socket_address_new_with_type ("", 0, G_UNIX_SOCKET_ADDRESS_ANONYMOUS);
}

gboolean
es_local_equal (const EsLocal *a,
                const EsLocal *b)
{
  if (a->family != b->family)
    return FALSE;
  if (a->family == AF_INET)
    return a->ip4.s_addr == b->ip4.s_addr;
  return a->family != AF_INET6 || memcmp (&a->ip6, &b->ip6, sizeof a->ip6) == 0;
}
