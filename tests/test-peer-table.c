/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include "es-peer-table.h"

/* The table is told the time wherever it matters, so that nobody need wait for it to pass. */

#define INTERVAL G_USEC_PER_SEC

/* (transfer full) An address of its own for each number. */
static GSocketAddress *
make_address (guint i)
{
  g_autofree char *host = g_strdup_printf ("127.1.%u.%u", i / 250, 1 + i % 250);

  return g_inet_socket_address_new_from_string (host, 1234);
}

/* (transfer none) Whom the table knows, and so keeps, at an address. */
static EsPeer *
add (EsPeerTable *table,
     guint i)
{
  g_autoptr (GSocketAddress) address = make_address (i);
  g_autoptr (EsPeer) peer = es_peer_table_add (table, address);

  return peer;
}

static void
hear (EsPeerTable *table,
      guint i)
{
  g_autoptr (GSocketAddress) address = make_address (i);

  es_peer_table_hear (table, address);
}

static gboolean
has (EsPeerTable *table,
     guint i)
{
  g_autoptr (GSocketAddress) address = make_address (i);
  g_autoptr (EsPeer) peer = es_peer_table_lookup (table, address);

  return peer != NULL;
}

/* (transfer none) (nullable) Who is due, whom the table keeps. */
static EsPeer *
take_due (EsPeerTable *table,
          guint max_missed,
          gint64 now)
{
  g_autoptr (EsPeer) peer = es_peer_table_take_due (table, INTERVAL, max_missed, now);

  return peer;
}

static void
assert_change (EsPeerTable *table,
               EsPeer *peer,
               gboolean is_added,
               EsPeerRemoved reason)
{
  g_auto (EsPeerChange) change = { 0 };

  g_assert_true (es_peer_table_take_change (table, &change));
  g_assert_true (change.peer == peer);
  g_assert_cmpint (change.is_added, ==, is_added);
  if (!is_added)
    g_assert_cmpint (change.reason, ==, reason);
}

static void
assert_no_change (EsPeerTable *table)
{
  g_auto (EsPeerChange) change = { 0 };

  g_assert_false (es_peer_table_take_change (table, &change));
}

static void
test_peer_table_knows_whom_it_added (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  EsPeer *first = add (table, 1);

  g_test_summary ("An address is one peer, however often it is added, and whatever object it is.");

  g_assert_true (add (table, 1) == first);
  g_assert_true (add (table, 2) != first);
  g_assert_true (has (table, 1));
  g_assert_true (has (table, 2));
  g_assert_false (has (table, 3));
  assert_change (table, first, TRUE, 0);
}

static void
test_peer_table_removes_once (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  g_autoptr (EsPeer) first = g_object_ref (add (table, 1));
  EsPeer *second;

  g_test_summary ("Who was removed is gone, and is another peer when it comes back.");

  g_assert_true (es_peer_table_remove (table, first));
  g_assert_false (es_peer_table_remove (table, first));
  g_assert_false (has (table, 1));
  second = add (table, 1);
  g_assert_true (second != first);
  g_assert_false (es_peer_table_remove (table, first));
  g_assert_true (has (table, 1));
}

static void
test_peer_table_tells_changes_in_order (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  g_autoptr (EsPeer) first = g_object_ref (add (table, 1));
  g_autoptr (EsPeer) second = g_object_ref (add (table, 2));

  g_test_summary ("Each coming and going is told once, in the order in which it happened.");

  es_peer_table_remove (table, first);
  es_peer_table_remove_all (table, ES_PEER_REMOVED_STOPPED);
  assert_change (table, first, TRUE, 0);
  assert_change (table, second, TRUE, 0);
  assert_change (table, first, FALSE, ES_PEER_REMOVED_REQUESTED);
  assert_change (table, second, FALSE, ES_PEER_REMOVED_STOPPED);
  assert_no_change (table);
}

static void
test_peer_table_keeps_nothing (void)
{
  EsPeerTable *table = es_peer_table_new ();
  EsPeer *kept = g_object_ref (add (table, 1));
  EsPeer *removed = g_object_ref (add (table, 2));

  g_test_summary ("A table that goes lets go of its peers and of changes that nobody took.");

  es_peer_table_remove (table, removed);
  es_peer_table_free (table);
  g_assert_finalize_object (kept);
  g_assert_finalize_object (removed);
}

