/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server as most are written: poll, then recvfrom and sendto until nothing waits. */

#include "config.h"

#include "rival.h"

#include <netinet/in.h>
#include <poll.h>

static char buffer[RIVAL_MAX_MESSAGE];

static void
echo_all (int fd)
{
  struct sockaddr_in peer;
  socklen_t peer_size = sizeof peer;
  ssize_t size;

  while ((size = recvfrom (fd, buffer, sizeof buffer, MSG_DONTWAIT, (struct sockaddr *) &peer, &peer_size)) >= 0)
    {
      sendto (fd, buffer, size, MSG_DONTWAIT, (struct sockaddr *) &peer, peer_size);
      peer_size = sizeof peer;
    }
}

int
main (void)
{
  struct pollfd watch = { .fd = rival_listen (), .events = POLLIN };

  while (poll (&watch, 1, -1) > 0)
    echo_all (watch.fd);
  rival_die ("poll");
}
