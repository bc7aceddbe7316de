/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-address-book.h"

#include "es-address-private.h"

#include <gio/gunixsocketaddress.h>

#include <string.h>

/* What the run of an endpoint is named by in these tests. */
#define ORIGIN 7

static const EsLocal nowhere = { .family = AF_UNSPEC };

/* The native form of a host and port, as the kernel writes it. */
static EsNative
native_of (const char *host,
           guint16 port)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string (host, port);
  g_autoptr (GError) error = NULL;
  EsNative native;

  es_native_from_address (&native, address, &error);
  g_assert_no_error (error);
  return native;
}

static EsLocal
local_of (const char *host)
{
  EsNative native = native_of (host, 0);
  EsLocal local = { .family = native.family };

  if (native.family == AF_INET)
    local.ip4 = native.ip4.sin_addr;
  else
    local.ip6 = native.ip6.sin6_addr;
  return local;
}

static void
assert_remembered (EsNative native,
                   EsLocal local)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  g_autoptr (GSocketAddress) first = es_address_book_lookup (book, &native, &local);
  g_autoptr (GSocketAddress) again = es_address_book_lookup (book, &native, &local);

  g_assert_true (first == again);
  g_assert_cmpuint (es_address_book_get_n_remembered (book), ==, 1);
}

static void
test_address_book_remembers_sender (void)
{
  g_test_summary ("A sender that is heard again has the object that it had before.");

  assert_remembered (native_of ("192.0.2.1", 1234), nowhere);
  assert_remembered (native_of ("192.0.2.1", 1234), local_of ("127.0.0.2"));
  assert_remembered (native_of ("2001:db8::1", 1234), nowhere);
  assert_remembered (native_of ("2001:db8::1", 1234), local_of ("::1"));
}

static void
test_address_book_names_sender (void)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  EsNative ip4 = native_of ("192.0.2.1", 1234);
  EsNative ip6 = native_of ("fe80::1", 1235);
  g_autoptr (GSocketAddress) address4 = es_address_book_lookup (book, &ip4, &nowhere);
  g_autoptr (GSocketAddress) address6 = NULL;
  g_autofree char *text4 = es_address_to_string (address4);
  g_autofree char *text6 = NULL;

  g_test_summary ("A remembered address is a GInetSocketAddress with host, port and scope.");

  ip6.ip6.sin6_scope_id = 2;
  address6 = es_address_book_lookup (book, &ip6, &nowhere);
  text6 = es_address_to_string (address6);

  g_assert_true (G_IS_INET_SOCKET_ADDRESS (address4));
  g_assert_cmpstr (text4, ==, "192.0.2.1:1234");
  g_assert_cmpstr (text6, ==, "[fe80::1%2]:1235");
}

static void
test_address_book_address_equals_a_users (void)
{
  const char *hosts[] = { "192.0.2.1", "2001:db8::1" };

  g_test_summary ("A remembered address equals what a user makes of its text, and hashes alike.");

  for (gsize i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
      EsNative native = native_of (hosts[i], 1234);
      g_autoptr (GSocketAddress) remembered = es_address_book_lookup (book, &native, &nowhere);
      g_autoptr (GSocketAddress) made = g_inet_socket_address_new_from_string (hosts[i], 1234);

      g_assert_true (es_address_equal (remembered, made));
      g_assert_true (es_address_equal (made, remembered));
      g_assert_cmpuint (es_address_hash (remembered), ==, es_address_hash (made));
    }
}

/* Looks each up twice: the objects must differ from each other, and stay the same. */
static void
assert_told_apart (EsNative native_a,
                   EsLocal local_a,
                   EsNative native_b,
                   EsLocal local_b)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  g_autoptr (GSocketAddress) a = es_address_book_lookup (book, &native_a, &local_a);
  g_autoptr (GSocketAddress) b = es_address_book_lookup (book, &native_b, &local_b);
  g_autoptr (GSocketAddress) a_again = es_address_book_lookup (book, &native_a, &local_a);
  g_autoptr (GSocketAddress) b_again = es_address_book_lookup (book, &native_b, &local_b);

  g_assert_true (a != b);
  g_assert_true (a == a_again);
  g_assert_true (b == b_again);
  g_assert_cmpuint (es_address_book_get_n_remembered (book), ==, 2);
}

