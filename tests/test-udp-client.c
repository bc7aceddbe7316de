/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "es-test.h"

#include <string.h>
#include <sys/resource.h>

/* A resolver that knows a few names, and asks no network:
 * one.invalid has an address, two.invalid has first one that nobody may connect to, bad.invalid has
 * two of these, nowhere.invalid has none, and what comes of never.invalid nobody will know. */
#define TEST_TYPE_RESOLVER (test_resolver_get_type ())
G_DECLARE_FINAL_TYPE (TestResolver, test_resolver, TEST, RESOLVER, GResolver)

struct _TestResolver
{
  GResolver parent_instance;
};

G_DEFINE_FINAL_TYPE (TestResolver, test_resolver, G_TYPE_RESOLVER)

/* Nobody may connect to it who has not asked for leave to broadcast. */
#define FORBIDDEN_HOST "127.255.255.255"

static GList *
look_up (const char *name,
         GError **error)
{
  GList *addresses = NULL;

  if (g_str_equal (name, "one.invalid") || g_str_equal (name, "two.invalid"))
    addresses = g_list_prepend (addresses, g_inet_address_new_from_string ("127.0.0.1"));
  if (g_str_equal (name, "two.invalid") || g_str_equal (name, "bad.invalid"))
    addresses = g_list_prepend (addresses, g_inet_address_new_from_string (FORBIDDEN_HOST));
  if (g_str_equal (name, "bad.invalid"))
    addresses = g_list_prepend (addresses, g_inet_address_new_from_string ("255.255.255.255"));
  if (addresses == NULL)
    g_set_error (error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, "Nobody is called %s", name);
  return addresses;
}

static GList *
test_resolver_lookup_by_name (GResolver *resolver,
                              const char *name,
                              GCancellable *cancellable,
                              GError **error)
{
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  return look_up (name, error);
}

static gboolean
return_cancelled (GCancellable *cancellable,
                  gpointer task)
{
  g_task_return_error_if_cancelled (task);
  return G_SOURCE_REMOVE;
}

static void
free_addresses (gpointer addresses)
{
  g_resolver_free_addresses (addresses);
}

static void
test_resolver_lookup_async (GResolver *resolver,
                            const char *name,
                            GResolverNameLookupFlags flags,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, callback, user_data);
  g_autoptr (GSource) source = NULL;
  GList *addresses;
  GError *error = NULL;

  if (g_str_equal (name, "never.invalid"))
    {
      source = g_cancellable_source_new (cancellable);
      g_source_set_callback (source, G_SOURCE_FUNC (return_cancelled), g_steal_pointer (&task),
                             g_object_unref);
      g_source_attach (source, NULL);
      return;
    }
  addresses = (flags & G_RESOLVER_NAME_LOOKUP_FLAGS_IPV6_ONLY) == 0
                ? look_up (name, &error)
                : look_up ("ip6.invalid", &error);
  if (addresses != NULL)
    g_task_return_pointer (task, addresses, free_addresses);
  else
    g_task_return_error (task, error);
}

static GList *
test_resolver_lookup_finish (GResolver *resolver,
                             GAsyncResult *result,
                             GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
test_resolver_class_init (TestResolverClass *klass)
{
  GResolverClass *resolver_class = G_RESOLVER_CLASS (klass);

  resolver_class->lookup_by_name = test_resolver_lookup_by_name;
  resolver_class->lookup_by_name_with_flags_async = test_resolver_lookup_async;
  resolver_class->lookup_by_name_with_flags_finish = test_resolver_lookup_finish;
}

static void
test_resolver_init (TestResolver *self)
{
}

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

static void
connect_to (EsUdpClient *client,
            EsUdpServer *server)
{
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GError) error = NULL;
  gboolean is_connected = es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL,
                                                    &error);

  g_assert_no_error (error);
  g_assert_true (is_connected);
}

static void
assert_echoed (EsUdpClient *client)
{
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);

  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "hello");
}

/* The first send. */

