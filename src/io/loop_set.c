/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop_set.h"

#include <sched.h>

#include "base/check.h"

enum { CORES_FOR_ONE_LOOP = 2 };

unsigned loop_set_default_count(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0) {
        return 1; /* more cores than the set has room for, or not allowed to know */
    }
    const int count = CPU_COUNT(&cores);
    return count <= CORES_FOR_ONE_LOOP ? 1 : (unsigned)count;
}

struct loop *loop_set_current(const struct loop_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (loop_is_current(set->loops[i])) {
            return set->loops[i];
        }
    }
    check_failed("the thread runs a loop of the set", __FILE__, __LINE__, __func__);
}

static void on_visit(struct message *message)
{
    struct loop_round *round = container_of(message, struct loop_round, message);
    const struct loop_set *set = round->set;
    if (++round->visited_count == set->count) {
        round->on_done(round);
        return;
    }
    const unsigned next = (loop_index(round->origin) + 1 + round->visited_count) % set->count;
    loop_post(set->loops[next], message);
}

void loop_round_start(struct loop_round *round, const struct loop_set *set,
                      void (*on_done)(struct loop_round *round))
{
    round->set = set;
    round->on_done = on_done;
    if (set->count == 1) {
        on_done(round);
        return;
    }
    round->origin = loop_set_current(set);
    round->visited_count = 0;
    round->message.on_receive = on_visit;
    loop_post(set->loops[(loop_index(round->origin) + 1) % set->count], &round->message);
}

void loop_set_drain(const struct loop_set *set, int timeout_ms)
{
    bool is_quiet;
    do {
        is_quiet = true;
        for (unsigned i = 0; i < set->count; i++) {
            loop_turn(set->loops[i], i == 0 ? timeout_ms : 0);
        }
        for (unsigned i = 0; i < set->count; i++) {
            is_quiet = is_quiet && !loop_has_messages(set->loops[i]);
        }
        timeout_ms = 0;
    } while (!is_quiet);
}
