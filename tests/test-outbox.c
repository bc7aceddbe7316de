/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-outbox.h"

#include "es-address.h"
#include "es-socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#ifdef HAVE_SENDMMSG
#define HAS_FAST_PATH TRUE
#else
#define HAS_FAST_PATH FALSE
#endif

/* So much is held at the most. */
#define HOLD_MESSAGES 512
#define HOLD_BYTES (1024 * 1024)

/* Receivers, by their ports: the made-up kernel takes nothing to the second. */
#define GOOD 1
#define BAD 2

#define UNLIMITED G_MAXINT

/* What the kernel took, and will take. */
static struct
{
  int room;         /* for so many pieces, changed atomically */
  guint n_refusals; /* after so many for want of room it has room for all, if not 0 */
  guint n_news;     /* so often it tells first that nobody listened */
  guint16 picky;    /* it takes no message to the good receiver of that many bytes */
  EsLocal from;     /* where the last message leaves from, as the kernel is told */
  GPtrArray *taken; /* of GBytes, messages */
} kernel;

static int
judge (const struct msghdr *header)
{
  const struct sockaddr_in *to = header->msg_name;

  if (kernel.n_news > 0)
    {
      kernel.n_news--;
      return ECONNREFUSED;
    }
  if (to != NULL && to->sin_port == htons (BAD))
    return EPERM;
  for (gsize i = 0; kernel.picky > 0 && i < header->msg_iovlen; i++)
    if (header->msg_iov[i].iov_len == kernel.picky)
      return EMSGSIZE;
  if (kernel.n_refusals > 0 && --kernel.n_refusals == 0)
    kernel.room = UNLIMITED;
  if (g_atomic_int_get (&kernel.room) == 0)
    return EAGAIN;
  if (g_atomic_int_get (&kernel.room) != UNLIMITED)
    g_atomic_int_add (&kernel.room, -1);
  return 0;
}

static void
take (const struct msghdr *header)
{
  const struct cmsghdr *control = CMSG_FIRSTHDR (header);

  kernel.from.family = AF_UNSPEC;
  if (control != NULL && control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
    {
      kernel.from.family = AF_INET;
      kernel.from.ip4 =
        ((const struct in_pktinfo *) (const void *) CMSG_DATA (control))->ipi_spec_dst;
    }
  for (gsize i = 0; i < header->msg_iovlen; i++)
    g_ptr_array_add (kernel.taken,
                     g_bytes_new (header->msg_iov[i].iov_base, header->msg_iov[i].iov_len));
}

/* Stands before the C library's own. Like the kernel's, it stops at the first piece that it does
 * not take, and says why only if there was none before. */
int
sendmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags)
{
  guint n = 0;
  int problem = 0;

  for (; n < n_headers && (problem = judge (&headers[n].msg_hdr)) == 0; n++)
    take (&headers[n].msg_hdr);
  errno = problem;
  return n > 0 ? (int) n : -1;
}

/* The same for GSocket. */
ssize_t
sendmsg (int fd,
         const struct msghdr *header,
         int flags)
{
  errno = judge (header);
  if (errno != 0)
    return -1;
  take (header);
  return header->msg_iov[0].iov_len;
}

/* An outbox, and what it has accepted. */
typedef struct
{
  GSocket *socket;
  GMainContext *context;
  EsOutbox *outbox;
  GPtrArray *accepted; /* of GBytes, to the good receiver */
  guint n_made;
} Post;

static Post *
post_new (void)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  Post *self = g_new0 (Post, 1);

  memset (&kernel, 0, sizeof kernel);
  kernel.room = UNLIMITED;
  kernel.taken = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->socket = es_socket_new_bound (address, &(EsSocketOptions){ .send_buffer_size = 65536 },
                                      NULL);
  self->context = g_main_context_new ();
  self->outbox = es_outbox_new (self->socket, TRUE, self->context);
  self->accepted = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  return self;
}

static void
post_free (Post *self)
{
  es_outbox_free (self->outbox);
  g_ptr_array_unref (self->accepted);
  g_ptr_array_unref (kernel.taken);
  g_main_context_unref (self->context);
  g_object_unref (self->socket);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Post, post_free)

static EsNative
receiver (guint16 port)
{
  EsNative native = { .ip4 = { .sin_family = AF_INET, .sin_port = htons (port) },
                      .size = sizeof (struct sockaddr_in) };

  native.ip4.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  return native;
}

/* Makes messages that no two are alike of, where they have room for a number. */
static GPtrArray *
make_messages (Post *self,
               guint n,
               gsize size)
{
  GPtrArray *messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (; n > 0; n--)
    {
      guint8 *data = g_malloc0 (size + 1);

      memcpy (data, &self->n_made, MIN (size, sizeof self->n_made));
      self->n_made++;
      g_ptr_array_add (messages, g_bytes_new_take (data, size));
    }
  return messages;
}

static int
send_to (Post *self,
         guint n,
         gsize size,
         const EsNative *to,
         EsOutboxHold hold,
         GError **error)
{
  g_autoptr (GPtrArray) messages = make_messages (self, n, size);
  const EsLocal from = { .family = AF_UNSPEC };
  int n_accepted = es_outbox_send (self->outbox, (GBytes **) messages->pdata, n, to, &from, hold,
                                   error);

  for (int i = 0; i < n_accepted && (to->size == 0 || to->ip4.sin_port == htons (GOOD)); i++)
    g_ptr_array_add (self->accepted, g_bytes_ref (g_ptr_array_index (messages, i)));
  return n_accepted;
}

