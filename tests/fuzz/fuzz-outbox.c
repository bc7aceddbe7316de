/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-outbox.h"

#include "fuzz.h"

#include <errno.h>
#include <netinet/udp.h>

/*
 * The outbox against a model that knows the right order. The input says who sends what to whom,
 * what is held and flushed, and what a made-up kernel thinks of each call: how many pieces it
 * takes, and why not the next. The model is one queue: whatever the kernel is offered has to be the
 * head of it, the very bytes, to the right receiver, from the right address, in trains that udp(7)
 * allows. At the end everything that was accepted has left, was refused and told, or is counted as
 * unsent.
 */

#define MAX_MADE 20000
#define MAX_SIZE 65507
#define N_RECEIVERS 4
#define N_ROUTES (3 * N_RECEIVERS)

#ifdef HAVE_SENDMMSG
#define HAS_FAST_PATH TRUE
#else
#define HAS_FAST_PATH FALSE
#endif

typedef struct
{
  const guint8 *data; /* of which no two are alike */
  gsize size;
  guint8 route;
} Message;

static struct
{
  GArray *queue; /* (owned) of Message, in the order that they have to leave in */
  gsize n_bytes;
  gboolean is_told; /* the head was offered, and there was news of an earlier message instead */

  guint n_given;   /* how many messages the current call gives */
  guint n_left;    /* how many of these are in the queue, at the tail */
  GArray *refused; /* (owned) of guint, which of these the kernel refused */

  EsOutboxCounts counts;
  guint n_failures; /* to be told */
  gboolean is_closed;
} model;

static FuzzInput input;
static gint64 now = G_USEC_PER_SEC;

/* Messages are pieces of this, each beginning at a place of its own. */
static guint8 bytes[MAX_MADE + MAX_SIZE];
static guint n_made;

/* Time goes by with each look at the clock, so that a second is over soon. */
gint64
g_get_monotonic_time (void)
{
  return now += 10000;
}

/* Receivers: two of IPv4, one of IPv6, and the server that a socket is connected to. */
static EsNative
receiver_of (guint8 route)
{
  EsNative to = { .size = 0 };

  if (route % N_RECEIVERS < 2)
    {
      to.size = sizeof to.ip4;
      to.ip4 = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons (1 + route % N_RECEIVERS) };
    }
  else if (route % N_RECEIVERS == 2)
    {
      to.size = sizeof to.ip6;
      to.ip6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons (3) };
    }
  return to;
}

static EsLocal
local_of (guint8 route)
{
  EsLocal from = { .family = AF_UNSPEC };

  if (route / N_RECEIVERS == 1)
    from = (EsLocal){ .family = AF_INET, .ip4 = { htonl (INADDR_LOOPBACK) } };
  else if (route / N_RECEIVERS == 2)
    from = (EsLocal){ .family = AF_INET6, .ip6 = IN6ADDR_LOOPBACK_INIT };
  return from;
}

static void
drop_first (guint n)
{
  for (guint i = 0; i < n; i++)
    model.n_bytes -= g_array_index (model.queue, Message, i).size;
  g_array_remove_range (model.queue, 0, n);
  model.n_left = MIN (model.n_left, model.queue->len);
}

static void
check_receiver (const struct msghdr *header,
                guint8 route)
{
  EsNative to = receiver_of (route);
  EsNative offered = { .size = header->msg_namelen };

  if (header->msg_namelen > 0)
    memcpy (&offered.any, header->msg_name, header->msg_namelen);
  g_assert_cmpuint (offered.size, ==, to.size);
  g_assert_true (es_native_equal (&offered, &to));
}

