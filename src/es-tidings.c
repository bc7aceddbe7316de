/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-tidings.h"

#include <stdatomic.h>

/*
 * What happens outside of any call, in whichever thread, and is told where the endpoint lives.
 * Everything here is thread-safe.
 */

/* So many tidings may wait to be told. */
#define MAX_TIDINGS 64

struct _EsTidings
{
  /* Set when made, then only read. */
  EsHome *home; /* (borrowed) */
  EsTidingsFunc func;
  GObject *owner; /* (borrowed) kept alive by what waits */

  /* Any thread. */
  atomic_uint n_waiting;
};

/* One that waits. */
typedef struct
{
  EsTidings *tidings;      /* (borrowed) */
  GObject *owner;          /* (owned) */
  GError *error;           /* (owned) (nullable) */
  GSocketAddress *address; /* (owned) (nullable) */
} EsTiding;

static void
free_tiding (gpointer data)
{
  EsTiding *tiding = data;

  atomic_fetch_sub (&tiding->tidings->n_waiting, 1);
  g_clear_error (&tiding->error);
  g_clear_object (&tiding->address);
  /* The owner last, since the tidings are its own. */
  g_object_unref (tiding->owner);
  g_free (tiding);
}

static gboolean
tell_cb (gpointer data)
{
  EsTiding *tiding = data;

  tiding->tidings->func (tiding->owner, tiding->error, tiding->address);
  return G_SOURCE_REMOVE;
}

/* Tells at once if this is where the endpoint lives. Of what many workers have to tell at a time
 * some errors go untold, though counted, so that strangers cannot fill the memory. */
static void
tell (EsTidings *self,
      const GError *error,
      GSocketAddress *address)
{
  EsTiding *tiding;

  if (es_home_is_here (self->home))
    {
      self->func (self->owner, error, address);
      return;
    }
  if (atomic_fetch_add (&self->n_waiting, 1) >= MAX_TIDINGS && error != NULL)
    {
      atomic_fetch_sub (&self->n_waiting, 1);
      return;
    }
  tiding = g_new0 (EsTiding, 1);
  tiding->tidings = self;
  tiding->owner = g_object_ref (self->owner);
  tiding->error = error != NULL ? g_error_copy (error) : NULL;
  tiding->address = address != NULL ? g_object_ref (address) : NULL;
  es_home_call_later (self->home, tell_cb, tiding, free_tiding);
}

/* @func: called where the owner lives, which owns the tidings. */
EsTidings *
es_tidings_new (EsHome *home,
                EsTidingsFunc func,
                GObject *owner)
{
  EsTidings *self = g_new0 (EsTidings, 1);

  self->home = home;
  self->func = func;
  self->owner = owner;
  return self;
}

void
es_tidings_free (EsTidings *self)
{
  g_free (self);
}

void
es_tidings_tell_error (EsTidings *self,
                       const GError *error,
                       GSocketAddress *address)
{
  g_debug ("%s", error->message);
  tell (self, error, address);
}

/* Tells that there is room again for messages to send. */
void
es_tidings_tell_room (EsTidings *self)
{
  tell (self, NULL, NULL);
}
