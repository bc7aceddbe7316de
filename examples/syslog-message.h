/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

/* Appends the line that tells of a syslog message, whatever it is, with its line end.
 *
 * Sender and time stand in for what the message does not tell. */
void syslog_message_append (GString *lines, GBytes *message, const char *sender, GDateTime *now);
