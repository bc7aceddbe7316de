/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include <string.h>
#include <sys/resource.h>

/* What jobs and tests tell each other: any thread may write and read it. */
typedef struct
{
  int n_begun;
  int n_asked;
  int n_ended;
  int n_destroyed;
  int may_end;
  gpointer seen; /* (borrowed) (nullable) */
} Notes;

static void
count_destroyed (gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_destroyed);
}

/* A job that sleeps until it is asked to end. */
static void
sleep_long (EsJob *job,
            EsEndpoint *endpoint,
            gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_begun);
  while (es_job_sleep (job, G_MAXUINT))
    ;
  g_atomic_int_inc (&notes->n_ended);
}

/* (transfer full) A job that has begun. */
static EsJob *
start_job (gpointer endpoint,
           EsJobFunc func,
           Notes *notes)
{
  g_autoptr (GError) error = NULL;
  EsJob *job = es_endpoint_create_job (endpoint, "test", func, notes, count_destroyed, TRUE,
                                       &error);

  g_assert_no_error (error);
  es_test_spin_until (g_atomic_int_get (&notes->n_begun) > 0);
  return job;
}

/* (transfer full) */
static EsJob *
new_job (gpointer endpoint,
         EsJobFunc func,
         Notes *notes)
{
  g_autoptr (GError) error = NULL;
  EsJob *job = es_endpoint_create_job (endpoint, "test", func, notes, count_destroyed, FALSE,
                                       &error);

  g_assert_no_error (error);
  return job;
}

/* Joins the job's thread, so that the job dies here. */
static void
assert_job_dies (EsJob *job)
{
  es_job_stop (job);
  g_assert_finalize_object (job);
}

/* Beginning. */

static void
look_around (EsJob *job,
             EsEndpoint *endpoint,
             gpointer user_data)
{
  Notes *notes = user_data;

  g_assert_true (ES_IS_JOB (job));
  g_assert_true (ES_IS_UDP_SERVER (endpoint));
  g_assert_true (es_job_is_running (job));
  g_assert_cmpstr (es_job_get_name (job), ==, "test");
  notes->seen = g_thread_self ();
  g_atomic_int_inc (&notes->n_begun);
}

static void
test_job_runs_in_thread (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, look_around, &notes);

  g_test_summary ("A job is a function in a thread of its own, and its data is freed once.");

  es_test_wait_until (!es_job_is_running (job));
  g_assert_true (notes.seen != g_thread_self ());
  g_assert_cmpint (notes.n_destroyed, ==, 1);

  assert_job_dies (job);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
test_job_begins_when_asked (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = new_job (server, sleep_long, &notes);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A job that is made without being started begins when it is.");

  es_test_settle ();
  g_assert_cmpint (g_atomic_int_get (&notes.n_begun), ==, 0);
  g_assert_false (es_job_is_running (job));
  es_job_start (job, &error);
  g_assert_no_error (error);
  g_assert_true (es_job_is_running (job));
  es_test_spin_until (g_atomic_int_get (&notes.n_begun) == 1);

  assert_job_dies (job);
}

static void
test_job_runs_once (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, sleep_long, &notes);

  g_test_summary ("A job is not started a second time, "
                  "neither while it runs nor when it has ended.");

  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (es_job_start (job, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS);
      g_assert_cmpstr (error->message, ==, "Could not start job “test”: A job runs once");
      es_job_stop (job);
    }

  g_assert_cmpint (notes.n_begun, ==, 1);
  assert_job_dies (job);
}

static void
test_job_stopped_before_start (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = new_job (server, sleep_long, &notes);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A job that was stopped is not to be started any more, "
                  "and nobody else keeps it.");

  es_job_stop (job);
  g_assert_false (es_job_start (job, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS);

  g_assert_finalize_object (job);
  g_assert_cmpint (notes.n_begun, ==, 0);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
}

