/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-endpoint-private.h"

#include "es-multicast.h"

/*
 * The groups that an endpoint is a member of.
 */

/* (transfer full) (nullable) The socket that joins groups: that of the first lane, so that each
 * message is delivered once. */
static GSocket *
ref_group_socket (EsEndpoint *self,
                  GError **error)
{
  g_autoptr (EsLane) lane = es_endpoint_ref_first_lane (self);

  if (lane != NULL)
    return g_object_ref (es_lane_get_socket (lane));
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The endpoint is not running");
  return NULL;
}

static gboolean
change_membership (EsEndpoint *self,
                   EsMembershipFunc change,
                   GInetAddress *group,
                   GInetAddress *source,
                   const char *interface_name,
                   GError **error)
{
  g_autoptr (GSocket) socket = ref_group_socket (self, error);

  return socket != NULL &&
         es_multicast_change (socket, change, group, source, interface_name, error);
}

/**
 * es_endpoint_join_multicast:
 * @self: an endpoint that runs
 * @group: the group's address
 * @interface_name: (nullable): the interface, such as `eth0`, or %NULL for every one that can
 * @error: return location for a #GError
 *
 * Joins a multicast group: from now on its messages are heard, until the socket is
 * closed by a stop, or by a client that connects to another server.
 *
 * Messages of groups that this endpoint did not join are not heard, whoever else on this host did
 * (ip(7), IP_MULTICAST_ALL). Errors: %G_IO_ERROR_CLOSED if the endpoint does not run,
 * %G_IO_ERROR_INVALID_ARGUMENT if the address is no group, %G_IO_ERROR_NOT_FOUND if there is no
 * such interface, or what the kernel says.
 *
 * Returns: %TRUE if the group was joined on one interface at least
 */
gboolean
es_endpoint_join_multicast (EsEndpoint *self,
                            GInetAddress *group,
                            const char *interface_name,
                            GError **error)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (G_IS_INET_ADDRESS (group), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_membership (self, es_multicast_join, group, NULL, interface_name, error);
}

/**
 * es_endpoint_leave_multicast:
 * @self: an endpoint that runs
 * @group: the group's address
 * @interface_name: (nullable): the interface, such as `eth0`, or %NULL for every one that can
 * @error: return location for a #GError
 *
 * Leaves a multicast group that was joined in the same way. Errors: those of
 * [method@Endpoint.join_multicast].
 *
 * Returns: %TRUE if the group was left on one interface at least
 */
gboolean
es_endpoint_leave_multicast (EsEndpoint *self,
                             GInetAddress *group,
                             const char *interface_name,
                             GError **error)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (G_IS_INET_ADDRESS (group), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_membership (self, es_multicast_leave, group, NULL, interface_name, error);
}

/**
 * es_endpoint_join_multicast_ssm:
 * @self: an endpoint that runs
 * @group: the group's address
 * @source: the sender's address
 * @interface_name: (nullable): the interface, such as `eth0`, or %NULL for every one that can
 * @error: return location for a #GError
 *
 * Joins a multicast group for the messages of one sender (RFC 4607, source-specific multicast).
 * Errors: those of [method@Endpoint.join_multicast].
 *
 * Returns: %TRUE if the group was joined on one interface at least
 */
gboolean
es_endpoint_join_multicast_ssm (EsEndpoint *self,
                                GInetAddress *group,
                                GInetAddress *source,
                                const char *interface_name,
                                GError **error)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (G_IS_INET_ADDRESS (group), FALSE);
  g_return_val_if_fail (G_IS_INET_ADDRESS (source), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_membership (self, es_multicast_join, group, source, interface_name, error);
}

/**
 * es_endpoint_leave_multicast_ssm:
 * @self: an endpoint that runs
 * @group: the group's address
 * @source: the sender's address
 * @interface_name: (nullable): the interface, such as `eth0`, or %NULL for every one that can
 * @error: return location for a #GError
 *
 * Leaves a multicast group that was joined for the messages of one sender. Errors: those of
 * [method@Endpoint.join_multicast].
 *
 * Returns: %TRUE if the group was left on one interface at least
 */
gboolean
es_endpoint_leave_multicast_ssm (EsEndpoint *self,
                                 GInetAddress *group,
                                 GInetAddress *source,
                                 const char *interface_name,
                                 GError **error)
{
  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (G_IS_INET_ADDRESS (group), FALSE);
  g_return_val_if_fail (G_IS_INET_ADDRESS (source), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return change_membership (self, es_multicast_leave, group, source, interface_name, error);
}

/* A choice of an interface, for all sockets, since any of them may send to groups. */
typedef struct
{
  const char *interface_name; /* (nullable) */
  GError **error;
  gboolean is_made;
} EsInterfaceChoice;

static void
choose_interface (EsLane *lane,
                  gpointer data)
{
  EsInterfaceChoice *choice = data;

  choice->is_made = choice->is_made &&
                    es_multicast_set_interface (es_lane_get_socket (lane),
                                                choice->interface_name, choice->error);
}

/**
 * es_endpoint_set_multicast_interface:
 * @self: an endpoint that runs
 * @interface_name: (nullable): the interface, such as `eth0`, or %NULL for the one that routes say
 * @error: return location for a #GError
 *
 * Chooses the interface that messages to groups leave by (ip(7), IP_MULTICAST_IF; ipv6(7),
 * IPV6_MULTICAST_IF), until the next stop.
 *
 * Errors: %G_IO_ERROR_CLOSED if the endpoint does not run, %G_IO_ERROR_NOT_FOUND if there is no
 * such interface.
 *
 * Returns: %TRUE if it was chosen
 */
gboolean
es_endpoint_set_multicast_interface (EsEndpoint *self,
                                     const char *interface_name,
                                     GError **error)
{
  EsInterfaceChoice choice = { interface_name, error, TRUE };
  g_autoptr (GSocket) socket = NULL;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  socket = ref_group_socket (self, error);
  if (socket == NULL)
    return FALSE;
  es_endpoint_foreach_lane (self, choose_interface, &choice);
  return choice.is_made;
}
