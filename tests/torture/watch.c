/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "watch.h"

#include <stdio.h>
#include <unistd.h>

#define INTERVAL_USEC 10000

struct _Watch
{
  GSource *timer; /* (owned) */
  Usage first;
  Usage most;

  gint64 due; /* monotonic, microseconds */
  guint64 n_ticks;
  guint64 n_late; /* by more than one interval */
  gint64 latest;
  gint64 began;
};

static guint
count_entries (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (folder != NULL && g_dir_read_name (folder) != NULL)
    n++;
  return n;
}

Usage
usage_get (void)
{
  Usage usage = { 0 };
  g_autofree char *pages = NULL;
  char *resident = NULL;

  if (g_file_get_contents ("/proc/self/statm", &pages, NULL, NULL))
    {
      g_ascii_strtoull (pages, &resident, 10);
      usage.memory = g_ascii_strtoull (resident, NULL, 10) * (guint64) sysconf (_SC_PAGESIZE);
    }
  usage.n_descriptors = count_entries ("/proc/self/fd");
  usage.n_threads = count_entries ("/proc/self/task");
  return usage;
}

/* Prints a line that the driver reads. */
void
tell (const char *name,
      double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_print ("%s=%s\n", name, g_ascii_dtostr (text, sizeof text, value));
}

static void
keep_most (Watch *self)
{
  Usage usage = usage_get ();

  self->most.memory = MAX (self->most.memory, usage.memory);
  self->most.n_descriptors = MAX (self->most.n_descriptors, usage.n_descriptors);
  self->most.n_threads = MAX (self->most.n_threads, usage.n_threads);
}

static gboolean
on_tick (gpointer user_data)
{
  Watch *self = user_data;
  gint64 now = g_get_monotonic_time ();
  gint64 late = now - self->due;

  self->n_ticks++;
  self->n_late += late > INTERVAL_USEC ? 1 : 0;
  self->latest = MAX (self->latest, late);
  self->due = now + INTERVAL_USEC;
  g_source_set_ready_time (self->timer, self->due);
  if (self->n_ticks % 10 == 0)
    keep_most (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
dispatch_tick (GSource *source,
               GSourceFunc callback,
               gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs tick_funcs = { NULL, NULL, dispatch_tick, NULL, NULL, NULL };

Watch *
watch_new (void)
{
  Watch *self = g_new0 (Watch, 1);

  self->first = self->most = usage_get ();
  self->began = g_get_monotonic_time ();
  self->due = self->began + INTERVAL_USEC;
  self->timer = g_source_new (&tick_funcs, sizeof (GSource));
  g_source_set_callback (self->timer, on_tick, self, NULL);
  g_source_set_ready_time (self->timer, self->due);
  g_source_attach (self->timer, g_main_context_get_thread_default ());
  return self;
}

void
watch_free (Watch *self)
{
  g_source_destroy (self->timer);
  g_source_unref (self->timer);
  g_free (self);
}

/* Tells what was taken at the most, and what is taken now, when all that is wanted may be over. */
void
watch_tell (Watch *self)
{
  Usage usage = usage_get ();

  keep_most (self);
  tell ("memory_before", (double) self->first.memory);
  tell ("memory_growth", (double) self->most.memory - (double) self->first.memory);
  tell ("more_descriptors", (double) self->most.n_descriptors - self->first.n_descriptors);
  tell ("more_threads", (double) self->most.n_threads - self->first.n_threads);
  tell ("descriptors_left", (double) usage.n_descriptors - self->first.n_descriptors);
  tell ("threads_left", (double) usage.n_threads - self->first.n_threads);
  tell ("ticks", (double) self->n_ticks);
  tell ("late_ticks", (double) self->n_late);
  tell ("latest_tick_ms", (double) self->latest / 1000);
  tell ("watched_seconds", (double) (g_get_monotonic_time () - self->began) / G_USEC_PER_SEC);
}
