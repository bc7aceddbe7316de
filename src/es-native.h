/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* An IP address and port as the kernel writes them. */
typedef union
{
  sa_family_t family;
  struct sockaddr_in ip4;
  struct sockaddr_in6 ip6;
} EsNativeIp;

/* A socket address as the kernel writes it. IPv4 is always a sockaddr_in here, also where a
 * dual-stack socket received it: Linux sends to either form on such a socket. */
typedef struct
{
  union
  {
    sa_family_t family;
    struct sockaddr any;
    EsNativeIp ip;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_un un;
  };
  socklen_t size;
} EsNative;

/* One of our own addresses: where a message arrived, and where its answer leaves from. */
typedef struct
{
  sa_family_t family; /* AF_UNSPEC: unknown, the kernel chooses */
  union
  {
    struct in_addr ip4;
    struct in6_addr ip6;
  };
} EsLocal;

static inline gboolean
es_native_is_ip (const EsNative *self)
{
  return self->family == AF_INET || self->family == AF_INET6;
}

/* Copies what is used of an address, a quarter of the whole for an IP address. */
static inline void
es_native_copy (EsNative *self,
                const EsNative *from)
{
  if (from->size <= sizeof from->ip)
    self->ip = from->ip;
  else
    memcpy (&self->any, &from->any, from->size);
  self->size = from->size;
}

void es_native_unmap (EsNative *self);

gboolean es_native_ip_equal (const EsNativeIp *a,
                             const EsNativeIp *b);

guint es_native_hash (const EsNative *self);

gboolean es_native_equal (const EsNative *a,
                          const EsNative *b);

gboolean es_native_from_address (EsNative *self,
                                 GSocketAddress *address,
                                 GError **error);

GSocketAddress *es_native_to_address (const EsNative *self);

gboolean es_local_equal (const EsLocal *a,
                         const EsLocal *b);
