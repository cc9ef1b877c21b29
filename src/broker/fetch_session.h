/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a Fetch request asks for. Without a session that is what it lists; sessions (KIP-227) will
 * remember the list between requests.
 *
 * Thread: the loop of the connection.
 */

#include "base/arena.h"
#include "base/error.h"
#include "base/uuid.h"
#include "protocol/messages/fetch.h"

struct fetch_sessions;

/* What was answered for a partition, which decides whether an incremental answer includes it. */
struct fetch_answer {
    bool has_error;
    bool has_data;
    int64_t high_watermark;
    int64_t log_start_offset;
};

struct fetch_target {
    struct slice topic;
    struct uuid topic_id;
    int32_t partition;
    int32_t current_leader_epoch; /* -1: not given */
    int64_t fetch_offset;
    int32_t max_bytes;
    struct fetch_answer answer;
};

struct fetch_plan {
    struct fetch_sessions *sessions;
    enum error error;   /* of the whole request: unknown session, wrong epoch; then no targets */
    int32_t session_id; /* for the response; 0: none */
};

/* The targets, those of one topic side by side; array in the arena. Errors: E_LOCAL_NO_MEMORY. */
NODISCARD enum error fetch_plan_make(struct fetch_plan *plan, struct fetch_sessions *sessions,
                                     const struct fetch_request *request, int16_t version,
                                     struct arena *arena, struct fetch_target **ret_targets,
                                     uint32_t *ret_count);
/* Whether the answer lists this target (its `answer` is filled). */
bool fetch_plan_includes(const struct fetch_plan *plan, const struct fetch_target *target);
/* The answer is complete: remember what this target was told. */
void fetch_plan_sent(struct fetch_plan *plan, const struct fetch_target *target);
