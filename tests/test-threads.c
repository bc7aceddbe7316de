/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include <string.h>
#include <sys/resource.h>

/* Endpoints among threads: handlers on a pool, calls from everywhere, and who lets go last. */

/* What handlers and tests tell each other: any thread may write and read it. */
typedef struct
{
  int n_inside;
  int most_inside;
  int n_handled;
  int n_blocked;
  int may_go;
  int n_destroyed;
  gpointer other; /* (borrowed) (nullable) */
} Notes;

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

/* (transfer full) A server that runs and handles messages on a pool. */
static EsUdpServer *
start_threaded_server (guint max_threads,
                       EsMessageFunc handler,
                       gpointer user_data)
{
  EsUdpServer *server = es_udp_server_new_with_handler (0, handler, user_data, NULL);

  es_endpoint_set_threaded (ES_ENDPOINT (server), TRUE);
  es_endpoint_set_max_threads (ES_ENDPOINT (server), max_threads);
  start (server);
  return server;
}

/* Blocks at the message "0" until it may go. */
static void
block_at_first (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  Notes *notes = user_data;

  if (g_str_equal (g_bytes_get_data (message, NULL), "0"))
    {
      g_atomic_int_inc (&notes->n_blocked);
      es_test_spin_until (g_atomic_int_get (&notes->may_go));
    }
  g_atomic_int_inc (&notes->n_handled);
}

/* The pool. */

static void
note_thread (EsEndpoint *endpoint,
             GBytes *message,
             GSocketAddress *address,
             EsSendFunc send,
             gpointer user_data)
{
  Notes *notes = user_data;

  g_assert_true (g_thread_self () != notes->other);
  g_atomic_int_inc (&notes->n_handled);
}

static void
test_threads_run_handlers (void)
{
  Notes notes = { .other = g_thread_self () };
  g_autoptr (EsUdpServer) server = start_threaded_server (4, note_thread, &notes);

  g_test_summary ("With threaded set, handlers run on other threads than the endpoint's, "
                  "signal and all.");

  g_signal_connect (server, "message-received", G_CALLBACK (note_thread), &notes);
  es_test_leave_unread (server, 100);
  es_test_wait_until (g_atomic_int_get (&notes.n_handled) == 200);

  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
keep_thread (EsEndpoint *endpoint,
             GBytes *message,
             GSocketAddress *address,
             EsSendFunc send,
             gpointer user_data)
{
  g_atomic_pointer_set ((GThread **) user_data, g_thread_self ());
}

static void
test_threads_begin_with_next_start (void)
{
  GThread *thread = NULL;
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, keep_thread, &thread, NULL);

  g_test_summary ("Threads come and go with the next start, not before.");

  for (int i = 0; i < 4; i++)
    {
      start (server);
      es_endpoint_set_threaded (ES_ENDPOINT (server), i % 2 == 0);
      es_test_leave_unread (server, 1);
      es_test_wait_until (g_atomic_pointer_get (&thread) != NULL);
      g_assert_cmpint (thread != g_thread_self (), ==, i % 2 == 1);
      es_endpoint_stop (ES_ENDPOINT (server));
      thread = NULL;
    }
}

static void
test_threads_hold_up_nobody (gconstpointer data)
{
  int n = GPOINTER_TO_INT (data);
  Notes notes = { 0 };
  g_autoptr (EsUdpServer) server = start_threaded_server (2, block_at_first, &notes);

  g_test_summary ("A handler that blocks holds up no other message.");

  es_test_leave_unread (server, n);
  es_test_wait_until (g_atomic_int_get (&notes.n_handled) == n - 1);
  g_assert_cmpint (g_atomic_int_get (&notes.n_blocked), ==, 1);

  g_atomic_int_set (&notes.may_go, TRUE);
  es_test_wait_until (g_atomic_int_get (&notes.n_handled) == n);
}

