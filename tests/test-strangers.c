/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <easyservers.h>

#include "es-test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/*
 * What strangers may do to a server, and make it do to others. All of 127.0.0.0/8 is this host, so
 * that a socket can send in the name of sixteen million others, and no privilege is needed for it.
 */

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (endpoint, &error);
  g_assert_no_error (error);
}

/* Each message that was sent to the server was received, or is counted as lost. */
static void
assert_all_accounted_for (gpointer server,
                          guint64 n_sent)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (server);

  g_assert_cmpuint (stats->messages_received + stats->dropped_by_kernel + stats->dropped_too_long +
                      stats->dropped_rate_limited + stats->dropped_unauthenticated +
                      stats->dropped_at_stop,
                    ==, n_sent);
}

/* The amplification limit. */

static EsUdpServer *
start_limited_server (guint factor)
{
  EsUdpServer *server = es_test_start_server ();

  es_udp_server_set_amplification_limit (server, factor);
  return server;
}

/* How many bytes the server sends to an address before it is refused, in messages of that size. */
static guint
use_up (gpointer server,
        GSocketAddress *address,
        gsize size)
{
  g_autofree guint8 *bytes = g_malloc0 (size);
  g_autoptr (GError) error = NULL;
  guint n = 0;

  while (n < 1000000 && es_endpoint_send_data (server, bytes, size, address, &error))
    n += size;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  return n;
}

/* (transfer full) The address that a talker has at the server, after it has sent so many bytes. */
static GSocketAddress *
hear_from (gpointer server,
           GSocket *talker,
           gsize size)
{
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autofree char *text = g_strnfill (size, 'x');

  es_test_say (talker, text);
  es_test_wait_until (es_test_inbox_get_n (inbox) == 1);
  return g_object_ref (es_test_inbox_get_address (inbox, 0));
}

static void
test_strangers_are_sent_so_much (void)
{
  const guint factors[] = { 1, 2, 3, 100 };

  g_test_summary ("A stranger is sent the limit's multiple of what it sent, to the byte, "
                  "and told apart by port.");

  for (gsize i = 0; i < G_N_ELEMENTS (factors); i++)
    {
      g_autoptr (EsUdpServer) server = start_limited_server (factors[i]);
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
      g_autoptr (GSocket) other = es_test_new_talker (server, "127.0.0.1");
      g_autoptr (GSocketAddress) address = hear_from (server, talker, 10);
      g_autoptr (GSocketAddress) other_address = hear_from (server, other, 1);

      g_assert_cmpuint (use_up (server, address, 1), ==, 10 * factors[i]);
      g_assert_cmpuint (use_up (server, other_address, 1), ==, factors[i]);
      g_object_unref (hear_from (server, talker, 7));
      g_assert_cmpuint (use_up (server, address, 7), ==, 7 * factors[i]);
      g_assert_cmpuint (use_up (server, address, 1), ==, 0);
    }
}

static void
test_strangers_are_sent_nothing_unasked (void)
{
  g_autoptr (EsUdpServer) server = start_limited_server (3);
  g_autoptr (GSocket) listener = es_test_new_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (listener, NULL);

  g_test_summary ("An address that no message came from is sent nothing.");

  g_assert_cmpuint (use_up (server, address, 1), ==, 0);
  es_udp_server_set_amplification_limit (server, 0);
  g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), "hello", address, NULL));
}

static void
test_strangers_buy_nothing_with_what_is_dropped (void)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GSocket) talker = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);

  g_test_summary ("What was too long does not count as sent.");

  es_endpoint_set_max_message_size (ES_ENDPOINT (server), 10);
  es_udp_server_set_amplification_limit (server, 2);
  start (server);
  talker = es_test_new_talker (server, "127.0.0.1");
  address = hear_from (server, talker, 10);
  es_test_say (talker, "this is too long");
  es_test_wait_until (es_test_inbox_get_n_errors (inbox) == 1);

  g_assert_cmpuint (use_up (server, address, 1), ==, 20);
}

static void
test_strangers_are_no_peers (void)
{
  g_autoptr (EsUdpServer) server = start_limited_server (1);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocketAddress) address = hear_from (server, talker, 5);
  g_autoptr (EsPeer) peer = es_udp_server_add_peer (server, address);
  g_autofree char *text = g_strnfill (1000, 'x');

  g_test_summary ("A peer is sent anything, which leaves what it is owed as a stranger.");

  for (int i = 0; i < 10; i++)
    g_assert_true (es_endpoint_send_text (ES_ENDPOINT (server), text, address, NULL));
  g_assert_true (es_udp_server_remove_peer (server, peer));
  g_assert_cmpuint (use_up (server, address, 1), ==, 5);
}

