/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/* So many messages wait for a thread before the pool is crowded. */
#define ES_POOL_MAX_WAITING 1024

typedef struct
{
  /* Handles a message, in a thread of the pool. */
  void (*handle) (gpointer owner,
                  GBytes *message,
                  GSocketAddress *address);
  /* A thread of the pool has no more to do for now. */
  void (*settle) (gpointer owner);
  /* No more messages are to be added, or they may be again; in any thread. */
  void (*crowded) (gpointer owner,
                   gboolean is_crowded);
} EsPoolFuncs;

typedef struct _EsPool EsPool;

EsPool *es_pool_new (guint n_threads,
                     const EsPoolFuncs *funcs,
                     gpointer owner,
                     GError **error);

void es_pool_free (EsPool *self,
                   guint64 *n_messages,
                   guint64 *n_bytes);

void es_pool_add (gpointer pool,
                  GBytes *message,
                  GSocketAddress *address);

void es_pool_commit (EsPool *self);
