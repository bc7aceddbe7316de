/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-native.h"

#include <gio/gio.h>

/* A message on its way out. */
typedef struct
{
  GBytes *message;    /* (owned) by whose array it is in */
  gconstpointer data; /* the message's, so that nobody need ask again */
  gsize size;
  EsNative to; /* size 0: the server that the socket is connected to */
  EsLocal from;
} EsDeparture;

typedef struct _EsWire EsWire;

EsWire *es_wire_new (GSocket *socket,
                     gboolean segments);

void es_wire_free (EsWire *self);

int es_wire_offer (EsWire *self,
                   EsDeparture *departures,
                   guint n_departures,
                   GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsWire, es_wire_free)