static void
test_udp_client_starts_with_first_send (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("The first send starts a client that was not started.");

  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));
  es_endpoint_send_text (ES_ENDPOINT (client), "hello", address, &error);
  g_assert_no_error (error);
  g_assert_true (es_endpoint_is_running (ES_ENDPOINT (client)));
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "hello");

  g_assert_finalize_object (g_steal_pointer (&client));
}

typedef struct
{
  EsUdpClient *client;     /* (borrowed) */
  GSocketAddress *address; /* (borrowed) */
} Parcel;

static gpointer
send_parcel (gpointer data)
{
  Parcel *parcel = data;
  g_autoptr (GError) error = NULL;

  es_endpoint_send_text (ES_ENDPOINT (parcel->client), "hello", parcel->address, &error);
  g_assert_no_error (error);
  return NULL;
}

static void
note_thread (EsEndpoint *endpoint,
             GBytes *message,
             GSocketAddress *address,
             EsSendFunc send,
             gpointer user_data)
{
  *(GThread **) user_data = g_thread_self ();
}

static void
note_thread_of_notify (GObject *object,
                       GParamSpec *pspec,
                       gpointer user_data)
{
  *(GThread **) user_data = g_thread_self ();
}

static void
test_udp_client_starts_with_first_send_of_a_thread (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  Parcel parcel = { client, address };
  GThread *handled_in = NULL, *notified_in = NULL;

  g_test_summary ("Whichever thread sends first, the client lives in the context of who made it.");

  es_endpoint_set_message_func (ES_ENDPOINT (client), note_thread, &handled_in, NULL);
  g_signal_connect (client, "notify::running", G_CALLBACK (note_thread_of_notify), &notified_in);
  g_thread_join (g_thread_new ("sender", send_parcel, &parcel));
  g_assert_true (es_endpoint_is_running (ES_ENDPOINT (client)));
  g_assert_null (notified_in);
  es_test_wait_until (handled_in != NULL);

  g_assert_true (handled_in == g_thread_self ());
  g_assert_true (notified_in == g_thread_self ());
  g_assert_finalize_object (g_steal_pointer (&client));
}

static void
test_udp_client_starts_once (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  Parcel parcel = { client, address };
  GThread *threads[8];

  g_test_summary ("Where many threads send first, the client starts once, "
                  "and all is sent by one socket.");

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("sender", send_parcel, &parcel);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  es_test_wait_until (es_test_inbox_get_n (inbox) == G_N_ELEMENTS (threads));

  for (gsize i = 1; i < G_N_ELEMENTS (threads); i++)
    g_assert_true (es_address_equal (es_test_inbox_get_address (inbox, 0),
                                     es_test_inbox_get_address (inbox, i)));
}

static void
test_udp_client_stays_stopped (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that was stopped is started by no send, "
                  "and is connected as before when it is.");

  assert_echoed (client);
  es_endpoint_stop (ES_ENDPOINT (client));
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_cmpstr (error->message, ==,
                   "Could not send to the connected server: The endpoint is not running");
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));

  start (client);
  assert_echoed (client);
}

static void
test_udp_client_speaks_to_both (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  const char *hosts[] = { "127.0.0.1", "::1" };

  g_test_summary ("A client that is not connected speaks IPv4 and IPv6, and hears who answers.");

  if (es_test_lacks ("::1"))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      g_autoptr (GSocketAddress) address = es_test_address_of (server, hosts[i]);
      g_autoptr (GError) error = NULL;

      es_endpoint_send_text (ES_ENDPOINT (client), hosts[i], address, &error);
      g_assert_no_error (error);
      es_test_wait_until (es_test_inbox_get_n (inbox) == i + 1);
      g_assert_cmpstr (es_test_inbox_get_text (inbox, i), ==, hosts[i]);
      g_assert_true (es_address_equal (es_test_inbox_get_address (inbox, i), address));
    }
}

static void
test_udp_client_sends_to_nobody (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that is not connected needs an address, and goes on without one.");

  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);

  connect_to (client, server);
  assert_echoed (client);
}

