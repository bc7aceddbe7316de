/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-address.h"
#include "es-native.h"
#include "es-udp-client.h"
#include "es-udp-server.h"

#include "fuzz.h"

#include <gio/gunixsocketaddress.h>

/*
 * Addresses, as the kernel writes them and as people do. The first byte of the input says which.
 *
 * What the kernel writes becomes an address for users and back without a change, and what is
 * printed of it says the same when it is read. What people write is given to a server to listen at
 * and to a client to connect to, where it is refused with a reason or leads to an address that can
 * be printed and read again. Names are looked up nowhere: a resolver of our own makes their
 * addresses up.
 */

#define MAX_TEXT 300

/* A resolver that knows all names. */
#define FUZZ_TYPE_RESOLVER (fuzz_resolver_get_type ())
G_DECLARE_FINAL_TYPE (FuzzResolver, fuzz_resolver, FUZZ, RESOLVER, GResolver)

struct _FuzzResolver
{
  GResolver parent_instance;
};

G_DEFINE_FINAL_TYPE (FuzzResolver, fuzz_resolver, G_TYPE_RESOLVER)

/* The addresses that the text of a name stands for: none, or loopback ones. */
static GList *
fuzz_resolver_lookup (GResolver *resolver,
                      const char *name,
                      GResolverNameLookupFlags flags,
                      GCancellable *cancellable,
                      GError **error)
{
  GList *addresses = NULL;
  guint n = g_str_hash (name) % 4;

  for (guint i = 0; i < n; i++)
    addresses = g_list_prepend (
      addresses, g_inet_address_new_loopback (i % 2 ? G_SOCKET_FAMILY_IPV6 : G_SOCKET_FAMILY_IPV4));
  if (n == 0)
    g_set_error_literal (error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND,
                         "Nobody is called so");
  return addresses;
}

static void
fuzz_resolver_lookup_async (GResolver *resolver,
                            const char *name,
                            GResolverNameLookupFlags flags,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, callback, user_data);
  GError *error = NULL;
  GList *addresses = fuzz_resolver_lookup (resolver, name, flags, cancellable, &error);

  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, addresses, (GDestroyNotify) g_resolver_free_addresses);
}

