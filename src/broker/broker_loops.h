/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the broker has once per event loop. The first loop is home: it runs on the thread that calls
 * broker_run, and what is not divided lives there. The others run on threads of their own, but only
 * while broker_run does: before and after it one thread has them all.
 */

#include <pthread.h>

#include "base/rng.h"
#include "io/loop_set.h"
#include "net/connection.h"
#include "record/inflate.h"

struct broker;
struct fetch_sessions;

/* Thread: its loop. */
struct broker_loop {
    struct broker *broker;
    struct loop *loop;
    struct server_handler handler; /* of the connections of this loop */
    struct listener **listeners;   /* as many as the settings have, NULL behind the open ones */
    size_t listener_count;
    struct inflate_scratch scratch;
    struct fetch_sessions *fetch_sessions; /* a session is known on the loop that made it */
    struct rng rng;                        /* of session ids */
    pthread_t thread;
    bool has_thread;
};

/* wanted_count 0: one per core. Errors: E_LOCAL_NO_MEMORY, E_LOCAL_TOO_MANY_FILES. */
NODISCARD enum error broker_loops_new(struct broker *broker, struct clock *clock,
                                      int64_t wanted_count);
void broker_loops_free(struct broker *broker);
/* Starts the threads, runs home, and joins the threads. */
void broker_loops_run(struct broker *broker);
/* After broker_loops_run: the calling thread has all loops. Turns them, home waiting at most
 * timeout_ms, until no message is under way. */
void broker_loops_turn(struct broker *broker, int timeout_ms);
