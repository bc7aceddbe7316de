/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-peer-table.h"

typedef void (*EsKeepaliveFunc) (gpointer owner);

typedef struct _EsKeepalive EsKeepalive;

EsKeepalive *es_keepalive_new (EsPeerTable *table,
                               EsKeepaliveFunc due,
                               gpointer owner);

void es_keepalive_free (EsKeepalive *self);

void es_keepalive_configure (EsKeepalive *self,
                             GBytes *ping,
                             guint interval_ms,
                             guint max_missed);

void es_keepalive_start (EsKeepalive *self);

void es_keepalive_stop (EsKeepalive *self);

void es_keepalive_update (EsKeepalive *self);

EsPeer *es_keepalive_take_due (EsKeepalive *self,
                               gint64 now);

GBytes *es_keepalive_get_ping (EsKeepalive *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsKeepalive, es_keepalive_free)
