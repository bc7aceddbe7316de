/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An echo server with a thread for each message: the thread answers it, and ends. */

#include "config.h"

#include "rival.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE (64 * 1024)

typedef struct
{
  int fd;
  struct sockaddr_in peer;
  ssize_t size;
  char data[];
} Message;

static char buffer[RIVAL_MAX_MESSAGE];

static void *
answer (void *data)
{
  Message *message = data;

  sendto (message->fd, message->data, message->size, 0, (struct sockaddr *) &message->peer, sizeof message->peer);
  free (message);
  return NULL;
}

/* Where no thread is to be had, the message is answered here. */
static void
start_thread (const pthread_attr_t *attributes,
              const Message *header)
{
  Message *message = malloc (sizeof *message + header->size);
  pthread_t thread;

  if (message == NULL)
    return;
  *message = *header;
  memcpy (message->data, buffer, header->size);
  if (pthread_create (&thread, attributes, answer, message) != 0)
    answer (message);
}

int
main (void)
{
  Message message = { .fd = rival_listen () };
  socklen_t peer_size = sizeof message.peer;
  pthread_attr_t attributes;

  pthread_attr_init (&attributes);
  pthread_attr_setdetachstate (&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize (&attributes, STACK_SIZE);
  while ((message.size = recvfrom (message.fd, buffer, sizeof buffer, 0, (struct sockaddr *) &message.peer, &peer_size)) >= 0)
    start_thread (&attributes, &message);
  rival_die ("recvfrom");
}
