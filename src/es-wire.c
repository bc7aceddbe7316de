/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-wire.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

/*
 * One call of the kernel with as many messages as go in it. Neighbours that go to one receiver and
 * have one size, of which the last may be shorter, travel as a train: one piece that the kernel,
 * or the network card, cuts (udp(7), UDP_SEGMENT). It costs a sixth of sending them one by one.
 */

#define MAX_TRAINS 64
#define MAX_MESSAGES 512

/* So often a call that a signal interrupts is made again at once. */
#define MAX_INTERRUPTIONS 1000

/* The kernel's own limits for a train. */
#define MAX_SEGMENTS 64
#define MAX_TRAIN_SIZE 65507

typedef struct
{
  guint n_messages;
  _Alignas(struct cmsghdr)
    guint8 control[CMSG_SPACE (sizeof (struct in6_pktinfo)) + CMSG_SPACE (sizeof (guint16))];
} EsTrain;

struct _EsWire
{
  GSocket *socket; /* (borrowed) */
  gboolean is_ip;

  gsize segment_limit; /* what is this long or longer goes alone; 0: everything */
  gsize next_limit;    /* what the limit becomes if a refused train's messages pass alone */
  guint n_alone;       /* so many at the head go alone, since they were refused as a train */

  EsTrain trains[MAX_TRAINS];
  struct mmsghdr headers[MAX_TRAINS];
  struct iovec payloads[MAX_MESSAGES];
};

/* @segments: whether trains may be made. */
EsWire *
es_wire_new (GSocket *socket,
             gboolean segments)
{
  EsWire *self = g_new0 (EsWire, 1);
  GSocketFamily family = g_socket_get_family (socket);

  self->socket = socket;
  self->is_ip = family == G_SOCKET_FAMILY_IPV4 || family == G_SOCKET_FAMILY_IPV6;
  if (segments && self->is_ip)
    self->segment_limit = MAX_TRAIN_SIZE;
  self->next_limit = self->segment_limit;
  return self;
}

void
es_wire_free (EsWire *self)
{
  g_free (self);
}

static gboolean
have_one_route (const EsDeparture *a,
                const EsDeparture *b)
{
  return a->to.size == b->to.size && es_native_equal (&a->to, &b->to) &&
         es_local_equal (&a->from, &b->from);
}

/* How many of the departures travel together, at least one. */
static guint
measure_train (EsWire *self,
               const EsDeparture *departures,
               guint n_departures)
{
  gsize size = departures[0].size;
  gsize total = size;
  guint n = 1;

  if (size == 0 || size >= self->segment_limit)
    return 1;
  for (; n < MIN (n_departures, MAX_SEGMENTS); n++)
    {
      gsize next = departures[n].size;

      total += next;
      if (next == 0 || next > size || total > MAX_TRAIN_SIZE ||
          !have_one_route (&departures[0], &departures[n]))
        break;
      if (next < size)
        return n + 1;
    }
  return n;
}

static void
add_control (struct msghdr *header,
             int level,
             int type,
             gconstpointer data,
             gsize size)
{
  struct cmsghdr *control = (void *) ((guint8 *) header->msg_control + header->msg_controllen);

  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN (size);
  memcpy (CMSG_DATA (control), data, size);
  header->msg_controllen += CMSG_SPACE (size);
}

static void
add_local (struct msghdr *header,
           const EsLocal *from)
{
  struct in_pktinfo ip4 = { 0 };
  struct in6_pktinfo ip6 = { 0 };

  if (from->family == AF_INET)
    {
      ip4.ipi_spec_dst = from->ip4;
      add_control (header, IPPROTO_IP, IP_PKTINFO, &ip4, sizeof ip4);
    }
  else if (from->family == AF_INET6)
    {
      ip6.ipi6_addr = from->ip6;
      add_control (header, IPPROTO_IPV6, IPV6_PKTINFO, &ip6, sizeof ip6);
    }
}

/* Writes what the kernel is to know of a train. */
static void
write_header (EsWire *self,
              guint i,
              EsDeparture *first,
              struct iovec *payloads)
{
  EsTrain *train = &self->trains[i];
  struct msghdr *header = &self->headers[i].msg_hdr;
  guint16 segment_size = payloads[0].iov_len;

