/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test.h"

#include <gio/gunixsocketaddress.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sockets from outside: adopted ones, those that a launcher hands over, and Unix datagrams. */

/* The first descriptor that is handed over (sd_listen_fds(3)). */
#define FIRST_FD 3

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

/* (transfer full) A socket of the test's, connected to another. */
static GSocket *
connect_socket (GSocket *to)
{
  GSocket *socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (to, NULL);
  g_autoptr (GError) error = NULL;

  g_socket_connect (socket, address, NULL, &error);
  g_assert_no_error (error);
  return socket;
}

static void
assert_hears (GSocket *talker,
              const char *expected)
{
  g_autofree char *heard = es_test_hear (talker);

  g_assert_cmpstr (heard, ==, expected);
}

/* Adopted sockets. */

static void
test_activation_adopts_socket (void)
{
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);
  g_autoptr (GSocket) talker = connect_socket (socket);
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);

  g_test_summary ("A server for a socket listens there, and at what has come before the start.");

  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_echo, NULL, NULL);
  es_test_say (talker, "early");
  start (server);
  g_assert_cmpuint (es_udp_server_get_port (server), ==,
                    g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  g_assert_true (es_endpoint_get_socket (ES_ENDPOINT (server)) == socket);
  assert_hears (talker, "early");
  es_test_say (talker, "late");
  assert_hears (talker, "late");
}

static void
test_activation_leaves_socket_open (void)
{
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) talker = connect_socket (socket);
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("A stop does not close an adopted socket: "
                  "what comes meanwhile is answered after the next start.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_echo, NULL, NULL);
  start (server);
  es_endpoint_stop (ES_ENDPOINT (server));
  g_assert_false (g_socket_is_closed (socket));
  es_test_say (talker, "meanwhile");
  start (server);
  assert_hears (talker, "meanwhile");
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_at_stop, ==, 0);

  g_assert_finalize_object (g_steal_pointer (&server));
  g_assert_false (g_socket_is_closed (socket));
  es_test_say (talker, "nobody's");
  assert_hears (socket, "nobody's");
  g_assert_finalize_object (g_steal_pointer (&socket));
}

static void
test_activation_leaves_messages_whole (void)
{
  const int size = 3;
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) talker = connect_socket (socket);
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);

  g_test_summary ("Whoever reads an adopted socket after a stop hears each message by itself, also "
                  "those that were sent in one piece.");

  if (setsockopt (g_socket_get_fd (talker), SOL_UDP, UDP_SEGMENT, &size, sizeof size) != 0)
    {
      g_test_skip ("this kernel does not send messages in one piece");
      return;
    }
  start (server);
  es_endpoint_stop (ES_ENDPOINT (server));
  es_test_say (talker, "onetwosix");
  assert_hears (socket, "one");
  assert_hears (socket, "two");
  assert_hears (socket, "six");
}

static void
test_activation_needs_an_open_socket (void)
{
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A server whose socket somebody has closed cannot be started.");

  g_socket_close (socket, NULL);
  g_assert_false (es_endpoint_start (ES_ENDPOINT (server), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_false (es_endpoint_is_running (ES_ENDPOINT (server)));
}

static void
test_activation_refuses_other_sockets (void)
{
  g_autoptr (GSocket) stream =
    g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);

  g_test_summary ("What is no datagram socket is no server's.");

  es_test_assert_critical (es_udp_server_new_for_socket (NULL), "G_IS_SOCKET (socket)");
  es_test_assert_critical (es_udp_server_new_for_socket (stream),
                           "is_bound_datagram_socket (socket)");
}

/* A launcher, that hands its socket over to this very program. */

/* What the program is when it was launched for two sockets of one name: servers that answer until
 * they are killed. */
static int
serve_both (void)
{
  g_autoptr (EsUdpServer) first = es_udp_server_new_from_activation ("same", NULL);
  g_autoptr (EsUdpServer) second = es_udp_server_new_from_activation ("same", NULL);
  g_autoptr (EsUdpServer) third = es_udp_server_new_from_activation ("same", NULL);

  if (first == NULL || second == NULL || third != NULL)
    return 1;
  es_endpoint_set_message_func (ES_ENDPOINT (first), es_test_echo, NULL, NULL);
  es_endpoint_set_message_func (ES_ENDPOINT (second), es_test_echo, NULL, NULL);
  return es_endpoint_start (ES_ENDPOINT (first), NULL) &&
             es_endpoint_run (ES_ENDPOINT (second), NULL)
           ? 0
           : 1;
}

/* What the program is when it was launched: a server that answers until it is killed. */
static int
serve (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (EsUdpServer) server =
    es_udp_server_new_from_activation (*name != '\0' ? name : NULL, &error);

  if (server == NULL)
    {
      g_printerr ("%s\n", error->message);
      return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED) ? 77 : 1;
    }
  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_echo, NULL, NULL);
  return es_endpoint_run (ES_ENDPOINT (server), &error) ? 0 : 1;
}

