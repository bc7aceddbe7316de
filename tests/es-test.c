/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test.h"

#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What the tests share: endpoints on the loopback, talkers that know nothing of the library, and
 * waiting for conditions.
 */

#define NOBODY 65534

gint64
es_test_get_deadline (void)
{
  return g_get_monotonic_time () + (es_test_is_slow () ? 300 : 50) * G_USEC_PER_SEC;
}

static gboolean
end_moment (gpointer user_data)
{
  return G_SOURCE_REMOVE;
}

/* Iterates the thread-default main context once, for a moment at most. Returns FALSE when the
 * deadline is over. */
gboolean
es_test_iterate (gint64 deadline)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();
  g_autoptr (GSource) moment = g_timeout_source_new (1);

  g_source_set_callback (moment, end_moment, NULL, NULL);
  g_source_attach (moment, context);
  g_main_context_iteration (context, TRUE);
  g_source_destroy (moment);
  return g_get_monotonic_time () < deadline;
}

/* Lets other threads run. Returns FALSE when the deadline is over. */
gboolean
es_test_spin (gint64 deadline)
{
  g_thread_yield ();
  return g_get_monotonic_time () < deadline;
}

/* Lets the thread-default main context do all that it can do now. */
void
es_test_settle (void)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();

  while (g_main_context_iteration (context, FALSE))
    ;
}

/* Whether the processor is emulated, so that fewer messages have to do. */
gboolean
es_test_is_slow (void)
{
  const char *preloaded = g_getenv ("LD_PRELOAD");

  return g_getenv ("ES_TEST_SLOW") != NULL ||
         (preloaded != NULL && strstr (preloaded, "vgpreload") != NULL);
}

#ifdef HAVE_SENDMMSG
gboolean
es_test_has_mmsg (void)
{
  return TRUE;
}
#else
gboolean
es_test_has_mmsg (void)
{
  return FALSE;
}
#endif

gboolean
es_test_has_ip6 (void)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV6, G_SOCKET_TYPE_DATAGRAM,
                                             G_SOCKET_PROTOCOL_UDP, NULL);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("::1", 0);

  return socket != NULL && g_socket_bind (socket, address, FALSE, NULL);
}

/* Whether the test is to be skipped, and is, since this host has no such address. */
gboolean
es_test_lacks (const char *host)
{
  gboolean is_lacking = strchr (host, ':') != NULL && !es_test_has_ip6 ();

  if (is_lacking)
    g_test_skip ("the host has no ::1");
  return is_lacking;
}

/* Whether es_test_become_nobody() is possible. */
gboolean
es_test_can_become_nobody (void)
{
  int status = -1;
  pid_t child;

  if (geteuid () != 0)
    return TRUE;
  child = fork ();
  if (child == 0)
    _exit (setresuid (NOBODY, NOBODY, NOBODY) == 0 ? 0 : 1);
  waitpid (child, &status, 0);
  return status == 0;
}

/* Gives up what root may do. For subprocesses. */
void
es_test_become_nobody (void)
{
  if (geteuid () == 0)
    g_assert_no_errno (setresuid (NOBODY, NOBODY, NOBODY));
}

struct _EsTestInbox
{
  GObject *endpoint; /* (nullable) weak */

  /* Under the lock. */
  GMutex lock;
  GPtrArray *messages;  /* (owned) of (owned) GBytes */
  GPtrArray *addresses; /* (owned) of (owned) GSocketAddress */
  GPtrArray *errors;    /* (owned) of (owned) GError */
};

static void
keep_message (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  EsTestInbox *self = user_data;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_assert_nonnull (message);
  g_assert_true (G_IS_SOCKET_ADDRESS (address));
  g_ptr_array_add (self->messages, g_bytes_ref (message));
  g_ptr_array_add (self->addresses, g_object_ref (address));
}

static void
keep_error (EsEndpoint *endpoint,
            GError *error,
            GSocketAddress *address,
            gpointer user_data)
{
  EsTestInbox *self = user_data;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_assert_nonnull (error);
  g_ptr_array_add (self->errors, g_error_copy (error));
}

EsTestInbox *
es_test_inbox_new (gpointer endpoint)
{
  EsTestInbox *self = g_new0 (EsTestInbox, 1);

  g_mutex_init (&self->lock);
  self->messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->addresses = g_ptr_array_new_with_free_func (g_object_unref);
  self->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  g_set_weak_pointer (&self->endpoint, endpoint);
  g_signal_connect (endpoint, "message-received", G_CALLBACK (keep_message), self);
  g_signal_connect (endpoint, "error", G_CALLBACK (keep_error), self);
  return self;
}

void
es_test_inbox_free (EsTestInbox *self)
{
  if (self->endpoint != NULL)
    g_signal_handlers_disconnect_by_data (self->endpoint, self);
  g_clear_weak_pointer (&self->endpoint);
  g_ptr_array_unref (self->messages);
  g_ptr_array_unref (self->addresses);
  g_ptr_array_unref (self->errors);
  g_mutex_clear (&self->lock);
  g_free (self);
}

guint
es_test_inbox_get_n (EsTestInbox *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->messages->len;
}

static gpointer
get_item (EsTestInbox *self,
          GPtrArray *items,
          guint i)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_assert_cmpuint (i, <, items->len);
  return items->pdata[i];
}

