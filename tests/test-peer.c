/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test.h"

#include <malloc.h>
#include <sys/resource.h>

/* Peers as an application sees them: a server, and talkers that are admitted or not. */

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

static void
set_ping (EsUdpServer *server,
          guint interval_ms,
          guint max_missed)
{
  g_autoptr (GBytes) ping = g_bytes_new_static ("PING", 4);

  es_udp_server_set_keepalive (server, ping, interval_ms, max_missed);
}

static guint
count_peers (EsUdpServer *server)
{
  return g_list_model_get_n_items (es_udp_server_get_peers (server));
}

/* (transfer full) An address of its own for each number, at the port of an endpoint of this
 * host. */
static GSocketAddress *
make_address (guint i,
              guint16 port)
{
  g_autofree char *host = g_strdup_printf ("127.1.%u.%u", i / 250, 1 + i % 250);

  return g_inet_socket_address_new_from_string (host, port);
}

/* (transfer none) A peer that the server keeps. */
static EsPeer *
add_number (EsUdpServer *server,
            guint i,
            guint16 port)
{
  g_autoptr (GSocketAddress) address = make_address (i, port);
  g_autoptr (EsPeer) peer = es_udp_server_add_peer (server, address);

  return peer;
}

/* (transfer none) */
static EsPeer *
admit (EsUdpServer *server,
       GSocket *talker)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (talker, NULL);
  g_autoptr (EsPeer) peer = es_udp_server_add_peer (server, address);

  g_assert_true (es_address_equal (es_peer_get_address (peer), address));
  return peer;
}

static gboolean
knows (EsUdpServer *server,
       GSocket *talker)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (talker, NULL);
  g_autoptr (EsPeer) peer = es_udp_server_lookup_peer (server, address);

  return peer != NULL;
}

static void
assert_hears (GSocket *talker,
              const char *expected)
{
  g_autofree char *heard = es_test_hear (talker);

  g_assert_cmpstr (heard, ==, expected);
}

/* What a server told of its peers, and when and where. */
typedef struct
{
  EsUdpServer *server; /* (borrowed) */
  GThread *home;       /* (borrowed) */
  GPtrArray *shown;    /* (owned) of (owned) EsPeer, as the list told */
  guint n_added;
  guint n_removed[ES_PEER_REMOVED_STOPPED + 1];
  gint64 removed_at;
  guint n_early;
  guint n_late;
  gint64 lifetime; /* from a peer's last word to its removal, as it should be; 0: not looked at */
  gint64 tolerance;
} Witness;

static void
on_items_changed (GListModel *list,
                  guint position,
                  guint n_removed,
                  guint n_added,
                  gpointer user_data)
{
  Witness *self = user_data;

  g_assert_true (g_thread_self () == self->home);
  if (n_removed > 0)
    g_ptr_array_remove_range (self->shown, position, n_removed);
  for (guint i = 0; i < n_added; i++)
    g_ptr_array_insert (self->shown, position + i, g_list_model_get_item (list, position + i));
  g_assert_cmpuint (self->shown->len, ==, g_list_model_get_n_items (list));
}

static void
on_peer_added (EsUdpServer *server,
               EsPeer *peer,
               gpointer user_data)
{
  Witness *self = user_data;

  g_assert_true (g_thread_self () == self->home);
  self->n_added++;
}

static void
on_peer_removed (EsUdpServer *server,
                 EsPeer *peer,
                 EsPeerRemoved reason,
                 gpointer user_data)
{
  Witness *self = user_data;
  gint64 due = es_peer_get_last_heard (peer) + self->lifetime;

  g_assert_true (g_thread_self () == self->home);
  self->n_removed[reason]++;
  self->removed_at = g_get_monotonic_time ();
  if (self->lifetime > 0)
    {
      self->n_early += self->removed_at < due;
      self->n_late += self->removed_at > due + self->tolerance;
    }
}

static Witness *
witness_new (EsUdpServer *server)
{
  Witness *self = g_new0 (Witness, 1);

  self->server = server;
  self->home = g_thread_self ();
  self->shown = g_ptr_array_new_with_free_func (g_object_unref);
  g_signal_connect (es_udp_server_get_peers (server), "items-changed",
                    G_CALLBACK (on_items_changed), self);
  g_signal_connect (server, "peer-added", G_CALLBACK (on_peer_added), self);
  g_signal_connect (server, "peer-removed", G_CALLBACK (on_peer_removed), self);
  return self;
}

