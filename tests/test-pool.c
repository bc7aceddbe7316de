/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/* As many messages as the largest test has. */
#define MAX_MESSAGES 20000

/* What a handler and whoever waits for it know of each other. */
typedef struct
{
  GMutex lock;
  GCond changed;
  guint8 n_seen[MAX_MESSAGES]; /* how often each message was handled */
  guint order[MAX_MESSAGES];   /* the messages, as they were handled */
  guint n_handled;
  guint n_inside; /* handlers that run */
  gboolean is_open;
  gboolean is_crowded;
  guint n_crowded;      /* how often that was told */
  guint n_free_again;   /* how often that was taken back */
  guint n_handled_then; /* when it was last taken back */
  guint n_settled;      /* messages handled before a thread last came to an end */
} Witness;

typedef void (*HandleFunc) (gpointer owner,
                            GBytes *message,
                            GSocketAddress *address);

#define wait_until(witness, condition)                     \
  G_STMT_START                                             \
  {                                                        \
    g_mutex_lock (&(witness)->lock);                       \
    while (!(condition))                                   \
      g_cond_wait (&(witness)->changed, &(witness)->lock); \
    g_mutex_unlock (&(witness)->lock);                     \
  }                                                        \
  G_STMT_END

/* How many threads may still be made. */
static int n_threads_left = G_MAXINT;

static int n_messages_alive;

/* Stands before the C library's own: so threads can run out. */
int
pthread_create (pthread_t *thread,
                const pthread_attr_t *attributes,
                void *(*func) (void *),
                void *data)
{
  static int (*real) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

  if (g_atomic_int_add (&n_threads_left, -1) <= 0)
    return EAGAIN;
  *(void **) &real = dlsym (RTLD_NEXT, "pthread_create");
  return real (thread, attributes, func, data);
}

static Witness *
witness_new (void)
{
  return g_new0 (Witness, 1);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Witness, g_free)

