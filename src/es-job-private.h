/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-job.h"

typedef void (*EsJobEndedFunc) (EsJob *job,
                                EsEndpoint *endpoint);

EsJob *es_job_new (const char *name,
                   EsEndpoint *endpoint,
                   EsJobFunc func,
                   gpointer user_data,
                   GDestroyNotify destroy,
                   EsJobEndedFunc ended);

void es_job_detach (EsJob *self);

gboolean es_job_is_own_thread (EsJob *self);
