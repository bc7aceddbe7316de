/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include <string.h>

/* Requests: a client that asks, and servers that answer, late, twice, wrongly or not at all. */

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

/* (transfer full) A client that is connected to a socket of the test, and not started. */
static EsUdpClient *
connect_client (GSocket *socket)
{
  EsUdpClient *client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);
  g_autoptr (GError) error = NULL;

  es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, &error);
  g_assert_no_error (error);
  return client;
}

static void
set_patience (EsUdpClient *client,
              guint timeout,
              guint retries)
{
  es_udp_client_set_timeout (client, timeout);
  es_udp_client_set_retries (client, retries);
}

/* (transfer full) What a socket of the test hears next, and from whom. */
static char *
hear_from (GSocket *socket,
           GSocketAddress **address)
{
  g_autofree char *buffer = g_malloc0 (2048);
  g_autoptr (GError) error = NULL;

  es_test_wait_until (es_test_can_hear (socket));
  g_socket_receive_from (socket, address, buffer, 2047, NULL, &error);
  g_assert_no_error (error);
  return g_strdup (buffer);
}

static void
say_to (GSocket *socket,
        const char *text,
        GSocketAddress *address)
{
  g_autoptr (GError) error = NULL;

  g_socket_send_to (socket, address, text, strlen (text), NULL, &error);
  g_assert_no_error (error);
}

/* A request and how it ended. */
typedef struct
{
  GBytes *message;  /* (owned) */
  GBytes *response; /* (owned) (nullable) */
  GError *error;    /* (owned) (nullable) */
  gint64 ended_at;
  gboolean is_over;
} Question;

static void
question_clear (Question *self)
{
  g_assert_true (self->is_over || self->message == NULL);
  g_clear_pointer (&self->message, g_bytes_unref);
  g_clear_pointer (&self->response, g_bytes_unref);
  g_clear_error (&self->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Question, question_clear)

static void
on_answered (GObject *source,
             GAsyncResult *result,
             gpointer user_data)
{
  Question *self = user_data;

  g_assert_false (self->is_over);
  self->response = es_udp_client_request_finish (ES_UDP_CLIENT (source), result, &self->error);
  g_assert_true ((self->response == NULL) == (self->error != NULL));
  self->ended_at = g_get_monotonic_time ();
  self->is_over = TRUE;
}

static void
ask (Question *self,
     EsUdpClient *client,
     const char *text,
     GCancellable *cancellable)
{
  self->message = g_bytes_new (text, strlen (text));
  es_udp_client_request_async (client, self->message, cancellable, on_answered, self);
}

static void
assert_answered (Question *self,
                 const char *expected)
{
  es_test_wait_until (self->is_over);
  g_assert_no_error (self->error);
  g_assert_cmpstr (g_bytes_get_data (self->response, NULL), ==, expected);
}

/* A match function: answers begin with what was asked. */
static gboolean
match_prefix (GBytes *request,
              GBytes *response,
              gpointer user_data)
{
  gsize size = g_bytes_get_size (request);

  return g_bytes_get_size (response) >= size &&
         memcmp (g_bytes_get_data (request, NULL), g_bytes_get_data (response, NULL), size) == 0;
}

/* Answers. */

static void
test_requests_are_answered (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_auto (Question) question = { 0 };

  g_test_summary ("A request ends with its answer, which is told to nobody else.");

  ask (&question, client, "hello", NULL);
  assert_answered (&question, "hello");
  es_test_settle ();
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 0);
}

static void
test_requests_start_client (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (GSocketAddress) address = NULL;
  g_autofree char *heard = NULL;
  g_auto (Question) question = { 0 };

  g_test_summary ("The first request starts a client that was not started.");

  ask (&question, client, "hello", NULL);
  g_assert_true (es_endpoint_is_running (ES_ENDPOINT (client)));
  heard = hear_from (server, &address);
  g_assert_cmpstr (heard, ==, "hello");
  say_to (server, "hello yourself", address);
  assert_answered (&question, "hello yourself");
}

