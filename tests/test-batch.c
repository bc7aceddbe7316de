/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-batch.h"

#include "es-address.h"
#include "es-socket.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#ifdef HAVE_RECVMMSG
#define HAS_FAST_PATH TRUE
#else
#define HAS_FAST_PATH FALSE
#endif

/* What a batch holds. */
#define N_SLOTS 64
#define SLOT_SIZE 65536

/* The longest payloads of UDP. */
#define MAX_IP4_PAYLOAD 65507
#define MAX_IP6_PAYLOAD 65527

/* Something that a made-up kernel says of a datagram. */
typedef struct
{
  int level;
  int type;
  gsize size; /* 0: nothing */
  guint8 data[32];
} Control;

/* A datagram, or an error, that waits in a made-up kernel. */
typedef struct
{
  int problem; /* an error, if not 0 */
  GBytes *payload;
  GSocketAddress *sender; /* (nullable) */
  int flags;
  Control controls[3];
} Waiting;

/* What waits, or NULL where the real kernel is asked. */
static GQueue *kernel;

static void
free_waiting (gpointer data)
{
  Waiting *waiting = data;

  g_clear_pointer (&waiting->payload, g_bytes_unref);
  g_clear_object (&waiting->sender);
  g_free (waiting);
}

static void
write_name (struct msghdr *header,
            GSocketAddress *sender)
{
  gssize size = sender != NULL ? g_socket_address_get_native_size (sender) : 0;

  g_assert_cmpint (size, <=, header->msg_namelen);
  if (size > 0)
    g_socket_address_to_native (sender, header->msg_name, header->msg_namelen, NULL);
  header->msg_namelen = size;
}

static void
write_controls (struct msghdr *header,
                const Control *controls,
                gsize n_controls)
{
  gsize size = 0;

  for (gsize i = 0; i < n_controls && controls[i].size > 0; i++)
    {
      struct cmsghdr *control = (void *) ((guint8 *) header->msg_control + size);

      g_assert_cmpuint (size + CMSG_SPACE (controls[i].size), <=, header->msg_controllen);
      control->cmsg_level = controls[i].level;
      control->cmsg_type = controls[i].type;
      control->cmsg_len = CMSG_LEN (controls[i].size);
      memcpy (CMSG_DATA (control), controls[i].data, controls[i].size);
      size += CMSG_SPACE (controls[i].size);
    }
  header->msg_controllen = size;
}

static void
write_waiting (struct mmsghdr *header,
               const Waiting *waiting)
{
  gsize size;
  const void *data = g_bytes_get_data (waiting->payload, &size);

  g_assert_cmpuint (header->msg_hdr.msg_iovlen, ==, 1);
  header->msg_len = MIN (size, header->msg_hdr.msg_iov[0].iov_len);
  if (size > 0)
    memcpy (header->msg_hdr.msg_iov[0].iov_base, data, header->msg_len);
  header->msg_hdr.msg_flags = waiting->flags | (header->msg_len < size ? MSG_TRUNC : 0);
  write_name (&header->msg_hdr, waiting->sender);
  write_controls (&header->msg_hdr, waiting->controls, G_N_ELEMENTS (waiting->controls));
}

/* Stands before the C library's own: a kernel of which the tests know exactly what waits. */
int
recvmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags,
          struct timespec *timeout)
{
  static int (*real) (int, struct mmsghdr *, unsigned int, int, struct timespec *);
  guint n = 0;

  *(void **) &real = dlsym (RTLD_NEXT, "recvmmsg");
  if (kernel == NULL)
    return real (fd, headers, n_headers, flags, timeout);
  for (Waiting *next;
       n < n_headers && (next = g_queue_peek_head (kernel)) != NULL && next->problem == 0; n++)
    {
      write_waiting (&headers[n], next);
      free_waiting (g_queue_pop_head (kernel));
    }
  if (n > 0)
    return n;
  errno = EAGAIN;
  if (!g_queue_is_empty (kernel))
    {
      errno = ((Waiting *) g_queue_peek_head (kernel))->problem;
      free_waiting (g_queue_pop_head (kernel));
    }
  return -1;
}

/* The same for who asks one by one. */
ssize_t
recvmsg (int fd,
         struct msghdr *header,
         int flags)
{
  static ssize_t (*real) (int, struct msghdr *, int);
  struct mmsghdr one = { .msg_hdr = *header };

  *(void **) &real = dlsym (RTLD_NEXT, "recvmsg");
  if (kernel == NULL)
    return real (fd, header, flags);
  if (recvmmsg (fd, &one, 1, flags, NULL) < 0)
    return -1;
  *header = one.msg_hdr;
  return one.msg_len;
}

/* A socket, and a batch that reads it. */
typedef struct
{
  GSocket *socket;
  EsBatch *batch;
} Reader;