/* Waits until three are inside at once. */
static void
meet (EsEndpoint *endpoint,
      GBytes *message,
      GSocketAddress *address,
      EsSendFunc send,
      gpointer user_data)
{
  Notes *notes = user_data;
  int n_inside = g_atomic_int_add (&notes->n_inside, 1) + 1;

  if (n_inside > 3)
    g_atomic_int_set (&notes->most_inside, n_inside);
  if (n_inside == 3)
    g_atomic_int_set (&notes->may_go, TRUE);
  es_test_spin_until (g_atomic_int_get (&notes->may_go));
  g_atomic_int_add (&notes->n_inside, -1);
  g_atomic_int_inc (&notes->n_handled);
}

static void
test_threads_are_as_many_as_asked_for (void)
{
  Notes notes = { 0 };
  g_autoptr (EsUdpServer) server = start_threaded_server (3, meet, &notes);

  g_test_summary ("So many handlers run at once as max-threads says, and never more.");

  es_test_leave_unread (server, 200);
  es_test_wait_until (g_atomic_int_get (&notes.n_handled) == 200);

  g_assert_cmpint (notes.most_inside, ==, 0);
}

static void
test_threads_are_bounded (void)
{
  const int n_waiting = 1024;
  Notes notes = { 0 };
  g_autoptr (EsUdpServer) server = start_threaded_server (1, block_at_first, &notes);
  g_autoptr (EsStats) stats = NULL;
  int n_sent;

  g_test_summary ("When all threads are busy and enough messages wait, reading rests, "
                  "and nothing is lost.");

  for (n_sent = 0; es_test_get_n_received (server) == (guint) n_sent; n_sent += 100)
    {
      es_test_leave_unread (server, 100);
      es_test_wait_until (g_atomic_int_get (&notes.n_blocked) == 1);
      es_test_settle ();
    }
  g_assert_cmpuint (es_test_get_n_received (server), >=, n_waiting);
  g_assert_cmpuint (es_test_get_n_received (server), <=, n_waiting + 1);
  es_test_leave_unread (server, 50);
  es_test_settle ();
  g_assert_cmpuint (es_test_get_n_received (server), <=, n_waiting + 1);

  g_atomic_int_set (&notes.may_go, TRUE);
  es_test_wait_until (g_atomic_int_get (&notes.n_handled) == n_sent + 50);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, n_sent + 50);
  g_assert_cmpuint (stats->dropped_by_kernel, ==, 0);
}

static void
fail_to_start_threads (EsUdpServer *server)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));
  g_assert_error (error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN);
  g_assert_true (g_str_has_prefix (error->message, "Could not make 16 threads: "));
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
}

