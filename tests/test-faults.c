/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test.h"

#include <errno.h>
#include <netinet/in.h>
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
  int send_limit; /* so many messages it takes in one call, if not 0 */
  guint16 victim; /* the port, in the network's order, to which sends fail */
  int n_victim;   /* so often */
  int n_receives;
  int receive_errno;
  int receive_limit;       /* so many messages it hands over in one call, if not 0 */
  gboolean is_alternating; /* every other call that receives fails */
  int n_receive_calls;
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

static gboolean
is_for_victim (const struct msghdr *message)
{
  const struct sockaddr_in *to = message->msg_name;

  return faults.victim != 0 && faults.n_victim > 0 && to != NULL && to->sin_port == faults.victim;
}

/* How many of the messages the socket takes in one call. */
static unsigned int
count_taken (const struct mmsghdr *messages,
             unsigned int n_messages)
{
  unsigned int limit = faults.send_limit > 0 ? MIN (n_messages, (unsigned int) faults.send_limit)
                                             : n_messages;
  unsigned int n = 0;

  while (n < limit && !is_for_victim (&messages[n].msg_hdr))
    n++;
  return n;
}

int
sendmmsg (int fd,
          struct mmsghdr *messages,
          unsigned int n_messages,
          int flags)
{
  if (takes_fault (fd, &faults.n_sends, faults.send_errno))
    return -1;
  if (fd == faults.fd)
    n_messages = count_taken (messages, n_messages);
  if (n_messages == 0 && takes_fault (fd, &faults.n_victim, faults.send_errno))
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
  if (fd == faults.fd && is_for_victim (message) &&
      takes_fault (fd, &faults.n_victim, faults.send_errno))
    return -1;
  return syscall (SYS_sendmsg, fd, message, flags);
}

static gboolean
takes_receive_fault (int fd)
{
  if (fd == faults.fd && ++faults.n_receive_calls % 2 == 1 && faults.is_alternating)
    return FALSE;
  return takes_fault (fd, &faults.n_receives, faults.receive_errno);
}

static void
say_more (int fd)
{
  if (fd == faults.fd && faults.stranger > 0)
    syscall (SYS_sendto, faults.stranger, "more", 4, 0, NULL, 0);
}

ssize_t
recvmsg (int fd,
         struct msghdr *message,
         int flags)
{
  if (takes_receive_fault (fd))
    return -1;
  say_more (fd);
  return syscall (SYS_recvmsg, fd, message, flags);
}

int
recvmmsg (int fd,
          struct mmsghdr *messages,
          unsigned int n_messages,
          int flags,
          struct timespec *timeout)
{
  if (takes_receive_fault (fd))
    return -1;
  if (fd == faults.fd && faults.receive_limit > 0)
    n_messages = MIN (n_messages, (unsigned int) faults.receive_limit);
  say_more (fd);
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

  g_test_summary ("Where the kernel has no room a queue takes what it can, then says so, "
                  "and says when it has room.");

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

  g_test_summary ("What the kernel does not take within a second of the stop "
                  "is counted as unsent.");

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
    g_assert_true (
      es_endpoint_send_data (ES_ENDPOINT (server), (guint8 *) &digit, 1, address, NULL));
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

  g_test_summary ("What the kernel says of one message is the error of that send, "
                  "and of no other.");

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
  g_assert_true (
    g_str_has_prefix (es_test_inbox_get_error (inbox, 0)->message, "Could not receive: "));
  g_assert_true (
    g_str_has_suffix (es_test_inbox_get_error (inbox, 0)->message, "Cannot allocate memory"));
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

/* How many bytes the server sends to an address before it is refused. */
static guint
use_up (gpointer server,
        GSocketAddress *address)
{
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (es_endpoint_send_text (server, "x", address, &error))
    n++;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  return n;
}

static void
test_faults_earn_nothing (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *text = g_strnfill (1000, 'x');
  g_autoptr (EsPeer) peer = NULL;
  GSocketAddress *address;

  g_test_summary ("What the kernel refuses uses up nothing of what a stranger may be sent, "
                  "and a peer earns nothing by it.");

  es_udp_server_set_amplification_limit (server, 2);
  es_test_say (talker, "0123456789");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  address = es_test_inbox_get_address (inbox, 0);
  set_faults_of (server);
  faults.n_sends = 8;
  faults.send_errno = EPERM;
  for (int i = 0; i < 4; i++)
    g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
  peer = es_udp_server_add_peer (server, address);
  for (int i = 0; i < 4; i++)
    g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), text, address, NULL));
  g_assert_true (es_udp_server_remove_peer (server, peer));
  g_assert_cmpint (faults.n_sends, ==, 0);
  clear_faults ();

  g_assert_cmpuint (use_up (server, address), ==, 20);
}

