/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-macros.h"

G_BEGIN_DECLS

ES_API
char *es_message_dup_text (GBytes *message);

G_END_DECLS