static void
test_requests_are_sent_again (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_auto (Question) question = { 0 };
  gint64 begin = g_get_monotonic_time ();
  gint64 due = begin;

  g_test_summary ("An unanswered request is sent again, with the wait doubled each time, "
                  "and then fails.");

  set_patience (client, 50, 3);
  ask (&question, client, "anybody?", NULL);
  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *heard = es_test_hear (server);

      g_assert_cmpstr (heard, ==, "anybody?");
      g_assert_cmpint (g_get_monotonic_time (), >=, due);
      due += 50000 << i;
    }
  es_test_wait_until (question.is_over);
  g_assert_error (question.error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpint (question.ended_at, >=, due);
  g_assert_false (es_test_can_hear (server));
  g_assert_finalize_object (g_steal_pointer (&client));
}

static void
test_requests_are_sent_once_without_retries (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_auto (Question) question = { 0 };
  g_autofree char *heard = NULL;

  g_test_summary ("With no retries a request is sent once.");

  set_patience (client, 20, 0);
  ask (&question, client, "anybody?", NULL);
  es_test_wait_until (question.is_over);
  g_assert_error (question.error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  heard = es_test_hear (server);
  g_assert_false (es_test_can_hear (server));
}

static void
test_requests_are_answered_late (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocketAddress) address = NULL;
  g_auto (Question) question = { 0 };

  g_test_summary ("An answer to the second sending counts; "
                  "one that comes when nobody waits is a message.");

  set_patience (client, 20, 5);
  ask (&question, client, "hello", NULL);
  g_free (hear_from (server, NULL));
  g_free (hear_from (server, &address));
  say_to (server, "first", address);
  assert_answered (&question, "first");
  say_to (server, "second", address);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "second");
}

static void
test_requests_take_turns (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_auto (Question) first = { 0 };
  g_auto (Question) second = { 0 };
  g_autoptr (GSocketAddress) address = NULL;
  g_autofree char *heard = NULL;

  g_test_summary ("Where answers cannot be told apart a request waits until the "
                  "one before has ended.");

  set_patience (client, 100, 1);
  ask (&first, client, "first", NULL);
  ask (&second, client, "second", NULL);
  es_test_wait_until (first.is_over);
  g_assert_error (first.error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *before = es_test_hear (server);

      g_assert_cmpstr (before, ==, "first");
    }
  heard = hear_from (server, &address);
  g_assert_cmpstr (heard, ==, "second");
  say_to (server, "anything", address);
  assert_answered (&second, "anything");
}

/* Answers that are told apart. */

static void
test_requests_overlap (void)
{
  const guint n = es_test_is_slow () ? 100 : 1000;
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autofree Question *questions = g_new0 (Question, n);
  g_autoptr (GPtrArray) heard = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GSocketAddress) address = NULL;

  g_test_summary ("A thousand requests are under way at once, and each gets its own answer, "
                  "in whatever order.");

  es_udp_client_set_match_func (client, match_prefix, NULL, NULL);
  set_patience (client, 60 * 1000, 0);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u?", i);

      ask (&questions[i], client, text, NULL);
      g_clear_object (&address);
      g_ptr_array_add (heard, hear_from (server, &address));
    }
  for (guint i = n; i > 0; i--)
    {
      g_autofree char *answer = g_strconcat (heard->pdata[i - 1], "!", NULL);

      g_assert_false (questions[i - 1].is_over);
      say_to (server, answer, address);
      assert_answered (&questions[i - 1], answer);
      question_clear (&questions[i - 1]);
    }
}

