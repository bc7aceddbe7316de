/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-interrupt.h"

#include "es-test.h"

#include <signal.h>

static void
count (gpointer data)
{
  (*(int *) data)++;
}

static void
test_interrupt_hears_signals (void)
{
  const int numbers[] = { SIGINT, SIGTERM, SIGINT, SIGTERM };
  int n_heard = 0;
  g_autoptr (EsInterrupt) interrupt = es_interrupt_new (NULL, count, &n_heard);

  g_test_summary ("Ctrl-C and a service manager's signal are told in the context, each time.");

  for (int i = 0; i < (int) G_N_ELEMENTS (numbers); i++)
    {
      g_assert_no_errno (kill (getpid (), numbers[i]));
      es_test_wait_until (n_heard == i + 1);
    }
}

static void
test_interrupt_moves (void)
{
  int n_heard = 0;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (EsInterrupt) interrupt = es_interrupt_new (NULL, count, &n_heard);

  g_test_summary ("Once it has moved, an interrupt is told of signals in the other context alone.");

  for (int i = 0; i < 2; i++)
    es_interrupt_move (interrupt, context);
  g_assert_no_errno (kill (getpid (), SIGTERM));
  es_test_settle ();
  g_assert_cmpint (n_heard, ==, 0);
  g_main_context_push_thread_default (context);
  es_test_wait_until (n_heard == 1);
  es_test_settle ();
  g_assert_cmpint (n_heard, ==, 1);
  g_main_context_pop_thread_default (context);
}

static void
test_interrupt_gives_signals_back (void)
{
  int n_heard = 0;

  g_test_summary ("Without an interrupt a signal ends the process, as before.");

  if (g_test_subprocess ())
    {
      es_interrupt_free (es_interrupt_new (NULL, count, &n_heard));
      g_assert_no_errno (kill (getpid (), SIGTERM));
      es_test_settle ();
      exit (0);
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/interrupt/hears-signals", test_interrupt_hears_signals);
  g_test_add_func ("/interrupt/moves", test_interrupt_moves);
  g_test_add_func ("/interrupt/gives-signals-back", test_interrupt_gives_signals_back);
  return g_test_run ();
}