/* Becomes the program that was launched. Each descriptor is first moved out of the others' way. */
static void
become_server (const int *fds,
               guint n_fds,
               const char *fd_names,
               const char *name)
{
  g_autofree char *pid = g_strdup_printf ("%d", getpid ());
  g_autofree char *n = g_strdup_printf ("%u", n_fds);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  int moved[2];

  for (guint i = 0; i < n_fds; i++)
    moved[i] = fcntl (fds[i], F_DUPFD, 100);
  for (guint i = 0; i < n_fds; i++)
    dup2 (moved[i], FIRST_FD + i);
  g_setenv ("LISTEN_PID", pid, TRUE);
  g_setenv ("LISTEN_FDS", n, TRUE);
  g_setenv ("LISTEN_FDNAMES", fd_names, TRUE);
  g_setenv ("ES_TEST_LAUNCHED", name, TRUE);
  execl (program, program, NULL);
  _exit (126);
}

static pid_t
launch (const int *fds,
        guint n_fds,
        const char *fd_names,
        const char *name)
{
  pid_t pid = fork ();

  g_assert_no_errno (pid);
  if (pid == 0)
    become_server (fds, n_fds, fd_names, name);
  return pid;
}

static int
wait_for (pid_t pid)
{
  int status = -1;

  while (waitpid (pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  return status;
}

static void
kill_server (pid_t pid)
{
  g_assert_no_errno (kill (pid, SIGKILL));
  g_assert_true (WIFSIGNALED (wait_for (pid)));
}

/* Whether the library takes over sockets: the server is told that there is none of that name. */
static gboolean
is_supported (void)
{
  int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  int status = wait_for (launch (&fd, 1, "x", "none"));

  close (fd);
  g_assert_true (WIFEXITED (status));
  if (WEXITSTATUS (status) == 77)
    g_test_skip ("the library was built without libsystemd");
  else
    g_assert_cmpint (WEXITSTATUS (status), ==, 1);
  return WEXITSTATUS (status) != 77;
}

static void
test_activation_loses_nothing (void)
{
  const guint n_kills = es_test_is_slow () ? 5 : 100;
  const guint n_each = 10;
  g_autoptr (GSocket) socket = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) talker = connect_socket (socket);
  int fd = g_socket_get_fd (socket);

  g_test_summary ("What was sent while no server ran is all answered, "
                  "over a hundred servers that are killed.");

  if (!is_supported ())
    return;
  for (guint i = 0; i < n_kills; i++)
    {
      pid_t pid;

      for (guint k = 0; k < n_each; k++)
        {
          g_autofree char *text = g_strdup_printf ("%u.%u", i, k);

          es_test_say (talker, text);
        }
      pid = launch (&fd, 1, "chat", "");
      for (guint k = 0; k < n_each; k++)
        {
          g_autofree char *text = g_strdup_printf ("%u.%u", i, k);

          assert_hears (talker, text);
        }
      kill_server (pid);
      g_assert_false (es_test_can_hear (talker));
    }
}

static void
test_activation_takes_by_name (void)
{
  g_autoptr (GSocket) first = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) second = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) first_talker = connect_socket (first);
  g_autoptr (GSocket) second_talker = connect_socket (second);
  int fds[] = { g_socket_get_fd (first), g_socket_get_fd (second) };
  pid_t pid;

  g_test_summary ("Of several sockets the one is taken that is asked for by name, "
                  "or else the first.");

  if (!is_supported ())
    return;
  es_test_say (first_talker, "1");
  es_test_say (second_talker, "2");
  pid = launch (fds, 2, "one:two", "two");
  assert_hears (second_talker, "2");
  g_assert_false (es_test_can_hear (first_talker));
  kill_server (pid);
  pid = launch (fds, 2, "one:two", "");
  assert_hears (first_talker, "1");
  kill_server (pid);
}