/* Sends messages to one receiver at once, which must be accepted. */
static void
send_now (Post *self,
          guint n,
          guint16 port)
{
  EsNative to = receiver (port);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (send_to (self, n, 10, &to, ES_OUTBOX_AT_ONCE, &error), ==, n);
  g_assert_no_error (error);
}

/* Gives messages to one receiver that may be held, one after the other. */
static void
hold (Post *self,
      guint n,
      guint16 port)
{
  EsNative to = receiver (port);

  for (; n > 0; n--)
    g_assert_cmpint (send_to (self, 1, 10, &to, ES_OUTBOX_HELD, NULL), ==, 1);
}

/* The kernel has taken the first so many of what was accepted, in order. */
static void
assert_taken (Post *self,
              guint n)
{
  g_assert_cmpuint (kernel.taken->len, ==, n);
  g_assert_cmpuint (n, <=, self->accepted->len);
  for (guint i = 0; i < n; i++)
    g_assert_true (
      g_bytes_equal (g_ptr_array_index (kernel.taken, i), g_ptr_array_index (self->accepted, i)));
  g_assert_cmpuint (es_outbox_get_counts (self->outbox).messages_sent, ==, n);
}

static void
assert_all_taken (Post *self)
{
  assert_taken (self, self->accepted->len);
  g_assert_false (es_outbox_is_held (self->outbox));
  g_assert_false (es_outbox_is_blocked (self->outbox));
}

/* Takes the failures that wait to be told. Returns how many, and how the last one reads. */
static guint
take_failures (Post *self,
               GError **last)
{
  EsFailure failure;
  guint n = 0;

  while (es_outbox_take_failure (self->outbox, &failure))
    {
      n++;
      g_clear_error (last);
      *last = g_steal_pointer (&failure.error);
      es_failure_clear (&failure);
    }
  return n;
}

static void
test_outbox_sends_at_once (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("Messages that need not wait leave at once, and are counted.");

  send_now (post, 1, GOOD);
  assert_all_taken (post);
  send_now (post, 3, GOOD);
  assert_all_taken (post);

  g_assert_cmpuint (es_outbox_get_counts (post->outbox).messages_sent, ==, 4);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).bytes_sent, ==, 40);
  g_assert_false (es_outbox_has_news (post->outbox));
}

static void
test_outbox_holds_until_flush (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("Messages that may wait leave together, in one call where the kernel has one.");

  hold (post, 10, GOOD);
  assert_taken (post, 0);
  g_assert_true (es_outbox_is_held (post->outbox));
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_calls, ==, 0);
  es_outbox_flush (post->outbox);

  g_assert_cmpuint (post->accepted->len, ==, 10);
  assert_all_taken (post);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_calls, <=, 10);
}

static void
test_outbox_flushes_nothing (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("Where nothing is queued the kernel is not asked.");

  es_outbox_flush (post->outbox);
  send_now (post, 1, GOOD);
  es_outbox_flush (post->outbox);

  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_calls, ==, 1);
}

static void
test_outbox_sends_held_first (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("A message that leaves at once takes those along that were held before it.");

  hold (post, 5, GOOD);
  send_now (post, 1, GOOD);

  g_assert_cmpuint (post->accepted->len, ==, 6);
  assert_all_taken (post);
}

static void
test_outbox_holds_so_many_messages (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("The 512th message that is held lets all of them go.");

  hold (post, HOLD_MESSAGES - 1, GOOD);
  assert_taken (post, 0);
  hold (post, 1, GOOD);
  assert_taken (post, HOLD_MESSAGES);
  hold (post, 1, GOOD);
  assert_taken (post, HOLD_MESSAGES);
  hold (post, HOLD_MESSAGES, GOOD);
  assert_taken (post, 2 * HOLD_MESSAGES);
  g_assert_true (es_outbox_is_held (post->outbox));
}

static void
test_outbox_holds_so_many_bytes (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);

  g_test_summary ("A mebibyte that is held is let go.");

  g_assert_cmpint (send_to (post, 1, HOLD_BYTES - 1, &to, ES_OUTBOX_HELD, NULL), ==, 1);
  assert_taken (post, 0);
  g_assert_cmpint (send_to (post, 1, 1, &to, ES_OUTBOX_HELD, NULL), ==, 1);

  assert_all_taken (post);
  g_assert_cmpuint (kernel.taken->len, ==, 2);
}

static void
test_outbox_holds_the_rest_of_many (void)
{
  const guint seams[] = { 1, HOLD_MESSAGES - 1, HOLD_MESSAGES, HOLD_MESSAGES + 1,
                          2 * HOLD_MESSAGES + 1 };
  EsNative to = receiver (GOOD);

  g_test_summary ("Of many messages at once as many leave as are never held, "
                  "and the rest is held.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (Post) post = post_new ();

      g_assert_cmpint (send_to (post, seams[i], 10, &to, ES_OUTBOX_HELD, NULL), ==, seams[i]);
      assert_taken (post, seams[i] / HOLD_MESSAGES * HOLD_MESSAGES);
      es_outbox_flush (post->outbox);
      assert_all_taken (post);
    }
}

/* Asks for one message to be held, and nothing else. */
static gboolean
try_to_hold (Post *self,
             gsize size,
             EsOutboxHold hold)
{
  g_autoptr (GPtrArray) messages = make_messages (self, 1, size);
  EsNative to = receiver (GOOD);
  EsLocal from = { .family = AF_UNSPEC };
  gboolean is_held = es_outbox_hold (self->outbox, messages->pdata[0], &to, &from, hold);

  if (is_held)
    g_ptr_array_add (self->accepted, g_bytes_ref (messages->pdata[0]));
  return is_held;
}

