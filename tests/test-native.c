/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-native.h"

#include "es-address.h"

#include <gio/gnativesocketaddress.h>
#include <gio/gunixsocketaddress.h>

#include <arpa/inet.h>
#include <string.h>

/* A native IPv6 address. */
static EsNative
ip6 (const char *host,
     guint16 port,
     guint32 scope)
{
  EsNative native;

  memset (&native, 0, sizeof native);
  native.ip6.sin6_family = AF_INET6;
  native.ip6.sin6_port = htons (port);
  native.ip6.sin6_scope_id = scope;
  g_assert_cmpint (inet_pton (AF_INET6, host, &native.ip6.sin6_addr), ==, 1);
  native.size = sizeof native.ip6;
  return native;
}

/* A native IPv4 address. */
static EsNative
ip4 (const char *host,
     guint16 port)
{
  EsNative native;

  memset (&native, 0, sizeof native);
  native.ip4.sin_family = AF_INET;
  native.ip4.sin_port = htons (port);
  g_assert_cmpint (inet_pton (AF_INET, host, &native.ip4.sin_addr), ==, 1);
  native.size = sizeof native.ip4;
  return native;
}

/* A native Unix address as the kernel writes it: so many bytes of a path or, behind a NUL, of a
 * name. What stands behind them is not the kernel's. */
static EsNative
unix_name (const char *path,
           gsize size)
{
  EsNative native;

  memset (&native, 'z', sizeof native);
  native.un.sun_family = AF_UNIX;
  memcpy ((guint8 *) &native + offsetof (struct sockaddr_un, sun_path), path, size);
  native.size = offsetof (struct sockaddr_un, sun_path) + size;
  return native;
}

static void
assert_text (EsNative native,
             const char *expected)
{
  g_autoptr (GSocketAddress) address = es_native_to_address (&native);
  g_autofree char *text = es_address_to_string (address);

  g_assert_cmpstr (text, ==, expected);
}

/* What an address becomes natively, and back again. */
static void
assert_survives (EsNative native)
{
  g_autoptr (GSocketAddress) address = es_native_to_address (&native);
  g_autoptr (GSocketAddress) back = NULL;
  g_autoptr (GError) error = NULL;
  EsNative again;

  g_assert_true (es_native_from_address (&again, address, &error));
  g_assert_no_error (error);
  back = es_native_to_address (&again);

  g_assert_true (es_address_equal (address, back));
  if (es_native_is_ip (&native))
    g_assert_true (es_native_equal (&native, &again));
}

static void
test_native_becomes_address (void)
{
  g_test_summary ("What the kernel writes becomes the GSocketAddress that it names.");

  assert_text (ip4 ("192.0.2.1", 1234), "192.0.2.1:1234");
  assert_text (ip6 ("2001:db8::1", 1234, 0), "[2001:db8::1]:1234");
  assert_text (ip6 ("fe80::1", 1234, 2), "[fe80::1%2]:1234");
  assert_text (unix_name ("/a", sizeof "/a"), "/a");
  assert_text (unix_name ("/a", 2), "/a");
  assert_text (unix_name ("\0a", 2), "@a");
}

static void
test_native_becomes_address_of_longest_path (void)
{
  gsize room = sizeof (struct sockaddr_un) - offsetof (struct sockaddr_un, sun_path);
  g_autofree char *fits = g_strnfill (room - 1, 'a');
  g_autofree char *longest = g_strnfill (room, 'a');

  g_test_summary ("The longest path that Linux binds has its NUL byte behind the struct: "
                  "the address has what GIO can hold of it.");

  assert_text (unix_name (fits, room), fits);
  assert_text (unix_name (longest, room + 1), fits);
}

static void
test_native_becomes_anonymous_where_nameless (void)
{
  EsNative nothing;

  g_test_summary ("A sender without a name has an anonymous address, and never none.");

  memset (&nothing, 0, sizeof nothing);
  assert_text (nothing, "anonymous");
  nothing.size = sizeof (sa_family_t);
  assert_text (nothing, "anonymous");
  assert_text (unix_name ("", 0), "anonymous");
}

static void
test_native_survives_both_ways (void)
{
  g_test_summary ("An address that becomes native and back names the same receiver.");

  assert_survives (ip4 ("192.0.2.1", 1234));
  assert_survives (ip6 ("2001:db8::1", 1234, 0));
  assert_survives (ip6 ("fe80::1", 65535, 7));
  assert_survives (unix_name ("/a/b", sizeof "/a/b"));
  assert_survives (unix_name ("\0ab", 3));
  assert_survives (unix_name ("\0a\0b", 4));
  assert_survives (unix_name ("", 0));
}

