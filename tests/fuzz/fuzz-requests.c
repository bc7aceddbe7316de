/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-requests.h"

#include "es-udp-client.h"

#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * Requests and their answers: the input says who asks, what comes, what is cancelled and how time
 * goes by, with and without a function that matches. A model, in which a request is one byte that
 * an answer has to start with, knows whose each answer is, how often each request is sent, and how
 * it ends.
 */

#define MAX_REQUESTS 64
#define TIMEOUT_MS 10
#define MAX_RETRIES 3

/* How a request ended. */
typedef enum
{
  PENDING,
  ANSWERED,
  TIMED_OUT,
  CANCELLED,
  CLOSED,
} Outcome;

typedef struct
{
  guint8 key;
  guint retries;
  GBytes *message;           /* (owned) */
  GCancellable *cancellable; /* (owned) */

  /* What is to be. */
  gboolean is_active;
  guint n_sends;
  gint64 wait;
  gint64 due;
  Outcome expected;
  GBytes *answer; /* (owned) (nullable) */

  /* What is. */
  guint n_sent;
  Outcome outcome;
} Request;

static Request requests[MAX_REQUESTS];
static guint n_requests;
static gboolean has_matcher;
static gint64 now = G_USEC_PER_SEC;

/* Time goes by as the input has it. */
gint64
g_get_monotonic_time (void)
{
  return now;
}

gint64
g_source_get_time (GSource *source)
{
  return now;
}

static void
count_send (const struct msghdr *header)
{
  for (gsize i = 0; i < header->msg_iovlen; i++)
    for (guint r = 0; r < n_requests; r++)
      if (header->msg_iov[i].iov_base == g_bytes_get_data (requests[r].message, NULL))
        requests[r].n_sent++;
}

/* These stand before the C library's own, and take everything. */
int
sendmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags)
{
  for (guint i = 0; i < n_headers; i++)
    count_send (&headers[i].msg_hdr);
  return n_headers;
}

ssize_t
sendmsg (int fd,
         const struct msghdr *header,
         int flags)
{
  count_send (header);
  return header->msg_iov[0].iov_len;
}

static gboolean
match (GBytes *request,
       GBytes *response,
       gpointer user_data)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (response, &size);

  return size > 0 && data[0] == *(const guint8 *) g_bytes_get_data (request, NULL);
}

/* In the model: ends a request, and gives those that wait their turn. */

static void
activate_waiting (void)
{
  gboolean is_busy = FALSE;

  for (guint i = 0; i < n_requests; i++)
    is_busy = is_busy || requests[i].is_active;
  for (guint i = 0; i < n_requests; i++)
    {
      Request *request = &requests[i];

      if (request->expected != PENDING || request->is_active || (is_busy && !has_matcher))
        continue;
      request->is_active = is_busy = TRUE;
      request->n_sends = 1;
      request->due = now + request->wait;
    }
}

static void
end (Request *request,
     Outcome outcome)
{
  request->is_active = FALSE;
  request->expected = outcome;
}

static void
on_ended (GObject *source,
          GAsyncResult *result,
          gpointer user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer = g_task_propagate_pointer (G_TASK (result), &error);

  g_assert_cmpint (request->outcome, ==, PENDING);
  if (answer != NULL)
    {
      request->outcome = ANSWERED;
      g_assert_true (answer == request->answer);
    }
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    request->outcome = TIMED_OUT;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    request->outcome = CANCELLED;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    request->outcome = CLOSED;
  else
    g_assert_no_error (error);
}

/* What was asked for happens until nothing more does; then all is as in the model. */
static void
settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  for (guint i = 0; i < n_requests; i++)
    {
      g_assert_cmpint (requests[i].outcome, ==, requests[i].expected);
      g_assert_cmpuint (requests[i].n_sent, ==, requests[i].n_sends);
    }
}

/* What the input may ask for. */

static void
ask (EsRequests *self,
     FuzzInput *input)
{
  Request *request = &requests[n_requests];
  g_autoptr (GTask) task = NULL;

  if (n_requests == MAX_REQUESTS)
    return;
  *request = (Request){ .key = fuzz_take_byte (input) % 8 };
  request->retries = fuzz_take_byte (input) % (MAX_RETRIES + 1);
  request->wait = TIMEOUT_MS * 1000;
  request->message = g_bytes_new (&request->key, 1);
  request->cancellable = g_cancellable_new ();
  n_requests++;
  activate_waiting ();

  task = g_task_new (NULL, request->cancellable, on_ended, request);
  g_task_set_check_cancellable (task, FALSE);
  es_requests_add (self, task, request->message, TIMEOUT_MS, request->retries);
}