static void
test_strangers_are_sent_so_many (void)
{
  g_autoptr (EsUdpServer) server = start_limited_server (2);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocketAddress) address = hear_from (server, talker, 5);
  g_autoptr (GBytes) message = g_bytes_new_static ("1234", 4);
  GBytes *messages[] = { message, message, message, message };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Of many messages those leave that the limit lets leave.");

  g_assert_cmpint (es_endpoint_send_many (ES_ENDPOINT (server), messages, 4, address, &error),
                   ==, 2);
  g_assert_no_error (error);
  g_assert_cmpint (es_endpoint_send_many (ES_ENDPOINT (server), messages, 4, address, &error),
                   ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpuint (use_up (server, address, 1), ==, 2);
}

#define N_THREADS 4

/* A crowd that uses up what one address may be sent. */
typedef struct
{
  EsUdpServer *server;
  GSocketAddress *address;
  int n_sent;
} Spenders;

static gpointer
spend (gpointer data)
{
  Spenders *spenders = data;

  g_atomic_int_add (&spenders->n_sent, use_up (spenders->server, spenders->address, 1));
  return NULL;
}

static void
test_strangers_are_sent_so_much_by_all (void)
{
  g_autoptr (EsUdpServer) server = start_limited_server (10);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocketAddress) address = hear_from (server, talker, 100);
  Spenders spenders = { server, address, 0 };
  GThread *threads[N_THREADS];

  g_test_summary ("However many threads send, a stranger is sent no more, and no less.");

  for (int i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("spender", spend, &spenders);
  for (int i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (spenders.n_sent, ==, 1000);
}

/* The rate limit, and accounts. */

static void
test_strangers_are_limited (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (GSocket) same_host = es_test_new_talker (server, "127.0.0.1");
  g_autoptr (EsStats) stats = NULL;

  g_test_summary ("One host's messages over its rate are dropped, but for a few, "
                  "and each is counted.");

  es_udp_server_set_rate_limit (server, 1);
  es_udp_server_set_rate_burst (server, 5);
  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  for (int i = 0; i < 500; i++)
    {
      es_test_say (talker, "hello");
      es_test_say (same_host, "hello");
    }
  es_endpoint_set_paused (ES_ENDPOINT (server), FALSE);
  while (stats == NULL || stats->messages_received + stats->dropped_rate_limited < 1000)
    {
      es_test_settle ();
      g_clear_pointer (&stats, es_stats_free);
      stats = es_endpoint_get_stats (ES_ENDPOINT (server));
    }

  g_assert_cmpuint (stats->messages_received, >=, 5);
  g_assert_cmpuint (stats->dropped_rate_limited, >, 600);
  g_assert_cmpuint (stats->dropped_rate_limited, <, 900);
  assert_all_accounted_for (server, 1000);
}

static EsUdpServer *
start_narrow_server (guint workers)
{
  EsUdpServer *server = es_udp_server_new (0);

  es_endpoint_set_max_message_size (ES_ENDPOINT (server), 100);
  es_endpoint_set_receive_buffer_size (ES_ENDPOINT (server), 64 * 1024);
  es_udp_server_set_rate_limit (server, 1);
  es_udp_server_set_rate_burst (server, 10);
  es_udp_server_set_workers (server, workers);
  start (server);
  return server;
}

static void
test_strangers_are_all_accounted_for (gconstpointer data)
{
  g_autoptr (EsUdpServer) server = NULL;
  g_autofree char *long_text = g_strnfill (200, 'x');
  guint64 n_sent = 0;

  g_test_summary ("Each message is received, too long, one too many, without room in the kernel, "
                  "or left by a stop: together they are all that were sent.");

  server = start_narrow_server (GPOINTER_TO_UINT (data));
  for (int round = 0; round < 4; round++)
    {
      g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");

      /* The last round is left unread. */
      es_endpoint_set_paused (ES_ENDPOINT (server), round % 2 == 1);
      for (int i = 0; i < 1000; i++, n_sent++)
        es_test_say (talker, i % 3 == 0 ? long_text : "hello");
      es_test_settle ();
    }
  es_endpoint_stop (ES_ENDPOINT (server));

  assert_all_accounted_for (server, n_sent);
}

static gboolean
is_counted (gpointer server,
            guint64 n_too_long)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (server);

  return stats->dropped_too_long == n_too_long;
}

