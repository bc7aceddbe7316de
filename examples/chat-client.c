/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Joins a chat and shows who says what, while you type: chat-client [--name NAME] HOST[:PORT]
 *
 * A typed line goes to everyone, "/msg NAME text" to one member, "/quit" or Ctrl-D leaves. On a
 * terminal, readline edits the line; from a pipe, lines are read as they are and nothing but the
 * chat is printed. What others send is escaped before it is shown: a name or a text must not be
 * able to move the cursor.
 */

#include <easyservers.h>

#include <glib-unix.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* These two need stdio.h before them. */
#include <readline/readline.h>
#include <readline/history.h>

#define DEFAULT_PORT 1234
#define JOIN_INTERVAL_MS 500
#define MAX_JOINS 10
#define PROMPT "> "

typedef struct
{
  EsEndpoint *client; /* (owned) */
  const char *server;
  char *name;   /* (owned) */
  char *tls_ca; /* (owned) (nullable) a file */
  gboolean is_private;

  guint n_joins;       /* how often JOIN was sent without an answer */
  GSource *join_timer; /* (owned) (nullable) */

  gboolean is_interactive;
  gboolean is_typing;
  gboolean has_prompt; /* readline's line stands on the screen */
  GString *typed;      /* (owned) the line that a pipe has not completed yet */

  gboolean is_leaving;
  int exit_status;
} Chat;

/* (borrowed) (nullable) Set while readline is at work, which hands its callback no user data. */
static Chat *prompting_chat;

static int continued_pipe[2];

static gboolean
is_harmless (gunichar c)
{
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONTROL:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
      return FALSE;
    case G_UNICODE_FORMAT:
      /* Joiners belong to words and to emoji; the others reorder what stands around them. */
      return c == 0x200c || c == 0x200d;
    default:
      return TRUE;
    }
}

