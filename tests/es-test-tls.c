/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "es-test-tls.h"

#include <glib/gstdio.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Certificates for tests, made when they are wanted: so none is in a file, and none is out of date
 * one day.
 */

#define DAY (24 * 60 * 60)

/* Whether the test is to be skipped, and is, since GIO has nobody to do TLS. */
gboolean
es_test_lacks_tls (void)
{
  gboolean is_lacking = !g_tls_backend_supports_tls (g_tls_backend_get_default ());

  if (is_lacking)
    g_test_skip ("glib-networking is not there");
  return is_lacking;
}

static void
check (int result)
{
  if (result < 0)
    g_error ("%s", gnutls_strerror (result));
}

static void
add_address (gnutls_x509_crt_t certificate,
             const char *address)
{
  g_autoptr (GInetAddress) inet = g_inet_address_new_from_string (address);

  check (gnutls_x509_crt_set_subject_alt_name (
    certificate, GNUTLS_SAN_IPADDRESS, g_inet_address_to_bytes (inet),
    g_inet_address_get_native_size (inet), GNUTLS_FSAN_APPEND));
}

static void
write_subject (gnutls_x509_crt_t certificate,
               const EsTestCertificate *wish)
{
  const char *purpose = wish->is_for_clients ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;

  check (gnutls_x509_crt_set_dn_by_oid (certificate, GNUTLS_OID_X520_COMMON_NAME, 0, wish->name,
                                        strlen (wish->name)));
  check (gnutls_x509_crt_set_basic_constraints (certificate, wish->is_authority, -1));
  if (wish->is_authority)
    {
      check (gnutls_x509_crt_set_key_usage (certificate, GNUTLS_KEY_KEY_CERT_SIGN));
      return;
    }
  check (gnutls_x509_crt_set_key_usage (certificate, GNUTLS_KEY_DIGITAL_SIGNATURE));
  check (gnutls_x509_crt_set_key_purpose_oid (certificate, purpose, 0));
  check (gnutls_x509_crt_set_subject_alt_name (certificate, GNUTLS_SAN_DNSNAME, wish->name,
                                               strlen (wish->name), GNUTLS_FSAN_SET));
  if (g_str_equal (wish->name, "localhost"))
    {
      add_address (certificate, "127.0.0.1");
      add_address (certificate, "::1");
    }
}

static void
write_validity (gnutls_x509_crt_t certificate,
                int days)
{
  time_t now = time (NULL);
  guint8 serial[8];

  for (gsize i = 0; i < sizeof serial; i++)
    serial[i] = g_random_int_range (1, 128);
  check (gnutls_x509_crt_set_version (certificate, 3));
  check (gnutls_x509_crt_set_serial (certificate, serial, sizeof serial));
  check (gnutls_x509_crt_set_activation_time (certificate, now - 100 * DAY));
  check (gnutls_x509_crt_set_expiration_time (certificate, now + (days != 0 ? days : 10) * DAY));
}

static void
sign (gnutls_x509_crt_t certificate,
      gnutls_x509_privkey_t key,
      GTlsCertificate *issuer)
{
  g_autofree char *certificate_pem = NULL;
  g_autofree char *key_pem = NULL;
  gnutls_x509_crt_t issuer_certificate;
  gnutls_x509_privkey_t issuer_key;

  if (issuer == NULL)
    {
      check (gnutls_x509_crt_sign2 (certificate, certificate, key, GNUTLS_DIG_SHA256, 0));
      return;
    }
  g_object_get (issuer, "certificate-pem", &certificate_pem, "private-key-pem", &key_pem, NULL);
  check (gnutls_x509_crt_init (&issuer_certificate));
  check (gnutls_x509_privkey_init (&issuer_key));
  check (gnutls_x509_crt_import (
    issuer_certificate, &(gnutls_datum_t){ (guint8 *) certificate_pem, strlen (certificate_pem) },
    GNUTLS_X509_FMT_PEM));
  check (gnutls_x509_privkey_import2 (issuer_key,
                                      &(gnutls_datum_t){ (guint8 *) key_pem, strlen (key_pem) },
                                      GNUTLS_X509_FMT_PEM, NULL, 0));
  check (gnutls_x509_crt_sign2 (certificate, issuer_certificate, issuer_key, GNUTLS_DIG_SHA256, 0));
  gnutls_x509_privkey_deinit (issuer_key);
  gnutls_x509_crt_deinit (issuer_certificate);
}

/* (transfer full) The certificate and its key as PEM. */
static char *export(gnutls_x509_crt_t certificate,
                    gnutls_x509_privkey_t key)
{
  gnutls_datum_t certificate_pem, key_pem;
  char *pem;

  check (gnutls_x509_crt_export2 (certificate, GNUTLS_X509_FMT_PEM, &certificate_pem));
  check (gnutls_x509_privkey_export2_pkcs8 (key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                            &key_pem));
  pem = g_strdup_printf ("%s%s", certificate_pem.data, key_pem.data);
  gnutls_free (certificate_pem.data);
  gnutls_free (key_pem.data);
  return pem;
}