static void
test_threads_are_out (void)
{
  g_test_summary ("A machine that is out of threads gets an error, and later it works.");

  if (g_test_subprocess ())
    {
      g_autoptr (EsUdpServer) server = es_udp_server_new (0);
      struct rlimit limit, none;

      es_endpoint_set_threaded (ES_ENDPOINT (server), TRUE);
      es_test_become_nobody ();
      g_assert_no_errno (getrlimit (RLIMIT_NPROC, &limit));
      none = (struct rlimit){ 0, limit.rlim_max };
      g_assert_no_errno (setrlimit (RLIMIT_NPROC, &none));
      fail_to_start_threads (server);
      g_assert_no_errno (setrlimit (RLIMIT_NPROC, &limit));
      start (server);
      return;
    }
  if (!es_test_can_become_nobody ())
    {
      g_test_skip ("no limit of threads binds this user");
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

/* Lets the handlers go when the endpoint has begun to stop. */
static gpointer
let_go_at_stop (gpointer data)
{
  Notes *notes = data;

  es_test_spin_until (!es_endpoint_is_running (notes->other));
  g_atomic_int_set (&notes->may_go, TRUE);
  return NULL;
}

static void
test_threads_are_waited_for (void)
{
  Notes notes = { 0 };
  g_autoptr (EsUdpServer) server = start_threaded_server (1, block_at_first, &notes);
  g_autoptr (EsStats) stats = NULL;
  GThread *thread;

  g_test_summary ("A stop waits for the handlers that run, and counts what no handler has seen.");

  notes.other = server;
  es_test_leave_unread (server, 200);
  es_test_wait_until (g_atomic_int_get (&notes.n_blocked) == 1 &&
                      es_test_get_n_received (server) == 200);
  thread = g_thread_new ("ender", let_go_at_stop, &notes);
  es_endpoint_stop (ES_ENDPOINT (server));

  g_assert_cmpint (g_atomic_int_get (&notes.n_handled), >=, 1);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, g_atomic_int_get (&notes.n_handled));
  g_assert_cmpuint (stats->dropped_at_stop, ==, 200 - g_atomic_int_get (&notes.n_handled));
  g_thread_join (thread);
}

static void
block_and_answer (EsEndpoint *endpoint,
                  GBytes *message,
                  GSocketAddress *address,
                  EsSendFunc send,
                  gpointer user_data)
{
  Notes *notes = user_data;
  GInetSocketAddress *sender = G_INET_SOCKET_ADDRESS (address);
  g_autoptr (GSocketAddress) same =
    g_inet_socket_address_new (g_inet_socket_address_get_address (sender),
                               g_inet_socket_address_get_port (sender));
  g_autoptr (GError) error = NULL;

  g_atomic_int_inc (&notes->n_blocked);
  es_test_spin_until (g_atomic_int_get (&notes->may_go));
  es_endpoint_send_text (endpoint, "at last", address, &error);
  g_assert_no_error (error);
  es_endpoint_send_text (endpoint, "farewell", same, &error);
  g_assert_no_error (error);
}

static void
test_threads_have_the_last_word (void)
{
  Notes notes = { 0 };
  g_autoptr (EsUdpServer) server = start_threaded_server (1, block_and_answer, &notes);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *answer = NULL;
  g_autofree char *farewell = NULL;
  GThread *thread;

  g_test_summary ("The answer of a handler that still runs when the server stops leaves.");

  notes.other = server;
  es_test_say (talker, "well?");
  es_test_wait_until (g_atomic_int_get (&notes.n_blocked) == 1);
  thread = g_thread_new ("ender", let_go_at_stop, &notes);
  es_endpoint_stop (ES_ENDPOINT (server));
  answer = es_test_hear (talker);
  farewell = es_test_hear (talker);

  g_assert_cmpstr (answer, ==, "at last");
  g_assert_cmpstr (farewell, ==, "farewell");
  g_thread_join (thread);
}

static void
answer_and_block (EsEndpoint *endpoint,
                  GBytes *message,
                  GSocketAddress *address,
                  EsSendFunc send,
                  gpointer user_data)
{
  Notes *notes = user_data;
  g_autoptr (GError) error = NULL;

  es_endpoint_send_text (endpoint, "at once", address, &error);
  g_assert_no_error (error);
  es_test_spin_until (g_atomic_int_get (&notes->may_go));
}

static void
test_threads_answer_before_they_block (void)
{
  Notes notes = { 0 };
  g_autoptr (EsUdpServer) server = start_threaded_server (1, answer_and_block, &notes);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *answer = NULL;

  g_test_summary ("The answer of a handler that then blocks is not held up.");

  es_test_say (talker, "well?");
  answer = es_test_hear (talker);
  g_assert_cmpstr (answer, ==, "at once");

  g_atomic_int_set (&notes.may_go, TRUE);
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
stop_in_thread (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  es_endpoint_stop (endpoint);
  es_endpoint_stop (endpoint);
}

static void
test_threads_stop (void)
{
  g_autoptr (EsUdpServer) server = start_threaded_server (4, stop_in_thread, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Handlers on many threads may stop the server, which ends its run.");

  for (int i = 0; i < 20; i++)
    {
      start (server);
      es_test_leave_unread (server, 100);
      g_assert_true (es_endpoint_run (ES_ENDPOINT (server), &error));
      g_assert_no_error (error);
      g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
    }
  es_test_settle ();

  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
count_destroyed (gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_destroyed);
}

static void
test_threads_keep_a_replaced_handler (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  Notes notes = { 0 };

  g_test_summary ("The data of a handler that was replaced is not freed under a "
                  "thread that runs it.");

  es_endpoint_set_threaded (ES_ENDPOINT (server), TRUE);
  es_endpoint_set_message_func (ES_ENDPOINT (server), block_at_first, &notes, count_destroyed);
  start (server);
  es_test_leave_unread (server, 1);
  es_test_wait_until (g_atomic_int_get (&notes.n_blocked) == 1);
  es_endpoint_set_message_func (ES_ENDPOINT (server), NULL, NULL, NULL);
  g_assert_cmpint (g_atomic_int_get (&notes.n_destroyed), ==, 0);
  g_atomic_int_set (&notes.may_go, TRUE);

  g_assert_finalize_object (g_steal_pointer (&server));
  g_assert_cmpint (notes.n_handled, ==, 1);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
}

/* Who lets go last. */

static void
drop_when_told (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  Notes *notes = user_data;

  if (!g_str_equal (g_bytes_get_data (message, NULL), "0"))
    return;
  g_atomic_int_inc (&notes->n_blocked);
  es_test_spin_until (g_atomic_int_get (&notes->may_go));
  g_object_unref (endpoint);
  g_atomic_int_inc (&notes->n_handled);
}

static void
test_threads_drop_endpoint (gconstpointer data)
{
  gboolean is_iterated = GPOINTER_TO_INT (data);
  Notes notes = { 0 };
  EsUdpServer *server = start_threaded_server (2, drop_when_told, &notes);

  g_test_summary ("A handler on a thread may drop the last reference, "
                  "whether the context is iterated or not.");

  g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
  es_test_leave_unread (server, 10);
  es_test_wait_until (g_atomic_int_get (&notes.n_blocked) == 1);
  g_atomic_int_set (&notes.may_go, TRUE);
  if (!is_iterated)
    es_test_spin_until (g_atomic_int_get (&notes.n_handled) == 1);
  es_test_wait_until (server == NULL);

  g_assert_cmpint (g_atomic_int_get (&notes.n_handled), ==, 1);
}

static gpointer
drop (gpointer endpoint)
{
  g_object_unref (endpoint);
  return NULL;
}

static void
note_finalized (gpointer user_data,
                GObject *object)
{
  Notes *notes = user_data;

  notes->other = g_thread_self ();
  g_atomic_int_inc (&notes->n_destroyed);
}

static void
test_threads_drop_endpoint_from_outside (gconstpointer data)
{
  gboolean is_iterated = GPOINTER_TO_INT (data);
  g_autoptr (EsUdpServer) heir = NULL;
  EsUdpServer *server = es_test_start_server ();
  guint16 port = es_udp_server_get_port (server);
  Notes notes = { 0 };
  GThread *thread;

  g_test_summary ("Any thread may drop the last reference, and the server's port is free.");

  g_object_weak_ref (G_OBJECT (server), note_finalized, &notes);
  thread = g_thread_new ("dropper", drop, server);
  if (!is_iterated)
    g_thread_join (g_steal_pointer (&thread));
  es_test_wait_until (g_atomic_int_get (&notes.n_destroyed) == 1);
  g_clear_pointer (&thread, g_thread_join);
  es_test_settle ();

  heir = es_udp_server_new (port);
  start (heir);
}

/* Contexts of other threads. */

typedef struct
{
  EsUdpServer *server;   /* (borrowed) */
  GMainContext *context; /* (owned) */
  GThread *thread;       /* (owned) */
  int n_runs;
} Hall;

static gpointer
run_server (gpointer data)
{
  Hall *hall = data;
  g_autoptr (GError) error = NULL;

  g_main_context_push_thread_default (hall->context);
  g_assert_true (es_endpoint_run (ES_ENDPOINT (hall->server), &error));
  g_assert_no_error (error);
  g_main_context_pop_thread_default (hall->context);
  g_atomic_int_inc (&hall->n_runs);
  return NULL;
}

/* Runs a server in a thread of its own. */
static void
open_hall (Hall *hall,
           EsUdpServer *server)
{
  hall->server = server;
  hall->context = g_main_context_new ();
  hall->n_runs = 0;
  hall->thread = g_thread_new ("runner", run_server, hall);
  es_test_spin_until (es_endpoint_is_running (ES_ENDPOINT (server)));
}

static void
close_hall (Hall *hall)
{
  g_thread_join (hall->thread);
  g_main_context_unref (hall->context);
  g_assert_cmpint (hall->n_runs, ==, 1);
}

static void
test_threads_run_endpoint (gconstpointer data)
{
  gboolean is_stopped = GPOINTER_TO_INT (data);
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  Hall hall;

  g_test_summary ("A server that runs in a thread is asked, answered and ended from another.");

  for (int i = 0; i < 20; i++)
    {
      g_clear_pointer (&inbox, es_test_inbox_free);
      g_clear_object (&client);
      open_hall (&hall, server);
      client = es_test_start_client (server);
      inbox = es_test_inbox_new (client);
      es_test_send (client, "hello");
      es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
      is_stopped ? es_endpoint_stop (ES_ENDPOINT (server))
                 : es_endpoint_quit (ES_ENDPOINT (server));
      close_hall (&hall);
      g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
    }
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
test_threads_run_endpoint_once (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  Hall hall;

  g_test_summary ("What runs in one thread is not run in another, and does not mind.");

  open_hall (&hall, server);
  g_assert_false (es_endpoint_run (ES_ENDPOINT (server), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);

  client = es_test_start_client (server);
  inbox = es_test_inbox_new (client);
  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  es_endpoint_quit (ES_ENDPOINT (server));
  close_hall (&hall);
}

static gpointer
stop_endpoint (gpointer endpoint)
{
  es_endpoint_stop (endpoint);
  return NULL;
}

static void
test_threads_only_ask_for_a_stop (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();

  g_test_summary ("A stop in another thread is done by the server's own, "
                  "and only to the run it meant.");

  g_thread_join (g_thread_new ("stopper", stop_endpoint, server));
  g_assert_true (es_endpoint_is_running (ES_ENDPOINT (server)));
  es_test_wait_until (!es_endpoint_is_running (ES_ENDPOINT (server)));

  start (server);
  g_thread_join (g_thread_new ("stopper", stop_endpoint, server));
  es_endpoint_stop (ES_ENDPOINT (server));
  start (server);
  es_test_settle ();
  g_assert_true (es_endpoint_is_running (ES_ENDPOINT (server)));
  g_assert_finalize_object (g_steal_pointer (&server));
}

/* Eight threads at once. */

#define N_THREADS 8
#define WINDOW 8

typedef struct
{
  EsEndpoint *endpoint;    /* (borrowed) */
  GSocketAddress *address; /* (borrowed) */
  guint n_messages;
  int n_accepted;
  int n_arrived[N_THREADS];
  int next_thread;
} Crowd;

static guint
choose_n_messages (void)
{
  return es_test_is_slow () ? 50 : 2000;
}

/* (transfer full) A message that says whose and which it is, and of which every byte is known. */
static GBytes *
write_message (guint thread,
               guint i)
{
  gsize size = 8 + (thread * 131 + i * 17) % 1400;
  guint8 *data = g_malloc (size);

  for (gsize k = 8; k < size; k++)
    data[k] = thread + i + k;
  memcpy (data, &thread, 4);
  memcpy (data + 4, &i, 4);
  return g_bytes_new_take (data, size);
}

static void
send_one (Crowd *crowd,
          guint thread,
          guint i)
{
  g_autoptr (GBytes) message = write_message (thread, i);
  g_autoptr (GError) error = NULL;

  es_endpoint_send (crowd->endpoint, message, crowd->address, &error);
  g_assert_no_error (error);
}

/* A window keeps each thread from sending more than the receiver's buffer holds. */
static gpointer
send_all (gpointer data)
{
  Crowd *crowd = data;
  guint thread = g_atomic_int_add (&crowd->next_thread, 1);

  for (guint i = 0; i < crowd->n_messages; i++)
    {
      es_test_spin_until (i < g_atomic_int_get (&crowd->n_arrived[thread]) + (guint) WINDOW);
      send_one (crowd, thread, i);
    }
  return NULL;
}

/* Each message is whole, and those of one thread come in order. */
static void
check_arrival (EsEndpoint *endpoint,
               GBytes *message,
               GSocketAddress *address,
               EsSendFunc send,
               gpointer user_data)
{
  Crowd *crowd = user_data;
  const guint8 *data = g_bytes_get_data (message, NULL);
  g_autoptr (GBytes) expected = NULL;
  guint thread, i;

  g_assert_cmpuint (g_bytes_get_size (message), >=, 8);
  memcpy (&thread, data, 4);
  memcpy (&i, data + 4, 4);
  g_assert_cmpuint (thread, <, N_THREADS);
  g_assert_cmpint (i, ==, crowd->n_arrived[thread]);
  expected = write_message (thread, i);
  g_assert_true (g_bytes_equal (message, expected));
  g_atomic_int_inc (&crowd->n_arrived[thread]);
}

static guint
count_arrived (Crowd *crowd)
{
  guint n = 0;

  for (guint i = 0; i < N_THREADS; i++)
    n += g_atomic_int_get (&crowd->n_arrived[i]);
  return n;
}

static void
begin_threads (GThread **threads,
               GThreadFunc func,
               Crowd *crowd)
{
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("crowd", func, crowd);
}

static void
join_threads (GThread **threads)
{
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
}

static void
run_crowd (Crowd *crowd)
{
  GThread *threads[N_THREADS];

  crowd->n_messages = choose_n_messages ();
  begin_threads (threads, send_all, crowd);
  es_test_wait_until (count_arrived (crowd) == N_THREADS * crowd->n_messages);
  join_threads (threads);
}

/* Asks again as soon as it is answered. */
static void
ask_again (EsEndpoint *endpoint,
           GBytes *message,
           GSocketAddress *address,
           EsSendFunc send,
           gpointer user_data)
{
  g_atomic_int_inc ((int *) user_data);
  es_test_send (endpoint, "again");
}

static void
test_threads_send_while_endpoint_echoes (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  g_autoptr (EsUdpServer) sink = es_test_start_server ();
  g_autoptr (GSocketAddress) address = es_test_address_of (sink, "127.0.0.1");
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsStats) stats = NULL;
  g_autoptr (EsStats) sink_stats = NULL;
  Crowd crowd = { .endpoint = ES_ENDPOINT (server), .address = address };
  int n_answers = 0;

  g_test_summary ("Eight threads send through a server that echoes: all arrives whole, "
                  "and counts agree.");

  es_endpoint_set_threaded (ES_ENDPOINT (server), GPOINTER_TO_INT (data));
  start (server);
  client = es_test_start_client (server);
  es_endpoint_set_message_func (ES_ENDPOINT (sink), check_arrival, &crowd, NULL);
  es_endpoint_set_message_func (ES_ENDPOINT (client), ask_again, &n_answers, NULL);
  es_test_send (client, "begin");
  run_crowd (&crowd);

  es_endpoint_stop (ES_ENDPOINT (server));
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  sink_stats = es_endpoint_get_stats (ES_ENDPOINT (sink));
  g_assert_cmpuint (sink_stats->messages_received, ==, N_THREADS * crowd.n_messages);
  g_assert_cmpuint (stats->messages_sent, ==,
                    N_THREADS * crowd.n_messages + stats->messages_received);
  g_assert_cmpint (n_answers, >, 0);
}

/* Answers with the message, on whichever thread, and looks whether all is counted. */
static void
test_threads_echo (void)
{
  g_autoptr (EsUdpServer) server = start_threaded_server (4, es_test_echo, NULL);
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsStats) stats = NULL;
  guint n = es_test_is_slow () ? 1000 : 20000;
  int n_answers = 0;

  g_test_summary ("Every message that threads answer is answered once.");

  es_endpoint_set_message_func (ES_ENDPOINT (client), es_test_count, &n_answers, NULL);
  for (guint i = 0; i < n; i++)
    {
      es_test_wait_until (i < (guint) n_answers + 64);
      es_test_send (client, "hello");
    }
  es_test_wait_until (n_answers == (int) n);

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, n);
  g_assert_cmpuint (stats->messages_sent, ==, n);
  g_assert_cmpuint (stats->bytes_sent, ==, 5 * n);
}

/* Does all that any thread may do, until it may go. */
static gpointer
meddle (gpointer data)
{
  Crowd *crowd = data;
  guint64 n_sent = 0;

  while (!g_atomic_int_get (&crowd->next_thread))
    {
      g_autoptr (GSocketAddress) address = es_endpoint_get_local_address (crowd->endpoint);
      g_autoptr (EsStats) stats = es_endpoint_get_stats (crowd->endpoint);

      if (es_endpoint_send_text (crowd->endpoint, "hello", crowd->address, NULL))
        g_atomic_int_inc (&crowd->n_accepted);
      g_assert_true (address == NULL || G_IS_INET_SOCKET_ADDRESS (address));
      g_assert_cmpuint (stats->messages_sent, >=, n_sent);
      n_sent = stats->messages_sent;
      es_endpoint_is_running (crowd->endpoint);
      g_thread_yield ();
    }
  return NULL;
}

static void
test_threads_meddle_while_endpoint_restarts (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) listener = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (listener, NULL);
  Crowd crowd = { .endpoint = ES_ENDPOINT (server), .address = address };
  g_autoptr (EsStats) stats = NULL;
  GThread *threads[N_THREADS];

  g_test_summary ("Threads may send and look on whenever the server starts and stops: "
                  "what was accepted is sent or counted, and counts never fall.");

  begin_threads (threads, meddle, &crowd);
  for (int i = 0; i < 50; i++)
    {
      int n_before = g_atomic_int_get (&crowd.n_accepted);

      es_test_spin_until (g_atomic_int_get (&crowd.n_accepted) > n_before);
      es_endpoint_stop (ES_ENDPOINT (server));
      start (server);
    }
  g_atomic_int_set (&crowd.next_thread, TRUE);
  join_threads (threads);

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_sent + stats->dropped_unsent, ==, crowd.n_accepted);
}

