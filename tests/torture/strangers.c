/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

/* What strangers meet: the chat's server, whole, but for what starts it. */
#define main chat_main
int chat_main (int argc, char **argv);
#include "../../examples/chat-server.c"
#undef main

#include "loopback.h"
#include "watch.h"

#include <stdlib.h>

/*
 * Random and mutated datagrams: strangers N SEED
 *
 * A thread sends them to a chat server, and to a client with requests under way, whose server it
 * is. Whenever much is under way it waits for that to be handled, until N have been handled.
 */

#define N_TALKERS 32
#define MAX_UNDER_WAY 256
#define MAX_SIZE 2048
#define N_REQUESTS 8

typedef struct
{
  Chat chat;
  EsUdpClient *client;
  GMainLoop *loop;
  guint64 n_wanted;
  guint32 seed;
  guint16 port; /* the chat's */
  int server;   /* the client's server: a descriptor */
  guint16 client_port;

  /* Any thread. */
  guint64 n_handled;
  guint64 n_answers;
  guint64 n_sent;
} Strangers;

static const char *const models[] = {
  "JOIN ada",
  "JOIN bob\n",
  "MSGA hello to you all",
  "MSGP (ada) hello",
  "MSGP (bob) ",
  "EXIT",
  "PONG\r\n",
  "PING",
  "JOIN \xc3\xa9\xe2\x82\xac",
};

static void
count (Strangers *self)
{
  if (__atomic_add_fetch (&self->n_handled, 1, __ATOMIC_RELAXED) == self->n_wanted)
    g_main_loop_quit (self->loop);
}

static void
on_chat_message (EsEndpoint *server,
                 GBytes *message,
                 GSocketAddress *address,
                 EsSendFunc send,
                 gpointer user_data)
{
  Strangers *self = user_data;

  on_message_received (server, message, address, send, &self->chat);
  count (self);
}

static void
on_client_message (EsEndpoint *client,
                   GBytes *message,
                   GSocketAddress *address,
                   EsSendFunc send,
                   gpointer user_data)
{
  count (user_data);
}

/* A request is four bytes, with which its answer begins. */
static gboolean
match (GBytes *request,
       GBytes *response,
       gpointer user_data)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (response, &size);

  return size >= 4 && memcmp (data, g_bytes_get_data (request, NULL), 4) == 0;
}

static void ask (Strangers *self);

static void
on_answer (GObject *client,
           GAsyncResult *result,
           gpointer user_data)
{
  Strangers *self = user_data;
  g_autoptr (GBytes) answer = es_udp_client_request_finish (ES_UDP_CLIENT (client), result, NULL);

  if (answer != NULL)
    {
      self->n_answers++;
      count (self);
    }
  if (g_main_loop_is_running (self->loop))
    ask (self);
}

static void
ask (Strangers *self)
{
  guint32 key = g_random_int_range (0, 256);
  g_autoptr (GBytes) request = g_bytes_new (&key, sizeof key);

  es_udp_client_request_async (self->client, request, NULL, on_answer, self);
}

static gsize
make_random (GRand *random,
             guint8 *data)
{
  gsize size = g_rand_int_range (random, 0, g_rand_int_range (random, 0, 64) == 0 ? MAX_SIZE : 64);

  for (gsize i = 0; i < size; i++)
    data[i] = g_rand_int (random);
  return size;
}

static void
change (GRand *random,
        guint8 *data,
        gsize *size)
{
  gsize at = *size > 0 ? (gsize) g_rand_int_range (random, 0, *size) : 0;
  gsize n = g_rand_int_range (random, 1, 32);

  switch (g_rand_int_range (random, 0, 4))
    {
    case 0:
      data[at] ^= 1 << g_rand_int_range (random, 0, 8);
      break;
    case 1:
      data[at] = g_rand_int (random);
      break;
    case 2:
      *size = at;
      break;
    default:
      n = MIN (n, MAX_SIZE - *size);
      memmove (data + at + n, data + at, *size - at);
      *size += n;
    }
}

static gsize
make_mutant (GRand *random,
             guint8 *data)
{
  const char *model = models[g_rand_int_range (random, 0, G_N_ELEMENTS (models))];
  gsize size = strlen (model);

  memcpy (data, model, size);
  for (int n = g_rand_int_range (random, 0, 4); n > 0; n--)
    change (random, data, &size);
  return size;
}

static gsize
make_answer (GRand *random,
             guint8 *data)
{
  guint32 key = g_rand_int_range (random, 0, 256);
  gsize size = sizeof key;

  memcpy (data, &key, sizeof key);
  if (g_rand_int_range (random, 0, 4) == 0)
    change (random, data, &size);
  return size;
}

static int
new_talker (guint16 port)
{
  struct sockaddr_in server = loopback (port);
  int fd = socket (AF_INET, SOCK_DGRAM, 0);

  if (connect (fd, (struct sockaddr *) &server, sizeof server) != 0)
    g_error ("A talker could not connect");
  return fd;
}

