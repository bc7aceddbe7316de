/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes one line of text of a syslog message in either form:
 *
 *     <165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [origin x="y"] text    RFC 5424
 *     <165>Oct 11 22:14:15 host app[12]: text                                 RFC 3164, as used
 *
 *     2003-10-11T22:14:15.003000Z host local4.notice app 12 ID47 [origin x="y"] text
 *
 * What is neither is text as a whole, its priority aside (RFC 3164, 4.3). On the line, "-" is what
 * the message does not tell, \\ a backslash, and \xHH a byte of a control character or of no UTF-8.
 */

#include "syslog-message.h"

#include <stdio.h>
#include <string.h>

#define USER_NOTICE 13
#define LAST_CHARACTER 0x10ffff
#define COMPILE_FLAGS (G_REGEX_RAW | G_REGEX_DOTALL | G_REGEX_OPTIMIZE)

#define PRIORITY "<(19[01]|1[0-8]\\d|\\d{1,2})>"
#define CLOCK "\\d\\d:\\d\\d:\\d\\d"
#define TIME "\\d{4}-\\d\\d-\\d\\dT" CLOCK "(?:\\.\\d{1,6})?+(?:Z|[+-]\\d\\d:\\d\\d)"
#define OLD_TIME "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \\d]\\d " CLOCK
#define WORD(longest) "([!-~]{1," #longest "})"
#define NAME "[!#-<>-\\\\^-~]{1,32}"
#define ELEMENT "\\[" NAME "(?: " NAME "=\"(?:[^\"\\\\\\]]++|\\\\.)*+\")*+\\]"
#define TAG "([!-9;-Z\\\\-~]{1,48})(?:\\[([!-\\\\^-~]{1,128})\\])?+:(?: |\\z)"

/* RFC 5424, 6; RFC 3164, 4, with and without a tag. */
#define NEW_FORM "1 (-|" TIME ") (?:-|" WORD (255) ") " WORDS " (-|(?:" ELEMENT ")++)" TEXT_FOLLOWS
#define WORDS WORD (48) " " WORD (128) " " WORD (32)
#define TEXT_FOLLOWS "(?: (?:\\xEF\\xBB\\xBF)?+|\\z)"
#define OLD_FORM "(" OLD_TIME "|" TIME ") (?:" WORD (255) " )??" TAG
#define UNTAGGED_FORM "(" OLD_TIME "|" TIME ") " WORD (255) " "

/* What comes before the text. The groups have the same numbers in all forms. */
static const char header[] = PRIORITY "(?|" NEW_FORM "|" OLD_FORM "|" UNTAGGED_FORM ")?+";

#define GROUP_PRIORITY 1
#define GROUP_TIME 2
#define GROUP_HOST 3
#define GROUP_APP 4
#define GROUP_DATA 7

/* RFC 5424, tables 1 and 2, by the names that logger(1) knows. */
#define FOR_PROGRAMS "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"
#define FOR_MORE_PROGRAMS "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock"
#define FOR_LOCAL_USE "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
#define BY_URGENCY "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"
static const char *const facilities[] = { FOR_PROGRAMS, FOR_MORE_PROGRAMS, FOR_LOCAL_USE };
static const char *const severities[] = { BY_URGENCY };

/* (transfer full) (nullable) An old time has no year: it is the one that is nearest. Nor has it a
 * zone: it is taken for this host's. */
static GDateTime *
parse_time (const char *text, GDateTime *now)
{
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  g_autoptr (GDateTime) here = NULL;
  int day, hour, minute, second, month, ahead;
  char name[4];

  if (sscanf (text, "%3[A-Za-z] %d %d:%d:%d", name, &day, &hour, &minute, &second) < 5)
    return g_date_time_new_from_iso8601 (text, NULL);
  here = g_date_time_to_local (now);
  month = (strstr (months, name) - months) / 3 + 1;
  ahead = month - g_date_time_get_month (here);
  return g_date_time_new_local (g_date_time_get_year (here) - (ahead > 6) + (ahead < -6),
                                month, day, hour, minute, second);
}

static void
append_time (GString *lines, const char *text, GDateTime *now)
{
  g_autoptr (GDateTime) time = text != NULL ? parse_time (text, now) : NULL;
  g_autoptr (GDateTime) utc = time != NULL ? g_date_time_to_utc (time) : NULL;
  g_autofree char *stamp = g_date_time_format (utc != NULL ? utc : now, "%C%y-%m-%dT%T.%fZ ");

  g_string_append (lines, stamp);
}

static void
append_escaped (GString *lines, const char *message, gsize start, gsize end)
{
  for (gsize size; start < end; start += size)
    {
      const char *at = message + start;
      gunichar c = *at == '\0' ? 0 : g_utf8_get_char_validated (at, end - start);

      size = c <= LAST_CHARACTER ? g_unichar_to_utf8 (c, NULL) : 1;
      if (c == '\\')
        g_string_append (lines, "\\\\");
      else if (c <= LAST_CHARACTER && !g_unichar_iscntrl (c) && (c < 0x2028 || c > 0x2029))
        g_string_append_len (lines, at, size);
      else
        for (gsize i = 0; i < size; i++)
          g_string_append_printf (lines, "\\x%02x", (guint8) at[i]);
    }
}

static void
append_group (GString *lines, GMatchInfo *match, int group, const char *otherwise)
{
  int start = 0, end = 0;

  if (g_match_info_fetch_pos (match, group, &start, &end) && end > start)
    append_escaped (lines, g_match_info_get_string (match), start, end);
  else
    g_string_append (lines, otherwise);
  g_string_append_c (lines, ' ');
}

void
syslog_message_append (GString *lines, GBytes *bytes, const char *sender, GDateTime *now)
{
  static GRegex *regex;
  g_autoptr (GMatchInfo) match = NULL;
  g_autofree char *priority = NULL, *time = NULL;
  gsize size;
  const char *message = g_bytes_get_data (bytes, &size);
  int number, text = 0;

  if (g_once_init_enter (&regex))
    g_once_init_leave (&regex, g_regex_new (header, COMPILE_FLAGS, G_REGEX_MATCH_ANCHORED, NULL));
  /* Some send a line end with it, or the NUL byte that strchr() finds, too. */
  while (size > 0 && strchr ("\r\n", message[size - 1]) != NULL)
    size--;
  g_regex_match_full (regex, size > 0 ? message : "", size, 0, 0, &match, NULL);
  g_match_info_fetch_pos (match, 0, NULL, &text);
  priority = g_match_info_fetch (match, GROUP_PRIORITY);
  time = g_match_info_fetch (match, GROUP_TIME);
  number = priority != NULL ? atoi (priority) : USER_NOTICE;

  append_time (lines, time, now);
  append_group (lines, match, GROUP_HOST, sender);
  g_string_append_printf (lines, "%s.%s ", facilities[number / 8], severities[number % 8]);
  for (int group = GROUP_APP; group <= GROUP_DATA; group++)
    append_group (lines, match, group, "-");
  append_escaped (lines, message, text, size);
  g_string_append_c (lines, '\n');
}