static void
test_requests_know_their_answers (void)
{
  const char *strange[] = { "other!", "on", "", "two!", "two!" };
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocketAddress) address = NULL;
  g_auto (Question) one = { 0 };
  g_auto (Question) two = { 0 };

  g_test_summary ("What matches no request is a message, and so is an answer that comes again.");

  es_udp_client_set_match_func (client, match_prefix, NULL, NULL);
  ask (&one, client, "one", NULL);
  ask (&two, client, "two", NULL);
  g_free (hear_from (server, &address));
  for (guint i = 0; i < G_N_ELEMENTS (strange); i++)
    say_to (server, strange[i], address);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 4);
  assert_answered (&two, "two!");
  g_assert_false (one.is_over);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpstr (es_test_inbox_get_text (inbox, i), ==, strange[i]);
  say_to (server, "one!", address);
  assert_answered (&one, "one!");
}

static void
test_requests_believe_no_forger (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) forger = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocketAddress) address = NULL;
  g_auto (Question) question = { 0 };

  g_test_summary ("An answer from another address than the server's is not heard at all.");

  es_udp_client_set_match_func (client, match_prefix, NULL, NULL);
  ask (&question, client, "who?", NULL);
  g_free (hear_from (server, &address));
  for (guint i = 0; i < 10; i++)
    say_to (forger, "who? me", address);
  say_to (server, "who? I am", address);
  assert_answered (&question, "who? I am");
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 0);
}

static void
note_destroyed (gpointer data)
{
  *(gboolean *) data = TRUE;
}

static void
test_requests_free_match_data (void)
{
  gboolean is_first_freed = FALSE, is_second_freed = FALSE;
  EsUdpClient *client = es_udp_client_new ();

  g_test_summary ("A match function's data is freed when another one is set, or the client goes.");

  es_udp_client_set_match_func (client, match_prefix, &is_first_freed, note_destroyed);
  g_assert_false (is_first_freed);
  es_udp_client_set_match_func (client, match_prefix, &is_second_freed, note_destroyed);
  g_assert_true (is_first_freed);
  g_assert_finalize_object (client);
  g_assert_true (is_second_freed);
}

/* Cancelling. */

static void
test_requests_cancelled_before (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Question) question = { 0 };

  g_test_summary ("A request that is cancelled before it is made is not sent.");

  g_cancellable_cancel (cancellable);
  ask (&question, client, "hello", cancellable);
  es_test_wait_until (question.is_over);
  g_assert_error (question.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (es_test_can_hear (server));
  g_assert_finalize_object (g_steal_pointer (&client));
  g_assert_finalize_object (g_steal_pointer (&cancellable));
}

static void
test_requests_cancelled_under_way (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSocketAddress) address = NULL;
  g_auto (Question) question = { 0 };
  g_auto (Question) next = { 0 };

  g_test_summary ("A request that is cancelled under way lets the next one have its turn, and its "
                  "answer is a message.");

  ask (&question, client, "hello", cancellable);
  ask (&next, client, "again", NULL);
  g_free (hear_from (server, &address));
  g_cancellable_cancel (cancellable);
  es_test_wait_until (question.is_over);
  g_assert_error (question.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_free (hear_from (server, NULL));
  say_to (server, "in time", address);
  assert_answered (&next, "in time");
  say_to (server, "too late", address);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  g_clear_pointer (&inbox, es_test_inbox_free);
  g_assert_finalize_object (g_steal_pointer (&client));
  g_assert_finalize_object (g_steal_pointer (&cancellable));
}

static void
test_requests_cancelled_waiting (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSocketAddress) address = NULL;
  Question questions[3] = { 0 };
  g_autofree char *heard = NULL;

  g_test_summary ("A request that is cancelled before its turn is never sent, "
                  "and the others keep theirs.");

  ask (&questions[0], client, "first", NULL);
  ask (&questions[1], client, "second", cancellable);
  ask (&questions[2], client, "third", NULL);
  g_cancellable_cancel (cancellable);
  es_test_wait_until (questions[1].is_over);
  g_assert_error (questions[1].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_free (hear_from (server, &address));
  say_to (server, "to the first", address);
  assert_answered (&questions[0], "to the first");
  heard = hear_from (server, NULL);
  g_assert_cmpstr (heard, ==, "third");
  say_to (server, "to the third", address);
  assert_answered (&questions[2], "to the third");
  for (guint i = 0; i < 3; i++)
    question_clear (&questions[i]);
}

