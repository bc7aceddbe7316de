/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../../examples/dns-message.h"

#include "fuzz.h"

#include <arpa/nameser.h>

/*
 * The DNS server's answers: the input is a query. Silence is for what is no query. Any answer is
 * one to this query, of which every byte has a meaning, and not larger than the asker has room for.
 */

#define N_MANY 300

/* The names that the corpus asks for. */
static GHashTable *
make_names (void)
{
  GHashTable *names = dns_names_new ();
  g_autoptr (GInetAddress) ip4 = g_inet_address_new_from_string ("192.0.2.1");
  g_autoptr (GInetAddress) ip6 = g_inet_address_new_from_string ("2001:db8::1");

  g_assert_true (dns_names_add (names, "Web.Example.COM", ip4, TRUE));
  g_assert_true (dns_names_add (names, "web", ip4, FALSE));
  g_assert_true (dns_names_add (names, "web.example.com", ip6, TRUE));
  for (guint i = 0; i < N_MANY; i++)
    {
      const guint8 bytes[] = { 198, 51, 100 + (i >> 8), i & 0xff };
      const char *name = i % 10 == 0 ? "some.example.com" : "many.example.com";
      g_autoptr (GInetAddress) one = g_inet_address_new_from_bytes (bytes, G_SOCKET_FAMILY_IPV4);

      g_assert_true (dns_names_add (names, name, one, TRUE));
    }
  return names;
}

/* What an asker says, as far as it can be read. 512 without EDNS, and where it says less. */
static guint
room_of (const guint8 *query,
         gsize size)
{
  guint room = NS_PACKETSZ;
  ns_msg message;
  ns_rr record;

  if (ns_initparse (query, size, &message) != 0)
    return room;
  for (int i = 0; i < ns_msg_count (message, ns_s_ar); i++)
    if (ns_parserr (&message, ns_s_ar, i, &record) == 0 && ns_rr_type (record) == ns_t_opt)
      room = MAX (room, ns_rr_class (record));
  return room;
}

static gboolean
has_opt (ns_msg *message)
{
  ns_rr record;

  if (ns_msg_count (*message, ns_s_ar) == 0)
    return FALSE;
  g_assert_cmpint (ns_msg_count (*message, ns_s_ar), ==, 1);
  g_assert_cmpint (ns_parserr (message, ns_s_ar, 0, &record), ==, 0);
  g_assert_cmpint (ns_rr_type (record), ==, ns_t_opt);
  g_assert_cmpint (ns_rr_class (record), ==, DNS_MAX_ANSWER);
  return TRUE;
}

static void
check_records (ns_msg *message)
{
  int rcode = ns_msg_getflag (*message, ns_f_rcode);
  int n_answers = ns_msg_count (*message, ns_s_an);
  int n_authorities = ns_msg_count (*message, ns_s_ns);
  ns_rr record;

  for (int i = 0; i < n_answers; i++)
    g_assert_cmpint (ns_parserr (message, ns_s_an, i, &record), ==, 0);
  for (int i = 0; i < n_authorities; i++)
    g_assert_cmpint (ns_parserr (message, ns_s_ns, i, &record), ==, 0);
  if (n_authorities > 0)
    g_assert_cmpint (ns_rr_type (record), ==, ns_t_soa);
  if (rcode == ns_r_nxdomain)
    g_assert_cmpint (n_authorities, ==, 1);
  else if (rcode != ns_r_noerror)
    g_assert_cmpint (n_answers + n_authorities, ==, 0);
  else if (!ns_msg_getflag (*message, ns_f_tc) && !has_opt (message))
    g_assert_cmpint ((n_answers > 0) + n_authorities, ==, 1);
}

static const guint8 *
end_of_question (ns_msg *message)
{
  for (int section = ns_s_an; section < ns_s_max; section++)
    if (ns_msg_count (*message, section) > 0)
      return message->_sections[section];
  return ns_msg_end (*message);
}

static void
check_answer (const guint8 *query,
              gsize query_size,
              const guint8 *answer,
              gsize size)
{
  ns_msg message;

  g_assert_cmpuint (size, <=, MIN (room_of (query, query_size), DNS_MAX_ANSWER));
  g_assert_cmpint (ns_initparse (answer, size, &message), ==, 0);
  g_assert_cmpmem (answer, 2, query, 2);
  g_assert_true (ns_msg_getflag (message, ns_f_qr));
  g_assert_cmpint (ns_msg_getflag (message, ns_f_opcode), ==, query[2] >> 3 & 15);
  g_assert_cmpint (ns_msg_getflag (message, ns_f_rd), ==, query[2] & 1);
  g_assert_cmpint (answer[3] & 0xf0, ==, 0);
  g_assert_cmpint (ns_msg_count (message, ns_s_qd), <=, 1);
  if (ns_msg_count (message, ns_s_qd) == 1)
    {
      const guint8 *question = answer + NS_HFIXEDSZ;
      gsize n = end_of_question (&message) - question;

      g_assert_cmpuint (NS_HFIXEDSZ + n, <=, query_size);
      g_assert_cmpmem (question, n, query + NS_HFIXEDSZ, n);
    }
  check_records (&message);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize size)
{
  static GHashTable *names;
  /* Of its very size, so that a sanitizer sees who writes behind it. */
  g_autofree guint8 *answer = g_malloc (DNS_MAX_ANSWER);
  gsize answer_size;

  if (names == NULL)
    names = make_names ();
  answer_size = dns_answer (names, data, size, answer);
  if (size < NS_HFIXEDSZ || data[2] >> 7 == 1)
    g_assert_cmpuint (answer_size, ==, 0);
  else
    check_answer (data, size, answer, answer_size);
  return 0;
}
