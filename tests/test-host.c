/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <easyservers.h>

#include "es-test.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What may befall the host: it runs out of something, its clock jumps, its interface goes away. */

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
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

/* Nothing is left to do: the loop would sleep. */
static void
assert_sleeps (gpointer endpoint)
{
  g_autoptr (EsStats) before = NULL;
  g_autoptr (EsStats) after = NULL;
  gint64 end = g_get_monotonic_time () + 50 * 1000;

  es_test_settle ();
  before = es_endpoint_get_stats (endpoint);
  while (es_test_iterate (end))
    ;
  after = es_endpoint_get_stats (endpoint);
  g_assert_cmpuint (after->receive_calls, ==, before->receive_calls);
  g_assert_cmpuint (after->send_calls, ==, before->send_calls);
}

/* ICMP. */

/* (transfer full) Where nobody listens. */
static GSocketAddress *
find_closed_port (void)
{
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");

  return g_socket_get_local_address (socket, NULL);
}

static guint
choose_n_sends (void)
{
  return es_test_is_slow () ? 2000 : 100000;
}

static void
test_host_sends_to_closed_ports (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) healthy = es_test_start_client (server);
  g_autoptr (GSocketAddress) closed = find_closed_port ();
  g_autoptr (EsStats) stats = NULL;
  guint n_said = 0, n = choose_n_sends ();
  int n_heard = 0;

  g_test_summary ("A storm of ICMP errors from closed ports costs a healthy peer nothing, and the "
                  "loop sleeps behind it.");

  es_endpoint_set_message_func (ES_ENDPOINT (healthy), es_test_count, &n_heard, NULL);
  for (guint i = 0; i < n; i++)
    {
      es_endpoint_send_text (ES_ENDPOINT (server), "storm", closed, NULL);
      if (i % 20 == 0)
        {
          es_test_send (healthy, "hello");
          n_said++;
        }
      if (i % 100 == 0)
        es_test_wait_until (n_heard == (int) n_said);
    }
  es_test_wait_until (n_heard == (int) n_said);

  assert_sleeps (server);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->messages_received, ==, n_said);
  g_assert_cmpuint (stats->messages_sent + stats->send_errors, ==, n + n_said);
}

static void
test_host_refuses_a_client (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) closed = find_closed_port ();
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("A client whose server is gone is told so again and again, "
                  "and its loop sleeps between.");

  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (closed), NULL, NULL));
  start (client);
  for (int i = 0; i < 1000; i++)
    {
      es_endpoint_send_text (ES_ENDPOINT (client), "hello", NULL, NULL);
      es_test_settle ();
    }
  assert_sleeps (client);
  stats = es_endpoint_get_stats (ES_ENDPOINT (client));
  g_assert_cmpuint (stats->messages_sent + stats->send_errors, ==, 1000);
}

/* Shortage. */

/* Runs a part of a test in a process of its own, as a user whom limits bind. */
static gboolean
is_in_own_process (void)
{
  if (g_test_subprocess ())
    {
      es_test_become_nobody ();
      return TRUE;
    }
  if (!es_test_can_become_nobody ())
    {
      g_test_skip ("no limit binds this user");
      return FALSE;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  return FALSE;
}

/* Lowers a limit. Returns what it was. */
static struct rlimit
lower (int resource,
       rlim_t value)
{
  struct rlimit before, less;

  g_assert_no_errno (getrlimit (resource, &before));
  less = (struct rlimit){ value, before.rlim_max };
  g_assert_no_errno (setrlimit (resource, &less));
  return before;
}

/* The lowest descriptor that is free. */
static int
next_descriptor (void)
{
  int fd = fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

  g_assert_cmpint (fd, >=, 0);
  close (fd);
  return fd;
}

static void
test_host_is_out_of_descriptors (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  int n_open = next_descriptor ();

  g_test_summary ("However few descriptors are left, a start fails with an error or works; who "
                  "runs is not disturbed.");

  for (int n_free = 0; n_free < 8; n_free++)
    {
      g_autoptr (EsUdpServer) late = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
      g_autoptr (GError) error = NULL;
      struct rlimit limit;

      es_udp_server_set_workers (late, 2);
      limit = lower (RLIMIT_NOFILE, n_open + n_free);
      if (!es_endpoint_start (ES_ENDPOINT (late), &error))
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
      g_assert_cmpint (es_endpoint_is_running (ES_ENDPOINT (late)), ==, error == NULL);
      if (n_free < 4)
        g_assert_nonnull (error);
      g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));

      assert_echoes (server);
      start (late);
      assert_echoes (late);
      es_endpoint_stop (ES_ENDPOINT (late));
      g_assert_cmpint (next_descriptor (), ==, n_open);
    }
}

