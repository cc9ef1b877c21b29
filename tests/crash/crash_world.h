/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A log manager with some partitions on a given vfs, driven at random, beside a model of what was
 * promised: which batches were acked, how far they were flushed, where the logs begin.
 */

#include "base/rng.h"
#include "storage/log_fixture.h"
#include "storage/log_manager.h"

enum { PARTITION_COUNT = 2, PRODUCER_COUNT = 3, BATCHES_MAX = 400 };

struct model_batch {
    uint8_t *data; /* as it was to be written, offsets assigned */
    size_t size;
    int64_t base_offset;
    int64_t last_offset;
    int64_t producer_id; /* -1: none */
    int32_t last_sequence;
};

struct model {
    struct model_batch batches[BATCHES_MAX]; /* acked; dense; from the oldest */
    int count;
    struct model_batch maybe; /* was being written when everything stopped; data NULL: none */
    int64_t end;              /* acked */
    int64_t flushed;          /* told to be on disk */
    int64_t log_start;        /* told, perhaps not persisted */
    int64_t log_start_kept;   /* told to be persisted */
    bool is_deleting;         /* a deletion was interrupted: either way is fine */
    struct log_entry *entry;  /* NULL: not started */
};

struct world {
    struct vfs *vfs;
    struct rng *rng;
    struct manual_clock clock;
    struct log_fixture *fixture; /* builds batches */
    struct log_manager *manager; /* NULL: not started */
    struct model models[PARTITION_COUNT];
    int32_t sequences[PARTITION_COUNT][PRODUCER_COUNT];
    int32_t leader_epoch;
    bool is_faulty; /* calls fail here and there: a checkpoint may not have been written */
};

void world_init(struct world *world, struct vfs *vfs, struct rng *rng, struct log_fixture *fixture);
/* Frees the model; the manager is stopped already. */
void world_done(struct world *world);
/* E_OK: manager and all partitions are there. Otherwise nothing is. */
enum error world_start(struct world *world);
/* Nothing is closed. */
void world_kill(struct world *world);
/* One random operation. */
void world_step(struct world *world);
/*
 * After world_start: every log serves dense, whole batches, those that were acked; all that was
 * flushed, and all that was acked when `kept_page_cache`. The model then is what is there.
 */
void world_verify(struct world *world, bool kept_page_cache);
