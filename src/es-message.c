/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-message-private.h"

#include <string.h>

/* (transfer full) A copy of a message, followed by a NUL byte that is not counted. */
GBytes *
es_message_new (gconstpointer data,
                gsize size)
{
  char *copy = g_malloc (size + 1);

  memcpy (copy, data, size);
  copy[size] = '\0';
  return g_bytes_new_take (copy, size);
}

/**
 * es_message_dup_text:
 * @message: a message
 *
 * Copies a message that is text.
 *
 * Works on any #GBytes, not only on those that a handler was given. Thread-safe.
 *
 * Returns: (transfer full) (nullable): the text, or %NULL if @message is not valid UTF-8 or
 *   contains a NUL byte
 */
char *
es_message_dup_text (GBytes *message)
{
  const char *data;
  gsize size;

  g_return_val_if_fail (message != NULL, NULL);

  data = g_bytes_get_data (message, &size);
  if (size == 0)
    return g_strdup ("");
  return g_utf8_validate_len (data, size, NULL) ? g_strndup (data, size) : NULL;
}
