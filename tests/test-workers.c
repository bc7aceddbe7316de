/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <easyservers.h>

#include "es-test.h"

#define N_WORKERS 3
#define N_TALKERS 32

/* Whose messages came to which thread. */
typedef struct
{
  GMutex lock;
  GHashTable *threads; /* (owned) from port to GThread */
  GHashTable *all;     /* (owned) a set of GThread */
  gboolean has_moved;
} Witness;

static void
note_thread (EsEndpoint *server,
             GBytes *message,
             GSocketAddress *address,
             EsSendFunc send,
             gpointer user_data)
{
  Witness *witness = user_data;
  gpointer port =
    GUINT_TO_POINTER (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  gpointer thread = g_thread_self ();

  g_mutex_lock (&witness->lock);
  witness->has_moved |= g_hash_table_contains (witness->threads, port) &&
                        g_hash_table_lookup (witness->threads, port) != thread;
  g_hash_table_insert (witness->threads, port, thread);
  g_hash_table_add (witness->all, thread);
  g_mutex_unlock (&witness->lock);
  send (server, message, address, NULL);
}

static EsUdpServer *
start_server (EsMessageFunc handler,
              gpointer user_data)
{
  EsUdpServer *server = es_udp_server_new_with_handler (0, handler, user_data, NULL);
  g_autoptr (GError) error = NULL;

  es_udp_server_set_workers (server, N_WORKERS);
  es_endpoint_start (ES_ENDPOINT (server), &error);
  g_assert_no_error (error);
  return server;
}

static void
test_workers_keep_their_talkers (void)
{
  g_autoptr (GHashTable) threads = g_hash_table_new (NULL, NULL);
  g_autoptr (GHashTable) all = g_hash_table_new (NULL, NULL);
  Witness witness = { .threads = threads, .all = all };
  g_autoptr (EsUdpServer) server = start_server (note_thread, &witness);

  g_test_summary ("Talkers are spread over the workers, and each always comes to the same one.");

  for (int i = 0; i < N_TALKERS; i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

      for (int n = 0; n < 5; n++)
        {
          g_autofree char *heard = NULL;

          es_test_say (talker, "hello");
          heard = es_test_hear (talker);
          g_assert_cmpstr (heard, ==, "hello");
        }
    }

  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_false (witness.has_moved);
  g_assert_cmpuint (g_hash_table_size (all), >, 1);
  g_assert_cmpuint (g_hash_table_size (all), <=, N_WORKERS);
  g_assert_false (g_hash_table_contains (all, g_thread_self ()));
}

static void
test_workers_count_what_they_leave (void)
{
  g_autoptr (EsUdpServer) server = start_server (es_test_echo, NULL);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("What the workers left unread when they were stopped is counted, exactly.");

  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  for (int i = 0; i < N_TALKERS; i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

      es_test_say (talker, "hello");
    }
  es_endpoint_stop (ES_ENDPOINT (server));

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received + stats->dropped_at_stop, ==, N_TALKERS);
  g_assert_cmpuint (stats->dropped_at_stop, >, 0);
}

static void
test_workers_share_no_port_by_accident (void)
{
  g_autoptr (EsUdpServer) first = start_server (es_test_echo, NULL);
  g_autoptr (EsUdpServer) second = es_udp_server_new (es_udp_server_get_port (first));
  g_autoptr (GError) error = NULL;

  g_test_summary ("A second server finds the port in use, though its workers share one.");

  es_udp_server_set_workers (second, N_WORKERS);
  es_endpoint_start (ES_ENDPOINT (second), &error);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
}

/* A handler that waits until it may go. */
typedef struct
{
  GMutex lock;
  GCond changed;
  gboolean is_inside;
  gboolean may_go;
} Gate;

static void
wait_at_gate (EsEndpoint *server,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  Gate *gate = user_data;

  g_mutex_lock (&gate->lock);
  gate->is_inside = TRUE;
  g_cond_broadcast (&gate->changed);
  while (!gate->may_go)
    g_cond_wait (&gate->changed, &gate->lock);
  g_mutex_unlock (&gate->lock);
}

/* Opens the gate, when whoever waits for the handler has had time to begin with it. */
static gpointer
open_gate (gpointer data)
{
  Gate *gate = data;

  g_mutex_lock (&gate->lock);
  gate->may_go = TRUE;
  g_cond_broadcast (&gate->changed);
  g_mutex_unlock (&gate->lock);
  return NULL;
}

static void
test_workers_are_waited_for (void)
{
  Gate gate = { .is_inside = FALSE };
  EsUdpServer *server = start_server (wait_at_gate, &gate);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  GThread *opener;

  g_test_summary ("The last reference may go while a worker's handler runs, "
                  "which nobody waits for but the server.");

  es_test_say (talker, "hello");
  g_mutex_lock (&gate.lock);
  while (!gate.is_inside)
    g_cond_wait (&gate.changed, &gate.lock);
  g_mutex_unlock (&gate.lock);
  opener = g_thread_new ("opener", open_gate, &gate);

  g_assert_finalize_object (server);
  g_assert_true (gate.may_go);
  g_thread_join (opener);
}

static void
drop_reference (EsEndpoint *server,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  if (g_atomic_int_compare_and_exchange ((int *) user_data, 0, 1))
    g_object_unref (server);
}

static void
test_workers_may_drop_the_last_reference (void)
{
  int is_dropped = 0;
  EsUdpServer *server = start_server (drop_reference, &is_dropped);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

  g_test_summary ("A worker's handler may drop the last reference, "
                  "and the server ends where it lives.");

  g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
  es_test_say (talker, "hello");
  es_test_wait_until (server == NULL);

  g_assert_cmpint (is_dropped, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/workers/keep-their-talkers", test_workers_keep_their_talkers);
  g_test_add_func ("/workers/count-what-they-leave", test_workers_count_what_they_leave);
  g_test_add_func ("/workers/share-no-port-by-accident", test_workers_share_no_port_by_accident);
  g_test_add_func ("/workers/are-waited-for", test_workers_are_waited_for);
  g_test_add_func ("/workers/may-drop-the-last-reference",
                   test_workers_may_drop_the_last_reference);
  return g_test_run ();
}
