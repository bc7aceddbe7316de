/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tftp-message.h"

#include <string.h>

/* A value out of range is as if the option had not come. Of a long window a part is granted, so
 * that what is kept for it has a bound. */
static const struct
{
  const char *name;
  guint64 usual, least, most, granted;
} options[] = {
  [TFTP_BLOCK_SIZE] = { "blksize", 512, 8, TFTP_MAX_BLOCK_SIZE, TFTP_MAX_BLOCK_SIZE },
  [TFTP_TIMEOUT] = { "timeout", 3, 1, 255, 255 },
  [TFTP_SIZE] = { "tsize", 0, 0, G_MAXUINT64, 0 },
  [TFTP_WINDOW_SIZE] = { "windowsize", 1, 1, G_MAXUINT16, 32 },
};

/* @number: of a block, or of an error. */
GBytes *
tftp_message_new (guint8 opcode, guint16 number, gconstpointer payload, gsize size)
{
  GString *message = g_string_new_len ((const char[]){ 0, opcode, number >> 8, number }, 4);

  g_string_append_len (message, payload, size);
  return g_string_free_to_bytes (message);
}

/* At 0 stands the opcode, and at 2 the number. Returns -1 where the message ends before. */
int
tftp_get_number (GBytes *message, gsize position)
{
  gsize size;
  const guint8 *bytes = g_bytes_get_data (message, &size);

  return size >= position + 2 ? bytes[position] << 8 | bytes[position + 1] : -1;
}

/* Steps to the text behind one of a request: file, mode, then each option's name and value. At the
 * end stands an empty one: the NUL that follows any message. */
const char *
tftp_next_text (const char *text, const char *end)
{
  return MIN (text + strlen (text) + 1, end);
}

/* Gives options the values that a request names behind its mode, or else the usual ones, but for
 * the size of the file, which is ours to tell. What it names is acknowledged by a message. */
void
tftp_agree (const char *mode, const char *end, guint64 *values, GPtrArray *messages)
{
  g_autoptr (GString) text = g_string_new_len ("\0\6", 2);
  guint64 asked;

  for (guint i = 0; i < TFTP_N_OPTIONS; i++)
    {
      const char *name = tftp_next_text (mode, end);

      values[i] = i == TFTP_SIZE ? values[i] : options[i].usual;
      for (; name < end; name = tftp_next_text (tftp_next_text (name, end), end))
        if (g_ascii_strcasecmp (name, options[i].name) == 0 && values[i] != TFTP_UNKNOWN_SIZE &&
            g_ascii_string_to_unsigned (tftp_next_text (name, end), 10, options[i].least,
                                        options[i].most, &asked, NULL))
          {
            values[i] = i == TFTP_SIZE ? values[i] : MIN (asked, options[i].granted);
            g_string_append_printf (text, "%s%c%" G_GUINT64_FORMAT "%c", name, 0, values[i], 0);
          }
    }
  if (text->len > 2)
    g_ptr_array_add (messages, g_bytes_new (text->str, text->len));
}
