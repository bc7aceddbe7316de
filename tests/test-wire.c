/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-wire.h"

#include "es-socket.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#ifdef HAVE_SENDMMSG
#define HAS_FAST_PATH TRUE
#else
#define HAS_FAST_PATH FALSE
#endif

/* The limits that the wire keeps. */
#define MAX_TRAINS 64
#define MAX_MESSAGES 512
#define MAX_SEGMENTS 64
#define MAX_TRAIN_SIZE 65507

#define ALWAYS G_MAXUINT

/* A piece that the kernel is offered: one message, or several as a train. */
typedef struct
{
  guint n_messages;
  guint16 segment_size; /* 0: none was named */
  EsNative to;
  EsLocal from;
} Train;

/* What a made-up kernel has against some of the pieces. */
typedef struct _Fault Fault;

struct _Fault
{
  int problem;
  guint n_times;      /* how often it says so */
  guint n_first;      /* it takes so many pieces before */
  gboolean in_trains; /* it takes the messages alone */
  gsize min_size;     /* it takes shorter messages */
  guint16 port;       /* it takes messages to other receivers, if not 0 */
  const Fault *next;  /* (nullable) what it has against them then */
};

/* What the kernel was offered, and took. */
static struct
{
  gboolean is_real; /* the true kernel has the word */
  Fault fault;
  guint n_calls;
  guint n_refused;  /* pieces */
  GArray *trains;   /* of Train, that were taken */
  GPtrArray *taken; /* of GBytes, the messages in these */
} kernel;

static void
read_control (Train *train,
              const struct cmsghdr *control)
{
  const void *data = CMSG_DATA (control);

  if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_SEGMENT)
    {
      train->segment_size = *(const guint16 *) data;
    }
  else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
    {
      train->from.family = AF_INET;
      train->from.ip4 = ((const struct in_pktinfo *) data)->ipi_spec_dst;
    }
  else
    {
      g_assert_cmpint (control->cmsg_level, ==, IPPROTO_IPV6);
      g_assert_cmpint (control->cmsg_type, ==, IPV6_PKTINFO);
      train->from.family = AF_INET6;
      train->from.ip6 = ((const struct in6_pktinfo *) data)->ipi6_addr;
    }
}

/* The kernel's own conditions for a train. */
static void
check_train (const struct msghdr *header,
             const Train *train)
{
  gsize size = 0;

  g_assert_cmpuint (train->n_messages, <=, MAX_SEGMENTS);
  for (guint i = 0; i < train->n_messages; i++)
    {
      gsize length = header->msg_iov[i].iov_len;

      g_assert_cmpuint (length, >, 0);
      g_assert_cmpuint (length, <=, train->segment_size);
      if (i + 1 < train->n_messages)
        g_assert_cmpuint (length, ==, train->segment_size);
      size += length;
    }
  g_assert_cmpuint (size, <=, MAX_TRAIN_SIZE);
}

static Train
read_train (struct msghdr *header)
{
  Train train = { .n_messages = header->msg_iovlen };

  g_assert_cmpuint (header->msg_namelen, <=, offsetof (EsNative, size));
  if (header->msg_namelen > 0)
    memcpy (&train.to.any, header->msg_name, header->msg_namelen);
  train.to.size = header->msg_namelen;
  for (struct cmsghdr *control = CMSG_FIRSTHDR (header); control != NULL;
       control = CMSG_NXTHDR (header, control))
    read_control (&train, control);
  if (train.n_messages != 1)
    check_train (header, &train);
  return train;
}

/* Notes what was taken. */
static void
take (struct msghdr *header)
{
  Train train = read_train (header);

  g_array_append_val (kernel.trains, train);
  for (guint i = 0; i < train.n_messages; i++)
    g_ptr_array_add (kernel.taken,
                     g_bytes_new (header->msg_iov[i].iov_base, header->msg_iov[i].iov_len));
}

static gboolean
concerns (const Fault *fault,
          struct msghdr *header)
{
  Train train = read_train (header);

  return fault->n_times > 0 &&
         (!fault->in_trains || train.n_messages > 1) &&
         header->msg_iov[0].iov_len >= fault->min_size &&
         (fault->port == 0 || train.to.ip4.sin_port == htons (fault->port));
}

/* What the made-up kernel has against a piece, 0 if it takes it. */
static int
judge (struct msghdr *header)
{
  Fault *fault = &kernel.fault;
  int problem;

  if (!concerns (fault, header))
    return 0;
  if (fault->n_first > 0)
    {
      fault->n_first--;
      return 0;
    }
  kernel.n_refused++;
  problem = fault->problem;
  if (fault->n_times != ALWAYS && --fault->n_times == 0 && fault->next != NULL)
    *fault = *fault->next;
  return problem;
}

/* Stands before the C library's own. Like the kernel's, it stops at the first piece that it does
 * not take, and says why only if there was none before. */