static void
test_outbox_holds_where_simple (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("Messages are held as long as none has to leave: then nothing is done, "
                  "and a send knows what.");

  for (guint i = 0; i < HOLD_MESSAGES; i++)
    g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HELD));
  g_assert_false (try_to_hold (post, 10, ES_OUTBOX_HELD));
  assert_taken (post, 0);
  send_now (post, 1, GOOD);

  g_assert_cmpuint (post->accepted->len, ==, HOLD_MESSAGES + 1);
  assert_all_taken (post);
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HELD));
  es_outbox_flush (post->outbox);
  assert_all_taken (post);
}

static void
test_outbox_holds_no_more_than_it_may (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("What is longer than the queue, or comes after the close, is not held.");

  g_assert_false (try_to_hold (post, ES_OUTBOX_MAX_BYTES + 1, ES_OUTBOX_HELD));
  g_assert_true (try_to_hold (post, HOLD_BYTES, ES_OUTBOX_HELD));
  g_assert_false (try_to_hold (post, 0, ES_OUTBOX_HELD));
  es_outbox_close (post->outbox);
  g_assert_false (try_to_hold (post, 10, ES_OUTBOX_HELD));

  assert_all_taken (post);
}

static void
test_outbox_holds_while_blocked (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("While the kernel has no room nothing is held for a while: "
                  "it waits for that room.");

  kernel.room = 0;
  send_now (post, 1, GOOD);
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HELD));
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HURRIED));
  g_assert_cmpint (es_outbox_get_held_until (post->outbox), ==, -1);
  kernel.room = UNLIMITED;
  es_outbox_flush (post->outbox);

  g_assert_cmpuint (post->accepted->len, ==, 3);
  assert_all_taken (post);
}

static void
test_outbox_hurries (void)
{
  g_autoptr (Post) post = post_new ();
  gint64 before = g_get_monotonic_time (), held_until;

  g_test_summary ("A message in a hurry is held for a millisecond at the most, "
                  "which the loop is woken to watch.");

  g_assert_cmpint (es_outbox_get_held_until (post->outbox), ==, -1);
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HURRIED));
  held_until = es_outbox_get_held_until (post->outbox);
  g_main_context_iteration (post->context, TRUE);
  g_assert_cmpint (held_until, >=, before + 1000);
  g_assert_cmpint (held_until, <=, g_get_monotonic_time () + 1000);
  g_assert_true (es_outbox_is_held (post->outbox));
  es_outbox_flush (post->outbox);

  g_assert_cmpint (es_outbox_get_held_until (post->outbox), ==, -1);
  assert_all_taken (post);
}

static void
test_outbox_hurries_no_later (void)
{
  g_autoptr (Post) post = post_new ();
  gint64 held_until;

  g_test_summary ("A later message makes none wait longer that is held already.");

  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HURRIED));
  held_until = es_outbox_get_held_until (post->outbox);
  while (g_get_monotonic_time () <= held_until)
    g_thread_yield ();
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HURRIED));
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HELD));
  g_assert_cmpint (es_outbox_get_held_until (post->outbox), <=, held_until);
  es_outbox_flush (post->outbox);
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HELD));
  g_assert_true (try_to_hold (post, 10, ES_OUTBOX_HURRIED));

  g_assert_cmpint (es_outbox_get_held_until (post->outbox), ==, 0);
}

static void
test_outbox_waits_while_blocked (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("What the kernel has no room for waits in order, "
                  "and what is sent meanwhile behind it.");

  kernel.room = 0;
  send_now (post, 3, GOOD);
  g_assert_true (es_outbox_is_blocked (post->outbox));
  g_assert_false (es_outbox_is_held (post->outbox));
  send_now (post, 2, GOOD);
  hold (post, 2, GOOD);
  assert_taken (post, 0);
  g_assert_true (es_outbox_is_blocked (post->outbox));
  g_assert_false (es_outbox_is_held (post->outbox));
  kernel.room = UNLIMITED;
  es_outbox_flush (post->outbox);

  g_assert_cmpuint (post->accepted->len, ==, 7);
  assert_all_taken (post);
  g_assert_false (es_outbox_has_news (post->outbox));
}

static void
test_outbox_sends_what_there_is_room_for (void)
{
  g_autoptr (Post) post = post_new ();
  guint n_taken = 0;

  g_test_summary ("Each flush sends as much as the kernel has room for, and none twice.");

  kernel.room = 0;
  for (guint i = 0; i < 100; i++)
    {
      hold (post, i % 5, GOOD);
      send_now (post, 1, GOOD);
    }
  while (kernel.taken->len < post->accepted->len)
    {
      kernel.room = 1;
      es_outbox_flush (post->outbox);
      g_assert_cmpuint (kernel.taken->len, >, n_taken);
      n_taken = kernel.taken->len;
      assert_taken (post, n_taken);
    }
  assert_all_taken (post);
}

static void
test_outbox_wakes_its_context (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("The loop is woken to watch for room, and to tell of a failure.");

  kernel.room = 0;
  send_now (post, 1, GOOD);
  g_main_context_iteration (post->context, TRUE);
  kernel.room = UNLIMITED;
  hold (post, 1, BAD);
  es_outbox_flush (post->outbox);
  g_main_context_iteration (post->context, TRUE);

  g_assert_true (es_outbox_has_news (post->outbox));
}