static void
test_job_outlives_endpoint_unstarted (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = new_job (server, sleep_long, &notes);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A job whose endpoint is gone says so, and never begins.");

  g_assert_finalize_object (g_steal_pointer (&server));
  g_assert_false (es_job_start (job, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_cmpstr (error->message, ==, "Could not start job “test”: Its endpoint is gone");
  g_assert_false (es_job_is_running (job));

  assert_job_dies (job);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
}

static void
test_job_stopped_after_endpoint (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  Notes notes = { 0 };
  EsJob *job = new_job (server, sleep_long, &notes);

  g_test_summary ("A job that never ran may be stopped when its endpoint is gone.");

  g_assert_finalize_object (g_steal_pointer (&server));
  es_job_stop (job);
  es_job_stop (job);

  g_assert_finalize_object (job);
  g_assert_cmpint (notes.n_begun, ==, 0);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
}

static void
test_job_runs_without_start_of_endpoint (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  Notes notes = { 0 };
  EsJob *job = start_job (server, sleep_long, &notes);

  g_test_summary ("A job may begin before its endpoint, and ends by a stop all the same.");

  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_cmpint (notes.n_ended, ==, 1);

  assert_job_dies (job);
}

static void
look_at_own_name (EsJob *job,
                  EsEndpoint *endpoint,
                  gpointer user_data)
{
  Notes *notes = user_data;
  char *name = NULL;

  g_assert_true (g_file_get_contents ("/proc/thread-self/comm", &name, NULL, NULL));
  notes->seen = g_strchomp (name);
  g_atomic_int_inc (&notes->n_begun);
}

static void
test_job_has_name (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = es_endpoint_create_job (ES_ENDPOINT (server), "a job with a long name",
                                       look_at_own_name, &notes, NULL, TRUE, NULL);

  g_test_summary ("ps, top and debuggers show a job's name, as far as Linux does.");

  es_job_stop (job);
  g_assert_cmpstr (es_job_get_name (job), ==, "a job with a long name");
  g_assert_cmpstr (notes.seen, ==, "a job with a lo");

  g_free (notes.seen);
  assert_job_dies (job);
}

static void
fail_to_start_job (EsUdpServer *server,
                   Notes *notes)
{
  g_autoptr (GError) error = NULL;
  EsJob *job = es_endpoint_create_job (ES_ENDPOINT (server), "one too many", sleep_long, notes,
                                       count_destroyed, TRUE, &error);

  g_assert_null (job);
  g_assert_error (error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN);
  g_assert_true (g_str_has_prefix (error->message, "Could not start job “one too many”: "));
  g_assert_cmpint (notes->n_destroyed, ==, 1);
}

static void
test_job_out_of_threads (void)
{
  g_test_summary ("A machine that is out of threads gets an error, and the endpoint goes on.");

  if (g_test_subprocess ())
    {
      g_autoptr (EsUdpServer) server = es_test_start_server ();
      Notes notes = { 0 };
      struct rlimit limit, none;

      es_test_become_nobody ();
      g_assert_no_errno (getrlimit (RLIMIT_NPROC, &limit));
      none = (struct rlimit){ 0, limit.rlim_max };
      g_assert_no_errno (setrlimit (RLIMIT_NPROC, &none));
      fail_to_start_job (server, &notes);
      g_assert_no_errno (setrlimit (RLIMIT_NPROC, &limit));
      assert_job_dies (start_job (server, sleep_long, &notes));
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

/* Sleeping and ending. */

static void
nap (EsJob *job,
     EsEndpoint *endpoint,
     gpointer user_data)
{
  Notes *notes = user_data;
  gint64 begin = g_get_monotonic_time ();

  g_assert_true (es_job_sleep (job, 0));
  g_assert_true (es_job_sleep (job, 20));
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 20 * 1000);
  g_atomic_int_inc (&notes->n_begun);
}

static void
test_job_sleeps (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, nap, &notes);

  g_test_summary ("A job that nobody asks to end sleeps as long as it wants.");

  assert_job_dies (job);
}

static void
test_job_sleep_ends_with_stop (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, sleep_long, &notes);

  g_test_summary ("A stop ends the sleep at once, and waits for the function's end.");

  es_job_stop (job);
  g_assert_cmpint (notes.n_ended, ==, 1);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
  g_assert_false (es_job_is_running (job));
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  es_job_stop (job);

  g_assert_finalize_object (job);
  g_assert_true (es_endpoint_is_running (ES_ENDPOINT (server)));
}

static void
test_job_sleep_ends_with_cancellable (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, sleep_long, &notes);

  g_test_summary ("What cancels the job's cancellable ends it, too.");

  g_cancellable_cancel (es_job_get_cancellable (job));
  es_test_wait_until (!es_job_is_running (job));

  assert_job_dies (job);
}

static void
count_sleeps (EsJob *job,
              EsEndpoint *endpoint,
              gpointer user_data)
{
  Notes *notes = user_data;

  do
    g_atomic_int_inc (&notes->n_begun);
  while (es_job_sleep (job, G_MAXUINT));
  g_atomic_int_inc (&notes->n_ended);
}

