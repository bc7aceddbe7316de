/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-endpoint.h"

/* Whether @response answers @request. */
typedef gboolean (*EsRequestMatchFunc) (GBytes *request,
                                        GBytes *response,
                                        gpointer user_data);

typedef struct _EsRequests EsRequests;

EsRequests *es_requests_new (EsEndpoint *endpoint);

void es_requests_free (EsRequests *self);

void es_requests_set_match_func (EsRequests *self,
                                 EsRequestMatchFunc match,
                                 gpointer user_data,
                                 GDestroyNotify destroy);

void es_requests_add (EsRequests *self,
                      GTask *task,
                      GBytes *message,
                      guint timeout_ms,
                      guint retries);

gboolean es_requests_take_response (EsRequests *self,
                                    GBytes *response);

void es_requests_fail_all (EsRequests *self);

GSource *es_requests_attach_timer (EsRequests *self,
                                   GMainContext *context);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsRequests, es_requests_free)
