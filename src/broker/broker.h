/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The broker: everything of one process put together, in the order of the layers, and taken apart
 * again in reverse. Can be made, started, stopped and freed several times in one process.
 *
 * Thread: broker_start and broker_stop on the thread that runs the loop.
 */

#include "base/diag.h"
#include "config/broker_config.h"
#include "storage/log_manager.h"

struct authoriser;
struct broker;

struct broker_options {
    const struct broker_settings *settings; /* borrowed for the life of the broker */
    struct diag *diag;
    struct vfs *vfs;
    struct clock *clock;
    uint64_t seed;                 /* of all randomness in the process */
    int64_t descriptor_count_max;  /* RLIMIT_NOFILE */
    int64_t memory_max;            /* bytes that the process may use; 0: not known */
    struct authoriser *authoriser; /* borrowed; NULL: everybody may do everything */
    unsigned event_loop_count;     /* for tests: instead of event.loops; 0: as set */
};

NODISCARD enum error broker_new(const struct broker_options *options, struct broker **ret_broker,
                                struct start_failure *ret_failure);
/* Serves until broker_stop. */
void broker_run(struct broker *broker);
/* Any thread, and a signal handler. broker_run returns after it. */
void broker_stop(struct broker *broker);
/* Clean: all logs closed, the marker written. */
void broker_free(struct broker *broker);
/* The port bound for listener `index` (its number may have been 0). */
uint16_t broker_port(const struct broker *broker, size_t index);
