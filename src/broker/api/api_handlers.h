/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The handlers, one per served row of schemas/apis.tsv (protocol/api_handlers.inc is made of it).
 * Thread: the loop of the connection.
 */

#include "broker/call.h"

typedef void (*api_handler_fn)(struct call *call);

#define API_HANDLER(key, function) void function(struct call *call);
#include "protocol/api_handlers.inc"
#undef API_HANDLER

/* NULL: not served. */
api_handler_fn api_handler(int16_t key);

/* ApiVersions in an unknown version: error 35 in a v0 body, and the versions to use (KIP-511). */
void api_versions_refuse_version(struct call *call);
