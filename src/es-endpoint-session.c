/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-endpoint-private.h"

/*
 * The sessions of an endpoint where all is encrypted: each is with one lane.
 */

typedef struct
{
  GSocketAddress *address; /* (nullable) */
  EsLane *lane;            /* (owned) (nullable) that has a session with it */
  EsSession *session;      /* (owned) (nullable) */
} EsSessionSearch;

static void
look_for_session (EsLane *lane,
                  gpointer data)
{
  EsSessionSearch *search = data;

  if (search->session != NULL)
    return;
  search->session = es_lane_lookup_session (lane, search->address);
  if (search->session != NULL)
    search->lane = es_lane_ref (lane);
}

EsLane *
es_endpoint_prefer_private (EsEndpoint *self,
                            EsLane *lane,
                            GSocketAddress *address)
{
  EsSessionSearch search = { address, NULL, NULL };

  if (!es_lane_is_private (lane))
    return lane;
  look_for_session (lane, &search);
  if (search.session == NULL)
    es_endpoint_foreach_lane (self, look_for_session, &search);
  g_clear_object (&search.session);
  if (search.lane == NULL)
    return lane;
  es_lane_unref (lane);
  return search.lane;
}

EsSession *
es_endpoint_lookup_session (EsEndpoint *self,
                            GSocketAddress *address)
{
  EsSessionSearch search = { address, NULL, NULL };

  es_endpoint_foreach_lane (self, look_for_session, &search);
  g_clear_pointer (&search.lane, es_lane_unref);
  return search.session;
}
