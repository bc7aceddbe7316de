/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Puts an echo server on 127.0.0.1 under load: load PORT [OPTION...]
 *
 * Many talkers each keep a number of messages under way, and check every answer: its content, and
 * that it came to the talker who asked. What is not answered within a while is asked again, so
 * that a loss ends nothing. They talk once for each line of the standard input, which says for how
 * many seconds, and for how many answers at least: SECONDS [ANSWERS]. What came of it is a line of
 * JSON. The talkers keep their addresses from line to line. */

#include "config.h"

#include "rival.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Up to so many talkers have a socket each. More share that many sockets, and differ by their
 * address, of which the loopback has 16 million. */
#define MAX_LINES 16

#define N_SLOTS 64
#define PATIENCE_USEC 200000
#define CHECK_USEC 50000

/* The kernel's own limits for a train (udp(7), UDP_SEGMENT). */
#define MAX_SEGMENTS 64
#define MAX_TRAIN_SIZE 65507

/* What a message begins with. */
typedef struct
{
  guint32 talker;
  guint32 burst;
  guint32 serial;
  guint32 index;
} Stamp;

/* Messages of one talker that are sent together. */
typedef struct
{
  guint32 talker;
  guint32 serial;
  guint64 waiting; /* a bit for each message without an answer */
  gint64 sent_at;
  guint8 *messages; /* (owned) */
} Burst;

/* A socket, and the talkers on it, who speak in turn. */
typedef struct
{
  int fd;
  guint first_talker;
  guint n_talkers;
  guint next_talker;
  guint n_bursts;
  Burst *bursts; /* (owned) of n_bursts */
  guint *ready;  /* (owned) bursts to send, of n_bursts */
  guint n_ready;
} Line;

typedef union
{
  struct cmsghdr header;
  char space[CMSG_SPACE (sizeof (struct in_pktinfo)) + CMSG_SPACE (sizeof (int))];
} Control;

static int n_talkers = 16;
static int window = 16;
static int max_under_way = 256;
static int message_size = 64;
static gboolean is_coalesced;
static gboolean spins;

static GOptionEntry options[] = {
  { "talkers", 0, 0, G_OPTION_ARG_INT, &n_talkers, "How many talk", "N" },
  { "window", 0, 0, G_OPTION_ARG_INT, &window, "Messages that each has under way", "N" },
  { "max-under-way", 0, 0, G_OPTION_ARG_INT, &max_under_way, "Messages that all have under way, in turn", "N" },
  { "size", 0, 0, G_OPTION_ARG_INT, &message_size, "Bytes in a message", "N" },
  { "coalesced", 0, 0, G_OPTION_ARG_NONE, &is_coalesced, "Let the kernel keep messages together", NULL },
  { "spin", 0, 0, G_OPTION_ARG_NONE, &spins, "Never sleep, on a processor of its own", NULL },
  { NULL }
};

static struct sockaddr_in server = { .sin_family = AF_INET };
static guint burst_size;
static guint train_size; /* messages that fit one train */
static guint8 *pattern;  /* (owned) what stands behind the stamp */
static gboolean is_ending;

static Line lines[MAX_LINES];
static guint n_lines;
static int watch;

static guint8 *memory; /* (owned) */
static gsize slot_size;
static struct sockaddr_in senders[N_SLOTS];
static struct iovec payloads[N_SLOTS];
static Control controls[N_SLOTS];
static struct mmsghdr headers[N_SLOTS];

static guint64 n_answers;
static guint64 n_wrong;
static guint64 n_late;
static guint64 n_lost;

static gboolean
is_shared (const Line *line)
{
  return line->n_talkers > 1;
}

static struct in_addr
address_of (guint32 talker)
{
  return (struct in_addr){ htonl (0x7f010001 + talker) };
}

static void
set_option (int fd,
            int level,
            int name)
{
  int on = 1;

  if (setsockopt (fd, level, name, &on, sizeof on) != 0)
    rival_die ("setsockopt");
}