/* Makes a line that a terminal only shows, whatever the bytes are. */
static char *
escape (const char *text, gsize size)
{
  g_autofree char *valid = g_utf8_make_valid (text, size);
  GString *line = g_string_new (NULL);

  for (const char *p = g_strchomp (valid); *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (is_harmless (c))
        g_string_append_unichar (line, c);
      else
        g_string_append_printf (line, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
    }
  return g_string_free (line, FALSE);
}

/* Shows a line above the one being typed, which is drawn anew below. */
static void
show (Chat *self, const char *line)
{
  if (self->has_prompt)
    rl_clear_visible_line ();
  g_print ("%s\n", line);
  if (!self->has_prompt)
    return;

  rl_on_new_line ();
  rl_redisplay ();
}

G_GNUC_PRINTF (2, 3)
static void
tell (Chat *self, const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *harmless = NULL;
  g_autofree char *line = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  harmless = escape (text, strlen (text));
  line = g_strconcat ("* ", harmless, NULL);
  if (self->is_interactive)
    show (self, line);
  else
    g_printerr ("%s\n", line);
}

static void
stop_prompting (Chat *self)
{
  if (prompting_chat == NULL)
    return;

  if (self->has_prompt)
    rl_clear_visible_line ();
  self->has_prompt = FALSE;
  prompting_chat = NULL;
  rl_callback_handler_remove ();
}

static gboolean
send_text (Chat *self, const char *text)
{
  g_autoptr (GError) error = NULL;

  if (!es_endpoint_send_text (self->client, text, NULL, &error))
    tell (self, "%s", error->message);
  return error == NULL;
}

static void
leave (Chat *self, int exit_status)
{
  if (self->is_leaving)
    return;

  self->is_leaving = TRUE;
  self->exit_status = exit_status;
  stop_prompting (self);
  if (exit_status == EXIT_SUCCESS)
    send_text (self, "EXIT");
  es_endpoint_quit (self->client);
}

static void
stop_joining (Chat *self)
{
  if (self->join_timer == NULL)
    return;

  g_source_destroy (self->join_timer);
  g_clear_pointer (&self->join_timer, g_source_unref);
}

static void
send_join (Chat *self)
{
  g_autofree char *join = g_strdup_printf ("JOIN %s", self->name);

  self->n_joins++;
  send_text (self, join);
}

/* Sends JOIN again: a datagram may be lost, and its answer too. */
static gboolean
join_again_cb (gpointer user_data)
{
  Chat *self = user_data;

  if (self->n_joins < MAX_JOINS)
    {
      send_join (self);
      return G_SOURCE_CONTINUE;
    }

  tell (self, "%s does not answer", self->server);
  leave (self, EXIT_FAILURE);
  return G_SOURCE_CONTINUE;
}

static void
start_joining (Chat *self)
{
  if (self->join_timer != NULL)
    return;

  self->n_joins = 0;
  self->join_timer = g_timeout_source_new (JOIN_INTERVAL_MS);
  g_source_set_callback (self->join_timer, join_again_cb, self, NULL);
  g_source_attach (self->join_timer, NULL);
  send_join (self);
}

static void
send_private (Chat *self, const char *arguments)
{
  g_autofree char *message = NULL;
  const char *space = strchr (arguments, ' ');

  if (space == NULL || space == arguments)
    tell (self, "To whom, and what? /msg NAME text");
  else if (*arguments == '(')
    message = g_strdup_printf ("MSGP %s", arguments);
  else
    message = g_strdup_printf ("MSGP (%.*s)%s", (int) (space - arguments), arguments, space);

  if (message != NULL)
    send_text (self, message);
}

static void
handle_line (Chat *self, const char *line)
{
  g_autofree char *message = NULL;

  if (*line == '\0' || self->is_leaving)
    return;

  if (strcmp (line, "/quit") == 0)
    leave (self, EXIT_SUCCESS);
  else if (g_str_has_prefix (line, "/msg "))
    send_private (self, line + strlen ("/msg "));
  else if (*line == '/')
    tell (self, "There are /msg NAME text and /quit");
  else
    {
      message = g_strdup_printf ("MSGA %s", line);
      send_text (self, message);
    }
}

/* Handles what was typed or pasted: NULL at the end of it all. */
static void
on_typed (char *typed)
{
  Chat *self = prompting_chat;
  g_auto (GStrv) lines = NULL;

  if (typed == NULL)
    {
      leave (self, EXIT_SUCCESS);
      return;
    }

  self->has_prompt = FALSE;
  if (*typed != '\0')
    add_history (typed);
  lines = g_strsplit (typed, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    handle_line (self, *line);
  free (typed);
  self->has_prompt = !self->is_leaving;
}

static gboolean
read_terminal (int fd, GIOCondition condition, gpointer user_data)
{
  if (prompting_chat == NULL)
    return G_SOURCE_REMOVE;

  rl_callback_read_char ();
  return G_SOURCE_CONTINUE;
}

static gboolean
read_pipe (int fd, GIOCondition condition, gpointer user_data)
{
  Chat *self = user_data;
  char buffer[4096];
  gssize size = read (fd, buffer, sizeof buffer);
  char *end;

  if (size <= 0)
    {
      handle_line (self, self->typed->str);
      leave (self, EXIT_SUCCESS);
      return G_SOURCE_REMOVE;
    }

  g_string_append_len (self->typed, buffer, size);
  while ((end = memchr (self->typed->str, '\n', self->typed->len)) != NULL)
    {
      *end = '\0';
      handle_line (self, self->typed->str);
      g_string_erase (self->typed, 0, end + 1 - self->typed->str);
    }
  return G_SOURCE_CONTINUE;
}

/* Comes back from Ctrl-Z, which has left the terminal to a shell. */
static gboolean
on_continued (int fd, GIOCondition condition, gpointer user_data)
{
  char byte;

  if (read (fd, &byte, 1) != 1 || prompting_chat == NULL)
    return G_SOURCE_REMOVE;

  rl_deprep_terminal ();
  rl_prep_terminal (TRUE);
  rl_forced_update_display ();
  return G_SOURCE_CONTINUE;
}

static void
write_continued (int number)
{
  int saved_errno = errno;

  if (write (continued_pipe[1], "", 1) != 1)
    return;
  errno = saved_errno;
}

/* GLib has sources for other signals, but none for SIGCONT. */
static void
watch_continued (void)
{
  struct sigaction action = { .sa_handler = write_continued, .sa_flags = SA_RESTART };

  if (!g_unix_open_pipe (continued_pipe, FD_CLOEXEC, NULL))
    return;

  g_unix_fd_add (continued_pipe[0], G_IO_IN, on_continued, NULL);
  sigaction (SIGCONT, &action, NULL);
}

static gboolean
on_resized (gpointer user_data)
{
  if (prompting_chat != NULL)
    rl_resize_terminal ();
  return G_SOURCE_CONTINUE;
}

static void
start_prompting (Chat *self)
{
  prompting_chat = self;
  rl_readline_name = "chat-client";

  /* The main loop catches signals, and a file name is no answer to a Tab. */
  rl_catch_signals = 0;
  rl_catch_sigwinch = 0;
  rl_bind_key ('\t', rl_insert);
  rl_callback_handler_install (PROMPT, on_typed);
  self->has_prompt = TRUE;
  g_unix_signal_add (SIGWINCH, on_resized, NULL);
  watch_continued ();
  g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, read_terminal, self);
}

static void
start_typing (Chat *self)
{
  if (self->is_interactive)
    start_prompting (self);
  else
    g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, read_pipe, self);
}