static void
test_job_wakes (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, count_sleeps, &notes);

  g_test_summary ("Each wake that finds the job asleep, or about to be, ends one sleep, "
                  "and not the job.");

  for (int n_sleeps = 1; n_sleeps <= 100; n_sleeps++)
    {
      es_test_spin_until (g_atomic_int_get (&notes.n_begun) == n_sleeps);
      es_job_wake (job);
    }
  es_test_spin_until (g_atomic_int_get (&notes.n_begun) == 101);
  g_assert_true (es_job_is_running (job));

  assert_job_dies (job);
  g_assert_cmpint (notes.n_begun, ==, 101);
  g_assert_cmpint (notes.n_ended, ==, 1);
}

static void
test_job_wakes_once (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = new_job (server, nap, &notes);

  g_test_summary ("Wakes before a sleep end that sleep alone.");

  es_job_wake (job);
  es_job_wake (job);
  g_assert_true (es_job_sleep (job, G_MAXUINT));
  es_job_start (job, NULL);
  es_test_wait_until (!es_job_is_running (job));
  g_assert_cmpint (notes.n_begun, ==, 1);

  assert_job_dies (job);
}

static void
test_job_wakes_to_end (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, sleep_long, &notes);

  g_test_summary ("A job that is to end is told so, even if it was woken, too.");

  es_job_stop (job);
  es_job_wake (job);
  g_assert_false (es_job_sleep (job, G_MAXUINT));

  assert_job_dies (job);
}

static void
stop_itself (EsJob *job,
             EsEndpoint *endpoint,
             gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_begun);
  es_job_stop (job);
  es_job_stop (job);
  g_assert_true (es_job_is_running (job));
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_assert_true (g_cancellable_is_cancelled (es_job_get_cancellable (job)));
}

static void
test_job_stops_itself (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, stop_itself, &notes);

  g_test_summary ("A job that stops itself is asked to end, not waited for.");

  es_test_wait_until (!es_job_is_running (job));

  assert_job_dies (job);
}

static gpointer
stop_job (gpointer job)
{
  es_job_stop (job);
  g_assert_false (es_job_is_running (job));
  return NULL;
}

static void
test_job_stopped_by_many (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, sleep_long, &notes);
  GThread *threads[8];

  g_test_summary ("Many threads may stop a job at once, and each waits for its end.");

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("stopper", stop_job, job);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);

  g_assert_cmpint (notes.n_ended, ==, 1);
  assert_job_dies (job);
}

/* Jobs and their endpoint. */

/* Ends when all eight were asked to. */
static void
end_together (EsJob *job,
              EsEndpoint *endpoint,
              gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_begun);
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_atomic_int_inc (&notes->n_asked);
  es_test_spin_until (g_atomic_int_get (&notes->n_asked) == 8);
  g_atomic_int_inc (&notes->n_ended);
}

static void
test_job_ends_with_endpoint (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  gboolean is_dropped = GPOINTER_TO_INT (data);
  Notes notes = { 0 };
  EsJob *jobs[8];

  g_test_summary ("The end of the endpoint is the end of its jobs, all at once.");

  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    jobs[i] = start_job (server, end_together, &notes);
  es_test_spin_until (g_atomic_int_get (&notes.n_begun) == G_N_ELEMENTS (jobs));
  if (is_dropped)
    g_assert_finalize_object (g_steal_pointer (&server));
  else
    es_endpoint_stop (ES_ENDPOINT (server));

  g_assert_cmpint (notes.n_ended, ==, G_N_ELEMENTS (jobs));
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    g_assert_finalize_object (jobs[i]);
}

static void
test_job_belongs_to_nobody_else (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };

  g_test_summary ("A job that nobody holds runs on, and dies with its endpoint.");

  g_object_unref (start_job (server, sleep_long, &notes));
  g_assert_cmpint (g_atomic_int_get (&notes.n_ended), ==, 0);
  g_assert_finalize_object (g_steal_pointer (&server));

  g_assert_cmpint (notes.n_ended, ==, 1);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
}

/* Does not end when it is asked to, but when it has seen that others know. */
static void
be_stubborn (EsJob *job,
             EsEndpoint *endpoint,
             gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_begun);
  es_test_spin_until (g_atomic_int_get (&notes->may_end));
  g_atomic_int_inc (&notes->n_ended);
}

