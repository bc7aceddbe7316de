/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <easyservers.h>

#include "es-test.h"

/*
 * Handlers that misbehave, over and over: what goes wrong once in a thousand times goes wrong here.
 * ES_TEST_LONG makes it ten thousand times, also under valgrind.
 */

static guint
choose_n (void)
{
  if (g_getenv ("ES_TEST_LONG") != NULL)
    return 10000;
  return es_test_is_slow () ? 20 : 500;
}

static guint
count_entries (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* What the process holds. */
typedef struct
{
  guint n_descriptors;
  guint n_threads;
} Holdings;

static Holdings
get_holdings (void)
{
  return (Holdings){ count_entries ("/proc/self/fd"), count_entries ("/proc/self/task") };
}

/* A thread that was joined may be seen for a moment more. */
static void
assert_holds_no_more (Holdings before)
{
  es_test_spin_until (get_holdings ().n_threads <= before.n_threads);
  g_assert_cmpuint (get_holdings ().n_descriptors, <=, before.n_descriptors);
}

/* How a server delivers. */
typedef enum
{
  ALONE,
  THREADED,
  WORKERS,
} Manner;

static EsUdpServer *
start_server (Manner manner)
{
  EsUdpServer *server = es_udp_server_new (0);
  g_autoptr (GError) error = NULL;

  es_endpoint_set_threaded (ES_ENDPOINT (server), manner == THREADED);
  es_endpoint_set_max_threads (ES_ENDPOINT (server), 2);
  es_udp_server_set_workers (server, manner == WORKERS ? 2 : 1);
  es_endpoint_start (ES_ENDPOINT (server), &error);
  g_assert_no_error (error);
  return server;
}

static void
say_to (gpointer server,
        guint n_messages)
{
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

  for (guint i = 0; i < n_messages; i++)
    es_test_say (talker, "hello");
}

static void
drop_once (EsEndpoint *server,
           GBytes *message,
           GSocketAddress *address,
           EsSendFunc send,
           gpointer user_data)
{
  if (g_atomic_int_compare_and_exchange ((int *) user_data, 0, 1))
    g_object_unref (server);
}

static void
test_handlers_drop (gconstpointer data)
{
  Manner manner = GPOINTER_TO_INT (data);
  Holdings before = { 0 };

  g_test_summary ("A handler may drop the last reference, on whichever thread it runs.");

  for (guint i = 0; i < choose_n (); i++)
    {
      EsUdpServer *server = start_server (manner);
      int is_dropped = 0;

      g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
      g_signal_connect (server, "message-received", G_CALLBACK (drop_once), &is_dropped);
      say_to (server, 3);
      es_test_wait_until (server == NULL);
      g_assert_cmpint (is_dropped, ==, 1);
      if (i == 0)
        before = get_holdings ();
    }
  assert_holds_no_more (before);
}

static void
stop_at_first (EsEndpoint *server,
               GBytes *message,
               GSocketAddress *address,
               EsSendFunc send,
               gpointer user_data)
{
  ++*(guint *) user_data;
  send (server, message, address, NULL);
  es_endpoint_stop (server);
}

static void
test_handlers_stop (void)
{
  g_autoptr (EsUdpServer) server = start_server (ALONE);
  g_autoptr (EsStats) stats = NULL;
  guint n_handled = 0;

  g_test_summary ("A handler may stop the server: it sees no other message, and each is counted.");

  g_signal_connect (server, "message-received", G_CALLBACK (stop_at_first), &n_handled);
  for (guint i = 0; i < choose_n (); i++)
    {
      g_autoptr (GError) error = NULL;

      es_test_leave_unread (server, 3);
      es_test_wait_until (!es_endpoint_is_running (ES_ENDPOINT (server)));
      g_assert_cmpuint (n_handled, ==, i + 1);
      es_endpoint_start (ES_ENDPOINT (server), &error);
      g_assert_no_error (error);
    }

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, n_handled);
  g_assert_cmpuint (stats->messages_received + stats->dropped_at_stop + stats->dropped_by_kernel,
                    ==, 3 * n_handled);
}