static void
open_socket (Line *line)
{
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = line };

  line->fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (line->fd < 0)
    rival_die ("socket");
  rival_set_buffers (line->fd);
  if (is_coalesced)
    set_option (line->fd, SOL_UDP, UDP_GRO);
  if (is_shared (line))
    set_option (line->fd, IPPROTO_IP, IP_PKTINFO);
  else if (connect (line->fd, (struct sockaddr *) &server, sizeof server) != 0)
    rival_die ("connect");
  if (epoll_ctl (watch, EPOLL_CTL_ADD, line->fd, &event) != 0)
    rival_die ("epoll_ctl");
}

static void
init_burst (Burst *burst)
{
  burst->messages = g_malloc ((gsize) burst_size * message_size);
  for (guint i = 0; i < burst_size; i++)
    memcpy (burst->messages + (gsize) i * message_size, pattern, message_size);
}

static void
init_line (Line *line,
           guint first_talker,
           guint end_talker)
{
  guint n_wanted = (end_talker - first_talker) * window;

  line->first_talker = first_talker;
  line->n_talkers = end_talker - first_talker;
  line->n_bursts = MAX (1, MIN (n_wanted, max_under_way / n_lines) / burst_size);
  line->bursts = g_new0 (Burst, line->n_bursts);
  line->ready = g_new0 (guint, line->n_bursts);
  for (guint i = 0; i < line->n_bursts; i++)
    init_burst (&line->bursts[i]);
  open_socket (line);
}

static void
init_lines (void)
{
  n_lines = MIN (n_talkers, MAX_LINES);
  for (guint i = 0; i < n_lines; i++)
    init_line (&lines[i], (guint64) i * n_talkers / n_lines, (guint64) (i + 1) * n_talkers / n_lines);
}

static void
init_memory (void)
{
  slot_size = is_coalesced ? RIVAL_MAX_MESSAGE + 192 : message_size + 192;
  memory = g_malloc (N_SLOTS * slot_size);
  pattern = g_malloc (message_size);
  for (int i = 0; i < message_size; i++)
    pattern[i] = 7 + 31 * i;
}

static Stamp *
stamp_of (const Burst *burst,
          guint index)
{
  return (void *) (burst->messages + (gsize) index * message_size);
}

/* Hands a burst to the line's next talker. */
static void
renew_burst (Line *line,
             guint i)
{
  Burst *burst = &line->bursts[i];

  burst->talker = line->first_talker + line->next_talker++ % line->n_talkers;
  burst->serial++;
  burst->waiting = burst_size == 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << burst_size) - 1;
  for (guint n = 0; n < burst_size; n++)
    *stamp_of (burst, n) = (Stamp){ burst->talker, i, burst->serial, n };
  line->ready[line->n_ready++] = i;
}

static void
add_control (struct msghdr *header,
             int level,
             int type,
             gconstpointer data,
             gsize size)
{
  struct cmsghdr *control = (void *) ((char *) header->msg_control + header->msg_controllen);

  *control = (struct cmsghdr){ CMSG_LEN (size), level, type };
  memcpy (CMSG_DATA (control), data, size);
  header->msg_controllen += CMSG_SPACE (size);
}

/* Writes a message, or a train of several. */
static void
write_header (const Line *line,
              const Burst *burst,
              guint slot,
              guint first,
              guint n)
{
  struct msghdr *header = &headers[slot].msg_hdr;
  struct in_pktinfo from = { .ipi_spec_dst = address_of (burst->talker) };
  guint16 segment_size = message_size;

  payloads[slot] = (struct iovec){ stamp_of (burst, first), (gsize) n * message_size };
  *header = (struct msghdr){ .msg_iov = &payloads[slot], .msg_iovlen = 1, .msg_control = &controls[slot] };
  if (is_shared (line))
    {
      header->msg_name = &server;
      header->msg_namelen = sizeof server;
      add_control (header, IPPROTO_IP, IP_PKTINFO, &from, sizeof from);
    }
  if (n > 1)
    add_control (header, SOL_UDP, UDP_SEGMENT, &segment_size, sizeof segment_size);
}

