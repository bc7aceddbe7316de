/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names with their records, and the answers to DNS queries about them. */

#pragma once

#include <gio/gio.h>

/* No answer is larger, whatever room the asker has. */
#define DNS_MAX_ANSWER 4096

GHashTable *dns_names_new (void);
gboolean dns_names_add (GHashTable *names, const char *name, GInetAddress *ip, gboolean is_first);
gsize dns_answer (GHashTable *names, const guint8 *query, gsize size, guint8 *answer);