static void
test_udp_client_out_of_descriptors (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GError) error = NULL;
  struct rlimit limit, none;

  g_test_summary ("A machine that is out of descriptors gets an error, "
                  "and the next send works again.");

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  none = (struct rlimit){ 0, limit.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (client), "hello", address, &error));
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  g_assert_nonnull (error);
  g_assert_true (g_str_has_prefix (error->message, "Could not send to 127.0.0.1:"));
  g_assert_true (g_str_has_suffix (error->message, "Too many open files"));
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));

  connect_to (client, server);
  assert_echoed (client);
}

/* Connecting. */

static void
test_udp_client_connects (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GSocketAddress) remote = NULL;

  g_test_summary ("A client that is connected knows its server, and is not started by that.");

  g_assert_null (es_udp_client_get_remote_address (client));
  connect_to (client, server);
  g_object_get (client, "remote-address", &remote, NULL);
  g_assert_true (es_address_equal (remote, address));
  g_assert_true (es_udp_client_get_remote_address (client) == remote);
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));

  assert_echoed (client);
  g_assert_finalize_object (g_steal_pointer (&client));
}

typedef struct
{
  const char *format;
  gboolean has_port;
} Name;

static const Name names[] = {
  { "127.0.0.1:%u", TRUE },
  { "127.0.0.1", FALSE },
  { "[::1]:%u", TRUE },
  { "[::1]", FALSE },
  { "::1", FALSE },
  { "one.invalid:%u", TRUE },
  { "one.invalid", FALSE },
  { "two.invalid:%u", TRUE },
};

/* (transfer full) The name with the server's port, if it has one. */
static char *
write_name (const Name *name,
            EsUdpServer *server)
{
  g_autofree char *port = g_strdup_printf ("%u", es_udp_server_get_port (server));
  g_autoptr (GString) text = g_string_new (name->format);

  g_string_replace (text, "%u", port, 0);
  return g_strdup (text->str);
}

static void
test_udp_client_connects_to_host (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();

  g_test_summary ("A client connects to names and literals, "
                  "with a port or with the one by default.");

  if (es_test_lacks ("::1"))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *name = write_name (&names[i], server);
      guint16 default_port = names[i].has_port ? 9 : es_udp_server_get_port (server);
      g_autoptr (GError) error = NULL;

      es_udp_client_connect_to_host (client, name, default_port, NULL, &error);
      g_assert_no_error (error);
      assert_echoed (client);
    }
}

typedef struct
{
  gboolean is_done;
  GError *error; /* (owned) (nullable) */
} Outcome;

static void
on_connected (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  Outcome *outcome = user_data;
  gboolean is_connected = es_udp_client_connect_to_host_finish (ES_UDP_CLIENT (source), result,
                                                                &outcome->error);

  g_assert_cmpint (is_connected, ==, outcome->error == NULL);
  outcome->is_done = TRUE;
}

static void
test_udp_client_connects_to_host_async (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();

  g_test_summary ("It does so without blocking, too.");

  if (es_test_lacks ("::1"))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *name = write_name (&names[i], server);
      guint16 default_port = names[i].has_port ? 9 : es_udp_server_get_port (server);
      Outcome outcome = { FALSE, NULL };

      es_udp_client_connect_to_host_async (client, name, default_port, NULL, on_connected,
                                           &outcome);
      g_assert_false (outcome.is_done);
      es_test_wait_until (outcome.is_done);
      g_assert_no_error (outcome.error);
      assert_echoed (client);
    }
  es_test_settle ();
  g_assert_finalize_object (g_steal_pointer (&client));
}