/* What the kernel may say of a call. */
typedef struct
{
  const char *name;
  int problem;
  gboolean is_passing; /* nothing is wrong: later it will do */
} Problem;

static const Problem send_problems[] = {
  { "EAGAIN", EAGAIN, TRUE },
  { "EINTR", EINTR, TRUE },
  { "ENOBUFS", ENOBUFS, FALSE },
  { "EMSGSIZE", EMSGSIZE, FALSE },
  { "EPERM", EPERM, FALSE },
  { "ENETUNREACH", ENETUNREACH, FALSE },
  { "EHOSTUNREACH", EHOSTUNREACH, FALSE },
  { "ECONNREFUSED", ECONNREFUSED, FALSE },
  { "EACCES", EACCES, FALSE },
  { "EINVAL", EINVAL, FALSE },
  { "EIO", EIO, FALSE },
  { "ENOMEM", ENOMEM, FALSE },
  { "ENETDOWN", ENETDOWN, FALSE },
};

static const Problem receive_problems[] = {
  { "EAGAIN", EAGAIN, TRUE },
  { "EINTR", EINTR, TRUE },
  { "ENOBUFS", ENOBUFS, FALSE },
  { "EMSGSIZE", EMSGSIZE, FALSE },
  { "EPERM", EPERM, FALSE },
  { "ENETUNREACH", ENETUNREACH, FALSE },
  { "EHOSTUNREACH", EHOSTUNREACH, FALSE },
  { "ECONNREFUSED", ECONNREFUSED, FALSE },
  { "EACCES", EACCES, FALSE },
  { "EINVAL", EINVAL, FALSE },
  { "EIO", EIO, FALSE },
  { "ENOMEM", ENOMEM, FALSE },
  { "ENETDOWN", ENETDOWN, FALSE },
};

#define N_MESSAGES 100

/* Whether the test is to be skipped, and is, since GSocket itself makes the call again. */
static gboolean
is_left_to_gsocket (const Problem *problem)
{
  gboolean is_left = !es_test_has_mmsg () &&
                     (problem->problem == EINTR || problem->problem == EINVAL);

  if (is_left)
    g_test_skip ("GSocket makes the call again");
  return is_left;
}

/* Sends numbers, and notes in @accepted which were taken. Returns how many were. */
static guint
send_numbers (gpointer endpoint,
              GSocketAddress *address,
              gboolean *accepted,
              const Problem *problem)
{
  guint n_accepted = 0;

  for (guint i = 0; i < N_MESSAGES; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);
      g_autoptr (GError) error = NULL;

      if (i == N_MESSAGES / 2)
        faults.n_sends = 1;
      accepted[i] = es_endpoint_send_text (endpoint, text, address, &error);
      n_accepted += accepted[i];
      if (!accepted[i])
        g_assert_cmpint (error->code, ==, (int) g_io_error_from_errno (problem->problem));
    }
  return n_accepted;
}

static void
test_faults_send_once (gconstpointer data)
{
  const Problem *problem = data;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) listener = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (listener, NULL);
  g_autoptr (EsStats) stats = NULL;
  gboolean accepted[N_MESSAGES];
  guint n_accepted;

  g_test_summary ("A send that fails once is an error of that send at the most: the others arrive, "
                  "in order.");

  set_faults_of (server);
  faults.send_errno = problem->problem;
  n_accepted = send_numbers (server, address, accepted, problem);
  /* A refusal is news of an earlier message. */
  g_assert_cmpuint (n_accepted, ==,
                    N_MESSAGES - !(problem->is_passing || problem->problem == ECONNREFUSED));
  for (guint i = 0; i < N_MESSAGES; i++)
    if (accepted[i])
      {
        g_autofree char *heard = es_test_hear (listener);

        g_assert_cmpuint (g_ascii_strtoull (heard, NULL, 10), ==, i);
      }

  clear_faults ();
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_sent, ==, n_accepted);
  g_assert_cmpuint (stats->send_errors, ==, N_MESSAGES - n_accepted);
}