static void
restart_and_answer (EsEndpoint *server,
                    GBytes *message,
                    GSocketAddress *address,
                    EsSendFunc send,
                    gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  ++*(guint *) user_data;
  es_udp_server_set_port (ES_UDP_SERVER (server), es_udp_server_get_port (ES_UDP_SERVER (server)));
  es_endpoint_stop (server);
  es_endpoint_start (server, &error);
  g_assert_no_error (error);
  send (server, message, address, &error);
  g_assert_no_error (error);
}

static void
test_handlers_restart (void)
{
  g_autoptr (EsUdpServer) server = start_server (ALONE);
  guint n_handled = 0;

  g_test_summary ("A handler may restart the server and answer from the new run.");

  es_udp_server_set_port (server, es_udp_server_get_port (server));
  g_signal_connect (server, "message-received", G_CALLBACK (restart_and_answer), &n_handled);
  for (guint i = 0; i < choose_n (); i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
      g_autofree char *answer = NULL;

      es_test_say (talker, "hello");
      answer = es_test_hear (talker);
      g_assert_cmpstr (answer, ==, "hello");
    }
  g_assert_cmpuint (n_handled, ==, choose_n ());
}

static void
disconnect_itself (EsEndpoint *server,
                   GBytes *message,
                   GSocketAddress *address,
                   EsSendFunc send,
                   gpointer user_data)
{
  ++*(guint *) user_data;
  g_signal_handlers_disconnect_by_func (server, disconnect_itself, user_data);
}

static void
test_handlers_disconnect (void)
{
  g_autoptr (EsUdpServer) server = start_server (ALONE);
  guint n_handled = 0;

  g_test_summary ("A handler may disconnect itself, and hears nothing more.");

  for (guint i = 0; i < choose_n (); i++)
    {
      guint64 n_before = es_test_get_n_received (server);

      g_signal_connect (server, "message-received", G_CALLBACK (disconnect_itself), &n_handled);
      say_to (server, 3);
      es_test_wait_until (es_test_get_n_received (server) == n_before + 3);
      es_test_settle ();
      g_assert_cmpuint (n_handled, ==, i + 1);
    }
}

/* How deep handlers are in each other. */
typedef struct
{
  guint n_handled;
  guint depth;
} Nest;

static void
iterate (EsEndpoint *server,
         GBytes *message,
         GSocketAddress *address,
         EsSendFunc send,
         gpointer user_data)
{
  Nest *nest = user_data;

  g_assert_cmpuint (++nest->depth, ==, 1);
  send (server, message, address, NULL);
  for (int i = 0; i < 3; i++)
    g_main_context_iteration (NULL, FALSE);
  nest->depth--;
  nest->n_handled++;
}

static void
test_handlers_nest (void)
{
  g_autoptr (EsUdpServer) server = start_server (ALONE);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  Nest nest = { 0 };

  g_test_summary ("A handler may run a main loop of its own: its answers leave, "
                  "and no other handler runs.");

  g_signal_connect (server, "message-received", G_CALLBACK (iterate), &nest);
  for (guint i = 0; i < choose_n (); i++)
    {
      es_test_say (talker, "hello");
      es_test_say (talker, "hello");
      for (int n = 0; n < 2; n++)
        {
          g_autofree char *answer = es_test_hear (talker);

          g_assert_cmpstr (answer, ==, "hello");
        }
    }
  es_test_wait_until (nest.n_handled == 2 * choose_n ());
}

static void
block (EsEndpoint *server,
       GBytes *message,
       GSocketAddress *address,
       EsSendFunc send,
       gpointer user_data)
{
  g_usleep (100);
  send (server, message, address, NULL);
}

/* Each message is either answered or counted as lost. */
static void
test_handlers_block (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = start_server (GPOINTER_TO_INT (data));
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;
  guint n = choose_n ();

  g_test_summary ("Handlers that block keep each other waiting, "
                  "and lose nothing that is not counted.");

  g_signal_connect (server, "message-received", G_CALLBACK (block), NULL);
  for (guint i = 0; i < n; i++)
    es_test_say (talker, "hello");
  while (stats == NULL || stats->messages_received + stats->dropped_by_kernel < n ||
         stats->messages_sent < stats->messages_received)
    {
      es_test_settle ();
      g_clear_pointer (&stats, es_stats_free);
      stats = es_endpoint_get_stats (ES_ENDPOINT (server));
    }
  g_assert_cmpuint (stats->messages_received + stats->dropped_by_kernel, ==, n);
  g_assert_cmpuint (stats->messages_sent, ==, stats->messages_received);
}