static void
test_address_book_tells_senders_apart (void)
{
  EsNative scoped = native_of ("fe80::1", 1);
  EsNative other_scope = scoped;

  g_test_summary ("Host, port and scope each make another sender.");

  other_scope.ip6.sin6_scope_id = 3;
  assert_told_apart (native_of ("192.0.2.1", 1), nowhere, native_of ("192.0.2.2", 1), nowhere);
  assert_told_apart (native_of ("192.0.2.1", 1), nowhere, native_of ("192.0.2.1", 2), nowhere);
  assert_told_apart (native_of ("2001:db8::1", 1), nowhere, native_of ("2001:db8::2", 1), nowhere);
  assert_told_apart (native_of ("2001:db8::1", 1), nowhere, native_of ("2001:db8::1", 2), nowhere);
  assert_told_apart (scoped, nowhere, other_scope, nowhere);
}

static void
test_address_book_tells_local_addresses_apart (void)
{
  EsNative sender4 = native_of ("192.0.2.1", 1);
  EsNative sender6 = native_of ("2001:db8::1", 1);

  g_test_summary ("One sender that asks two of our addresses is answered from each.");

  assert_told_apart (sender4, local_of ("127.0.0.1"), sender4, local_of ("127.0.0.2"));
  assert_told_apart (sender4, nowhere, sender4, local_of ("127.0.0.2"));
  assert_told_apart (sender6, local_of ("2001:db8::2"), sender6, local_of ("2001:db8::3"));
  assert_told_apart (sender6, nowhere, sender6, local_of ("2001:db8::3"));
}

static void
test_address_book_remembers_many_local_addresses (void)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  EsNative sender4 = native_of ("192.0.2.1", 1);
  EsNative sender6 = native_of ("2001:db8::1", 1);
  EsLocal local4 = local_of ("127.0.0.0");
  EsLocal local6 = local_of ("2001:db8::");

  g_test_summary ("One sender that asks many of our addresses is remembered for each.");

  for (guint i = 0; i < 250; i++)
    {
      g_autoptr (GSocketAddress) address4 = NULL;
      g_autoptr (GSocketAddress) address6 = NULL;

      ((guint8 *) &local4.ip4)[3] = i;
      local6.ip6.s6_addr[15] = i;
      address4 = es_address_book_lookup (book, &sender4, &local4);
      address6 = es_address_book_lookup (book, &sender6, &local6);
    }

  g_assert_cmpuint (es_address_book_get_n_remembered (book), ==, 500);
}

static void
test_address_book_forgets_unix_senders (void)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  EsNative native = { .size = offsetof (struct sockaddr_un, sun_path) + sizeof "/a" };
  EsNative nameless = { .size = 0 };
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocketAddress) anonymous = es_address_book_lookup (book, &nameless, &nowhere);
  g_autofree char *text = NULL;
  g_autofree char *text_of_anonymous = es_address_to_string (anonymous);

  g_test_summary ("Unix senders have their names, or none, and take no place in the book.");

  native.un.sun_family = AF_UNIX;
  strcpy (native.un.sun_path, "/a");
  address = es_address_book_lookup (book, &native, &nowhere);
  text = es_address_to_string (address);

  g_assert_cmpstr (text, ==, "/a");
  g_assert_cmpstr (text_of_anonymous, ==, "anonymous");
  g_assert_cmpuint (es_address_book_get_n_remembered (book), ==, 0);
}

/* Asserts the way of an answer: to the sender, and from the local address if that is known. */
static void
assert_route (GSocketAddress *address,
              guint origin,
              const EsNative *expected_to,
              const EsLocal *expected_from)
{
  g_autoptr (GError) error = NULL;
  EsNative to;
  EsLocal from;

  g_assert_true (es_address_to_route (address, origin, &to, &from, &error));
  g_assert_no_error (error);
  g_assert_true (es_native_equal (&to, expected_to));
  g_assert_cmpuint (to.size, ==, expected_to->size);
  g_assert_true (es_local_equal (&from, expected_from));
}

