/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-dtls-cookie.h"

#include <gnutls/crypto.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

/*
 * Who says hello gets a cookie to say it again with, and nothing is remembered of it (RFC 6347,
 * section 4.2.1): so nobody who has forged its address gets any further, or has us send more than
 * it did. The cookie is a keyed hash of both addresses and of the client's random number, which is
 * the same in both hellos. Its key lives for half a minute, and is good for another one: that is
 * all that makes a cookie expire.
 */

/* A record's header, and a handshake message's after it (RFC 6347, sections 4.1 and 4.2.2). */
#define RECORD_HEADER 13
#define MESSAGE_HEADER 12

/* The version, the random number, and three lists that have a length each and at least one of them
 * a member: nobody says hello with less. */
#define MIN_HELLO_SIZE 60

/* Of the first record, before any key is agreed upon. */
#define HANDSHAKE 22
#define CLIENT_HELLO 1
#define DTLS_MAJOR 254

struct _EsDtlsCookies
{
  gnutls_datum_t keys[2]; /* (owned) this one and the one before */
  gint64 born;            /* when this one was made, monotonic microseconds */
};

/* Who is asked, from which address, for the cookie's hash. No byte of it is left unset. */
typedef struct
{
  guint8 random[ES_DTLS_RANDOM_SIZE];
  guint8 sender[sizeof (EsNative)];
  guint8 local[sizeof (EsLocal)];
} EsCookieData;

static guint
read_24_bits (const guint8 *bytes)
{
  return bytes[0] << 16 | bytes[1] << 8 | bytes[2];
}

/* Whether the first record is in clear, and as long as it says. */
static gboolean
is_first_record (const EsDtlsDatagram *self)
{
  const guint8 *data = self->data;

  return data[0] == HANDSHAKE && data[1] == DTLS_MAJOR && data[3] == 0 && data[4] == 0 &&
         (gsize) (data[11] << 8 | data[12]) + RECORD_HEADER <= self->size;
}

/* Whether a datagram may be a client's hello in one piece. It costs next to nothing to tell, and is
 * asked before any cryptography. A hello in pieces cannot be told without remembering them. */
gboolean
es_dtls_datagram_is_hello (const EsDtlsDatagram *self)
{
  const guint8 *message;
  guint length;

  if (self->size < MIN_HELLO_SIZE || !is_first_record (self))
    return FALSE;
  message = self->data + RECORD_HEADER;
  if (message[0] != CLIENT_HELLO)
    return FALSE;
  length = read_24_bits (message + 1);
  return read_24_bits (message + 6) == 0 && read_24_bits (message + 9) == length &&
         RECORD_HEADER + MESSAGE_HEADER + length <= self->size;
}

/* The random number of what is one. */
const guint8 *
es_dtls_datagram_get_random (const EsDtlsDatagram *self)
{
  return self->data + RECORD_HEADER + MESSAGE_HEADER + 2;
}

EsDtlsCookies *
es_dtls_cookies_new (void)
{
  EsDtlsCookies *self = g_new0 (EsDtlsCookies, 1);

  self->born = G_MININT64 / 2;
  return self;
}

static void
clear_key (gnutls_datum_t *key)
{
  if (key->data != NULL)
    gnutls_memset (key->data, 0, key->size);
  gnutls_free (key->data);
  key->data = NULL;
}

void
es_dtls_cookies_free (EsDtlsCookies *self)
{
  clear_key (&self->keys[0]);
  clear_key (&self->keys[1]);
  g_free (self);
}

/* Makes a new key when it is time. One that is older than two lives is no key any more. */
static gboolean
renew (EsDtlsCookies *self,
       gint64 now)
{
  gint64 age = now - self->born;

  if (age < ES_DTLS_COOKIE_USEC)
    return TRUE;
  clear_key (&self->keys[1]);
  if (age < 2 * ES_DTLS_COOKIE_USEC)
    self->keys[1] = self->keys[0];
  else
    clear_key (&self->keys[0]);
  self->keys[0].data = NULL;
  self->born = now;
  return gnutls_key_generate (&self->keys[0], GNUTLS_COOKIE_KEY_SIZE) >= 0;
}

static void
write_data (EsCookieData *data,
            const EsDtlsDatagram *hello)
{
  memset (data, 0, sizeof *data);
  memcpy (data->random, es_dtls_datagram_get_random (hello), sizeof data->random);
  memcpy (data->sender, &hello->sender->any, hello->sender->size);
  if (hello->local->family == AF_INET)
    memcpy (data->local, &hello->local->ip4, sizeof hello->local->ip4);
  else if (hello->local->family == AF_INET6)
    memcpy (data->local, &hello->local->ip6, sizeof hello->local->ip6);
}

/* Whether a hello brings a cookie of ours back. */
gboolean
es_dtls_cookies_check (EsDtlsCookies *self,
                       const EsDtlsDatagram *hello,
                       gint64 now,
                       EsDtlsPrestate *prestate)
{
  gnutls_dtls_prestate_st state = { 0 };
  gboolean is_good = FALSE;
  EsCookieData data;

  if (!renew (self, now))
    return FALSE;
  write_data (&data, hello);
  for (guint i = 0; i < G_N_ELEMENTS (self->keys) && !is_good; i++)
    is_good = self->keys[i].data != NULL &&
              gnutls_dtls_cookie_verify (&self->keys[i], &data, sizeof data, (gpointer) hello->data,
                                         hello->size, &state) >= 0;
  *prestate = (EsDtlsPrestate){ state.record_seq, state.hsk_read_seq, state.hsk_write_seq };
  return is_good;
}

static gssize
keep_datagram (gnutls_transport_ptr_t ptr,
               const void *data,
               size_t size)
{
  GBytes **datagram = ptr;

  *datagram = g_bytes_new (data, size);
  return size;
}

/* (transfer full) (nullable) What asks a client to say hello again, with a cookie. It is shorter
 * than any hello. */
GBytes *
es_dtls_cookies_ask (EsDtlsCookies *self,
                     const EsDtlsDatagram *hello,
                     gint64 now)
{
  gnutls_dtls_prestate_st state = { 0 };
  GBytes *datagram = NULL;
  EsCookieData data;

  if (!renew (self, now))
    return NULL;
  write_data (&data, hello);
  gnutls_dtls_cookie_send (&self->keys[0], &data, sizeof data, &state, &datagram, keep_datagram);
  return datagram;
}
