/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Asks an echo server on 127.0.0.1 one message at a time, and tells how long answers take:
 * lone PORT
 *
 * Does so once for each line of the standard input, which says for how many seconds. What came of
 * it is a line of JSON. */

#include "config.h"

#include "rival.h"

#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define MESSAGE_SIZE 64

static int
open_socket (int port)
{
  struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons (port) };
  struct timeval patience = { .tv_usec = 200000 };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  server.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  if (fd < 0 || connect (fd, (struct sockaddr *) &server, sizeof server) != 0)
    rival_die ("connect");
  if (setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
    rival_die ("setsockopt");
  return fd;
}

static gint64
now_nsec (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

/* Returns how long the answer took, or -1 if none came, or a wrong one. */
static gint64
ask (int fd,
     guint32 serial)
{
  guint32 question[MESSAGE_SIZE / sizeof serial] = { serial };
  guint32 answer[MESSAGE_SIZE / sizeof serial];
  gint64 began_at = now_nsec ();

  if (send (fd, question, sizeof question, 0) != sizeof question)
    rival_die ("send");
  if (recv (fd, answer, sizeof answer, 0) != sizeof answer || memcmp (answer, question, sizeof answer) != 0)
    return -1;
  return now_nsec () - began_at;
}

static int
compare_times (gconstpointer a,
               gconstpointer b)
{
  gint64 x = *(const gint64 *) a;
  gint64 y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

static gint64
get_percentile (GArray *times,
                guint percent)
{
  return times->len > 0 ? g_array_index (times, gint64, (gsize) (times->len - 1) * percent / 100) : 0;
}

static void
ask_and_tell (int fd,
              double seconds)
{
  g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
  gint64 ends_at = now_nsec () + seconds * 1e9;
  guint n_lost = 0;

  while (now_nsec () < ends_at)
    {
      gint64 took = ask (fd, times->len + n_lost);

      if (took >= 0)
        g_array_append_val (times, took);
      else
        n_lost++;
    }
  g_array_sort (times, compare_times);
  printf ("{\"answers\": %u, \"lost\": %u, \"p50\": %" G_GINT64_FORMAT ", \"p99\": %" G_GINT64_FORMAT "}\n",
          times->len, n_lost, get_percentile (times, 50), get_percentile (times, 99));
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  char line[80];
  int fd;

  if (argc != 2)
    {
      g_printerr ("Usage: lone PORT\n");
      return 2;
    }
  fd = open_socket (atoi (argv[1]));
  while (fgets (line, sizeof line, stdin) != NULL)
    ask_and_tell (fd, g_ascii_strtod (line, NULL));
  return 0;
}
