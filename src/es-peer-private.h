/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-peer.h"

/* What the table and the list keep with a peer, so that neither has to look it up. */
typedef struct
{
  /* Under the table's lock. */
  GList link;        /* in the queue by last word */
  gint64 last_event; /* when it was heard or pinged, monotonic microseconds */

  /* The endpoint's context only. */
  GSequenceIter *position; /* (borrowed) (nullable) in the list */
} EsPeerPlace;

EsPeer *es_peer_new (GSocketAddress *address,
                     gint64 now);

EsPeerPlace *es_peer_get_place (EsPeer *self);

void es_peer_set_heard (EsPeer *self,
                        gint64 now);

void es_peer_add_missed_ping (EsPeer *self);
