/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <easyservers.h>

#include <gio/gnativesocketaddress.h>
#include <gio/gunixsocketaddress.h>

#include <sys/socket.h>

static GSocketAddress *
new_scoped (const char *host,
            guint16 port,
            guint32 flow,
            guint32 scope)
{
  g_autoptr (GInetAddress) inet = g_inet_address_new_from_string (host);

  return g_object_new (G_TYPE_INET_SOCKET_ADDRESS, "address", inet, "port", port,
                       "flowinfo", flow, "scope-id", scope, NULL);
}

/* Keeps IPv4-mapped hosts as they are, unlike g_inet_socket_address_new_from_string(). */
static GSocketAddress *
new_inet (const char *host,
          guint16 port)
{
  return new_scoped (host, port, 0, 0);
}

static GSocketAddress *
new_unix (const char *name,
          GUnixSocketAddressType type)
{
  return g_unix_socket_address_new_with_type (name, -1, type);
}

/* Takes the address. */
static void
assert_text (GSocketAddress *address,
             const char *expected)
{
  g_autofree char *text = es_address_to_string (address);

  g_assert_cmpstr (text, ==, expected);
  g_object_unref (address);
}

/* Takes both addresses. */
static void
assert_equal (GSocketAddress *a,
              GSocketAddress *b)
{
  g_assert_true (es_address_equal (a, b));
  g_assert_true (es_address_equal (b, a));
  g_assert_cmpuint (es_address_hash (a), ==, es_address_hash (b));
  g_object_unref (a);
  g_object_unref (b);
}

/* Takes both addresses. */
static void
assert_different (GSocketAddress *a,
                  GSocketAddress *b)
{
  g_assert_false (es_address_equal (a, b));
  g_assert_false (es_address_equal (b, a));
  g_assert_cmpuint (es_address_hash (a), !=, es_address_hash (b));
  g_object_unref (a);
  g_object_unref (b);
}

static void
test_address_text_of_ip4 (void)
{
  g_test_summary ("An IPv4 address reads host:port.");

  assert_text (new_inet ("192.0.2.1", 1234), "192.0.2.1:1234");
  assert_text (new_inet ("0.0.0.0", 0), "0.0.0.0:0");
  assert_text (new_inet ("255.255.255.255", 65535), "255.255.255.255:65535");
}

static void
test_address_text_of_ip6 (void)
{
  g_test_summary ("An IPv6 address reads [host]:port, in the short form that people write.");

  assert_text (new_inet ("2001:DB8:0:0:0:0:0:1", 1234), "[2001:db8::1]:1234");
  assert_text (new_inet ("::", 0), "[::]:0");
  assert_text (new_inet ("::ffff:192.0.2.1", 80), "[::ffff:192.0.2.1]:80");
}

static void
test_address_text_of_scope (void)
{
  g_test_summary ("A scope stands as a number behind the host, and only where there is one.");

  assert_text (new_scoped ("fe80::1", 1234, 0, 2), "[fe80::1%2]:1234");
  assert_text (new_scoped ("fe80::1", 1234, 0, G_MAXUINT32), "[fe80::1%4294967295]:1234");
  assert_text (new_scoped ("fe80::1", 1234, 7, 0), "[fe80::1]:1234");
}

static void
test_address_text_of_unix_socket (void)
{
  g_test_summary ("A Unix socket reads as its path, its abstract name after an @, "
                  "or that it has no name.");

  assert_text (new_unix ("/run/some/socket", G_UNIX_SOCKET_ADDRESS_PATH), "/run/some/socket");
  assert_text (new_unix ("name", G_UNIX_SOCKET_ADDRESS_ABSTRACT), "@name");
  assert_text (new_unix ("", G_UNIX_SOCKET_ADDRESS_ANONYMOUS), "anonymous");
}

static void
test_address_text_of_other_family (void)
{
  struct sockaddr native = { .sa_family = 200 };
  g_autoptr (GSocketAddress) address = g_native_socket_address_new (&native, sizeof native);
  g_autofree char *text = es_address_to_string (address);

  g_test_summary ("An address of a family that nobody here knows has a text too.");

  g_assert_nonnull (text);
  g_assert_cmpstr (text, !=, "");
}

static void
test_address_equal_by_value (void)
{
  g_test_summary ("Two objects for one receiver are equal and hash alike.");

  assert_equal (new_inet ("192.0.2.1", 1234), new_inet ("192.0.2.1", 1234));
  assert_equal (new_inet ("2001:db8::1", 1234), new_inet ("2001:db8::1", 1234));
  assert_equal (new_scoped ("fe80::1", 1, 0, 2), new_scoped ("fe80::1", 1, 0, 2));
  assert_equal (new_unix ("/a", G_UNIX_SOCKET_ADDRESS_PATH),
                new_unix ("/a", G_UNIX_SOCKET_ADDRESS_PATH));
  assert_equal (new_unix ("a", G_UNIX_SOCKET_ADDRESS_ABSTRACT),
                new_unix ("a", G_UNIX_SOCKET_ADDRESS_ABSTRACT));
}

static void
test_address_equal_where_mapped (void)
{
  g_test_summary ("An IPv4 address and its IPv4-mapped IPv6 form name one receiver.");

  assert_equal (new_inet ("192.0.2.1", 1234), new_inet ("::ffff:192.0.2.1", 1234));
  assert_equal (new_inet ("::ffff:192.0.2.1", 1234), new_inet ("::ffff:192.0.2.1", 1234));
  assert_different (new_inet ("192.0.2.1", 1234), new_inet ("::ffff:192.0.2.2", 1234));
  assert_different (new_inet ("192.0.2.1", 1234), new_inet ("::ffff:192.0.2.1", 1235));
  assert_different (new_inet ("192.0.2.1", 1234), new_inet ("::192.0.2.1", 1234));
}