static void
handle_joined (Chat *self)
{
  if (self->join_timer == NULL)
    return;

  stop_joining (self);
  tell (self, "Joined %s as %s: /msg NAME text, /quit", self->server, self->name);
  if (!self->is_typing)
    start_typing (self);
  self->is_typing = TRUE;
}

static void
handle_already_joined (Chat *self)
{
  /* The answer to the first JOIN was late or lost. */
  if (self->n_joins > 1)
    {
      handle_joined (self);
      return;
    }

  /* Whoever had this port before us has not left, and is there under another name. */
  send_text (self, "EXIT");
  send_join (self);
}

static void
handle_refused (Chat *self, const char *reason)
{
  if (self->join_timer == NULL)
    return;

  if (strcmp (reason, "ALREADY JOINED") == 0)
    {
      handle_already_joined (self);
      return;
    }

  if (strcmp (reason, "NAME TAKEN") == 0)
    tell (self, "Somebody is called %s there already: choose another --name", self->name);
  else if (strcmp (reason, "BAD NAME") == 0)
    tell (self, "%s is no name: it takes 1 to 32 characters, no parentheses", self->name);
  else
    tell (self, "%s lets nobody in: %s", self->server, reason);
  leave (self, EXIT_FAILURE);
}

static void
handle_complaint (Chat *self, const char *reason)
{
  if (strcmp (reason, "NO SUCH NAME") == 0)
    tell (self, "Nobody of that name is here");
  else if (strcmp (reason, "JOIN FIRST") == 0)
    {
      tell (self, "%s did not know you any more: say it again once you have joined", self->server);
      start_joining (self);
    }
  else
    tell (self, "%s", reason);
}

static void
on_message_received (EsEndpoint *client,
                     GBytes *message,
                     GSocketAddress *address,
                     EsSendFunc send,
                     gpointer user_data)
{
  Chat *self = user_data;
  const char *text = g_bytes_get_data (message, NULL);

  if (*text == '(')
    {
      g_autofree char *line = escape (text, g_bytes_get_size (message));

      show (self, line);
    }
  else if (strcmp (text, "PING") == 0)
    send_text (self, "PONG");
  else if (strcmp (text, "JOK") == 0)
    handle_joined (self);
  else if (g_str_has_prefix (text, "JERR "))
    handle_refused (self, text + strlen ("JERR "));
  else if (g_str_has_prefix (text, "MERR "))
    handle_complaint (self, text + strlen ("MERR "));
}