int
sendmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags)
{
  static int (*real) (int, struct mmsghdr *, unsigned int, int);
  int n = 0, problem = 0;

  *(void **) &real = dlsym (RTLD_NEXT, "sendmmsg");
  g_assert_cmpint (flags & MSG_DONTWAIT, !=, 0);
  g_assert_cmpuint (n_headers, >, 0);
  kernel.n_calls++;
  if (kernel.is_real)
    n = real (fd, headers, n_headers, flags);
  for (int i = 0; i < n; i++)
    take (&headers[i].msg_hdr);
  for (; !kernel.is_real && n < (int) n_headers && (problem = judge (&headers[n].msg_hdr)) == 0;
       n++)
    take (&headers[n].msg_hdr);
  if (kernel.is_real || n > 0)
    return n;
  errno = problem;
  return -1;
}

/* The same for GSocket. */
ssize_t
sendmsg (int fd,
         const struct msghdr *header,
         int flags)
{
  static ssize_t (*real) (int, const struct msghdr *, int);
  struct msghdr copy = *header;

  *(void **) &real = dlsym (RTLD_NEXT, "sendmsg");
  if (kernel.is_real)
    return real (fd, header, flags);
  kernel.n_calls++;
  errno = judge (&copy);
  if (errno != 0)
    return -1;
  take (&copy);
  return header->msg_iov[0].iov_len;
}

/* A wire and what it is to carry. */
typedef struct
{
  GSocket *socket;
  EsWire *wire;
  GArray *departures; /* of EsDeparture */
  GArray *failures;   /* of guint, which departures were given up */
  guint n_done;
  guint n_told; /* that nobody had listened to an earlier message */
} Sender;

static void
clear_departure (gpointer data)
{
  g_bytes_unref (((EsDeparture *) data)->message);
}

static Sender *
sender_new_for (GSocket *socket,
                gboolean segments)
{
  Sender *self = g_new0 (Sender, 1);

  g_assert_nonnull (socket);
  memset (&kernel, 0, sizeof kernel);
  kernel.trains = g_array_new (FALSE, FALSE, sizeof (Train));
  kernel.taken = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->socket = socket;
  self->wire = es_wire_new (socket, segments);
  self->departures = g_array_new (FALSE, TRUE, sizeof (EsDeparture));
  g_array_set_clear_func (self->departures, clear_departure);
  self->failures = g_array_new (FALSE, FALSE, sizeof (guint));
  return self;
}

/* (nullable) A socket at a host's address, none where there is no such address. */
static GSocket *
open_socket (const char *host)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, 0);
  EsSocketOptions options = { .receive_buffer_size = 4 * 1024 * 1024,
                              .send_buffer_size = 4 * 1024 * 1024 };

  return es_socket_new_bound (address, &options, NULL);
}

static Sender *
sender_new (void)
{
  return sender_new_for (open_socket ("127.0.0.1"), TRUE);
}

static void
sender_free (Sender *self)
{
  g_array_unref (kernel.trains);
  g_ptr_array_unref (kernel.taken);
  g_array_unref (self->departures);
  g_array_unref (self->failures);
  es_wire_free (self->wire);
  g_object_unref (self->socket);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Sender, sender_free)

static void
add_to (Sender *self,
        gsize size,
        const EsNative *to,
        const EsLocal *from)
{
  guint number = self->departures->len;
  guint8 *data = g_malloc (size + 1);
  EsDeparture departure = {
    .message = g_bytes_new_take (data, size),
    .data = data,
    .size = size,
    .to = *to,
    .from = *from,
  };

  for (gsize i = 0; i < size; i++)
    data[i] = (number + i / 4) >> 8 * (i % 4);
  g_array_append_val (self->departures, departure);
}

/* Adds messages of one size to one receiver, that no two are alike of. */
static void
add (Sender *self,
     guint n,
     gsize size,
     guint16 port)
{
  EsNative to = { .ip4 = { .sin_family = AF_INET, .sin_port = htons (port) },
                  .size = sizeof (struct sockaddr_in) };
  EsLocal from = { .family = AF_UNSPEC };

  to.ip4.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  for (; n > 0; n--)
    add_to (self, size, &to, &from);
}

/* Offers what is left. Returns what the wire says. */
static int
offer (Sender *self,
       GError **error)
{
  guint n_left = self->departures->len - self->n_done;
  int n = es_wire_offer (self->wire, &g_array_index (self->departures, EsDeparture, self->n_done),
                         n_left, error);

  g_assert_cmpint (n, <=, n_left);
  return n;
}

/* Sends what is left: goes on behind what was taken or refused, and offers again where there was no
 * room, or news of earlier messages. */
static void
send_all (Sender *self)
{
  while (self->n_done < self->departures->len)
    {
      g_autoptr (GError) error = NULL;
      int n = offer (self, &error);
      gboolean is_news = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);

      g_assert_cmpint (n < 0, ==, error != NULL);
      if (n < 0 && !is_news)
        g_array_append_val (self->failures, self->n_done);
      self->n_told += is_news;
      self->n_done += is_news ? 0 : ABS (n);
    }
}

static gboolean
has_failed (Sender *self,
            guint number)
{
  for (guint i = 0; i < self->failures->len; i++)
    if (g_array_index (self->failures, guint, i) == number)
      return TRUE;
  return FALSE;
}

