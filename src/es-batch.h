/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-native.h"

#include <gio/gio.h>

/* One message in the batch's memory, until the batch is filled again. */
typedef struct
{
  const guint8 *data;
  gsize size;
  const EsNative *sender;
  const EsLocal *local;
  gboolean is_first;   /* the sender may differ from the message's before */
  gboolean is_cut;     /* the kernel had more of it */
  gboolean is_to_many; /* it was sent to a broadcast or multicast address of IPv4 */
} EsArrival;

typedef struct _EsBatch EsBatch;

EsBatch *es_batch_new (GSocket *socket,
                       gboolean segments);

void es_batch_free (EsBatch *self);

gboolean es_batch_fill (EsBatch *self,
                        GError **error);

gboolean es_batch_next (EsBatch *self,
                        EsArrival *arrival);

gboolean es_batch_is_read (EsBatch *self);

gboolean es_batch_was_full (EsBatch *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsBatch, es_batch_free)