static void
test_address_different_by_each_part (void)
{
  g_test_summary ("Host, port, scope, path and kind each make another address.");

  assert_different (new_inet ("192.0.2.1", 1234), new_inet ("192.0.2.2", 1234));
  assert_different (new_inet ("192.0.2.1", 1234), new_inet ("192.0.2.1", 1235));
  assert_different (new_inet ("2001:db8::1", 1234), new_inet ("2001:db8::2", 1234));
  assert_different (new_inet ("2001:db8::1", 1234), new_inet ("2001:db8::1", 1235));
  assert_different (new_scoped ("fe80::1", 1, 0, 2), new_scoped ("fe80::1", 1, 0, 3));
  assert_different (new_inet ("127.0.0.1", 1), new_inet ("::1", 1));
  assert_different (new_unix ("/a", G_UNIX_SOCKET_ADDRESS_PATH),
                    new_unix ("/b", G_UNIX_SOCKET_ADDRESS_PATH));
  assert_different (new_unix ("a", G_UNIX_SOCKET_ADDRESS_PATH),
                    new_unix ("a", G_UNIX_SOCKET_ADDRESS_ABSTRACT));
  assert_different (new_unix ("a", G_UNIX_SOCKET_ADDRESS_ABSTRACT),
                    new_unix ("ab", G_UNIX_SOCKET_ADDRESS_ABSTRACT));
  assert_different (new_inet ("192.0.2.1", 1), new_unix ("a", G_UNIX_SOCKET_ADDRESS_PATH));
}

static void
test_address_equal_in_spite_of_flow_label (void)
{
  g_test_summary ("A flow label says nothing of who the receiver is.");

  assert_equal (new_scoped ("2001:db8::1", 1234, 7, 0), new_scoped ("2001:db8::1", 1234, 8, 0));
}

static void
test_address_equal_where_nameless (void)
{
  g_test_summary ("Anonymous Unix addresses, which name nobody, are all equal.");

  assert_equal (new_unix ("", G_UNIX_SOCKET_ADDRESS_ANONYMOUS),
                new_unix ("", G_UNIX_SOCKET_ADDRESS_ANONYMOUS));
  assert_different (new_unix ("", G_UNIX_SOCKET_ADDRESS_ANONYMOUS),
                    new_unix ("a", G_UNIX_SOCKET_ADDRESS_PATH));
}

static void
test_address_keys_a_hash_table (void)
{
  g_autoptr (GHashTable) table =
    g_hash_table_new_full (es_address_hash, es_address_equal, g_object_unref, g_free);
  g_autoptr (GSocketAddress) mapped = new_inet ("::ffff:127.0.0.1", 7);
  g_autoptr (GSocketAddress) stranger = new_inet ("127.0.0.1", 1007);

  g_test_summary ("A hash table finds a value by another object for the address, "
                  "and nobody else's.");

  for (guint i = 0; i < 1000; i++)
    g_hash_table_insert (table, new_inet ("127.0.0.1", i), g_strdup_printf ("%u", i));

  g_assert_cmpuint (g_hash_table_size (table), ==, 1000);
  g_assert_cmpstr (g_hash_table_lookup (table, mapped), ==, "7");
  g_assert_null (g_hash_table_lookup (table, stranger));
  g_assert_true (g_hash_table_remove (table, mapped));
  g_assert_null (g_hash_table_lookup (table, mapped));
  g_assert_cmpuint (g_hash_table_size (table), ==, 999);
}

static void
expect_critical (const char *pattern)
{
  g_test_expect_message ("easyservers", G_LOG_LEVEL_CRITICAL, pattern);
}

static void
test_address_refuses_what_is_none (void)
{
  g_autoptr (GObject) object = g_object_new (G_TYPE_OBJECT, NULL);
  g_autoptr (GSocketAddress) address = new_inet ("127.0.0.1", 1);

  g_test_summary ("NULL and other objects are criticals, never a crash.");

  expect_critical ("es_address_to_string: *");
  g_assert_null (es_address_to_string (NULL));
  expect_critical ("es_address_hash: *");
  g_assert_cmpuint (es_address_hash (object), ==, 0);
  expect_critical ("es_address_equal: *");
  g_assert_false (es_address_equal (address, object));
  expect_critical ("es_address_equal: *");
  g_assert_false (es_address_equal (NULL, address));
  g_test_assert_expected_messages ();
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/address/text-of-ip4", test_address_text_of_ip4);
  g_test_add_func ("/address/text-of-ip6", test_address_text_of_ip6);
  g_test_add_func ("/address/text-of-scope", test_address_text_of_scope);
  g_test_add_func ("/address/text-of-unix-socket", test_address_text_of_unix_socket);
  g_test_add_func ("/address/text-of-other-family", test_address_text_of_other_family);
  g_test_add_func ("/address/equal-by-value", test_address_equal_by_value);
  g_test_add_func ("/address/equal-where-mapped", test_address_equal_where_mapped);
  g_test_add_func ("/address/different-by-each-part", test_address_different_by_each_part);
  g_test_add_func ("/address/equal-in-spite-of-flow-label",
                   test_address_equal_in_spite_of_flow_label);
  g_test_add_func ("/address/equal-where-nameless", test_address_equal_where_nameless);
  g_test_add_func ("/address/keys-a-hash-table", test_address_keys_a_hash_table);
  g_test_add_func ("/address/refuses-what-is-none", test_address_refuses_what_is_none);

  return g_test_run ();
}
