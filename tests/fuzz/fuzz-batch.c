/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-batch.h"

#include "fuzz.h"

#include <errno.h>
#include <netinet/udp.h>
#include <sys/time.h>
#include <time.h>

/* This one needs time.h before it. */
#include <linux/errqueue.h>

/*
 * The splitting of what the kernel hands over. The input says what a made-up kernel has: datagrams
 * of any size from any sender, with any control messages that sockets of these families can bring,
 * in any order, cut as the kernel cuts them where room is short; and errors. What the batch makes
 * of it is held against what the datagrams say themselves.
 */

#define MAX_CONTROLS 40
#define SLOT_SIZE 65536

/* What becomes of errors on the other path is GSocket's affair. */
#ifdef HAVE_RECVMMSG
#define HAS_FAST_PATH TRUE
#else
#define HAS_FAST_PATH FALSE
#endif

/* What UDP sockets can be told, by level and type, with the size that the kernel gives it; 0: any.
 * */
static const struct
{
  int level;
  int type;
  gsize size;
} kinds[] = {
  { SOL_UDP, UDP_GRO, sizeof (int) },
  { IPPROTO_IP, IP_PKTINFO, sizeof (struct in_pktinfo) },
  { IPPROTO_IPV6, IPV6_PKTINFO, sizeof (struct in6_pktinfo) },
  { SOL_SOCKET, SO_TIMESTAMP, sizeof (struct timeval) },
  { SOL_SOCKET, SO_TIMESTAMPNS, sizeof (struct timespec) },
  { SOL_SOCKET, SO_TIMESTAMPING, 3 * sizeof (struct timespec) },
  { SOL_SOCKET, SO_RXQ_OVFL, sizeof (guint32) },
  { SOL_SOCKET, SO_WIFI_STATUS, sizeof (int) },
  { SOL_SOCKET, SO_MARK, sizeof (guint32) },
  { IPPROTO_IP, IP_TTL, sizeof (int) },
  { IPPROTO_IP, IP_TOS, 1 },
  { IPPROTO_IP, IP_RECVOPTS, 0 },
  { IPPROTO_IP, IP_RETOPTS, 0 },
  { IPPROTO_IP, IP_PASSSEC, 0 },
  { IPPROTO_IP, IP_ORIGDSTADDR, sizeof (struct sockaddr_in) },
  { IPPROTO_IP, IP_CHECKSUM, sizeof (guint32) },
  { IPPROTO_IP, IP_RECVERR, sizeof (struct sock_extended_err) + sizeof (struct sockaddr_in) },
  { IPPROTO_IPV6, IPV6_RECVERR, sizeof (struct sock_extended_err) + sizeof (struct sockaddr_in6) },
  { IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof (int) },
  { IPPROTO_IPV6, IPV6_TCLASS, sizeof (int) },
  { IPPROTO_IPV6, 11 /* IPV6_FLOWINFO */, sizeof (guint32) },
  { IPPROTO_IPV6, IPV6_HOPOPTS, 0 },
  { IPPROTO_IPV6, IPV6_DSTOPTS, 0 },
  { IPPROTO_IPV6, IPV6_RTHDR, 0 },
  { IPPROTO_IPV6, IPV6_PATHMTU, sizeof (struct ip6_mtuinfo) },
  { IPPROTO_IPV6, 74 /* IPV6_ORIGDSTADDR */, sizeof (struct sockaddr_in6) },
};

typedef struct
{
  int level;
  int type;
  gsize size;
  _Alignas(8) guint8 data[64];
} Control;

/* A datagram as the input describes it, and what is to become of it. */
typedef struct
{
  EsNative sender;
  gsize size;
  gboolean is_cut;
  gsize segment_size; /* 0: all of it is one message */
  EsLocal local;
  gboolean is_to_many;
} Datagram;

static FuzzInput input;
static GArray *handed_over; /* (owned) of Datagram */
static int problem;         /* of the last call */

/* The bytes of all payloads: any two places that are not 251 apart differ soon. */
static guint8 pattern[SLOT_SIZE];

