/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-dtls-session.h"

typedef struct _EsDtlsTable EsDtlsTable;

EsDtlsTable *es_dtls_table_new (guint max_sessions,
                                guint max_half_open);

void es_dtls_table_free (EsDtlsTable *self);

EsDtlsSession *es_dtls_table_get (EsDtlsTable *self,
                                  const EsNative *peer);

EsDtlsSession *es_dtls_table_ref_established (EsDtlsTable *self,
                                              const EsNative *peer);

gboolean es_dtls_table_make_room (EsDtlsTable *self);

void es_dtls_table_add (EsDtlsTable *self,
                        EsDtlsSession *session);

void es_dtls_table_settle (EsDtlsTable *self,
                           EsDtlsSession *session);

void es_dtls_table_remove (EsDtlsTable *self,
                           EsDtlsSession *session);

void es_dtls_table_set_due (EsDtlsTable *self,
                            EsDtlsSession *session,
                            gint64 due);

EsDtlsSession *es_dtls_table_peek_due (EsDtlsTable *self,
                                       gint64 *due);

EsDtlsSession *es_dtls_table_peek_any (EsDtlsTable *self);

guint es_dtls_table_get_n_sessions (EsDtlsTable *self);

guint es_dtls_table_get_n_half_open (EsDtlsTable *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EsDtlsTable, es_dtls_table_free)
