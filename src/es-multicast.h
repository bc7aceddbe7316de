/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/* Joins or leaves a group on one interface. */
typedef gboolean (*EsMembershipFunc) (GSocket *socket,
                                      GInetAddress *group,
                                      GInetAddress *source,
                                      const char *interface_name,
                                      GError **error);

gboolean es_multicast_join (GSocket *socket,
                            GInetAddress *group,
                            GInetAddress *source,
                            const char *interface_name,
                            GError **error);

gboolean es_multicast_leave (GSocket *socket,
                             GInetAddress *group,
                             GInetAddress *source,
                             const char *interface_name,
                             GError **error);

gboolean es_multicast_change (GSocket *socket,
                              EsMembershipFunc change,
                              GInetAddress *group,
                              GInetAddress *source,
                              const char *interface_name,
                              GError **error);

void es_multicast_leave_all (GSocket *socket);

gboolean es_multicast_set_interface (GSocket *socket,
                                     const char *interface_name,
                                     GError **error);
