/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-dtls.h"
#include "es-native.h"
#include "es-rate-limit.h"
#include "es-stats.h"

#include <gio/gio.h>

typedef struct _EsLane EsLane;

/* Takes a message that came, or returns FALSE to leave it to the handlers. */
typedef gboolean (*EsTakeFunc) (gpointer owner,
                                GBytes *message,
                                GSocketAddress *address);

/* Whom a lane delivers to: called in the lane's context, deliver in a pool's threads if the lane
 * has one. */
typedef struct
{
  /* A dispatch begins. */
  void (*begin) (gpointer owner);
  void (*deliver) (gpointer owner,
                   GBytes *message,
                   GSocketAddress *address);
  void (*drop_too_long) (gpointer owner,
                         gsize size,
                         gsize limit,
                         GSocketAddress *address);
  void (*fail) (gpointer owner,
                const GError *error,
                GSocketAddress *address);
  void (*writable) (gpointer owner);
} EsLaneFuncs;

typedef struct
{
  GSocket *socket;
  gboolean is_adopted;   /* the socket stays open, and what waits in it stays there */
  gboolean is_connected; /* a message may go without an address */
  gboolean is_paused;
  gboolean has_worker;         /* a thread of its own runs the lane */
  gboolean ignores_broadcasts; /* another lane on the same port delivers them */
  gboolean receive_segments;
  gboolean send_segments;
  gsize max_message_size;      /* bytes */
  guint origin;                /* names the run of the endpoint */
  guint n_pool_threads;        /* 0: no pool */
  const EsRateRule *rate_rule; /* (borrowed) (nullable) */
  EsDtlsTerms *terms;          /* (borrowed) (nullable) what is sent and received is encrypted */
  EsDtlsSession *session;      /* (borrowed) (nullable) a client's, with its server */
  guint n_lanes;               /* so many share the limits of the terms */
} EsLaneConfig;

typedef void (*EsLaneVisitFunc) (EsLane *lane,
                                 gpointer data);

EsLane *es_lane_new (const EsLaneConfig *config,
                     const EsLaneFuncs *funcs,
                     GObject *owner,
                     GMainContext *context,
                     GError **error);

EsLane *es_lane_ref (EsLane *self);

void es_lane_unref (EsLane *self);

void es_lane_close (EsLane *self);

EsLane *es_lane_get_dispatching (gpointer owner);

void es_lane_begin_work (gpointer owner);

gboolean es_lane_is_own_thread (gpointer owner);

gboolean es_lane_is_open (EsLane *self);

GSocket *es_lane_get_socket (EsLane *self);

GSocketAddress *es_lane_get_local_address (EsLane *self);

char *es_lane_dup_asked_host (EsLane *self,
                              GSocketAddress *sender);

void es_lane_set_paused (EsLane *self,
                         gboolean is_paused);

void es_lane_receive_aside (EsLane *self,
                            EsTakeFunc take);

void es_lane_run_burst (EsLane *self,
                        void (*func) (gpointer data),
                        gpointer data);

gboolean es_lane_answer (EsLane *self,
                         GBytes *message,
                         GSocketAddress *address);

int es_lane_send (EsLane *self,
                  GBytes **messages,
                  guint n_messages,
                  GSocketAddress *address,
                  GError **error);

gboolean es_lane_is_private (EsLane *self);

EsSession *es_lane_lookup_session (EsLane *self,
                                   GSocketAddress *address);

void es_lane_add_stats (EsLane *self,
                        EsStats *stats);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsLane, es_lane_unref)
