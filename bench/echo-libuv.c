/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server on libuv in its fastest form: messages are received by recvmmsg, and answered at
 * once where the kernel has room. */

#include "config.h"

#include "rival.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* As many messages as libuv receives in one call, each in 64 KiB. */
static char memory[20 * RIVAL_MAX_MESSAGE];

typedef struct
{
  uv_udp_send_t request;
  char data[];
} Answer;

static void
die (const char *what,
     int problem)
{
  fprintf (stderr, "%s: %s\n", what, uv_strerror (problem));
  exit (1);
}

static void
lend_memory (uv_handle_t *handle,
             size_t suggested_size,
             uv_buf_t *buffer)
{
  *buffer = uv_buf_init (memory, sizeof memory);
}

static void
on_sent (uv_udp_send_t *request,
         int status)
{
  free (request);
}

static void
send_later (uv_udp_t *socket,
            const uv_buf_t *message,
            const struct sockaddr *peer)
{
  Answer *answer = malloc (sizeof *answer + message->len);
  uv_buf_t copy;

  if (answer == NULL)
    return;
  memcpy (answer->data, message->base, message->len);
  copy = uv_buf_init (answer->data, message->len);
  if (uv_udp_send (&answer->request, socket, &copy, 1, peer, on_sent) != 0)
    free (answer);
}

static void
on_received (uv_udp_t *socket,
             ssize_t size,
             const uv_buf_t *buffer,
             const struct sockaddr *peer,
             unsigned int flags)
{
  uv_buf_t message;

  if (size < 0 || peer == NULL)
    return;
  message = uv_buf_init (buffer->base, size);
  if (uv_udp_try_send (socket, &message, 1, peer) < 0)
    send_later (socket, &message, peer);
}

int
main (void)
{
  uv_loop_t *loop = uv_default_loop ();
  struct sockaddr_in host = { .sin_family = AF_INET, .sin_addr = { htonl (INADDR_LOOPBACK) } };
  uv_udp_t socket;
  uv_os_fd_t fd = -1;
  int problem;

  problem = uv_udp_init_ex (loop, &socket, AF_INET | UV_UDP_RECVMMSG);
  if (problem == 0)
    problem = uv_udp_bind (&socket, (struct sockaddr *) &host, 0);
  if (problem == 0)
    problem = uv_udp_recv_start (&socket, lend_memory, on_received);
  if (problem != 0 || uv_fileno ((uv_handle_t *) &socket, &fd) != 0)
    die ("uv_udp", problem);
  rival_set_buffers (fd);
  rival_announce (fd);
  return uv_run (loop, UV_RUN_DEFAULT);
}
