/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Groups and broadcasts, on the loopback interface, and on two interfaces of a host that the test
 * makes for itself, where it may. */

#define GROUP "239.255.77.1"
#define OTHER_GROUP "239.255.77.2"
#define SSM_GROUP "232.77.77.1"
#define SSM_GROUP_IP6 "ff35::4d4d:1"
#define GROUP_IP6 "ff02::4d4d:1"

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

static void
join (gpointer endpoint,
      const char *group,
      const char *interface_name)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (group);
  g_autoptr (GError) error = NULL;
  gboolean is_member = es_endpoint_join_multicast (endpoint, address, interface_name, &error);

  g_assert_no_error (error);
  g_assert_true (is_member);
}

static void
leave (gpointer endpoint,
       const char *group,
       const char *interface_name)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (group);
  g_autoptr (GError) error = NULL;
  gboolean is_gone = es_endpoint_leave_multicast (endpoint, address, interface_name, &error);

  g_assert_no_error (error);
  g_assert_true (is_gone);
}

/* (transfer full) A client that runs, and speaks to groups by an interface. */
static EsUdpClient *
start_speaker (const char *interface_name)
{
  EsUdpClient *speaker = es_udp_client_new ();
  g_autoptr (GError) error = NULL;

  start (speaker);
  es_endpoint_set_multicast_interface (ES_ENDPOINT (speaker), interface_name, &error);
  g_assert_no_error (error);
  return speaker;
}

static void
say (gpointer speaker,
     const char *text,
     const char *host,
     guint16 port)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, port);
  g_autoptr (GError) error = NULL;

  es_endpoint_send_text (speaker, text, address, &error);
  g_assert_no_error (error);
}

/* What was heard up to a message that surely comes, and comes last. */
static void
assert_heard (EsTestInbox *inbox,
              EsUdpServer *server,
              gpointer speaker,
              const char *expected)
{
  g_autoptr (GString) heard = g_string_new (NULL);
  guint n = 0;

  say (speaker, "last", "127.0.0.1", es_udp_server_get_port (server));
  es_test_wait_until ((n = es_test_inbox_get_n (inbox)) > 0 &&
                      g_str_equal (es_test_inbox_get_text (inbox, n - 1), "last"));
  for (guint i = 0; i < n - 1; i++)
    g_string_append (heard, es_test_inbox_get_text (inbox, i));
  g_assert_cmpstr (heard->str, ==, expected);
}

static void
test_multicast_is_heard_by_members (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) speaker = start_speaker ("lo");
  guint16 port = es_udp_server_get_port (server);

  g_test_summary ("A group's messages are heard from the joining to the leaving, "
                  "and again after another joining.");

  say (speaker, "0", GROUP, port);
  join (server, GROUP, "lo");
  say (speaker, "1", GROUP, port);
  say (speaker, "x", OTHER_GROUP, port);
  leave (server, GROUP, "lo");
  say (speaker, "2", GROUP, port);
  join (server, GROUP, "lo");
  say (speaker, "3", GROUP, port);
  assert_heard (inbox, server, speaker, "13");
}

/* Joins a group on a socket, without the library. */
static gboolean
can_join (GSocket *socket,
          const char *group)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (group);

  return g_socket_join_multicast_group (socket, address, FALSE, "lo", NULL);
}

static void
test_multicast_ends_with_stop (void)
{
  g_autoptr (GSocket) socket = es_test_new_socket ("0.0.0.0");
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);

  g_test_summary ("A stop leaves the groups that were joined on an adopted socket, and no others.");

  g_assert_true (can_join (socket, "239.255.77.3"));
  start (server);
  join (server, GROUP, "lo");
  join (server, OTHER_GROUP, NULL);
  join (server, "239.255.77.4", "lo");
  leave (server, "239.255.77.4", "lo");
  g_assert_false (can_join (socket, GROUP));
  es_endpoint_stop (ES_ENDPOINT (server));

  g_assert_false (can_join (socket, "239.255.77.3"));
  g_assert_true (can_join (socket, GROUP));
  g_assert_true (can_join (socket, OTHER_GROUP));
}

