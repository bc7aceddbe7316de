/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers DNS queries (RFC 1035) from a table of names, as the authority for all that there are.
 *
 * A name is kept as messages have it, labels after their lengths, which is a string: the root's
 * empty label ends it. In lower case it is the key of the table; a length, at most 63, is no
 * capital letter. The value is the name's records, one after the other as answers have them: each
 * begins with a pointer to the name that was asked for, which keeps its case that way.
 */

#include "dns-message.h"

#include <arpa/nameser.h>

#include <string.h>

#define TTL 0, 0, 14, 16 /* an hour */
#define HEAD_SIZE 12     /* what a record has before its data, whose size is the last byte */
#define OPT_SIZE 11
#define FIRST_META 128 /* of the types that are no record's (RFC 6895) */

/* In the third byte of a message. */
#define IS_RESPONSE 0x80
#define OPCODE 0x78
#define IS_AUTHORITATIVE 0x04
#define IS_TRUNCATED 0x02
#define WANTS_RECURSION 0x01

#define KNOWS_DNSSEC 0x80 /* in the third byte of OPT's TTL */

typedef struct
{
  guint8 *data;
  gsize size;
  gsize limit;
} Answer;

/* The root's, whose last number says how long to remember what is not there (RFC 2308). */
static const guint8 soa[] = { 0, 0, ns_t_soa, 0, ns_c_in, TTL, 0, 22,
                              0, 0, 0, 0, 0, 1, TTL, TTL, TTL, TTL };

/* Adds a record that is not there yet. An address has one name, as gethostbyaddr() has it. */
static gboolean
add_record (GHashTable *names, const char *name, guint8 type, gconstpointer data, guint8 size)
{
  const guint8 head[HEAD_SIZE] = { NS_CMPRSFLGS, NS_HFIXEDSZ, 0, type, 0, ns_c_in, TTL, 0, size };
  guint8 wire[NS_MAXCDNAME];
  g_autofree char *key = NULL;
  GByteArray *records;

  if (strchr (name, '\\') != NULL || ns_name_pton (name, wire, sizeof wire) < 0)
    return FALSE;
  key = g_ascii_strdown ((char *) wire, -1);
  /* The names above exist then, be it without any records (RFC 8020). */
  for (const char *above = key; !g_hash_table_contains (names, above); above += 1 + *above)
    g_hash_table_insert (names, g_strdup (above), g_byte_array_new ());
  records = g_hash_table_lookup (names, key);
  for (guint at = 0; at < records->len; at += HEAD_SIZE + records->data[at + HEAD_SIZE - 1])
    if (records->data[at + 3] == type &&
        (type == ns_t_ptr || memcmp (records->data + at + HEAD_SIZE, data, size) == 0))
      return TRUE;
  g_byte_array_append (records, head, sizeof head);
  g_byte_array_append (records, data, size);
  return TRUE;
}

/* (transfer full) */
GHashTable *
dns_names_new (void)
{
  GDestroyNotify unref = (GDestroyNotify) g_byte_array_unref;
  GHashTable *names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, unref);

  g_hash_table_insert (names, g_strdup (""), g_byte_array_new ());
  add_record (names, ".", ns_t_soa, soa + HEAD_SIZE - 1, sizeof soa - HEAD_SIZE + 1);
  return names;
}

/* Gives a name an address and, if it is the first there, the address the name. FALSE: none. */
gboolean
dns_names_add (GHashTable *names, const char *name, GInetAddress *ip, gboolean is_first)
{
  const guint8 *bytes = g_inet_address_to_bytes (ip);
  gsize size = g_inet_address_get_native_size (ip);
  g_autoptr (GString) reverse = g_string_new (NULL);
  guint8 wire[NS_MAXCDNAME];

  if (!add_record (names, name, size == 4 ? ns_t_a : ns_t_aaaa, bytes, size))
    return FALSE;
  for (gsize i = size; i-- > 0;)
    if (size == 4)
      g_string_append_printf (reverse, "%u.", bytes[i]);
    else
      g_string_append_printf (reverse, "%x.%x.", bytes[i] & 15, bytes[i] >> 4);
  g_string_append (reverse, size == 4 ? "in-addr.arpa" : "ip6.arpa");
  ns_name_pton (name, wire, sizeof wire);
  return !is_first || add_record (names, reverse->str, ns_t_ptr, wire, strlen ((char *) wire) + 1);
}

