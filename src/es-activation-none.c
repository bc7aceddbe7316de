/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-activation.h"

/* Where libsystemd is missing nobody hands over sockets. */
GSocket *
es_activation_take_socket (const char *name,
                           GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       "The library was built without libsystemd");
  return NULL;
}
