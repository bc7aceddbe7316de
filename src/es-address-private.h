/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-address.h"

#include "es-native.h"

/* Names an address that may be none, for an error message. */
char *es_address_describe (GSocketAddress *address);

/* The host alone, with the scope that it may have. */
char *es_address_dup_host (GInetSocketAddress *address);

/* The address of a sender: to users a GInetSocketAddress, that carries what an answer needs, so
 * that sending one makes nothing. */
#define ES_TYPE_SENDER_ADDRESS (es_sender_address_get_type ())
G_DECLARE_FINAL_TYPE (EsSenderAddress, es_sender_address, ES, SENDER_ADDRESS, GInetSocketAddress)

EsSenderAddress *es_sender_address_new (const EsNative *native,
                                        const EsLocal *local,
                                        guint origin);

GSocketAddress *es_address_dup_for_sends (GSocketAddress *address);

gboolean es_sender_address_is_for (EsSenderAddress *self,
                                   const EsNative *native,
                                   const EsLocal *local);

/* What may be sent to an address that nobody has vouched for, in bytes: a multiple of what it
 * sent. Thread-safe. */
void es_address_add_credit (GSocketAddress *address,
                            guint64 n_bytes);

gboolean es_address_take_credit (GSocketAddress *address,
                                 guint64 n_bytes);

/* Writes where a message to @address goes, and, if it came from the endpoint's run that @origin
 * names, where it leaves from. */
gboolean es_address_to_route (GSocketAddress *address,
                              guint origin,
                              EsNative *to,
                              EsLocal *from,
                              GError **error);

/* The same for addresses that it costs next to nothing for. Returns FALSE for any other. */
gboolean es_address_to_answer (GSocketAddress *address,
                               guint origin,
                               EsNative *to,
                               EsLocal *from);

/* The host of ours that such a message came to. (nullable) The address is of another kind, or the
 * socket has one address only. */
char *es_address_dup_asked_host (GSocketAddress *address,
                                 guint origin);