static void
witness_free (Witness *self)
{
  g_signal_handlers_disconnect_by_data (es_udp_server_get_peers (self->server), self);
  g_signal_handlers_disconnect_by_data (self->server, self);
  g_ptr_array_unref (self->shown);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Witness, witness_free)

/* What was told adds up to what the list shows now. */
static void
assert_shown (Witness *witness)
{
  GListModel *list = es_udp_server_get_peers (witness->server);

  g_assert_cmpuint (g_list_model_get_n_items (list), ==, witness->shown->len);
  for (guint i = 0; i < witness->shown->len; i++)
    {
      g_autoptr (EsPeer) peer = g_list_model_get_item (list, i);

      g_assert_true (peer == witness->shown->pdata[i]);
    }
}

/* Who is a peer. */

static void
test_peer_is_admitted_by_application (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) stranger = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocket) member = es_test_new_talker (server, "127.0.0.1");

  g_test_summary ("A message makes nobody a peer, and is heard from peers and strangers alike.");

  admit (server, member);
  es_test_say (stranger, "let me in");
  es_test_say (member, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 2);
  g_assert_true (knows (server, member));
  g_assert_false (knows (server, stranger));
  g_assert_cmpuint (count_peers (server), ==, 1);
}

static void
admit_sender (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  g_autoptr (EsPeer) peer = es_udp_server_add_peer (ES_UDP_SERVER (endpoint), address);

  g_assert_nonnull (peer);
}

static void
test_peer_is_the_same_for_its_address (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  EsPeer *peer = admit (server, talker);

  g_test_summary ("A known address gives its peer, also from a handler with "
                  "the address that came.");

  g_object_set_data (G_OBJECT (peer), "name", "ann");
  es_endpoint_set_message_func (ES_ENDPOINT (server), admit_sender, NULL, NULL);
  es_test_say (talker, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  g_assert_true (admit (server, talker) == peer);
  g_assert_cmpstr (g_object_get_data (G_OBJECT (admit (server, talker)), "name"), ==, "ann");
  g_assert_cmpuint (count_peers (server), ==, 1);
}

static void
test_peer_is_removed_on_request (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpServer) other = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsPeer) peer = g_object_ref (admit (server, talker));

  g_test_summary ("A peer is removed once, by its own server, and dies with its last reference.");

  g_assert_false (es_udp_server_remove_peer (other, peer));
  g_assert_true (es_udp_server_remove_peer (server, peer));
  g_assert_false (es_udp_server_remove_peer (server, peer));
  g_assert_cmpuint (witness->n_removed[ES_PEER_REMOVED_REQUESTED], ==, 1);
  g_assert_cmpuint (count_peers (server), ==, 0);
  g_assert_finalize_object (g_steal_pointer (&peer));
}

static void
test_peer_leaves_when_server_stops (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);

  g_test_summary ("A stop removes all peers, and says why; a start begins with those added since.");

  for (guint i = 0; i < 3; i++)
    add_number (server, i, 1234);
  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_cmpuint (witness->n_removed[ES_PEER_REMOVED_STOPPED], ==, 3);
  g_assert_cmpuint (count_peers (server), ==, 0);

  add_number (server, 0, 1234);
  start (server);
  g_assert_cmpuint (count_peers (server), ==, 1);
  g_assert_cmpuint (witness->n_added, ==, 4);
  assert_shown (witness);
}

static void
test_peer_leaves_with_server (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  EsPeer *peer = g_object_ref (add_number (server, 0, 1234));

  g_test_summary ("A server that goes takes its peers along.");

  g_assert_finalize_object (g_steal_pointer (&server));
  g_assert_finalize_object (peer);
}

/* The list. */