/* How many answers come to a talker in all, if that many were sent. */
static void
assert_hears (GSocket *talker,
              guint n_expected)
{
  for (guint i = 0; i < n_expected; i++)
    {
      g_autofree char *heard = es_test_hear (talker);

      g_assert_cmpstr (heard, ==, "hello");
    }
  es_test_settle ();
  g_assert_false (es_test_can_hear (talker));
}

static void
say_many (GSocket *talker,
          guint n_messages)
{
  for (guint i = 0; i < n_messages; i++)
    es_test_say (talker, "hello");
}

static void
test_faults_send_always (gconstpointer data)
{
  const Problem *problem = data;
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("Where no send works the endpoint lives on: each answer is lost under a name, "
                  "or waits.");

  if (is_left_to_gsocket (problem))
    return;
  set_faults_of (server);
  faults.n_sends = G_MAXINT;
  faults.send_errno = problem->problem;
  say_many (talker, N_MESSAGES);
  es_test_wait_until (es_test_inbox_get_n (inbox) == N_MESSAGES);
  if (!problem->is_passing)
    es_test_wait_until (es_test_inbox_get_n_errors (inbox) > 0);
  clear_faults ();
  assert_hears (talker, problem->is_passing ? N_MESSAGES : 0);

  assert_echoes (server);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, N_MESSAGES + 1);
  g_assert_cmpuint (stats->messages_sent + stats->send_errors, ==, N_MESSAGES + 1);
  g_assert_cmpuint (stats->send_errors, ==, problem->is_passing ? 0 : N_MESSAGES);
}

static guint16
port_of (GSocket *socket)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

  return htons (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
}

static void
test_faults_send_amid (gconstpointer data)
{
  const Problem *problem = data;
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (GSocket) first = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocket) victim = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocket) last = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("What is wrong with some answers in the middle of a batch holds up no others.");

  set_faults_of (server);
  faults.victim = port_of (victim);
  faults.n_victim = problem->is_passing ? 1 : G_MAXINT;
  faults.send_errno = problem->problem;
  for (guint i = 0; i < 10; i++)
    {
      say_many (first, 1);
      say_many (victim, 2);
      say_many (last, 1);
    }
  assert_hears (first, 10);
  assert_hears (last, 10);
  assert_hears (victim, problem->is_passing ? 20 : 0);
  clear_faults ();

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, 40);
  g_assert_cmpuint (stats->messages_sent, ==, problem->is_passing ? 40 : 20);
  g_assert_cmpuint (stats->send_errors, ==, problem->is_passing ? 0 : 20);
}

/* All that was sent has come, and so many errors. */
static void
assert_received (gpointer server,
                 EsTestInbox *inbox,
                 guint n_messages,
                 guint n_errors)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (server);

  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, n_messages);
  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), ==, n_errors);
  g_assert_cmpuint (stats->messages_received, ==, n_messages);
  g_assert_cmpuint (stats->receive_errors, ==, n_errors);
  g_assert_cmpuint (stats->dropped_by_kernel, ==, 0);
}

static void
test_faults_receive_once (gconstpointer data)
{
  const Problem *problem = data;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);

  g_test_summary ("A failure of reception is told once, and loses nothing.");

  if (is_left_to_gsocket (problem))
    return;
  set_faults_of (server);
  faults.n_receives = 1;
  faults.receive_errno = problem->problem;
  es_test_leave_unread (server, N_MESSAGES);
  es_test_wait_until (es_test_inbox_get_n (inbox) == N_MESSAGES);
  clear_faults ();

  assert_received (server, inbox, N_MESSAGES, !problem->is_passing);
}

