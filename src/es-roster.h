/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-crew.h"

typedef struct _EsRoster EsRoster;

EsRoster *es_roster_new (void);

void es_roster_free (EsRoster *self);

gboolean es_roster_has_crew (EsRoster *self);

EsCrew *es_roster_replace_crew (EsRoster *self,
                                EsCrew *crew);

void es_roster_dismiss_crew (EsRoster *self,
                             EsCrew *crew);

EsLane *es_roster_ref_first_lane (EsRoster *self);

void es_roster_foreach_lane (EsRoster *self,
                             EsLaneVisitFunc func,
                             gpointer data);

void es_roster_add_stats (EsRoster *self,
                          EsStats *stats);
