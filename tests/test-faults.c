/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a kernel may do to an endpoint: the calls below come before libc's, and fail when told. */

static struct
{
  int fd; /* of the socket that has these faults */
  int n_sends;
  int send_errno;
  int n_receives;
  int receive_errno;
  int stranger;     /* a socket that sends something each time before that one receives */
  int socket_errno; /* of IPv6 sockets */
  int bind_errno;   /* of IPv6 sockets */
} faults;

static gboolean
takes_fault (int fd,
             int *n,
             int problem)
{
  if (fd != faults.fd || *n == 0)
    return FALSE;
  --*n;
  errno = problem;
  return TRUE;
}

int
sendmmsg (int fd,
          struct mmsghdr *messages,
          unsigned int n_messages,
          int flags)
{
  if (takes_fault (fd, &faults.n_sends, faults.send_errno))
    return -1;
  return syscall (SYS_sendmmsg, fd, messages, n_messages, flags);
}

ssize_t
sendmsg (int fd,
         const struct msghdr *message,
         int flags)
{
  if (takes_fault (fd, &faults.n_sends, faults.send_errno))
    return -1;
  return syscall (SYS_sendmsg, fd, message, flags);
}

int
recvmmsg (int fd,
          struct mmsghdr *messages,
          unsigned int n_messages,
          int flags,
          struct timespec *timeout)
{
  if (takes_fault (fd, &faults.n_receives, faults.receive_errno))
    return -1;
  if (fd == faults.fd && faults.stranger > 0)
    syscall (SYS_sendto, faults.stranger, "more", 4, 0, NULL, 0);
  return syscall (SYS_recvmmsg, fd, messages, n_messages, flags, timeout);
}

int
socket (int family,
        int type,
        int protocol)
{
  if (family == AF_INET6 && faults.socket_errno != 0)
    {
      errno = faults.socket_errno;
      return -1;
    }
  return syscall (SYS_socket, family, type, protocol);
}

int
bind (int fd,
      const struct sockaddr *address,
      socklen_t size)
{
  if (address->sa_family == AF_INET6 && faults.bind_errno != 0)
    {
      errno = faults.bind_errno;
      return -1;
    }
  return syscall (SYS_bind, fd, address, size);
}

static void
set_faults_of (gpointer endpoint)
{
  faults.fd = g_socket_get_fd (es_endpoint_get_socket (endpoint));
}

static void
clear_faults (void)
{
  memset (&faults, 0, sizeof faults);
}

static void
assert_echoes (gpointer server)
{
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *answer = NULL;

  es_test_say (talker, "hello");
  answer = es_test_hear (talker);
  g_assert_cmpstr (answer, ==, "hello");
}

/* Sends until the queue is full. Returns how many were accepted. */
static guint
fill_queue (gpointer endpoint,
            GSocketAddress *address)
{
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (es_endpoint_send_text (endpoint, "hello", address, &error))
    n++;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_assert_true (g_str_has_suffix (error->message, ": The queue of messages to send is full"));
  return n;
}

static void
count_writable (EsEndpoint *endpoint,
                gpointer user_data)
{
  ++*(int *) user_data;
}

static void
test_faults_full_queue (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) listener = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (listener, NULL);
  g_autoptr (EsStats) stats = NULL;
  int n_writable = 0;
  guint n_accepted;

  g_test_summary ("Where the kernel has no room a queue takes what it can, then says so, and says when it has room.");

  g_signal_connect (server, "writable", G_CALLBACK (count_writable), &n_writable);
  set_faults_of (server);
  faults.n_sends = G_MAXINT;
  faults.send_errno = EAGAIN;
  n_accepted = fill_queue (server, address);
  g_assert_cmpuint (n_accepted, >=, 1000);
  g_assert_cmpint (n_writable, ==, 0);

  clear_faults ();
  es_test_wait_until (n_writable == 1);
  es_test_settle ();
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_sent, ==, n_accepted);
  g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
  es_test_settle ();
  g_assert_cmpint (n_writable, ==, 1);
}

static void
test_faults_stop_gives_up (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;
  gint64 begin;

  g_test_summary ("What the kernel does not take within a second of the stop is counted as unsent.");

  set_faults_of (server);
  faults.n_sends = G_MAXINT;
  faults.send_errno = EAGAIN;
  for (int i = 0; i < 10; i++)
    g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
  begin = g_get_monotonic_time ();
  es_endpoint_stop (ES_ENDPOINT (server));
  clear_faults ();

  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 900 * 1000);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_unsent, ==, 10);
  g_assert_cmpuint (stats->messages_sent, ==, 0);
}

static gpointer
look_while_it_stops (gpointer endpoint)
{
  g_autoptr (EsStats) stats = NULL;

  es_test_spin_until (!es_endpoint_is_running (endpoint));
  stats = es_endpoint_get_stats (endpoint);
  g_assert_cmpuint (stats->messages_sent, ==, 3);
  return NULL;
}

static void
test_faults_stop_hides_nothing (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  GThread *thread = g_thread_new ("onlooker", look_while_it_stops, server);

  g_test_summary ("While a stop takes its time, others see all that was counted so far.");

  for (int i = 0; i < 3; i++)
    g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
  set_faults_of (server);
  faults.n_sends = G_MAXINT;
  faults.send_errno = EAGAIN;
  g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
  es_endpoint_stop (ES_ENDPOINT (server));
  clear_faults ();

  g_thread_join (thread);
}