static void
test_activation_takes_each_once (void)
{
  g_autoptr (GSocket) first = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) second = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocket) first_talker = connect_socket (first);
  g_autoptr (GSocket) second_talker = connect_socket (second);
  int fds[] = { g_socket_get_fd (first), g_socket_get_fd (second) };
  pid_t pid;

  g_test_summary ("Of sockets that have the same name each call takes the next, "
                  "until none is left.");

  if (!is_supported ())
    return;
  es_test_say (first_talker, "1");
  es_test_say (second_talker, "2");
  pid = launch (fds, 2, "same:same", "both");
  assert_hears (first_talker, "1");
  assert_hears (second_talker, "2");
  kill_server (pid);
}

static void
test_activation_tells_what_is_missing (void)
{
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where nothing was handed over that is told, with the name that was asked for.");

  g_assert_null (es_udp_server_new_from_activation ("chat", &error));
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED))
    {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
      g_assert_nonnull (strstr (error->message, "“chat”"));
    }
  g_assert_true (g_str_has_prefix (error->message, "Could not take over a socket: "));
}

/* Unix datagrams. */

typedef struct
{
  char *folder; /* (owned) */
} Folder;

static void
folder_init (Folder *self)
{
  g_autoptr (GError) error = NULL;

  self->folder = g_dir_make_tmp ("es-test-XXXXXX", &error);
  g_assert_no_error (error);
}

static void
folder_clear (Folder *self)
{
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->folder, name, NULL);

      g_unlink (path);
    }
  g_rmdir (self->folder);
  g_free (self->folder);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Folder, folder_clear)

/* (transfer full) */
static GSocketAddress *
make_unix_address (Folder *folder,
                   const char *name)
{
  g_autofree char *path = g_build_filename (folder->folder, name, NULL);

  return g_unix_socket_address_new (path);
}

/* (transfer full) A Unix datagram socket, with a name in the folder unless that is NULL. */
static GSocket *
new_unix_socket (Folder *folder,
                 const char *name)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM,
                                  G_SOCKET_PROTOCOL_DEFAULT, &error);
  g_autoptr (GSocketAddress) address = name != NULL ? make_unix_address (folder, name) : NULL;

  g_assert_no_error (error);
  g_socket_set_timeout (socket, 30);
  if (address != NULL)
    g_socket_bind (socket, address, FALSE, &error);
  g_assert_no_error (error);
  return socket;
}

static void
connect_unix (GSocket *socket,
              Folder *folder,
              const char *name)
{
  g_autoptr (GSocketAddress) address = make_unix_address (folder, name);
  g_autoptr (GError) error = NULL;

  g_socket_connect (socket, address, NULL, &error);
  g_assert_no_error (error);
}

static void
test_activation_serves_unix (void)
{
  g_auto (Folder) folder = { 0 };
  g_autoptr (GSocket) socket = (folder_init (&folder), new_unix_socket (&folder, "server"));
  g_autoptr (GSocket) talker = new_unix_socket (&folder, "talker");
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocketAddress) address = make_unix_address (&folder, "talker");
  g_autofree char *large = g_strnfill (60000, 'x');

  g_test_summary ("Unix datagrams come and go as others do, empty and large ones too, and their "
                  "senders can be peers.");

  connect_unix (talker, &folder, "server");
  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_echo, NULL, NULL);
  start (server);
  es_test_say (talker, "hello");
  assert_hears (talker, "hello");
  es_test_say (talker, "");
  assert_hears (talker, "");
  es_test_say (talker, large);
  assert_hears (talker, large);
  g_assert_true (es_address_equal (es_test_inbox_get_address (inbox, 0), address));
  g_object_unref (es_udp_server_add_peer (server, es_test_inbox_get_address (inbox, 0)));
  g_assert_cmpuint (
    es_udp_server_send_to_peers (server, es_test_inbox_get_message (inbox, 0), NULL), ==, 1);
  assert_hears (talker, "hello");
}

static void
test_activation_hears_unnamed_senders (void)
{
  g_auto (Folder) folder = { 0 };
  g_autoptr (GSocket) socket = (folder_init (&folder), new_unix_socket (&folder, "server"));
  g_autoptr (GSocket) talker = new_unix_socket (&folder, NULL);
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GError) error = NULL;
  GUnixSocketAddress *address;

  g_test_summary ("A sender without a name has an anonymous address, and cannot be answered.");

  connect_unix (talker, &folder, "server");
  start (server);
  es_test_say (talker, "who am I?");
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  address = G_UNIX_SOCKET_ADDRESS (es_test_inbox_get_address (inbox, 0));
  g_assert_cmpint (g_unix_socket_address_get_address_type (address), ==,
                   G_UNIX_SOCKET_ADDRESS_ANONYMOUS);
  g_assert_false (
    es_endpoint_send_text (ES_ENDPOINT (server), "you", G_SOCKET_ADDRESS (address), &error));
  g_assert_nonnull (error);
}