/* (transfer full) (nullable) Where the endpoint is reached, if it runs. */
static GSocketAddress *
find_endpoint (EsEndpoint *endpoint)
{
  g_autoptr (GSocketAddress) local = es_endpoint_get_local_address (endpoint);
  guint16 port;

  if (local == NULL)
    return NULL;
  port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local));
  return g_inet_socket_address_new_from_string ("127.0.0.1", port);
}

static gpointer
flood (gpointer data)
{
  Crowd *crowd = data;
  g_autoptr (GSocket) talker = es_test_new_socket ("127.0.0.1");

  while (!g_atomic_int_get (&crowd->next_thread))
    {
      g_autoptr (GSocketAddress) address = find_endpoint (crowd->endpoint);

      for (int i = 0; address != NULL && i < 1000; i++)
        g_socket_send_to (talker, address, "flood", 5, NULL, NULL);
    }
  return NULL;
}

static void
test_threads_flood_while_endpoint_stops (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  Crowd crowd = { .endpoint = ES_ENDPOINT (server) };
  GThread *threads[N_THREADS];
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("A stop comes to its end though strangers flood the server.");

  es_endpoint_set_threaded (ES_ENDPOINT (server), GPOINTER_TO_INT (data));
  begin_threads (threads, flood, &crowd);
  for (int i = 0; i < (es_test_is_slow () ? 2 : 10); i++)
    {
      guint64 n_before = es_test_get_n_received (server);

      start (server);
      es_test_wait_until (es_test_get_n_received (server) > n_before);
      es_endpoint_stop (ES_ENDPOINT (server));
    }
  g_atomic_int_set (&crowd.next_thread, TRUE);
  join_threads (threads);

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_at_stop + stats->dropped_by_kernel, >, 0);
}

