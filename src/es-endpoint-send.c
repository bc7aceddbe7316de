/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-endpoint-private.h"

#include "es-address-private.h"

#include <string.h>

/*
 * What an endpoint sends, from any thread.
 */

/* The longest payloads: 65535 bytes less the headers of UDP and IPv4, or of UDP alone, since that
 * of IPv6 does not count (RFC 768, 791, 8200). */
#define MAX_IP4_PAYLOAD 65507
#define MAX_IP6_PAYLOAD 65527

static gsize
get_max_payload (GSocketAddress *address)
{
  GSocketFamily family = address != NULL ? g_socket_address_get_family (address)
                                         : G_SOCKET_FAMILY_IPV6;

  if (family == G_SOCKET_FAMILY_IPV4)
    return MAX_IP4_PAYLOAD;
  return family == G_SOCKET_FAMILY_IPV6 ? MAX_IP6_PAYLOAD : G_MAXSIZE;
}

static gboolean
check_size (gsize size,
            gsize limit,
            GError **error)
{
  if (size <= limit)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
               "A message of %" G_GSIZE_FORMAT " bytes is longer than the %" G_GSIZE_FORMAT
               " that fit in a datagram",
               size, limit);
  return FALSE;
}

/* Takes what a stranger has earned. It may have forged its address. */
static gboolean
take_credit (GSocketAddress *address,
             gsize size,
             GError **error)
{
  if (es_address_take_credit (address, size))
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                       "The amplification limit does not let a stranger be sent so much");
  return FALSE;
}

/* How many of the messages come before the first that is too large for any network, or that may
 * not be sent to a stranger, of which the error tells. */
static guint
count_sendable (GBytes **messages,
                guint n_messages,
                GSocketAddress *address,
                gboolean is_stranger,
                GError **error)
{
  gsize limit = get_max_payload (address);
  guint n = 0;

  for (; n < n_messages; n++)
    {
      gsize size;

      g_return_val_if_fail (messages[n] != NULL, n);
      size = g_bytes_get_size (messages[n]);
      if (!check_size (size, limit, error))
        break;
      if (is_stranger && !take_credit (address, size, error))
        break;
    }
  if (n > 0)
    g_clear_error (error);
  return n;
}

/* What was not accepted uses up nothing of what an address may be sent. */
static void
give_back_credit (GBytes **messages,
                  guint n_accepted,
                  guint n_sendable,
                  GSocketAddress *address)
{
  for (guint i = n_accepted; i < n_sendable; i++)
    es_address_add_credit (address, g_bytes_get_size (messages[i]));
}

static void
explain_unsent (GError **error,
                GSocketAddress *address)
{
  g_autofree char *name = es_address_describe (address);

  g_prefix_error (error, "Could not send to %s: ", name);
}

/**
 * es_endpoint_send:
 * @self: an endpoint
 * @message: the message; a reference is taken where it has to wait
 * @address: (nullable): the receiver, or %NULL for the server that a client is connected to
 * @error: return location for a #GError
 *
 * Sends a message.
 *
 * Called from a handler, the message leaves together with others at the end of the dispatch, which
 * is at most a batch of messages away; from anywhere else it leaves at once. Messages to one
 * receiver leave in the order in which they were sent; with several workers, in that of each
 * thread. An answer to the address of a message leaves from the local address that the message was
 * sent to.
 *
 * Thread-safe. Errors: %G_IO_ERROR_CLOSED if the endpoint does not run, %G_IO_ERROR_NOT_CONNECTED
 * if there is no server to take for %NULL, %G_IO_ERROR_MESSAGE_TOO_LARGE for more than 65507 bytes
 * over IPv4 or 65527 over IPv6, %G_IO_ERROR_WOULD_BLOCK if more messages wait than the queue holds
 * (see [signal@Endpoint::writable]), or what the kernel says of this receiver, such as
 * %G_IO_ERROR_NETWORK_UNREACHABLE. What the kernel says later comes by [signal@Endpoint::error].
 *
 * Returns: %TRUE if the message was accepted for sending
 */
