/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include <signal.h>
#include <string.h>

/* A server that keeps a record of who was called. */
#define TEST_TYPE_SERVER (test_server_get_type ())
G_DECLARE_FINAL_TYPE (TestServer, test_server, TEST, SERVER, EsUdpServer)

struct _TestServer
{
  EsUdpServer parent_instance;

  GString *calls; /* (owned) */
};

G_DEFINE_FINAL_TYPE (TestServer, test_server, ES_TYPE_UDP_SERVER)

static void
test_server_message_received (EsEndpoint *endpoint,
                              GBytes *message,
                              GSocketAddress *address,
                              EsSendFunc send)
{
  g_assert_true (send == es_endpoint_send);
  g_string_append (TEST_SERVER (endpoint)->calls, "class ");
}

static void
test_server_error (EsEndpoint *endpoint,
                   GError *error,
                   GSocketAddress *address)
{
  g_string_append_printf (TEST_SERVER (endpoint)->calls, "error %d ", error->code);
}

static void
test_server_finalize (GObject *object)
{
  g_string_free (TEST_SERVER (object)->calls, TRUE);
  G_OBJECT_CLASS (test_server_parent_class)->finalize (object);
}

static void
test_server_class_init (TestServerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_server_finalize;
  ES_ENDPOINT_CLASS (klass)->message_received = test_server_message_received;
  ES_ENDPOINT_CLASS (klass)->error = test_server_error;
}

static void
test_server_init (TestServer *self)
{
  self->calls = g_string_new (NULL);
}

static void
on_direct (EsEndpoint *endpoint,
           GBytes *message,
           GSocketAddress *address,
           EsSendFunc send,
           gpointer user_data)
{
  g_assert_true (send == es_endpoint_send);
  g_string_append (TEST_SERVER (endpoint)->calls, "direct ");
}

static void
on_signal (EsEndpoint *endpoint,
           GBytes *message,
           GSocketAddress *address,
           EsSendFunc send,
           gpointer user_data)
{
  g_assert_true (send == es_endpoint_send);
  g_string_append (TEST_SERVER (endpoint)->calls, user_data);
}

/* The handlers. Each counts in an int first. */

static void
count_and_stop (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  ++*(int *) user_data;
  es_endpoint_stop (endpoint);
  g_assert_false (es_endpoint_is_running (endpoint));
}

static void
count_and_restart_once (EsEndpoint *endpoint,
                        GBytes *message,
                        GSocketAddress *address,
                        EsSendFunc send,
                        gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (++*(int *) user_data > 1)
    return;
  es_endpoint_stop (endpoint);
  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

static void
count_and_unref_once (EsEndpoint *endpoint,
                      GBytes *message,
                      GSocketAddress *address,
                      EsSendFunc send,
                      gpointer user_data)
{
  if (++*(int *) user_data == 1)
    g_object_unref (endpoint);
}

static void
count_and_disconnect (EsEndpoint *endpoint,
                      GBytes *message,
                      GSocketAddress *address,
                      EsSendFunc send,
                      gpointer user_data)
{
  ++*(int *) user_data;
  g_signal_handlers_disconnect_by_data (endpoint, user_data);
}

static void
count_and_pause (EsEndpoint *endpoint,
                 GBytes *message,
                 GSocketAddress *address,
                 EsSendFunc send,
                 gpointer user_data)
{
  ++*(int *) user_data;
  es_endpoint_set_paused (endpoint, TRUE);
}

/* Answers a thousand times when the fifth has asked: no buffer holds a thousand answers to one. */
static void
reply_a_thousand_times (EsEndpoint *endpoint,
                        GBytes *message,
                        GSocketAddress *address,
                        EsSendFunc send,
                        gpointer user_data)
{
  GPtrArray *askers = user_data;

  g_ptr_array_add (askers, g_object_ref (address));
  for (guint i = 0; askers->len == 5 && i < 1000; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);
      g_autoptr (GError) error = NULL;

      es_endpoint_send_text (endpoint, text, askers->pdata[i / 200], &error);
      g_assert_no_error (error);
    }
}

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

static void
run (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;
  gboolean was_run = es_endpoint_run (endpoint, &error);

  g_assert_no_error (error);
  g_assert_true (was_run);
}

static gboolean
quit_cb (gpointer endpoint)
{
  es_endpoint_quit (endpoint);
  return G_SOURCE_REMOVE;
}

static gboolean
stop_cb (gpointer endpoint)
{
  es_endpoint_stop (endpoint);
  return G_SOURCE_REMOVE;
}

static void
assert_stopped (gpointer endpoint)
{
  g_autoptr (GSocketAddress) address = NULL;
  gboolean is_running;

  g_object_get (endpoint, "running", &is_running, "local-address", &address, NULL);
  g_assert_false (is_running);
  g_assert_false (es_endpoint_is_running (endpoint));
  g_assert_null (address);
  g_assert_null (es_endpoint_get_socket (endpoint));
}

static void
assert_runs (gpointer endpoint)
{
  g_autoptr (GSocketAddress) address = NULL;
  gboolean is_running;

  g_object_get (endpoint, "running", &is_running, "local-address", &address, NULL);
  g_assert_true (is_running);
  g_assert_true (es_endpoint_is_running (endpoint));
  g_assert_true (G_IS_INET_SOCKET_ADDRESS (address));
  g_assert_true (G_IS_SOCKET (es_endpoint_get_socket (endpoint)));
}

static int
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  int n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* From start to stop. */

static void
test_endpoint_starts_and_stops (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);

  g_test_summary ("An endpoint has a socket and an address from a start to a stop.");

  assert_stopped (server);
  start (server);
  assert_runs (server);
  es_endpoint_stop (ES_ENDPOINT (server));
  assert_stopped (server);

  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
count_notify (GObject *object,
              GParamSpec *pspec,
              gpointer user_data)
{
  ++*(int *) user_data;
}

static void
test_endpoint_tells_state (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  int n_running = 0, n_local_address = 0, n_port = 0;

  g_test_summary ("What changes with a start and a stop is notified, once each time.");

  g_signal_connect (server, "notify::running", G_CALLBACK (count_notify), &n_running);
  g_signal_connect (server, "notify::local-address", G_CALLBACK (count_notify), &n_local_address);
  g_signal_connect (server, "notify::port", G_CALLBACK (count_notify), &n_port);
  start (server);
  start (server);
  g_assert_cmpint (n_running, ==, 1);
  g_assert_cmpint (n_local_address, ==, 1);
  g_assert_cmpint (n_port, ==, 1);

  es_endpoint_stop (ES_ENDPOINT (server));
  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_cmpint (n_running, ==, 2);
  g_assert_cmpint (n_local_address, ==, 2);
  g_assert_cmpint (n_port, ==, 2);
}

static void
test_endpoint_started_twice (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  GSocket *socket = es_endpoint_get_socket (ES_ENDPOINT (server));
  guint16 port = es_udp_server_get_port (server);

  g_test_summary ("A second start changes nothing.");

  start (server);

  g_assert_true (es_endpoint_get_socket (ES_ENDPOINT (server)) == socket);
  g_assert_cmpuint (es_udp_server_get_port (server), ==, port);
}

static void
test_endpoint_stopped_twice (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);

  g_test_summary ("A stop of what is stopped changes nothing.");

  es_endpoint_stop (ES_ENDPOINT (server));
  start (server);
  es_endpoint_stop (ES_ENDPOINT (server));
  es_endpoint_stop (ES_ENDPOINT (server));
  assert_stopped (server);

  start (server);
  assert_runs (server);
}

static void
test_endpoint_restarted (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("An endpoint that was stopped can be started again, and counts on.");

  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
      g_autofree char *answer = NULL;

      es_test_say (talker, "hello");
      answer = es_test_hear (talker);
      g_assert_cmpstr (answer, ==, "hello");
      es_endpoint_stop (ES_ENDPOINT (server));
      start (server);
    }

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, 3);
  g_assert_cmpuint (stats->messages_sent, ==, 3);
  g_assert_cmpuint (stats->bytes_received, ==, 15);
  g_assert_cmpuint (stats->bytes_sent, ==, 15);
}