GBytes *
es_test_inbox_get_message (EsTestInbox *self,
                           guint i)
{
  return get_item (self, self->messages, i);
}

/* What is received is followed by a NUL byte. */
const char *
es_test_inbox_get_text (EsTestInbox *self,
                        guint i)
{
  return g_bytes_get_data (es_test_inbox_get_message (self, i), NULL);
}

GSocketAddress *
es_test_inbox_get_address (EsTestInbox *self,
                           guint i)
{
  return get_item (self, self->addresses, i);
}

guint
es_test_inbox_get_n_errors (EsTestInbox *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->errors->len;
}

const GError *
es_test_inbox_get_error (EsTestInbox *self,
                         guint i)
{
  return get_item (self, self->errors, i);
}

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

EsUdpServer *
es_test_start_server (void)
{
  EsUdpServer *server = es_udp_server_new (0);

  start (server);
  return server;
}

EsUdpServer *
es_test_start_echo_server (void)
{
  EsUdpServer *server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);

  start (server);
  return server;
}

/* (transfer full) A client that runs and is connected to the server. */
EsUdpClient *
es_test_start_client (EsUdpServer *server)
{
  EsUdpClient *client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GError) error = NULL;

  es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, &error);
  g_assert_no_error (error);
  start (client);
  return client;
}

/* (transfer full) Where an endpoint that runs is reached. */
GSocketAddress *
es_test_address_of (gpointer endpoint,
                    const char *host)
{
  g_autoptr (GSocketAddress) local = es_endpoint_get_local_address (endpoint);
  guint16 port;

  g_assert_true (G_IS_INET_SOCKET_ADDRESS (local));
  port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local));
  return g_inet_socket_address_new_from_string (host, port);
}

/* (transfer full) A socket of the system's own making, at a port that the kernel picks. */
GSocket *
es_test_new_socket (const char *host)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, 0);
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new (g_socket_address_get_family (address), G_SOCKET_TYPE_DATAGRAM,
                                  G_SOCKET_PROTOCOL_UDP, &error);

  g_assert_no_error (error);
  g_socket_set_timeout (socket, 30);
  g_socket_bind (socket, address, FALSE, &error);
  g_assert_no_error (error);
  return socket;
}

/* (transfer full) Such a socket, connected to an endpoint at the given address of this host. */
GSocket *
es_test_new_talker (gpointer endpoint,
                    const char *host)
{
  g_autoptr (GSocketAddress) address = es_test_address_of (endpoint, host);
  GSocket *socket = es_test_new_socket (strchr (host, ':') != NULL ? "::1" : "127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_socket_connect (socket, address, NULL, &error);
  g_assert_no_error (error);
  return socket;
}

/* Sends by a connected socket. */
void
es_test_say (GSocket *socket,
             const char *text)
{
  g_autoptr (GError) error = NULL;
  gssize n = g_socket_send (socket, text, strlen (text), NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (n, ==, strlen (text));
}

gboolean
es_test_can_hear (GSocket *socket)
{
  return (g_socket_condition_check (socket, G_IO_IN) & G_IO_IN) != 0;
}

/* (transfer full) The next message, for which the thread-default main context is iterated. */
char *
es_test_hear (GSocket *socket)
{
  g_autofree char *buffer = g_malloc0 (65536);
  g_autoptr (GError) error = NULL;

  es_test_wait_until (es_test_can_hear (socket));
  g_socket_receive (socket, buffer, 65535, NULL, &error);
  g_assert_no_error (error);
  return g_strdup (buffer);
}

static guint32
get_memory_in_use (GSocket *socket)
{
  guint32 info[SK_MEMINFO_VARS] = { 0 };
  socklen_t size = sizeof info;

  g_assert_no_errno (getsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_MEMINFO, info, &size));
  return info[SK_MEMINFO_RMEM_ALLOC];
}

/* Sends an endpoint messages that say 0, 1, 2 and so on, each when the one before has arrived. They
 * wait in the kernel when this returns: its context is not iterated. */
void
es_test_leave_unread (gpointer endpoint,
                      guint n_messages)
{
  g_autoptr (GSocket) talker = es_test_new_talker (endpoint, "127.0.0.1");
  GSocket *socket = es_endpoint_get_socket (endpoint);

  for (guint i = 0; i < n_messages; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);
      guint32 before = get_memory_in_use (socket);

      es_test_say (talker, text);
      while (get_memory_in_use (socket) == before)
        g_thread_yield ();
    }
}

/* How many messages the endpoint has received in all. */
guint64
es_test_get_n_received (gpointer endpoint)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (endpoint);

  return stats->messages_received;
}

/* Sends from a connected endpoint. */
void
es_test_send (gpointer endpoint,
              const char *text)
{
  g_autoptr (GError) error = NULL;
  gboolean is_accepted = es_endpoint_send_text (endpoint, text, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (is_accepted);
}

/* A handler that answers with the message. */
void
es_test_echo (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  send (endpoint, message, address, &error);
  g_assert_no_error (error);
}

/* A handler that counts in an int. */
void
es_test_count (EsEndpoint *endpoint,
               GBytes *message,
               GSocketAddress *address,
               EsSendFunc send,
               gpointer user_data)
{
  g_atomic_int_inc ((int *) user_data);
}