/* Everything that was not given up has left once, in order, whole, and to where it should. */
static void
assert_all_left (Sender *self)
{
  const Train *train = NULL;
  guint n_taken = 0, n_trains = 0, n_in_train = 0;

  send_all (self);
  for (guint i = 0; i < self->departures->len; i++)
    {
      EsDeparture *departure = &g_array_index (self->departures, EsDeparture, i);

      if (has_failed (self, i))
        continue;
      g_assert_cmpuint (n_taken, <, kernel.taken->len);
      g_assert_true (
        g_bytes_equal (g_ptr_array_index (kernel.taken, n_taken++), departure->message));
      if (train == NULL || n_in_train == train->n_messages)
        {
          train = &g_array_index (kernel.trains, Train, n_trains++);
          n_in_train = 0;
        }
      n_in_train++;
      g_assert_cmpuint (train->to.size, ==, departure->to.size);
      g_assert_true (departure->to.size == 0 || es_native_equal (&train->to, &departure->to));
      g_assert_true (es_local_equal (&train->from, &departure->from));
    }
  g_assert_cmpuint (n_taken, ==, kernel.taken->len);
}

/* How many messages each piece had that was taken, as in "3 1 1". */
static void
assert_trains (Sender *self,
               const char *expected)
{
  g_autoptr (GString) lengths = g_string_new (NULL);

  assert_all_left (self);
  for (guint i = 0; i < kernel.trains->len; i++)
    g_string_append_printf (lengths, i == 0 ? "%u" : " %u",
                            g_array_index (kernel.trains, Train, i).n_messages);
  g_assert_cmpstr (lengths->str, ==, expected);
}

static void
test_wire_sends_in_order (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("Messages of all sizes leave in their order, each to its receiver, "
                  "whatever travels together.");

  for (guint i = 0; i < 500; i++)
    {
      const gsize sizes[] = { 0, 1, 100, 100, 100, 100, 99, 1000, 40000, MAX_TRAIN_SIZE };

      add (sender, 1 + g_test_rand_int_range (0, 3),
           sizes[g_test_rand_int_range (0, G_N_ELEMENTS (sizes))], g_test_rand_int_range (1, 3));
    }

  assert_all_left (sender);
  g_assert_cmpuint (sender->failures->len, ==, 0);
}

static void
test_wire_joins_equal_sizes (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("Neighbours of one size to one receiver are one train, and one call.");

  add (sender, 10, 100, 1);

  assert_trains (sender, "10");
  g_assert_cmpuint (kernel.n_calls, ==, 1);
}

static void
test_wire_ends_train_with_shorter (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("A shorter message is the last of its train, "
                  "a longer one the first of the next.");

  add (sender, 2, 100, 1);
  add (sender, 1, 60, 1);
  add (sender, 2, 100, 1);
  add (sender, 2, 101, 1);
  add (sender, 1, 1, 1);
  add (sender, 1, 1, 1);

  assert_trains (sender, "3 2 3 1");
}

static void
test_wire_sends_empty_messages_alone (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("An empty message is never part of a train, where it would be none.");

  add (sender, 3, 0, 1);
  add (sender, 2, 100, 1);
  add (sender, 1, 0, 1);
  add (sender, 2, 100, 1);

  assert_trains (sender, "1 1 1 2 1 2");
}

static void
test_wire_joins_no_two_receivers (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("A train has one receiver, and order comes before length.");

  add (sender, 2, 100, 1);
  add (sender, 2, 100, 2);
  add (sender, 1, 100, 1);
  add (sender, 1, 100, 2);

  assert_trains (sender, "2 2 1 1");
}

static void
test_wire_joins_no_two_local_addresses (void)
{
  g_autoptr (Sender) sender = sender_new ();
  EsNative to = { .ip4 = { .sin_family = AF_INET, .sin_port = htons (1) },
                  .size = sizeof (struct sockaddr_in) };
  EsLocal locals[] = { { .family = AF_UNSPEC },
                       { .family = AF_INET, .ip4.s_addr = htonl (0x7f000002) },
                       { .family = AF_INET, .ip4.s_addr = htonl (0x7f000003) },
                       { .family = AF_INET6, .ip6 = IN6ADDR_LOOPBACK_INIT } };

  g_test_summary ("A train leaves from one address, which the kernel is told beside the size.");

  for (gsize i = 0; i < G_N_ELEMENTS (locals); i++)
    for (guint j = 0; j <= i; j++)
      add_to (sender, 100, &to, &locals[i]);

  assert_trains (sender, "1 2 3 4");
}

static void
test_wire_needs_no_receiver_where_connected (void)
{
  g_autoptr (Sender) sender = sender_new ();
  /* What an address of no size holds besides does not count. */
  EsNative nobody = { .ip4 = { .sin_family = AF_INET,
                               .sin_port = htons (1),
                               .sin_addr.s_addr = htonl (INADDR_LOOPBACK) } };
  EsLocal from = { .family = AF_UNSPEC };

  g_test_summary ("Messages to whom the socket is connected to travel together, "
                  "and apart from those to others.");

  add_to (sender, 100, &nobody, &from);
  add_to (sender, 100, &nobody, &from);
  add (sender, 1, 100, 1);

  assert_trains (sender, HAS_FAST_PATH ? "2 1" : "1 1 1");
}

