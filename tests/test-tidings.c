/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-tidings.h"

/* As many as may wait. */
#define MAX_TIDINGS 64

/* Who lives in the context of the test, and what it was told. */
typedef struct
{
  GObject *owner; /* (owned) */
  EsHome *home;
  EsTidings *tidings;
  int n_errors;
  int n_rooms;
  GThread *teller; /* (borrowed) (nullable) the thread in which it was told last */
  char *message;   /* (owned) (nullable) */
} Listener;

static void
listen_cb (gpointer owner,
           const GError *error,
           GSocketAddress *address)
{
  Listener *self = g_object_get_data (owner, "listener");

  self->teller = g_thread_self ();
  if (error == NULL)
    self->n_rooms++;
  else
    self->n_errors++;
  g_free (self->message);
  self->message = error != NULL ? g_strdup (error->message) : NULL;
}

static Listener *
listener_new (void)
{
  Listener *self = g_new0 (Listener, 1);

  self->owner = g_object_new (G_TYPE_OBJECT, NULL);
  g_object_set_data (self->owner, "listener", self);
  self->home = es_home_new ();
  self->tidings = es_tidings_new (self->home, listen_cb, self->owner);
  return self;
}

static void
listener_free (Listener *self)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (self->owner);
  es_tidings_free (self->tidings);
  es_home_free (self->home);
  g_free (self->message);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Listener, listener_free)

static gpointer
tell_error (gpointer data)
{
  Listener *self = data;
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "It rains");

  es_tidings_tell_error (self->tidings, error, NULL);
  return NULL;
}

static gpointer
tell_much (gpointer data)
{
  Listener *self = data;

  for (int i = 0; i < 2 * MAX_TIDINGS; i++)
    tell_error (self);
  es_tidings_tell_room (self->tidings);
  return NULL;
}

static void
call_elsewhere (GThreadFunc func,
                Listener *listener)
{
  g_thread_join (g_thread_new ("elsewhere", func, listener));
}

static void
test_tidings_told_at_once_at_home (void)
{
  g_autoptr (Listener) listener = listener_new ();

  g_test_summary ("Where the owner lives, and its context is run, it is told at once.");

  g_assert_true (g_main_context_acquire (NULL));
  tell_error (listener);
  g_assert_cmpint (listener->n_errors, ==, 1);
  g_assert_cmpstr (listener->message, ==, "It rains");
  g_main_context_release (NULL);
}

static void
test_tidings_told_at_home_from_elsewhere (void)
{
  g_autoptr (Listener) listener = listener_new ();

  g_test_summary ("What happens in another thread is told where the owner lives, later.");

  call_elsewhere (tell_error, listener);
  g_assert_cmpint (listener->n_errors, ==, 0);
  g_assert_true (g_main_context_iteration (NULL, FALSE));

  g_assert_cmpint (listener->n_errors, ==, 1);
  g_assert_cmpstr (listener->message, ==, "It rains");
  g_assert_true (listener->teller == g_thread_self ());
}

static void
test_tidings_keep_owner (void)
{
  g_autoptr (Listener) listener = listener_new ();

  g_test_summary ("Who has yet to be told something lives until then.");

  call_elsewhere (tell_error, listener);
  g_assert_cmpint (listener->owner->ref_count, ==, 2);
  g_assert_true (g_main_context_iteration (NULL, FALSE));
  g_assert_cmpint (listener->owner->ref_count, ==, 1);
}

static void
test_tidings_are_bounded (void)
{
  g_autoptr (Listener) listener = listener_new ();

  g_test_summary ("So many errors wait and no more, but that there is room is always told.");

  for (int i = 1; i <= 2; i++)
    {
      call_elsewhere (tell_much, listener);
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpint (listener->n_errors, ==, i * MAX_TIDINGS);
      g_assert_cmpint (listener->n_rooms, ==, i);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tidings/told-at-once-at-home", test_tidings_told_at_once_at_home);
  g_test_add_func ("/tidings/told-at-home-from-elsewhere",
                   test_tidings_told_at_home_from_elsewhere);
  g_test_add_func ("/tidings/keep-owner", test_tidings_keep_owner);
  g_test_add_func ("/tidings/are-bounded", test_tidings_are_bounded);
  return g_test_run ();
}
