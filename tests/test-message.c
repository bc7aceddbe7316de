/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-message-private.h"

#include <string.h>

/* The text that is expected, or NULL, of a message of so many bytes. */
static void
assert_text (gconstpointer data,
             gsize size,
             const char *expected)
{
  g_autoptr (GBytes) message = g_bytes_new (data, size);
  g_autofree char *text = es_message_dup_text (message);

  g_assert_cmpstr (text, ==, expected);
}

static void
test_message_text_where_utf8 (void)
{
  g_test_summary ("A message that is UTF-8 is given as text.");

  assert_text ("hello", 5, "hello");
  assert_text ("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x90\x8c", 15,
               "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x90\x8c");
}

static void
test_message_text_where_empty (void)
{
  g_autoptr (GBytes) nowhere = g_bytes_new (NULL, 0);
  g_autofree char *text = es_message_dup_text (nowhere);

  g_test_summary ("An empty message is an empty text, also where it has no data at all.");

  assert_text ("", 0, "");
  g_assert_cmpstr (text, ==, "");
}

static void
test_message_no_text_where_not_utf8 (void)
{
  g_test_summary ("Bytes that are not UTF-8 are no text, a character cut short among them.");

  assert_text ("na\xefve", 5, NULL);
  assert_text ("\xe2\x82", 2, NULL);
  assert_text ("\xc0\x80", 2, NULL);
  assert_text ("\xed\xa0\x80", 3, NULL);
}

static void
test_message_no_text_where_nul (void)
{
  g_test_summary ("A NUL byte makes a message no text, wherever it stands.");

  assert_text ("a\0b", 3, NULL);
  assert_text ("a\0", 2, NULL);
  assert_text ("\0", 1, NULL);
}

static void
test_message_text_ends_with_message (void)
{
  g_autofree char *exact = g_memdup2 ("hello", 5);
  g_autoptr (GBytes) whole = g_bytes_new_static ("hello world", 11);
  g_autoptr (GBytes) part = g_bytes_new_from_bytes (whole, 0, 5);
  g_autoptr (GBytes) bare = g_bytes_new_static (exact, 5);
  g_autofree char *text_of_part = es_message_dup_text (part);
  g_autofree char *text_of_bare = es_message_dup_text (bare);

  g_test_summary ("What stands behind the last byte is never looked at.");

  g_assert_cmpstr (text_of_part, ==, "hello");
  g_assert_cmpstr (text_of_bare, ==, "hello");
}

static void
test_message_new_ends_in_nul (void)
{
  char data[] = "hello";
  g_autoptr (GBytes) message = es_message_new (data, 5);

  g_test_summary ("A message made for a handler is a copy, "
                  "followed by a NUL byte that is not counted.");

  data[0] = 'j';

  g_assert_cmpuint (g_bytes_get_size (message), ==, 5);
  g_assert_cmpstr (g_bytes_get_data (message, NULL), ==, "hello");
}

static void
test_message_new_where_empty (void)
{
  g_autoptr (GBytes) message = es_message_new ("", 0);

  g_test_summary ("An empty message has data too, so that a handler finds an empty string.");

  g_assert_cmpuint (g_bytes_get_size (message), ==, 0);
  g_assert_cmpstr (g_bytes_get_data (message, NULL), ==, "");
}

static void
test_message_refuses_null (void)
{
  g_test_summary ("NULL is a critical, never a crash.");

  g_test_expect_message ("easyservers", G_LOG_LEVEL_CRITICAL, "es_message_dup_text: *");
  g_assert_null (es_message_dup_text (NULL));
  g_test_assert_expected_messages ();
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/message/text-where-utf8", test_message_text_where_utf8);
  g_test_add_func ("/message/text-where-empty", test_message_text_where_empty);
  g_test_add_func ("/message/no-text-where-not-utf8", test_message_no_text_where_not_utf8);
  g_test_add_func ("/message/no-text-where-nul", test_message_no_text_where_nul);
  g_test_add_func ("/message/text-ends-with-message", test_message_text_ends_with_message);
  g_test_add_func ("/message/new-ends-in-nul", test_message_new_ends_in_nul);
  g_test_add_func ("/message/new-where-empty", test_message_new_where_empty);
  g_test_add_func ("/message/refuses-null", test_message_refuses_null);

  return g_test_run ();
}
