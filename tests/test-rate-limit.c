/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-rate-limit.h"

#include "es-test.h"

#include <arpa/inet.h>

#define SECOND G_GINT64_CONSTANT (1000000000)

/* Any moment but the first of all. */
#define NOW (1000 * SECOND)

/* One message in four of a limited host passes: in so many, by chance, hardly less than 23 and
 * hardly more than 27 in a hundred. */
#define N_LEAKED 20000

static EsNative
host (const char *text,
      guint16 port)
{
  EsNative native = { .family = AF_INET, .size = sizeof native.ip4 };

  if (strchr (text, ':') != NULL)
    {
      native.ip6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons (port) };
      native.size = sizeof native.ip6;
      g_assert_cmpint (inet_pton (AF_INET6, text, &native.ip6.sin6_addr), ==, 1);
      return native;
    }
  native.ip4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons (port) };
  g_assert_cmpint (inet_pton (AF_INET, text, &native.ip4.sin_addr), ==, 1);
  return native;
}

/* The host of this number, of as many as IPv4 has. */
static EsNative
numbered_host (guint32 number)
{
  EsNative native = { .family = AF_INET, .size = sizeof native.ip4 };

  native.ip4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl (number) };
  return native;
}

static EsRateRule
rule_of (guint rate,
         guint burst)
{
  EsRateRule rule = { 0 };

  es_rate_rule_set (&rule, rate, burst);
  return rule;
}

/* How many of so many messages pass, all at one moment. */
static guint
count_passing (EsRateLimit *limit,
               const EsNative *sender,
               guint n,
               gint64 now)
{
  guint n_passed = 0;

  for (guint i = 0; i < n; i++)
    n_passed += es_rate_limit_pass (limit, sender, now);
  return n_passed;
}

static void
test_rate_limit_lets_burst_pass (void)
{
  const EsRateRule rule = rule_of (10, 64);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative sender = host ("192.0.2.1", 1);

  g_test_summary ("A host that was silent may send a burst at once, "
                  "and then one message in each interval.");

  g_assert_cmpuint (count_passing (limit, &sender, 64, NOW), ==, 64);
  g_assert_cmpuint (count_passing (limit, &sender, 100, NOW), <, 60);
  for (guint i = 1; i <= 100; i++)
    g_assert_true (es_rate_limit_pass (limit, &sender, NOW + i * SECOND / 10));
}

/* Whether, of a host that has had its burst, about one message in four passes: some other host
 * whose messages count as that one's would pass all. */
static void
assert_is_limited (EsRateLimit *limit,
                   const EsNative *sender)
{
  guint n = count_passing (limit, sender, N_LEAKED, NOW);

  g_assert_cmpuint (n, >, N_LEAKED * 23 / 100);
  g_assert_cmpuint (n, <, N_LEAKED * 27 / 100);
}

static void
test_rate_limit_leaks (void)
{
  const EsRateRule rule = rule_of (1, 1);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative sender = host ("192.0.2.1", 1);

  g_test_summary ("Of what is over the limit one message in four passes, "
                  "so that nobody is silenced.");

  g_assert_true (es_rate_limit_pass (limit, &sender, NOW));
  assert_is_limited (limit, &sender);
}

static void
test_rate_limit_knows_hosts (void)
{
  const EsRateRule rule = rule_of (1, 10);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative ip4 = host ("192.0.2.1", 1), ip4_port = host ("192.0.2.1", 2),
                 ip4_other = host ("192.0.2.2", 1);
  const EsNative ip6 = host ("2001:db8:0:1::1", 1),
                 ip6_same = host ("2001:db8:0:1:ffff:ffff:ffff:ffff", 2);
  const EsNative ip6_other = host ("2001:db8:0:2::1", 1);

  g_test_summary ("A host is an IPv4 address or a /64 network of IPv6, whatever the port.");

  g_assert_cmpuint (count_passing (limit, &ip4, 10, NOW), ==, 10);
  assert_is_limited (limit, &ip4_port);
  g_assert_cmpuint (count_passing (limit, &ip4_other, 10, NOW), ==, 10);

  g_assert_cmpuint (count_passing (limit, &ip6, 10, NOW), ==, 10);
  assert_is_limited (limit, &ip6_same);
  g_assert_cmpuint (count_passing (limit, &ip6_other, 10, NOW), ==, 10);
}

