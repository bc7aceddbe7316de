/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-batch.h"

/*
 * What waits in a socket, read by GSocket's own message calls. The shape is that of the fast
 * path, but nothing tells here which of the host's addresses was asked, and no trains come.
 */

#define N_SLOTS 64
#define SLOT_SIZE 65536

typedef struct
{
  EsNative sender;
  GInputVector payload;
  GSocketAddress *address; /* (owned) (nullable) until the header is read */
} EsSlot;

struct _EsBatch
{
  GSocket *socket; /* (borrowed) */

  guint8 *memory; /* (owned) */
  EsSlot slots[N_SLOTS];
  GInputMessage messages[N_SLOTS];
  EsLocal local;

  /* The cursor. */
  guint n_filled;
  guint slot;
};

static void
init_slot (EsBatch *self,
           guint i)
{
  EsSlot *slot = &self->slots[i];

  slot->payload.buffer = self->memory + (gsize) i * SLOT_SIZE;
  slot->payload.size = SLOT_SIZE;
  self->messages[i].address = &slot->address;
  self->messages[i].vectors = &slot->payload;
  self->messages[i].num_vectors = 1;
}

EsBatch *
es_batch_new (GSocket *socket,
              gboolean segments)
{
  EsBatch *self = g_new0 (EsBatch, 1);

  self->socket = socket;
  self->memory = g_malloc ((gsize) N_SLOTS * SLOT_SIZE);
  for (guint i = 0; i < N_SLOTS; i++)
    init_slot (self, i);
  return self;
}

void
es_batch_free (EsBatch *self)
{
  g_free (self->memory);
  g_free (self);
}

static void
read_header (EsBatch *self,
             guint i)
{
  EsSlot *slot = &self->slots[i];

  slot->sender.family = AF_UNSPEC;
  slot->sender.size = sizeof (sa_family_t);
  if (slot->address != NULL)
    es_native_from_address (&slot->sender, slot->address, NULL);
  g_clear_object (&slot->address);
}

gboolean
es_batch_fill (EsBatch *self,
               GError **error)
{
  g_autoptr (GError) problem = NULL;
  int n = g_socket_receive_messages (self->socket, self->messages, N_SLOTS, 0, NULL, &problem);

  g_assert (es_batch_is_read (self));

  self->n_filled = MAX (n, 0);
  self->slot = 0;
  for (guint i = 0; i < self->n_filled; i++)
    read_header (self, i);
  if (n < 0 && !g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_propagate_error (error, g_steal_pointer (&problem));
  return n > 0;
}

gboolean
es_batch_next (EsBatch *self,
               EsArrival *arrival)
{
  EsSlot *slot = &self->slots[self->slot];

  if (es_batch_is_read (self))
    return FALSE;

  arrival->data = slot->payload.buffer;
  arrival->size = self->messages[self->slot].bytes_received;
  arrival->sender = &slot->sender;
  arrival->local = &self->local;
  arrival->is_first = TRUE;
  arrival->is_to_many = FALSE;
  arrival->is_cut = (self->messages[self->slot].flags & MSG_TRUNC) != 0;
  self->slot++;
  return TRUE;
}

gboolean
es_batch_is_read (EsBatch *self)
{
  return self->slot >= self->n_filled;
}

gboolean
es_batch_was_full (EsBatch *self)
{
  return self->n_filled == N_SLOTS;
}
