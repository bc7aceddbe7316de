/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients of a private echo server, by GnuTLS alone:
 *
 *     dtls-load PORT handshakes N AT_A_TIME         shakes hands N times; prints the seconds
 *     dtls-load PORT echo N SIZE WINDOW SECONDS     prints how many messages were echoed
 *     dtls-load PORT hold N                         prints "ready", and waits for its input to end
 */

#include "config.h"

#include "rival.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_SIZE 2048
#define MAX_EVENTS 64

typedef struct
{
  gnutls_session_t tls;
  int fd;
  int is_established;
} Client;

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
static struct sockaddr_in server = { .sin_family = AF_INET };
static int epoll_fd;
static int n_established;
static char message[MAX_SIZE];
static long n_echoed;

static double
get_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void
step (Client *client)
{
  if (gnutls_handshake (client->tls) >= 0)
    {
      client->is_established = 1;
      n_established++;
    }
}

static Client *
start_client (void)
{
  Client *client = calloc (1, sizeof *client);
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

  client->fd = rival_open (INADDR_LOOPBACK);
  if (client->fd < 0 || connect (client->fd, (struct sockaddr *) &server, sizeof server) < 0)
    rival_die ("connect");
  fcntl (client->fd, F_SETFL, O_NONBLOCK);
  gnutls_init (&client->tls, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK);
  gnutls_priority_set (client->tls, priority);
  gnutls_credentials_set (client->tls, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_dtls_set_mtu (client->tls, 1400);
  gnutls_transport_set_int (client->tls, client->fd);
  epoll_ctl (epoll_fd, EPOLL_CTL_ADD, client->fd, &event);
  step (client);
  return client;
}

static void
end_client (Client *client)
{
  gnutls_bye (client->tls, GNUTLS_SHUT_WR);
  gnutls_deinit (client->tls);
  close (client->fd);
  free (client);
}

/* Each echo is answered with one more message. */
static void
answer_echoes (Client *client,
               size_t size)
{
  char buffer[MAX_SIZE];

  while (gnutls_record_recv (client->tls, buffer, sizeof buffer) > 0)
    {
      n_echoed++;
      gnutls_record_send (client->tls, message, size);
    }
}

static void
iterate (size_t size)
{
  struct epoll_event events[MAX_EVENTS];
  int n = epoll_wait (epoll_fd, events, MAX_EVENTS, 100);

  for (int i = 0; i < n; i++)
    {
      Client *client = events[i].data.ptr;

      if (!client->is_established)
        step (client);
      else if (size > 0)
        answer_echoes (client, size);
    }
}

static void
shake_hands (int n,
             int at_a_time)
{
  Client **clients = calloc (n, sizeof *clients);
  double before = get_time ();

  for (int n_started = 0; n_established < n;)
    {
      while (n_started < n && n_started - n_established < at_a_time)
        clients[n_started++] = start_client ();
      iterate (0);
    }
  printf ("%f\n", get_time () - before);
  fflush (stdout);
  for (int i = 0; i < n; i++)
    end_client (clients[i]);
  free (clients);
}

static void
hold (int n)
{
  Client **clients = calloc (n, sizeof *clients);
  char byte;

  for (int i = 0; i < n; i++)
    for (clients[i] = start_client (); n_established <= i;)
      iterate (0);
  puts ("ready");
  fflush (stdout);
  while (read (STDIN_FILENO, &byte, 1) > 0)
    ;
  for (int i = 0; i < n; i++)
    end_client (clients[i]);
  free (clients);
}

static void
echo (int n,
      size_t size,
      int window,
      double seconds)
{
  Client **clients = calloc (n, sizeof *clients);
  double end;

  for (int i = 0; i < n; i++)
    for (clients[i] = start_client (); n_established <= i;)
      iterate (0);
  puts ("ready");
  fflush (stdout);
  for (int i = 0; i < n; i++)
    for (int m = 0; m < window; m++)
      gnutls_record_send (clients[i]->tls, message, size);
  for (end = get_time () + seconds; get_time () < end;)
    iterate (size);
  printf ("%ld\n", n_echoed);
  fflush (stdout);
  for (int i = 0; i < n; i++)
    end_client (clients[i]);
  free (clients);
}

int
main (int argc,
      char **argv)
{
  if (argc < 4)
    return 2;
  server.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  server.sin_port = htons (atoi (argv[1]));
  epoll_fd = epoll_create1 (0);
  gnutls_certificate_allocate_credentials (&credentials);
  gnutls_priority_init (&priority, "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+AES-128-GCM", NULL);
  if (strcmp (argv[2], "handshakes") == 0 && argc == 5)
    shake_hands (atoi (argv[3]), atoi (argv[4]));
  else if (strcmp (argv[2], "hold") == 0)
    hold (atoi (argv[3]));
  else if (strcmp (argv[2], "echo") == 0 && argc == 7)
    echo (atoi (argv[3]), atoi (argv[4]), atoi (argv[5]), atof (argv[6]));
  else
    return 2;
  return 0;
}