static void
test_strangers_do_not_fill_memory_with_errors (void)
{
  g_autoptr (EsUdpServer) server = start_narrow_server (2);
  g_autoptr (EsTestInbox) inbox = es_test_inbox_new (server);
  g_autoptr (GSocket) talker = es_test_new_talker (server, "127.0.0.1");
  g_autofree char *text = g_strnfill (200, 'x');

  g_test_summary ("Of what workers have to tell of strangers 64 errors wait, "
                  "and the others are only counted.");

  es_udp_server_set_rate_limit (server, 0);
  for (int i = 0; i < 1000; i++)
    {
      es_test_say (talker, text);
      es_test_spin_until (is_counted (server, i + 1));
    }
  es_test_settle ();
  /* The last one is counted before it is told, and may find room again. */
  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), >=, 64);
  g_assert_cmpuint (es_test_inbox_get_n_errors (inbox), <=, 65);
}

/* Floods. */

#define FLOOD_BATCH 64

/* An honest client keeps within the limit, retries and all. */
#define RATE 1000
#define ASK_USEC 5000

/* Who floods a server, from forged addresses. */
typedef struct
{
  EsUdpServer *server;
  guint32 first_host; /* the addresses that it forges, in the host's order */
  guint32 n_hosts;
  gboolean is_paced; /* it waits until the server has read what it sent */
  guint64 n_sent;
  int is_over;
} Flooder;

/* The messages of a call, each from an address of its own. */
typedef struct
{
  struct mmsghdr headers[FLOOD_BATCH];
  struct iovec payload;
  struct sockaddr_in to;
  struct
  {
    _Alignas(struct cmsghdr) guint8 control[CMSG_SPACE (sizeof (struct in_pktinfo))];
  } froms[FLOOD_BATCH];
} Volley;

static void
load (Volley *volley,
      guint16 port)
{
  volley->payload = (struct iovec){ "flood", 5 };
  volley->to = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons (port),
                                     .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  for (guint i = 0; i < FLOOD_BATCH; i++)
    {
      struct cmsghdr *control = (void *) volley->froms[i].control;

      volley->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &volley->to,
        .msg_namelen = sizeof volley->to,
        .msg_iov = &volley->payload,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof volley->froms[i].control
      };
      *control = (struct cmsghdr){
        .cmsg_level = IPPROTO_IP,
        .cmsg_type = IP_PKTINFO,
        .cmsg_len = CMSG_LEN (sizeof (struct in_pktinfo)),
      };
    }
}

static void
forge (Volley *volley,
       const Flooder *flooder)
{
  for (guint i = 0; i < FLOOD_BATCH; i++)
    {
      guint32 host = flooder->first_host + g_random_int () % flooder->n_hosts;
      struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl (host) };

      memcpy (CMSG_DATA ((struct cmsghdr *) (void *) volley->froms[i].control), &info, sizeof info);
    }
}

/* How many messages the server has come to. */
static guint64
count_read (EsUdpServer *server)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (ES_ENDPOINT (server));

  return stats->messages_received + stats->dropped_rate_limited + stats->dropped_by_kernel;
}

static gpointer
flood (gpointer data)
{
  Flooder *flooder = data;
  g_autofree Volley *volley = g_new0 (Volley, 1);
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  load (volley, es_udp_server_get_port (flooder->server));
  while (!g_atomic_int_get (&flooder->is_over))
    {
      int n;

      while (flooder->is_paced &&
             flooder->n_sent > count_read (flooder->server) + 16 * FLOOD_BATCH &&
             !g_atomic_int_get (&flooder->is_over))
        g_thread_yield ();
      forge (volley, flooder);
      n = sendmmsg (fd, volley->headers, FLOOD_BATCH, 0);
      flooder->n_sent += MAX (n, 0);
    }
  close (fd);
  return NULL;
}

