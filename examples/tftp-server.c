/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gives the files of a folder by TFTP: tftp-server --root DIR [--port N]
 *
 * It only reads, and nothing leads out of the folder: no "..", and no link. It knows the modes
 * octet and netascii, and the options blksize, timeout, tsize and windowsize.
 *
 * Each transfer has a socket of its own, at the address that its request was sent to. What the
 * client does not acknowledge in time is sent again. That time is the timeout that the client asks
 * for at first, and then follows how long its answers take. Where systemd hands over a socket,
 * requests are heard there.
 */

#include "tftp-message.h"

#include <easyservers.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define USAGE "Usage: tftp-server --root DIR [--port 0 to 65535]"

/* Who comes when there are so many hears nothing, and asks again. */
#define MAX_TRANSFERS 256

/* So often a window is sent before its client is given up. Who was never heard of may know nothing
 * of the request that came in its name. */
#define TRIES 12
#define FEW_TRIES 3

/* In microseconds. */
#define MIN_WAIT (20 * 1000)

/* What is held back of CR NUL and CR LF in netascii, and that there is no such thing in octet. */
#define HELD_NUL 0x100
#define HELD_LF '\n'
#define NEVER_HELD -1

static char *root; /* (owned) */
static int port = 69;
static GHashTable *clients; /* (owned) of (owned) addresses, to (owned) Transfer */

static const GOptionEntry entries[] = {
  { "root", 'r', 0, G_OPTION_ARG_FILENAME, &root, "Give the files of this folder", "DIR" },
  { "port", 'p', 0, G_OPTION_ARG_INT, &port, "Listen on this UDP port (69); 0: any free one", "N" },
  G_OPTION_ENTRY_NULL
};

typedef struct
{
  EsEndpoint *socket;     /* (owned) */
  GSocketAddress *client; /* (borrowed) among the clients */
  guint request;          /* its hash, until the client is heard of, and then 0 */
  FILE *file;             /* (owned) */
  int held_back;          /* 0: nothing is now */
  guint64 values[TFTP_N_OPTIONS];
  GPtrArray *window;    /* (owned) of (owned) GBytes: options or blocks, not acknowledged yet */
  guint16 first;        /* the number of its first; that of options is 0 */
  guint64 sent, wait;   /* microseconds: when it was sent, and how long it waits then */
  guint clock, n_tries; /* the source that waits, and how often it was sent */
} Transfer;

static void
send_error (EsEndpoint *from, GSocketAddress *to, guint16 code, const char *text)
{
  g_autoptr (GBytes) message = tftp_message_new (TFTP_ERROR, code, text, strlen (text) + 1);

  es_endpoint_send (from, message, to, NULL);
}

static void
transfer_end (gpointer data)
{
  Transfer *self = data;

  g_clear_handle_id (&self->clock, g_source_remove);
  g_object_unref (self->socket);
  g_ptr_array_unref (self->window);
  fclose (self->file);
  g_free (self);
}

/* Reads a block into the window. In netascii a line ends with CR LF, and CR is CR NUL (RFC 764). */
static void
transfer_read (Transfer *self)
{
  guint8 block[TFTP_MAX_BLOCK_SIZE];
  guint16 number = self->first + self->window->len;
  gsize size = 0;
  int byte;

  if (self->held_back == NEVER_HELD)
    size = fread (block, 1, self->values[TFTP_BLOCK_SIZE], self->file);
  else
    while (size < self->values[TFTP_BLOCK_SIZE] &&
           (byte = self->held_back != 0 ? self->held_back : getc (self->file)) != EOF)
      {
        block[size++] = byte == '\n' && self->held_back == 0 ? '\r' : byte;
        self->held_back = self->held_back != 0 ? 0 : byte == '\n' ? HELD_LF
                                                   : byte == '\r' ? HELD_NUL
                                                                  : 0;
      }
  g_ptr_array_add (self->window, tftp_message_new (TFTP_DATA, number, block, size));
}

/* Sends the window, and again when it is not answered in time. Where it is empty, all is done. */
static gboolean
transfer_send_cb (gpointer data)
{
  Transfer *self = data;
  GBytes **messages = (GBytes **) self->window->pdata;

  g_clear_handle_id (&self->clock, g_source_remove);
  if (self->window->len == 0 || self->n_tries++ == (self->request != 0 ? FEW_TRIES : TRIES))
    g_hash_table_remove (clients, self->client);
  else
    {
      es_endpoint_send_many (self->socket, messages, self->window->len, self->client, NULL);
      self->sent = g_get_monotonic_time ();
      self->wait = MIN (2 * self->wait, self->values[TFTP_TIMEOUT] * G_USEC_PER_SEC);
      self->clock = g_timeout_add (self->wait / 1000, transfer_send_cb, self);
    }
  return G_SOURCE_REMOVE;
}

/* Fills the window and sends it. Until options are acknowledged there is no room for more. */
static void
transfer_go_on (Transfer *self)
{
  guint64 window_size = self->request != 0 ? 1 : self->values[TFTP_WINDOW_SIZE];

  while (self->window->len < window_size && !feof (self->file) && !ferror (self->file))
    transfer_read (self);
  if (ferror (self->file))
    {
      send_error (self->socket, self->client, TFTP_OTHER, "The file cannot be read");
      g_ptr_array_set_size (self->window, 0);
    }
  transfer_send_cb (self);
}

/* An acknowledgement that comes once more sends nothing: from then on all would be sent twice
 * (RFC 1123, section 4.2.3.1). */
