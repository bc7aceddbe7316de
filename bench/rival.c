/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "rival.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* What the programs written by hand share: the socket they listen on. */

void
rival_die (const char *what)
{
  perror (what);
  exit (1);
}

/* Asks for the buffers that the library asks for, in the same two ways. */
void
rival_set_buffers (int fd)
{
  int size = RIVAL_BUFFER_SIZE;

  if (setsockopt (fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
    setsockopt (fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (setsockopt (fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
    setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* The port of a socket, as the network writes it. */
in_port_t
rival_get_port (int fd)
{
  struct sockaddr_in address;
  socklen_t size = sizeof address;

  if (getsockname (fd, (struct sockaddr *) &address, &size) != 0)
    rival_die ("getsockname");
  return address.sin_port;
}

/* Says where the socket listens. */
void
rival_announce (int fd)
{
  printf ("Listening on port %u\n", ntohs (rival_get_port (fd)));
  fflush (stdout);
}

/* A blocking IPv4 socket on a port that the kernel picks. @host: as in <netinet/in.h>. */
int
rival_open (in_addr_t host)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl (host) } };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || bind (fd, (struct sockaddr *) &address, sizeof address) != 0)
    rival_die ("bind");
  return fd;
}

/* Such a socket on 127.0.0.1 with large buffers, that is announced. */
int
rival_listen (void)
{
  int fd = rival_open (INADDR_LOOPBACK);

  rival_set_buffers (fd);
  rival_announce (fd);
  return fd;
}