static void
test_strangers_wait_in_a_crowd (void)
{
  g_autoptr (EsUdpServer) server = es_test_start_server ();
  g_autoptr (EsTestInbox) inbox = NULL;
  g_autoptr (GSocket) known = es_test_new_talker (server, "127.0.0.1");
  Flooder flooder = { .server = server, .first_host = 0x7f010000, .n_hosts = 0x00fe0000 };
  g_autofree Volley *volley = g_new0 (Volley, 1);
  GSocket *socket = es_endpoint_get_socket (ES_ENDPOINT (server));
  g_autoptr (EsStats) stats = NULL;
  guint n_heard = 0;
  int n;

  g_test_summary ("With a buffer full of strangers' messages the server takes those of hosts "
                  "that it has heard.");

  es_udp_server_set_rate_limit (server, 1000);
  g_object_unref (hear_from (server, known, 5));
  inbox = es_test_inbox_new (server);
  es_endpoint_set_paused (ES_ENDPOINT (server), TRUE);
  load (volley, es_udp_server_get_port (server));
  for (int i = 0; i < 50; i++)
    {
      forge (volley, &flooder);
      n = sendmmsg (g_socket_get_fd (socket), volley->headers, FLOOD_BATCH, 0);
      g_assert_cmpint (n, ==, FLOOD_BATCH);
      es_test_say (known, "known");
    }
  es_endpoint_set_receive_buffer_size (ES_ENDPOINT (server), 1024 * 1024);
  es_endpoint_set_paused (ES_ENDPOINT (server), FALSE);
  es_test_wait_until (count_read (server) == 1 + 50 * (FLOOD_BATCH + 1));

  for (guint i = 0; i < es_test_inbox_get_n (inbox); i++)
    n_heard += g_str_equal (es_test_inbox_get_text (inbox, i), "known");
  g_assert_cmpuint (n_heard, ==, 50);
  stats = es_endpoint_get_stats (ES_ENDPOINT (server));
  g_assert_cmpuint (stats->dropped_by_kernel, ==, 0);
  g_assert_cmpuint (stats->dropped_rate_limited, >, 100);
}

/* A server in a thread of its own. */
static gpointer
serve (gpointer data)
{
  EsUdpServer *server = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GError) error = NULL;

  g_main_context_push_thread_default (context);
  es_endpoint_run (ES_ENDPOINT (server), &error);
  g_assert_no_error (error);
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* An honest client's requests, which come at regular intervals. */
typedef struct
{
  EsUdpClient *client;
  guint n_to_ask;
  guint n_under_way;
  guint n_asked;
  guint n_answered;
} Honest;

static gboolean
is_answer (GBytes *request,
           GBytes *response,
           gpointer user_data)
{
  return g_bytes_equal (request, response);
}

static void
on_answer (GObject *client,
           GAsyncResult *result,
           gpointer user_data)
{
  Honest *honest = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer = es_udp_client_request_finish (ES_UDP_CLIENT (client), result, &error);

  honest->n_under_way--;
  honest->n_answered += answer != NULL;
  if (answer == NULL)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

static void
ask_next (Honest *honest)
{
  g_autofree char *text = g_strdup_printf ("request %u", honest->n_asked++);
  g_autoptr (GBytes) request = g_bytes_new (text, strlen (text));

  honest->n_under_way++;
  es_udp_client_request_async (honest->client, request, NULL, on_answer, honest);
}

/* How many of a hundred requests are answered. */
static double
ask_many (Honest *honest)
{
  gint64 begin = g_get_monotonic_time ();

  while (honest->n_asked < honest->n_to_ask)
    {
      es_test_wait_until (g_get_monotonic_time () >= begin + honest->n_asked * ASK_USEC);
      ask_next (honest);
    }
  es_test_wait_until (honest->n_under_way == 0);
  return 100.0 * honest->n_answered / honest->n_asked;
}

/* A server under a flood, and who floods it. */
typedef struct
{
  EsUdpServer *server; /* (owned) */
  GThread *server_thread;
  Flooder flooder;
  GThread *flooder_thread;
} Siege;

/* @first_host: of the forged ones. */
static void
siege_begin (Siege *self,
             guint32 first_host,
             guint32 n_hosts)
{
  memset (self, 0, sizeof *self);
  self->server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);
  es_udp_server_set_rate_limit (self->server, RATE);
  es_udp_server_set_rate_burst (self->server, RATE / 10);
  self->server_thread = g_thread_new ("server", serve, self->server);
  es_test_spin_until (es_endpoint_is_running (ES_ENDPOINT (self->server)));
  self->flooder = (Flooder){ .server = self->server,
                             .first_host = first_host,
                             .n_hosts = n_hosts,
                             .is_paced = g_getenv ("ES_TEST_LONG") == NULL };
  self->flooder_thread = g_thread_new ("flooder", flood, &self->flooder);
}

