/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-stats-private.h"

#include <string.h>

#define N_FIELDS (sizeof (EsStats) / sizeof (guint64))

/* Gives each field a number of its own, counted up from @first. */
static EsStats *
new_numbered (guint64 first)
{
  EsStats *stats = es_stats_new ();
  guint64 numbers[N_FIELDS];

  for (gsize i = 0; i < N_FIELDS; i++)
    numbers[i] = first + i;
  memcpy (stats, numbers, sizeof numbers);
  return stats;
}

static void
test_stats_text_names_each_field (void)
{
  g_autoptr (EsStats) stats = new_numbered (1);
  g_autofree char *text = es_stats_to_string (stats);

  g_test_summary ("The text has a line for each field, in the order of the struct.");

  g_assert_cmpstr (text, ==,
                   "messages_received 1\n"
                   "bytes_received 2\n"
                   "messages_sent 3\n"
                   "bytes_sent 4\n"
                   "receive_calls 5\n"
                   "send_calls 6\n"
                   "dropped_by_kernel 7\n"
                   "dropped_too_long 8\n"
                   "dropped_rate_limited 9\n"
                   "dropped_unauthenticated 10\n"
                   "dropped_at_stop 11\n"
                   "dropped_unsent 12\n"
                   "send_errors 13\n"
                   "receive_errors 14\n");
}

static void
test_stats_text_leaves_zeros_out (void)
{
  g_autoptr (EsStats) stats = es_stats_new ();
  g_autofree char *nothing = es_stats_to_string (stats);
  g_autofree char *something = NULL;

  g_test_summary ("What never happened is not mentioned, and numbers keep all their digits.");

  stats->bytes_sent = G_MAXUINT64;
  something = es_stats_to_string (stats);

  g_assert_cmpstr (nothing, ==, "");
  g_assert_cmpstr (something, ==, "bytes_sent 18446744073709551615\n");
}

static void
test_stats_text_reads_field_by_name (void)
{
  g_autoptr (EsStats) stats = es_stats_new ();
  g_autofree char *text = NULL;

  g_test_summary ("Each line tells the field that it names.");

  stats->messages_received = 1;
  stats->dropped_at_stop = 2;
  stats->receive_errors = 3;
  text = es_stats_to_string (stats);

  g_assert_cmpstr (text, ==, "messages_received 1\ndropped_at_stop 2\nreceive_errors 3\n");
}

static void
test_stats_copy_is_another (void)
{
  g_autoptr (EsStats) stats = new_numbered (1);
  g_autoptr (EsStats) copy = es_stats_copy (stats);
  g_autoptr (EsStats) boxed = g_boxed_copy (ES_TYPE_STATS, stats);

  g_test_summary ("A copy has the same numbers and keeps them.");

  g_assert_cmpmem (copy, sizeof *copy, stats, sizeof *stats);
  g_assert_cmpmem (boxed, sizeof *boxed, stats, sizeof *stats);
  stats->messages_sent = 100;
  g_assert_cmpuint (copy->messages_sent, ==, 3);
}

static void
test_stats_add_each_field (void)
{
  g_autoptr (EsStats) sum = new_numbered (100);
  g_autoptr (EsStats) more = new_numbered (1);
  g_autoptr (EsStats) unchanged = es_stats_copy (more);
  guint64 numbers[N_FIELDS];

  g_test_summary ("Adding adds every field, and leaves what is added alone.");

  es_stats_add (sum, more);

  memcpy (numbers, sum, sizeof numbers);
  for (gsize i = 0; i < N_FIELDS; i++)
    g_assert_cmpuint (numbers[i], ==, 101 + 2 * i);
  g_assert_cmpmem (more, sizeof *more, unchanged, sizeof *unchanged);
}

static void
test_stats_refuse_null (void)
{
  g_autofree char *text = NULL;

  g_test_summary ("NULL is a critical where statistics are read, "
                  "and nothing where they are freed.");

  g_test_expect_message ("easyservers", G_LOG_LEVEL_CRITICAL, "es_stats_copy: *");
  g_assert_null (es_stats_copy (NULL));
  g_test_expect_message ("easyservers", G_LOG_LEVEL_CRITICAL, "es_stats_to_string: *");
  text = es_stats_to_string (NULL);
  es_stats_free (NULL);
  g_test_assert_expected_messages ();
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/stats/text-names-each-field", test_stats_text_names_each_field);
  g_test_add_func ("/stats/text-leaves-zeros-out", test_stats_text_leaves_zeros_out);
  g_test_add_func ("/stats/text-reads-field-by-name", test_stats_text_reads_field_by_name);
  g_test_add_func ("/stats/copy-is-another", test_stats_copy_is_another);
  g_test_add_func ("/stats/add-each-field", test_stats_add_each_field);
  g_test_add_func ("/stats/refuse-null", test_stats_refuse_null);

  return g_test_run ();
}