static void
test_rate_limit_counts_up (void)
{
  const EsRateRule rule = rule_of (1, 2);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  guint n_forgotten = 0;

  g_test_summary ("Neighbouring hosts do not push each other out of a table that "
                  "has room for many more.");

  for (guint i = 0; i < 4096; i++)
    {
      const EsNative sender = numbered_host (0x0a000000 + i);

      g_assert_cmpuint (count_passing (limit, &sender, 2, NOW), ==, 2);
    }
  for (guint i = 0; i < 4096; i++)
    {
      const EsNative sender = numbered_host (0x0a000000 + i);

      /* Who was forgotten has its burst again. */
      n_forgotten += count_passing (limit, &sender, 16, NOW) == 16;
    }
  g_assert_cmpuint (n_forgotten, <, 4096 / 100);
}

static void
test_rate_limit_keeps_the_worst (void)
{
  const EsRateRule rule = rule_of (100, 64);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative sender = host ("192.0.2.1", 1);

  g_test_summary ("However many hosts are forged, the one that sends most stays limited.");

  count_passing (limit, &sender, 1000, NOW);
  for (guint i = 0; i < 1000000; i++)
    {
      const EsNative forged = numbered_host (g_test_rand_int ());

      g_assert_true (es_rate_limit_pass (limit, &forged, NOW));
    }
  assert_is_limited (limit, &sender);
}

static void
test_rate_limit_forgives (void)
{
  EsRateRule rule = rule_of (1, 1000000);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative sender = host ("192.0.2.1", 1);

  g_test_summary ("A rule acts at once: who was ahead by an old one waits no longer "
                  "than the new one says.");

  count_passing (limit, &sender, 1000000, NOW);
  es_rate_rule_set (&rule, 10, 1);
  assert_is_limited (limit, &sender);
  g_assert_true (es_rate_limit_pass (limit, &sender, NOW + SECOND / 10));

  es_rate_rule_set (&rule, 0, 1);
  g_assert_cmpuint (count_passing (limit, &sender, 1000, NOW + SECOND / 10), ==, 1000);
}

static void
test_rate_limit_serves_who_was_heard (void)
{
  const EsRateRule rule = rule_of (1000, 10);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative sender = host ("192.0.2.1", 1);
  guint n_passed = 0;

  g_test_summary ("While more comes than is read, whoever was heard is taken, "
                  "and one in sixteen of the others.");

  g_assert_true (es_rate_limit_pass (limit, &sender, NOW));
  es_rate_limit_set_crowded (limit, TRUE);
  for (guint i = 1; i <= 160000; i++)
    {
      const EsNative forged = numbered_host (0x0a000000 + i);

      n_passed += es_rate_limit_pass (limit, &forged, NOW + i * SECOND / 100000);
      if (i % 500 == 0)
        g_assert_true (es_rate_limit_pass (limit, &sender, NOW + i * SECOND / 100000));
    }
  g_assert_cmpuint (n_passed, >, 9000);
  g_assert_cmpuint (n_passed, <, 11000);

  es_rate_limit_set_crowded (limit, FALSE);
  for (guint i = 1; i <= 1000; i++)
    {
      const EsNative newcomer = numbered_host (0x0b000000 + i);

      g_assert_true (es_rate_limit_pass (limit, &newcomer, NOW + 2 * SECOND));
    }
}

static void
test_rate_limit_lets_unix_pass (void)
{
  const EsRateRule rule = rule_of (1, 1);
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  const EsNative sender = { .un = { .sun_family = AF_UNIX, .sun_path = "/a" },
                            .size = sizeof sender.un };

  g_test_summary ("Who sends by a Unix socket is on this host, and not limited.");

  g_assert_cmpuint (count_passing (limit, &sender, 1000, NOW), ==, 1000);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rate-limit/lets-burst-pass", test_rate_limit_lets_burst_pass);
  g_test_add_func ("/rate-limit/leaks", test_rate_limit_leaks);
  g_test_add_func ("/rate-limit/knows-hosts", test_rate_limit_knows_hosts);
  g_test_add_func ("/rate-limit/counts-up", test_rate_limit_counts_up);
  g_test_add_func ("/rate-limit/keeps-the-worst", test_rate_limit_keeps_the_worst);
  g_test_add_func ("/rate-limit/forgives", test_rate_limit_forgives);
  g_test_add_func ("/rate-limit/serves-who-was-heard", test_rate_limit_serves_who_was_heard);
  g_test_add_func ("/rate-limit/lets-unix-pass", test_rate_limit_lets_unix_pass);
  return g_test_run ();
}
