/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-address-book.h"

#include "es-address-private.h"

#include <string.h>

/*
 * Remembers the GSocketAddress of each sender, since making one costs more than receiving a
 * message. The table is a cache as processors have it: an address has one set, a set has eight
 * places, and who comes ninth takes the place of one of them. So a lookup has a bound, and
 * strangers with ever new addresses can neither make the table grow past its bound nor, not
 * knowing the random factors of the hash, aim at one set. It starts small and grows when a set is
 * full, so that a few talkers stay close together in the processor's cache.
 */

#define N_WORDS 10
#define MIN_SETS 64

/* The tags lie together: a lookup touches an address only when its hash agrees. */
typedef struct
{
  guint32 tags[ES_ADDRESS_BOOK_N_WAYS];
  EsSenderAddress *senders[ES_ADDRESS_BOOK_N_WAYS]; /* (owned) (nullable) */
} EsAddressSet;

struct _EsAddressBook
{
  EsAddressSet *sets; /* (owned) */
  guint n_sets;       /* a power of two */
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

  self->n_sets = MIN_SETS;
  self->sets = g_new0 (EsAddressSet, self->n_sets);
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
  for (guint i = 0; i < self->n_sets; i++)
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
  guint64 sum = native->family == AF_INET ? hash_ip4 (self, native, local)
                                          : hash_ip6 (self, native, local);

  return ((sum ^ sum >> 32) * self->mixer) >> 32;
}

static EsAddressSet *
find_set (EsAddressBook *self,
          guint32 tag)
{
  return &self->sets[tag & (self->n_sets - 1)];
}

/* Moves an address to its set in a table that has grown. */
static void
move (EsAddressSet *set,
      guint32 tag,
      EsSenderAddress *sender)
{
  guint i = 0;

  while (set->senders[i] != NULL)
    i++;
  set->tags[i] = tag;
  set->senders[i] = sender;
}

/* Doubles the table. Each set becomes two, so that none of them is too full. */
static void
grow (EsAddressBook *self)
{
  EsAddressSet *before = self->sets;
  guint n_before = self->n_sets;

  self->n_sets *= 2;
  self->sets = g_new0 (EsAddressSet, self->n_sets);
  for (guint i = 0; i < n_before; i++)
    for (guint way = 0; way < ES_ADDRESS_BOOK_N_WAYS && before[i].senders[way] != NULL; way++)
      move (find_set (self, before[i].tags[way]), before[i].tags[way], before[i].senders[way]);
  g_free (before);
}

static gboolean
is_full (const EsAddressSet *set)
{
  return set->senders[ES_ADDRESS_BOOK_N_WAYS - 1] != NULL;
}

static GSocketAddress *
remember (EsAddressBook *self,
          guint32 tag,
          EsSenderAddress *sender)
{
  EsAddressSet *set;
  guint i = 0;

  while (is_full (find_set (self, tag)) && self->n_sets < ES_ADDRESS_BOOK_N_SETS)
    grow (self);
  set = find_set (self, tag);
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
  set = find_set (self, tag);
  for (guint i = 0; i < ES_ADDRESS_BOOK_N_WAYS && set->senders[i] != NULL; i++)
    if (set->tags[i] == tag && es_sender_address_is_for (set->senders[i], native, local))
      return G_SOCKET_ADDRESS (g_object_ref (set->senders[i]));
  return remember (self, tag, es_sender_address_new (native, local, self->origin));
}

guint
es_address_book_get_n_remembered (EsAddressBook *self)
{
  return self->n_remembered;
}