static void
test_native_is_small_for_ip (void)
{
  g_autoptr (GSocketAddress) address4 = g_inet_socket_address_new_from_string ("192.0.2.1", 1);
  g_autoptr (GSocketAddress) address6 = g_inet_socket_address_new_from_string ("2001:db8::1", 1);
  EsNative native4, native6;

  g_test_summary ("The kernel is told as many bytes as an address of its family has.");

  g_assert_true (es_native_from_address (&native4, address4, NULL));
  g_assert_true (es_native_from_address (&native6, address6, NULL));

  g_assert_cmpint (native4.family, ==, AF_INET);
  g_assert_cmpuint (native4.size, ==, sizeof (struct sockaddr_in));
  g_assert_cmpint (native6.family, ==, AF_INET6);
  g_assert_cmpuint (native6.size, ==, sizeof (struct sockaddr_in6));
}

static void
test_native_unmaps_ip4 (void)
{
  EsNative mapped = ip6 ("::ffff:192.0.2.1", 1234, 0);
  EsNative expected = ip4 ("192.0.2.1", 1234);

  g_test_summary ("An IPv4-mapped address becomes the IPv4 address, byte for byte.");

  es_native_unmap (&mapped);

  g_assert_cmpmem (&mapped.any, mapped.size, &expected.any, expected.size);
}

static void
test_native_unmaps_address (void)
{
  g_autoptr (GInetAddress) inet = g_inet_address_new_from_string ("::ffff:192.0.2.1");
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (inet, 1234);
  EsNative native, expected = ip4 ("192.0.2.1", 1234);

  g_test_summary ("A mapped address given by a user goes to the IPv4 host.");

  g_assert_true (es_native_from_address (&native, address, NULL));

  g_assert_cmpmem (&native.any, native.size, &expected.any, expected.size);
}

static void
assert_unmap_keeps (EsNative native)
{
  EsNative before = native;

  es_native_unmap (&native);
  g_assert_cmpmem (&native, sizeof native, &before, sizeof before);
}

static void
test_native_unmap_keeps_others (void)
{
  g_test_summary ("What is not IPv4-mapped stays as it is.");

  assert_unmap_keeps (ip4 ("192.0.2.1", 1234));
  assert_unmap_keeps (ip6 ("::192.0.2.1", 1234, 0));
  assert_unmap_keeps (ip6 ("64:ff9b::192.0.2.1", 1234, 0));
  assert_unmap_keeps (ip6 ("::1", 1234, 3));
  assert_unmap_keeps (unix_name ("/a", sizeof "/a"));
}

static void
test_native_copy_is_whole (void)
{
  EsNative from[] = { ip4 ("192.0.2.1", 1), ip6 ("fe80::1", 1, 2), unix_name ("/a", sizeof "/a"),
                      unix_name ("", 0) };

  g_test_summary ("A copy equals what it was made from, though not every byte was copied.");

  for (gsize i = 0; i < G_N_ELEMENTS (from); i++)
    {
      EsNative copy;

      memset (&copy, 0xff, sizeof copy);
      es_native_copy (&copy, &from[i]);
      g_assert_cmpmem (&copy.any, copy.size, &from[i].any, from[i].size);
      g_assert_true (es_native_equal (&copy, &from[i]));
      g_assert_cmpuint (es_native_hash (&copy), ==, es_native_hash (&from[i]));
    }
}

static void
assert_different (EsNative a,
                  EsNative b)
{
  g_assert_true (es_native_equal (&a, &a));
  g_assert_false (es_native_equal (&a, &b));
  g_assert_false (es_native_equal (&b, &a));
  g_assert_cmpuint (es_native_hash (&a), !=, es_native_hash (&b));
}

static void
test_native_different_by_each_part (void)
{
  g_test_summary ("Family, host, port, scope and name each make another address.");

  assert_different (ip4 ("192.0.2.1", 1), ip4 ("192.0.2.2", 1));
  assert_different (ip4 ("192.0.2.1", 1), ip4 ("192.0.2.1", 2));
  assert_different (ip6 ("2001:db8::1", 1, 0), ip6 ("2001:db8::2", 1, 0));
  assert_different (ip6 ("2001:db8::1", 1, 0), ip6 ("2001:db8::1", 2, 0));
  assert_different (ip6 ("fe80::1", 1, 1), ip6 ("fe80::1", 1, 2));
  assert_different (ip4 ("0.0.0.0", 1), ip6 ("::", 1, 0));
  assert_different (ip4 ("192.0.2.1", 1), unix_name ("a", 1));
  assert_different (unix_name ("a", 1), unix_name ("b", 1));
  assert_different (unix_name ("a", 1), unix_name ("a\0", 2));
}