static void
test_endpoint_leaks_no_descriptor (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  int n_before;

  g_test_summary ("Each stop gives back all that the start had opened.");

  start (server);
  es_endpoint_stop (ES_ENDPOINT (server));
  n_before = count_descriptors ();
  for (int i = 0; i < 100; i++)
    {
      start (server);
      es_endpoint_stop (ES_ENDPOINT (server));
    }

  g_assert_cmpint (count_descriptors (), ==, n_before);
}

static void
test_endpoint_fails_without_trace (void)
{
  g_autoptr (EsUdpServer) other = es_test_start_server ();
  g_autoptr (EsUdpServer) server = es_udp_server_new (es_udp_server_get_port (other));
  int n_before = count_descriptors ();
  int n_notified = 0;

  g_test_summary ("A start that fails leaves the endpoint stopped, and nothing open.");

  g_signal_connect (server, "notify::running", G_CALLBACK (count_notify), &n_notified);
  for (int i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
      assert_stopped (server);
    }

  g_assert_cmpint (count_descriptors (), ==, n_before);
  g_assert_cmpint (n_notified, ==, 0);
}

static void
test_endpoint_dies_while_it_runs (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpServer) heir = es_udp_server_new (es_udp_server_get_port (server));

  g_test_summary ("The last reference stops what runs: its port is free again.");

  g_assert_finalize_object (g_steal_pointer (&server));
  start (heir);

  assert_runs (heir);
}

static void
test_endpoint_belongs_to_context (void)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (EsUdpServer) server = NULL;
  int n_received = 0;

  g_test_summary ("An endpoint lives in the context that was the thread's default at the start.");

  g_main_context_push_thread_default (context);
  server = es_test_start_server ();
  g_main_context_pop_thread_default (context);
  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_count, &n_received, NULL);
  es_test_leave_unread (server, 3);
  es_test_settle ();
  g_assert_cmpint (n_received, ==, 0);

  g_main_context_push_thread_default (context);
  es_test_wait_until (n_received == 3);
  g_main_context_pop_thread_default (context);
}

/* Run and quit. */

static void
test_endpoint_run_until_quit (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);

  g_test_summary ("A run starts the endpoint, ends with quit, and leaves it stopped.");

  g_idle_add (quit_cb, server);
  run (server);

  assert_stopped (server);
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
test_endpoint_run_after_start (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();

  g_test_summary ("A run of what was started before leaves it stopped, too.");

  g_idle_add (quit_cb, server);
  run (server);

  assert_stopped (server);
}

static void
test_endpoint_run_until_stop (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);

  g_test_summary ("A run ends when the endpoint is stopped.");

  g_idle_add (stop_cb, server);
  run (server);

  assert_stopped (server);
}

static void
test_endpoint_run_until_stop_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  int n_received = 0;

  g_test_summary ("A run ends when a handler stops the endpoint.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), count_and_stop, &n_received, NULL);
  es_test_leave_unread (server, 10);
  run (server);

  g_assert_cmpint (n_received, ==, 1);
  assert_stopped (server);
}

static void
test_endpoint_quit_before_run (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  guint id = g_idle_add (quit_cb, server);

  g_test_summary ("A quit without a run ends the next one at once, and only that.");

  es_endpoint_quit (ES_ENDPOINT (server));
  es_endpoint_quit (ES_ENDPOINT (server));
  run (server);
  assert_stopped (server);
  g_assert_nonnull (g_main_context_find_source_by_id (NULL, id));

  run (server);
  assert_stopped (server);
  g_assert_null (g_main_context_find_source_by_id (NULL, id));
}

static gpointer
quit_when_it_runs (gpointer endpoint)
{
  while (!es_endpoint_is_running (endpoint))
    g_thread_yield ();
  es_endpoint_quit (endpoint);
  return NULL;
}

static gpointer
stop_when_it_runs (gpointer endpoint)
{
  while (!es_endpoint_is_running (endpoint))
    g_thread_yield ();
  es_endpoint_stop (endpoint);
  return NULL;
}

static void
test_endpoint_run_until_quit_in_thread (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  int n = es_test_is_slow () ? 100 : 5000;

  g_test_summary ("Another thread may quit or stop a run, whenever it comes.");

  for (int i = 0; i < n; i++)
    {
      GThread *thread = g_thread_new ("ender", i % 2 == 0 ? quit_when_it_runs : stop_when_it_runs,
                                      server);

      run (server);
      g_thread_join (thread);
      assert_stopped (server);
    }
  es_test_settle ();

  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
run_in_handler (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  ++*(int *) user_data;
  g_idle_add (quit_cb, endpoint);
  run (endpoint);
  g_assert_false (es_endpoint_is_running (endpoint));
}

static void
test_endpoint_run_in_run (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  int n_received = 0;

  g_test_summary ("A run inside a handler of another run ends, and with it the outer one.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), run_in_handler, &n_received, NULL);
  es_test_leave_unread (server, 10);
  run (server);

  g_assert_cmpint (n_received, ==, 1);
  assert_stopped (server);
}

static void
test_endpoint_run_fails (void)
{
  g_autoptr (EsUdpServer) other = es_test_start_server ();
  g_autoptr (EsUdpServer) server = es_udp_server_new (es_udp_server_get_port (other));
  g_autoptr (GError) error = NULL;

  g_test_summary ("A run that cannot start says why, and does not run.");

  g_assert_false (es_endpoint_run (ES_ENDPOINT (server), &error));

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
  assert_stopped (server);
}

/* What handlers may do. */

static void
test_endpoint_stopped_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsStats) stats = NULL;
  int n_received = 0;

  g_test_summary ("A handler that stops the server sees no further message, "
                  "even if the same batch held more.");

  g_signal_connect (server, "message-received", G_CALLBACK (count_and_stop), &n_received);
  es_test_leave_unread (server, 10);
  es_test_wait_until (!es_endpoint_is_running (ES_ENDPOINT (server)));
  es_test_settle ();

  g_assert_cmpint (n_received, ==, 1);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, 1);
  g_assert_cmpuint (stats->dropped_at_stop, ==, 9);
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
test_endpoint_restarted_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsStats) stats = NULL;
  int n_received = 0;

  g_test_summary ("What a batch holds does not go over into the run after it.");

  g_signal_connect (server, "message-received", G_CALLBACK (count_and_restart_once), &n_received);
  es_test_leave_unread (server, 10);
  es_test_wait_until (n_received == 1);
  es_test_settle ();
  g_assert_cmpint (n_received, ==, 1);

  es_test_leave_unread (server, 10);
  es_test_wait_until (n_received == 11);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, 11);
  g_assert_cmpuint (stats->dropped_at_stop, ==, 9);
}