/* So many messages of one size make so many trains, in so many calls. */
static void
assert_n_trains (guint n_messages,
                 gsize size,
                 guint n_trains,
                 guint n_calls)
{
  g_autoptr (Sender) sender = sender_new ();

  add (sender, n_messages, size, 1);
  assert_all_left (sender);
  g_assert_cmpuint (kernel.trains->len, ==, n_trains);
  g_assert_cmpuint (kernel.n_calls, ==, n_calls);
}

static void
test_wire_limits_segments (void)
{
  g_test_summary ("A train has at most 64 messages.");

  assert_n_trains (1, 10, 1, 1);
  assert_n_trains (MAX_SEGMENTS - 1, 10, 1, 1);
  assert_n_trains (MAX_SEGMENTS, 10, 1, 1);
  assert_n_trains (MAX_SEGMENTS + 1, 10, 2, 1);
  assert_n_trains (2 * MAX_SEGMENTS + 1, 10, 3, 1);
}

static void
test_wire_limits_messages (void)
{
  g_test_summary ("A call has at most 512 messages.");

  assert_n_trains (MAX_MESSAGES - 1, 10, 8, 1);
  assert_n_trains (MAX_MESSAGES, 10, 8, 1);
  assert_n_trains (MAX_MESSAGES + 1, 10, 9, 2);
  assert_n_trains (2 * MAX_MESSAGES + 1, 10, 17, 3);
}

static void
test_wire_limits_trains (void)
{
  g_test_summary ("A call has at most 64 pieces.");

  assert_n_trains (MAX_TRAINS - 1, 0, MAX_TRAINS - 1, 1);
  assert_n_trains (MAX_TRAINS, 0, MAX_TRAINS, 1);
  assert_n_trains (MAX_TRAINS + 1, 0, MAX_TRAINS + 1, 2);
  assert_n_trains (2 * MAX_TRAINS + 1, 0, 2 * MAX_TRAINS + 1, 3);
}

/* Messages of one size, and then one of another. */
static void
assert_trains_of (guint n,
                  gsize size,
                  gsize last,
                  const char *expected)
{
  g_autoptr (Sender) sender = sender_new ();

  add (sender, n, size, 1);
  add (sender, 1, last, 1);
  assert_trains (sender, expected);
}

static void
test_wire_limits_bytes (void)
{
  g_test_summary ("A train has at most as many bytes as the longest message of IPv4.");

  assert_trains_of (63, 1024, 994, "64");
  assert_trains_of (63, 1024, 995, "64");
  assert_trains_of (63, 1024, 996, "63 1");
  assert_trains_of (1, 32754, 32752, "2");
  assert_trains_of (1, 32754, 32753, "2");
  assert_trains_of (1, 32754, 32754, "1 1");
  assert_trains_of (4, 32754, 32753, "1 1 1 2");
  assert_trains_of (2, MAX_TRAIN_SIZE, 1, "1 1 1");
}

static void
test_wire_sends_alone_where_asked (void)
{
  g_autoptr (Sender) sender = sender_new_for (open_socket ("127.0.0.1"), FALSE);

  g_test_summary ("Where trains are not wanted none is made, "
                  "and a call has as many messages as pieces.");

  add (sender, MAX_TRAINS + 1, 100, 1);

  assert_all_left (sender);
  g_assert_cmpuint (kernel.trains->len, ==, MAX_TRAINS + 1);
  g_assert_cmpuint (kernel.n_calls, ==, HAS_FAST_PATH ? 2 : MAX_TRAINS + 1);
}

static void
test_wire_sends_alone_to_unix_sockets (void)
{
  GSocket *socket =
    g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
  g_autoptr (Sender) sender = sender_new_for (socket, TRUE);
  EsNative to = { .un = { .sun_family = AF_UNIX, .sun_path = "/a" } };
  EsLocal from = { .family = AF_UNSPEC };

  g_test_summary ("Unix sockets know no trains.");

  to.size = sizeof to.un;
  for (guint i = 0; i < 3; i++)
    add_to (sender, 100, &to, &from);

  assert_trains (sender, "1 1 1");
}