static void
assert_cannot_connect (EsUdpClient *client,
                       const char *name,
                       GQuark domain,
                       int code,
                       const char *start_of_message)
{
  g_autoptr (GError) error = NULL;
  Outcome outcome = { FALSE, NULL };

  g_assert_false (es_udp_client_connect_to_host (client, name, 9, NULL, &error));
  g_assert_error (error, domain, code);
  g_assert_true (g_str_has_prefix (error->message, start_of_message));

  es_udp_client_connect_to_host_async (client, name, 9, NULL, on_connected, &outcome);
  g_assert_false (outcome.is_done);
  es_test_wait_until (outcome.is_done);
  g_assert_error (outcome.error, domain, code);
  g_assert_cmpstr (outcome.error->message, ==, error->message);
  g_error_free (outcome.error);
}

static void
test_udp_client_fails_to_connect (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  GSocket *socket = es_endpoint_get_socket (ES_ENDPOINT (client));

  g_test_summary ("What cannot be connected to is an error that says why, "
                  "and the client is as before.");

  assert_cannot_connect (
    client, "nowhere.invalid", G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND,
    "Could not connect to nowhere.invalid:9: Nobody is called nowhere.invalid");
  assert_cannot_connect (client, FORBIDDEN_HOST, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                         "Could not connect to " FORBIDDEN_HOST ":9: Permission denied");
  assert_cannot_connect (client, "bad.invalid", G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                         "Could not connect to " FORBIDDEN_HOST ":9: Permission denied");
  assert_cannot_connect (client, "127.0.0.1:x", G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                         "Could not connect to 127.0.0.1:x: ");

  g_assert_true (es_endpoint_get_socket (ES_ENDPOINT (client)) == socket);
  assert_echoed (client);
}

static void
test_udp_client_fails_to_connect_before_start (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that does not run hears at once that it cannot connect.");

  g_assert_false (es_udp_client_connect_to_host (client, FORBIDDEN_HOST, 9, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_null (es_udp_client_get_remote_address (client));
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (client)));

  connect_to (client, server);
  assert_echoed (client);
}

static void
test_udp_client_connect_cancelled (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Outcome outcome = { FALSE, NULL };

  g_test_summary ("A connect that is cancelled ends, and the client is as before.");

  es_udp_client_connect_to_host_async (client, "never.invalid", 9, cancellable, on_connected,
                                       &outcome);
  es_test_settle ();
  g_assert_false (outcome.is_done);
  g_cancellable_cancel (cancellable);
  es_test_wait_until (outcome.is_done);
  g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_error_free (outcome.error);

  g_assert_false (es_udp_client_connect_to_host (client, "one.invalid", 9, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_echoed (client);
}

static void
test_udp_client_connects_while_nobody_holds_it (void)
{
  EsUdpClient *client = es_udp_client_new ();
  Outcome outcome = { FALSE, NULL };

  g_test_summary ("A client lives until its connect is done, and no longer.");

  g_object_add_weak_pointer (G_OBJECT (client), (gpointer *) &client);
  es_udp_client_connect_to_host_async (client, "one.invalid", 9, NULL, on_connected, &outcome);
  g_object_unref (client);
  g_assert_nonnull (client);
  es_test_wait_until (client == NULL);

  g_assert_true (outcome.is_done);
  g_assert_no_error (outcome.error);
}

/* What being connected means. */

static void
test_udp_client_hears_its_server_alone (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (server);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocket) stranger = es_test_new_talker (client, "127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client that is connected hears its server alone.");

  for (int i = 0; i < 10; i++)
    g_socket_send (stranger, "psst", 4, NULL, NULL);
  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (inbox) > 0);
  es_test_settle ();

  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "hello");
}

static void
test_udp_client_hears_everybody (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);

  g_test_summary ("A client that is not connected hears everybody.");

  start (client);
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (client, "127.0.0.1");

      es_test_say (talker, "hello");
    }

  es_test_wait_until (es_test_inbox_get_n (inbox) == 3);
}

/* A socket that has a port for itself, so that nobody listens there: it hears only whom it is
 * connected to. */
static GSocket *
reserve_port (void)
{
  GSocket *socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) nobody = g_inet_socket_address_new_from_string ("127.0.0.1", 9);

  g_assert_true (g_socket_connect (socket, nobody, NULL, NULL));
  return socket;
}