/* (transfer full) A certificate with its private key. */
GTlsCertificate *
es_test_new_certificate (const EsTestCertificate *wish)
{
  g_autofree char *pem = NULL;
  g_autoptr (GError) error = NULL;
  gnutls_x509_crt_t certificate;
  gnutls_x509_privkey_t key;
  GTlsCertificate *made;

  check (gnutls_x509_privkey_init (&key));
  check (gnutls_x509_privkey_generate (key, GNUTLS_PK_ECDSA,
                                       GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1), 0));
  check (gnutls_x509_crt_init (&certificate));
  check (gnutls_x509_crt_set_key (certificate, key));
  write_validity (certificate, wish->days);
  write_subject (certificate, wish);
  sign (certificate, key, wish->issuer);
  pem = export(certificate, key);
  gnutls_x509_crt_deinit (certificate);
  gnutls_x509_privkey_deinit (key);
  made = g_tls_certificate_new_from_pem (pem, -1, &error);
  g_assert_no_error (error);
  return made;
}

static GPtrArray *paths; /* (owned) (nullable) of files that are to go with the program */

static void
remove_files (void)
{
  for (guint i = 0; i < paths->len; i++)
    g_unlink (paths->pdata[i]);
  g_ptr_array_unref (paths);
}

static void
remove_at_exit (const char *path)
{
  if (paths == NULL)
    {
      paths = g_ptr_array_new_with_free_func (g_free);
      atexit (remove_files);
    }
  g_ptr_array_add (paths, g_strdup (path));
}

/* (transfer full) Who trusts in one certificate, and in what that vouches for. */
GTlsDatabase *
es_test_new_database (GTlsCertificate *trusted)
{
  g_autofree char *pem = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  GTlsDatabase *database;
  int fd;

  g_object_get (trusted, "certificate-pem", &pem, NULL);
  fd = g_file_open_tmp ("easyservers-XXXXXX.pem", &path, &error);
  g_assert_no_error (error);
  close (fd);
  g_file_set_contents (path, pem, -1, &error);
  g_assert_no_error (error);
  database = g_tls_file_database_new (path, &error);
  g_assert_no_error (error);
  remove_at_exit (path);
  return database;
}

/* (transfer none) The same for all tests of a program. */
EsTestTrust *
es_test_trust_get (void)
{
  static EsTestTrust trust;

  if (trust.authority != NULL)
    return &trust;
  trust.authority = es_test_new_certificate (
    &(EsTestCertificate){ .name = "Test Authority", .is_authority = TRUE });
  trust.server = es_test_new_certificate (
    &(EsTestCertificate){ .name = "localhost", .issuer = trust.authority });
  trust.client = es_test_new_certificate (&(EsTestCertificate){
    .name = "client.invalid", .issuer = trust.authority, .is_for_clients = TRUE });
  trust.database = es_test_new_database (trust.authority);
  return &trust;
}

/* (transfer full) A server with a certificate that answers with what it is told. */
EsUdpServer *
es_test_new_private_server (void)
{
  EsUdpServer *server = es_udp_server_new_with_handler (0, es_test_echo, NULL, NULL);

  es_udp_server_set_tls_certificate (server, es_test_trust_get ()->server);
  return server;
}

EsUdpServer *
es_test_start_private_server (EsUdpServer *server)
{
  g_autoptr (GError) error = NULL;

  es_endpoint_start (ES_ENDPOINT (server), &error);
  g_assert_no_error (error);
  return server;
}

/* (transfer full) A client that trusts that certificate. */
EsUdpClient *
es_test_new_private_client (void)
{
  EsUdpClient *client = es_udp_client_new ();

  es_udp_client_set_tls (client, ES_TLS_MODE_VERIFY);
  es_udp_client_set_tls_database (client, es_test_trust_get ()->database);
  return client;
}

static void
take_result_cb (GObject *source,
                GAsyncResult *result,
                gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* Connects while the thread-default context is iterated, in which the server may be. */
gboolean
es_test_connect (EsUdpClient *client,
                 gpointer server,
                 GError **error)
{
  g_autoptr (GSocketAddress) address = es_test_address_of (server, "127.0.0.1");
  g_autoptr (GAsyncResult) result = NULL;

  es_udp_client_connect_to_async (client, G_SOCKET_CONNECTABLE (address), NULL, take_result_cb,
                                  &result);
  es_test_wait_until (result != NULL);
  return es_udp_client_connect_to_finish (client, result, error);
}

/* (transfer full) A client that is connected to the server, and runs. */
EsUdpClient *
es_test_start_private_client (gpointer server)
{
  EsUdpClient *client = es_test_new_private_client ();
  g_autoptr (GError) error = NULL;

  es_test_connect (client, server, &error);
  g_assert_no_error (error);
  es_endpoint_start (ES_ENDPOINT (client), &error);
  g_assert_no_error (error);
  return client;
}

guint64
es_test_get_n_unauthenticated (gpointer endpoint)
{
  g_autoptr (EsStats) stats = es_endpoint_get_stats (endpoint);

  return stats->dropped_unauthenticated;
}