static void
test_native_equal_in_spite_of_flow_label (void)
{
  EsNative a = ip6 ("2001:db8::1", 1, 0);
  EsNative b = a;

  g_test_summary ("A flow label says nothing of who the peer is.");

  b.ip6.sin6_flowinfo = 7;

  g_assert_true (es_native_equal (&a, &b));
  g_assert_cmpuint (es_native_hash (&a), ==, es_native_hash (&b));
}

/* Counts how the hashes of peers that count up fall into a small table. */
static void
assert_spreads (const EsNative *native,
                guint16 *port,
                guint8 *host)
{
  guint n_in[1024] = { 0 };

  for (guint i = 0; i < 64 * G_N_ELEMENTS (n_in); i++)
    {
      *port = htons (1024 + i % 16384);
      *host = i / 16384;
      n_in[es_native_hash (native) % G_N_ELEMENTS (n_in)]++;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (n_in); i++)
    g_assert_cmpuint (n_in[i], <, 3 * 64);
}

static void
test_native_hash_spreads_peers (void)
{
  EsNative native4 = ip4 ("192.0.2.0", 0);
  EsNative native6 = ip6 ("2001:db8::", 0, 0);

  g_test_summary ("Peers whose addresses and ports count up are spread over a table.");

  assert_spreads (&native4, &native4.ip4.sin_port, (guint8 *) &native4.ip4.sin_addr + 3);
  assert_spreads (&native6, &native6.ip6.sin6_port, &native6.ip6.sin6_addr.s6_addr[15]);
}

static void
test_native_refuses_what_is_too_long (void)
{
  guint8 bytes[200] = { 0 };
  g_autoptr (GSocketAddress) address = g_native_socket_address_new (bytes, sizeof bytes);
  g_autoptr (GError) error = NULL;
  EsNative native;

  g_test_summary ("An address that is neither of IP nor of Unix is told by its type.");

  g_assert_false (es_native_from_address (&native, address, &error));

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "GNativeSocketAddress"));
}

static void
test_native_local_equal (void)
{
  EsLocal none = { .family = AF_UNSPEC };
  EsLocal a4 = { .family = AF_INET, .ip4.s_addr = htonl (0x7f000001) };
  EsLocal b4 = { .family = AF_INET, .ip4.s_addr = htonl (0x7f000002) };
  EsLocal a6 = { .family = AF_INET6, .ip6 = IN6ADDR_LOOPBACK_INIT };
  EsLocal b6 = { .family = AF_INET6, .ip6 = IN6ADDR_ANY_INIT };
  EsLocal *locals[] = { &none, &a4, &b4, &a6, &b6 };

  g_test_summary ("Local addresses are equal where family and address are, "
                  "whatever stands behind.");

  for (gsize i = 0; i < G_N_ELEMENTS (locals); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (locals); j++)
      g_assert_cmpint (es_local_equal (locals[i], locals[j]), ==, i == j);
  none.ip4 = a4.ip4;
  g_assert_true (es_local_equal (&none, &(EsLocal){ .family = AF_UNSPEC }));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/native/becomes-address", test_native_becomes_address);
  g_test_add_func ("/native/becomes-address-of-longest-path",
                   test_native_becomes_address_of_longest_path);
  g_test_add_func ("/native/becomes-anonymous-where-nameless",
                   test_native_becomes_anonymous_where_nameless);
  g_test_add_func ("/native/survives-both-ways", test_native_survives_both_ways);
  g_test_add_func ("/native/is-small-for-ip", test_native_is_small_for_ip);
  g_test_add_func ("/native/unmaps-ip4", test_native_unmaps_ip4);
  g_test_add_func ("/native/unmaps-address", test_native_unmaps_address);
  g_test_add_func ("/native/unmap-keeps-others", test_native_unmap_keeps_others);
  g_test_add_func ("/native/copy-is-whole", test_native_copy_is_whole);
  g_test_add_func ("/native/different-by-each-part", test_native_different_by_each_part);
  g_test_add_func ("/native/equal-in-spite-of-flow-label",
                   test_native_equal_in_spite_of_flow_label);
  g_test_add_func ("/native/hash-spreads-peers", test_native_hash_spreads_peers);
  g_test_add_func ("/native/refuses-what-is-too-long", test_native_refuses_what_is_too_long);
  g_test_add_func ("/native/local-equal", test_native_local_equal);

  return g_test_run ();
}
