/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-job.h"

typedef struct _EsJobList EsJobList;

EsJobList *es_job_list_new (EsEndpoint *endpoint);

void es_job_list_free (EsJobList *self);

EsJob *es_job_list_append_new (EsJobList *self,
                               const char *name,
                               EsJobFunc func,
                               gpointer user_data,
                               GDestroyNotify destroy);

void es_job_list_remove (EsJobList *self,
                         EsJob *job);

gboolean es_job_list_has_own_thread (EsJobList *self);

void es_job_list_end (EsJobList *self);

void es_job_list_detach (EsJobList *self);