static void
change (Witness *self,
        gboolean *what,
        gboolean value)
{
  g_mutex_lock (&self->lock);
  *what = value;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static guint
number_of (GBytes *message)
{
  guint number;

  memcpy (&number, g_bytes_get_data (message, NULL), sizeof number);
  return number;
}

static void
note_handled (Witness *self,
              GBytes *message)
{
  g_mutex_lock (&self->lock);
  self->n_seen[number_of (message)]++;
  self->order[self->n_handled++] = number_of (message);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void
handle (gpointer owner,
        GBytes *message,
        GSocketAddress *address)
{
  g_assert_true (G_IS_INET_SOCKET_ADDRESS (address));
  note_handled (owner, message);
}

/* Waits until all four threads are inside, which needs all of them at once. */
static void
meet_three_others (gpointer owner,
                   GBytes *message,
                   GSocketAddress *address)
{
  Witness *self = owner;

  g_mutex_lock (&self->lock);
  self->n_inside++;
  g_cond_broadcast (&self->changed);
  while (self->n_inside < 4)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
  note_handled (self, message);
}

/* The first of each hundred waits for the gate, and then takes its time. */
static void
block_on_first (gpointer owner,
                GBytes *message,
                GSocketAddress *address)
{
  Witness *self = owner;

  if (number_of (message) % 100 == 0)
    {
      g_mutex_lock (&self->lock);
      self->n_inside++;
      g_cond_broadcast (&self->changed);
      g_mutex_unlock (&self->lock);
      wait_until (self, self->is_open);
    }
  for (guint i = 0; i < 200; i++)
    g_thread_yield ();
  note_handled (self, message);
}

static void
note_crowded (gpointer filler,
              gboolean is_crowded)
{
  Witness *self = filler;

  g_mutex_lock (&self->lock);
  self->is_crowded = is_crowded;
  if (is_crowded)
    self->n_crowded++;
  else
    {
      self->n_free_again++;
      self->n_handled_then = self->n_handled;
    }
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void
note_settled (gpointer owner)
{
  Witness *self = owner;

  g_mutex_lock (&self->lock);
  self->n_settled = self->n_handled;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* The same, and each other message takes 50 ms. */
static void
take_time (gpointer owner,
           GBytes *message,
           GSocketAddress *address)
{
  Witness *self = owner;
  gint64 deadline = g_get_monotonic_time () + G_USEC_PER_SEC / 20;

  if (number_of (message) == 0)
    {
      block_on_first (owner, message, address);
      return;
    }
  g_mutex_lock (&self->lock);
  while (g_cond_wait_until (&self->changed, &self->lock, deadline))
    ;
  g_mutex_unlock (&self->lock);
  note_handled (self, message);
}

static EsPool *
new_pool (guint n_threads,
          HandleFunc func,
          Witness *witness)
{
  const EsPoolFuncs funcs = { func, note_settled, note_crowded };
  g_autoptr (GError) error = NULL;
  EsPool *pool = es_pool_new (n_threads, &funcs, witness, &error);

  g_assert_no_error (error);
  g_assert_nonnull (pool);
  return pool;
}

static void
free_message (gpointer data)
{
  g_free (data);
  g_atomic_int_dec_and_test (&n_messages_alive);
}

/* Adds messages that are numbered on from @first. */
static void
add (EsPool *pool,
     guint first,
     guint n)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("192.0.2.1", 1234);

  for (guint i = first; i < first + n; i++)
    {
      guint *number = g_memdup2 (&i, sizeof i);
      g_autoptr (GBytes) message =
        g_bytes_new_with_free_func (number, sizeof i, free_message, number);

      g_atomic_int_inc (&n_messages_alive);
      es_pool_add (pool, message, address);
    }
}

static void
assert_each_seen_once (Witness *witness,
                       guint n)
{
  g_assert_cmpuint (witness->n_handled, ==, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpuint (witness->n_seen[i], ==, 1);
}

/* Frees a pool of which all messages were handled. */
static void
free_done (EsPool *pool)
{
  guint64 n_messages = 1, n_bytes = 1;

  es_pool_free (pool, &n_messages, &n_bytes);
  g_assert_cmpuint (n_messages, ==, 0);
  g_assert_cmpuint (n_bytes, ==, 0);
  g_assert_cmpint (g_atomic_int_get (&n_messages_alive), ==, 0);
}

static void
test_pool_handles_each_once (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (8, handle, witness);

  g_test_summary ("Of many messages on many threads each is handled once, and let go of.");

  add (pool, 0, MAX_MESSAGES);
  es_pool_commit (pool);
  wait_until (witness, witness->n_handled >= MAX_MESSAGES);
  free_done (pool);

  assert_each_seen_once (witness, MAX_MESSAGES);
}

static void
test_pool_handles_at_seams (void)
{
  const guint seams[] = { 1, 2, 3, 4, 63, 64, 65, 129 };

  g_test_summary ("Groups are whole, whatever is committed: fewer messages than threads, one less "
                  "than a group, a group, and more.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (Witness) witness = witness_new ();
      EsPool *pool = new_pool (3, handle, witness);

      add (pool, 0, seams[i]);
      es_pool_commit (pool);
      wait_until (witness, witness->n_handled >= seams[i]);
      free_done (pool);
      assert_each_seen_once (witness, seams[i]);
    }
}

static void
test_pool_keeps_order_on_one_thread (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (1, handle, witness);

  g_test_summary ("One thread handles messages in their order, over the ends of groups.");

  for (guint i = 0; i < 1000; i += 50)
    {
      add (pool, i, 50);
      es_pool_commit (pool);
    }
  wait_until (witness, witness->n_handled >= 1000);
  free_done (pool);

  for (guint i = 0; i < 1000; i++)
    g_assert_cmpuint (witness->order[i], ==, i);
}

static void
test_pool_commits_nothing (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (2, handle, witness);

  g_test_summary ("A commit without messages is none.");

  es_pool_commit (pool);
  es_pool_commit (pool);
  free_done (pool);

  g_assert_cmpuint (witness->n_handled, ==, 0);
}

static void
test_pool_runs_threads_at_once (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (4, meet_three_others, witness);

  g_test_summary ("Four handlers of one group run at the same time.");

  add (pool, 0, 4);
  es_pool_commit (pool);
  wait_until (witness, witness->n_handled == 4);
  free_done (pool);

  assert_each_seen_once (witness, 4);
}

static void
test_pool_blocked_handler_holds_up_nobody (void)
{
  const guint n_each[] = { 10, 64, 10, 100, 10 };
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (2, block_on_first, witness);
  guint n_before = 0;

  g_test_summary ("While one handler blocks, the rest of its group and later groups are handled, "
                  "each time anew.");

  for (guint i = 0; i < G_N_ELEMENTS (n_each); i++)
    {
      change (witness, &witness->is_open, FALSE);
      add (pool, 100 * i, n_each[i]);
      es_pool_commit (pool);
      wait_until (witness,
                  witness->n_handled == n_before + n_each[i] - 1 && witness->n_inside == i + 1);
      g_assert_cmpuint (witness->n_seen[100 * i], ==, 0);
      change (witness, &witness->is_open, TRUE);
      n_before += n_each[i];
      wait_until (witness, witness->n_handled == n_before);
      g_assert_cmpuint (witness->n_seen[100 * i], ==, 1);
    }
  free_done (pool);
}

static void
test_pool_settles_behind_last_message (void)
{
  const guint seams[] = { 1, 64, 65, 200 };

  g_test_summary ("A thread says when it has come to an end, "
                  "so that what handlers sent can leave.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (Witness) witness = witness_new ();
      EsPool *pool = new_pool (3, handle, witness);

      add (pool, 0, seams[i]);
      es_pool_commit (pool);
      wait_until (witness, witness->n_settled == seams[i]);
      free_done (pool);
      assert_each_seen_once (witness, seams[i]);
    }
}

static void
test_pool_settles_while_others_block (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (2, block_on_first, witness);

  g_test_summary ("A handler that blocks keeps no other thread from coming to an end.");

  add (pool, 0, 10);
  es_pool_commit (pool);
  wait_until (witness, witness->n_settled == 9 && witness->n_inside == 1);
  change (witness, &witness->is_open, TRUE);
  wait_until (witness, witness->n_settled == 10);
  free_done (pool);
}

/* The threads make room before the pool has noted that it is crowded. */
static void
let_all_go (gpointer owner,
            gboolean is_crowded)
{
  Witness *self = owner;

  note_crowded (self, is_crowded);
  if (!is_crowded)
    return;
  change (self, &self->is_open, TRUE);
  wait_until (self, self->n_handled > ES_POOL_MAX_WAITING * 3 / 4);
}

static void
test_pool_tells_of_room_made_meanwhile (void)
{
  const EsPoolFuncs funcs = { block_on_first, note_settled, let_all_go };
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = es_pool_new (1, &funcs, witness, NULL);

  g_test_summary ("Room that is made while the pool tells that it is crowded is told too.");

  add (pool, 0, 1);
  es_pool_commit (pool);
  wait_until (witness, witness->n_inside == 1);
  add (pool, 1, ES_POOL_MAX_WAITING);

  g_assert_cmpuint (witness->n_crowded, ==, 1);
  g_assert_false (witness->is_crowded);
  es_pool_commit (pool);
  wait_until (witness, witness->n_handled == ES_POOL_MAX_WAITING + 1);
  free_done (pool);
}

static void
test_pool_tells_when_crowded (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (1, block_on_first, witness);

  g_test_summary ("The pool is crowded when its places are taken, "
                  "and no longer when half of them are free.");

  add (pool, 0, 1);
  es_pool_commit (pool);
  wait_until (witness, witness->n_inside == 1);
  add (pool, 1, ES_POOL_MAX_WAITING - 1);
  g_assert_false (witness->is_crowded);
  add (pool, ES_POOL_MAX_WAITING, 1);
  g_assert_true (witness->is_crowded);
  es_pool_commit (pool);
  change (witness, &witness->is_open, TRUE);
  wait_until (witness, !witness->is_crowded);

  g_assert_cmpuint (witness->n_handled_then, >=, ES_POOL_MAX_WAITING / 2);
  g_assert_cmpuint (witness->n_handled_then, <=, ES_POOL_MAX_WAITING / 2 + 1);
  wait_until (witness, witness->n_handled == ES_POOL_MAX_WAITING + 1);
  free_done (pool);
  g_assert_cmpuint (witness->n_crowded, ==, 1);
  g_assert_cmpuint (witness->n_free_again, ==, 1);
}

static void
test_pool_tells_nothing_where_never_crowded (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (1, block_on_first, witness);

  g_test_summary ("Where there always was room nothing is told of it.");

  add (pool, 0, 1);
  es_pool_commit (pool);
  wait_until (witness, witness->n_inside == 1);
  add (pool, 1, ES_POOL_MAX_WAITING - 1);
  es_pool_commit (pool);
  change (witness, &witness->is_open, TRUE);
  wait_until (witness, witness->n_handled == ES_POOL_MAX_WAITING);
  free_done (pool);

  g_assert_cmpuint (witness->n_crowded, ==, 0);
  g_assert_cmpuint (witness->n_free_again, ==, 0);
}

static void
test_pool_tells_of_room_each_time (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (4, handle, witness);

  g_test_summary ("Who stops adding while the pool is crowded is told each "
                  "time that it may go on.");

  for (guint i = 0; i < MAX_MESSAGES; i += 32)
    {
      wait_until (witness, !witness->is_crowded);
      add (pool, i, 32);
      es_pool_commit (pool);
    }
  wait_until (witness, witness->n_handled == MAX_MESSAGES && !witness->is_crowded);
  free_done (pool);

  assert_each_seen_once (witness, MAX_MESSAGES);
}

static void
test_pool_free_waits_for_handlers (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (2, block_on_first, witness);

  g_test_summary ("A handler that runs is waited for.");

  add (pool, 0, 1);
  es_pool_commit (pool);
  wait_until (witness, witness->n_inside == 1);
  change (witness, &witness->is_open, TRUE);
  free_done (pool);

  assert_each_seen_once (witness, 1);
}

static void
test_pool_free_counts_unhandled (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (1, block_on_first, witness);
  guint64 n_messages, n_bytes;

  g_test_summary ("What no handler has seen is counted, in messages and bytes, committed or not.");

  add (pool, 0, 1);
  es_pool_commit (pool);
  wait_until (witness, witness->n_inside == 1);
  add (pool, 1, 1000);
  change (witness, &witness->is_open, TRUE);
  es_pool_free (pool, &n_messages, &n_bytes);

  g_assert_cmpuint (n_messages, >, 0);
  g_assert_cmpuint (n_messages + witness->n_handled, ==, 1001);
  g_assert_cmpuint (n_bytes, ==, n_messages * sizeof (guint));
  g_assert_cmpint (g_atomic_int_get (&n_messages_alive), ==, 0);
}

static void
test_pool_free_starts_no_handler (void)
{
  g_autoptr (Witness) witness = witness_new ();
  EsPool *pool = new_pool (1, take_time, witness);
  guint64 n_messages;

  g_test_summary ("No handler starts once the pool closes, not even for the rest of a group.");

  add (pool, 0, 64);
  es_pool_commit (pool);
  wait_until (witness, witness->n_inside == 1);
  change (witness, &witness->is_open, TRUE);
  es_pool_free (pool, &n_messages, NULL);

  g_assert_cmpuint (n_messages, >, 0);
  g_assert_cmpuint (n_messages + witness->n_handled, ==, 64);
  g_assert_cmpint (g_atomic_int_get (&n_messages_alive), ==, 0);
}

static void
test_pool_free_counts_what_threads_just_took (void)
{
  g_test_summary ("A pool that is freed while its threads wake up neither loses "
                  "nor keeps a message.");

  for (guint i = 0; i < 500; i++)
    {
      g_autoptr (Witness) witness = witness_new ();
      EsPool *pool = new_pool (3, handle, witness);
      guint64 n_messages;

      add (pool, 0, 1 + i % 7);
      es_pool_free (pool, &n_messages, NULL);

      g_assert_cmpuint (n_messages + witness->n_handled, ==, 1 + i % 7);
      g_assert_cmpint (g_atomic_int_get (&n_messages_alive), ==, 0);
    }
}

static guint
count_threads (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_pool_needs_all_threads (void)
{
  g_autoptr (Witness) witness = witness_new ();
  guint n_threads = count_threads ();

  g_test_summary ("A machine that is out of threads gives an error and keeps none, "
                  "whichever was one too many.");

  for (int n_left = 0; n_left < 4; n_left++)
    {
      const EsPoolFuncs funcs = { handle, note_settled, note_crowded };
      g_autoptr (GError) error = NULL;
      EsPool *pool;

      g_atomic_int_set (&n_threads_left, n_left);
      pool = es_pool_new (4, &funcs, witness, &error);
      g_atomic_int_set (&n_threads_left, G_MAXINT);

      g_assert_null (pool);
      g_assert_error (error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN);
      g_assert_true (g_str_has_prefix (error->message, "Could not make 4 threads: "));
      while (count_threads () > n_threads)
        g_thread_yield ();
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/pool/handles-each-once", test_pool_handles_each_once);
  g_test_add_func ("/pool/handles-at-seams", test_pool_handles_at_seams);
  g_test_add_func ("/pool/keeps-order-on-one-thread", test_pool_keeps_order_on_one_thread);
  g_test_add_func ("/pool/commits-nothing", test_pool_commits_nothing);
  g_test_add_func ("/pool/runs-threads-at-once", test_pool_runs_threads_at_once);
  g_test_add_func ("/pool/blocked-handler-holds-up-nobody",
                   test_pool_blocked_handler_holds_up_nobody);
  g_test_add_func ("/pool/settles-behind-last-message", test_pool_settles_behind_last_message);
  g_test_add_func ("/pool/settles-while-others-block", test_pool_settles_while_others_block);
  g_test_add_func ("/pool/tells-of-room-made-meanwhile", test_pool_tells_of_room_made_meanwhile);
  g_test_add_func ("/pool/tells-when-crowded", test_pool_tells_when_crowded);
  g_test_add_func ("/pool/tells-nothing-where-never-crowded",
                   test_pool_tells_nothing_where_never_crowded);
  g_test_add_func ("/pool/tells-of-room-each-time", test_pool_tells_of_room_each_time);
  g_test_add_func ("/pool/free-waits-for-handlers", test_pool_free_waits_for_handlers);
  g_test_add_func ("/pool/free-counts-unhandled", test_pool_free_counts_unhandled);
  g_test_add_func ("/pool/free-starts-no-handler", test_pool_free_starts_no_handler);
  g_test_add_func ("/pool/free-counts-what-threads-just-took",
                   test_pool_free_counts_what_threads_just_took);
  g_test_add_func ("/pool/needs-all-threads", test_pool_needs_all_threads);

  return g_test_run ();
}
