/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-endpoint.h"

#include "es-home.h"
#include "es-lane.h"
#include "es-socket.h"

/* What an endpoint asks of its subclass. */
typedef struct
{
  /* Opens a socket for each worker. (transfer full) of GSocket, or NULL with an error that says
   * all. Sockets that it was given it adopts: they are not closed at a stop. */
  GPtrArray *(*open) (EsEndpoint *self,
                      const EsSocketOptions *options,
                      gboolean *is_adopted,
                      GError **error);

  /* Adds to what each lane is to be like, or says what is wrong with it. (nullable) */
  gboolean (*configure) (EsEndpoint *self,
                         EsLaneConfig *config,
                         GError **error);

  /* Whether nobody has vouched for an address (nullable), in any thread, if the endpoint is
   * limited: it is sent no more than it has earned. */
  gboolean (*is_stranger) (EsEndpoint *self,
                           GSocketAddress *address);

  /* Takes a message on its way to the handlers; chain up to let it go on. */
  void (*deliver) (EsEndpoint *self,
                   GBytes *message,
                   GSocketAddress *address);

  /* Follows a start or a stop, in the endpoint's context. (nullable) */
  void (*restate) (EsEndpoint *self);

  /* Ends what waits for messages, in the endpoint's context: the endpoint stops. (nullable) */
  void (*give_up) (EsEndpoint *self);

  /* Whether a send starts the endpoint if need be. */
  gboolean starts_by_itself;
} EsEndpointClassPrivate;

EsEndpointClassPrivate *es_endpoint_class_get_private (EsEndpointClass *klass);

/* Whether strangers are sent no more than they have earned. Thread-safe. */
void es_endpoint_set_limited (EsEndpoint *self,
                              gboolean is_limited);

gboolean es_endpoint_is_limited (EsEndpoint *self);

/* Whether an address (nullable) is sent no more than it has earned. Thread-safe. */
gboolean es_endpoint_is_stranger (EsEndpoint *self,
                                  GSocketAddress *address);

/* What the next socket is to be like. In the endpoint's context. */
EsSocketOptions *es_endpoint_get_options (EsEndpoint *self);

/* Calls a function, under a lock, for each lane that is at work. Thread-safe. */
void es_endpoint_foreach_lane (EsEndpoint *self,
                               EsLaneVisitFunc func,
                               gpointer data);

/* (transfer full) (nullable) The first lane that is at work. Thread-safe. */
EsLane *es_endpoint_ref_first_lane (EsEndpoint *self);

/* (transfer full) (nullable) The lane that a send of the calling thread takes. Thread-safe. */
EsLane *es_endpoint_ref_sending_lane (EsEndpoint *self,
                                      GError **error);

/* (transfer full) The endpoint's main context. Thread-safe. */
GMainContext *es_endpoint_ref_context (EsEndpoint *self);

/* (transfer full) (nullable) Enters the endpoint's context if this is the thread that runs it, or
 * started the endpoint and nobody else runs it now. es_home_leave() leaves it. */
GMainContext *es_endpoint_enter_context (EsEndpoint *self);

/* Reads what waits, in the endpoint's context, without calling a handler: what @take does not take
 * is delivered later. */
void es_endpoint_receive_aside (EsEndpoint *self,
                                EsTakeFunc take);

/* Calls a function in the endpoint's context: at once if this is its thread, or else later. */
void es_endpoint_call (EsEndpoint *self,
                       void (*func) (EsEndpoint *self));

/* Calls a function whose sends leave together. Thread-safe. */
void es_endpoint_run_burst (EsEndpoint *self,
                            void (*func) (gpointer data),
                            gpointer data);

/* (transfer full) The lane that has a session with an address, where another one has than that
 * which a send would take (transfer full). Thread-safe. */
EsLane *es_endpoint_prefer_private (EsEndpoint *self,
                                    EsLane *lane,
                                    GSocketAddress *address);

/* (transfer full) (nullable) The session with a peer, or for NULL with the server. Thread-safe. */
EsSession *es_endpoint_lookup_session (EsEndpoint *self,
                                       GSocketAddress *address);

/* (transfer full) Keeps the endpoint from being started by another thread. */
GMutexLocker *es_endpoint_lock_start (EsEndpoint *self);

void es_endpoint_tell_local_address (EsEndpoint *self);

/* With the start locked, changes sockets while the endpoint runs. In the endpoint's context. */
gboolean es_endpoint_reopen (EsEndpoint *self,
                             GError **error);