static void
test_address_book_answers_from_address_asked (void)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  EsNative native4 = native_of ("192.0.2.1", 1234);
  EsNative native6 = native_of ("2001:db8::1", 1234);
  EsLocal local4 = local_of ("127.0.0.2");
  EsLocal local6 = local_of ("2001:db8::2");
  g_autoptr (GSocketAddress) address4 = es_address_book_lookup (book, &native4, &local4);
  g_autoptr (GSocketAddress) address6 = es_address_book_lookup (book, &native6, &local6);

  g_test_summary ("An answer leaves from the address that was asked, but only in the same run.");

  assert_route (address4, ORIGIN, &native4, &local4);
  assert_route (address6, ORIGIN, &native6, &local6);
  assert_route (address4, ORIGIN + 1, &native4, &nowhere);
  assert_route (address6, ORIGIN + 1, &native6, &nowhere);
}

static void
assert_asked (const char *sender,
              guint scope,
              const char *asked,
              const char *expected)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  EsNative native = native_of (sender, 1234);
  EsLocal local = local_of (asked);
  g_autoptr (GSocketAddress) address = NULL;
  g_autofree char *host = NULL;

  if (native.family == AF_INET6)
    native.ip6.sin6_scope_id = scope;
  address = es_address_book_lookup (book, &native, &local);
  host = es_address_dup_asked_host (address, ORIGIN);
  g_assert_cmpstr (host, ==, expected);
  g_assert_null (es_address_dup_asked_host (address, ORIGIN + 1));
}

static void
test_address_book_tells_who_was_asked (void)
{
  g_autoptr (GSocketAddress) stranger = g_inet_socket_address_new_from_string ("192.0.2.1", 1);

  g_test_summary ("The host that was asked has the scope of who asked, where it needs one.");

  assert_asked ("192.0.2.1", 0, "127.0.0.2", "127.0.0.2");
  assert_asked ("2001:db8::1", 0, "2001:db8::2", "2001:db8::2");
  assert_asked ("fe80::1", 7, "fe80::2", "fe80::2%7");
  assert_asked ("fe80::1", 7, "2001:db8::2", "2001:db8::2");
  g_assert_null (es_address_dup_asked_host (stranger, ORIGIN));
}

static void
test_address_book_knows_whom_to_answer (void)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  const char *hosts[] = { "192.0.2.1", "2001:db8::1" };
  EsNative to;
  EsLocal from;

  g_test_summary ("The address of a message is answered the short way, as the long way would.");

  for (gsize i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      g_autoptr (GSocketAddress) made = g_inet_socket_address_new_from_string (hosts[i], 1234);
      EsNative native = native_of (hosts[i], 1234);
      EsLocal local = local_of (hosts[i]);
      g_autoptr (GSocketAddress) heard = es_address_book_lookup (book, &native, &local);

      g_assert_true (es_address_to_answer (heard, ORIGIN, &to, &from));
      g_assert_true (es_native_equal (&to, &native));
      g_assert_cmpuint (to.size, ==, native.size);
      g_assert_true (es_local_equal (&from, &local));
      g_assert_true (es_address_to_answer (heard, ORIGIN + 1, &to, &from));
      g_assert_cmpint (from.family, ==, AF_UNSPEC);
      g_assert_false (es_address_to_answer (made, ORIGIN, &to, &from));
    }
  g_assert_false (es_address_to_answer (NULL, ORIGIN, &to, &from));
}

static void
test_address_book_prepares_for_sends (void)
{
  const char *hosts[] = { "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1" };
  EsNative to;
  EsLocal from;

  g_test_summary ("An address that a user made becomes one that is sent to the short way.");

  for (gsize i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      g_autoptr (GSocketAddress) made = g_inet_socket_address_new_from_string (hosts[i], 1234);
      g_autoptr (GSocketAddress) prepared = es_address_dup_for_sends (made);
      g_autoptr (GSocketAddress) again = es_address_dup_for_sends (prepared);

      g_assert_true (es_address_equal (made, prepared));
      g_assert_true (again == prepared);
      g_assert_true (es_address_to_answer (prepared, ORIGIN, &to, &from));
      g_assert_cmpint (from.family, ==, AF_UNSPEC);
    }
}

