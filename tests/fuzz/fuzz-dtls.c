/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls.h"

#include "fuzz.h"

#include <netinet/in.h>

/*
 * A private lane, a client of ours, and strangers, in memory: the input says who speaks, and which
 * datagrams are altered, cut, lost, doubled or late on their way. A message that either side reads
 * is one that the other has sent, whole, and comes once; and a stranger is never sent more than it
 * has sent.
 */

#define MAX_STEPS 48
#define MAX_QUEUE 64
#define MAX_FLOW 200
#define CLIENT_PORT 1000

typedef enum
{
  STRANGER,
  CONNECT,
  PASS,
  ALTER,
  CUT,
  LOSE,
  DOUBLE,
  DELAY,
  CLIENT_SENDS,
  SERVER_SENDS,
  FLOW,
  N_STEPS,
} Step;

/* One direction. */
typedef struct
{
  GQueue datagrams; /* of (owned) GBytes */
  guint n_sent;
  GHashTable *pending; /* (owned) of the numbers that were sent and not read */
} Way;

static EsDtlsTerms *server_terms; /* (owned) */
static EsDtlsTerms *client_terms; /* (owned) */
static EsDtls *server;            /* (owned) */
static EsDtlsSession *client;     /* (owned) (nullable) */
static Way to_server, to_client;
static gsize stranger_credit;

static GBytes *
find_key (gpointer owner,
          const char *identity)
{
  return g_str_equal (identity, "alice") ? g_bytes_new_static ("a long secret", 13) : NULL;
}

/* Made once, since it is what costs. */
static void
set_up (void)
{
  g_autoptr (GBytes) key = g_bytes_new_static ("a long secret", 13);
  EsDtlsOptions options = { .limits = { 1400, 30000, 0, 4, 2 } };

  if (server_terms != NULL)
    return;
  options.psk_identity = "alice";
  options.psk = key;
  client_terms = es_dtls_terms_new (&options, NULL);
  options.is_server = TRUE;
  options.find_psk = find_key;
  server_terms = es_dtls_terms_new (&options, NULL);
  g_assert_nonnull (client_terms);
  g_assert_nonnull (server_terms);
}

static void
write_native (EsNative *native,
              guint16 port)
{
  *native = (EsNative){ .ip4 = { .sin_family = AF_INET }, .size = sizeof native->ip4 };
  native->ip4.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  native->ip4.sin_port = htons (port);
}

static void
queue (Way *way,
       GBytes *datagram)
{
  if (way->datagrams.length < MAX_QUEUE)
    g_queue_push_tail (&way->datagrams, g_bytes_ref (datagram));
}

static void
send_datagram (gpointer owner,
               GBytes *datagram,
               const EsNative *to,
               const EsLocal *from)
{
  if (ntohs (to->ip4.sin_port) == CLIENT_PORT)
    {
      queue (&to_client, datagram);
      return;
    }
  g_assert_cmpuint (g_bytes_get_size (datagram), <=, stranger_credit);
  stranger_credit -= g_bytes_get_size (datagram);
}

static void
fail (gpointer owner,
      const GError *error,
      GSocketAddress *address)
{
  g_assert_nonnull (error);
}

static const EsDtlsFuncs funcs = { send_datagram, fail };

static void
push_to_server (gpointer data,
                EsDtlsSession *session,
                GBytes *datagram)
{
  queue (&to_server, datagram);
}

/* What was read was sent on this way, and is read the first time. */
static void
check_message (Way *way,
               GBytes *message)
{
  gsize size;
  const char *text = g_bytes_get_data (message, &size);
  guint64 number;
  g_autofree char *expected = NULL;

  g_assert_true (g_str_has_prefix (text, "message "));
  g_assert_true (g_ascii_string_to_unsigned (text + 8, 10, 0, G_MAXUINT, &number, NULL));
  expected = g_strdup_printf ("message %u", (guint) number);
  g_assert_cmpmem (text, size, expected, strlen (expected));
  g_assert_true (g_hash_table_remove (way->pending, GUINT_TO_POINTER ((guint) number + 1)));
}

static GBytes *
next_message (Way *way)
{
  char *text = g_strdup_printf ("message %u", way->n_sent++);

  g_hash_table_add (way->pending, GUINT_TO_POINTER (way->n_sent));
  return g_bytes_new_take (text, strlen (text));
}

static void
server_hears (GBytes *datagram,
              guint16 port)
{
  EsNative sender;
  EsLocal local = { .family = AF_UNSPEC };
  gsize size;
  const guint8 *data = g_bytes_get_data (datagram, &size);
  EsDtlsDatagram arrival = { data, size, &sender, &local };
  g_autoptr (EsDtlsSession) session = NULL;
  GBytes *message;

  write_native (&sender, port);
  session = es_dtls_receive (server, &arrival, g_get_monotonic_time ());
  while (session != NULL && (message = es_dtls_read (server, session)) != NULL)
    {
      g_assert_cmpuint (port, ==, CLIENT_PORT);
      check_message (&to_server, message);
      g_bytes_unref (message);
    }
}

