/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

GSocket *es_activation_take_socket (const char *name,
                                    GError **error);
