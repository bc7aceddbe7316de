/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-batch.h"

/*
 * What waits in a socket, read by GSocket's own message call, one by one: that for several keeps to
 * itself an error behind a message. The shape is that of the fast path, but nothing tells here
 * which of the host's addresses was asked, and no trains come.
 */

#define N_SLOTS 64
#define SLOT_SIZE 65536

typedef struct
{
  EsNative sender;
  GInputVector payload;
  gsize length;
  int flags;
  GSocketAddress *address; /* (owned) (nullable) until the header is read */
} EsSlot;

struct _EsBatch
{
  GSocket *socket; /* (borrowed) */

  guint8 *memory; /* (owned) */
  EsSlot slots[N_SLOTS];
  EsLocal local;
  GError *problem; /* (owned) (nullable) that stands behind the last message */

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
  g_clear_error (&self->problem);
  g_free (self->memory);
  g_free (self);
}

static void
read_header (EsSlot *slot)
{
  slot->sender.family = AF_UNSPEC;
  slot->sender.size = sizeof (sa_family_t);
  if (slot->address != NULL)
    es_native_from_address (&slot->sender, slot->address, NULL);
  g_clear_object (&slot->address);
}

/* Reads one message. Returns FALSE, perhaps with a problem, if there is none. */
static gboolean
receive (EsBatch *self,
         EsSlot *slot)
{
  gssize length;

  slot->flags = 0;
  length = g_socket_receive_message (self->socket, &slot->address, &slot->payload, 1, NULL, NULL,
                                     &slot->flags, NULL, &self->problem);
  if (length >= 0)
    {
      slot->length = length;
      read_header (slot);
      return TRUE;
    }
  if (g_error_matches (self->problem, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_clear_error (&self->problem);
  return FALSE;
}

gboolean
es_batch_fill (EsBatch *self,
               GError **error)
{
  g_assert (es_batch_is_read (self));

  self->n_filled = 0;
  self->slot = 0;
  if (self->problem == NULL)
    while (self->n_filled < N_SLOTS && receive (self, &self->slots[self->n_filled]))
      self->n_filled++;
  if (self->n_filled == 0 && self->problem != NULL)
    g_propagate_error (error, g_steal_pointer (&self->problem));
  return self->n_filled > 0;
}

gboolean
es_batch_next (EsBatch *self,
               EsArrival *arrival)
{
  EsSlot *slot = &self->slots[self->slot];

  if (es_batch_is_read (self))
    return FALSE;

  arrival->data = slot->payload.buffer;
  arrival->size = slot->length;
  arrival->sender = &slot->sender;
  arrival->local = &self->local;
  arrival->is_first = TRUE;
  arrival->is_to_many = FALSE;
  arrival->is_cut = (slot->flags & MSG_TRUNC) != 0;
  self->slot++;
  return TRUE;
}

gboolean
es_batch_is_read (EsBatch *self)
{
  return self->slot >= self->n_filled;
}

/* An error behind the last message is something to read, too. */
gboolean
es_batch_was_full (EsBatch *self)
{
  return self->n_filled == N_SLOTS || self->problem != NULL;
}
