/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-job.h"

/* What the owner of jobs is told. It outlives them until it is told that their threads are gone, or
 * has detached them. */
typedef struct
{
  /* A thread is about to start. */
  void (*begin) (gpointer owner);
  /* The function has returned, in the job's thread, or it will never run. */
  void (*end) (gpointer owner,
               EsJob *job);
  /* The thread holds nothing any more. */
  void (*gone) (gpointer owner);
} EsJobFuncs;

EsJob *es_job_new (const char *name,
                   EsEndpoint *endpoint,
                   EsJobFunc func,
                   gpointer user_data,
                   GDestroyNotify destroy,
                   const EsJobFuncs *funcs,
                   gpointer owner);

void es_job_detach (EsJob *self);

gboolean es_job_is_own_thread (EsJob *self);