static void
note_patience (const char *domain,
               GLogLevelFlags level,
               const char *message,
               gpointer user_data)
{
  Notes *notes = user_data;

  if (g_str_equal (message, "Still waiting for job “test” to end"))
    g_atomic_int_set (&notes->may_end, TRUE);
}

static void
test_job_outlives_patience (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, be_stubborn, &notes);
  guint id = g_log_set_handler ("easyservers", G_LOG_LEVEL_DEBUG, note_patience, &notes);

  g_test_summary ("A job that does not end is waited for, and named to who debugs.");

  es_endpoint_stop (ES_ENDPOINT (server));
  g_log_remove_handler ("easyservers", id);

  g_assert_cmpint (notes.n_ended, ==, 1);
  assert_job_dies (job);
}

static void
stop_endpoint (EsJob *job,
               EsEndpoint *endpoint,
               gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_begun);
  es_endpoint_stop (endpoint);
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_atomic_int_inc (&notes->n_ended);
}

static void
test_job_stops_endpoint (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, stop_endpoint, &notes);

  g_test_summary ("A job may stop its endpoint, which then ends the job.");

  es_test_wait_until (g_atomic_int_get (&notes.n_ended) == 1 &&
                      !es_endpoint_is_running (ES_ENDPOINT (server)));

  assert_job_dies (job);
  g_assert_finalize_object (g_steal_pointer (&server));
}

static void
quit_endpoint (EsJob *job,
               EsEndpoint *endpoint,
               gpointer user_data)
{
  Notes *notes = user_data;

  g_atomic_int_inc (&notes->n_begun);
  es_endpoint_quit (endpoint);
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_atomic_int_inc (&notes->n_ended);
}

static void
test_job_quits_endpoint (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GError) error = NULL;
  Notes notes = { 0 };
  EsJob *job = start_job (server, quit_endpoint, &notes);

  g_test_summary ("A job may end the run, which then ends the job.");

  g_assert_true (es_endpoint_run (ES_ENDPOINT (server), &error));
  g_assert_no_error (error);

  g_assert_cmpint (notes.n_ended, ==, 1);
  assert_job_dies (job);
}

/* Drops the last reference while nobody iterates the endpoint's context. */
static void
drop_endpoint (EsJob *job,
               EsEndpoint *endpoint,
               gpointer user_data)
{
  Notes *notes = user_data;

  g_object_unref (endpoint);
  g_atomic_int_inc (&notes->n_begun);
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_atomic_int_inc (&notes->n_ended);
}

static void
test_job_drops_endpoint (void)
{
  EsUdpServer *server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job;

  g_test_summary ("A job may drop the last reference: its endpoint goes in its own context, "
                  "after the job.");

  g_object_add_weak_pointer (G_OBJECT (server), (gpointer *) &server);
  job = start_job (server, drop_endpoint, &notes);
  g_assert_nonnull (server);
  g_assert_cmpint (g_atomic_int_get (&notes.n_ended), ==, 0);
  es_test_wait_until (server == NULL);

  g_assert_cmpint (notes.n_ended, ==, 1);
  assert_job_dies (job);
}

static void
drop_job (EsJob *job,
          EsEndpoint *endpoint,
          gpointer user_data)
{
  Notes *notes = user_data;

  es_test_spin_until (g_atomic_pointer_get (&notes->seen) == job);
  g_object_unref (job);
  g_atomic_int_inc (&notes->n_begun);
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_atomic_int_inc (&notes->n_ended);
}

static void
test_job_drops_itself (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = es_endpoint_create_job (ES_ENDPOINT (server), "test", drop_job, &notes,
                                       count_destroyed, TRUE, NULL);

  g_test_summary ("A job may drop all references but the endpoint's own.");

  g_atomic_pointer_set (&notes.seen, job);
  es_test_spin_until (g_atomic_int_get (&notes.n_begun) == 1);
  es_endpoint_stop (ES_ENDPOINT (server));

  g_assert_cmpint (notes.n_ended, ==, 1);
  g_assert_cmpint (notes.n_destroyed, ==, 1);
}

static void
make_job (EsJob *job,
          EsEndpoint *endpoint,
          gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_object_unref (es_endpoint_create_job (endpoint, "inner", sleep_long, user_data, count_destroyed,
                                          TRUE, &error));
  g_assert_no_error (error);
}

