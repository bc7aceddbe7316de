/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-batch.h"

#include "es-socket.h"

#include <errno.h>
#include <netinet/udp.h>

/*
 * What waits in a socket, read into memory that is allocated once. A slot holds what the kernel
 * hands over in one piece: a message, or a train of equal-sized messages of one sender that it
 * had coalesced (udp(7), UDP_GRO). One cursor walks over slots and messages.
 */

#define N_SLOTS 64
#define SLOT_SIZE 65536

/* Slots start in different sets of the processor's cache, which a power of two would not let
 * them. */
#define SLOT_STRIDE (SLOT_SIZE + 3 * 64)

/* So often a call that a signal interrupts is made again at once. */
#define MAX_INTERRUPTIONS 1000

/* Room for the address and the train that are asked for, and for what the former owner of an
 * adopted socket may have asked for. */
#define CONTROL_SIZE 512

typedef struct
{
  EsNative sender;
  EsLocal local;
  struct iovec payload;
  gsize segment_size;
  gboolean is_to_many;
  _Alignas(struct cmsghdr) guint8 control[CONTROL_SIZE];
} EsSlot;

struct _EsBatch
{
  GSocket *socket; /* (borrowed) */
  gboolean has_control;
  int cut_flags;

  guint8 *memory; /* (owned) */
  EsSlot slots[N_SLOTS];
  struct mmsghdr headers[N_SLOTS];

  /* The cursor. */
  guint n_filled;
  guint slot;
  gsize offset;
};

static void
reset_slot (EsBatch *self,
            guint i)
{
  struct msghdr *header = &self->headers[i].msg_hdr;

  header->msg_namelen = offsetof (EsNative, size);
  header->msg_controllen = self->has_control ? CONTROL_SIZE : 0;
}

static void
init_slot (EsBatch *self,
           guint i)
{
  EsSlot *slot = &self->slots[i];
  struct msghdr *header = &self->headers[i].msg_hdr;

  slot->payload.iov_base = self->memory + (gsize) i * SLOT_STRIDE;
  slot->payload.iov_len = SLOT_SIZE;
  header->msg_name = &slot->sender.any;
  header->msg_iov = &slot->payload;
  header->msg_iovlen = 1;
  header->msg_control = self->has_control ? slot->control : NULL;
  reset_slot (self, i);
}

/* @segments: whether trains are welcome. Other sockets than IP ones are not even asked for control
 * messages, which might bring descriptors that nobody closes. */
EsBatch *
es_batch_new (GSocket *socket,
              gboolean segments)
{
  GSocketFamily family = g_socket_get_family (socket);
  EsBatch *self = g_new0 (EsBatch, 1);

  self->socket = socket;
  self->has_control = family == G_SOCKET_FAMILY_IPV4 || family == G_SOCKET_FAMILY_IPV6;
  self->cut_flags = self->has_control ? MSG_TRUNC | MSG_CTRUNC : MSG_TRUNC;
  self->memory = g_malloc ((gsize) N_SLOTS * SLOT_STRIDE);
  for (guint i = 0; i < N_SLOTS; i++)
    init_slot (self, i);
  if (self->has_control && segments)
    es_socket_enable_segments (socket);
  if (self->has_control && es_socket_is_wildcard (socket))
    es_socket_tell_local_address (socket);
  return self;
}

void
es_batch_free (EsBatch *self)
{
  g_free (self->memory);
  g_free (self);
}

static void
read_local_ip6 (EsLocal *local,
                const struct in6_pktinfo *info)
{
  if (IN6_IS_ADDR_MULTICAST (&info->ipi6_addr) || IN6_IS_ADDR_V4MAPPED (&info->ipi6_addr))
    return;
  local->family = AF_INET6;
  local->ip6 = info->ipi6_addr;
}

/* Whether a control message is of this kind, and whole: the kernel cuts the last one that has room.
 * */
static gboolean
is_control (const struct cmsghdr *control,
            int level,
            int type,
            gsize size)
{
  return control->cmsg_level == level && control->cmsg_type == type &&
         control->cmsg_len >= CMSG_LEN (size);
}

