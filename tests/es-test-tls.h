/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-test.h"

/* What a certificate is to be like. */
typedef struct
{
  const char *name;        /* the host that it is for, or an authority's name */
  GTlsCertificate *issuer; /* (nullable) NULL: it vouches for itself */
  gboolean is_authority;
  gboolean is_for_clients;
  int days; /* how long it is valid; less than 0: so long ago it ceased to be */
} EsTestCertificate;

gboolean es_test_lacks_tls (void);

GTlsCertificate *es_test_new_certificate (const EsTestCertificate *wish);

GTlsDatabase *es_test_new_database (GTlsCertificate *trusted);

/* An authority, what it has vouched for, and who trusts it. */
typedef struct
{
  GTlsCertificate *authority; /* (owned) */
  GTlsCertificate *server;    /* (owned) for localhost and the loopback addresses */
  GTlsCertificate *client;    /* (owned) */
  GTlsDatabase *database;     /* (owned) */
} EsTestTrust;

EsTestTrust *es_test_trust_get (void);

EsUdpServer *es_test_new_private_server (void);

EsUdpServer *es_test_start_private_server (EsUdpServer *server);

EsUdpClient *es_test_new_private_client (void);

gboolean es_test_connect (EsUdpClient *client,
                          gpointer server,
                          GError **error);

EsUdpClient *es_test_start_private_client (gpointer server);

guint64 es_test_get_n_unauthenticated (gpointer endpoint);
