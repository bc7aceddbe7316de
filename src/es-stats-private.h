/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-stats.h"

EsStats *es_stats_new (void);

void es_stats_add (EsStats *self,
                   const EsStats *more);