static void
read_control (EsSlot *slot,
              struct cmsghdr *control)
{
  gconstpointer data = CMSG_DATA (control);
  const struct in_pktinfo *info = data;

  if (is_control (control, SOL_UDP, UDP_GRO, sizeof (int)))
    slot->segment_size = MAX (0, *(const int *) data);
  else if (is_control (control, IPPROTO_IPV6, IPV6_PKTINFO, sizeof (struct in6_pktinfo)))
    read_local_ip6 (&slot->local, data);
  else if (is_control (control, IPPROTO_IP, IP_PKTINFO, sizeof *info))
    {
      slot->local.family = AF_INET;
      slot->local.ip4 = info->ipi_spec_dst;
      slot->is_to_many = info->ipi_addr.s_addr != info->ipi_spec_dst.s_addr;
    }
}

/* Reads what the kernel says of a slot. */
static void
read_header (EsBatch *self,
             guint i)
{
  EsSlot *slot = &self->slots[i];
  struct msghdr *header = &self->headers[i].msg_hdr;

  slot->sender.size = header->msg_namelen;
  if (header->msg_namelen < sizeof (sa_family_t))
    slot->sender.family = AF_UNSPEC;
  es_native_unmap (&slot->sender);
  slot->local.family = AF_UNSPEC;
  slot->segment_size = 0;
  slot->is_to_many = FALSE;
  for (struct cmsghdr *control = CMSG_FIRSTHDR (header); control != NULL;
       control = CMSG_NXTHDR (header, control))
    read_control (slot, control);
}

/* Makes the call again where a signal interrupted it, unless that takes no end. */
static int
receive (EsBatch *self)
{
  int n;

  for (guint i = 0; i < MAX_INTERRUPTIONS; i++)
    {
      n = recvmmsg (g_socket_get_fd (self->socket), self->headers, N_SLOTS,
                    MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
      if (n >= 0 || errno != EINTR)
        return n;
    }
  return -1;
}

/* Whether the kernel just has nothing to hand over now. */
static gboolean
is_nothing (int problem)
{
  return problem == EAGAIN || problem == EWOULDBLOCK || problem == EINTR;
}

/* Reads what waits, at most a batch. Returns FALSE if nothing came, with an error where it was not
 * just that nothing waits. Only a batch that was read to its end is filled again. */
gboolean
es_batch_fill (EsBatch *self,
               GError **error)
{
  int n, problem;

  g_assert (es_batch_is_read (self));

  for (guint i = 0; i < self->n_filled; i++)
    reset_slot (self, i);
  n = receive (self);
  problem = errno;

  self->n_filled = MAX (n, 0);
  self->slot = 0;
  self->offset = 0;
  for (guint i = 0; i < self->n_filled; i++)
    read_header (self, i);
  if (n < 0 && !is_nothing (problem))
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (problem), g_strerror (problem));
  return n > 0;
}

/* Steps to the next message. Returns FALSE at the end of the batch. */
gboolean
es_batch_next (EsBatch *self,
               EsArrival *arrival)
{
  EsSlot *slot = &self->slots[self->slot];
  gsize length, rest;

  if (es_batch_is_read (self))
    return FALSE;

  length = self->headers[self->slot].msg_len;
  rest = length - self->offset;
  arrival->data = (const guint8 *) slot->payload.iov_base + self->offset;
  arrival->size = slot->segment_size > 0 ? MIN (rest, slot->segment_size) : rest;
  arrival->sender = &slot->sender;
  arrival->local = &slot->local;
  arrival->is_first = self->offset == 0;
  arrival->is_to_many = slot->is_to_many;
  arrival->is_cut = (self->headers[self->slot].msg_hdr.msg_flags & self->cut_flags) != 0;
  self->offset += arrival->size;
  if (self->offset >= length)
    {
      self->slot++;
      self->offset = 0;
    }
  return TRUE;
}

/* Whether the cursor stands behind the last message. */
gboolean
es_batch_is_read (EsBatch *self)
{
  return self->slot >= self->n_filled;
}

/* Whether the kernel filled every slot, so that more may wait. */
gboolean
es_batch_was_full (EsBatch *self)
{
  return self->n_filled == N_SLOTS;
}
