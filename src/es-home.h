/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

typedef struct _EsHome EsHome;

EsHome *es_home_new (void);

void es_home_free (EsHome *self);

GMainContext *es_home_ref_context (EsHome *self);

gboolean es_home_is_here (EsHome *self);

GMainContext *es_home_enter (EsHome *self);

void es_home_leave (GMainContext *context);

void es_home_exchange (EsHome *self,
                       GMainContext **context,
                       GThread **thread);

void es_home_call_later (EsHome *self,
                         GSourceFunc func,
                         gpointer data,
                         GDestroyNotify destroy);