/* What the kernel has no room for now is lost, and asked again later. */
static void
send_slots (const Line *line,
            guint n)
{
  int n_sent;

  for (guint i = 0; i < n; i += n_sent)
    {
      n_sent = sendmmsg (line->fd, headers + i, n - i, MSG_NOSIGNAL);
      if (n_sent < 0 && errno != EAGAIN && errno != EINTR)
        rival_die ("sendmmsg");
      if (n_sent < 0)
        return;
    }
}

static void
send_ready (Line *line)
{
  gint64 now = g_get_monotonic_time ();
  guint slot = 0;

  for (guint i = 0; i < line->n_ready; i++)
    {
      Burst *burst = &line->bursts[line->ready[i]];

      burst->sent_at = now;
      for (guint first = 0; first < burst_size; first += train_size)
        {
          write_header (line, burst, slot++, first, MIN (train_size, burst_size - first));
          if (slot == N_SLOTS)
            send_slots (line, slot);
          slot %= N_SLOTS;
        }
    }
  send_slots (line, slot);
  line->n_ready = 0;
}

static gboolean
is_intact (const guint8 *data)
{
  return memcmp (data + sizeof (Stamp), pattern + sizeof (Stamp), message_size - sizeof (Stamp)) == 0;
}

/* Takes an answer that came to @to. One to a question that was asked again is late, not wrong. */
static void
take_answer (Line *line,
             const guint8 *data,
             gsize size,
             struct in_addr to)
{
  const Stamp *stamp = (const void *) data;
  Burst *burst;

  if (size != (gsize) message_size || stamp->burst >= line->n_bursts || stamp->index >= burst_size || !is_intact (data))
    {
      n_wrong++;
      return;
    }
  burst = &line->bursts[stamp->burst];
  if (stamp->serial != burst->serial || (burst->waiting >> stamp->index & 1) == 0)
    {
      n_late++;
      return;
    }
  if (stamp->talker != burst->talker || (is_shared (line) && to.s_addr != address_of (burst->talker).s_addr))
    n_wrong++;
  n_answers++;
  burst->waiting &= ~(G_GUINT64_CONSTANT (1) << stamp->index);
  if (burst->waiting == 0 && !is_ending)
    renew_burst (line, stamp->burst);
}

/* Takes the answers of a slot, of which the kernel may have kept several together. */
static void
take_slot (Line *line,
           guint i)
{
  struct msghdr *header = &headers[i].msg_hdr;
  const guint8 *data = payloads[i].iov_base;
  gsize size = headers[i].msg_len;
  gsize step = MAX (size, 1);
  struct in_addr to = { 0 };

  for (struct cmsghdr *control = CMSG_FIRSTHDR (header); control != NULL; control = CMSG_NXTHDR (header, control))
    {
      if (control->cmsg_level == SOL_UDP)
        step = *(int *) (void *) CMSG_DATA (control);
      else
        to = ((struct in_pktinfo *) (void *) CMSG_DATA (control))->ipi_addr;
    }
  if (is_shared (line) && senders[i].sin_port != server.sin_port)
    n_wrong++;
  for (gsize offset = 0; offset < size; offset += step)
    take_answer (line, data + offset, MIN (step, size - offset), to);
}

static void
reset_slot (const Line *line,
            guint i)
{
  gboolean has_control = is_coalesced || is_shared (line);

  payloads[i] = (struct iovec){ memory + i * slot_size, slot_size };
  headers[i].msg_hdr = (struct msghdr){ .msg_iov = &payloads[i], .msg_iovlen = 1 };
  if (is_shared (line))
    {
      headers[i].msg_hdr.msg_name = &senders[i];
      headers[i].msg_hdr.msg_namelen = sizeof senders[i];
    }
  if (has_control)
    {
      headers[i].msg_hdr.msg_control = &controls[i];
      headers[i].msg_hdr.msg_controllen = sizeof controls[i];
    }
}

static void
receive (Line *line)
{
  int n;

  do
    {
      for (guint i = 0; i < N_SLOTS; i++)
        reset_slot (line, i);
      n = recvmmsg (line->fd, headers, N_SLOTS, MSG_DONTWAIT, NULL);
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        rival_die ("recvmmsg");
      for (int i = 0; i < n; i++)
        take_slot (line, i);
    }
  while (n == N_SLOTS);
}