#define N_FLOODERS 2
#define N_TALKERS 8

/* A flood that goes on until the server is gone. */
typedef struct
{
  GPtrArray *talkers; /* (owned) of GSocket */
  int is_over;
} Flood;

static gpointer
flood (gpointer data)
{
  Flood *self = data;

  for (guint i = 0; !g_atomic_int_get (&self->is_over); i++)
    g_socket_send (self->talkers->pdata[i % N_TALKERS], "flood", 5, NULL, NULL);
  return NULL;
}

static void
test_handlers_let_go_in_flood (gconstpointer data)
{
  EsUdpServer *server = start_server (GPOINTER_TO_INT (data));
  Flood self = { g_ptr_array_new_with_free_func (g_object_unref), FALSE };
  GThread *threads[N_FLOODERS];

  g_test_summary ("The last reference may go amid a flood, though some handler runs at any time.");

  g_signal_connect (server, "message-received", G_CALLBACK (block), NULL);
  for (int i = 0; i < N_TALKERS; i++)
    g_ptr_array_add (self.talkers, es_test_new_talker (server, "127.0.0.1"));
  for (int i = 0; i < N_FLOODERS; i++)
    threads[i] = g_thread_new ("flooder", flood, &self);
  es_test_wait_until (es_test_get_n_received (server) > 500);
  g_assert_finalize_object (server);

  g_atomic_int_set (&self.is_over, TRUE);
  for (int i = 0; i < N_FLOODERS; i++)
    g_thread_join (threads[i]);
  g_ptr_array_unref (self.talkers);
}

static void
drop_in_job (EsJob *job,
             EsEndpoint *endpoint,
             gpointer user_data)
{
  g_object_unref (endpoint);
}

static void
test_handlers_job_drops (void)
{
  Holdings before = { 0 };

  g_test_summary ("A job may drop the last reference to its endpoint.");

  for (guint i = 0; i < choose_n (); i++)
    {
      EsUdpServer *server = start_server (ALONE);
      g_autoptr (EsJob) job = NULL;
      g_autoptr (GError) error = NULL;

      g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
      job = es_endpoint_create_job (ES_ENDPOINT (server), "drop", drop_in_job, NULL, NULL, TRUE,
                                    &error);
      g_assert_no_error (error);
      es_test_wait_until (server == NULL);
      g_clear_object (&job);
      if (i == 0)
        before = get_holdings ();
    }
  assert_holds_no_more (before);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/handlers/drop", GINT_TO_POINTER (ALONE), test_handlers_drop);
  g_test_add_data_func ("/handlers/drop-threaded", GINT_TO_POINTER (THREADED), test_handlers_drop);
  g_test_add_data_func ("/handlers/drop-workers", GINT_TO_POINTER (WORKERS), test_handlers_drop);
  g_test_add_func ("/handlers/stop", test_handlers_stop);
  g_test_add_func ("/handlers/restart", test_handlers_restart);
  g_test_add_func ("/handlers/disconnect", test_handlers_disconnect);
  g_test_add_func ("/handlers/nest", test_handlers_nest);
  g_test_add_data_func ("/handlers/block", GINT_TO_POINTER (ALONE), test_handlers_block);
  g_test_add_data_func ("/handlers/block-threaded", GINT_TO_POINTER (THREADED),
                        test_handlers_block);
  g_test_add_data_func ("/handlers/block-workers", GINT_TO_POINTER (WORKERS), test_handlers_block);
  g_test_add_data_func ("/handlers/let-go-in-flood", GINT_TO_POINTER (ALONE),
                        test_handlers_let_go_in_flood);
  g_test_add_data_func ("/handlers/let-go-in-flood-threaded", GINT_TO_POINTER (THREADED),
                        test_handlers_let_go_in_flood);
  g_test_add_data_func ("/handlers/let-go-in-flood-workers", GINT_TO_POINTER (WORKERS),
                        test_handlers_let_go_in_flood);
  g_test_add_func ("/handlers/job-drops", test_handlers_job_drops);
  return g_test_run ();
}
