/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-message.h"

GBytes *es_message_new (gconstpointer data,
                        gsize size);
