/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-peer.h"

#define ES_TYPE_PEER_LIST (es_peer_list_get_type ())
G_DECLARE_FINAL_TYPE (EsPeerList, es_peer_list, ES, PEER_LIST, GObject)

EsPeerList *es_peer_list_new (void);

void es_peer_list_append (EsPeerList *self,
                          EsPeer *peer);

void es_peer_list_remove (EsPeerList *self,
                          EsPeer *peer);