static void
stop_and_send (EsEndpoint *endpoint,
               GBytes *message,
               GSocketAddress *address,
               EsSendFunc send,
               gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (send (endpoint, message, address, NULL));
  es_endpoint_stop (endpoint);
  g_assert_false (send (endpoint, message, address, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  start (endpoint);
  g_assert_true (send (endpoint, message, address, NULL));
}

static void
test_endpoint_sends_around_restart_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;

  g_test_summary ("What a handler sends before it stops leaves, "
                  "what it sends before the next start does not.");

  es_udp_server_set_port (server, es_udp_server_get_port (server));
  es_endpoint_set_message_func (ES_ENDPOINT (server), stop_and_send, NULL, NULL);
  es_test_say (talker, "hello");
  first = es_test_hear (talker);
  second = es_test_hear (talker);
  es_test_settle ();

  g_assert_cmpstr (first, ==, "hello");
  g_assert_cmpstr (second, ==, "hello");
  g_assert_false (es_test_can_hear (talker));
}

static void
test_endpoint_unreferenced_in_handler (gconstpointer data)
{
  EsUdpServer *server = es_test_start_server ();
  gboolean is_direct = GPOINTER_TO_INT (data);
  int n_received = 0;

  g_test_summary ("A handler may drop the last reference, and sees no further message.");

  if (is_direct)
    es_endpoint_set_message_func (ES_ENDPOINT (server), count_and_unref_once, &n_received, NULL);
  else
    g_signal_connect (server, "message-received", G_CALLBACK (count_and_unref_once), &n_received);
  es_test_leave_unread (server, 10);
  g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
  es_test_wait_until (server == NULL);

  g_assert_cmpint (n_received, ==, 1);
}

static void
unref_on_error (EsEndpoint *endpoint,
                GError *error,
                GSocketAddress *address,
                gpointer user_data)
{
  if (++*(int *) user_data == 1)
    g_object_unref (endpoint);
}

static void
test_endpoint_unreferenced_on_error (void)
{
  EsUdpServer *server = es_udp_server_new (0);
  int n_errors = 0;

  g_test_summary ("A handler of an error may drop the last reference, too.");

  es_endpoint_set_max_message_size (ES_ENDPOINT (server), 0);
  g_signal_connect (server, "error", G_CALLBACK (unref_on_error), &n_errors);
  start (server);
  es_test_leave_unread (server, 10);
  g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
  es_test_wait_until (server == NULL);

  g_assert_cmpint (n_errors, ==, 1);
}

static void
test_endpoint_handler_disconnects (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  int n_once = 0, n_always = 0;

  g_test_summary ("A handler that disconnects itself sees one message, the others see all.");

  g_signal_connect (server, "message-received", G_CALLBACK (count_and_disconnect), &n_once);
  g_signal_connect (server, "message-received", G_CALLBACK (es_test_count), &n_always);
  es_test_leave_unread (server, 10);
  es_test_wait_until (n_always == 10);

  g_assert_cmpint (n_once, ==, 1);
}

static void
test_endpoint_replies_a_thousand_times (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GPtrArray) askers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (EsStats) stats = NULL;
  GSocket *talkers[5];

  g_test_summary ("One handler sends a thousand messages, and they arrive in order.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), reply_a_thousand_times, askers, NULL);
  for (int i = 0; i < 5; i++)
    {
      talkers[i] = es_test_new_talker (server, "127.0.0.1");
      es_test_say (talkers[i], "go");
    }

  for (int i = 0; i < 1000; i++)
    {
      g_autofree char *expected = g_strdup_printf ("%d", i);
      g_autofree char *heard = es_test_hear (talkers[i / 200]);

      g_assert_cmpstr (heard, ==, expected);
    }
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_sent, ==, 1000);
  for (int i = 0; i < 5; i++)
    g_object_unref (talkers[i]);
}

typedef struct
{
  EsTestInbox *answers; /* (borrowed) */
  guint n_sent;
  int depth;
  int deepest;
} Nesting;

static void
nest (EsEndpoint *endpoint,
      GBytes *message,
      GSocketAddress *address,
      EsSendFunc send,
      gpointer user_data)
{
  Nesting *nesting = user_data;

  nesting->depth++;
  nesting->deepest = MAX (nesting->deepest, nesting->depth);
  g_assert_true (es_endpoint_send_text (endpoint, "before", address, NULL));
  nesting->n_sent++;
  es_test_wait_until (es_test_inbox_get_n (nesting->answers) == nesting->n_sent);
  g_assert_true (es_endpoint_send_text (endpoint, "inside", address, NULL));
  nesting->n_sent++;
  es_test_wait_until (es_test_inbox_get_n (nesting->answers) == nesting->n_sent);
  g_assert_true (es_endpoint_send_text (endpoint, "after", address, NULL));
  nesting->n_sent++;
  nesting->depth--;
}

static void
test_endpoint_loops_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  const char *expected[] = { "before", "inside", "after" };
  Nesting nesting = { inbox, 0, 0, 0 };

  g_test_summary ("While a handler runs a loop of its own, what was sent leaves, "
                  "and no other message is delivered.");

  g_signal_connect (server, "message-received", G_CALLBACK (nest), &nesting);
  for (int i = 0; i < 5; i++)
    es_test_send (client, "go");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 15);

  for (int i = 0; i < 15; i++)
    g_assert_cmpstr (es_test_inbox_get_text (inbox, i), ==, expected[i % 3]);
  g_assert_cmpint (nesting.deepest, ==, 1);
}

static void
loop_until_stopped (EsEndpoint *endpoint,
                    GBytes *message,
                    GSocketAddress *address,
                    EsSendFunc send,
                    gpointer user_data)
{
  ++*(int *) user_data;
  g_idle_add (stop_cb, endpoint);
  es_test_wait_until (!es_endpoint_is_running (endpoint));
}

static void
test_endpoint_stopped_in_nested_loop (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsStats) stats = NULL;
  int n_received = 0;

  g_test_summary ("A stop in a loop that a handler runs is complete, but for this handler.");

  g_signal_connect (server, "message-received", G_CALLBACK (loop_until_stopped), &n_received);
  es_test_leave_unread (server, 10);
  es_test_wait_until (n_received == 1);
  es_test_settle ();

  g_assert_cmpint (n_received, ==, 1);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_at_stop, ==, 9);
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
test_endpoint_calls_in_order (void)
{
  g_autoptr (TestServer) server = g_object_new (TEST_TYPE_SERVER, "port", 0, NULL);

  g_test_summary ("First the direct handler, then those of the signal, then the class's own.");

  g_signal_connect_after (server, "message-received", G_CALLBACK (on_signal), "after ");
  g_signal_connect (server, "message-received", G_CALLBACK (on_signal), "first ");
  g_signal_connect (server, "message-received", G_CALLBACK (on_signal), "second ");
  es_endpoint_set_message_func (ES_ENDPOINT (server), on_direct, NULL, NULL);
  start (server);
  es_test_leave_unread (server, 1);
  es_test_wait_until (strstr (server->calls->str, "after") != NULL);

  g_assert_cmpstr (server->calls->str, ==, "direct first second class after ");
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
test_endpoint_class_is_told_errors (void)
{
  g_autoptr (TestServer) server =
    g_object_new (TEST_TYPE_SERVER, "port", 0, "max-message-size", 0, NULL);
  g_autofree char *expected = g_strdup_printf ("error %d ", G_IO_ERROR_MESSAGE_TOO_LARGE);

  g_test_summary ("A subclass may override what is told of errors.");

  start (server);
  es_test_leave_unread (server, 1);
  es_test_wait_until (server->calls->len > 0);

  g_assert_cmpstr (server->calls->str, ==, expected);
}

static void
connect_once (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  es_endpoint_set_message_func (endpoint, NULL, NULL, NULL);
  g_signal_connect (endpoint, "message-received", G_CALLBACK (es_test_count), user_data);
}

static void
test_endpoint_handler_connected_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  int n_received = 0;

  g_test_summary ("A handler that a handler connects hears all that is delivered from then on.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), connect_once, &n_received, NULL);
  es_test_leave_unread (server, 10);
  es_test_wait_until (es_test_get_n_received (server) == 10);

  g_assert_cmpint (n_received, ==, 10);
}

static void
test_endpoint_handler_replaced (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  int n_first = 0, n_second = 0;

  g_test_summary ("A direct handler may be replaced and removed while the server runs.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_count, &n_first, NULL);
  es_test_leave_unread (server, 1);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_count, &n_second, NULL);
  es_test_leave_unread (server, 2);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 3);
  es_endpoint_set_message_func (ES_ENDPOINT (server), NULL, NULL, NULL);
  es_test_leave_unread (server, 4);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 7);

  g_assert_cmpint (n_first, ==, 1);
  g_assert_cmpint (n_second, ==, 2);
}

static void
count_destroyed (gpointer user_data)
{
  ++*(int *) user_data;
}

