/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All messages that schemas/messages declares, by name: for tests and tools. */

#include "protocol/schema.h"

extern const struct message_schema *const message_list[];
extern const size_t message_count;

/* NULL: no message has this name ("ProduceRequest"). */
const struct message_schema *message_find(const char *name);