static void
test_wire_waits_for_no_unix_receiver (void)
{
  GSocket *socket =
    g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
  g_autoptr (Sender) sender = sender_new_for (socket, TRUE);
  EsNative to = { .un = { .sun_family = AF_UNIX, .sun_path = "/a" } };
  EsLocal from = { .family = AF_UNSPEC };
  g_autoptr (GError) error = NULL;

  g_test_summary ("A Unix receiver that does not read loses its messages, "
                  "and holds up no other's.");

  to.size = sizeof to.un;
  g_socket_set_blocking (sender->socket, FALSE);
  kernel.fault = (Fault){ .problem = EAGAIN, .n_times = 1 };
  add_to (sender, 100, &to, &from);
  g_assert_cmpint (offer (sender, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpint (offer (sender, NULL), ==, 1);
}

static void
test_wire_gives_up_trains_on_eio (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("A device that cannot cut trains is asked once: from then on all go alone.");

  kernel.fault = (Fault){ .problem = EIO, .n_times = ALWAYS, .in_trains = TRUE };
  add (sender, 3, 1000, 1);
  assert_trains (sender, "1 1 1");
  g_assert_cmpuint (kernel.n_refused, ==, 1);
  add (sender, 3, 10, 1);
  add (sender, 3, 10, 2);

  assert_trains (sender, "1 1 1 1 1 1 1 1 1");
  g_assert_cmpuint (kernel.n_refused, ==, 1);
  g_assert_cmpuint (sender->failures->len, ==, 0);
}

/* The path is too narrow for 500 bytes, of which only trains take notice. */
static void
assert_learns_size (int problem)
{
  g_autoptr (Sender) sender = sender_new ();

  kernel.fault = (Fault){
    .problem = problem, .n_times = ALWAYS, .in_trains = TRUE, .min_size = 500
  };
  add (sender, 2, 1000, 1);
  assert_trains (sender, "1 1");
  g_assert_cmpuint (kernel.n_refused, ==, 1);
  add (sender, 2, 1200, 1);
  add (sender, 2, 1000, 1);
  add (sender, 2, 499, 1);
  assert_trains (sender, "1 1 1 1 1 1 2");
  g_assert_cmpuint (kernel.n_refused, ==, 1);
  add (sender, 2, 500, 1);
  assert_trains (sender, "1 1 1 1 1 1 2 1 1");
  g_assert_cmpuint (kernel.n_refused, ==, 2);
  add (sender, 2, 999, 1);
  add (sender, 3, 499, 1);
  assert_trains (sender, "1 1 1 1 1 1 2 1 1 1 1 3");
  g_assert_cmpuint (kernel.n_refused, ==, 2);
}

static void
test_wire_learns_size_of_path (void)
{
  g_test_summary ("A path too narrow for trains of a size is remembered for that size and above, "
                  "and no other.");

  assert_learns_size (EINVAL);
  assert_learns_size (EMSGSIZE);
}

/* One receiver is bad: whatever goes there fails, and nothing else. */
static void
assert_learns_nothing (int problem)
{
  g_autoptr (Sender) sender = sender_new ();

  kernel.fault = (Fault){ .problem = problem, .n_times = ALWAYS, .port = 2 };
  add (sender, 3, 100, 1);
  add (sender, 3, 100, 2);
  add (sender, 3, 100, 1);
  add (sender, 1, 100, 2);
  add (sender, 2, 10, 2);
  add (sender, 3, 200, 1);

  assert_trains (sender, "3 3 3");
  g_assert_cmpuint (sender->failures->len, ==, 6);
}

static void
test_wire_learns_nothing_from_bad_receiver (void)
{
  g_test_summary ("Where messages fail alone too it was the receiver: each is told, "
                  "and trains to others go on.");

  assert_learns_nothing (EIO);
  assert_learns_nothing (EINVAL);
  assert_learns_nothing (EMSGSIZE);
  assert_learns_nothing (EPERM);
  assert_learns_nothing (EACCES);
  assert_learns_nothing (ENETUNREACH);
  assert_learns_nothing (EHOSTUNREACH);
  assert_learns_nothing (ENOBUFS);
}

/* Something is wrong once, with a train. */
static void
assert_forgives (int problem)
{
  g_autoptr (Sender) sender = sender_new ();

  kernel.fault = (Fault){ .problem = problem, .n_times = 1 };
  add (sender, 3, 100, 1);
  assert_trains (sender, "1 1 1");
  add (sender, 3, 100, 1);
  add (sender, 3, 200, 1);
  assert_trains (sender, "1 1 1 3 3");
  g_assert_cmpuint (sender->failures->len, ==, 0);
}

static void
test_wire_forgives_what_passes (void)
{
  g_test_summary ("What was refused once, for no reason of size, "
                  "leaves alone and costs no later train.");

  assert_forgives (EPERM);
  assert_forgives (ENETUNREACH);
  assert_forgives (ENOBUFS);
  assert_forgives (ENOMEM);
}

static void
test_wire_keeps_order_around_refused_train (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("A train that is refused between others leaves alone, between them.");

  kernel.fault = (Fault){
    .problem = EINVAL, .n_times = ALWAYS, .in_trains = TRUE, .min_size = 200
  };
  add (sender, 3, 100, 1);
  add (sender, 1, 0, 1);
  add (sender, MAX_SEGMENTS, 200, 1);
  add (sender, 3, 100, 1);

  assert_all_left (sender);
  g_assert_cmpuint (kernel.trains->len, ==, 1 + 1 + MAX_SEGMENTS + 1);
}

static void
test_wire_waits_for_room (void)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where the kernel has no room nothing is taken, nothing is wrong, "
                  "and all leaves later.");

  kernel.fault = (Fault){ .problem = EAGAIN, .n_times = 2 };
  add (sender, 3, 100, 1);

  g_assert_cmpint (offer (sender, &error), ==, 0);
  g_assert_cmpint (offer (sender, &error), ==, 0);
  g_assert_no_error (error);
  g_assert_cmpuint (kernel.taken->len, ==, 0);
  assert_trains (sender, HAS_FAST_PATH ? "3" : "1 1 1");
}