/* How many messages a receiver who does not read has room for. */
static guint
fill (EsUdpServer *server,
      GSocketAddress *address)
{
  g_autoptr (GError) error = NULL;
  guint n = 0;

  for (; n < 100000; n++)
    if (!es_endpoint_send_text (ES_ENDPOINT (server), "more", address, &error))
      break;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return n;
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
test_activation_meets_full_receivers (void)
{
  g_auto (Folder) folder = { 0 };
  g_autoptr (GSocket) socket = (folder_init (&folder), new_unix_socket (&folder, "server"));
  g_autoptr (GSocket) full = new_unix_socket (&folder, "full");
  g_autoptr (GSocket) talker = new_unix_socket (&folder, "talker");
  g_autoptr (EsUdpServer) server = es_udp_server_new_for_socket (socket);
  g_autoptr (GSocketAddress) address = make_unix_address (&folder, "full");
  gboolean is_over = FALSE;
  guint n_fit;
  gint64 spent;

  g_test_summary ("A receiver without room fails the send, keeps nobody else from being served, "
                  "and does not make the loop spin.");

  es_endpoint_set_message_func (ES_ENDPOINT (server), es_test_echo, NULL, NULL);
  start (server);
  n_fit = fill (server, address);
  g_assert_cmpuint (n_fit, >, 0);
  g_timeout_add (200, set_true, &is_over);
  spent = get_cpu_time ();
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (get_cpu_time () - spent, <, 50000);

  connect_unix (talker, &folder, "server");
  es_test_say (talker, "hello");
  assert_hears (talker, "hello");
  for (guint i = 0; i < n_fit; i++)
    assert_hears (full, "more");
  g_assert_false (es_test_can_hear (full));
  es_endpoint_send_text (ES_ENDPOINT (server), "again", address, NULL);
  assert_hears (full, "again");
}

static void
test_activation_is_told_once (void)
{
  g_auto (Folder) folder = { 0 };
  g_autoptr (GSocket) socket = (folder_init (&folder), new_unix_socket (&folder, "server"));
  g_autoptr (GSocket) talker = new_unix_socket (&folder, "talker");
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("Who is connected to a Unix socket that is gone is told so by each send, "
                  "and by nothing else.");

  connect_unix (socket, &folder, "talker");
  server = es_udp_server_new_for_socket (socket);
  inbox = es_test_inbox_new (server);
  start (server);
  g_socket_close (talker, NULL);
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (es_endpoint_send_text (ES_ENDPOINT (server), "hello", NULL, &error));
      /* The first one ends the connection. */
      g_assert_error (error, G_IO_ERROR,
                      (int) (i == 0 ? G_IO_ERROR_CONNECTION_REFUSED : G_IO_ERROR_NOT_CONNECTED));
    }
  es_test_settle ();

  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->send_errors, ==, 3);
  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), ==, 0);
}

int
main (int argc,
      char **argv)
{
  const char *name = g_getenv ("ES_TEST_LAUNCHED");

  if (name != NULL)
    return g_str_equal (name, "both") ? serve_both () : serve (name);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/activation/adopts-socket", test_activation_adopts_socket);
  g_test_add_func ("/activation/leaves-socket-open", test_activation_leaves_socket_open);
  g_test_add_func ("/activation/leaves-messages-whole", test_activation_leaves_messages_whole);
  g_test_add_func ("/activation/needs-an-open-socket", test_activation_needs_an_open_socket);
  g_test_add_func ("/activation/refuses-other-sockets", test_activation_refuses_other_sockets);
  g_test_add_func ("/activation/loses-nothing", test_activation_loses_nothing);
  g_test_add_func ("/activation/takes-by-name", test_activation_takes_by_name);
  g_test_add_func ("/activation/takes-each-once", test_activation_takes_each_once);
  g_test_add_func ("/activation/tells-what-is-missing", test_activation_tells_what_is_missing);
  g_test_add_func ("/activation/serves-unix", test_activation_serves_unix);
  g_test_add_func ("/activation/hears-unnamed-senders", test_activation_hears_unnamed_senders);
  g_test_add_func ("/activation/meets-full-receivers", test_activation_meets_full_receivers);
  g_test_add_func ("/activation/is-told-once", test_activation_is_told_once);
  return g_test_run ();
}
