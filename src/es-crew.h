/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-lane.h"

typedef struct _EsCrew EsCrew;

EsCrew *es_crew_new (GPtrArray *sockets,
                     const EsLaneConfig *config,
                     const EsLaneFuncs *funcs,
                     GObject *owner,
                     GMainContext *context,
                     GError **error);

void es_crew_close (EsCrew *self);

void es_crew_free (EsCrew *self);

EsLane *es_crew_get_first_lane (EsCrew *self);

void es_crew_foreach_lane (EsCrew *self,
                           EsLaneVisitFunc func,
                           gpointer data);

void es_crew_add_stats (EsCrew *self,
                        EsStats *stats);
