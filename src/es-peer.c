/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-peer-private.h"

#include "es-address-private.h"

#include <stdatomic.h>

/**
 * EsPeer:
 *
 * An address that the application has admitted to a server.
 *
 * Made by [method@UdpServer.add_peer]; a stranger's message never makes one. Every message heard
 * from it proves it alive. What an application wants to know of a peer rides on it by
 * g_object_set_data_full().
 *
 * ## Threads
 *
 * Everything here is thread-safe.
 */

struct _EsPeer
{
  GObject parent_instance;

  /* Set when made, then only read. */
  GSocketAddress *address; /* (owned) */

  /* Written under the table's lock, read anywhere. */
  _Atomic gint64 last_heard;
  atomic_uint n_missed_pings;

  EsPeerPlace place;
};

G_DEFINE_FINAL_TYPE (EsPeer, es_peer, G_TYPE_OBJECT)

G_DEFINE_ENUM_TYPE (EsPeerRemoved,
                    es_peer_removed,
                    G_DEFINE_ENUM_VALUE (ES_PEER_REMOVED_REQUESTED, "requested"),
                    G_DEFINE_ENUM_VALUE (ES_PEER_REMOVED_SILENT, "silent"),
                    G_DEFINE_ENUM_VALUE (ES_PEER_REMOVED_STOPPED, "stopped"))

typedef enum
{
  PROP_ADDRESS = 1,
} EsPeerProperty;

static GParamSpec *properties[PROP_ADDRESS + 1];

static void
es_peer_finalize (GObject *object)
{
  g_object_unref (ES_PEER (object)->address);
  G_OBJECT_CLASS (es_peer_parent_class)->finalize (object);
}

static void
es_peer_get_property (GObject *object,
                      guint prop_id,
                      GValue *value,
                      GParamSpec *pspec)
{
  switch ((EsPeerProperty) prop_id)
    {
    case PROP_ADDRESS:
      g_value_set_object (value, es_peer_get_address (ES_PEER (object)));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
es_peer_class_init (EsPeerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = es_peer_finalize;
  object_class->get_property = es_peer_get_property;

  /**
   * EsPeer:address: (getter get_address)
   *
   * The peer's address.
   */
  properties[PROP_ADDRESS] =
    g_param_spec_object ("address", NULL, NULL, G_TYPE_SOCKET_ADDRESS,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

static void
es_peer_init (EsPeer *self)
{
  self->place.link.data = self;
}

/* (transfer full) @now: monotonic microseconds; joining counts as a word. */
EsPeer *
es_peer_new (GSocketAddress *address,
             gint64 now)
{
  EsPeer *self = g_object_new (ES_TYPE_PEER, NULL);

  self->address = es_address_dup_for_sends (address);
  self->place.last_event = now;
  atomic_init (&self->last_heard, now);
  return self;
}

EsPeerPlace *
es_peer_get_place (EsPeer *self)
{
  return &self->place;
}

void
es_peer_set_heard (EsPeer *self,
                   gint64 now)
{
  atomic_store_explicit (&self->last_heard, now, memory_order_relaxed);
  atomic_store_explicit (&self->n_missed_pings, 0, memory_order_relaxed);
}

void
es_peer_add_missed_ping (EsPeer *self)
{
  atomic_fetch_add_explicit (&self->n_missed_pings, 1, memory_order_relaxed);
}

/**
 * es_peer_get_address: (get-property address)
 * @self: a peer
 *
 * Gets the peer's address.
 *
 * Thread-safe.
 *
 * Returns: (transfer none): the address
 */
GSocketAddress *
es_peer_get_address (EsPeer *self)
{
  g_return_val_if_fail (ES_IS_PEER (self), NULL);

  return self->address;
}

/**
 * es_peer_get_last_heard:
 * @self: a peer
 *
 * Gets when a message of the peer last came, or else when it was admitted.
 *
 * Thread-safe.
 *
 * Returns: the time by g_get_monotonic_time(), in microseconds
 */
gint64
es_peer_get_last_heard (EsPeer *self)
{
  g_return_val_if_fail (ES_IS_PEER (self), 0);

  return atomic_load_explicit (&self->last_heard, memory_order_relaxed);
}

/**
 * es_peer_get_missed_pings:
 * @self: a peer
 *
 * Gets how many pings the peer was sent since it was last heard.
 *
 * Thread-safe.
 *
 * Returns: the number
 */
guint
es_peer_get_missed_pings (EsPeer *self)
{
  g_return_val_if_fail (ES_IS_PEER (self), 0);

  return atomic_load_explicit (&self->n_missed_pings, memory_order_relaxed);
}