static void
test_peer_list_keeps_order (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  EsPeer *peers[5];

  g_test_summary ("The list has the peers in order of joining, and tells each change.");

  for (guint i = 0; i < G_N_ELEMENTS (peers); i++)
    peers[i] = add_number (server, i, 1234);
  es_udp_server_remove_peer (server, peers[2]);
  es_udp_server_remove_peer (server, peers[0]);
  peers[0] = add_number (server, 0, 1234);

  g_assert_cmpuint (witness->shown->len, ==, 4);
  g_assert_true (witness->shown->pdata[0] == peers[1]);
  g_assert_true (witness->shown->pdata[1] == peers[3]);
  g_assert_true (witness->shown->pdata[2] == peers[4]);
  g_assert_true (witness->shown->pdata[3] == peers[0]);
  assert_shown (witness);
  g_assert_true (g_list_model_get_item_type (es_udp_server_get_peers (server)) == ES_TYPE_PEER);
  g_assert_null (g_list_model_get_item (es_udp_server_get_peers (server), 4));
  g_assert_null (g_list_model_get_item (es_udp_server_get_peers (server), G_MAXUINT));
}

static void
join_and_leave (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  g_autoptr (EsPeer) peer = es_udp_server_add_peer (ES_UDP_SERVER (endpoint), address);

  if (g_str_equal (g_bytes_get_data (message, NULL), "bye"))
    es_udp_server_remove_peer (ES_UDP_SERVER (endpoint), peer);
  g_atomic_int_inc ((int *) user_data);
}

static void
test_peer_list_changes_at_home (gconstpointer property)
{
  const int n_talkers = 20, n_turns = 10;
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (Witness) witness = witness_new (server);
  int n_handled = 0;

  g_test_summary ("Peers that come and go on other threads are told in the endpoint's context.");

  if (g_str_equal (property, "threaded"))
    es_endpoint_set_threaded (ES_ENDPOINT (server), TRUE);
  else
    es_udp_server_set_workers (server, 4);
  es_endpoint_set_message_func (ES_ENDPOINT (server), join_and_leave, &n_handled, NULL);
  start (server);
  for (int i = 0; i < n_talkers; i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

      for (int turn = 0; turn < n_turns; turn++)
        es_test_say (talker, turn % 2 == 0 ? "hello" : "bye");
    }
  es_test_wait_until (g_atomic_int_get (&n_handled) == n_talkers * n_turns);
  es_test_settle ();
  assert_shown (witness);
  g_assert_cmpuint (witness->n_added, >=, n_talkers);
  g_assert_cmpuint (witness->n_added - witness->n_removed[ES_PEER_REMOVED_REQUESTED], ==,
                    count_peers (server));
}

static void
remove_added (EsUdpServer *server,
              EsPeer *peer,
              gpointer user_data)
{
  es_udp_server_remove_peer (server, peer);
}

static void
remove_shown (GListModel *list,
              guint position,
              guint n_removed,
              guint n_added,
              gpointer server)
{
  g_autoptr (EsPeer) peer = g_list_model_get_item (list, position);

  if (n_added > 0)
    es_udp_server_remove_peer (server, peer);
}

static void
note_added (EsUdpServer *server,
            EsPeer *peer,
            gpointer user_data)
{
  g_string_append_c (user_data, '+');
}

static void
note_removed (EsUdpServer *server,
              EsPeer *peer,
              EsPeerRemoved reason,
              gpointer user_data)
{
  g_string_append_c (user_data, '-');
}

static void
test_peer_removed_while_it_is_told (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  g_autoptr (GString) told = g_string_new (NULL);

  g_test_summary ("A handler may remove the peer that it is told of: "
                  "its coming is told before its going.");

  g_signal_connect (server, "peer-added", G_CALLBACK (remove_added), NULL);
  g_signal_connect (server, "peer-added", G_CALLBACK (note_added), told);
  g_signal_connect (server, "peer-removed", G_CALLBACK (note_removed), told);
  add_number (server, 0, 1234);
  g_assert_cmpstr (told->str, ==, "+-");
  g_signal_connect (es_udp_server_get_peers (server), "items-changed", G_CALLBACK (remove_shown),
                    server);
  add_number (server, 1, 1234);
  g_assert_cmpstr (told->str, ==, "+-+-");
  assert_shown (witness);
}

static void
drop_server (EsUdpServer *server,
             EsPeer *peer,
             gpointer user_data)
{
  g_clear_object ((EsUdpServer **) user_data);
}

static void
test_peer_removed_with_last_reference (void)
{
  EsUdpServer *server = es_test_start_server ();
  gpointer watched = server;

  g_test_summary ("Whoever is told of a peer may let the server go.");

  g_object_add_weak_pointer (G_OBJECT (server), &watched);
  g_signal_connect (server, "peer-added", G_CALLBACK (drop_server), &server);
  add_number (server, 0, 1234);
  g_assert_null (server);
  g_assert_null (watched);
}