static void
test_udp_client_is_told_that_nobody_listens (void)
{
  g_autoptr (GSocket) reserved = reserve_port ();
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (reserved, NULL);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocketAddress) own = NULL;

  g_test_summary ("Where nobody listens, an error says so, and the client hears who comes later.");

  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, NULL));
  es_test_send (client, "anybody?");
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
  g_assert_error (es_test_inbox_get_error (inbox, 0), G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);

  own = es_test_address_of (client, "127.0.0.1");
  g_assert_true (g_socket_connect (reserved, own, NULL, NULL));
  es_test_say (reserved, "I am here");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "I am here");
}

static void
test_udp_client_sends_on_where_nobody_listens (void)
{
  g_autoptr (GSocket) reserved = reserve_port ();
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (reserved, NULL);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("That nobody listened to one message is no reason to refuse the next.");

  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, NULL));
  for (int i = 0; i < 10; i++)
    es_test_send (client, "anybody?");
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) > 0);
  es_test_settle ();

  stats = es_endpoint_get_stats (ES_ENDPOINT (client));
  g_assert_cmpuint (stats->messages_sent, ==, 10);
  g_assert_cmpuint (stats->send_errors, ==, 0);
  for (guint i = 0; i < es_test_inbox_get_n_errors (inbox); i++)
    g_assert_error (es_test_inbox_get_error (inbox, i), G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
}

static void
test_udp_client_paused_is_not_woken_by_errors (void)
{
  g_autoptr (GSocket) reserved = reserve_port ();
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (reserved, NULL);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);

  g_test_summary ("A client that is paused does not spin where an error waits, "
                  "and is told it later.");

  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, NULL));
  es_endpoint_set_paused (ES_ENDPOINT (client), TRUE);
  es_test_send (client, "anybody?");
  es_test_settle ();

  es_endpoint_set_paused (ES_ENDPOINT (client), FALSE);
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
}

/* Connecting anew. */

static void
count_notify (GObject *object,
              GParamSpec *pspec,
              gpointer user_data)
{
  ++*(int *) user_data;
}

static void
test_udp_client_reconnects_while_it_runs (void)
{
  g_autoptr (EsUdpServer) first = es_test_start_echo_server ();
  g_autoptr (EsUdpServer) second = es_test_start_echo_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (second);
  g_autoptr (EsUdpClient) client = es_test_start_client (first);
  int n_remote = 0, n_local = 0, n_running = 0;

  g_test_summary ("A client that runs may be connected to another server, and goes on.");

  g_signal_connect (client, "notify::remote-address", G_CALLBACK (count_notify), &n_remote);
  g_signal_connect (client, "notify::local-address", G_CALLBACK (count_notify), &n_local);
  g_signal_connect (client, "notify::running", G_CALLBACK (count_notify), &n_running);
  assert_echoed (client);
  connect_to (client, second);
  assert_echoed (client);

  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 1);
  g_assert_cmpint (n_remote, ==, 1);
  g_assert_cmpint (n_local, ==, 1);
  g_assert_cmpint (n_running, ==, 0);
}

static void
test_udp_client_counts_what_a_reconnect_drops (void)
{
  g_autoptr (EsUdpServer) first = es_test_start_echo_server ();
  g_autoptr (EsUdpServer) second = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) client = es_test_start_client (first);
  g_autoptr (EsTestInbox) asked = es_test_inbox_new (first);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("What the former server said and nobody read is counted; the rest counts on.");

  assert_echoed (client);
  es_endpoint_set_paused (ES_ENDPOINT (client), TRUE);
  es_test_send (client, "one more");
  es_test_wait_until (es_test_inbox_get_n (asked) == 2);
  connect_to (client, second);
  es_endpoint_set_paused (ES_ENDPOINT (client), FALSE);
  assert_echoed (client);

  stats = es_endpoint_get_stats (ES_ENDPOINT (client));
  g_assert_cmpuint (stats->messages_sent, ==, 3);
  g_assert_cmpuint (stats->messages_received, ==, 2);
  g_assert_cmpuint (stats->dropped_at_stop, ==, 1);
}