static void
test_faults_stop_in_flood (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) stranger = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("A stop reads what waits, but not what goes on coming.");

  es_test_leave_unread (server, 10);
  set_faults_of (server);
  faults.stranger = g_socket_get_fd (stranger);
  es_endpoint_stop (ES_ENDPOINT (server));
  clear_faults ();

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_at_stop, ==, 10);
  g_assert_cmpuint (stats->dropped_by_kernel, >, 0);
}

static void
test_faults_stop_tries (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsUdpServer) sink = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (sink);
  g_autoptr (GSocketAddress) address = es_test_address_of (sink, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("What the kernel takes soon after the stop has left, in order.");

  set_faults_of (server);
  faults.n_sends = 25;
  faults.send_errno = EAGAIN;
  for (char digit = '0'; digit <= '9'; digit++)
    g_assert_true (es_endpoint_send_data (ES_ENDPOINT (server), (guint8 *) &digit, 1, address, NULL));
  es_endpoint_stop (ES_ENDPOINT (server));
  es_test_wait_until (es_test_inbox_get_n (inbox) == 10);

  for (int i = 0; i < 10; i++)
    g_assert_cmpint (es_test_inbox_get_text (inbox, i)[0], ==, '0' + i);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_unsent, ==, 0);
  g_assert_cmpuint (stats->messages_sent, ==, 10);
}

static void
test_faults_send_refused (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 9);
  g_autoptr (EsStats) stats = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What the kernel says of one message is the error of that send, and of no other.");

  set_faults_of (server);
  faults.n_sends = 1;
  faults.send_errno = EPERM;
  g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpstr (error->message, ==, "Could not send to 127.0.0.1:9: Operation not permitted");

  assert_echoes (server);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->send_errors, ==, 1);
  g_assert_cmpuint (stats->messages_sent, ==, 1);
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
test_faults_answer_refused (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) receiver = NULL;
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("What the kernel says of an answer is told by error, with the receiver.");

  g_signal_connect (server, "error", G_CALLBACK (keep_address), &receiver);
  set_faults_of (server);
  faults.n_sends = 1;
  faults.send_errno = EPERM;
  es_test_leave_unread (server, 1);
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);
  g_assert_error (es_test_inbox_get_error (inbox, 0), G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_true (es_address_equal (receiver, es_test_inbox_get_address (inbox, 0)));

  assert_echoes (server);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->send_errors, ==, 1);
}

static void
test_faults_receive_fails (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("An error of reception is told, and the endpoint hears on.");

  set_faults_of (server);
  faults.n_receives = 1;
  faults.receive_errno = ENOMEM;
  es_test_leave_unread (server, 100);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 100);

  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), ==, 1);
  g_assert_true (g_str_has_prefix (es_test_inbox_get_error (inbox, 0)->message, "Could not receive: "));
  g_assert_true (g_str_has_suffix (es_test_inbox_get_error (inbox, 0)->message, "Cannot allocate memory"));
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->receive_errors, ==, 1);
}

static void
test_faults_interrupted (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("A call that is interrupted is made again, and nobody hears of it.");

  set_faults_of (server);
  faults.n_receives = 3;
  faults.receive_errno = EINTR;
  faults.n_sends = 3;
  faults.send_errno = EINTR;
  assert_echoes (server);

  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), ==, 0);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->send_errors + stats->receive_errors, ==, 0);
}

static void
assert_is_ip4 (gpointer endpoint)
{
  g_autoptr (GSocketAddress) address = es_endpoint_get_local_address (endpoint);

  g_assert_cmpint (g_socket_address_get_family (address), ==, G_SOCKET_FAMILY_IPV4);
}

static void
test_faults_without_ip6 (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where IPv6 is off, server and client speak IPv4, without being told.");

  if (GPOINTER_TO_INT (data) == EADDRNOTAVAIL)
    faults.bind_errno = EADDRNOTAVAIL;
  else
    faults.socket_errno = EAFNOSUPPORT;
  es_endpoint_start (ES_ENDPOINT (server), &error);
  g_assert_no_error (error);
  address = es_test_address_of (server, "127.0.0.1");
  es_endpoint_send_text (ES_ENDPOINT (client), "hello", address, &error);
  g_assert_no_error (error);
  clear_faults ();

  assert_is_ip4 (server);
  assert_is_ip4 (client);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
}

static void
test_faults_ip6_asked_for (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where IPv6 is off, a server that asks for it is told.");

  es_udp_server_set_address (server, "::1");
  faults.socket_errno = EAFNOSUPPORT;
  g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));
  clear_faults ();

  g_assert_nonnull (error);
  g_assert_true (g_str_has_prefix (error->message, "Could not listen at [::1]:0: "));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/faults/full-queue", test_faults_full_queue);
  g_test_add_func ("/faults/stop-gives-up", test_faults_stop_gives_up);
  g_test_add_func ("/faults/stop-hides-nothing", test_faults_stop_hides_nothing);
  g_test_add_func ("/faults/stop-in-flood", test_faults_stop_in_flood);
  g_test_add_func ("/faults/stop-tries", test_faults_stop_tries);
  g_test_add_func ("/faults/send-refused", test_faults_send_refused);
  g_test_add_func ("/faults/answer-refused", test_faults_answer_refused);
  g_test_add_func ("/faults/receive-fails", test_faults_receive_fails);
  g_test_add_func ("/faults/interrupted", test_faults_interrupted);
  g_test_add_data_func ("/faults/without-ip6", GINT_TO_POINTER (EAFNOSUPPORT), test_faults_without_ip6);
  g_test_add_data_func ("/faults/without-ip6-addresses", GINT_TO_POINTER (EADDRNOTAVAIL), test_faults_without_ip6);
  g_test_add_func ("/faults/ip6-asked-for", test_faults_ip6_asked_for);
  return g_test_run ();
}