static void
test_address_book_leaves_other_addresses (void)
{
  g_autoptr (GInetAddress) host = g_inet_address_new_from_string ("2001:db8::1");
  g_autoptr (GSocketAddress) labelled =
    g_object_new (G_TYPE_INET_SOCKET_ADDRESS, "address", host, "port", 1, "flowinfo", 5, NULL);
  g_autoptr (GSocketAddress) path = g_unix_socket_address_new ("/a");
  g_autoptr (GSocketAddress) labelled_too = es_address_dup_for_sends (labelled);
  g_autoptr (GSocketAddress) path_too = es_address_dup_for_sends (path);

  g_test_summary ("An address with a flow label and a Unix one stay what they are.");

  g_assert_true (labelled_too == labelled);
  g_assert_true (path_too == path);
}

static void
test_address_book_routes_a_users_address (void)
{
  g_autoptr (GSocketAddress) inet = g_inet_socket_address_new_from_string ("192.0.2.1", 1234);
  g_autoptr (GSocketAddress) path = g_unix_socket_address_new ("/a");
  EsNative native = native_of ("192.0.2.1", 1234);
  EsNative to;
  EsLocal from;

  g_test_summary ("To an address that was not received the kernel chooses the way.");

  assert_route (inet, ORIGIN, &native, &nowhere);
  g_assert_true (es_address_to_route (path, ORIGIN, &to, &from, NULL));
  g_assert_cmpint (to.family, ==, AF_UNIX);
  g_assert_cmpint (from.family, ==, AF_UNSPEC);
}

static void
test_address_book_lets_users_keep_addresses (void)
{
  EsNative native = native_of ("192.0.2.1", 1);
  EsNative other = native_of ("192.0.2.1", 2);
  EsAddressBook *book = es_address_book_new (ORIGIN);
  GSocketAddress *kept = es_address_book_lookup (book, &native, &nowhere);
  GSocketAddress *dropped = es_address_book_lookup (book, &other, &nowhere);

  g_test_summary ("The book lets go of its addresses when it goes, "
                  "and a user's reference outlives it.");

  g_object_add_weak_pointer (G_OBJECT (kept), (gpointer *) &kept);
  g_object_add_weak_pointer (G_OBJECT (dropped), (gpointer *) &dropped);
  g_object_unref (dropped);
  g_assert_nonnull (dropped);
  es_address_book_free (book);

  g_assert_null (dropped);
  g_assert_nonnull (kept);
  assert_route (kept, ORIGIN, &native, &nowhere);
  g_object_unref (kept);
  g_assert_null (kept);
}

static void
count_gone (gpointer n_gone,
            GObject *where_it_was)
{
  ++*(guint *) n_gone;
}

/* The address of the stranger with that number. */
static EsNative
stranger (guint i)
{
  EsNative native = { .ip4 = { .sin_family = AF_INET, .sin_port = htons (1 + i % 60000) } };

  native.ip4.sin_addr.s_addr = htonl (0x0a000000 + i / 7);
  native.size = sizeof native.ip4;
  return native;
}

/* Makes the book look up strangers, each new, and adds to @n_gone who was forgotten. */
static void
meet_strangers (EsAddressBook *book,
                guint first,
                guint n,
                guint *n_gone)
{
  for (guint i = first; i < first + n; i++)
    {
      EsNative native = stranger (i);
      g_autoptr (GSocketAddress) address = es_address_book_lookup (book, &native, &nowhere);

      g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)),
                        ==, 1 + i % 60000);
      g_object_weak_ref (G_OBJECT (address), count_gone, n_gone);
    }
}

static void
test_address_book_remembers_many (void)
{
  g_autoptr (EsAddressBook) book = es_address_book_new (ORIGIN);
  guint n_gone = 0;

  g_test_summary ("Of a thousand senders, far fewer than it has places for, "
                  "the book forgets none.");

  meet_strangers (book, 0, 1000, &n_gone);
  meet_strangers (book, 0, 1000, &n_gone);

  g_assert_cmpuint (es_address_book_get_n_remembered (book), ==, 1000);
  g_assert_cmpuint (n_gone, ==, 0);
}

