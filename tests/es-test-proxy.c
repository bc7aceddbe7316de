/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-proxy.h"

/*
 * A network of one's own between two endpoints of a test: by default a perfect one.
 */

struct _EsTestProxy
{
  GSocket *front;         /* (owned) the client's side */
  GSocket *back;          /* (owned) the server's side */
  GSocketAddress *client; /* (owned) (nullable) who spoke last */
  GSource *sources[2];    /* (owned) */
  EsTestProxyFunc func;   /* (nullable) */
  gpointer user_data;
  guint n_passed;
};

/* Passes a datagram on, whatever the function says. */
void
es_test_proxy_pass (EsTestProxy *self,
                    GBytes *datagram,
                    gboolean is_to_server)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (datagram, &size);

  self->n_passed++;
  if (is_to_server)
    g_socket_send (self->back, data, size, NULL, NULL);
  else if (self->client != NULL)
    g_socket_send_to (self->front, self->client, data, size, NULL, NULL);
}

static gboolean
readable_cb (GSocket *socket,
             GIOCondition condition,
             gpointer user_data)
{
  EsTestProxy *self = user_data;
  gboolean is_to_server = socket == self->front;
  g_autoptr (GSocketAddress) sender = NULL;
  g_autoptr (GBytes) datagram = NULL;
  char buffer[65536];
  gssize n = g_socket_receive_from (socket, &sender, buffer, sizeof buffer, NULL, NULL);

  if (n < 0)
    return G_SOURCE_CONTINUE;
  if (is_to_server)
    g_set_object (&self->client, sender);
  datagram = g_bytes_new (buffer, n);
  if (self->func == NULL || self->func (self, datagram, is_to_server, self->user_data))
    es_test_proxy_pass (self, datagram, is_to_server);
  return G_SOURCE_CONTINUE;
}

static GSource *
watch (EsTestProxy *self,
       GSocket *socket)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();
  GSource *source = g_socket_create_source (socket, G_IO_IN, NULL);

  g_socket_set_blocking (socket, FALSE);
  g_source_set_callback (source, G_SOURCE_FUNC (readable_cb), self, NULL);
  g_source_attach (source, context);
  return source;
}

EsTestProxy *
es_test_proxy_new (gpointer server,
                   EsTestProxyFunc func,
                   gpointer user_data)
{
  EsTestProxy *self = g_new0 (EsTestProxy, 1);

  self->func = func;
  self->user_data = user_data;
  self->front = es_test_new_socket ("127.0.0.1");
  self->back = es_test_new_talker (server, "127.0.0.1");
  self->sources[0] = watch (self, self->front);
  self->sources[1] = watch (self, self->back);
  return self;
}

void
es_test_proxy_free (EsTestProxy *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->sources); i++)
    {
      g_source_destroy (self->sources[i]);
      g_source_unref (self->sources[i]);
    }
  g_clear_object (&self->client);
  g_object_unref (self->front);
  g_object_unref (self->back);
  g_free (self);
}

/* (transfer full) Where clients find the server. */
GSocketAddress *
es_test_proxy_get_address (EsTestProxy *self)
{
  return g_socket_get_local_address (self->front, NULL);
}

/* (transfer full) Whom the server takes the client for. */
GSocketAddress *
es_test_proxy_get_address_at_server (EsTestProxy *self)
{
  return g_socket_get_local_address (self->back, NULL);
}

guint
es_test_proxy_get_n_passed (EsTestProxy *self)
{
  return self->n_passed;
}
