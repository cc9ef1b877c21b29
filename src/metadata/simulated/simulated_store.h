/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A store in memory, for tests and for a node whose store is lost (it serves reads only). Requests
 * complete at the next turn of the loop, in order.
 */

#include "io/loop.h"
#include "metadata/store.h"

/* NULL without memory. */
NODISCARD struct store *simulated_store_new(struct loop *loop, struct clock *clock);
/* The next `count` batches fail with the error, as a disk would. */
void simulated_store_fail(struct store *store, enum error error, unsigned count);
/* What the end of the session does: ephemeral nodes go. No watch fires. */
void simulated_store_end_session(struct store *store);