static void
test_address_book_spreads_talkers (void)
{
  /* Draws by which a sum of products alone would let talkers share few places. */
  const guint32 seeds[] = { 155, 272 };
  guint n_gone = 0;

  g_test_summary ("Talkers whose addresses count up have the whole book, "
                  "whatever was drawn for its hash.");

  for (gsize i = 0; i < G_N_ELEMENTS (seeds); i++)
    {
      g_autoptr (EsAddressBook) book = NULL;

      g_random_set_seed (seeds[i]);
      book = es_address_book_new (ORIGIN);
      meet_strangers (book, 0, 100 * 1000, &n_gone);
      g_assert_cmpuint (es_address_book_get_n_remembered (book), >, 99 * 1000);
    }
}

/* A million strangers, but under valgrind only as many as fill the book. */
static guint
count_strangers (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

  return preload != NULL && strstr (preload, "vgpreload") != NULL ? ES_ADDRESS_BOOK_SIZE
                                                                  : 1000 * 1000;
}

static void
test_address_book_is_bounded (void)
{
  EsAddressBook *book = es_address_book_new (ORIGIN);
  EsNative first = stranger (0);
  g_autoptr (GSocketAddress) kept = es_address_book_lookup (book, &first, &nowhere);
  guint n_strangers = count_strangers ();
  guint n_gone = 0, n_remembered;

  g_test_summary ("A million strangers do not make the book grow past its size: "
                  "for each that is new another goes, in whole.");

  meet_strangers (book, 1, n_strangers, &n_gone);
  n_remembered = es_address_book_get_n_remembered (book);

  g_assert_cmpuint (n_remembered, <=, ES_ADDRESS_BOOK_SIZE);
  g_assert_cmpuint (n_remembered, >, ES_ADDRESS_BOOK_SIZE * 3 / 4);
  g_assert_cmpuint (n_strangers - n_gone, <=, n_remembered);
  g_assert_cmpuint (n_strangers - n_gone, >=, n_remembered - 1);
  es_address_book_free (book);
  g_assert_cmpuint (n_gone, ==, n_strangers);
  assert_route (kept, ORIGIN, &first, &nowhere);
}

static void
test_address_book_describes_for_errors (void)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("192.0.2.1", 1234);
  g_autofree char *text = es_address_describe (address);
  g_autofree char *text_of_none = es_address_describe (NULL);

  g_test_summary ("An error names its address, and where there is none, whom that means.");

  g_assert_cmpstr (text, ==, "192.0.2.1:1234");
  g_assert_cmpstr (text_of_none, ==, "the connected server");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/address-book/remembers-sender", test_address_book_remembers_sender);
  g_test_add_func ("/address-book/names-sender", test_address_book_names_sender);
  g_test_add_func ("/address-book/address-equals-a-users",
                   test_address_book_address_equals_a_users);
  g_test_add_func ("/address-book/tells-senders-apart", test_address_book_tells_senders_apart);
  g_test_add_func ("/address-book/tells-local-addresses-apart",
                   test_address_book_tells_local_addresses_apart);
  g_test_add_func ("/address-book/remembers-many-local-addresses",
                   test_address_book_remembers_many_local_addresses);
  g_test_add_func ("/address-book/forgets-unix-senders", test_address_book_forgets_unix_senders);
  g_test_add_func ("/address-book/answers-from-address-asked",
                   test_address_book_answers_from_address_asked);
  g_test_add_func ("/address-book/tells-who-was-asked", test_address_book_tells_who_was_asked);
  g_test_add_func ("/address-book/knows-whom-to-answer", test_address_book_knows_whom_to_answer);
  g_test_add_func ("/address-book/prepares-for-sends", test_address_book_prepares_for_sends);
  g_test_add_func ("/address-book/leaves-other-addresses",
                   test_address_book_leaves_other_addresses);
  g_test_add_func ("/address-book/routes-a-users-address",
                   test_address_book_routes_a_users_address);
  g_test_add_func ("/address-book/lets-users-keep-addresses",
                   test_address_book_lets_users_keep_addresses);
  g_test_add_func ("/address-book/remembers-many", test_address_book_remembers_many);
  g_test_add_func ("/address-book/spreads-talkers", test_address_book_spreads_talkers);
  g_test_add_func ("/address-book/is-bounded", test_address_book_is_bounded);
  g_test_add_func ("/address-book/describes-for-errors", test_address_book_describes_for_errors);

  return g_test_run ();
}
