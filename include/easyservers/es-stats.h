/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-macros.h"

#include <glib-object.h>

G_BEGIN_DECLS

#define ES_TYPE_STATS (es_stats_get_type ())

typedef struct _EsStats EsStats;

/**
 * EsStats:
 * @messages_received: messages that were handed to a handler
 * @bytes_received: the payload of these, in bytes
 * @messages_sent: messages that the kernel took; where all is encrypted, also those of handshakes
 * @bytes_sent: the payload of these, in bytes, as encrypted
 * @receive_calls: calls into the kernel that asked for messages
 * @send_calls: calls into the kernel that offered messages
 * @dropped_by_kernel: messages lost because the receive buffer was full (Linux: SO_MEMINFO);
 *   a lower bound, since the kernel counts messages that travelled coalesced as one
 * @dropped_too_long: messages longer than [property@Endpoint:max-message-size]
 * @dropped_rate_limited: messages over the rate that one host is allowed
 * @dropped_unauthenticated: messages to a private endpoint that no key vouched for, or that came
 *   twice, and hellos of one client too many
 * @dropped_at_stop: messages that had arrived but were unread when the endpoint was stopped, or a
 *   client was connected to another server
 * @dropped_unsent: messages accepted for sending that could not leave before the stop
 * @send_errors: messages that the kernel refused, told to their senders, or, if they had been
 *   accepted before, by [signal@Endpoint::error], 64 of them at a time
 * @receive_errors: errors that the kernel reported on reception, an ICMP error among them
 *
 * What an endpoint has done so far, over all of its starts.
 *
 * Every datagram that was lost where the library or the kernel could see it stands in one of
 * the fields named dropped, or in @send_errors. Only the library allocates this struct, and fields
 * may be appended to it.
 */
struct _EsStats
{
  guint64 messages_received;
  guint64 bytes_received;
  guint64 messages_sent;
  guint64 bytes_sent;
  guint64 receive_calls;
  guint64 send_calls;
  guint64 dropped_by_kernel;
  guint64 dropped_too_long;
  guint64 dropped_rate_limited;
  guint64 dropped_unauthenticated;
  guint64 dropped_at_stop;
  guint64 dropped_unsent;
  guint64 send_errors;
  guint64 receive_errors;
};

ES_API
GType es_stats_get_type (void) G_GNUC_CONST;

ES_API
EsStats *es_stats_copy (const EsStats *self);

ES_API
void es_stats_free (EsStats *self);

ES_API
char *es_stats_to_string (const EsStats *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsStats, es_stats_free)

G_END_DECLS
