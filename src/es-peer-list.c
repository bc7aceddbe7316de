/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-peer-list.h"

#include "es-peer-private.h"

/* The peers as a list for users, in order of joining. It lives in the endpoint's context, and so
 * follows the table, which any thread may change. */

struct _EsPeerList
{
  GObject parent_instance;

  GSequence *peers; /* (owned) of (owned) EsPeer */
};

static GType
get_item_type (GListModel *model)
{
  return ES_TYPE_PEER;
}

static guint
get_n_items (GListModel *model)
{
  return g_sequence_get_length (ES_PEER_LIST (model)->peers);
}

static gpointer
get_item (GListModel *model,
          guint position)
{
  GSequenceIter *iter = g_sequence_get_iter_at_pos (ES_PEER_LIST (model)->peers,
                                                    MIN (position, G_MAXINT));

  return g_sequence_iter_is_end (iter) ? NULL : g_object_ref (g_sequence_get (iter));
}

static void
init_list_model (GListModelInterface *interface)
{
  interface->get_item_type = get_item_type;
  interface->get_n_items = get_n_items;
  interface->get_item = get_item;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (EsPeerList,
                               es_peer_list,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, init_list_model))

static void
es_peer_list_finalize (GObject *object)
{
  g_sequence_free (ES_PEER_LIST (object)->peers);
  G_OBJECT_CLASS (es_peer_list_parent_class)->finalize (object);
}

static void
es_peer_list_class_init (EsPeerListClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = es_peer_list_finalize;
}

static void
es_peer_list_init (EsPeerList *self)
{
  self->peers = g_sequence_new (g_object_unref);
}

EsPeerList *
es_peer_list_new (void)
{
  return g_object_new (ES_TYPE_PEER_LIST, NULL);
}

void
es_peer_list_append (EsPeerList *self,
                     EsPeer *peer)
{
  guint n = g_sequence_get_length (self->peers);

  es_peer_get_place (peer)->position = g_sequence_append (self->peers, g_object_ref (peer));
  g_list_model_items_changed (G_LIST_MODEL (self), n, 0, 1);
}

void
es_peer_list_remove (EsPeerList *self,
                     EsPeer *peer)
{
  GSequenceIter *iter = g_steal_pointer (&es_peer_get_place (peer)->position);
  guint n = g_sequence_iter_get_position (iter);

  g_sequence_remove (iter);
  g_list_model_items_changed (G_LIST_MODEL (self), n, 1, 0);
}