static void
test_host_is_out_of_threads (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpServer) late = NULL;
  g_autoptr (GError) error = NULL;
  struct rlimit limit;

  g_test_summary ("Where no thread is to be had workers are refused, who runs is not disturbed, "
                  "and later it works.");

  if (!is_in_own_process ())
    return;
  server = es_test_start_echo_server ();
  late = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  es_udp_server_set_workers (late, 3);
  limit = lower (RLIMIT_NPROC, 0);
  g_assert_false (es_endpoint_start (ES_ENDPOINT (late), &error));
  g_assert_error (error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN);
  assert_echoes (server);
  g_assert_no_errno (setrlimit (RLIMIT_NPROC, &limit));
  start (late);
  assert_echoes (late);
}

/* How much memory the process may address, in bytes. */
static rlim_t
get_address_space (void)
{
  g_autofree char *statm = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &statm, NULL, NULL));
  return g_ascii_strtoull (statm, NULL, 10) * sysconf (_SC_PAGESIZE);
}

static gboolean
has_shadow_memory (void)
{
  return get_address_space () > G_GUINT64_CONSTANT (1) << 40;
}

static void
test_host_is_out_of_memory (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  int n_refused = 0;

  g_test_summary ("Where there is no memory for the buffers of another server its start is an "
                  "error, and who runs serves on.");

  if (has_shadow_memory () || es_test_is_slow ())
    {
      g_test_skip ("this process addresses memory that it does not have");
      return;
    }
  if (!is_in_own_process ())
    return;
  server = es_test_start_echo_server ();
  assert_echoes (server);
  for (int n_mib = 1; n_mib < 9; n_mib++)
    {
      g_autoptr (EsUdpServer) late = es_udp_server_new (0);
      g_autoptr (GError) error = NULL;
      struct rlimit limit = lower (RLIMIT_AS, get_address_space () + n_mib * 1024 * 1024);

      if (!es_endpoint_start (ES_ENDPOINT (late), &error))
        {
          n_refused++;
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
        }
      assert_echoes (server);
      g_assert_no_errno (setrlimit (RLIMIT_AS, &limit));
      start (late);
    }
  g_assert_cmpint (n_refused, >=, 1);
}

/* Clocks. */

/* By how much each clock is wrong, in seconds. */
static struct
{
  int real;
  int monotonic;
} jumps;

int
clock_gettime (clockid_t id,
               struct timespec *time)
{
  int result = syscall (SYS_clock_gettime, id, time);

  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
    time->tv_sec += jumps.real;
  else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE)
    time->tv_sec += jumps.monotonic;
  return result;
}

static void
count_removed (EsUdpServer *server,
               EsPeer *peer,
               EsPeerRemoved reason,
               gpointer user_data)
{
  ++*(int *) user_data;
}

/* Serves, with peers to look after and a rate to keep, while a clock jumps. */
static void
assert_serves_across (int *clock,
                      int by,
                      gboolean is_peer_lost)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (talker, NULL);
  g_autoptr (EsPeer) peer = es_udp_server_add_peer (server, address);
  g_autoptr (GBytes) ping = g_bytes_new_static ("ping", 4);
  int n_removed = 0;

  g_signal_connect (server, "peer-removed", G_CALLBACK (count_removed), &n_removed);
  es_udp_server_set_rate_limit (server, 1000);
  es_udp_server_set_keepalive (server, ping, 60 * 1000, 3);
  assert_echoes (server);
  *clock += by;
  for (int i = 0; i < 10; i++)
    assert_echoes (server);
  *clock = 0;
  es_test_settle ();
  g_assert_cmpint (n_removed, ==, is_peer_lost);
}

static void
test_host_sets_its_clock (void)
{
  g_test_summary ("A wall clock that is set matters to nobody.");

  assert_serves_across (&jumps.real, 24 * 3600, FALSE);
  assert_serves_across (&jumps.real, -24 * 3600, FALSE);
}

static void
test_host_was_away (void)
{
  g_test_summary ("A host that was halted for an hour asks its peers before it gives them up.");

  assert_serves_across (&jumps.monotonic, 3600, FALSE);
}

/* Interfaces. */

static void
set_loopback (gboolean is_up)
{
  struct ifreq request = { .ifr_name = "lo", .ifr_flags = is_up ? IFF_UP | IFF_RUNNING : 0 };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  g_assert_no_errno (ioctl (fd, SIOCSIFFLAGS, &request));
  close (fd);
}

