/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/* What a process takes of its host. */
typedef struct
{
  guint64 memory; /* resident, bytes */
  guint n_descriptors;
  guint n_threads;
} Usage;

Usage usage_get (void);

/* What a process takes at the most from now on, and how late a timer of ten milliseconds is in the
 * thread-default main context meanwhile. */
typedef struct _Watch Watch;

Watch *watch_new (void);

void watch_free (Watch *self);

void watch_tell (Watch *self);

void tell (const char *name,
           double value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Watch, watch_free)