static void
reader_free (Reader *self)
{
  es_batch_free (self->batch);
  g_object_unref (self->socket);
  g_clear_pointer (&kernel, g_queue_free);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_free)

static GSocket *
open_socket (const char *host)
{
  EsSocketOptions options = { .receive_buffer_size = 4 * 1024 * 1024,
                              .send_buffer_size = 4 * 1024 * 1024 };
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, 0);

  return es_socket_new_bound (address, &options, NULL);
}

/* (nullable) A reader at a host's address, none where there is no such address. */
static Reader *
reader_new (const char *host,
            gboolean segments)
{
  GSocket *socket = open_socket (host);
  Reader *self;

  if (socket == NULL)
    {
      g_test_skip ("This host has no such address");
      return NULL;
    }
  self = g_new0 (Reader, 1);
  self->socket = socket;
  self->batch = es_batch_new (socket, segments);
  return self;
}

/* Whether the host lacks IPv6, so that the rest of a test is skipped. */
static gboolean
skip_without_ip6 (void)
{
  g_autoptr (GSocket) socket = open_socket ("::1");

  if (socket == NULL)
    g_test_skip ("This host has no IPv6");
  return socket == NULL;
}

/* A reader of a made-up kernel. */
static Reader *
reader_new_made_up (void)
{
  Reader *self = reader_new ("127.0.0.1", TRUE);

  kernel = g_queue_new ();
  return self;
}

static GSocketAddress *
address_of (Reader *self,
            const char *host)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (self->socket, NULL);
  guint16 port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));

  return g_inet_socket_address_new_from_string (host, port);
}

/* Adds a datagram to those that wait in the made-up kernel. */
static Waiting *
add_waiting (gconstpointer data,
             gsize size)
{
  Waiting *waiting = g_new0 (Waiting, 1);

  waiting->payload = g_bytes_new (data, size);
  waiting->sender = g_inet_socket_address_new_from_string ("192.0.2.1", 1234);
  g_queue_push_tail (kernel, waiting);
  return waiting;
}

static void
add_problem (int problem)
{
  add_waiting (NULL, 0)->problem = problem;
}

static void
add_control (Waiting *waiting,
             int level,
             int type,
             gconstpointer data,
             gsize size)
{
  Control *control = waiting->controls;

  while (control->size > 0)
    control++;
  control->level = level;
  control->type = type;
  control->size = size;
  memcpy (control->data, data, size);
}

/* Steps to the next message, and waits for it if need be. */
static EsArrival
next (Reader *self)
{
  EsArrival arrival;

  while (!es_batch_next (self->batch, &arrival))
    {
      g_autoptr (GError) error = NULL;

      if (kernel == NULL)
        g_socket_condition_wait (self->socket, G_IO_IN, NULL, NULL);
      es_batch_fill (self->batch, &error);
      g_assert_no_error (error);
    }
  return arrival;
}

static void
assert_next (Reader *self,
             gconstpointer data,
             gsize size)
{
  EsArrival arrival = next (self);

  g_assert_cmpmem (arrival.data, arrival.size, data, size);
  g_assert_false (arrival.is_cut);
}

static void
assert_nothing_waits (Reader *self)
{
  g_autoptr (GError) error = NULL;
  EsArrival arrival;

  g_assert_false (es_batch_next (self->batch, &arrival));
  g_assert_true (es_batch_is_read (self->batch));
  g_assert_false (es_batch_fill (self->batch, &error));
  g_assert_no_error (error);
  g_assert_false (es_batch_next (self->batch, &arrival));
  g_assert_false (es_batch_was_full (self->batch));
}