/* Returns the size of the segments that the header asks for, 0 if it asks for none. */
static guint16
check_controls (struct msghdr *header,
                guint8 route)
{
  EsLocal from = local_of (route);
  EsLocal offered = { .family = AF_UNSPEC };
  guint16 segment_size = 0;

  for (struct cmsghdr *control = CMSG_FIRSTHDR (header); control != NULL;
       control = CMSG_NXTHDR (header, control))
    {
      gconstpointer data = CMSG_DATA (control);

      if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
        offered = (EsLocal){ .family = AF_INET,
                             .ip4 = ((const struct in_pktinfo *) data)->ipi_spec_dst };
      else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO)
        offered = (EsLocal){ .family = AF_INET6,
                             .ip6 = ((const struct in6_pktinfo *) data)->ipi6_addr };
      else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_SEGMENT)
        segment_size = *(const guint16 *) data;
      else
        g_assert_not_reached ();
    }
  if (HAS_FAST_PATH)
    g_assert_true (es_local_equal (&offered, &from));
  return segment_size;
}

/* What travels together is what udp(7) lets. */
static void
check_train (const struct msghdr *header,
             guint16 segment_size)
{
  gsize total = 0;

  g_assert_cmpuint (header->msg_iovlen, >=, 1);
  g_assert_cmpint (segment_size > 0, ==, header->msg_iovlen > 1);
  for (gsize i = 0; i < header->msg_iovlen; i++)
    {
      total += header->msg_iov[i].iov_len;
      if (header->msg_iovlen > 1 && i + 1 < header->msg_iovlen)
        g_assert_cmpuint (header->msg_iov[i].iov_len, ==, segment_size);
      else if (header->msg_iovlen > 1)
        g_assert_cmpuint (header->msg_iov[i].iov_len, <=, segment_size);
    }
  g_assert_cmpuint (header->msg_iovlen, <=, 64);
  g_assert_cmpuint (total, <=, MAX_SIZE);
}

/* The piece is what stands in the queue behind the first @n. */
static void
check_piece (struct msghdr *header,
             guint n)
{
  guint16 segment_size;

  g_assert_cmpuint (n + header->msg_iovlen, <=, model.queue->len);
  segment_size = check_controls (header, g_array_index (model.queue, Message, n).route);
  check_train (header, segment_size);
  for (gsize i = 0; i < header->msg_iovlen; i++)
    {
      const Message *message = &g_array_index (model.queue, Message, n + i);

      check_receiver (header, message->route);
      g_assert_cmpuint (message->route / N_RECEIVERS, ==,
                        g_array_index (model.queue, Message, n).route / N_RECEIVERS);
      g_assert_cmpuint (header->msg_iov[i].iov_len, ==, message->size);
      if (message->size > 0)
        g_assert_true (header->msg_iov[i].iov_base == message->data);
    }
}

static void
take (const struct msghdr *header)
{
  for (gsize i = 0; i < header->msg_iovlen; i++)
    model.counts.bytes_sent += header->msg_iov[i].iov_len;
  model.counts.messages_sent += header->msg_iovlen;
  drop_first (header->msg_iovlen);
  model.is_told = FALSE;
}

static void
note_failure (void)
{
  model.n_failures = MIN (model.n_failures + 1, ES_OUTBOX_MAX_FAILURES);
}

/* The head has failed, which its sender is told now or later. */
static void
fail_first (void)
{
  guint place = model.n_given - model.n_left;

  model.counts.send_errors++;
  model.is_told = FALSE;
  if (model.n_left < model.queue->len)
    note_failure ();
  else
    g_array_append_val (model.refused, place);
  drop_first (1);
}

/* What becomes of the head that is refused, alone or as a train, whose messages are offered again.
 * */
static void
refuse (const struct msghdr *header,
        int problem)
{
  if (problem == EAGAIN)
    model.is_told = FALSE;
  else if (problem == ECONNREFUSED && !model.is_told)
    {
      model.is_told = TRUE;
      note_failure ();
    }
  else if (problem == ECONNREFUSED || (problem != EINTR && header->msg_iovlen == 1))
    fail_first ();
}