/* Ends it, and accounts for all that was sent. */
static void
siege_end (Siege *self,
           guint64 n_honest)
{
  g_autoptr (EsStats) stats = NULL;

  g_atomic_int_set (&self->flooder.is_over, TRUE);
  g_thread_join (self->flooder_thread);
  es_endpoint_quit (ES_ENDPOINT (self->server));
  g_thread_join (self->server_thread);
  stats = es_endpoint_get_stats (ES_ENDPOINT (self->server));
  g_test_message ("of %" G_GUINT64_FORMAT " forged messages %" G_GUINT64_FORMAT
                  " were over the limit, and %" G_GUINT64_FORMAT " found no room in the kernel",
                  self->flooder.n_sent, stats->dropped_rate_limited, stats->dropped_by_kernel);
  assert_all_accounted_for (self->server, self->flooder.n_sent + n_honest);
  g_clear_object (&self->server);
}

/* Asks a server under a flood, from 127.0.0.1. Returns how many of a hundred requests are answered.
 * */
static double
ask_under_flood (guint32 first_host,
                 guint32 n_hosts,
                 guint n_retries,
                 guint timeout)
{
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (EsStats) stats = NULL;
  Honest honest = { .client = client, .n_to_ask = g_getenv ("ES_TEST_LONG") != NULL ? 5000 : 500 };
  g_autoptr (GError) error = NULL;
  double answered;
  Siege siege;

  if (es_test_is_slow ())
    honest.n_to_ask = 100;
  siege_begin (&siege, first_host, n_hosts);
  address = es_test_address_of (siege.server, "127.0.0.1");
  es_udp_client_set_match_func (client, is_answer, NULL, NULL);
  es_udp_client_set_timeout (client, timeout);
  es_udp_client_set_retries (client, n_retries);
  es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (address), NULL, &error);
  g_assert_no_error (error);
  answered = ask_many (&honest);
  stats = es_endpoint_get_stats (ES_ENDPOINT (client));
  siege_end (&siege, stats->messages_sent);
  return answered;
}

static void
test_strangers_silence_nobody (void)
{
  double answered = ask_under_flood (0x7f010000, 0x00fe0000, 1, 1000);

  g_test_summary ("Amid a flood of forged addresses an honest client is answered, "
                  "within one retry.");

  g_test_minimized_result (answered, "%.1f %% of the requests are answered", answered);
  g_assert_cmpfloat (answered, >=, 99);
}

static void
test_strangers_silence_nobody_by_its_own_address (void)
{
  double answered = ask_under_flood (INADDR_LOOPBACK, 1, 3, 100);

  g_test_summary ("Where its own address is forged in a flood an honest client is answered three "
                  "times in five, within three retries.");

  g_test_minimized_result (answered, "%.1f %% of the requests are answered", answered);
  g_assert_cmpfloat (answered, >=, es_test_is_slow () ? 40 : 60);
}

int
main (int argc,
      char **argv)
{
  /* The kernel counts messages that travelled coalesced as one when it has no room for them. */
  g_setenv ("EASYSERVERS_DISABLE", "gro", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/strangers/are-sent-so-much", test_strangers_are_sent_so_much);
  g_test_add_func ("/strangers/are-sent-nothing-unasked", test_strangers_are_sent_nothing_unasked);
  g_test_add_func ("/strangers/buy-nothing-with-what-is-dropped",
                   test_strangers_buy_nothing_with_what_is_dropped);
  g_test_add_func ("/strangers/are-no-peers", test_strangers_are_no_peers);
  g_test_add_func ("/strangers/are-sent-so-many", test_strangers_are_sent_so_many);
  g_test_add_func ("/strangers/are-sent-so-much-by-all", test_strangers_are_sent_so_much_by_all);
  g_test_add_func ("/strangers/are-limited", test_strangers_are_limited);
  g_test_add_data_func ("/strangers/are-all-accounted-for", GUINT_TO_POINTER (1),
                        test_strangers_are_all_accounted_for);
  g_test_add_data_func ("/strangers/are-all-accounted-for-by-workers", GUINT_TO_POINTER (2),
                        test_strangers_are_all_accounted_for);
  g_test_add_func ("/strangers/do-not-fill-memory-with-errors",
                   test_strangers_do_not_fill_memory_with_errors);
  g_test_add_func ("/strangers/wait-in-a-crowd", test_strangers_wait_in_a_crowd);
  g_test_add_func ("/strangers/silence-nobody", test_strangers_silence_nobody);
  g_test_add_func ("/strangers/silence-nobody-by-its-own-address",
                   test_strangers_silence_nobody_by_its_own_address);
  return g_test_run ();
}
