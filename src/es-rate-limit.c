/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-rate-limit.h"

#include <string.h>

/*
 * How fast each host may send. A host is an IPv4 address or the /64 network of an IPv6 one, since
 * who has one address of that has all of them.
 *
 * A host's account is one number: the time up to which its messages so far are paid for, if one is
 * paid for in each interval (the generic cell rate algorithm, ITU-T I.371). Who is further ahead
 * than a burst is limited. Accounts stand in a table of fixed size, in sets of four places, and a
 * host that finds none takes the place of the one that is least ahead: so forged addresses cost
 * neither memory nor time, and whom they displace starts afresh.
 *
 * One message in four of a limited host passes all the same, as chrony lets it: so who forges the
 * address of a host cannot silence it.
 *
 * Who forges ever new addresses is within the limit with each. While more comes than can be read,
 * hosts without an account are the ones to wait: one message in sixteen of theirs opens one. So
 * those who were heard lately are served on.
 */

#define N_WAYS 4
#define N_SETS (ES_RATE_LIMIT_N_HOSTS / N_WAYS)
#define LEAK_MASK 3
#define NEWCOMER_MASK 15

typedef struct
{
  guint32 tags[N_WAYS];
  gint64 paid_until[N_WAYS]; /* nanoseconds */
} EsAccountSet;

struct _EsRateLimit
{
  const EsRateRule *rule; /* (borrowed) */
  EsAccountSet *sets;     /* (owned) zero pages until they are used */
  guint64 factors[3];
  guint64 mixer;
  guint64 random;
  gboolean is_crowded;
};

EsRateLimit *
es_rate_limit_new (const EsRateRule *rule)
{
  EsRateLimit *self = g_new0 (EsRateLimit, 1);

  self->rule = rule;
  self->sets = g_new0 (EsAccountSet, N_SETS);
  for (guint i = 0; i < G_N_ELEMENTS (self->factors); i++)
    self->factors[i] = (guint64) g_random_int () << 32 | g_random_int () | 1;
  self->mixer = (guint64) g_random_int () << 32 | g_random_int () | 1;
  self->random = (guint64) g_random_int () << 32 | g_random_int () | 1;
  return self;
}

void
es_rate_limit_free (EsRateLimit *self)
{
  g_free (self->sets);
  g_free (self);
}

/* Sets what a host may send: @rate messages a second, 0: as many as it likes, of which @burst may
 * come at once. */
void
es_rate_rule_set (EsRateRule *self,
                  guint rate,
                  guint burst)
{
  gint64 interval = rate > 0 ? MAX (1, G_GINT64_CONSTANT (1000000000) / rate) : 0;

  atomic_store (&self->interval, interval);
  atomic_store (&self->burst, interval * (MAX (burst, 1) - 1));
}

/* By multiplication with factors that nobody can know, and a second round for hosts that count up,
 * see the address book. */
static guint32
hash_host (EsRateLimit *self,
           const EsNative *sender)
{
  guint32 words[2] = { sender->ip4.sin_addr.s_addr, 0 };
  guint64 sum = self->factors[2];

  if (sender->family == AF_INET6)
    {
      memcpy (words, &sender->ip6.sin6_addr, sizeof words);
      sum = 0;
    }
  sum += self->factors[0] * words[0] + self->factors[1] * words[1];
  return ((sum ^ sum >> 32) * self->mixer) >> 32;
}

/* By a number that strangers cannot foresee (xorshift64). */
static gboolean
is_leaked (EsRateLimit *self,
           guint mask)
{
  self->random ^= self->random << 13;
  self->random ^= self->random >> 7;
  self->random ^= self->random << 17;
  return (self->random >> 32 & mask) == 0;
}

/* (nullable) The account of a host: its own, or, if it may have one, that of whoever is least ahead
 * in its set. */
static gint64 *
find_account (EsRateLimit *self,
              guint32 tag)
{
  EsAccountSet *set = &self->sets[tag % N_SETS];
  guint oldest = 0;

  for (guint i = 0; i < N_WAYS; i++)
    {
      if (set->tags[i] == tag)
        return &set->paid_until[i];
      if (set->paid_until[i] < set->paid_until[oldest])
        oldest = i;
    }
  if (self->is_crowded && !is_leaked (self, NEWCOMER_MASK))
    return NULL;
  set->tags[oldest] = tag;
  set->paid_until[oldest] = 0;
  return &set->paid_until[oldest];
}

/* Whether there is a limit. */
gboolean
es_rate_limit_is_on (EsRateLimit *self)
{
  return atomic_load_explicit (&self->rule->interval, memory_order_relaxed) > 0;
}

/* Notes whether more comes than can be read. */
void
es_rate_limit_set_crowded (EsRateLimit *self,
                           gboolean is_crowded)
{
  self->is_crowded = is_crowded;
}

/* Whether a message may pass. @now: nanoseconds that never go back. */
gboolean
es_rate_limit_pass (EsRateLimit *self,
                    const EsNative *sender,
                    gint64 now)
{
  gint64 interval = atomic_load_explicit (&self->rule->interval, memory_order_relaxed);
  gint64 burst = atomic_load_explicit (&self->rule->burst, memory_order_relaxed);
  gint64 *paid_until;

  if (interval == 0 || !es_native_is_ip (sender))
    return TRUE;
  paid_until = find_account (self, hash_host (self, sender));
  if (paid_until == NULL)
    return FALSE;
  /* A rule that was changed leaves nobody further ahead than the new one lets them be. */
  *paid_until = MIN (*paid_until, now + burst + interval);
  if (*paid_until > now + burst)
    return is_leaked (self, LEAK_MASK);
  *paid_until = MAX (*paid_until, now) + interval;
  return TRUE;
}