static void
test_endpoint_frees_handlers (void)
{
  int n_destroyed[3] = { 0, 0, 0 };
  g_autoptr (EsUdpServer) server =
    es_udp_server_new_with_handler (0, es_test_count, &n_destroyed[0], count_destroyed);

  g_test_summary ("The data of every handler is freed once, with the endpoint.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_count, &n_destroyed[1],
                                count_destroyed);
  es_endpoint_set_message_func (ES_ENDPOINT (server), NULL, &n_destroyed[2], count_destroyed);
  start (server);
  g_assert_finalize_object (g_steal_pointer (&server));

  for (gsize i = 0; i < G_N_ELEMENTS (n_destroyed); i++)
    g_assert_cmpint (n_destroyed[i], ==, 1);
}

/* Sends. */

static void
assert_unsent (gpointer endpoint,
               GSocketAddress *address,
               int code,
               const char *message)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (es_endpoint_send_text (endpoint, "hello", address, &error));
  g_assert_error (error, G_IO_ERROR, code);
  g_assert_cmpstr (error->message, ==, message);
}

static void
test_endpoint_sends_only_while_it_runs (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 9);
  const char *reason = "Could not send to 127.0.0.1:9: The endpoint is not running";

  g_test_summary ("A send before the start or after the stop is an error.");

  assert_unsent (server, address, G_IO_ERROR_CLOSED, reason);
  start (server);
  es_endpoint_stop (ES_ENDPOINT (server));
  assert_unsent (server, address, G_IO_ERROR_CLOSED, reason);
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
}

static void
test_endpoint_sends_to_nobody (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *answer = NULL;

  g_test_summary ("A server has nobody to send to where no address is given, and goes on.");

  assert_unsent (server, NULL, G_IO_ERROR_NOT_CONNECTED,
                 "Could not send to the connected server: No address was given, "
                 "and there is no server to take instead");

  es_test_say (talker, "still there?");
  answer = es_test_hear (talker);
  g_assert_cmpstr (answer, ==, "still there?");
}

typedef struct
{
  const char *name;
  const char *host;
  gsize limit;
  gboolean is_connected;
} Limit;

static const Limit limits[] = {
  { "/endpoint/sends-what-fits-ip4", "127.0.0.1", 65507, FALSE },
  { "/endpoint/sends-what-fits-ip6", "::1", 65527, FALSE },
  { "/endpoint/sends-what-fits-connected-ip4", "127.0.0.1", 65507, TRUE },
  { "/endpoint/sends-what-fits-connected-ip6", "::1", 65527, TRUE },
};

/* Where the address tells which network it is, the library knows it before the kernel. */
static void
assert_too_large (gpointer endpoint,
                  gsize size,
                  GSocketAddress *address,
                  gsize limit)
{
  g_autofree guint8 *data = g_malloc0 (size);
  g_autofree char *name = address != NULL ? es_address_to_string (address)
                                          : g_strdup ("the connected server");
  g_autoptr (GString) expected = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  g_string_printf (expected, "Could not send to %s: ", name);
  if (address != NULL)
    g_string_append_printf (expected,
                            "A message of %zu bytes is longer than the %zu that fit in a datagram",
                            size, limit);
  g_assert_false (es_endpoint_send_data (endpoint, data, size, address, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);
  g_assert_true (g_str_has_prefix (error->message, expected->str));
}

static void
test_endpoint_sends_what_fits (gconstpointer data)
{
  const Limit *limit = data;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) address = es_test_address_of (server, limit->host);
  g_autofree guint8 *bytes = g_malloc0 (65536);

  g_test_summary ("The longest message that a datagram holds arrives whole, "
                  "one byte more is an error.");

  if (es_test_lacks (limit->host))
    return;
  if (limit->is_connected)
    g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, NULL));
  if (limit->is_connected)
    g_clear_object (&address);
  start (client);
  assert_too_large (client, limit->limit + 1, address, limit->limit);
  assert_too_large (client, 65536, address, limit->limit);
  g_assert_true (es_endpoint_send_data (ES_ENDPOINT (client), bytes, limit->limit, address, NULL));
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpuint (g_bytes_get_size (es_test_inbox_get_message (inbox, 0)), ==, limit->limit);
}

static void
test_endpoint_sends_empty_messages (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);

  g_test_summary ("An empty datagram is a message.");

  es_test_send (client, "");
  g_assert_true (es_endpoint_send_data (ES_ENDPOINT (client), NULL, 0, NULL, NULL));
  es_test_send (client, "end");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 3);

  g_assert_cmpuint (g_bytes_get_size (es_test_inbox_get_message (inbox, 0)), ==, 0);
  g_assert_cmpuint (g_bytes_get_size (es_test_inbox_get_message (inbox, 1)), ==, 0);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "");
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 2), ==, "end");
}

static void
test_endpoint_sends_every_byte (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  guint8 bytes[256];

  g_test_summary ("Every byte value arrives as it is, and a NUL byte that is not counted follows.");

  for (int i = 0; i < 256; i++)
    bytes[i] = 255 - i;
  g_assert_true (es_endpoint_send_data (ES_ENDPOINT (client), bytes, sizeof bytes, NULL, NULL));
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  g_assert_cmpmem (es_test_inbox_get_text (inbox, 0),
                   g_bytes_get_size (es_test_inbox_get_message (inbox, 0)), bytes, sizeof bytes);
  g_assert_cmpint (es_test_inbox_get_text (inbox, 0)[256], ==, 0);
}

/* What is sent, of whichever size. No two sizes have the same bytes in the same places. */
static guint8
byte_at (gsize size,
         gsize i)
{
  return size * 31 + i * 7 + i / 256;
}

/* Whether each message so far was the one that was due. */
typedef struct
{
  gsize next;
  gsize step;
  gsize limit;
} Sizes;

static void
step_on (Sizes *sizes)
{
  /* The sizes around what pages, frames and tables of trains hold, and the last ones, all count. */
  if (sizes->step == 1 || sizes->next < 2100 || sizes->next + 2 * sizes->step > sizes->limit)
    sizes->next++;
  else
    sizes->next += sizes->step;
}

static void
check_size (EsEndpoint *server,
            GBytes *message,
            GSocketAddress *address,
            EsSendFunc send,
            gpointer user_data)
{
  Sizes *sizes = user_data;
  gsize size;
  const guint8 *bytes = g_bytes_get_data (message, &size);
  gsize n_wrong = 0;

  g_assert_cmpuint (size, ==, sizes->next);
  for (gsize i = 0; i < size; i++)
    n_wrong += bytes[i] != byte_at (size, i);
  g_assert_cmpuint (n_wrong, ==, 0);
  step_on (sizes);
}

static void
test_endpoint_sends_each_size (gconstpointer host)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, host);
  gsize limit = strchr (host, ':') != NULL ? 65527 : 65507;
  Sizes due = { 0, g_getenv ("ES_TEST_LONG") != NULL ? 1 : es_test_is_slow () ? 1009
                                                                              : 61,
                limit };
  Sizes sent = due;
  g_autofree guint8 *bytes = g_malloc (limit);

  g_test_summary ("Messages of every size, where ES_TEST_LONG is set, else of very many, "
                  "and of every byte value, arrive as they were sent.");

  if (es_test_lacks (host))
    return;
  es_endpoint_set_message_func (ES_ENDPOINT (server), check_size, &due, NULL);
  for (; sent.next <= limit; step_on (&sent))
    {
      for (gsize i = 0; i < sent.next; i++)
        bytes[i] = byte_at (sent.next, i);
      es_test_wait_until (due.next + (sent.next < 2100 ? 32 : 1) > sent.next);
      g_assert_true (es_endpoint_send_data (ES_ENDPOINT (client), bytes, sent.next, address, NULL));
    }
  es_test_wait_until (due.next == sent.next);
}