/* A server in a thread of its own. */
typedef struct
{
  GMainContext *context;   /* (owned) */
  GThread *thread;         /* (owned) */
  GSocketAddress *address; /* (owned) (nullable) set before is_ready */
  EsMessageFunc handler;
  int is_ready;
  int is_quitting;
} Service;

static gpointer
serve (gpointer data)
{
  Service *self = data;
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, self->handler, NULL, NULL);

  g_main_context_push_thread_default (self->context);
  start (server);
  self->address = es_test_address_of (server, "127.0.0.1");
  g_atomic_int_set (&self->is_ready, TRUE);
  while (!g_atomic_int_get (&self->is_quitting))
    g_main_context_iteration (self->context, TRUE);
  g_clear_object (&server);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static Service *
service_new (EsMessageFunc handler)
{
  Service *self = g_new0 (Service, 1);

  self->context = g_main_context_new ();
  self->handler = handler;
  self->thread = g_thread_new ("service", serve, self);
  es_test_spin_until (g_atomic_int_get (&self->is_ready));
  return self;
}

static void
service_free (Service *self)
{
  g_atomic_int_set (&self->is_quitting, TRUE);
  g_main_context_wakeup (self->context);
  g_thread_join (self->thread);
  g_main_context_unref (self->context);
  g_object_unref (self->address);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Service, service_free)

/* (transfer full) */
static EsUdpClient *
connect_to_service (Service *service)
{
  EsUdpClient *client = es_udp_client_new ();
  g_autoptr (GError) error = NULL;

  es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (service->address), NULL, &error);
  g_assert_no_error (error);
  return client;
}

/* Whose requests are cancelled by whom: each in its own thread, so that neither comes first. */
typedef struct
{
  EsUdpClient *client;       /* (borrowed) */
  GCancellable *cancellable; /* (borrowed) */
  Question question;
  int is_ready;
} Race;

static gpointer
cancel_soon (gpointer data)
{
  Race *race = data;
  guint n_turns = g_random_int_range (0, 200);

  es_test_spin_until (g_atomic_int_get (&race->is_ready));
  while (n_turns-- > 0)
    g_thread_yield ();
  g_cancellable_cancel (race->cancellable);
  return NULL;
}

static void
assert_ended_once (Race *race)
{
  es_test_wait_until (race->question.is_over);
  if (race->question.error != NULL)
    g_assert_error (race->question.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  es_test_settle ();
  question_clear (&race->question);
  g_assert_finalize_object (g_steal_pointer (&race->cancellable));
}

static void
test_requests_cancelled_by_thread (void)
{
  const guint n = es_test_is_slow () ? 50 : 1000;
  g_autoptr (Service) service = service_new (es_test_echo);
  g_autoptr (EsUdpClient) client = connect_to_service (service);
  guint n_answered = 0;

  g_test_summary ("A request that another thread cancels ends once, with its answer or cancelled, "
                  "and leaves nothing.");

  start (client);
  for (guint i = 0; i < n; i++)
    {
      Race race = { .client = client, .cancellable = g_cancellable_new () };
      GThread *thread = g_thread_new ("canceller", cancel_soon, &race);

      g_atomic_int_set (&race.is_ready, TRUE);
      ask (&race.question, client, "hello", race.cancellable);
      es_test_wait_until (race.question.is_over);
      n_answered += race.question.response != NULL;
      g_thread_join (thread);
      assert_ended_once (&race);
    }
  g_test_message ("%u of %u were answered", n_answered, n);
  g_assert_finalize_object (g_steal_pointer (&client));
}

static gpointer
ask_soon (gpointer data)
{
  Race *race = data;

  es_test_spin_until (g_atomic_int_get (&race->is_ready));
  ask (&race->question, race->client, "hello", race->cancellable);
  return NULL;
}

static void
test_requests_cancelled_while_a_thread_asks (void)
{
  const guint n = es_test_is_slow () ? 50 : 2000;
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);

  g_test_summary ("A request that a thread makes may be cancelled at any moment in the "
                  "context that it ends in.");

  for (guint i = 0; i < n; i++)
    {
      Race race = { .client = client, .cancellable = g_cancellable_new () };
      GThread *thread = g_thread_new ("asker", ask_soon, &race);

      g_atomic_int_set (&race.is_ready, TRUE);
      for (guint turn = i % 10; turn > 0; turn--)
        g_main_context_iteration (NULL, FALSE);
      g_cancellable_cancel (race.cancellable);
      es_test_wait_until (race.question.is_over);
      g_thread_join (thread);
      assert_ended_once (&race);
    }
  g_assert_finalize_object (g_steal_pointer (&client));
}