static void
change_servers (EsEndpoint *endpoint,
                GBytes *message,
                GSocketAddress *address,
                EsSendFunc send,
                gpointer user_data)
{
  EsUdpServer **next = user_data;
  EsUdpServer *server = g_steal_pointer (next);

  if (server == NULL)
    return;
  es_test_send (endpoint, "bye");
  connect_to (ES_UDP_CLIENT (endpoint), server);
  es_test_send (endpoint, "hi");
}

static void
test_udp_client_reconnects_in_handler (void)
{
  g_autoptr (EsUdpServer) first = es_test_start_echo_server ();
  g_autoptr (EsUdpServer) second = es_test_start_echo_server ();
  g_autoptr (EsTestInbox) first_inbox = es_test_inbox_new (first);
  g_autoptr (EsTestInbox) second_inbox = es_test_inbox_new (second);
  g_autoptr (EsUdpClient) client = es_test_start_client (first);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  EsUdpServer *next = second;

  g_test_summary ("A handler that connects anew has said its last words to the former server.");

  es_endpoint_set_message_func (ES_ENDPOINT (client), change_servers, &next, NULL);
  es_test_send (client, "hello");
  es_test_wait_until (es_test_inbox_get_n (first_inbox) == 2 && es_test_inbox_get_n (inbox) == 2);

  g_assert_cmpstr (es_test_inbox_get_text (first_inbox, 1), ==, "bye");
  g_assert_cmpstr (es_test_inbox_get_text (second_inbox, 0), ==, "hi");
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 1), ==, "hi");
  g_assert_finalize_object (g_steal_pointer (&client));
}

/* The caller's mistakes. */

static void
test_udp_client_refuses_strangers (void)
{
  g_autoptr (EsUdpServer) stranger = es_udp_server_new (0);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 9);
  GSocketConnectable *server = G_SOCKET_CONNECTABLE (address);
  EsUdpClient *none[] = { NULL, (gpointer) stranger };

  g_test_summary ("Where a client is asked for, nothing else is taken.");

  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    {
      es_test_assert_critical (es_udp_client_connect_to (none[i], server, NULL, NULL),
                               "ES_IS_UDP_CLIENT (self)");
      es_test_assert_critical (es_udp_client_connect_to_async (none[i], server, NULL, NULL, NULL),
                               "ES_IS_UDP_CLIENT (self)");
      es_test_assert_critical (es_udp_client_connect_to_finish (none[i], NULL, NULL),
                               "ES_IS_UDP_CLIENT (self)");
      es_test_assert_critical (es_udp_client_connect_to_host (none[i], "::1", 9, NULL, NULL),
                               "ES_IS_UDP_CLIENT (self)");
      es_test_assert_critical (
        es_udp_client_connect_to_host_async (none[i], "::1", 9, NULL, NULL, NULL),
        "ES_IS_UDP_CLIENT (self)");
      es_test_assert_critical (es_udp_client_get_remote_address (none[i]),
                               "ES_IS_UDP_CLIENT (self)");
    }
}

static void
test_udp_client_refuses_nothing (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  GSocketConnectable *stranger = (gpointer) client;

  g_test_summary ("No handler and no server are the caller's mistakes, and change nothing.");

  es_test_assert_critical (es_udp_client_new_with_handler (NULL, NULL, NULL), "handler != NULL");
  es_test_assert_critical (es_udp_client_connect_to (client, NULL, NULL, NULL),
                           "G_IS_SOCKET_CONNECTABLE (server)");
  es_test_assert_critical (es_udp_client_connect_to (client, stranger, NULL, NULL),
                           "G_IS_SOCKET_CONNECTABLE (server)");
  es_test_assert_critical (es_udp_client_connect_to_async (client, NULL, NULL, NULL, NULL),
                           "G_IS_SOCKET_CONNECTABLE (server)");
  es_test_assert_critical (es_udp_client_connect_to_host (client, NULL, 9, NULL, NULL),
                           "host_and_port != NULL");
  es_test_assert_critical (es_udp_client_connect_to_host_async (client, NULL, 9, NULL, NULL, NULL),
                           "host_and_port != NULL");

  g_assert_null (es_udp_client_get_remote_address (client));
}