static void
test_wire_waits_for_room_amid_pieces (void)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("A kernel that has room for two pieces is told to have taken their messages, "
                  "and no more.");

  kernel.fault = (Fault){ .problem = EAGAIN, .n_times = 2, .n_first = 2 };
  add (sender, 3, 100, 1);
  add (sender, 4, 100, 2);
  add (sender, 5, 100, 1);

  sender->n_done = offer (sender, &error);
  g_assert_cmpuint (sender->n_done, ==, 7);
  g_assert_cmpint (offer (sender, &error), ==, 0);
  g_assert_no_error (error);
  assert_trains (sender, "3 4 5");
}

static void
test_wire_waits_for_room_amid_refused_train (void)
{
  const Fault no_room = { .problem = EAGAIN, .n_times = 2, .n_first = 2 };
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("A refused train of which the kernel has room for two messages now "
                  "leaves alone to its end.");

  kernel.fault = (Fault){ .problem = EPERM, .n_times = 1, .next = &no_room };
  add (sender, 5, 100, 1);
  add (sender, 2, 50, 2);

  sender->n_done = offer (sender, &error);
  g_assert_cmpuint (sender->n_done, ==, 2);
  g_assert_cmpint (offer (sender, &error), ==, 0);
  g_assert_no_error (error);
  assert_trains (sender, "1 1 1 1 1 2");
}

static void
test_wire_takes_any_short_count (void)
{
  g_test_summary ("However few pieces the kernel takes at once, nothing is lost or sent twice.");

  for (guint n_first = 0; n_first < 12; n_first++)
    {
      g_autoptr (Sender) sender = sender_new ();
      guint n_expected = sender->departures->len;

      kernel.fault = (Fault){ .problem = EAGAIN, .n_times = 20, .n_first = n_first };
      for (guint i = 0; i < 30; i++)
        add (sender, 1 + i % 7, 10 * (1 + i % 3), 1 + i % 2);
      n_expected = sender->departures->len;
      assert_all_left (sender);
      g_assert_cmpuint (kernel.taken->len, ==, n_expected);
    }
}

static void
test_wire_goes_on_when_interrupted (void)
{
  g_test_summary ("A signal that interrupts the call is no error, and nothing is learnt from it.");

  for (guint n_first = 0; n_first < 3; n_first++)
    {
      g_autoptr (Sender) sender = sender_new ();

      kernel.fault = (Fault){ .problem = EINTR, .n_times = 1000, .n_first = n_first };
      add (sender, 1, 50, 1);
      add (sender, 3, 100, 1);
      add (sender, 3, 100, 1);

      assert_trains (sender, HAS_FAST_PATH ? "1 6" : "1 1 1 1 1 1 1");
      g_assert_cmpuint (kernel.n_refused, ==, n_first == 2 && HAS_FAST_PATH ? 0 : 1000);
      g_assert_cmpuint (sender->failures->len, ==, 0);
    }
}

static void
test_wire_gives_in_to_endless_interruption (void)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("Where signals interrupt the call without end it ends all the same, "
                  "and all leaves later.");

  kernel.fault = (Fault){ .problem = EINTR, .n_times = ALWAYS };
  add (sender, 3, 100, 1);

  g_assert_cmpint (offer (sender, &error), ==, 0);
  g_assert_no_error (error);
  kernel.fault = (Fault){ .n_times = 0 };
  assert_trains (sender, "3");
}

static void
test_wire_tells_news_and_loses_nothing (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("That nobody listened to an earlier message is told once, "
                  "and this one may be offered again.");

  kernel.fault = (Fault){ .problem = ECONNREFUSED, .n_times = 1 };
  add (sender, 3, 100, 1);
  add (sender, 3, 200, 1);

  assert_trains (sender, HAS_FAST_PATH ? "3 3" : "1 1 1 1 1 1");
  g_assert_cmpuint (sender->n_told, ==, 1);
  g_assert_cmpuint (sender->failures->len, ==, 0);
}

static void
assert_code (int problem,
             GIOErrorEnum code)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GError) error = NULL;

  kernel.fault = (Fault){ .problem = problem, .n_times = 1 };
  add (sender, 1, 100, 1);
  add (sender, 1, 100, 2);

  g_assert_cmpint (offer (sender, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, (int) code);
  g_assert_cmpstr (error->message, ==, g_strerror (problem));
  g_assert_cmpuint (kernel.taken->len, ==, 0);
}

static void
test_wire_tells_what_is_wrong (void)
{
  g_test_summary ("What the kernel has against a message is told as what it is, in its words.");

  assert_code (EPERM, G_IO_ERROR_PERMISSION_DENIED);
  assert_code (EACCES, G_IO_ERROR_PERMISSION_DENIED);
  assert_code (ENETUNREACH, G_IO_ERROR_NETWORK_UNREACHABLE);
  assert_code (EHOSTUNREACH, G_IO_ERROR_HOST_UNREACHABLE);
  assert_code (EMSGSIZE, G_IO_ERROR_MESSAGE_TOO_LARGE);
  assert_code (ECONNREFUSED, G_IO_ERROR_CONNECTION_REFUSED);
  assert_code (EINVAL, G_IO_ERROR_INVALID_ARGUMENT);
  assert_code (ENOBUFS, G_IO_ERROR_FAILED);
}