static void
test_endpoint_sends_every_size (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  const gsize sizes[] = { 1, 2, 64, 1471, 1472, 1473, 2047, 2048, 2049, 4096, 65506, 65507 };
  g_autofree guint8 *bytes = g_malloc (65507);

  g_test_summary ("No message is cut, whatever its size.");

  for (gsize i = 0; i < 65507; i++)
    bytes[i] = i * 7 + i / 256;
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    g_assert_true (es_endpoint_send_data (ES_ENDPOINT (client), bytes, sizes[i], NULL, NULL));
  es_test_wait_until (es_test_inbox_get_n (inbox) == G_N_ELEMENTS (sizes));

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    g_assert_cmpmem (es_test_inbox_get_text (inbox, i),
                     g_bytes_get_size (es_test_inbox_get_message (inbox, i)), bytes, sizes[i]);
}

/* (transfer full) Messages of the given size that begin with their number. */
static GPtrArray *
make_messages (guint n,
               gsize size)
{
  GPtrArray *messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < n; i++)
    {
      char *data = g_malloc0 (size);

      g_snprintf (data, size, "%u", i);
      g_ptr_array_add (messages, g_bytes_new_take (data, size));
    }
  return messages;
}

static void
test_endpoint_sends_many (gconstpointer data)
{
  guint n = GPOINTER_TO_UINT (data);
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GPtrArray) messages = make_messages (n, 100);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Many messages that are sent at once arrive one by one, in order.");

  if (n > 200 && !es_test_has_mmsg ())
    {
      g_test_skip ("not every host's buffer holds so many that come one by one");
      return;
    }
  g_assert_cmpint (
    es_endpoint_send_many (ES_ENDPOINT (client), (GBytes **) messages->pdata, n, NULL, &error), ==,
    n);
  g_assert_no_error (error);
  es_test_wait_until (es_test_inbox_get_n (inbox) == n);

  for (guint i = 0; i < n; i++)
    g_assert_true (g_bytes_equal (es_test_inbox_get_message (inbox, i), messages->pdata[i]));
}

static void
test_endpoint_sends_many_as_far_as_they_fit (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GBytes) small = g_bytes_new_static ("small", 5);
  g_autoptr (GBytes) large = g_bytes_new_take (g_malloc0 (65508), 65508);
  GBytes *messages[] = { small, small, large, small };
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("Of many messages those before the first that cannot be sent are accepted.");

  g_assert_cmpint (es_endpoint_send_many (ES_ENDPOINT (client), messages, 0, address, &error),
                   ==, 0);
  g_assert_no_error (error);
  g_assert_cmpint (es_endpoint_send_many (ES_ENDPOINT (client), messages, 4, address, &error),
                   ==, 2);
  g_assert_no_error (error);
  g_assert_cmpint (es_endpoint_send_many (ES_ENDPOINT (client), messages + 2, 2, address, &error),
                   ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);

  es_test_send (client, "end");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 3);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 2), ==, "end");
}

/* What is received. */

static void
test_endpoint_messages_may_be_kept (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autofree char *first_sender = NULL;

  g_test_summary ("Message and address stay what they were, also when the endpoint is gone.");

  for (int i = 0; i < 3; i++)
    es_test_leave_unread (server, 100);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 300);
  first_sender = es_address_to_string (es_test_inbox_get_address (inbox, 0));
  g_assert_finalize_object (g_steal_pointer (&server));

  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i % 100);
      g_autofree char *sender = es_address_to_string (es_test_inbox_get_address (inbox, i));

      g_assert_cmpstr (es_test_inbox_get_text (inbox, i), ==, text);
      g_assert_cmpint (g_str_equal (sender, first_sender), ==, i < 100);
    }
}

static void
test_endpoint_drops_too_long (gconstpointer data)
{
  guint limit = GPOINTER_TO_UINT (data);
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsStats) stats = NULL;
  g_autofree guint8 *bytes = g_malloc0 (limit + 2);

  g_test_summary ("What is longer than max-message-size is dropped, counted and told.");

  es_endpoint_set_max_message_size (ES_ENDPOINT (server), limit);
  start (server);
  client = es_test_start_client (server);
  for (guint size = MAX (1, limit) - 1; size <= limit + 1; size++)
    g_assert_true (es_endpoint_send_data (ES_ENDPOINT (client), bytes, size, NULL, NULL));
  es_test_send (client, "");
  es_test_wait_until (es_test_inbox_get_n (inbox) == (limit > 0 ? 3 : 2));

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_too_long, ==, 1);
  g_assert_cmpuint (stats->messages_received, ==, es_test_inbox_get_n (inbox));
  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), ==, 1);
  g_assert_error (es_test_inbox_get_error (inbox, 0), G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);
}

static void
keep_address (EsEndpoint *endpoint,
              GError *error,
              GSocketAddress *address,
              gpointer user_data)
{
  g_set_object ((GSocketAddress **) user_data, address);
}

static void
test_endpoint_tells_too_long (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) sender = NULL;
  g_autofree char *name = NULL;
  g_autofree char *expected = NULL;

  g_test_summary ("The error says how long the message was, whose it was, and what is taken.");

  g_signal_connect (server, "error", G_CALLBACK (keep_address), &sender);
  es_endpoint_set_max_message_size (ES_ENDPOINT (server), 1);
  start (server);
  es_test_leave_unread (server, 11);
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);

  g_assert_true (es_address_equal (sender, es_test_inbox_get_address (inbox, 0)));
  name = es_address_to_string (sender);
  expected = g_strdup_printf ("Dropped a message of 2 bytes from %s: At most 1 are taken", name);
  g_assert_cmpstr (es_test_inbox_get_error (inbox, 0)->message, ==, expected);
}

static void
test_endpoint_paused (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);

  g_test_summary ("While an endpoint is paused, nothing is read and nothing is lost.");

  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  es_test_leave_unread (server, 100);
  es_test_settle ();
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 0);

  es_endpoint_set_paused (ES_ENDPOINT (server), FALSE);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 100);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "0");
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 99), ==, "99");
}

