/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The event loops of one process, and how one of them learns that all others have let go of
 * something.
 *
 * A thing that any loop may look at without a lock is taken away in two steps: its owner unlinks
 * it, so that nobody finds it any more, and starts a round. A round is one message that visits each
 * loop once, between two of its callbacks, and comes back: whoever had found the thing before has
 * returned by then, for what is found without a reference is not kept beyond a callback.
 */

#include "io/loop.h"

/* loops[i] has index i. The first one is home: what is not divided among the loops lives there. */
struct loop_set {
    struct loop *const *loops;
    unsigned count;
};

struct loop_round {
    struct message message;
    const struct loop_set *set;
    struct loop *origin;
    unsigned visited_count;
    void (*on_done)(struct loop_round *round);
};

/* One per core that this process may use; one when there are one or two, where a hop costs more
 * than the work. */
unsigned loop_set_default_count(void);
/* That of the calling thread. It must be one of the set's. Thread: a loop's. */
struct loop *loop_set_current(const struct loop_set *set);
/* on_done comes on the calling loop; at once when it is the only one. Storage is the caller's until
 * then. Thread: a loop's. */
void loop_round_start(struct loop_round *round, const struct loop_set *set,
                      void (*on_done)(struct loop_round *round));
/* Turns all loops on the calling thread, the first one waiting at most timeout_ms, until no message
 * is under way between them. No other thread runs them any more. */
void loop_set_drain(const struct loop_set *set, int timeout_ms);
