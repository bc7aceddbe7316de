/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server with all that the kernel offers: recvmmsg and sendmmsg, where each slot may hold
 * a train of one sender's messages that the kernel had coalesced (UDP_GRO), and leaves as one
 * again (UDP_SEGMENT). Neighbours of one sender and one size are joined to such a train, too. */

#include "config.h"

#include "rival.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#define N_SLOTS 64

/* Slots start in different sets of the processor's cache. */
#define SLOT_STRIDE (RIVAL_MAX_MESSAGE + 3 * 64)

/* The kernel's own limits for a train. */
#define MAX_SEGMENTS 64
#define MAX_TRAIN_SIZE 65507

typedef union
{
  struct cmsghdr header;
  char space[CMSG_SPACE (sizeof (int))];
} Control;

static char memory[N_SLOTS * SLOT_STRIDE];
static struct sockaddr_in peers[N_SLOTS];
static size_t segment_sizes[N_SLOTS];
static struct iovec payloads[N_SLOTS];
static Control controls[N_SLOTS];
static struct mmsghdr headers[N_SLOTS];

static Control train_controls[N_SLOTS];
static struct mmsghdr trains[N_SLOTS];

static void
reset_slot (int i)
{
  payloads[i].iov_len = RIVAL_MAX_MESSAGE;
  headers[i].msg_hdr.msg_namelen = sizeof peers[i];
  headers[i].msg_hdr.msg_controllen = sizeof controls[i];
}

static void
init_slot (int i)
{
  payloads[i].iov_base = memory + (size_t) i * SLOT_STRIDE;
  headers[i].msg_hdr.msg_name = &peers[i];
  headers[i].msg_hdr.msg_iov = &payloads[i];
  headers[i].msg_hdr.msg_iovlen = 1;
  headers[i].msg_hdr.msg_control = &controls[i];
  reset_slot (i);
}

static void
read_slot (int i)
{
  struct cmsghdr *control = CMSG_FIRSTHDR (&headers[i].msg_hdr);

  payloads[i].iov_len = segment_sizes[i] = headers[i].msg_len;
  if (control != NULL && control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO)
    segment_sizes[i] = *(int *) (void *) CMSG_DATA (control);
}

static size_t
count_segments (int i)
{
  return segment_sizes[i] == 0 ? 1 : (payloads[i].iov_len + segment_sizes[i] - 1) / segment_sizes[i];
}

/* Whether slot @i can follow slot @i - 1 in one train. */
static int
can_follow (int i)
{
  return segment_sizes[i] == segment_sizes[i - 1] &&
         segment_sizes[i] > 0 &&
         payloads[i - 1].iov_len % segment_sizes[i] == 0 &&
         peers[i].sin_port == peers[i - 1].sin_port &&
         peers[i].sin_addr.s_addr == peers[i - 1].sin_addr.s_addr;
}

/* Returns how many of the slots from @first on make one train. */
static int
measure_train (int first,
               int n)
{
  size_t size = payloads[first].iov_len;
  size_t n_segments = count_segments (first);
  int i;

  for (i = first + 1; i < n && can_follow (i); i++)
    {
      size += payloads[i].iov_len;
      n_segments += count_segments (i);
      if (size > MAX_TRAIN_SIZE || n_segments > MAX_SEGMENTS)
        break;
    }
  return i - first;
}

static void
write_train (int train,
             int first,
             int n)
{
  struct msghdr *header = &trains[train].msg_hdr;
  unsigned short segment_size = segment_sizes[first];

  header->msg_name = &peers[first];
  header->msg_namelen = sizeof peers[first];
  header->msg_iov = &payloads[first];
  header->msg_iovlen = n;
  header->msg_control = NULL;
  header->msg_controllen = 0;
  if (n == 1 && payloads[first].iov_len <= segment_sizes[first])
    return;
  train_controls[train].header = (struct cmsghdr){ CMSG_LEN (sizeof segment_size), SOL_UDP, UDP_SEGMENT };
  memcpy (CMSG_DATA (&train_controls[train].header), &segment_size, sizeof segment_size);
  header->msg_control = &train_controls[train];
  header->msg_controllen = CMSG_SPACE (sizeof segment_size);
}

/* What the kernel refuses is left out, the rest goes on. */
static void
send_trains (int fd,
             int n)
{
  int n_sent;

  for (int i = 0; i < n; i += n_sent)
    {
      n_sent = sendmmsg (fd, trains + i, n - i, MSG_DONTWAIT);
      if (n_sent < 1)
        n_sent = 1;
    }
}

static void
echo_batch (int fd,
            int n)
{
  int n_trains = 0;
  int n_joined;

  for (int i = 0; i < n; i++)
    read_slot (i);
  for (int i = 0; i < n; i += n_joined)
    {
      n_joined = measure_train (i, n);
      write_train (n_trains++, i, n_joined);
    }
  send_trains (fd, n_trains);
  for (int i = 0; i < n; i++)
    reset_slot (i);
}

int
main (void)
{
  int fd = rival_listen ();
  int on = 1;
  int n;

  if (setsockopt (fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0)
    rival_die ("UDP_GRO");
  for (int i = 0; i < N_SLOTS; i++)
    init_slot (i);
  while ((n = recvmmsg (fd, headers, N_SLOTS, MSG_WAITFORONE, NULL)) > 0)
    echo_batch (fd, n);
  rival_die ("recvmmsg");
}
