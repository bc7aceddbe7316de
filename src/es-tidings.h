/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-home.h"

#include <gio/gio.h>

/* Tells of an error at an address, which may be NULL; without an error, that there is room. */
typedef void (*EsTidingsFunc) (gpointer owner,
                               const GError *error,
                               GSocketAddress *address);

typedef struct _EsTidings EsTidings;

EsTidings *es_tidings_new (EsHome *home,
                           EsTidingsFunc func,
                           GObject *owner);

void es_tidings_free (EsTidings *self);

void es_tidings_tell_error (EsTidings *self,
                            const GError *error,
                            GSocketAddress *address);

void es_tidings_tell_room (EsTidings *self);
