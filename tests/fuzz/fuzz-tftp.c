/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../../examples/tftp-message.h"

#include "fuzz.h"

/*
 * What the TFTP server reads of a request, which is the input, whatever its opcode. Each text lies
 * within the request, options have values within their ranges, and what acknowledges them says
 * these, and nothing else.
 */

#define SIZE 123456789

static GPtrArray *
new_messages (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
}

/* Reads an acknowledgement as what follows a mode. */
static void
check_acknowledgement (GBytes *acknowledgement,
                       const guint64 *expected)
{
  gsize size = 0;
  const char *text = g_bytes_get_data (acknowledgement, &size);
  g_autoptr (GString) request = g_string_new_len ("mode", 5);
  g_autoptr (GPtrArray) messages = new_messages ();
  guint64 values[TFTP_N_OPTIONS] = { 0 };

  g_assert_cmpint (tftp_get_number (acknowledgement, 0), ==, TFTP_OPTION_ACK);
  g_assert_cmpint (text[size - 1], ==, '\0');
  g_string_append_len (request, text + 2, size - 2);
  values[TFTP_SIZE] = SIZE;
  tftp_agree (request->str, request->str + request->len, values, messages);
  g_assert_cmpmem (values, sizeof values, expected, sizeof values);
  g_assert_cmpuint (messages->len, ==, 1);
  g_assert_true (g_bytes_equal (messages->pdata[0], acknowledgement));
}

static void
check_options (const char *mode,
               const char *end,
               guint64 size)
{
  g_autoptr (GPtrArray) messages = new_messages ();
  guint64 values[TFTP_N_OPTIONS] = { 0 };

  values[TFTP_SIZE] = size;
  tftp_agree (mode, end, values, messages);
  g_assert_cmpuint (values[TFTP_BLOCK_SIZE], >=, 8);
  g_assert_cmpuint (values[TFTP_BLOCK_SIZE], <=, TFTP_MAX_BLOCK_SIZE);
  g_assert_cmpuint (values[TFTP_TIMEOUT], >=, 1);
  g_assert_cmpuint (values[TFTP_TIMEOUT], <=, 255);
  g_assert_cmpuint (values[TFTP_SIZE], ==, size);
  g_assert_cmpuint (values[TFTP_WINDOW_SIZE], >=, 1);
  g_assert_cmpuint (values[TFTP_WINDOW_SIZE], <=, 32);
  g_assert_cmpuint (messages->len, <=, 1);
  if (messages->len == 1 && size == SIZE)
    check_acknowledgement (messages->pdata[0], values);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  /* Of its very size, with the NUL that follows any message. */
  g_autofree char *copy = g_malloc (size + 1);
  g_autoptr (GBytes) message = NULL;
  const char *end = copy + size;

  if (size > 0)
    memcpy (copy, data, size);
  copy[size] = '\0';
  message = g_bytes_new_static (copy, size);
  g_assert_cmpint (tftp_get_number (message, 0), ==, size >= 2 ? data[0] << 8 | data[1] : -1);
  g_assert_cmpint (tftp_get_number (message, 2), ==, size >= 4 ? data[2] << 8 | data[3] : -1);
  if (size < 2)
    return 0;
  for (const char *text = copy + 2; text < end; text = tftp_next_text (text, end))
    g_assert_nonnull (memchr (text, '\0', end + 1 - text));
  check_options (tftp_next_text (copy + 2, end), end, SIZE);
  check_options (tftp_next_text (copy + 2, end), end, TFTP_UNKNOWN_SIZE);
  return 0;
}