static void
on_answer (EsEndpoint *own, GBytes *message, GSocketAddress *from, EsSendFunc send, gpointer data)
{
  Transfer *self = data;
  gboolean is_client = es_address_equal (from, self->client);
  int opcode = tftp_get_number (message, 0);
  guint16 n = tftp_get_number (message, 2) + 1 - self->first;

  if (is_client && opcode == TFTP_ACK && n > 0 && n <= self->window->len)
    {
      self->wait = MAX (MIN_WAIT, self->wait / 4 + 3 * (g_get_monotonic_time () - self->sent)) / 2;
      self->request = self->n_tries = 0;
      self->first += n;
      g_ptr_array_remove_range (self->window, 0, n);
      transfer_go_on (self);
    }
  else if (opcode != TFTP_ERROR && !(is_client && opcode == TFTP_ACK))
    send_error (own, from, is_client ? TFTP_ILLEGAL : TFTP_UNKNOWN_TRANSFER, "Not awaited here");
  if (is_client && opcode != TFTP_ACK)
    g_hash_table_remove (clients, self->client);
}

/* (nullable) Opens what is a file and lies in the folder, wherever links lead, or tells why not. */
static FILE *
open_file (EsEndpoint *own, GSocketAddress *client, const char *name, struct stat *status)
{
  const struct open_how how = { .flags = O_RDONLY | O_NONBLOCK, .resolve = RESOLVE_BENEATH };
  int descriptor = syscall (SYS_openat2, AT_FDCWD, name + strspn (name, "/"), &how, sizeof how);
  gboolean is_missing = descriptor < 0 && (errno == ENOENT || errno == ENOTDIR);
  FILE *file = descriptor >= 0 ? fdopen (descriptor, "r") : NULL;

  if (file != NULL && fstat (descriptor, status) == 0 && S_ISREG (status->st_mode))
    return file;
  send_error (own, client, is_missing ? TFTP_NOT_FOUND : TFTP_NO_ACCESS, "There is no such file");
  g_clear_pointer (&file, fclose);
  return NULL;
}

/* Returns FALSE if that is no request as there should be. One that comes twice starts nothing. */
static gboolean
transfer_start (EsEndpoint *listener, GBytes *request, GSocketAddress *client)
{
  gsize size;
  const char *name = (const char *) g_bytes_get_data (request, &size) + 2;
  const char *mode = tftp_next_text (name, name + size - 2);
  gboolean is_netascii = g_ascii_strcasecmp (mode, "netascii") == 0;
  Transfer *self = g_hash_table_lookup (clients, client);
  guint hash = g_bytes_hash (request) | 1;
  g_autofree char *host = es_endpoint_dup_asked_host (listener, client);
  g_autoptr (EsUdpServer) socket = es_udp_server_new (0);
  struct stat status;
  FILE *file;

  if (!is_netascii && g_ascii_strcasecmp (mode, "octet") != 0)
    return FALSE;
  es_udp_server_set_address (socket, host);
  if ((self != NULL && self->request == hash) || g_hash_table_size (clients) >= MAX_TRANSFERS ||
      !es_endpoint_start (ES_ENDPOINT (socket), NULL) ||
      (file = open_file (ES_ENDPOINT (socket), client, name, &status)) == NULL)
    return TRUE;

  self = g_new0 (Transfer, 1);
  self->socket = ES_ENDPOINT (g_steal_pointer (&socket));
  self->client = g_object_ref (client);
  self->request = hash;
  self->file = file;
  self->held_back = is_netascii ? 0 : NEVER_HELD;
  self->window = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->values[TFTP_SIZE] = is_netascii ? TFTP_UNKNOWN_SIZE : (guint64) status.st_size;
  tftp_agree (mode, name + size - 2, self->values, self->window);
  self->first = self->window->len == 0;
  self->wait = self->values[TFTP_TIMEOUT] * G_USEC_PER_SEC;
  es_endpoint_set_message_func (self->socket, on_answer, self, NULL);
  g_hash_table_replace (clients, self->client, self);
  transfer_go_on (self);
  return TRUE;
}

/* What has its place in a transfer may be the late end of one, and is let pass in silence. */
static void
on_request (EsEndpoint *own, GBytes *message, GSocketAddress *from, EsSendFunc send, gpointer data)
{
  int opcode = tftp_get_number (message, 0);
  gboolean is_late = opcode >= TFTP_DATA && opcode <= TFTP_OPTION_ACK;

  if (!is_late && (opcode != TFTP_READ || !transfer_start (own, message, from)))
    send_error (own, from, opcode == TFTP_WRITE ? TFTP_NO_ACCESS : TFTP_ILLEGAL, "Ask for files");
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("- give files by TFTP");
  g_autoptr (EsUdpServer) server = NULL;
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc > 1 || root == NULL ||
      port != (guint16) port)
    {
      g_printerr ("%s\n", error != NULL ? error->message : USAGE);
      return 2;
    }
  clients = g_hash_table_new_full (es_address_hash, es_address_equal, g_object_unref, transfer_end);
  server = es_udp_server_new_from_activation (NULL, NULL) ?: es_udp_server_new (port);
  es_endpoint_set_message_func (ES_ENDPOINT (server), on_request, NULL, NULL);
  es_endpoint_set_quit_on_signals (ES_ENDPOINT (server), TRUE);
  if (chdir (root) != 0)
    g_set_error (&error, G_IO_ERROR, 0, "Could not enter %s: %s", root, g_strerror (errno));
  else if (es_endpoint_start (ES_ENDPOINT (server), &error))
    {
      g_print ("Listening on port %u\n", es_udp_server_get_port (server));
      es_endpoint_run (ES_ENDPOINT (server), &error);
    }
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  g_hash_table_unref (clients);
  return error != NULL;
}
