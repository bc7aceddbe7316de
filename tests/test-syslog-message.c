/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include "syslog-message.h"

#include <string.h>

#define ARRIVED "2026-11-22T12:00:00.500000Z"
#define SENDER "192.0.2.1"
#define PLAIN ARRIVED " " SENDER " user.notice - - - - "
#define TOLD ARRIVED " h user.notice a p i "
#define BOM "\xef\xbb\xbf"
#define N_MUTATIONS 20000
#define N_MUTATIONS_SLOW 200
#define N_MUTATIONS_LONG 2000000
#define MAX_SIZE 300

/* A message of bytes, and the line that it makes but for the line end. */
typedef struct
{
  const char *message;
  gsize size;
  const char *line;
} Case;

#define CASE(message, line)                 \
  {                                         \
    (message), sizeof (message) - 1, (line) \
  }

/* (transfer full) */
static char *
line_of (const char *message, gsize size, const char *now)
{
  g_autoptr (GDateTime) arrived = g_date_time_new_from_iso8601 (now, NULL);
  GString *line = g_string_new (NULL);
  /* In memory of its very size, so that a sanitizer sees who reads behind it. */
  g_autoptr (GBytes) bytes = g_bytes_new (message, size);

  syslog_message_append (line, bytes, SENDER, arrived);
  return g_string_free (line, FALSE);
}

static void
assert_lines (const Case *cases, gsize n_cases)
{
  for (gsize i = 0; i < n_cases; i++)
    {
      g_autofree char *line = line_of (cases[i].message, cases[i].size, ARRIVED);
      g_autofree char *expected = g_strconcat (cases[i].line, "\n", NULL);

      g_assert_cmpstr (line, ==, expected);
    }
}

/* RFC 5424. */

static const Case new_cases[] = {
  /* The examples of section 6.5. */
  CASE ("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - " BOM
        "'su root' failed for lonvick on /dev/pts/8",
        "2003-10-11T22:14:15.003000Z mymachine.example.com auth.crit su - ID47 - "
        "'su root' failed for lonvick on /dev/pts/8"),
  CASE ("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - "
        "%% It's time to make the do-nuts.",
        "2003-08-24T12:14:15.000003Z 192.0.2.1 local4.notice myproc 8710 - - "
        "%% It's time to make the do-nuts."),
  CASE ("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"] " BOM
        "An application event log entry...",
        "2003-10-11T22:14:15.003000Z mymachine.example.com local4.notice evntslog - ID47 "
        "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"] "
        "An application event log entry..."),
  CASE ("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
        "[exampleSDID@32473 iut=\"3\"][examplePriority@32473 class=\"high\"]",
        "2003-10-11T22:14:15.003000Z mymachine.example.com local4.notice evntslog - ID47 "
        "[exampleSDID@32473 iut=\"3\"][examplePriority@32473 class=\"high\"] "),
  /* What is not told. */
  CASE ("<0>1 - - - - - -", ARRIVED " " SENDER " kern.emerg - - - - "),
  CASE ("<191>1 - - - - - - ", ARRIVED " " SENDER " local7.debug - - - - "),
  CASE ("<191>1 - - - - - - -", ARRIVED " " SENDER " local7.debug - - - - -"),
  CASE ("<13>1 - -h -a -p -i - " BOM, ARRIVED " -h user.notice -a -p -i - "),
  /* Times as other places have them. */
  CASE ("<13>1 2026-11-22T23:30:00+01:30 h a p i - t",
        "2026-11-22T22:00:00.000000Z h user.notice a p i - t"),
  CASE ("<13>1 2024-02-29T00:00:00.1Z h a p i - t",
        "2024-02-29T00:00:00.100000Z h user.notice a p i - t"),
  CASE ("<13>1 0203-10-11T00:00:00Z h a p i - t",
        "0203-10-11T00:00:00.000000Z h user.notice a p i - t"),
  /* What no calendar has is no time. */
  CASE ("<13>1 2026-02-29T00:00:00Z h a p i - t", TOLD "- t"),
  CASE ("<13>1 2026-13-01T00:00:00Z h a p i - t", TOLD "- t"),
  CASE ("<13>1 0000-00-00T00:00:00Z h a p i - t", TOLD "- t"),
  CASE ("<13>1 0001-01-01T00:00:00+14:00 h a p i - t", TOLD "- t"),
};

