/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

/**
 * ES_API: (skip)
 *
 * Marks a function that users may call. Every other symbol stays inside the library.
 */
#define ES_API __attribute__ ((visibility ("default"))) extern
