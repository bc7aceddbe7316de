/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-keepalive.h"

/* When peers are to be pinged: one timer for all, set to when the first of them is due. Everything
 * here belongs to the endpoint's context. */

struct _EsKeepalive
{
  EsPeerTable *table; /* (borrowed) */
  EsKeepaliveFunc due;
  gpointer owner; /* (borrowed) */

  GBytes *ping;    /* (owned) (nullable) NULL: nobody is pinged */
  gint64 interval; /* microseconds */
  guint max_missed;
  GSource *source; /* (owned) (nullable) while the endpoint runs */
};

/* @due: called when peers are due, to take them. */
EsKeepalive *
es_keepalive_new (EsPeerTable *table,
                  EsKeepaliveFunc due,
                  gpointer owner)
{
  EsKeepalive *self = g_new0 (EsKeepalive, 1);

  self->table = table;
  self->due = due;
  self->owner = owner;
  return self;
}

void
es_keepalive_free (EsKeepalive *self)
{
  es_keepalive_stop (self);
  g_clear_pointer (&self->ping, g_bytes_unref);
  g_free (self);
}

void
es_keepalive_configure (EsKeepalive *self,
                        GBytes *ping,
                        guint interval_ms,
                        guint max_missed)
{
  g_clear_pointer (&self->ping, g_bytes_unref);
  self->ping = ping != NULL ? g_bytes_ref (ping) : NULL;
  self->interval = (gint64) interval_ms * G_TIME_SPAN_MILLISECOND;
  self->max_missed = max_missed;
  es_keepalive_update (self);
}

static gboolean
on_timer (GSource *source,
          GSourceFunc callback,
          gpointer user_data)
{
  EsKeepalive *self = user_data;

  self->due (self->owner);
  /* Whoever was told may have let the owner go, and this with it. */
  if (!g_source_is_destroyed (source))
    es_keepalive_update (self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = { NULL, NULL, on_timer, NULL, NULL, NULL };

/* Sets the timer going in the thread-default context. */
void
es_keepalive_start (EsKeepalive *self)
{
  self->source = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "EsKeepalive");
  g_source_set_callback (self->source, NULL, self, NULL);
  g_source_attach (self->source, g_main_context_get_thread_default ());
  es_keepalive_update (self);
}

void
es_keepalive_stop (EsKeepalive *self)
{
  if (self->source == NULL)
    return;
  g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
}

/* Sets the timer to when the first peer is due, if any is. */
void
es_keepalive_update (EsKeepalive *self)
{
  gint64 due =
    self->ping != NULL ? es_peer_table_get_next_due (self->table, self->interval) : -1;

  if (self->source != NULL)
    g_source_set_ready_time (self->source, due);
}

/* (transfer full) (nullable) The next peer to be pinged now. */
EsPeer *
es_keepalive_take_due (EsKeepalive *self,
                       gint64 now)
{
  if (self->ping == NULL)
    return NULL;
  return es_peer_table_take_due (self->table, self->interval, self->max_missed, now);
}

/* (transfer none) (nullable) */
GBytes *
es_keepalive_get_ping (EsKeepalive *self)
{
  return self->ping;
}
