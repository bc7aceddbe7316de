/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <easyservers.h>

/* Iterates the thread-default main context until the condition holds. Other threads need not wake
 * it. What never comes true fails, and says so, before the runner's time is over. */
#define es_test_wait_until(condition)                                     \
  G_STMT_START                                                            \
  {                                                                       \
    gint64 es_test_deadline = es_test_get_deadline ();                    \
                                                                          \
    while (!(condition))                                                  \
      if (!es_test_iterate (es_test_deadline))                            \
        g_assertion_message (G_LOG_DOMAIN, __FILE__, __LINE__, G_STRFUNC, \
                             "waited in vain until (" #condition ")");    \
  }                                                                       \
  G_STMT_END

/* The same, while nobody iterates the context. */
#define es_test_spin_until(condition)                                     \
  G_STMT_START                                                            \
  {                                                                       \
    gint64 es_test_deadline = es_test_get_deadline ();                    \
                                                                          \
    while (!(condition))                                                  \
      if (!es_test_spin (es_test_deadline))                               \
        g_assertion_message (G_LOG_DOMAIN, __FILE__, __LINE__, G_STRFUNC, \
                             "waited in vain until (" #condition ")");    \
  }                                                                       \
  G_STMT_END

/* The call is the caller's mistake, and says so by a critical that names what was asked for. */
#define es_test_assert_critical(call, assertion)                                             \
  G_STMT_START                                                                               \
  {                                                                                          \
    g_test_expect_message ("easyservers", G_LOG_LEVEL_CRITICAL, "*'" assertion "' failed*"); \
    call;                                                                                    \
    g_test_assert_expected_messages ();                                                      \
  }                                                                                          \
  G_STMT_END

gint64 es_test_get_deadline (void);

gboolean es_test_iterate (gint64 deadline);

gboolean es_test_spin (gint64 deadline);

void es_test_settle (void);

gboolean es_test_is_slow (void);

gboolean es_test_has_mmsg (void);

gboolean es_test_has_ip6 (void);

gboolean es_test_lacks (const char *host);

gboolean es_test_can_become_nobody (void);

void es_test_become_nobody (void);

/* What an endpoint heard, from the time that the inbox was made. */
typedef struct _EsTestInbox EsTestInbox;

EsTestInbox *es_test_inbox_new (gpointer endpoint);

void es_test_inbox_free (EsTestInbox *self);

guint es_test_inbox_get_n (EsTestInbox *self);

GBytes *es_test_inbox_get_message (EsTestInbox *self,
                                   guint i);

const char *es_test_inbox_get_text (EsTestInbox *self,
                                    guint i);

GSocketAddress *es_test_inbox_get_address (EsTestInbox *self,
                                           guint i);

guint es_test_inbox_get_n_errors (EsTestInbox *self);

const GError *es_test_inbox_get_error (EsTestInbox *self,
                                       guint i);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsTestInbox, es_test_inbox_free)

EsUdpServer *es_test_start_server (void);

EsUdpServer *es_test_start_echo_server (void);

EsUdpClient *es_test_start_client (EsUdpServer *server);

GSocketAddress *es_test_address_of (gpointer endpoint,
                                    const char *host);

GSocket *es_test_new_socket (const char *host);

GSocket *es_test_new_talker (gpointer endpoint,
                             const char *host);

void es_test_say (GSocket *socket,
                  const char *text);

char *es_test_hear (GSocket *socket);

gboolean es_test_can_hear (GSocket *socket);

void es_test_leave_unread (gpointer endpoint,
                           guint n_messages);

guint64 es_test_get_n_received (gpointer endpoint);

void es_test_send (gpointer endpoint,
                   const char *text);

void es_test_echo (EsEndpoint *endpoint,
                   GBytes *message,
                   GSocketAddress *address,
                   EsSendFunc send,
                   gpointer user_data);

void es_test_count (EsEndpoint *endpoint,
                    GBytes *message,
                    GSocketAddress *address,
                    EsSendFunc send,
                    gpointer user_data);
