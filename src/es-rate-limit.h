/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-native.h"

#include <stdatomic.h>

/* How many hosts one table tells apart at the most. */
#define ES_RATE_LIMIT_N_HOSTS 32768

/* What one host may send. Read in every lane's thread, written in the endpoint's context. */
typedef struct
{
  _Atomic gint64 interval; /* nanoseconds for one message; 0: no limit */
  _Atomic gint64 burst;    /* nanoseconds that a host may be ahead */
} EsRateRule;

typedef struct _EsRateLimit EsRateLimit;

EsRateLimit *es_rate_limit_new (const EsRateRule *rule);

void es_rate_limit_free (EsRateLimit *self);

gboolean es_rate_limit_pass (EsRateLimit *self,
                             const EsNative *sender,
                             gint64 now);

gboolean es_rate_limit_is_on (EsRateLimit *self);

void es_rate_limit_set_crowded (EsRateLimit *self,
                                gboolean is_crowded);

void es_rate_rule_set (EsRateRule *self,
                       guint rate,
                       guint burst);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsRateLimit, es_rate_limit_free)
