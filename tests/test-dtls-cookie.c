/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls-cookie.h"

#include <netinet/in.h>

#define HELLO_SIZE 100
#define COOKIE_OFFSET 60
#define NOW (1000 * G_USEC_PER_SEC)

/* A hello without a session and without a cookie. */
typedef struct
{
  guint8 bytes[HELLO_SIZE + 256];
  gsize size;
  EsNative sender;
  EsLocal local;
} Hello;

static void
write_lengths (Hello *self)
{
  gsize record = self->size - 13;
  gsize message = self->size - 25;

  self->bytes[11] = record >> 8;
  self->bytes[12] = record & 0xff;
  self->bytes[15] = self->bytes[23] = message >> 8;
  self->bytes[16] = self->bytes[24] = message & 0xff;
}

static void
init_hello (Hello *self)
{
  *self = (Hello){ .size = HELLO_SIZE, .local = { .family = AF_INET } };
  self->bytes[0] = 22;
  self->bytes[1] = 254;
  self->bytes[2] = 253;
  self->bytes[13] = 1;
  self->sender = (EsNative){ .ip4 = { .sin_family = AF_INET, .sin_port = 1 },
                             .size = sizeof self->sender.ip4 };
  self->local.ip4.s_addr = htonl (INADDR_LOOPBACK);
  write_lengths (self);
}

static EsDtlsDatagram
view (Hello *self)
{
  return (EsDtlsDatagram){ self->bytes, self->size, &self->sender, &self->local };
}

/* Puts the cookie that was asked for into a hello. */
static void
take_cookie (Hello *self,
             EsDtlsCookies *cookies,
             gint64 now)
{
  EsDtlsDatagram datagram = view (self);
  g_autoptr (GBytes) answer = es_dtls_cookies_ask (cookies, &datagram, now);
  gsize size;
  const guint8 *bytes = g_bytes_get_data (answer, &size);
  guint8 length = bytes[27];

  g_assert_cmpuint (size, ==, 28 + length);
  memmove (self->bytes + COOKIE_OFFSET + 1 + length, self->bytes + COOKIE_OFFSET + 1,
           self->size - COOKIE_OFFSET - 1);
  self->bytes[COOKIE_OFFSET] = length;
  memcpy (self->bytes + COOKIE_OFFSET + 1, bytes + 28, length);
  self->size += length;
  write_lengths (self);
}

static gboolean
is_good (Hello *self,
         EsDtlsCookies *cookies,
         gint64 now)
{
  EsDtlsDatagram datagram = view (self);
  EsDtlsPrestate prestate;

  return es_dtls_cookies_check (cookies, &datagram, now, &prestate);
}

static void
test_dtls_cookie_comes_back (void)
{
  g_autoptr (EsDtlsCookies) cookies = es_dtls_cookies_new ();
  g_autoptr (EsDtlsCookies) others = es_dtls_cookies_new ();
  Hello hello;

  g_test_summary ("Who brings the cookie back is known, and to nobody else.");

  init_hello (&hello);
  g_assert_false (is_good (&hello, cookies, NOW));
  take_cookie (&hello, cookies, NOW);
  g_assert_true (is_good (&hello, cookies, NOW));
  g_assert_false (is_good (&hello, others, NOW));
}

static void
test_dtls_cookie_is_personal (void)
{
  g_autoptr (EsDtlsCookies) cookies = es_dtls_cookies_new ();
  Hello hello, other;

  g_test_summary ("A cookie is good for one address and port, at one of ours, and one hello.");

  init_hello (&hello);
  take_cookie (&hello, cookies, NOW);
  other = hello;
  other.sender.ip4.sin_port = 2;
  g_assert_false (is_good (&other, cookies, NOW));
  other = hello;
  other.sender.ip4.sin_addr.s_addr = 3;
  g_assert_false (is_good (&other, cookies, NOW));
  other = hello;
  other.local.ip4.s_addr = 4;
  g_assert_false (is_good (&other, cookies, NOW));
  other = hello;
  other.bytes[30] = 5;
  g_assert_false (is_good (&other, cookies, NOW));
  g_assert_true (is_good (&hello, cookies, NOW));
}

static void
test_dtls_cookie_expires (void)
{
  g_autoptr (EsDtlsCookies) cookies = es_dtls_cookies_new ();
  Hello hello;

  g_test_summary ("A cookie is good for the life of its key and one more, and not for a third.");

  init_hello (&hello);
  take_cookie (&hello, cookies, NOW);
  g_assert_true (is_good (&hello, cookies, NOW + ES_DTLS_COOKIE_USEC - 1));
  g_assert_true (is_good (&hello, cookies, NOW + ES_DTLS_COOKIE_USEC));
  g_assert_true (is_good (&hello, cookies, NOW + 2 * ES_DTLS_COOKIE_USEC - 1));
  g_assert_false (is_good (&hello, cookies, NOW + 2 * ES_DTLS_COOKIE_USEC));
}

static void
test_dtls_cookie_forgets_in_silence (void)
{
  g_autoptr (EsDtlsCookies) cookies = es_dtls_cookies_new ();
  Hello hello;

  g_test_summary ("Where nobody has come meanwhile, an old cookie is no better.");

  init_hello (&hello);
  take_cookie (&hello, cookies, NOW);
  g_assert_false (is_good (&hello, cookies, NOW + 5 * ES_DTLS_COOKIE_USEC));
}

/* Whether a datagram is still taken for a hello when one byte of it is another. */
static gboolean
is_hello_with (guint at,
               guint8 byte)
{
  Hello hello;
  EsDtlsDatagram datagram;

  init_hello (&hello);
  hello.bytes[at] = byte;
  datagram = view (&hello);
  return es_dtls_datagram_is_hello (&datagram);
}

static void
test_dtls_cookie_is_for_hellos (void)
{
  Hello hello;
  EsDtlsDatagram datagram;

  g_test_summary ("What is no hello in one piece is told by its first bytes, at any length.");

  init_hello (&hello);
  for (gsize size = 0; size <= HELLO_SIZE; size++)
    {
      hello.size = size;
      datagram = view (&hello);
      g_assert_cmpint (es_dtls_datagram_is_hello (&datagram), ==, size == HELLO_SIZE);
    }
  g_assert_true (is_hello_with (0, 22));
  g_assert_false (is_hello_with (0, 23));
  g_assert_false (is_hello_with (1, 3));
  g_assert_false (is_hello_with (4, 1));
  g_assert_false (is_hello_with (12, 0xff));
  g_assert_false (is_hello_with (13, 2));
  g_assert_false (is_hello_with (14, 1));
  g_assert_false (is_hello_with (21, 1));
  g_assert_false (is_hello_with (24, 1));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dtls-cookie/comes-back", test_dtls_cookie_comes_back);
  g_test_add_func ("/dtls-cookie/is-personal", test_dtls_cookie_is_personal);
  g_test_add_func ("/dtls-cookie/expires", test_dtls_cookie_expires);
  g_test_add_func ("/dtls-cookie/forgets-in-silence", test_dtls_cookie_forgets_in_silence);
  g_test_add_func ("/dtls-cookie/is-for-hellos", test_dtls_cookie_is_for_hellos);
  return g_test_run ();
}