/* Waits while much is under way. What the kernel dropped is on its way for ever. */
static void
keep_pace (Strangers *self)
{
  while (self->n_sent - read_counter (&self->n_handled) > MAX_UNDER_WAY)
    {
      g_autoptr (EsStats) chat = es_endpoint_get_stats (ES_ENDPOINT (self->chat.server));
      g_autoptr (EsStats) client = es_endpoint_get_stats (ES_ENDPOINT (self->client));
      guint64 n_lost = chat->dropped_by_kernel + client->dropped_by_kernel;

      if (self->n_sent - read_counter (&self->n_handled) - n_lost <= MAX_UNDER_WAY)
        return;
      g_usleep (50);
    }
}

static gpointer
speak (gpointer user_data)
{
  Strangers *self = user_data;
  GRand *random = g_rand_new_with_seed (self->seed);
  struct sockaddr_in client = loopback (self->client_port);
  guint8 *data = g_malloc0 (MAX_SIZE + 1);
  int talkers[N_TALKERS];

  for (guint i = 0; i < N_TALKERS; i++)
    talkers[i] = new_talker (self->port);
  while (read_counter (&self->n_handled) < self->n_wanted)
    {
      guint kind = g_rand_int_range (random, 0, 8);
      int fd = talkers[g_rand_int_range (random, 0, N_TALKERS)];
      ssize_t n;

      if (kind < 2)
        n = sendto (self->server, data, make_answer (random, data), 0,
                    (struct sockaddr *) &client, sizeof client);
      else
        n = send (fd, data, kind < 4 ? make_random (random, data) : make_mutant (random, data), 0);
      self->n_sent += n >= 0 ? 1 : 0;
      keep_pace (self);
    }
  g_free (data);
  g_rand_free (random);
  return NULL;
}

/* The client, connected to a socket of the talking thread's. */
static void
start_client (Strangers *self,
              GError **error)
{
  struct sockaddr_in own = loopback (0);
  socklen_t size = sizeof own;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocketAddress) local = NULL;

  self->server = socket (AF_INET, SOCK_DGRAM, 0);
  if (bind (self->server, (struct sockaddr *) &own, sizeof own) != 0 ||
      getsockname (self->server, (struct sockaddr *) &own, &size) != 0)
    g_error ("The client's server could not be bound");
  address = g_socket_address_new_from_native (&own, size);
  self->client = es_udp_client_new_with_handler (on_client_message, self, NULL);
  es_udp_client_set_match_func (self->client, match, NULL, NULL);
  if (!es_udp_client_connect_to (self->client, G_SOCKET_CONNECTABLE (address), NULL, error) ||
      !es_endpoint_start (ES_ENDPOINT (self->client), error))
    return;
  local = es_endpoint_get_local_address (ES_ENDPOINT (self->client));
  self->client_port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local));
}

static gboolean
start (Strangers *self)
{
  g_autoptr (GError) error = NULL;

  self->chat.server = es_udp_server_new_with_handler (0, on_chat_message, self, NULL);
  es_udp_server_set_address (self->chat.server, "127.0.0.1");
  if (es_endpoint_start (ES_ENDPOINT (self->chat.server), &error))
    start_client (self, &error);
  if (error != NULL)
    g_printerr ("%s\n", error->message);
  self->port = es_udp_server_get_port (self->chat.server);
  return error == NULL;
}

static void
tell_results (Strangers *self)
{
  g_autoptr (EsStats) chat = es_endpoint_get_stats (ES_ENDPOINT (self->chat.server));
  g_autoptr (EsStats) client = es_endpoint_get_stats (ES_ENDPOINT (self->client));

  tell ("sent", (double) self->n_sent);
  tell ("handled", (double) self->n_handled);
  tell ("answers", (double) self->n_answers);
  tell ("dropped", (double) (chat->dropped_by_kernel + chat->dropped_at_stop +
                             client->dropped_by_kernel + client->dropped_at_stop));
  tell ("received", (double) (chat->messages_received + client->messages_received));
}

int
main (int argc,
      char **argv)
{
  Strangers self = { 0 };
  GThread *thread;
  gint64 began = g_get_monotonic_time ();

  if (argc != 3)
    return 2;
  self.n_wanted = g_ascii_strtoull (argv[1], NULL, 10);
  self.seed = atoi (argv[2]);
  self.loop = g_main_loop_new (NULL, FALSE);
  if (!start (&self))
    return 1;
  thread = g_thread_new ("strangers", speak, &self);
  g_idle_add_once ((GSourceOnceFunc) ask, &self);
  for (guint i = 1; i < N_REQUESTS; i++)
    g_idle_add_once ((GSourceOnceFunc) ask, &self);
  g_main_loop_run (self.loop);
  g_thread_join (thread);
  es_endpoint_stop (ES_ENDPOINT (self.chat.server));
  es_endpoint_stop (ES_ENDPOINT (self.client));
  tell_results (&self);
  tell ("seconds", (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC);
  g_object_unref (self.chat.server);
  g_object_unref (self.client);
  g_main_loop_unref (self.loop);
  return 0;
}