static void
test_endpoint_paused_before_start (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  int n_received = 0;

  g_test_summary ("What was paused starts paused, and sends all the same.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_count, &n_received, NULL);
  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  start (server);
  es_test_leave_unread (server, 3);
  es_test_settle ();
  g_assert_cmpint (n_received, ==, 0);

  g_object_set (server, "paused", FALSE, NULL);
  es_test_wait_until (n_received == 3);
}

static void
test_endpoint_paused_in_handler (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  int n_received = 0;

  g_test_summary ("A handler that pauses sees no further message of its batch until it goes on.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), count_and_pause, &n_received, NULL);
  es_test_leave_unread (server, 10);
  for (int i = 1; i <= 10; i++)
    {
      es_test_wait_until (n_received == i);
      es_test_settle ();
      g_assert_cmpint (n_received, ==, i);
      es_endpoint_set_paused (ES_ENDPOINT (server), FALSE);
    }
}

static void
test_endpoint_counts_what_stop_drops (gconstpointer data)
{
  int n = GPOINTER_TO_INT (data);
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsStats) stats = NULL;
  int n_received = 0;

  g_test_summary ("What waits unread in the kernel when the endpoint stops is counted, exactly.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), count_and_stop, &n_received, NULL);
  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  es_test_leave_unread (server, n);
  es_test_settle ();
  es_endpoint_stop (ES_ENDPOINT (server));

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpint (n_received, ==, 0);
  g_assert_cmpuint (stats->messages_received, ==, 0);
  g_assert_cmpuint (stats->bytes_received, ==, 0);
  g_assert_cmpuint (stats->dropped_at_stop, ==, n);
  g_assert_cmpuint (stats->dropped_by_kernel, ==, 0);
}

typedef struct
{
  int n_received;
  int n_wanted;
} Fill;

static void
stop_when_full (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  Fill *fill = user_data;

  if (++fill->n_received == fill->n_wanted)
    es_endpoint_stop (endpoint);
}

static void
test_endpoint_counts_at_seams (void)
{
  const int seams[] = { 1, 63, 64, 65, 127, 128, 129, 130 };

  g_test_summary ("Wherever in its batches an endpoint stops, "
                  "each message is received or counted.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (EsUdpServer) server = es_test_start_server ();
      g_autoptr (EsStats) stats = NULL;
      Fill fill = { 0, seams[i] };

      es_endpoint_set_message_func (ES_ENDPOINT (server), stop_when_full, &fill, NULL);
      es_test_leave_unread (server, 130);
      es_test_wait_until (!es_endpoint_is_running (ES_ENDPOINT (server)));
      stats = es_endpoint_get_stats (ES_ENDPOINT (server));
      g_assert_cmpint (fill.n_received, ==, seams[i]);
      g_assert_cmpuint (stats->messages_received, ==, seams[i]);
      g_assert_cmpuint (stats->dropped_at_stop, ==, 130 - seams[i]);
    }
}

static void
test_endpoint_counts_what_the_kernel_drops (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsStats) stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  int n_received = 0;

  g_test_summary ("What the kernel's buffer cannot hold is counted, exactly.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_count, &n_received, NULL);
  es_endpoint_set_receive_buffer_size (ES_ENDPOINT (server), 1);
  for (int i = 0; i < 100; i++)
    es_test_say (talker, "hello");
  while (n_received + stats->dropped_by_kernel < 100)
    {
      es_test_settle ();
      es_stats_free (stats);
      stats = es_endpoint_get_stats (ES_ENDPOINT (server));
    }

  g_assert_cmpint (n_received, >=, 1);
  g_assert_cmpuint (stats->dropped_by_kernel, >=, 1);
  g_assert_cmpuint (stats->messages_received + stats->dropped_by_kernel, ==, 100);
}

/* Takes its time, as a handler may. */
static void
count_slowly (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  gint64 end = g_get_monotonic_time () + 500;

  ++*(int *) user_data;
  while (g_get_monotonic_time () < end)
    ;
}

static gboolean
count_turns (gpointer user_data)
{
  ++*(int *) user_data;
  return G_SOURCE_CONTINUE;
}

static void
test_endpoint_lets_others_have_their_turn (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSource) other = g_timeout_source_new (0);
  int n_received = 0, n_turns = 0;

  g_test_summary ("A flood of messages does not starve other sources of the context.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), count_slowly, &n_received, NULL);
  es_test_leave_unread (server, 200);
  g_source_set_callback (other, count_turns, &n_turns, NULL);
  g_source_attach (other, NULL);
  es_test_wait_until (n_received == 200);
  g_source_destroy (other);

  g_assert_cmpint (n_turns, >=, 10);
}

/* How much, and how fast. */

typedef struct
{
  guint n_total;
  guint n_sent;
  guint n_heard;
} Exchange;

static void
say_next (gpointer client,
          Exchange *exchange)
{
  g_autofree char *text = g_strdup_printf ("%u", exchange->n_sent++);

  es_test_send (client, text);
}

static void
hear_next (EsEndpoint *client,
           GBytes *message,
           GSocketAddress *address,
           EsSendFunc send,
           gpointer user_data)
{
  Exchange *exchange = user_data;
  const char *text = g_bytes_get_data (message, NULL);

  g_assert_cmpuint (g_ascii_strtoull (text, NULL, 10), ==, exchange->n_heard);
  exchange->n_heard++;
  if (exchange->n_sent < exchange->n_total)
    say_next (client, exchange);
}

static guint
choose_n_echoes (void)
{
  if (es_test_is_slow ())
    return 2000;
  return g_getenv ("ES_TEST_LONG") != NULL ? 1000000 : 100000;
}

static void
test_endpoint_echoes_in_order (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  Exchange exchange = { choose_n_echoes (), 0, 0 };
  g_autoptr (EsStats) asked = NULL;
  g_autoptr (EsStats) answered = NULL;

  g_test_summary ("100 000 echoes come back in order, nothing is lost, and all are counted; "
                  "1 000 000 where ES_TEST_LONG is set.");

  es_endpoint_set_message_func (ES_ENDPOINT (client), hear_next, &exchange, NULL);
  for (int i = 0; i < 256; i++)
    say_next (client, &exchange);
  es_test_wait_until (exchange.n_heard == exchange.n_total);

  asked = es_endpoint_get_stats (ES_ENDPOINT (client));
  answered = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (asked->messages_sent, ==, exchange.n_total);
  g_assert_cmpuint (answered->messages_received, ==, exchange.n_total);
  g_assert_cmpuint (answered->messages_sent, ==, exchange.n_total);
  g_assert_cmpuint (asked->messages_received, ==, exchange.n_total);
  g_assert_cmpuint (asked->bytes_sent, ==, answered->bytes_received);
  g_assert_cmpuint (answered->bytes_sent, ==, asked->bytes_received);
}

static void
test_endpoint_burst_takes_few_calls (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsStats) before = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_autoptr (EsStats) after = es_endpoint_get_stats (ES_ENDPOINT (server));

  g_test_summary ("200 echoes take at most 20 calls into the kernel.");

  if (!es_test_has_mmsg ())
    {
      g_test_skip ("the portable calls take one message each");
      return;
    }
  es_test_leave_unread (server, 200);
  while (after->messages_sent < 200)
    {
      es_test_settle ();
      es_stats_free (after);
      after = es_endpoint_get_stats (ES_ENDPOINT (server));
    }

  g_assert_cmpuint (after->messages_received, ==, 200);
  g_assert_cmpuint (after->receive_calls - before->receive_calls, <=, 10);
  g_assert_cmpuint (after->receive_calls + after->send_calls, <=, 20);
}

/* Properties. */

static void
test_endpoint_has_defaults (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  gboolean is_paused, is_threaded, is_broadcast;
  guint max_threads, max_message_size, receive_buffer_size, send_buffer_size;

  g_test_summary ("An endpoint is what most people want, unless told otherwise.");

  g_object_get (server, "paused", &is_paused, "threaded", &is_threaded, "max-threads", &max_threads,
                "max-message-size", &max_message_size, "receive-buffer-size", &receive_buffer_size,
                "send-buffer-size", &send_buffer_size, "broadcast", &is_broadcast, NULL);

  g_assert_false (is_paused);
  g_assert_false (is_threaded);
  g_assert_false (is_broadcast);
  g_assert_cmpuint (max_threads, >, 1);
  g_assert_cmpuint (max_message_size, ==, 65535);
  g_assert_cmpuint (receive_buffer_size, ==, 4 * 1024 * 1024);
  g_assert_cmpuint (send_buffer_size, ==, 4 * 1024 * 1024);
}

static void
assert_uint_property (const char *name,
                      guint value)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autofree char *detail = g_strconcat ("notify::", name, NULL);
  guint found = 0;
  int n_notified = 0;

  g_signal_connect (server, detail, G_CALLBACK (count_notify), &n_notified);
  g_object_set (server, name, value, NULL);
  g_object_set (server, name, value, NULL);
  g_object_get (server, name, &found, NULL);
  g_assert_cmpuint (found, ==, value);
  g_assert_cmpint (n_notified, ==, 1);
}

static void
test_endpoint_has_properties (void)
{
  g_test_summary ("Properties can be set and read, and tell of a change, not of a repetition.");

  assert_uint_property ("paused", TRUE);
  assert_uint_property ("quit-on-signals", TRUE);
  assert_uint_property ("threaded", TRUE);
  assert_uint_property ("broadcast", TRUE);
  assert_uint_property ("max-threads", 1);
  assert_uint_property ("max-threads", 1024);
  assert_uint_property ("max-message-size", 0);
  assert_uint_property ("receive-buffer-size", 1);
  assert_uint_property ("send-buffer-size", 1);
}

static void
test_endpoint_quits_on_signals (void)
{
  const int numbers[] = { SIGINT, SIGTERM };
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where it is asked for, SIGINT and SIGTERM end a run, each run anew.");

  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), TRUE);
  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_assert_no_errno (kill (getpid (), numbers[i]));
      g_assert_true (es_endpoint_run (ES_ENDPOINT (server), &error));
      g_assert_no_error (error);
      g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
    }
  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), FALSE);
  g_assert_false (es_endpoint_get_quit_on_signals (ES_ENDPOINT (server)));
}

