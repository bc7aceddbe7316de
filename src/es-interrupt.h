/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

typedef struct _EsInterrupt EsInterrupt;

EsInterrupt *es_interrupt_new (GMainContext *context,
                               void (*func) (gpointer data),
                               gpointer data);

void es_interrupt_move (EsInterrupt *self,
                        GMainContext *context);

void es_interrupt_free (EsInterrupt *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsInterrupt, es_interrupt_free)