/* Reads where the question ends, and OPT, which stays empty if there is none (RFC 6891). */
static int
read_query (const guint8 *data, gsize size, gsize *question_end, ns_rr *opt)
{
  ns_msg message;
  ns_rr record;
  gsize end = NS_HFIXEDSZ;

  if (ns_initparse (data, size, &message) != 0 || ns_msg_count (message, ns_s_qd) != 1)
    return ns_r_formerr;
  while (data[end] > 0 && data[end] < NS_CMPRSFLGS)
    end += 1 + data[end];
  if (data[end++] != 0 || end - NS_HFIXEDSZ > NS_MAXCDNAME)
    return ns_r_formerr;
  *question_end = end + NS_QFIXEDSZ;
  for (int i = 0; i < ns_msg_count (message, ns_s_ar); i++)
    {
      if (ns_parserr (&message, ns_s_ar, i, &record) != 0 ||
          (record.type == ns_t_opt && (opt->type == ns_t_opt || record.name[0] != '\0')))
        return ns_r_formerr;
      if (record.type == ns_t_opt)
        *opt = record;
    }
  for (guint at = 0; at != opt->rdlength; at += 4 + ns_get16 (opt->rdata + at + 2))
    if (at + 4 > opt->rdlength)
      return ns_r_formerr;
  return (opt->ttl >> 16 & 0xff) == 0 ? ns_r_noerror : ns_r_badvers;
}

/* Appends a record, or tells that there was no room. */
static void
append (Answer *self, int section, const guint8 *record, gsize size)
{
  if (self->size + size > self->limit)
    {
      self->data[2] |= IS_TRUNCATED;
      return;
    }
  memcpy (self->data + self->size, record, size);
  self->size += size;
  self->data[5 + 2 * section]++;
}

/* Appends to the question what there is of its name, or that there is nothing. */
static int
resolve (Answer *self, GHashTable *names)
{
  gsize name_end = self->size - NS_QFIXEDSZ;
  guint type = ns_get16 (self->data + name_end);
  guint class = ns_get16 (self->data + name_end + 2);
  char key[NS_MAXCDNAME];
  const GByteArray *records;

  if (type == ns_t_opt || (type >= FIRST_META && type < ns_t_any))
    return ns_r_notimpl;
  if (class != ns_c_in && class != ns_c_any)
    return ns_r_refused;

  self->data[2] |= class == ns_c_in ? IS_AUTHORITATIVE : 0;
  /* With a NUL inside, the key ends within a label, as none of ours does. */
  for (gsize i = NS_HFIXEDSZ; i < name_end; i++)
    key[i - NS_HFIXEDSZ] = g_ascii_tolower (self->data[i]);
  records = g_hash_table_lookup (names, key);
  for (guint at = 0, size; records != NULL && at < records->len; at += size)
    {
      size = HEAD_SIZE + records->data[at + HEAD_SIZE - 1];
      if (type == records->data[at + 3] || type == ns_t_any)
        append (self, ns_s_an, records->data + at, size);
    }
  if (self->data[7] == 0 && (self->data[2] & IS_TRUNCATED) == 0)
    append (self, ns_s_ns, soa, sizeof soa);
  return records != NULL ? ns_r_noerror : ns_r_nxdomain;
}

/* Writes the answer to a query, and returns its size. 0: there is nothing to be said. */
gsize
dns_answer (GHashTable *names, const guint8 *query, gsize size, guint8 *answer)
{
  Answer self = { answer, NS_HFIXEDSZ, NS_PACKETSZ };
  ns_rr opt = { .type = 0 };
  int rcode = ns_r_notimpl;

  if (size < NS_HFIXEDSZ || (query[2] & IS_RESPONSE) != 0)
    return 0;

  if ((query[2] & OPCODE) == 0)
    rcode = read_query (query, size, &self.size, &opt);
  if (opt.type == ns_t_opt)
    self.limit = CLAMP (opt.rr_class, NS_PACKETSZ, DNS_MAX_ANSWER) - OPT_SIZE;
  memcpy (answer, query, self.size);
  memset (answer + 3, 0, NS_HFIXEDSZ - 3);
  answer[2] = IS_RESPONSE | (query[2] & (OPCODE | WANTS_RECURSION));
  answer[5] = self.size > NS_HFIXEDSZ;
  if (rcode == ns_r_noerror)
    rcode = resolve (&self, names);
  answer[3] = rcode & 15;
  if (opt.type == ns_t_opt)
    {
      const guint8 ours[] = { 0, 0, ns_t_opt, DNS_MAX_ANSWER >> 8, 0, rcode >> 4,
                              0, opt.ttl >> 8 & KNOWS_DNSSEC, 0, 0, 0 };

      self.limit += OPT_SIZE;
      append (&self, ns_s_ar, ours, OPT_SIZE);
    }
  return self.size;
}
