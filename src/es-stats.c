/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-stats-private.h"

G_DEFINE_BOXED_TYPE (EsStats, es_stats, es_stats_copy, es_stats_free)

static const struct
{
  const char *name;
  gsize offset;
} fields[] = {
#define FIELD(name)                       \
  {                                       \
#name, G_STRUCT_OFFSET(EsStats, name) \
  }
  FIELD (messages_received),
  FIELD (bytes_received),
  FIELD (messages_sent),
  FIELD (bytes_sent),
  FIELD (receive_calls),
  FIELD (send_calls),
  FIELD (dropped_by_kernel),
  FIELD (dropped_too_long),
  FIELD (dropped_rate_limited),
  FIELD (dropped_unauthenticated),
  FIELD (dropped_at_stop),
  FIELD (dropped_unsent),
  FIELD (send_errors),
  FIELD (receive_errors),
#undef FIELD
};

G_STATIC_ASSERT (sizeof fields / sizeof fields[0] == sizeof (EsStats) / sizeof (guint64));

/* (transfer full) Statistics of nothing yet. */
EsStats *
es_stats_new (void)
{
  return g_new0 (EsStats, 1);
}

/* Adds each field of @more. */
void
es_stats_add (EsStats *self,
              const EsStats *more)
{
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    G_STRUCT_MEMBER (guint64, self, fields[i].offset) +=
      G_STRUCT_MEMBER (guint64, more, fields[i].offset);
}

/**
 * es_stats_copy:
 * @self: statistics
 *
 * Copies statistics.
 *
 * Thread-safe.
 *
 * Returns: (transfer full): the copy
 */
EsStats *
es_stats_copy (const EsStats *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return g_memdup2 (self, sizeof *self);
}

/**
 * es_stats_free:
 * @self: statistics
 *
 * Frees statistics.
 *
 * Thread-safe.
 */
void
es_stats_free (EsStats *self)
{
  g_free (self);
}

/**
 * es_stats_to_string:
 * @self: statistics
 *
 * Writes statistics for people: a line "name value" for each field that is not zero, in the
 * order of the struct.
 *
 * Thread-safe.
 *
 * Returns: (transfer full): the text, empty if nothing has happened yet
 */
char *
es_stats_to_string (const EsStats *self)
{
  GString *text = g_string_new (NULL);

  g_return_val_if_fail (self != NULL, g_string_free (text, FALSE));

  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    {
      guint64 value = G_STRUCT_MEMBER (guint64, self, fields[i].offset);

      if (value != 0)
        g_string_append_printf (text, "%s %" G_GUINT64_FORMAT "\n", fields[i].name, value);
    }
  return g_string_free (text, FALSE);
}