static void
test_syslog_message_new_form (void)
{
  g_test_summary ("A message of RFC 5424 tells of itself in the order of its fields.");

  assert_lines (new_cases, G_N_ELEMENTS (new_cases));
}

static const Case data_cases[] = {
  CASE ("<13>1 - h a p i [a] t", TOLD "[a] t"),
  CASE ("<13>1 - h a p i [a][b] t", TOLD "[a][b] t"),
  CASE ("<13>1 - h a p i [a b=\"\"] t", TOLD "[a b=\"\"] t"),
  CASE ("<13>1 - h a p i [a b=\"c d=[e\" f=\"g\"]", TOLD "[a b=\"c d=[e\" f=\"g\"] "),
  /* Escaped once by the sender, and once more here. */
  CASE ("<13>1 - h a p i [a b=\"\\\"\\]\\\\\\n\"] t", TOLD "[a b=\"\\\\\"\\\\]\\\\\\\\\\\\n\"] t"),
  CASE ("<13>1 - h a p i [a b=\"\xc3\xa4\n\0\xff\"] t", TOLD "[a b=\"\xc3\xa4\\x0a\\x00\\xff\"] t"),
  /* None of these is structured data, so that all is text. */
  CASE ("<13>1 - h a p i [] t", PLAIN "1 - h a p i [] t"),
  CASE ("<13>1 - h a p i [a", PLAIN "1 - h a p i [a"),
  CASE ("<13>1 - h a p i [a ] t", PLAIN "1 - h a p i [a ] t"),
  CASE ("<13>1 - h a p i [a b] t", PLAIN "1 - h a p i [a b] t"),
  CASE ("<13>1 - h a p i [a b=c] t", PLAIN "1 - h a p i [a b=c] t"),
  CASE ("<13>1 - h a p i [a b=\"c] t", PLAIN "1 - h a p i [a b=\"c] t"),
  CASE ("<13>1 - h a p i [a b=\"c]\"] t", PLAIN "1 - h a p i [a b=\"c]\"] t"),
  CASE ("<13>1 - h a p i [a b=\"c\\\"] t", PLAIN "1 - h a p i [a b=\"c\\\\\"] t"),
  CASE ("<13>1 - h a p i [a b=\"\\", PLAIN "1 - h a p i [a b=\"\\\\"),
  CASE ("<13>1 - h a p i [a]t", PLAIN "1 - h a p i [a]t"),
  CASE ("<13>1 - h a p i -t", PLAIN "1 - h a p i -t"),
  CASE ("<13>1 - h a p i", PLAIN "1 - h a p i"),
};

static void
test_syslog_message_data (void)
{
  g_test_summary ("Structured data is kept as it was sent, and what only looks like it is text.");

  assert_lines (data_cases, G_N_ELEMENTS (data_cases));
}

static const Case text_cases[] = {
  CASE ("", PLAIN),
  CASE ("-", PLAIN "-"),
  CASE ("hello", PLAIN "hello"),
  CASE ("<", PLAIN "<"),
  CASE ("<>x", PLAIN "<>x"),
  CASE ("<13", PLAIN "<13"),
  CASE ("<13>", PLAIN),
  CASE ("<-1>x", PLAIN "<-1>x"),
  CASE ("<192>x", PLAIN "<192>x"),
  CASE ("<1000>x", PLAIN "<1000>x"),
  CASE ("<11>2 - - - - - - x", ARRIVED " " SENDER " user.err - - - - 2 - - - - - - x"),
  CASE ("<11>1 yesterday h a p i - t",
        ARRIVED " " SENDER " user.err - - - - 1 yesterday h a p i - t"),
  CASE ("<11>1 2026-11-22t12:00:00z h a p i - t",
        ARRIVED " " SENDER " user.err - - - - 1 2026-11-22t12:00:00z h a p i - t"),
  CASE ("<11>1 - h\xc3\xa4 a p i - t",
        ARRIVED " " SENDER " user.err - - - - 1 - h\xc3\xa4 a p i - t"),
  CASE ("<11>1 -  a p i - t", ARRIVED " " SENDER " user.err - - - - 1 -  a p i - t"),
};

static void
test_syslog_message_text (void)
{
  g_test_summary ("What is no syslog message is text, with what is told of its priority.");

  assert_lines (text_cases, G_N_ELEMENTS (text_cases));
}