static void
send_to (GSocket *from,
         GSocketAddress *to,
         gconstpointer data,
         gsize size)
{
  g_autoptr (GError) error = NULL;
  gssize n = g_socket_send_to (from, to, data, size, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (n, ==, size);
}

/* Fills the batch once, and counts what came. */
static guint
fill_and_count (Reader *self)
{
  g_autoptr (GError) error = NULL;
  EsArrival arrival;
  guint n = 0;

  g_assert_true (es_batch_fill (self->batch, &error));
  g_assert_no_error (error);
  g_assert_false (es_batch_is_read (self->batch));
  while (es_batch_next (self->batch, &arrival))
    {
      g_assert_cmpmem (arrival.data, arrival.size, &n, sizeof n);
      n++;
    }
  return n;
}

static void
test_batch_fills_at_seams (void)
{
  const guint seams[] = { 1, N_SLOTS - 1, N_SLOTS, N_SLOTS + 1, 2 * N_SLOTS + 1 };

  g_test_summary ("A batch takes what waits up to its size, and says whether more may wait.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      g_autoptr (Reader) reader = reader_new_made_up ();

      for (guint n = 0; n < seams[i]; n++)
        add_waiting (&(guint){ n % N_SLOTS }, sizeof n);
      for (guint rest = seams[i]; rest > 0; rest -= MIN (rest, N_SLOTS))
        {
          g_assert_cmpuint (fill_and_count (reader), ==, MIN (rest, N_SLOTS));
          g_assert_cmpint (es_batch_was_full (reader->batch), ==, rest >= N_SLOTS);
        }
      assert_nothing_waits (reader);
    }
}

static void
test_batch_reads_in_order (void)
{
  const guint seams[] = { 1, N_SLOTS - 1, N_SLOTS, N_SLOTS + 1, 2 * N_SLOTS + 1 };
  g_autoptr (Reader) reader = reader_new ("127.0.0.1", TRUE);
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");

  g_test_summary ("Messages come whole and in their order over the ends of batches.");

  for (gsize i = 0; i < G_N_ELEMENTS (seams); i++)
    {
      for (guint n = 0; n < seams[i]; n++)
        send_to (from, to, &n, sizeof n);
      for (guint n = 0; n < seams[i]; n++)
        assert_next (reader, &n, sizeof n);
      assert_nothing_waits (reader);
    }
}

static void
test_batch_keeps_empty_messages (void)
{
  g_autoptr (Reader) reader = reader_new ("127.0.0.1", TRUE);
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");

  g_test_summary ("A datagram without bytes is a message, not an end.");

  for (guint i = 0; i < N_SLOTS + 1; i++)
    send_to (from, to, "", 0);
  send_to (from, to, "last", 4);

  for (guint i = 0; i < N_SLOTS + 1; i++)
    assert_next (reader, NULL, 0);
  assert_next (reader, "last", 4);
  assert_nothing_waits (reader);
}

/* One message of so many bytes, over the loopback interface. */
static void
assert_size_arrives (const char *host,
                     gsize size)
{
  g_autoptr (Reader) reader = reader_new (host, TRUE);
  g_autoptr (GSocketAddress) to = NULL;
  g_autoptr (GSocket) from = NULL;
  g_autofree char *text = g_strnfill (size, 'x');

  if (reader == NULL)
    return;
  to = address_of (reader, host);
  from = open_socket (host);
  text[size - 1] = '.';
  send_to (from, to, text, size);
  send_to (from, to, "next", 4);

  assert_next (reader, text, size);
  assert_next (reader, "next", 4);
}

static void
test_batch_reads_longest_messages (void)
{
  g_test_summary ("The longest messages of IPv4 and IPv6 come whole.");

  assert_size_arrives ("127.0.0.1", MAX_IP4_PAYLOAD - 1);
  assert_size_arrives ("127.0.0.1", MAX_IP4_PAYLOAD);
  assert_size_arrives ("::1", MAX_IP6_PAYLOAD);
}

static void
assert_sender (Reader *reader,
               const char *host)
{
  g_autoptr (GSocketAddress) to = address_of (reader, host);
  g_autoptr (GSocket) from = open_socket (host);
  g_autoptr (GSocketAddress) expected = g_socket_get_local_address (from, NULL);
  g_autoptr (GSocketAddress) sender = NULL;
  EsArrival arrival;

  send_to (from, to, "hello", 5);
  arrival = next (reader);
  sender = es_native_to_address (arrival.sender);

  g_assert_cmpint (arrival.sender->family, ==, g_socket_address_get_family (expected));
  g_assert_true (es_address_equal (sender, expected));
}

static void
test_batch_names_sender (void)
{
  g_autoptr (Reader) reader4 = reader_new ("127.0.0.1", FALSE);
  g_autoptr (Reader) reader = NULL;

  g_test_summary ("Each message names its sender; an IPv4 one by IPv4, "
                  "also on a dual-stack socket.");

  assert_sender (reader4, "127.0.0.1");
  if (skip_without_ip6 ())
    return;
  reader = reader_new ("::", FALSE);
  assert_sender (reader, "127.0.0.1");
  assert_sender (reader, "::1");
  assert_sender (reader, "127.0.0.1");
}

/* Which of our addresses a message to @host came to, as the batch tells it. */
static EsLocal
local_of_message_to (Reader *reader,
                     const char *host)
{
  g_autoptr (GSocketAddress) to = address_of (reader, host);
  g_autoptr (GSocket) from = open_socket (strchr (host, ':') != NULL ? "::1" : "127.0.0.1");
  EsArrival arrival;

  send_to (from, to, "hello", 5);
  arrival = next (reader);
  g_assert_false (arrival.is_to_many);
  return *arrival.local;
}

static void
assert_local (EsLocal local,
              sa_family_t family,
              const char *host)
{
  EsLocal expected = { .family = family };

  inet_pton (family, host, &expected.ip6);
  g_assert_cmpint (local.family, ==, family);
  g_assert_true (es_local_equal (&local, &expected));
}

static void
test_batch_tells_address_asked (void)
{
  g_autoptr (Reader) reader4 = reader_new ("0.0.0.0", TRUE);
  g_autoptr (Reader) reader = NULL;

  g_test_summary ("A socket at no address in particular tells which of them was asked.");

  assert_local (local_of_message_to (reader4, "127.0.0.2"), AF_INET, "127.0.0.2");
  assert_local (local_of_message_to (reader4, "127.0.0.3"), AF_INET, "127.0.0.3");
  if (skip_without_ip6 ())
    return;
  reader = reader_new ("::", TRUE);
  assert_local (local_of_message_to (reader, "127.0.0.2"), AF_INET, "127.0.0.2");
  assert_local (local_of_message_to (reader, "::1"), AF_INET6, "::1");
  assert_local (local_of_message_to (reader, "127.0.0.1"), AF_INET, "127.0.0.1");
}

static void
test_batch_tells_no_address_where_one (void)
{
  g_autoptr (Reader) reader = reader_new ("127.0.0.2", TRUE);

  g_test_summary ("A socket at one address has nothing to tell.");

  g_assert_cmpint (local_of_message_to (reader, "127.0.0.2").family, ==, AF_UNSPEC);
}

/* A reader of one end of a pair of Unix sockets, of which the other end is given. */
static Reader *
reader_new_unix (GSocket **other)
{
  Reader *self = g_new0 (Reader, 1);
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_DGRAM, 0, fds), ==, 0);
  self->socket = g_socket_new_from_fd (fds[0], NULL);
  *other = g_socket_new_from_fd (fds[1], NULL);
  g_socket_set_blocking (self->socket, FALSE);
  es_socket_set_send_buffer_size (*other, 256 * 1024);
  self->batch = es_batch_new (self->socket, TRUE);
  return self;
}

