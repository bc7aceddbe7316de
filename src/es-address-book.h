/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-native.h"

/* How many addresses a book remembers at the most, whatever strangers send. */
#define ES_ADDRESS_BOOK_N_WAYS 8
#define ES_ADDRESS_BOOK_N_SETS 32768
#define ES_ADDRESS_BOOK_SIZE (ES_ADDRESS_BOOK_N_WAYS * ES_ADDRESS_BOOK_N_SETS)

typedef struct _EsAddressBook EsAddressBook;

EsAddressBook *es_address_book_new (guint origin);

void es_address_book_free (EsAddressBook *self);

GSocketAddress *es_address_book_lookup (EsAddressBook *self,
                                        const EsNative *native,
                                        const EsLocal *local);

guint es_address_book_get_n_remembered (EsAddressBook *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsAddressBook, es_address_book_free)
