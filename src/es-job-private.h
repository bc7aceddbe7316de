/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-job.h"

/* What an endpoint is told of its jobs. It outlives them until it is told that their threads are
 * gone. */
typedef struct
{
  /* A thread is about to start. */
  void (*begin) (EsEndpoint *endpoint);
  /* In the job's thread: its function has returned. */
  void (*end) (EsEndpoint *endpoint,
               EsJob *job);
  /* In the job's thread: it holds nothing any more. */
  void (*gone) (EsEndpoint *endpoint);
} EsJobFuncs;

EsJob *es_job_new (const char *name,
                   EsEndpoint *endpoint,
                   EsJobFunc func,
                   gpointer user_data,
                   GDestroyNotify destroy,
                   const EsJobFuncs *funcs);

void es_job_detach (EsJob *self);

gboolean es_job_is_own_thread (EsJob *self);
