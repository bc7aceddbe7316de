/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-multicast.h"

#include "es-socket.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>

/* Groups and interfaces. GSocket knows how to join a group on one interface, though not an IPv4
 * group for one sender on a socket of IPv6; here is what it takes to do it on every interface that
 * can, and to leave what was joined on a socket that outlives its use. */

/* A group that a socket is a member of. */
typedef struct
{
  GInetAddress *group;  /* (owned) */
  GInetAddress *source; /* (owned) (nullable) */
  char *interface_name; /* (owned) (nullable) NULL: every one that can */
} EsMembership;

static GQuark
memberships_quark (void)
{
  return g_quark_from_static_string ("es-memberships");
}

static void
free_membership (gpointer data)
{
  EsMembership *membership = data;

  g_object_unref (membership->group);
  g_clear_object (&membership->source);
  g_free (membership->interface_name);
  g_free (membership);
}

/* (transfer none) The socket's memberships, which last as long as it does. */
static GPtrArray *
get_memberships (GSocket *socket)
{
  GPtrArray *all = g_object_get_qdata (G_OBJECT (socket), memberships_quark ());

  if (all != NULL)
    return all;
  all = g_ptr_array_new_with_free_func (free_membership);
  g_object_set_qdata_full (G_OBJECT (socket), memberships_quark (), all,
                           (GDestroyNotify) g_ptr_array_unref);
  return all;
}

static gboolean
equal_inet (GInetAddress *a,
            GInetAddress *b)
{
  return a == b || (a != NULL && b != NULL && g_inet_address_equal (a, b));
}

static void
note_join (GSocket *socket,
           GInetAddress *group,
           GInetAddress *source,
           const char *interface_name)
{
  EsMembership *membership = g_new0 (EsMembership, 1);

  membership->group = g_object_ref (group);
  membership->source = source != NULL ? g_object_ref (source) : NULL;
  membership->interface_name = g_strdup (interface_name);
  g_ptr_array_add (get_memberships (socket), membership);
}

static void
note_leave (GSocket *socket,
            GInetAddress *group,
            GInetAddress *source,
            const char *interface_name)
{
  GPtrArray *all = get_memberships (socket);

  for (guint i = all->len; i > 0; i--)
    {
      EsMembership *membership = all->pdata[i - 1];

      if (equal_inet (membership->group, group) && equal_inet (membership->source, source) &&
          g_strcmp0 (membership->interface_name, interface_name) == 0)
        g_ptr_array_remove_index_fast (all, i - 1);
    }
}

gboolean
es_multicast_join (GSocket *socket,
                   GInetAddress *group,
                   GInetAddress *source,
                   const char *interface_name,
                   GError **error)
{
  if (source != NULL)
    return es_socket_change_source_membership (socket, TRUE, group, source,
                                               if_nametoindex (interface_name), error);
  return g_socket_join_multicast_group (socket, group, FALSE, interface_name, error);
}

gboolean
es_multicast_leave (GSocket *socket,
                    GInetAddress *group,
                    GInetAddress *source,
                    const char *interface_name,
                    GError **error)
{
  if (source != NULL)
    return es_socket_change_source_membership (socket, FALSE, group, source,
                                               if_nametoindex (interface_name), error);
  return g_socket_leave_multicast_group (socket, group, FALSE, interface_name, error);
}

/* The loopback interface can, though it does not say so. */
static gboolean
can_multicast (const struct ifaddrs *interface)
{
  return (interface->ifa_flags & IFF_UP) != 0 &&
         (interface->ifa_flags & (IFF_MULTICAST | IFF_LOOPBACK)) != 0;
}

/* (transfer full) (element-type utf8) The names of the interfaces that can. */
static GHashTable *
list_interfaces (void)
{
  GHashTable *names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  struct ifaddrs *interfaces = NULL;

  if (getifaddrs (&interfaces) != 0)
    return names;
  for (struct ifaddrs *interface = interfaces; interface != NULL; interface = interface->ifa_next)
    if (can_multicast (interface))
      g_hash_table_add (names, g_strdup (interface->ifa_name));
  freeifaddrs (interfaces);
  return names;
}

static gboolean
change_everywhere (GSocket *socket,
                   EsMembershipFunc change,
                   GInetAddress *group,
                   GInetAddress *source,
                   GError **error)
{
  g_autoptr (GHashTable) names = list_interfaces ();
  g_autoptr (GError) last = NULL;
  GHashTableIter iter;
  gpointer name;
  guint n_changed = 0;

  g_hash_table_iter_init (&iter, names);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    {
      g_clear_error (&last);
      n_changed += change (socket, group, source, name, &last);
    }
  if (n_changed > 0)
    return TRUE;
  if (last == NULL)
    last = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "No interface can");
  g_propagate_error (error, g_steal_pointer (&last));
  return FALSE;
}

static gboolean
check_interface (const char *interface_name,
                 GError **error)
{
  if (interface_name == NULL || if_nametoindex (interface_name) != 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "There is no interface “%s”",
               interface_name);
  return FALSE;
}

static gboolean
check_group (GInetAddress *group,
             GError **error)
{
  if (g_inet_address_get_is_multicast (group))
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                       "It is not a multicast address");
  return FALSE;
}

/* Joins or leaves a group on one interface, or on every one that can. */
gboolean
es_multicast_change (GSocket *socket,
                     EsMembershipFunc change,
                     GInetAddress *group,
                     GInetAddress *source,
                     const char *interface_name,
                     GError **error)
{
  g_autofree char *name = g_inet_address_to_string (group);
  gboolean is_changed = check_group (group, error) && check_interface (interface_name, error);

  if (is_changed && interface_name != NULL)
    is_changed = change (socket, group, source, interface_name, error);
  else if (is_changed)
    is_changed = change_everywhere (socket, change, group, source, error);
  if (!is_changed)
    g_prefix_error (error, "Could not %s group %s: ",
                    change == es_multicast_join ? "join" : "leave", name);
  else if (change == es_multicast_join)
    note_join (socket, group, source, interface_name);
  else
    note_leave (socket, group, source, interface_name);
  return is_changed;
}

/* Leaves whatever was joined here. What an interface took along that is gone needs no leaving. */
void
es_multicast_leave_all (GSocket *socket)
{
  GPtrArray *all = get_memberships (socket);

  while (all->len > 0)
    {
      EsMembership *membership = g_ptr_array_steal_index_fast (all, 0);

      es_multicast_change (socket, es_multicast_leave, membership->group, membership->source,
                           membership->interface_name, NULL);
      free_membership (membership);
    }
}

/* Chooses the interface that messages to groups leave by. */
gboolean
es_multicast_set_interface (GSocket *socket,
                            const char *interface_name,
                            GError **error)
{
  if (!check_interface (interface_name, error))
    {
      g_prefix_error (error, "Could not choose an interface: ");
      return FALSE;
    }
  es_socket_set_multicast_interface (socket,
                                     interface_name != NULL ? if_nametoindex (interface_name) : 0);
  return TRUE;
}
