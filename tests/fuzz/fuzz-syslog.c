/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../../examples/syslog-message.h"

#include "fuzz.h"

/*
 * The syslog server's lines: the input is a message. It makes one line of harmless UTF-8, whose
 * fields can be told apart again; its text ends the message, and what is no syslog message is text
 * as a whole.
 */

#define SENDER "192.0.2.1"
#define TIME "0000-00-00T00:00:00.000000Z"

static void
check_line (const GString *line)
{
  const char *end = line->str + line->len - 1;

  g_assert_cmpuint (line->len, ==, strlen (line->str));
  g_assert_true (g_utf8_validate_len (line->str, line->len, NULL));
  g_assert_cmpint (*end, ==, '\n');
  for (const char *at = line->str; at < end; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      g_assert_false (g_unichar_iscntrl (c));
      g_assert_false (c == 0x2028 || c == 0x2029);
    }
}

/* Takes the escaping back, in place. */
static void
unescape (GString *line)
{
  char *to = line->str;

  for (const char *at = line->str; *at != '\n'; at++)
    if (*at != '\\')
      *to++ = *at;
    else if (*++at == '\\')
      *to++ = '\\';
    else
      {
        g_assert_cmpint (*at, ==, 'x');
        g_assert_true (g_ascii_isxdigit (at[1]) && g_ascii_isxdigit (at[2]));
        *to++ = (char) (g_ascii_xdigit_value (at[1]) << 4 | g_ascii_xdigit_value (at[2]));
        at += 2;
      }
  g_string_truncate (line, to - line->str);
}

static void
take_time (FuzzInput *rest)
{
  char time[] = TIME " ";

  fuzz_take (rest, time, strlen (time));
  for (gsize i = 0; i < strlen (TIME); i++)
    if (g_ascii_isdigit (TIME[i]))
      g_assert_true (g_ascii_isdigit (time[i]));
    else
      g_assert_cmpint (time[i], ==, TIME[i]);
  g_assert_cmpint (time[strlen (TIME)], ==, ' ');
}

static void
take_word (FuzzInput *rest,
           gsize longest)
{
  gsize size = 0;

  for (; fuzz_take_byte (rest) != ' '; size++)
    {
      g_assert_cmpuint (rest->size, >, 0);
      g_assert_true (g_ascii_isgraph (rest->data[-1]));
    }
  g_assert_cmpuint (size, >, 0);
  g_assert_cmpuint (size, <=, longest);
}

static void
take_priority (FuzzInput *rest,
               const guint8 *message,
               gsize size)
{
  char name[] = "user.notice ";

  if (size == 0 || message[0] != '<')
    {
      fuzz_take (rest, name, strlen (name));
      g_assert_cmpstr (name, ==, "user.notice ");
      return;
    }
  take_word (rest, strlen ("authpriv.warning"));
}

/* A quoted value, whose first quote was taken. */
static void
take_value (FuzzInput *rest)
{
  for (guint8 byte = fuzz_take_byte (rest); byte != '"'; byte = fuzz_take_byte (rest))
    {
      g_assert_cmpuint (rest->size, >, 0);
      g_assert_cmpint (byte, !=, ']');
      if (byte == '\\')
        fuzz_take_byte (rest);
    }
}

/* RFC 5424, 6.3: no bracket but the last stands outside of quotes. */
static void
take_data (FuzzInput *rest)
{
  guint8 byte = fuzz_take_byte (rest);

  if (byte == '-')
    byte = fuzz_take_byte (rest);
  while (byte == '[')
    {
      while ((byte = fuzz_take_byte (rest)) != ']')
        {
          g_assert_true (g_ascii_isprint (byte));
          if (byte == '"')
            take_value (rest);
        }
      byte = fuzz_take_byte (rest);
    }
  g_assert_cmpint (byte, ==, ' ');
}

/* What it was sent with at its end aside. */
static gsize
size_of_message (const guint8 *data,
                 gsize size)
{
  while (size > 0 && (data[size - 1] == '\0' || data[size - 1] == '\n' || data[size - 1] == '\r'))
    size--;
  return size;
}

static void
check_text (const FuzzInput *text,
            const guint8 *message,
            gsize size)
{
  g_assert_cmpuint (text->size, <=, size);
  if (size > 0)
    g_assert_cmpmem (text->data, text->size, message + size - text->size, text->size);
  if (size > 0 && message[0] != '<')
    g_assert_cmpuint (text->size, ==, size);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  g_autoptr (GDateTime) now = g_date_time_new_utc (2026, 11, 22, 12, 0, 0.5);
  g_autoptr (GString) line = g_string_new (NULL);
  g_autoptr (GBytes) message = g_bytes_new (data, size);
  gsize message_size = size_of_message (data, size);
  FuzzInput rest;

  syslog_message_append (line, message, SENDER, now);
  check_line (line);
  unescape (line);
  rest = (FuzzInput){ (const guint8 *) line->str, line->len };
  take_time (&rest);
  take_word (&rest, 255);
  take_priority (&rest, data, message_size);
  take_word (&rest, 48);
  take_word (&rest, 128);
  take_word (&rest, 32);
  take_data (&rest);
  check_text (&rest, data, message_size);
  return 0;
}