/* Enters a network of the process's own, if this user may. */
static gboolean
enter_own_network (void)
{
  return unshare (CLONE_NEWNET) == 0 || unshare (CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static gboolean
can_have_own_network (void)
{
  int status = -1;
  pid_t child = fork ();

  if (child == 0)
    _exit (enter_own_network () ? 0 : 1);
  waitpid (child, &status, 0);
  return status == 0;
}

static void
lose_interface (void)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsUdpClient) client = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;

  g_assert_true (enter_own_network ());
  set_loopback (TRUE);
  server = es_test_start_echo_server ();
  client = es_test_start_client (server);
  inbox = es_test_inbox_new (client);
  es_test_send (client, "before");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);

  set_loopback (FALSE);
  for (int i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;

      /* Some kernels notice, others lose the message. */
      if (!es_endpoint_send_text (ES_ENDPOINT (client), "lost", NULL, &error))
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NETWORK_UNREACHABLE);
    }
  assert_sleeps (server);
  assert_sleeps (client);

  set_loopback (TRUE);
  es_test_send (client, "after");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 2);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 1), ==, "after");
}

static void
test_host_loses_its_interface (void)
{
  g_test_summary ("While an interface is away messages are lost, and errors told, "
                  "and when it is back all goes on.");

  if (g_test_subprocess ())
    {
      lose_interface ();
      return;
    }
  if (!can_have_own_network ())
    {
      g_test_skip ("this user may have no network of its own");
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

/* Processes. */

static void
test_host_executes_another (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  g_autoptr (EsUdpClient) client = NULL;
  g_autofree char *said = NULL;
  g_autoptr (GError) error = NULL;
  const char *command[] = { "ls", "-l", "/proc/self/fd", NULL };

  g_test_summary ("A program that this one executes inherits no socket.");

  es_udp_server_set_workers (server, 2);
  start (server);
  client = es_test_start_client (server);
  g_spawn_sync (NULL, (char **) command, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                NULL, NULL, &said, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (said, " 0 -> "));
  g_assert_null (strstr (said, "socket:"));
}

/* A server in a process of its own, which says its port. */
static pid_t
fork_server (int *port)
{
  int pipes[2];
  pid_t child;

  g_assert_no_errno (pipe (pipes));
  child = fork ();
  if (child == 0)
    {
      g_autoptr (GMainContext) context = g_main_context_new ();
      g_autoptr (EsUdpServer) server = NULL;

      g_main_context_push_thread_default (context);
      server = es_test_start_echo_server ();
      *port = es_udp_server_get_port (server);
      if (write (pipes[1], port, sizeof *port) == sizeof *port)
        es_endpoint_run (ES_ENDPOINT (server), NULL);
      _exit (1);
    }
  g_assert_cmpint (read (pipes[0], port, sizeof *port), ==, sizeof *port);
  close (pipes[0]);
  close (pipes[1]);
  return child;
}

static void
test_host_stops_the_process (void)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = NULL;
  int n_heard = 0, port, status;
  pid_t child = fork_server (&port);

  g_test_summary ("A server that is stopped by SIGSTOP answers, when it goes on, "
                  "all that the kernel kept: for 10 seconds where ES_TEST_LONG is set.");

  address = g_inet_socket_address_new_from_string ("127.0.0.1", port);
  es_endpoint_set_message_func (ES_ENDPOINT (client), es_test_count, &n_heard, NULL);
  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, NULL));
  start (client);
  g_assert_no_errno (kill (child, SIGSTOP));
  g_assert_cmpint (waitpid (child, &status, WUNTRACED), ==, child);
  for (int i = 0; i < 1000; i++)
    es_test_send (client, "hello");
  g_usleep ((g_getenv ("ES_TEST_LONG") != NULL ? 10 : 1) * G_USEC_PER_SEC);
  g_assert_cmpint (n_heard, ==, 0);
  g_assert_no_errno (kill (child, SIGCONT));
  es_test_wait_until (n_heard == 1000);

  g_assert_no_errno (kill (child, SIGKILL));
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* The first, since it forks. */
  g_test_add_func ("/host/stops-the-process", test_host_stops_the_process);
  g_test_add_func ("/host/sends-to-closed-ports", test_host_sends_to_closed_ports);
  g_test_add_func ("/host/refuses-a-client", test_host_refuses_a_client);
  g_test_add_func ("/host/is-out-of-descriptors", test_host_is_out_of_descriptors);
  g_test_add_func ("/host/is-out-of-threads", test_host_is_out_of_threads);
  g_test_add_func ("/host/is-out-of-memory", test_host_is_out_of_memory);
  g_test_add_func ("/host/sets-its-clock", test_host_sets_its_clock);
  g_test_add_func ("/host/was-away", test_host_was_away);
  g_test_add_func ("/host/loses-its-interface", test_host_loses_its_interface);
  g_test_add_func ("/host/executes-another", test_host_executes_another);
  return g_test_run ();
}
