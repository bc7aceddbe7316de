/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-address-book.h"

#include "es-address-private.h"

#include <string.h>

/*
 * Remembers the GSocketAddress of each sender, since making one costs more than receiving a
 * message. The table is a cache as processors have it: an address has one set, a set has eight
 * places, and who comes ninth takes the place of one of them. So a lookup has a bound, and
 * strangers with ever new addresses can neither make the table grow nor, not knowing the random
 * factors of the hash, aim at one set.
 */

#define N_WORDS 10

/* The tags lie together: a lookup touches an address only when its hash agrees. */
typedef struct
{
  guint32 tags[ES_ADDRESS_BOOK_N_WAYS];
  EsSenderAddress *senders[ES_ADDRESS_BOOK_N_WAYS]; /* (owned) (nullable) */
} EsAddressSet;

struct _EsAddressBook
{
  EsAddressSet *sets; /* (owned) zero pages until they are used */
  guint64 factors[N_WORDS];
  guint64 mixer;
  guint origin;
  guint next_victim;
  guint n_remembered;
};

static guint64
random_factor (void)
{
  return ((guint64) g_random_int () << 32) | g_random_int () | 1;
}

/* @origin: names the run of an endpoint, so that an answer leaves from the address asked only
 * there. */
EsAddressBook *
es_address_book_new (guint origin)
{
  EsAddressBook *self = g_new0 (EsAddressBook, 1);

  self->sets = g_new0 (EsAddressSet, ES_ADDRESS_BOOK_N_SETS);
  self->origin = origin;
  for (guint i = 0; i < N_WORDS; i++)
    self->factors[i] = random_factor ();
  self->mixer = random_factor ();
  return self;
}

static void
clear_set (EsAddressSet *set)
{
  for (guint i = 0; i < ES_ADDRESS_BOOK_N_WAYS; i++)
    g_clear_object (&set->senders[i]);
}

void
es_address_book_free (EsAddressBook *self)
{
  for (guint i = 0; self->n_remembered > 0 && i < ES_ADDRESS_BOOK_N_SETS; i++)
    clear_set (&self->sets[i]);
  g_free (self->sets);
  g_free (self);
}

static guint64
hash_ip4 (EsAddressBook *self,
          const EsNative *native,
          const EsLocal *local)
{
  return self->factors[0] * native->ip4.sin_addr.s_addr +
         self->factors[1] * native->ip4.sin_port +
         self->factors[2] * (local->family == AF_INET ? local->ip4.s_addr : 0);
}

static guint64
hash_ip6 (EsAddressBook *self,
          const EsNative *native,
          const EsLocal *local)
{
  guint32 words[N_WORDS] = { native->ip6.sin6_port, native->ip6.sin6_scope_id };
  guint64 hash = 0;

  memcpy (words + 2, &native->ip6.sin6_addr, sizeof native->ip6.sin6_addr);
  if (local->family == AF_INET6)
    memcpy (words + 6, &local->ip6, sizeof local->ip6);
  for (guint i = 0; i < N_WORDS; i++)
    hash += self->factors[i] * words[i];
  return hash;
}

/* Multiply and shift: the sum's upper half depends on every word, by factors nobody can know. A
 * second round is for talkers that count up, whose sums might all step into few sets. */
static guint32
hash_sender (EsAddressBook *self,
             const EsNative *native,
             const EsLocal *local)
{
  guint64 sum = native->family == AF_INET ? hash_ip4 (self, native, local) : hash_ip6 (self, native, local);

  return ((sum ^ sum >> 32) * self->mixer) >> 32;
}

static GSocketAddress *
remember (EsAddressBook *self,
          EsAddressSet *set,
          guint32 tag,
          EsSenderAddress *sender)
{
  guint i = 0;

  while (i < ES_ADDRESS_BOOK_N_WAYS && set->senders[i] != NULL)
    i++;
  if (i == ES_ADDRESS_BOOK_N_WAYS)
    i = self->next_victim++ % ES_ADDRESS_BOOK_N_WAYS;
  else
    self->n_remembered++;
  g_clear_object (&set->senders[i]);
  set->tags[i] = tag;
  set->senders[i] = sender;
  return G_SOCKET_ADDRESS (g_object_ref (sender));
}

/* (transfer full) The address of who sent a message from @native to @local. */
GSocketAddress *
es_address_book_lookup (EsAddressBook *self,
                        const EsNative *native,
                        const EsLocal *local)
{
  EsAddressSet *set;
  guint32 tag;

  if (!es_native_is_ip (native))
    return es_native_to_address (native);

  tag = hash_sender (self, native, local);
  set = &self->sets[tag % ES_ADDRESS_BOOK_N_SETS];
  for (guint i = 0; i < ES_ADDRESS_BOOK_N_WAYS && set->senders[i] != NULL; i++)
    if (set->tags[i] == tag && es_sender_address_is_for (set->senders[i], native, local))
      return G_SOCKET_ADDRESS (g_object_ref (set->senders[i]));
  return remember (self, set, tag, es_sender_address_new (native, local, self->origin));
}

guint
es_address_book_get_n_remembered (EsAddressBook *self)
{
  return self->n_remembered;
}
