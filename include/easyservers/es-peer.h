/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define ES_TYPE_PEER (es_peer_get_type ())

ES_API
G_DECLARE_FINAL_TYPE (EsPeer, es_peer, ES, PEER, GObject)

/**
 * EsPeerRemoved:
 * @ES_PEER_REMOVED_REQUESTED: the application removed it
 * @ES_PEER_REMOVED_SILENT: it left too many pings unanswered
 * @ES_PEER_REMOVED_STOPPED: the server was stopped
 *
 * Why a peer is one no more.
 */
typedef enum
{
  ES_PEER_REMOVED_REQUESTED,
  ES_PEER_REMOVED_SILENT,
  ES_PEER_REMOVED_STOPPED,
} EsPeerRemoved;

#define ES_TYPE_PEER_REMOVED (es_peer_removed_get_type ())

ES_API
GType es_peer_removed_get_type (void) G_GNUC_CONST;

ES_API
GSocketAddress *es_peer_get_address (EsPeer *self);

ES_API
gint64 es_peer_get_last_heard (EsPeer *self);

ES_API
guint es_peer_get_missed_pings (EsPeer *self);

G_END_DECLS