static void
test_wire_gives_up_one_message (void)
{
  g_autoptr (Sender) sender = sender_new ();

  g_test_summary ("A message that the kernel does not take fails alone, wherever it stands.");

  kernel.fault = (Fault){ .problem = EPERM, .n_times = ALWAYS, .port = 2 };
  for (guint i = 0; i < 100; i++)
    add (sender, 1, 100, i % 10 == 0 ? 2 : 1);

  assert_all_left (sender);
  g_assert_cmpuint (sender->failures->len, ==, 10);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (g_array_index (sender->failures, guint, i), ==, 10 * i);
}

static void
assert_arrives (GSocket *receiver,
                GBytes *expected)
{
  g_autofree char *buffer = g_malloc (MAX_TRAIN_SIZE);
  gssize size;

  g_socket_condition_wait (receiver, G_IO_IN, NULL, NULL);
  size = g_socket_receive (receiver, buffer, MAX_TRAIN_SIZE, NULL, NULL);
  g_assert_cmpmem (buffer, size, g_bytes_get_data (expected, NULL), g_bytes_get_size (expected));
}

/* Sends what there is through the true kernel, and reads it again. */
static void
assert_all_arrive (Sender *self,
                   GSocket *receiver)
{
  for (guint i = 0; i < self->departures->len; i++)
    {
      while (i >= self->n_done)
        {
          g_autoptr (GError) error = NULL;

          self->n_done += offer (self, &error);
          g_assert_no_error (error);
        }
      assert_arrives (receiver, g_array_index (self->departures, EsDeparture, i).message);
    }
  g_array_set_size (self->departures, 0);
  self->n_done = 0;
}

static guint16
get_port (GSocket *socket)
{
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

static void
test_wire_reaches_receiver (void)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GSocket) receiver = open_socket ("127.0.0.1");
  const struct
  {
    guint n;
    gsize size;
    gsize last;
  } trains[] = {
    { 200, 100, 99 },
    { 3, 0, 0 },
    { 1, MAX_TRAIN_SIZE, 1 },
    { 63, 1024, 995 },
    { 7, 8000, 0 },
    { 129, 1, 2 },
  };

  g_test_summary ("Over the loopback interface trains arrive as the messages "
                  "that they were made of.");

  kernel.is_real = TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (trains); i++)
    {
      add (sender, trains[i].n, trains[i].size, get_port (receiver));
      add (sender, 1, trains[i].last, get_port (receiver));
      assert_all_arrive (sender, receiver);
    }
}

static void
test_wire_reaches_receiver_with_each_size (void)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GSocket) receiver = open_socket ("127.0.0.1");

  g_test_summary ("Trains of every size leave and arrive, alone and beside others.");

  kernel.is_real = TRUE;
  for (gsize size = 1; size < 9000; size += 1 + size / 50)
    {
      add (sender, 3, size, get_port (receiver));
      add (sender, 2, size / 2, get_port (receiver));
      assert_all_arrive (sender, receiver);
    }
}

static void
test_wire_tells_of_refused_connection (void)
{
  g_autoptr (GSocket) server = open_socket ("127.0.0.1");
  g_autoptr (GSocketAddress) address = g_socket_get_local_address (server, NULL);
  GSocket *client = es_socket_new_connected (address,
                                             &(EsSocketOptions){ .send_buffer_size = 65536 }, NULL);
  g_autoptr (Sender) sender = sender_new_for (client, TRUE);
  g_autoptr (GError) error = NULL;
  EsNative nobody = { .size = 0 };
  EsLocal from = { .family = AF_UNSPEC };

  g_test_summary ("Where nobody listens the next send says so once, and can be made again.");

  kernel.is_real = TRUE;
  g_socket_close (server, NULL);
  add_to (sender, 100, &nobody, &from);
  g_assert_cmpint (offer (sender, &error), ==, 1);
  g_socket_condition_wait (client, G_IO_ERR, NULL, NULL);

  g_assert_cmpint (offer (sender, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_assert_cmpint (offer (sender, NULL), ==, 1);
}

static void
test_wire_refuses_too_long_message (void)
{
  g_autoptr (Sender) sender = sender_new ();
  g_autoptr (GSocket) receiver = open_socket ("127.0.0.1");
  g_autoptr (GError) error = NULL;

  g_test_summary ("A message longer than UDP has is an error, and the next one leaves.");

  kernel.is_real = TRUE;
  add (sender, 1, MAX_TRAIN_SIZE + 1, get_port (receiver));
  g_assert_cmpint (offer (sender, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);

  g_array_set_size (sender->departures, 0);
  add (sender, 1, 100, get_port (receiver));
  assert_all_arrive (sender, receiver);
}

/* Whom a receiver at @to hears, of a wildcard socket of that family that answers from @from. */
static void
assert_leaves_from (const char *wildcard,
                    const char *to,
                    sa_family_t family,
                    const char *from)
{
  GSocket *socket = open_socket (wildcard);
  g_autoptr (GSocket) receiver = open_socket (to);
  g_autoptr (Sender) sender = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocketAddress) heard = NULL;
  g_autofree char *host = NULL;
  EsLocal local = { .family = family };
  EsNative native;
  char byte;

  if (socket == NULL || receiver == NULL)
    {
      g_test_skip ("This host has no IPv6");
      return;
    }
  sender = sender_new_for (socket, TRUE);
  kernel.is_real = TRUE;
  inet_pton (family, from, &local.ip6);
  address = g_socket_get_local_address (receiver, NULL);
  es_native_from_address (&native, address, NULL);
  add_to (sender, 1, &native, &local);
  g_assert_cmpint (offer (sender, NULL), ==, 1);
  g_socket_condition_wait (receiver, G_IO_IN, NULL, NULL);
  g_socket_receive_from (receiver, &heard, &byte, 1, NULL, NULL);
  host =
    g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (heard)));
  g_assert_cmpstr (host, ==, from);
}

