/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the rate limit costs a message, whoever sends it: rate-limit [MESSAGES] */

#include "config.h"

#include "es-rate-limit.h"

#include <stdlib.h>

#define N_SENDERS (1024 * 1024)

/* So many hosts, that send in no order. */
static guint32 *
make_hosts (guint n_hosts)
{
  guint32 *hosts = g_new (guint32, N_SENDERS);

  for (guint i = 0; i < N_SENDERS; i++)
    hosts[i] = (g_random_int () % n_hosts + 1) * 2654435761u;
  return hosts;
}

/* Prints the nanoseconds that one message takes, the best of five rounds, since other programs only
 * ever add to it. The clock steps by 10 ns a message, as in a flood of 100 million a second. */
static void
measure (const char *name,
         guint n_hosts,
         guint rate,
         guint n_messages)
{
  EsRateRule rule = { 0 };
  g_autoptr (EsRateLimit) limit = es_rate_limit_new (&rule);
  g_autofree guint32 *hosts = make_hosts (n_hosts);
  EsNative sender = { .ip4.sin_family = AF_INET, .size = sizeof sender.ip4 };
  gint64 best = G_MAXINT64, now = G_USEC_PER_SEC;
  guint64 n_passed = 0;

  es_rate_rule_set (&rule, rate, 64);
  for (int round = 0; round < 5; round++)
    {
      gint64 begin = g_get_monotonic_time ();

      for (guint i = 0; i < n_messages; i++)
        {
          sender.ip4.sin_addr.s_addr = hosts[i % N_SENDERS];
          n_passed += es_rate_limit_pass (limit, &sender, now += 10);
        }
      best = MIN (best, g_get_monotonic_time () - begin);
    }
  g_print ("%-40s %5.1f ns a message, %5.1f %% pass\n",
           name, best * 1000.0 / n_messages, n_passed * 20.0 / n_messages);
}

int
main (int argc,
      char **argv)
{
  guint n_messages = argc > 1 ? strtoul (argv[1], NULL, 10) : 10000000;

  measure ("No limit", 1, 0, n_messages);
  measure ("One host, within its limit", 1, 1000000000, n_messages);
  measure ("One host, over its limit", 1, 1000, n_messages);
  measure ("1000 hosts, over their limit", 1000, 1000, n_messages);
  measure ("30 000 hosts, as many as have accounts", 30000, 1000, n_messages);
  measure ("A million forged hosts", 1000000, 1000, n_messages);
  return 0;
}