static void
add_pool_tests (void)
{
  g_test_add_func ("/threads/run-handlers", test_threads_run_handlers);
  g_test_add_func ("/threads/begin-with-next-start", test_threads_begin_with_next_start);
  g_test_add_data_func ("/threads/hold-up-nobody", GINT_TO_POINTER (2),
                        test_threads_hold_up_nobody);
  g_test_add_data_func ("/threads/hold-up-none-of-many", GINT_TO_POINTER (200),
                        test_threads_hold_up_nobody);
  g_test_add_func ("/threads/are-as-many-as-asked-for", test_threads_are_as_many_as_asked_for);
  g_test_add_func ("/threads/are-bounded", test_threads_are_bounded);
  g_test_add_func ("/threads/are-waited-for", test_threads_are_waited_for);
  g_test_add_func ("/threads/have-the-last-word", test_threads_have_the_last_word);
  g_test_add_func ("/threads/answer-before-they-block", test_threads_answer_before_they_block);
  g_test_add_func ("/threads/stop", test_threads_stop);
  g_test_add_func ("/threads/keep-a-replaced-handler", test_threads_keep_a_replaced_handler);
  g_test_add_func ("/threads/echo", test_threads_echo);
}

static void
add_endpoint_tests (void)
{
  g_test_add_data_func ("/threads/drop-endpoint", GINT_TO_POINTER (TRUE),
                        test_threads_drop_endpoint);
  g_test_add_data_func ("/threads/drop-endpoint-idle", GINT_TO_POINTER (FALSE),
                        test_threads_drop_endpoint);
  g_test_add_data_func ("/threads/drop-endpoint-from-outside", GINT_TO_POINTER (TRUE),
                        test_threads_drop_endpoint_from_outside);
  g_test_add_data_func ("/threads/drop-endpoint-idle-from-outside", GINT_TO_POINTER (FALSE),
                        test_threads_drop_endpoint_from_outside);
  g_test_add_data_func ("/threads/run-endpoint-until-quit", GINT_TO_POINTER (FALSE),
                        test_threads_run_endpoint);
  g_test_add_data_func ("/threads/run-endpoint-until-stop", GINT_TO_POINTER (TRUE),
                        test_threads_run_endpoint);
  g_test_add_func ("/threads/run-endpoint-once", test_threads_run_endpoint_once);
  g_test_add_func ("/threads/only-ask-for-a-stop", test_threads_only_ask_for_a_stop);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* First, so that the thread which GLib keeps for it does not lie where another has been. */
  g_test_add_func ("/threads/are-out", test_threads_are_out);
  add_pool_tests ();
  add_endpoint_tests ();
  g_test_add_data_func ("/threads/send-while-endpoint-echoes", GINT_TO_POINTER (FALSE),
                        test_threads_send_while_endpoint_echoes);
  g_test_add_data_func ("/threads/send-while-threads-echo", GINT_TO_POINTER (TRUE),
                        test_threads_send_while_endpoint_echoes);
  g_test_add_func ("/threads/meddle-while-endpoint-restarts",
                   test_threads_meddle_while_endpoint_restarts);
  g_test_add_data_func ("/threads/flood-while-endpoint-stops", GINT_TO_POINTER (FALSE),
                        test_threads_flood_while_endpoint_stops);
  g_test_add_data_func ("/threads/flood-while-threads-stop", GINT_TO_POINTER (TRUE),
                        test_threads_flood_while_endpoint_stops);
  return g_test_run ();
}
