/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Collects what others log (RFC 5424 and 5426): syslog-server [--output FILE] [--port PORT]
 *
 * Each message is one line of the file, or of the standard output; syslog-message.c says which. A
 * job writes them, so that a slow disk holds up no message: what comes meanwhile waits in a queue,
 * and what does not fit there is counted. A disk that refuses is tried again every second, and no
 * line is torn.
 *
 * SIGHUP has the file opened anew, for who has renamed it. SIGINT and SIGTERM end the server once
 * all lines are written, a second one at once. Where systemd hands over a socket, that is the one
 * to listen at.
 */

#include "syslog-message.h"

#include <easyservers.h>

#include <glib-unix.h>

#include <locale.h>

#define USAGE "Usage: syslog-server [--output FILE] [--port 0 to 65535]"
#define QUEUE_SIZE (16 * 1024 * 1024)
#define PATIENCE_MS 1000
#define OUTPUT (path != NULL ? path : "the standard output")
#define OPEN_FLAGS (O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC)

static char *path; /* (owned) (nullable) */
static int port = 514;

static const GOptionEntry options[] = {
  { "output", 'o', 0, G_OPTION_ARG_FILENAME, &path, "Append to this file", "FILE" },
  { "port", 'p', 0, G_OPTION_ARG_INT, &port, "Listen on this port (514); 0: a free one", "PORT" },
  G_OPTION_ENTRY_NULL
};

static EsJob *writer; /* (owned) */
static int must_open; /* by atomic operations */
static guint64 n_unwritten;

/* Under the lock. */
static GMutex lock;
static GString *queue; /* (owned) of whole lines */
static guint64 n_queued, n_dropped, n_told;

static char *
host_of (gpointer address)
{
  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return es_address_to_string (address);
  return g_inet_address_to_string (g_inet_socket_address_get_address (address));
}

static void
queue_line (EsEndpoint *self, GBytes *message, GSocketAddress *from, EsSendFunc send, gpointer data)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *host = host_of (from);
  gsize size = queue->len;

  syslog_message_append (queue, message, host, now);
  if (queue->len > QUEUE_SIZE)
    {
      g_string_truncate (queue, size);
      if (n_dropped++ == n_told)
        g_printerr ("The queue is full: messages are dropped\n");
    }
  else if (n_queued++, size == 0)
    es_job_wake (writer);
}

/* Lines are taken when there are none. */
static void
take_queue (GString *lines)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  GString taken = *queue;

  if (lines->len > 0)
    return;
  *queue = *lines;
  *lines = taken;
  if (n_dropped > n_told)
    g_printerr ("%" G_GUINT64_FORMAT " messages were dropped so far\n", n_dropped);
  n_told = n_dropped;
}

/* The file becomes the standard output, which stays what it is where that fails. */
static gboolean
open_output (void)
{
  int output = path != NULL ? open (path, OPEN_FLAGS, 0640) : dup (STDOUT_FILENO);

  if (output < 0)
    g_printerr ("Could not open %s: %s\n", path, g_strerror (errno));
  return output >= 0 && dup2 (output, STDOUT_FILENO) >= 0 && close (output) == 0;
}

/* Tells how much of what was written is to stay: no part of a line, where that can be cut off. */
static gsize
cut_line_off (const char *lines, gsize size)
{
  const char *line_end = g_strrstr_len (lines, size, "\n");
  gsize whole = line_end != NULL ? line_end + 1 - lines : 0;
  off_t end = size > whole ? lseek (STDOUT_FILENO, (off_t) whole - (off_t) size, SEEK_CUR) : -1;

  return end >= 0 && ftruncate (STDOUT_FILENO, end) == 0 ? whole : size;
}

/* Erases what it has written. Why that is not all is said once. */
static gboolean
write_lines (GString *lines)
{
  static gboolean is_refused;
  gsize written = 0;
  gssize size = 0;

  for (; size >= 0 && written < lines->len; written += MAX (size, 0))
    size = write (STDOUT_FILENO, lines->str + written, lines->len - written);
  if (size < 0 && !is_refused)
    g_printerr ("Could not write to %s: %s\n", OUTPUT, g_strerror (errno));
  is_refused = size < 0;
  g_string_erase (lines, 0, cut_line_off (lines->str, written));
  return !is_refused;
}

static void
write_queue (EsJob *job, EsEndpoint *server, gpointer user_data)
{
  g_autoptr (GString) lines = g_string_new (NULL);
  gboolean goes_on;

  do
    {
      goes_on = es_job_sleep (job, lines->len > 0 ? PATIENCE_MS : G_MAXUINT);
      do
        {
          if (g_atomic_int_compare_and_exchange (&must_open, TRUE, FALSE))
            open_output ();
          take_queue (lines);
        }
      while (lines->len > 0 && write_lines (lines));
    }
  while (goes_on);
  g_string_append (lines, queue->str);
  for (const char *at = lines->str; *at != '\0'; at++)
    n_unwritten += *at == '\n';
}

static gboolean
reopen (gpointer unused)
{
  g_atomic_int_set (&must_open, TRUE);
  es_job_wake (writer);
  return G_SOURCE_CONTINUE;
}

static gboolean
quit (gpointer server)
{
  es_endpoint_quit (server);
  return G_SOURCE_REMOVE;
}

/* Says in the end what has become of all messages that reached this host. */
static gboolean
run (EsEndpoint *server, GError **error)
{
  g_autoptr (EsStats) stats = NULL;
  g_autofree char *counts = NULL;

  queue = g_string_new (NULL);
  es_endpoint_set_message_func (server, queue_line, NULL, NULL);
  if (!es_endpoint_start (server, error) || !open_output ())
    return FALSE;
  writer = es_endpoint_create_job (server, "writer", write_queue, NULL, NULL, TRUE, error);
  if (writer == NULL)
    return FALSE;
  g_unix_signal_add (SIGHUP, reopen, NULL);
  g_unix_signal_add (SIGINT, quit, server);
  g_unix_signal_add (SIGTERM, quit, server);
  g_printerr ("Listening on port %u\n", es_udp_server_get_port (ES_UDP_SERVER (server)));
  es_endpoint_run (server, NULL);

  stats = es_endpoint_get_stats (server);
  counts = es_stats_to_string (stats);
  g_printerr ("%slines_written %" G_GUINT64_FORMAT "\n", counts, n_queued - n_unwritten);
  g_printerr ("dropped_queue_full %" G_GUINT64_FORMAT "\n", n_dropped);
  g_printerr ("dropped_unwritten %" G_GUINT64_FORMAT "\n", n_unwritten);
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("- collect what others log");
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc > 1 || port != (guint16) port)
    {
      g_printerr ("%s\n", error != NULL ? error->message : USAGE);
      return 2;
    }
  /* What a reader or a limit refuses is an error like any other. */
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN);
  if (g_getenv ("LISTEN_FDS") != NULL)
    server = es_udp_server_new_from_activation (NULL, &error);
  else
    server = es_udp_server_new (port);
  if (server != NULL && run (ES_ENDPOINT (server), &error))
    return 0;
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return 1;
}