static void
test_faults_receive_amid (gconstpointer data)
{
  const Problem *problem = data;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);

  g_test_summary ("Failures of reception among messages lose none of them, and keep their order.");

  if (is_left_to_gsocket (problem))
    return;
  set_faults_of (server);
  faults.n_receives = 9;
  faults.receive_limit = 10;
  faults.is_alternating = TRUE;
  faults.receive_errno = problem->problem;
  es_test_leave_unread (server, N_MESSAGES);
  es_test_wait_until (es_test_inbox_get_n (inbox) == N_MESSAGES);
  g_assert_cmpint (faults.n_receives, ==, 0);
  clear_faults ();

  assert_received (server, inbox, N_MESSAGES, problem->is_passing ? 0 : 9);
  for (guint i = 0; i < N_MESSAGES; i++)
    g_assert_cmpuint (g_ascii_strtoull (es_test_inbox_get_text (inbox, i), NULL, 10), ==, i);
}

static gboolean
count_tick (gpointer user_data)
{
  ++*(int *) user_data;
  return G_SOURCE_CONTINUE;
}

static void
test_faults_receive_always (gconstpointer data)
{
  const Problem *problem = data;
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  int n_ticks = 0;
  guint timer = g_timeout_add (1, count_tick, &n_ticks);

  g_test_summary ("Where reception does nothing but fail the loop sleeps, others have their turn, "
                  "and then it goes on.");

  if (is_left_to_gsocket (problem))
    return;
  set_faults_of (server);
  faults.n_receives = G_MAXINT;
  faults.receive_errno = problem->problem;
  es_test_leave_unread (server, 10);
  es_test_wait_until (n_ticks >= 50);
  g_assert_cmpint (faults.n_receive_calls, >, 0);
  if (!problem->is_passing)
    g_assert_cmpint (faults.n_receive_calls, <=, 32);
  clear_faults ();
  es_test_wait_until (es_test_inbox_get_n (inbox) == 10);

  g_source_remove (timer);
  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), <=, 32);
}

static void
test_faults_short_counts (void)
{
  g_test_summary ("However few messages the kernel hands over or takes in a call, all are echoed, "
                  "in order.");

  for (int limit = 1; limit <= 65; limit += limit < 4 ? 1 : 20)
    {
      g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

      set_faults_of (server);
      faults.receive_limit = limit;
      faults.send_limit = limit;
      for (guint i = 0; i < 2 * N_MESSAGES; i++)
        {
          g_autofree char *text = g_strdup_printf ("%u", i);

          es_test_say (talker, text);
        }
      for (guint i = 0; i < 2 * N_MESSAGES; i++)
        {
          g_autofree char *heard = es_test_hear (talker);

          g_assert_cmpuint (g_ascii_strtoull (heard, NULL, 10), ==, i);
        }
      clear_faults ();
    }
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

/* Adds a test for each of the problems, named for both. */
static void
add_for_each (const char *name,
              const Problem *problems,
              gsize n_problems,
              GTestDataFunc func)
{
  for (gsize i = 0; i < n_problems; i++)
    {
      g_autofree char *path = g_strdup_printf ("/faults/%s/%s", name, problems[i].name);

      g_test_add_data_func (path, &problems[i], func);
    }
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
  add_for_each ("send-once", send_problems, G_N_ELEMENTS (send_problems), test_faults_send_once);
  add_for_each ("send-always", send_problems, G_N_ELEMENTS (send_problems),
                test_faults_send_always);
  add_for_each ("send-amid", send_problems, G_N_ELEMENTS (send_problems), test_faults_send_amid);
  add_for_each ("receive-once", receive_problems, G_N_ELEMENTS (receive_problems),
                test_faults_receive_once);
  add_for_each ("receive-amid", receive_problems, G_N_ELEMENTS (receive_problems),
                test_faults_receive_amid);
  add_for_each ("receive-always", receive_problems, G_N_ELEMENTS (receive_problems),
                test_faults_receive_always);
  g_test_add_func ("/faults/short-counts", test_faults_short_counts);
  g_test_add_func ("/faults/earn-nothing", test_faults_earn_nothing);
  g_test_add_data_func ("/faults/without-ip6", GINT_TO_POINTER (EAFNOSUPPORT),
                        test_faults_without_ip6);
  g_test_add_data_func ("/faults/without-ip6-addresses", GINT_TO_POINTER (EADDRNOTAVAIL),
                        test_faults_without_ip6);
  g_test_add_func ("/faults/ip6-asked-for", test_faults_ip6_asked_for);
  return g_test_run ();
}