static void
drop_silent (EsUdpServer *server,
             EsPeer *peer,
             EsPeerRemoved reason,
             gpointer user_data)
{
  g_clear_object ((EsUdpServer **) user_data);
}

static void
test_peer_silent_with_last_reference (void)
{
  EsUdpServer *server = es_test_start_server ();
  gpointer watched = server;

  g_test_summary ("Whoever is told that a peer fell silent may let the server go.");

  g_object_add_weak_pointer (G_OBJECT (server), &watched);
  g_signal_connect (server, "peer-removed", G_CALLBACK (drop_silent), &server);
  set_ping (server, 1, 1);
  add_number (server, 0, 1234);
  es_test_wait_until (watched == NULL);
  g_assert_null (server);
}

#define N_SHARED 50

static gpointer
come_and_go (gpointer data)
{
  guint n_turns = es_test_is_slow () ? 100 : 2000;

  for (guint i = 0; i < n_turns; i++)
    {
      g_autoptr (GSocketAddress) address = make_address (g_random_int_range (0, N_SHARED), 1234);
      g_autoptr (EsPeer) found = es_udp_server_lookup_peer (data, address);
      g_autoptr (EsPeer) peer = es_udp_server_add_peer (data, address);

      if (i % 3 != 0)
        es_udp_server_remove_peer (data, peer);
    }
  return NULL;
}

static void
test_peer_is_served_to_threads (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  GThread *threads[8];

  g_test_summary ("Eight threads add, find and remove the same peers, and the list follows.");

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("comer", come_and_go, server);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  es_test_settle ();

  assert_shown (witness);
  g_assert_cmpuint (witness->shown->len, <=, N_SHARED);
  g_assert_cmpuint (witness->n_added - witness->n_removed[ES_PEER_REMOVED_REQUESTED],
                    ==, witness->shown->len);
  for (guint i = 0; i < witness->shown->len; i++)
    g_assert_true (es_udp_server_remove_peer (server, witness->shown->pdata[0]));
}

/* Who is alive. */

static void
test_peer_is_pinged_when_silent (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  EsPeer *peer;

  g_test_summary ("A peer is pinged when it was silent for the interval, and no sooner.");

  set_ping (server, 50, 0);
  peer = admit (server, talker);
  for (guint i = 1; i <= 3; i++)
    {
      assert_hears (talker, "PING");
      g_assert_cmpint (g_get_monotonic_time (), >=, es_peer_get_last_heard (peer) + 50000 * i);
      g_assert_cmpuint (es_peer_get_missed_pings (peer), >=, i);
    }
}

static void
test_peer_proves_life_by_any_word (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  EsPeer *peer = admit (server, talker);

  g_test_summary ("Whatever a pinged peer says, it stays, and has missed nothing.");

  set_ping (server, 500, 1);
  for (guint i = 0; i < 3; i++)
    {
      gint64 before = es_peer_get_last_heard (peer);

      assert_hears (talker, "PING");
      es_test_say (talker, i == 0 ? "" : "anything");
      es_test_wait_until (es_peer_get_last_heard (peer) > before);
      g_assert_cmpint (es_peer_get_last_heard (peer), >=, before + 500000);
      g_assert_cmpuint (es_peer_get_missed_pings (peer), ==, 0);
    }
  g_assert_cmpuint (witness->n_removed[ES_PEER_REMOVED_SILENT], ==, 0);
}