/* What the kernel has against the next piece; 0: nothing. */
static int
judge (void)
{
  static const int problems[] = { EAGAIN, EINTR, ECONNREFUSED, EPERM, EMSGSIZE,
                                  EIO, EINVAL, ENETUNREACH, ENOBUFS, EAGAIN };
  guint8 kind = fuzz_take_byte (&input);

  /* Without input it takes everything: a call that is interrupted for ever never returns. */
  if (kind % 4 != 3)
    return 0;
  return problems[kind / 4 % G_N_ELEMENTS (problems)];
}

/* Stands before the C library's own. */
int
sendmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags)
{
  guint n_messages = 0;
  guint n = 0;
  int problem = 0;

  for (guint i = 0; i < n_headers; i++)
    {
      check_piece (&headers[i].msg_hdr, n_messages);
      n_messages += headers[i].msg_hdr.msg_iovlen;
    }
  for (; n < n_headers && (problem = judge ()) == 0; n++)
    take (&headers[n].msg_hdr);
  if (n == 0)
    refuse (&headers[0].msg_hdr, problem);
  errno = problem;
  return n > 0 ? (int) n : -1;
}

/* The same for GSocket. */
ssize_t
sendmsg (int fd,
         const struct msghdr *header,
         int flags)
{
  struct mmsghdr copy = { .msg_hdr = *header };

  return sendmmsg (fd, &copy, 1, flags) == 1 ? (ssize_t) header->msg_iov[0].iov_len : -1;
}

/* (transfer full) Makes a message, and puts it into the model's queue. */
static GBytes *
make_message (gsize size,
              guint8 route)
{
  Message message = { bytes + n_made % MAX_MADE, size, route };

  n_made++;
  g_array_append_val (model.queue, message);
  model.n_bytes += size;
  return g_bytes_new_static (message.data, size);
}

/* The model lets go of what was not accepted. Returns whether the kernel refused the first of
 * these; what it refused before them is told later. */
static gboolean
keep_accepted (guint n_accepted)
{
  gboolean is_refused = FALSE;
  guint n_rest;

  for (guint i = 0; i < model.refused->len; i++)
    {
      guint place = g_array_index (model.refused, guint, i);

      g_assert_cmpuint (place, <=, n_accepted);
      if (place < n_accepted)
        note_failure ();
      else
        is_refused = TRUE;
    }
  n_rest = model.n_given - n_accepted - (is_refused ? 1 : 0);
  g_assert_cmpuint (n_rest, <=, model.n_left);
  for (guint i = 0; i < n_rest; i++)
    model.n_bytes -= g_array_index (model.queue, Message, model.queue->len - 1 - i).size;
  g_array_set_size (model.queue, model.queue->len - n_rest);
  g_array_set_size (model.refused, 0);
  model.n_given = model.n_left = 0;
  return is_refused;
}

static gboolean
is_full (gsize size)
{
  return model.queue->len >= ES_OUTBOX_MAX_MESSAGES || model.n_bytes + size > ES_OUTBOX_MAX_BYTES;
}

/* A refusal has its reason. */
static void
check_refusal (const GError *error,
               gboolean is_refused)
{
  if (model.is_closed)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  else if (!is_refused)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  else
    g_assert_nonnull (error);
}

static gsize
take_size (void)
{
  guint8 kind = fuzz_take_byte (&input);
  gsize size = kind < 240 ? 1200 : fuzz_take_word (&input);

  return kind < 200 ? kind % 32 : MIN (size, MAX_SIZE);
}

static GPtrArray *
make_messages (guint n,
               guint8 route)
{
  GPtrArray *messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  gsize size = take_size ();

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (messages, make_message (size, route));
  model.n_given = model.n_left = n;
  return messages;
}