static const Case escape_cases[] = {
  /* Line ends that were sent with the message are none of it. */
  CASE ("x\n", PLAIN "x"),
  CASE ("x\r\n", PLAIN "x"),
  CASE ("x\n\0", PLAIN "x"),
  CASE ("\n", PLAIN),
  CASE ("<13>1 - h a p i -\n", TOLD "- "),
  /* Control characters, those of Unicode and its separators of lines among them. */
  CASE ("a\nb\rc\td\0e\x1b[2Jf\x7fg\\h", PLAIN "a\\x0ab\\x0dc\\x09d\\x00e\\x1b[2Jf\\x7fg\\\\h"),
  CASE ("a\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0z", PLAIN "a\\xc2\\x80\\xc2\\x85\\xc2\\x9f\xc2\xa0z"),
  CASE ("a\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9z",
        PLAIN "a\xe2\x80\xa7\\xe2\\x80\\xa8\\xe2\\x80\\xa9z"),
  /* Characters of two to four bytes, and joined ones. */
  CASE ("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\x8d",
        PLAIN "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\x8d"),
  /* No UTF-8: overlong, a surrogate, too large, cut short, Latin 1. */
  CASE ("\xc0\xaf", PLAIN "\\xc0\\xaf"),
  CASE ("\xed\xa0\x80", PLAIN "\\xed\\xa0\\x80"),
  CASE ("\xf4\x90\x80\x80", PLAIN "\\xf4\\x90\\x80\\x80"),
  CASE ("x\xe2\x82", PLAIN "x\\xe2\\x82"),
  CASE ("h\xf6ren", PLAIN "h\\xf6ren"),
};

static void
test_syslog_message_escapes (void)
{
  g_test_summary ("A message is one line of harmless UTF-8, whatever it holds.");

  assert_lines (escape_cases, G_N_ELEMENTS (escape_cases));
}

/* RFC 3164, at a host that is two hours ahead of UTC. */

static const Case old_cases[] = {
  /* Of section 5.4, those that programs send. */
  CASE ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "2026-10-11T20:14:15.000000Z mymachine auth.crit su - - - "
        "'su root' failed for lonvick on /dev/pts/8"),
  CASE ("<13>Nov  5 17:32:18 10.0.0.99 Use the BFG!",
        "2026-11-05T15:32:18.000000Z 10.0.0.99 user.notice - - - - Use the BFG!"),
  CASE ("<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: Folks!",
        ARRIVED " " SENDER " kern.emerg - - - - "
                "1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: Folks!"),
  /* With and without a host, a process, a text; with an address and a time that are not as old. */
  CASE ("<13>Nov 22 13:00:00 host app[12]: text",
        "2026-11-22T11:00:00.000000Z host user.notice app 12 - - text"),
  CASE ("<13>Nov 22 13:00:00 app[12]: text",
        "2026-11-22T11:00:00.000000Z " SENDER " user.notice app 12 - - text"),
  CASE ("<13>Nov 22 13:00:00 app: text: more",
        "2026-11-22T11:00:00.000000Z " SENDER " user.notice app - - - text: more"),
  CASE ("<13>Nov 22 13:00:00 host app:", "2026-11-22T11:00:00.000000Z host user.notice app - - - "),
  CASE ("<13>Nov 22 13:00:00 host app[]: text",
        "2026-11-22T11:00:00.000000Z host user.notice - - - - app[]: text"),
  CASE ("<13>Nov 22 13:00:00 fe80::1 app: text",
        "2026-11-22T11:00:00.000000Z fe80::1 user.notice app - - - text"),
  CASE ("<13>Nov 22 13:00:00 host /usr/bin/app-1.2: x",
        "2026-11-22T11:00:00.000000Z host user.notice /usr/bin/app-1.2 - - - x"),
  CASE ("<13>2026-11-22T13:00:00.25+01:00 host app[1]: x",
        "2026-11-22T12:00:00.250000Z host user.notice app 1 - - x"),
  CASE ("<13>Nov 22 13:00:00 host", PLAIN "Nov 22 13:00:00 host"),
  /* What is no time is text, and what no calendar has is no time. */
  CASE ("<13>Nov 22 13:00 host app: x", PLAIN "Nov 22 13:00 host app: x"),
  CASE ("<13>Nev 22 13:00:00 host app: x", PLAIN "Nev 22 13:00:00 host app: x"),
  CASE ("<13>Nov 31 13:00:00 host app: x", ARRIVED " host user.notice app - - - x"),
  CASE ("<13>Nov 22 25:00:00 host app: x", ARRIVED " host user.notice app - - - x"),
};