static void
test_peer_table_has_nobody_due_early (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  EsPeer *peer;
  gint64 joined;

  g_test_summary ("Who joins is due one interval later, to the microsecond, and not before.");

  g_assert_cmpint (es_peer_table_get_next_due (table, INTERVAL), ==, -1);
  peer = add (table, 1);
  joined = es_peer_get_last_heard (peer);
  g_assert_cmpint (es_peer_table_get_next_due (table, INTERVAL), ==, joined + INTERVAL);
  g_assert_null (take_due (table, 1, joined + INTERVAL - 1));
  g_assert_cmpuint (es_peer_get_missed_pings (peer), ==, 0);
  g_assert_true (take_due (table, 1, joined + INTERVAL) == peer);
  g_assert_null (take_due (table, 1, joined + INTERVAL));
  g_assert_cmpuint (es_peer_get_missed_pings (peer), ==, 1);
  g_assert_cmpint (es_peer_table_get_next_due (table, INTERVAL), ==, joined + 2 * INTERVAL);
}

static void
test_peer_table_removes_who_stays_silent (void)
{
  const guint max_missed = 3;
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  g_autoptr (EsPeer) peer = g_object_ref (add (table, 1));
  gint64 joined = es_peer_get_last_heard (peer);

  g_test_summary ("Who leaves three pings unanswered is removed when the interval "
                  "after the third ends.");

  for (guint i = 1; i <= max_missed; i++)
    {
      g_assert_true (take_due (table, max_missed, joined + i * INTERVAL) == peer);
      g_assert_cmpuint (es_peer_get_missed_pings (peer), ==, i);
    }
  g_assert_null (take_due (table, max_missed, joined + (max_missed + 1) * INTERVAL - 1));
  g_assert_true (has (table, 1));
  g_assert_null (take_due (table, max_missed, joined + (max_missed + 1) * INTERVAL));
  g_assert_false (has (table, 1));

  assert_change (table, peer, TRUE, 0);
  assert_change (table, peer, FALSE, ES_PEER_REMOVED_SILENT);
}

static void
test_peer_table_never_removes_at_0 (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  EsPeer *peer = add (table, 1);
  gint64 joined = es_peer_get_last_heard (peer);

  g_test_summary ("Where no number of missed pings is too many, a peer is pinged for ever.");

  for (guint i = 1; i <= 1000; i++)
    g_assert_true (take_due (table, 0, joined + i * INTERVAL) == peer);
  g_assert_cmpuint (es_peer_get_missed_pings (peer), ==, 1000);
}

static void
test_peer_table_counts_from_last_word (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  EsPeer *peer = add (table, 1);
  gint64 joined = es_peer_get_last_heard (peer);
  gint64 heard;

  g_test_summary ("A word is an answer to all pings, and puts the next one off.");

  g_assert_true (take_due (table, 1, joined + INTERVAL) == peer);
  hear (table, 1);
  heard = es_peer_get_last_heard (peer);
  g_assert_cmpint (heard, >=, joined);
  g_assert_cmpint (heard, <=, g_get_monotonic_time ());
  g_assert_cmpuint (es_peer_get_missed_pings (peer), ==, 0);
  g_assert_cmpint (es_peer_table_get_next_due (table, INTERVAL), ==, heard + INTERVAL);
}

static void
test_peer_table_hears_no_strangers (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();

  g_test_summary ("A stranger's word makes no peer, be the table empty or not.");

  hear (table, 1);
  g_assert_false (has (table, 1));
  add (table, 2);
  hear (table, 1);
  g_assert_false (has (table, 1));
}

static void
test_peer_table_takes_silent_first (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  EsPeer *peers[] = { add (table, 0), add (table, 1), add (table, 2) };
  gint64 later;

  g_test_summary ("Whoever was silent longest is due first.");

  hear (table, 0);
  later = g_get_monotonic_time () + INTERVAL;
  g_assert_true (take_due (table, 1, later) == peers[1]);
  g_assert_true (take_due (table, 1, later) == peers[2]);
  g_assert_true (take_due (table, 1, later) == peers[0]);
  g_assert_null (take_due (table, 1, later));
}

