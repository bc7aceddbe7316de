/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <glib-object.h>

#include <valgrind/helgrind.h>

/*
 * What helgrind has to know of GLib, whose locks it does not see, since they are made of futexes:
 * to be preloaded. Each function that orders threads is wrapped, for GLib's own calls of it too:
 * what came before a lock is released comes before what follows its being taken, and what was done
 * with an object before a reference to it is dropped comes before its end.
 */

#define IN_GLIB(name) I_WRAP_SONAME_FNNAME_ZU (libglibZh2Zd0ZdsoZa, name)
#define IN_GOBJECT(name) I_WRAP_SONAME_FNNAME_ZU (libgobjectZh2Zd0ZdsoZa, name)

/* Takes a lock. */
#define WRAP_TAKE(name)                \
  void IN_GLIB (name) (gpointer lock); \
                                       \
  void                                 \
  IN_GLIB (name) (gpointer lock)       \
  {                                    \
    OrigFn original;                   \
                                       \
    VALGRIND_GET_ORIG_FN (original);   \
    CALL_FN_v_W (original, lock);      \
    ANNOTATE_HAPPENS_AFTER (lock);     \
  }

/* Tries to. */
#define WRAP_TRY(name)                      \
  gulong IN_GLIB (name) (gpointer lock);    \
                                            \
  gulong                                    \
  IN_GLIB (name) (gpointer lock)            \
  {                                         \
    OrigFn original;                        \
    gulong is_taken;                        \
                                            \
    VALGRIND_GET_ORIG_FN (original);        \
    CALL_FN_W_W (is_taken, original, lock); \
    if ((gboolean) is_taken)                \
      ANNOTATE_HAPPENS_AFTER (lock);        \
    return is_taken;                        \
  }

/* Releases one, or wakes who waits. */
#define WRAP_RELEASE(name)             \
  void IN_GLIB (name) (gpointer lock); \
                                       \
  void                                 \
  IN_GLIB (name) (gpointer lock)       \
  {                                    \
    OrigFn original;                   \
                                       \
    VALGRIND_GET_ORIG_FN (original);   \
    ANNOTATE_HAPPENS_BEFORE (lock);    \
    CALL_FN_v_W (original, lock);      \
  }

/* Drops a reference. */
#define WRAP_UNREF(place, name)        \
  void place (name) (gpointer object); \
                                       \
  void                                 \
  place (name) (gpointer object)       \
  {                                    \
    OrigFn original;                   \
                                       \
    VALGRIND_GET_ORIG_FN (original);   \
    ANNOTATE_HAPPENS_BEFORE (object);  \
    ANNOTATE_HAPPENS_AFTER (object);   \
    CALL_FN_v_W (original, object);    \
  }

WRAP_TAKE (g_mutex_lock)
WRAP_TRY (g_mutex_trylock)
WRAP_RELEASE (g_mutex_unlock)
WRAP_TAKE (g_rec_mutex_lock)
WRAP_TRY (g_rec_mutex_trylock)
WRAP_RELEASE (g_rec_mutex_unlock)
WRAP_TAKE (g_rw_lock_writer_lock)
WRAP_TRY (g_rw_lock_writer_trylock)
WRAP_RELEASE (g_rw_lock_writer_unlock)
WRAP_TAKE (g_rw_lock_reader_lock)
WRAP_TRY (g_rw_lock_reader_trylock)
WRAP_RELEASE (g_rw_lock_reader_unlock)
WRAP_RELEASE (g_cond_signal)
WRAP_RELEASE (g_cond_broadcast)
WRAP_UNREF (IN_GLIB, g_bytes_unref)
WRAP_UNREF (IN_GLIB, g_source_unref)
WRAP_UNREF (IN_GLIB, g_main_context_unref)
WRAP_UNREF (IN_GLIB, g_main_loop_unref)
WRAP_UNREF (IN_GLIB, g_variant_unref)
WRAP_UNREF (IN_GOBJECT, g_object_unref)
WRAP_UNREF (IN_GOBJECT, g_closure_unref)
WRAP_UNREF (IN_GOBJECT, g_param_spec_unref)

/* While a thread waits it has released the lock. */

void IN_GLIB (g_cond_wait) (gpointer condition, gpointer lock);

void
IN_GLIB (g_cond_wait) (gpointer condition,
                       gpointer lock)
{
  OrigFn original;

  VALGRIND_GET_ORIG_FN (original);
  ANNOTATE_HAPPENS_BEFORE (lock);
  CALL_FN_v_WW (original, condition, lock);
  ANNOTATE_HAPPENS_AFTER (lock);
  ANNOTATE_HAPPENS_AFTER (condition);
}

gulong IN_GLIB (g_cond_wait_until) (gpointer condition, gpointer lock, gulong until);

gulong
IN_GLIB (g_cond_wait_until) (gpointer condition,
                             gpointer lock,
                             gulong until)
{
  OrigFn original;
  gulong is_signalled;

  VALGRIND_GET_ORIG_FN (original);
  ANNOTATE_HAPPENS_BEFORE (lock);
  CALL_FN_W_WWW (is_signalled, original, condition, lock, until);
  ANNOTATE_HAPPENS_AFTER (lock);
  ANNOTATE_HAPPENS_AFTER (condition);
  return is_signalled;
}

/* What is made once is there for all. */

gulong IN_GLIB (g_once_init_enter) (gpointer place);

gulong
IN_GLIB (g_once_init_enter) (gpointer place)
{
  OrigFn original;
  gulong is_first;

  VALGRIND_GET_ORIG_FN (original);
  CALL_FN_W_W (is_first, original, place);
  ANNOTATE_HAPPENS_AFTER (place);
  return is_first;
}

void IN_GLIB (g_once_init_leave) (gpointer place, gulong result);

void
IN_GLIB (g_once_init_leave) (gpointer place,
                             gulong result)
{
  OrigFn original;

  VALGRIND_GET_ORIG_FN (original);
  ANNOTATE_HAPPENS_BEFORE (place);
  CALL_FN_v_WW (original, place, result);
}

/* Whoever drops one of the last references to a box sees what the others did. */

void IN_GLIB (g_atomic_rc_box_release_full) (gpointer box, gpointer clear);

void
IN_GLIB (g_atomic_rc_box_release_full) (gpointer box,
                                        gpointer clear)
{
  OrigFn original;

  VALGRIND_GET_ORIG_FN (original);
  ANNOTATE_HAPPENS_BEFORE (box);
  ANNOTATE_HAPPENS_AFTER (box);
  CALL_FN_v_WW (original, box, clear);
}