static void
assert_full (Post *self,
             gsize size)
{
  EsNative to = receiver (GOOD);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (send_to (self, 2, size, &to, ES_OUTBOX_AT_ONCE, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static void
test_outbox_is_bounded_by_messages (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);
  g_autoptr (GError) error = NULL;

  g_test_summary ("The queue takes 8192 messages, and then says that it would block.");

  kernel.room = 0;
  g_assert_cmpint (send_to (post, ES_OUTBOX_MAX_MESSAGES - 1, 10, &to, ES_OUTBOX_AT_ONCE, &error),
                   ==, ES_OUTBOX_MAX_MESSAGES - 1);
  g_assert_cmpint (send_to (post, 1, 10, &to, ES_OUTBOX_AT_ONCE, &error), ==, 1);
  g_assert_no_error (error);
  assert_full (post, 10);
  assert_full (post, 0);
  g_assert_cmpuint (post->accepted->len, ==, ES_OUTBOX_MAX_MESSAGES);
  kernel.room = UNLIMITED;
  es_outbox_flush (post->outbox);
  assert_all_taken (post);
}

static void
test_outbox_accepts_as_many_as_fit (void)
{
  const guint seams[] = { ES_OUTBOX_MAX_MESSAGES + 1, 2 * ES_OUTBOX_MAX_MESSAGES + 1 };
  EsNative to = receiver (GOOD);

  g_test_summary ("Of more messages than there is room for the first are accepted, "
                  "without an error.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (Post) post = post_new ();
      g_autoptr (GError) error = NULL;

      kernel.room = 0;
      g_assert_cmpint (
        send_to (post, seams[i], 10, &to, i % 2 == 0 ? ES_OUTBOX_AT_ONCE : ES_OUTBOX_HELD, &error),
        ==, ES_OUTBOX_MAX_MESSAGES);
      g_assert_no_error (error);
      kernel.room = UNLIMITED;
      es_outbox_flush (post->outbox);
      assert_all_taken (post);
    }
}

static void
test_outbox_is_bounded_by_bytes (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);

  g_test_summary ("The queue takes 16 MiB to the byte, and an empty message still.");

  kernel.room = 0;
  g_assert_cmpint (send_to (post, 16, 1024 * 1024 - 1, &to, ES_OUTBOX_AT_ONCE, NULL), ==, 16);
  assert_full (post, 17);
  g_assert_cmpint (send_to (post, 1, 16, &to, ES_OUTBOX_AT_ONCE, NULL), ==, 1);
  assert_full (post, 1);
  g_assert_cmpint (send_to (post, 1, 0, &to, ES_OUTBOX_AT_ONCE, NULL), ==, 1);

  kernel.room = UNLIMITED;
  es_outbox_flush (post->outbox);
  assert_all_taken (post);
}

static void
test_outbox_refuses_what_never_fits (void)
{
  const EsOutboxHold holds[] = { ES_OUTBOX_AT_ONCE, ES_OUTBOX_HELD, ES_OUTBOX_HURRIED };
  EsNative to = receiver (GOOD);

  g_test_summary ("A message longer than the whole queue is refused, and then nothing is held.");

  for (gsize i = 0; i < G_N_ELEMENTS (holds); i++)
    {
      g_autoptr (Post) post = post_new ();
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (send_to (post, 1, ES_OUTBOX_MAX_BYTES + 1, &to, holds[i], &error), ==, -1);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      g_assert_cmpint (es_outbox_get_held_until (post->outbox), ==, -1);
      assert_all_taken (post);
    }
}

static void
test_outbox_asks_kernel_when_full (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);

  g_test_summary ("A full queue asks the kernel first: "
                  "where that has room again nobody is refused.");

  kernel.room = 0;
  g_assert_cmpint (send_to (post, ES_OUTBOX_MAX_MESSAGES, 10, &to, ES_OUTBOX_AT_ONCE, NULL), ==,
                   ES_OUTBOX_MAX_MESSAGES);
  kernel.room = UNLIMITED;
  send_now (post, 1, GOOD);

  g_assert_cmpuint (post->accepted->len, ==, ES_OUTBOX_MAX_MESSAGES + 1);
  assert_all_taken (post);
  g_assert_false (es_outbox_take_writable (post->outbox));
}

static void
test_outbox_tells_when_writable (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative good = receiver (GOOD), bad = receiver (BAD);

  g_test_summary ("Who was refused is told once that there is room again, "
                  "as soon as half of it is free.");

  kernel.room = 0;
  g_assert_cmpint (send_to (post, ES_OUTBOX_MAX_MESSAGES, 0, &good, ES_OUTBOX_AT_ONCE, NULL), ==,
                   ES_OUTBOX_MAX_MESSAGES);
  g_assert_false (es_outbox_take_writable (post->outbox));
  g_assert_cmpint (send_to (post, 1, 0, &bad, ES_OUTBOX_AT_ONCE, NULL), ==, -1);
  kernel.room = ES_OUTBOX_MAX_MESSAGES / 2;
  es_outbox_flush (post->outbox);
  g_assert_false (es_outbox_has_news (post->outbox));
  kernel.room = 1;
  es_outbox_flush (post->outbox);

  g_assert_true (es_outbox_has_news (post->outbox));
  g_main_context_iteration (post->context, TRUE);
  g_assert_true (es_outbox_take_writable (post->outbox));
  g_assert_false (es_outbox_has_news (post->outbox));
  g_assert_false (es_outbox_take_writable (post->outbox));
}

static void
test_outbox_tells_when_writable_in_bytes (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);

  g_test_summary ("A queue that is full of bytes has room again when half of these are gone.");

  kernel.room = 0;
  g_assert_cmpint (send_to (post, 17, 1024 * 1024, &to, ES_OUTBOX_AT_ONCE, NULL), ==, 16);
  kernel.room = 8;
  es_outbox_flush (post->outbox);
  g_assert_false (es_outbox_take_writable (post->outbox));
  kernel.room = 1;
  es_outbox_flush (post->outbox);

  g_assert_true (es_outbox_take_writable (post->outbox));
}

