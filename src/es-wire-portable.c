/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-wire.h"

/* One message after the other by GSocket's own calls, without trains and without a choice of the
 * address that a message leaves from. */

struct _EsWire
{
  GSocket *socket; /* (borrowed) */
};

EsWire *
es_wire_new (GSocket *socket,
             gboolean segments)
{
  EsWire *self = g_new0 (EsWire, 1);

  self->socket = socket;
  return self;
}

void
es_wire_free (EsWire *self)
{
  g_free (self);
}

/* GSocket says of a send what it knows of the socket, so only its code is kept. */
static const char *
explain (const GError *problem)
{
  const char *colon = strrchr (problem->message, ':');

  return colon != NULL ? colon + 2 : problem->message;
}

int
es_wire_offer (EsWire *self,
               EsDeparture *departures,
               guint n_departures,
               GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (GSocketAddress) to = NULL;
  const char *data = departures[0].data != NULL ? departures[0].data : "";

  if (departures[0].to.size > 0)
    to = es_native_to_address (&departures[0].to);
  if (g_socket_send_to (self->socket, to, data, departures[0].size, NULL, &problem) >= 0)
    return 1;
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) &&
      g_socket_get_family (self->socket) != G_SOCKET_FAMILY_UNIX)
    return 0;
  g_set_error_literal (error, problem->domain, problem->code, explain (problem));
  return -1;
}
