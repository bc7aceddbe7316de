/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The messages of TFTP (RFC 1350), and its options (RFC 2347, 2348, 2349 and 7440). */

#pragma once

#include <glib.h>

/* Opcodes. */
#define TFTP_READ 1
#define TFTP_WRITE 2
#define TFTP_DATA 3
#define TFTP_ACK 4
#define TFTP_ERROR 5
#define TFTP_OPTION_ACK 6

/* The numbers of errors. */
#define TFTP_OTHER 0
#define TFTP_NOT_FOUND 1
#define TFTP_NO_ACCESS 2
#define TFTP_ILLEGAL 4
#define TFTP_UNKNOWN_TRANSFER 5

/* The places of options among their values. */
#define TFTP_BLOCK_SIZE 0
#define TFTP_TIMEOUT 1
#define TFTP_SIZE 2
#define TFTP_WINDOW_SIZE 3
#define TFTP_N_OPTIONS 4

#define TFTP_MAX_BLOCK_SIZE 65464

/* The size of a file that is known only when it has been read. That a file is empty is not told
 * either, since curl does not believe it. */
#define TFTP_UNKNOWN_SIZE 0

GBytes *tftp_message_new (guint8 opcode, guint16 number, gconstpointer payload, gsize size);
int tftp_get_number (GBytes *message, gsize position);
const char *tftp_next_text (const char *text, const char *end);
void tftp_agree (const char *mode, const char *end, guint64 *values, GPtrArray *messages);