static void
test_multicast_is_answered (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();
  g_autoptr (EsUdpClient) speaker = start_speaker ("lo");
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (speaker);
  GInetSocketAddress *from;

  g_test_summary ("An answer to a group's message comes from an address of the host, "
                  "not of the group.");

  join (server, GROUP, "lo");
  say (speaker, "who is there?", GROUP, es_udp_server_get_port (server));
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  from = G_INET_SOCKET_ADDRESS (es_test_inbox_get_address (inbox, 0));
  g_assert_false (g_inet_address_get_is_multicast (g_inet_socket_address_get_address (from)));
  g_assert_cmpuint (g_inet_socket_address_get_port (from), ==, es_udp_server_get_port (server));
}

static void
test_multicast_of_others_is_not_heard (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsUdpServer) other = es_udp_server_new (0);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsTestInbox) other_inbox = es_test_inbox_new (other);
  g_autoptr (EsUdpClient) speaker = start_speaker ("lo");

  g_test_summary ("What others on the host joined is not heard, on the same port either.");

  es_udp_server_set_reuse_port (server, TRUE);
  es_udp_server_set_reuse_port (other, TRUE);
  start (server);
  es_udp_server_set_port (other, es_udp_server_get_port (server));
  start (other);
  join (server, GROUP, "lo");
  join (other, OTHER_GROUP, "lo");
  say (speaker, "other", OTHER_GROUP, es_udp_server_get_port (server));
  say (speaker, "own", GROUP, es_udp_server_get_port (server));
  es_test_wait_until (es_test_inbox_get_n (inbox) > 0 && es_test_inbox_get_n (other_inbox) > 0);
  es_test_settle ();
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, 1);
  g_assert_cmpuint (es_test_inbox_get_n (other_inbox), ==, 1);
  g_assert_cmpstr (es_test_inbox_get_text (inbox, 0), ==, "own");
  g_assert_cmpstr (es_test_inbox_get_text (other_inbox, 0), ==, "other");
}

static int
get_ip_option (gpointer endpoint,
               int level,
               int name)
{
  int value = -1;
  socklen_t size = sizeof value;

  g_assert_no_errno (
    getsockopt (g_socket_get_fd (es_endpoint_get_socket (endpoint)), level, name, &value, &size));
  return value;
}

static void
test_multicast_options_act_at_once (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();

  g_test_summary ("Reach and loopback act on the socket at once, and on that of the next start.");

  for (guint i = 0; i < 2; i++)
    {
      es_endpoint_set_multicast_ttl (ES_ENDPOINT (server), 7 + i);
      es_endpoint_set_multicast_loopback (ES_ENDPOINT (server), i);
      for (guint run = 0; run < 2; run++)
        {
          g_assert_cmpint (get_ip_option (server, IPPROTO_IP, IP_MULTICAST_TTL), ==, 7 + i);
          g_assert_cmpint (get_ip_option (server, IPPROTO_IP, IP_MULTICAST_LOOP), ==, i);
          es_endpoint_stop (ES_ENDPOINT (server));
          start (server);
        }
    }
}

static void
test_multicast_is_delivered_once (gconstpointer host)
{
  const guint n = 64;
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GHashTable) heard = g_hash_table_new (g_str_hash, g_str_equal);
  guint n_heard;

  g_test_summary ("With several workers a message to many is delivered once, whoever sent it, and "
                  "others by all workers.");

  if (!es_test_has_mmsg () && !g_str_equal (host, GROUP))
    {
      g_test_skip ("the portable calls do not tell whom a message was sent to");
      return;
    }
  es_udp_server_set_workers (server, 4);
  start (server);
  join (server, GROUP, "lo");
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (EsUdpClient) speaker = start_speaker ("lo");
      g_autofree char *text = g_strdup_printf ("%u", i);
      g_autofree char *direct = g_strdup_printf ("%u directly", i);

      es_endpoint_set_broadcast (ES_ENDPOINT (speaker), TRUE);
      say (speaker, text, host, es_udp_server_get_port (server));
      say (speaker, direct, "127.0.0.1", es_udp_server_get_port (server));
    }
  es_test_wait_until (es_test_inbox_get_n (inbox) >= 2 * n);
  es_endpoint_stop (ES_ENDPOINT (server));
  n_heard = es_test_inbox_get_n (inbox);
  g_assert_cmpuint (n_heard, ==, 2 * n);
  for (guint i = 0; i < n_heard; i++)
    g_assert_true (g_hash_table_add (heard, (gpointer) es_test_inbox_get_text (inbox, i)));
}

