/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A message to 10 000 receivers by a loop of sendto: peers-sendto
 *
 * It sends again and again to all of them, once for each line of its standard input, which says for
 * how many seconds, and prints how many messages it sent: a line of JSON. All are received by one
 * socket that nobody reads, at the many addresses of the loopback. */

#include "config.h"

#include "rival.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MESSAGE_SIZE 64
#define N_PEERS 10000
#define FIRST_PEER 0x7f010001

static char buffer[MESSAGE_SIZE];
static struct sockaddr_in peers[N_PEERS];

static void
fill_peers (in_port_t port)
{
  for (int i = 0; i < N_PEERS; i++)
    {
      peers[i].sin_family = AF_INET;
      peers[i].sin_port = port;
      peers[i].sin_addr.s_addr = htonl (FIRST_PEER + i);
    }
}

static double
now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void
send_for (int fd,
          double seconds)
{
  double began_at = now ();
  double took = 0;
  unsigned long n_messages = 0;

  for (; took < seconds; took = now () - began_at)
    for (int i = 0; i < N_PEERS; i++)
      n_messages += sendto (fd, buffer, sizeof buffer, 0, (struct sockaddr *) &peers[i], sizeof peers[i]) == MESSAGE_SIZE;
  printf ("{\"messages\": %lu, \"seconds\": %.6f}\n", n_messages, took);
  fflush (stdout);
}

int
main (void)
{
  int receiver = rival_open (INADDR_ANY);
  int fd = rival_listen ();
  char line[80];

  fill_peers (rival_get_port (receiver));
  while (fgets (line, sizeof line, stdin) != NULL)
    send_for (fd, atof (line));
  return 0;
}