static void
assert_cut (Reader *reader,
            GSocket *other,
            gsize size,
            gboolean is_cut)
{
  g_autofree char *text = g_strnfill (size, 'x');
  EsArrival arrival;

  g_assert_cmpint (g_socket_send (other, text, size, NULL, NULL), ==, size);
  arrival = next (reader);

  g_assert_cmpint (arrival.is_cut, ==, is_cut);
  g_assert_cmpmem (arrival.data, arrival.size, text, MIN (size, SLOT_SIZE));
}

static void
test_batch_tells_what_is_cut (void)
{
  g_autoptr (GSocket) other = NULL;
  g_autoptr (Reader) reader = reader_new_unix (&other);

  g_test_summary ("A Unix datagram that is longer than a slot is told as cut, "
                  "and the next one is whole.");

  assert_cut (reader, other, SLOT_SIZE - 1, FALSE);
  assert_cut (reader, other, SLOT_SIZE, FALSE);
  assert_cut (reader, other, SLOT_SIZE + 1, TRUE);
  assert_cut (reader, other, 2 * SLOT_SIZE + 1, TRUE);
  assert_cut (reader, other, 1, FALSE);
}

static void
test_batch_reads_nameless_senders (void)
{
  g_autoptr (GSocket) other = NULL;
  g_autoptr (Reader) reader = reader_new_unix (&other);

  g_test_summary ("A Unix sender without a name is none of IP, and has an anonymous address.");

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GSocketAddress) sender = NULL;
      g_autofree char *text = NULL;
      EsArrival arrival;

      g_assert_cmpint (g_socket_send (other, "hello", 5, NULL, NULL), ==, 5);
      arrival = next (reader);
      sender = es_native_to_address (arrival.sender);
      text = es_address_to_string (sender);
      g_assert_false (es_native_is_ip (arrival.sender));
      g_assert_cmpstr (text, ==, "anonymous");
    }
}

/* Sends one datagram with a control message. Returns FALSE if the kernel does not want it. */
static gboolean
send_with_control (GSocket *from,
                   GSocketAddress *to,
                   gconstpointer data,
                   gsize size,
                   const Control *control)
{
  struct sockaddr_storage name;
  _Alignas(struct cmsghdr) guint8 space[CMSG_SPACE (sizeof control->data)] = { 0 };
  struct iovec payload = { .iov_base = (gpointer) data, .iov_len = size };
  struct msghdr header = {
    .msg_iov = &payload, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
  };

  if (to != NULL)
    {
      header.msg_name = &name;
      header.msg_namelen = g_socket_address_get_native_size (to);
      g_socket_address_to_native (to, &name, sizeof name, NULL);
    }
  write_controls (&header, control, 1);
  return sendmsg (g_socket_get_fd (from), &header, 0) == (gssize) size;
}

