/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-peer.h"

typedef struct _EsPeerTable EsPeerTable;

/* Who came or went, for those who follow the table. */
typedef struct
{
  EsPeer *peer; /* (owned) */
  gboolean is_added;
  EsPeerRemoved reason;
} EsPeerChange;

EsPeerTable *es_peer_table_new (void);

void es_peer_table_free (EsPeerTable *self);

EsPeer *es_peer_table_add (EsPeerTable *self,
                           GSocketAddress *address);

EsPeer *es_peer_table_lookup (EsPeerTable *self,
                              GSocketAddress *address);

gboolean es_peer_table_remove (EsPeerTable *self,
                               EsPeer *peer);

void es_peer_table_remove_all (EsPeerTable *self,
                               EsPeerRemoved reason);

gboolean es_peer_table_take_change (EsPeerTable *self,
                                    EsPeerChange *change);

void es_peer_table_hear (EsPeerTable *self,
                         GSocketAddress *address);

GPtrArray *es_peer_table_dup_all (EsPeerTable *self);

gint64 es_peer_table_get_next_due (EsPeerTable *self,
                                   gint64 interval);

EsPeer *es_peer_table_take_due (EsPeerTable *self,
                                gint64 interval,
                                guint max_missed,
                                gint64 now);

void es_peer_change_clear (EsPeerChange *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsPeerTable, es_peer_table_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (EsPeerChange, es_peer_change_clear)