static void
test_outbox_tells_failures (void)
{
  g_autoptr (Post) post = post_new ();
  g_auto (EsFailure) failure = { 0 };
  g_autofree char *address = NULL;

  g_test_summary ("A message that was accepted and then refused is told with its receiver, "
                  "and holds up no other.");

  hold (post, 2, GOOD);
  hold (post, 1, BAD);
  hold (post, 2, GOOD);
  es_outbox_flush (post->outbox);

  assert_all_taken (post);
  g_assert_true (es_outbox_has_news (post->outbox));
  g_assert_true (es_outbox_take_failure (post->outbox, &failure));
  g_assert_error (failure.error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  address = es_address_to_string (failure.address);
  g_assert_cmpstr (address, ==, "127.0.0.1:2");
  g_assert_false (es_outbox_take_failure (post->outbox, &failure));
  g_assert_false (es_outbox_take_writable (post->outbox));
  g_assert_false (es_outbox_has_news (post->outbox));
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_errors, ==, 1);
}

static void
test_outbox_returns_error_of_own_message (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (BAD);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A message that is refused at once is an error of its send, "
                  "and told nowhere else.");

  hold (post, 2, GOOD);
  g_assert_cmpint (send_to (post, 3, 10, &to, ES_OUTBOX_AT_ONCE, &error), ==, -1);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_false (es_outbox_has_news (post->outbox));
  assert_all_taken (post);
  send_now (post, 1, GOOD);
  assert_all_taken (post);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_errors, ==, 1);
}

static void
test_outbox_forgets_size_of_refused (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative good = receiver (GOOD), bad = receiver (BAD);

  g_test_summary ("A message that was refused takes no room afterwards.");

  g_assert_cmpint (send_to (post, 1, ES_OUTBOX_MAX_BYTES, &bad, ES_OUTBOX_AT_ONCE, NULL), ==, -1);
  kernel.room = 0;

  g_assert_cmpint (send_to (post, 1, ES_OUTBOX_MAX_BYTES, &good, ES_OUTBOX_AT_ONCE, NULL), ==, 1);
}

static void
test_outbox_sends_from_address_asked (void)
{
  g_autoptr (Post) post = post_new ();
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  const EsNative to = receiver (GOOD);
  const EsLocal nowhere = { .family = AF_UNSPEC };
  const EsLocal from = { .family = AF_INET, .ip4.s_addr = htonl (0x7f000002) };

  g_test_summary ("A message keeps the address that it is to leave from, "
                  "and leaves none to the next.");

  g_assert_cmpint (es_outbox_send (post->outbox, &message, 1, &to, &from, ES_OUTBOX_HELD, NULL),
                   ==, 1);
  es_outbox_flush (post->outbox);
  g_assert_true (es_local_equal (&kernel.from, HAS_FAST_PATH ? &from : &nowhere));
  g_assert_cmpint (es_outbox_send (post->outbox, &message, 1, &to, &nowhere, ES_OUTBOX_HELD, NULL),
                   ==, 1);
  es_outbox_flush (post->outbox);
  g_assert_true (es_local_equal (&kernel.from, &nowhere));
}

static void
test_outbox_tells_failure_of_others (void)
{
  g_autoptr (Post) post = post_new ();
  g_autoptr (GError) last = NULL;

  g_test_summary ("A send is not told what was wrong with messages before it.");

  hold (post, 2, BAD);
  hold (post, 1, GOOD);
  hold (post, 1, BAD);
  send_now (post, 1, GOOD);

  assert_all_taken (post);
  g_assert_cmpuint (take_failures (post, &last), ==, 3);
  g_assert_error (last, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
}

static void
test_outbox_keeps_so_many_failures (void)
{
  const guint seams[] = { ES_OUTBOX_MAX_FAILURES - 1, ES_OUTBOX_MAX_FAILURES,
                          ES_OUTBOX_MAX_FAILURES + 1, 2 * ES_OUTBOX_MAX_FAILURES + 1 };

  g_test_summary ("Of many failures 64 are kept to be told, and all are counted.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (Post) post = post_new ();
      g_autoptr (GError) last = NULL;

      hold (post, seams[i], BAD);
      es_outbox_flush (post->outbox);
      g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_errors, ==, seams[i]);
      g_assert_cmpuint (take_failures (post, &last), ==, MIN (seams[i], ES_OUTBOX_MAX_FAILURES));
      hold (post, 1, BAD);
      es_outbox_flush (post->outbox);
      g_assert_cmpuint (take_failures (post, &last), ==, 1);
    }
}

static void
test_outbox_sends_again_behind_news (void)
{
  g_autoptr (Post) post = post_new ();
  g_auto (EsFailure) failure = { 0 };
  EsNative nobody = { .size = 0 };

  g_test_summary ("That nobody listened to an earlier message is told, and this one leaves.");

  kernel.n_news = 1;
  g_assert_cmpint (send_to (post, 2, 10, &nobody, ES_OUTBOX_AT_ONCE, NULL), ==, 2);

  assert_all_taken (post);
  g_assert_true (es_outbox_take_failure (post->outbox, &failure));
  g_assert_error (failure.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_assert_null (failure.address);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_errors, ==, 0);
}

static void
test_outbox_gives_up_behind_endless_news (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative nobody = { .size = 0 };
  g_autoptr (GError) error = NULL;

  g_test_summary ("A kernel that tells nothing else than that nobody listens is an error, "
                  "and no endless loop.");

  kernel.n_news = G_MAXUINT;
  g_assert_cmpint (send_to (post, 1, 10, &nobody, ES_OUTBOX_AT_ONCE, &error), ==, -1);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  assert_taken (post, 0);
  g_assert_false (es_outbox_is_blocked (post->outbox));
}

