/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

#include <stdatomic.h>

/* A number that one thread adds to and any thread reads. */
typedef struct
{
  _Atomic guint64 value;
} EsCounter;

static inline guint64
es_counter_get (EsCounter *self)
{
  return atomic_load_explicit (&self->value, memory_order_relaxed);
}

/* Adds in the only thread that adds, or under the lock that all who add share: so the sum needs
 * no locked instruction. */
static inline void
es_counter_add (EsCounter *self,
                guint64 n)
{
  atomic_store_explicit (&self->value, es_counter_get (self) + n, memory_order_relaxed);
}