static void
test_wire_leaves_from_address_asked (void)
{
  g_test_summary ("A socket at no address in particular answers from the one that it is told, "
                  "in each family.");

  assert_leaves_from ("0.0.0.0", "127.0.0.1", AF_INET, "127.0.0.2");
  assert_leaves_from ("::", "127.0.0.1", AF_INET, "127.0.0.3");
  assert_leaves_from ("::", "::1", AF_INET6, "::1");
}

static void
skip_without_fast_path (void)
{
  g_test_skip ("Only sendmmsg does this");
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

  g_test_add_func ("/wire/sends-in-order", test_wire_sends_in_order);
  add_fast ("/wire/joins-equal-sizes", test_wire_joins_equal_sizes);
  add_fast ("/wire/ends-train-with-shorter", test_wire_ends_train_with_shorter);
  add_fast ("/wire/sends-empty-messages-alone", test_wire_sends_empty_messages_alone);
  add_fast ("/wire/joins-no-two-receivers", test_wire_joins_no_two_receivers);
  add_fast ("/wire/joins-no-two-local-addresses", test_wire_joins_no_two_local_addresses);
  g_test_add_func ("/wire/needs-no-receiver-where-connected",
                   test_wire_needs_no_receiver_where_connected);
  add_fast ("/wire/limits-segments", test_wire_limits_segments);
  add_fast ("/wire/limits-messages", test_wire_limits_messages);
  add_fast ("/wire/limits-trains", test_wire_limits_trains);
  add_fast ("/wire/limits-bytes", test_wire_limits_bytes);
  g_test_add_func ("/wire/sends-alone-where-asked", test_wire_sends_alone_where_asked);
  g_test_add_func ("/wire/sends-alone-to-unix-sockets", test_wire_sends_alone_to_unix_sockets);
  g_test_add_func ("/wire/waits-for-no-unix-receiver", test_wire_waits_for_no_unix_receiver);
  add_fast ("/wire/gives-up-trains-on-eio", test_wire_gives_up_trains_on_eio);
  add_fast ("/wire/learns-size-of-path", test_wire_learns_size_of_path);
  add_fast ("/wire/learns-nothing-from-bad-receiver", test_wire_learns_nothing_from_bad_receiver);
  add_fast ("/wire/forgives-what-passes", test_wire_forgives_what_passes);
  add_fast ("/wire/keeps-order-around-refused-train", test_wire_keeps_order_around_refused_train);
  g_test_add_func ("/wire/waits-for-room", test_wire_waits_for_room);
  add_fast ("/wire/waits-for-room-amid-pieces", test_wire_waits_for_room_amid_pieces);
  add_fast ("/wire/waits-for-room-amid-refused-train", test_wire_waits_for_room_amid_refused_train);
  g_test_add_func ("/wire/takes-any-short-count", test_wire_takes_any_short_count);
  g_test_add_func ("/wire/goes-on-when-interrupted", test_wire_goes_on_when_interrupted);
  add_fast ("/wire/gives-in-to-endless-interruption", test_wire_gives_in_to_endless_interruption);
  g_test_add_func ("/wire/tells-news-and-loses-nothing", test_wire_tells_news_and_loses_nothing);
  g_test_add_func ("/wire/tells-what-is-wrong", test_wire_tells_what_is_wrong);
  g_test_add_func ("/wire/gives-up-one-message", test_wire_gives_up_one_message);
  g_test_add_func ("/wire/reaches-receiver", test_wire_reaches_receiver);
  g_test_add_func ("/wire/reaches-receiver-with-each-size",
                   test_wire_reaches_receiver_with_each_size);
  g_test_add_func ("/wire/tells-of-refused-connection", test_wire_tells_of_refused_connection);
  g_test_add_func ("/wire/refuses-too-long-message", test_wire_refuses_too_long_message);
  add_fast ("/wire/leaves-from-address-asked", test_wire_leaves_from_address_asked);

  return g_test_run ();
}
