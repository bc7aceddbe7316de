/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

/* The program under test, whole, but for what starts it. */
#define main chat_main
int chat_main (int argc, char **argv);
#include "../../examples/chat-server.c"
#undef main

#include "fuzz.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/*
 * The chat's server: the input says who sends what. A model that knows the protocol alone says what
 * everybody is to hear of it, and who is a member afterwards. What the server sends is taken where
 * the kernel would take it.
 */

#define N_TALKERS 8
#define FIRST_PORT 1000

typedef struct
{
  GSocketAddress *address; /* (owned) */
  char *name;              /* (owned) (nullable) while it is a member */
  GBytes *due;             /* (owned) (nullable) what it is to hear now */
} Talker;

static Talker talkers[N_TALKERS];

static void
hear (const struct sockaddr_in *to,
      gconstpointer data,
      gsize size)
{
  guint port = ntohs (to->sin_port);
  Talker *talker = &talkers[port - FIRST_PORT];
  gsize due_size;
  gconstpointer due;

  g_assert_cmpuint (port, >=, FIRST_PORT);
  g_assert_cmpuint (port, <, FIRST_PORT + N_TALKERS);
  g_assert_nonnull (talker->due);
  due = g_bytes_get_data (talker->due, &due_size);
  g_assert_cmpmem (data, size, due, due_size);
  g_clear_pointer (&talker->due, g_bytes_unref);
}

/* These stand before the C library's own. */
int
sendmmsg (int fd,
          struct mmsghdr *headers,
          unsigned int n_headers,
          int flags)
{
  for (guint i = 0; i < n_headers; i++)
    for (gsize part = 0; part < headers[i].msg_hdr.msg_iovlen; part++)
      {
        const struct iovec *payload = &headers[i].msg_hdr.msg_iov[part];

        hear (headers[i].msg_hdr.msg_name, payload->iov_base, payload->iov_len);
      }
  return n_headers;
}

ssize_t
sendmsg (int fd,
         const struct msghdr *header,
         int flags)
{
  hear (header->msg_name, header->msg_iov[0].iov_base, header->msg_iov[0].iov_len);
  return header->msg_iov[0].iov_len;
}

/* The model: what the comment at the server's head says. */

static void
expect (Talker *talker,
        const char *text)
{
  talker->due = g_bytes_new (text, strlen (text));
}

/* (nullable) */
static Talker *
find_member (GBytes *name)
{
  gsize size;
  const char *data = g_bytes_get_data (name, &size);

  for (guint i = 0; i < N_TALKERS; i++)
    if (talkers[i].name != NULL && strlen (talkers[i].name) == size &&
        memcmp (talkers[i].name, data, size) == 0)
      return &talkers[i];
  return NULL;
}

static GBytes *
without_line_end (GBytes *text)
{
  gsize size;
  const char *data = g_bytes_get_data (text, &size);

  if (size >= 2 && memcmp (data + size - 2, "\r\n", 2) == 0)
    size -= 2;
  else if (size >= 1 && data[size - 1] == '\n')
    size -= 1;
  return g_bytes_new_from_bytes (text, 0, size);
}

static gboolean
is_name (GBytes *name)
{
  gsize size;
  const char *data = g_bytes_get_data (name, &size);
  g_autofree char *text = g_strndup (data, size);

  return size > 0 && strlen (text) == size && g_utf8_validate (text, -1, NULL) &&
         g_utf8_strlen (text, -1) <= 32 && strpbrk (text, "()") == NULL;
}

static void
expect_join (Talker *talker,
             GBytes *rest)
{
  g_autoptr (GBytes) name = without_line_end (rest);
  gsize size;

  if (talker->name != NULL)
    expect (talker, "JERR ALREADY JOINED");
  else if (!is_name (name))
    expect (talker, "JERR BAD NAME");
  else if (find_member (name) != NULL)
    expect (talker, "JERR NAME TAKEN");
  else
    {
      const char *text = g_bytes_get_data (name, &size);

      talker->name = g_strndup (text, size);
      expect (talker, "JOK");
    }
}

/* (transfer full) */
static GBytes *
relayed (Talker *talker,
         GBytes *text)
{
  g_autofree char *head = g_strdup_printf ("(%s) ", talker->name);
  GByteArray *message = g_byte_array_new ();
  gsize size;
  const guint8 *data = g_bytes_get_data (text, &size);

  g_byte_array_append (message, (const guint8 *) head, strlen (head));
  g_byte_array_append (message, data, size);
  return g_byte_array_free_to_bytes (message);
}

static void
expect_to_all (Talker *talker,
               GBytes *text)
{
  if (talker->name == NULL)
    {
      expect (talker, "MERR JOIN FIRST");
      return;
    }
  for (guint i = 0; i < N_TALKERS; i++)
    if (talkers[i].name != NULL)
      talkers[i].due = relayed (talker, text);
}

