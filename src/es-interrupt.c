/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-interrupt.h"

#include <glib-unix.h>

/*
 * The signals by which a process is asked to end: SIGINT, as Ctrl-C sends it, and SIGTERM, as
 * service managers do. While there is an interrupt they end nothing by themselves.
 */

static const int numbers[] = { SIGINT, SIGTERM };

struct _EsInterrupt
{
  void (*func) (gpointer data);
  gpointer data;                            /* (borrowed) */
  GSource *sources[G_N_ELEMENTS (numbers)]; /* (owned) */
};

static gboolean
on_signal (gpointer user_data)
{
  EsInterrupt *self = user_data;

  self->func (self->data);
  return G_SOURCE_CONTINUE;
}

static void
attach (EsInterrupt *self,
        GMainContext *context)
{
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      self->sources[i] = g_unix_signal_source_new (numbers[i]);
      g_source_set_callback (self->sources[i], on_signal, self, NULL);
      g_source_attach (self->sources[i], context);
    }
}

static void
detach (GSource **sources)
{
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_source_destroy (sources[i]);
      g_source_unref (sources[i]);
    }
}

/* @func: called in @context for each signal. */
EsInterrupt *
es_interrupt_new (GMainContext *context,
                  void (*func) (gpointer data),
                  gpointer data)
{
  EsInterrupt *self = g_new0 (EsInterrupt, 1);

  self->func = func;
  self->data = data;
  attach (self, context);
  return self;
}

/* Calls the function in another context from now on. At no time does a signal end the process. */
void
es_interrupt_move (EsInterrupt *self,
                   GMainContext *context)
{
  EsInterrupt before = *self;

  if (g_source_get_context (before.sources[0]) == context)
    return;
  attach (self, context);
  detach (before.sources);
}

void
es_interrupt_free (EsInterrupt *self)
{
  detach (self->sources);
  g_free (self);
}