static void
take_sender (EsNative *sender,
             socklen_t room)
{
  guint8 kind = fuzz_take_byte (&input);

  memset (sender, 0, sizeof *sender);
  if (kind % 8 == 7)
    return;
  if (kind % 2 == 0)
    {
      sender->size = sizeof sender->ip4;
      fuzz_take (&input, &sender->ip4.sin_port, 6);
      sender->family = AF_INET;
    }
  else
    {
      sender->size = sizeof sender->ip6;
      fuzz_take (&input, &sender->ip6.sin6_port, 4);
      fuzz_take (&input, &sender->ip6.sin6_addr, 16);
      if (kind & 16)
        memcpy (&sender->ip6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
      sender->family = AF_INET6;
    }
  g_assert_cmpuint (sender->size, <=, room);
}

static void
take_control (Control *control)
{
  guint8 kind = fuzz_take_byte (&input);
  int segment_size = 0;

  control->level = kinds[kind % G_N_ELEMENTS (kinds)].level;
  control->type = kinds[kind % G_N_ELEMENTS (kinds)].type;
  control->size = kinds[kind % G_N_ELEMENTS (kinds)].size;
  if (control->size == 0)
    control->size = fuzz_take_byte (&input) % sizeof control->data;
  fuzz_take (&input, control->data, MIN (control->size, 1 + kind / G_N_ELEMENTS (kinds) * 8));
  if (control->type != UDP_GRO || control->level != SOL_UDP)
    return;
  /* The kernel's own are of 16 bits, and never 0. */
  segment_size = fuzz_take_word (&input);
  segment_size = MAX (1, segment_size);
  memcpy (control->data, &segment_size, sizeof segment_size);
}

/* What a control message that arrived whole says. */
static void
expect (Datagram *datagram,
        const Control *control)
{
  const struct in_pktinfo *ip4 = (const void *) control->data;
  const struct in6_pktinfo *ip6 = (const void *) control->data;

  if (control->level == SOL_UDP && control->type == UDP_GRO)
    datagram->segment_size = *(const int *) (const void *) control->data;
  if (control->level == IPPROTO_IP && control->type == IP_PKTINFO)
    {
      datagram->local = (EsLocal){ .family = AF_INET, .ip4 = ip4->ipi_spec_dst };
      datagram->is_to_many = ip4->ipi_spec_dst.s_addr != ip4->ipi_addr.s_addr;
    }
  if (control->level == IPPROTO_IPV6 && control->type == IPV6_PKTINFO &&
      !IN6_IS_ADDR_MULTICAST (&ip6->ipi6_addr) && !IN6_IS_ADDR_V4MAPPED (&ip6->ipi6_addr))
    datagram->local = (EsLocal){ .family = AF_INET6, .ip6 = ip6->ipi6_addr };
}

/* Writes a control message as Linux does, put_cmsg(): what has no room is cut. Returns how much of
 * the room it took. */
static gsize
put_control (struct msghdr *header,
             guint8 *to,
             gsize room,
             const Control *control,
             Datagram *datagram)
{
  struct cmsghdr *place = (void *) to;
  gsize length = MIN (CMSG_LEN (control->size), room);

  if (room < sizeof *place)
    {
      header->msg_flags |= MSG_CTRUNC;
      return 0;
    }
  place->cmsg_level = control->level;
  place->cmsg_type = control->type;
  place->cmsg_len = length;
  memcpy (CMSG_DATA (place), control->data, length - sizeof *place);
  if (length < CMSG_LEN (control->size))
    header->msg_flags |= MSG_CTRUNC;
  else
    expect (datagram, control);
  return MIN (CMSG_SPACE (control->size), room);
}

static void
write_controls (struct msghdr *header,
                guint n_controls,
                Datagram *datagram)
{
  guint8 *to = header->msg_control;
  gsize room = to != NULL ? header->msg_controllen : 0;

  for (; n_controls > 0; n_controls--)
    {
      Control control = { 0 };
      gsize used;

      take_control (&control);
      if (to == NULL)
        continue;
      used = put_control (header, to, room, &control, datagram);
      to += used;
      room -= used;
    }
  header->msg_controllen = to != NULL ? to - (guint8 *) header->msg_control : 0;
}

/* Takes a datagram from the input, and writes it as the kernel would. */
static void
hand_over (struct mmsghdr *header)
{
  Datagram datagram = { 0 };
  guint8 kind = fuzz_take_byte (&input);
  gsize sent = kind & 1 ? fuzz_take_word (&input) + (kind & 2) : fuzz_take_byte (&input);
  gsize room = header->msg_hdr.msg_iov[0].iov_len;

  header->msg_hdr.msg_flags = kind & 8 ? MSG_EOR : 0;
  take_sender (&datagram.sender, header->msg_hdr.msg_namelen);
  memcpy (header->msg_hdr.msg_name, &datagram.sender.any, datagram.sender.size);
  header->msg_hdr.msg_namelen = datagram.sender.size;
  datagram.size = MIN (sent, room);
  header->msg_len = datagram.size;
  memcpy (header->msg_hdr.msg_iov[0].iov_base, pattern, datagram.size);
  if (sent > room || kind & 16)
    header->msg_hdr.msg_flags |= MSG_TRUNC;
  write_controls (&header->msg_hdr, (kind >> 5) * (kind & 4 ? MAX_CONTROLS / 7 : 1), &datagram);
  datagram.is_cut = (header->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  es_native_unmap (&datagram.sender);
  g_array_append_val (handed_over, datagram);
}

/* Stands before the C library's own. */
int
recvmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags,
          struct timespec *timeout)
{
  static const int problems[] = { EINTR, EAGAIN, ECONNREFUSED, EHOSTUNREACH, ENOMEM, EMSGSIZE };
  guint8 kind = fuzz_take_byte (&input);
  guint n = 1 + kind / 2 % n_headers;

  problem = input.size == 0 ? EAGAIN : 0;
  if (kind % 2 == 1 && problem == 0 && HAS_FAST_PATH)
    problem = problems[kind / 2 % G_N_ELEMENTS (problems)];
  errno = problem;
  if (problem != 0)
    return -1;
  for (guint i = 0; i < n; i++)
    hand_over (&headers[i]);
  return n;
}

/* The same for GSocket. */
ssize_t
recvmsg (int fd,
         struct msghdr *header,
         int flags)
{
  struct mmsghdr one = { .msg_hdr = *header };

  if (recvmmsg (fd, &one, 1, flags, NULL) < 0)
    return -1;
  *header = one.msg_hdr;
  return one.msg_len;
}

static void
check_arrival (const EsArrival *arrival,
               const Datagram *datagram,
               gsize offset)
{
  gsize left = datagram->size - offset;

  g_assert_cmpuint (arrival->size, ==,
                    datagram->segment_size > 0 ? MIN (left, datagram->segment_size) : left);
  g_assert_cmpmem (arrival->data, arrival->size, pattern + offset, arrival->size);
  g_assert_cmpint (arrival->is_first, ==, offset == 0);
  g_assert_cmpint (arrival->is_cut, ==, datagram->is_cut);
  g_assert_cmpint (arrival->is_to_many, ==, datagram->is_to_many);
  g_assert_true (es_local_equal (arrival->local, &datagram->local));
  if (datagram->sender.size > 0)
    g_assert_true (es_native_equal (arrival->sender, &datagram->sender));
  else
    g_assert_cmpint (arrival->sender->family, ==, AF_UNSPEC);
}

static void
check_datagram (EsBatch *batch,
                const Datagram *datagram)
{
  EsArrival arrival;
  gsize offset = 0;

  do
    {
      g_assert_true (es_batch_next (batch, &arrival));
      check_arrival (&arrival, datagram, offset);
      offset += arrival.size;
    }
  while (offset < datagram->size);
}

static void
check_fill (EsBatch *batch)
{
  g_autoptr (GError) error = NULL;
  gboolean is_filled;
  EsArrival arrival;

  g_array_set_size (handed_over, 0);
  is_filled = es_batch_fill (batch, &error);
  g_assert_cmpint (is_filled, ==, handed_over->len > 0);
  g_assert_cmpint (error != NULL, ==, !is_filled && problem != EAGAIN);
  g_assert_cmpint (es_batch_was_full (batch), ==, handed_over->len == 64);
  for (guint i = 0; i < handed_over->len; i++)
    check_datagram (batch, &g_array_index (handed_over, Datagram, i));
  g_assert_true (es_batch_is_read (batch));
  g_assert_false (es_batch_next (batch, &arrival));
}

/* Made once: its memory is large. */
static EsBatch *
get_batch (void)
{
  static EsBatch *batch;
  static GSocket *socket;

  if (batch != NULL)
    return batch;
  for (guint i = 0; i < SLOT_SIZE; i++)
    pattern[i] = i % 251;
  handed_over = g_array_new (FALSE, FALSE, sizeof (Datagram));
  socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, NULL);
  g_socket_set_blocking (socket, FALSE);
  batch = es_batch_new (socket, TRUE);
  return batch;
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  EsBatch *batch = get_batch ();

  input = (FuzzInput){ data, size };
  do
    check_fill (batch);
  while (input.size > 0);
  return 0;
}
