/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-deadlines.h"

#define N_DEADLINES 200

/* Takes the first one away. */
static gint64
take_first (EsDeadlines *deadlines)
{
  EsDeadline *first = es_deadlines_peek (deadlines);

  g_assert_nonnull (first);
  es_deadlines_remove (deadlines, first);
  g_assert_cmpuint (first->place, ==, 0);
  return first->due;
}

static void
test_deadlines_come_in_order (void)
{
  g_autoptr (EsDeadlines) deadlines = es_deadlines_new ();
  EsDeadline all[N_DEADLINES] = { 0 };
  gint64 before = -1;

  g_test_summary ("Whatever the order in which they are set, the first comes first.");

  for (guint i = 0; i < N_DEADLINES; i++)
    es_deadlines_set (deadlines, &all[i], g_test_rand_int_range (0, 1000));
  for (guint i = 0; i < N_DEADLINES; i++)
    {
      gint64 due = take_first (deadlines);

      g_assert_cmpint (due, >=, before);
      before = due;
    }
  g_assert_null (es_deadlines_peek (deadlines));
}

static void
test_deadlines_change (void)
{
  g_autoptr (EsDeadlines) deadlines = es_deadlines_new ();
  EsDeadline all[N_DEADLINES] = { 0 };
  gint64 before = -1;

  g_test_summary ("One that is changed, earlier or later, has its new place, and is there once.");

  for (guint i = 0; i < N_DEADLINES; i++)
    es_deadlines_set (deadlines, &all[i], i);
  for (guint i = 0; i < N_DEADLINES; i++)
    es_deadlines_set (deadlines, &all[i], (i * 7919) % 1000);
  for (guint i = 0; i < N_DEADLINES; i++)
    {
      gint64 due = take_first (deadlines);

      g_assert_cmpint (due, >=, before);
      before = due;
    }
  g_assert_null (es_deadlines_peek (deadlines));
}

static void
test_deadlines_are_removed (void)
{
  g_autoptr (EsDeadlines) deadlines = es_deadlines_new ();
  EsDeadline all[N_DEADLINES] = { 0 };
  gint64 before = -1;

  g_test_summary ("One is removed from wherever it stands, and the others keep their order.");

  for (guint i = 0; i < N_DEADLINES; i++)
    es_deadlines_set (deadlines, &all[i], g_test_rand_int_range (0, 1000));
  for (guint i = 0; i < N_DEADLINES; i += 2)
    es_deadlines_remove (deadlines, &all[i]);
  es_deadlines_remove (deadlines, &all[0]);
  for (guint i = 1; i < N_DEADLINES; i += 2)
    {
      gint64 due = take_first (deadlines);

      g_assert_cmpint (due, >=, before);
      before = due;
    }
  g_assert_null (es_deadlines_peek (deadlines));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/deadlines/come-in-order", test_deadlines_come_in_order);
  g_test_add_func ("/deadlines/change", test_deadlines_change);
  g_test_add_func ("/deadlines/are-removed", test_deadlines_are_removed);
  return g_test_run ();
}
