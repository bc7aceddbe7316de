/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/* So many messages wait for a thread before the pool is crowded. */
#define ES_POOL_MAX_WAITING 1024

typedef void (*EsPoolFunc) (gpointer owner,
                            GBytes *message,
                            GSocketAddress *address);

typedef void (*EsPoolCrowdedFunc) (gpointer filler,
                                   gboolean is_crowded);

typedef struct _EsPool EsPool;

EsPool *es_pool_new (guint n_threads,
                     EsPoolFunc func,
                     gpointer owner,
                     EsPoolCrowdedFunc crowded,
                     gpointer filler,
                     GError **error);

void es_pool_free (EsPool *self,
                   guint64 *n_messages,
                   guint64 *n_bytes);

void es_pool_add (gpointer pool,
                  GBytes *message,
                  GSocketAddress *address);

void es_pool_commit (EsPool *self);
