/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define ES_TYPE_JOB (es_job_get_type ())

ES_API
G_DECLARE_FINAL_TYPE (EsJob, es_job, ES, JOB, GObject)

typedef struct _EsEndpoint EsEndpoint;

/**
 * EsJobFunc:
 * @job: the job that runs
 * @endpoint: the endpoint that the job was created for; it outlives the call
 * @user_data: what was given to [method@Endpoint.create_job]
 *
 * What a job does, in a thread of its own.
 *
 * Of @endpoint only functions whose documentation says "Thread-safe." may be called. Return as
 * soon as [method@Job.sleep] returns %FALSE or [method@Job.get_cancellable] is cancelled: whoever
 * stops the endpoint waits for that.
 */
typedef void (*EsJobFunc) (EsJob *job,
                           EsEndpoint *endpoint,
                           gpointer user_data);

ES_API
gboolean es_job_start (EsJob *self,
                       GError **error);

ES_API
void es_job_stop (EsJob *self);

ES_API
gboolean es_job_sleep (EsJob *self,
                       guint milliseconds);

ES_API
void es_job_wake (EsJob *self);

ES_API
gboolean es_job_is_running (EsJob *self);

ES_API
const char *es_job_get_name (EsJob *self);

ES_API
GCancellable *es_job_get_cancellable (EsJob *self);

G_END_DECLS