static void
add_send_tests (void)
{
  g_test_add_func ("/udp-client/starts-with-first-send", test_udp_client_starts_with_first_send);
  g_test_add_func ("/udp-client/starts-with-first-send-of-a-thread",
                   test_udp_client_starts_with_first_send_of_a_thread);
  g_test_add_func ("/udp-client/starts-once", test_udp_client_starts_once);
  g_test_add_func ("/udp-client/stays-stopped", test_udp_client_stays_stopped);
  g_test_add_func ("/udp-client/speaks-to-both", test_udp_client_speaks_to_both);
  g_test_add_func ("/udp-client/sends-to-nobody", test_udp_client_sends_to_nobody);
  g_test_add_func ("/udp-client/out-of-descriptors", test_udp_client_out_of_descriptors);
}

static void
add_connect_tests (void)
{
  g_test_add_func ("/udp-client/connects", test_udp_client_connects);
  g_test_add_func ("/udp-client/connects-to-host", test_udp_client_connects_to_host);
  g_test_add_func ("/udp-client/connects-to-host-async", test_udp_client_connects_to_host_async);
  g_test_add_func ("/udp-client/fails-to-connect", test_udp_client_fails_to_connect);
  g_test_add_func ("/udp-client/fails-to-connect-before-start",
                   test_udp_client_fails_to_connect_before_start);
  g_test_add_func ("/udp-client/connect-cancelled", test_udp_client_connect_cancelled);
  g_test_add_func ("/udp-client/connects-while-nobody-holds-it",
                   test_udp_client_connects_while_nobody_holds_it);
}

static void
add_connected_tests (void)
{
  g_test_add_func ("/udp-client/hears-its-server-alone", test_udp_client_hears_its_server_alone);
  g_test_add_func ("/udp-client/hears-everybody", test_udp_client_hears_everybody);
  g_test_add_func ("/udp-client/is-told-that-nobody-listens",
                   test_udp_client_is_told_that_nobody_listens);
  g_test_add_func ("/udp-client/sends-on-where-nobody-listens",
                   test_udp_client_sends_on_where_nobody_listens);
  g_test_add_func ("/udp-client/paused-is-not-woken-by-errors",
                   test_udp_client_paused_is_not_woken_by_errors);
  g_test_add_func ("/udp-client/reconnects-while-it-runs",
                   test_udp_client_reconnects_while_it_runs);
  g_test_add_func ("/udp-client/counts-what-a-reconnect-drops",
                   test_udp_client_counts_what_a_reconnect_drops);
  g_test_add_func ("/udp-client/reconnects-in-handler", test_udp_client_reconnects_in_handler);
}

static void
test_udp_client_leaves_nothing_without_a_loop (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  EsUdpClient *client = es_udp_client_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("A client of a program that never iterates its context goes "
                  "with its last reference.");

  es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, &error);
  g_assert_no_error (error);
  es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, &error);
  g_assert_no_error (error);

  g_assert_finalize_object (client);
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GResolver) resolver = NULL;

  g_test_init (&argc, &argv, NULL);
  resolver = g_object_new (TEST_TYPE_RESOLVER, NULL);
  g_resolver_set_default (resolver);
  add_send_tests ();
  add_connect_tests ();
  add_connected_tests ();
  g_test_add_func ("/udp-client/refuses-strangers", test_udp_client_refuses_strangers);
  g_test_add_func ("/udp-client/refuses-nothing", test_udp_client_refuses_nothing);
  g_test_add_func ("/udp-client/leaves-nothing-without-a-loop",
                   test_udp_client_leaves_nothing_without_a_loop);
  return g_test_run ();
}