static void
test_peer_table_removes_exactly_the_silent (void)
{
  const guint n_peers = 10000;
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  gint64 later;
  guint n_due = 0;

  g_test_summary ("Of ten thousand, those leave who said nothing, and the others are pinged.");

  for (guint i = 0; i < n_peers; i++)
    add (table, i);
  later = g_get_monotonic_time () + INTERVAL;
  while (take_due (table, 1, later) != NULL)
    n_due++;
  g_assert_cmpuint (n_due, ==, n_peers);
  for (guint i = 0; i < n_peers; i += 2)
    hear (table, i);
  later = MAX (later, g_get_monotonic_time ()) + INTERVAL;
  while (take_due (table, 1, later) != NULL)
    n_due++;

  g_assert_cmpuint (n_due, ==, n_peers + n_peers / 2);
  for (guint i = 0; i < n_peers; i++)
    g_assert_cmpint (has (table, i), ==, i % 2 == 0);
}

static void
test_peer_table_gives_all (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  g_autoptr (GPtrArray) none = es_peer_table_dup_all (table);
  g_autoptr (GPtrArray) all = NULL;

  g_test_summary ("All peers are given, each once, and stay while somebody holds them.");

  g_assert_cmpuint (none->len, ==, 0);
  for (guint i = 0; i < 3; i++)
    add (table, i);
  all = es_peer_table_dup_all (table);
  es_peer_table_remove_all (table, ES_PEER_REMOVED_STOPPED);
  g_assert_cmpuint (all->len, ==, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_true (ES_IS_PEER (all->pdata[i]));
}

#define N_SHARED 50

static gpointer
come_and_go (gpointer data)
{
  EsPeerTable *table = data;
  guint n_turns = es_test_is_slow () ? 200 : 5000;

  for (guint i = 0; i < n_turns; i++)
    {
      g_autoptr (GSocketAddress) address = make_address (g_random_int_range (0, N_SHARED));
      g_autoptr (EsPeer) peer = es_peer_table_add (table, address);

      es_peer_table_hear (table, address);
      if (i % 3 != 0)
        es_peer_table_remove (table, peer);
    }
  return NULL;
}

static void
test_peer_table_serves_threads (void)
{
  g_autoptr (EsPeerTable) table = es_peer_table_new ();
  g_autoptr (GHashTable) followed = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) all = NULL;
  g_auto (EsPeerChange) change = { 0 };
  GThread *threads[8];

  g_test_summary ("What eight threads do, the changes tell: "
                  "who follows them knows whom the table knows.");

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("comer", come_and_go, table);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  for (; es_peer_table_take_change (table, &change); es_peer_change_clear (&change))
    if (change.is_added)
      g_assert_true (g_hash_table_add (followed, change.peer));
    else
      g_assert_true (g_hash_table_remove (followed, change.peer));

  all = es_peer_table_dup_all (table);
  g_assert_cmpuint (g_hash_table_size (followed), ==, all->len);
  for (guint i = 0; i < all->len; i++)
    g_assert_true (g_hash_table_contains (followed, all->pdata[i]));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/peer-table/knows-whom-it-added", test_peer_table_knows_whom_it_added);
  g_test_add_func ("/peer-table/removes-once", test_peer_table_removes_once);
  g_test_add_func ("/peer-table/tells-changes-in-order", test_peer_table_tells_changes_in_order);
  g_test_add_func ("/peer-table/keeps-nothing", test_peer_table_keeps_nothing);
  g_test_add_func ("/peer-table/has-nobody-due-early", test_peer_table_has_nobody_due_early);
  g_test_add_func ("/peer-table/removes-who-stays-silent",
                   test_peer_table_removes_who_stays_silent);
  g_test_add_func ("/peer-table/never-removes-at-0", test_peer_table_never_removes_at_0);
  g_test_add_func ("/peer-table/counts-from-last-word", test_peer_table_counts_from_last_word);
  g_test_add_func ("/peer-table/hears-no-strangers", test_peer_table_hears_no_strangers);
  g_test_add_func ("/peer-table/takes-silent-first", test_peer_table_takes_silent_first);
  g_test_add_func ("/peer-table/removes-exactly-the-silent",
                   test_peer_table_removes_exactly_the_silent);
  g_test_add_func ("/peer-table/gives-all", test_peer_table_gives_all);
  g_test_add_func ("/peer-table/serves-threads", test_peer_table_serves_threads);
  return g_test_run ();
}
