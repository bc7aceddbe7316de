/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include <string.h>

/* Handles one input, whatever it is: aborts on what must not be, and returns 0. Defined by each
 * target, called by libFuzzer or by the replay. */
int LLVMFuzzerTestOneInput (const guint8 *data,
                            gsize size);

/* What is left of an input. Whoever takes more gets zeros. */
typedef struct
{
  const guint8 *data;
  gsize size;
} FuzzInput;

/* Takes up to @size bytes. Returns how many. */
static inline gsize
fuzz_take (FuzzInput *self,
           gpointer to,
           gsize size)
{
  gsize taken = MIN (size, self->size);

  if (taken > 0)
    memcpy (to, self->data, taken);
  memset ((guint8 *) to + taken, 0, size - taken);
  self->data += taken;
  self->size -= taken;
  return taken;
}

static inline guint8
fuzz_take_byte (FuzzInput *self)
{
  guint8 byte;

  fuzz_take (self, &byte, sizeof byte);
  return byte;
}

static inline guint16
fuzz_take_word (FuzzInput *self)
{
  guint16 high = fuzz_take_byte (self);

  return (guint16) (high << 8 | fuzz_take_byte (self));
}

/* (transfer full) Takes up to @size bytes, no more than are there. */
static inline GBytes *
fuzz_take_bytes (FuzzInput *self,
                 gsize size)
{
  GBytes *bytes = g_bytes_new (self->data, MIN (size, self->size));

  self->data += g_bytes_get_size (bytes);
  self->size -= g_bytes_get_size (bytes);
  return bytes;
}