static guint
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_batch_takes_no_descriptors (void)
{
  g_autoptr (GSocket) other = NULL;
  g_autoptr (Reader) reader = reader_new_unix (&other);
  Control descriptor = { .level = SOL_SOCKET, .type = SCM_RIGHTS, .size = sizeof (int) };
  guint n_descriptors = count_descriptors ();

  g_test_summary ("Descriptors that a Unix sender adds to a message stay outside, "
                  "and the message is whole.");

  memcpy (descriptor.data, &(int){ g_socket_get_fd (other) }, sizeof (int));
  g_assert_true (send_with_control (other, NULL, "hello", 5, &descriptor));

  assert_next (reader, "hello", 5);
  assert_nothing_waits (reader);
  g_assert_cmpuint (count_descriptors (), ==, n_descriptors);
}

static void
test_batch_reads_names_in_any_order (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  const char *hosts[] = { "192.0.2.1", "2001:db8::1", NULL, "2001:db8::2", "192.0.2.3" };

  g_test_summary ("A slot that held a short name, or none, holds a long one next time.");

  for (gsize i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      Waiting *waiting = add_waiting ("hello", 5);
      g_autoptr (GSocketAddress) sender = NULL;
      EsArrival arrival;
      g_autofree char *text = NULL;
      g_autofree char *expected = NULL;

      g_clear_object (&waiting->sender);
      waiting->sender = hosts[i] != NULL ? g_inet_socket_address_new_from_string (hosts[i], 7)
                                         : NULL;
      expected = hosts[i] != NULL ? es_address_to_string (waiting->sender) : g_strdup ("anonymous");
      arrival = next (reader);
      sender = es_native_to_address (arrival.sender);
      text = es_address_to_string (sender);
      g_assert_cmpint (es_native_is_ip (arrival.sender), ==, hosts[i] != NULL);
      g_assert_cmpstr (text, ==, expected);
    }
}

static void
assert_problem (int problem,
                GIOErrorEnum code)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  g_autoptr (GError) error = NULL;

  add_problem (problem);
  add_waiting ("hello", 5);

  g_assert_false (es_batch_fill (reader->batch, &error));
  g_assert_error (error, G_IO_ERROR, (int) code);
  g_assert_true (es_batch_is_read (reader->batch));
  g_assert_false (es_batch_was_full (reader->batch));
  assert_next (reader, "hello", 5);
  assert_nothing_waits (reader);
}

static void
test_batch_tells_errors_once (void)
{
  g_test_summary ("An error is told as what it is, and the message behind it is not lost.");

  assert_problem (ECONNREFUSED, G_IO_ERROR_CONNECTION_REFUSED);
  assert_problem (EHOSTUNREACH, G_IO_ERROR_HOST_UNREACHABLE);
  assert_problem (ENETUNREACH, G_IO_ERROR_NETWORK_UNREACHABLE);
  assert_problem (EMSGSIZE, G_IO_ERROR_MESSAGE_TOO_LARGE);
  assert_problem (ENOMEM, G_IO_ERROR_NO_SPACE);
}

