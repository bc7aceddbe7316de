/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "es-address.h"
#include "es-endpoint.h"
#include "es-job.h"
#include "es-macros.h"
#include "es-message.h"
#include "es-peer.h"
#include "es-session.h"
#include "es-stats.h"
#include "es-udp-client.h"
#include "es-udp-server.h"
#include "es-version.h"