static void
send_some (EsOutbox *self)
{
  guint8 kind = fuzz_take_byte (&input);
  guint n = kind < 128 ? 1 + kind % 8 : 1 + (kind - 128) * 8;
  guint8 route = fuzz_take_byte (&input) % N_ROUTES;
  EsNative to = receiver_of (route);
  EsLocal from = local_of (route);
  EsOutboxHold hold = fuzz_take_byte (&input) % 3;
  g_autoptr (GPtrArray) messages = make_messages (n, route);
  gsize size = g_bytes_get_size (messages->pdata[0]);
  g_autoptr (GError) error = NULL;
  gboolean is_refused;
  int n_accepted;

  n_accepted = es_outbox_send (self, (GBytes **) messages->pdata, n, &to, &from, hold, &error);
  g_assert_cmpint (n_accepted, <=, n);
  is_refused = keep_accepted (MAX (n_accepted, 0));
  g_assert_cmpint (n_accepted < 0, ==, error != NULL);
  if (n_accepted < 0)
    check_refusal (error, is_refused);
  if (n_accepted < (int) n && !is_refused && !model.is_closed)
    g_assert_true (is_full (size));
}

static void
hold_one (EsOutbox *self)
{
  guint8 route = fuzz_take_byte (&input) % N_ROUTES;
  EsNative to = receiver_of (route);
  EsLocal from = local_of (route);
  g_autoptr (GPtrArray) messages = make_messages (1, route);

  keep_accepted (es_outbox_hold (self, messages->pdata[0], &to, &from, ES_OUTBOX_HELD) ? 1 : 0);
}

static void
flush (EsOutbox *self)
{
  es_outbox_flush (self);
}

/* What failed is told, nothing else, and no oftener. */
static void
tell (EsOutbox *self)
{
  guint n = 0;
  EsFailure failure;

  g_assert_true (model.n_failures == 0 || es_outbox_has_news (self));
  while (es_outbox_take_failure (self, &failure))
    {
      n++;
      g_assert_nonnull (failure.error);
      es_failure_clear (&failure);
    }
  g_assert_cmpuint (n, ==, model.n_failures);
  model.n_failures = 0;
  es_outbox_take_writable (self);
}

static void
close_it (EsOutbox *self)
{
  es_outbox_close (self);
  model.is_closed = TRUE;
  model.counts.dropped_unsent += model.queue->len;
  model.is_told = FALSE;
  drop_first (model.queue->len);
}

static void
check_state (EsOutbox *self)
{
  EsOutboxCounts counts = es_outbox_get_counts (self);

  g_assert_cmpuint (counts.messages_sent, ==, model.counts.messages_sent);
  g_assert_cmpuint (counts.bytes_sent, ==, model.counts.bytes_sent);
  g_assert_cmpuint (counts.send_errors, ==, model.counts.send_errors);
  g_assert_cmpuint (counts.dropped_unsent, ==, model.counts.dropped_unsent);
  g_assert_cmpuint (model.queue->len, <=, ES_OUTBOX_MAX_MESSAGES);
  g_assert_cmpuint (model.n_bytes, <=, ES_OUTBOX_MAX_BYTES);
  if (!model.is_closed)
    g_assert_cmpint (es_outbox_is_held (self) || es_outbox_is_blocked (self), ==,
                     model.queue->len > 0);
}

static GSocket *
get_socket (void)
{
  static GSocket *socket;

  if (socket == NULL)
    socket = g_socket_new (G_SOCKET_FAMILY_IPV6, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP,
                           NULL);
  g_socket_set_blocking (socket, FALSE);
  return socket;
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  static void (*const steps[]) (EsOutbox * self) = { send_some, send_some, send_some,
                                                     hold_one, hold_one, flush,
                                                     flush, tell, close_it };
  g_autoptr (EsOutbox) outbox = es_outbox_new (get_socket (), TRUE, g_main_context_default ());

  input = (FuzzInput){ data, size };
  memset (&model, 0, sizeof model);
  model.queue = g_array_new (FALSE, FALSE, sizeof (Message));
  model.refused = g_array_new (FALSE, FALSE, sizeof (guint));
  while (input.size > 0)
    {
      steps[fuzz_take_byte (&input) % G_N_ELEMENTS (steps)](outbox);
      check_state (outbox);
    }
  close_it (outbox);
  tell (outbox);
  check_state (outbox);
  g_array_unref (model.queue);
  g_array_unref (model.refused);
  return 0;
}
