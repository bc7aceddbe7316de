/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-roster.h"

#include "es-stats-private.h"

/*
 * The crew that is at work, those that are leaving, and what was counted by those that have left.
 */

struct _EsRoster
{
  /* Under the lock. */
  GMutex lock;
  EsCrew *crew;       /* (owned) (nullable) at work */
  GPtrArray *leaving; /* (owned) of EsCrew, that were replaced and are being closed */
  EsStats past;       /* of those that have left */
};

EsRoster *
es_roster_new (void)
{
  EsRoster *self = g_new0 (EsRoster, 1);

  g_mutex_init (&self->lock);
  self->leaving = g_ptr_array_new ();
  return self;
}

/* Frees the roster once its last crew was dismissed. */
void
es_roster_free (EsRoster *self)
{
  g_ptr_array_unref (self->leaving);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Whether a crew is at work. Thread-safe. */
gboolean
es_roster_has_crew (EsRoster *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->crew != NULL;
}

/* (nullable) The crew that was at work, to be dismissed. Puts another (nullable) (transfer full) in
 * its place. */
EsCrew *
es_roster_replace_crew (EsRoster *self,
                        EsCrew *crew)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  EsCrew *before = self->crew;

  self->crew = crew;
  if (before != NULL)
    g_ptr_array_add (self->leaving, before);
  return before;
}

/* Ends a crew (nullable), and takes over what it counted, without a moment when that is missing. */
void
es_roster_dismiss_crew (EsRoster *self,
                        EsCrew *crew)
{
  if (crew == NULL)
    return;
  es_crew_close (crew);
  g_mutex_lock (&self->lock);
  es_crew_add_stats (crew, &self->past);
  g_ptr_array_remove_fast (self->leaving, crew);
  g_mutex_unlock (&self->lock);
  es_crew_free (crew);
}

/* (transfer full) (nullable) Thread-safe. */
EsLane *
es_roster_ref_first_lane (EsRoster *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->crew != NULL ? es_lane_ref (es_crew_get_first_lane (self->crew)) : NULL;
}

/* Calls a function, under the lock, for each lane that is at work. Thread-safe. */
void
es_roster_foreach_lane (EsRoster *self,
                        EsLaneVisitFunc func,
                        gpointer data)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->crew != NULL)
    es_crew_foreach_lane (self->crew, func, data);
}

static void
add_crew_stats (gpointer crew,
                gpointer stats)
{
  es_crew_add_stats (crew, stats);
}

/* Adds what all crews did so far. Thread-safe. */
void
es_roster_add_stats (EsRoster *self,
                     EsStats *stats)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  es_stats_add (stats, &self->past);
  g_ptr_array_foreach (self->leaving, add_crew_stats, stats);
  if (self->crew != NULL)
    es_crew_add_stats (self->crew, stats);
}