/* Asks anew what was not answered in time. */
static void
look_after (Line *line,
            gint64 now)
{
  for (guint i = 0; i < line->n_bursts; i++)
    if (line->bursts[i].waiting != 0 && now - line->bursts[i].sent_at > PATIENCE_USEC)
      {
        n_lost += __builtin_popcountll (line->bursts[i].waiting);
        renew_burst (line, i);
      }
  send_ready (line);
}

static void
receive_once (void)
{
  struct epoll_event events[MAX_LINES];
  int n = epoll_wait (watch, events, MAX_LINES, spins ? 0 : CHECK_USEC / 1000);

  for (int i = 0; i < n; i++)
    {
      receive (events[i].data.ptr);
      send_ready (events[i].data.ptr);
    }
}

static void
talk (double seconds,
      guint64 at_least)
{
  gint64 now = g_get_monotonic_time ();
  gint64 next_check = now + CHECK_USEC;
  gint64 ends_at = now + seconds * G_USEC_PER_SEC;

  for (guint i = 0; i < n_lines; i++)
    {
      for (guint n = 0; n < lines[i].n_bursts; n++)
        renew_burst (&lines[i], n);
      send_ready (&lines[i]);
    }
  for (; now < ends_at || n_answers < at_least; now = g_get_monotonic_time ())
    {
      receive_once ();
      if (now < next_check)
        continue;
      for (guint i = 0; i < n_lines; i++)
        look_after (&lines[i], now);
      next_check = now + CHECK_USEC;
    }
}

static guint64
count_waiting (void)
{
  guint64 n = 0;

  for (guint i = 0; i < n_lines; i++)
    for (guint k = 0; k < lines[i].n_bursts; k++)
      n += __builtin_popcountll (lines[i].bursts[k].waiting);
  return n;
}

/* Hears the last answers out, so that the next load finds the server at rest, and gives up what
 * does not come. */
static void
hear_out (void)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_USEC;

  is_ending = TRUE;
  while (count_waiting () > 0 && g_get_monotonic_time () < deadline)
    receive_once ();
  is_ending = FALSE;
  n_lost += count_waiting ();
}

static void
talk_and_tell (double seconds,
               guint64 at_least)
{
  gint64 began_at = g_get_monotonic_time ();
  gint64 took;

  n_answers = n_lost = n_late = n_wrong = 0;
  talk (seconds, at_least);
  hear_out ();
  took = g_get_monotonic_time () - began_at;
  printf ("{\"answers\": %" G_GUINT64_FORMAT ", \"seconds\": %.6f, \"lost\": %" G_GUINT64_FORMAT
          ", \"late\": %" G_GUINT64_FORMAT ", \"wrong\": %" G_GUINT64_FORMAT "}\n",
          n_answers, took / 1e6, n_lost, n_late, n_wrong);
  fflush (stdout);
}

static gboolean
parse (int *argc,
       char ***argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("PORT");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, argc, argv, &error))
    g_printerr ("%s\n", error->message);
  return error == NULL &&
         *argc == 2 &&
         n_talkers > 0 &&
         window > 0 &&
         max_under_way > 0 &&
         message_size >= (int) sizeof (Stamp) &&
         message_size <= MAX_TRAIN_SIZE &&
         (!is_coalesced || window <= 64);
}

int
main (int argc, char **argv)
{
  char line[80];

  if (!parse (&argc, &argv))
    {
      g_printerr ("Usage: load PORT [OPTION...], see load --help\n");
      return 2;
    }
  server.sin_port = htons (atoi (argv[1]));
  server.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  burst_size = is_coalesced ? window : 1;
  train_size = MIN (burst_size, (guint) MIN (MAX_SEGMENTS, MAX_TRAIN_SIZE / message_size));
  watch = epoll_create1 (EPOLL_CLOEXEC);
  init_memory ();
  init_lines ();
  while (fgets (line, sizeof line, stdin) != NULL)
    {
      char *rest;
      double seconds = g_ascii_strtod (line, &rest);

      talk_and_tell (seconds, g_ascii_strtoull (rest, NULL, 10));
    }
  return 0;
}