gboolean
es_endpoint_send (EsEndpoint *self,
                  GBytes *message,
                  GSocketAddress *address,
                  GError **error)
{
  EsLane *lane = es_lane_get_dispatching (self);

  g_return_val_if_fail (message != NULL, FALSE);

  /* An answer from a handler takes a shorter way. */
  if (lane != NULL && !es_endpoint_is_limited (self) &&
      es_lane_answer (lane, message, address))
    return TRUE;
  return es_endpoint_send_many (self, &message, 1, address, error) == 1;
}

/**
 * es_endpoint_send_text:
 * @self: an endpoint
 * @text: the text, sent without its NUL byte
 * @address: (nullable): the receiver, or %NULL for the server that a client is connected to
 * @error: return location for a #GError
 *
 * Sends a text, as [method@Endpoint.send] does.
 *
 * Thread-safe.
 *
 * Returns: %TRUE if the message was accepted for sending
 */
gboolean
es_endpoint_send_text (EsEndpoint *self,
                       const char *text,
                       GSocketAddress *address,
                       GError **error)
{
  g_return_val_if_fail (text != NULL, FALSE);

  return es_endpoint_send_data (self, (const guint8 *) text, strlen (text), address, error);
}

/**
 * es_endpoint_send_data:
 * @self: an endpoint
 * @data: (array length=size): the message, which is copied
 * @size: its size in bytes
 * @address: (nullable): the receiver, or %NULL for the server that a client is connected to
 * @error: return location for a #GError
 *
 * Sends bytes, as [method@Endpoint.send] does.
 *
 * Thread-safe.
 *
 * Returns: %TRUE if the message was accepted for sending
 */
gboolean
es_endpoint_send_data (EsEndpoint *self,
                       const guint8 *data,
                       gsize size,
                       GSocketAddress *address,
                       GError **error)
{
  g_autoptr (GBytes) message = NULL;

  g_return_val_if_fail (data != NULL || size == 0, FALSE);

  message = g_bytes_new (data, size);
  return es_endpoint_send (self, message, address, error);
}

/**
 * es_endpoint_send_many:
 * @self: an endpoint
 * @messages: (array length=n_messages): the messages
 * @n_messages: how many
 * @address: (nullable): the receiver of all, or %NULL for the server that a client is connected to
 * @error: return location for a #GError
 *
 * Sends messages to one receiver, as [method@Endpoint.send] does, in their order.
 *
 * Messages of one size travel together at a fraction of the cost (udp(7), UDP_SEGMENT).
 * Thread-safe. Errors: those of [method@Endpoint.send], if not even the first was accepted.
 *
 * Returns: how many messages were accepted, counted from the first; -1 if an error is set
 */
int
es_endpoint_send_many (EsEndpoint *self,
                       GBytes **messages,
                       guint n_messages,
                       GSocketAddress *address,
                       GError **error)
{
  g_autoptr (EsLane) lane = NULL;
  g_autoptr (GError) problem = NULL;
  gboolean is_stranger;
  guint n_sendable;
  int n = -1;

  g_return_val_if_fail (ES_IS_ENDPOINT (self), -1);
  g_return_val_if_fail (messages != NULL || n_messages == 0, -1);
  g_return_val_if_fail (address == NULL || G_IS_SOCKET_ADDRESS (address), -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (n_messages == 0)
    return 0;
  is_stranger = es_endpoint_is_stranger (self, address);
  lane = es_endpoint_ref_sending_lane (self, &problem);
  if (lane != NULL)
    lane = es_endpoint_prefer_private (self, g_steal_pointer (&lane), address);
  n_messages = MIN (n_messages, G_MAXINT);
  n_sendable = lane != NULL
                 ? count_sendable (messages, n_messages, address, is_stranger, &problem)
                 : 0;
  if (n_sendable > 0)
    n = es_lane_send (lane, messages, n_sendable, address, &problem);
  if (is_stranger)
    give_back_credit (messages, MAX (n, 0), n_sendable, address);
  if (n >= 0)
    return n;
  explain_unsent (&problem, address);
  g_propagate_error (error, g_steal_pointer (&problem));
  return -1;
}