static void
on_error (EsEndpoint *client, GError *error, GSocketAddress *address, gpointer user_data)
{
  Chat *self = user_data;

  if (self->is_leaving)
    return;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    tell (self, "Nobody listens on %s: Connection refused", self->server);
  else
    tell (self, "%s", error->message);
  if (!self->is_typing)
    leave (self, EXIT_FAILURE);
}

static gboolean
on_asked_to_end (gpointer user_data)
{
  leave (user_data, EXIT_SUCCESS);
  return G_SOURCE_CONTINUE;
}

/* Has all encrypted, and the server prove who it is by what the system or the file trusts. */
static gboolean
chat_make_private (Chat *self, GError **error)
{
  EsUdpClient *client = ES_UDP_CLIENT (self->client);
  g_autoptr (GTlsDatabase) database = NULL;

  if (!self->is_private)
    return TRUE;
  es_udp_client_set_tls (client, ES_TLS_MODE_VERIFY);
  if (self->tls_ca == NULL)
    return TRUE;
  database = g_tls_file_database_new (self->tls_ca, error);
  es_udp_client_set_tls_database (client, database);
  return database != NULL;
}

static gboolean
chat_run (Chat *self, GError **error)
{
  EsUdpClient *client = ES_UDP_CLIENT (self->client);

  g_signal_connect (client, "message-received", G_CALLBACK (on_message_received), self);
  g_signal_connect (client, "error", G_CALLBACK (on_error), self);
  if (!chat_make_private (self, error) ||
      !es_udp_client_connect_to_host (client, self->server, DEFAULT_PORT, NULL, error))
    return FALSE;

  g_unix_signal_add (SIGINT, on_asked_to_end, self);
  g_unix_signal_add (SIGTERM, on_asked_to_end, self);
  g_unix_signal_add (SIGHUP, on_asked_to_end, self);
  start_joining (self);
  return es_endpoint_run (self->client, error);
}

static gboolean
chat_parse (Chat *self, int *argc, char ***argv, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("HOST[:PORT] - join a chat");
  const GOptionEntry entries[] = {
    { "name", 'n', 0, G_OPTION_ARG_STRING, &self->name,
      "Join under this name, not under that of the login", "NAME" },
    { "tls", 0, 0, G_OPTION_ARG_NONE, &self->is_private,
      "Encrypt everything, and have the server prove who it is", NULL },
    { "tls-ca", 0, 0, G_OPTION_ARG_FILENAME, &self->tls_ca,
      "Trust these certificates, not those that the system trusts", "FILE" },
    G_OPTION_ENTRY_NULL
  };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc != 2)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                   "Which server? chat-client [--name NAME] HOST[:PORT]");
      return FALSE;
    }
  if (self->tls_ca != NULL && !self->is_private)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "Without --tls there is nobody to trust");
      return FALSE;
    }

  self->server = (*argv)[1];
  if (self->name == NULL)
    self->name = g_strdup (g_get_user_name ());
  return TRUE;
}

int
main (int argc, char **argv)
{
  Chat chat = { .exit_status = EXIT_SUCCESS };
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  if (!chat_parse (&chat, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      g_free (chat.name);
      return 2;
    }

  chat.client = ES_ENDPOINT (es_udp_client_new ());
  chat.typed = g_string_new (NULL);
  chat.is_interactive = isatty (STDIN_FILENO) && isatty (STDOUT_FILENO);
  if (!chat_run (&chat, &error))
    {
      g_printerr ("%s\n", error->message);
      chat.exit_status = EXIT_FAILURE;
    }

  stop_prompting (&chat);
  stop_joining (&chat);
  g_object_unref (chat.client);
  g_string_free (chat.typed, TRUE);
  g_free (chat.name);
  g_free (chat.tls_ca);
  return chat.exit_status;
}
