/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#define RIVAL_BUFFER_SIZE (4 * 1024 * 1024)
#define RIVAL_MAX_MESSAGE 65536

void rival_die (const char *what);
void rival_set_buffers (int fd);
void rival_announce (int fd);
in_port_t rival_get_port (int fd);
int rival_open (in_addr_t host);
int rival_listen (void);