/* (nullable) In the model: whose a message is. */
static Request *
find_asker (GBytes *message)
{
  for (guint i = 0; i < n_requests; i++)
    if (requests[i].is_active && (!has_matcher || match (requests[i].message, message, NULL)))
      return &requests[i];
  return NULL;
}

static void
answer (EsRequests *self,
        FuzzInput *input)
{
  g_autoptr (GBytes) message = fuzz_take_bytes (input, fuzz_take_byte (input) % 4);
  Request *asker = find_asker (message);

  if (asker != NULL)
    {
      asker->answer = g_bytes_ref (message);
      end (asker, ANSWERED);
      activate_waiting ();
    }
  g_assert_cmpint (es_requests_take_response (self, message), ==, asker != NULL);
}

static void
cancel (EsRequests *self,
        FuzzInput *input)
{
  Request *request;

  if (n_requests == 0)
    return;
  request = &requests[fuzz_take_byte (input) % n_requests];
  if (request->expected == PENDING)
    {
      end (request, CANCELLED);
      activate_waiting ();
    }
  g_cancellable_cancel (request->cancellable);
  settle ();
}

static void
wait (EsRequests *self,
      FuzzInput *input)
{
  gboolean is_any_due = FALSE;

  now += (fuzz_take_byte (input) % 64) * 1000;
  for (guint i = 0; i < n_requests; i++)
    {
      Request *request = &requests[i];

      if (!request->is_active || request->due > now)
        continue;
      is_any_due = TRUE;
      if (request->n_sends > request->retries)
        {
          end (request, TIMED_OUT);
          continue;
        }
      request->n_sends++;
      request->wait *= 2;
      request->due = now + request->wait;
    }
  if (is_any_due)
    activate_waiting ();
  settle ();
}

static void
fail_all (EsRequests *self,
          FuzzInput *input)
{
  for (guint i = 0; i < n_requests; i++)
    if (requests[i].expected == PENDING)
      end (&requests[i], CLOSED);
  es_requests_fail_all (self);
}

static void
set_matcher (EsRequests *self,
             FuzzInput *input)
{
  has_matcher = fuzz_take_byte (input) % 2 == 1;
  es_requests_set_match_func (self, has_matcher ? match : NULL, NULL, NULL);
}

static void
clear (void)
{
  for (; n_requests > 0; n_requests--)
    {
      Request *request = &requests[n_requests - 1];

      g_assert_cmpint (request->outcome, !=, PENDING);
      g_bytes_unref (request->message);
      g_object_unref (request->cancellable);
      g_clear_pointer (&request->answer, g_bytes_unref);
    }
}

/* (borrowed) Made once, with what looks after the requests in time. */
static EsRequests *
get_requests (void)
{
  static EsUdpClient *client;
  static EsRequests *self;
  g_autoptr (GSocketAddress) server = NULL;

  if (self != NULL)
    return self;
  server = g_inet_socket_address_new_from_string ("127.0.0.1", 9);
  client = es_udp_client_new ();
  g_assert_true (es_udp_client_connect_to (client, G_SOCKET_CONNECTABLE (server), NULL, NULL));
  g_assert_true (es_endpoint_start (ES_ENDPOINT (client), NULL));
  self = es_requests_new (ES_ENDPOINT (client));
  g_source_unref (es_requests_attach_timer (self, NULL));
  return self;
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  static void (*const steps[]) (EsRequests * self,
                                FuzzInput * input) = { ask, ask, answer, answer,
                                                       wait, cancel, set_matcher, fail_all };
  EsRequests *self = get_requests ();
  FuzzInput input = { data, size };

  es_requests_set_match_func (self, NULL, NULL, NULL);
  has_matcher = FALSE;
  while (input.size > 0)
    {
      guint step = fuzz_take_byte (&input);

      steps[step % G_N_ELEMENTS (steps)](self, &input);
    }
  settle ();
  fail_all (self, &input);
  settle ();
  clear ();
  return 0;
}