static GList *
fuzz_resolver_lookup_finish (GResolver *resolver,
                             GAsyncResult *result,
                             GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static GList *
fuzz_resolver_lookup_by_name (GResolver *resolver,
                              const char *name,
                              GCancellable *cancellable,
                              GError **error)
{
  return fuzz_resolver_lookup (resolver, name, G_RESOLVER_NAME_LOOKUP_FLAGS_DEFAULT, cancellable,
                               error);
}

static void
fuzz_resolver_class_init (FuzzResolverClass *klass)
{
  GResolverClass *resolver_class = G_RESOLVER_CLASS (klass);

  resolver_class->lookup_by_name = fuzz_resolver_lookup_by_name;
  resolver_class->lookup_by_name_with_flags = fuzz_resolver_lookup;
  resolver_class->lookup_by_name_with_flags_async = fuzz_resolver_lookup_async;
  resolver_class->lookup_by_name_with_flags_finish = fuzz_resolver_lookup_finish;
}

static void
fuzz_resolver_init (FuzzResolver *self)
{
}

static void
set_up (void)
{
  static gboolean is_done;
  g_autoptr (GResolver) resolver = NULL;

  if (is_done)
    return;
  is_done = TRUE;
  resolver = g_object_new (FUZZ_TYPE_RESOLVER, NULL);
  g_resolver_set_default (resolver);
}

/* What is printed is read as the same address, and harms no terminal if the kernel wrote no name.
 * */
static void
check_printed (GSocketAddress *address)
{
  g_autofree char *text = es_address_to_string (address);
  g_autoptr (GSocketConnectable) read = NULL;
  g_autoptr (GSocketAddressEnumerator) enumerator = NULL;
  g_autoptr (GSocketAddress) again = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (text);
  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return;
  g_assert_cmpint (strspn (text, "0123456789abcdef.:[]%"), ==, strlen (text));
  read = g_network_address_parse (text, 1, &error);
  g_assert_no_error (error);
  /* GLib takes a scope for a part of a name. */
  if (strchr (text, '%') != NULL)
    return;
  enumerator = g_socket_connectable_enumerate (read);
  again = g_socket_address_enumerator_next (enumerator, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (es_address_equal (address, again));
}

static void
take_native (FuzzInput *input,
             EsNative *native)
{
  static const sa_family_t families[] = { AF_INET, AF_INET6, AF_UNIX, AF_INET6 };
  guint8 kind = fuzz_take_byte (input) % G_N_ELEMENTS (families);

  memset (native, 0, sizeof *native);
  if (families[kind] == AF_INET)
    native->size = sizeof native->ip4;
  else if (families[kind] == AF_INET6)
    native->size = sizeof native->ip6;
  else
    native->size = sizeof (sa_family_t) + MIN (input->size, sizeof native->un.sun_path);
  fuzz_take (input, (guint8 *) &native->any + sizeof (sa_family_t),
             native->size - sizeof (sa_family_t));
  native->family = families[kind];
  if (kind == 3)
    memcpy (&native->ip6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  es_native_unmap (native);
}

static void
check_native (FuzzInput *input)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocketAddress) copy = NULL;
  g_autoptr (GError) error = NULL;
  EsNative native, again;

  take_native (input, &native);
  address = es_native_to_address (&native);
  g_assert_true (G_IS_SOCKET_ADDRESS (address));
  check_printed (address);
  g_assert_true (es_native_from_address (&again, address, &error));
  g_assert_no_error (error);
  if (es_native_is_ip (&native))
    {
      g_assert_true (es_native_equal (&native, &again));
      g_assert_cmpuint (es_native_hash (&native), ==, es_native_hash (&again));
    }
  copy = es_native_to_address (&again);
  g_assert_true (es_address_equal (address, copy));
  g_assert_cmpuint (es_address_hash (address), ==, es_address_hash (copy));
}

static void
check_two (FuzzInput *input)
{
  g_autoptr (GSocketAddress) a = NULL;
  g_autoptr (GSocketAddress) b = NULL;
  EsNative native_a, native_b;

  take_native (input, &native_a);
  take_native (input, &native_b);
  a = es_native_to_address (&native_a);
  b = es_native_to_address (&native_b);
  g_assert_cmpint (es_address_equal (a, b), ==, es_address_equal (b, a));
  if (es_address_equal (a, b))
    g_assert_cmpuint (es_address_hash (a), ==, es_address_hash (b));
  if (es_native_is_ip (&native_a) && es_native_is_ip (&native_b))
    g_assert_cmpint (es_address_equal (a, b), ==, es_native_equal (&native_a, &native_b));
}

static char *
take_text (FuzzInput *input)
{
  return g_strndup ((const char *) input->data, MIN (input->size, MAX_TEXT));
}

/* A refusal has a reason that names what was refused. */
static void
check_outcome (gboolean is_done,
               GError *const *reason)
{
  const GError *error = *reason;

  g_assert_cmpint (is_done, ==, error == NULL);
  if (error != NULL)
    g_assert_cmpuint (strlen (error->message), >, strlen ("Could not "));
}

static void
check_listening (FuzzInput *input)
{
  g_autofree char *text = take_text (input);
  g_autoptr (EsUdpServer) server = es_udp_server_new (0);
  g_autoptr (GSocketAddress) local = NULL;
  g_autoptr (GError) error = NULL;

  /* Introspected languages hand over nothing else, and GObject asks for it. */
  if (!g_utf8_validate (text, -1, NULL))
    return;
  es_udp_server_set_address (server, text);
  g_assert_cmpstr (es_udp_server_get_address (server), ==, text);
  check_outcome (es_endpoint_start (ES_ENDPOINT (server), &error), &error);
  if (error != NULL)
    return;
  local = es_endpoint_get_local_address (ES_ENDPOINT (server));
  check_printed (local);
  es_endpoint_stop (ES_ENDPOINT (server));
}

static void
check_connecting (FuzzInput *input)
{
  guint16 port = fuzz_take_word (input);
  g_autofree char *text = take_text (input);
  g_autoptr (EsUdpClient) client = es_udp_client_new ();
  g_autoptr (GError) error = NULL;

  check_outcome (es_udp_client_connect_to_host (client, text, port, NULL, &error), &error);
  if (error == NULL)
    check_printed (es_udp_client_get_remote_address (client));
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  static void (*const checks[]) (FuzzInput * input) = { check_native, check_two, check_listening,
                                                        check_connecting };
  FuzzInput input = { data, size };

  set_up ();
  checks[fuzz_take_byte (&input) % G_N_ELEMENTS (checks)](&input);
  return 0;
}