static void
test_peer_puts_ping_off_by_a_word (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  EsPeer *peer = admit (server, talker);
  gint64 end = g_get_monotonic_time () + 100000;

  g_test_summary ("Who speaks before its time is pinged an interval after its last word.");

  set_ping (server, 200, 0);
  es_test_wait_until (g_get_monotonic_time () >= end);
  es_test_say (talker, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  assert_hears (talker, "PING");
  g_assert_cmpint (g_get_monotonic_time (), >=, es_peer_get_last_heard (peer) + 200000);
}

static void
test_peer_is_removed_when_silent (gconstpointer data)
{
  guint max_missed = GPOINTER_TO_UINT (data);
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

  g_test_summary ("A silent peer gets so many pings, and is removed at the end of the "
                  "interval after the last.");

  witness->lifetime = (max_missed + 1) * G_USEC_PER_SEC / 2;
  witness->tolerance = es_test_is_slow () ? 60 * G_USEC_PER_SEC : G_USEC_PER_SEC / 2;
  set_ping (server, 500, max_missed);
  admit (server, talker);
  es_test_wait_until (witness->n_removed[ES_PEER_REMOVED_SILENT] == 1);
  g_assert_cmpuint (witness->n_early, ==, 0);
  g_assert_cmpuint (witness->n_late, ==, 0);
  g_assert_false (knows (server, talker));
  for (guint i = 0; i < max_missed; i++)
    assert_hears (talker, "PING");
  g_assert_false (es_test_can_hear (talker));
}

static void
test_peer_is_never_removed_at_0 (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

  g_test_summary ("With 0 for the missed pings a silent peer is pinged for ever.");

  set_ping (server, 1, 0);
  admit (server, talker);
  for (guint i = 0; i < 50; i++)
    assert_hears (talker, "PING");
  g_assert_true (knows (server, talker));
}

static void
test_peer_is_pinged_as_last_told (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GBytes) other = g_bytes_new_static ("HELLO?", 6);
  gint64 end;

  g_test_summary ("Keepalive acts at once: it is changed and ended while the server runs.");

  set_ping (server, 3600 * 1000, 1);
  admit (server, talker);
  es_udp_server_set_keepalive (server, other, 1, 0);
  assert_hears (talker, "HELLO?");
  es_udp_server_set_keepalive (server, NULL, 0, 0);
  while (es_test_can_hear (talker))
    assert_hears (talker, "HELLO?");
  end = g_get_monotonic_time () + 30000;
  es_test_wait_until (g_get_monotonic_time () >= end);
  g_assert_false (es_test_can_hear (talker));
}

/* Sends to all. */

static void
test_peer_is_sent_what_all_are (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GBytes) message = g_bytes_new_static ("hello all", 9);
  GSocket *talkers[5];
  EsPeer *last = NULL;

  g_test_summary ("A message to all is heard by all, except by who is left out.");

  g_assert_cmpuint (es_udp_server_send_to_peers (server, message, NULL), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (talkers); i++)
    {
      talkers[i] = es_test_new_talker (server, "127.0.0.1");
      last = admit (server, talkers[i]);
    }
  g_assert_cmpuint (es_udp_server_send_to_peers (server, message, last), ==,
                    G_N_ELEMENTS (talkers) - 1);
  for (guint i = 0; i < G_N_ELEMENTS (talkers) - 1; i++)
    assert_hears (talkers[i], "hello all");
  g_assert_false (es_test_can_hear (talkers[G_N_ELEMENTS (talkers) - 1]));
  g_assert_cmpuint (es_udp_server_send_to_peers (server, message, NULL), ==,
                    G_N_ELEMENTS (talkers));
  for (guint i = 0; i < G_N_ELEMENTS (talkers); i++)
    {
      assert_hears (talkers[i], "hello all");
      g_object_unref (talkers[i]);
    }
}

static void
test_peer_is_one_of_ten_thousand (void)
{
  const guint n_peers = es_test_is_slow () ? 1000 : 10000;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpServer) members = es_test_start_server ();
  g_autoptr (GBytes) message = g_bytes_new_static ("hello all", 9);
  g_autoptr (EsStats) stats = NULL;
  int n_heard = 0;

  g_test_summary ("A message to ten thousand peers leaves in batches, one for each.");

  es_endpoint_set_receive_buffer_size (ES_ENDPOINT (members), 16 * 1024 * 1024);
  es_endpoint_set_message_func (ES_ENDPOINT (members), es_test_count, &n_heard, NULL);
  for (guint i = 0; i < n_peers; i++)
    add_number (server, i, es_udp_server_get_port (members));
  g_assert_cmpuint (es_udp_server_send_to_peers (server, message, NULL), ==, n_peers);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_sent, ==, n_peers);
  if (es_test_has_mmsg ())
    g_assert_cmpuint (stats->send_calls, <=, n_peers / 20);

  es_test_settle ();
  g_clear_pointer (&stats, es_stats_free);
  stats = es_endpoint_get_stats (ES_ENDPOINT (members));
  g_assert_cmpuint (n_heard + stats->dropped_by_kernel, ==, n_peers);
  g_assert_cmpuint (n_heard, >, 0);
}

