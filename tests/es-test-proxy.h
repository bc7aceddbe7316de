/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-test.h"

/* Stands between a client and a server, and passes on what it likes. */
typedef struct _EsTestProxy EsTestProxy;

/* Sees a datagram on its way, and says whether it is passed on. */
typedef gboolean (*EsTestProxyFunc) (EsTestProxy *proxy,
                                     GBytes *datagram,
                                     gboolean is_to_server,
                                     gpointer user_data);

EsTestProxy *es_test_proxy_new (gpointer server,
                                EsTestProxyFunc func,
                                gpointer user_data);

void es_test_proxy_free (EsTestProxy *self);

GSocketAddress *es_test_proxy_get_address (EsTestProxy *self);

GSocketAddress *es_test_proxy_get_address_at_server (EsTestProxy *self);

void es_test_proxy_pass (EsTestProxy *self,
                         GBytes *datagram,
                         gboolean is_to_server);

guint es_test_proxy_get_n_passed (EsTestProxy *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsTestProxy, es_test_proxy_free)
