/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

#include <arpa/inet.h>
#include <sys/socket.h>

static inline struct sockaddr_in
loopback (guint16 port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons (port) };

  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  return address;
}

static inline guint64
read_counter (const guint64 *counter)
{
  return __atomic_load_n (counter, __ATOMIC_RELAXED);
}