/* Ends that are no answers. */

static void
test_requests_need_a_server (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  g_autoptr (GError) error = NULL;
  g_auto (Question) question = { 0 };

  g_test_summary ("A request without a server to take it fails, in either form.");

  ask (&question, client, "hello", NULL);
  g_assert_false (question.is_over);
  es_test_wait_until (question.is_over);
  g_assert_error (question.error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
  g_assert_null (es_udp_client_request (client, message, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
}

static void
test_requests_end_with_stop (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_auto (Question) sent = { 0 };
  g_auto (Question) waiting = { 0 };
  g_auto (Question) late = { 0 };

  g_test_summary ("A stop ends all requests, sent or waiting, "
                  "and there are no new ones until a start.");

  ask (&sent, client, "hello", NULL);
  ask (&waiting, client, "hello", NULL);
  es_endpoint_stop (ES_ENDPOINT (client));
  es_test_wait_until (sent.is_over && waiting.is_over);
  ask (&late, client, "hello", NULL);
  es_test_wait_until (late.is_over);
  g_assert_error (sent.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_error (waiting.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_error (late.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_finalize_object (g_steal_pointer (&client));
}

static void
stop_and_ask (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  es_endpoint_stop (endpoint);
  ask (user_data, ES_UDP_CLIENT (endpoint), "one more?", NULL);
}

static void
test_requests_end_where_handler_stops (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_auto (Question) question = { 0 };

  g_test_summary ("A handler that stops the client and asks then is told that it is closed.");

  es_endpoint_set_message_func (ES_ENDPOINT (client), stop_and_ask, &question, NULL);
  es_test_send (client, "hello");
  es_test_wait_until (question.is_over);
  g_assert_error (question.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

/* A handler that asks when a stop has begun, which waits for it. */
typedef struct
{
  Question question;
  GError *error; /* (owned) (nullable) */
  int is_handling;
} LateAsker;

static void
ask_late (EsEndpoint *endpoint,
          GBytes *message,
          GSocketAddress *address,
          EsSendFunc send,
          gpointer user_data)
{
  LateAsker *asker = user_data;

  g_atomic_int_set (&asker->is_handling, TRUE);
  es_test_spin_until (!es_endpoint_is_running (endpoint));
  ask (&asker->question, ES_UDP_CLIENT (endpoint), "one more?", NULL);
  g_assert_null (es_udp_client_request (ES_UDP_CLIENT (endpoint), message, NULL, &asker->error));
}

static void
test_requests_end_behind_stop (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  LateAsker asker = { 0 };

  g_test_summary ("A handler that a stop waits for is told that the client is closed, "
                  "if it asks then.");

  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, NULL));
  es_endpoint_set_threaded (ES_ENDPOINT (client), TRUE);
  es_endpoint_set_message_func (ES_ENDPOINT (client), ask_late, &asker, NULL);
  es_test_send (client, "hello");
  es_test_wait_until (g_atomic_int_get (&asker.is_handling));
  es_endpoint_stop (ES_ENDPOINT (client));
  es_test_wait_until (asker.question.is_over);
  g_assert_error (asker.question.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_error (asker.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_finalize_object (g_steal_pointer (&client));
  question_clear (&asker.question);
  g_clear_error (&asker.error);
}

static void
ask_again (GObject *source,
           GAsyncResult *result,
           gpointer user_data)
{
  Question *question = user_data;
  g_autoptr (GBytes) response = es_udp_client_request_finish (ES_UDP_CLIENT (source), result, NULL);

  g_assert_nonnull (response);
  ask (question, ES_UDP_CLIENT (source), "and again", NULL);
}

static void
test_requests_asked_when_answered (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  g_auto (Question) question = { 0 };

  g_test_summary ("Whoever gets an answer may ask again.");

  es_udp_client_request_async (client, message, NULL, ask_again, &question);
  es_test_wait_until (question.message != NULL);
  assert_answered (&question, "and again");
}

/* Requests that block. */

static void
assert_answers (EsUdpClient *client,
                const char *text,
                const char *expected)
{
  g_autoptr (GBytes) message = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) response = es_udp_client_request (client, message, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (g_bytes_get_data (response, NULL), ==, expected);
}

/* A handler that answers amid other messages. */
static void
answer_amid_others (EsEndpoint *endpoint,
                    GBytes *message,
                    GSocketAddress *address,
                    EsSendFunc send,
                    gpointer user_data)
{
  es_endpoint_send_text (endpoint, "1", address, NULL);
  es_endpoint_send_text (endpoint, "2", address, NULL);
  send (endpoint, message, address, NULL);
  es_endpoint_send_text (endpoint, "3", address, NULL);
}

static gboolean
count_dispatch (gpointer user_data)
{
  ++*(guint *) user_data;
  return G_SOURCE_CONTINUE;
}

static void
test_requests_block_at_home (gconstpointer is_started)
{
  g_autoptr (Service) service = service_new (answer_amid_others);
  g_autoptr (EsUdpClient) client = connect_to_service (service);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  guint n_dispatched = 0;
  guint idle = g_idle_add (count_dispatch, &n_dispatched);

  g_test_summary ("In the endpoint's thread a request iterates no context, "
                  "and other messages come later, in order.");

  if (is_started != NULL)
    start (client);
  es_udp_client_set_match_func (client, match_prefix, NULL, NULL);
  assert_answers (client, "hello", "hello");
  assert_answers (client, "again", "again");
  g_assert_cmpuint (n_dispatched, ==, 0);
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 0);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 6);
  for (guint i = 0; i < 6; i++)
    g_assert_cmpint (es_test_inbox_get_text (inbox, i)[0], ==, '1' + i % 3);
  g_source_remove (idle);
}

static void
test_requests_block_in_vain (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();

  g_test_summary ("A request that blocks is sent again, too, and fails in time.");

  set_patience (client, 20, 2);
  g_assert_null (es_udp_client_request (client, message, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  g_assert_cmpint (g_get_monotonic_time (), >=, begin + 140000);
  for (guint i = 0; i < 3; i++)
    g_free (es_test_hear (server));
  g_assert_false (es_test_can_hear (server));
}

/* What a thread asks. */
typedef struct
{
  EsUdpClient *client; /* (borrowed) */
  GError *error;       /* (owned) (nullable) */
  int n_over;
} Asker;

static gpointer
ask_in_thread (gpointer data)
{
  Asker *asker = data;

  for (guint i = 0; i < 20; i++)
    assert_answers (asker->client, "hello", "hello");
  g_atomic_int_inc (&asker->n_over);
  return NULL;
}

/* Sends far more than a client puts aside, no faster than it reads, and no answer. */
static void
answer_with_a_flood (EsEndpoint *endpoint,
                     GBytes *message,
                     GSocketAddress *address,
                     EsSendFunc send,
                     gpointer user_data)
{
  g_autofree guint8 *bytes = g_malloc0 (60000);
  g_autoptr (GBytes) large = g_bytes_new (bytes, 60000);

  for (guint i = 0; i < 600; i++)
    {
      es_endpoint_send (endpoint, large, address, NULL);
      if (i % 16 == 0)
        g_usleep (1000);
    }
}

static void
test_requests_put_so_much_aside (void)
{
  g_autoptr (Service) service = service_new (answer_with_a_flood);
  g_autoptr (EsUdpClient) client = connect_to_service (service);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  g_autoptr (EsStats) stats = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("While a request blocks, 16 MiB of other messages are put aside, "
                  "and a batch more.");

  es_udp_client_set_match_func (client, match_prefix, NULL, NULL);
  set_patience (client, es_test_is_slow () ? 5000 : 1000, 0);
  g_assert_null (es_udp_client_request (client, message, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);

  stats = es_endpoint_get_stats (ES_ENDPOINT (client));
  g_assert_cmpuint (stats->bytes_received, >, 8 * 1024 * 1024);
  g_assert_cmpuint (stats->bytes_received, <, 16 * 1024 * 1024 + 65 * 60000);
  es_test_wait_until (es_test_inbox_get_n (inbox) >= stats->messages_received);
}

static void
test_requests_block_in_threads (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  Asker asker = { .client = client };
  GThread *threads[8];

  g_test_summary ("In other threads requests wait for the endpoint's context, "
                  "and take their turns.");

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("asker", ask_in_thread, &asker);
  es_test_wait_until (g_atomic_int_get (&asker.n_over) == G_N_ELEMENTS (threads));
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  es_test_settle ();
  g_assert_finalize_object (g_steal_pointer (&client));
}

static gpointer
fail_in_thread (gpointer data)
{
  Asker *asker = data;
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);

  g_assert_null (es_udp_client_request (asker->client, message, NULL, &asker->error));
  g_atomic_int_inc (&asker->n_over);
  return NULL;
}

static void
test_requests_unblocked_by_stop (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  Asker asker = { .client = client };
  GThread *thread;

  g_test_summary ("A stop ends a request that another thread waits for.");

  start (client);
  thread = g_thread_new ("asker", fail_in_thread, &asker);
  g_free (es_test_hear (server));
  es_endpoint_stop (ES_ENDPOINT (client));
  g_thread_join (thread);
  g_assert_error (asker.error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_clear_error (&asker.error);
}

static void
test_requests_unblocked_by_cancel (void)
{
  g_autoptr (GSocket) server = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpClient) client = connect_client (server);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  g_autoptr (GError) error = NULL;
  Race race = { .client = client, .cancellable = cancellable, .is_ready = TRUE };
  GThread *thread = g_thread_new ("canceller", cancel_soon, &race);

  g_test_summary ("A request that blocks is cancelled by another thread, and before it begins.");

  g_assert_null (es_udp_client_request (client, message, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_clear_error (&error);
  g_assert_null (es_udp_client_request (client, message, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  es_test_settle ();
  g_assert_finalize_object (g_steal_pointer (&client));
  g_assert_finalize_object (g_steal_pointer (&cancellable));
}

static void
ask_in_handler (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  int *n_asked = user_data;

  if (g_atomic_int_add (n_asked, 1) == 0)
    assert_answers (ES_UDP_CLIENT (endpoint), "in a handler", "in a handler");
}

static void
test_requests_block_in_handler (gconstpointer is_threaded)
{
  g_autoptr (Service) service = service_new (es_test_echo);
  g_autoptr (EsUdpClient) client = connect_to_service (service);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  int n_asked = 0;

  g_test_summary ("A handler may ask and wait: what comes meanwhile is handled when it has done.");

  es_endpoint_set_threaded (ES_ENDPOINT (client), is_threaded != NULL);
  es_udp_client_set_match_func (client, match_prefix, NULL, NULL);
  es_endpoint_set_message_func (ES_ENDPOINT (client), ask_in_handler, &n_asked, NULL);
  for (guint i = 0; i < 10; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);

      es_test_send (client, text);
    }
  es_test_wait_until (es_test_inbox_get_n (inbox) == 10);
  g_assert_cmpint (n_asked, ==, 10);
  if (is_threaded == NULL)
    for (guint i = 0; i < 10; i++)
      g_assert_cmpint (es_test_inbox_get_text (inbox, i)[0], ==, '0' + i);
}

static void
test_requests_refuse_nothing (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();

  g_test_summary ("What is no client or request is refused, and so is a wait of 0.");

  es_test_assert_critical (es_udp_client_request (NULL, NULL, NULL, NULL),
                           "ES_IS_UDP_CLIENT (self)");
  es_test_assert_critical (es_udp_client_request (client, NULL, NULL, NULL), "request != NULL");
  es_test_assert_critical (es_udp_client_request_async (client, NULL, NULL, NULL, NULL),
                           "request != NULL");
  es_test_assert_critical (es_udp_client_set_timeout (client, 0),
                           "timeout >= 1 && timeout <= G_MAXINT");
  es_test_assert_critical (es_udp_client_set_retries (client, 1001), "retries <= MAX_RETRIES");
  g_assert_cmpuint (es_udp_client_get_timeout (client), ==, 1000);
  g_assert_cmpuint (es_udp_client_get_retries (client), ==, 3);
}

static void
add_cancel_tests (void)
{
  g_test_add_func ("/requests/cancelled-before", test_requests_cancelled_before);
  g_test_add_func ("/requests/cancelled-under-way", test_requests_cancelled_under_way);
  g_test_add_func ("/requests/cancelled-waiting", test_requests_cancelled_waiting);
  g_test_add_func ("/requests/cancelled-by-thread", test_requests_cancelled_by_thread);
  g_test_add_func ("/requests/cancelled-while-a-thread-asks",
                   test_requests_cancelled_while_a_thread_asks);
}

static void
add_blocking_tests (void)
{
  g_test_add_data_func ("/requests/block-at-home", NULL, test_requests_block_at_home);
  g_test_add_data_func ("/requests/block-at-home-started", "started", test_requests_block_at_home);
  g_test_add_func ("/requests/block-in-vain", test_requests_block_in_vain);
  g_test_add_func ("/requests/put-so-much-aside", test_requests_put_so_much_aside);
  g_test_add_func ("/requests/block-in-threads", test_requests_block_in_threads);
  g_test_add_func ("/requests/unblocked-by-stop", test_requests_unblocked_by_stop);
  g_test_add_func ("/requests/unblocked-by-cancel", test_requests_unblocked_by_cancel);
  g_test_add_data_func ("/requests/block-in-handler", NULL, test_requests_block_in_handler);
  g_test_add_data_func ("/requests/block-in-handler-threaded", "threaded",
                        test_requests_block_in_handler);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/requests/are-answered", test_requests_are_answered);
  g_test_add_func ("/requests/start-client", test_requests_start_client);
  g_test_add_func ("/requests/are-sent-again", test_requests_are_sent_again);
  g_test_add_func ("/requests/are-sent-once-without-retries",
                   test_requests_are_sent_once_without_retries);
  g_test_add_func ("/requests/are-answered-late", test_requests_are_answered_late);
  g_test_add_func ("/requests/take-turns", test_requests_take_turns);
  g_test_add_func ("/requests/overlap", test_requests_overlap);
  g_test_add_func ("/requests/know-their-answers", test_requests_know_their_answers);
  g_test_add_func ("/requests/believe-no-forger", test_requests_believe_no_forger);
  g_test_add_func ("/requests/free-match-data", test_requests_free_match_data);
  add_cancel_tests ();
  g_test_add_func ("/requests/need-a-server", test_requests_need_a_server);
  g_test_add_func ("/requests/end-with-stop", test_requests_end_with_stop);
  g_test_add_func ("/requests/end-where-handler-stops", test_requests_end_where_handler_stops);
  g_test_add_func ("/requests/end-behind-stop", test_requests_end_behind_stop);
  g_test_add_func ("/requests/asked-when-answered", test_requests_asked_when_answered);
  add_blocking_tests ();
  g_test_add_func ("/requests/refuse-nothing", test_requests_refuse_nothing);
  return g_test_run ();
}
