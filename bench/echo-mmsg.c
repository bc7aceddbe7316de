/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server with two calls for up to 64 messages: recvmmsg and sendmmsg. */

#include "config.h"

#include "rival.h"

#include <netinet/in.h>

#define N_SLOTS 64

/* Slots start in different sets of the processor's cache. */
#define SLOT_STRIDE (RIVAL_MAX_MESSAGE + 3 * 64)

static char memory[N_SLOTS * SLOT_STRIDE];
static struct sockaddr_in peers[N_SLOTS];
static struct iovec payloads[N_SLOTS];
static struct mmsghdr headers[N_SLOTS];

static void
reset_slot (int i)
{
  payloads[i].iov_len = RIVAL_MAX_MESSAGE;
  headers[i].msg_hdr.msg_namelen = sizeof peers[i];
}

static void
init_slot (int i)
{
  payloads[i].iov_base = memory + (size_t) i * SLOT_STRIDE;
  headers[i].msg_hdr.msg_name = &peers[i];
  headers[i].msg_hdr.msg_iov = &payloads[i];
  headers[i].msg_hdr.msg_iovlen = 1;
  reset_slot (i);
}

/* What the kernel refuses is left out, the rest goes on. */
static void
send_all (int fd,
          int n)
{
  int n_sent;

  for (int i = 0; i < n; i += n_sent)
    {
      n_sent = sendmmsg (fd, headers + i, n - i, MSG_DONTWAIT);
      if (n_sent < 1)
        n_sent = 1;
    }
}

static void
echo_batch (int fd,
            int n)
{
  for (int i = 0; i < n; i++)
    payloads[i].iov_len = headers[i].msg_len;
  send_all (fd, n);
  for (int i = 0; i < n; i++)
    reset_slot (i);
}

int
main (void)
{
  int fd = rival_listen ();
  int n;

  for (int i = 0; i < N_SLOTS; i++)
    init_slot (i);
  while ((n = recvmmsg (fd, headers, N_SLOTS, MSG_WAITFORONE, NULL)) > 0)
    echo_batch (fd, n);
  rival_die ("recvmmsg");
}
