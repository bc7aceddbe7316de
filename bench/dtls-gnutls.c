/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A private echo server by hand, with GnuTLS over recvmmsg and sendmmsg, and nothing that it could
 * do without: dtls-gnutls CERTIFICATE KEY
 *
 * It knows its clients by their ports, which do for the loopback. */

#include "config.h"

#include "rival.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define N_SLOTS 64
#define SLOT_SIZE 2048
#define N_PORTS 65536

typedef struct
{
  gnutls_session_t tls;
  struct sockaddr_in peer;
  int is_established;
} Session;

static char in_memory[N_SLOTS][SLOT_SIZE];
static struct sockaddr_in in_peers[N_SLOTS];
static struct iovec in_payloads[N_SLOTS];
static struct mmsghdr in_headers[N_SLOTS];

static char out_memory[N_SLOTS][SLOT_SIZE];
static struct sockaddr_in out_peers[N_SLOTS];
static struct iovec out_payloads[N_SLOTS];
static struct mmsghdr out_headers[N_SLOTS];
static int n_out;

static Session *sessions[N_PORTS];
static const char *input;
static size_t input_size;
static int server_fd;

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
static gnutls_datum_t cookie_key;

static void
flush (void)
{
  int n_sent;

  for (int i = 0; i < n_out; i += n_sent)
    {
      n_sent = sendmmsg (server_fd, out_headers + i, n_out - i, MSG_DONTWAIT);
      if (n_sent < 1)
        n_sent = 1;
    }
  n_out = 0;
}

static ssize_t
push_to (const struct sockaddr_in *peer,
         const void *data,
         size_t size)
{
  if (n_out == N_SLOTS)
    flush ();
  memcpy (out_memory[n_out], data, size);
  out_peers[n_out] = *peer;
  out_payloads[n_out] = (struct iovec){ out_memory[n_out], size };
  out_headers[n_out].msg_hdr = (struct msghdr){ .msg_name = &out_peers[n_out],
                                                .msg_namelen = sizeof *peer,
                                                .msg_iov = &out_payloads[n_out],
                                                .msg_iovlen = 1 };
  n_out++;
  return size;
}

static ssize_t
push (gnutls_transport_ptr_t ptr,
      const void *data,
      size_t size)
{
  return push_to (&((Session *) ptr)->peer, data, size);
}

static ssize_t
push_cookie (gnutls_transport_ptr_t ptr,
             const void *data,
             size_t size)
{
  return push_to (ptr, data, size);
}

static ssize_t
pull (gnutls_transport_ptr_t ptr,
      void *buffer,
      size_t size)
{
  Session *session = ptr;
  size_t n = input_size < size ? input_size : size;

  if (input == NULL)
    {
      gnutls_transport_set_errno (session->tls, EAGAIN);
      return -1;
    }
  memcpy (buffer, input, n);
  input = NULL;
  return n;
}

static int
can_pull (gnutls_transport_ptr_t ptr,
          unsigned int milliseconds)
{
  return input != NULL;
}

static Session *
new_session (const struct sockaddr_in *peer,
             gnutls_dtls_prestate_st *prestate)
{
  Session *session = calloc (1, sizeof *session);

  session->peer = *peer;
  gnutls_init (&session->tls, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK);
  gnutls_priority_set (session->tls, priority);
  gnutls_credentials_set (session->tls, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_dtls_set_mtu (session->tls, 1400);
  gnutls_dtls_prestate_set (session->tls, prestate);
  gnutls_transport_set_ptr (session->tls, session);
  gnutls_transport_set_push_function (session->tls, push);
  gnutls_transport_set_pull_function (session->tls, pull);
  gnutls_transport_set_pull_timeout_function (session->tls, can_pull);
  return session;
}

static void
greet (const struct sockaddr_in *peer)
{
  gnutls_dtls_prestate_st prestate = { 0 };
  struct sockaddr_in copy = *peer;

  if (gnutls_dtls_cookie_verify (&cookie_key, &copy, sizeof copy, (void *) input, input_size,
                                 &prestate) < 0)
    gnutls_dtls_cookie_send (&cookie_key, &copy, sizeof copy, &prestate, &copy, push_cookie);
  else
    sessions[peer->sin_port] = new_session (peer, &prestate);
}

static void
end (Session *session)
{
  sessions[session->peer.sin_port] = NULL;
  gnutls_deinit (session->tls);
  free (session);
}

static void
echo_messages (Session *session)
{
  char buffer[SLOT_SIZE];
  ssize_t n;

  while ((n = gnutls_record_recv (session->tls, buffer, sizeof buffer)) > 0)
    gnutls_record_send (session->tls, buffer, n);
  if (n == 0 || gnutls_error_is_fatal (n))
    end (session);
}

static void
handle (const struct sockaddr_in *peer)
{
  Session *session = sessions[peer->sin_port];

  if (session == NULL)
    greet (peer);
  session = sessions[peer->sin_port];
  if (session == NULL)
    return;
  if (!session->is_established)
    session->is_established = gnutls_handshake (session->tls) >= 0;
  else
    echo_messages (session);
}

static void
serve (void)
{
  struct pollfd poll_fd = { .fd = server_fd, .events = POLLIN };
  int n = recvmmsg (server_fd, in_headers, N_SLOTS, MSG_DONTWAIT, NULL);

  for (int i = 0; i < n; i++)
    {
      input = in_memory[i];
      input_size = in_headers[i].msg_len;
      handle (&in_peers[i]);
      in_headers[i].msg_hdr.msg_namelen = sizeof in_peers[i];
    }
  flush ();
  if (n < N_SLOTS)
    poll (&poll_fd, 1, -1);
}

int
main (int argc,
      char **argv)
{
  if (argc != 3)
    return 2;
  gnutls_certificate_allocate_credentials (&credentials);
  if (gnutls_certificate_set_x509_key_file (credentials, argv[1], argv[2], GNUTLS_X509_FMT_PEM) < 0)
    return 1;
  gnutls_priority_init (&priority, "NORMAL:-VERS-ALL:+VERS-DTLS1.2", NULL);
  gnutls_key_generate (&cookie_key, GNUTLS_COOKIE_KEY_SIZE);
  for (int i = 0; i < N_SLOTS; i++)
    {
      in_payloads[i] = (struct iovec){ in_memory[i], SLOT_SIZE };
      in_headers[i].msg_hdr = (struct msghdr){ .msg_name = &in_peers[i],
                                               .msg_namelen = sizeof in_peers[i],
                                               .msg_iov = &in_payloads[i],
                                               .msg_iovlen = 1 };
    }
  server_fd = rival_listen ();
  for (;;)
    serve ();
}