static gpointer
end_process (gpointer data)
{
  g_assert_no_errno (kill (getpid (), SIGTERM));
  return NULL;
}

static void
test_endpoint_quits_where_it_runs (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;

  g_test_summary ("Signals end a run also in another context than that which they were asked for "
                  "in.");

  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), TRUE);
  g_main_context_push_thread_default (context);
  start (server);
  thread = g_thread_new ("killer", end_process, NULL);
  g_assert_true (es_endpoint_run (ES_ENDPOINT (server), &error));
  g_assert_no_error (error);
  g_thread_join (thread);
  g_assert_finalize_object (g_steal_pointer (&server));
  g_main_context_pop_thread_default (context);
}

static void
test_endpoint_has_accessors (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  EsEndpoint *endpoint = ES_ENDPOINT (server);

  g_test_summary ("What can be set in C can be read in C.");

  es_endpoint_set_paused (endpoint, TRUE);
  es_endpoint_set_threaded (endpoint, TRUE);
  es_endpoint_set_broadcast (endpoint, TRUE);
  es_endpoint_set_max_threads (endpoint, 3);
  es_endpoint_set_max_message_size (endpoint, 4);
  es_endpoint_set_receive_buffer_size (endpoint, 5);
  es_endpoint_set_send_buffer_size (endpoint, 6);

  g_assert_true (es_endpoint_get_paused (endpoint));
  g_assert_true (es_endpoint_get_threaded (endpoint));
  g_assert_true (es_endpoint_get_broadcast (endpoint));
  g_assert_cmpuint (es_endpoint_get_max_threads (endpoint), ==, 3);
  g_assert_cmpuint (es_endpoint_get_max_message_size (endpoint), ==, 4);
  g_assert_cmpuint (es_endpoint_get_receive_buffer_size (endpoint), ==, 5);
  g_assert_cmpuint (es_endpoint_get_send_buffer_size (endpoint), ==, 6);
}

static void
test_endpoint_tells_granted_buffers (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  EsEndpoint *endpoint = ES_ENDPOINT (server);

  g_test_summary ("A buffer's size is what was asked for, and while the endpoint runs, "
                  "what was granted.");

  es_endpoint_set_receive_buffer_size (endpoint, 1);
  es_endpoint_set_send_buffer_size (endpoint, 1);
  start (server);
  g_assert_cmpuint (es_endpoint_get_receive_buffer_size (endpoint), >, 1);
  g_assert_cmpuint (es_endpoint_get_send_buffer_size (endpoint), >, 1);

  es_endpoint_set_receive_buffer_size (endpoint, 65536);
  es_endpoint_set_send_buffer_size (endpoint, 32768);
  g_assert_cmpuint (es_endpoint_get_receive_buffer_size (endpoint), ==, 65536);
  g_assert_cmpuint (es_endpoint_get_send_buffer_size (endpoint), ==, 32768);
}

static void
test_endpoint_needs_leave_to_broadcast (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) everybody = es_test_address_of (server, "127.255.255.255");
  g_autoptr (GError) error = NULL;

  g_test_summary ("A broadcast leaves where that is allowed, which acts at once.");

  start (client);
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "no", everybody, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);

  es_endpoint_set_broadcast (ES_ENDPOINT (client), TRUE);
  es_endpoint_send_text (ES_ENDPOINT (client), "yes", everybody, &error);
  g_assert_no_error (error);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "yes");
}

static void
test_endpoint_starts_with_nothing_done (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsStats) stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  const EsStats nothing = { 0 };

  g_test_summary ("An endpoint that was never started has done nothing.");

  g_assert_cmpmem (stats, sizeof *stats, &nothing, sizeof nothing);
}

/* The caller's mistakes. */