/* Many. */

static void
test_peer_stays_if_it_answers (void)
{
  const guint n_each = es_test_is_slow () ? 100 : 5000;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpServer) lively = es_test_start_echo_server ();
  g_autoptr (EsUdpServer) silent = es_test_start_server ();
  g_autoptr (Witness) witness = witness_new (server);
  gint64 end;

  g_test_summary ("Of ten thousand members half fall silent: exactly those leave, each within an "
                  "interval of when it is due.");

  if (!es_test_has_mmsg ())
    {
      g_test_skip ("the portable calls do not answer from where they were asked");
      return;
    }
  witness->lifetime = 4 * G_USEC_PER_SEC;
  witness->tolerance = es_test_is_slow () ? 60 * G_USEC_PER_SEC : 2 * G_USEC_PER_SEC;
  for (guint i = 0; i < n_each; i++)
    {
      add_number (server, i, es_udp_server_get_port (lively));
      add_number (server, i, es_udp_server_get_port (silent));
    }
  set_ping (server, 2000, 1);
  es_test_wait_until (witness->n_removed[ES_PEER_REMOVED_SILENT] >= n_each);
  end = g_get_monotonic_time () + G_USEC_PER_SEC / 2;
  es_test_wait_until (g_get_monotonic_time () > end);

  g_assert_cmpuint (witness->n_removed[ES_PEER_REMOVED_SILENT], ==, n_each);
  g_assert_cmpuint (witness->n_early, ==, 0);
  g_assert_cmpuint (witness->n_late, ==, 0);
  for (guint i = 0; i < n_each; i++)
    {
      g_autoptr (GSocketAddress) address = make_address (i, es_udp_server_get_port (lively));
      g_autoptr (EsPeer) peer = es_udp_server_lookup_peer (server, address);

      g_assert_nonnull (peer);
    }
}

#define N_MANY 100000

/* (transfer full) The address is made before the measuring begins. */
static GPtrArray *
make_addresses (guint n)
{
  GPtrArray *addresses = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (addresses, make_address (i % 50000, 1234 + i / 50000));
  return addresses;
}

static void
add_all (EsUdpServer *server,
         GPtrArray *addresses)
{
  for (guint i = 0; i < addresses->len; i++)
    g_object_unref (es_udp_server_add_peer (server, addresses->pdata[i]));
}

static gsize
get_allocated (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static void
test_peer_takes_little_memory (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  gsize nothing = get_allocated ();
  g_autoptr (GPtrArray) addresses = make_addresses (N_MANY);
  gsize before = get_allocated ();
  gssize taken;

  g_test_summary ("Of a hundred thousand peers, each takes at most 300 bytes over its address.");

  if (es_test_is_slow () || before - nothing < N_MANY)
    {
      g_test_skip ("what is allocated cannot be measured here");
      return;
    }
  set_ping (server, 3600 * 1000, 1);
  add_all (server, addresses);
  /* A peer has an address of its own, so that the application may let go of the one it made. */
  taken = (get_allocated () - before) - (before - nothing);
  g_test_message ("%.0f bytes a peer", (double) taken / N_MANY);
  g_assert_cmpint (taken / N_MANY, <=, 300);
}

static gint64
get_cpu_time (void)
{
  struct rusage usage;

  g_assert_no_errno (getrusage (RUSAGE_THREAD, &usage));
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * G_USEC_PER_SEC + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_usec;
}

static gboolean
set_true (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
test_peer_takes_little_time (void)
{
  const guint n_peers = es_test_is_slow () ? 1000 : N_MANY;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GPtrArray) addresses = make_addresses (n_peers);
  gboolean is_over = FALSE;
  gint64 spent;

  g_test_summary ("Between pings, a hundred thousand peers take under 2 % of a core.");

  set_ping (server, 3600 * 1000, 3);
  add_all (server, addresses);
  es_test_settle ();
  g_timeout_add (1000, set_true, &is_over);
  spent = get_cpu_time ();
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
  spent = get_cpu_time () - spent;
  g_test_message ("%.2f %% of a core", spent / 10000.0);
  if (!es_test_is_slow ())
    g_assert_cmpint (spent, <, 20000);
}

static void
test_peer_refuses_nothing (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GBytes) ping = g_bytes_new_static ("PING", 4);

  g_test_summary ("What is no server, address, peer or message is refused, "
                  "and so is an interval of 0.");

  es_test_assert_critical (es_udp_server_add_peer (NULL, NULL), "ES_IS_UDP_SERVER (self)");
  es_test_assert_critical (es_udp_server_add_peer (server, NULL), "G_IS_SOCKET_ADDRESS (address)");
  es_test_assert_critical (es_udp_server_lookup_peer (server, NULL),
                           "G_IS_SOCKET_ADDRESS (address)");
  es_test_assert_critical (es_udp_server_remove_peer (server, NULL), "ES_IS_PEER (peer)");
  es_test_assert_critical (es_udp_server_send_to_peers (server, NULL, NULL), "message != NULL");
  es_test_assert_critical (es_udp_server_send_to_peers (server, ping, (gpointer) server),
                           "except == NULL || ES_IS_PEER (except)");
  es_test_assert_critical (es_udp_server_set_keepalive (server, ping, 0, 1),
                           "ping == NULL || interval_ms > 0");
  es_test_assert_critical (es_udp_server_get_peers (NULL), "ES_IS_UDP_SERVER (self)");
  es_test_assert_critical (es_peer_get_address (NULL), "ES_IS_PEER (self)");
  es_test_assert_critical (es_peer_get_last_heard (NULL), "ES_IS_PEER (self)");
  es_test_assert_critical (es_peer_get_missed_pings (NULL), "ES_IS_PEER (self)");
}

