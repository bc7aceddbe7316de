/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Serves the names in a file like /etc/hosts: dns-server --hosts FILE [--port N] [--workers N]
 *
 * The protocol is DNS, by UDP alone. The file is read again on SIGHUP. Where systemd hands over a
 * socket, that is the one to listen at.
 */

#include "dns-message.h"

#include <easyservers.h>

#include <glib-unix.h>

#include <locale.h>
#include <string.h>

#define USAGE "Usage: dns-server --hosts FILE [--port 0 to 65535] [--workers 1 to 256]"

static char *hosts_file; /* (owned) */
static int port = 53, n_workers = 1;

static const GOptionEntry options[] = {
  { "hosts", 'f', 0, G_OPTION_ARG_FILENAME, &hosts_file, "Serve the names in this file", "FILE" },
  { "port", 'p', 0, G_OPTION_ARG_INT, &port, "Listen on this port (53); 0: on any free one", "N" },
  { "workers", 'w', 0, G_OPTION_ARG_INT, &n_workers, "Answer in so many threads (1)", "N" },
  G_OPTION_ENTRY_NULL
};

/* The workers read the names while the main context may exchange them. */
static GRWLock lock;
static GHashTable *names; /* (owned) (nullable) */

/* Adds what a line says: an address, its canonical name, and others. */
static void
add_line (GHashTable *to, char *line, guint number)
{
  char *rest = NULL;
  const char *word = strtok_r (line, " \t\r", &rest);
  g_autoptr (GInetAddress) address = word != NULL ? g_inet_address_new_from_string (word) : NULL;

  for (gboolean is_first = TRUE; (word = strtok_r (NULL, " \t\r", &rest)) != NULL; is_first = FALSE)
    if (address == NULL || !dns_names_add (to, word, address, is_first))
      g_printerr ("%s:%u: %s is no name, or its address is none\n", hosts_file, number, word);
}

/* The names stay as they are where the file cannot be read. */
static gboolean
read_hosts (gpointer unused)
{
  g_autoptr (GHashTable) new_names = dns_names_new ();
  g_autoptr (GHashTable) old_names = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_get_contents (hosts_file, &text, NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return G_SOURCE_CONTINUE;
    }
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      lines[i][strcspn (lines[i], "#")] = '\0';
      add_line (new_names, lines[i], i + 1);
    }
  g_rw_lock_writer_lock (&lock);
  old_names = names;
  names = g_steal_pointer (&new_names);
  g_rw_lock_writer_unlock (&lock);
  if (old_names != NULL)
    g_print ("Read %s again\n", hosts_file);
  return G_SOURCE_CONTINUE;
}

static void
on_query (EsEndpoint *server, GBytes *query, GSocketAddress *asker, EsSendFunc send, gpointer data)
{
  guint8 answer[DNS_MAX_ANSWER];
  gsize size = 0;
  const guint8 *bytes = g_bytes_get_data (query, &size);
  g_autoptr (GRWLockReaderLocker) locker = g_rw_lock_reader_locker_new (&lock);

  size = dns_answer (names, bytes, size, answer);
  if (size > 0)
    es_endpoint_send_data (server, answer, size, asker, NULL);
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("- serve the names in a hosts file");
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc > 1 || hosts_file == NULL ||
      port < 0 || port > G_MAXUINT16 || n_workers < 1 || n_workers > 256)
    {
      g_printerr ("%s\n", error != NULL ? error->message : USAGE);
      return 2;
    }
  read_hosts (NULL);
  server = es_udp_server_new_from_activation (NULL, NULL);
  if (server == NULL)
    server = es_udp_server_new (port);
  es_udp_server_set_workers (server, n_workers);
  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), TRUE);
  es_endpoint_set_message_func (ES_ENDPOINT (server), on_query, NULL, NULL);
  if (names != NULL && es_endpoint_start (ES_ENDPOINT (server), &error))
    {
      g_unix_signal_add (SIGHUP, read_hosts, NULL);
      g_print ("Listening on port %u\n", es_udp_server_get_port (server));
      es_endpoint_run (ES_ENDPOINT (server), &error);
    }
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return names == NULL || error != NULL;
}