static void
test_outbox_fails_where_unix_receiver_is_gone (void)
{
  g_autoptr (Post) post = post_new ();
  g_autoptr (GBytes) message = g_bytes_new_static ("hello", 5);
  const EsNative to = { .un = { .sun_family = AF_UNIX, .sun_path = "/a" },
                        .size = sizeof (struct sockaddr_un) };
  const EsLocal from = { .family = AF_UNSPEC };
  g_autoptr (GError) error = NULL;

  g_test_summary ("A Unix socket says of this very message that nobody listens: it fails, "
                  "and is told once.");

  kernel.n_news = 1;
  g_assert_cmpint (
    es_outbox_send (post->outbox, &message, 1, &to, &from, ES_OUTBOX_AT_ONCE, &error), ==, -1);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_assert_cmpuint (kernel.taken->len, ==, 0);
  g_assert_false (es_outbox_has_news (post->outbox));
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_errors, ==, 1);
}

static void
test_outbox_counts_accepted_of_many (void)
{
  g_autoptr (Post) post = post_new ();
  g_autoptr (GPtrArray) messages = make_messages (post, 3, 10);
  const EsNative to = receiver (GOOD);
  const EsLocal from = { .family = AF_UNSPEC };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where the kernel refuses one of many, "
                  "those before it were accepted and those behind it were not.");

  kernel.picky = 9;
  g_ptr_array_add (messages, g_bytes_new_static ("too picky", 9));
  g_ptr_array_add (messages, g_bytes_new_static ("behind", 6));
  g_assert_cmpint (es_outbox_send (post->outbox, (GBytes **) messages->pdata, 5, &to, &from,
                                   ES_OUTBOX_AT_ONCE, &error),
                   ==, 3);

  g_assert_no_error (error);
  g_assert_cmpuint (kernel.taken->len, ==, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_true (
      g_bytes_equal (g_ptr_array_index (kernel.taken, i), g_ptr_array_index (messages, i)));
  g_assert_false (es_outbox_is_held (post->outbox));
  es_outbox_flush (post->outbox);
  g_assert_cmpuint (kernel.taken->len, ==, 3);
}

static void
test_outbox_accepts_none_of_none (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);
  g_autoptr (GError) error = NULL;

  g_test_summary ("No messages are accepted without an error.");

  g_assert_cmpint (send_to (post, 0, 10, &to, ES_OUTBOX_AT_ONCE, &error), ==, 0);
  g_assert_cmpint (send_to (post, 0, 10, &to, ES_OUTBOX_HELD, &error), ==, 0);

  g_assert_no_error (error);
  assert_all_taken (post);
}

static void
test_outbox_close_sends_the_rest (void)
{
  g_autoptr (Post) post = post_new ();
  EsNative to = receiver (GOOD);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A close sends what is held, and accepts nothing afterwards.");

  hold (post, 3, GOOD);
  hold (post, 1, BAD);
  hold (post, 3, GOOD);
  es_outbox_close (post->outbox);
  assert_all_taken (post);
  g_assert_cmpuint (kernel.taken->len, ==, 6);
  g_assert_cmpint (send_to (post, 1, 10, &to, ES_OUTBOX_AT_ONCE, &error), ==, -1);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).dropped_unsent, ==, 0);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).send_errors, ==, 1);
}

static void
test_outbox_close_gives_up_after_a_second (void)
{
  g_autoptr (Post) post = post_new ();
  gint64 began, took;

  g_test_summary ("What the kernel has no room for within a second is dropped, and counted.");

  kernel.room = 0;
  send_now (post, 10, GOOD);
  hold (post, 1, BAD);
  began = g_get_monotonic_time ();
  es_outbox_close (post->outbox);
  took = g_get_monotonic_time () - began;

  g_assert_cmpint (took, >=, G_USEC_PER_SEC);
  g_assert_cmpint (took, <, 10 * G_USEC_PER_SEC);
  assert_taken (post, 0);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).dropped_unsent, ==, 11);
  es_outbox_close (post->outbox);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).dropped_unsent, ==, 11);
}

static void
test_outbox_close_waits_for_room (void)
{
  g_autoptr (Post) post = post_new ();

  g_test_summary ("A close waits for the kernel to have room, and loses nothing then.");

  kernel.room = 0;
  send_now (post, 10, GOOD);
  hold (post, 10, GOOD);
  kernel.n_refusals = 5;
  es_outbox_close (post->outbox);

  assert_all_taken (post);
  g_assert_cmpuint (kernel.taken->len, ==, 20);
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).dropped_unsent, ==, 0);
}

static void
set_true (gpointer data)
{
  *(gboolean *) data = TRUE;
}

static void
assert_frees (guint16 port,
              gboolean flush)
{
  g_autoptr (Post) post = post_new ();
  gboolean is_freed = FALSE;
  GBytes *message = g_bytes_new_with_free_func ("hello", 5, set_true, &is_freed);
  GBytes *messages[] = { message, message, message };
  EsNative to = receiver (port);
  EsLocal from = { .family = AF_UNSPEC };

  g_assert_cmpint (es_outbox_send (post->outbox, messages, 3, &to, &from, ES_OUTBOX_HELD, NULL),
                   ==, 3);
  g_bytes_unref (message);
  g_assert_false (is_freed);
  if (flush)
    es_outbox_flush (post->outbox);
  g_assert_cmpint (is_freed, ==, flush);
  es_outbox_free (g_steal_pointer (&post->outbox));
  g_assert_true (is_freed);
  post->outbox = es_outbox_new (post->socket, TRUE, post->context);
}