static void
expect_to_one (Talker *talker,
               GBytes *rest)
{
  gsize size;
  const char *data = g_bytes_get_data (rest, &size);
  const char *end = size > 0 ? memchr (data, ')', size) : NULL;
  gsize name_size = end != NULL ? end - data - 1 : 0;
  g_autoptr (GBytes) name = NULL;
  g_autoptr (GBytes) text = NULL;
  Talker *receiver;

  if (talker->name == NULL)
    {
      expect (talker, "MERR JOIN FIRST");
      return;
    }
  if (end == NULL || data[0] != '(' || (name_size + 2 < size && end[1] != ' '))
    return;
  name = g_bytes_new_from_bytes (rest, 1, name_size);
  receiver = find_member (name);
  if (receiver == NULL)
    {
      expect (talker, "MERR NO SUCH NAME");
      return;
    }
  text = g_bytes_new_from_bytes (rest, MIN (name_size + 3, size), size - MIN (name_size + 3, size));
  receiver->due = relayed (talker, text);
  if (receiver != talker)
    talker->due = relayed (talker, text);
}

static void
expect_exit (Talker *talker,
             GBytes *rest)
{
  g_autoptr (GBytes) nothing = without_line_end (rest);

  if (g_bytes_get_size (nothing) == 0)
    g_clear_pointer (&talker->name, g_free);
}

/* (transfer full) What follows the verb and its space. NULL: the message has another verb. */
static GBytes *
after_verb (GBytes *message,
            const char *verb)
{
  g_autoptr (GBytes) line = without_line_end (message);
  gsize size;
  const char *data = g_bytes_get_data (message, &size);
  gsize n = strlen (verb);

  if (size < n || memcmp (data, verb, n) != 0)
    return NULL;
  if (g_bytes_get_size (line) == n)
    return g_bytes_new_static ("", 0);
  return data[n] == ' ' ? g_bytes_new_from_bytes (message, n + 1, size - n - 1) : NULL;
}

static void
expect_answers (Talker *talker,
                GBytes *message)
{
  static const struct
  {
    const char *verb;
    void (*expect) (Talker *talker, GBytes *rest);
  } answers[] = { { "JOIN", expect_join },
                  { "MSGA", expect_to_all },
                  { "MSGP", expect_to_one },
                  { "EXIT", expect_exit } };

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autoptr (GBytes) rest = after_verb (message, answers[i].verb);

      if (rest != NULL)
        answers[i].expect (talker, rest);
    }
}

static guint
count_members (void)
{
  guint n = 0;

  for (guint i = 0; i < N_TALKERS; i++)
    n += talkers[i].name != NULL ? 1 : 0;
  return n;
}

/* As the library hands it to handlers, with a NUL byte behind it that is not counted. */
static GBytes *
take_message (FuzzInput *input)
{
  g_autoptr (GBytes) bytes = fuzz_take_bytes (input, fuzz_take_byte (input));
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);
  char *copy = g_malloc0 (size + 1);

  if (size > 0)
    memcpy (copy, data, size);
  return g_bytes_new_with_free_func (copy, size, g_free, copy);
}

static void
say (Chat *chat,
     FuzzInput *input)
{
  Talker *talker = &talkers[fuzz_take_byte (input) % N_TALKERS];
  g_autoptr (GBytes) message = take_message (input);

  expect_answers (talker, message);
  on_message_received (ES_ENDPOINT (chat->server), message, talker->address, es_endpoint_send,
                       chat);
  for (guint i = 0; i < N_TALKERS; i++)
    g_assert_null (talkers[i].due);
  g_assert_cmpuint (g_list_model_get_n_items (es_udp_server_get_peers (chat->server)), ==,
                    count_members ());
}

static void
leave (Chat *chat)
{
  for (guint i = 0; i < N_TALKERS; i++)
    {
      g_autoptr (EsPeer) member = es_udp_server_lookup_peer (chat->server, talkers[i].address);

      g_assert_cmpint (member != NULL, ==, talkers[i].name != NULL);
      if (member != NULL)
        g_assert_cmpstr (name_of (member), ==, talkers[i].name);
      if (member != NULL)
        es_udp_server_remove_peer (chat->server, member);
      g_clear_pointer (&talkers[i].name, g_free);
    }
}

static void
set_up (Chat *chat)
{
  g_autoptr (GError) error = NULL;

  if (chat->server != NULL)
    return;
  for (guint i = 0; i < N_TALKERS; i++)
    talkers[i].address = g_inet_socket_address_new_from_string ("127.0.0.1", FIRST_PORT + i);
  chat->server = es_udp_server_new (0);
  es_udp_server_set_address (chat->server, "127.0.0.1");
  es_endpoint_start (ES_ENDPOINT (chat->server), &error);
  g_assert_no_error (error);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  static Chat chat;
  FuzzInput input = { data, size };

  set_up (&chat);
  while (input.size > 0)
    say (&chat, &input);
  leave (&chat);
  return 0;
}
