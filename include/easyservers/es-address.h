/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

ES_API
guint es_address_hash (gconstpointer address);

ES_API
gboolean es_address_equal (gconstpointer a,
                           gconstpointer b);

ES_API
char *es_address_to_string (GSocketAddress *address);

G_END_DECLS