static void
test_outbox_lets_go_of_messages (void)
{
  g_test_summary ("An outbox lets go of a message when it has left, was refused, "
                  "or when the outbox itself goes.");

  assert_frees (GOOD, TRUE);
  assert_frees (BAD, TRUE);
  assert_frees (GOOD, FALSE);
}

#define N_THREADS 8
#define N_PER_THREAD 1000

typedef struct
{
  Post *post;
  guint number;
} Talker;

/* Sends numbered messages, and where the queue is full, the same again. */
static gpointer
talk (gpointer data)
{
  Talker *self = data;
  EsNative to = receiver (GOOD);
  EsLocal from = { .family = AF_UNSPEC };

  for (guint i = 0; i < N_PER_THREAD; i++)
    {
      guint words[] = { self->number, i };
      g_autoptr (GBytes) message = g_bytes_new (words, sizeof words);

      while (es_outbox_send (self->post->outbox, &message, 1, &to, &from, (EsOutboxHold) (i % 3),
                             NULL) != 1)
        g_thread_yield ();
    }
  return NULL;
}

static void
assert_each_thread_in_order (void)
{
  guint n_seen[N_THREADS] = { 0 };

  g_assert_cmpuint (kernel.taken->len, ==, N_THREADS * N_PER_THREAD);
  for (guint i = 0; i < kernel.taken->len; i++)
    {
      const guint *words = g_bytes_get_data (g_ptr_array_index (kernel.taken, i), NULL);

      g_assert_cmpuint (words[1], ==, n_seen[words[0]]++);
    }
}

static void
test_outbox_serves_many_threads (void)
{
  g_autoptr (Post) post = post_new ();
  Talker talkers[N_THREADS];
  GThread *threads[N_THREADS];

  g_test_summary ("Messages that many threads send at once leave once each, "
                  "those of one thread in their order.");

  for (guint i = 0; i < N_THREADS; i++)
    {
      talkers[i] = (Talker){ post, i };
      threads[i] = g_thread_new ("talker", talk, &talkers[i]);
    }
  while (es_outbox_get_counts (post->outbox).messages_sent < N_THREADS * N_PER_THREAD)
    {
      g_atomic_int_set (&kernel.room, 20);
      es_outbox_flush (post->outbox);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);

  assert_each_thread_in_order ();
  g_assert_cmpuint (es_outbox_get_counts (post->outbox).bytes_sent, ==,
                    N_THREADS * N_PER_THREAD * 2 * sizeof (guint));
}

/* What an outbox must look like after anything was done to it. */
typedef struct
{
  Post *post;
  GRand *rand;
  guint n_compared;     /* messages that left, found right */
  guint n_accepted_bad; /* messages to the bad receiver */
  guint n_returned;     /* errors that a send returned for its own message */
  gboolean is_short;    /* a sender was refused for want of room, and not told otherwise */
} Model;

/* What was accepted and has neither left nor failed. */
static guint
count_pending (Model *self)
{
  EsOutboxCounts counts = es_outbox_get_counts (self->post->outbox);

  return self->post->accepted->len + self->n_accepted_bad - counts.messages_sent -
         (counts.send_errors - self->n_returned);
}

static void
send_something (Model *self)
{
  const gsize sizes[] = { 10, 10, 10, 11, 9, 500 };
  guint n = g_rand_int_range (self->rand, 0, 4) > 0 ? 1 : g_rand_int_range (self->rand, 1, 2000);
  gboolean is_bad = n == 1 && g_rand_int_range (self->rand, 0, 10) == 0;
  EsNative to = receiver (is_bad ? BAD : GOOD);
  g_autoptr (GError) error = NULL;
  int n_accepted = send_to (self->post, n,
                            sizes[g_rand_int_range (self->rand, 0, G_N_ELEMENTS (sizes))], &to,
                            (EsOutboxHold) g_rand_int_range (self->rand, 0, 3), &error);

  g_assert_cmpint (n_accepted < 0, ==, error != NULL);
  g_assert_cmpint (n_accepted, !=, 0);
  self->n_accepted_bad += is_bad && n_accepted == 1;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    {
      g_assert_true (is_bad);
      self->n_returned++;
    }
  else if (n_accepted < (int) n)
    {
      g_assert_true (error == NULL || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK));
      g_assert_cmpuint (count_pending (self), ==, ES_OUTBOX_MAX_MESSAGES);
      self->is_short = TRUE;
    }
}

static void
do_something (Model *self)
{
  const int rooms[] = { 0, 0, 0, 1, 10, 300, UNLIMITED };

  switch (g_rand_int_range (self->rand, 0, 9))
    {
    case 0:
      es_outbox_flush (self->post->outbox);
      break;
    case 1:
      kernel.room = rooms[g_rand_int_range (self->rand, 0, G_N_ELEMENTS (rooms))];
      break;
    case 2:
      kernel.n_news = 1;
      break;
    case 3:
      try_to_hold (self->post, 10,
                   g_rand_boolean (self->rand) ? ES_OUTBOX_HELD : ES_OUTBOX_HURRIED);
      break;
    default:
      send_something (self);
    }
}

