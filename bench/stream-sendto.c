/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A one-way stream by sendto and recvfrom: stream-sendto receive | send PORT
 *
 * The receiver prints a line for each stream: how many messages and bytes it had when nothing came
 * any more. The sender sends once for each line of its standard input, which says for how many
 * seconds, and prints how many it sent. Both print lines of JSON. */

#include "config.h"

#include "rival.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGE_SIZE 64
#define N_PER_CLOCK 64
#define SILENCE_MSEC 100

static char buffer[RIVAL_MAX_MESSAGE];

static int
receive (void)
{
  struct pollfd watch = { .fd = rival_listen (), .events = POLLIN };
  unsigned long n_messages = 0, n_bytes = 0;
  ssize_t size;
  int n;

  while ((n = poll (&watch, 1, SILENCE_MSEC)) >= 0)
    {
      while ((size = recvfrom (watch.fd, buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL)) >= 0)
        {
          n_messages++;
          n_bytes += size;
        }
      if (n > 0 || n_messages == 0)
        continue;
      printf ("{\"messages\": %lu, \"bytes\": %lu}\n", n_messages, n_bytes);
      fflush (stdout);
      n_messages = n_bytes = 0;
    }
  rival_die ("poll");
  return 1;
}

static double
now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static int
open_sender (int port)
{
  struct sockaddr_in receiver = { .sin_family = AF_INET, .sin_port = htons (port) };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  receiver.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  if (fd < 0 || connect (fd, (struct sockaddr *) &receiver, sizeof receiver) != 0)
    rival_die ("connect");
  rival_set_buffers (fd);
  return fd;
}

static void
send_for (int fd,
          double seconds)
{
  double began_at = now ();
  double took = 0;
  unsigned long n_messages = 0;

  for (; took < seconds; took = now () - began_at)
    for (int i = 0; i < N_PER_CLOCK; i++)
      n_messages += sendto (fd, buffer, MESSAGE_SIZE, 0, NULL, 0) == MESSAGE_SIZE;
  printf ("{\"messages\": %lu, \"seconds\": %.6f}\n", n_messages, took);
  fflush (stdout);
}

static int
send_to (int port)
{
  int fd = open_sender (port);
  char line[80];

  while (fgets (line, sizeof line, stdin) != NULL)
    send_for (fd, atof (line));
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "receive") == 0)
    return receive ();
  if (argc == 3 && strcmp (argv[1], "send") == 0)
    return send_to (atoi (argv[2]));
  fprintf (stderr, "Usage: stream-sendto receive | send PORT\n");
  return 2;
}