static void
test_job_makes_job (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  Notes notes = { 0 };
  EsJob *job = start_job (server, make_job, &notes);

  g_test_summary ("A job may make another, which ends with the endpoint as well.");

  es_job_stop (job);
  g_assert_cmpint (g_atomic_int_get (&notes.n_ended), ==, 0);
  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_cmpint (notes.n_ended, ==, 1);
  g_assert_cmpint (notes.n_destroyed, ==, 2);

  assert_job_dies (job);
}

/* Speaking. */

typedef struct
{
  Notes notes;
  GSocketAddress *address; /* (borrowed) (nullable) */
  int n_accepted;
} Speaker;

static void
speak_once (EsJob *job,
            EsEndpoint *endpoint,
            gpointer user_data)
{
  Speaker *speaker = user_data;
  g_autoptr (GError) error = NULL;

  es_endpoint_send_text (endpoint, "hello from the job", speaker->address, &error);
  g_assert_no_error (error);
}

static void
test_job_sends (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) listener = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (listener, NULL);
  Speaker speaker = { .address = address };
  g_autoptr (EsJob) job = es_endpoint_create_job (ES_ENDPOINT (server), "speaker", speak_once,
                                                  &speaker, NULL, TRUE, NULL);
  g_autofree char *heard = NULL;

  g_test_summary ("A job sends through its endpoint, at once.");

  es_job_stop (job);
  g_assert_true (es_test_can_hear (listener));
  heard = es_test_hear (listener);

  g_assert_cmpstr (heard, ==, "hello from the job");
}

static void
speak_on (EsJob *job,
          EsEndpoint *endpoint,
          gpointer user_data)
{
  Speaker *speaker = user_data;

  g_atomic_int_inc (&speaker->notes.n_begun);
  while (es_job_sleep (job, 0))
    if (es_endpoint_send_text (endpoint, "on and on", speaker->address, NULL))
      speaker->n_accepted++;
}

static void
test_job_sends_while_endpoint_stops (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) listener = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (listener, NULL);
  Speaker speaker = { .address = address };
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("A job may send whenever its endpoint stops: "
                  "what was accepted is sent or counted.");

  for (int i = 1; i <= 50; i++)
    {
      g_autoptr (EsJob) job = es_endpoint_create_job (ES_ENDPOINT (server), "speaker", speak_on,
                                                      &speaker, NULL, TRUE, NULL);

      es_test_spin_until (g_atomic_int_get (&speaker.notes.n_begun) == i);
      es_endpoint_stop (ES_ENDPOINT (server));
      g_assert_true (es_endpoint_start (ES_ENDPOINT (server), NULL));
    }

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_sent + stats->dropped_unsent, ==, speaker.n_accepted);
}

static void
say_goodbye (EsJob *job,
             EsEndpoint *endpoint,
             gpointer user_data)
{
  Speaker *speaker = user_data;

  g_atomic_int_inc (&speaker->notes.n_begun);
  g_assert_false (es_job_sleep (job, G_MAXUINT));
  g_assert_false (es_endpoint_send_text (endpoint, "goodbye", NULL, NULL));
}

static void
test_job_does_not_restart_client (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  Speaker speaker = { .address = NULL };
  g_autoptr (EsJob) job = es_endpoint_create_job (ES_ENDPOINT (client), "speaker", say_goodbye,
                                                  &speaker, NULL, TRUE, NULL);

  g_test_summary ("A job that sends when it is to end does not start again the client that stops.");

  es_test_spin_until (g_atomic_int_get (&speaker.notes.n_begun) == 1);
  es_endpoint_stop (ES_ENDPOINT (client));

  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));
  es_test_settle ();
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));
}

/* The caller's mistakes. */

static void
test_job_refuses_strangers (void)
{
  g_autoptr (EsUdpServer) stranger = es_udp_server_new (0);
  EsJob *none[] = { NULL, (gpointer) stranger };

  g_test_summary ("Where a job is asked for, nothing else is taken.");

  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    {
      es_test_assert_critical (es_job_start (none[i], NULL), "ES_IS_JOB (self)");
      es_test_assert_critical (es_job_stop (none[i]), "ES_IS_JOB (self)");
      es_test_assert_critical (es_job_sleep (none[i], 0), "ES_IS_JOB (self)");
      es_test_assert_critical (es_job_wake (none[i]), "ES_IS_JOB (self)");
      es_test_assert_critical (es_job_is_running (none[i]), "ES_IS_JOB (self)");
      es_test_assert_critical (es_job_get_name (none[i]), "ES_IS_JOB (self)");
      es_test_assert_critical (es_job_get_cancellable (none[i]), "ES_IS_JOB (self)");
    }
}