static void
compare (Model *self)
{
  Post *post = self->post;
  guint n_pending = count_pending (self);
  gboolean is_writable = self->is_short && n_pending < ES_OUTBOX_MAX_MESSAGES / 2;
  g_autoptr (GError) last = NULL;

  for (; self->n_compared < kernel.taken->len; self->n_compared++)
    g_assert_true (g_bytes_equal (g_ptr_array_index (kernel.taken, self->n_compared),
                                  g_ptr_array_index (post->accepted, self->n_compared)));
  g_assert_cmpuint (n_pending, <=, ES_OUTBOX_MAX_MESSAGES);
  g_assert_cmpint (n_pending > 0, ==,
                   es_outbox_is_held (post->outbox) || es_outbox_is_blocked (post->outbox));
  g_assert_false (es_outbox_is_held (post->outbox) && es_outbox_is_blocked (post->outbox));
  g_assert_cmpuint (take_failures (post, &last), <=, ES_OUTBOX_MAX_FAILURES);
  if (is_writable)
    g_assert_true (es_outbox_has_news (post->outbox));
  g_assert_cmpint (es_outbox_take_writable (post->outbox), ==, is_writable);
  self->is_short = self->is_short && !is_writable;
}

static void
test_outbox_agrees_with_model (void)
{
  g_test_summary ("Whatever is done, what leaves is what was accepted, in order, "
                  "and the rest is accounted for.");

  for (guint seed = 0; seed < 20; seed++)
    {
      g_autoptr (Post) post = post_new ();
      Model model = { .post = post, .rand = g_rand_new_with_seed (seed) };

      g_test_message ("seed %u", seed);
      for (guint i = 0; i < 500; i++)
        {
          do_something (&model);
          compare (&model);
        }
      kernel.room = UNLIMITED;
      es_outbox_flush (post->outbox);
      compare (&model);
      assert_all_taken (post);
      g_assert_cmpuint (count_pending (&model), ==, 0);
      g_rand_free (model.rand);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/outbox/sends-at-once", test_outbox_sends_at_once);
  g_test_add_func ("/outbox/holds-until-flush", test_outbox_holds_until_flush);
  g_test_add_func ("/outbox/flushes-nothing", test_outbox_flushes_nothing);
  g_test_add_func ("/outbox/sends-held-first", test_outbox_sends_held_first);
  g_test_add_func ("/outbox/holds-so-many-messages", test_outbox_holds_so_many_messages);
  g_test_add_func ("/outbox/holds-so-many-bytes", test_outbox_holds_so_many_bytes);
  g_test_add_func ("/outbox/holds-the-rest-of-many", test_outbox_holds_the_rest_of_many);
  g_test_add_func ("/outbox/holds-where-simple", test_outbox_holds_where_simple);
  g_test_add_func ("/outbox/holds-no-more-than-it-may", test_outbox_holds_no_more_than_it_may);
  g_test_add_func ("/outbox/holds-while-blocked", test_outbox_holds_while_blocked);
  g_test_add_func ("/outbox/hurries", test_outbox_hurries);
  g_test_add_func ("/outbox/hurries-no-later", test_outbox_hurries_no_later);
  g_test_add_func ("/outbox/waits-while-blocked", test_outbox_waits_while_blocked);
  g_test_add_func ("/outbox/sends-what-there-is-room-for",
                   test_outbox_sends_what_there_is_room_for);
  g_test_add_func ("/outbox/wakes-its-context", test_outbox_wakes_its_context);
  g_test_add_func ("/outbox/is-bounded-by-messages", test_outbox_is_bounded_by_messages);
  g_test_add_func ("/outbox/accepts-as-many-as-fit", test_outbox_accepts_as_many_as_fit);
  g_test_add_func ("/outbox/is-bounded-by-bytes", test_outbox_is_bounded_by_bytes);
  g_test_add_func ("/outbox/refuses-what-never-fits", test_outbox_refuses_what_never_fits);
  g_test_add_func ("/outbox/asks-kernel-when-full", test_outbox_asks_kernel_when_full);
  g_test_add_func ("/outbox/tells-when-writable", test_outbox_tells_when_writable);
  g_test_add_func ("/outbox/tells-when-writable-in-bytes",
                   test_outbox_tells_when_writable_in_bytes);
  g_test_add_func ("/outbox/tells-failures", test_outbox_tells_failures);
  g_test_add_func ("/outbox/returns-error-of-own-message",
                   test_outbox_returns_error_of_own_message);
  g_test_add_func ("/outbox/forgets-size-of-refused", test_outbox_forgets_size_of_refused);
  g_test_add_func ("/outbox/sends-from-address-asked", test_outbox_sends_from_address_asked);
  g_test_add_func ("/outbox/tells-failure-of-others", test_outbox_tells_failure_of_others);
  g_test_add_func ("/outbox/keeps-so-many-failures", test_outbox_keeps_so_many_failures);
  g_test_add_func ("/outbox/sends-again-behind-news", test_outbox_sends_again_behind_news);
  g_test_add_func ("/outbox/gives-up-behind-endless-news",
                   test_outbox_gives_up_behind_endless_news);
  g_test_add_func ("/outbox/fails-where-unix-receiver-is-gone",
                   test_outbox_fails_where_unix_receiver_is_gone);
  g_test_add_func ("/outbox/counts-accepted-of-many", test_outbox_counts_accepted_of_many);
  g_test_add_func ("/outbox/accepts-none-of-none", test_outbox_accepts_none_of_none);
  g_test_add_func ("/outbox/close-sends-the-rest", test_outbox_close_sends_the_rest);
  g_test_add_func ("/outbox/close-gives-up-after-a-second",
                   test_outbox_close_gives_up_after_a_second);
  g_test_add_func ("/outbox/close-waits-for-room", test_outbox_close_waits_for_room);
  g_test_add_func ("/outbox/lets-go-of-messages", test_outbox_lets_go_of_messages);
  g_test_add_func ("/outbox/serves-many-threads", test_outbox_serves_many_threads);
  g_test_add_func ("/outbox/agrees-with-model", test_outbox_agrees_with_model);

  return g_test_run ();
}