static void
test_syslog_message_old_form (void)
{
  g_test_summary ("A message of RFC 3164 tells of itself as one of RFC 5424 does.");

  assert_lines (old_cases, G_N_ELEMENTS (old_cases));
}

static void
test_syslog_message_old_year (void)
{
  static const struct
  {
    const char *now;
    const char *message;
    const char *time;
  } cases[] = {
    { "2027-01-01T00:00:10Z", "<13>Dec 31 23:59:59 h a: x", "2026-12-31T21:59:59.000000Z" },
    { "2026-12-31T21:59:50Z", "<13>Jan  1 00:00:01 h a: x", "2026-12-31T22:00:01.000000Z" },
    { "2026-07-01T12:00:00Z", "<13>Jan  1 00:00:01 h a: x", "2025-12-31T22:00:01.000000Z" },
    { "2024-03-01T12:00:00Z", "<13>Feb 29 12:00:00 h a: x", "2024-02-29T10:00:00.000000Z" },
    { "2026-03-01T12:00:00Z", "<13>Feb 29 12:00:00 h a: x", "2026-03-01T12:00:00.000000Z" },
  };

  g_test_summary ("The year of an old time is the nearest.");

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *line = line_of (cases[i].message, strlen (cases[i].message), cases[i].now);
      g_autofree char *expected = g_strconcat (cases[i].time, " h user.notice a - - - x\n", NULL);

      g_assert_cmpstr (line, ==, expected);
    }
}

/* Large ones. */

/* (transfer full) A head, and a body so often that all is as large as a datagram can be. */
static GString *
make_large (const char *head, const char *body)
{
  GString *message = g_string_new (head);

  while (message->len + strlen (body) <= 65507)
    g_string_append (message, body);
  return message;
}

static void
test_syslog_message_large (void)
{
  static const char *const bodies[] = { "[a]", "[a b=\"c\"]", "[a b=\"\\\"\\]\" c=\"d\"]" };

  g_test_summary ("Structured data may fill a datagram, without a limit of the grammar's own.");

  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (GString) message = make_large ("<13>1 - h a p i ", bodies[i]);
      g_autofree char *line = line_of (message->str, message->len, ARRIVED);
      g_autofree char *text = NULL;

      g_assert_true (g_str_has_prefix (line, TOLD "[a"));
      g_assert_true (g_str_has_suffix (line, "] \n"));
      message->str[message->len - 1] = '!';
      text = line_of (message->str, message->len, ARRIVED);
      g_assert_true (g_str_has_prefix (text, PLAIN "1 - h a p i [a"));
    }
}

static void
test_syslog_message_long_words (void)
{
  static const guint longest[] = { 255, 48, 128, 32 };

  g_test_summary ("Host, program, process and kind are as long as the RFC allows, and not longer.");

  for (guint i = 0; i < 4 * 2; i++)
    {
      g_autofree char *word = g_strnfill (longest[i / 2] + i % 2, 'x');
      const char *words[4] = { "h", "a", "p", "i" };
      g_autofree char *message = NULL;
      g_autofree char *line = NULL;

      words[i / 2] = word;
      message = g_strdup_printf ("<13>1 - %s %s %s %s - t", words[0], words[1], words[2], words[3]);
      line = line_of (message, strlen (message), ARRIVED);
      g_assert_cmpint (g_str_has_suffix (line, " - - - - t\n"), ==, FALSE);
      g_assert_cmpint (strstr (line, " user.notice - - - - 1 ") != NULL, ==, i % 2);
    }
}

/* Random ones. */

static void
assert_harmless (const char *line)
{
  gsize size = strlen (line);

  g_assert_true (g_utf8_validate_len (line, size, NULL));
  g_assert_cmpint (line[size - 1], ==, '\n');
  for (const char *at = line; at < line + size - 1; at = g_utf8_next_char (at))
    g_assert_false (g_unichar_iscntrl (g_utf8_get_char (at)));
}

/* (transfer full) What was escaped. */
static GString *
unescape (const char *line)
{
  GString *bytes = g_string_new (NULL);

  for (; *line != '\n'; line++)
    if (*line != '\\')
      g_string_append_c (bytes, *line);
    else if (*++line == '\\')
      g_string_append_c (bytes, '\\');
    else
      {
        g_string_append_c (bytes, g_ascii_xdigit_value (*++line) << 4);
        bytes->str[bytes->len - 1] |= g_ascii_xdigit_value (*++line);
      }
  return bytes;
}