static void
test_job_refuses_nothing (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  EsEndpoint *endpoint = ES_ENDPOINT (server);
  EsEndpoint *stranger = (gpointer) es_test_new_socket ("127.0.0.1");

  g_test_summary ("A job without a name, a function or an endpoint is the caller's mistake.");

  es_test_assert_critical (es_endpoint_create_job (NULL, "test", nap, NULL, NULL, TRUE, NULL),
                           "ES_IS_ENDPOINT (self)");
  es_test_assert_critical (es_endpoint_create_job (stranger, "test", nap, NULL, NULL, TRUE, NULL),
                           "ES_IS_ENDPOINT (self)");
  es_test_assert_critical (es_endpoint_create_job (endpoint, NULL, nap, NULL, NULL, TRUE, NULL),
                           "name != NULL");
  es_test_assert_critical (es_endpoint_create_job (endpoint, "test", NULL, NULL, NULL, TRUE, NULL),
                           "func != NULL");

  g_object_unref (stranger);
}

static void
add_begin_tests (void)
{
  g_test_add_func ("/job/runs-in-thread", test_job_runs_in_thread);
  g_test_add_func ("/job/begins-when-asked", test_job_begins_when_asked);
  g_test_add_func ("/job/runs-once", test_job_runs_once);
  g_test_add_func ("/job/stopped-before-start", test_job_stopped_before_start);
  g_test_add_func ("/job/outlives-endpoint-unstarted", test_job_outlives_endpoint_unstarted);
  g_test_add_func ("/job/stopped-after-endpoint", test_job_stopped_after_endpoint);
  g_test_add_func ("/job/runs-without-start-of-endpoint", test_job_runs_without_start_of_endpoint);
  g_test_add_func ("/job/has-name", test_job_has_name);
}

static void
add_end_tests (void)
{
  g_test_add_func ("/job/sleeps", test_job_sleeps);
  g_test_add_func ("/job/sleep-ends-with-stop", test_job_sleep_ends_with_stop);
  g_test_add_func ("/job/sleep-ends-with-cancellable", test_job_sleep_ends_with_cancellable);
  g_test_add_func ("/job/wakes", test_job_wakes);
  g_test_add_func ("/job/wakes-once", test_job_wakes_once);
  g_test_add_func ("/job/wakes-to-end", test_job_wakes_to_end);
  g_test_add_func ("/job/stops-itself", test_job_stops_itself);
  g_test_add_func ("/job/stopped-by-many", test_job_stopped_by_many);
  g_test_add_data_func ("/job/ends-with-stop-of-endpoint", GINT_TO_POINTER (FALSE),
                        test_job_ends_with_endpoint);
  g_test_add_data_func ("/job/ends-with-endpoint", GINT_TO_POINTER (TRUE),
                        test_job_ends_with_endpoint);
  g_test_add_func ("/job/belongs-to-nobody-else", test_job_belongs_to_nobody_else);
  g_test_add_func ("/job/outlives-patience", test_job_outlives_patience);
}

static void
add_endpoint_tests (void)
{
  g_test_add_func ("/job/stops-endpoint", test_job_stops_endpoint);
  g_test_add_func ("/job/quits-endpoint", test_job_quits_endpoint);
  g_test_add_func ("/job/drops-endpoint", test_job_drops_endpoint);
  g_test_add_func ("/job/drops-itself", test_job_drops_itself);
  g_test_add_func ("/job/makes-job", test_job_makes_job);
  g_test_add_func ("/job/sends", test_job_sends);
  g_test_add_func ("/job/sends-while-endpoint-stops", test_job_sends_while_endpoint_stops);
  g_test_add_func ("/job/does-not-restart-client", test_job_does_not_restart_client);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* First, so that the thread which GLib keeps for it does not lie where a job's has been. */
  g_test_add_func ("/job/out-of-threads", test_job_out_of_threads);
  add_begin_tests ();
  add_end_tests ();
  add_endpoint_tests ();
  g_test_add_func ("/job/refuses-strangers", test_job_refuses_strangers);
  g_test_add_func ("/job/refuses-nothing", test_job_refuses_nothing);
  return g_test_run ();
}