static void
say_to_group (EsEndpoint *endpoint,
              GBytes *message,
              GSocketAddress *address,
              EsSendFunc send,
              gpointer group)
{
  g_autoptr (GError) error = NULL;

  send (endpoint, message, group, &error);
  g_assert_no_error (error);
}

static void
test_multicast_is_sent_by_all_workers (void)
{
  const guint n = 32;
  g_autoptr (EsUdpServer) listener = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (listener);
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsTestInbox) own_inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) group = es_test_address_of (listener, GROUP);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Whichever worker sends to a group, it leaves by the interface that was chosen.");

  join (listener, GROUP, "lo");
  es_udp_server_set_workers (server, 4);
  es_endpoint_set_message_func (ES_ENDPOINT (server), say_to_group, group, NULL);
  start (server);
  es_endpoint_set_multicast_interface (ES_ENDPOINT (server), "lo", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

      es_test_say (talker, "to all");
    }
  es_test_wait_until (es_test_inbox_get_n (own_inbox) == n);
  es_endpoint_stop (ES_ENDPOINT (server));
  es_test_settle ();
  g_assert_cmpuint (es_test_inbox_get_n (inbox), ==, n);
}

static void
test_multicast_tells_what_fails (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GInetAddress) group = g_inet_address_new_from_string (GROUP);
  g_autoptr (GInetAddress) host = g_inet_address_new_from_string ("127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("What cannot be joined, left or chosen is told.");

  g_assert_false (es_endpoint_join_multicast (ES_ENDPOINT (server), host, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==,
                   "Could not join group 127.0.0.1: It is not a multicast address");
  g_clear_error (&error);
  g_assert_false (es_endpoint_join_multicast (ES_ENDPOINT (server), group, "none0", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_cmpstr (error->message, ==,
                   "Could not join group " GROUP ": There is no interface “none0”");
  g_clear_error (&error);
  g_assert_false (es_endpoint_leave_multicast (ES_ENDPOINT (server), group, NULL, &error));
  g_assert_true (g_str_has_prefix (error->message, "Could not leave group " GROUP ": "));
  g_clear_error (&error);
  g_assert_false (es_endpoint_set_multicast_interface (ES_ENDPOINT (server), "none0", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_false (es_endpoint_join_multicast (ES_ENDPOINT (server), group, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (es_endpoint_set_multicast_interface (ES_ENDPOINT (server), "lo", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

/* A host of two interfaces, and another one at the other end of both. The second host is a process
 * that only holds its network. */

typedef struct
{
  pid_t other;
  int own_net;
  int other_net;
} Hosts;

static gboolean
run (const char *command)
{
  int status = -1;

  return g_spawn_command_line_sync (command, NULL, NULL, &status, NULL) &&
         g_spawn_check_wait_status (status, NULL);
}

static pid_t
start_other_host (void)
{
  int ready[2];
  char byte;
  pid_t pid;

  g_assert_no_errno (pipe (ready));
  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    {
      gboolean is_ready = prctl (PR_SET_PDEATHSIG, SIGKILL) == 0 && unshare (CLONE_NEWNET) == 0 &&
                          write (ready[1], "", 1) == 1;

      close (ready[1]);
      if (is_ready)
        pause ();
      _exit (0);
    }
  close (ready[1]);
  if (read (ready[0], &byte, 1) != 1)
    pid = -1;
  close (ready[0]);
  return pid;
}

/* Runs a command in the network of a process. */
G_GNUC_PRINTF (2, 3)
static gboolean
run_at (pid_t pid,
        const char *format,
        ...)
{
  g_autofree char *command = NULL;
  g_autofree char *line = NULL;
  va_list arguments;

  va_start (arguments, format);
  command = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  line = g_strdup_printf ("nsenter -t %d -n %s", pid, command);
  return run (line);
}

/* Gives the interface its addresses: IPv6's only where there is IPv6. */
static gboolean
set_up (pid_t pid,
        const char *name,
        guint link,
        guint host)
{
  run_at (pid, "ip addr add fd77:%u::%u/64 dev %s nodad", link, host, name);
  return run_at (pid, "ip addr add 10.77.%u.%u/24 dev %s", link, host, name) &&
         run_at (pid, "ip link set %s up", name);
}

/* IPv6 takes its time to find that a link is up. */
static void
wait_for_ip6 (pid_t pid,
              const char *name)
{
  gint64 deadline = es_test_get_deadline ();

  while (es_test_has_ip6 () && !run_at (pid, "ip -6 route get ff02::4d4d:1 oif %s", name))
    g_assert_true (es_test_spin (deadline));
}

static gboolean
make_link (Hosts *self,
           guint i)
{
  g_autofree char *own = g_strdup_printf ("es%u", i);
  g_autofree char *far = g_strdup_printf ("far%u", i);

  return run_at (getpid (), "ip link add %s type veth peer name %s netns %d", own, far,
                 self->other) &&
         set_up (getpid (), own, i, 1) && set_up (self->other, far, i, 2);
}

static int
open_net (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/ns/net", pid);

  return open (path, O_RDONLY | O_CLOEXEC);
}

static gboolean
make_hosts (Hosts *self)
{
  if (unshare (CLONE_NEWNET) != 0 && unshare (CLONE_NEWUSER | CLONE_NEWNET) != 0)
    return FALSE;
  self->other = start_other_host ();
  if (self->other < 0)
    return FALSE;
  self->own_net = open_net (getpid ());
  self->other_net = open_net (self->other);
  return run_at (getpid (), "ip link set lo up") && make_link (self, 0) && make_link (self, 1);
}

static void
hosts_clear (Hosts *self)
{
  if (self->other > 0)
    {
      kill (self->other, SIGKILL);
      waitpid (self->other, NULL, 0);
    }
  if (self->own_net > 0)
    close (self->own_net);
  if (self->other_net > 0)
    close (self->other_net);
}

/* (transfer full) A client that runs on the other host, and reaches groups by an interface
 * there. */
static EsUdpClient *
start_far_speaker (Hosts *hosts,
                   const char *interface_name)
{
  EsUdpClient *speaker;

  g_assert_no_errno (setns (hosts->other_net, CLONE_NEWNET));
  speaker = start_speaker (interface_name);
  g_assert_no_errno (setns (hosts->own_net, CLONE_NEWNET));
  return speaker;
}

static gboolean
can_make_hosts (void)
{
  int status = -1;
  pid_t child = fork ();

  if (child == 0)
    {
      Hosts hosts = { 0 };
      gboolean is_made = make_hosts (&hosts);

      hosts_clear (&hosts);
      _exit (is_made ? 0 : 1);
    }
  waitpid (child, &status, 0);
  return status == 0;
}

/* Runs a part of a test in a process of its own, which has two hosts. */
static void
test_on_hosts (gconstpointer part)
{
  Hosts hosts = { 0 };

  if (g_test_subprocess ())
    {
      g_assert_true (make_hosts (&hosts));
      ((void (*) (Hosts *)) part) (&hosts);
      hosts_clear (&hosts);
      return;
    }
  if (es_test_is_slow ())
    {
      g_test_skip ("networks of two hosts keep their own time");
      return;
    }
  if (!can_make_hosts ())
    {
      g_test_skip ("this user may not make networks, or ip and nsenter are not there");
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
say_by_both (Hosts *hosts,
             const char *text,
             guint16 port)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *name = g_strdup_printf ("far%u", i);
      g_autofree char *own_text = g_strdup_printf ("%s%u ", text, i);
      g_autoptr (EsUdpClient) speaker = start_far_speaker (hosts, name);

      say (speaker, own_text, GROUP, port);
    }
}

static void
hear_by_interface (Hosts *hosts)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) speaker = start_speaker (NULL);
  guint16 port = es_udp_server_get_port (server);

  g_test_summary ("A group is joined on every interface, or on the one that is asked for.");

  say_by_both (hosts, "none", port);
  join (server, GROUP, NULL);
  say_by_both (hosts, "both", port);
  leave (server, GROUP, NULL);
  say_by_both (hosts, "none", port);
  join (server, GROUP, "es1");
  say_by_both (hosts, "one", port);
  assert_heard (inbox, server, speaker, "both0 both1 one1 ");
}

static void
wait_for_links (Hosts *hosts)
{
  wait_for_ip6 (getpid (), "es0");
  wait_for_ip6 (getpid (), "es1");
  wait_for_ip6 (hosts->other, "far0");
  wait_for_ip6 (hosts->other, "far1");
}

static void
hear_over_ip6 (Hosts *hosts)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) far = NULL;
  g_autoptr (EsUdpClient) speaker = start_speaker (NULL);
  guint16 port = es_udp_server_get_port (server);

  g_test_summary ("IPv6's groups are joined and left as IPv4's are.");

  if (!es_test_has_ip6 ())
    return;
  wait_for_links (hosts);
  far = start_far_speaker (hosts, "far1");
  say (far, "0", GROUP_IP6, port);
  join (server, GROUP_IP6, NULL);
  say (far, "1", GROUP_IP6, port);
  leave (server, GROUP_IP6, NULL);
  say (far, "2", GROUP_IP6, port);
  join (server, GROUP_IP6, "es0");
  say (far, "3", GROUP_IP6, port);
  join (server, GROUP_IP6, "es1");
  say (far, "4", GROUP_IP6, port);
  assert_heard (inbox, server, speaker, "14");
}

typedef gboolean (*ChangeFunc) (EsEndpoint *endpoint,
                                GInetAddress *group,
                                GInetAddress *source,
                                const char *interface_name,
                                GError **error);

static void
change_source (EsUdpServer *server,
               ChangeFunc change,
               const char *group,
               const char *source)
{
  g_autoptr (GInetAddress) group_address = g_inet_address_new_from_string (group);
  g_autoptr (GInetAddress) source_address = g_inet_address_new_from_string (source);
  g_autoptr (GError) error = NULL;
  gboolean is_changed = change (ES_ENDPOINT (server), group_address, source_address, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (is_changed);
}

static void
assert_heard_from_one (Hosts *hosts,
                       const char *group,
                       const char *source)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) speaker = start_speaker (NULL);
  g_autoptr (EsUdpClient) wanted = start_far_speaker (hosts, "far0");
  g_autoptr (EsUdpClient) unwanted = start_far_speaker (hosts, "far1");
  guint16 port = es_udp_server_get_port (server);

  for (guint i = 0; i < 2; i++)
    {
      say (wanted, "x", group, port);
      change_source (server, es_endpoint_join_multicast_ssm, group, source);
      say (wanted, i == 0 ? "1" : "2", group, port);
      say (unwanted, "y", group, port);
      change_source (server, es_endpoint_leave_multicast_ssm, group, source);
    }
  assert_heard (inbox, server, speaker, "12");
}

static void
hear_one_source (Hosts *hosts)
{
  g_test_summary ("A group that was joined for one sender's messages gives those alone, "
                  "until it is left.");

  wait_for_links (hosts);
  assert_heard_from_one (hosts, SSM_GROUP, "10.77.0.2");
  if (es_test_has_ip6 ())
    assert_heard_from_one (hosts, SSM_GROUP_IP6, "fd77:0::2");
}

static void
speak_by_interface (Hosts *hosts)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);

  g_test_summary ("What is said to a group leaves by the interface that was chosen, "
                  "with its address.");

  g_assert_no_errno (setns (hosts->other_net, CLONE_NEWNET));
  start (server);
  join (server, GROUP, NULL);
  g_assert_no_errno (setns (hosts->own_net, CLONE_NEWNET));
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *name = g_strdup_printf ("es%u", i);
      g_autofree char *host = g_strdup_printf ("10.77.%u.1", i);
      g_autoptr (EsUdpClient) speaker = start_speaker (name);
      GInetSocketAddress *from;
      g_autofree char *from_host = NULL;

      say (speaker, name, GROUP, es_udp_server_get_port (server));
      es_test_wait_until (es_test_inbox_get_n (inbox) == i + 1);
      g_assert_cmpstr (es_test_inbox_get_text (inbox, i), ==, name);
      from = G_INET_SOCKET_ADDRESS (es_test_inbox_get_address (inbox, i));
      from_host = g_inet_address_to_string (g_inet_socket_address_get_address (from));
      g_assert_cmpstr (from_host, ==, host);
    }
}

static void
speak_without_loopback (Hosts *hosts)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (EsUdpClient) speaker = start_speaker ("es0");
  guint16 port = es_udp_server_get_port (server);

  g_test_summary ("Without loopback the own host does not hear what is said to a "
                  "group. That acts at once.");

  join (server, GROUP, NULL);
  es_endpoint_set_multicast_loopback (ES_ENDPOINT (speaker), FALSE);
  say (speaker, "1", GROUP, port);
  es_endpoint_set_multicast_loopback (ES_ENDPOINT (speaker), TRUE);
  say (speaker, "2", GROUP, port);
  assert_heard (inbox, server, speaker, "2");
}

static void
answer_from_where_asked (Hosts *hosts)
{
  const char *asked[] = { "10.77.0.1", "10.77.1.1", "10.77.2.1" };
  g_autoptr (EsUdpServer) server = es_test_start_echo_server ();

  g_test_summary ("An answer leaves from the address that was asked, "
                  "whichever interface the question came by.");

  g_assert_true (run_at (getpid (), "ip addr add 10.77.2.1/32 dev es1"));
  g_assert_true (run_at (hosts->other, "ip route add 10.77.2.1/32 via 10.77.0.1"));
  for (guint i = 0; i < G_N_ELEMENTS (asked); i++)
    {
      g_autoptr (EsUdpClient) client = start_far_speaker (hosts, NULL);
      g_autoptr (EsTestInbox) inbox = es_test_inbox_new (client);
      g_autoptr (GSocketAddress) address = es_test_address_of (server, asked[i]);

      say (client, "hello", asked[i], es_udp_server_get_port (server));
      es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
      g_assert_true (es_address_equal (es_test_inbox_get_address (inbox, 0), address));
    }
}

static void
test_multicast_answers (gconstpointer part)
{
  if (es_test_has_mmsg ())
    test_on_hosts (part);
  else
    g_test_skip ("the portable calls do not answer from where they were asked");
}

static void
add_host_tests (void)
{
  g_test_add_data_func ("/multicast/is-heard-by-interface", hear_by_interface, test_on_hosts);
  g_test_add_data_func ("/multicast/is-heard-over-ip6", hear_over_ip6, test_on_hosts);
  g_test_add_data_func ("/multicast/is-heard-from-one-source", hear_one_source, test_on_hosts);
  g_test_add_data_func ("/multicast/is-said-by-interface", speak_by_interface, test_on_hosts);
  g_test_add_data_func ("/multicast/without-loopback", speak_without_loopback, test_on_hosts);
  g_test_add_data_func ("/multicast/answers-leave-from-where-asked", answer_from_where_asked,
                        test_multicast_answers);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/multicast/is-heard-by-members", test_multicast_is_heard_by_members);
  g_test_add_func ("/multicast/ends-with-stop", test_multicast_ends_with_stop);
  g_test_add_func ("/multicast/is-answered", test_multicast_is_answered);
  g_test_add_func ("/multicast/of-others-is-not-heard", test_multicast_of_others_is_not_heard);
  g_test_add_func ("/multicast/options-act-at-once", test_multicast_options_act_at_once);
  g_test_add_data_func ("/multicast/is-delivered-once", GROUP, test_multicast_is_delivered_once);
  g_test_add_data_func ("/multicast/broadcast-is-delivered-once", "127.255.255.255",
                        test_multicast_is_delivered_once);
  g_test_add_func ("/multicast/is-sent-by-all-workers", test_multicast_is_sent_by_all_workers);
  g_test_add_func ("/multicast/tells-what-fails", test_multicast_tells_what_fails);
  add_host_tests ();
  return g_test_run ();
}