  *header = (struct msghdr){
    .msg_iov = payloads,
    .msg_iovlen = train->n_messages,
    .msg_control = train->control,
  };
  if (first->to.size > 0)
    {
      header->msg_name = &first->to.any;
      header->msg_namelen = first->to.size;
    }
  add_local (header, &first->from);
  if (train->n_messages > 1)
    add_control (header, SOL_UDP, UDP_SEGMENT, &segment_size, sizeof segment_size);
  if (header->msg_controllen == 0)
    header->msg_control = NULL;
}

/* Makes trains of the departures, as many as go in one call. Returns how many trains. */
static guint
make_trains (EsWire *self,
             EsDeparture *departures,
             guint n_departures)
{
  guint limit = MIN (n_departures, MAX_MESSAGES);
  guint n_trains = 0;

  for (guint done = 0; n_trains < MAX_TRAINS && done < limit; n_trains++)
    {
      guint n = done < self->n_alone ? 1 : measure_train (self, departures + done, limit - done);

      for (guint i = done; i < done + n; i++)
        self->payloads[i] = (struct iovec){ (gpointer) departures[i].data, departures[i].size };
      self->trains[n_trains].n_messages = n;
      write_header (self, n_trains, &departures[done], &self->payloads[done]);
      done += n;
    }
  return n_trains;
}

/* Remembers a refused train. Its messages are offered again, each alone, and get verdicts of their
 * own. If they pass, it was the train: EIO is a device that cannot cut, EINVAL and EMSGSIZE are a
 * path too narrow for this size. If not, it was the receiver, of whom nothing is to be learnt. */
static void
refuse_train (EsWire *self,
              int problem)
{
  self->n_alone = self->trains[0].n_messages;
  if (problem == EIO)
    self->next_limit = 0;
  else if (problem == EINVAL || problem == EMSGSIZE)
    self->next_limit = MIN (self->segment_limit, self->payloads[0].iov_len);
}

static int
count_messages (EsWire *self,
                guint n_trains)
{
  int n = 0;

  for (guint i = 0; i < n_trains; i++)
    n += self->trains[i].n_messages;
  self->n_alone -= MIN (self->n_alone, (guint) n);
  self->segment_limit = self->next_limit;
  return n;
}

/* Gives the first departure up. */
static int
fail (EsWire *self,
      int problem,
      GError **error)
{
  self->n_alone -= MIN (self->n_alone, 1);
  self->next_limit = self->segment_limit;
  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (problem), g_strerror (problem));
  return -1;
}

/* Whether the socket takes nothing now. A Unix socket says that it has no room of a receiver that
 * has none, which is the failure of that one message. */
static gboolean
is_busy (EsWire *self,
         int problem)
{
  return problem == EINTR || (self->is_ip && (problem == EAGAIN || problem == EWOULDBLOCK));
}

/* Whether a train was refused that a retry of its messages, each alone, may save. */
static gboolean
is_train_refused (EsWire *self,
                  int problem)
{
  return !is_busy (self, problem) && problem != ECONNREFUSED && self->trains[0].n_messages > 1;
}

/* Makes the call again where a signal interrupted it, unless that takes no end. Returns how many
 * trains were taken, or -1. */
static int
send_trains (EsWire *self,
             guint n_trains)
{
  int n;

  for (guint i = 0; i < MAX_INTERRUPTIONS; i++)
    {
      n = sendmmsg (g_socket_get_fd (self->socket), self->headers, n_trains,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n >= 0 || errno != EINTR)
        return n;
    }
  return -1;
}

/* Offers the first of the departures to the kernel. Returns how many it took, 0 if it has no room
 * now, or -1 with what it has against the first one; G_IO_ERROR_CONNECTION_REFUSED is news of
 * earlier messages, and the first one may be offered again. */
int
es_wire_offer (EsWire *self,
               EsDeparture *departures,
               guint n_departures,
               GError **error)
{
  int n = send_trains (self, make_trains (self, departures, n_departures));

  if (n < 0 && is_train_refused (self, errno))
    {
      refuse_train (self, errno);
      n = send_trains (self, make_trains (self, departures, n_departures));
    }
  if (n > 0)
    return count_messages (self, n);
  return n == 0 || is_busy (self, errno) ? 0 : fail (self, errno, error);
}
