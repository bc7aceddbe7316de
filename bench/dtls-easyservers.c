/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A private echo server with this library: dtls-easyservers CERTIFICATE KEY */

#include <easyservers.h>

static void
echo (EsEndpoint *server,
      GBytes *message,
      GSocketAddress *address,
      EsSendFunc send,
      gpointer user_data)
{
  send (server, message, address, NULL);
}

int
main (int argc,
      char **argv)
{
  g_autoptr (EsUdpServer) server = es_udp_server_new_with_handler (0, echo, NULL, NULL);
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (GError) error = NULL;

  if (argc != 3)
    return 2;
  certificate = g_tls_certificate_new_from_files (argv[1], argv[2], &error);
  es_udp_server_set_tls_certificate (server, certificate);
  if (certificate == NULL || !es_endpoint_start (ES_ENDPOINT (server), &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  g_print ("Listening on port %u\n", es_udp_server_get_port (server));
  return es_endpoint_run (ES_ENDPOINT (server), NULL) ? 0 : 1;
}