static void
test_endpoint_refuses_strangers (void)
{
  g_autoptr (GObject) stranger = g_object_new (G_TYPE_OBJECT, NULL);
  EsEndpoint *none[] = { NULL, (gpointer) stranger };
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);

  g_test_summary ("Where an endpoint is asked for, nothing else is taken.");

  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    {
      es_test_assert_critical (es_endpoint_start (none[i], NULL), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_stop (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_is_running (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_run (none[i], NULL), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_quit (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_send (none[i], message, NULL, NULL),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_message_func (none[i], NULL, NULL, NULL),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_local_address (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_stats (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_socket (none[i]), "ES_IS_ENDPOINT (self)");
    }
}

static void
test_endpoint_refuses_strangers_properties (void)
{
  g_autoptr (GObject) stranger = g_object_new (G_TYPE_OBJECT, NULL);
  EsEndpoint *none[] = { NULL, (gpointer) stranger };

  g_test_summary ("The accessors take nothing else, either.");

  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    {
      es_test_assert_critical (es_endpoint_get_paused (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_paused (none[i], TRUE), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_quit_on_signals (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_quit_on_signals (none[i], TRUE),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_threaded (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_threaded (none[i], TRUE), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_max_threads (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_max_threads (none[i], 1), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_max_message_size (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_max_message_size (none[i], 1),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_receive_buffer_size (none[i]),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_receive_buffer_size (none[i], 1),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_send_buffer_size (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_send_buffer_size (none[i], 1),
                               "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_get_broadcast (none[i]), "ES_IS_ENDPOINT (self)");
      es_test_assert_critical (es_endpoint_set_broadcast (none[i], TRUE), "ES_IS_ENDPOINT (self)");
    }
}

static void
test_endpoint_refuses_nothing_to_send (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  EsEndpoint *endpoint = ES_ENDPOINT (server);
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);

  g_test_summary ("A send without a message, or to what is no address, is the caller's mistake.");

  es_test_assert_critical (es_endpoint_send (endpoint, NULL, NULL, NULL), "message != NULL");
  es_test_assert_critical (es_endpoint_send_text (endpoint, NULL, NULL, NULL), "text != NULL");
  es_test_assert_critical (es_endpoint_send_data (endpoint, NULL, 1, NULL, NULL),
                           "data != NULL || size == 0");
  es_test_assert_critical (es_endpoint_send_many (endpoint, NULL, 1, NULL, NULL),
                           "messages != NULL || n_messages == 0");
  es_test_assert_critical (es_endpoint_send (endpoint, message, (gpointer) server, NULL),
                           "address == NULL || G_IS_SOCKET_ADDRESS (address)");
  assert_runs (server);
}

static void
test_endpoint_refuses_sizes_out_of_range (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  EsEndpoint *endpoint = ES_ENDPOINT (server);

  g_test_summary ("Sizes out of range are the caller's mistake, and change nothing.");

  es_test_assert_critical (es_endpoint_set_max_threads (endpoint, 0), "max_threads >= 1*");
  es_test_assert_critical (es_endpoint_set_max_threads (endpoint, 1025), "max_threads >= 1*");
  es_test_assert_critical (es_endpoint_set_max_message_size (endpoint, 65536),
                           "max_message_size <=*");
  es_test_assert_critical (es_endpoint_set_receive_buffer_size (endpoint, 0),
                           "receive_buffer_size >= 1*");
  es_test_assert_critical (es_endpoint_set_send_buffer_size (endpoint, 0),
                           "send_buffer_size >= 1*");

  g_assert_cmpuint (es_endpoint_get_max_message_size (endpoint), ==, 65535);
}

static void
add_lifecycle_tests (void)
{
  g_test_add_func ("/endpoint/starts-and-stops", test_endpoint_starts_and_stops);
  g_test_add_func ("/endpoint/tells-state", test_endpoint_tells_state);
  g_test_add_func ("/endpoint/started-twice", test_endpoint_started_twice);
  g_test_add_func ("/endpoint/stopped-twice", test_endpoint_stopped_twice);
  g_test_add_func ("/endpoint/restarted", test_endpoint_restarted);
  g_test_add_func ("/endpoint/leaks-no-descriptor", test_endpoint_leaks_no_descriptor);
  g_test_add_func ("/endpoint/fails-without-trace", test_endpoint_fails_without_trace);
  g_test_add_func ("/endpoint/dies-while-it-runs", test_endpoint_dies_while_it_runs);
  g_test_add_func ("/endpoint/belongs-to-context", test_endpoint_belongs_to_context);
  g_test_add_func ("/endpoint/run-until-quit", test_endpoint_run_until_quit);
  g_test_add_func ("/endpoint/run-after-start", test_endpoint_run_after_start);
  g_test_add_func ("/endpoint/run-until-stop", test_endpoint_run_until_stop);
  g_test_add_func ("/endpoint/run-until-stop-in-handler", test_endpoint_run_until_stop_in_handler);
  g_test_add_func ("/endpoint/quit-before-run", test_endpoint_quit_before_run);
  g_test_add_func ("/endpoint/run-until-quit-in-thread", test_endpoint_run_until_quit_in_thread);
  g_test_add_func ("/endpoint/run-in-run", test_endpoint_run_in_run);
  g_test_add_func ("/endpoint/run-fails", test_endpoint_run_fails);
}

static void
add_handler_tests (void)
{
  g_test_add_func ("/endpoint/stopped-in-handler", test_endpoint_stopped_in_handler);
  g_test_add_func ("/endpoint/restarted-in-handler", test_endpoint_restarted_in_handler);
  g_test_add_func ("/endpoint/sends-around-restart-in-handler",
                   test_endpoint_sends_around_restart_in_handler);
  g_test_add_data_func ("/endpoint/unreferenced-in-handler", GINT_TO_POINTER (FALSE),
                        test_endpoint_unreferenced_in_handler);
  g_test_add_data_func ("/endpoint/unreferenced-in-direct-handler", GINT_TO_POINTER (TRUE),
                        test_endpoint_unreferenced_in_handler);
  g_test_add_func ("/endpoint/unreferenced-on-error", test_endpoint_unreferenced_on_error);
  g_test_add_func ("/endpoint/handler-disconnects", test_endpoint_handler_disconnects);
  g_test_add_func ("/endpoint/replies-a-thousand-times", test_endpoint_replies_a_thousand_times);
  g_test_add_func ("/endpoint/loops-in-handler", test_endpoint_loops_in_handler);
  g_test_add_func ("/endpoint/stopped-in-nested-loop", test_endpoint_stopped_in_nested_loop);
  g_test_add_func ("/endpoint/calls-in-order", test_endpoint_calls_in_order);
  g_test_add_func ("/endpoint/class-is-told-errors", test_endpoint_class_is_told_errors);
  g_test_add_func ("/endpoint/handler-connected-in-handler",
                   test_endpoint_handler_connected_in_handler);
  g_test_add_func ("/endpoint/handler-replaced", test_endpoint_handler_replaced);
  g_test_add_func ("/endpoint/frees-handlers", test_endpoint_frees_handlers);
}

static void
add_send_tests (void)
{
  g_test_add_func ("/endpoint/sends-only-while-it-runs", test_endpoint_sends_only_while_it_runs);
  g_test_add_func ("/endpoint/sends-to-nobody", test_endpoint_sends_to_nobody);
  for (gsize i = 0; i < G_N_ELEMENTS (limits); i++)
    g_test_add_data_func (limits[i].name, &limits[i], test_endpoint_sends_what_fits);
  g_test_add_func ("/endpoint/sends-empty-messages", test_endpoint_sends_empty_messages);
  g_test_add_func ("/endpoint/sends-every-byte", test_endpoint_sends_every_byte);
  g_test_add_func ("/endpoint/sends-every-size", test_endpoint_sends_every_size);
  g_test_add_data_func ("/endpoint/sends-each-size", "127.0.0.1", test_endpoint_sends_each_size);
  g_test_add_data_func ("/endpoint/sends-each-size-ip6", "::1", test_endpoint_sends_each_size);
  g_test_add_data_func ("/endpoint/sends-many-1", GUINT_TO_POINTER (1), test_endpoint_sends_many);
  g_test_add_data_func ("/endpoint/sends-many-64", GUINT_TO_POINTER (64), test_endpoint_sends_many);
  g_test_add_data_func ("/endpoint/sends-many-65", GUINT_TO_POINTER (65), test_endpoint_sends_many);
  g_test_add_data_func ("/endpoint/sends-many-129", GUINT_TO_POINTER (129),
                        test_endpoint_sends_many);
  g_test_add_data_func ("/endpoint/sends-many-1025", GUINT_TO_POINTER (1025),
                        test_endpoint_sends_many);
  g_test_add_func ("/endpoint/sends-many-as-far-as-they-fit",
                   test_endpoint_sends_many_as_far_as_they_fit);
}

static void
add_receive_tests (void)
{
  g_test_add_func ("/endpoint/messages-may-be-kept", test_endpoint_messages_may_be_kept);
  g_test_add_data_func ("/endpoint/drops-too-long", GUINT_TO_POINTER (100),
                        test_endpoint_drops_too_long);
  g_test_add_data_func ("/endpoint/drops-all-but-empty", GUINT_TO_POINTER (0),
                        test_endpoint_drops_too_long);
  g_test_add_func ("/endpoint/tells-too-long", test_endpoint_tells_too_long);
  g_test_add_func ("/endpoint/paused", test_endpoint_paused);
  g_test_add_func ("/endpoint/paused-before-start", test_endpoint_paused_before_start);
  g_test_add_func ("/endpoint/paused-in-handler", test_endpoint_paused_in_handler);
  g_test_add_data_func ("/endpoint/counts-what-stop-drops-1", GINT_TO_POINTER (1),
                        test_endpoint_counts_what_stop_drops);
  g_test_add_data_func ("/endpoint/counts-what-stop-drops-64", GINT_TO_POINTER (64),
                        test_endpoint_counts_what_stop_drops);
  g_test_add_data_func ("/endpoint/counts-what-stop-drops-129", GINT_TO_POINTER (129),
                        test_endpoint_counts_what_stop_drops);
  g_test_add_func ("/endpoint/counts-at-seams", test_endpoint_counts_at_seams);
  g_test_add_func ("/endpoint/counts-what-the-kernel-drops",
                   test_endpoint_counts_what_the_kernel_drops);
  g_test_add_func ("/endpoint/lets-others-have-their-turn",
                   test_endpoint_lets_others_have_their_turn);
  g_test_add_func ("/endpoint/echoes-in-order", test_endpoint_echoes_in_order);
  g_test_add_func ("/endpoint/burst-takes-few-calls", test_endpoint_burst_takes_few_calls);
}

static void
add_property_tests (void)
{
  g_test_add_func ("/endpoint/has-defaults", test_endpoint_has_defaults);
  g_test_add_func ("/endpoint/has-properties", test_endpoint_has_properties);
  g_test_add_func ("/endpoint/quits-on-signals", test_endpoint_quits_on_signals);
  g_test_add_func ("/endpoint/quits-where-it-runs", test_endpoint_quits_where_it_runs);
  g_test_add_func ("/endpoint/has-accessors", test_endpoint_has_accessors);
  g_test_add_func ("/endpoint/tells-granted-buffers", test_endpoint_tells_granted_buffers);
  g_test_add_func ("/endpoint/needs-leave-to-broadcast", test_endpoint_needs_leave_to_broadcast);
  g_test_add_func ("/endpoint/starts-with-nothing-done", test_endpoint_starts_with_nothing_done);
  g_test_add_func ("/endpoint/refuses-strangers", test_endpoint_refuses_strangers);
  g_test_add_func ("/endpoint/refuses-strangers-properties",
                   test_endpoint_refuses_strangers_properties);
  g_test_add_func ("/endpoint/refuses-nothing-to-send", test_endpoint_refuses_nothing_to_send);
  g_test_add_func ("/endpoint/refuses-sizes-out-of-range",
                   test_endpoint_refuses_sizes_out_of_range);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_lifecycle_tests ();
  add_handler_tests ();
  add_send_tests ();
  add_receive_tests ();
  add_property_tests ();
  return g_test_run ();
}
