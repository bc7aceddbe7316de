/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-activation.h"

#include <systemd/sd-daemon.h>

#include <sys/socket.h>

/* Whether systemd gave this descriptor for a datagram socket of that name. */
static gboolean
is_wanted (int fd,
           const char *fd_name,
           const char *name)
{
  return (name == NULL || g_strcmp0 (fd_name, name) == 0) &&
         sd_is_socket (fd, AF_UNSPEC, SOCK_DGRAM, -1) > 0;
}

/* Whether nobody has taken this descriptor before. Who takes one closes it. */
static gboolean
take (int fd)
{
  static GHashTable *taken;
  static GMutex lock;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  if (taken == NULL)
    taken = g_hash_table_new (NULL, NULL);
  return g_hash_table_add (taken, GINT_TO_POINTER (fd));
}

/* (transfer full) The next datagram socket, of a name or of any, that systemd has handed over and
 * nobody has taken. */
GSocket *
es_activation_take_socket (const char *name,
                           GError **error)
{
  g_auto (GStrv) names = NULL;
  int n = sd_listen_fds_with_names (FALSE, &names);

  for (int i = 0; i < n; i++)
    if (is_wanted (SD_LISTEN_FDS_START + i, names[i], name) && take (SD_LISTEN_FDS_START + i))
      return g_socket_new_from_fd (SD_LISTEN_FDS_START + i, error);
  if (name != NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "No datagram socket named “%s” was handed over", name);
  else
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                         "No datagram socket was handed over");
  return NULL;
}
