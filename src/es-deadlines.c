/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-deadlines.h"

/*
 * Deadlines of every kind in one set, of which the first is known: a binary heap. Each deadline
 * knows its place, so that one that changes is moved and none is searched for. One thread's only.
 */

struct _EsDeadlines
{
  GPtrArray *heap; /* (owned) of (borrowed) EsDeadline; the first place is left empty */
};

EsDeadlines *
es_deadlines_new (void)
{
  EsDeadlines *self = g_new0 (EsDeadlines, 1);

  self->heap = g_ptr_array_new ();
  g_ptr_array_add (self->heap, NULL);
  return self;
}

/* Forgets what is in it, too. */
void
es_deadlines_free (EsDeadlines *self)
{
  for (guint i = 1; i < self->heap->len; i++)
    ((EsDeadline *) self->heap->pdata[i])->place = 0;
  g_ptr_array_unref (self->heap);
  g_free (self);
}

static gboolean
is_before (EsDeadlines *self,
           guint a,
           guint b)
{
  return ((EsDeadline *) self->heap->pdata[a])->due < ((EsDeadline *) self->heap->pdata[b])->due;
}

static void
put (EsDeadlines *self,
     EsDeadline *deadline,
     guint place)
{
  self->heap->pdata[place] = deadline;
  deadline->place = place;
}

static void
swap (EsDeadlines *self,
      guint a,
      guint b)
{
  EsDeadline *first = self->heap->pdata[a];

  put (self, self->heap->pdata[b], a);
  put (self, first, b);
}

static void
move_up (EsDeadlines *self,
         guint place)
{
  for (; place > 1 && is_before (self, place, place / 2); place /= 2)
    swap (self, place, place / 2);
}

static void
move_down (EsDeadlines *self,
           guint place)
{
  guint n = self->heap->len;

  while (place * 2 < n)
    {
      guint child = place * 2;

      if (child + 1 < n && is_before (self, child + 1, child))
        child++;
      if (!is_before (self, child, place))
        return;
      swap (self, place, child);
      place = child;
    }
}

/* Adds a deadline, or changes it. */
void
es_deadlines_set (EsDeadlines *self,
                  EsDeadline *deadline,
                  gint64 due)
{
  if (deadline->place != 0 && deadline->due == due)
    return;
  deadline->due = due;
  if (deadline->place == 0)
    {
      g_ptr_array_add (self->heap, NULL);
      put (self, deadline, self->heap->len - 1);
    }
  move_up (self, deadline->place);
  move_down (self, deadline->place);
}

/* Removes a deadline, if it is there. */
void
es_deadlines_remove (EsDeadlines *self,
                     EsDeadline *deadline)
{
  guint place = deadline->place;
  EsDeadline *last;

  if (place == 0)
    return;
  last = g_ptr_array_remove_index (self->heap, self->heap->len - 1);
  deadline->place = 0;
  if (last == deadline)
    return;
  put (self, last, place);
  move_up (self, place);
  move_down (self, last->place);
}

/* (transfer none) (nullable) The deadline that comes first. */
EsDeadline *
es_deadlines_peek (EsDeadlines *self)
{
  return self->heap->len > 1 ? self->heap->pdata[1] : NULL;
}
