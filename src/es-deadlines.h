/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

/* When something is to be done: a part of what it concerns. */
typedef struct
{
  gint64 due;  /* monotonic microseconds */
  guint place; /* among all, counted from 1; 0: in no set */
} EsDeadline;

typedef struct _EsDeadlines EsDeadlines;

EsDeadlines *es_deadlines_new (void);

void es_deadlines_free (EsDeadlines *self);

void es_deadlines_set (EsDeadlines *self,
                       EsDeadline *deadline,
                       gint64 due);

void es_deadlines_remove (EsDeadlines *self,
                          EsDeadline *deadline);

EsDeadline *es_deadlines_peek (EsDeadlines *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsDeadlines, es_deadlines_free)