static void
add_keepalive_tests (void)
{
  g_test_add_func ("/peer/is-pinged-when-silent", test_peer_is_pinged_when_silent);
  g_test_add_func ("/peer/proves-life-by-any-word", test_peer_proves_life_by_any_word);
  g_test_add_func ("/peer/puts-ping-off-by-a-word", test_peer_puts_ping_off_by_a_word);
  g_test_add_data_func ("/peer/is-removed-when-silent-1", GUINT_TO_POINTER (1),
                        test_peer_is_removed_when_silent);
  g_test_add_data_func ("/peer/is-removed-when-silent-3", GUINT_TO_POINTER (3),
                        test_peer_is_removed_when_silent);
  g_test_add_func ("/peer/is-never-removed-at-0", test_peer_is_never_removed_at_0);
  g_test_add_func ("/peer/is-pinged-as-last-told", test_peer_is_pinged_as_last_told);
}

static void
add_list_tests (void)
{
  g_test_add_func ("/peer/list-keeps-order", test_peer_list_keeps_order);
  g_test_add_data_func ("/peer/list-changes-at-home-threaded", "threaded",
                        test_peer_list_changes_at_home);
  g_test_add_data_func ("/peer/list-changes-at-home-workers", "workers",
                        test_peer_list_changes_at_home);
  g_test_add_func ("/peer/removed-while-it-is-told", test_peer_removed_while_it_is_told);
  g_test_add_func ("/peer/removed-with-last-reference", test_peer_removed_with_last_reference);
  g_test_add_func ("/peer/silent-with-last-reference", test_peer_silent_with_last_reference);
  g_test_add_func ("/peer/is-served-to-threads", test_peer_is_served_to_threads);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/peer/is-admitted-by-application", test_peer_is_admitted_by_application);
  g_test_add_func ("/peer/is-the-same-for-its-address", test_peer_is_the_same_for_its_address);
  g_test_add_func ("/peer/is-removed-on-request", test_peer_is_removed_on_request);
  g_test_add_func ("/peer/leaves-when-server-stops", test_peer_leaves_when_server_stops);
  g_test_add_func ("/peer/leaves-with-server", test_peer_leaves_with_server);
  add_list_tests ();
  add_keepalive_tests ();
  g_test_add_func ("/peer/is-sent-what-all-are", test_peer_is_sent_what_all_are);
  g_test_add_func ("/peer/is-one-of-ten-thousand", test_peer_is_one_of_ten_thousand);
  g_test_add_func ("/peer/stays-if-it-answers", test_peer_stays_if_it_answers);
  g_test_add_func ("/peer/takes-little-memory", test_peer_takes_little_memory);
  g_test_add_func ("/peer/takes-little-time", test_peer_takes_little_time);
  g_test_add_func ("/peer/refuses-nothing", test_peer_refuses_nothing);
  return g_test_run ();
}