static void
client_hears (GBytes *datagram)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (datagram, &size);
  g_autoptr (GError) error = NULL;
  GBytes *message;

  if (client == NULL || es_dtls_session_get_state (client) == ES_DTLS_ENDED ||
      !es_dtls_session_feed (client, data, size))
    return;
  if (es_dtls_session_get_state (client) == ES_DTLS_SHAKING &&
      !es_dtls_session_step (client, push_to_server, NULL, &error))
    {
      g_assert_nonnull (error);
      return;
    }
  if (es_dtls_session_get_state (client) != ES_DTLS_ESTABLISHED)
    return;
  while ((message = es_dtls_session_read (client, push_to_server, NULL, NULL)) != NULL)
    {
      check_message (&to_client, message);
      g_bytes_unref (message);
    }
}

/* A client comes anew, from the same port. What it was sent before is nobody's now. */
static void
connect_client (void)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 1);

  g_clear_pointer (&client, es_dtls_session_unref);
  g_hash_table_remove_all (to_client.pending);
  client = es_dtls_session_connect (client_terms, address, NULL, NULL);
  g_assert_nonnull (client);
  es_dtls_session_step (client, push_to_server, NULL, NULL);
}

static void
send_from (EsDtlsSession *session,
           Way *way)
{
  g_autoptr (GBytes) message = NULL;
  g_autoptr (GBytes) datagram = NULL;

  if (session == NULL || es_dtls_session_get_state (session) != ES_DTLS_ESTABLISHED)
    return;
  message = next_message (way);
  es_dtls_session_lock (session);
  datagram = es_dtls_session_encrypt (session, message, NULL);
  es_dtls_session_unlock (session);
  g_assert_nonnull (datagram);
  queue (way, datagram);
}

static void
server_sends (void)
{
  EsNative peer;
  g_autoptr (EsDtlsSession) session = NULL;

  write_native (&peer, CLIENT_PORT);
  session = es_dtls_ref_session (server, &peer);
  send_from (session, &to_client);
}

static void
deliver (Way *way,
         GBytes *datagram)
{
  if (way == &to_server)
    server_hears (datagram, CLIENT_PORT);
  else
    client_hears (datagram);
}

/* Lets all that is under way arrive, and what that leads to. */
static void
flow (void)
{
  for (guint i = 0; i < MAX_FLOW; i++)
    {
      Way *way = to_server.datagrams.length > 0 ? &to_server : &to_client;
      g_autoptr (GBytes) datagram = g_queue_pop_head (&way->datagrams);

      if (datagram == NULL)
        return;
      deliver (way, datagram);
    }
}

/* (transfer full) What becomes of a datagram on its way, if it is altered or cut. */
static GBytes *
damage (GBytes *datagram,
        Step step,
        FuzzInput *input)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (datagram, &size);
  guint8 *copy = g_memdup2 (data, size);
  gsize at = size > 0 ? fuzz_take_word (input) % size : 0;

  if (step == ALTER && size > 0)
    copy[at] ^= MAX (1, fuzz_take_byte (input));
  return g_bytes_new_take (copy, step == CUT ? at : size);
}

/* The next datagram on either way meets its fate. */
static void
pass_one (Step step,
          FuzzInput *input)
{
  Way *way = fuzz_take_byte (input) % 2 == 0 ? &to_server : &to_client;
  g_autoptr (GBytes) datagram = g_queue_pop_head (&way->datagrams);
  g_autoptr (GBytes) damaged = NULL;

  if (datagram == NULL || step == LOSE)
    return;
  if (step == DELAY)
    {
      queue (way, datagram);
      return;
    }
  damaged = damage (datagram, step, input);
  deliver (way, damaged);
  if (step == DOUBLE)
    deliver (way, damaged);
}

static void
hear_stranger (FuzzInput *input)
{
  guint16 port = 1 + fuzz_take_byte (input) % 4;
  g_autoptr (GBytes) datagram = fuzz_take_bytes (input, fuzz_take_word (input) % 2048);

  stranger_credit = g_bytes_get_size (datagram);
  server_hears (datagram, port);
}

static void
take_step (FuzzInput *input)
{
  Step step = fuzz_take_byte (input) % N_STEPS;

  if (step == STRANGER)
    hear_stranger (input);
  else if (step == CONNECT)
    connect_client ();
  else if (step == CLIENT_SENDS)
    send_from (client, &to_server);
  else if (step == SERVER_SENDS)
    server_sends ();
  else if (step == FLOW)
    flow ();
  else
    pass_one (step, input);
}

static void
clear_way (Way *way)
{
  g_queue_clear_full (&way->datagrams, (GDestroyNotify) g_bytes_unref);
  g_clear_pointer (&way->pending, g_hash_table_unref);
  way->n_sent = 0;
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  FuzzInput input = { data, size };

  set_up ();
  to_server.pending = g_hash_table_new (NULL, NULL);
  to_client.pending = g_hash_table_new (NULL, NULL);
  server = es_dtls_new (server_terms, 1, &funcs, NULL);
  for (guint i = 0; i < MAX_STEPS && input.size > 0; i++)
    take_step (&input);
  es_dtls_close (server);
  g_clear_pointer (&server, es_dtls_free);
  g_clear_pointer (&client, es_dtls_session_unref);
  clear_way (&to_server);
  clear_way (&to_client);
  return 0;
}