/* The text of a message without a priority is all of it. */
static void
assert_nothing_is_lost (const char *line, const char *message, gsize size)
{
  static const char before[] = PLAIN;
  g_autoptr (GString) bytes = unescape (line);

  while (size > 0 && memchr ("\r\n", message[size - 1], 3) != NULL)
    size--;
  g_assert_cmpmem (bytes->str, bytes->len - size, before, strlen (before));
  g_assert_cmpmem (bytes->str + bytes->len - size, size, message, size);
}

static const Case *
random_case (void)
{
  static const struct
  {
    const Case *cases;
    int n;
  } all[] = {
    { new_cases, G_N_ELEMENTS (new_cases) },
    { data_cases, G_N_ELEMENTS (data_cases) },
    { text_cases, G_N_ELEMENTS (text_cases) },
    { escape_cases, G_N_ELEMENTS (escape_cases) },
    { old_cases, G_N_ELEMENTS (old_cases) },
  };
  int i = g_test_rand_int_range (0, G_N_ELEMENTS (all));

  return &all[i].cases[g_test_rand_int_range (0, all[i].n)];
}

/* Changes some bytes, and ends the message somewhere. Returns its size. */
static gsize
mutate (char *message, gsize size)
{
  static const char edges[] = "\0\n\r -<>[]\"=\\:019Z\x7f\x80\xc2\xe2\xff";

  for (int n = size > 0 ? g_test_rand_int_range (0, 4) : 0; n > 0; n--)
    {
      int at = g_test_rand_int_range (0, size);

      if (g_test_rand_bit ())
        message[at] = edges[g_test_rand_int_range (0, sizeof edges - 1)];
      else
        message[at] ^= 1 << g_test_rand_int_range (0, 8);
    }
  return g_test_rand_bit () ? size : (gsize) g_test_rand_int_range (0, size + 1);
}

static guint
count_of_mutations (void)
{
  if (g_getenv ("ES_TEST_LONG") != NULL)
    return N_MUTATIONS_LONG;
  return es_test_is_slow () ? N_MUTATIONS_SLOW : N_MUTATIONS;
}

static void
test_syslog_message_mutations (void)
{
  guint n = count_of_mutations ();

  g_test_summary ("Whatever is sent is one line of harmless UTF-8, of which no text is lost; "
                  "2 000 000 times where ES_TEST_LONG is set.");

  for (; n > 0; n--)
    {
      const Case *origin = random_case ();
      char message[MAX_SIZE];
      gsize size;
      g_autofree char *line = NULL;

      g_assert_cmpuint (origin->size, <=, sizeof message);
      memcpy (message, origin->message, origin->size);
      size = mutate (message, origin->size);
      line = line_of (message, size, ARRIVED);
      assert_harmless (line);
      if (size == 0 || message[0] != '<')
        assert_nothing_is_lost (line, message, size);
    }
}

static void
test_syslog_message_noise (void)
{
  guint n = count_of_mutations ();

  g_test_summary ("So is mere noise.");

  for (; n > 0; n--)
    {
      char message[MAX_SIZE];
      gsize size = g_test_rand_int_range (0, sizeof message);
      g_autofree char *line = NULL;

      for (gsize i = 0; i < size; i++)
        message[i] = g_test_rand_int ();
      line = line_of (message, size, ARRIVED);
      assert_harmless (line);
      if (size == 0 || message[0] != '<')
        assert_nothing_is_lost (line, message, size);
    }
}

int
main (int argc,
      char **argv)
{
  /* Before any time is looked at. */
  g_setenv ("TZ", "<+02>-2", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/syslog-message/new-form", test_syslog_message_new_form);
  g_test_add_func ("/syslog-message/data", test_syslog_message_data);
  g_test_add_func ("/syslog-message/text", test_syslog_message_text);
  g_test_add_func ("/syslog-message/escapes", test_syslog_message_escapes);
  g_test_add_func ("/syslog-message/old-form", test_syslog_message_old_form);
  g_test_add_func ("/syslog-message/old-year", test_syslog_message_old_year);
  g_test_add_func ("/syslog-message/large", test_syslog_message_large);
  g_test_add_func ("/syslog-message/long-words", test_syslog_message_long_words);
  g_test_add_func ("/syslog-message/mutations", test_syslog_message_mutations);
  g_test_add_func ("/syslog-message/noise", test_syslog_message_noise);
  return g_test_run ();
}