static void
test_batch_tells_errors_between_messages (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("An error that stands behind a message is told after it.");

  add_waiting ("one", 3);
  add_problem (ECONNREFUSED);
  add_waiting ("two", 3);

  assert_next (reader, "one", 3);
  g_assert_false (es_batch_fill (reader->batch, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  assert_next (reader, "two", 3);
  assert_nothing_waits (reader);
}

static void
test_batch_gives_in_to_endless_interruption (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();

  g_test_summary ("Where signals interrupt the call without end it ends all the same, "
                  "and nothing is wrong.");

  for (guint i = 0; i < 2500; i++)
    add_problem (EINTR);
  add_waiting ("hello", 5);

  assert_nothing_waits (reader);
  assert_nothing_waits (reader);
  assert_next (reader, "hello", 5);
}

static void
test_batch_goes_on_when_interrupted (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();

  g_test_summary ("A signal that interrupts the call is no error, however often it comes.");

  for (guint i = 0; i < 100; i++)
    add_problem (EINTR);
  add_waiting ("hello", 5);
  add_problem (EINTR);

  assert_next (reader, "hello", 5);
  assert_nothing_waits (reader);
}

static void
test_batch_survives_refused_connection (void)
{
  g_autoptr (GSocket) server = open_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (server, NULL);
  g_autoptr (Reader) reader = g_new0 (Reader, 1);
  g_autoptr (GSocketAddress) client = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("That nobody listened is told once, and what arrives later is read.");

  reader->socket =
    es_socket_new_connected (address, &(EsSocketOptions){ .receive_buffer_size = 65536 }, NULL);
  reader->batch = es_batch_new (reader->socket, TRUE);
  client = g_socket_get_local_address (reader->socket, NULL);
  g_socket_close (server, NULL);
  g_assert_cmpint (g_socket_send (reader->socket, "anyone?", 7, NULL, NULL), ==, 7);
  g_socket_condition_wait (reader->socket, G_IO_ERR, NULL, NULL);

  g_assert_false (es_batch_fill (reader->batch, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  assert_nothing_waits (reader);
  g_object_unref (server);
  server = es_socket_new_bound (address, &(EsSocketOptions){ .receive_buffer_size = 65536 }, NULL);
  send_to (server, client, "yes", 3);
  assert_next (reader, "yes", 3);
}

/* Sends a train: messages of @segment_size bytes, of which the last may be shorter. Returns FALSE
 * if this kernel cannot. */
static gboolean
send_train (GSocket *from,
            GSocketAddress *to,
            gconstpointer data,
            gsize size,
            guint16 segment_size)
{
  Control control = { .level = SOL_UDP, .type = UDP_SEGMENT, .size = sizeof segment_size };

  memcpy (control.data, &segment_size, sizeof segment_size);
  return send_with_control (from, to, data, size, &control);
}

static gboolean
skip_without_trains (Reader *reader)
{
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");

  if (!es_socket_enable_segments (from) || !send_train (from, to, "abc", 3, 1))
    {
      g_test_skip ("This kernel does not coalesce messages");
      return TRUE;
    }
  for (guint i = 0; i < 3; i++)
    next (reader);
  return FALSE;
}

/* Bytes that tell where they stand. */
static guint8 *
make_data (gsize size)
{
  guint8 *data = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    data[i] = i * 7 + i / 251;
  return data;
}

/* Reads what was sent as a train: each message of the right size, the first and no other said to be
 * the first. */
static void
assert_train (Reader *reader,
              const guint8 *data,
              gsize size,
              gsize segment_size)
{
  for (gsize offset = 0; offset < size; offset += segment_size)
    {
      EsArrival arrival = next (reader);

      g_assert_cmpmem (arrival.data, arrival.size, data + offset,
                       MIN (segment_size, size - offset));
      g_assert_cmpint (arrival.is_first, ==, offset == 0);
      g_assert_false (arrival.is_cut);
    }
}

static void
test_batch_splits_trains_of_each_size (void)
{
  g_autoptr (Reader) reader = reader_new ("127.0.0.1", TRUE);
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");
  g_autofree guint8 *data = make_data (MAX_IP4_PAYLOAD);

  g_test_summary ("A train of messages of any size is split where they were joined, "
                  "the shorter last among them.");

  if (skip_without_trains (reader))
    return;
  for (gsize segment = 1; segment < 21000; segment += 1 + segment / 150)
    for (gsize last = 1; last <= segment; last += MAX (1, segment / 2))
      {
        g_assert_true (send_train (from, to, data, 2 * segment + last, segment));
        assert_train (reader, data, 2 * segment + last, segment);
      }
  assert_nothing_waits (reader);
}

static void
test_batch_splits_longest_trains (void)
{
  g_autoptr (Reader) reader = reader_new ("127.0.0.1", TRUE);
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");
  g_autofree guint8 *data = make_data (MAX_IP4_PAYLOAD);

  g_test_summary ("The longest trains come whole: 64 messages, "
                  "and as many bytes as a datagram has, which Linux splits on the way.");

  if (skip_without_trains (reader))
    return;
  g_assert_true (send_train (from, to, data, 64, 1));
  g_assert_true (send_train (from, to, data, 64 * 1000, 1000));
  g_assert_true (send_train (from, to, data, MAX_IP4_PAYLOAD, 1024));

  assert_train (reader, data, 64, 1);
  assert_train (reader, data, 64 * 1000, 1000);
  for (gsize offset = 0; offset < MAX_IP4_PAYLOAD; offset += 1024)
    assert_next (reader, data + offset, MIN (1024, MAX_IP4_PAYLOAD - offset));
  assert_nothing_waits (reader);
}

static void
test_batch_reads_trains_between_messages (void)
{
  g_autoptr (Reader) reader = reader_new ("127.0.0.1", TRUE);
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");
  g_autofree guint8 *data = make_data (1000);

  g_test_summary ("Trains, single messages and empty ones come in their order, "
                  "over the ends of batches.");

  if (skip_without_trains (reader))
    return;
  for (guint i = 0; i < N_SLOTS; i++)
    {
      g_assert_true (send_train (from, to, data, 500 + i, 100));
      send_to (from, to, data, i);
      send_to (from, to, "", 0);
    }

  for (guint i = 0; i < N_SLOTS; i++)
    {
      assert_train (reader, data, 500 + i, 100);
      assert_next (reader, data, i);
      assert_next (reader, NULL, 0);
    }
  assert_nothing_waits (reader);
}

static void
test_batch_reads_singly_where_asked (void)
{
  g_autoptr (Reader) reader = reader_new ("127.0.0.1", FALSE);
  g_autoptr (GSocketAddress) to = address_of (reader, "127.0.0.1");
  g_autoptr (GSocket) from = open_socket ("127.0.0.1");

  g_test_summary ("Where trains are not welcome, the kernel splits them.");

  if (!send_train (from, to, "aabbc", 5, 2))
    {
      g_test_skip ("This kernel does not segment messages");
      return;
    }
  assert_train (reader, (const guint8 *) "aa", 2, 2);
  assert_train (reader, (const guint8 *) "bb", 2, 2);
  assert_train (reader, (const guint8 *) "c", 1, 1);
  assert_nothing_waits (reader);
}

/* Adds a train as the kernel hands it over. */
static Waiting *
add_train (const guint8 *data,
           gsize size,
           int segment_size)
{
  Waiting *waiting = add_waiting (data, size);

  add_control (waiting, SOL_UDP, UDP_GRO, &segment_size, sizeof segment_size);
  return waiting;
}

static void
test_batch_splits_any_train (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  g_autofree guint8 *data = make_data (200);

  g_test_summary ("Whatever lengths a train and its messages have, no byte is lost or read twice.");

  for (gsize size = 1; size < 200; size++)
    for (gsize segment = 1; segment <= size + 1; segment += 1 + segment / 8)
      add_train (data, size, segment);

  for (gsize size = 1; size < 200; size++)
    for (gsize segment = 1; segment <= size + 1; segment += 1 + segment / 8)
      assert_train (reader, data, size, segment);
  assert_nothing_waits (reader);
}

static void
test_batch_splits_nothing_without_size (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();

  g_test_summary ("A train of an impossible size is one message, "
                  "and an empty one does not end the batch.");

  add_train ((const guint8 *) "abc", 3, 0);
  add_train ((const guint8 *) "abc", 3, -1);
  add_train (NULL, 0, 7);
  add_waiting ("last", 4);

  assert_next (reader, "abc", 3);
  assert_next (reader, "abc", 3);
  assert_next (reader, NULL, 0);
  assert_next (reader, "last", 4);
  assert_nothing_waits (reader);
}

static void
test_batch_counts_trains_as_one (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  g_autofree guint8 *data = make_data (64);

  g_test_summary ("A batch is full when its slots are, however many messages stand in them.");

  for (guint i = 0; i < N_SLOTS + 1; i++)
    add_train (data, 64, 1);

  for (guint i = 0; i < N_SLOTS; i++)
    assert_train (reader, data, 64, 1);
  g_assert_true (es_batch_is_read (reader->batch));
  g_assert_true (es_batch_was_full (reader->batch));
  assert_train (reader, data, 64, 1);
  g_assert_false (es_batch_was_full (reader->batch));
  assert_nothing_waits (reader);
}

static void
test_batch_reads_controls_in_any_order (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl (0x7f000002) };
  struct timespec when = { 1, 2 };
  Waiting *waiting;

  g_test_summary ("Train and address are found wherever they stand, among what others asked for.");

  waiting = add_waiting ("abab", 4);
  add_control (waiting, SOL_SOCKET, SCM_TIMESTAMPNS, &when, sizeof when);
  add_control (waiting, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  add_control (waiting, SOL_UDP, UDP_GRO, &(int){ 2 }, sizeof (int));
  waiting = add_train ((const guint8 *) "abab", 4, 2);
  add_control (waiting, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  add_waiting ("plain", 5);

  for (guint i = 0; i < 4; i++)
    {
      EsArrival arrival = next (reader);

      g_assert_cmpmem (arrival.data, arrival.size, "ab", 2);
      assert_local (*arrival.local, AF_INET, "127.0.0.2");
    }
  g_assert_cmpint (next (reader).local->family, ==, AF_UNSPEC);
}

static void
test_batch_forgets_earlier_controls (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  struct in_pktinfo info = { .ipi_addr.s_addr = htonl (0xe0000001),
                             .ipi_spec_dst.s_addr = htonl (0x7f000002) };
  EsArrival arrival;

  g_test_summary ("What was said of a message is not said of the next one in its slot.");

  add_control (add_train ((const guint8 *) "ab", 2, 1), IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  assert_train (reader, (const guint8 *) "ab", 2, 1);
  add_waiting ("ab", 2);
  arrival = next (reader);

  g_assert_cmpmem (arrival.data, arrival.size, "ab", 2);
  g_assert_cmpint (arrival.local->family, ==, AF_UNSPEC);
  g_assert_false (arrival.is_to_many);
}

/* What the batch makes of the address that a message to @host came to. */
static sa_family_t
family_of_local (const char *host)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  struct in6_pktinfo info = { 0 };

  inet_pton (AF_INET6, host, &info.ipi6_addr);
  add_control (add_waiting ("hello", 5), IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  return next (reader).local->family;
}

/* Whether the batch says that a message went to many, of which the kernel names destination and our
 * own address. */
static gboolean
is_to_many (guint32 destination,
            guint32 own)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  struct in_pktinfo info = { .ipi_addr.s_addr = htonl (destination),
                             .ipi_spec_dst.s_addr = htonl (own) };
  EsArrival arrival;

  add_control (add_waiting ("hello", 5), IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  add_waiting ("other", 5);
  arrival = next (reader);
  assert_local (*arrival.local, AF_INET, "192.0.2.1");
  g_assert_false (next (reader).is_to_many);
  return arrival.is_to_many;
}

static void
test_batch_tells_what_went_to_many (void)
{
  g_test_summary ("A message to a group or to everyone is told, "
                  "and our own address in that network.");

  g_assert_true (is_to_many (0xe0000001, 0xc0000201));
  g_assert_true (is_to_many (0xc00002ff, 0xc0000201));
  g_assert_true (is_to_many (0xffffffff, 0xc0000201));
  g_assert_false (is_to_many (0xc0000201, 0xc0000201));
}

static void
test_batch_tells_usable_addresses (void)
{
  g_test_summary ("No answer can leave from a group's address, nor from a mapped one.");

  g_assert_cmpint (family_of_local ("2001:db8::1"), ==, AF_INET6);
  g_assert_cmpint (family_of_local ("ff02::1"), ==, AF_UNSPEC);
  g_assert_cmpint (family_of_local ("::ffff:127.0.0.1"), ==, AF_UNSPEC);
}

static void
test_batch_tells_what_lost_its_control (void)
{
  g_autoptr (Reader) reader = reader_new_made_up ();
  EsArrival arrival;

  g_test_summary ("Where what the kernel says was cut, a train may have lost its boundaries: "
                  "it is told as cut.");

  add_waiting ("abab", 4)->flags = MSG_CTRUNC;
  add_waiting ("next", 4);

  arrival = next (reader);
  g_assert_true (arrival.is_cut);
  assert_next (reader, "next", 4);
}

static void
skip_without_fast_path (void)
{
  g_test_skip ("Only recvmmsg does this");
}

/* Adds a test of what the portable file cannot do. */
static void
add_fast (const char *path,
          GTestFunc func)
{
  g_test_add_func (path, HAS_FAST_PATH ? func : skip_without_fast_path);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/batch/fills-at-seams", test_batch_fills_at_seams);
  g_test_add_func ("/batch/reads-in-order", test_batch_reads_in_order);
  g_test_add_func ("/batch/keeps-empty-messages", test_batch_keeps_empty_messages);
  g_test_add_func ("/batch/reads-longest-messages", test_batch_reads_longest_messages);
  g_test_add_func ("/batch/names-sender", test_batch_names_sender);
  add_fast ("/batch/tells-address-asked", test_batch_tells_address_asked);
  g_test_add_func ("/batch/tells-no-address-where-one", test_batch_tells_no_address_where_one);
  g_test_add_func ("/batch/tells-what-is-cut", test_batch_tells_what_is_cut);
  g_test_add_func ("/batch/reads-nameless-senders", test_batch_reads_nameless_senders);
  g_test_add_func ("/batch/takes-no-descriptors", test_batch_takes_no_descriptors);
  g_test_add_func ("/batch/reads-names-in-any-order", test_batch_reads_names_in_any_order);
  g_test_add_func ("/batch/tells-errors-once", test_batch_tells_errors_once);
  g_test_add_func ("/batch/tells-errors-between-messages",
                   test_batch_tells_errors_between_messages);
  add_fast ("/batch/gives-in-to-endless-interruption", test_batch_gives_in_to_endless_interruption);
  g_test_add_func ("/batch/goes-on-when-interrupted", test_batch_goes_on_when_interrupted);
  g_test_add_func ("/batch/survives-refused-connection", test_batch_survives_refused_connection);
  add_fast ("/batch/splits-trains-of-each-size", test_batch_splits_trains_of_each_size);
  add_fast ("/batch/splits-longest-trains", test_batch_splits_longest_trains);
  add_fast ("/batch/reads-trains-between-messages", test_batch_reads_trains_between_messages);
  g_test_add_func ("/batch/reads-singly-where-asked", test_batch_reads_singly_where_asked);
  add_fast ("/batch/splits-any-train", test_batch_splits_any_train);
  add_fast ("/batch/splits-nothing-without-size", test_batch_splits_nothing_without_size);
  add_fast ("/batch/counts-trains-as-one", test_batch_counts_trains_as_one);
  add_fast ("/batch/reads-controls-in-any-order", test_batch_reads_controls_in_any_order);
  add_fast ("/batch/forgets-earlier-controls", test_batch_forgets_earlier_controls);
  add_fast ("/batch/tells-what-went-to-many", test_batch_tells_what_went_to_many);
  add_fast ("/batch/tells-usable-addresses", test_batch_tells_usable_addresses);
  add_fast ("/batch/tells-what-lost-its-control", test_batch_tells_what_lost_its_control);

  return g_test_run ();
}
