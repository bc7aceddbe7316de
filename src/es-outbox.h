/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-native.h"

#include <gio/gio.h>

/* What a queue holds at the most, in messages and in bytes. */
#define ES_OUTBOX_MAX_MESSAGES 8192
#define ES_OUTBOX_MAX_BYTES (16 * 1024 * 1024)

/* Of so many failures the words are kept until they are told; the others are only counted. */
#define ES_OUTBOX_MAX_FAILURES 64

/* A message that could not be sent, though its sender was told that it was accepted. */
typedef struct
{
  GError *error;           /* (owned) */
  GSocketAddress *address; /* (owned) (nullable) */
} EsFailure;

typedef struct
{
  guint64 messages_sent;
  guint64 bytes_sent;
  guint64 send_calls;
  guint64 send_errors;
  guint64 dropped_unsent;
} EsOutboxCounts;

/* When a message leaves. */
typedef enum
{
  ES_OUTBOX_AT_ONCE,
  ES_OUTBOX_HELD,   /* with what follows, at the next es_outbox_flush() */
  ES_OUTBOX_HURRIED /* the same, but after a millisecond at the most */
} EsOutboxHold;

typedef struct _EsOutbox EsOutbox;

EsOutbox *es_outbox_new (GSocket *socket,
                         gboolean segments,
                         GMainContext *context);

void es_outbox_free (EsOutbox *self);

int es_outbox_send (EsOutbox *self,
                    GBytes **messages,
                    guint n_messages,
                    const EsNative *to,
                    const EsLocal *from,
                    EsOutboxHold hold,
                    GError **error);

gboolean es_outbox_hold (EsOutbox *self,
                         GBytes *message,
                         const EsNative *to,
                         const EsLocal *from,
                         EsOutboxHold hold);

void es_outbox_flush (EsOutbox *self);

void es_outbox_close (EsOutbox *self);

gboolean es_outbox_is_held (EsOutbox *self);

gint64 es_outbox_get_held_until (EsOutbox *self);

gboolean es_outbox_is_blocked (EsOutbox *self);

gboolean es_outbox_has_news (EsOutbox *self);

gboolean es_outbox_take_failure (EsOutbox *self,
                                 EsFailure *failure);

gboolean es_outbox_take_writable (EsOutbox *self);

EsOutboxCounts es_outbox_get_counts (EsOutbox *self);

void es_failure_clear (EsFailure *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsOutbox, es_outbox_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (EsFailure, es_failure_clear)
